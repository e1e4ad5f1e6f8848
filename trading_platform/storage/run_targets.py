"""Whom an operator means: one account of those in the database, named or the only one there can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine, case, select

from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import did_you_mean
from trading_platform.storage import models as m
from trading_platform.storage.newest_run import MODES
from trading_platform.storage.positions_held import held_by_runs
from trading_platform.storage.runs import running_runs

FINISHED = "finished"
_CLOSES = m.EquityRow.__table__.alias()
RUNS = select(
    m.Run.__table__,
    select(_CLOSES.c.equity)
    .where(_CLOSES.c.run_id == m.Run.id)
    .order_by(_CLOSES.c.session.desc())
    .limit(1)
    .scalar_subquery()
    .label("equity"),
)
KINDS = {
    "replay": "replay",
    "paper": "local paper account",
    "alpaca_paper": "Alpaca paper account",
    "alpaca_live": "Alpaca LIVE account",
    "own_broker": "account at a broker of your own",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What ``--run``, ``--account`` and ``--all`` say; nothing of it means the only account there is."""

    run: int | None = None
    account: str | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        if sum((self.run is not None, self.account is not None, self.everything)) > 1:
            raise FixConfigError("--run, --account and --all exclude each other: name one")


@dataclass(frozen=True, slots=True)
class Account:
    """A run as operators know it. `running`: an engine holds it now. `equity` is dollars, None before a first close."""

    run_id: int
    mode: str
    status: str
    source: str
    number: str | None
    given_name: str | None
    last_session: date | None
    equity: float | None
    positions: int
    running: bool

    @property
    def name(self) -> str:
        """What it is called: its [account] name, else the broker's account number, else the run's number."""
        return self.given_name or self.number or str(self.run_id)

    @property
    def is_replay(self) -> bool:
        """True for a simulation over past bars."""
        return self.mode == "replay"

    @property
    def is_finished(self) -> bool:
        """True if no engine will ever go on with it."""
        return self.is_replay and self.status == FINISHED

    def words(self) -> str:
        """Return the account in one line: kind, name, run, equity, positions."""
        named = "" if self.name == str(self.run_id) else f" {self.name}"
        equity = "no close booked yet" if self.equity is None else f"equity ${self.equity:,.2f}"
        count = f"{self.positions} position" + ("" if self.positions == 1 else "s")
        return f"{KINDS.get(self.mode, self.mode)}{named} (run {self.run_id}): {equity}, {count}"


def all_accounts(engine: Engine, now: datetime) -> list[Account]:
    """Return every run, the most real first, and of one kind the newest first."""
    place = case({mode: n for n, mode in enumerate(MODES)}, value=m.Run.mode, else_=len(MODES))
    with engine.connect() as connection:
        found = [dict(row._mapping) for row in connection.execute(RUNS.order_by(place, m.Run.id.desc()))]
        held = held_by_runs(connection)
    alive = running_runs(engine, [run["id"] for run in found if run["status"] != FINISHED], now)
    return [
        Account(
            run["id"],
            run["mode"],
            run["status"],
            run["source"],
            run["account"],
            run["name"],
            run["last_session"],
            run["equity"],
            held[run["id"]],
            run["id"] in alive,
        )
        for run in found
    ]


def shown_account(accounts: Sequence[Account], target: Target) -> Account:
    """Return the account that `status` shows: the one named, else the running one, else the newest.

    Raises
    ------
    FixConfigError
        The database holds no run, or none of that name.
    """
    if target.run is not None or target.account is not None:
        return _named(accounts, target)[0]
    if not accounts:
        raise FixConfigError("the database holds no run yet; start the engine once, or name another with --db")
    running = [account for account in accounts if account.running and not account.is_replay]
    return running[0] if len(running) == 1 else accounts[0]


def meant_accounts(accounts: Sequence[Account], target: Target, verb: str) -> list[Account]:
    """Return the accounts that a command is for.

    Named ones are taken as they are. Without a name it is the only account that an engine trades now; if none is
    traded, the only one that waits for its engine, or the only replay that is not over.

    Raises
    ------
    FixConfigError
        Nothing is there, several could be meant, or what is named is a replay that is over.
    """
    if target.run is not None or target.account is not None:
        named = _named(accounts, target)
        open_ones = [account for account in named if not account.is_finished]
        if not open_ones:
            over = named[0]
            raise FixConfigError(f"run {over.run_id} is a finished replay: nothing to {verb}")
        return _one_of(open_ones, verb)
    alive = [account for account in accounts if not account.is_finished]
    if not alive:
        if not accounts:
            raise FixConfigError("the database holds no run yet; start the engine once, or name another with --db")
        newest = max(accounts, key=lambda account: account.run_id)
        raise FixConfigError(f"run {newest.run_id} is a finished replay: nothing to {verb}; no account is traded here")
    real = [account for account in alive if not account.is_replay]
    if target.everything:
        return real or alive
    running = [account for account in real if account.running]
    waiting = real + [account for account in alive if account.is_replay and account.running]
    return _one_of(running or waiting or alive, verb)


def _one_of(accounts: list[Account], verb: str) -> list[Account]:
    if len(accounts) == 1:
        return accounts
    lines = "\n".join(f"  --run {account.run_id}   {account.words()}{_state(account)}" for account in accounts)
    raise FixConfigError(
        f"{len(accounts)} accounts could be meant; name the one to {verb} with --run or --account, or all with --all:\n"
        f"{lines}"
    )


def _named(accounts: Sequence[Account], target: Target) -> list[Account]:
    if target.run is not None:
        found = [account for account in accounts if account.run_id == target.run]
        if not found:
            known = ", ".join(f"{account.run_id} ({account.mode})" for account in accounts[:10])
            raise FixConfigError(f"--run {target.run}: no such run; there are {known or 'none'}")
        return found
    wanted = str(target.account)
    found = [account for account in accounts if wanted in (account.given_name, account.number)]
    found = found or [account for account in accounts if wanted == account.name]
    if not found:
        names = list(dict.fromkeys(account.name for account in accounts))
        hint = did_you_mean(wanted, names)
        listed = "" if hint else f"; there are {', '.join(names[:10]) or 'none'}"
        raise FixConfigError(f"--account {wanted}: no such account{hint}{listed}")
    return found


def _state(account: Account) -> str:
    return ", running" if account.running else ", no engine runs"
