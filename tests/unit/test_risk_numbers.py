"""The pure rules alone, number by number: every verdict with its observed value and limit, every counter they leave."""

from __future__ import annotations

import math

import numpy as np
import pytest

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.risk_world import Stock, StoryStore, buy, desk, holding, sell, story_view
from trading_platform.core.intents import order_id
from trading_platform.core.ledger import Record
from trading_platform.core.market import CLOSE, VOLATILITY
from trading_platform.core.risk import rules
from trading_platform.core.risk.caps import RuleVerdict, vix_scale
from trading_platform.core.risk.denial_codes import DENIAL_CODES, DenialCode, Measures
from trading_platform.core.risk.limits import Limits, limits_of
from trading_platform.core.risk.sizing import entry_dollars, kelly_fraction
from trading_platform.core.simulate import open_books
from trading_platform.core.types import ApprovedOrder, Denial, Holding, Portfolio

NAN, INF = math.nan, math.inf
LIMITS = limits_of(RiskConfig().to_dict())
EMPTY = Measures(0.0, 0.0, 0.0, 0.0, 0, True, -1.0, -1)
FINE = RuleVerdict(0, 100.0, 0.0)


def account(**fields: float) -> Record:
    record = open_books(1, 1, 0, 0, 100_000.0).accounts[0]
    for name, value in fields.items():
        record[name] = value
    return record


def named(verdict: RuleVerdict) -> tuple[str, float, float]:
    return DENIAL_CODES[verdict.code].value, float(verdict.observed), float(verdict.limit)


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize(
    ("equity", "peak", "loss"),
    [
        (90.0, 100.0, 0.1),
        (100.0, 100.0, 0.0),
        (110.0, 100.0, 0.0),
        (0.0, 100.0, 1.0),
        (-50.0, 100.0, 1.5),
        (1.0, 2.0, 0.5),
    ],
)
def test_drawdown(equity: float, peak: float, loss: float) -> None:
    assert rules.drawdown_of(equity, peak) == pytest.approx(loss, abs=1e-15)


@pytest.mark.parametrize(
    ("equity", "peak"), [(NAN, 1.0), (-INF, 1.0), (-1e300, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, NAN)]
)
def test_drawdown_of_what_is_unknown_is_unknown(equity: float, peak: float) -> None:
    assert math.isnan(rules.drawdown_of(equity, peak))


def test_vix_scale_of_the_threshold_is_one() -> None:
    assert vix_scale(25.0, LIMITS) == 1.0
    assert vix_scale(math.nextafter(25.0, 26.0), LIMITS) < 1.0


# ---------------------------------------------------------------- readings


def test_a_good_reading_sets_every_field() -> None:
    record = account(suspect_equity=5.0, lifetime_peak=120_000.0)
    assert rules.accept_equity(record, 102_000.0, LIMITS)
    assert record["equity"] == record["accepted_equity"] == record["peak_equity"] == 102_000.0
    assert record["suspect_equity"] == 0.0
    assert record["lifetime_peak"] == 120_000.0
    assert record["lifetime_drawdown"] == pytest.approx(0.15)
    assert rules.accept_equity(record, 101_000.0, LIMITS)
    assert record["peak_equity"] == 102_000.0
    assert rules.accept_equity(record, 103_000.0, LIMITS)
    assert record["lifetime_drawdown"] == pytest.approx(1.0 - 101.0 / 120.0)


@pytest.mark.parametrize("equity", [NAN, 0.0, -0.5, -1.0, INF, 1e300])
def test_a_bad_reading_leaves_only_its_mark(equity: float) -> None:
    record = account()
    before = record.copy()
    assert not rules.accept_equity(record, equity, LIMITS)
    assert record["suspect_equity"] == -1.0
    record["suspect_equity"], record["equity"] = before["suspect_equity"], before["equity"]
    assert record == before


