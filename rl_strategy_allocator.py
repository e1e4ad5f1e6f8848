"""RLStrategyAllocator: the champion of the model registry, asked for capital weights in numpy.

It never stops the engine and never guesses: whatever is wrong with the model or with the observation, the answer is
equal weight, with the reason in `last_decision`. PyTorch is not needed.

    >>> allocator = RLStrategyAllocator("rl_models", strategies=("momentum", "mean_reversion"))
    >>> allocator.get_allocation(np.zeros(40))  # {'momentum': 0.5, 'mean_reversion': 0.5}
    >>> allocator.last_decision.reason
    'NO_MODEL: there is no champion in rl_models; train one with train_rl_model.py'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

import numpy as np

from trading_platform.core.action_map import ACTION_KINDS, check_map, map_actions
from trading_platform.core.errors import FixConfigError, RetrainModelError
from trading_platform.core.observation import ObservationSchema, observation_schema
from trading_platform.core.policy import OUT_OF_RANGE, OUT_OF_RANGE_SHARE, Policy, is_out_of_range, policy_actions
from trading_platform.core.types import Floats, Ints
from trading_platform.storage.model_manifest import ModelManifest
from trading_platform.storage.model_registry import ModelRegistry

SUM_TOLERANCE = 1e-9  # more is a broken map, not rounding


class AllocationSource(StrEnum):
    """Who decided: the values of the database's column."""

    MODEL = "model"
    EQUAL_WEIGHT = "equal_weight"


class FallbackCode(StrEnum):
    """Why equal weight was served. `OK` = the model decided."""

    OK = "OK"
    NO_MODEL = "NO_MODEL"
    MODEL_REFUSED = "MODEL_REFUSED"
    OTHER_STRATEGIES = "OTHER_STRATEGIES"
    OTHER_OBSERVATION = "OTHER_OBSERVATION"
    MODEL_IN_SAMPLE = "MODEL_IN_SAMPLE"
    MODEL_TOO_OLD = "MODEL_TOO_OLD"
    STATE_SHAPE = "STATE_SHAPE"
    STATE_NOT_FINITE = "STATE_NOT_FINITE"
    STATE_OUT_OF_RANGE = "STATE_OUT_OF_RANGE"
    BAD_OUTPUT = "BAD_OUTPUT"


