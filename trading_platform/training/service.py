"""A trained challenger in service: it enters the trial, its shadow book is fed by the day, and what passes serves.

A shadow book of an allocation holds the strategies' own shadow books (`core.shadow_books`, which the engine keeps for
their statistics) at the allocation's weights; a change of weights costs half-spread and slippage on what an account
would really trade for it (`training.traded`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from trading_platform.core.costs import BASIS_POINT
from trading_platform.core.errors import RetrainModelError
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Bools, Floats, Ints
from trading_platform.evaluation.promotion import GateDecision, Objective
from trading_platform.evaluation.service_trial import (
    Candidate,
    Trial,
    TrialState,
    admitted,
    against,
    differences,
    ended,
    fed,
    in_force,
    served,
    squares_of,
)
from trading_platform.evaluation.wealth import LIMIT, new_wager, sessions_missing, warmed, wealth_path
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.storage.trial_file import TrialFile
from trading_platform.training.paths import equal_weights, policy_answers
from trading_platform.training.traded import traded_share

# Sessions of folds that teach the scale before the first bet on them, a quarter of a year.
FOLD_WARM_SESSIONS = 63


def shadow_returns(world: PreparedMarket, weights: Floats, cost_bps: float, traded: float = 1.0) -> Floats:
    """Return the daily returns (T,) of the strategies' shadow books at `weights` (T, K), after costs of changes.

    Weights decided at the close of t - 1 earn in session t. NaN where a shadow book is not known, and in the first two.

    Parameters
    ----------
    cost_bps : basis points on each dollar that is traded.
    traded : dollars traded for each dollar of weight that moves, of books as large as the strategies' own; 1 in the
        controls' worlds, whose books are as large as the account.
    """
    earned = np.full(world.n_sessions, np.nan)
    moved = np.abs(np.diff(weights, axis=0)).sum(axis=1)  # moved[t] is traded at the open after close t + 1
    gross = (weights[1:-1] * world.strategy_returns[2:]).sum(axis=1)
    earned[2:] = gross - cost_bps * BASIS_POINT * traded * moved[: world.n_sessions - 2]
    return earned


def stored_weights(registry: ModelRegistry, model_id: str, world: PreparedMarket) -> Floats:
    """Return the weights (T, K) of a stored model on `world`.

    Raises
    ------
    RetrainModelError
        The model cannot be read, or was made for other strategies or another observation.
    """
    stored = registry.load(model_id)
    manifest = stored.manifest
    if manifest.observation_hash != world.schema.fingerprint:
        raise RetrainModelError(
            f"{model_id} was trained for {', '.join(manifest.strategies)}; here are "
            f"{', '.join(world.schema.strategies)}: use the data and settings that it was trained with, or train again"
        )
    base = np.array(manifest.base_weights)
    return policy_answers(
        world, stored.policy, base, manifest.action_kind, manifest.action_scale, manifest.on_rules
    ).weights


def serving_weights(registry: ModelRegistry, model_id: str, world: PreparedMarket) -> Floats:
    """Return the weights (T, K) that serve: the champion's, or equal weight without one that can ("" = none)."""
    if not model_id:
        return equal_weights(world)
    try:
        return stored_weights(registry, model_id, world)
    except RetrainModelError:
        return equal_weights(world)  # the allocator refuses it, too


def champion_id(registry: ModelRegistry) -> str:
    """Return the champion's id, "" when there is none or its pointer cannot be read."""
    try:
        champion = registry.champion()
    except RetrainModelError:
        return ""
    return "" if champion is None else champion.model_id


def candidate(
    registry: ModelRegistry,
    world: PreparedMarket,
    model_id: str,
    decision: GateDecision,
    min_total_gain: float,
    weights: Floats,
    judged: range,
    untaught: range,
    cost_bps: float,
    serves: Floats,
) -> Candidate:
    """Return an admitted model as it enters its trial.

    Parameters
    ----------
    weights
        (T, K) as judged on the rows `judged`; on the rows `untaught`, maybe empty, nothing was fitted or chosen.
    serves
        (T, K) of the very model that may serve: what its books did on all sessions that are known says how bad a
        session can be, hindsight or not.
    """
    held = serving_weights(registry, champion_id(registry), world)
    traded, serving_traded = traded_share(world, serves), traded_share(world, held)
    mine = shadow_returns(world, weights, cost_bps, traded)
    serving = shadow_returns(world, held, cost_bps, serving_traded)
    known = np.isfinite(mine) & np.isfinite(serving)
    rows = np.array([row for row in (untaught or judged) if known[row]], dtype=np.int64)
    ever = shadow_returns(world, serves, cost_bps, traded)
    both = np.isfinite(ever) & np.isfinite(serving)
    return Candidate(
        model_id=model_id,
        seen=world.session(world.n_sessions - 1),
        strategies=world.schema.strategies,
        objective=decision.objective,
        gain=decision.gain,
        gain_sessions=len(judged),
        min_total_gain=min_total_gain,
        challenger=mine[rows],
        serving=serving[rows],
        fold_evidence=_evidence(mine, serving, known, untaught, decision.objective),
        runs=max(1, len(registry.model_ids())),
        known=np.stack([ever[both], serving[both]]),
        traded=traded,
        serving_traded=serving_traded,
    )


