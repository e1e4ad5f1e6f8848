"""RLStrategyAllocator: the champion of the model registry, asked for capital weights in numpy.

It never stops the engine and never guesses: whatever is wrong with the model or with the observation, the answer is
equal weight, with the reason in `last_decision`. PyTorch is not needed.

    >>> allocator = RLStrategyAllocator("rl_models", strategies=("momentum", "mean_reversion"))
    >>> allocator.get_allocation(np.zeros(40))  # {'momentum': 0.5, 'mean_reversion': 0.5}
    >>> allocator.last_decision.reason
    'NO_MODEL: there is no champion in rl_models; train one with train_rl_model.py'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path

import numpy as np

from trading_platform.core.allocation import CODE_OF_ROW, AllocationDecision, AllocationSource, FallbackCode, Refusal
from trading_platform.core.errors import FixConfigError
from trading_platform.core.observation import ObservationSchema, observation_schema
from trading_platform.core.served_policy import (
    MAX_AGE_SESSIONS,
    NOWHERE,
    RowCode,
    answers,
    in_ordinary_times,
    refusal_words,
)
from trading_platform.core.state_reading import ReadState, read_state
from trading_platform.core.types import Floats
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.storage.champion import Served, champion, published_rules
from trading_platform.storage.model_registry import ModelRegistry

__all__ = ["AllocationDecision", "AllocationSource", "FallbackCode", "RLStrategyAllocator"]


POLICIES = ("model", "rules", "equal")


def system_today() -> date:
    """Return today's date in UTC."""
    return utc_now().date()


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
    max_age_sessions
        Sessions behind the newest one a model has seen after which it is too old.
    allow_in_sample
        Let a model decide sessions it was trained on. Only for looking at what it learned: results are worthless.
    policy
        "model": the champion, equal weight while there is none. "rules": equal weight tilted by published rules,
        without any model. "equal": equal weight.
    follow
        Serve whoever is promoted later. A replay does not: all of it is decided by one model.
    aside
        Strategies that stand aside here: a model that knows them, too, gives their capital to the others.
    regime
        Fingerprint of the account's regime settings: a model that reads regimes of other ones is refused.
    """

    def __init__(
        self,
        models_dir: str | Path = "rl_models",
        strategies: Sequence[str] | None = None,
        today: Callable[[], date] = system_today,
        max_age_sessions: int = MAX_AGE_SESSIONS,
        allow_in_sample: bool = False,
        follow: bool = True,
        aside: Sequence[str] = (),
        policy: str = "model",
        regime: str = "",
    ) -> None:
        if policy not in POLICIES:
            raise FixConfigError(f"allocator policy must be one of {', '.join(POLICIES)}, was {policy!r}")
        self.registry = ModelRegistry(models_dir)
        self.strategies = tuple(strategies) if strategies is not None else _all_strategies()
        self.schema: ObservationSchema = observation_schema(self.strategies)
        self._today = today
        self._max_age_sessions = max_age_sessions
        self._allow_in_sample = allow_in_sample
        self._follow = follow
        self._aside = tuple(aside)
        self._policy = policy
        self._regime = regime
        self._calendar = NyseCalendar()
        self._stamp: tuple[int, ...] | None = ()  # of the pointer that was read last; () = never, None = no file
        self._refused = Refusal(FallbackCode.NO_MODEL, "no allocation was asked for yet")
        self._served: Served | Refusal = self._refused
        self.last_decision = self._fallback = self._equal_weight(self._refused)

    def get_allocation(self, current_state: object, session: object = None) -> dict[str, float]:
        """Return weights by strategy, summing to 1, for one observation. Nothing that is handed in raises.

        Parameters
        ----------
        current_state
            The observation as `core.observation` builds it: numbers in its order (D,), or in the contract's, which is
            shorter and leaves the rest unknown; or by name, as a mapping or a pandas Series. What is not told counts
            as ordinary.
        session
            The session whose close the state describes; today when None. Decides whether the model is too old for it,
            or has already seen it in training.
        """
        served = self._current()
        if isinstance(served, Served):
            decision = self._asked(served, current_state, session)
            if isinstance(decision, AllocationDecision):
                self.last_decision = decision
                return dict(decision.weights)
            served = decision
        if served is not self._refused:  # without a model every scan is refused with the same words
            self._refused, self._fallback = served, self._equal_weight(served)
        self.last_decision = self._fallback
        return dict(self.last_decision.weights)

    def explain(self, current_state: object) -> dict[str, float]:
        """Return which observation groups moved the weights away from what they would be in average conditions.

        Each group of features in turn is set to its training mean; the share of a group is how much capital that moves,
        over the sum for all groups. All shares are 0 when no model serves this state or nothing moves the weights.
        """
        served, groups = self._current(), self.schema.groups
        moved = dict.fromkeys(groups, 0.0)
        read = read_state(current_state, self.schema)
        if not isinstance(served, Served) or read.problem:
            return moved
        policy, row = served.policy, served.row_of(read.row)
        rows = np.tile(row, (1 + len(groups), 1))
        for n, name in enumerate(groups, start=1):
            rows[n] = in_ordinary_times(policy, row, policy.schema.groups.get(name, NOWHERE))
        said = answers(policy, rows)
        if said.codes[0] != RowCode.OK:
            return moved
        for n, name in enumerate(groups, start=1):
            if said.codes[n] == RowCode.OK:
                moved[name] = 0.5 * float(np.abs(said.weights[n] - said.weights[0]).sum())
        total = sum(moved.values())
        return {name: share / total if total > 0.0 else 0.0 for name, share in moved.items()}

    @property
    def model_id(self) -> str | None:
        """The champion's id, None when none can serve or none is asked for."""
        served = self._current()
        return served.model_id if isinstance(served, Served) else None

    @property
    def reads_state(self) -> bool:
        """True if the answer depends on the state, so that it has to be observed."""
        return isinstance(self._current(), Served)

    def _current(self) -> Served | Refusal:
        """Return what answers; the champion is loaded anew when the pointer file was replaced."""
        if self._policy != "model":
            if self._stamp == ():
                self._served, self._stamp = _without_model(self._policy, self.strategies), None
            return self._served
        if self._follow or self._stamp == ():
            stamp = self.registry.stamp()
            if stamp != self._stamp:
                self._served, self._stamp = self._champion(), stamp
        return self._served

    def _champion(self) -> Served | Refusal:
        return champion(self.registry, self.strategies, self._aside, self._regime)

    def _asked(self, served: Served, state: object, session: object) -> AllocationDecision | Refusal:
        """Return what the champion says to a state, or why it is not believed."""
        read = read_state(state, self.schema)
        refusal = self._wrong_day(served, session) or _unreadable(served, read)
        if refusal is not None:
            return refusal
        row = served.row_of(read.row)
        said = answers(served.policy, row[None])
        code = int(said.codes[0])
        if code != RowCode.OK:
            return Refusal(CODE_OF_ROW[RowCode(code)], refusal_words(served.policy, row, code), served.model_id)
        weights: Floats = said.weights[0, served.columns]
        by_name = dict(zip(self.strategies, weights.tolist(), strict=True))
        if served.model_id is None:
            reason = f"{FallbackCode.OK}: equal weight tilted by published rules"
            return AllocationDecision(by_name, AllocationSource.RULES, reason)
        reason = f"{FallbackCode.OK}: decided by {served.model_id}{_taken_as_ordinary(served, read)}"
        return AllocationDecision(by_name, AllocationSource.MODEL, reason, served.model_id)

    def _wrong_day(self, served: Served, session: object) -> Refusal | None:
        manifest = served.manifest
        if manifest is None:  # rules are published and do not age
            return None
        day = self._today() if session is None else _as_date(session)
        if day is None:
            return Refusal(FallbackCode.BAD_SESSION, f"{str(session)[:80]} is no date", served.model_id)
        if day <= manifest.last_session and not self._allow_in_sample:
            message = f"{day} lies in what the model has seen (to {manifest.data_end}); its choice would be hindsight"
            return Refusal(FallbackCode.MODEL_IN_SAMPLE, message, served.model_id)
        age = self._calendar.age_in_sessions(manifest.last_session, day)
        if age > self._max_age_sessions:
            message = (
                f"the model knows nothing after {manifest.data_end}, {age} sessions ago; limit "
                f"{self._max_age_sessions}; train again"
            )
            return Refusal(FallbackCode.MODEL_TOO_OLD, message, served.model_id)
        return None

    def _equal_weight(self, refusal: Refusal) -> AllocationDecision:
        share = 1.0 / len(self.strategies)
        reason = f"{refusal.code}: {refusal.message}"
        return AllocationDecision(
            dict.fromkeys(self.strategies, share), AllocationSource.EQUAL_WEIGHT, reason, refusal.model_id
        )