@dataclass(frozen=True, slots=True)
class AllocationDecision:
    """One allocation and why. `reason` starts with a `FallbackCode`; `model_id` is None when no model was asked."""

    weights: Mapping[str, float]
    source: AllocationSource
    reason: str
    model_id: str | None = None

    @property
    def code(self) -> FallbackCode:
        """The code at the head of `reason`."""
        return FallbackCode(self.reason.partition(":")[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Served:
    """A champion that passed every check that does not depend on the day or the state."""

    model_id: str
    manifest: ModelManifest
    policy: Policy
    base: Floats
    kind: int  # position in ACTION_KINDS


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: FallbackCode
    message: str
    model_id: str | None = None


def system_today() -> date:
    """Return today's date in UTC."""
    return datetime.now(UTC).date()


class RLStrategyAllocator:
    """Splits capital between strategies with the champion model, or equally.

    Parameters
    ----------
    models_dir
        The registry; it need not exist.
    strategies
        Names in the order of the observation and of the engine; all registered strategies when None.
    today
        Where the date comes from when `get_allocation` is not told the session.
    max_age_days
        Days behind the last session a model has seen after which it is too old; its manifest's limit when None.
    allow_in_sample
        Let a model decide sessions it was trained on. Only for looking at what it learned: results are worthless.
    follow
        Serve whoever is promoted later. A replay does not: all of it is decided by one model.
    """

    def __init__(
        self,
        models_dir: str | Path = "rl_models",
        strategies: Sequence[str] | None = None,
        today: Callable[[], date] = system_today,
        max_age_days: float | None = None,
        allow_in_sample: bool = False,
        follow: bool = True,
    ) -> None:
        self.registry = ModelRegistry(models_dir)
        self.strategies = tuple(strategies) if strategies is not None else _all_strategies()
        self.schema: ObservationSchema = observation_schema(self.strategies)
        self._today = today
        self._max_age_days = max_age_days
        self._allow_in_sample = allow_in_sample
        self._follow = follow
        self._stamp: tuple[int, ...] | None = ()  # of the pointer that was read last; () = never, None = no file
        self._refused = _Refusal(FallbackCode.NO_MODEL, "no allocation was asked for yet")
        self._served: _Served | _Refusal = self._refused
        self.last_decision = self._fallback = self._equal_weight(self._refused)

    def get_allocation(self, current_state: Floats, session: date | None = None) -> dict[str, float]:
        """Return weights by strategy, summing to 1, for one observation.

        Parameters
        ----------
        current_state
            (D,) as `core.observation` builds it.
        session
            The session whose close the state describes; today when None. Decides whether the model is too old for it,
            or has already seen it in training.
        """
        served = self._current()
        if isinstance(served, _Served):
            state = np.asarray(current_state, dtype=np.float64)
            refusal = self._wrong_day(served, session) or self._wrong_state(served, state)
            weights = None if refusal else _weights(served, state)
            if weights is not None:
                self.last_decision = self._decision(served, weights)
                return dict(self.last_decision.weights)
            served = refusal or _Refusal(
                FallbackCode.BAD_OUTPUT, "the model's weights are not a split of capital", served.model_id
            )
        if served is not self._refused:  # without a model every scan is refused with the same words
            self._refused, self._fallback = served, self._equal_weight(served)
        self.last_decision = self._fallback
        return dict(self.last_decision.weights)

    def explain(self, current_state: Floats) -> dict[str, float]:
        """Return which observation groups moved the weights away from what they would be in average conditions.

        Each group of features in turn is set to its training mean; the share of a group is how much capital that moves,
        over the sum for all groups. All shares are 0 when no model serves this state or nothing moves the weights.
        """
        state = np.asarray(current_state, dtype=np.float64)
        served = self._current()
        groups = self.schema.groups
        if not isinstance(served, _Served) or self._wrong_state(served, state):
            return dict.fromkeys(groups, 0.0)
        weights = _weights(served, state)
        scaling = served.policy.scaling
        moved = dict.fromkeys(groups, 0.0)
        for name, positions in groups.items():
            chosen = np.isin(scaling.index, positions)
            neutral = state.copy()
            neutral[scaling.index[chosen]] = scaling.mean[chosen]
            without = _weights(served, neutral)
            if weights is not None and without is not None:
                moved[name] = 0.5 * float(np.abs(weights - without).sum())
        total = sum(moved.values())
        return {name: share / total if total > 0.0 else 0.0 for name, share in moved.items()}

    @property
    def model_id(self) -> str | None:
        """The champion's id, None when none can serve."""
        served = self._current()
        return served.model_id if isinstance(served, _Served) else None

    def _current(self) -> _Served | _Refusal:
        """Return the champion, reloading it when the pointer file was replaced."""
        if self._follow or self._stamp == ():
            stamp = self.registry.stamp()
            if stamp != self._stamp:
                self._served, self._stamp = self._load(), stamp
        return self._served

    def _load(self) -> _Served | _Refusal:
        model_id: str | None = None
        try:
            champion = self.registry.champion()
            if champion is None:
                message = f"there is no champion in {self.registry.folder}; train one with train_rl_model.py"
                return _Refusal(FallbackCode.NO_MODEL, message)
            model_id = champion.model_id
            stored = self.registry.load(model_id)
        except RetrainModelError as error:
            return _Refusal(FallbackCode.MODEL_REFUSED, str(error), model_id)
        return self._checked(stored.manifest, stored.policy)

    def _checked(self, manifest: ModelManifest, policy: Policy) -> _Served | _Refusal:
        """Compare what the model was made for with what it is asked to do here."""
        if manifest.strategies != self.strategies:
            words = f"trained for {', '.join(manifest.strategies)}; traded are {', '.join(self.strategies)}"
            return _Refusal(FallbackCode.OTHER_STRATEGIES, words, manifest.model_id)
        names = self.schema.names
        known = all(
            i < len(names) and names[i] == n for i, n in zip(manifest.feature_index, manifest.features, strict=True)
        )
        if manifest.observation_hash != self.schema.fingerprint or not known:
            message = (
                f"trained on observation {manifest.observation_hash}, this program builds {self.schema.fingerprint}"
            )
            return _Refusal(FallbackCode.OTHER_OBSERVATION, message, manifest.model_id)
        base = np.array(manifest.base_weights)
        try:
            check_map(base, manifest.action_scale, manifest.action_kind)
        except FixConfigError as error:
            return _Refusal(FallbackCode.MODEL_REFUSED, str(error), manifest.model_id)
        return _Served(manifest.model_id, manifest, policy, base, ACTION_KINDS.index(manifest.action_kind))

    def _wrong_day(self, served: _Served, session: date | None) -> _Refusal | None:
        manifest = served.manifest
        day = self._today() if session is None else session
        age = (day - manifest.last_session).days
        if age <= 0 and not self._allow_in_sample:
            message = f"{day} lies in what the model has seen (to {manifest.data_end}); its choice would be hindsight"
            return _Refusal(FallbackCode.MODEL_IN_SAMPLE, message, served.model_id)
        limit = manifest.max_age_days if self._max_age_days is None else self._max_age_days
        if not (age <= limit):
            message = f"the model knows nothing after {manifest.data_end}, {age} days ago; limit {limit:g}"
            return _Refusal(FallbackCode.MODEL_TOO_OLD, message, served.model_id)
        return None

    def _wrong_state(self, served: _Served, state: Floats) -> _Refusal | None:
        model_id = served.model_id
        if state.shape != (len(self.schema.names),):
            message = f"the observation has shape {state.shape}, not ({len(self.schema.names)},)"
            return _Refusal(FallbackCode.STATE_SHAPE, message, model_id)
        scaling = served.policy.scaling
        chosen = state[scaling.index]
        if not np.isfinite(chosen).all():
            unknown = ", ".join(_names(self.schema, scaling.index[~np.isfinite(chosen)]))
            return _Refusal(FallbackCode.STATE_NOT_FINITE, f"unknown in the observation: {unknown}", model_id)
        if is_out_of_range(state, scaling):
            far = np.abs(chosen - scaling.mean) > OUT_OF_RANGE / np.maximum(scaling.gain, 1e-300)
            message = (
                f"{int(far.sum())} of {len(far)} features are over {OUT_OF_RANGE:g} deviations from training "
                f"(at most {OUT_OF_RANGE_SHARE:.0%} may be): {', '.join(_names(self.schema, scaling.index[far]))}"
            )
            return _Refusal(FallbackCode.STATE_OUT_OF_RANGE, message, model_id)
        return None

    def _decision(self, served: _Served, weights: Floats) -> AllocationDecision:
        by_name = dict(zip(self.strategies, weights.tolist(), strict=True))
        reason = f"{FallbackCode.OK}: decided by {served.model_id}"
        return AllocationDecision(by_name, AllocationSource.MODEL, reason, served.model_id)

    def _equal_weight(self, refusal: _Refusal) -> AllocationDecision:
        share = 1.0 / len(self.strategies)
        reason = f"{refusal.code}: {refusal.message}"
        return AllocationDecision(
            dict.fromkeys(self.strategies, share), AllocationSource.EQUAL_WEIGHT, reason, refusal.model_id
        )


def _weights(served: _Served, state: Floats) -> Floats | None:
    """Return the model's weights (K,), or None if they are not a split of capital."""
    action = policy_actions(state[None], served.policy)
    weights = np.empty_like(action)
    map_actions(action, served.base, served.manifest.action_scale, served.kind, 0.0, weights, weights)
    if not (abs(float(weights.sum()) - 1.0) <= SUM_TOLERANCE and bool((weights >= 0.0).all())):
        return None
    row: Floats = weights[0]
    return row


def _names(schema: ObservationSchema, index: Ints) -> list[str]:
    return [schema.names[i] for i in index]


def _all_strategies() -> tuple[str, ...]:
    from trading_platform.strategies.registry import STRATEGIES

    return tuple(STRATEGIES)
