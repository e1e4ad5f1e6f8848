"""The operator's commands: look at an account, or tell its engine what to do. They need no market and no broker."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, delete, update

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.trading_config import config_path, load_config, machine_overrides
from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import did_you_mean
from trading_platform.machine.clocks import steady_seconds, utc_now
from trading_platform.machine.stop_signals import StoppedNowError
from trading_platform.operations.account_costs import costs_of_accounts
from trading_platform.reporting.own_costs import OwnCostsPart
from trading_platform.reporting.states import UNPROTECTED, AccountState, status_states
from trading_platform.reporting.status_screen import RunRow, complain, say, show_json, show_runs, show_status
from trading_platform.storage import models as m
from trading_platform.storage.database import check_schema, check_tables, open_database
from trading_platform.storage.operator_requests import STOP, leave_command, result_of
from trading_platform.storage.run_state import RunState
from trading_platform.storage.run_status import run_status, run_statuses
from trading_platform.storage.run_targets import (
    KINDS,
    Account,
    Target,
    all_accounts,
    meant_accounts,
    shown_account,
)
from trading_platform.storage.runs import is_running

NOT_OBEYED = 11  # exit code: the command is recorded, and the engine has not obeyed it yet
PATIENCE_SECONDS = 120.0  # a look in hand ends before an engine hears; most are over in seconds
POLL_SECONDS = 0.25
MOST_WHOLE = 10  # accounts that `status --all` shows whole; of more a line each is what can be read
SIGN_SECONDS = 5.0  # between signs of life while waiting

WORDS = {
    "halt": "nothing new is opened until `resume`",
    "resume": "new positions may be opened again",
    "flatten": "every position is sold at the open after the next close, and nothing new is opened until `resume`",
    "stop": "orders at the broker stay, and nobody watches them until the engine is started again",
}
ABOUT_ONE = {
    "flatten": "{} is sold at the open after the next close, and no more of it is bought until `resume`",
    "pause": "{} opens nothing new until `unpause`",
    "unpause": "{} may open positions again",
}


class Place(NamedTuple):
    """Where the database is: ``--db`` and ``--config`` as given."""

    database: str | None
    config: Path | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator asks for. `subject`: the ticker or strategy meant, None is the account. `sure`: do not ask."""

    kind: str
    reason: str
    subject: str | None
    target: Target
    wait: bool = True
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Patience:
    """How an answer is waited for; tests bring their own time."""

    seconds: float = PATIENCE_SECONDS
    steady: Callable[[], float] = steady_seconds
    pause: Callable[[float], object] = threading.Event().wait


def status(place: Place, target: Target, *, as_json: bool) -> int:
    """Print the state of an account, or of all that are not over; return the exit code."""
    database, now = existing_database(place, read_only=True), utc_now()
    accounts = all_accounts(database, now)
    if not target.everything:
        chosen = shown_account(accounts, target)
        show_status(account_state(database, chosen, now, place), as_json=as_json)
        return 0
    open_ones = [account for account in accounts if not account.is_finished]
    if as_json:
        show_json(account_states(database, open_ones, now, place))
        return 0
    is_long = len(open_ones) > MOST_WHOLE
    states = account_states(database, open_ones, now, None if is_long else place)
    if len(open_ones) > 1:
        for account, state in zip(open_ones, states, strict=True):
            wrong = "".join(f"; WRONG NOW: {line['text']}" for line in state["states"] if is_long)
            say(f"{account.words()}, {'its engine runs' if account.running else 'NO ENGINE RUNS'}{wrong}")
    if is_long:
        say("status --account NAME shows one of them whole")
    for state in [] if is_long else states:
        if len(open_ones) > 1:
            say("")
        show_status(state, as_json=False)
    if not open_ones:
        say("no account is traded here, and no replay waits to be continued")
    return 0


def ask(place: Place, asked: Asked, patience: Patience | None = None) -> int:
    """Leave a command for the account that is meant, wait until its engine has obeyed, and say what was done.

    Raises
    ------
    FixConfigError
        No account is meant, or several; nothing could come of the command.
    StoppedNowError
        Ctrl-C while waiting: the command stays.
    """
    database, now = existing_database(place, read_only=True), utc_now()
    accounts = meant_accounts(all_accounts(database, now), asked.target, asked.kind)
    for account in accounts:
        check_subject(database, account, asked)
    if not asked.sure and not _is_wanted(accounts, asked):
        say("nothing was changed")
        return 0
    left, writing = [], open_database(database_place(place))
    for account in accounts:
        say(f"{_title(asked)}: {account.words()}")
        command = leave_command(writing, account.run_id, asked.kind, asked.reason, now, asked.subject)
        left.append((account, command))
    writing.dispose()
    codes = [_answer(database, account, command, asked, patience or Patience()) for account, command in left]
    return max(codes)


