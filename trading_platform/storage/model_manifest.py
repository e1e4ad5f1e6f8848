"""What is written beside a model's weights: everything needed to trust it, to serve it, and to train it again.

The manifest is one JSON object. `checksum` is the SHA-256 of all other fields as canonical JSON, and `model_id` is made
of it, so that a changed byte in the scaling is found as surely as one in the weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from trading_platform.core.errors import RetrainModelError

# 2: the range that each feature had in training; the age limit is the account's own setting. 3: of which settings the
# regime probabilities were that it may read.
SCHEMA_VERSION = 3
# Fields that not every version has, and the versions that have them. A manifest keeps its version, and so its id.
VERSIONS_WITH = {
    "max_age_days": (1,),
    "feature_low": (2, 3),
    "feature_high": (2, 3),
    "on_rules": (2, 3),
    "regime_fingerprint": (3,),
}
WEIGHTS_FILE = "weights.npz"
MODEL_ID = re.compile(r"\d{8}-[0-9a-f]{12}")
MAX_MANIFEST_BYTES = 1_000_000
# No honest scaling or map has a larger number: 1 / the smallest deviation that counts as movement is 1e9.
LARGEST_NUMBER = 1e12

Scalar = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """Facts of one trained model; every field is plain JSON.

    Attributes
    ----------
    strategies : names in the order of the action.
    observation_hash : of the whole observation's schema. features, feature_index, feature_mean, feature_gain,
        feature_clip : what the policy sees of it, and how it is scaled.
    action_kind, action_scale, base_weights : the map from action to weights.
    hidden, members : units of each hidden layer; number of averaged networks.
    risk_fingerprint : of the risk limits in force while training. regime_fingerprint : of the regime model's settings,
        which regime probabilities depend on; empty before version 3.
    data_source, data_start, data_end, data_hash : the newest session that any choice was made on is `data_end`.
    feature_low, feature_high : least and largest value of each feature in training; empty in version 1.
    on_rules : its weights are tilted by published rules, as they were when it was judged.
    max_age_days : of version 1, and no longer looked at.
    seeds, versions, training, metrics : how it was made and how it did.
    promoted_by_gate, gate : the gate's verdict and all its numbers. parents : models it was trained from or against.
    created_at : UTC instant, ISO 8601. weights_sha256 : of the weights file.
    """

    strategies: tuple[str, ...]
    observation_hash: str
    features: tuple[str, ...]
    feature_index: tuple[int, ...]
    feature_mean: tuple[float, ...]
    feature_gain: tuple[float, ...]
    feature_clip: float
    action_kind: str
    action_scale: float
    base_weights: tuple[float, ...]
    hidden: tuple[int, ...]
    members: int
    risk_fingerprint: str
    data_source: str
    data_start: str
    data_end: str
    data_hash: str
    seeds: tuple[int, ...]
    versions: Mapping[str, Scalar]
    training: Mapping[str, Scalar]
    metrics: Mapping[str, Scalar]
    promoted_by_gate: bool
    gate: Mapping[str, Scalar]
    parents: tuple[str, ...]
    created_at: str
    weights_sha256: str
    feature_low: tuple[float, ...] = ()
    feature_high: tuple[float, ...] = ()
    on_rules: bool = False
    regime_fingerprint: str = ""
    max_age_days: int = 0
    weights_file: str = WEIGHTS_FILE
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        problems = [*_wrong_types(self), *_wrong_values(self)]
        if problems:
            raise RetrainModelError("manifest: " + "; ".join(problems))

    @property
    def checksum(self) -> str:
        """SHA-256 of all fields, as hex."""
        return _digest(_plain(self))

    @property
    def model_id(self) -> str:
        """Day of creation and the first twelve digits of the checksum."""
        return f"{self.created_at[:10].replace('-', '')}-{self.checksum[:12]}"

    @property
    def last_session(self) -> date:
        """The newest session the model has seen."""
        return date.fromisoformat(self.data_end)

    def to_json(self) -> str:
        """Return the file's text."""
        document = {"model_id": self.model_id, **_plain(self), "checksum": self.checksum}
        return json.dumps(document, indent=1, allow_nan=False) + "\n"


