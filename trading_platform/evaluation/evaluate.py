"""The honest judgement of a book: many random universes, after costs, over bills, beside what anybody could have held.

Pure: panels in, a document out. Who trades the book is handed in as a function, so that the same judgement serves the
kernel, a fake in a test, or workers on other machines (`judge_universe` on each, `summarise` on what they return).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.errors import FixConfigError
from trading_platform.core.realistic_fills import EXACT
from trading_platform.core.types import Bools, Floats, MarketPanel
from trading_platform.evaluation.book_statistics import (
    FEWEST_SESSIONS,
    BookFigures,
    book_figures,
    exposure_means,
    mean_pairwise_correlation,
)
from trading_platform.evaluation.paper_form import (
    PaperForm,
    equal_allocation,
    nightly_interest,
    paper_form,
    total_returns,
)
from trading_platform.evaluation.universes import Universe, draw_universes, equal_weight_returns
from trading_platform.strategies.base import AnyStrategy, TargetStrategy, prepare_targets

BOND_FUNDS = ("AGG", "IEF")  # of 60/40, in this order
TARGETS = "targets"


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """What is asked. `start`, `end` are the first and last day that is traded; None = the panel's own.

    `fills` is the book of fills that the figures are of, `n_trials` from how many tries the book was chosen, as
    docs/strategies.md counts them.
    """

    start: date | None = None
    end: date | None = None
    universes: int = 20
    universe_size: int = 60
    cost_bps: float = 10.0
    fills: str = EXACT
    seed: int = 0
    n_trials: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class BookRun:
    """What the machine made of one universe; arrays over the traded sessions, (T,).

    Attributes
    ----------
    returns, exposure, halted
        Daily returns after costs with interest; invested at the close; whether a halt forbade new positions.
    costs
        Dollars by kind (commission, spread, slippage, impact, regulatory, total).
    fills, profit
        By strategy: number of fills, dollars after costs.
    stopped_for_good
        Only an operator could have gone on, so the book went flat to its end.
    realistic
        Daily returns of the same book with realistic fills; None = not run.
    at_equal_weight, at_average_weights
        Daily returns of the same book with its capital split equally, and as the policy splits it on average; None =
        the capital is split equally.
    sharpe_if_ended_lost_30
        The same if tickers that ended had lost 30 % of their last price; None = not run.
    unused
        (T, 5) dollars that the decision at each close left in cash, in the order of `unused_capital.Unused`; None = not
        told. `equity` (T,) is that of the account then, dollars.
    lifted
        Daily returns of the same book with one rule after the other lifted (`lifted_rules`), by cause; none = not run.
    """

    returns: Floats
    exposure: Floats
    halted: Bools
    costs: Mapping[str, float] = field(default_factory=dict)
    fills: Mapping[str, int] = field(default_factory=dict)
    profit: Mapping[str, float] = field(default_factory=dict)
    stopped_for_good: bool = False
    realistic: Floats | None = None
    at_equal_weight: Floats | None = None
    at_average_weights: Floats | None = None
    sharpe_if_ended_lost_30: float | None = None
    unused: Floats | None = None
    equity: Floats | None = None
    lifted: Mapping[str, Floats] = field(default_factory=dict)


# panel of the universe, first row that trades, seed of the fills -> the run over rows [start, end of the panel)
RunBook = Callable[[MarketPanel, int, int], BookRun]


@dataclass(frozen=True, slots=True, eq=False)
class PaperSide:
    """The paper form of one universe: daily returns (T,) and, by strategy, the figures of its own book."""

    returns: Floats
    figures: Mapping[str, BookFigures]
    turnover: Mapping[str, float]
    exposure: Mapping[str, float]
    correlation: float
    residual_correlation: float


@dataclass(frozen=True, slots=True, eq=False)
class UniverseRun:
    """One universe judged: the machine's run and the paper form, which entry-and-exit strategies do not have."""

    number: int
    run: BookRun
    figures: BookFigures
    paper: PaperSide | None
    equal_weight: Floats
    exposure: float
    exposure_calm: float
    stands_aside: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Yardsticks:
    """What is the same for all universes, over the traded sessions, (T,): bills, benchmark, 60/40 (None = no bonds)."""

    sessions: np.ndarray
    bills: Floats
    benchmark: Floats
    bonds: Floats | None
    bond_fund: str


def evaluate(
    panel: MarketPanel, strategies: Sequence[AnyStrategy], run_book: RunBook, settings: EvaluateSettings
) -> tuple[Yardsticks, tuple[UniverseRun, ...]]:
    """Judge the book of `strategies` on random universes of `panel`; `evaluate_document.document` tells the result.

    Raises
    ------
    FixConfigError
        Fewer sessions than figures need, or more stocks asked for than there are.
    """
    cut, start = traded_rows(panel, settings)
    universes = draw_universes(cut, settings.universes, settings.universe_size, settings.seed, start)
    yardsticks = yardsticks_of(cut, start)
    return yardsticks, tuple(
        judge_universe(universe, strategies, run_book, yardsticks, start, settings) for universe in universes
    )


