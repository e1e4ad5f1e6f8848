"""What a search says of its best trial: luck is told as luck, and what is there is found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading_platform.core.types import Floats
from trading_platform.evaluation.deflated import expected_max_sharpe
from trading_platform.search.findings import best_of, gains, luck, plateau, sentence
from trading_platform.search.plan import Dimension
from trading_platform.search.study import Trial
from trading_platform.search.trial_task import figure, folds_of, values_of

SPACE = (Dimension("exits.a", 0.0, 10.0),)
N_TRIALS, N_FOLDS, N_SESSIONS = 200, 4, 400


def trial(number: int, place: float, *values: float, unusable: str = "") -> Trial:
    return Trial(number, {"exits.a": place}, values, unusable=unusable)


def worthless(rng: np.random.Generator, worth: Floats) -> tuple[list[Floats], Floats]:
    """Return gains by universe and fold of trials that are worth `worth`, (N,), with noise; and their returns."""
    cells = [level + np.tile(rng.normal(0.0, 0.4, N_FOLDS), (3, 1)) for level in worth]
    return cells, rng.normal(0.0, 0.01, (N_SESSIONS, len(worth)))


def found(worth: Floats) -> tuple[float, object]:
    cells, returns = worthless(np.random.default_rng(5), worth)
    gain = max(float(each.mean()) for each in cells)
    return gain, luck(gain, cells, returns)


def test_the_best_of_worthless_trials_is_called_luck() -> None:
    cells, returns = worthless(np.random.default_rng(5), np.zeros(N_TRIALS))
    gain = max(float(each.mean()) for each in cells)
    told = luck(gain, cells, returns)
    # 200 means of four folds with a deviation of 0.4: the best of so many lies 2.75 deviations of 0.2 above
    assert told.expected == pytest.approx(expected_max_sharpe(told.effective, 0.04), rel=0.1)
    assert gain < told.expected * 1.15
    assert told.shrinkage < 0.2
    assert abs(told.kept) < 0.15
    words = sentence(N_TRIALS, "sharpe", told, -0.03)
    assert words.startswith(f"After 200 trials the best is worth {gain:+.2f} of a Sharpe ratio more than today's")
    assert "which is what luck gives" in words or gain > told.expected
    assert words.endswith("on the outer years, which no trial has seen, -0.03.")


def test_trials_that_differ_in_worth_keep_most_of_their_gain() -> None:
    cells, returns = worthless(np.random.default_rng(5), np.linspace(-1.0, 1.0, N_TRIALS))
    gain = max(float(each.mean()) for each in cells)
    told = luck(gain, cells, returns)
    assert told.shrinkage == pytest.approx(0.89, abs=0.04)  # 1 - 0.04 / (0.04 + 1/3)
    assert 0.8 < told.kept < gain
    assert "is expected to stay" in sentence(N_TRIALS, "sharpe", told, 0.9)


def test_trials_that_are_one_amount_to_one() -> None:
    same = np.tile(np.random.default_rng(1).normal(0.0, 0.01, (N_SESSIONS, 1)), (1, 20))
    told = luck(0.1, [np.zeros((1, N_FOLDS))] * 20, same)
    assert told.effective == pytest.approx(1.0)
    assert told.expected == 0.0
    assert told.shrinkage == 0.0


def test_too_few_trials_say_nothing() -> None:
    told = luck(0.2, [np.ones((1, N_FOLDS))], np.zeros((N_SESSIONS, 1)))
    assert math.isnan(told.expected)
    assert sentence(1, "sharpe", told, math.nan).endswith("what luck gives cannot be said from so few.")


def test_no_gain_is_said_to_be_none() -> None:
    told = luck(-0.001, [np.zeros((1, N_FOLDS)), np.ones((1, N_FOLDS))], np.zeros((N_SESSIONS, 2)))
    assert "worth +0.00 of a Sharpe ratio more than today's settings, no better than what is there" in sentence(
        2, "sharpe", told, math.nan
    )


def test_the_best_is_the_earliest_of_equals_and_the_least_of_drawdowns() -> None:
    trials = [trial(0, 1.0, 0.2), trial(1, 2.0, 0.5), trial(2, 3.0, 0.5), trial(3, 4.0, unusable="x")]
    assert best_of(trials, "sharpe") == trials[1]
    assert best_of(trials, "drawdown") == trials[0]
    assert best_of(trials[3:], "sharpe") is None


def test_a_peak_among_poor_neighbours_shows() -> None:
    trials = [trial(i, float(i), 0.9 if i == 5 else 0.1 * i) for i in range(11)]
    near = plateau(trials[5], trials, SPACE, "sharpe")
    assert near.trials == 5
    assert near.mean == pytest.approx((0.4 + 0.6 + 0.3 + 0.7 + 0.2) / 5)
    assert near.worst == pytest.approx(0.2)


def test_gains_are_signed_so_that_more_is_better() -> None:
    assert gains("sharpe", np.array([[1.0]]), np.array([[0.4]])) == pytest.approx(0.6)
    assert gains("drawdown", np.array([[0.1]]), np.array([[0.3]])) == pytest.approx(0.2)


def test_folds_cover_every_session_once() -> None:
    assert [(fold.start, fold.stop) for fold in folds_of(10, 3)] == [(0, 3), (3, 6), (6, 10)]


def test_objectives_of_a_known_path() -> None:
    returns, bills = np.array([0.1, -0.5, 0.2, 0.1]), np.zeros(4)
    assert figure("drawdown", returns, bills) == pytest.approx(0.5)
    assert figure("calmar", returns, bills) == pytest.approx((np.prod(1.0 + returns) ** 63 - 1.0) / 0.5)
    assert math.isnan(figure("calmar", np.zeros(4), bills))
    two = values_of(("drawdown",), [returns, np.zeros(4)], bills, 2)
    assert two == pytest.approx(((0.5 + 0.0 + 0.0 + 0.0) / 4,))
