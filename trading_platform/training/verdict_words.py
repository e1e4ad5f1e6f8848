"""The verdict of a training run in plain words: what was found, what happens now, how long it takes, what to try."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.evaluation.contributions import Contribution
from trading_platform.evaluation.decomposition import GainParts
from trading_platform.evaluation.promotion import GateCode, GateDecision, Objective
from trading_platform.evaluation.service_trial import RETIRE_BELOW, Trial, TrialState
from trading_platform.evaluation.wealth import LIMIT, RARE_SESSIONS, sessions_to_wait

MONTH_SESSIONS = ANNUAL_SESSIONS / 12
# A Sharpe difference below this is told as unchanged: it rounds to 0.0.
UNCHANGED = 0.05
# One-sided 95 % and power 90 %: what a test finds nine times of ten lies so many standard errors from nothing.
REACH = 1.645 + 1.282
INTERVAL_ERRORS = 2 * 1.96
SMALL_GAIN = 0.03
MANY_UNIVERSES = 20


def headline(decision: GateDecision, trial: Trial | None, serving: str) -> str:
    """Return the verdict in two or three sentences; `serving` is the champion's id, "" for equal weight."""
    if not decision.admitted:
        stays = f"{serving} goes on" if serving else "Equal weight goes on"
        return f"REFUSED. {refusal(decision)} {stays}."
    found = f"PASSED for {decision.objective}: {findings(decision)}."
    if trial is not None and trial.state is TrialState.SERVED:
        return f"{found} PROMOTED: its trial was passed at once, it serves from now on."
    beside = serving or "equal weight"
    return f"{found} It stands trial beside {beside}, which goes on until the trial is passed."


def findings(decision: GateDecision) -> str:
    """Return what an admitted challenger is better in."""
    interval = f"[{decision.gain_low:+.2f}, {decision.gain_high:+.2f}]"
    if decision.objective is Objective.RETURN:
        return f"{_over(decision)} Sharpe ratio {decision.gain:+.2f} {interval} against equal weight"
    sharpe = "Sharpe ratio unchanged" if abs(decision.gain) < UNCHANGED else f"Sharpe ratio {decision.gain:+.2f}"
    return (
        f"{_over(decision)} volatility {_share(1.0 - decision.volatility_ratio)} lower, deepest fall "
        f"{_share(1.0 - decision.drawdown_ratio)} smaller, {sharpe} {interval}"
    )


def refusal(decision: GateDecision) -> str:
    """Return why a challenger was refused: the first criterion that it missed, as a sentence."""
    missed = decision.failed[0]
    observed, limit, over = missed.observed, missed.threshold, _over(decision)
    if not math.isfinite(observed):
        return f"{over[0].upper()}{over[1:]} its result could not be measured ({missed.code})."
    chance = f"chance alone does as well in {_share(1.0 - observed)} of resamples, at most {_share(1.0 - limit)} may be"
    match missed.code:
        case GateCode.SESSIONS:
            words = f"only {observed:.0f} sessions could be judged, {limit:.0f} are needed"
        case GateCode.TOTAL_GAIN | GateCode.GAIN:
            worse = f"{abs(observed):.2f} {'worse' if observed < 0.0 else 'better'} than"
            words = f"it did {worse} equal weight" if abs(observed) >= 0.005 else "it did as well as equal weight"
        case GateCode.GAIN_CONFIDENCE:
            words = f"it did {decision.gain:.2f} better than equal weight, but {chance}"
        case GateCode.VOLATILITY:
            words = f"its volatility was {_beside(observed, 'higher', 'lower')} that of equal weight"
        case GateCode.VOLATILITY_CONFIDENCE:
            words = (
                f"its volatility was {_share(1.0 - decision.volatility_ratio)} lower than that of equal weight, but "
            )
            words += chance
        case GateCode.DRAWDOWN:
            words = f"its deepest fall was {_beside(observed, 'deeper', 'smaller')} that of equal weight"
        case GateCode.MATCHED_DRAWDOWN:
            words = f"its deepest fall was {_beside(observed, 'deeper', 'smaller')} that of equal weight held as small"
        case GateCode.TURNOVER:
            words = f"it turned capital over {observed:.1f} times a year, {limit:g} are allowed"
    sentence = f"{over} {words}."
    return sentence[0].upper() + sentence[1:]


