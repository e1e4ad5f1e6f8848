"""Proof of life of a live engine: the row that holds its run, and a file for people and supervisors."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from trading_platform.machine.clocks import utc_now

HEARTBEAT_FILE = "heartbeat.json"  # in TRADING_LOG_DIR


class Holder(Protocol):
    """The hold on a run (`storage.runs.RunLock`)."""

    def beat(self, now: datetime, note: str) -> None:
        """Say that this engine lives; raises where another engine has taken the run over."""
        ...


@dataclass(slots=True)
class Heartbeat:
    """Beats the run's row and writes a file, by the machine's own time, whatever clock is traded on.

    Attributes
    ----------
    holder, path, run_id
        The hold on the run; the file (None: none); the run.
    scanned, last_session, reconciled
        The engine's time of the last scan whose work is committed, the newest session settled, and the engine's time
        of the last usable reading of the account.
    note
        What was said last.
    """

    holder: Holder
    path: Path | None
    run_id: int
    scanned: datetime | None = None
    last_session: date | None = None
    reconciled: datetime | None = None
    note: str = "started"

    def beat(self, now: datetime, note: str) -> None:
        """Say that the engine lives; `now` is the engine's time."""
        self.note = note
        at = utc_now()
        self.holder.beat(at, note)
        if self.path is None:
            return
        facts = {
            "run_id": self.run_id,
            "pid": os.getpid(),
            "at": at.isoformat(),
            "clock": now.isoformat(),
            "scanned": _text(self.scanned),
            "reconciled": _text(self.reconciled),
            "last_session": _text(self.last_session),
            "note": note,
        }
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        with suppress(OSError):  # a full disk must not stop an engine that holds positions
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(facts) + "\n", encoding="utf-8")
            partial.replace(self.path)


def _text(value: date | None) -> str | None:
    return None if value is None else value.isoformat()
