"""The file of the trial ledger: one line for every fit ever made in a registry, only ever appended to.

What a line says and what lines add up to is in :mod:`trading_platform.evaluation.trials`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from trading_platform.core.errors import OperatorNeededError
from trading_platform.evaluation.trials import TrialRecord, TrialSummary, parse_line, summarise
from trading_platform.machine.durable_files import BINARY

LEDGER_FILE = "trials.jsonl"


class TrialLedger:
    """The append-only file of one registry."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / LEDGER_FILE

    def append(self, trials: Sequence[TrialRecord]) -> None:
        """Add one line each, durably; processes that train at once wait for each other.

        Without the lock one could see another's write half done, and take it for that of a killed process.
        """
        if not trials:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = "".join(trial.to_line() + "\n" for trial in trials)
        with self._lock():
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.lseek(descriptor, size - 1, os.SEEK_SET) >= 0 and os.read(descriptor, 1) != b"\n":
                    text = "\n" + text  # the last writer was killed in the middle of a line
                os.write(descriptor, text.encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _lock(self) -> FileLock:
        return FileLock(self.path.with_name(f".{self.path.name}.lock"))

    def summary(self, n_sessions: int | None = None) -> TrialSummary:
        """Return number and spread of all fits so far, see `trials.summarise`.

        A line torn by a crash is a fit whose figures are unknown.
        """
        records: list[TrialRecord] = []
        unreadable = 0
        if self.path.exists():
            with self._lock():
                text = self.path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(text.splitlines(), 1):
                try:
                    records.append(parse_line(line, f"{self.path}:{number}"))
                except OperatorNeededError:
                    unreadable += 1
        known = summarise(records, n_sessions)
        return replace(known, n_trials=known.n_trials + unreadable)
