"""Interest of cash: rate as last known x calendar days / 365, in cents, never for a night before the account."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from parity_world import Case, Desk, session_days

from rl_environment import TradingAllocEnv
from tests.kernel_world import clock_of, make_rules
from tests.lot_world import LotStory, says, story_panel
from trading_platform.core.episode_batch import EpisodeOptions
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import post_interest
from trading_platform.core.prepare import record_books
from trading_platform.core.simulate import backtest, open_books
from trading_platform.core.types import Floats, Ints, MarketPanel, StrategySignals
from trading_platform.strategies.prepared import prepare_panel

NAN = math.nan


@dataclass(frozen=True)
class Silent:
    """A strategy that never wants anything."""

    name: str = "silent"
    lookback: int = 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return nothing."""
        return StrategySignals(np.zeros(panel.close.shape), np.zeros(panel.close.shape, dtype=np.bool_))


def by_formula(capital: float, days: Ints, rates: Floats) -> float:
    """Return cash after compounding by hand: integer cents, half away from zero."""
    cash = round(capital * 100)
    for night in range(1, len(days)):
        gap = int(days[night] - days[night - 1])
        cash += math.floor(cash / 100.0 * rates[night - 1] / 100.0 * gap / 365.0 * 100.0 + 0.5)
    return cash / 100.0


def quiet(rates: list[float]) -> MarketPanel:
    return story_panel({"X": [100.0] * len(rates)}, rate=rates)


def silent(n: int) -> StrategySignals:
    return says([0.0] * n)


def test_a_year_of_cash_is_the_formula_to_the_cent() -> None:
    n = 260
    rates = [5.25 if t < 100 else 4.75 for t in range(n)]
    panel = quiet(rates)
    run = LotStory(panel, [silent(n)])
    run.until(n - 1)
    expected = by_formula(100_000.0, panel.sessions.astype(np.int64), np.array(rates))
    assert run.account["cash"] == run.account["equity"] == expected
    assert run.account["interest"] == round_cents(expected - 100_000.0)
    assert 104_800.0 < expected < 105_200.0


def test_kernel_engine_and_paper_broker_pay_the_same_for_a_year(tmp_path: Path) -> None:
    n = 5 + 252
    rates = [4.0 + 0.01 * t for t in range(n)]
    panel = replace(quiet(rates), sessions=session_days(n))
    case = Case(panel, (silent(n),), np.ones(1))
    world = case.world
    run = backtest(world.market, world.signals, case.weights, case.rules, case.capital, 5, n)
    desk = Desk(case, tmp_path, 5)
    desk.run(n)
    expected = by_formula(case.capital, panel.sessions.astype(np.int64)[5:], np.array(rates)[5:])
    assert run.days["equity"][-1] == expected
    steps = record_books(world.market, world.signals, case.weights, case.rules, case.capital)  # as environments do
    days, known = panel.sessions.astype(np.int64)[1:], np.array(rates)[1:]  # whose first session is row 1
    assert steps.accounts["equity"][-1] == by_formula(case.capital, days, known)
    assert desk.trail().equity()[-1] == expected
    assert desk.engine.broker.record["interest"] == round_cents(expected - case.capital)


def test_environment_pays_the_same_for_a_year() -> None:
    """Episodes of 20 sessions one after the other: every close is the formula's, from where the episode began."""
    n = 600
    rates = [4.0 + 0.002 * t for t in range(n)]
    panel = replace(quiet(rates), sessions=session_days(n))
    prepared = prepare_panel(panel, clock_of(panel), (Silent(),), np.full((n, 3), 1.0 / 3.0), make_rules(), 100_000.0)
    env = TradingAllocEnv(prepared, EpisodeOptions(prior_volatility=0.003))
    days, known = panel.sessions.astype(np.int64), np.array(rates)
    row, seen = prepared.first, 0
    while seen < 252:
        _, told = env.reset(options={"start": panel.session(row)})
        begun, over = float(env._batch.episodes[0]["equity"]), False
        first = int(env._batch.episodes[0]["row"])
        while not over:
            _, _, ended, cut, told = env.step(np.full(1, 0.5, dtype=np.float32))
            row, over, seen = int(env._batch.episodes[0]["row"]), ended or cut, seen + 1
            expected = by_formula(begun, days[first : row + 1], known[first : row + 1])
            assert float(env._batch.episodes[0]["equity"]) == expected, (panel.session(row), told)
    assert begun > 100_000.0


@pytest.mark.parametrize(
    ("row", "paid"),
    [
        (0, 0.0),  # the first session has had no night
        (1, 10.0),  # Tuesday to Wednesday: 100,000 x 3.65 % / 365
        (2, 20.0),
        (3, 30.0),
        (4, 60.0),  # a weekend is three nights
    ],
)
def test_nights_are_calendar_days(row: int, paid: float) -> None:
    run = LotStory(quiet([3.65] * 5), [silent(5)])
    run.until(row)
    assert run.account["interest"] == pytest.approx(paid, abs=0.02)  # and interest of interest


def test_rate_is_the_one_known_the_evening_before() -> None:
    run = LotStory(quiet([3.65, 7.30, 0.0, 0.0]), [silent(4)])
    paid = []
    for t in range(4):
        run.until(t)
        paid.append(float(run.account["interest"]))
    assert paid == [0.0, 10.0, 30.0, 30.0]


def test_unknown_rate_is_the_last_known_and_none_before_the_first() -> None:
    run = LotStory(quiet([3.65, NAN, NAN, 3.65]), [silent(4)])
    run.until(2)
    assert run.account["interest"] == 20.0
    never = LotStory(quiet([NAN, NAN, 3.65, 3.65]), [silent(4)])
    never.until(2)
    assert never.account["interest"] == 0.0
    never.until(3)
    assert never.account["interest"] == 10.0


def test_only_cash_earns() -> None:
    run = LotStory(quiet([3.65] * 4), [says([1.0, 0.0, 0.0, 0.0])])
    run.until(2)  # bought at the first open after the first night
    assert run.account["interest"] == 10.0 + 9.50


def test_market_without_rates_earns_nothing() -> None:
    run = LotStory(story_panel({"X": [100.0] * 4}), [silent(4)])
    run.until(3)
    assert run.account["interest"] == 0.0


@pytest.mark.parametrize(
    ("cash", "rate", "days", "paid"),
    [
        (0.01, 5.0, 1, 0.0),
        (36.49, 5.0, 1, 0.0),  # 0.4999 cents
        (36.51, 5.0, 1, 0.01),
        (-100.0, 5.0, 1, 0.0),  # debt is another matter
        (100.0, -1.0, 1, 0.0),
        (100.0, NAN, 1, 0.0),
        (0.0, 5.0, 1, 0.0),
    ],
)
def test_interest_is_whole_cents_of_what_is_there(cash: float, rate: float, days: int, paid: float) -> None:
    account = open_books(1, 1, 1, 1, 0.0).accounts[0]
    account["cash"] = cash
    assert post_interest(account, rate, days) == paid
    assert account["cash"] == round_cents(cash + paid)
