"""Every strategy, by name. Adding one = one file and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from trading_platform.core import validation
from trading_platform.strategies.asset_trend import AssetTrend
from trading_platform.strategies.base import AnyStrategy, Strategy, StrategyParameterError
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
}
TARGET_STRATEGIES: dict[str, type[Any]] = {
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
REGISTERED: dict[str, type[Any]] = {**STRATEGIES, **TARGET_STRATEGIES}
# What is traded where nothing else is asked for; docs/strategies.md says why.
DEFAULT_SET: tuple[str, ...] = tuple(TARGET_STRATEGIES)
# From how many tries the set came to be what it is: the rows of the table of trials there.
DEFAULT_SET_TRIALS = 4


def form_of(name: str) -> Form:
    """Return whether the registered strategy `name` says entries and exits, or targets."""
    return "target" if hasattr(REGISTERED[name], "targets") else "entry"


def make_strategies(
    names: Sequence[str] | None = None, parameters: Mapping[str, Mapping[str, object]] | None = None
) -> tuple[Strategy, ...]:
    """Return the entry-and-exit strategies `names` (all when None) with `parameters` by name.

    Raises
    ------
    StrategyParameterError
        Unknown strategies and parameters (with "did you mean") and values out of range, all at once.
    """
    chosen = tuple(STRATEGIES) if names is None else tuple(names)
    return _make_all(chosen, parameters or {}, STRATEGIES)


def make_book(
    names: Sequence[str] | None = None, parameters: Mapping[str, Mapping[str, object]] | None = None
) -> tuple[AnyStrategy, ...]:
    """Return the strategies `names` of either form (the default set when None or empty) with `parameters` by name.

    Raises
    ------
    StrategyParameterError
        As `make_strategies`.
    """
    return _make_all(tuple(names or DEFAULT_SET), parameters or {}, REGISTERED)


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
                made[name] = _make(name, given.get(name, {}))
            except StrategyParameterError as error:
                problems += error.problems
    if problems:
        raise StrategyParameterError(problems)
    return tuple(made[name] for name in chosen)


def _make(name: str, parameters: Mapping[str, object]) -> AnyStrategy:
    """Return one strategy. A parameter is a field other than `name`, by which the database knows the strategy."""
    known = [field for field in validation.type_hints(REGISTERED[name]) if field != "name"]
    problems = [
        f"strategies.{name}.{key} is no parameter{validation.did_you_mean(key, known)}"
        for key in parameters
        if key not in known
    ]
    try:
        strategy: AnyStrategy = REGISTERED[name](**{key: value for key, value in parameters.items() if key in known})
    except StrategyParameterError as error:
        raise StrategyParameterError([*problems, *error.problems]) from None
    if problems:
        raise StrategyParameterError(problems)
    return strategy


def _twice(names: Sequence[str]) -> Iterable[str]:
    return dict.fromkeys(name for position, name in enumerate(names) if name in names[:position])
