"""Pages of the machine: who splits capital and on what trial, and whether everything is well."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request

from trading_platform.core.errors import RepairDatabaseError, TradingPlatformError
from trading_platform.desk.frame import Context, meter
from trading_platform.desk.lists import DeedLine, recent_deeds
from trading_platform.desk.place import Desk
from trading_platform.evaluation.wealth import LIMIT
from trading_platform.operations.doctor import examine_without_keys
from trading_platform.operations.doctor_findings import CheckVerdict, Finding
from trading_platform.storage.database import database_name, database_url
from trading_platform.storage.model_manifest import ModelManifest
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.storage.trial_file import TrialFile

DOCTOR_SECONDS = 60.0  # findings are that old at most
LOG_LINES, LOG_BYTES = 60, 64_000
LOG_FILE = "*.log"
MOST_MODELS = 30
TONES = {CheckVerdict.OK: "good", CheckVerdict.WARNING: "warn", CheckVerdict.FAILED: "bad", CheckVerdict.SKIPPED: "off"}


@dataclass
class Cached:
    """The doctor's last findings and when they were made."""

    at: float = -1e9
    findings: Sequence[Finding] = ()
    lock: threading.Lock = field(default_factory=threading.Lock)


CACHED: dict[str, Cached] = {}


def health(desk: Desk, _: Request) -> Context:
    """Return what the doctor finds without any key, remarks on the data of each account, and the end of the log."""
    cached = CACHED.setdefault(desk.url, Cached())
    with cached.lock:
        if desk.steady() - cached.at > DOCTOR_SECONDS:
            cached.findings, cached.at = examine_without_keys(desk.settings, desk.url, desk.config_file), desk.steady()
    name, lines = log_tail(desk.settings.log_dir)
    return {
        "title": "Health",
        "findings": [(finding, TONES[finding.verdict]) for finding in cached.findings],
        "age": round(desk.steady() - cached.at),
        "remarks": _remarks(desk),
        "deeds": _deeds(desk),
        "database": database_name(database_url(desk.url)),
        "log_name": name,
        "log": lines,
    }


def _deeds(desk: Desk) -> list[DeedLine]:
    try:
        return desk.read(recent_deeds)
    except RepairDatabaseError:
        return []


def _remarks(desk: Desk) -> list[tuple[int, str]]:
    try:
        rows = desk.read(lambda reader: list(reader.rows(REMARKS)))
    except RepairDatabaseError:
        return []
    return [(int(row[0]), str(row[1])) for row in rows]


REMARKS = """
SELECT w.run_id, w.message FROM data_warnings w JOIN runs r ON r.id = w.run_id
WHERE r.mode <> 'replay' ORDER BY w.run_id DESC, w.id LIMIT 100"""


def log_tail(folder: Path) -> tuple[str, str]:
    """Return the newest log's name and its last lines; secrets were masked when they were written."""
    try:
        newest = max(folder.glob(LOG_FILE), key=lambda path: path.stat().st_mtime, default=None)
        if newest is None:
            return "", ""
        with newest.open("rb") as stream:
            stream.seek(max(0, newest.stat().st_size - LOG_BYTES))
            text = stream.read(LOG_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return "", ""
    return newest.name, "\n".join(text.splitlines()[-LOG_LINES:])


def allocator(desk: Desk, _: Request) -> Context:
    """Return the champion, the challenger's trial, and how each model did at the gate."""
    registry, problems = ModelRegistry(desk.models_dir), []
    champion = trial = None
    try:
        champion = registry.champion()
    except TradingPlatformError as error:
        problems.append(str(error))
    try:
        trial = TrialFile(desk.models_dir).read()
    except TradingPlatformError as error:
        problems.append(str(error))
    models, refused = _models(registry)
    serving = None if champion is None else next((one for one in models if one.model_id == champion.model_id), None)
    return {
        "title": "Allocator",
        "champion": champion,
        "serving": serving,
        "problems": [*problems, *refused],
        "trial": None if trial is None else _trial(trial),
        "models": [_model(one) for one in models[:MOST_MODELS]],
        "n_models": len(models),
        "folder": str(desk.models_dir),
    }


def _models(registry: ModelRegistry) -> tuple[list[ModelManifest], list[str]]:
    found, problems = [], []
    for model_id in registry.model_ids():
        try:
            found.append(registry.manifest(model_id))
        except TradingPlatformError as error:
            problems.append(str(error))
    return sorted(found, key=lambda one: one.created_at, reverse=True), problems


def _trial(trial: Any) -> Context:
    wealth = float(trial.wealth)
    return {
        "challenger": trial.challenger,
        "serving": trial.serving or "equal weight",
        "state": str(trial.state),
        "began": trial.began,
        "fed": trial.fed,
        "sessions": trial.sums.sessions,
        "wealth": wealth,
        "limit": LIMIT,
        "meter": meter(wealth / LIMIT if LIMIT else None, f"wealth {wealth:.2f} of {LIMIT:g}"),
        "number": trial.number,
        "events": list(reversed(trial.events))[:12],
    }


def _model(one: ModelManifest) -> Context:
    """Return a model with its figures at the gate, those with a threshold as bars."""
    gate, metrics = dict(one.gate), dict(one.metrics)
    bars = []
    for name, value in gate.items():
        limit = gate.get(f"{name}_threshold", gate.get(f"{name}.threshold"))
        if isinstance(value, int | float) and isinstance(limit, int | float) and not isinstance(value, bool) and limit:
            bars.append((name, value, limit, meter(value / limit, f"{name}: {value:.3g}, needs {limit:.3g}")))
    shown = {name for name, *_ in bars}
    plain = {name: value for name, value in gate.items() if name.partition("_threshold")[0] not in shown}
    return {
        "id": one.model_id,
        "created": one.created_at[:16].replace("T", " "),
        "seen": one.data_end,
        "is_admitted": one.promoted_by_gate,
        "seeds": len(one.seeds),
        "bars": bars,
        "gate": [(name.replace("_", " "), _figure(value)) for name, value in plain.items()],
        "metrics": [(name.replace("_", " "), _figure(value)) for name, value in metrics.items()],
        "on_rules": one.on_rules,
    }


def _figure(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
