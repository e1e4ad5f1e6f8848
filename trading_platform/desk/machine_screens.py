"""Pages of the machine: who splits capital and on what trial, and whether everything is well."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from markupsafe import Markup
from starlette.requests import Request

from trading_platform.core.errors import RepairDatabaseError, TradingPlatformError
from trading_platform.desk.frame import Context, meter, trusted
from trading_platform.desk.lists import DeedLine, recent_deeds
from trading_platform.desk.place import Desk
from trading_platform.evaluation.promotion import GateCode
from trading_platform.evaluation.wealth import LIMIT
from trading_platform.operations.doctor import examine_without_keys
from trading_platform.operations.doctor_findings import CheckVerdict, Finding
from trading_platform.reporting.learning_curves import ENDING, curves_figure, read_curves
from trading_platform.storage.database import database_name, database_url
from trading_platform.storage.model_manifest import ModelManifest
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.storage.trial_file import TrialFile

DOCTOR_SECONDS = 60.0  # findings are that old at most
LOG_LINES, LOG_BYTES = 60, 64_000
LOG_FILE = "*.log"
MOST_MODELS = 30
REPORTS = "reports"  # beside the models: what training wrote about them
GATE_WORDS = {
    GateCode.SESSIONS: ("Judged sessions", "at least"),
    GateCode.TOTAL_GAIN: ("Sharpe ratio less equal weight's, all universes", "at least"),
    GateCode.GAIN: ("Sharpe ratio less equal weight's", "above"),
    GateCode.GAIN_CONFIDENCE: ("How sure the gain is", "at least"),
    GateCode.VOLATILITY: ("Volatility, of equal weight's", "below"),
    GateCode.VOLATILITY_CONFIDENCE: ("How sure that is", "at least"),
    GateCode.DRAWDOWN: ("Deepest fall, of equal weight's", "below"),
    GateCode.MATCHED_DRAWDOWN: ("Deepest fall at equal volatility", "below"),
    GateCode.TURNOVER: ("Turnover a year", "at most"),
}
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
        "models": [_model(one, desk.models_dir) for one in models[:MOST_MODELS]],
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


def _model(one: ModelManifest, folder: Path) -> Context:
    """Return a model with its figures at the gate, each criterion as a bar beside its threshold, and how it learnt."""
    gate, metrics = dict(one.gate), dict(one.metrics)
    bars = [found for code in GATE_WORDS if (found := _criterion(code, gate)) is not None]
    told = {f"{bar.code}_{part}" for bar in bars for part in ("observed", "threshold", "passed")}
    plain = {name: value for name, value in gate.items() if name not in told}
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
        "learning": trusted(curves_figure(read_curves(folder / REPORTS / f"{one.model_id}{ENDING}"))),
    }


class Criterion(NamedTuple):
    """One criterion of the gate as the page shows it."""

    code: GateCode
    name: str
    observed: str
    limit: str
    passed: bool
    bar: Markup


def _criterion(code: GateCode, gate: Mapping[str, object]) -> Criterion | None:
    """Return a criterion of a stored verdict; None where the verdict has none of that name."""
    observed, limit = gate.get(f"{code}_observed"), gate.get(f"{code}_threshold")
    if not _is_number(limit):
        return None
    name, direction = GATE_WORDS[code]
    passed = bool(gate.get(f"{code}_passed"))
    value = observed if _is_number(observed) else None
    shown = "unknown" if value is None else f"{value:.4g}"
    label = f"{name}: {shown}, {direction} {limit:.4g}, {'passed' if passed else 'not passed'}"
    return Criterion(code, name, shown, f"{direction} {limit:.4g}", passed, gate_bar(value, limit, label, passed))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def gate_bar(value: float | None, limit: float, label: str, passed: bool) -> Markup:
    """Return a bar from 0 to `value` with a mark at `limit`, on an axis that holds both and 0."""
    ends = [0.0, limit, *([] if value is None else [value])]
    low, high = min(ends), max(ends)
    room = (high - low or 1.0) * 0.08
    low, high = low - (room if low < 0.0 else 0.0), high + room

    def at(number: float) -> float:
        return 100.0 * (number - low) / (high - low)

    first, last = sorted((at(0.0), at(0.0 if value is None else value)))
    return Markup(  # noqa: S704 - the label is escaped, the rest is numbers
        f'<svg class="track gate" role="img" aria-label="{escape(label)}"><rect class="{"good" if passed else "bad"}" '
        f'x="{first:.1f}%" width="{last - first:.1f}%" height="100%"/><rect class="mark" x="{at(limit):.1f}%" '
        'width="2" height="100%"/></svg>'
    )


def _figure(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
