"""The ledger of trials: one line for every fit ever made in a registry, so that luck can be told from skill.

Lines are only ever appended. The deflated Sharpe ratio needs how many there were and how widely their validation
Sharpe ratios spread; a line torn by a crash still counts as a fit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

LEDGER_FILE = "trials.jsonl"


@dataclass(frozen=True, slots=True)
class Trial:
    """One fit. `sharpe` is the annualised validation Sharpe ratio, None when it could not be measured."""

    at: str
    run: str
    fold: str
    seed: int
    setup: str  # fingerprint of the training options
    data: str  # hash of the market data
    steps: int
    sharpe: float | None


@dataclass(frozen=True, slots=True)
class TrialCount:
    """Number of fits, and the variance of their annualised Sharpe ratios (NaN below two known ones)."""

    trials: int
    variance: float


class TrialLedger:
    """The append-only file of one registry."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / LEDGER_FILE

    def append(self, trials: Sequence[Trial]) -> None:
        """Add one line each, durably, in one write, so that processes that train at once do not mix their lines."""
        if not trials:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = "".join(json.dumps(asdict(trial), allow_nan=False) + "\n" for trial in trials)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                text = "\n" + text  # the last writer was killed in the middle of a line
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def count(self) -> TrialCount:
        """Count all fits so far."""
        lines = list(self._lines())
        sharpes = [value for value in map(_sharpe_of, lines) if value is not None]
        return TrialCount(len(lines), float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else float("nan"))

    def _lines(self) -> Iterator[str]:
        if self.path.exists():
            with self.path.open(encoding="utf-8", errors="replace") as stream:
                yield from (line for line in stream if line.strip())


def trial(at: datetime, run: str, fold: str, seed: int, setup: str, data: str, steps: int, sharpe: float) -> Trial:
    """Return a ledger line; a Sharpe ratio that is not finite is unknown."""
    return Trial(at.isoformat(), run, fold, seed, setup, data, steps, float(sharpe) if np.isfinite(sharpe) else None)


def _sharpe_of(line: str) -> float | None:
    try:
        value = json.loads(line)["sharpe"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
