"""What each strategy says on small markets: date by date, ticker by ticker, also at and beside each threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.kernel_world import random_panel
from trading_platform.core.indicators import lag
from trading_platform.core.types import Floats, MarketPanel, StrategySignals
from trading_platform.strategies.base import Strategy, graded, prepare_signals, rising
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.low_volatility import LowVolatility
from trading_platform.strategies.mean_reversion import MeanReversion
from trading_platform.strategies.momentum import Momentum
from trading_platform.strategies.panic_reversal import PanicReversal
from trading_platform.strategies.registry import STRATEGIES, form_of, make_strategies
from trading_platform.strategies.turn_of_month import TurnOfMonth

NAN = np.nan
EVERY = [pytest.param(cls(), id=name) for name, cls in STRATEGIES.items() if form_of(name) == "entry"]


def market(close: Floats, vix: Floats | None = None, first: str = "2016-06-01") -> MarketPanel:
    """Return a panel of weekdays with these closes (T, N)."""
    n_sessions, n_tickers = close.shape
    return MarketPanel(
        sessions=np.busday_offset(first, np.arange(n_sessions), roll="forward").astype("datetime64[D]"),
        tickers=tuple(f"T{i:02d}" for i in range(n_tickers)),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.full(close.shape, 1e6),
        vix=np.full(n_sessions, 20.0) if vix is None else vix,
        benchmark=close[:, 0],
        sectors=("Energy",) * n_tickers,
        source="made up",
        data_hash="made-up",
    )


def growing(rates: list[float], n_sessions: int) -> Floats:
    return np.asarray(100.0 * (1.0 + np.array(rates)) ** np.arange(n_sessions)[:, None])


def spoken(strategy: Strategy, panel: MarketPanel) -> StrategySignals:
    return prepare_signals(panel, [strategy])[0]


def entries(signals: StrategySignals, t: int = -1) -> dict[int, float]:
    """Return column -> strength of the entries at row t."""
    return {int(i): float(signals.strength[t, i]) for i in np.flatnonzero(signals.strength[t] > 0.0)}


def exits(signals: StrategySignals, t: int = -1) -> list[int]:
    return np.flatnonzero(signals.exit[t]).tolist()


TEN_RATES = [0.0001 * (i + 1) for i in range(10)]


# ---------------------------------------------------------------- momentum


def test_momentum_enters_the_strongest_tenth_and_leaves_the_weaker_seven_tenths() -> None:
    signals = spoken(Momentum(entry_rank=0.75, base_strength=0.0), market(growing(TEN_RATES, 260)))
    assert entries(signals) == pytest.approx({7: 1 / 6, 8: 3 / 6, 9: 5 / 6}, abs=0.01)  # three places
    assert exits(signals) == [0, 1, 2, 3, 4, 5]  # rank 0.7 may stay
    assert entries(spoken(Momentum(), market(growing(TEN_RATES, 260)))) == pytest.approx({9: 0.5}, abs=0.01)


def test_momentum_says_nothing_before_a_whole_year() -> None:
    signals = spoken(Momentum(), market(growing(TEN_RATES, 260)))
    assert not signals.strength[:252].any() and not signals.exit[:252].any()
    assert list(entries(signals, 252)) == [9]


def test_momentum_wants_no_stock_that_fell_however_much_worse_the_others_were() -> None:
    assert entries(spoken(Momentum(), market(growing([-rate for rate in TEN_RATES], 260)))) == {}


def test_momentum_wants_no_stock_that_fell_even_above_its_average() -> None:
    close = growing([-rate for rate in TEN_RATES], 260)
    assert entries(spoken(Momentum(), market(close))) == {}
    close[-10:] *= 2.0  # the last month is not part of the ranking
    assert entries(spoken(Momentum(), market(close))) == {}
    close[-22:] *= 2.0  # one session before it
    assert list(entries(spoken(Momentum(), market(close)))) == [0]


def test_momentum_wants_no_stock_below_its_long_average() -> None:
    close = growing(TEN_RATES, 260)
    close[-1, 9] = 50.0
    assert entries(spoken(Momentum(), market(close))) == {}


def test_momentum_leaves_the_last_month_out_of_the_ranking() -> None:
    close = growing(TEN_RATES, 260)
    close[-21:, 0] *= 3.0
    assert list(entries(spoken(Momentum(), market(close)))) == [9]
    close[-22:, 0] = 3.0 * close[-23, 0]
    assert list(entries(spoken(Momentum(), market(close)))) == [0]


# ---------------------------------------------------------------- mean reversion


def week(changes: list[float]) -> Floats:
    """Return six closes that change by `changes` in all, in one step on the third day."""
    close = np.full((6, len(changes)), 100.0)
    close[3:] *= 1.0 + np.array(changes)
    return close


def test_mean_reversion_buys_the_worst_loser_and_sells_the_better_half() -> None:
    signals = spoken(MeanReversion(entry_rank=0.75), market(week([0.02, -0.03, -0.01, 0.01])))
    assert entries(signals) == pytest.approx({1: 0.75})  # one place; halfway between the two below
    assert exits(signals) == [0]  # ranks from the worst: 1, 0.75, 0.5, 0.25; 0.5 may stay
    assert entries(spoken(MeanReversion(entry_rank=0.5), market(week([0.02, -0.03, -0.01, 0.01])))) == pytest.approx(
        {1: 0.875, 2: 0.625}
    )


def test_mean_reversion_finds_the_worst_of_a_small_universe_too() -> None:
    assert entries(spoken(MeanReversion(), market(week([0.01, -0.02])))) == {1: 0.75}


def test_mean_reversion_finds_equal_losers_equally_strong() -> None:
    signals = spoken(MeanReversion(entry_rank=0.5), market(week([-0.02, 0.0, -0.02])))
    assert entries(signals) == {0: 0.75, 2: 0.75}


def test_mean_reversion_grades_by_how_far_the_worst_is_from_the_next() -> None:
    near, far = (entries(spoken(MeanReversion(), market(week([0.01, -0.02, last])))) for last in (-0.021, -0.09))
    assert 0.5 < near[2] < 0.55 < 0.84 < far[2] < 1.0


# ---------------------------------------------------------------- breakout


def channel(*last_closes: float) -> MarketPanel:
    """Return 56 sessions between 99 and 100 and then `last_closes`, one ticker."""
    calm = np.where(np.arange(56) % 2 == 0, 99.0, 100.0)
    return market(np.concatenate([calm, last_closes])[:, None])


@pytest.mark.parametrize(
    ("close", "enters", "leaves"),
    [(100.01, True, False), (100.0, False, False), (99.0, False, False), (98.99, False, True)],
)
def test_breakout_speaks_outside_the_channel_only(close: float, enters: bool, leaves: bool) -> None:
    signals = spoken(Breakout(), channel(close))
    assert (bool(entries(signals)), bool(exits(signals))) == (enters, leaves)


def test_breakout_is_stronger_the_further_it_breaks() -> None:
    small, large, huge = (entries(spoken(Breakout(), channel(close)))[0] for close in (100.1, 101.0, 130.0))
    assert 0.3 < small < large < huge < 1.0


def test_breakout_compares_with_the_sessions_before_and_not_with_itself() -> None:
    signals = spoken(Breakout(), channel(101.0, 101.0))
    assert entries(signals, -2) and not entries(signals, -1)


@pytest.mark.parametrize(("sessions_ago", "enters"), [(55, False), (56, True)])
def test_breakout_remembers_fifty_five_sessions(sessions_ago: int, enters: bool) -> None:
    panel = channel(*[100.0, 99.0] * 10, 100.5)
    panel.close[-1 - sessions_ago] = 101.0
    assert bool(entries(spoken(Breakout(), panel))) == enters


@pytest.mark.parametrize(("sessions_ago", "leaves"), [(20, False), (21, True)])
def test_breakout_leaves_below_the_low_of_twenty_sessions(sessions_ago: int, leaves: bool) -> None:
    panel = channel(*[100.0, 99.0] * 10, 98.5)
    panel.close[-1 - sessions_ago] = 98.0
    assert bool(exits(spoken(Breakout(), panel))) == leaves


# ---------------------------------------------------------------- low volatility


def calm_to_wild() -> Floats:
    """Return ten tickers that swing around a rise, each one wider than that before it."""
    swing = np.where(np.arange(260) % 2 == 0, 1.0, -1.0)[:, None] * 0.001 * np.arange(1, 11)
    return growing([0.001] * 10, 260) * (1.0 + swing)


def test_low_volatility_enters_the_calmest_and_leaves_the_wild() -> None:
    signals = spoken(LowVolatility(entry_rank=0.75), market(calm_to_wild()))
    assert entries(signals) == pytest.approx({0: 11 / 12, 1: 9 / 12, 2: 7 / 12}, abs=1e-3)
    assert exits(signals) == [4, 5, 6, 7, 8, 9]


def test_low_volatility_does_not_take_a_stock_that_is_not_trading_for_a_calm_one() -> None:
    close = calm_to_wild()
    close[:, 5] = 100.0
    signals = spoken(LowVolatility(), market(close))
    assert list(entries(signals)) == [0]
    assert 5 not in exits(signals)


@pytest.mark.parametrize(
    ("level", "enters", "leaves"), [(101.0, True, False), (98.0, False, False), (95.0, False, True)]
)
def test_low_volatility_wants_stocks_above_their_average_and_leaves_them_well_below_it(
    level: float, enters: bool, leaves: bool
) -> None:
    close = calm_to_wild()
    close[:, 0] = np.where(np.arange(260) < 230, 100.0, level) + np.where(np.arange(260) % 2 == 0, 0.01, -0.01)
    signals = spoken(LowVolatility(window=20), market(close))  # the last 30 sessions are calm
    assert (0 in entries(signals), 0 in exits(signals)) == (enters, leaves)


# ---------------------------------------------------------------- turn of the month


@pytest.mark.parametrize(
    ("session", "enters", "leaves"),
    [
        ("2017-01-25", False, True),  # four weekdays left
        ("2017-01-26", True, False),  # three
        ("2017-01-30", True, False),  # one
        ("2017-01-31", False, True),  # none: too late to buy at tomorrow's open, and January's exit still stands
        ("2017-02-01", False, False),
        ("2017-02-02", False, False),
        ("2017-02-03", False, True),  # the third weekday of February
        ("2017-02-15", False, True),
        ("2017-02-22", False, True),
        ("2017-02-23", True, False),
        ("2017-03-31", False, True),
        ("2017-04-03", False, False),  # the first weekday of April is a Monday
    ],
)
def test_turn_of_month_follows_the_calendar(session: str, enters: bool, leaves: bool) -> None:
    panel = market(growing(TEN_RATES, 300))
    signals = spoken(TurnOfMonth(), panel)
    t = int(np.searchsorted(panel.sessions, np.datetime64(session)))
    assert (len(entries(signals, t)) == 10, len(exits(signals, t)) == 10) == (enters, leaves)
    assert len(entries(signals, t)) in (0, 10) and len(exits(signals, t)) in (0, 10)


def test_turn_of_month_prefers_the_strongest_of_the_half_year() -> None:
    panel = market(growing(TEN_RATES, 300))
    strength = spoken(TurnOfMonth(), panel).strength[int(np.searchsorted(panel.sessions, np.datetime64("2017-01-27")))]
    np.testing.assert_allclose(strength, 0.3 + 0.7 * (np.arange(10) + 0.5) / 10, atol=0.001)


def test_turn_of_month_over_a_holiday_only_shifts() -> None:
    panel = market(growing(TEN_RATES, 300))
    kept = panel.sessions != np.datetime64("2017-01-30")  # as if the last Monday of January were none
    rows = np.flatnonzero(kept)
    signals = spoken(TurnOfMonth(), replace(market(panel.close[rows]), sessions=panel.sessions[rows]))
    t = int(np.searchsorted(panel.sessions[rows], np.datetime64("2017-01-31")))
    assert entries(signals, t - 1) and not entries(signals, t)


# ---------------------------------------------------------------- panic


@pytest.mark.parametrize(
    ("vix", "enters", "leaves"),
    [(30.0, True, False), (25.0, False, False), (20.0, False, False), (17.0, False, True), (NAN, False, False)],
)
def test_panic_reversal_buys_losers_in_a_panic_and_leaves_in_calm(vix: float, enters: bool, leaves: bool) -> None:
    close = np.vstack([np.full((64, 4), 100.0), week([0.01, -0.02, -0.01, 0.02])])
    signals = spoken(PanicReversal(), market(close, np.append(np.full(69, 20.0), vix)))
    assert list(entries(signals)) == ([1] if enters else [])
    assert exits(signals) == ([0, 1, 2, 3] if leaves else [])


def test_panic_reversal_says_nothing_on_a_vix_that_is_too_old() -> None:
    close = np.vstack([np.full((64, 4), 100.0), week([0.01, -0.02, -0.01, 0.02])])
    vix = np.full(70, 20.0)
    vix[65:] = [30.0, 30.0, NAN, NAN, NAN]
    assert list(entries(spoken(PanicReversal(), market(close, vix)))) == [1]
    vix[65:] = [30.0, NAN, NAN, NAN, NAN]
    signals = spoken(PanicReversal(), market(close, vix))
    assert list(entries(signals, -2)) == [1] and entries(signals) == {}


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("strategy", EVERY)
def test_signals_are_strengths_and_flags(strategy: Strategy) -> None:
    panel = replace(random_panel(8, 420, 12, faults=True), vix=random_panel(8, 420).vix)
    signals = spoken(strategy, panel)
    assert isinstance(strategy, Strategy)
    assert signals.strength.shape == signals.exit.shape == panel.close.shape
    assert signals.strength.dtype == np.float64 and signals.exit.dtype == np.bool_
    assert (signals.strength >= 0.0).all() and (signals.strength <= 1.0).all()
    assert signals.exit.any()


@pytest.mark.parametrize("strategy", EVERY)
def test_entries_exist_and_are_graded(strategy: Strategy) -> None:
    strength = spoken(strategy, random_panel(8, 600, 40)).strength
    assert len(np.unique(strength[strength > 0.0])) > 1


@pytest.mark.parametrize("strategy", EVERY)
def test_nothing_is_said_about_a_ticker_without_a_bar(strategy: Strategy) -> None:
    panel = random_panel(8, 420, 12, faults=True)
    missing = np.isnan(panel.close)
    signals = spoken(strategy, panel)
    assert missing[260:].any(axis=0).sum() > 3
    assert not signals.strength[missing].any() and not signals.exit[missing].any()


@pytest.mark.parametrize("strategy", EVERY)
def test_nothing_is_said_on_a_market_that_is_unknown_or_empty(strategy: Strategy) -> None:
    panel = random_panel(8, 420, 12)
    nothing = np.full_like(panel.close, NAN)
    unknown = replace(panel, open=nothing, high=nothing, low=nothing, close=nothing, volume=nothing)
    signals = spoken(strategy, unknown)
    assert not signals.strength.any() and not signals.exit.any()
    assert spoken(strategy, panel.rows(0, 0)).strength.shape == (0, 12)
    assert spoken(strategy, panel.rows(0, 1)).strength.shape == (1, 12)


@pytest.mark.parametrize("strategy", EVERY)
def test_signals_leave_the_panel_alone(strategy: Strategy) -> None:
    panel = random_panel(8, 420, 12)
    names = ("open", "high", "low", "close", "volume", "vix", "benchmark")
    before = {name: getattr(panel, name).copy() for name in names}
    spoken(strategy, panel)
    for name in names:
        np.testing.assert_array_equal(getattr(panel, name), before[name], err_msg=name)


@pytest.mark.parametrize("strategy", EVERY)
def test_splits_are_folded_in(strategy: Strategy) -> None:
    panel = random_panel(8, 420, 12)
    split = np.ones_like(panel.close)
    split[300, ::2], split[350, 1::2] = 2.0, 0.25
    raw = replace(panel, close=panel.close / split.cumprod(axis=0), split_ratio=split)
    for found, expected in zip(
        (spoken(strategy, raw), spoken(strategy, replace(raw, split_ratio=None))), (True, False), strict=True
    ):
        truth = spoken(strategy, panel)
        same = np.array_equal(found.strength, truth.strength) and np.array_equal(found.exit, truth.exit)
        assert same == expected


# ---------------------------------------------------------------- the pieces


def test_graded_cuts_scores_and_takes_no_unknown_one() -> None:
    wanted = np.array([[True, True, True, True, False]])
    score = np.array([[-1.0, 0.25, 7.0, NAN, 0.5]])
    np.testing.assert_array_equal(graded(wanted, score), [[0.0, 0.25, 1.0, 0.0, 0.0]])


def test_rising_goes_from_the_weakest_to_one() -> None:
    rank, fine = np.array([[0.7, 0.8, 0.9, 1.0, NAN]]), np.array([[0.65, 0.8, 0.85, 1.0, NAN]])
    np.testing.assert_allclose(rising(rank, fine, 0.8, 0.4)[0], [0.4 - 0.45, 0.4, 0.55, 1.0, NAN])
    np.testing.assert_allclose(rising(rank, fine, 0.85, 0.4), rising(rank, fine, 0.8, 0.4))  # no place between


def test_rising_leaves_the_only_place_of_a_small_universe_its_strength() -> None:
    np.testing.assert_allclose(rising(np.array([[1.0, 0.5]]), np.array([[0.75, 0.25]]), 0.95, 0.5)[0, 0], 0.75)
    assert rising(np.empty((0, 3)), np.empty((0, 3)), 0.95, 0.5).shape == (0, 3)
    assert rising(np.empty((3, 0)), np.empty((3, 0)), 0.95, 0.5).shape == (3, 0)


@dataclass(frozen=True, slots=True)
class GapFade:
    """The README's example of a strategy of one's own."""

    gap: float = 0.003
    name: str = "gap_fade"

    @property
    def lookback(self) -> int:
        return 2

    def signals(self, panel: MarketPanel) -> StrategySignals:
        gap = panel.open / lag(panel.close, 1) - 1.0
        return StrategySignals(graded(gap < -self.gap, -gap / 0.10), panel.close > lag(panel.close, 1))


def test_strategy_of_ones_own_needs_no_base_class() -> None:
    own = GapFade()
    assert isinstance(own, Strategy)
    panel = random_panel(8, 60, 5)
    gap = panel.open[1:] / panel.close[:-1] - 1.0
    signals = prepare_signals(panel, [own, *make_strategies(["breakout"])])[0]
    np.testing.assert_allclose(signals.strength[1:], np.where(gap < -0.003, np.minimum(-gap / 0.1, 1.0), 0.0))
    assert not signals.strength[0].any()
