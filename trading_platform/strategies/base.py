"""What a strategy is: a frozen set of parameters and one pure function from bars to signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Protocol, runtime_checkable

import numpy as np

from trading_platform.core import validation
from trading_platform.core.costs import Protection
from trading_platform.core.errors import FixConfigError
from trading_platform.core.market import forward_adjusted
from trading_platform.core.types import Bools, Floats, MarketPanel, StrategySignals
from trading_platform.core.validation import Interval

Sessions = Annotated[int, Interval("[1, 2520]")]
Window = Annotated[int, Interval("[2, 2520]")]  # of something that needs two rows to exist
Rank = Annotated[float, Interval("(0, 1)")]
Strength = Annotated[float, Interval("[0, 1]")]


@runtime_checkable
class Strategy(Protocol):
    """A long-only strategy. Implementations are frozen dataclasses whose fields are their parameters.

    `lookback` is the number of sessions, the present one included, that row t of the signals depends on: a replay may
    compute the whole panel at once, live trading only its tail, and both get the same bits.
    """

    @property
    def name(self) -> str:
        """Name in the registry, the database and reports."""
        ...

    @property
    def lookback(self) -> int:
        """Sessions that a row of signals depends on."""
        ...

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return entry strength in [0, 1] and exit flags for every session and ticker; row t uses rows <= t only.

        Prices are split-adjusted. What depends on an unknown number is not said: strength 0 and no exit for a ticker
        with too little history or a gap where the rule looks; nothing at all for a ticker without a bar.
        """
        ...


@runtime_checkable
class TargetStrategy(Protocol):
    """A long-only strategy that says what it wants to hold. Implementations are frozen dataclasses of parameters."""

    @property
    def name(self) -> str:
        """Name in the registry, the database and reports."""
        ...

    @property
    def lookback(self) -> int:
        """Sessions that a row of targets depends on, the present one included."""
        ...

    @property
    def protection(self) -> Protection:
        """Its own stop, target, longest holding, cooling time; `NO_PROTECTION` is an answer."""
        ...

    def stands_aside(self, panel: MarketPanel) -> str:
        """Return in words what the panel lacks for this strategy, e.g. "needs three asset classes"; "" = nothing."""
        ...

    def targets(self, panel: MarketPanel) -> Floats:
        """Return the weight of each ticker in the strategy's own book, (T, N), >= 0, a row sums to at most 1.

        Row t uses rows <= t only, prices are split-adjusted. What depends on an unknown number is 0. Weights are for
        whole slots: few names (the risk rules cap a position at 5 % of the account by default).
        """
        ...


class StrategyParameterError(validation.InvalidSettingsError, ValueError):
    """Parameters of a strategy are wrong; `problems` holds one line for each."""


class StrategyOutputError(FixConfigError):
    """A strategy said what cannot be traded; nothing is sent."""


def check_parameters(strategy: Strategy, *orders: str) -> None:
    """Check the annotated fields of `strategy`, and `orders` such as ``"exit_rank <= entry_rank"``.

    Raises
    ------
    StrategyParameterError
        Naming every parameter that is out of range, of a wrong type, or at odds with another.
    """
    problems = validation.problems(strategy, *orders)
    if problems:
        raise StrategyParameterError(f"strategies.{strategy.name}.{line}" for line in problems.values())


def graded(wanted: Bools, score: Floats) -> Floats:
    """Return `score`, cut to [0, 1], where `wanted`, else 0; NaN is no signal."""
    strength = np.zeros(wanted.shape)
    scores = score[wanted]  # few entries are wanted, so the rest is not computed
    strength[wanted] = np.where(np.isfinite(scores), np.clip(scores, 0.0, 1.0), 0.0)
    return strength


def rising(rank: Floats, fine: Floats, entry_rank: float, weakest: float) -> Floats:
    """Return a strength that rises from `weakest` to 1 over the places above `entry_rank`, (T, N).

    `rank` and `fine` are `indicators.fine_rank`'s. Graded by the fine rank, since ranks themselves have a few levels
    only: the strongest of each strategy would tie with those of all others, every day, and the order of their tickers
    would choose who gets the last free slot (it moved the Sharpe ratio of sixteen years by +-0.1).
    """
    # The highest rank that does not enter, so that every place above has its share of the way, however few there are.
    edge = np.where(rank <= entry_rank, rank, 0.0).max(axis=1, initial=0.0, keepdims=True)
    strength: Floats = weakest + (1.0 - weakest) * (fine - edge) / (1.0 - edge)
    return strength


def prepare_signals(panel: MarketPanel, strategies: Sequence[Strategy | TargetStrategy]) -> tuple[StrategySignals, ...]:
    """Return what each strategy wants on split-adjusted bars, in order.

    Nothing is wanted of a ticker that is no member of the universe in the next session; what is held of it leaves.

    Raises
    ------
    StrategyOutputError
        Weights that are NaN, negative or sum above 1.
    """
    adjusted = forward_adjusted(panel)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN bars stay NaN, which is no signal
        said = [_said(strategy, adjusted) for strategy in strategies]
    if panel.member is None:
        return tuple(said)
    stays = np.concatenate([panel.member[1:], panel.member[-1:]])
    return tuple(replace(item, strength=np.where(stays, item.strength, 0.0), exit=item.exit | ~stays) for item in said)


def _said(strategy: Strategy | TargetStrategy, panel: MarketPanel) -> StrategySignals:
    """Return signals as they are, and targets with exits where nothing is wanted of a ticker that has a bar."""
    if not isinstance(strategy, TargetStrategy):
        return strategy.signals(panel)
    weights = strategy.targets(panel)
    _check_targets(strategy.name, weights, panel)
    gone = ~(weights > 0.0) & np.isfinite(panel.close)
    return StrategySignals(weights, gone, is_target=True, protection=strategy.protection)


def _check_targets(name: str, weights: Floats, panel: MarketPanel) -> None:
    if weights.shape != panel.close.shape:
        raise StrategyOutputError(f"strategy {name}: targets have the shape {weights.shape}, bars {panel.close.shape}")
    with np.errstate(invalid="ignore"):
        wrong = ~(weights >= 0.0).all(axis=1) | ~(weights.sum(axis=1) <= 1.0 + 1e-9)
    if wrong.any():
        t = int(np.argmax(wrong))
        row = weights[t]
        what = "NaN" if np.isnan(row).any() else "negative" if (row < 0.0).any() else f"summing to {row.sum():.4f}"
        raise StrategyOutputError(
            f"strategy {name}: weights of {panel.session(t)} are {what}; they must be >= 0 and sum to at most 1"
        )
