"""The trial that a challenger stands in service: its shadow book against what serves, until one of them is proven.

A trial belongs to a job: the challengers of later weeks replace the earlier ones in it, and the wealth goes on
(:mod:`trading_platform.evaluation.wealth`). It ends when the wealth is above 20 and the total gain of folds and service
together is within the tolerance (the challenger serves), or when the wealth is below `RETIRE_BELOW` (the challenger is
retired, the next begins with what is left). Other sleeves, another objective or another champion make it a new trial.

Everything here is a value and a pure function of sessions. A session that was fed once is never fed again, so that a
job may run as often as it likes and be killed anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Floats
from trading_platform.evaluation.promotion import Objective
from trading_platform.evaluation.wealth import (
    LIMIT,
    Wager,
    after,
    begun_again,
    new_wager,
    news_of,
    ratio_of,
    sessions_missing,
    sessions_to_wait,
    warmed,
)

RETIRE_BELOW = 0.2
# Part of the stake that is laid on folds, over all runs of a registry; the n-th gets 1 / (n (n + 1)) of it, which adds
# up to 1 over all runs, so that all of history together is bet on once.
FOLD_STAKE = 0.25
# Volatilities are matched by squares that forget with a half-life of 173 sessions, within these bounds.
MATCH_FORGET = 0.996
MATCH_BOUNDS = (0.5, 2.0)
REMEMBERED_EVENTS = 50


class TrialState(StrEnum):
    """Where a trial stands."""

    RUNNING = "running"
    PASSED = "passed"  # the challenger is to serve; said before it is done, so that a kill in between loses nothing
    SERVED = "served"  # it was passed, and the challenger became the champion
    RETIRED = "retired"
    ENDED = "ended"  # by somebody's hand


@dataclass(frozen=True, slots=True)
class Entry:
    """A challenger and the last session that it had seen when it entered: it is bet on from the next one.

    `traded` : what an account really trades for each dollar of weight that the challenger moves, in dollars of the
    shadow books; its changes of weights are charged so much.
    """

    model_id: str
    seen: date
    traded: float = 1.0


@dataclass(frozen=True, slots=True)
class Sums:
    """What two books did in service: sessions, sums and sums of squares of daily returns, and squares that forget.

    `difference` and `difference_squares` are of what is bet on: differences for return, news in scales for risk.
    """

    sessions: int = 0
    challenger: float = 0.0
    challenger_squares: float = 0.0
    serving: float = 0.0
    serving_squares: float = 0.0
    difference: float = 0.0
    difference_squares: float = 0.0
    recent_challenger: float = 0.0
    recent_serving: float = 0.0

    @property
    def match(self) -> float:
        """Volatility of what serves over the challenger's, as known now."""
        if not (self.recent_challenger > 0.0 and self.recent_serving > 0.0):
            return 1.0
        low, high = MATCH_BOUNDS
        return min(high, max(low, math.sqrt(self.recent_serving / self.recent_challenger)))

    @property
    def gain(self) -> float:
        """Annualised Sharpe ratio of the challenger minus that of what serves; NaN below 21 sessions."""
        return _sharpe(self.challenger, self.challenger_squares, self.sessions) - _sharpe(
            self.serving, self.serving_squares, self.sessions
        )

    @property
    def ratio(self) -> float:
        """Mean over deviation of the differences that were bet on; NaN below 21 sessions."""
        return _sharpe(self.difference, self.difference_squares, self.sessions) / math.sqrt(ANNUAL_SESSIONS)


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial.

    Attributes
    ----------
    number : how many trials the job has had, this one included.
    objective, strategies : what is asked, and of the sleeves of which portfolio.
    serving : id of the champion that it is compared with, empty for the base.
    entries : the challengers whose sessions are still to come or are running now, oldest first.
    began : the session after which the trial began. fed : the newest session that was bet on or passed over.
    fold_gain, fold_sessions : total gain of the newest challenger where it was judged, and on how many sessions.
    min_total_gain : what folds and service together must not fall below.
    ratio : mean over deviation of what the judged sessions would have been bet on; NaN is kept as None.
    serving_traded : as `Entry.traded`, of what serves.
    unknown : sessions that could not be bet on.
    events : what happened, newest last, each one line with its session.
    """

    number: int
    objective: Objective
    strategies: tuple[str, ...]
    serving: str
    entries: tuple[Entry, ...]
    began: date
    fed: date
    wager: Wager
    sums: Sums
    fold_gain: float
    fold_sessions: int
    min_total_gain: float
    ratio: float | None
    state: TrialState = TrialState.RUNNING
    unknown: int = 0
    events: tuple[str, ...] = ()
    serving_traded: float = 1.0

    @property
    def challenger(self) -> str:
        """The newest challenger: who serves when the trial is passed."""
        return self.entries[-1].model_id

    @property
    def wealth(self) -> float:
        """What the stake has become."""
        return self.wager.wealth

    @property
    def total_gain(self) -> float:
        """Gain of folds and service, each weighted by its sessions."""
        seen = self.sums.gain
        if not math.isfinite(seen):
            return self.fold_gain
        return (self.fold_gain * self.fold_sessions + seen * self.sums.sessions) / (
            self.fold_sessions + self.sums.sessions
        )

    @property
    def has_gain(self) -> bool:
        """Whether the total gain is what the objective asks for."""
        if self.objective is Objective.RETURN and not (self.total_gain > 0.0):
            return False
        return self.total_gain >= self.min_total_gain

    @property
    def sessions_to_wait(self) -> float:
        """Sessions to expect from now on: at what service has shown once it is half a year, before at that of folds."""
        shown = self.sums.ratio if self.sums.sessions >= ANNUAL_SESSIONS // 2 else self.ratio
        wait = sessions_to_wait(math.nan if shown is None else shown, self.wealth)
        return wait + self.sessions_missing

    @property
    def sessions_missing(self) -> int:
        """How many more sessions have to be known before anything is bet, so that what is rare has been seen."""
        return sessions_missing(self.wager, self.objective)

    @property
    def is_proven(self) -> bool:
        """Whether all that is asked is there: the wealth and the total gain, and enough that both are known from."""
        return self.wealth > LIMIT and self.has_gain and not self.sessions_missing


@dataclass(frozen=True, slots=True)
class Candidate:
    """An admitted challenger, with what the gate's sessions say of it.

    Attributes
    ----------
    seen : the newest session that was there when it was made: whatever comes later is news.
    gain, gain_sessions : total gain where the gate judged it.
    challenger, serving : (n,) daily returns of the shadow books where the gate judged: match and the waiting time are
        learned from them, nothing is bet on them.
    known : (2, m) the same of both, on every session that is known, oldest first, also what taught the model: scale and
        worst session are learned from them; None = on those that were judged.
    fold_evidence : what bets of one dollar made of sessions that taught it nothing, None without such.
    runs : how many runs the registry has had, this one included.
    traded, serving_traded : as `Entry.traded`, of the challenger and of what serves.
    """

    model_id: str
    seen: date
    strategies: tuple[str, ...]
    objective: Objective
    gain: float
    gain_sessions: int
    min_total_gain: float
    challenger: Floats
    serving: Floats
    fold_evidence: float | None = None
    runs: int = 1
    known: Floats | None = None
    traded: float = 1.0
    serving_traded: float = 1.0


def squares_of(serving: Floats, objective: Objective) -> Floats | None:
    """Return the squared returns (T,) of what serves where risk is measured by them, None for return."""
    return serving**2 if objective is Objective.RISK else None


def differences(challenger: Floats, serving: Floats, objective: Objective, match: float = 1.0) -> Floats:
    """Return what is bet on, one a session, (T,): positive where the challenger did better.

    `match` : what the challenger's returns are multiplied by for `return`, so that more risk is no gain.
    """
    match objective:
        case Objective.RETURN:
            found: Floats = challenger * match - serving
        case Objective.RISK:
            found = serving**2 - challenger**2
    return found


def admitted(trial: Trial | None, candidate: Candidate, serving: str) -> Trial:
    """Return the trial after `candidate` was admitted while `serving` (a model id, "" = the base) serves."""
    why = "the first of this job" if trial is None else _why_new(trial, candidate, serving)
    if trial is None or why is not None:
        return _opened(trial, candidate, serving, why or "")
    entry = Entry(candidate.model_id, max(candidate.seen, trial.fed), candidate.traded)
    waiting = tuple(old for old in trial.entries if old.seen < entry.seen)
    begun = trial
    if trial.state is TrialState.RETIRED:
        begun = replace(trial, wager=begun_again(trial.wager), state=TrialState.RUNNING, sums=_unseen(trial.sums))
        waiting = ()
    if not begun.wager.known:  # of an older file, whose sums were of another kind
        begun = replace(begun, wager=_taught(begun.wager, candidate, begun.sums.match))
    said = f"{entry.seen}: {candidate.model_id} enters, wealth {begun.wealth:.3g}"
    return _noted(
        replace(
            begun,
            entries=(*waiting, entry),
            fold_gain=candidate.gain,
            fold_sessions=candidate.gain_sessions,
            ratio=_known(_ratio(candidate)),
            serving_traded=candidate.serving_traded,
        ),
        said,
    )


def fed(trial: Trial, sessions: Sequence[date], challenger: Floats, serving: Floats) -> Trial:
    """Return the trial after `sessions`, with the returns (T,) that the books had on each; NaN = not known.

    Sessions up to `trial.fed` are passed over, and nothing is bet on behind the end of a trial.
    """
    for number, session in enumerate(sessions):
        if trial.state is not TrialState.RUNNING:
            break
        if session > trial.fed:
            trial = _one_session(trial, session, float(challenger[number]), float(serving[number]))
    return trial


def in_force(trial: Trial, session: date) -> str | None:
    """Return the challenger that is bet on in `session`: the newest that had seen only what was before."""
    entered = [entry.model_id for entry in trial.entries if entry.seen < session]
    return entered[-1] if entered else None


def against(trial: Trial, serving: str) -> Trial:
    """Return the new trial of the same challenger after somebody let another model serve ("" = the base)."""
    begun = replace(
        trial,
        number=trial.number + 1,
        serving=serving,
        began=trial.fed,
        wager=begun_again(trial.wager),
        sums=_unseen(trial.sums),
        unknown=0,
    )
    said = f"{trial.fed}: trial {begun.number} begins: {serving or 'the base'} serves now, wealth {begun.wealth:.3g}"
    return _noted(begun, said)


def ended(trial: Trial, why: str) -> Trial:
    """Return a trial that is over because of what somebody did."""
    return _noted(replace(trial, state=TrialState.ENDED), f"{trial.fed}: {why}")


def served(trial: Trial) -> Trial:
    """Return a passed trial whose challenger has become the champion."""
    return _noted(replace(trial, state=TrialState.SERVED), f"{trial.fed}: {trial.challenger} serves")


def fold_stake(evidence: float, runs: int) -> float:
    """Return the wealth that a trial begins with when `evidence` of folds is counted, for the `runs`-th run.

    Three quarters of a dollar are kept for service; the rest is laid on the folds of all runs together, so that whoever
    tries often on the same history gains nothing by it.
    """
    return (1.0 - FOLD_STAKE) + FOLD_STAKE * evidence / (runs * (runs + 1))


def _opened(old: Trial | None, candidate: Candidate, serving: str, why: str) -> Trial:
    seen = candidate.seen if old is None else max(candidate.seen, old.fed)
    if old is None:
        evidence = candidate.fold_evidence
        stake = 1.0 if evidence is None else fold_stake(evidence, candidate.runs)
    elif old.state in (TrialState.PASSED, TrialState.SERVED):
        stake = 1.0  # the test before was passed: this one has the whole error again
    else:
        stake = begun_again(old.wager).stake
    sums = _recent(Sums(), candidate.challenger, candidate.serving)
    wager = _taught(new_wager(candidate.objective, stake), candidate, sums.match)
    trial = Trial(
        number=1 if old is None else old.number + 1,
        objective=candidate.objective,
        strategies=candidate.strategies,
        serving=serving,
        entries=(Entry(candidate.model_id, seen, candidate.traded),),
        began=seen,
        fed=seen,
        wager=wager,
        sums=sums,
        fold_gain=candidate.gain,
        fold_sessions=candidate.gain_sessions,
        min_total_gain=candidate.min_total_gain,
        ratio=_known(_ratio(candidate)),
        events=() if old is None else old.events,
        serving_traded=candidate.serving_traded,
    )
    if trial.is_proven:
        trial = replace(trial, state=TrialState.PASSED)
    said = f"{seen}: trial {trial.number} begins with {candidate.model_id} ({why}), wealth {stake:.3g}"
    return _noted(trial, said)


def _taught(wager: Wager, candidate: Candidate, match: float) -> Wager:
    """Return `wager` with its scale learned from all that is known of the candidate's books."""
    mine, other = (candidate.challenger, candidate.serving) if candidate.known is None else candidate.known
    objective = candidate.objective
    return warmed(wager, differences(mine, other, objective, match), squares_of(other, objective))


