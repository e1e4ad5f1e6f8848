"""The registry and the parameters: everything wrong is said at once, by name, with what was meant."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from trading_platform.core import validation
from trading_platform.core.errors import FixConfigError
from trading_platform.strategies.base import StrategyParameterError
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.momentum import Momentum
from trading_platform.strategies.registry import (
    DEFAULT_SET,
    DEFAULT_SET_TRIALS,
    FIRST_SET,
    STRATEGIES,
    form_of,
    make_strategies,
)
from trading_platform.strategies.winners import Winners


def problems(*names: str, **parameters: dict[str, object]) -> list[str]:
    with pytest.raises(StrategyParameterError) as caught:
        make_strategies(names or None, parameters)
    assert isinstance(caught.value, FixConfigError)
    return list(caught.value.problems)


def test_strategies_are_made_in_the_order_asked_for() -> None:
    made = make_strategies(FIRST_SET)
    assert [strategy.name for strategy in made] == list(FIRST_SET)
    assert [type(strategy) for strategy in made] == [STRATEGIES[name] for name in FIRST_SET]
    assert {"momentum", "mean_reversion", "breakout"} < STRATEGIES.keys() and len(STRATEGIES) >= 5


def test_chosen_strategies_keep_their_order_and_get_their_parameters() -> None:
    first, second = make_strategies(["breakout", "momentum"], {"momentum": {"formation": 126, "exit_rank": 0.5}})
    assert first == Breakout()
    assert second == Momentum(formation=126, exit_rank=0.5)


@pytest.mark.parametrize(
    ("names", "parameters", "expected"),
    [
        (["momentun"], {}, ["strategies: 'momentun' is not registered: did you mean 'momentum'?"]),
        (["xyz"], {}, [f"strategies: 'xyz' is not registered; choose from {', '.join(STRATEGIES)}"]),
        ([], {"brakeout": {}}, ["strategies: 'brakeout' is not registered: did you mean 'breakout'?"]),
        (["breakout", "breakout"], {}, ["strategies: 'breakout' is named twice"]),
        (
            [],
            {"momentum": {"formaton": 3}},
            ["strategies.momentum.formaton is no parameter: did you mean 'formation'?"],
        ),
        ([], {"momentum": {"name": "x"}}, ["strategies.momentum.name is no parameter"]),
        (
            ["breakout"],
            {"momentum": {"skip": 0}},  # not chosen, but wrong all the same
            ["strategies.momentum.skip must be in [1, 2520], was 0"],
        ),
    ],
)
def test_mistake_is_named(names: list[str], parameters: dict[str, dict[str, object]], expected: list[str]) -> None:
    assert problems(*names, **parameters) == expected


def test_all_mistakes_are_named_at_once() -> None:
    assert problems(
        "momentun", momentum={"skip": 300, "trnd": 3, "entry_rank": math.nan}, breakout={"full_break": math.inf}
    ) == [
        "strategies: 'momentun' is not registered: did you mean 'momentum'?",
        "strategies.momentum.trnd is no parameter: did you mean 'trend'?",
        "strategies.momentum.entry_rank must be a finite number, was nan",
        "strategies.momentum.skip must be below formation, was 300 against 252",
        "strategies.breakout.full_break must be a finite number, was inf",
    ]


@pytest.mark.parametrize("cls", STRATEGIES.values(), ids=STRATEGIES)
def test_every_parameter_refuses_what_it_cannot_use(cls: Any) -> None:
    numbers = [name for name in validation.type_hints(cls) if name != "name"]
    assert numbers
    for name in numbers:
        for value in (math.nan, math.inf, -1, 10**9, True, "5", None):
            with pytest.raises(StrategyParameterError, match=f"strategies.{cls().name}.{name} must be "):
                cls(**{name: value})


@pytest.mark.parametrize("name", ["formation", "skip", "trend"])
def test_sessions_are_whole_numbers(name: str) -> None:
    with pytest.raises(StrategyParameterError, match="whole number"):
        Momentum(**{name: 30.5})  # type: ignore[arg-type] # that is the point


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("momentum", {"exit_rank": 0.95}, "exit_rank must be at most entry_rank, was 0.95 against 0.9"),
        ("momentum", {"skip": 252}, "skip must be below formation, was 252 against 252"),
        ("mean_reversion", {"entry_rank": 0.4}, "exit_rank must be at most entry_rank, was 0.5 against 0.4"),
        ("low_volatility", {"exit_rank": 0.91}, "exit_rank must be at most entry_rank, was 0.91 against 0.9"),
        ("panic_reversal", {"calm": 1.25}, "calm must be below panic, was 1.25 against 1.25"),
    ],
)
def test_parameters_at_odds_are_named(name: str, parameters: dict[str, object], expected: str) -> None:
    assert problems(**{name: parameters}) == [f"strategies.{name}.{expected}"]


def test_strategies_are_values() -> None:
    assert Momentum() == Momentum() != Momentum(skip=5)
    with pytest.raises(AttributeError):
        Momentum().skip = 3  # type: ignore[misc] # that is the point


@pytest.mark.parametrize(
    ("name", "lookback"),
    [
        ("momentum", 253),
        ("mean_reversion", 6),
        ("breakout", 56),
        ("low_volatility", 200),
        ("turn_of_month", 127),
        ("panic_reversal", 66),
    ],
)
def test_lookback_is_what_the_parameters_need(name: str, lookback: int) -> None:
    assert make_strategies([name])[0].lookback == lookback


def test_book_is_the_default_set_where_nothing_is_asked_for() -> None:
    assert tuple(strategy.name for strategy in make_strategies()) == DEFAULT_SET
    assert make_strategies([]) == make_strategies(None) == make_strategies()


def test_book_takes_strategies_of_both_forms_with_their_parameters() -> None:
    first, second = make_strategies(["breakout", "winners"], {"winners": {"skip": 5}})
    assert (first, second) == (Breakout(), Winners(skip=5))
    assert (form_of(first.name), form_of(second.name)) == ("entry", "target")


def test_mistakes_of_a_book_are_named_at_once() -> None:
    with pytest.raises(StrategyParameterError) as caught:
        make_strategies(["winers"], {"winners": {"skip": 252}, "long_bonds": {"weight": 1.5}})
    assert list(caught.value.problems) == [
        "strategies: 'winers' is not registered: did you mean 'winners'?",
        "strategies.winners.skip must be below formation, was 252 against 252",
        "strategies.long_bonds.weight must be in (0, 1], was 1.5",
    ]


def test_every_trial_of_the_default_set_is_counted() -> None:
    page = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")
    trials = re.findall(r"^\| (\d+) \|", page.split("## Trials")[1], flags=re.MULTILINE)
    assert [int(number) for number in trials] == list(range(1, DEFAULT_SET_TRIALS + 1))


def test_page_of_strategies_names_every_registered_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")
    assert [name for name in STRATEGIES if f"`{name}`" not in page] == []
    assert [name for name in DEFAULT_SET if f"### `{name}`" not in page] == []
