"""What a run's daily closes say: returns over bills and against the market, exposure, costs, money left in cash."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from trading_platform.core import metrics
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Floats
from trading_platform.evaluation.book_statistics import book_figures, exposure_means, one_factor
from trading_platform.reporting.performance import nightly_bills

UNUSED = ("no_signal", "slots", "caps", "size", "halts")


class Close(NamedTuple):
    """A session's close as stored; dollars and fractions, `cash_rate` percent a year, None = unknown.

    `unused` are the dollars that the decision left in cash, in the order of `UNUSED`; None where nothing was decided.
    """

    session: date
    equity: float
    cash_flow: float
    exposure: float
    halted: bool
    vix: float | None
    benchmark: float | None
    universe_return: float | None
    cash_rate: float | None
    unused: tuple[float | None, ...]


class Returns(NamedTuple):
    """Daily returns of the book, of bills and of the benchmark, (T,) each; the benchmark's first is NaN."""

    own: Floats
    bills: Floats
    benchmark: Floats


class Figures(NamedTuple):
    """Figures of a run; ratios and returns a year, fractions, None = not defined. `alpha` is arithmetic a year.

    `bills_return` is what bills earned over the whole run.
    """

    annual_return: float | None
    excess_return: float | None
    sharpe: float | None
    sharpe_plain: float | None
    beta: float | None
    alpha: float | None
    alpha_t: float | None
    volatility: float | None
    benchmark_volatility: float | None
    benchmark_annual_return: float | None
    bills_return: float
    max_drawdown: float
    avg_exposure: float
    avg_exposure_calm: float | None


def daily_returns(closes: Sequence[Close], capital: float) -> Returns:
    """Return the daily returns of `closes`; deposits are no profit, and count as there from the open on.

    Bills earn the rate last known at the close before, over calendar days; nothing before the first close, when no
    night has passed.
    """
    equity = np.array([close.equity for close in closes], dtype=np.float64)
    flows = np.array([close.cash_flow for close in closes], dtype=np.float64)
    before = np.concatenate(([capital], equity[:-1])) + flows
    market = np.array([math.nan if c.benchmark is None else c.benchmark for c in closes], dtype=np.float64)
    moved = np.full(len(closes), math.nan)
    moved[1:] = market[1:] / market[:-1] - 1.0
    return Returns(equity / before - 1.0, np.array(nightly_bills(closes)), moved)


def figures(closes: Sequence[Close], capital: float) -> Figures:
    """Return the figures of a run of at least one close; beta and alpha leave out the first: its market is unknown."""
    returns = daily_returns(closes, capital)
    book = book_figures(returns.own, returns.bills, returns.benchmark)
    own, bills, market = (values[1:] for values in returns)
    factor = one_factor(own - bills, market - bills)
    exposure = np.array([close.exposure for close in closes], dtype=np.float64)
    vix = np.array([math.nan if close.vix is None else close.vix for close in closes], dtype=np.float64)
    halted = np.array([close.halted for close in closes], dtype=np.bool_)
    average, calm = exposure_means(exposure, vix, halted)
    return Figures(
        annual_return=known(book.annual_return),
        excess_return=known(book.excess_return),
        sharpe=known(book.sharpe),
        sharpe_plain=known(book.sharpe_plain),
        beta=known(factor.beta),
        alpha=known(factor.alpha * ANNUAL_SESSIONS),
        alpha_t=known(factor.alpha_t),
        volatility=known(book.volatility),
        benchmark_volatility=known(metrics.volatility(market)),
        benchmark_annual_return=known(metrics.annual_return(market)),
        bills_return=float(metrics.total_return(returns.bills)),
        max_drawdown=float(book.max_drawdown),
        avg_exposure=float(average),
        avg_exposure_calm=known(calm),
    )


def not_invested_because(closes: Sequence[Close]) -> dict[str, float | None]:
    """Return the mean dollars a session that were left in cash, by cause; None where no decision is known."""
    decided = [close.unused for close in closes if None not in close.unused]
    columns = zip(*decided, strict=True) if decided else [()] * len(UNUSED)
    return {
        name: round(math.fsum(values) / len(values), 2) if values else None
        for name, values in zip(UNUSED, columns, strict=True)
    }


def known(value: float) -> float | None:
    """Return a finite number, else None: JSON knows no NaN."""
    return float(value) if math.isfinite(value) else None
