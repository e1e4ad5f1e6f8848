"""What is the user's own is tried before a run: a strategy, column or rule that knows the future does not trade."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import MarketPanel
from trading_platform.engine.own_strategies import is_own
from trading_platform.evaluation.lookahead_proof import Decisions, Subject, prove, table_decisions
from trading_platform.evaluation.lookahead_subjects import strategy_subject
from trading_platform.market_data.own_columns import OwnPart, column_values, own_columns, own_rules, rule_values
from trading_platform.strategies.base import AnyStrategy

CUTS = 3  # rows tried before every run: seconds count there
WATCHED_SESSIONS = 300  # beyond the lookback, at the end of the market


def refuse_lookahead(strategies: Sequence[AnyStrategy], panel: MarketPanel, config: TradingConfig) -> None:
    """Refuse what is the user's own and changes its mind about the past when later bars are hidden.

    Raises
    ------
    FixConfigError
        Naming the strategy, column or rule, the session, and how to look closer.
    """
    for column in own_columns(config.data.columns):
        _try(column_subject(column), panel, f"the column {column.name}", "mend the file")
    for rule in own_rules(config.engine.own_rules):
        _try(rule_subject(rule), panel, f"the rule {rule.name}", "mend the file")
    for strategy in filter(is_own, strategies):
        words = f"see `strategies test {strategy.name}`"
        _try(strategy_subject(strategy), panel, f"the strategy {strategy.name}", words)


def column_subject(part: OwnPart) -> Subject:
    """Return a column of the user's own, to be proved."""

    def decide(panel: MarketPanel, since: int) -> Decisions:
        values = column_values(part, panel)
        return table_decisions(values, np.asarray(np.isfinite(values).any(axis=1), dtype=np.bool_))

    return Subject(f"column {part.name}", decide, part.lookback)


def rule_subject(part: OwnPart) -> Subject:
    """Return a risk rule of the user's own, to be proved."""

    def decide(panel: MarketPanel, since: int) -> Decisions:
        values = rule_values(part, panel)
        return table_decisions(values, np.asarray((~values).any(axis=1), dtype=np.bool_))

    return Subject(f"rule {part.name}", decide, part.lookback)


def _try(subject: Subject, panel: MarketPanel, name: str, cure: str) -> None:
    lookback = subject.lookback or 1
    rows = min(panel.n_sessions, lookback + WATCHED_SESSIONS)
    if rows < lookback + 2:
        return  # it has nothing to say on so few sessions
    proof = prove(subject, panel.rows(panel.n_sessions - rows, panel.n_sessions), CUTS)
    if proof.leaks:
        raise FixConfigError(f"{name} uses what it cannot know or have: {proof.leaks[0]}. It does not trade; {cure}")