def test_small_accounts_are_accounts() -> None:
    record = open_books(1, 1, 0, 0, 0.5).accounts[0]
    assert rules.accept_equity(record, 0.5, LIMITS)
    nearly = account(accepted_equity=9e299, peak_equity=9e299)
    assert rules.accept_equity(nearly, 9e299, LIMITS)


def test_a_jump_is_remembered_and_confirmed_from_either_side() -> None:
    record = account()
    assert not rules.accept_equity(record, 80_000.0, LIMITS)
    assert record["suspect_equity"] == 80_000.0
    assert record["accepted_equity"] == 100_000.0
    assert rules.accept_equity(record, 68_000.0, LIMITS)  # 15 % below the suspect
    record = account()
    rules.accept_equity(record, 80_000.0, LIMITS)
    assert not rules.accept_equity(record, 67_999.0, LIMITS)
    record = account(peak_equity=200_000.0)
    assert rules.accept_equity(record, 115_000.0, LIMITS)  # below the peak a rise of 15 % is believed
    record = account(peak_equity=200_000.0)
    assert not rules.accept_equity(record, 115_001.0, LIMITS)
    record = account()
    assert rules.accept_equity(record, 110_000.0, LIMITS)
    record = account()
    assert not rules.accept_equity(record, 110_001.0, LIMITS)


def test_an_account_of_nothing_needs_two_readings() -> None:
    record = account(accepted_equity=0.0)
    assert not rules.accept_equity(record, 100_000.0, LIMITS)
    assert rules.accept_equity(record, 100_000.0, LIMITS)


def test_a_halt_and_a_release_leave_clean_counters() -> None:
    record = account(accepted_equity=89_000.0, release_readings=7)
    assert rules.update_drawdown(record, NAN, LIMITS) == rules.FIRST_BREACH
    assert (record["breach_readings"], record["halted"]) == (1, 0)
    assert rules.update_drawdown(record, NAN, LIMITS) == rules.HALTED
    fields = ["halted", "halts", "breach_readings", "release_readings", "halted_sessions"]
    assert [int(record[name]) for name in fields] == [1, 1, 0, 0, 0]
    assert rules.update_drawdown(record, 95_000.0, LIMITS) == rules.NO_EVENT
    assert [int(record[name]) for name in fields] == [1, 1, 0, 1, 1]
    assert rules.update_drawdown(record, 94_999.0, LIMITS) == rules.NO_EVENT
    assert [int(record[name]) for name in fields] == [1, 1, 0, 0, 2]
    rules.update_drawdown(record, 95_000.0, LIMITS)
    assert rules.update_drawdown(record, 95_000.0, LIMITS) == rules.RELEASED
    assert [int(record[name]) for name in fields] == [0, 1, 0, 0, 4]
    assert record["peak_equity"] == pytest.approx(89_000.0 / 0.95)
    record["accepted_equity"] = 84_300.0
    rules.update_drawdown(record, NAN, LIMITS._replace(max_total_drawdown=0.5))
    assert rules.update_drawdown(record, NAN, LIMITS._replace(max_total_drawdown=0.5)) == rules.HALTED
    assert record["halts"] == 2


def test_a_recovered_reading_clears_the_breach() -> None:
    record = account(accepted_equity=89_000.0)
    rules.update_drawdown(record, NAN, LIMITS)
    record["accepted_equity"] = 90_000.0
    assert rules.update_drawdown(record, NAN, LIMITS) == rules.NO_EVENT
    assert record["breach_readings"] == 0


def test_release_clears_the_counters_and_never_raises_the_peak() -> None:
    record = account(halted=1, breach_readings=3, release_readings=2, accepted_equity=99_000.0)
    rules.release(record, LIMITS)
    assert [int(record[name]) for name in ("halted", "breach_readings", "release_readings")] == [0, 0, 0]
    assert record["peak_equity"] == 100_000.0


