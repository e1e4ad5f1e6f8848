"""What the critique of a backtest looks at, where its doubt begins, and what it says."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Floats, Ints


class ObjectionCode(StrEnum):
    """Stable codes of the checks."""

    TOO_FEW_TRADES = "too_few_trades"
    FEW_LUCKY_TRADES = "few_lucky_trades"
    TRADES_LIKE_COIN_FLIPS = "trades_like_coin_flips"
    NO_BETTER_THAN_BENCHMARK = "no_better_than_benchmark"
    STALE_FILLS = "stale_fills"
    AMBIGUOUS_BARS = "ambiguous_bars"
    FLAT_EQUITY = "flat_equity"
    ONE_TICKER = "one_ticker"
    ONE_YEAR = "one_year"
    COSTS_EAT_THE_EDGE = "costs_eat_the_edge"
    STALE_PRICES = "stale_prices"
    STOPPED_FOR_GOOD = "stopped_for_good"
    TOO_GOOD = "too_good"


@dataclass(frozen=True, slots=True)
class Objection:
    """One objection: the observed value, the threshold it broke, and a sentence for people."""

    code: ObjectionCode
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
        Largest one-sided p value of the mean daily difference to the benchmark at the same beta.
    max_stale_share
        Largest share of fills in a session without volume.
    max_ambiguous_share
        Largest share of round trips whose exit bar touched both stop and target.
    max_flat_sessions
        Longest run of sessions in which equity did not move at all.
    n_resamples
        Random sign patterns of the coin-flip test.
    max_ticker_share, max_year_share
        Largest part of the profit from one ticker, and from one year where there are at least three.
    max_cost_share
        Largest part of the profit before costs that costs took.
    max_unchanged_sessions
        Longest run of one and the same close of a traded ticker, sessions.
    max_win_rate, max_sharpe
        More winning trades, or a higher Sharpe ratio over bills, are taken for a look into the future.
    """

    min_trades: int = 30
    best_trades_share: float = 0.05
    max_coin_flip_p_value: float = 0.05
    max_benchmark_p_value: float = 0.05
    max_stale_share: float = 0.0
    max_ambiguous_share: float = 0.05
    max_flat_sessions: int = 63
    n_resamples: int = 2_000
    max_ticker_share: float = 0.5
    max_year_share: float = 0.5
    max_cost_share: float = 0.5
    max_unchanged_sessions: int = 10
    max_win_rate: float = 0.9
    max_sharpe: float = 3.0

    def __post_init__(self) -> None:
        counts = {
            "min_trades": 2,
            "max_flat_sessions": 0,
            "n_resamples": 100,
            "max_unchanged_sessions": 0,
            "max_sharpe": 0,
        }
        problems = [
            f"{name} must be a number of at least {least}, was {getattr(self, name)}"
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
    bills
        Daily returns of cash, (T,); None: cash earns nothing.
    years
        Calendar year of each session, (T,); None: not judged.
    trade_tickers
        Number of each round trip's ticker, (M,), into `tickers`; None: not judged.
    costs
        Dollars of all costs; NaN: not judged.
    unchanged_sessions
        Longest run of one and the same close of each traded ticker, (K,), into `tickers`; None: not judged.
    stopped_for_good
        The book was halted where only an operator could go on.
    """

    returns: Floats
    benchmark_returns: Floats
    trade_profits: Floats
    stop_prices: Floats
    target_prices: Floats
    exit_lows: Floats
    exit_highs: Floats
    fill_volumes: Floats
    bills: Floats | None = None
    years: Ints | None = None
    trade_tickers: Ints | None = None
    tickers: tuple[str, ...] = ()
    costs: float = math.nan
    unchanged_sessions: Ints | None = None
    stopped_for_good: bool = False

    @property
    def cash_returns(self) -> Floats:
        """Daily returns of cash, (T,)."""
        return np.zeros(len(self.returns)) if self.bills is None else self.bills

    def __post_init__(self) -> None:
        if self.returns.shape != self.benchmark_returns.shape or self.returns.ndim != 1:
            shapes = f"{self.returns.shape} and {self.benchmark_returns.shape}"
            raise ValueError(f"returns and benchmark_returns must be (T,) alike, were {shapes}")
        exits = (self.trade_profits, self.stop_prices, self.target_prices, self.exit_lows, self.exit_highs)
        if len({values.shape for values in exits}) != 1 or self.trade_profits.ndim != 1:
            raise ValueError(f"trade arrays must be (M,) alike, were {[values.shape for values in exits]}")
        if self.trade_tickers is not None and self.trade_tickers.shape != self.trade_profits.shape:
            raise ValueError(f"trade_tickers must be {self.trade_profits.shape}, was {self.trade_tickers.shape}")
        if any(row is not None and row.shape != self.returns.shape for row in (self.bills, self.years)):
            raise ValueError(f"bills and years must be {self.returns.shape} as returns are")
