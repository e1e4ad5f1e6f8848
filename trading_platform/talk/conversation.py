"""What the service answers: commands and buttons become reads, or command rows; never anything else.

What frees or spends money needs a button, which is good for a minute and for whoever asked.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Engine

from trading_platform.core.errors import FixConfigError
from trading_platform.operations.consent_commands import Said, leave_answer
from trading_platform.reporting.status_screen import ahead_words, status_lines
from trading_platform.reporting.why import why_lines
from trading_platform.storage.consents import CONSENT, VETO, next_open
from trading_platform.storage.operator_requests import leave_command
from trading_platform.storage.run_state import RunState
from trading_platform.storage.run_status import run_status
from trading_platform.storage.run_targets import KINDS, Account, Target, all_accounts, meant_accounts

CONFIRM_WITHIN = timedelta(seconds=60)
FRESH = timedelta(seconds=60)  # a command that waited longer was meant for another moment
ALWAYS = ("/halt",)  # unless it makes things safer
HELP = (
    "/status /positions /report /why TICKER /orders /halt [why] /resume [why] /flatten [why]\n"
    "With several accounts: add @NAME, as in /status @savings. /resume and /flatten ask once more."
)
MONEY = {"replay": "SIMULATED", "paper": "PAPER", "alpaca_paper": "PAPER", "alpaca_live": "REAL MONEY"}
DOES = {
    "halt": "nothing new is opened until /resume",
    "resume": "new positions may be opened again",
    "flatten": "every position is sold at the open after the next close, and nothing new is opened until /resume",
}


class Sender(NamedTuple):
    """Who speaks: a user of Telegram, already known to be allowed."""

    user: int
    name: str

    @property
    def actor(self) -> str:
        """How the records call them."""
        return f"telegram {self.user}"


class Button(NamedTuple):
    """A button under a message, and what pressing it says to us."""

    text: str
    data: str


class Reply(NamedTuple):
    """An answer: text, and rows of buttons."""

    text: str
    buttons: tuple[tuple[Button, ...], ...] = ()


class Pending(NamedTuple):
    """A command that waits for its confirmation."""

    kind: str
    reason: str
    run_id: int
    user: int
    until: datetime


class Conversation:
    """Answers for the accounts of one database. `report` returns the day's text of a run; `now` is the time."""

    def __init__(self, database: Engine, report: Callable[[int], str], now: Callable[[], datetime]) -> None:
        self._database, self._report, self._now = database, report, now
        self._pending: dict[str, Pending] = {}

    def answer(self, sender: Sender, text: str, said_at: datetime) -> Reply:
        """Return the answer to a message."""
        words = text.split()
        command = words[0].partition("@")[0].lower() if words else ""
        if not command.startswith("/"):
            return Reply(HELP)
        if self._now() - said_at > FRESH and command not in ALWAYS:
            return Reply(f"{command} was sent at {said_at:%Y-%m-%d %H:%M} UTC and is too old: send it again")
        name = next((word[1:] for word in words[1:] if word.startswith("@")), None)
        rest = [word for word in words[1:] if not word.startswith("@")]
        try:
            return self._do(sender, command, rest, self._meant(name, command))
        except FixConfigError as error:
            return Reply(str(error))

    def press(self, sender: Sender, data: str) -> Reply:
        """Return what became of a button: ``ok NONCE``, or ``consent|veto RUN SESSION [TICKER]``."""
        kind, *rest = data.split(" ")
        try:
            if kind == "ok" and len(rest) == 1:
                return self._confirmed(sender, rest[0])
            if kind in (CONSENT, VETO) and len(rest) in (2, 3) and rest[0].isdigit():
                ticker = rest[2] if len(rest) == 3 else None
                said = Said(kind, ticker, "a button in Telegram")
                leave_answer(self._database, int(rest[0]), said, self._now(), sender.actor, rest[1])
                what = "goes" if kind == CONSENT else "stays"
                return Reply(f"{ticker or 'Everything that waits'} {what}: recorded for run {rest[0]} by {sender.name}")
        except FixConfigError as error:
            return Reply(str(error))
        return Reply("this button says nothing to me")

    def proposal(self, run_id: int) -> Reply | None:
        """Return the orders of the next open with buttons for those that wait, or None if none does."""
        ahead = next_open(self._database, run_id)
        if not ahead["waiting"]:
            return None
        lines = [f"**{self._title(run_id)}: orders for the next open**"]
        lines += [f"- {ahead_words(row)}" for row in ahead["orders"]]
        session = ahead["session"]
        every = tuple(
            Button(f"{name} all", f"{kind} {run_id} {session}") for kind, name in ((CONSENT, "yes"), (VETO, "veto"))
        )
        each = tuple(
            (
                Button(f"yes {ticker}", f"{CONSENT} {run_id} {session} {ticker}"),
                Button(f"veto {ticker}", f"{VETO} {run_id} {session} {ticker}"),
            )
            for ticker in ahead["waiting"][:20]
        )
        return Reply("\n".join(lines), (every, *each))

    def accounts(self) -> list[Account]:
        """Return the accounts that an engine trades, or may again."""
        return [a for a in all_accounts(self._database, self._now()) if not a.is_finished]

    # ------------------------------------------------------------ inside

    def _meant(self, name: str | None, command: str) -> Account:
        accounts = all_accounts(self._database, self._now())
        return meant_accounts(accounts, Target(account=name), command.removeprefix("/"))[0]

    def _title(self, run_id: int) -> str:
        account = next(a for a in all_accounts(self._database, self._now()) if a.run_id == run_id)
        kind = KINDS.get(account.mode, account.mode)
        return f"{MONEY.get(account.mode, 'MONEY AT A BROKER OF YOUR OWN')} {kind} {account.name}"

    def _do(self, sender: Sender, command: str, rest: list[str], account: Account) -> Reply:
        run_id, title = account.run_id, self._title(account.run_id)
        match command:
            case "/status":
                return Reply(f"**{title}**\n{self._status(run_id)}")
            case "/positions":
                return Reply("\n".join([f"**{title}**", *self._lines(run_id, "positions")]))
            case "/orders":
                said = self.proposal(run_id)
                orders = [f"- {ahead_words(row)}" for row in next_open(self._database, run_id)["orders"]]
                return said or Reply("\n".join([f"**{title}: next open**", *(orders or ["no orders"])]))
            case "/report":
                return Reply(self._report(run_id))
            case "/why" if len(rest) == 1:
                lines = why_lines(self._database, run_id, rest[0].upper())
                return Reply("\n".join([f"**{title}**", *(lines or [f"nothing was decided about {rest[0].upper()}"])]))
            case "/halt":
                leave_command(
                    self._database,
                    run_id,
                    "halt",
                    " ".join(rest) or "said in Telegram",
                    self._now(),
                    None,
                    sender.actor,
                )
                return Reply(f"halt recorded for {title}: {DOES['halt']}{self._when(account)}")
            case "/resume" | "/flatten":
                return self._ask(sender, command.removeprefix("/"), " ".join(rest), account, title)
        return Reply(HELP)

    def _ask(self, sender: Sender, kind: str, reason: str, account: Account, title: str) -> Reply:
        nonce, until = secrets.token_urlsafe(9), self._now() + CONFIRM_WITHIN
        self._pending = {key: old for key, old in self._pending.items() if old.until > self._now()}
        self._pending[nonce] = Pending(kind, reason or "said in Telegram", account.run_id, sender.user, until)
        words = f"**{title}**\n{account.words()}\n{kind}: {DOES[kind]}. Good for {CONFIRM_WITHIN.seconds} s."
        return Reply(words, ((Button(f"{kind}: yes", f"ok {nonce}"),),))

    def _confirmed(self, sender: Sender, nonce: str) -> Reply:
        pending = self._pending.get(nonce)
        if pending is None or pending.until <= self._now():
            return Reply("this button is too old: nothing was done")
        if pending.user != sender.user:
            return Reply("this button is for whoever asked: nothing was done")
        del self._pending[nonce]
        leave_command(self._database, pending.run_id, pending.kind, pending.reason, self._now(), None, sender.actor)
        account = next(a for a in all_accounts(self._database, self._now()) if a.run_id == pending.run_id)
        return Reply(
            f"{pending.kind} recorded for {self._title(pending.run_id)}: {DOES[pending.kind]}{self._when(account)}"
        )

    def _when(self, account: Account) -> str:
        return "" if account.running else "; no engine runs, it obeys when it is started"

    def _state(self, run_id: int) -> RunState:
        state = run_status(self._database, run_id, self._now())
        account = next(a for a in all_accounts(self._database, self._now()) if a.run_id == run_id)
        if state["heartbeat"] is not None:
            state["heartbeat"]["alive"] = account.running
        return state

    def _status(self, run_id: int) -> str:
        return "\n".join(f"{name}: {text}" if name else f"  {text}" for name, text in status_lines(self._state(run_id)))

    def _lines(self, run_id: int, wanted: str) -> list[str]:
        found, current = [], ""
        for name, text in status_lines(self._state(run_id)):
            current = name or current
            found += [text] if current == wanted else []
        return found