def test_three_confirmations_take_three_readings() -> None:
    limits = LIMITS._replace(confirmation_readings=3)
    record = account(accepted_equity=89_000.0)
    events = [rules.update_drawdown(record, NAN, limits) for _ in range(3)]
    assert events == [rules.FIRST_BREACH, rules.FIRST_BREACH, rules.HALTED]
    assert [rules.update_drawdown(record, 1e6, limits) for _ in range(3)] == [0, 0, rules.RELEASED]


def test_the_days_loss_latches_once_and_clears_its_counter() -> None:
    record = account(equity=97_000.0)
    assert [rules.update_daily_loss(record, LIMITS) for _ in range(4)] == [False, True, False, False]
    assert (record["daily_halted"], record["daily_breach_readings"]) == (1, 4)
    record["equity"] = 98_000.0
    assert not rules.update_daily_loss(record, LIMITS)
    assert (record["daily_halted"], record["daily_breach_readings"]) == (1, 0)
    record["accepted_equity"] = 97_500.0
    rules.start_session(record)
    fields = ["previous_equity", "daily_breach_readings", "daily_halted"]
    assert [float(record[name]) for name in fields] == [97_500.0, 0.0, 0.0]


def test_an_unknown_days_loss_counts_as_one() -> None:
    record = account(equity=NAN)
    assert [rules.update_daily_loss(record, LIMITS) for _ in range(2)] == [False, True]


@pytest.mark.parametrize(("cost", "loss"), [(0.5, 0.2), (0.0, 0.0), (-1.0, 0.0), (10.0, 0.01)])
def test_a_trade_counts_its_return_on_cost(cost: float, loss: float) -> None:
    record = account()
    rules.record_trade(record, -0.1, cost, 0.0, LIMITS)
    assert record["kelly_loss"] == pytest.approx(loss)


def test_the_streak_starts_the_pause_and_begins_again() -> None:
    record = account()
    assert [rules.record_trade(record, -1.0, 10.0, 500.0, LIMITS) for _ in range(4)] == [False, False, True, False]
    assert record["pause_until"] == 500.0 + 4.0 * 3600.0
    assert (record["loss_streak"], record["trades"], record["wins"]) == (1, 4, 0)


# ---------------------------------------------------------------- the gate

