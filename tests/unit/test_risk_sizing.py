"""How large a position should be: the smallest of its bounds, by hand; then the caps; the unknown gives nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from risk_config import RiskConfig
from tests.risk_world import Stock, code_of, desk, holding, story_view
from trading_platform.core.ledger import Record
from trading_platform.core.risk.caps import cap_room, vix_scale
from trading_platform.core.risk.denial_codes import DENIAL_CODES, Measures
from trading_platform.core.risk.limits import Limits, limits_of
from trading_platform.core.risk.rules import record_trade
from trading_platform.core.risk.sizing import entry_dollars, kelly_fraction, worth_a_slot
from trading_platform.core.simulate import open_books
from trading_platform.core.types import Holding

NAN = math.nan
LIMITS = limits_of(RiskConfig().to_dict())
EMPTY = Measures(0.0, 0.0, 0.0, 0.0, 0, True, -1.0, -1)


def account(**fields: float) -> Record:
    record = open_books(1, 1, 0, 0, 100_000.0).accounts[0]
    for name, value in fields.items():
        record[name] = value
    return record


def wish(
    strength: float = 1.0,
    volatility: float = 0.01,
    equity: float = 100_000.0,
    measures: Measures = EMPTY,
    limits: Limits = LIMITS,
    **fields: float,
) -> float:
    return float(entry_dollars(account(**fields), equity, strength, volatility, measures, limits))


# ---------------------------------------------------------------- Kelly

KELLY_PRIOR = 0.53 - 0.47 / 1.2


def test_without_trades_kelly_is_the_prior() -> None:
    assert kelly_fraction(account(), LIMITS) == pytest.approx(KELLY_PRIOR, abs=1e-15)


def test_results_outvote_the_prior_by_their_number() -> None:
    # 100 trades, 80 won 3 % each, 20 lost 3 % each, beside the prior's 53 and 47
    record = account(kelly_trades=100.0, kelly_wins=80.0, kelly_gain=2.4, kelly_loss=0.6)
    p = (80.0 + 53.0) / 200.0
    gain = (2.4 + 53.0 * 1.2 * 0.03) / 133.0
    loss = (0.6 + 47.0 * 0.03) / 67.0
    assert kelly_fraction(record, LIMITS) == pytest.approx(p - (1.0 - p) / (gain / loss), abs=1e-15)


def test_a_losing_record_has_a_negative_kelly_fraction() -> None:
    record = account(kelly_trades=1_000.0, kelly_wins=100.0, kelly_gain=1.0, kelly_loss=27.0)
    assert kelly_fraction(record, LIMITS) < -1.0


@pytest.mark.parametrize("fields", [{"kelly_gain": -1e9}, {"kelly_loss": -1e9}])
def test_sums_that_are_damaged_give_no_edge(fields: dict[str, float]) -> None:
    assert kelly_fraction(account(**fields), LIMITS) == 0.0


def test_each_trade_fades_the_ones_before() -> None:
    record = account()
    limits = limits_of(RiskConfig(kelly_memory_trades=2).to_dict())
    for profit in (10.0, -20.0, 0.0, 40.0):
        record_trade(record, profit, 1_000.0, 0.0, limits)
    assert record["kelly_trades"] == pytest.approx(1.0 + 0.5 + 0.25 + 0.125)
    assert record["kelly_wins"] == pytest.approx(1.0 + 0.125)
    assert record["kelly_gain"] == pytest.approx(0.04 + 0.01 / 8.0)
    assert record["kelly_loss"] == pytest.approx(0.02 / 4.0)
    assert (record["trades"], record["wins"], record["loss_streak"]) == (4, 2, 0)


# ---------------------------------------------------------------- the wish

WIDE = limits_of(RiskConfig(max_position_pct=10.0).to_dict())
SMALLEST = [
    ({}, LIMITS, 5_000.0),  # the whole slot: 5 %; Kelly allows 6.9 %, volatility 12.6 %
    ({}, WIDE, 100_000.0 * 0.5 * KELLY_PRIOR),  # of a slot of 10 % Kelly allows 6.9 %
    ({"volatility": 0.02}, WIDE, 100_000.0 * 0.02 / math.sqrt(252.0) / 0.02),  # and 32 % a year 6.3 %
    ({"volatility": 0.02, "strength": 0.5}, WIDE, 5_000.0),  # less than either is wished
    ({"volatility": 0.40 / math.sqrt(252.0)}, LIMITS, 5_000.0),  # a 40 % stock has the full 5 %
    ({"volatility": 0.80 / math.sqrt(252.0)}, LIMITS, 2_500.0),
    ({"volatility": 0.80 / math.sqrt(252.0), "strength": 0.5}, LIMITS, 2_500.0),  # no product: the bounds are equal
    ({"volatility": 0.80 / math.sqrt(252.0), "strength": 0.25}, LIMITS, 1_250.0),
    ({"measures": EMPTY._replace(correlation=0.8), "strength": 0.7}, LIMITS, 3_500.0),  # 4,000 would be allowed
]


@pytest.mark.parametrize(("asked", "limits", "dollars"), SMALLEST)
def test_the_smallest_bound_decides_and_counts_once(asked: dict[str, Any], limits: Limits, dollars: float) -> None:
    assert wish(limits=limits, **asked) == pytest.approx(dollars)


def test_a_bad_record_keeps_half_of_the_cap() -> None:
    dollars = wish(volatility=0.001, kelly_trades=1_000.0, kelly_wins=100.0, kelly_gain=1.0, kelly_loss=27.0)
    assert dollars == pytest.approx(0.5 * 0.05 * 100_000.0)


@pytest.mark.parametrize(("strength", "share"), [(1.0, 1.0), (0.5, 0.5), (0.01, 0.01), (2.0, 1.0)])
def test_strength_is_the_share_of_a_slot_that_is_wanted_at_most_one(strength: float, share: float) -> None:
    assert wish(strength) == pytest.approx(share * 5_000.0)


@pytest.mark.parametrize(("vix", "scale"), [(15.0, 1.0), (25.0, 1.0), (30.0, 25.0 / 30.0), (50.0, 0.5), (80.0, 0.3125)])
def test_vix_above_its_threshold_shrinks_the_cap_and_what_is_worth_a_slot(vix: float, scale: float) -> None:
    assert vix_scale(vix, LIMITS) == pytest.approx(scale)
    room, _ = cap_room(100_000.0, 90_000.0, vix, EMPTY, LIMITS)
    assert room == pytest.approx(scale * 5_000.0)
    assert worth_a_slot(100_000.0, vix, LIMITS) == pytest.approx(scale * 0.4 * 5_000.0)


@pytest.mark.parametrize(("correlation", "share"), [(-1.0, 1.0), (-0.5, 1.0), (0.0, 1.0), (0.4, 0.9), (0.8, 0.8)])
def test_correlation_takes_up_to_a_quarter_of_the_cap(correlation: float, share: float) -> None:
    assert wish(measures=EMPTY._replace(correlation=correlation)) == pytest.approx(share * 5_000.0)


@pytest.mark.parametrize(("equity", "worth"), [(100_000.0, 2_000.0), (6_000.0, 120.0), (4_000.0, 100.0)])
def test_a_slot_is_worth_two_fifths_of_the_cap_and_the_smallest_order(equity: float, worth: float) -> None:
    assert worth_a_slot(equity, 15.0, LIMITS) == pytest.approx(worth)


@pytest.mark.parametrize("name", ["strength", "volatility", "equity"])
@pytest.mark.parametrize("value", [NAN, 0.0, -1.0])
def test_what_is_unknown_or_nothing_gives_nothing(name: str, value: float) -> None:
    assert wish(**{name: value}) == 0.0  # type: ignore[arg-type] # one of the three


def test_a_discount_of_everything_leaves_nothing() -> None:
    limits = limits_of(RiskConfig(correlation_discount=1.0, max_correlation=1.0).to_dict())
    assert wish(measures=EMPTY._replace(correlation=1.0), limits=limits) == 0.0
    assert wish(measures=EMPTY._replace(correlation=1.5), limits=limits) == 0.0


# ---------------------------------------------------------------- the caps

ROOMS = [
    (EMPTY, 15.0, 90_000.0, 5_000.0, "POSITION_LIMIT"),
    (EMPTY._replace(position=1_000.0), 15.0, 90_000.0, 4_000.0, "POSITION_LIMIT"),
    (EMPTY, 50.0, 90_000.0, 2_500.0, "VIX_LIMIT"),
    (EMPTY._replace(position=1_000.0), 50.0, 90_000.0, 1_500.0, "VIX_LIMIT"),
    (EMPTY._replace(sector=28_000.0), 15.0, 90_000.0, 2_000.0, "SECTOR_LIMIT"),
    (EMPTY._replace(gross=79_000.0), 15.0, 90_000.0, 1_000.0, "EXPOSURE_LIMIT"),
    (EMPTY._replace(reserved=89_500.0), 15.0, 90_000.0, 500.0, "INSUFFICIENT_CASH"),
    (EMPTY._replace(position=9_000.0), 15.0, 90_000.0, 0.0, "POSITION_LIMIT"),
    (EMPTY._replace(sector=25_000.0), 15.0, 90_000.0, 5_000.0, "POSITION_LIMIT"),
    (EMPTY._replace(gross=75_000.0), 15.0, 90_000.0, 5_000.0, "POSITION_LIMIT"),
    (EMPTY, 15.0, 5_000.0, 5_000.0, "POSITION_LIMIT"),
]


@pytest.mark.parametrize(("measures", "vix", "cash", "dollars", "code"), ROOMS)
def test_the_tightest_cap_binds(measures: Measures, vix: float, cash: float, dollars: float, code: str) -> None:
    room, binding = cap_room(100_000.0, cash, vix, measures, LIMITS)
    assert room == pytest.approx(dollars)
    assert DENIAL_CODES[binding] == code


# ---------------------------------------------------------------- the manager's face


def test_position_size_is_the_wish_within_the_caps() -> None:
    calm = {"A": Stock(volatility=0.002), "B": Stock(mix={2: 1.0}, volatility=0.05)}
    risk = desk(stocks=calm)
    assert risk.calculate_position_size("A", 1.0, 100_000.0) == pytest.approx(5_000.0)
    view = story_view(calm)
    volatility = float(np.std(view.market.returns[1, -20:], ddof=1))
    expected = 0.02 / math.sqrt(252.0) / volatility * 100_000.0
    assert 2_500.0 < expected < 5_000.0
    assert risk.calculate_position_size("B", 1.0, 100_000.0) == pytest.approx(expected)
    assert risk.calculate_position_size("B", 0.5, 100_000.0) == pytest.approx(2_500.0)


def test_position_size_of_what_is_not_worth_a_slot_is_nothing_unless_it_is_held() -> None:
    risk = desk(99_000.0, [holding("T00", 1_000.0)])
    assert risk.calculate_position_size("T01", 0.4, 100_000.0) == pytest.approx(2_000.0)  # two fifths of 5,000
    assert risk.calculate_position_size("T01", 0.39, 100_000.0) == 0.0
    assert risk.calculate_position_size("T00", 0.39, 100_000.0) == pytest.approx(950.0)  # more of what has its slot


def test_position_size_takes_the_smaller_of_the_account_told_and_the_equity_read() -> None:
    risk = desk()
    full = risk.calculate_position_size("T00", 1.0, 100_000.0)
    assert risk.calculate_position_size("T00", 1.0, 50_000) == pytest.approx(full / 2.0)
    assert risk.calculate_position_size("T00", 1.0, 1e12) == full
    assert full > 0.0


@pytest.mark.parametrize("value", [NAN, 0.0, -1.0, -math.inf])
def test_position_size_of_an_absurd_account_or_signal_is_nothing(value: float) -> None:
    assert desk().calculate_position_size("T00", 1.0, value) == 0.0
    assert desk().calculate_position_size("T00", value, 100_000.0) == 0.0


def test_position_size_is_nothing_where_no_order_could_pass() -> None:
    assert desk().calculate_position_size("NONE", 1.0, 1e5) == 0.0
    assert desk(vix=NAN).calculate_position_size("T00", 1.0, 1e5) == 0.0
    full = desk(90_000.0, [holding(f"T{i:02d}", 1_000.0) for i in range(10)])
    assert full.calculate_position_size("T10", 1.0, 1e5) == 0.0
    assert full.calculate_position_size("T00", 1.0, 1e5) > 0.0
    risk = desk()
    risk.halt("stop", "ann")
    assert risk.calculate_position_size("T00", 1.0, 1e5) == 0.0


PAIR = {
    "A": Stock(mix={1: 1.0}),
    "B": Stock(mix={1: 0.9, 2: math.sqrt(0.19)}),
    "C": Stock(mix={1: 0.5, 3: math.sqrt(0.75)}),
    "E": Stock(mix={}),
}


def test_position_size_respects_correlation() -> None:
    wide = RiskConfig(max_position_pct=10.0, kelly_fraction=1.0)  # Kelly 13.8 %, volatility 18 %: the cap decides
    risk = desk(99_000.0, [holding("A", 1_000.0)], PAIR, config=wide)
    alone = desk(stocks=PAIR, config=wide)
    assert risk.calculate_position_size("B", 1.0, 1e5) == 0.0
    assert code_of(risk.validate_order("B", "buy", 10.0, 100.0)) == "CORRELATION_LIMIT"
    ratio = risk.calculate_position_size("C", 1.0, 1e5) / alone.calculate_position_size("C", 1.0, 1e5)
    assert ratio == pytest.approx(0.875, rel=1e-6)  # a quarter of the cap times 0.5
    still = desk(99_000.0, [holding("E", 1_000.0)], PAIR)
    assert still.calculate_position_size("A", 1.0, 1e5) == 0.0


def test_position_size_leaves_room_for_pending_entries() -> None:
    risk = desk(100_000.0, [Holding("T00", 0.0, 100.0, 45.0, 100.0)])
    assert risk.calculate_position_size("T00", 1.0, 1e5) == pytest.approx(500.0)