def list_runs(place: Place, *, as_json: bool) -> int:
    """Print every run, the newest first."""
    rows = run_rows(existing_database(place, read_only=True), utc_now())
    if not rows and not as_json:
        say("the database holds no run yet")
        return 0
    show_runs(rows, as_json=as_json)
    return 0


def run_rows(database: Engine, now: datetime) -> list[RunRow]:
    """Return every run as `runs` lists it, the newest first."""
    accounts = sorted(all_accounts(database, now), key=lambda account: -account.run_id)
    marks = {row["id"]: row for row in _marks(database)}
    return [_run_row(account, marks[account.run_id]) for account in accounts]


def mark_run(place: Place, run_id: int, column: str, text: str) -> int:
    """Put a tag or a note on a run; an empty one takes it off.

    Raises
    ------
    FixConfigError
        A tag that is longer than 64 signs.
    """
    database = existing_database(place, read_only=False)
    shown_account(all_accounts(database, utc_now()), Target(run=run_id))
    if column == "tag" and len(text) > 64:
        raise FixConfigError(f"a tag has at most 64 signs, was {len(text)} long: write a note")
    with database.begin() as connection:
        connection.execute(update(m.Run).where(m.Run.id == run_id).values({column: text.strip() or None}))
    say(f"run {run_id}: {column} {text.strip() or 'taken off'}")
    return 0


def delete_run(place: Place, run_id: int, *, sure: bool) -> int:
    """Delete a replay with all its rows.

    Raises
    ------
    FixConfigError
        There is no such run, it is an account's, or an engine works on it.
    """
    database = existing_database(place, read_only=False)
    account = shown_account(all_accounts(database, utc_now()), Target(run=run_id))
    if not account.is_replay:
        raise FixConfigError(f"run {run_id} is the record of an account, which is kept; only replays can be deleted")
    if account.running:
        raise FixConfigError(f"run {run_id} is being replayed now: stop it first")
    if not sure and not confirmed(f"Delete run {run_id} ({account.source}, to {account.last_session})?"):
        say("nothing was changed")
        return 0
    with database.begin() as connection:
        for table in reversed(m.Base.metadata.sorted_tables):
            if "run_id" in table.c and table is not m.DeskAudit.__table__:  # what people did stays, about no run
                connection.execute(delete(table).where(table.c.run_id == run_id))
        connection.execute(delete(m.Run).where(m.Run.id == run_id))
    say(f"run {run_id} is deleted")
    return 0


def existing_database(place: Place, *, read_only: bool) -> Engine:
    """Open the database that the options or the settings name, without making one.

    Raises
    ------
    RepairDatabaseError
        It is missing, corrupt, or of another version.
    """
    url = database_place(place)
    database = open_database(url, read_only=True)
    check_schema(database)
    check_tables(database)
    return database if read_only else open_database(url)


def database_place(place: Place) -> str:
    """Return the database's file or URL: of the option, else of the environment, the settings file, the default."""
    if place.database is not None:
        return place.database
    return load_config(config_path(place.config), machine_overrides(load_settings())).storage.database_url


def check_subject(database: Engine, account: Account, asked: Asked) -> None:
    """Make sure that something can come of a command about one ticker or strategy.

    Raises
    ------
    FixConfigError
        The account does not hold the ticker, or has no such strategy, or it is not paused.
    """
    if asked.kind == STOP:
        check_stop(account)
    if asked.subject is None:
        return
    state = run_status(database, account.run_id)
    if asked.kind == "flatten":
        known = {row["ticker"] for row in (*state["positions"], *state["open_orders"])}
        if asked.subject not in known:
            hint = did_you_mean(asked.subject, known) or f"; held are {', '.join(sorted(known)) or 'none'}"
            raise FixConfigError(f"run {account.run_id} holds no {asked.subject}{hint}")
        return
    known = set(state["run"]["strategies"])
    if asked.subject not in known:
        hint = did_you_mean(asked.subject, known) or f"; there are {', '.join(sorted(known))}"
        raise FixConfigError(f"run {account.run_id} has no strategy {asked.subject}{hint}")
    if asked.kind == "unpause" and asked.subject not in state["standing"]["paused"] and not state["waiting_commands"]:
        raise FixConfigError(f"{asked.subject} is not paused in run {account.run_id}: nothing to unpause")


def check_stop(account: Account) -> None:
    """Make sure that there is an engine which a command can stop.

    Raises
    ------
    FixConfigError
        None runs, or it replays.
    """
    if not account.running:
        raise FixConfigError(f"run {account.run_id}: no engine runs for it, so there is nothing to stop")
    if account.is_replay:
        raise FixConfigError(f"run {account.run_id} is a replay: stop it where it was started, by Ctrl-C")


def account_state(database: Engine, account: Account, now: datetime, place: Place | None = None) -> AccountState:
    """Return what `status` shows of an account; with `place` also what its own fills have cost."""
    return account_states(database, [account], now, place)[0]