def _why_new(trial: Trial, candidate: Candidate, serving: str) -> str | None:
    """Return why a candidate cannot stand in `trial`, None when it can."""
    if trial.strategies != candidate.strategies:
        return "the strategies changed"
    if trial.objective is not candidate.objective:
        return f"the objective changed from {trial.objective} to {candidate.objective}"
    if trial.state in (TrialState.PASSED, TrialState.SERVED, TrialState.ENDED):
        return "the trial before is over"
    if trial.serving != serving:
        return "another model serves"
    return None


def _one_session(trial: Trial, session: date, challenger: float, serving: float) -> Trial:
    if in_force(trial, session) is None or not (math.isfinite(challenger) and math.isfinite(serving)):
        return replace(trial, fed=session, unknown=trial.unknown + 1)
    other = np.array([serving])
    bet_on = differences(np.array([challenger]), other, trial.objective, trial.sums.match)
    squares = squares_of(other, trial.objective)
    wager = (warmed if trial.sessions_missing else after)(trial.wager, bet_on, squares)
    shown = bet_on if squares is None else news_of(trial.wager, bet_on, squares)
    sums = _added(trial.sums, challenger, serving, float(shown[0]))
    # challengers that were replaced before this session are not needed any more
    current = max((e.seen for e in trial.entries if e.seen < session), default=trial.began)
    entries = tuple(entry for entry in trial.entries if entry.seen >= current)
    moved = replace(trial, fed=session, wager=wager, sums=sums, entries=entries)
    if moved.is_proven:
        return _noted(
            replace(moved, state=TrialState.PASSED), f"{session}: passed, wealth {moved.wealth:.3g} is above {LIMIT:g}"
        )
    if moved.wealth < RETIRE_BELOW:
        said = f"{session}: {moved.challenger} is retired, wealth {moved.wealth:.3g} is below {RETIRE_BELOW:g}"
        return _noted(replace(moved, state=TrialState.RETIRED), said)
    return moved