def _without_model(policy: str, strategies: tuple[str, ...]) -> Served | Refusal:
    if policy == "rules":
        return published_rules(strategies)
    return Refusal(FallbackCode.CHOSEN, "equal weight is what [allocator] policy asks for")


def _unreadable(served: Served, read: ReadState) -> Refusal | None:
    if read.problem:
        return Refusal(FallbackCode.STATE_SHAPE, read.problem, served.model_id)
    if not served.row_told(read.told)[served.policy.index].any():
        words = "nothing that decides is told in the observation"
        return Refusal(FallbackCode.STATE_NOT_FINITE, words, served.model_id)
    return None


def _taken_as_ordinary(served: Served, read: ReadState) -> str:
    """Return in words which of the entries that the model reads were not told; "" where all were."""
    index = served.policy.index
    missing = [served.policy.schema.names[i] for i in index[~served.row_told(read.told)[index]]]
    return f"; not told and taken as ordinary: {', '.join(missing)}" if missing else ""


def _as_date(session: object) -> date | None:
    """Return a date, an instant, a NumPy or ISO date as a date; None for anything else."""
    if isinstance(session, np.datetime64):
        session = session.astype("datetime64[D]").item()
    if isinstance(session, str):
        try:
            session = date.fromisoformat(session)
        except ValueError:
            return None
    if isinstance(session, datetime):
        return session.date() if session == session else None
    return session if isinstance(session, date) else None


def _all_strategies() -> tuple[str, ...]:
    from trading_platform.strategies.registry import STRATEGIES

    return tuple(STRATEGIES)
