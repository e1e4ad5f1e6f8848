"""The offset of published rules: what each says, how slowly it is followed, and that nobody but a family matters."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from tests.kernel_world import random_panel
from trading_platform.core.families import Family
from trading_platform.core.market import forward_adjusted
from trading_platform.core.market_features import market_features
from trading_platform.core.observation import observation_schema
from trading_platform.core.published_rules import (
    BOUNDS,
    LOOKBACK,
    SPEED,
    WEEKS,
    rule_offsets,
    rules_in_force,
    slowly,
    two_year_return,
)
from trading_platform.core.served_policy import RowCode, answers, rules_alone
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.strategies.base import AnyStrategy, family_of
from trading_platform.strategies.registry import DEFAULT_SET, STRATEGIES

HALF, MORE, LESS, NONE = -math.log(2.0), 0.25, -0.25, 0.0
ALL = tuple(Family)
FAMILIES = (Family.MOMENTUM, Family.REVERSAL, Family.LOW_RISK, Family.BONDS, Family.EQUITY, Family.TREND)
UNKNOWN = math.nan


@pytest.mark.parametrize(
    ("trend", "vix", "two_years", "said"),
    [
        # momentum, reversal, low risk, bonds, equity, trend
        (0.05, 17.0, 0.20, (NONE, NONE, NONE, NONE, NONE, NONE)),  # an ordinary year
        (0.05, 14.9, 0.20, (NONE, LESS, NONE, NONE, NONE, NONE)),  # a calm one
        (-0.01, 20.0, 0.20, (NONE, NONE, MORE, MORE, LESS, NONE)),  # below the mean, without a panic
        (-0.20, 45.0, -0.30, (HALF, MORE, MORE, MORE, LESS, NONE)),  # the autumn of 2008
        (0.10, 30.0, -0.25, (HALF, MORE, NONE, NONE, NONE, NONE)),  # the rebound after it, where momentum crashes
        (-0.08, 32.0, 0.25, (HALF, MORE, MORE, MORE, LESS, NONE)),  # August 2011: high volatility below the mean
        (0.02, 26.0, 0.10, (NONE, MORE, NONE, NONE, NONE, NONE)),  # high volatility above it
        (0.0, 25.0, 0.0, (NONE, NONE, NONE, NONE, NONE, NONE)),  # exactly on every mark
        (0.0, 15.0, 0.0, (NONE, NONE, NONE, NONE, NONE, NONE)),
        (UNKNOWN, UNKNOWN, UNKNOWN, (NONE, NONE, NONE, NONE, NONE, NONE)),
        (UNKNOWN, 40.0, UNKNOWN, (NONE, MORE, NONE, NONE, NONE, NONE)),
    ],
)
def test_each_rule_says_what_its_paper_says(
    trend: float, vix: float, two_years: float, said: tuple[float, ...]
) -> None:
    found = rules_in_force(np.array([trend]), np.array([vix]), np.array([two_years]), FAMILIES)
    assert found[0].tolist() == list(said)


def test_a_word_of_the_rules_is_half_done_after_three_weeks_and_done_after_half_a_year() -> None:
    days = np.arange(5, 400, 5)
    said = np.zeros((400, 1))
    said[200:] = 1.0
    held = slowly(said, days)[:, 0]
    assert held[199] == 0.0
    assert held[200] == pytest.approx(SPEED, abs=1e-3)
    assert (held[200:205] == held[200]).all()
    assert held[210] == pytest.approx(1.0 - 0.75**3, abs=1e-3)
    assert held[200 + 5 * (WEEKS - 1)] == pytest.approx(1.0, abs=1e-12)
    assert (np.diff(held) >= 0.0).all()


def test_what_is_said_between_decision_days_is_not_followed() -> None:
    said = np.ones((20, 1))
    said[[5, 10, 15]] = 0.0
    assert (slowly(said, np.array([5, 10, 15])) == 0.0).all()


def long_market(seed: int = 5) -> MarketPanel:
    panel = random_panel(seed, LOOKBACK + 300)
    rng = np.random.default_rng(seed)
    wave = 12.0 * np.sin(np.arange(panel.n_sessions) / 60.0)
    fall = np.exp(-0.0008 * np.arange(panel.n_sessions))
    return replace(panel, vix=22.0 + wave + rng.normal(size=panel.n_sessions), benchmark=panel.benchmark * fall)


def offsets(panel: MarketPanel) -> Floats:
    adjusted = forward_adjusted(panel)
    return rule_offsets(adjusted, market_features(adjusted), ALL)


def test_the_offset_stays_within_its_bounds_and_moves() -> None:
    found = offsets(long_market())
    assert found.min() >= BOUNDS[0]
    assert found.max() <= BOUNDS[1]
    assert np.ptp(found[:, ALL.index(Family.MOMENTUM)]) > 0.3
    assert np.ptp(found[:, ALL.index(Family.REVERSAL)]) > 0.3
    for family in (Family.TREND, Family.REAL_ASSETS, Family.OTHER):
        assert (found[:, ALL.index(family)] == 0.0).all()


def test_the_future_moves_nothing_before_it() -> None:
    panel = long_market()
    cut = panel.n_sessions - 60
    benchmark, vix = panel.benchmark.copy(), panel.vix.copy()
    benchmark[cut:] *= 3.0
    vix[cut:] = 80.0
    changed = offsets(replace(panel, benchmark=benchmark, vix=vix))
    np.testing.assert_array_equal(changed[:cut], offsets(panel)[:cut])
    assert not np.array_equal(changed[cut:], offsets(panel)[cut:])


@pytest.mark.parametrize("first", [1, 37, 250])
def test_a_shorter_history_holds_the_same_bits(first: int) -> None:
    panel = long_market()
    whole, tail = offsets(panel), offsets(panel.rows(first, panel.n_sessions))
    known = first + LOOKBACK
    np.testing.assert_array_equal(tail[known - first :], whole[known:])
    assert np.abs(whole[known:]).max() > 0.1


def test_without_a_benchmark_the_universe_stands_in() -> None:
    panel = long_market()
    bare = replace(panel, benchmark=np.full(panel.n_sessions, np.nan))
    own = two_year_return(bare)
    mean = np.concatenate([[np.nan], np.nanmean(panel.close[1:] / panel.close[:-1] - 1.0, axis=1)])
    assert own[600] == pytest.approx(np.prod(1.0 + mean[600 - 503 : 601]) - 1.0)
    assert np.isnan(own[503])


def test_rules_alone_tilt_equal_weight_by_their_factors_and_give_what_stands_aside_to_others() -> None:
    schema = observation_schema(("a", "b", "c"))
    rows = np.tile(np.array([field.neutral for field in schema]), (2, 1))
    rows[1, schema.groups["rules"]] = (HALF, 0.25, 0.0)
    said = answers(rules_alone(schema), rows)
    assert said.weights[0] == pytest.approx([1 / 3] * 3, abs=1e-15)
    factors = np.array([0.5, math.exp(0.25), 1.0])
    assert said.weights[1] == pytest.approx(factors / factors.sum(), abs=1e-12)
    aside = answers(rules_alone(schema, np.array([True, True, False])), rows)
    assert aside.weights[1] == pytest.approx([*(factors[:2] / factors[:2].sum()), 0.0], abs=1e-12)
    np.testing.assert_array_equal(answers(rules_alone(schema), rows[1:]).weights[0], said.weights[1])


@pytest.mark.parametrize(
    ("value", "code"), [(np.nan, RowCode.NOT_FINITE), (0.5, RowCode.IMPOSSIBLE), (-5.0, RowCode.IMPOSSIBLE)]
)
def test_rules_out_of_their_bounds_are_not_followed(value: float, code: RowCode) -> None:
    schema = observation_schema(("a", "b"))
    row = np.array([field.neutral for field in schema])
    row[schema.groups["rules"][0]] = value
    said = answers(rules_alone(schema), row[None])
    assert said.codes.tolist() == [code]
    assert said.weights[0].tolist() == [0.5, 0.5]


def test_every_registered_strategy_declares_its_family() -> None:
    families = {name: family_of(kind()) for name, kind in STRATEGIES.items()}
    assert Family.OTHER not in families.values()
    assert {families[name] for name in DEFAULT_SET} == set(Family) - {Family.OTHER}


class Undeclared:
    """A strategy of somebody's own that says no family, or one that does not exist."""

    def __init__(self, **declared: str) -> None:
        self.__dict__.update(declared)


def test_a_strategy_without_a_known_family_is_other() -> None:
    assert get_args(AnyStrategy)
    assert family_of(Undeclared()) is Family.OTHER  # type: ignore[arg-type]  # the attribute is all that is read
    assert family_of(Undeclared(family="astrology")) is Family.OTHER  # type: ignore[arg-type]
    assert family_of(Undeclared(family="momentum")) is Family.MOMENTUM  # type: ignore[arg-type]
