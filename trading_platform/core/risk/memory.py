"""RiskManager's memory as text: canonical JSON with version and checksum, exact to the last bit of every float."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.ledger import ACCOUNT
from trading_platform.core.ports import RiskStateStore
from trading_platform.core.saved_books import (
    FIRST_ACCOUNT,
    BadBookError,
    account_text,
    read_account,
    read_slots,
    slots_text,
)
from trading_platform.core.simulate import Books
from trading_platform.core.types import RiskEvent, RiskEventKind

VERSION = 3
MOST_EVIDENCE = 16_384  # characters of a damaged envelope that are kept
# Fields that a memory of version 2 or older has not: they start at 0.
SINCE_SECOND = frozenset(ACCOUNT.names or ()) - frozenset(FIRST_ACCOUNT)
NULLABLE = frozenset({"equity", "pause_until"})  # of the account: unknown, and waiting for the exchange clock


class RiskMemoryError(OperatorNeededError):
    """The stored risk memory cannot be trusted: trading stays halted until an operator resumes."""


class NewerMemoryError(RiskMemoryError):
    """The memory is that of a newer version, which can still read it: it must not be overwritten."""


@dataclass(slots=True)
class Standing:
    """What keeps new risk out, beside the account's numbers. Sessions are ISO dates, instants ISO with offset.

    `session` is the exchange session that the day's loss belongs to, `release_session` the last one whose reading
    counted towards the release of a drawdown halt. `halt_session` and `halt_book` (account and slots at the halt) are
    what the shadow is recomputed from. `evidence` is the damaged memory that a fault is about.
    """

    manual_halt: str | None = None
    manual_halt_since: str | None = None
    fault: str | None = None
    fault_since: str | None = None
    halted_since: str | None = None
    halt_session: str | None = None
    halt_book: str | None = None
    daily_since: str | None = None
    pause_since: str | None = None
    session: str | None = None
    release_session: str | None = None
    evidence: str | None = None

    def fail(self, fault: str, now: datetime, evidence: str | None = None) -> None:
        """Note a fault of the memory; the first one noted stays."""
        if self.fault is None:
            self.fault, self.fault_since, self.evidence = fault, now.isoformat(), evidence

    def forget_halt(self) -> None:
        """Forget a drawdown halt that has ended."""
        self.halted_since = self.halt_session = self.halt_book = self.release_session = None

    def note(self, events: Iterable[RiskEvent], session: date | None, now: datetime, books: Books) -> None:
        """Note what a reading of `session` changed; `books` is the book as it stands."""
        day = None if session is None else session.isoformat()
        for event in events:
            match event.kind:
                case RiskEventKind.HALT:
                    self.halted_since = self.halt_session = self.release_session = day
                    self.halt_book = book_to_json(books)
                case RiskEventKind.RELEASE:
                    self.forget_halt()
                case RiskEventKind.DAILY_LOSS:
                    self.daily_since = now.isoformat()


@dataclass(frozen=True, slots=True)
class RiskMemory:
    """What RiskManager must not forget: `account` holds every field of the ACCOUNT record, the rest is `Standing`'s.

    An equity that is unknown and a pause that waits for the exchange clock are null.
    """

    saved_at: str
    clock: float
    config_fingerprint: str
    account: dict[str, float | None]
    manual_halt: str | None
    manual_halt_since: str | None
    fault: str | None
    fault_since: str | None
    halted_since: str | None
    halt_session: str | None
    halt_book: str | None
    daily_since: str | None
    pause_since: str | None
    session: str | None
    release_session: str | None
    evidence: str | None = None

    def standing(self) -> Standing:
        """Return the part that is not numbers of the account."""
        return Standing(**{field.name: getattr(self, field.name) for field in fields(Standing)})


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a start finds: the memory and its fault (each may be None), the damaged text, and what to leave alone."""

    memory: RiskMemory | None
    fault: str | None = None
    evidence: str | None = None
    untouchable: str | None = None


def remember(store: RiskStateStore, now: datetime) -> Remembered:
    """Return what `store` holds.

    Damaged memory is kept as evidence inside the new one, so that a halt which comes before an operator has looked is
    not forgotten by the next restart. Memory of a newer version is left untouched: the upgrade can read it.
    Memory of other limits (another config fingerprint) is taken: peaks, halts and streaks belong to the account.
    """
    envelope = store.load()
    if envelope is None:
        fault = "risk memory is missing although this account has traded; look, then resume"
        return Remembered(None, fault if store.has_trades() else None)
    try:
        memory = decode(envelope)
    except NewerMemoryError as error:
        return Remembered(None, str(error), untouchable=envelope)
    except RiskMemoryError as error:
        return Remembered(None, str(error), evidence=envelope[:MOST_EVIDENCE])
    return Remembered(memory, clock_fault(memory, now))


