"""What a strategy is: a frozen set of parameters and one pure function from bars to signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from trading_platform.core.errors import FixConfigError
from trading_platform.core.market import forward_adjusted
from trading_platform.core.types import Bools, Floats, MarketPanel, StrategySignals


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
        """Return entry strength in [0, 1] and exit flags for every session and ticker; row t uses rows <= t only."""
        ...


class StrategyParameterError(FixConfigError, ValueError):
    """Parameters of a strategy are out of range; the message names all of them."""


def require(strategy: str, **checks: tuple[bool, str, object]) -> None:
    """Raise one error naming every parameter whose check failed: name=(ok, rule in words, value)."""
    problems = [
        f"{strategy}.{name} must be {rule}, was {value!r}" for name, (ok, rule, value) in checks.items() if not ok
    ]
    if problems:
        raise StrategyParameterError("; ".join(problems))


def graded(wanted: Bools, score: Floats) -> Floats:
    """Return `score`, cut to [0, 1], where `wanted`, else 0; NaN is no signal."""
    strength = np.zeros(wanted.shape)
    scores = score[wanted]  # few entries are wanted, so the rest is not computed
    strength[wanted] = np.where(np.isfinite(scores), np.clip(scores, 0.0, 1.0), 0.0)
    return strength


def prepare_signals(panel: MarketPanel, strategies: Sequence[Strategy]) -> tuple[StrategySignals, ...]:
    """Return the signals of each strategy on split-adjusted bars, in order."""
    adjusted = forward_adjusted(panel)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN bars stay NaN, which is no signal
        return tuple(strategy.signals(adjusted) for strategy in strategies)


def daily_returns(panel: MarketPanel) -> Floats:
    """Return close-to-close returns, (T, N); NaN on the first row."""
    returns = np.full_like(panel.close, np.nan)
    returns[1:] = panel.close[1:] / panel.close[:-1] - 1.0
    return returns