EQUITIES = ("equity", "accepted_equity", "previous_equity", "peak_equity", "total_peak")
GATE: list[tuple[dict[str, float], tuple[float, float, float], tuple[str, float, float]]] = [
    ({}, (0.0, 15.0, 0.0), ("OK", 0.0, 0.0)),
    ({"equity": -5.0}, (0.0, 15.0, 0.0), ("EQUITY_UNKNOWN", -5.0, 0.0)),
    ({"equity": 0.0}, (0.0, 15.0, 0.0), ("EQUITY_UNKNOWN", 0.0, 0.0)),
    ({"suspect_equity": 7.0}, (0.0, 15.0, 0.0), ("EQUITY_UNKNOWN", 100_000.0, 0.0)),
    ({"suspect_equity": -1.0}, (0.0, 15.0, 0.0), ("EQUITY_UNKNOWN", 100_000.0, 0.0)),
    ({"halted": 1, "accepted_equity": 80_000.0}, (0.0, 15.0, 0.0), ("DRAWDOWN_HALT", 0.2, 0.05)),
    ({"accepted_equity": 80_000.0}, (0.0, 15.0, 0.0), ("DRAWDOWN_BREACH", 0.2, 0.1)),
    ({"halted": 2, "accepted_equity": 80_000.0}, (0.0, 15.0, 0.0), ("TOTAL_DRAWDOWN", 0.2, 0.15)),
    ({"halted": 3, "accepted_equity": 89_000.0}, (0.0, 15.0, 0.0), ("SECOND_HALT", 0.11, 0.1)),
    ({"total_peak": 125_000.0}, (0.0, 15.0, 0.0), ("TOTAL_DRAWDOWN", 0.2, 0.15)),
    ({"equity": 95_000.0}, (0.0, 15.0, 0.0), ("DAILY_LOSS_LIMIT", 0.05, 0.02)),
    ({"daily_halted": 1}, (0.0, 15.0, 0.0), ("DAILY_LOSS_LIMIT", 0.0, 0.02)),
    ({"pause_until": 9_000.0}, (1_800.0, 15.0, 0.0), ("LOSS_STREAK_PAUSE", 2.0, 0.0)),
    ({"pause_until": 9_000.0}, (9_000.0, 15.0, 0.0), ("OK", 0.0, 0.0)),
    ({"pause_until": 9_000.0}, (8_999.0, 15.0, 0.0), ("LOSS_STREAK_PAUSE", 1.0 / 3_600.0, 0.0)),
    ({}, (0.0, 0.5, 0.0), ("OK", 0.0, 0.0)),
    ({}, (0.0, 0.0, 1.0), ("VIX_UNKNOWN", 1.0, 3.0)),
    ({}, (0.0, -1.0, 1.0), ("VIX_UNKNOWN", 1.0, 3.0)),
    ({}, (0.0, NAN, INF), ("VIX_UNKNOWN", INF, 3.0)),
    ({}, (0.0, 15.0, 3.0), ("OK", 0.0, 0.0)),
    ({}, (0.0, 15.0, 3.01), ("VIX_UNKNOWN", 3.01, 3.0)),
    ({}, (NAN, 15.0, 0.0), ("LOSS_STREAK_PAUSE", NAN, 0.0)),
    (dict.fromkeys(EQUITIES, 1.0), (0.0, 15.0, 0.0), ("OK", 0.0, 0.0)),
    (dict.fromkeys(EQUITIES, 0.5), (0.0, 15.0, 0.0), ("OK", 0.0, 0.0)),
]


@pytest.mark.parametrize(("fields", "market", "expected"), GATE)
def test_gate(fields: dict[str, float], market: tuple[float, float, float], expected: tuple[str, float, float]) -> None:
    assert named(rules.check_account(account(**fields), *market, LIMITS)) == pytest.approx(expected, nan_ok=True)


# ---------------------------------------------------------------- the order rules


def check(
    quantity: float = 10.0,
    price: float = 100.0,
    measures: Measures = EMPTY,
    vix: float = 15.0,
    cash: float = 100_000.0,
    data: RuleVerdict = FINE,
    limits: Limits = LIMITS,
) -> tuple[str, float, float]:
    return named(rules.check_entry(quantity, price, 100_000.0, cash, vix, measures, data, limits))