def _added(sums: Sums, challenger: float, serving: float, difference: float) -> Sums:
    counted = replace(
        sums,
        sessions=sums.sessions + 1,
        challenger=sums.challenger + challenger,
        challenger_squares=sums.challenger_squares + challenger**2,
        serving=sums.serving + serving,
        serving_squares=sums.serving_squares + serving**2,
        difference=sums.difference + difference,
        difference_squares=sums.difference_squares + difference**2,
    )
    return _recent(counted, np.array([challenger]), np.array([serving]))


def _recent(sums: Sums, challenger: Floats, serving: Floats) -> Sums:
    mine, other = sums.recent_challenger, sums.recent_serving
    for one, two in zip(challenger.tolist(), serving.tolist(), strict=True):
        mine, other = MATCH_FORGET * mine + one * one, MATCH_FORGET * other + two * two
    return replace(sums, recent_challenger=mine, recent_serving=other)


def _unseen(sums: Sums) -> Sums:
    """Return the sums of a challenger that begins: nothing seen, what is known of volatilities kept."""
    return Sums(recent_challenger=sums.recent_challenger, recent_serving=sums.recent_serving)


def _ratio(candidate: Candidate) -> float:
    match = _recent(Sums(), candidate.challenger, candidate.serving).match
    found = differences(candidate.challenger, candidate.serving, candidate.objective, match)
    squares = squares_of(candidate.serving, candidate.objective)
    if squares is not None:
        found = news_of(_taught(new_wager(candidate.objective), candidate, match), found, squares)
    return ratio_of(found)


def _sharpe(total: float, squares: float, count: int) -> float:
    if count < 21:
        return math.nan
    variance = (squares - total * total / count) / (count - 1)
    return total / count / math.sqrt(variance) * math.sqrt(ANNUAL_SESSIONS) if variance > 0.0 else math.nan


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _noted(trial: Trial, line: str) -> Trial:
    return replace(trial, events=(*trial.events, line)[-REMEMBERED_EVENTS:])
