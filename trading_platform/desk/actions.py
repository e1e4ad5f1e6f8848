"""What operators may ask of an engine, and whether this one may: the same command rows as the terminal's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Engine, select

from trading_platform.core.errors import FixConfigError
from trading_platform.desk.place import Desk
from trading_platform.operations.commands import ABOUT_ONE, WORDS, Asked, check_subject
from trading_platform.operations.consent_commands import Said, answered_decision
from trading_platform.storage import models as m
from trading_platform.storage.consents import ANSWERS, CONSENT, subject_of
from trading_platform.storage.desk_pen import Deed
from trading_platform.storage.operator_requests import STOP
from trading_platform.storage.run_targets import Account, Target

RECENT = 8  # commands that a page shows
OF_ACCOUNT = ("halt", "resume", "flatten", STOP)
OF_STRATEGY = ("pause", "unpause")
COMMANDS = (*OF_ACCOUNT, *OF_STRATEGY)
REAL = "alpaca_live"


class Wish(NamedTuple):
    """What somebody at the desk asks for.

    `typed` is the account's name as they typed it, `decided` the close whose orders they have seen and answer to.
    """

    kind: str
    reason: str
    subject: str | None
    typed: str
    decided: str | None = None


class Answer(NamedTuple):
    """A command and what became of it."""

    id: int
    asked_at: datetime
    kind: str
    subject: str | None
    actor: str
    reason: str
    obeyed_at: datetime | None
    result: str | None


def needs_name(account: Account, kind: str) -> bool:
    """Return True where the account's name must be typed: everything sold, or real money."""
    return kind == "flatten" or account.mode == REAL


def ask(desk: Desk, account: Account, wish: Wish, actor: str, origin: str) -> int:
    """Leave a command for the engine of `account`; return the command's id.

    Raises
    ------
    FixConfigError
        No such command, no reason, the wrong name, or nothing could come of it.
    """
    subject = check(desk.database(), account, wish)
    deed = Deed(desk.now(), f"{actor} (desk)", origin, wish.kind, account.run_id, subject, wish.reason.strip())
    return desk.pen.command(deed)


def check(database: Engine, account: Account, wish: Wish) -> str | None:
    """Make sure that a wish can be left; return what its row speaks of.

    Raises
    ------
    FixConfigError
        As `ask`.
    """
    if wish.kind not in (*COMMANDS, *ANSWERS):
        raise FixConfigError(f"there is no command {wish.kind[:40]!r}; there are {', '.join((*COMMANDS, *ANSWERS))}")
    if account.is_finished:
        raise FixConfigError(f"run {account.run_id} is a finished replay: nothing to {wish.kind}")
    is_about_one = wish.kind in OF_STRATEGY
    if is_about_one != (wish.subject is not None) and wish.kind not in ("flatten", *ANSWERS):
        raise FixConfigError(
            f"{wish.kind} is about {'one strategy: name it' if wish.subject is None else 'the account'}"
        )
    if not wish.reason.strip():
        raise FixConfigError("say why: the reason is recorded with your name")
    if needs_name(account, wish.kind) and wish.typed.strip() != account.name:
        raise FixConfigError(f"to {wish.kind} here the account's name must be typed: {account.name}")
    if wish.kind in ANSWERS:
        said = Said(wish.kind, wish.subject, wish.reason)
        decided = answered_decision(database, account.run_id, said, wish.decided)
        return subject_of(date.fromisoformat(decided), wish.subject)
    asked = Asked(wish.kind, wish.reason, wish.subject, Target(run=account.run_id))
    check_subject(database, account, asked)
    return wish.subject


def meaning(kind: str, subject: str | None) -> str:
    """Return what a command does, in words."""
    if kind in ANSWERS:
        return f"what waits {'goes' if kind == CONSENT else 'stays'}"
    return WORDS[kind] if subject is None and kind in WORDS else ABOUT_ONE.get(kind, kind).format(subject)


def recent(database: Engine, run_id: int, most: int = RECENT) -> list[Answer]:
    """Return the newest commands of a run, the newest first."""
    table = m.Command.__table__.c
    columns = (
        table.id,
        table.requested_at,
        table.kind,
        table.subject,
        table.actor,
        table.reason,
        table.handled_at,
        table.result,
    )
    query = select(*columns).where(table.run_id == run_id).order_by(table.id.desc()).limit(most)
    with database.connect() as connection:
        return [Answer(*row) for row in connection.execute(query)]


def done_words(answers: Sequence[Answer]) -> list[tuple[Answer, str]]:
    """Return commands with what stands behind them: obeyed when, or not yet."""
    return [
        (answer, "not obeyed yet" if answer.obeyed_at is None else f"obeyed {answer.obeyed_at:%H:%M:%S}")
        for answer in answers
    ]
