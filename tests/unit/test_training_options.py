"""From a command line to a training setup, and the packages that it needs."""

from __future__ import annotations

import sys

import pytest

from tests.kernel_world import STRATEGIES
from trading_platform.core.errors import FixConfigError
from trading_platform.core.observation import observation_schema
from trading_platform.training.fits import common_names, feature_index
from trading_platform.training.packages import check_packages
from trading_platform.training.setup import OWN_FEATURES, REWARD_OF, SHARED_FEATURES, TrainingSetup
from trading_platform.training.setup_options import make_setup

SCHEMA = observation_schema([strategy.name for strategy in STRATEGIES])


def test_options_of_their_own_and_set_say_the_same() -> None:
    named = make_setup(9_000, 900, [], {"algo": "sac", "reward": "sharpe", "net": "8,4"})
    assert named == make_setup(9_000, 900, ["algo=sac", "reward=sharpe", "hidden=8,4"])
    assert (named.algo, named.reward, named.hidden) == ("sac", "sharpe", (8, 4))
    assert make_setup(9_000, 900, [], {"algo": None, "reward": None, "net": "linear"}).hidden == ()


def test_a_short_run_does_less_of_everything_unless_told_how_much() -> None:
    assert make_setup(1_000, 100, []).n_universes == 0
    assert (make_setup(1_000, 100, []).usual_seeds, make_setup(16_000, 100, []).usual_seeds) == (1, 3)
    assert make_setup(1_000, 100, ["n_universes=3"]).n_universes == 3
    assert make_setup(16_000, 100, []).n_universes == TrainingSetup().n_universes > 1
    assert make_setup(1_000, 100, []).is_short
    assert not make_setup(16_000, 100, []).is_short


@pytest.mark.parametrize("objective", ["risk", "return"])
def test_the_objective_names_the_reward_where_nobody_else_does(objective: str) -> None:
    settled = TrainingSetup().settled(objective)
    assert (settled.objective, settled.reward) == (objective, REWARD_OF[objective])
    assert TrainingSetup(reward="sharpe").settled(objective).reward == "sharpe"
    assert TrainingSetup(objective="risk").settled("return").objective == "risk"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("algo=pppo", "algo must be one of ppo, a2c, sac, gradient, was 'pppo'"),
        ("objective=fame", "objective must be one of risk, return"),
        ("reward=profit", "reward must be one of sharpe, sharpe_difference, mean_variance, utility"),
        ("hidden=0", "at least one unit a layer"),
        ("hidden=big", "units a layer such as 16"),
        ("ridge=-1", "ridge must be at least 0"),
        ("earned_tilt=maybe", "neither true nor false"),
        ("riddge=1", "did you mean 'ridge'"),
    ],
)
def test_what_cannot_be_names_the_choices(option: str, message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        make_setup(9_000, 900, [option])


@pytest.mark.parametrize(("text", "truth"), [("true", True), ("0", False), ("No", False)])
def test_truth_is_read_as_people_write_it(text: str, truth: bool) -> None:
    assert make_setup(9_000, 900, [f"earned_tilt={text}"]).earned_tilt is truth


def test_default_features_are_there_and_a_name_without_strategy_means_all_of_them() -> None:
    index = feature_index(SCHEMA, TrainingSetup().features)
    assert len(index) == len(SHARED_FEATURES) + len(OWN_FEATURES) * len(STRATEGIES)
    assert set(OWN_FEATURES) < set(common_names(SCHEMA))
    only = feature_index(SCHEMA, ("beta",))
    assert [SCHEMA.names[i] for i in only] == [f"{strategy.name}_beta" for strategy in STRATEGIES]


def test_unknown_feature_names_the_choices() -> None:
    with pytest.raises(FixConfigError, match=r"choose from .*beta.*momentum_year.*regime.*vix"):
        feature_index(SCHEMA, ("zzzz",))
    with pytest.raises(FixConfigError, match="did you mean 'momentum_year'"):
        feature_index(SCHEMA, ("momentum_yeer",))


@pytest.mark.parametrize("algo", ["ppo", "a2c", "sac"])
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("torch", "torch is missing (pip install torch --index-url"),
        ("gymnasium", "gymnasium is missing (pip install 'gymnasium"),
        ("stable_baselines3", "stable-baselines3 is missing (pip install 'stable-baselines3"),
        ("tensorboard", "tensorboard is missing (pip install tensorboard)"),
    ],
)
def test_a_missing_package_is_named_with_its_cure(
    package: str, words: str, algo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("torch", "gymnasium", "stable_baselines3", "tensorboard"):
        module = type(sys)(other)
        module.__spec__ = type("Spec", (), {})()
        monkeypatch.setitem(sys.modules, other, module)
    check_packages(algo, with_curves=True)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FixConfigError) as caught:
        check_packages(algo, with_curves=True)
    assert words in str(caught.value)
    assert ("--algo gradient" in str(caught.value)) == (package != "tensorboard")
    assert str(caught.value).count("is missing") == 1


def test_the_gradient_needs_none_of_them_and_has_no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "gymnasium", "stable_baselines3", "tensorboard"):
        monkeypatch.setitem(sys.modules, package, None)
    check_packages("gradient", with_curves=False)
    with pytest.raises(FixConfigError, match="gradient has none"):
        check_packages("gradient", with_curves=True)
