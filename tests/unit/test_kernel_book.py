"""The book that `evaluate` judges, run by the kernel: its exact and its realistic returns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kernel_world import clock_of, make_rules
from tests.strategy_markets import mixed_panel
from trading_platform.core.types import Floats
from trading_platform.evaluation.evaluate import BookRun
from trading_platform.evaluation.kernel_book import KernelBook
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
