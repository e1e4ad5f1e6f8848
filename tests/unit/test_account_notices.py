"""What the owner of an account is told before it trades."""

from __future__ import annotations

import numpy as np
import pytest

from risk_config import RiskConfig
from trading_platform.configuration.risk_config import PROFILES
from trading_platform.configuration.trading_config import load_config
from trading_platform.engine.account_notices import PROFILE_RECORD, account_notices, least_capital

CLOSES = np.array([20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0, 180.0, 500.0, np.nan])


def told(capital: float, closes: np.ndarray = CLOSES, **risk: object) -> list[str]:
    config = load_config(None, {f"risk.{name}": value for name, value in risk.items()})
    return list(account_notices(config, capital, closes))


def test_account_too_small_for_whole_shares_is_told_how_many_it_cannot_hold_and_what_to_do() -> None:
    (words,) = told(2_000.0)
    assert "a position may be at most $100 (max_position_pct 5)" in words
    assert "5 of 10 tickers cost more than that a share, 3 more than half of it" in words
    assert "needs about $8,500" in words  # nine of ten cost $212 or less: two shares of that are 5 % of $8,480
    assert "orders below $100 are not sent" in words
    assert "share_step = 0.001" in words
    assert "min_order_dollars = 20 lets" in words


def test_fractions_and_small_orders_are_all_that_a_small_account_needs() -> None:
    assert told(2_000.0, share_step=0.001, min_order_dollars=20.0) == []


def test_account_that_fits_is_told_nothing() -> None:
    enough = least_capital(RiskConfig(), CLOSES[:-1])
    assert told(enough) == []
    assert len(told(enough - 2_000.0)) == 1


def test_market_without_prices_says_nothing_of_them() -> None:
    assert told(100_000.0, np.full(3, np.nan)) == []
    assert least_capital(RiskConfig(), np.zeros(0)) == 0.0


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "conservative"])
def test_profile_is_told_with_what_it_has_done(name: str) -> None:
    (words,) = told(100_000.0, profile=name)
    assert words.startswith(f"Risk profile {name}: fell by {PROFILE_RECORD[name][1]:.0%}")
    assert "conservative: fell by 11%" in words
    assert "seen years" in words


def test_every_profile_has_a_record() -> None:
    assert PROFILE_RECORD.keys() == PROFILES.keys()