BOOKED = EMPTY._replace(position=1_000.0, sector=2_000.0, gross=3_000.0, reserved=400.0, positions=3)
ORDERS = [
    (check(), ("OK", 0.01, 0.05)),
    (check(measures=BOOKED), ("OK", 0.01, 0.05)),
    (check(-1.0), ("INVALID_ORDER", -1.0, 0.0)),
    (check(NAN), ("INVALID_ORDER", NAN, 0.0)),
    (check(1e300), ("INVALID_ORDER", 1e300, 0.0)),
    (check(INF), ("INVALID_ORDER", INF, 0.0)),
    (check(10.0, 0.0), ("INVALID_ORDER", 10.0, 0.0)),
    (check(10.0, -1.0), ("INVALID_ORDER", 10.0, 0.0)),
    (check(10.0, 1e300), ("INVALID_ORDER", 10.0, 0.0)),
    (check(1e-297, 9e299), ("OK", 900.0 / 1e5, 0.05)),
    (check(9e299, 1e-297), ("OK", 900.0 / 1e5, 0.05)),
    (check(500.0, 0.5), ("OK", 0.0025, 0.05)),
    (check(0.5, 500.0), ("OK", 0.0025, 0.05)),
    (check(0.0), ("BELOW_MINIMUM", 0.0, 100.0)),
    (check(0.99), ("BELOW_MINIMUM", 99.0, 100.0)),
    (check(0.99996), ("OK", 0.99996e-3, 0.05)),
    (check(measures=EMPTY._replace(positions=9)), ("OK", 0.01, 0.05)),
    (check(measures=EMPTY._replace(positions=10)), ("MAX_POSITIONS", 11.0, 10.0)),
    (check(measures=EMPTY._replace(positions=10, is_new=False)), ("OK", 0.01, 0.05)),
    (check(data=RuleVerdict(rules.PRICE_UNKNOWN, NAN, 0.0)), ("PRICE_UNKNOWN", NAN, 0.0)),
    (check(measures=EMPTY._replace(correlation=NAN)), ("CORRELATION_UNKNOWN", NAN, 0.8)),
    (check(measures=EMPTY._replace(correlation=1.1)), ("CORRELATION_UNKNOWN", 1.1, 0.8)),
    (check(measures=EMPTY._replace(correlation=1.0 + 5e-10)), ("CORRELATION_LIMIT", 1.0 + 5e-10, 0.8)),
    (check(measures=EMPTY._replace(correlation=0.8)), ("OK", 0.01, 0.05)),
    (check(measures=EMPTY._replace(correlation=0.81)), ("CORRELATION_LIMIT", 0.81, 0.8)),
    (check(50.0, measures=BOOKED), ("POSITION_LIMIT", 0.06, 0.05)),
    (check(25.0, measures=BOOKED, vix=50.0), ("VIX_LIMIT", 0.035, 0.025)),
    (check(measures=BOOKED._replace(sector=29_500.0)), ("SECTOR_LIMIT", 0.305, 0.3)),
    (check(measures=BOOKED._replace(gross=79_500.0)), ("EXPOSURE_LIMIT", 0.805, 0.8)),
    (check(measures=BOOKED, cash=1_399.0), ("INSUFFICIENT_CASH", 1_400.0, 1_399.0)),
    (check(measures=BOOKED, cash=1_400.0), ("OK", 0.01, 0.05)),
    (check(measures=BOOKED, cash=1_399.996), ("OK", 0.01, 0.05)),
    (check(0.0, measures=BOOKED._replace(position=4_950.0)), ("POSITION_LIMIT", 0.0505, 0.05)),
]


@pytest.mark.parametrize(("verdict", "expected"), ORDERS)
def test_order_rule(verdict: tuple[str, float, float], expected: tuple[str, float, float]) -> None:
    assert verdict == pytest.approx(expected, nan_ok=True)


STOCKS = {
    "A": Stock(mix={1: 1.0}, sector="x"),
    "B": Stock(mix={1: 0.9, 2: math.sqrt(0.19)}, sector="x"),
    "C": Stock(mix={3: 1.0}, sector="y"),
    "D": Stock(mix={1: 0.5, 4: math.sqrt(0.75)}, sector="y"),
    "E": Stock(mix={}, sector="z"),
    "F": Stock(mix={5: 1.0}, sector="z"),
}


def measured(candidate: str, *held: str) -> tuple[float, str]:
    view = story_view(STOCKS)
    slots = open_books(1, 5, 0, 0, 0.0).slots[0]
    for slot, name in zip(slots[1:], held, strict=False):
        slot["ticker"], slot["value"], slot["pending"], slot["limit_price"] = view.columns[name], 100.0, 2.0, 10.0
    found = rules.measure_entry(slots, view.market, view.t, view.columns[candidate], LIMITS)
    assert (found.gross, found.reserved, found.positions) == (120.0 * len(held), 20.0 * len(held), len(held))
    assert found.is_new == (candidate not in held)
    assert found.position == (0.0 if found.is_new else 120.0)
    assert found.sector == 120.0 * sum(STOCKS[name].sector == STOCKS[candidate].sector for name in held)
    assert (found.correlated == -1) == (found.correlation == -1.0)
    return round(found.correlation, 3), view.tickers[found.correlated] if found.correlated >= 0 else ""


