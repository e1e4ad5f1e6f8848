"""Whose a position is that only the account knows: no order's id says it, so it is a guess, and told as one."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from trading_platform.engine.engine_market import EngineMarket


class Owner(NamedTuple):
    """Whose a position is taken to be, and why."""

    strategy: str
    why: str


def owner_of(prepared: EngineMarket, ticker: str, session: date) -> Owner:
    """Return which strategy most likely wanted `ticker` at the close of `session`."""
    names = prepared.strategies
    if len(names) == 1:
        return Owner(names[0], "the only strategy")
    signals, column = prepared.signals, prepared.columns.get(ticker)
    wishes: dict[str, float] = {}
    if column is not None and session in prepared.sessions:
        t = prepared.sessions.index(session)
        for k, name in enumerate(names):
            span = slice(int(signals.start[t, k]), int(signals.start[t, k + 1]))
            found = (signals.ticker[span] == column).nonzero()[0]
            if len(found):
                wishes[name] = float(signals.strength[span][found[0]])
    if not wishes:
        return Owner(names[0], f"a guess: nobody's signal of {session} is known")
    best = max(wishes, key=lambda name: wishes[name])
    why = "whose alone" if len(wishes) == 1 else f"strongest of {len(wishes)}"
    return Owner(best, f"by its signal of {session}, {why}")
