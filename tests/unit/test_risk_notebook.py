"""The manager by itself, as a notebook uses it: sessions that begin with the market shown, and plain values."""

from __future__ import annotations

import re
import warnings
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from risk_config import RiskConfig, RiskConfigError, RiskConfigWarning
from risk_manager import RiskManager
from tests.risk_world import STOCKS, StoryClock, code_of, desk, holding, story_view
from trading_platform.core.types import Portfolio, TradeResult
from trading_platform.core.view import MarketView

DAY = date(2024, 6, 3)


def market(day: int) -> MarketView:
    """Return the story's market as if its last session were `day` days after DAY."""
    return story_view(STOCKS)._replace(session=DAY + timedelta(day))


def trade(equities: list[float], *, market_first: bool = True) -> list[str]:
    """Show market and account once a day; return the code of each day."""
    risk = RiskManager(RiskConfig(max_drawdown_pct=30.0), clock=StoryClock())
    codes = []
    for day, equity in enumerate(equities):
        if market_first:
            risk.show_market(market(day))
        risk.show_portfolio(Portfolio(equity))
        if not market_first:
            risk.show_market(market(day))
        codes.append(code_of(risk.can_trade()))
    return codes


@pytest.mark.parametrize("market_first", [True, False])
def test_a_day_beyond_the_daily_loss_trades_no_more(market_first: bool) -> None:
    codes = trade([100_000.0, 95_300.0, 95_000.0], market_first=market_first)
    assert codes == ["OK", "DAILY_LOSS_LIMIT", "OK"]


@pytest.mark.parametrize("market_first", [True, False])
def test_four_days_never_add_up_to_one(market_first: bool) -> None:
    assert trade([100_000.0, 99_000.0, 98_000.0, 97_100.0, 96_200.0], market_first=market_first) == ["OK"] * 5


def test_the_same_market_shown_again_begins_no_session() -> None:
    risk = RiskManager(clock=StoryClock())
    for equity in (100_000.0, 98_500.0, 97_500.0):
        risk.show_market(market(0))
        risk.show_portfolio(Portfolio(equity))
    assert code_of(risk.can_trade()) == "DAILY_LOSS_LIMIT"


