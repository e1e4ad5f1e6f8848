"""Every cost by its cause: commission, regulatory fees, spread, slippage and impact are the money that is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.lot_world import FREE, VOLUME, LotStory, says, story_panel, story_rules
from trading_platform.core.booking import BUY, SELL, charge_part, executed
from trading_platform.core.costs import CostConfig
from trading_platform.core.fill_log import OF_ORDER
from trading_platform.core.fills import (
    buy_price,
    lost_to_market,
    part_of,
    regulatory_fees,
    round_cents,
    round_up_cents,
    sell_price,
)

DEFAULT = CostConfig()
DEAR = CostConfig(commission_per_share=0.005, min_commission=1.0, impact_bps=25.0, half_spread_bps=7.0)
PARTS = ("spread", "slippage", "impact")


@pytest.mark.parametrize(
    "costs", [DEFAULT, DEAR, CostConfig(impact_bps=0.0), CostConfig(impact_bps=0.0, slippage_bps=0.0)]
)
@pytest.mark.parametrize(
    ("side", "quote", "quantity"), [(BUY, 101.37, 37.0), (SELL, 101.37, 37.0), (BUY, 0.87, 1_000.0)]
)
def test_what_is_lost_to_the_market_is_amount_against_quote(
    costs: CostConfig, side: int, quote: float, quantity: float
) -> None:
    rates = costs.rates()
    price = (buy_price if side == BUY else sell_price)(quote, quantity, 20_000.0, rates)
    order = executed(side, quantity, quote, price, rates, OF_ORDER)
    parts = round_cents(order.charge.spread + order.charge.slippage + order.charge.impact)
    assert parts == round_cents(side * (order.amount - round_cents(quantity * quote)))
    assert min(order.charge) >= 0.0
    assert (order.charge.regulatory > 0.0) == (side == SELL)


def test_parts_of_the_price_by_hand() -> None:
    """10,000 dollars at 2 + 3 bp and, at 1 % of the volume, 10 bp: 2, 3 and 10 dollars."""
    assert lost_to_market(10_000.0, 15.0, DEFAULT.rates()) == (2.0, 3.0, 10.0)
    assert lost_to_market(10_000.0, 5.01, CostConfig(impact_bps=0.0).rates()) == (2.0, 3.01, 0.0)  # cents that are left
    assert lost_to_market(10_000.0, 2.0, CostConfig(impact_bps=0.0, slippage_bps=0.0).rates()) == (2.0, 0.0, 0.0)


def test_regulatory_fees_by_hand() -> None:
    """20,000 dollars: SEC 27.80 a million are 55.6 cents, FINRA 0.000166 x 300 shares 4.98; each rounded up."""
    rates = DEFAULT.rates()
    assert regulatory_fees(300.0, 20_000.0, rates) == 0.61
    assert regulatory_fees(1e6, 1e6, rates) == 36.10  # FINRA's fee has a largest
    assert round_up_cents(0.10) == 0.10
    assert round_up_cents(0.1000001) == 0.11


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.8, 0.2), (0.55, 0.45)])
def test_parts_of_an_order_add_up_to_it(weights: tuple[float, float]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        whole = float(rng.integers(2, 500))
        cut = float(rng.integers(1, int(whole)))
        total = round(float(rng.random()) * 100.0, 2)
        first, second = part_of(total, 0.0, cut, whole), part_of(total, cut, whole, whole)
        assert round_cents(first + second) == total
        assert abs(first - total * cut / whole) <= 0.005 + 1e-9
    charge = executed(SELL, 300.0, 100.0, 99.9, DEAR.rates(), OF_ORDER).charge
    cut = round(300.0 * weights[0])
    parts = [charge_part(charge, 0.0, cut, 300.0), charge_part(charge, cut, 300.0, 300.0)]
    assert [round_cents(a + b) for a, b in zip(*parts, strict=True)] == list(charge)


def traded(costs: CostConfig) -> LotStory:
    """Two strategies that buy together, leave one after the other, and are stopped, on a thin market."""
    thin = (103.0, 103.0, 103.0, 103.0, 4_000.0)
    first, dip = (100.37, 100.37, 100.37, 100.37, 3_000.0), (101.11, 101.2, 96.0, 97.0, VOLUME)
    prices: list[Any] = [100.0, first, thin, dip, 97.0]
    rules = story_rules(replace(costs, max_participation_pct=100.0), entry_collar_pct=5.0)
    signals = [says([1.0] + [0.0] * 4, leaves=[1]), says([0.6] + [0.0] * 4, leaves=[2])]
    return LotStory(story_panel({"X": prices}), signals, rules)


@pytest.mark.parametrize("costs", [DEFAULT, DEAR], ids=["default", "dear"])
def test_costs_are_the_difference_to_a_market_without_costs(costs: CostConfig) -> None:
    """The same fills, once with costs and once without: what is missing is the sum of all parts, to the cent."""
    dear, free = traded(costs), traded(FREE)
    bought = [(row["strategy"], row["side"], row["quantity"]) for t in range(5) for row in dear.until(t)]
    same = [(row["strategy"], row["side"], row["quantity"]) for t in range(5) for row in free.until(t)]
    assert bought == same
    assert len(bought) == 4
    account = dear.account
    parts = sum(float(account[name]) for name in (*PARTS, "fees"))
    assert round_cents(float(free.account["equity"]) - float(account["equity"])) == round_cents(parts)
    assert account["fees"] >= account["commission"]
    assert all(account[name] > 0.0 for name in PARTS)


def test_log_lots_and_account_tell_the_same_costs() -> None:
    run = traded(DEAR)
    rows = np.concatenate([run.until(t) for t in range(5)])
    for name in (*PARTS, "fees", "commission"):
        assert round_cents(float(rows[name].sum())) == run.account[name], name
    closed = rows[rows["closed"] == 1]
    assert len(closed) == 2
    market = sum(float(rows[name].sum()) for name in PARTS)
    assert round_cents(float(closed["trade_market_costs"].sum())) == round_cents(market)
    assert round_cents(float(closed["trade_fees"].sum())) == run.account["fees"]
    result = closed["trade_proceeds"] - closed["trade_cost"] - closed["trade_fees"]
    assert round_cents(float(result.sum())) == round_cents(float(run.account["equity"]) - 100_000.0)
