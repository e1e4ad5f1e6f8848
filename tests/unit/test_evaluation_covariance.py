"""Shrunk covariance and long-only solvers: against scikit-learn, scipy and their optimality conditions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading_platform.core.types import Floats
from trading_platform.evaluation import covariance as module
from trading_platform.evaluation.covariance import (
    equal_risk_weights,
    ledoit_wolf_covariance,
    minimum_variance_weights,
    tangency_weights,
)


def correlated(n_sessions: int, n_books: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.004, 0.02, n_books)
    return (rng.normal(size=(n_sessions, 1)) * 0.8 + rng.normal(size=(n_sessions, n_books)) * 0.6) * scale


@pytest.mark.parametrize(("n_sessions", "n_books"), [(5, 8), (30, 5), (252, 5), (1000, 12)])
def test_shrunk_covariance_equals_scikit_learns(n_sessions: int, n_books: int) -> None:
    sklearn = pytest.importorskip("sklearn.covariance", reason="scikit-learn is a development dependency")
    returns = correlated(n_sessions, n_books, n_sessions)
    theirs = sklearn.LedoitWolf().fit(returns).covariance_
    np.testing.assert_allclose(ledoit_wolf_covariance(returns), theirs, rtol=1e-10, atol=1e-18)


def test_shrunk_covariance_of_books_that_never_move_is_zero() -> None:
    assert (ledoit_wolf_covariance(np.zeros((20, 3))) == 0.0).all()


def test_shrunk_covariance_of_few_sessions_is_positive_definite() -> None:
    returns = correlated(4, 8, 1)
    assert np.linalg.matrix_rank(np.cov(returns.T)) < 8
    assert np.linalg.eigvalsh(ledoit_wolf_covariance(returns)).min() > 0


@pytest.mark.parametrize("seed", range(6))
def test_minimum_variance_equals_scipys_constrained_minimum(seed: int) -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="scipy comes with hmmlearn only")
    matrix = ledoit_wolf_covariance(correlated(60, 6, seed))
    scaled = matrix / np.trace(matrix)
    theirs = optimize.minimize(
        lambda w: w @ scaled @ w,
        np.full(6, 1 / 6),
        jac=lambda w: 2 * scaled @ w,
        bounds=[(0, 1)] * 6,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    ours = minimum_variance_weights(matrix)
    np.testing.assert_allclose(ours, theirs.x, atol=2e-5)
    assert ours @ scaled @ ours <= theirs.fun * (1 + 1e-9)


def test_minimum_variance_fulfils_its_optimality_conditions() -> None:
    reached_zero = 0
    for seed in range(30):
        matrix = ledoit_wolf_covariance(correlated(80, 5, seed))
        weights = minimum_variance_weights(matrix)
        marginal = matrix @ weights / (weights @ matrix @ weights)
        held = weights > 0
        reached_zero += int((~held).any())
        # held books have the portfolio's own marginal risk, the others more
        np.testing.assert_allclose(marginal[held], 1.0, rtol=1e-8)
        assert (marginal[~held] >= 1.0 - 1e-8).all()
    assert reached_zero >= 5


def test_minimum_variance_of_two_uncorrelated_books_is_inverse_to_variance() -> None:
    np.testing.assert_allclose(minimum_variance_weights(np.diag([1e-4, 3e-4])), [0.75, 0.25])


@pytest.mark.parametrize("seed", range(6))
def test_equal_risk_contributions_are_equal(seed: int) -> None:
    matrix = ledoit_wolf_covariance(correlated(80, 6, seed))
    weights = equal_risk_weights(matrix)
    contributions = weights * (matrix @ weights)
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(contributions, contributions.mean(), rtol=1e-8)


def test_equal_risk_equals_skfolios_risk_budgeting() -> None:
    optimization = pytest.importorskip("skfolio.optimization", reason="skfolio is a development dependency")
    moments = pytest.importorskip("skfolio.moments", reason="skfolio is a development dependency")
    prior = pytest.importorskip("skfolio.prior", reason="skfolio is a development dependency")
    returns = correlated(252, 4, 3)
    model = optimization.RiskBudgeting(
        prior_estimator=prior.EmpiricalPrior(covariance_estimator=moments.LedoitWolf(nearest=False))
    ).fit(returns)
    np.testing.assert_allclose(equal_risk_weights(ledoit_wolf_covariance(returns)), model.weights_, atol=2e-3)


def test_equal_risk_without_correlation_is_inverse_volatility() -> None:
    np.testing.assert_allclose(equal_risk_weights(np.diag([1e-4, 4e-4])), [2 / 3, 1 / 3])


def test_tangency_without_correlation_is_mean_over_variance() -> None:
    matrix = np.diag([1e-4, 2e-4, 1e-4])
    np.testing.assert_allclose(tangency_weights(matrix, np.array([2e-4, 2e-4, -1e-4])), [2 / 3, 1 / 3, 0.0])


def test_tangency_beats_every_other_long_only_mix() -> None:
    rng = np.random.default_rng(0)
    matrix = ledoit_wolf_covariance(correlated(300, 4, 2))
    means = rng.normal(2e-4, 3e-4, 4)
    best = tangency_weights(matrix, means)
    ratio = means @ best / math.sqrt(best @ matrix @ best)
    for other in rng.dirichlet(np.full(4, 0.5), 2_000):
        assert means @ other / math.sqrt(other @ matrix @ other) <= ratio * (1 + 1e-9)


def test_tangency_without_a_positive_mean_takes_the_least_bad_book() -> None:
    assert tangency_weights(np.eye(3), np.array([-2.0, -1.0, -3.0])).tolist() == [0.0, 1.0, 0.0]


def test_unknown_covariance_gives_unknown_weights() -> None:
    matrix = np.array([[1.0, math.nan], [math.nan, 1.0]])
    assert np.isnan(minimum_variance_weights(matrix)).all()
    assert np.isnan(equal_risk_weights(matrix)).all()


def test_compiled_and_plain_python_agree_to_the_bit() -> None:
    matrix = ledoit_wolf_covariance(correlated(60, 4, 0))
    for kernel, arguments in ((module._positive_quadratic, (matrix, np.ones(4))), (module._equal_risk, (matrix,))):
        plain = getattr(kernel, "py_func", kernel)
        assert np.array_equal(kernel(*arguments), plain(*arguments))