def readme_lines() -> list[str]:
    """Return the lines of the README's notebook block."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "RiskManager(" in block]
    lines: list[str] = block.splitlines()
    return lines


@pytest.mark.parametrize("market_first", [True, False])
@pytest.mark.parametrize(
    ("equities", "codes"),
    [
        ([100_000.0, 95_300.0, 95_000.0], ["OK", "DAILY_LOSS_LIMIT", "OK"]),
        ([1e5 - 900.0 * n for n in range(5)], ["OK"] * 5),
    ],
    ids=["a day of -4.7 %", "four days of -0.9 %"],
)
def test_readme_lines_day_after_day_keep_the_daily_loss(
    equities: list[float], codes: list[str], *, market_first: bool
) -> None:
    names: dict[str, Any] = {}
    lines = readme_lines()
    exec("\n".join(line for line in lines if not line.startswith("risk.")), names)  # noqa: S102 - the README's own lines
    (market_line,) = [line for line in lines if "risk.show_market(" in line]
    (account_line,) = [line for line in lines if "risk.show_portfolio(" in line]
    market_line = market_line.replace("from_panel(panel)", "from_panel(panel, t=day)")
    account_line = account_line.replace("100_000.0", "equity")
    assert "day" in market_line
    assert "equity" in account_line
    found = []
    for day, equity in zip(range(-len(equities), 0), equities, strict=True):
        names |= {"day": day, "equity": equity}
        for line in (market_line, account_line) if market_first else (account_line, market_line):
            exec(line, names)  # noqa: S102
        price = float(names["panel"].close[day, 0])
        found.append(code_of(names["risk"].validate_order(names["ticker"], "buy", 10, price)))
    assert found == codes


# ---------------------------------------------------------------- orders


@pytest.mark.parametrize(
    ("price", "code"),
    [
        (0.01, "PRICE_OFF_MARKET"),
        (79.98, "PRICE_OFF_MARKET"),
        (80.0, "OK"),
        (100.0, "OK"),
        (120.0, "OK"),
        (120.02, "PRICE_OFF_MARKET"),
        (1e9, "PRICE_OFF_MARKET"),
        (float("nan"), "INVALID_ORDER"),
        (-1.0, "INVALID_ORDER"),
    ],
)
def test_an_entry_far_from_the_market_is_refused(price: float, code: str) -> None:
    assert code_of(desk().validate_order("T00", "buy", 2.0, price)) == code


def test_a_wider_collar_lets_the_price_through() -> None:
    risk = desk(config=RiskConfig(price_collar_pct=60.0))
    assert risk.validate_order("T00", "buy", 2.0, 150.0) == (True, "OK")


@pytest.mark.parametrize("price", [0.01, 1e9, float("nan")])
def test_a_reduction_passes_at_any_price(price: float) -> None:
    risk = desk(98_000.0, [holding("T00", 2_000.0)])
    risk.halt("stop", "ann")
    assert risk.validate_order("T00", "sell", 20.0, price) == (True, "OK")


@pytest.mark.parametrize(
    ("side", "qty", "code"),
    [
        ("buy", 1e-9, "BELOW_MINIMUM"),
        ("sell", 1e-9, "BELOW_MINIMUM"),
        ("sell", 1.0, "SHORT_NOT_ALLOWED"),
        ("buy", 1.0, "MANUAL_HALT"),
    ],
)
def test_dust_and_sales_of_what_is_not_held_are_refused_in_a_halt(side: str, qty: float, code: str) -> None:
    risk = desk()
    risk.halt("stop", "ann")
    assert code_of(risk.validate_order("T00", side, qty, 100.0)) == code


def test_dust_of_what_is_held_is_no_order() -> None:
    risk = desk(98_000.0, [holding("T00", 2_000.0)])
    assert code_of(risk.validate_order("T00", "sell", 1e-9, 100.0)) == "BELOW_MINIMUM"


def test_sides_may_be_written_in_any_case() -> None:
    risk = desk(98_000.0, [holding("T00", 2_000.0)])
    assert risk.validate_order("T01", "BUY", 10.0, 100.0) == (True, "OK")
    assert risk.validate_order("T00", "Sell", 20.0, 100.0) == (True, "OK")
    assert risk.explain("T01", "BUY", 10.0, 100.0).checks
    assert code_of(risk.validate_order("T01", "hold", 10.0, 100.0)) == "INVALID_ORDER"


# ---------------------------------------------------------------- plain values


def test_a_round_trip_may_be_a_mapping() -> None:
    plain, told = desk(), desk()
    plain.update_state(TradeResult("T00", -5.0, 100.0))
    told.update_state({"ticker": "T00", "pnl": -5, "cost": 100.0})
    assert told.account["loss_streak"] == plain.account["loss_streak"] == 1
    assert told.account["kelly_loss"] == plain.account["kelly_loss"]


def test_a_wrong_mapping_is_one_error_that_names_everything() -> None:
    with pytest.raises(ValueError, match="cost is missing; profit is unknown; pnl must be a number of dollars"):
        desk().update_state({"ticker": "T00", "pnl": "x", "profit": 3.0})


def test_limits_may_be_a_mapping() -> None:
    risk = RiskManager({"profile": "balanced", "max_positions": 3})
    assert risk.config == RiskConfig.from_mapping({"profile": "balanced", "max_positions": 3})
    with pytest.raises(RiskConfigError, match="max_position is no setting"):
        RiskManager({"max_position": 3})


@pytest.mark.parametrize(("name", "value"), [("max_position_pct", 0.05), ("max_daily_loss_pct", 0.02)])
def test_percent_written_as_a_fraction_are_warned_of_with_the_cure(name: str, value: float) -> None:
    with pytest.warns(RiskConfigWarning, match=f"if a fraction is meant, write {name} = {100.0 * value:g}"):
        RiskConfig.from_mapping({name: value})


def test_small_percent_that_are_meant_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RiskConfig(max_position_pct=1.0, max_daily_loss_pct=0.5, max_drawdown_pct=1.0, recovery_drawdown_pct=0.5)