@pytest.mark.parametrize(
    ("candidate", "held", "expected"),
    [
        ("B", (), (-1.0, "")),
        ("B", ("B",), (-1.0, "")),
        ("B", ("A",), (0.9, "A")),
        ("B", ("A", "C"), (0.9, "A")),
        ("B", ("C", "A"), (0.9, "A")),
        ("B", ("D", "A", "C"), (0.9, "A")),
        ("B", ("C",), (0.0, "C")),
        ("C", ("A",), (0.0, "A")),
    ],
)
def test_the_largest_correlation_counts(candidate: str, held: tuple[str, ...], expected: tuple[float, str]) -> None:
    assert measured(candidate, *held) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("candidate", "held", "expected"),
    [
        ("C", ("E",), (0.3, "E")),  # a holding that does not move counts as usual
        ("C", ("E", "A"), (0.3, "E")),
        ("B", ("E", "A"), (0.9, "A")),  # and hides nothing that can be measured
        ("B", ("A", "E"), (0.9, "A")),
        ("F", ("E",), (1.0, "E")),  # in the candidate's own sector it counts as moving along
        ("F", ("A", "E"), (1.0, "E")),
    ],
)
def test_a_holding_that_cannot_be_measured_counts_as_usual_or_as_its_sector(
    candidate: str, held: tuple[str, ...], expected: tuple[float, str]
) -> None:
    assert measured(candidate, *held) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("held", [("A",), ("F",), ("A", "F")])
def test_a_candidate_that_cannot_be_measured_is_unknown(held: tuple[str, ...]) -> None:
    correlation, _ = measured("E", *held)
    assert math.isnan(correlation)


def test_correlation_is_that_of_the_textbook() -> None:
    view = story_view(STOCKS)
    a, d = view.columns["A"], view.columns["D"]
    returns = view.market.returns[:, -30:]
    found = rules.pair_correlation(view.market, view.t, a, d, LIMITS)
    assert found == pytest.approx(float(np.corrcoef(returns[a], returns[d])[0, 1]), abs=1e-12)
    assert math.isnan(rules.pair_correlation(view.market, view.t, a, view.columns["E"], LIMITS))


@pytest.mark.parametrize(
    ("price", "volatility", "expected"),
    [
        (100.0, 0.01, ("OK", 100.0, 0.0)),
        (0.5, 0.01, ("OK", 0.5, 0.0)),
        (0.0, 0.01, ("PRICE_UNKNOWN", 0.0, 0.0)),
        (-1.0, 0.01, ("PRICE_UNKNOWN", -1.0, 0.0)),
        (NAN, 0.01, ("PRICE_UNKNOWN", NAN, 0.0)),
        (100.0, 0.0, ("VOLATILITY_UNKNOWN", 0.0, 0.0)),
        (100.0, -0.5, ("VOLATILITY_UNKNOWN", -0.5, 0.0)),
        (100.0, NAN, ("VOLATILITY_UNKNOWN", NAN, 0.0)),
        (100.0, 2.0, ("OK", 100.0, 0.0)),
    ],
)
def test_data_of_a_ticker(price: float, volatility: float, expected: tuple[str, float, float]) -> None:
    view = story_view(STOCKS)
    bars = view.market.bars.copy()
    bars[0, view.t, CLOSE], bars[0, view.t, VOLATILITY] = price, volatility
    verdict = rules.market_verdict(view.market._replace(bars=bars), view.t, 0)
    assert named(verdict) == pytest.approx(expected, nan_ok=True)


def test_a_short_slot_counts_with_its_size() -> None:
    slot = open_books(1, 1, 0, 0, 0.0).slots[0][0]
    slot["value"], slot["pending"], slot["limit_price"] = -500.0, 3.0, 10.0
    assert rules.slot_value(slot) == 530.0


