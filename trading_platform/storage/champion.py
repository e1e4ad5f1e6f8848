"""The champion, ready to answer for the sleeves of an account; or why it may not, found before it is ever asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trading_platform.core.allocation import FallbackCode, Refusal
from trading_platform.core.errors import FixConfigError, RetrainModelError
from trading_platform.core.observation import ObservationSchema, observation_schema
from trading_platform.core.served_policy import ServedPolicy, rules_alone, served_policy
from trading_platform.core.types import Floats, Ints
from trading_platform.storage.model_manifest import ModelManifest
from trading_platform.storage.model_registry import ModelRegistry, StoredModel


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A policy that passed every check that does not depend on the day or the state.

    A champion of the registry, or the published rules alone, which have neither an id nor a manifest.

    `places` (D,) are the positions of its observation's entries in the account's, -1 for those of sleeves that stand
    aside; `columns` (K,) those of the account's sleeves among its own.
    """

    model_id: str | None
    manifest: ModelManifest | None
    policy: ServedPolicy
    places: Ints
    columns: Ints

    def row_of(self, row: Floats) -> Floats:
        """Return an observation of the account as one of the model's own, entries of missing sleeves neutral."""
        neutral = np.array([field.neutral for field in self.policy.schema])
        own: Floats = np.where(self.places >= 0, row[self.places], neutral)
        return own

    def row_told(self, told: np.ndarray) -> np.ndarray:
        """Return which of the model's entries an account's state tells, from `told` (D,); missing sleeves need none."""
        return np.where(self.places >= 0, told[self.places], True)


def published_rules(strategies: Sequence[str]) -> Served:
    """Return equal weight tilted by published rules for an account that trades `strategies`."""
    schema = observation_schema(strategies)
    places = np.arange(len(schema))
    return Served(None, None, rules_alone(schema), places, np.arange(len(schema.strategies)))


def champion(
    registry: ModelRegistry, strategies: Sequence[str], aside: Sequence[str] = (), regime: str = ""
) -> Served | Refusal:
    """Return the champion of `registry` for an account that trades `strategies`, while `aside` stand aside.

    `regime` : fingerprint of the account's regime settings; "" when it is not known.
    """
    model_id: str | None = None
    try:
        pointed = registry.champion()
        if pointed is None:
            message = f"there is no champion in {registry.folder}; train one with train_rl_model.py"
            return Refusal(FallbackCode.NO_MODEL, message)
        model_id = pointed.model_id
        return checked(registry.load(model_id), tuple(strategies), tuple(aside), regime)
    except RetrainModelError as error:
        return Refusal(FallbackCode.MODEL_REFUSED, str(error), model_id)


def checked(
    stored: StoredModel, strategies: tuple[str, ...], aside: tuple[str, ...] = (), regime: str = ""
) -> Served | Refusal:
    """Compare what a model was made for with what it is asked to do here."""
    manifest = stored.manifest
    own = manifest.strategies
    missing = [name for name in own if name not in strategies]
    if tuple(name for name in own if name in strategies) != strategies or not {*missing} <= {*aside}:
        words = f"trained for {', '.join(own)}; traded are {', '.join(strategies)}"
        return Refusal(FallbackCode.OTHER_STRATEGIES, words, manifest.model_id)
    here, made_for = observation_schema(strategies), observation_schema(own)
    if not _is_known(manifest, made_for):
        message = f"trained on observation {manifest.observation_hash}, this program builds {made_for.fingerprint}"
        return Refusal(FallbackCode.OTHER_OBSERVATION, message, manifest.model_id)
    reads_regime = bool(np.isin(manifest.feature_index, made_for.groups["regime"]).any())
    if reads_regime and regime and manifest.regime_fingerprint not in ("", regime):
        words = f"reads regimes of other [regime] settings ({manifest.regime_fingerprint}, here {regime}); train again"
        return Refusal(FallbackCode.OTHER_OBSERVATION, words, manifest.model_id)
    works = np.array([name in strategies for name in own])
    try:
        policy = served_policy(
            stored.policy,
            np.array(manifest.base_weights),
            manifest.action_kind,
            manifest.action_scale,
            made_for,
            works,
            on_rules=manifest.on_rules,
        )
    except FixConfigError as error:
        return Refusal(FallbackCode.MODEL_REFUSED, str(error), manifest.model_id)
    known = {name: place for place, name in enumerate(here.names)}
    places = np.array([known.get(name, -1) for name in made_for.names])
    return Served(manifest.model_id, manifest, policy, places, np.array([own.index(name) for name in strategies]))


def _is_known(manifest: ModelManifest, schema: ObservationSchema) -> bool:
    """Return True if the observation that the model was trained on is ours, or was ours before it grew at its end."""
    names = schema.names
    stands = all(
        i < len(names) and names[i] == n for i, n in zip(manifest.feature_index, manifest.features, strict=True)
    )
    hashes = {schema.prefix_fingerprint(length) for length in schema.readable_lengths}
    return stands and manifest.observation_hash in hashes
