"""Rules run as plain Python and vectorised session times say what the compiled and the single ones say."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from risk_config import RiskConfig
from trading_platform.core import risk_rules as rules
from trading_platform.core.compiled import HAS_NUMBA, plain
from trading_platform.core.errors import MarketDataError
from trading_platform.core.ledger import ACCOUNT, new_books
from trading_platform.core.limits import limits_of
from trading_platform.core.readings import ACCOUNT_FIELDS, account_numbers, take_reading
from trading_platform.market_data.calendar import NyseCalendar

LIMITS = limits_of(RiskConfig().to_dict())
DOLLARS = st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 80_000.0, 89_999.0, 95_000.0, 100_000.0, 130_000.0])


def read_compiled(account: Any, equity: float, shadow: float) -> None:
    """Apply the three rules of a reading as the kernel does, on the record."""
    if rules.accept_equity(account, equity if equity < 1e15 else float("nan"), LIMITS):
        rules.update_daily_loss(account, LIMITS)
        rules.update_drawdown(account, shadow, LIMITS)


@settings(deadline=None)  # the first example may compile
@given(readings=st.lists(st.tuples(DOLLARS, DOLLARS), min_size=1, max_size=12))
def test_take_reading_any_equities_leaves_account_as_compiled_rules_do(readings: list[tuple[float, float]]) -> None:
    ours, theirs = new_books(1, 1, 100_000.0)[0], new_books(1, 1, 100_000.0)[0]
    for equity, shadow in readings:
        take_reading(ours[0], equity, shadow, 0.0, LIMITS, halt_counts=True)
        read_compiled(theirs[0], equity, shadow)
        for name in ACCOUNT_FIELDS:
            np.testing.assert_array_equal(ours[0][name], theirs[0][name], err_msg=name)
        ages = (float("nan"), 1.0), (20.0, 0.0)
        for vix, age in ages:
            quick = plain(rules.entry_gate)(account_numbers(ours[0]), 1.0, vix, age, LIMITS)
            slow = rules.entry_gate(theirs[0], 1.0, vix, age, LIMITS)
            np.testing.assert_array_equal(np.array(quick), np.array(slow))
            event(f"gate {quick.code}")


@pytest.mark.skipif(not HAS_NUMBA, reason="without numba every function is plain already")
def test_plain_compiled_function_is_python_down_to_what_it_calls() -> None:
    function = plain(rules.entry_gate)
    assert not hasattr(function, "py_func")
    assert not hasattr(function.__globals__["daily_loss_of"], "py_func")
    assert hasattr(rules.entry_gate, "py_func")
    assert plain(len) is len


def test_account_numbers_name_every_field() -> None:
    account = np.arange(len(ACCOUNT_FIELDS)).astype(np.float64)
    record = np.array([tuple(account)], dtype=ACCOUNT)[0]
    assert list(account_numbers(record).values()) == account.tolist()


def test_session_times_half_day_and_summer_time_are_those_of_each_session() -> None:
    calendar = NyseCalendar()
    sessions = [date(2016, 11, 25), date(2017, 3, 10), date(2017, 3, 13)]
    opens, closes = calendar.session_times(sessions)
    assert [f"{at:%H:%M %Z}" for at in opens] == ["14:30 UTC", "14:30 UTC", "13:30 UTC"]
    assert [f"{at:%H:%M}" for at in closes] == ["18:00", "21:00", "20:00"]
    assert opens == [calendar.open_at(session) for session in sessions]
    with pytest.raises(MarketDataError, match="is not an NYSE session"):
        calendar.session_times([date(2017, 3, 12)])