def waiting(trial: Trial | None) -> str:
    """Return the waiting time to expect, in a sentence for every verdict."""
    general = " and ".join(
        f"{months(sessions_to_wait(ratio / math.sqrt(ANNUAL_SESSIONS)))} at an information ratio of {ratio:g}"
        for ratio in (2.0, 1.0)
    )
    if trial is None or trial.state in (TrialState.ENDED, TrialState.RETIRED):
        return f"Nothing stands trial. A trial takes about {general}."
    if trial.state in (TrialState.SERVED, TrialState.PASSED):
        return f"The trial of {trial.challenger} is passed: nothing to wait for."
    wait = trial.sessions_to_wait
    expected = f"about {months(wait)}" if math.isfinite(wait) else "no end"
    return (
        f"Trial of {trial.challenger}: wealth {trial.wealth:.2f} of {LIMIT:g} after {trial.sums.sessions} sessions; "
        f"{expected} at what it has shown (in general {general})."
    )


def missing(trial: Trial) -> str:
    """Return what a running trial still lacks."""
    if trial.state is not TrialState.RUNNING:
        return "nothing: the trial is over"
    lacks = []
    if not trial.wealth > LIMIT:
        lacks.append(f"a wealth above {LIMIT:g} (it is {trial.wealth:.2f}; below {RETIRE_BELOW:g} it is retired)")
    if not trial.has_gain:
        asked = "above 0" if trial.objective is Objective.RETURN else f"of at least {trial.min_total_gain:g}"
        lacks.append(f"a total gain {asked} (folds and service together: {trial.total_gain:+.2f})")
    if trial.sessions_missing:
        known = f"{trial.wager.known} of {RARE_SESSIONS}"
        lacks.append(
            f"{trial.sessions_missing} more sessions, so that rare storms would have been seen ({known} known)"
        )
    return " and ".join(lacks)


def parts_line(parts: GainParts, decision: GateDecision) -> str:
    """Return where the gain on the whole market comes from, and what the universes are worth."""
    placebo = f", as good at {_share(parts.rolled)} of rolled dates" if math.isfinite(parts.rolled) else ""
    words = (
        f"Whole market: gain {parts.tilt + parts.timing:+.2f} = average weights {parts.tilt:+.2f} + their timing "
        f"{parts.timing:+.2f}{placebo}; = mean {parts.mean:+.2f} + risk {parts.risk:+.2f}."
    )
    if decision.n_universes < 2 or not math.isfinite(decision.effective_universes):
        return words
    return f"{words} {decision.n_universes} universes are worth {decision.effective_universes:.1f} independent ones."


PART_HEADS = ("part", "gain", "95 %", "tilt", "timing", "risk", "fall", "by time")
PARTS_WORDS = (
    "against equal weight: gain of Sharpe ratio = tilt (average weights) + timing; risk: volatility; fall: the "
    "deepest; by time: the gain in each stretch of the sessions; * is what the gate judges"
)


def parts_table(parts: Sequence[Contribution]) -> list[list[str]]:
    """Return what each part of the allocator is worth as text cells, header first; * is what the gate judges."""
    return [list(PART_HEADS), *(_part_row(part) for part in parts)]


