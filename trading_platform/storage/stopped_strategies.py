"""Strategies that a drawdown stop of their own keeps from opening anything new, from the commands that were obeyed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

ENGINE = "engine"  # whose word it is where nobody gave it
STOPS = """
SELECT kind, subject, actor, requested_at, reason FROM commands
WHERE run_id = :run AND handled_at IS NOT NULL AND kind IN ('pause', 'unpause') ORDER BY id"""


class StoppedStrategy(NamedTuple):
    """A strategy, since when it is stopped, and why."""

    strategy: str
    since: datetime
    reason: str

    def words(self, *, is_replay: bool = False) -> str:
        """Return it in one line, without its beginning in time; nobody can end it in a replay."""
        end = "to the end of the replay" if is_replay else f"ends with `unpause {self.strategy}`"
        return f"{self.strategy} OPENS NOTHING NEW, {self.reason}; {end}"


def stopped_strategies(rows: Iterable[Sequence[Any]]) -> tuple[StoppedStrategy, ...]:
    """Return what of the rows of STOPS is in force."""
    found: dict[str, StoppedStrategy] = {}
    for kind, subject, actor, at, reason in rows:
        if kind == "unpause":
            found.pop(subject, None)
        elif actor == ENGINE:
            since = datetime.fromisoformat(at) if isinstance(at, str) else at
            found[subject] = StoppedStrategy(subject, since if since.tzinfo else since.replace(tzinfo=UTC), reason)
    return tuple(found.values())
