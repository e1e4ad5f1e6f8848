"""Allocation baselines: written-out weights, starts without history, bad input, and that each finds its own edge."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tests.allocation_path import allocation_path
from tests.hindsight import Oracle
from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.types import Floats, Ints
from trading_platform.evaluation.baselines import (
    Baseline,
    DriftingEqualWeight,
    EqualWeight,
    InverseVolatility,
    MinimumVariance,
    RiskParity,
    rolling_rows,
)
from trading_platform.evaluation.learning_baselines import (
    BestSoFar,
    DiscountedThompson,
    ExponentiatedGradient,
    RegimeTable,
    ScoreMap,
    default_baselines,
)

BASELINES = (*default_baselines(), RegimeTable(name="regime_table_positive", mapping=ScoreMap.POSITIVE))


def unclear(n_sessions: int) -> Floats:
    return np.full((n_sessions, 3), 1 / 3)


def regime_world(n_sessions: int, seed: int) -> tuple[Floats, Floats, Ints]:
    """Three books, each good in one regime only; returns, filtered probabilities and true regimes."""
    rng = np.random.default_rng(seed)
    regimes = np.zeros(n_sessions, dtype=np.int64)
    for t in range(1, n_sessions):
        regimes[t] = regimes[t - 1] if rng.random() < 0.98 else rng.integers(3)
    edge = np.where(np.eye(3, dtype=bool), 0.0016, -0.0004)
    after = regimes[np.maximum(np.arange(n_sessions) - 1, 0)]
    returns = edge[after] + rng.normal(0, 0.006, (n_sessions, 1)) + rng.normal(0, 0.006, (n_sessions, 3))
    return returns, np.eye(3)[regimes] * 0.7 + 0.1, regimes


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
def test_every_row_is_a_long_only_allocation(baseline: Baseline) -> None:
    returns, probabilities, _ = regime_world(600, 0)
    returns[:100, 1] = math.nan
    probabilities[200:210] = math.nan
    weights = baseline.weights(returns, probabilities)
    assert weights.shape == (600, 3)
    assert (weights >= 0.0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
def test_without_history_the_answer_is_equal_weight(baseline: Baseline) -> None:
    weights = baseline.weights(np.full((300, 4), math.nan), np.full((300, 3), math.nan))
    np.testing.assert_allclose(weights, 0.25)
    assert baseline.weights(np.zeros((0, 4)), np.zeros((0, 3))).shape == (0, 4)


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
def test_books_that_never_trade_get_equal_weight_or_an_honest_guess(baseline: Baseline) -> None:
    weights = baseline.weights(np.zeros((300, 2)), unclear(300))
    if isinstance(baseline, BestSoFar | DiscountedThompson):
        # the best of equals is the first one, or whoever the dice favour
        np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    else:
        np.testing.assert_allclose(weights, 0.5)


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
@pytest.mark.parametrize(
    ("returns", "probabilities"),
    [
        (np.zeros(5), np.zeros((5, 3))),
        (np.zeros((5, 2)), np.zeros((4, 3))),
        (np.zeros((5, 2)), np.zeros((5, 2))),
        (np.full((5, 2), -1.0), np.zeros((5, 3))),
        (np.full((5, 2), math.inf), np.zeros((5, 3))),
        (np.zeros((5, 0)), np.zeros((5, 3))),
    ],
)
def test_input_that_does_not_fit_is_refused(baseline: Baseline, returns: Floats, probabilities: Floats) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        baseline.weights(returns, probabilities)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: InverseVolatility(lookback=1), "lookback must be in"),
        (lambda: RiskParity(rebalance_every=0), "rebalance_every must be in"),
        (lambda: MinimumVariance(lookback=0, rebalance_every=-1), "lookback .*; rebalance_every"),
        (lambda: ExponentiatedGradient(rate=math.nan), "rate must be in"),
        (lambda: ExponentiatedGradient(share=1.5), "share must be in"),
        (lambda: DiscountedThompson(discount=0.0), "discount must be in"),
        (lambda: DiscountedThompson(draws=0, warm_up=0), "draws .*; warm_up"),
        (lambda: RegimeTable(prior_sessions=0.0), "prior_sessions must be in"),
        (lambda: BestSoFar(warm_up=0), "warm_up must be in"),
    ],
)
def test_impossible_parameters_are_refused(build: Callable[[], Baseline], message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        build()


def test_equal_weight_is_one_over_k() -> None:
    assert (EqualWeight().weights(np.zeros((3, 4)), unclear(3)) == 0.25).all()


def test_drifting_equal_weight_follows_growth_and_never_trades() -> None:
    returns = np.array([[1.0, 0.0], [math.nan, 0.5], [0.0, 1.0]])
    weights = DriftingEqualWeight().weights(returns, unclear(3))
    # 2:1 after the first session, nothing moves on the unknown one, 2:2 after the third
    np.testing.assert_allclose(weights, [[2 / 3, 1 / 3], [2 / 3, 1 / 3], [0.5, 0.5]])
    path = allocation_path(weights[[0, 2]], returns[[0, 2]])
    np.testing.assert_allclose(path.turnover, 0.0, atol=1e-15)


def test_rolling_rows_hand_over_exactly_the_last_sessions_at_each_rebalance() -> None:
    returns = np.random.default_rng(0).normal(size=(12, 2)) * 0.01
    seen: list[Floats] = []

    def first_book(window: Floats) -> Floats:
        seen.append(window)
        return np.array([1.0, 0.0])

    weights = rolling_rows(returns, lookback=4, rebalance_every=3, rule=first_book)
    # rows 0 and 3 set weights; row 3 is the first with four sessions, then 6 and 9
    for window, t in zip(seen, (3, 6, 9), strict=True):
        np.testing.assert_array_equal(window, returns[t - 3 : t + 1])
    np.testing.assert_allclose(weights[:3], 0.5)
    np.testing.assert_allclose(weights[3:, 0], 1.0)


def test_rolling_rows_refuse_a_rule_whose_weights_do_not_sum_to_one() -> None:
    returns = np.random.default_rng(0).normal(size=(12, 2)) * 0.01
    weights = rolling_rows(returns, lookback=4, rebalance_every=1, rule=lambda window: np.array([1.0, 0.1]))
    np.testing.assert_allclose(weights, 0.5)


def test_inverse_volatility_halves_the_weight_of_twice_the_risk() -> None:
    swing = np.tile([0.01, -0.01], 50)
    weights = InverseVolatility(lookback=20).weights(np.column_stack((swing, 2 * swing)), unclear(100))
    # rows are set every fifth session once twenty are known
    np.testing.assert_allclose(weights[19], [0.5, 0.5])
    np.testing.assert_allclose(weights[20:], np.tile([2 / 3, 1 / 3], (80, 1)))


@pytest.mark.parametrize(
    "baseline", [InverseVolatility(lookback=20), RiskParity(lookback=20), MinimumVariance(lookback=20)]
)
def test_risk_baselines_leave_cash_out(baseline: Baseline) -> None:
    rng = np.random.default_rng(0)
    returns = np.column_stack((rng.normal(0, 0.01, (60, 2)), np.zeros(60)))
    weights = baseline.weights(returns, unclear(60))
    assert (weights[40:, 2] == 0.0).all()
    assert (weights[40:, :2] > 0.0).all()


def test_minimum_variance_prefers_the_quiet_book_and_parity_spreads() -> None:
    rng = np.random.default_rng(1)
    returns = rng.normal(0, [0.005, 0.02], (400, 2))
    quiet = MinimumVariance().weights(returns, unclear(400))[-1]
    parity = RiskParity().weights(returns, unclear(400))[-1]
    assert quiet[0] > parity[0] > 0.7
    assert parity[0] == pytest.approx(0.8, abs=0.04)


def test_exponentiated_gradient_step_written_out() -> None:
    baseline = ExponentiatedGradient(rate=2.0, share=0.1)
    weights = baseline.weights(np.array([[0.1, -0.1]]), unclear(1))[0]
    up, down = math.exp(2 * 0.1), math.exp(-2 * 0.1)
    assert weights[0] == pytest.approx(0.9 * up / (up + down) + 0.05)


def test_exponentiated_gradient_second_step_is_relative_to_its_own_growth() -> None:
    returns = np.array([[0.1, -0.1], [0.5, 0.2]])
    first, second = ExponentiatedGradient(rate=3.0, share=0.0).weights(returns, unclear(2))
    own = first @ (1.0 + returns[1])
    grown = first * np.exp(3.0 * (1.0 + returns[1]) / own)
    np.testing.assert_allclose(second, grown / grown.sum())


def test_exponentiated_gradient_never_abandons_a_book() -> None:
    returns = np.column_stack((np.full(3_000, 0.01), np.full(3_000, -0.01)))
    weights = ExponentiatedGradient(rate=20.0).weights(returns, unclear(3_000))
    assert weights[-1, 1] >= 0.5 / 252


def test_thompson_is_reproducible_per_seed_and_differs_between_seeds() -> None:
    returns = np.random.default_rng(0).normal(0, 0.01, (200, 3))
    first = DiscountedThompson(seed=1).weights(returns, unclear(200))
    assert np.array_equal(first, DiscountedThompson(seed=1).weights(returns, unclear(200)))
    assert not np.array_equal(first, DiscountedThompson(seed=2).weights(returns, unclear(200)))


def test_thompson_finds_the_better_book_and_forgets_it() -> None:
    rng = np.random.default_rng(2)
    returns = rng.normal(0, 0.01, (1_200, 2))
    returns[:600, 0] += 0.005
    returns[600:, 1] += 0.005
    weights = DiscountedThompson().weights(returns, unclear(1_200))
    assert weights[300:600, 0].mean() > 0.95
    assert weights[900:, 1].mean() > 0.95


def test_thompson_row_written_out() -> None:
    returns = np.random.default_rng(4).normal(0.001, [0.01, 0.02, 0.005], (40, 3))
    weights = DiscountedThompson(discount=0.9, draws=50, warm_up=30, seed=8).weights(returns, unclear(40))
    np.testing.assert_allclose(weights[28], 1 / 3)
    noise = np.random.default_rng(8).standard_normal((40, 50, 3))
    for t in (29, 39):
        ages = 0.9 ** np.arange(t, -1, -1.0)
        mean = ages @ returns[: t + 1] / ages.sum()
        deviation = np.sqrt(ages @ returns[: t + 1] ** 2 / ages.sum() - mean**2)
        draws = mean / deviation + noise[t] / math.sqrt(ages.sum())
        np.testing.assert_allclose(weights[t], [(draws.argmax(axis=1) == k).mean() for k in range(3)])


def test_one_draw_is_the_classical_one_hot_rule() -> None:
    returns = np.random.default_rng(3).normal(0, 0.01, (60, 3))
    weights = DiscountedThompson(draws=1).weights(returns, unclear(60))
    assert set(np.unique(weights[30:])) == {0.0, 1.0}


def test_regime_table_with_certain_regimes_written_out() -> None:
    # book 0 earns 1 % after bull, loses 1 % after bear; book 1 the other way round
    regimes = np.array([0, 1] * 50)
    probabilities = np.eye(3)[regimes]
    after_bull = np.concatenate(([False], regimes[:-1] == 0))
    good = np.where(after_bull, 0.01, -0.01)
    good[0] = 0.0
    returns = np.column_stack((good, -good))
    table = RegimeTable(prior_sessions=1e-9, mapping=ScoreMap.POSITIVE, warm_up=10)
    weights = table.weights(returns, probabilities)
    np.testing.assert_allclose(weights[20], [1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(weights[21], [0.0, 1.0], atol=1e-12)


@pytest.mark.parametrize("mapping", ScoreMap)
def test_regime_table_row_written_out(mapping: ScoreMap) -> None:
    returns, probabilities, _ = regime_world(60, 9)
    returns[10] = math.nan
    probabilities[20] = math.nan
    weights = RegimeTable("r", 30.0, 0.7, mapping, warm_up=40).weights(returns, probabilities)
    # 40 known sessions are first seen in row 40, since row 10 is unknown
    np.testing.assert_allclose(weights[39], 1 / 3)
    for t in (40, 59):
        seen = np.delete(returns[: t + 1], 10, axis=0)
        pairs = [s for s in range(t) if s not in (9, 20)]
        mass = probabilities[pairs].sum(axis=0)[:, None]
        table = probabilities[pairs].T @ returns[[s + 1 for s in pairs]]
        shrunken = (table + 30.0 * seen.mean(axis=0)) / (mass + 30.0)
        scores = probabilities[t] @ shrunken / seen.std(axis=0) * math.sqrt(252)
        raw = np.exp(0.7 * scores) if mapping is ScoreMap.SOFTMAX else np.maximum(scores, 0.0)
        np.testing.assert_allclose(weights[t], raw / raw.sum())


def test_a_strong_prior_makes_the_regime_table_forget_regimes() -> None:
    returns, probabilities, _ = regime_world(1_000, 4)
    sure = RegimeTable(prior_sessions=10.0, sharpness=3.0).weights(returns, probabilities)
    shy = RegimeTable(prior_sessions=1e9, sharpness=3.0).weights(returns, probabilities)
    assert np.abs(np.diff(sure[500:], axis=0)).sum() > 10 * np.abs(np.diff(shy[500:], axis=0)).sum()


def test_regime_table_answers_equal_weight_while_the_regime_is_unknown() -> None:
    returns, probabilities, _ = regime_world(400, 5)
    probabilities[300] = math.nan
    weights = RegimeTable().weights(returns, probabilities)
    np.testing.assert_allclose(weights[300], 1 / 3)
    assert not np.allclose(weights[299], 1 / 3)


def test_best_so_far_switches_when_the_record_does() -> None:
    rng = np.random.default_rng(6)
    returns = rng.normal(0, 0.001, (400, 2))
    returns[:100, 0] += 0.002
    returns[100:, 1] += 0.002
    weights = BestSoFar(warm_up=63).weights(returns, unclear(400))
    np.testing.assert_allclose(weights[61], 0.5)
    assert weights[99].tolist() == [1.0, 0.0]
    assert weights[-1].tolist() == [0.0, 1.0]


def test_best_so_far_goes_by_the_sharpe_ratio_of_exactly_the_record() -> None:
    # means 1 %, 2 %, 0 over deviations 1 %, 4 %, 0: the calm book wins, cash counts as a ratio of zero
    steps = np.tile([1.0, -1.0], 20)
    returns = np.column_stack((0.01 + 0.01 * steps, 0.02 + 0.04 * steps, np.zeros(40)))
    weights = BestSoFar(warm_up=10).weights(returns, unclear(40))
    np.testing.assert_allclose(weights[8], 1 / 3)
    assert (weights[9:] == [1.0, 0.0, 0.0]).all()
    losing = np.column_stack((-returns[:, 0], np.zeros(40), -returns[:, 1]))
    assert (BestSoFar(warm_up=10).weights(losing, unclear(40))[9:] == [0.0, 1.0, 0.0]).all()


@pytest.mark.parametrize("seed", range(5))
def test_best_so_far_row_written_out(seed: int) -> None:
    returns = np.random.default_rng(seed).normal(0.0003, [0.005, 0.01, 0.02], (90, 3))
    weights = BestSoFar(warm_up=20).weights(returns, unclear(90))
    for t in range(19, 90):
        ratios = returns[: t + 1].mean(axis=0) / returns[: t + 1].std(axis=0)
        assert weights[t].argmax() == ratios.argmax()


def test_oracle_of_a_label_seen_twice_takes_the_hindsight_mix() -> None:
    returns = np.array([[0.0, 0.0], [0.02, -0.01], [0.01, -0.02], [0.0, 0.0]])
    weights = Oracle(np.array([1, 1, 0, 0])).weights(returns, unclear(4))
    assert weights[0].tolist() == weights[1].tolist() == [1.0, 0.0]
    assert weights[2].tolist() == [0.5, 0.5]


def test_in_a_regime_world_the_table_beats_equal_weight_and_the_oracle_beats_both() -> None:
    returns, probabilities, regimes = regime_world(4_000, 7)
    contenders: tuple[Baseline, ...] = (EqualWeight(), RegimeTable(), Oracle(regimes))
    ratios = [
        sharpe_ratio(allocation_path(c.weights(returns, probabilities), returns, cost_bps=5.0).returns)
        for c in contenders
    ]
    assert ratios[0] + 0.3 < ratios[1]
    assert ratios[1] + 0.3 < ratios[2]


def test_oracle_refuses_regimes_of_another_length_and_survives_a_rare_one() -> None:
    returns, probabilities, regimes = regime_world(100, 8)
    with pytest.raises(ValueError, match="true_regimes"):
        Oracle(regimes[:50]).weights(returns, probabilities)
    regimes[-1] = 7
    np.testing.assert_allclose(Oracle(regimes).weights(returns, probabilities)[-1], 1 / 3)


def test_default_baselines_have_distinct_names_and_equal_weight_first() -> None:
    names = [baseline.name for baseline in default_baselines()]
    assert names[0] == "equal_weight"
    assert len(set(names)) == len(names)


def test_allocation_path_written_out() -> None:
    weights = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    returns = np.array([[0.1, 0.0], [0.2, 0.5], [0.0, 0.1]])
    path = allocation_path(weights, returns, cost_bps=10.0)
    # row 0: equal weight earns 5 % and drifts to 0.55/1.05 against 0.50/1.05; all of the second half moves
    moved = 1 - 0.55 / 1.05
    # row 1: everything in book 0 earns 20 %, then half is moved; row 2: 5 %, drifts to 0.5/1.05 against 0.55/1.05
    np.testing.assert_allclose(path.turnover, [moved, 0.5, 0.5 * (0.05 / 1.05)])
    np.testing.assert_allclose(path.returns, [0.05, 0.2 - 2 * 0.001 * moved, 0.05 - 2 * 0.001 * 0.5])


def test_allocation_path_with_an_unknown_return_is_unknown_that_session_only() -> None:
    path = allocation_path(np.full((3, 2), 0.5), np.array([[0.0, 0.0], [math.nan, 0.1], [0.1, 0.1]]))
    assert np.isnan(path.returns).tolist() == [False, True, False]
    assert np.isfinite(path.turnover).all()
    with pytest.raises(ValueError, match="alike"):
        allocation_path(np.zeros((3, 2)), np.zeros((2, 2)))