def account_states(
    database: Engine, accounts: Sequence[Account], now: datetime, place: Place | None = None
) -> list[AccountState]:
    """Return `account_state` of each account, read together."""
    states = run_statuses(database, [account.run_id for account in accounts], now)
    costs = {} if place is None else costs_of_accounts(database_place(place), [account.run_id for account in accounts])
    return [_told(states[account.run_id], account, now, costs.get(account.run_id)) for account in accounts]


def _told(state: RunState, account: Account, now: datetime, costs: OwnCostsPart | None) -> AccountState:
    if state["heartbeat"] is not None:
        state["heartbeat"]["alive"] = account.running
    states = [line.as_json() for line in status_states(state, now)]
    shown = [row for row in state["differences"] if row["kind"] != UNPROTECTED]
    return {**state, "differences": shown, "own_costs": costs, "states": states}


def confirmed(question: str) -> bool:
    """Ask; only a clear yes is one.

    Raises
    ------
    FixConfigError
        Nobody is there to answer.
    """
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    answer = "" if sys.stdin is None else sys.stdin.readline()
    if not answer:
        sys.stdout.write("\n")
        raise FixConfigError("nobody answers: in scripts say --yes")
    return answer.strip().lower() in ("y", "yes")


# ---------------------------------------------------------------- one answer


def _answer(database: Engine, account: Account, command: int, asked: Asked, patience: Patience) -> int:
    """Wait for one engine's obedience, and say how it went; return the exit code."""
    if not account.running:
        say(f"recorded for run {account.run_id}; no engine runs for it: obeyed when it is started")
        return 0
    if not asked.wait:
        say(f"recorded for run {account.run_id}; its engine obeys within seconds, or after the look in hand")
        return 0
    try:
        result = wait_until_obeyed(database, account, command, patience)
    except KeyboardInterrupt:
        raise StoppedNowError(
            f"no longer waiting; the {asked.kind} stays recorded for run {account.run_id}, and its engine obeys it"
        ) from None
    if result is None:
        if is_running(database, account.run_id, utc_now()):
            complain(
                f"recorded for run {account.run_id}, but not obeyed within {patience.seconds:.0f} s: the engine is in "
                "a look, or stands still (see `status`); it obeys at its next look"
            )
        else:
            complain(f"recorded for run {account.run_id}, whose engine has ended before it obeyed: see `status`")
        return NOT_OBEYED
    meaning = WORDS[asked.kind] if asked.subject is None else ABOUT_ONE[asked.kind].format(asked.subject)
    say(f"{result}: {meaning}")
    return 0


def wait_until_obeyed(database: Engine, account: Account, command: int, patience: Patience) -> str | None:
    """Return what the engine said when it obeyed; None if it did not in time, or has ended."""
    begun = told = patience.steady()
    while (result := result_of(database, command)) is None:
        now = patience.steady()
        if now - begun >= patience.seconds or not is_running(database, account.run_id, utc_now()):
            return result_of(database, command)
        if now - told >= SIGN_SECONDS:
            told = now
            complain(f"waiting for the engine of run {account.run_id} ({now - begun:.0f} s; Ctrl-C leaves it recorded)")
        patience.pause(POLL_SECONDS)
    return result


def _title(asked: Asked) -> str:
    return asked.kind if asked.subject is None else f"{asked.kind} {asked.subject}"


def _is_wanted(accounts: list[Account], asked: Asked) -> bool:
    for account in accounts:
        say(account.words())
    if asked.subject is not None:
        return confirmed(f"Close {asked.subject} at the open after the next close and buy no more of it?")
    return confirmed("Close every position at the open after the next close and halt?")


# ---------------------------------------------------------------- rows


def _marks(database: Engine) -> list[dict[str, Any]]:
    with database.connect() as connection:
        columns = (m.Run.id, m.Run.tag, m.Run.note, m.Run.first_session, m.Run.capital)
        return [dict(row._mapping) for row in connection.execute(m.Run.__table__.select().with_only_columns(*columns))]


def _run_row(account: Account, marks: dict[str, Any]) -> RunRow:
    state = "running" if account.running else account.status
    if not account.is_replay and not account.running:
        state = "no engine runs"
    return {
        "id": account.run_id,
        "kind": KINDS.get(account.mode, account.mode),
        "mode": account.mode,
        "name": None if account.name == str(account.run_id) else account.name,
        "source": account.source,
        "first_session": _text(marks["first_session"]),
        "last_session": _text(account.last_session),
        "equity": account.equity,
        "return": _gain(account, float(marks["capital"])),
        "positions": account.positions,
        "state": state,
        "tag": marks["tag"],
        "note": marks["note"],
        "words": account.words(),
    }


def _gain(account: Account, capital: float) -> float | None:
    """Return what a replay has gained, a fraction; None where deposits may be among it, or nothing is booked."""
    return account.equity / capital - 1.0 if account.is_replay and account.equity is not None else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
