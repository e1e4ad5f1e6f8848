"""What an account's own fills have cost: a planted cost is found, few fills say nothing, noise moves little."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from trading_platform.reporting.own_costs import (
    OpenFill,
    estimate,
    liquidity_thirds,
    own_costs,
    own_costs_part,
    own_costs_words,
)

FIRST = date(2024, 1, 2)


def fills(n: int, cost: float, noise: float, seed: int = 0, per_session: int = 4) -> list[OpenFill]:
    rng = np.random.default_rng(seed)
    draws = rng.normal(cost, noise, n).tolist()
    return [OpenFill(FIRST + timedelta(days=i // per_session), 1_000.0 + i, draws[i]) for i in range(n)]


def test_planted_cost_is_found_within_its_interval() -> None:
    hits = 0
    for seed in range(200):
        found = estimate(fills(214, 7.8, 8.0, seed), 5.0)
        assert found is not None
        hits += abs(found.mean - 7.8) <= found.half_width
        assert 0.5 < found.half_width < 2.0
    assert 180 <= hits <= 199  # 95 % of the time


@pytest.mark.parametrize(("n", "per_session"), [(49, 4), (50, 6)])
def test_few_fills_or_few_sessions_say_nothing(n: int, per_session: int) -> None:
    assert estimate(fills(n, 7.8, 8.0, per_session=per_session), 5.0) is None
    assert estimate(fills(50, 7.8, 8.0, per_session=5), 5.0) is not None


def test_fills_of_a_session_share_its_market() -> None:
    one = estimate(fills(200, 0.0, 8.0), 5.0)
    rng = np.random.default_rng(1)
    days = rng.normal(0.0, 8.0, 50).tolist()
    together = estimate([OpenFill(FIRST + timedelta(days=i // 4), 1.0, days[i // 4]) for i in range(200)], 5.0)
    assert one is not None
    assert together is not None
    assert together.half_width > 1.5 * one.half_width


def test_estimate_is_shrunk_to_the_setting_by_its_noise() -> None:
    sure, unsure = estimate(fills(2_000, 9.0, 4.0), 5.0), estimate(fills(60, 9.0, 60.0), 5.0)
    assert sure is not None
    assert unsure is not None
    assert abs(sure.shrunk - sure.mean) < 0.05
    assert 5.0 < unsure.shrunk < 5.0 + 0.5 * abs(unsure.mean - 5.0)


def test_small_and_large_orders_are_told_apart() -> None:
    costly = [fill._replace(cost=fill.cost + 10.0) if fill.dollars > 1_100.0 else fill for fill in fills(200, 5.0, 4.0)]
    found = own_costs(costly, 5.0)
    assert found.small is not None
    assert found.large is not None
    assert found.large.mean - found.small.mean == pytest.approx(10.0, abs=2.0)
    words = own_costs_words(own_costs_part(found))
    assert words.startswith("cost_bps is 5, your 200 fills cost 10.0")
    assert "large ones 1" in words
    assert words.endswith("slippage_bps = 5.0 in [costs] (a replay: --cost-bps 9.9)")


def test_thin_tickers_are_told_from_liquid_ones_each_with_its_interval() -> None:
    costs = (12.0, 6.0, 3.0)
    spread = [
        fill._replace(cost=fill.cost + costs[i % 3], liquidity=10.0 ** (6 + i % 3))
        for i, fill in enumerate(fills(300, 0.0, 4.0))
    ]
    found = own_costs(spread, 5.0)
    for third, cost in zip((found.thin, found.middle, found.liquid), costs, strict=True):
        assert third is not None
        assert third.fills == 100
        assert third.mean == pytest.approx(cost, abs=1.5)
        assert 0.2 < third.half_width < 2.0
        assert min(third.mean, 5.0) <= third.shrunk <= max(third.mean, 5.0)
    words = own_costs_words(own_costs_part(found))
    assert "thinly traded tickers 1" in words
    assert "most liquid 3" in words or "most liquid 2" in words


def test_fills_of_unknown_liquidity_are_in_no_third_and_equal_ones_stay_together() -> None:
    assert [len(third) for third in liquidity_thirds(fills(30, 5.0, 1.0))] == [0, 0, 0]
    same = [fill._replace(liquidity=1e6) for fill in fills(30, 5.0, 1.0)]
    assert [len(third) for third in liquidity_thirds(same)] == [30, 0, 0]


def test_delay_is_what_the_open_moved_since_the_decision_and_no_cost() -> None:
    delayed = [fill._replace(delay=20.0 + fill.cost) for fill in fills(200, 0.0, 4.0)]
    found = own_costs(delayed, 5.0)
    assert found.delay is not None
    assert found.delay.mean == pytest.approx(20.0, abs=1.5)
    assert found.every is not None
    assert found.every.mean == pytest.approx(0.0, abs=1.5)
    assert "from the decision's close to the open +" in own_costs_words(own_costs_part(found))
    assert own_costs(fills(200, 0.0, 4.0), 5.0).delay is None


def test_nothing_is_said_without_evidence() -> None:
    assert own_costs_words(own_costs_part(own_costs(fills(49, 7.8, 8.0), 5.0))) == ""
    assert own_costs_words(None) == ""
