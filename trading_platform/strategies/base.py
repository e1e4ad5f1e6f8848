"""What a strategy is: a frozen set of parameters and one pure function from bars to signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Protocol, runtime_checkable

import numpy as np

from trading_platform.core import validation
from trading_platform.core.action_map import SUM_NOISE
from trading_platform.core.costs import Protection
from trading_platform.core.errors import FixConfigError
from trading_platform.core.families import Family
from trading_platform.core.market import forward_adjusted
from trading_platform.core.types import Bools, Floats, MarketPanel, StrategySignals
from trading_platform.core.validation import Interval

Sessions = Annotated[int, Interval("[1, 2520]")]
Window = Annotated[int, Interval("[2, 2520]")]  # of something that needs two rows to exist
Rank = Annotated[float, Interval("(0, 1)")]
Strength = Annotated[float, Interval("[0, 1]")]
Share = Annotated[float, Interval("(0, 1]")]
Slot = Annotated[float, Interval("(0, 1]")]  # weight of one name in a strategy's own book
Names = Annotated[int, Interval("[1, 10]")]


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


AnyStrategy = Strategy | TargetStrategy


class StrategyTargetError(FixConfigError):
    """A strategy's weights cannot be held: NaN, negative, or a row that sums to more than 1."""


class StrategyParameterError(validation.InvalidSettingsError, ValueError):
    """Parameters of a strategy are wrong; `problems` holds one line for each."""


def check_parameters(strategy: AnyStrategy, *orders: str) -> None:
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
    """Return `score`, cut to [0, 1], where `wanted`, else 0; NaN is no signal. All are (T, N)."""
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


def prepare_signals(panel: MarketPanel, strategies: Sequence[AnyStrategy]) -> tuple[StrategySignals, ...]:
    """Return what each strategy wants on split-adjusted bars, in order.

    Nothing is wanted of a ticker that is no member of the universe in the next session; what is held of it leaves. What
    a rule of the user's own refuses is not wanted; what is held of it stays, and leaves as it would have.

    Raises
    ------
    StrategyTargetError
        Weights that are NaN, negative or sum above 1.
    """
    adjusted = forward_adjusted(panel)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN bars stay NaN, which is no signal
        said = tuple(_said(strategy, panel, adjusted) for strategy in strategies)
    if panel.no_new_risk is not None:
        refused = panel.no_new_risk
        said = tuple(replace(item, strength=np.where(refused, 0.0, item.strength)) for item in said)
    if panel.member is None:
        return said
    stays = np.concatenate([panel.member[1:], panel.member[-1:]])
    return tuple(replace(item, strength=np.where(stays, item.strength, 0.0), exit=item.exit | ~stays) for item in said)


def _said(strategy: AnyStrategy, panel: MarketPanel, adjusted: MarketPanel) -> StrategySignals:
    """Return signals as they are, and targets with exits where nothing is wanted of a ticker that has a bar."""
    if not isinstance(strategy, TargetStrategy):
        return strategy.signals(adjusted)
    weights = prepare_targets(panel, [strategy])[0]
    gone = ~(weights > 0.0) & np.isfinite(panel.close)
    return StrategySignals(weights, gone, is_target=True, protection=strategy.protection)


def prepare_targets(panel: MarketPanel, strategies: Sequence[TargetStrategy]) -> tuple[Floats, ...]:
    """Return the target weights of each strategy, (T, N), on split-adjusted bars, in order.

    A strategy that stands aside wants nothing.

    Raises
    ------
    StrategyTargetError
        Weights that cannot be held, naming strategy, session and ticker.
    """
    adjusted = forward_adjusted(panel)
    nothing = np.zeros(panel.close.shape)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN bars stay NaN, which is no target
        targets = tuple(nothing if item.stands_aside(panel) else item.targets(adjusted) for item in strategies)
    for strategy, weights in zip(strategies, targets, strict=True):
        check_targets(strategy.name, weights, panel)
    return targets


def family_of(strategy: AnyStrategy) -> Family:
    """Return the family that `strategy` declares, `OTHER` where it declares none."""
    declared = getattr(strategy, "family", Family.OTHER)
    return Family(declared) if declared in set(Family) else Family.OTHER


def works_on(strategy: AnyStrategy, panel: MarketPanel) -> bool:
    """Return True unless `strategy` stands aside on `panel`."""
    return not (isinstance(strategy, TargetStrategy) and strategy.stands_aside(panel))


def check_targets(name: str, weights: Floats, panel: MarketPanel) -> None:
    """Check the weights (T, N) of the strategy `name`.

    Raises
    ------
    StrategyTargetError
        A wrong shape; or the first session at which a weight is no number >= 0, or their sum exceeds 1.
    """
    if weights.shape != panel.close.shape:
        raise StrategyTargetError(f"strategies.{name}: targets must be {panel.close.shape}, were {weights.shape}")
    wrong = ~(weights >= 0.0) | ~np.isfinite(weights)
    if wrong.any():
        t, i = (int(place[0]) for place in np.nonzero(wrong))
        where = f"{panel.session(t)}, {panel.tickers[i]}"
        raise StrategyTargetError(f"strategies.{name}: a weight must be a number >= 0, was {weights[t, i]} ({where})")
    total = weights.sum(axis=1)
    if (total > 1.0 + SUM_NOISE).any():
        t = int(np.flatnonzero(total > 1.0 + SUM_NOISE)[0])
        raise StrategyTargetError(
            f"strategies.{name}: weights of a session must sum to at most 1, were {total[t]:.6g} ({panel.session(t)})"
        )
