"""Every strategy, by name. Adding one = one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from trading_platform import strict
from trading_platform.core.errors import FixConfigError
from trading_platform.strategies.base import Strategy
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
    FixConfigError
        An unknown strategy or parameter (with "did you mean"), or a value out of range.
    """
    chosen = tuple(STRATEGIES) if names is None else tuple(names)
    given = parameters or {}
    problems = [
        f"strategies: {name!r} is not registered{strict.did_you_mean(name, STRATEGIES)}"
        for name in (*chosen, *given)
        if name not in STRATEGIES
    ]
    for name, table in given.items():
        known = [item.name for item in fields(STRATEGIES[name]) if item.name != "name"] if name in STRATEGIES else []
        problems += [
            f"strategies.{name}.{key} is no parameter{strict.did_you_mean(key, known)}"
            for key in table
            if name in STRATEGIES and key not in known
        ]
    if problems:
        raise FixConfigError("; ".join(dict.fromkeys(problems)))
    return tuple(_make(name, given.get(name, {})) for name in chosen)


def _make(name: str, parameters: Mapping[str, object]) -> Strategy:
    try:
        strategy: Strategy = STRATEGIES[name](**parameters)
    except TypeError as error:  # a comparison with text, say
        raise FixConfigError(f"strategies.{name}: {error}") from error
    return strategy
