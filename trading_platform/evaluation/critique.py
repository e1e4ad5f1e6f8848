"""Doubts that a backtest should raise by itself, before anybody believes it.

Each check looks for one way in which good numbers come about without a good strategy: a few lucky trades, returns
that the benchmark earns as well, fills where nobody traded, bars that hit stop and target both and so hide which came
first, weeks without any movement, too few trades to say anything. Inputs are plain arrays; the result is a list of
findings, empty when there is nothing to object. In the manner of LEAN's automatic backtest analysis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from statistics import NormalDist

import numpy as np

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Bools, Floats
from trading_platform.evaluation.sharpe_tests import long_run_variance

NORMAL = NormalDist()
# Random signs are drawn in chunks of about this many trades.
CHUNK = 1_000_000


class FindingCode(StrEnum):
    """Stable codes of the checks."""

    TOO_FEW_TRADES = "too_few_trades"
    FEW_LUCKY_TRADES = "few_lucky_trades"
    TRADES_LIKE_COIN_FLIPS = "trades_like_coin_flips"
    NO_BETTER_THAN_BENCHMARK = "no_better_than_benchmark"
    STALE_FILLS = "stale_fills"
    AMBIGUOUS_BARS = "ambiguous_bars"
    FLAT_EQUITY = "flat_equity"


@dataclass(frozen=True, slots=True)
class Finding:
    """One objection: the observed value, the threshold it broke, and a sentence for people."""

    code: FindingCode
    observed: float
    threshold: float
    message: str


@dataclass(frozen=True, slots=True)
class CritiqueConfig:
    """Where doubt begins.

    Attributes
    ----------
    min_trades
        Closed round trips, at least; thirty is where means begin to be normal.
    best_trades_share
        Part of the trades, the best ones, that is taken away (at least one trade). What is left must still earn.
    max_coin_flip_p_value
        Largest p value of the trades' mean under random signs.
    max_benchmark_p_value
        Largest one-sided p value of the mean daily difference to the benchmark.
    max_stale_share
        Largest share of fills in a session without volume.
    max_ambiguous_share
        Largest share of round trips whose exit bar touched both stop and target.
    max_flat_sessions
        Longest run of sessions in which equity did not move at all.
    n_resamples
        Random sign patterns of the coin-flip test.
    """

    min_trades: int = 30
    best_trades_share: float = 0.05
    max_coin_flip_p_value: float = 0.05
    max_benchmark_p_value: float = 0.05
    max_stale_share: float = 0.0
    max_ambiguous_share: float = 0.05
    max_flat_sessions: int = 63
    n_resamples: int = 2_000

    def __post_init__(self) -> None:
        counts = {"min_trades": 2, "max_flat_sessions": 0, "n_resamples": 100}
        problems = [
            f"{name} must be a whole number of at least {least}, was {getattr(self, name)}"
            for name, least in counts.items()
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= least)
        ]
        problems += [
            f"{field.name} must be in [0, 1], was {getattr(self, field.name)}"
            for field in fields(self)
            if field.name not in counts and not (0.0 <= getattr(self, field.name) <= 1.0)
        ]
        if problems:
            raise FixConfigError("critique: " + "; ".join(problems))


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """What the critique looks at.

    Attributes
    ----------
    returns, benchmark_returns
        Daily returns of the book and of its benchmark on the same sessions, (T,).
    trade_profits
        Profit of each closed round trip after costs, dollars, (M,).
    stop_prices, target_prices
        Resting at each round trip's exit, dollars, (M,); NaN where there was none.
    exit_lows, exit_highs
        Of the bar in which each round trip was closed, dollars, (M,).
    fill_volumes
        Shares traded by everybody in the session of each fill, (F,); NaN where there was no bar.
    """

    returns: Floats
    benchmark_returns: Floats
    trade_profits: Floats
    stop_prices: Floats
    target_prices: Floats
    exit_lows: Floats
    exit_highs: Floats
    fill_volumes: Floats

    def __post_init__(self) -> None:
        if self.returns.shape != self.benchmark_returns.shape or self.returns.ndim != 1:
            shapes = f"{self.returns.shape} and {self.benchmark_returns.shape}"
            raise ValueError(f"returns and benchmark_returns must be (T,) alike, were {shapes}")
        exits = (self.trade_profits, self.stop_prices, self.target_prices, self.exit_lows, self.exit_highs)
        if len({values.shape for values in exits}) != 1 or self.trade_profits.ndim != 1:
            raise ValueError(f"trade arrays must be (M,) alike, were {[values.shape for values in exits]}")


def critique(backtest: Backtest, rng: np.random.Generator, config: CritiqueConfig | None = None) -> tuple[Finding, ...]:
    """Return every objection to a backtest, in the order of :class:`FindingCode`.

    What cannot be judged is objected to. Fills and exits that never happened raise nothing beyond too few trades.
    """
    config = CritiqueConfig() if config is None else config
    profits = backtest.trade_profits
    checks = (
        _too_few_trades(profits, config),
        _few_lucky_trades(profits, config),
        _coin_flips(profits, config, rng),
        _benchmark(backtest, config),
        _stale_fills(backtest.fill_volumes, config),
        _ambiguous_bars(backtest, config),
        _flat_equity(backtest.returns, config),
    )
    return tuple(finding for finding in checks if finding is not None)


def profit_without_best(profits: Floats, share: float) -> float:
    """Return the total profit after taking away the best `share` of trades, at least one.

    NaN without trades or with a NaN, which sorting would take for the best trade of all.
    """
    if len(profits) == 0 or np.isnan(profits).any():
        return math.nan
    n_best = max(1, math.floor(share * len(profits)))
    return float(np.sort(profits)[: len(profits) - n_best].sum())


def coin_flip_p_value(profits: Floats, n_resamples: int, rng: np.random.Generator) -> float:
    """Return how often random signs make the total profit at least as large; NaN without trades or with a NaN.

    Trades without an edge are as likely to win as to lose their size: the one-sided permutation test for a centre of
    zero. Profits that are tiny and often against losses that are huge and rare are not symmetric; then read the p value
    as a hint.
    """
    total = float(profits.sum())
    if len(profits) == 0 or math.isnan(total):
        return math.nan
    step = max(1, CHUNK // len(profits))
    # Sums of the same sizes in another order round differently: allow for it, or ties with the observed are lost.
    least = total - 1e-12 * float(np.abs(profits).sum())
    extreme = 0
    for start in range(0, n_resamples, step):
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(min(step, n_resamples - start), len(profits)))
        extreme += int(np.count_nonzero(signs @ profits >= least))
    return (1 + extreme) / (1 + n_resamples)


def benchmark_p_value(returns: Floats, benchmark_returns: Floats) -> float:
    """Return the one-sided p value of the t-test that the mean daily difference to the benchmark is positive.

    The standard error allows for serial dependence. NaN below ten sessions or with a NaN; a difference that never
    varies is 0 or 1 by its sign, and 1 when there is none.
    """
    difference = returns - benchmark_returns
    if len(difference) < 10 or np.isnan(difference).any():
        return math.nan
    mean = float(difference.mean())
    error = math.sqrt(max(0.0, long_run_variance(difference)) / (len(difference) - 1))
    if error == 0.0:
        return 0.0 if mean > 0.0 else 1.0
    return NORMAL.cdf(-mean / error)


def longest_flat_run(returns: Floats) -> int:
    """Return the longest run of sessions with a return of exactly zero, or unknown."""
    longest = run = 0
    for value in returns:
        run = run + 1 if value == 0.0 or math.isnan(value) else 0
        longest = max(longest, run)
    return longest


def ambiguous_exits(backtest: Backtest) -> Bools:
    """Return which round trips closed in a bar that touched both stop and target, (M,)."""
    return (backtest.exit_lows <= backtest.stop_prices) & (backtest.exit_highs >= backtest.target_prices)


def _too_few_trades(profits: Floats, config: CritiqueConfig) -> Finding | None:
    if len(profits) >= config.min_trades:
        return None
    message = f"{len(profits)} closed trades; at least {config.min_trades} are needed to say anything"
    return Finding(FindingCode.TOO_FEW_TRADES, float(len(profits)), float(config.min_trades), message)


def _few_lucky_trades(profits: Floats, config: CritiqueConfig) -> Finding | None:
    rest = profit_without_best(profits, config.best_trades_share)
    if rest > 0.0:
        return None
    message = f"without the best {config.best_trades_share:.0%} of its trades the book earns {rest:,.2f} dollars"
    return Finding(FindingCode.FEW_LUCKY_TRADES, rest, 0.0, message)


def _coin_flips(profits: Floats, config: CritiqueConfig, rng: np.random.Generator) -> Finding | None:
    limit = config.max_coin_flip_p_value
    p_value = coin_flip_p_value(profits, config.n_resamples, rng)
    if p_value <= limit:
        return None
    message = f"random signs earn as much as these trades in {p_value:.1%} of cases; at most {limit:.1%} would convince"
    return Finding(FindingCode.TRADES_LIKE_COIN_FLIPS, p_value, limit, message)


def _benchmark(backtest: Backtest, config: CritiqueConfig) -> Finding | None:
    limit = config.max_benchmark_p_value
    p_value = benchmark_p_value(backtest.returns, backtest.benchmark_returns)
    if p_value <= limit:
        return None
    message = f"the mean daily gain over the benchmark has p value {p_value:.3f}; at most {limit:.3f} would convince"
    return Finding(FindingCode.NO_BETTER_THAN_BENCHMARK, p_value, limit, message)


def _stale_fills(volumes: Floats, config: CritiqueConfig) -> Finding | None:
    n_stale = int(np.count_nonzero(~(volumes > 0.0)))
    share = n_stale / len(volumes) if len(volumes) else 0.0
    if share <= config.max_stale_share:
        return None
    message = f"{n_stale} of {len(volumes)} fills in sessions in which nobody traded the ticker"
    return Finding(FindingCode.STALE_FILLS, share, config.max_stale_share, message)


def _ambiguous_bars(backtest: Backtest, config: CritiqueConfig) -> Finding | None:
    both = ambiguous_exits(backtest)
    share = float(both.mean()) if len(both) else 0.0
    if share <= config.max_ambiguous_share:
        return None
    message = (
        f"{int(both.sum())} of {len(both)} exits in bars that touched stop and target; daily bars hide which was first"
    )
    return Finding(FindingCode.AMBIGUOUS_BARS, share, config.max_ambiguous_share, message)


def _flat_equity(returns: Floats, config: CritiqueConfig) -> Finding | None:
    longest = longest_flat_run(returns)
    if longest <= config.max_flat_sessions:
        return None
    message = f"equity stood still for {longest} sessions in a row; was the book halted, or without data?"
    return Finding(FindingCode.FLAT_EQUITY, float(longest), float(config.max_flat_sessions), message)