# ---------------------------------------------------------------- the sizes


def test_sums_that_are_slightly_damaged_give_no_edge() -> None:
    assert kelly_fraction(account(kelly_gain=-5.0), LIMITS) == 0.0
    assert kelly_fraction(account(kelly_loss=-2.0), LIMITS) == 0.0
    assert entry_dollars(account(), 0.5, 1.0, 0.02, EMPTY, LIMITS) > 0.0
    assert entry_dollars(account(), 1e5, 1.0, 2.0, EMPTY, LIMITS) > 0.0


# ---------------------------------------------------------------- the manager's values


def denial(quantity: float, ticker: str = "T00") -> Denial:
    answer = desk().approve(buy(ticker, quantity))
    assert isinstance(answer, Denial)
    return answer


@pytest.mark.parametrize("quantity", [-0.5, -1.0, INF, NAN])
def test_an_impossible_quantity_is_named(quantity: float) -> None:
    words = f"INVALID_ORDER: buy {quantity:g} T00: side must be buy or sell, quantity positive and finite"
    found = denial(quantity)
    assert (found.code, found.message, found.limit, found.largest_quantity) == (
        DenialCode.INVALID_ORDER,
        words,
        0.0,
        0.0,
    )


def test_a_halt_denies_with_its_code() -> None:
    risk = desk()
    risk.halt("stop", "ann")
    found = risk.approve(buy())
    assert isinstance(found, Denial)
    assert found.code is DenialCode.MANUAL_HALT
    assert found.message.startswith("MANUAL_HALT: stop")


def test_a_reduction_may_be_larger_by_noise_only() -> None:
    risk = desk(96_000.0, [holding("T00", 4_000.0)])
    assert risk.validate_order("T00", "sell", 40.0 + 1e-9, NAN)[0]
    assert not risk.validate_order("T00", "sell", 40.0 + 2e-9, NAN)[0]
    assert isinstance(risk.approve(sell("T00", 40.0)), ApprovedOrder)


def test_the_first_attempt_is_number_zero() -> None:
    assert order_id(buy()) == "tp-20240603-T00-buy-entry-0"
    assert order_id(sell(), 2) == "tp-20240603-T00-sell-flatten-2"


def test_explain_of_a_sell_has_no_checks() -> None:
    told = desk().explain("T00", "sell", 1.0, 100.0)
    assert (told.checks, told.largest_quantity, told.binding) == ((), 0.0, DenialCode.SHORT_NOT_ALLOWED)


def test_approved_shorts_count_as_pending() -> None:
    risk = desk(config=RiskConfig(allow_short=True))
    short = sell("T00", 30.0)._replace(limit_price=100.0)
    assert isinstance(risk.approve(short), ApprovedOrder)
    assert not risk.validate_order("T00", "sell", 21.0, 100.0)[0]
    assert risk.validate_order("T00", "sell", 20.0, 100.0)[0]
    assert isinstance(risk.approve(short), ApprovedOrder)  # replaces the first
    assert risk.validate_order("T00", "sell", 20.0, 100.0)[0]


def test_the_smallest_order_is_exact_to_half_a_cent() -> None:
    assert check(1.0, 99.995)[0] == "OK"
    assert check(1.0, math.nextafter(99.995, 0.0))[0] == "BELOW_MINIMUM"


def test_losses_of_nothing_give_no_edge() -> None:
    assert kelly_fraction(account(kelly_loss=-47.0 * 0.03), LIMITS) == 0.0


def test_explain_says_that_nothing_passes_whatever_closes_the_door() -> None:
    risk = desk()
    risk.quarantine({}, "cash differs")
    assert risk.explain("T00", "buy", 1.0, 100.0).largest_quantity == 0.0
    assert desk().explain("T00", "abc", 1.0, 100.0).checks == ()


