"""The direct-gradient learner: its gradient is right, it finds what is planted, and stays at home where nothing is."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.optimize import check_grad

from tests.kernel_world import prepared_market
from trading_platform.core.policy import Policy, fit_scaling
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.sleeve_scorer import sleeve_layout
from trading_platform.core.types import Floats
from trading_platform.training.fits import Arena, FitTask, feature_index, fit_task, weights_of
from trading_platform.training.gradient import (
    Aim,
    Sample,
    aim_of,
    first_weights,
    layer_shapes,
    loss,
    sample_of,
)
from trading_platform.training.paths import observations
from trading_platform.training.ppo import Look
from trading_platform.training.sb3_models import Scorer
from trading_platform.training.setup import TrainingSetup

K = 3
BASE = np.array([0.5, 0.3, 0.2])


def no_env(*_: object) -> object:
    raise AssertionError("the gradient needs no environment")


@cache
def market() -> PreparedMarket:
    return prepared_market(2, 900)


def task(rows: range, validation: range = range(0), seed: int = 1) -> FitTask:
    return FitTask("final", seed, rows, validation, tuple(np.full(K, 1.0 / K).tolist()))


def at_base(returns: Floats) -> Sample:
    return Sample(np.empty((0, 0)), returns, np.tile(BASE, (len(returns), 1)))


@pytest.mark.parametrize("objective", ["risk", "return"])
@pytest.mark.parametrize("hidden", [(), (5,), (4, 3)])
def test_gradient_is_that_of_the_aim(objective: str, hidden: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    samples = [
        Sample(
            rng.normal(size=(60 * K, 4)), 0.01 * rng.normal(size=(60, K)) + 0.001, BASE * rng.uniform(0.5, 2, (60, K))
        )
        for _ in range(2)
    ]
    shapes, aim = layer_shapes(4, hidden, 1), Aim(objective, BASE, 0.5, 2e-4, 0.3)
    start = first_weights(shapes, 1) + 0.1 * rng.normal(size=len(first_weights(shapes, 1)))

    def value(weights: Floats) -> float:
        return loss(weights, samples, shapes, aim)[0]

    def slope(weights: Floats) -> Floats:
        return loss(weights, samples, shapes, aim)[1]

    assert check_grad(value, slope, start, epsilon=1e-6) < 1e-4 * np.linalg.norm(slope(start))


def test_scores_beyond_the_bound_pull_no_further() -> None:
    returns = 0.01 * np.random.default_rng(1).normal(size=(30, K))
    scores = np.zeros((30, K))
    scores[:, 0] = 1.5
    _, pull = aim_of(scores, at_base(returns), Aim("risk", BASE, 0.25, 0.0, 0.0))
    assert (pull[:, 0] == 0.0).all()
    assert (pull[:, 1] != 0.0).any()


@pytest.mark.parametrize("objective", ["risk", "return"])
def test_the_base_itself_has_aim_zero(objective: str) -> None:
    returns = 0.01 * np.random.default_rng(1).normal(size=(30, K)) + 0.001
    aim = Aim(objective, BASE, 0.25, 1e-3, 0.0)
    assert aim_of(np.zeros((30, K)), at_base(returns), aim)[0] == pytest.approx(0.0, abs=1e-10)


def planted(seed: int, strength: float) -> Sample:
    """Return a world in which the input says which strategy will be wild: `strength` times for a month."""
    rng = np.random.default_rng(seed)
    state = np.repeat(rng.normal(size=(60, K)), 20, axis=0)
    returns = 0.01 * np.exp(strength * state) * rng.normal(size=(1200, K))
    inputs = np.column_stack([state.ravel(), rng.normal(size=(1200 * K, 2))])
    return Sample(inputs, returns, np.full((1200, K), 1.0 / K))


@pytest.mark.parametrize(("strength", "least", "most"), [(0.5, 3.0, 100.0), (0.0, -1.0, 1.0)])
def test_planted_risk_is_found_and_noise_is_not(strength: float, least: float, most: float) -> None:
    from scipy.optimize import minimize

    shapes, aim = layer_shapes(3, (), 1), Aim("risk", np.full(K, 1.0 / K), 0.25, 1e-4, 1.0)
    found = minimize(loss, first_weights(shapes, 1), ([planted(1, strength)], shapes, aim), jac=True, method="L-BFGS-B")
    elsewhere = -loss(found.x, [planted(2, strength)], shapes, aim._replace(ridge=0.0))[0]
    assert least < elsewhere < most
    if strength:
        assert found.x[0] < -0.3  # who will be wild gets less
        assert abs(found.x[1]) < 0.1


def test_fit_starts_from_its_base_and_never_ends_below_it_in_training() -> None:
    world = market()
    rows = range(world.first + 1, world.n_sessions - 100)
    for hidden in ((), (4,)):
        setup = TrainingSetup(algo="gradient", hidden=hidden, ridge=1e9)
        fitted = fit_task(Arena(world, (world,), setup, no_env), task(rows))
        weights = weights_of(world, fitted.policy, world.base, setup)
        assert np.abs(weights - world.base).max() < 1e-6  # a price that nobody can pay: the base
        assert fitted.result.looks[0].reward >= -1e-9


def test_fit_changes_with_the_objective_and_keeps_within_the_bound() -> None:
    world = market()
    rows = range(world.first + 1, world.n_sessions - 100)
    found = []
    for objective in ("risk", "return"):
        setup = TrainingSetup(algo="gradient", objective=objective, ridge=0.01, cost_bps=0.0)
        fitted = fit_task(Arena(world, (world,), setup, no_env), task(rows, range(rows.stop, world.n_sessions)))
        weights = weights_of(world, fitted.policy, world.base, setup)
        odds = weights / world.base
        most = np.exp(2.0 * setup.action_scale)  # one strategy's odds up, all others' down
        assert 1.0 / most - 1e-9 <= odds.min() < 0.99 < 1.01 < odds.max() <= most + 1e-9
        found.append(weights)
        assert fitted.result.looks[0].reward > 0.0
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_a_linear_fit_has_no_seed_noise() -> None:
    world = market()
    setup = TrainingSetup(algo="gradient")
    rows = range(world.first + 1, world.n_sessions - 100)
    first, second = (fit_task(Arena(world, (world,), setup, no_env), task(rows, seed=seed)) for seed in (1, 2))
    assert first.result.network.kernels[0].tobytes() == second.result.network.kernels[0].tobytes()


def test_returns_are_those_of_the_session_after_at_the_base_book_s_size() -> None:
    world = market()
    rows = range(world.first + 10, world.first + 200)
    index = feature_index(world.schema, TrainingSetup().features)
    seen = observations(world)
    scaling, layout = fit_scaling(seen[rows.start : rows.stop], index, 3.0), sleeve_layout(world.schema, index)
    assert layout is not None
    centres = np.zeros((K, layout.n_inputs))
    sample = sample_of(world, seen, rows, scaling, Scorer(layout, centres), world.base)
    raw = world.strategy_returns[rows.start + 1 : rows.stop]
    np.testing.assert_allclose(sample.returns, raw * (sample.returns.std() / raw.std()), atol=1e-15)
    whole = world.base_returns[rows.start + 1 : rows.stop]
    assert (sample.returns @ world.base).std() == pytest.approx(whole.std())
    assert sample.inputs.shape == (189 * K, layout.n_inputs)


def test_a_network_for_all_features_at_once_is_fitted_too() -> None:
    world = market()
    setup = TrainingSetup(algo="gradient", features=("regime", "market"), ridge=0.01, cost_bps=0.0)
    rows = range(world.first + 1, world.n_sessions - 100)
    fitted = fit_task(Arena(world, (world,), setup, no_env), task(rows))
    assert fitted.layout is None
    assert isinstance(fitted.policy, Policy)
    assert fitted.result.looks[0].reward > 0.0


def test_looks_are_told() -> None:
    world = market()
    told: list[Look] = []
    setup = TrainingSetup(algo="gradient")
    rows = range(world.first + 1, world.n_sessions - 100)
    result = fit_task(Arena(world, (world,), setup, no_env), task(rows), told.append).result
    assert tuple(told) == result.looks
    assert setup.looks == len(told) == 1
