"""Strategies of the user's own are tried before a run: one that knows the future does not trade."""

from __future__ import annotations

from collections.abc import Sequence

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import MarketPanel
from trading_platform.engine.own_strategies import is_own
from trading_platform.evaluation.lookahead_proof import prove
from trading_platform.evaluation.lookahead_subjects import strategy_subject
from trading_platform.strategies.base import AnyStrategy

CUTS = 3  # rows tried before every run: seconds count there
WATCHED_SESSIONS = 300  # beyond the lookback, at the end of the market


def refuse_lookahead(strategies: Sequence[AnyStrategy], panel: MarketPanel) -> None:
    """Refuse strategies of the user's own that change their mind about the past when later bars are hidden.

    Raises
    ------
    FixConfigError
        Naming the strategy, the session, and how to look closer.
    """
    for strategy in filter(is_own, strategies):
        rows = min(panel.n_sessions, strategy.lookback + WATCHED_SESSIONS)
        if rows < strategy.lookback + 2:
            continue  # it has nothing to say on so few sessions
        proof = prove(strategy_subject(strategy), panel.rows(panel.n_sessions - rows, panel.n_sessions), CUTS)
        if proof.leaks:
            raise FixConfigError(
                f"the strategy {strategy.name} uses what it cannot know or have: {proof.leaks[0]}. It does not trade; "
                f"see `strategies test {strategy.name}`"
            )
