"""Who split the capital of a run, session by session, and why the model did not where it did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from trading_platform.storage import models as m

MODEL, EQUAL_WEIGHT = "model", "equal_weight"
# What people read for a source, and for a code of `core.allocation.FallbackCode`.
SOURCES = {
    MODEL: "the model",
    "rules": "published rules",
    EQUAL_WEIGHT: "equal weight",
    "fixed": "the split given on the command line",
}
LONGEST_CODE = 40  # characters at the head of a reason that hold its code
REASONS = {
    "CHOSEN": "as the settings ask",
    "NO_MODEL": "no model is promoted",
    "MODEL_REFUSED": "its files were refused",
    "OTHER_STRATEGIES": "it was trained for other strategies",
    "OTHER_OBSERVATION": "it was trained on another observation",
    "MODEL_IN_SAMPLE": "it has seen these sessions in training",
    "MODEL_TOO_OLD": "it was too old",
    "BAD_SESSION": "the session was no date",
    "STATE_SHAPE": "the state could not be read",
    "STATE_NOT_FINITE": "part of the state was unknown",
    "STATE_OUT_OF_RANGE": "the state was new to it",
    "BAD_OUTPUT": "its answer was no split of capital",
}


class AllocationUse(NamedTuple):
    """Sessions by who decided, and those that equal weight served, by the code of the reason."""

    sessions: Mapping[str, int]
    equal_weight_because: Mapping[str, int]

    def to_dict(self) -> dict[str, dict[str, int]]:
        """Return JSON values."""
        return {"sessions": dict(self.sessions), "equal_weight_because": dict(self.equal_weight_because)}

    def rows(self) -> list[tuple[str, str]]:
        """Return who decided, and in how many sessions and why; the most sessions first."""
        total = sum(self.sessions.values())
        rows = []
        for source, count in sorted(self.sessions.items(), key=lambda item: -item[1]):
            text = f"{count:,} of {total:,} sessions"
            if source == EQUAL_WEIGHT:
                why = sorted(self.equal_weight_because.items(), key=lambda item: -item[1])
                told = [REASONS.get(code, code) + (f" ({n:,})" if len(why) > 1 else "") for code, n in why]
                text += f": {', '.join(told)}"
            rows.append((SOURCES.get(source, source), text))
        return rows


def allocation_use(connection: Connection, run_id: int) -> AllocationUse:
    """Return who split the capital of a run."""
    head = func.substr(m.Allocation.reason, 1, LONGEST_CODE)
    query = select(m.Allocation.source, head, func.count()).where(m.Allocation.run_id == run_id)
    sessions: dict[str, int] = {}
    because: dict[str, int] = {}
    for source, reason, count in connection.execute(query.group_by(m.Allocation.source, head).order_by(head)):
        sessions[source] = sessions.get(source, 0) + count
        if source == EQUAL_WEIGHT:
            code = reason.partition(":")[0]
            because[code] = because.get(code, 0) + count
    return AllocationUse(sessions, because)