def enter(registry: ModelRegistry, entering: Candidate, now: datetime) -> Trial:
    """Let an admitted model enter the trial of its registry; serve it if that passes at once."""
    file = TrialFile(registry.folder)
    with file.locked():
        trial = _settled(registry, file, file.read(), now)
        return _kept(registry, file, admitted(trial, entering, champion_id(registry)), now)


def update(registry: ModelRegistry, world: PreparedMarket, cost_bps: float, now: datetime) -> Trial | None:
    """Feed the trial with the sessions of `world` that it has not seen; serve the challenger if it has passed.

    May be run as often as one likes: a session counts once. None when there is no trial.

    Raises
    ------
    RetrainModelError
        The trial's file or a challenger cannot be read, or `world` is of other strategies.
    """
    file = TrialFile(registry.folder)
    with file.locked():
        trial = _settled(registry, file, file.read(), now)
        if trial is None or trial.state is not TrialState.RUNNING:
            return trial
        rows = range(world.row(trial.fed + timedelta(days=1)), world.n_sessions)
        if not rows:
            return trial
        mine = _returns_in_force(registry, trial, world, rows, cost_bps)
        held = serving_weights(registry, trial.serving, world)
        serving = shadow_returns(world, held, cost_bps, trial.serving_traded)
        sessions = [world.session(row) for row in rows]
        return _kept(registry, file, fed(trial, sessions, mine, serving[rows.start :]), now)


def settle(registry: ModelRegistry, now: datetime) -> Trial | None:
    """Return the trial after what happened to the champion since; finishes a promotion that was killed half-way."""
    file = TrialFile(registry.folder)
    if not file.path.exists():
        return None
    with file.locked():
        return _settled(registry, file, file.read(), now)


def _returns_in_force(
    registry: ModelRegistry, trial: Trial, world: PreparedMarket, rows: range, cost_bps: float
) -> Floats:
    """Return what the challenger in force in each session of `rows` earned, (n,); NaN where there was none.

    One that takes over pays for the way from the weights of the one before it.
    """
    names = {row: in_force(trial, world.session(row)) for row in range(rows.start - 1, rows.stop)}
    known: Mapping[str, Floats] = {
        name: stored_weights(registry, name, world) for name in dict.fromkeys(names.values()) if name is not None
    }
    shares = {entry.model_id: entry.traded for entry in trial.entries}
    earned = np.full(len(rows), np.nan)
    for row in rows:
        name = names[row]
        if name is None:
            continue
        held = known[name][row - 2 : row].copy()
        before = names[row - 1]
        if before is not None:
            held[0] = known[before][row - 2]
        gross = held[1] @ world.strategy_returns[row]
        moved = float(np.abs(held[1] - held[0]).sum())
        earned[row - rows.start] = gross - cost_bps * BASIS_POINT * shares[name] * moved
    return earned


def _settled(registry: ModelRegistry, file: TrialFile, trial: Trial | None, now: datetime) -> Trial | None:
    """Bring a trial in line with who serves now."""
    if trial is None:
        return None
    serving = champion_id(registry)
    if trial.state is TrialState.PASSED:
        return _kept(registry, file, trial, now)
    if trial.state in (TrialState.SERVED, TrialState.ENDED) or serving == trial.serving:
        return trial
    by_hand = serving in [entry.model_id for entry in trial.entries]
    settled = ended(trial, f"{serving} was promoted by hand") if by_hand else against(trial, serving)
    file.write(settled)
    return settled


def _kept(registry: ModelRegistry, file: TrialFile, trial: Trial, now: datetime) -> Trial:
    """Write a trial down, and let its challenger serve if it has passed.

    In this order: a kill after the first writing leaves a trial that is passed, and the next run does the rest.
    """
    file.write(trial)
    if trial.state is not TrialState.PASSED:
        return trial
    if champion_id(registry) != trial.challenger:
        reason = f"passed its trial on {trial.fed}: wealth {trial.wealth:.3g}, limit {LIMIT:g}"
        registry.promote(trial.challenger, now, reason)
    done = served(trial)
    file.write(done)
    return done


def _evidence(mine: Floats, serving: Floats, known: Bools, rows: range, objective: Objective) -> float | None:
    """Return what one dollar became on `rows`, after a warm-up on their first; None when there are too few.

    The worst session is known from what came before `rows`, too, where the two books differ there; None when what is
    known is too short for the objective.
    """
    chosen = np.array([row for row in rows if known[row]], dtype=np.int64)
    if len(chosen) < 2 * FOLD_WARM_SESSIONS:
        return None
    first = chosen[:FOLD_WARM_SESSIONS]
    squares = float((mine[first] ** 2).sum()), float((serving[first] ** 2).sum())
    match = float(np.sqrt(squares[1] / squares[0])) if squares[0] > 0.0 else 1.0
    before = np.flatnonzero(known[: chosen[0]])
    if not differences(mine[before], serving[before], objective, match).any():
        before = before[:0]
    learned, bet_on = np.append(before, first), chosen[FOLD_WARM_SESSIONS:]

    def told(rows: Ints) -> tuple[Floats, Floats | None]:
        return differences(mine[rows], serving[rows], objective, match), squares_of(serving[rows], objective)

    wager = warmed(new_wager(objective), *told(learned))
    if sessions_missing(wager, objective):
        return None
    return float(wealth_path(wager, *told(bet_on))[-1])
