"""Market stories: what is held and ordered -> the verdict; at the limit, and one cent or share beside it.

Each rule's table holds both sides, so a rule that passes everything or refuses everything turns it red.
`test_a_broken_rule_fails_its_story` breaks every rule in turn and sees that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.risk_world import DAY_ONE, STOCKS, Stock, code_of, desk, holding, loosened, story_panel, story_view
from trading_platform.core.risk.caps import RuleVerdict
from trading_platform.core.risk.denial_codes import DENIAL_CODES, DenialCode
from trading_platform.core.risk.messages import describe
from trading_platform.core.types import Holding, Portfolio
from trading_platform.core.view import SESSION_SECONDS, MarketView

Story = tuple[str, Callable[[], tuple[bool, str]], str]


def ask(risk: RiskManager, ticker: str, quantity: float, price: float = 100.0, side: str = "buy") -> tuple[bool, str]:
    return risk.validate_order(ticker, side, quantity, price)


# Equity is 100,000 in each: position cap 5,000, sector cap 30,000, exposure cap 80,000, ten positions.


def position(quantity: float, price: float = 100.0, held: float = 0.0, pending: float = 0.0) -> tuple[bool, str]:
    book = [Holding("T00", held / 100.0, 100.0, pending / 100.0, 100.0)] if held or pending else []
    return ask(desk(100_000.0 - held, book), "T00", quantity, price)


POSITION: list[Story] = [
    ("at 5.00 % exactly", lambda: position(50.0), "OK"),
    ("one share more", lambda: position(51.0), "POSITION_LIMIT"),
    ("one cent a share more", lambda: position(50.0, 100.01), "POSITION_LIMIT"),
    ("one cent in all more", lambda: position(50.0001, 100.0), "POSITION_LIMIT"),
    ("a third of a cent is noise", lambda: position(50.00003, 100.0), "OK"),
    ("the position held counts, at the limit", lambda: position(20.0, held=3000.0), "OK"),
    ("the position held counts, one share more", lambda: position(21.0, held=3000.0), "POSITION_LIMIT"),
    ("its pending entry counts, at the limit", lambda: position(20.0, pending=3000.0), "OK"),
    ("its pending entry counts, one share more", lambda: position(21.0, pending=3000.0), "POSITION_LIMIT"),
    ("the worst price counts, not the last", lambda: position(49.0, 102.0), "OK"),
    ("the worst price counts, too much", lambda: position(50.0, 102.0), "POSITION_LIMIT"),
]


def vix(level: float, quantity: float) -> tuple[bool, str]:
    return ask(desk(vix=level), "T00", quantity)


VIX: list[Story] = [
    ("25.00 shrinks nothing", lambda: vix(25.0, 50.0), "OK"),
    ("50 halves the cap to 2,500, at it", lambda: vix(50.0, 25.0), "OK"),
    ("50 halves the cap to 2,500, one share more", lambda: vix(50.0, 26.0), "VIX_LIMIT"),
    ("a hair above 25", lambda: vix(25.01, 50.0), "VIX_LIMIT"),
    ("above the plain cap the plain cap speaks", lambda: vix(50.0, 51.0), "POSITION_LIMIT"),
]


def sector(held: float, quantity: float, pending: float = 0.0, name: str = "S0") -> tuple[bool, str]:
    stocks = {key: replace(stock, sector=name if key <= "T06" else "S1") for key, stock in STOCKS.items()}
    each = held / 6.0
    book = [Holding(f"T0{i}", each / 100.0, 100.0, pending / 600.0, 100.0) for i in range(1, 7)]
    return ask(desk(100_000.0 - held, book, stocks), "T00", quantity)


SECTOR: list[Story] = [
    ("27,000 held, 3,000 more is 30.00 %", lambda: sector(27_000.0, 30.0), "OK"),
    ("one share more", lambda: sector(27_000.0, 31.0), "SECTOR_LIMIT"),
    ("one dollar held more", lambda: sector(27_000.6, 30.0), "SECTOR_LIMIT"),
    ("pending entries count, at the limit", lambda: sector(18_000.0, 30.0, pending=9_000.0), "OK"),
    ("pending entries count, beyond", lambda: sector(18_000.0, 31.0, pending=9_000.0), "SECTOR_LIMIT"),
    ("unknown sectors share one bucket, at the limit", lambda: sector(27_000.0, 30.0, name="Unknown"), "OK"),
    ("unknown sectors share one bucket, beyond", lambda: sector(27_000.0, 31.0, name="Unknown"), "SECTOR_LIMIT"),
]


def exposure(held: float, quantity: float, pending: float = 0.0) -> tuple[bool, str]:
    book = [Holding(f"T{i:02d}", held / 900.0, 100.0, pending / 900.0, 100.0) for i in range(1, 10)]
    return ask(desk(100_000.0 - held, book, config=RiskConfig(max_sector_pct=100.0)), "T00", quantity)


EXPOSURE: list[Story] = [
    ("77,400 held, 2,600 more is 80.00 %", lambda: exposure(77_400.0, 26.0), "OK"),
    ("one share more", lambda: exposure(77_400.0, 27.0), "EXPOSURE_LIMIT"),
    ("nine cents held more", lambda: exposure(77_400.09, 26.0), "EXPOSURE_LIMIT"),
    ("pending entries count, at the limit", lambda: exposure(40_500.0, 26.0, pending=36_900.0), "OK"),
    ("pending entries count, beyond", lambda: exposure(40_500.0, 27.0, pending=36_900.0), "EXPOSURE_LIMIT"),
]


def money(cash: float, quantity: float, pending: float = 0.0) -> tuple[bool, str]:
    """Ask with 60,000 held and 100,000 of equity at the broker: the rest is not settled yet and buys nothing."""
    book = [holding(f"T0{i}", 7_500.0) for i in range(1, 9)]
    book += [Holding("T09", 0.0, 100.0, pending / 100.0, 100.0)]
    risk = desk(cash, book, config=RiskConfig(max_sector_pct=100.0))
    for _ in range(2):  # the second reading confirms what the first one jumped
        risk.read_equity(100_000.0, math.nan, DAY_ONE)
    return ask(risk, "T00", quantity)


CASH: list[Story] = [
    ("3,000 in cash buys 3,000", lambda: money(3_000.0, 30.0), "OK"),
    ("a cent short", lambda: money(2_999.99, 30.0), "INSUFFICIENT_CASH"),
    ("cash promised to pending entries is gone, at it", lambda: money(5_000.0, 30.0, pending=2_000.0), "OK"),
    ("cash promised, a cent short", lambda: money(4_999.99, 30.0, pending=2_000.0), "INSUFFICIENT_CASH"),
]


def count(held: int, pending: int = 0, ticker: str = "T11", config: RiskConfig | None = None) -> tuple[bool, str]:
    book = [holding(f"T{i:02d}", 1_000.0) for i in range(held)]
    book += [Holding(f"T{i:02d}", 0.0, 100.0, 10.0, 100.0) for i in range(held, held + pending)]
    return ask(desk(100_000.0 - 1_000.0 * held, book, config=config), ticker, 5.0)


COUNT: list[Story] = [
    ("nine held, the tenth enters", lambda: count(9), "OK"),
    ("ten held, the eleventh does not", lambda: count(10), "MAX_POSITIONS"),
    ("pending entries count", lambda: count(4, 6), "MAX_POSITIONS"),
    ("pending entries count, one less", lambda: count(4, 5), "OK"),
    ("adding to one of ten is no new position", lambda: count(10, ticker="T00"), "OK"),
    ("an account over the limit adds nothing", lambda: count(11, ticker="T00"), "MAX_POSITIONS"),
]

PAIR = {
    "A": Stock(mix={1: 1.0}, sector="a"),
    "B": Stock(mix={1: 0.9, 2: math.sqrt(1.0 - 0.81)}, sector="b"),  # 0.9 with A
    "C": Stock(mix={3: 1.0}, sector="c"),  # 0 with both
    "D": Stock(mix={1: -1.0}, sector="d"),  # -1 with A
    "E": Stock(mix={}, sector="e"),  # does not move
}


def measured(first: str, second: str) -> float:
    view = story_view(PAIR)
    a, b = (view.market.returns[view.columns[name], -30:] for name in (first, second))
    return float((a - a.mean()) @ (b - b.mean()) / math.sqrt(a.var() * b.var()) / 30.0)


def correlation(limit: float, ticker: str = "B", held: str = "A", pending: bool = False) -> tuple[bool, str]:
    book = [Holding(held, 0.0, 100.0, 10.0, 100.0) if pending else holding(held, 1_000.0)]
    return ask(desk(99_000.0, book, PAIR, config=RiskConfig(max_correlation=limit)), ticker, 10.0)


CORRELATION: list[Story] = [
    ("the limit is the largest allowed", lambda: correlation(measured("A", "B") + 1e-12), "OK"),
    ("a hair above the limit", lambda: correlation(measured("A", "B") - 1e-11), "CORRELATION_LIMIT"),
    ("0.9 against the default 0.8", lambda: correlation(0.8), "CORRELATION_LIMIT"),
    ("a pending entry counts", lambda: correlation(0.8, pending=True), "CORRELATION_LIMIT"),
    ("uncorrelated", lambda: correlation(0.8, "C"), "OK"),
    ("opposite", lambda: correlation(0.8, "D"), "OK"),
    ("a position's own ticker is not another", lambda: correlation(0.8, "A"), "OK"),
    ("a holding that does not move counts as usual", lambda: correlation(0.31, "C", held="E"), "OK"),
    ("and that may be too much", lambda: correlation(0.29, "C", held="E"), "CORRELATION_LIMIT"),
]

SMALL: list[Story] = [
    ("100 dollars exactly", lambda: ask(desk(), "T00", 1.0), "OK"),
    ("a cent less", lambda: ask(desk(), "T00", 1.0, 99.99), "BELOW_MINIMUM"),
    ("nothing", lambda: ask(desk(), "T00", 0.0), "BELOW_MINIMUM"),
    ("too small for a full book is a full book", lambda: count(10), "MAX_POSITIONS"),
]


def sessions_old(age: float, config: RiskConfig | None = None) -> tuple[bool, str]:
    view = story_view(STOCKS)
    risk = desk(config=config)
    risk.show_market(view._replace(clock=view.clock + age * SESSION_SECONDS))
    return ask(risk, "T00", 10.0)


def vix_old(age: int, bars_age: float = 0.0) -> tuple[bool, str]:
    path = np.full(61, 15.0)
    path[61 - age :] = np.nan
    risk = desk(vix=path.tolist())
    view = story_view(STOCKS, path.tolist())
    risk.show_market(view._replace(clock=view.clock + bars_age * SESSION_SECONDS))
    return ask(risk, "T00", 10.0)


DATA: list[Story] = [
    ("VIX three sessions old", lambda: vix_old(3), "OK"),
    ("VIX four sessions old", lambda: vix_old(4), "VIX_UNKNOWN"),
    ("VIX three sessions old, a session later", lambda: vix_old(3, 0.5), "VIX_UNKNOWN"),
    ("no VIX ever", lambda: ask(desk(vix=float("nan")), "T00", 10.0), "VIX_UNKNOWN"),
    ("a VIX of 0 is none", lambda: ask(desk(vix=0.0), "T00", 10.0), "VIX_UNKNOWN"),
    ("bars of the close before", lambda: sessions_old(1.0), "OK"),
    ("bars older than a session", lambda: sessions_old(1.01), "PRICE_UNKNOWN"),
    ("bars of today only, new", lambda: sessions_old(0.0, RiskConfig(max_price_age_sessions=0)), "OK"),
    ("bars of today only, old", lambda: sessions_old(0.1, RiskConfig(max_price_age_sessions=0)), "PRICE_UNKNOWN"),
    ("bars of the future", lambda: sessions_old(-0.1), "PRICE_UNKNOWN"),
    ("a ticker that is not in the market", lambda: ask(desk(), "NONE", 10.0), "PRICE_UNKNOWN"),
]


def missing(bars: int, last: bool = False) -> tuple[bool, str]:
    panel = story_panel(STOCKS)
    for values in (panel.open, panel.high, panel.low, panel.close):
        values[-1 if last else slice(0, bars), 0] = np.nan
    risk = desk()
    risk.show_market(MarketView.from_panel(panel))
    return ask(risk, "T00", 10.0)


HISTORY: list[Story] = [
    ("no bar in the last session", lambda: missing(0, last=True), "PRICE_UNKNOWN"),
    ("21 closes make 20 returns", lambda: missing(40), "OK"),
    ("20 closes do not", lambda: missing(41), "VOLATILITY_UNKNOWN"),
]


def short_window(bars: int) -> tuple[bool, str]:
    panel = story_panel(STOCKS)
    for values in (panel.open, panel.high, panel.low, panel.close):
        values[:bars, 0] = np.nan
    risk = desk(99_000.0, [holding("T01", 1_000.0)])
    risk.show_market(MarketView.from_panel(panel))
    return ask(risk, "T00", 10.0)


WINDOWS: list[Story] = [
    ("31 closes make the window of 30 returns", lambda: short_window(30), "OK"),
    ("30 closes do not", lambda: short_window(31), "CORRELATION_UNKNOWN"),
]

ORDERS: list[Story] = [
    ("a buy", lambda: ask(desk(), "T00", 10.0), "OK"),
    ("whole numbers", lambda: desk().validate_order("T00", "buy", 10, 100), "OK"),
    ("a side that is none", lambda: ask(desk(), "T00", 10.0, side="hold"), "INVALID_ORDER"),
    ("NaN shares", lambda: ask(desk(), "T00", math.nan), "INVALID_ORDER"),
    ("negative shares", lambda: ask(desk(), "T00", -1.0), "INVALID_ORDER"),
    ("endless shares", lambda: ask(desk(), "T00", math.inf), "INVALID_ORDER"),
    ("absurdly many shares", lambda: ask(desk(), "T00", 1e200), "POSITION_LIMIT"),
    ("a price of NaN", lambda: ask(desk(), "T00", 10.0, math.nan), "INVALID_ORDER"),
    ("a price of 0", lambda: ask(desk(), "T00", 10.0, 0.0), "INVALID_ORDER"),
    ("a negative price", lambda: ask(desk(), "T00", 10.0, -100.0), "INVALID_ORDER"),
    ("an endless price", lambda: ask(desk(), "T00", 10.0, math.inf), "INVALID_ORDER"),
    ("a price that is nearly nothing", lambda: ask(desk(), "T00", 10.0, 5e-324), "PRICE_OFF_MARKET"),
    ("selling nothing", lambda: ask(desk(), "T00", 0.0, side="sell"), "INVALID_ORDER"),
]

RULES: dict[str, list[Story]] = {
    "position": POSITION,
    "vix": VIX,
    "sector": SECTOR,
    "exposure": EXPOSURE,
    "cash": CASH,
    "count": COUNT,
    "correlation": CORRELATION,
    "minimum": SMALL,
    "data": DATA,
    "history": HISTORY,
    "windows": WINDOWS,
    "orders": ORDERS,
}


STORIES = [
    pytest.param(answer, expected, id=f"{rule}: {title}")
    for rule, table in RULES.items()
    for title, answer, expected in table
]


@pytest.mark.parametrize(("answer", "expected"), STORIES)
def test_story_ends_with_its_verdict(answer: Callable[[], tuple[bool, str]], expected: str) -> None:
    assert code_of(answer()) == expected


# ---------------------------------------------------------------- negative controls

LOOSE: dict[str, tuple[RiskConfig, str]] = {
    # each config switches one rule off; the story named must then have another end
    "position": (RiskConfig(max_position_pct=30.0), "one share more"),
    "vix": (RiskConfig(vix_threshold=200.0), "50 halves the cap to 2,500, one share more"),
    "sector": (RiskConfig(max_sector_pct=80.0), "one share more"),
    "exposure": (RiskConfig(max_exposure_pct=100.0, max_sector_pct=100.0), "one share more"),
    "count": (RiskConfig(max_positions=100), "ten held, the eleventh does not"),
    "correlation": (RiskConfig(max_correlation=1.0), "0.9 against the default 0.8"),
    "minimum": (RiskConfig(min_order_dollars=1.0), "a cent less"),
    "data": (RiskConfig(max_vix_age_sessions=20), "VIX four sessions old"),
}


@pytest.mark.parametrize("rule", LOOSE)
def test_a_broken_rule_fails_its_story(rule: str) -> None:
    loose, title = LOOSE[rule]
    answer, expected = next((answer, end) for name, answer, end in RULES[rule] if name == title)
    assert code_of(answer()) == expected
    with loosened(loose):
        assert code_of(answer()) != expected


def test_messages_hold_the_numbers_that_decided() -> None:
    assert position(51.0)[1] == "POSITION_LIMIT: T00 position 5.10% > 5.00% of equity"
    assert vix(50.0, 26.0)[1] == "VIX_LIMIT: T00 position 2.60% > 2.50% of equity"
    assert sector(27_000.0, 31.0)[1] == "SECTOR_LIMIT: T00 sector 30.10% > 30.00% of equity"
    assert exposure(77_400.0, 27.0)[1] == "EXPOSURE_LIMIT: T00 exposure 80.10% > 80.00% of equity"
    assert money(2_999.99, 30.0)[1] == "INSUFFICIENT_CASH: T00 needs $3,000.00 > $2,999.99 in cash"
    assert count(10)[1] == "MAX_POSITIONS: T11 11 positions > 10"
    assert correlation(0.8)[1] == "CORRELATION_LIMIT: B~A 0.90 > 0.80 (30 sessions)"
    assert correlation(0.29, "C", held="E")[1] == "CORRELATION_LIMIT: C~E 0.30 > 0.29 (30 sessions)"
    unknown = RuleVerdict(DENIAL_CODES.index(DenialCode.CORRELATION_UNKNOWN), math.nan, 0.8)
    words = "CORRELATION_UNKNOWN: C~E fewer than 30 moving returns in common"
    assert describe(unknown, desk().limits, "C", "E") == words
    assert ask(desk(), "T00", 1.0, 99.99)[1] == "BELOW_MINIMUM: T00 $99.99 < $100.00"
    assert vix_old(4)[1] == "VIX_UNKNOWN: VIX is unknown or 4 sessions old > 3"
    assert sessions_old(2.0)[1] == "PRICE_UNKNOWN: the newest bars are 2.0 sessions old > 1"


def test_equity_of_nothing_refuses_new_risk() -> None:
    risk = desk(cash=0.0)
    assert code_of(ask(risk, "T00", 1.0)) == "EQUITY_UNKNOWN"
    risk.show_portfolio(Portfolio(100_000.0))
    assert code_of(ask(risk, "T00", 1.0)) == "OK"
