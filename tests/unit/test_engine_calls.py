"""What the engine calls with rows of numbers, and vectorised session times, say what the single ones say."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.risk_world import Stock, story_view
from trading_platform.core.compiled import HAS_NUMBA, as_rows, direct, lean, plain
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.errors import MarketDataError
from trading_platform.core.ledger import ACCOUNT, new_books
from trading_platform.core.risk import rules
from trading_platform.core.risk.entry_check import account_verdict
from trading_platform.core.risk.equity_readings import take_reading
from trading_platform.core.risk.limits import limits_of
from trading_platform.market_data.calendar import NyseCalendar

LIMITS = limits_of(RiskConfig().to_dict())
LIMIT_ROWS = as_rows(LIMITS)
DOLLARS = st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 80_000.0, 89_999.0, 95_000.0, 100_000.0, 130_000.0])


def read_compiled(account: Any, equity: float, shadow: float) -> None:
    """Apply the three rules of a reading as the kernel does, on the record."""
    if rules.accept_equity(account, equity if equity < 1e15 else float("nan"), LIMITS):
        rules.update_daily_loss(account, LIMITS)
        rules.update_drawdown(account, shadow, LIMITS)


@settings(deadline=None)  # the first example may compile
@given(readings=st.lists(st.tuples(DOLLARS, DOLLARS), min_size=1, max_size=12))
def test_take_reading_any_equities_leaves_account_as_the_kernels_rules_do(readings: list[tuple[float, float]]) -> None:
    ours, theirs = new_books(1, 1, 1, 100_000.0)[0], new_books(1, 1, 1, 100_000.0)[0]
    for equity, shadow in readings:
        take_reading(ours, equity, shadow, 0.0, LIMIT_ROWS, halt_counts=True)
        read_compiled(theirs[0], equity, shadow)
        for name in ACCOUNT.names or ():
            np.testing.assert_array_equal(ours[0][name], theirs[0][name], err_msg=name)
        ages = (float("nan"), 1.0), (20.0, 0.0)
        for vix, age in ages:
            quick = account_verdict(ours, 1.0, vix, age, LIMIT_ROWS)
            slow = rules.check_account(theirs[0], 1.0, vix, age, LIMITS)
            np.testing.assert_array_equal(np.array(quick), np.array(slow))
            event(f"gate {quick.code}")


@lean
def first_of_second_row(table: Any, scale: float) -> float:
    number: float = table[1, 0] * scale
    return number


@pytest.mark.skipif(not HAS_NUMBA, reason="without numba there is no type to look at")
def test_direct_call_looks_at_types_again_for_another_first_argument() -> None:
    rising = np.arange(6.0).reshape(2, 3)
    fixed = rising.copy()
    fixed.flags.writeable = False
    tables = [rising, np.asfortranarray(rising), rising[:, ::2], rising.astype(np.int64), rising.astype("f4"), fixed]
    call = direct(first_of_second_row)
    assert [call(table, 2.0) for table in tables] == [6.0] * len(tables)
    assert [call(table, 0.5) for table in reversed(tables)] == [1.5] * len(tables)


def test_direct_call_of_plain_python_is_that_function() -> None:
    assert direct(sorted) is sorted


@pytest.mark.skipif(not HAS_NUMBA, reason="without numba every function is plain already")
def test_plain_compiled_function_is_python_down_to_what_it_calls() -> None:
    function = plain(rules.check_account)
    assert not hasattr(function, "py_func")
    assert not hasattr(function.__globals__["daily_loss_of"], "py_func")
    assert hasattr(rules.check_account, "py_func")
    assert plain(len) is len


@pytest.mark.parametrize(
    "values", [LIMITS, ExitConfig().rates(), CostConfig().rates()], ids=["limits", "exits", "costs"]
)
def test_as_rows_keeps_every_number_and_its_kind(values: Any) -> None:
    rows = as_rows(values)
    assert rows.shape == (1,)
    assert rows[0].tolist() == tuple(values)
    for name, value in values._asdict().items():
        assert getattr(rows[0], name) == value
        assert rows.dtype[name] == np.dtype(type(value))


def test_gate_answer_is_kept_until_account_or_market_differ() -> None:
    view, risk = story_view({"AAA": Stock()}), RiskManager(capital=100_000.0)
    risk.show_market(view)
    assert risk.can_trade() == (True, "OK")
    risk.account["daily_halted"] = 1
    assert risk.can_trade()[1].startswith("DAILY_LOSS_LIMIT")
    risk.account["daily_halted"] = 0
    assert risk.can_trade() == (True, "OK")
    risk.show_market(story_view({"AAA": Stock()}, vix=float("nan")))
    assert risk.can_trade()[1].startswith("VIX_UNKNOWN")


def test_session_times_half_day_and_summer_time_are_those_of_each_session() -> None:
    calendar = NyseCalendar()
    sessions = [date(2016, 11, 25), date(2017, 3, 10), date(2017, 3, 13)]
    opens, closes = calendar.session_times(sessions)
    assert [f"{at:%H:%M %Z}" for at in opens] == ["14:30 UTC", "14:30 UTC", "13:30 UTC"]
    assert [f"{at:%H:%M}" for at in closes] == ["18:00", "21:00", "20:00"]
    assert opens == [calendar.open_at(session) for session in sessions]
    with pytest.raises(MarketDataError, match="is not an NYSE session"):
        calendar.session_times([date(2017, 3, 12)])
