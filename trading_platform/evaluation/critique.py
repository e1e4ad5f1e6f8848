"""Doubts that a backtest should raise by itself, before anybody believes it.

Each check looks for one way in which good numbers come about without a good strategy: a few lucky trades, one ticker,
one year, returns that the benchmark earns as well, fills where nobody traded, prices that stood still, bars that hit
stop and target both and so hide which came first, weeks without any movement, too few trades to say anything, and
numbers too good to be true. Inputs are plain arrays; the result is a list of findings, empty when there is nothing to
object. In the manner of LEAN's automatic backtest analysis.
"""

from __future__ import annotations

import math

import numpy as np

from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.types import Bools, Floats
from trading_platform.evaluation.critique_figures import (
    coin_flip_p_value,
    cost_share,
    gain_p_value,
    largest_share,
    longest_flat_run,
    profit_without_best,
)
from trading_platform.evaluation.critique_inputs import Backtest, CritiqueConfig, Objection, ObjectionCode


def critique(
    backtest: Backtest, rng: np.random.Generator, config: CritiqueConfig | None = None
) -> tuple[Objection, ...]:
    """Return every objection to a backtest, in the order of :class:`ObjectionCode`.

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
        _one_ticker(backtest, config),
        _one_year(backtest, config),
        _costs(backtest, config),
        _stale_prices(backtest, config),
        _stopped(backtest),
        _too_good(backtest, config),
    )
    return tuple(finding for finding in checks if finding is not None)


def ambiguous_exits(backtest: Backtest) -> Bools:
    """Return which round trips closed in a bar that touched both stop and target, (M,)."""
    return (backtest.exit_lows <= backtest.stop_prices) & (backtest.exit_highs >= backtest.target_prices)


def _too_few_trades(profits: Floats, config: CritiqueConfig) -> Objection | None:
    if len(profits) >= config.min_trades:
        return None
    message = f"{len(profits)} closed trades; at least {config.min_trades} are needed to say anything"
    return Objection(ObjectionCode.TOO_FEW_TRADES, float(len(profits)), float(config.min_trades), message)


def _few_lucky_trades(profits: Floats, config: CritiqueConfig) -> Objection | None:
    rest = profit_without_best(profits, config.best_trades_share)
    if rest > 0.0:
        return None
    message = f"without the best {config.best_trades_share:.0%} of its trades the book earns {rest:,.2f} dollars"
    return Objection(ObjectionCode.FEW_LUCKY_TRADES, rest, 0.0, message)


def _coin_flips(profits: Floats, config: CritiqueConfig, rng: np.random.Generator) -> Objection | None:
    limit = config.max_coin_flip_p_value
    p_value = coin_flip_p_value(profits, config.n_resamples, rng)
    if p_value <= limit:
        return None
    message = f"random signs earn as much as these trades in {p_value:.1%} of cases; at most {limit:.1%} would convince"
    return Objection(ObjectionCode.TRADES_LIKE_COIN_FLIPS, p_value, limit, message)


def _benchmark(backtest: Backtest, config: CritiqueConfig) -> Objection | None:
    limit = config.max_benchmark_p_value
    p_value = gain_p_value(backtest.returns, backtest.benchmark_returns, backtest.cash_returns)
    if p_value <= limit:
        return None
    message = (
        f"the benchmark held at the same beta earns as much: the gain over it has p value {p_value:.3f}, "
        f"at most {limit:.3f} would convince"
    )
    return Objection(ObjectionCode.NO_BETTER_THAN_BENCHMARK, p_value, limit, message)


def _stale_fills(volumes: Floats, config: CritiqueConfig) -> Objection | None:
    n_stale = int(np.count_nonzero(~(volumes > 0.0)))
    share = n_stale / len(volumes) if len(volumes) else 0.0
    if share <= config.max_stale_share:
        return None
    message = f"{n_stale} of {len(volumes)} fills in sessions in which nobody traded the ticker"
    return Objection(ObjectionCode.STALE_FILLS, share, config.max_stale_share, message)


def _ambiguous_bars(backtest: Backtest, config: CritiqueConfig) -> Objection | None:
    both = ambiguous_exits(backtest)
    share = float(both.mean()) if len(both) else 0.0
    if share <= config.max_ambiguous_share:
        return None
    message = (
        f"{int(both.sum())} of {len(both)} exits in bars that touched stop and target; daily bars hide which was first"
    )
    return Objection(ObjectionCode.AMBIGUOUS_BARS, share, config.max_ambiguous_share, message)


def _flat_equity(returns: Floats, config: CritiqueConfig) -> Objection | None:
    longest = longest_flat_run(returns)
    if longest <= config.max_flat_sessions:
        return None
    message = f"equity stood still for {longest} sessions in a row; was the book halted, or without data?"
    return Objection(ObjectionCode.FLAT_EQUITY, float(longest), float(config.max_flat_sessions), message)


def _one_ticker(backtest: Backtest, config: CritiqueConfig) -> Objection | None:
    if backtest.trade_tickers is None:
        return None
    share, number = largest_share(backtest.trade_profits, backtest.trade_tickers)
    if not (share > config.max_ticker_share):  # NaN: a book that loses has no profit to be concentrated
        return None
    message = f"{_part(share)} the profit came from {backtest.tickers[number]} alone"
    return Objection(ObjectionCode.ONE_TICKER, share, config.max_ticker_share, message)


def _part(share: float) -> str:
    """Return "40 % of", or "2.5 times" where the rest together lost."""
    return f"{share:.0%} of" if share <= 1.0 else f"{share:.1f} times"


def _one_year(backtest: Backtest, config: CritiqueConfig) -> Objection | None:
    if backtest.years is None or len(np.unique(backtest.years)) < 3:
        return None
    gains = np.log1p(backtest.returns) - np.log1p(backtest.cash_returns)
    share, year = largest_share(gains, backtest.years)
    if not (share > config.max_year_share):
        return None
    message = f"{_part(share)} the gain over bills came from {year} alone"
    return Objection(ObjectionCode.ONE_YEAR, share, config.max_year_share, message)


def _costs(backtest: Backtest, config: CritiqueConfig) -> Objection | None:
    share = cost_share(backtest.trade_profits, backtest.costs)
    if not (share > config.max_cost_share):
        return None
    message = f"costs took {share:.0%} of what the trades earned before them; a little more, and nothing is left"
    return Objection(ObjectionCode.COSTS_EAT_THE_EDGE, share, config.max_cost_share, message)


def _stale_prices(backtest: Backtest, config: CritiqueConfig) -> Objection | None:
    runs = backtest.unchanged_sessions
    if runs is None or len(runs) == 0 or int(runs.max()) <= config.max_unchanged_sessions:
        return None
    name = backtest.tickers[int(runs.argmax())]
    message = f"{name} closed at one and the same price {int(runs.max())} sessions in a row: is its data alive?"
    return Objection(ObjectionCode.STALE_PRICES, float(runs.max()), float(config.max_unchanged_sessions), message)


def _stopped(backtest: Backtest) -> Objection | None:
    if not backtest.stopped_for_good:
        return None
    message = "a halt that only an operator could end stopped the book for good; what follows is bills"
    return Objection(ObjectionCode.STOPPED_FOR_GOOD, 1.0, 0.0, message)


def _too_good(backtest: Backtest, config: CritiqueConfig) -> Objection | None:
    """Object to what nobody earns by deciding on the past alone."""
    profits = backtest.trade_profits
    wins = float(np.mean(profits > 0.0)) if len(profits) >= config.min_trades else math.nan
    if wins > config.max_win_rate:
        message = f"{wins:.0%} of the trades win; look for a price that was traded on before it was known"
        return Objection(ObjectionCode.TOO_GOOD, wins, config.max_win_rate, message)
    sharpe = sharpe_ratio(backtest.returns - backtest.cash_returns)
    if sharpe > config.max_sharpe:
        message = (
            f"a Sharpe ratio of {sharpe:.1f} over bills; look for a price that was not known when it was traded on"
        )
        return Objection(ObjectionCode.TOO_GOOD, sharpe, config.max_sharpe, message)
    return None