def test_shares_promised_beyond_those_held_leave_none() -> None:
    risk = desk(96_000.0, [holding("T00", 4_000.0)])
    assert isinstance(risk.approve(sell("T00", 40.0)), ApprovedOrder)
    risk.show_portfolio(Portfolio(99_000.0, (holding("T00", 1_000.0),)))
    assert risk.explain("T00", "sell", 1.0, 100.0).largest_quantity == 0.0


def test_counts_that_are_past_their_limit_act_as_well() -> None:
    """A restart with stricter limits may find more readings or losses than it asks for."""
    record = account(accepted_equity=89_000.0, breach_readings=5)
    assert rules.update_drawdown(record, NAN, LIMITS) == rules.HALTED
    record = account(loss_streak=5)
    assert rules.record_trade(record, -1.0, 10.0, 0.0, LIMITS)
    record = account(equity=97_000.0, daily_breach_readings=5)
    assert rules.update_daily_loss(record, LIMITS)
    record = account(halted=1, release_readings=5)
    assert rules.update_drawdown(record, NAN, LIMITS) == rules.RELEASED


def test_a_trade_of_unknown_profit_extends_no_streak() -> None:
    record = account()
    rules.record_trade(record, NAN, 10.0, 0.0, LIMITS)
    assert record["loss_streak"] == 0


def test_a_return_to_the_very_peak_raises_it_by_nothing_and_is_believed() -> None:
    assert rules.accept_equity(account(accepted_equity=89_000.0), 100_000.0, LIMITS)
    assert rules.accept_equity(account(accepted_equity=10.0, suspect_equity=0.9), 0.9, LIMITS)


def test_a_store_is_named_when_it_is_passed() -> None:
    with pytest.raises(TypeError):
        RiskManager(None, StoryStore())  # type: ignore[call-arg]  # the point of the test


AT_THE_LAST_HALF_CENT = [
    ("cash", check(cash=1_000.0 - 0.005)),
    ("sector", check(measures=EMPTY._replace(sector=30_000.0 + 0.005 - 1_000.0))),
    ("exposure", check(measures=EMPTY._replace(gross=80_000.0 + 0.005 - 1_000.0))),
    ("position", check(measures=EMPTY._replace(position=5_000.0 + 0.005 - 1_000.0))),
]


@pytest.mark.parametrize(("cap", "verdict"), AT_THE_LAST_HALF_CENT)
def test_half_a_cent_is_noise_to_its_last_bit(cap: str, verdict: tuple[str, float, float]) -> None:
    assert verdict[0] == "OK", cap


def test_a_gain_of_nothing_gives_no_edge() -> None:
    prior = LIMITS.kelly_prior_trades * LIMITS.kelly_prior_win_rate * LIMITS.kelly_prior_payoff * 0.03
    assert kelly_fraction(account(kelly_gain=-prior), LIMITS) == 0.0


def test_a_manager_that_was_shown_nothing_holds_nothing() -> None:
    risk = RiskManager()
    assert (risk.account["cash"], risk.account["equity"], risk.account["peak_equity"]) == (0.0, 0.0, 0.0)


def test_an_exchange_clock_that_is_unknown_is_remembered_as_none() -> None:
    risk = desk()
    risk.show_market(story_view(STOCKS)._replace(clock=NAN))
    assert risk.memory().clock == 0.0
    assert not risk.can_trade()[0]


def test_an_order_that_was_sent_is_denied_with_its_size() -> None:
    risk = desk()
    order = risk.approve(buy())
    assert isinstance(order, ApprovedOrder)
    risk.consume(order)
    found = risk.approve(buy())
    assert isinstance(found, Denial)
    assert (found.observed, found.limit) == (10.0, 0.0)


def test_explain_of_buying_back_half_a_share_is_a_reduction() -> None:
    told = desk(100_050.0, [Holding("T00", -0.5, 100.0)]).explain("T00", "buy", 0.5, 100.0)
    assert (told.allowed, told.checks, told.largest_quantity) == (True, (), 0.5)
