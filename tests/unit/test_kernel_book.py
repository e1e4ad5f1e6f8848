"""The book that `evaluate` judges, run by the kernel: its exact and its realistic returns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kernel_world import clock_of, make_rules
from tests.strategy_markets import mixed_panel
from trading_platform.core.costs import BASIS_POINT
from trading_platform.core.types import Floats
from trading_platform.evaluation.evaluate import BookRun
from trading_platform.evaluation.kernel_book import KernelBook
from trading_platform.evaluation.lifted_rules import CAUSES, lost_by_cause
from trading_platform.evaluation.paper_form import combined_targets, paper_book
from trading_platform.strategies.base import TargetStrategy, prepare_targets
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.managed_market import ManagedMarket
from trading_platform.strategies.winners import Winners

PANEL = mixed_panel(2, 600)
START = 300


def exchange_seconds(sessions: np.ndarray) -> Floats:
    return clock_of(replace(PANEL, sessions=sessions))


BOOK = KernelBook((ManagedMarket(), Winners()), make_rules(), 100_000.0, exchange_seconds)


@pytest.fixture(scope="module")
def exact() -> BookRun:
    return BOOK(PANEL, START, 1)


def test_book_is_run_with_both_fills(exact: BookRun) -> None:
    assert exact.realistic is not None
    assert exact.realistic.shape == exact.returns.shape == (PANEL.n_sessions - START,)
    differing = float((exact.realistic != exact.returns).mean())
    assert differing > 0.5
    assert np.corrcoef(exact.realistic, exact.returns)[0, 1] > 0.9  # the same book after all


def test_seed_moves_the_realistic_returns_alone(exact: BookRun) -> None:
    other = BOOK(PANEL, START, 2)
    assert exact.realistic is not None
    assert other.returns.tobytes() == exact.returns.tobytes()
    assert other.realistic is not None
    assert other.realistic.tobytes() != exact.realistic.tobytes()


def test_figures_of_a_realistic_book_are_those_that_an_exact_one_tells_beside_its_own(exact: BookRun) -> None:
    realistic = replace(BOOK, fills="realistic")(PANEL, START, 1)
    assert exact.realistic is not None
    assert realistic.returns.tobytes() == exact.realistic.tobytes()
    assert realistic.realistic is not None
    assert realistic.realistic.tobytes() == realistic.returns.tobytes()
    assert realistic.costs != exact.costs


def test_what_a_book_leaves_in_cash_is_told_by_cause_and_adds_up(exact: BookRun) -> None:
    assert exact.unused is not None
    assert exact.equity is not None
    assert exact.unused.shape == (PANEL.n_sessions - START, 5)
    assert (exact.unused >= -1e-6).all()
    left = exact.unused.sum(axis=1) / exact.equity
    # Decided for the next open, so that it is what the next close does not hold, but for what prices do meanwhile.
    assert np.abs(left[:-1] - (1.0 - exact.exposure[1:])).mean() < 0.01
    assert len({column.tobytes() for column in exact.unused.T}) > 2


def test_rules_are_lifted_one_after_the_other_up_to_the_paper_form(exact: BookRun) -> None:
    assert tuple(exact.lifted) == ("halts", "caps", "slots", "stops", "impact")
    works = [item for item in BOOK.strategies if isinstance(item, TargetStrategy)]
    weights = combined_targets(prepare_targets(PANEL, works), np.full(2, 0.5))
    cost = (BOOK.rules.costs.half_spread + BOOK.rules.costs.slippage) / BASIS_POINT
    paper = paper_book(PANEL, weights, cost, START, BOOK.rules.sizing.band).returns[START:]
    distances = [float(np.abs(returns - paper).mean()) for returns in (exact.returns, *exact.lifted.values())]
    assert distances[-1] < 0.2 * distances[0]  # nearly all that parts the machine from its paper form is lifted
    assert all(returns.shape == exact.returns.shape for returns in exact.lifted.values())


def test_entry_and_exit_strategies_have_no_paper_form_to_be_lifted_to() -> None:
    mixed = replace(BOOK, strategies=(ManagedMarket(), Breakout()))
    assert mixed(PANEL.rows(0, 400), START, 1).lifted == {}


def test_losses_by_cause_add_up_to_all_of_it() -> None:
    lost = lost_by_cause(0.5, [("halts", 0.6), ("caps", 0.55)], 0.7)
    assert lost == pytest.approx({"halts": 0.1, "caps": -0.05, "orders": 0.15})
    assert sum(lost.values()) == pytest.approx(0.7 - 0.5)
    assert set(lost) <= set(CAUSES)


def test_a_book_on_published_rules_is_judged_beside_equal_weight(exact: BookRun) -> None:
    panic = replace(PANEL, vix=np.where(np.arange(PANEL.n_sessions) < 320, 18.0, 40.0))
    falling = replace(panic, benchmark=PANEL.benchmark * np.exp(-0.004 * np.arange(PANEL.n_sessions)))
    run = replace(BOOK, policy="rules")(falling, START, 1)
    plain = BOOK(falling, START, 1)
    assert run.at_equal_weight is not None
    assert run.at_average_weights is not None
    assert run.at_equal_weight.tobytes() == plain.returns.tobytes()
    assert run.returns.tobytes() != plain.returns.tobytes()
    assert run.at_average_weights.tobytes() != plain.returns.tobytes()
    assert (plain.at_equal_weight, exact.at_average_weights) == (None, None)
    weights = replace(BOOK, policy="rules").weights(falling, BOOK.strategies)
    assert weights[-1, 1] < weights[-1, 0] < 0.7  # both families are to have less of it, momentum the most