def _part_row(part: Contribution) -> list[str]:
    return [
        f"{part.name}{' *' if part.is_judged else ''}",
        f"{part.gain:+.2f}",
        f"{part.low:+.2f}..{part.high:+.2f}",
        f"{part.tilt:+.2f}",
        f"{part.timing:+.2f}",
        f"{100.0 * (part.volatility - 1.0):+.0f} %",
        f"{100.0 * (part.drawdown - 1.0):+.0f} %",
        " ".join(f"{gain:+.2f}" for gain in part.blocks),
    ]


def trial_document(trial: Trial) -> dict[str, object]:
    """Return a trial as JSON-ready values."""
    wait = trial.sessions_to_wait
    return {
        "number": trial.number,
        "state": str(trial.state),
        "objective": str(trial.objective),
        "challenger": trial.challenger,
        "serving": trial.serving or None,
        "began": trial.began.isoformat(),
        "fed": trial.fed.isoformat(),
        "wealth": trial.wealth,
        "limit": LIMIT,
        "sessions": trial.sums.sessions,
        "unknown_sessions": trial.unknown,
        "total_gain": trial.total_gain,
        "missing": missing(trial),
        "sessions_to_wait": wait if math.isfinite(wait) else None,
        "events": list(trial.events),
    }


def power(decision: GateDecision, sessions: int) -> str:
    """Return which gain so much history could have shown, and how much a small one would need."""
    error = (decision.gain_high - decision.gain_low) / INTERVAL_ERRORS
    if not (error > 0.0):
        return "What this history could have shown is not known."
    years = sessions / ANNUAL_SESSIONS
    found = REACH * error
    needed = years * (found / SMALL_GAIN) ** 2
    if found <= SMALL_GAIN:
        return f"{years:.1f} years like these show even a gain of {SMALL_GAIN:g} nine times of ten."
    long = f"{needed:.0f} years" if needed < 1_000 else "over a thousand years"
    return f"{years:.1f} years like these show a gain of {found:.2f} nine times of ten; {SMALL_GAIN:g} needs {long}."


def to_try(decision: GateDecision, walked: bool) -> str | None:
    """Return what somebody may do about a refusal; None of an admitted challenger.

    `walked` : whether a walk-forward was judged, so that it is no advice any more.
    """
    if decision.admitted:
        return None
    if walked and decision.n_universes >= MANY_UNIVERSES:
        return "To try: nothing more on this history; equal weight is a good answer. A longer one may tell."
    match decision.failed[0].code:
        case GateCode.SESSIONS:
            return "To try: a longer history (--data-dir), or --walk-forward yearly, which judges nearly all years."
        case GateCode.GAIN | GateCode.GAIN_CONFIDENCE:
            return (
                'To try: [allocator] objective = "risk", which history can show; --walk-forward yearly for more years.'
            )
        case GateCode.TURNOVER:
            return "To try: a smaller tilt (--set action_scale=0.25)."
        case GateCode.TOTAL_GAIN:
            return "To try: a smaller tilt (--set action_scale=0.25), more universes (--set n_universes=20)."
        case _:
            return "To try: --set n_universes=20 and --walk-forward yearly, so that more is learned from and judged."


def months(sessions: float) -> str:
    """Return sessions as months, or as years from two years on."""
    if not math.isfinite(sessions):
        return "no end"
    whole = sessions / MONTH_SESSIONS
    if whole >= 36.0:
        return f"{sessions / ANNUAL_SESSIONS:.0f} years"
    return "a month" if whole < 1.5 else f"{whole:.0f} months"


def _over(decision: GateDecision) -> str:
    return "over 1 universe" if decision.n_universes == 1 else f"over {decision.n_universes} universes"


def _share(part: float) -> str:
    percent = 100.0 * part
    return f"{percent:.1f} %" if abs(percent) < 1.0 else f"{percent:.0f} %"


def _beside(ratio: float, above: str, below: str) -> str:
    """Return "3 % higher than" for a ratio of 1.03."""
    if ratio == 1.0:
        return "the same as"
    return f"{_share(abs(ratio - 1.0))} {above if ratio > 1.0 else below} than"