def encode(memory: RiskMemory) -> str:
    """Return the envelope of `memory`: {"version", "checksum", "payload"}, all of it strict JSON."""
    payload = json.dumps(asdict(memory), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return json.dumps({"version": VERSION, "checksum": checksum(payload), "payload": payload})


def decode(envelope: str) -> RiskMemory:
    """Return the memory in `envelope`.

    Raises
    ------
    RiskMemoryError
        Unreadable, checksum mismatch, written by a newer version, or with wrong fields.
    """
    try:
        outer = json.loads(envelope)
        version, stored, payload = outer["version"], outer["checksum"], outer["payload"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RiskMemoryError(f"risk memory is unreadable ({type(error).__name__}); look, then resume") from error
    if type(version) is int and version > VERSION:
        raise NewerMemoryError(
            f"risk memory was written by version {version!r}, this is {VERSION}; upgrade, then resume"
        )
    if type(version) is not int or version < 1:
        raise RiskMemoryError(f"risk memory has the impossible version {version!r}; look, then resume")
    if not isinstance(payload, str) or checksum(payload) != stored:
        raise RiskMemoryError(
            "risk memory does not match its checksum; someone or something changed it; look, then resume"
        )
    try:
        memory = RiskMemory(**json.loads(payload))
        if datetime.fromisoformat(memory.saved_at).tzinfo is None:
            raise ValueError("saved_at has no time zone")
        wrong = _wrong_numbers(memory.account)
    except (ValueError, TypeError, AttributeError) as error:
        raise RiskMemoryError(f"risk memory has the wrong fields ({error}); look, then resume") from error
    if wrong:
        raise RiskMemoryError(f"risk memory lacks a number for {', '.join(wrong)}; look, then resume")
    return memory


def clock_fault(memory: RiskMemory, now: datetime) -> str | None:
    """Return what is wrong if `memory` was saved after `now`: the clock went back, so sessions cannot be told."""
    if datetime.fromisoformat(memory.saved_at) <= now:
        return None
    return f"risk memory was saved at {memory.saved_at}, after now ({now}): the clock went back; mend it, then resume"


def _wrong_numbers(account: dict[str, float | None]) -> list[str]:
    """Return the fields of the ACCOUNT record without a number; only those of `NULLABLE` may be null."""
    wrong = []
    for name in ACCOUNT.names or ():
        value = account.get(name, 0.0 if name in SINCE_SECOND else "missing")
        if value is None and name in NULLABLE:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            wrong.append(name)
    return wrong


def checksum(payload: str) -> str:
    """Return the SHA-256 of `payload` in hex."""
    return hashlib.sha256(payload.encode()).hexdigest()


def record_to_dict(record: Any) -> dict[str, float | None]:
    """Return an ACCOUNT record by field name, as plain numbers, null where not finite."""
    values = zip(ACCOUNT.names or (), record.tolist(), strict=True)
    return {name: value if math.isfinite(value) else None for name, value in values}


def fill_record(record: Any, values: dict[str, float | None]) -> None:
    """Write `values` into an ACCOUNT record."""
    for name in ACCOUNT.names or ():
        value = values.get(name, 0.0)
        record[name] = math.nan if value is None else value
    if "total_peak" not in values:  # memory of a version that had no limit of the total drawdown
        record["total_peak"] = record["lifetime_peak"]


def book_to_json(books: Books) -> str:
    """Return the one book of `books` as JSON; floats survive exactly."""
    slots = slots_text(books.slots[0], books.lots[0], books.stopped[0])
    return json.dumps({"account": account_text(books.accounts), "slots": slots})


def book_from_json(text: str, books: Books) -> None:
    """Write the book in `text` into the one book of `books`.

    Raises
    ------
    RiskMemoryError
        The text is no book of this shape.
    """
    try:
        outer = json.loads(text)
        account, slots = outer["account"], outer["slots"]
        if not isinstance(account, str):  # the first version: records as they are
            account, slots = json.dumps(account), json.dumps({"slots": slots})
        books.accounts[0] = read_account(account)[0]
        read_slots(slots, books.slots[0], books.lots[0], books.stopped[0])
    except BadBookError as error:
        raise RiskMemoryError(f"{error}; look, then resume") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RiskMemoryError(f"a stored book is unreadable ({error}); look, then resume") from error
