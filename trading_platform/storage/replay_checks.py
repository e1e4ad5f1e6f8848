"""The account's days beside the kernel's (`core.replay_causes`): what waits to be compared, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, insert, or_, select, update

from trading_platform.core.alert_states import AlertKind, AlertState
from trading_platform.core.replay_causes import UNSETTLED, Cause, Item, sums_of
from trading_platform.storage import models as m

R = m.ReplayCheck
MOST_TRIES = 5  # evenings, of a comparison that fails
EMPTY = {"tries": 0, "causes": "{}", "items": "[]", "message": ""}


class CheckState(StrEnum):
    """What became of a comparison."""

    WAITING = "waiting"  # the session is not settled yet
    DONE = "done"
    FAILED = "failed"  # tried again the next evening


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a comparison found: equity of both books at the close in dollars, and the parts of their difference."""

    live_equity: float
    replay_equity: float
    items: tuple[Item, ...]

    @property
    def doubt(self) -> int:
        """The cents that a later comparison may settle, when bars are corrected."""
        return sum(abs(item.cents) for item in self.items if item.cause in UNSETTLED)

    @property
    def unexplained(self) -> float:
        """The sum of the sizes of what has no cause, dollars: two such parts may cancel."""
        return sum(abs(item.cents) for item in self.items if item.cause is Cause.UNEXPLAINED) / 100.0


@dataclass(frozen=True, slots=True)
class OpenCheck:
    """A session to be compared: the texts of the kernel's book before it, and of the account's after it.

    `doubt` are the cents that the last comparison could not settle, None before the first.
    """

    session: date
    start: str
    live: str
    doubt: int | None


class ReplayChecks:
    """The comparisons of one run; every call has committed when it returns."""

    def __init__(self, engine: Engine, run_id: int) -> None:
        self._engine = engine
        self._run_id = run_id
        self._mine = R.run_id == run_id

    def keep_start(self, session: date, start: str) -> None:
        """Keep what the kernel would have the account begin `session` with; the first word stands."""
        with self._engine.begin() as connection:
            if self._state(connection, session) is None:
                values = {"session": session, "start": start, "state": CheckState.WAITING.value, **EMPTY}
                connection.execute(insert(R).values(run_id=self._run_id, **values))

    def keep_live(self, session: date, live: str) -> None:
        """Keep what the account became in `session`, where it is to be compared and was not."""
        with self._engine.begin() as connection:
            if self._state(connection, session) in (CheckState.WAITING.value, CheckState.FAILED.value):
                self._change(connection, session, live=live)

    def has_start(self, session: date) -> bool:
        """Return True if it is known what the kernel begins `session` with."""
        with self._engine.connect() as connection:
            return self._state(connection, session) is not None

    def due(self, newest: date) -> list[OpenCheck]:
        """Return what can be compared at the evening of `newest`, oldest first: also older days that left doubts."""
        query = (
            select(R.session, R.start, R.live, R.state, R.items)
            .where(self._mine, R.start.is_not(None), R.live.is_not(None), R.tries < MOST_TRIES)
            .where(or_(R.state != CheckState.DONE.value, R.session < newest))
            .order_by(R.session)
        )
        with self._engine.connect() as connection:
            return [
                OpenCheck(session, str(start), str(live), _doubt(items) if state == CheckState.DONE else None)
                for session, start, live, state, items in connection.execute(query)
            ]

    def done(self, session: date, outcome: Outcome, now: datetime) -> None:
        """Write down what a comparison found; what it was made from is kept while a later one may find more."""
        texts = {"tries": R.tries + 1} if outcome.doubt else {"start": None, "live": None}
        with self._engine.begin() as connection:
            self._change(
                connection,
                session,
                state=CheckState.DONE.value,
                checked_at=now,
                live_equity=outcome.live_equity,
                replay_equity=outcome.replay_equity,
                unexplained=outcome.unexplained,
                causes=json.dumps(sums_of(outcome.items)),
                items=json.dumps(outcome.items),
                message="",
                **texts,
            )

    def unchanged(self, session: date) -> None:
        """Write down that a day that left doubts was compared again, and nothing was settled."""
        with self._engine.begin() as connection:
            self._change(connection, session, tries=R.tries + 1)

    def failed(self, session: date, why: str, now: datetime) -> None:
        """Write down that a comparison could not be made, and why."""
        values = {"state": CheckState.FAILED.value, "checked_at": now, "message": why, "tries": R.tries + 1}
        with self._engine.begin() as connection:
            self._change(connection, session, **values)

    def _state(self, connection: Connection, session: date) -> str | None:
        query = select(R.state).where(self._mine, R.session == session)
        found: str | None = connection.execute(query).scalar_one_or_none()
        return found

    def _change(self, connection: Connection, session: date, **values: Any) -> None:
        connection.execute(update(R).where(self._mine, R.session == session).values(**values))


def replay_states(connection: Connection, run_id: int) -> list[AlertState]:
    """Return that the account has left what its own fills explain, since the first such session in a row."""
    query = (
        select(R.session, R.checked_at, R.unexplained, R.items)
        .where(R.run_id == run_id, R.state == CheckState.DONE.value)
        .order_by(R.session.desc())
    )
    rows: list[Any] = []
    for row in connection.execute(query).mappings():
        if not row["unexplained"]:
            break
        rows.append(row)
    if not rows:
        return []
    newest, first = rows[0], rows[-1]
    worst = max(_unexplained(newest["items"]), key=lambda item: abs(item[2]))
    words = (
        f"The account's {newest['session']} is not what the replay of it gives: ${newest['unexplained']:,.2f} without "
        f"a cause, {worst[1] or 'the account'}: {worst[3]}"
    )
    return [AlertState(AlertKind.REPLAY, "", first["checked_at"], words)]


def _doubt(items: str) -> int:
    return sum(abs(item[2]) for item in json.loads(items) if item[0] in UNSETTLED)


def _unexplained(items: str) -> Sequence[Sequence[Any]]:
    return [item for item in json.loads(items) if item[0] == Cause.UNEXPLAINED.value]
