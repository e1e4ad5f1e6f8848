"""The verdict of a training run as sentences that a person reads."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from trading_platform.evaluation.decomposition import GainParts
from trading_platform.evaluation.promotion import GateCode, GateDecision, GateReason, Objective
from trading_platform.evaluation.service_trial import Candidate, Trial, TrialState, admitted
from trading_platform.training.verdict_words import headline, missing, months, parts_line, power, to_try, waiting

MODEL = "20260105-aaaaaaaaaaaa"


def refused(code: GateCode, observed: float, threshold: float = 0.0, **figures: float) -> GateDecision:
    reason = GateReason(code, observed, threshold, False)
    known = {"gain": 0.03, "gain_low": -0.1, "gain_high": 0.16, "volatility_ratio": 0.98, "drawdown_ratio": 1.02}
    known |= figures
    return GateDecision(Objective.RISK, False, (reason,), 20, **known)


def passed(objective: Objective, gain: float = 0.01) -> GateDecision:
    reason = GateReason(GateCode.TOTAL_GAIN, gain, -0.02, True)
    return GateDecision(objective, True, (reason,), 20, gain, gain - 0.06, gain + 0.06, 0.91, 0.8)


def trial(state: TrialState = TrialState.RUNNING, gain: float = 0.1) -> Trial:
    rng = np.random.default_rng(1)
    serving = 0.006 * rng.standard_normal(126)
    challenger = serving + 0.0002 + 0.001 * rng.standard_normal(126)
    made = Candidate(MODEL, date(2026, 1, 5), ("a",), Objective.RETURN, gain, 126, -0.02, challenger, serving)
    return replace(admitted(None, made, ""), state=state)


STORIES = [
    (refused(GateCode.TOTAL_GAIN, -0.031, -0.02), "Over 20 universes it did 0.03 worse than equal weight."),
    (refused(GateCode.GAIN, -0.001), "Over 20 universes it did as well as equal weight."),
    (
        refused(GateCode.GAIN_CONFIDENCE, 0.77, 0.95),
        "Over 20 universes it did 0.03 better than equal weight, but chance alone does as well in 23 % of resamples, "
        "at most 5 % may be.",
    ),
    (refused(GateCode.VOLATILITY, 1.04, 1.0), "Over 20 universes its volatility was 4 % higher than that of"),
    (refused(GateCode.VOLATILITY_CONFIDENCE, 0.8, 0.95), "its volatility was 2 % lower than that of equal weight, but"),
    (refused(GateCode.DRAWDOWN, 1.002, 1.0), "its deepest fall was 0.2 % deeper than that of equal weight."),
    (refused(GateCode.MATCHED_DRAWDOWN, 1.0, 1.0), "its deepest fall was the same as that of equal weight held as"),
    (refused(GateCode.SESSIONS, 90.0, 126.0), "only 90 sessions could be judged, 126 are needed."),
    (refused(GateCode.TURNOVER, 20.0, 12.0), "it turned capital over 20.0 times a year, 12 are allowed."),
    (refused(GateCode.TOTAL_GAIN, math.nan, -0.02), "its result could not be measured (total_gain)."),
]


@pytest.mark.parametrize(("decision", "said"), STORIES)
def test_a_refusal_says_what_was_found_and_what_goes_on(decision: GateDecision, said: str) -> None:
    words = headline(decision, None, "")
    assert words.startswith("REFUSED. Over 20 universes")
    assert said in words
    assert words.endswith("Equal weight goes on.")
    assert headline(decision, None, MODEL).endswith(f"{MODEL} goes on.")
    assert "PASSED" not in words and "PROMOTED" not in words
    assert to_try(decision, walked=False) is not None
    many = replace(decision, n_universes=20)
    assert "nothing more on this history" in str(to_try(many, walked=True))
    assert "walk-forward" not in str(to_try(many, walked=True))


def test_a_pass_says_for_what_and_that_it_does_not_serve_yet() -> None:
    words = headline(passed(Objective.RISK), trial(), "")
    assert words == (
        "PASSED for risk: over 20 universes volatility 9 % lower, deepest fall 20 % smaller, Sharpe ratio unchanged "
        "[-0.05, +0.07]. It stands trial beside equal weight, which goes on until the trial is passed."
    )
    assert "Sharpe ratio +0.20 [+0.14, +0.26] against equal weight" in headline(
        passed(Objective.RETURN, 0.2), trial(), MODEL
    )
    assert headline(passed(Objective.RISK), trial(TrialState.SERVED), "").endswith("it serves from now on.")
    assert to_try(passed(Objective.RISK), walked=False) is None


def test_every_verdict_has_a_waiting_time() -> None:
    assert waiting(None) == (
        "Nothing stands trial. A trial takes about 18 months at an information ratio of 2 and 6 years at an "
        "information ratio of 1."
    )
    assert waiting(trial()).startswith(f"Trial of {MODEL}: wealth 1.00 of 20 after 0 sessions; about ")
    assert "no end at what it has shown" in waiting(replace(trial(), ratio=-0.1))
    assert "nothing to wait for" in waiting(trial(TrialState.SERVED))


def test_what_is_missing_is_wealth_and_maybe_gain() -> None:
    assert missing(trial()) == "a wealth above 20 (it is 1.00; below 0.2 it is retired)"
    assert missing(trial(gain=-0.5)).endswith("a total gain above 0 (folds and service together: -0.50)")
    assert missing(trial(TrialState.SERVED)) == "nothing: the trial is over"


def test_the_parts_of_a_gain_are_one_line() -> None:
    parts = GainParts(0.02, 0.01, 0.05, -0.02, 0.4)
    decision = replace(passed(Objective.RISK), effective_universes=1.62)
    assert parts_line(parts, decision) == (
        "Whole market: gain +0.03 = average weights +0.02 + their timing +0.01, as good at 40 % of rolled dates; "
        "= mean +0.05 + risk -0.02. 20 universes are worth 1.6 independent ones."
    )
    unknown = parts_line(replace(parts, rolled=math.nan), replace(decision, n_universes=1))
    assert "rolled" not in unknown and "worth" not in unknown


def test_power_is_told_in_years() -> None:
    decision = replace(passed(Objective.RISK), gain_low=-0.10, gain_high=0.10)
    # error 0.051, found 0.149 with 90 %: 10 years x (0.149 / 0.03)^2 = 248 years
    assert power(decision, 2520) == "10.0 years like these show a gain of 0.15 nine times of ten; 0.03 needs 248 years."
    sharp = replace(decision, gain_low=-0.001, gain_high=0.001)
    assert power(sharp, 252) == "1.0 years like these show even a gain of 0.03 nine times of ten."
    assert power(replace(decision, gain_low=math.nan), 252) == "What this history could have shown is not known."


def test_waits_are_months_and_then_years() -> None:
    assert [months(n) for n in (1.0, 210.0, 252.0 * 6, math.inf)] == ["a month", "10 months", "6 years", "no end"]
