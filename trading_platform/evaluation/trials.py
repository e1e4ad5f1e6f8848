"""Records of the trial ledger: every fit ever made, so that the best one can be judged by how many there were.

The ledger is a text file with one JSON object a line, only ever appended to; the model registry owns the file. This
module owns the lines and what they add up to. A failed fit is a trial, too: its figures are null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np

from trading_platform.core.errors import OperatorNeededError

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One fit and what it scored on validation.

    Attributes
    ----------
    trial_id
        Unique; a resumed run that writes its trial again is counted once.
    recorded_at
        When, aware and in UTC.
    purpose
        What the fit was for, e.g. ``train``, ``walk_forward``, ``retrain``, ``control``.
    fold
        Which window, e.g. ``2006``; empty when there is only one.
    seed
        Seed of the fit.
    config_fingerprint, data_hash
        Of the settings and of the market data.
    n_sessions
        Validation sessions behind the figures.
    sharpe, difference_sharpe
        Annualised, on validation, after costs: of the policy, and of its volatility-matched difference to equal
        weight (`sharpe_tests.matched_difference`), which the gate deflates. None when the fit failed.
    """

    trial_id: str
    recorded_at: datetime
    purpose: str
    fold: str
    seed: int
    config_fingerprint: str
    data_hash: str
    n_sessions: int
    sharpe: float | None
    difference_sharpe: float | None

    def __post_init__(self) -> None:
        if self.recorded_at.utcoffset() is None:
            raise ValueError(f"recorded_at must be aware, was {self.recorded_at.isoformat()}")
        for name in ("sharpe", "difference_sharpe"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} must be finite, or None for a failed fit, was {value}")

    def to_line(self) -> str:
        """Return the record as one line of JSON without the line end."""
        content = asdict(self) | {"recorded_at": self.recorded_at.astimezone(UTC).isoformat(), "schema": SCHEMA_VERSION}
        return json.dumps(content, sort_keys=True, allow_nan=False)


@dataclass(frozen=True, slots=True)
class TrialSummary:
    """What the deflated Sharpe ratio needs: how many trials, and the variance of their annualised ratios.

    `sharpe_variance` is that of `difference_sharpe` over the trials that have one; NaN with fewer than two of them,
    which makes the gate refuse.
    """

    n_trials: int
    sharpe_variance: float


def parse_line(line: str, where: str) -> TrialRecord:
    """Read one line of the ledger; `where` names file and line number in the error.

    Raises
    ------
    OperatorNeededError
        The line is no record of this version. A ledger that cannot be read must not silently become a shorter one.
    """
    try:
        content = json.loads(line)
        if not isinstance(content, dict):
            raise TypeError("not a JSON object")
        return _record(content)
    except (ValueError, TypeError) as problem:
        raise OperatorNeededError(
            f"trial ledger {where}: {problem}; restore the file from a backup, since trials that are forgotten "
            "make luck look like skill"
        ) from problem


def summarise(records: Iterable[TrialRecord], n_sessions: int | None = None) -> TrialSummary:
    """Count distinct trials and measure how much their validation figures vary.

    Of worthless trials all variance is sampling noise, which falls with the square root of the sessions. The best of
    trials on 70 sessions is far luckier than the best on 4,000: with `n_sessions` each figure is brought to the spread
    that it would have on so many, which is that of the series to be deflated. Without, figures are taken as they are.
    """
    distinct = {record.trial_id: record for record in records}
    scores = np.array(
        [
            record.difference_sharpe * (1.0 if n_sessions is None else math.sqrt(record.n_sessions / n_sessions))
            for record in distinct.values()
            if record.difference_sharpe is not None
        ]
    )
    return TrialSummary(len(distinct), float(scores.var(ddof=1)) if len(scores) >= 2 else math.nan)


def _record(content: dict[str, Any]) -> TrialRecord:
    version = content.pop("schema", None)
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema {version!r}, this program reads {SCHEMA_VERSION}")
    expected = {f.name for f in fields(TrialRecord)}
    if set(content) != expected:
        raise ValueError(f"missing {sorted(expected - set(content))}, unknown {sorted(set(content) - expected)}")
    for name in ("trial_id", "recorded_at", "purpose", "fold", "config_fingerprint", "data_hash"):
        if not isinstance(content[name], str):
            raise TypeError(f"{name} must be text, was {content[name]!r}")
    for name in ("seed", "n_sessions"):
        if type(content[name]) is not int:
            raise TypeError(f"{name} must be a whole number, was {content[name]!r}")
    for name in ("sharpe", "difference_sharpe"):
        if content[name] is not None and type(content[name]) not in (int, float):
            raise TypeError(f"{name} must be a number or null, was {content[name]!r}")
    return TrialRecord(**content | {"recorded_at": datetime.fromisoformat(content["recorded_at"])})
