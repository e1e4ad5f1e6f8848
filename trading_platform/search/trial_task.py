"""One cell of a search: a book on one universe, as a task of the work port; and what its returns are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trading_platform.core.metrics import annual_return, max_drawdown, sharpe_ratio
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.evaluation.kernel_book import KernelBook
from trading_platform.evaluation.paper_form import nightly_interest
from trading_platform.evaluation.universes import draw_universe
from trading_platform.strategies.base import AnyStrategy

MINIMISED = frozenset({"drawdown"})


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What all cells share: a panel that ends where its period ends, and from which row on it is traded."""

    panel: MarketPanel
    start: int
    universe_size: int
    seed: int
    exchange_seconds: Callable[[np.ndarray], Floats]


@dataclass(frozen=True, slots=True)
class Cell:
    """One universe under some settings. `said` tells the settings apart from others', as JSON."""

    said: str
    universe: int
    strategies: Sequence[AnyStrategy]
    rules: Rules
    capital: float
    fills: str
    policy: str


@dataclass(frozen=True, slots=True, eq=False)
class CellReturns:
    """Daily returns of the book over the traded sessions, (T,)."""

    returns: Floats


def run_cell(bench: Bench, cell: Cell) -> CellReturns:
    """Trade one universe; the fills' seed is the universe's number beside the search's seed."""
    book = KernelBook(cell.strategies, cell.rules, cell.capital, bench.exchange_seconds, cell.fills, cell.policy)
    universe = draw_universe(bench.panel, cell.universe, bench.universe_size, bench.seed, bench.start)
    return CellReturns(book.daily_returns(universe.panel, bench.start, bench.seed * 1_000 + cell.universe))


def bills_of(bench: Bench) -> Floats:
    """Return what bills earned on the traded sessions, (T,)."""
    return nightly_interest(bench.panel)[bench.start :]


def folds_of(n_sessions: int, n_folds: int) -> list[slice]:
    """Return the inner folds: stretches of equal length, in order."""
    edges = np.linspace(0, n_sessions, n_folds + 1).astype(int)
    return [slice(int(low), int(high)) for low, high in pairwise(edges)]


def figure(objective: str, returns: Floats, bills: Floats) -> float:
    """Return the figure of daily `returns` (T,) over `bills` (T,) by which a search judges; NaN where there is none."""
    if objective == "sharpe":
        return sharpe_ratio(returns - bills)
    fall = max_drawdown(returns)
    if objective == "drawdown":
        return fall
    return (annual_return(returns) - annual_return(bills)) / fall if fall > 0.0 else float("nan")


def figures(objective: str, universes: Sequence[Floats], bills: Floats, n_folds: int) -> Floats:
    """Return the figure of each universe and inner fold, (U, F)."""
    folds = folds_of(len(bills), n_folds)
    return np.array([[figure(objective, each[fold], bills[fold]) for fold in folds] for each in universes])


def values_of(objectives: Sequence[str], universes: Sequence[Floats], bills: Floats, n_folds: int) -> tuple[float, ...]:
    """Return each objective: the mean of its figures over universes, (T,) each, and inner folds."""
    return tuple(float(figures(objective, universes, bills, n_folds).mean()) for objective in objectives)


def directions(objectives: Sequence[str]) -> list[str]:
    """Return which way each objective is better, in Optuna's words."""
    return ["minimize" if objective in MINIMISED else "maximize" for objective in objectives]


def better_by(objective: str, value: float, than: float) -> float:
    """Return by how much `value` is better."""
    return than - value if objective in MINIMISED else value - than


def mean_returns(universes: Mapping[int, Floats] | Sequence[Floats]) -> Floats:
    """Return the mean of the universes' daily returns, (T,)."""
    series = list(universes.values()) if isinstance(universes, Mapping) else list(universes)
    mean: Floats = np.mean(series, axis=0)
    return mean
