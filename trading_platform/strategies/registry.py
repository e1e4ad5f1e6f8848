"""Every strategy, by name. Adding one = one file and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from trading_platform.core import validation
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import MarketPanel
from trading_platform.strategies.asset_trend import AssetTrend
from trading_platform.strategies.base import AnyStrategy, StrategyParameterError, TargetStrategy
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.long_bonds import LongBonds
from trading_platform.strategies.low_correlation import LowCorrelation
from trading_platform.strategies.low_volatility import LowVolatility
from trading_platform.strategies.managed_market import ManagedMarket
from trading_platform.strategies.mean_reversion import MeanReversion
from trading_platform.strategies.momentum import Momentum
from trading_platform.strategies.panic_losers import PanicLosers
from trading_platform.strategies.panic_reversal import PanicReversal
from trading_platform.strategies.quiet_stocks import QuietStocks
from trading_platform.strategies.real_assets import RealAssets
from trading_platform.strategies.steady_winners import SteadyWinners
from trading_platform.strategies.turn_of_month import TurnOfMonth
from trading_platform.strategies.winners import Winners

Form = Literal["entry", "target"]

STRATEGIES: dict[str, type[Any]] = {
    "momentum": Momentum,
    "mean_reversion": MeanReversion,
    "breakout": Breakout,
    "low_volatility": LowVolatility,
    "turn_of_month": TurnOfMonth,
    "panic_reversal": PanicReversal,
    "asset_trend": AssetTrend,
    "winners": Winners,
    "steady_winners": SteadyWinners,
    "quiet_stocks": QuietStocks,
    "low_correlation": LowCorrelation,
    "long_bonds": LongBonds,
    "real_assets": RealAssets,
    "managed_market": ManagedMarket,
    "panic_losers": PanicLosers,
}
# What is traded where nothing else is asked for; docs/strategies.md says why.
DEFAULT_SET: tuple[str, ...] = (
    "asset_trend",
    "winners",
    "steady_winners",
    "quiet_stocks",
    "low_correlation",
    "long_bonds",
    "real_assets",
    "managed_market",
    "panic_losers",
)
# The first version's strategies: the fixed set of the benchmarks, and what an account that has traded them keeps.
FIRST_SET: tuple[str, ...] = (
    "momentum",
    "mean_reversion",
    "breakout",
    "low_volatility",
    "turn_of_month",
    "panic_reversal",
)
# From how many tries the set came to be what it is: the rows of the table of trials there.
DEFAULT_SET_TRIALS = 6


def form_of(name: str) -> Form:
    """Return whether the registered strategy `name` says entries and exits, or targets."""
    return "target" if hasattr(STRATEGIES[name], "targets") else "entry"


def make_strategies(
    names: Sequence[str] | None = None,
    parameters: Mapping[str, Mapping[str, object]] | None = None,
    own: Mapping[str, type[Any]] | None = None,
) -> tuple[AnyStrategy, ...]:
    """Return the strategies `names` (the default set when None or empty) with `parameters` by name.

    `own` are classes by name beside the registered ones (`strategies.own`).

    Raises
    ------
    StrategyParameterError
        Unknown strategies and parameters (with "did you mean") and values out of range, all at once.
    """
    return _make_all(tuple(names or DEFAULT_SET), parameters or {}, {**STRATEGIES, **(own or {})})


def active_strategies(
    strategies: Sequence[AnyStrategy], panel: MarketPanel
) -> tuple[tuple[AnyStrategy, ...], tuple[str, ...]]:
    """Return the strategies for which `panel` has what they need, and a line about those that stand aside.

    Raises
    ------
    FixConfigError
        None is left.
    """
    active, aside, notices = [], [], []
    for strategy in strategies:
        notices += [line for line in [getattr(strategy, "notice", _no_notice)(panel)] if line]
        reason = strategy.stands_aside(panel) if isinstance(strategy, TargetStrategy) else ""
        if reason:
            aside.append(f"{strategy.name} ({reason})")
        else:
            active.append(strategy)
    if not active:
        raise FixConfigError(f"no strategy can trade this market: {'; '.join(aside)}")
    if not aside:
        return tuple(active), tuple(notices)
    told = f"{len(aside)} of {len(strategies)} strategies stand aside, their capital goes to the others"
    return tuple(active), (f"{told}: {'; '.join(aside)}", *notices)


def _no_notice(panel: MarketPanel) -> str:
    return ""


def _make_all(
    chosen: Sequence[str], given: Mapping[str, Mapping[str, object]], registered: Mapping[str, type[Any]]
) -> tuple[Any, ...]:
    unknown = [name for name in dict.fromkeys((*chosen, *given)) if name not in registered]
    others = f"; choose from {', '.join(registered)}"
    problems = [
        f"strategies: {name!r} is not registered{validation.did_you_mean(name, registered) or others}"
        for name in unknown
    ]
    problems += [f"strategies: {name!r} is named twice" for name in _twice(chosen)]
    made: dict[str, Any] = {}
    for name in dict.fromkeys((*chosen, *given)):
        if name in registered:
            try:
                made[name] = _make(name, given.get(name, {}), registered[name])
            except StrategyParameterError as error:
                problems += error.problems
    if problems:
        raise StrategyParameterError(problems)
    return tuple(made[name] for name in chosen)


def _make(name: str, parameters: Mapping[str, object], strategy_class: type[Any]) -> AnyStrategy:
    """Return one strategy. A parameter is a field other than `name`, by which the database knows the strategy."""
    known = [field for field in _fields(strategy_class) if field != "name"]
    problems = [
        f"strategies.{name}.{key} is no parameter{validation.did_you_mean(key, known)}"
        for key in parameters
        if key not in known
    ]
    try:
        strategy: AnyStrategy = strategy_class(**{key: value for key, value in parameters.items() if key in known})
    except StrategyParameterError as error:
        raise StrategyParameterError([*problems, *error.problems]) from None
    if problems:
        raise StrategyParameterError(problems)
    return strategy


def _fields(strategy_class: type[Any]) -> Iterable[str]:
    return getattr(strategy_class, "__dataclass_fields__", {})  # a class of one's own may have no parameters


def _twice(names: Sequence[str]) -> Iterable[str]:
    return dict.fromkeys(name for position, name in enumerate(names) if name in names[:position])