def parse_manifest(text: str) -> ModelManifest:
    """Read a manifest's text.

    Raises:
        RetrainModelError: it is no JSON object, of another schema version, incomplete, altered, or makes no sense.
    """
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RetrainModelError(f"manifest is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise RetrainModelError("manifest is no JSON object")
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        cure = "it was written by a newer version: update this program" if newer else "train again"
        raise RetrainModelError(
            f"manifest has schema_version {version!r}, this program reads 1 to {SCHEMA_VERSION}; {cure}"
        )
    named = _fields_of(version)
    found = set(document) - {"model_id", "checksum"}
    if found != named:
        raise RetrainModelError(
            f"manifest lacks {sorted(named - found) or 'nothing'} and has unknown {sorted(found - named) or 'nothing'}"
        )
    plain = {name: value for name, value in document.items() if name in named}
    if _digest(plain) != document.get("checksum"):
        raise RetrainModelError("manifest does not match its checksum: the file was altered or damaged")
    values: dict[str, typing.Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}
    manifest = ModelManifest(**values)
    if manifest.model_id != document.get("model_id"):
        raise RetrainModelError(f"manifest names itself {document.get('model_id')!r}, it is {manifest.model_id}")
    return manifest


def finite_or_none(values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return `values` with NaN and infinity as None, since JSON has no word for them."""
    return {name: None if isinstance(v, float) and not abs(v) < float("inf") else v for name, v in values.items()}


def _fields_of(version: int) -> set[str]:
    """Return the names of the fields of a manifest of `version`."""
    names = {field.name for field in dataclasses.fields(ModelManifest)}
    return {name for name in names if version in VERSIONS_WITH.get(name, (version,))}


def _plain(manifest: ModelManifest) -> dict[str, object]:
    named = _fields_of(manifest.schema_version)
    fields = {
        field.name: getattr(manifest, field.name) for field in dataclasses.fields(manifest) if field.name in named
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _digest(plain: Mapping[str, object]) -> str:
    try:
        canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise RetrainModelError(f"manifest holds a number that is not finite ({error})") from error
    return hashlib.sha256(canonical.encode()).hexdigest()


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_KINDS: dict[object, tuple[str, Callable[[object], bool]]] = {
    str: ("a text", lambda value: isinstance(value, str)),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", _is_integer),
    float: ("a finite number", _is_number),
}


def _wrong_types(manifest: ModelManifest) -> list[str]:
    """Return one line for each field that does not hold what its annotation says."""
    problems = []
    for name, hint in typing.get_type_hints(ModelManifest).items():
        value = getattr(manifest, name)
        if hint in _KINDS:
            kind, fits = _KINDS[hint]
            if not fits(value):
                problems.append(f"{name} must be {kind}, was {value!r}")
        elif typing.get_origin(hint) is tuple:
            kind, fits = _KINDS[typing.get_args(hint)[0]]
            if not isinstance(value, tuple) or not all(fits(item) for item in value):
                problems.append(f"each of {name} must be {kind}, was {value!r}")
        elif not isinstance(value, Mapping) or not all(
            isinstance(key, str) and (item is None or isinstance(item, str | bool) or _is_number(item))
            for key, item in value.items()
        ):
            problems.append(f"{name} must hold texts and finite numbers by name, was {value!r}")
    return problems


def _wrong_values(manifest: ModelManifest) -> list[str]:
    if _wrong_types(manifest):
        return []
    problems = []
    if manifest.weights_file != WEIGHTS_FILE:
        problems.append(f"weights_file must be {WEIGHTS_FILE}, was {manifest.weights_file!r}: nothing else is opened")
    if len(set(manifest.strategies)) != len(manifest.strategies) or not manifest.strategies:
        problems.append(f"strategies must be distinct names, were {manifest.strategies!r}")
    if len(manifest.base_weights) != len(manifest.strategies):
        problems.append(f"{len(manifest.base_weights)} base_weights for {len(manifest.strategies)} strategies")
    lengths = {len(manifest.features), len(manifest.feature_index), len(manifest.feature_mean)}
    if lengths != {len(manifest.feature_gain)} or not manifest.features:
        problems.append("features, feature_index, feature_mean and feature_gain must be of one length above 0")
    told = len(manifest.features) if manifest.schema_version > 1 else 0
    if {len(manifest.feature_low), len(manifest.feature_high)} != {told}:
        problems.append(f"feature_low and feature_high must be of length {told}")
    if manifest.members < 1:
        problems.append(f"members {manifest.members} must be above 0")
    for name in ("feature_mean", "feature_gain", "feature_low", "feature_high", "action_scale", "base_weights"):
        value = getattr(manifest, name)
        absurd = [v for v in (value if isinstance(value, tuple) else (value,)) if abs(v) > LARGEST_NUMBER]
        if absurd:
            problems.append(f"{name} must be at most {LARGEST_NUMBER:g} in size, was {absurd[0]:g}")
    try:
        date.fromisoformat(manifest.data_end)
        if datetime.fromisoformat(manifest.created_at).utcoffset() != timedelta(0):
            problems.append(f"created_at must be in UTC, was {manifest.created_at!r}")
    except ValueError as error:
        problems.append(f"data_end and created_at must be ISO dates ({error})")
    return problems
