"""What has been told of a run's states, durably: a restart tells nothing again, and forgets nothing untold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, func, insert, or_, select, update

from trading_platform.core.alert_states import AlertKind, AlertState
from trading_platform.storage import models as m
from trading_platform.storage.runs import is_running

T = m.Alert.__table__.c


class LoggedAlert(NamedTuple):
    """A state that was seen; `told_at` and `over_told_at` are None until its beginning and its end have been told."""

    id: int
    state: AlertState
    told_at: datetime | None
    over_at: datetime | None
    over_told_at: datetime | None


class LastTold(NamedTuple):
    """When a kind was told last: that something of it began, and that something of it was over."""

    began: datetime | None
    over: datetime | None


class AlertLog:
    """The states of one run and what was told of them; every call has committed when it returns."""

    def __init__(self, engine: Engine, run_id: int) -> None:
        self._engine = engine
        self._run_id = run_id
        self._mine = m.Alert.run_id == run_id

    def take(self, states: Iterable[AlertState], now: datetime, early: Iterable[AlertState] = ()) -> None:
        """Note which states there are at `now`: what is new has begun, what is missing is over.

        `early` ones are too young to begin; where they stand already they go on.
        """
        young = {(state.kind.value, state.subject) for state in early}
        wanted = {(state.kind.value, state.subject): state for state in states}
        with self._engine.connect() as connection:
            query = select(T.id, T.kind, T.subject).where(self._mine, T.over_at.is_(None))
            standing = {(row.kind, row.subject): row.id for row in connection.execute(query)}
        gone = [key for name, key in standing.items() if name not in wanted and name not in young]
        new = [state for name, state in wanted.items() if name not in standing]
        if not gone and not new:
            return
        with self._engine.begin() as connection:
            if gone:
                connection.execute(update(m.Alert).where(T.id.in_(gone)).values(over_at=now))
            for state in new:
                connection.execute(insert(m.Alert).values(self._row(state)))

    def note_end(self, state: AlertState, now: datetime, *, told: bool) -> None:
        """Note that a state has begun, and whether it has been told already; one that stands is left as it is."""
        with self._engine.begin() as connection:
            same = (self._mine, T.over_at.is_(None), T.kind == state.kind.value, T.subject == state.subject)
            if connection.execute(select(T.id).where(*same)).first() is None:
                connection.execute(insert(m.Alert).values({**self._row(state), "told_at": now if told else None}))

    def untold(self) -> list[LoggedAlert]:
        """Return what there is to tell: beginnings that were not told, ends that were not."""
        query = (
            select(m.Alert.__table__)
            .where(self._mine, T.over_told_at.is_(None), or_(T.told_at.is_(None), T.over_at.is_not(None)))
            .order_by(T.id)
        )
        with self._engine.connect() as connection:
            return [
                LoggedAlert(
                    row.id,
                    AlertState(AlertKind(row.kind), row.subject, row.since, row.words),
                    row.told_at,
                    row.over_at,
                    row.over_told_at,
                )
                for row in connection.execute(query)
            ]

    def tell_began(self, ids: Sequence[int], now: datetime) -> None:
        """Note that beginnings have been told."""
        self._stamp(ids, told_at=now)

    def tell_over(self, ids: Sequence[int], now: datetime) -> None:
        """Note that ends have been told, and with them what they are the end of."""
        self._stamp(ids, over_told_at=now, told_at=func.coalesce(T.told_at, now))

    def drop(self, ids: Sequence[int], now: datetime) -> None:
        """Note that states came and went before anybody could be told."""
        self._stamp(ids, over_told_at=now)

    def last_told(self) -> dict[AlertKind, LastTold]:
        """Return when each kind was told last; only ends whose beginning was told count."""
        over = func.max(T.over_told_at).filter(T.told_at.is_not(None))
        query = select(T.kind, func.max(T.told_at).label("began"), over.label("over")).where(self._mine)
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(T.kind)).all()
        return {AlertKind(row.kind): LastTold(row.began, row.over) for row in rows}

    def messages_since(self, since: datetime) -> int:
        """Return how many messages left after `since`; all that one message tells has one instant."""
        with self._engine.connect() as connection:
            began = connection.execute(select(T.told_at).where(self._mine, T.told_at > since).distinct())
            over = connection.execute(
                select(T.over_told_at).where(self._mine, T.over_told_at > since, T.told_at.is_not(None)).distinct()
            )
            return len({row[0] for row in began} | {row[0] for row in over})

    def _stamp(self, ids: Sequence[int], **values: Any) -> None:
        if ids:
            with self._engine.begin() as connection:
                connection.execute(update(m.Alert).where(T.id.in_(ids)).values(**values))

    def _row(self, state: AlertState) -> dict[str, object]:
        return {
            "run_id": self._run_id,
            "kind": state.kind.value,
            "subject": state.subject[:64],
            "since": state.since,
            "words": state.words,
            "told_at": None,
            "over_at": None,
            "over_told_at": None,
        }


def silent_since(engine: Engine, run_id: int, now: datetime) -> datetime | None:
    """Return the last word of an engine that went without giving its run back, None if it did or lives still.

    Ask before the run is taken again: taking it writes over the row.
    """
    with engine.connect() as connection:
        at = connection.execute(select(m.Heartbeat.at).where(m.Heartbeat.run_id == run_id)).scalar()
    return None if at is None or is_running(engine, run_id, now) else at
