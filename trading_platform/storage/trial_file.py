"""The file of the trial in service, ``trial.json`` beside the models: private, replaced atomically, plain JSON.

A wealth that is lost is an error that was spent for nothing, so that a file that cannot be read is never taken for no
file: the job stops, says what is wrong, and somebody restores it.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from filelock import FileLock

from trading_platform.core.errors import RetrainModelError
from trading_platform.evaluation.promotion import Objective
from trading_platform.evaluation.service_trial import Entry, Sums, Trial, TrialState
from trading_platform.evaluation.wealth import Wager, begun_again, new_wager
from trading_platform.machine.durable_files import BINARY, sync_folder
from trading_platform.storage.model_manifest import MODEL_ID

TRIAL_FILE = "trial.json"
TRIAL_VERSION = 2
# Its sums of a trial for risk were of another kind, and it charged every moved weight in full.
OLD_VERSION = 1
MAX_TRIAL_BYTES = 200_000


class TrialFile:
    """The trial of one registry's folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / TRIAL_FILE

    def read(self) -> Trial | None:
        """Return the trial, None when there never was one.

        Raises
        ------
        RetrainModelError
            The file is damaged, of another version, or makes no sense.
        """
        try:
            # Not blocking, since a pipe under this name would wait for ever.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError("it is no file")
                content = stream.read(MAX_TRIAL_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RetrainModelError(f"{self.path}: cannot be read ({error}); restore it") from error
        try:
            if len(content) > MAX_TRIAL_BYTES:
                raise ValueError(f"it is larger than {MAX_TRIAL_BYTES} bytes")
            return parse_trial(content.decode("utf-8"))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise RetrainModelError(
                f"{self.path}: {error}; restore it from a backup, or delete it, and the trial begins anew"
            ) from error

    def write(self, trial: Trial) -> None:
        """Replace the file; a kill at any moment leaves the old or the new one."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.folder / f".{TRIAL_FILE}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(trial_text(trial).encode())
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second job out from reading to writing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(self.folder / ".trial.lock"):
            yield


def trial_text(trial: Trial) -> str:
    """Return the file's text."""
    document = {
        "version": TRIAL_VERSION,
        "number": trial.number,
        "state": str(trial.state),
        "objective": str(trial.objective),
        "strategies": list(trial.strategies),
        "serving": trial.serving,
        "entries": [
            {"model_id": entry.model_id, "seen": entry.seen.isoformat(), "traded": entry.traded}
            for entry in trial.entries
        ],
        "serving_traded": trial.serving_traded,
        "began": trial.began.isoformat(),
        "fed": trial.fed.isoformat(),
        "wealth": trial.wealth,
        "wager": _plain(trial.wager),
        "sums": _plain(trial.sums),
        "fold_gain": trial.fold_gain,
        "fold_sessions": trial.fold_sessions,
        "min_total_gain": trial.min_total_gain,
        "ratio": trial.ratio,
        "unknown": trial.unknown,
        "events": list(trial.events),
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def parse_trial(text: str) -> Trial:
    """Read a file's text. Raises ValueError, TypeError or KeyError with what is wrong."""
    document = json.loads(text, parse_constant=_no_constant)
    if not isinstance(document, dict) or document.get("version") not in (OLD_VERSION, TRIAL_VERSION):
        raise ValueError(f"is of no version that this program reads ({OLD_VERSION}, {TRIAL_VERSION})")
    wager, sums = _table(document, "wager"), _table(document, "sums")
    trial = Trial(
        number=_count(document, "number"),
        objective=Objective(document["objective"]),
        strategies=tuple(_texts(document, "strategies")),
        serving=_model(document["serving"]) if document["serving"] else "",
        entries=tuple(_entry(entry) for entry in document["entries"]),
        began=date.fromisoformat(document["began"]),
        fed=date.fromisoformat(document["fed"]),
        wager=Wager(
            _number(wager, "stake"),
            _numbers(wager, "sizes"),
            _numbers(wager, "bets"),
            _numbers(wager, "scale"),
            _count(wager, "sessions"),
        ),
        sums=Sums(_count(sums, "sessions"), *(_number(sums, field.name) for field in fields(Sums)[1:])),
        fold_gain=_number(document, "fold_gain"),
        fold_sessions=_count(document, "fold_sessions"),
        min_total_gain=_number(document, "min_total_gain"),
        ratio=None if document["ratio"] is None else _number(document, "ratio"),
        state=TrialState(document["state"]),
        unknown=_count(document, "unknown"),
        events=tuple(_texts(document, "events")),
        serving_traded=_share(document, "serving_traded"),
    )
    if not trial.entries or not trial.strategies:
        raise ValueError("entries and strategies must name at least one")
    told = _number(document, "wealth")
    if not math.isclose(told, trial.wealth, rel_tol=1e-9):
        raise ValueError(f"wealth is {told:g}, its bets make {trial.wealth:g}: the file was altered")
    return _renewed(trial) if document["version"] == OLD_VERSION else trial


def _renewed(trial: Trial) -> Trial:
    """Return a trial of an older file: one for risk goes on with its wealth, learning its scale anew."""
    if trial.objective is not Objective.RISK:
        return trial
    wager = new_wager(Objective.RISK, begun_again(trial.wager).stake)
    return replace(trial, wager=wager, sums=Sums())


def _entry(value: dict[str, Any]) -> Entry:
    return Entry(_model(value["model_id"]), date.fromisoformat(value["seen"]), _share(value, "traded"))


def _share(document: dict[str, Any], name: str) -> float:
    value = _number(document, name) if name in document else 1.0
    if not (0.0 <= value <= 1.0):
        raise ValueError(f"{name} must be in [0, 1], was {value:g}")
    return value


def _plain(value: Wager | Sums) -> dict[str, object]:
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()}


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document[name]
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be an object, was {value!r}")
    return value


def _number(document: dict[str, Any], name: str) -> float:
    value = document[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise TypeError(f"{name} must be a finite number, was {value!r}")
    return float(value)


def _count(document: dict[str, Any], name: str) -> int:
    value = document[name]
    if type(value) is not int or value < 0:
        raise TypeError(f"{name} must be a whole number of at least 0, was {value!r}")
    return value


def _numbers(document: dict[str, Any], name: str) -> tuple[float, ...]:
    values = document[name]
    if not isinstance(values, list):
        raise TypeError(f"{name} must be a list, was {values!r}")
    return tuple(_number({name: value}, name) for value in values)


def _texts(document: dict[str, Any], name: str) -> list[str]:
    values = document[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name} must be a list of texts, was {values!r}")
    return values


def _model(value: object) -> str:
    if not isinstance(value, str) or not MODEL_ID.fullmatch(value):
        raise ValueError(f"{value!r} is no model id")
    return value
