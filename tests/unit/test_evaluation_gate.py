"""The gate of training: each criterion at and beside its threshold, refusals, universes kept together, its size."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import max_drawdown, sharpe_ratio, volatility
from trading_platform.core.types import Floats
from trading_platform.evaluation.promotion import GateCode, GateConfig, GateDecision, GateEvidence, Objective, decide

RISK = GateConfig(n_resamples=500)
RETURN = GateConfig(objective=Objective.RETURN, n_resamples=500)


def world(
    n_sessions: int, gain: float, rng: np.random.Generator, n_universes: int = 1, scale: float = 1.0, slope: float = 0.0
) -> tuple[Floats, Floats]:
    """Challenger and equal weight, (U, T): correlation 0.9, fat tails, expected Sharpe 0.5 + gain and 0.5.

    The challenger's risk and return are `scale` times those. What is its own correlates by 0.6 between universes.
    """
    common = rng.standard_t(4, n_sessions) / math.sqrt(2)
    shared = rng.standard_t(4, n_sessions) / math.sqrt(2)
    lone = rng.standard_t(4, (n_universes, n_sessions)) / math.sqrt(2)
    own = math.sqrt(0.6) * shared + math.sqrt(0.4) * lone
    for t in range(1, n_sessions if slope else 0):
        own[:, t] = slope * own[:, t - 1] + math.sqrt(1 - slope**2) * own[:, t]
    challenger = 0.9 * common + math.sqrt(0.19) * own + (0.5 + gain) / math.sqrt(252)
    base = np.tile(common + 0.5 / math.sqrt(252), (n_universes, 1))
    return 0.01 * scale * challenger, 0.01 * base


def evidence(n_sessions: int = 504, gain: float = 3.0, seed: int = 1, **how: Any) -> GateEvidence:
    return GateEvidence(*world(n_sessions, gain, np.random.default_rng(seed), **how), annual_turnover=4.0)


def verdict(given: GateEvidence, config: GateConfig) -> GateDecision:
    return decide(given, np.random.default_rng(0), config)


def observed(decision: GateDecision, code: GateCode) -> float:
    (found,) = [reason.observed for reason in decision.reasons if reason.code == code]
    return found


def test_a_strong_challenger_is_admitted_for_return_with_every_number() -> None:
    given = evidence(n_universes=3)
    decision = verdict(given, RETURN)
    assert decision.admitted
    assert decision.failed == ()
    wanted = ["sessions", "total_gain", "gain", "gain_confidence", "turnover"]
    assert [str(reason.code) for reason in decision.reasons] == wanted
    mine, base = (np.mean([sharpe_ratio(book) for book in books]) for books in (given.challenger, given.equal_weight))
    assert decision.gain == observed(decision, GateCode.TOTAL_GAIN) == pytest.approx(mine - base)
    assert decision.gain_low < decision.gain < decision.gain_high
    assert decision.n_universes == 3


def test_a_calmer_challenger_is_admitted_for_risk_and_told_its_ratios() -> None:
    given = evidence(gain=0.3, scale=0.85, n_universes=2)
    decision = verdict(given, RISK)
    assert decision.admitted, decision.failed
    books = zip(given.challenger, given.equal_weight, strict=True)
    ratios = [[figure(mine), figure(base)] for figure in (volatility, max_drawdown) for mine, base in books][:2]
    assert decision.volatility_ratio == pytest.approx(sum(r[0] for r in ratios) / sum(r[1] for r in ratios))
    assert observed(decision, GateCode.DRAWDOWN) == decision.drawdown_ratio < 1.0


def test_less_of_the_same_book_lowers_no_drawdown_at_the_same_volatility() -> None:
    base = evidence().equal_weight
    decision = verdict(GateEvidence(0.8 * base, base, 0.0), RISK)
    assert [reason.code for reason in decision.failed] == [GateCode.MATCHED_DRAWDOWN]
    assert observed(decision, GateCode.MATCHED_DRAWDOWN) == pytest.approx(1.0)


def test_lower_risk_does_not_pay_for_a_lost_return() -> None:
    given = evidence(gain=0.3, scale=0.85)
    poorer = replace(given, challenger=given.challenger - given.challenger.mean() + given.equal_weight.mean() * 0.5)
    failed = [reason.code for reason in verdict(poorer, RISK).failed]
    assert GateCode.TOTAL_GAIN in failed
    assert GateCode.VOLATILITY not in failed


def test_a_gain_within_the_tolerance_passes_for_risk_and_not_for_return() -> None:
    given = evidence(gain=0.0, scale=0.9)
    lowered = given.challenger - (sharpe_ratio(given.challenger[0]) - sharpe_ratio(given.equal_weight[0]) + 0.01) * (
        given.challenger.std(ddof=1) / math.sqrt(252)
    )
    slightly = replace(given, challenger=lowered)
    for config, passes in ((RISK, True), (RETURN, False)):
        decision = verdict(slightly, config)
        assert decision.gain == pytest.approx(-0.01)
        assert (GateCode.TOTAL_GAIN not in [reason.code for reason in decision.failed]) is True
        assert (GateCode.GAIN in [reason.code for reason in decision.failed]) is not passes


THRESHOLDS = [
    (RETURN, GateCode.SESSIONS, "min_sessions", 1),
    (RETURN, GateCode.TOTAL_GAIN, "min_total_gain", 1),
    (RETURN, GateCode.GAIN_CONFIDENCE, "min_confidence", 1),
    (RISK, GateCode.VOLATILITY_CONFIDENCE, "min_confidence", 1),
    (RETURN, GateCode.TURNOVER, "max_annual_turnover", -1),
]


@pytest.mark.parametrize(("config", "code", "field", "direction"), THRESHOLDS, ids=[t[2] for t in THRESHOLDS])
def test_each_criterion_passes_at_its_threshold_and_refuses_just_beside_it(
    config: GateConfig, code: GateCode, field: str, direction: int
) -> None:
    given = evidence(gain=0.8, scale=0.97, seed=36)  # middling, so that shares lie inside (0.5, 1)
    loose = replace(config, min_confidence=0.5)
    seen = observed(verdict(given, loose), code)
    assert 0.5 < seen < 1.0 or "confidence" not in code
    exact: dict[str, Any] = {field: int(seen) if code is GateCode.SESSIONS else seen}
    assert code not in [reason.code for reason in verdict(given, replace(loose, **exact)).failed]
    step = direction if code is GateCode.SESSIONS else math.nextafter(seen, direction * math.inf) - seen
    exact = {field: exact[field] + step}
    assert code in [reason.code for reason in verdict(given, replace(loose, **exact)).failed]


@pytest.mark.parametrize("config", [RISK, RETURN], ids=["risk", "return"])
@pytest.mark.parametrize("broken", ["challenger", "equal_weight", "turnover", "negative turnover", "flat", "short"])
def test_what_cannot_be_measured_is_refused(config: GateConfig, broken: str) -> None:
    given = evidence(scale=0.85, n_universes=2)
    assert verdict(given, config).admitted  # the control: whole, it passes
    holed = given.challenger.copy()
    holed[1, 100] = math.nan
    stories = {
        "challenger": replace(given, challenger=holed),
        "equal_weight": replace(given, equal_weight=holed),
        "turnover": replace(given, annual_turnover=math.nan),
        "negative turnover": replace(given, annual_turnover=-0.1),
        "flat": replace(given, challenger=np.zeros_like(holed)),
        "short": replace(given, challenger=given.challenger[:, :5], equal_weight=given.equal_weight[:, :5]),
    }
    decision = verdict(stories[broken], config)
    assert not decision.admitted
    json.dumps(decision.to_dict(), allow_nan=False)


@pytest.mark.parametrize("config", [RISK, RETURN], ids=["risk", "return"])
def test_a_copy_of_equal_weight_is_refused(config: GateConfig) -> None:
    base = evidence().equal_weight
    assert not verdict(GateEvidence(base.copy(), base, 0.0), config).admitted


def test_more_of_the_same_book_has_no_gain() -> None:
    base = evidence().equal_weight
    decision = verdict(GateEvidence(2.0 * base, base, 0.0), RETURN)
    assert not decision.admitted
    assert decision.gain == pytest.approx(0.0)


def test_universes_that_live_through_the_same_days_are_hardly_more_evidence() -> None:
    # differences that correlate by 0.6: twenty are worth 1 / (0.6 + 0.4 / 20) = 1.6
    one, many = (verdict(evidence(1008, 0.3, seed=5, n_universes=n), RETURN) for n in (1, 20))
    narrower = (one.gain_high - one.gain_low) / (many.gain_high - many.gain_low)
    assert narrower == pytest.approx(math.sqrt(1.6), abs=0.2)
    copied = evidence(1008, 0.3, seed=5)
    twenty = GateEvidence(np.repeat(copied.challenger, 20, 0), np.repeat(copied.equal_weight, 20, 0), 4.0)
    assert verdict(twenty, RETURN).gain_low == pytest.approx(one.gain_low, abs=0.05)


def test_series_of_different_sessions_are_an_error() -> None:
    given = evidence()
    with pytest.raises(ValueError, match="same sessions"):
        verdict(replace(given, equal_weight=given.equal_weight[:, 1:]), RISK)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_sessions", 19),
        ("min_total_gain", -11.0),
        ("min_confidence", 0.49),
        ("min_confidence", 1.01),
        ("min_total_gain", math.nan),
        ("max_annual_turnover", -1.0),
        ("n_resamples", 99),
        ("objective", "luck"),
    ],
)
def test_impossible_thresholds_are_refused(field: str, value: object) -> None:
    with pytest.raises(FixConfigError, match=field):
        GateConfig(**{field: value})  # type: ignore[arg-type]  # the point is a wrong value


def test_all_impossible_thresholds_are_named_together() -> None:
    with pytest.raises(FixConfigError, match=r"min_total_gain .*; max_annual_turnover"):
        GateConfig(min_total_gain=-100.0, max_annual_turnover=1e9)


def test_the_decision_is_reproducible() -> None:
    assert verdict(evidence(), RETURN) == verdict(evidence(), RETURN)


def admitted(n_worlds: int, n_sessions: int, gain: float, slope: float, seed: int, scale: float = 1.0) -> int:
    rng = np.random.default_rng(seed)
    config = RISK if scale < 1.0 else RETURN
    count = 0
    for _ in range(n_worlds):
        given = GateEvidence(*world(n_sessions, gain, rng, scale=scale, slope=slope), annual_turnover=4.0)
        count += decide(given, rng, config).admitted
    return count


def test_worthless_challengers_are_rarely_admitted() -> None:
    # expected 5 to 6.5 %: more than 16 of 150 has a probability under 5 % at 6.5 %
    assert admitted(150, 252, 0.0, 0.0, seed=21) <= 16


def test_challengers_with_a_strong_gain_are_mostly_admitted() -> None:
    assert admitted(40, 504, 1.5, 0.0, seed=22) >= 36


@pytest.mark.slow
@pytest.mark.parametrize(("n_sessions", "slope"), [(252, 0.0), (504, 0.0), (252, 0.2), (504, 0.2), (2520, 0.2)])
def test_size_over_many_worlds_stays_near_its_promise(n_sessions: int, slope: float) -> None:
    assert admitted(1_000, n_sessions, 0.0, slope, seed=23) <= 80
