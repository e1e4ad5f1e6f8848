"""Every strategy, by name. Adding one = one file and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trading_platform.core import validation
from trading_platform.strategies.base import Strategy, StrategyParameterError
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.low_volatility import LowVolatility
from trading_platform.strategies.mean_reversion import MeanReversion
from trading_platform.strategies.momentum import Momentum
from trading_platform.strategies.panic_reversal import PanicReversal
from trading_platform.strategies.turn_of_month import TurnOfMonth

STRATEGIES: dict[str, type[Any]] = {
    "momentum": Momentum,
    "mean_reversion": MeanReversion,
    "breakout": Breakout,
    "low_volatility": LowVolatility,
    "turn_of_month": TurnOfMonth,
    "panic_reversal": PanicReversal,
}


def make_strategies(
    names: Sequence[str] | None = None, parameters: Mapping[str, Mapping[str, object]] | None = None
) -> tuple[Strategy, ...]:
    """Return the strategies `names` (all when None) with `parameters` by name.

    Raises
    ------
    StrategyParameterError
        Unknown strategies and parameters (with "did you mean") and values out of range, all at once.
    """
    chosen = tuple(STRATEGIES) if names is None else tuple(names)
    given = parameters or {}
    unknown = [name for name in dict.fromkeys((*chosen, *given)) if name not in STRATEGIES]
    others = f"; choose from {', '.join(STRATEGIES)}"
    problems = [
        f"strategies: {name!r} is not registered{validation.did_you_mean(name, STRATEGIES) or others}"
        for name in unknown
    ]
    problems += [f"strategies: {name!r} is named twice" for name in _twice(chosen)]
    made: dict[str, Strategy] = {}
    for name in dict.fromkeys((*chosen, *given)):
        if name in STRATEGIES:
            try:
                made[name] = _make(name, given.get(name, {}))
            except StrategyParameterError as error:
                problems += error.problems
    if problems:
        raise StrategyParameterError(problems)
    return tuple(made[name] for name in chosen)


def _make(name: str, parameters: Mapping[str, object]) -> Strategy:
    """Return one strategy. A parameter is a field other than `name`, by which the database knows the strategy."""
    known = [field for field in validation.type_hints(STRATEGIES[name]) if field != "name"]
    problems = [
        f"strategies.{name}.{key} is no parameter{validation.did_you_mean(key, known)}"
        for key in parameters
        if key not in known
    ]
    try:
        strategy: Strategy = STRATEGIES[name](**{key: value for key, value in parameters.items() if key in known})
    except StrategyParameterError as error:
        raise StrategyParameterError([*problems, *error.problems]) from None
    if problems:
        raise StrategyParameterError(problems)
    return strategy


def _twice(names: Sequence[str]) -> Iterable[str]:
    return dict.fromkeys(name for position, name in enumerate(names) if name in names[:position])