def traded_rows(panel: MarketPanel, settings: EvaluateSettings) -> tuple[MarketPanel, int]:
    """Return the panel up to the last traded session, and the row of the first; earlier rows are history.

    Raises
    ------
    FixConfigError
        Fewer than `FEWEST_SESSIONS` are left.
    """
    days = panel.sessions.astype("datetime64[D]")
    first = 0 if settings.start is None else int(np.searchsorted(days, np.datetime64(settings.start)))
    stop = len(days) if settings.end is None else int(np.searchsorted(days, np.datetime64(settings.end), side="right"))
    start = max(1, first)  # what is traded was decided the close before
    if stop - start < FEWEST_SESSIONS:
        raise FixConfigError(
            f"evaluate: --start {settings.start} and --end {settings.end} leave {max(0, stop - start)} sessions, "
            f"at least {FEWEST_SESSIONS} are needed; the data has {days[0]} to {days[-1]}"
        )
    return panel.rows(0, stop), start


def yardsticks_of(panel: MarketPanel, start: int) -> Yardsticks:
    """Return bills, benchmark (with dividends where it is one of the tickers) and bonds from row `start` on."""
    daily = total_returns(panel)
    columns = {name: panel.tickers.index(name) for name in panel.tickers}
    if panel.benchmark_ticker in columns:
        benchmark = daily[:, columns[panel.benchmark_ticker]]
    else:
        benchmark = np.concatenate([[0.0], panel.benchmark[1:] / panel.benchmark[:-1] - 1.0])
    bond_fund = next((name for name in BOND_FUNDS if name in columns), "")
    bonds = daily[start:, columns[bond_fund]] if bond_fund else None
    return Yardsticks(
        panel.sessions[start:], nightly_interest(panel)[start:], np.nan_to_num(benchmark)[start:], bonds, bond_fund
    )


def judge_universe(
    universe: Universe,
    strategies: Sequence[AnyStrategy],
    run_book: RunBook,
    yardsticks: Yardsticks,
    start: int,
    settings: EvaluateSettings,
) -> UniverseRun:
    """Run and judge the book on one universe; the fills' seed is the universe's number beside the settings' seed.

    Raises
    ------
    ValueError
        The run's arrays do not cover the traded sessions.
    """
    panel = universe.panel
    run = run_book(panel, start, settings.seed * 1_000 + universe.number)
    n_sessions = panel.n_sessions - start
    if not (run.returns.shape == run.exposure.shape == run.halted.shape == (n_sessions,)):
        raise ValueError(f"a run must cover {n_sessions} sessions, returns were {run.returns.shape}")
    exposure, calm = exposure_means(run.exposure, panel.vix[start:], run.halted)
    return UniverseRun(
        number=universe.number,
        run=run,
        figures=book_figures(run.returns, yardsticks.bills, yardsticks.benchmark),
        paper=_paper_side(panel, strategies, yardsticks, start, settings.cost_bps),
        equal_weight=equal_weight_returns(panel, total_returns(panel), start)[start:],
        exposure=exposure,
        exposure_calm=calm,
        stands_aside={item.name: _aside(item, panel) for item in strategies},
    )


def _paper_side(
    panel: MarketPanel, strategies: Sequence[Any], yardsticks: Yardsticks, start: int, cost_bps: float
) -> PaperSide | None:
    if not all(isinstance(item, TargetStrategy) for item in strategies):
        return None
    allocation = equal_allocation([_aside(item, panel) for item in strategies])
    form = paper_form(panel, prepare_targets(panel, strategies), allocation, cost_bps, start)
    names = [item.name for item in strategies]
    excess = [book.returns[start:] - yardsticks.bills for book in form.strategies]
    working = [series for series, share in zip(excess, allocation, strict=True) if share > 0.0]
    return PaperSide(
        returns=form.book.returns[start:],
        figures={
            name: book_figures(book.returns[start:], yardsticks.bills, yardsticks.benchmark)
            for name, book in zip(names, form.strategies, strict=True)
        },
        turnover=_yearly(names, form, start),
        exposure={name: float(book.exposure[start:].mean()) for name, book in zip(names, form.strategies, strict=True)},
        correlation=mean_pairwise_correlation(working),
        residual_correlation=mean_pairwise_correlation(working, yardsticks.benchmark - yardsticks.bills),
    )


def _yearly(names: Sequence[str], form: PaperForm, start: int) -> dict[str, float]:
    """Return what each strategy's own book buys and sells a year, as a multiple of its capital."""
    books = zip(names, form.strategies, strict=True)
    return {name: ANNUAL_SESSIONS * float(book.turnover[start:].mean()) for name, book in books}


def _aside(strategy: AnyStrategy, panel: MarketPanel) -> str:
    return strategy.stands_aside(panel) if isinstance(strategy, TargetStrategy) else ""


def mean_of(values: Sequence[float | None]) -> float:
    """Return the mean of the known values; NaN if none is."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
