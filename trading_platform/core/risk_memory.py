"""RiskManager's memory as text: canonical JSON with version and checksum, exact to the last bit of every float."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.ledger import ACCOUNT, SLOT, Records

VERSION = 1


class RiskMemoryError(OperatorNeededError):
    """The stored risk memory cannot be trusted: trading stays halted until an operator resumes."""


@dataclass(frozen=True, slots=True)
class RiskMemory:
    """What RiskManager must not forget.

    `account` holds every field of the ACCOUNT record. `halt_session` and `halt_book` (account and slots at the halt)
    are what the shadow is recomputed from. Sessions are ISO dates, instants ISO with offset.
    """

    saved_at: str
    clock: float
    config_fingerprint: str
    account: dict[str, float]
    manual_halt: str | None
    manual_halt_since: str | None
    fault: str | None
    halted_since: str | None
    halt_session: str | None
    halt_book: str | None


def encode(memory: RiskMemory) -> str:
    """Return the envelope of `memory`: {"version", "checksum", "payload"}."""
    payload = json.dumps(asdict(memory), sort_keys=True, separators=(",", ":"))
    return json.dumps({"version": VERSION, "checksum": checksum(payload), "payload": payload})


def decode(envelope: str, now: datetime) -> RiskMemory:
    """Return the memory in `envelope`.

    Raises
    ------
    RiskMemoryError
        Unreadable, checksum mismatch, written by a newer version, or saved after `now` (the clock went backwards).
    """
    try:
        outer = json.loads(envelope)
        version, stored, payload = outer["version"], outer["checksum"], outer["payload"]
    except (ValueError, KeyError, TypeError) as error:
        raise RiskMemoryError(f"risk memory is unreadable ({type(error).__name__}); look, then resume") from error
    if not isinstance(version, int) or version > VERSION:
        raise RiskMemoryError(
            f"risk memory was written by version {version!r}, this is {VERSION}; upgrade, then resume"
        )
    if not isinstance(payload, str) or checksum(payload) != stored:
        raise RiskMemoryError(
            "risk memory does not match its checksum; someone or something changed it; look, then resume"
        )
    try:
        memory = RiskMemory(**json.loads(payload))
        saved_at = datetime.fromisoformat(memory.saved_at)
        missing = set(ACCOUNT.names or ()) - memory.account.keys()
    except (ValueError, TypeError, AttributeError) as error:
        raise RiskMemoryError(f"risk memory has the wrong fields ({error}); look, then resume") from error
    if missing:
        raise RiskMemoryError(f"risk memory lacks {', '.join(sorted(missing))}; look, then resume")
    if saved_at > now:
        raise RiskMemoryError(
            f"risk memory was saved at {saved_at}, after now ({now}): the clock went back; mend it, resume"
        )
    return memory


def checksum(payload: str) -> str:
    """Return the SHA-256 of `payload` in hex."""
    return hashlib.sha256(payload.encode()).hexdigest()


def record_to_dict(record: Any) -> dict[str, float]:
    """Return an ACCOUNT record by field name, as plain numbers."""
    return dict(zip(ACCOUNT.names or (), record.tolist(), strict=True))


def fill_record(record: Any, values: dict[str, float]) -> None:
    """Write `values` into an ACCOUNT record."""
    for name in ACCOUNT.names or ():
        record[name] = values[name]


def book_to_json(accounts: Records, slots: Records) -> str:
    """Return one book, accounts (1,) and slots (1, S), as JSON; floats survive exactly."""
    return json.dumps({"account": accounts[0].tolist(), "slots": slots[0].tolist()})


def book_from_json(text: str, accounts: Records, slots: Records) -> None:
    """Write the book in `text` into accounts (1,) and slots (1, S).

    Raises
    ------
    RiskMemoryError
        The text is no book of this shape.
    """
    try:
        outer = json.loads(text)
        account = np.array([tuple(outer["account"])], dtype=ACCOUNT)
        rows = np.array([tuple(row) for row in outer["slots"]], dtype=SLOT)
    except (ValueError, KeyError, TypeError) as error:
        raise RiskMemoryError(f"a stored book is unreadable ({error}); look, then resume") from error
    if rows.shape != slots[0].shape:
        raise RiskMemoryError(f"a stored book has {len(rows)} slots, the configuration allows {slots.shape[1]}")
    accounts[0] = account[0]
    slots[0] = rows
