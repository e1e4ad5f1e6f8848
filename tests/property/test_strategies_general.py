"""What holds for every registered strategy, whatever its name: drawn from the registry and annotated fields alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.causal_checks import faults_of
from tests.strategy_markets import exactly_adjustable, mixed_panel, parameters_of, said
from trading_platform.core.costs import Protection
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.core.weeks import first_of_week
from trading_platform.strategies.base import StrategyTargetError, check_targets, prepare_targets
from trading_platform.strategies.registry import DEFAULT_SET, STRATEGIES, form_of
from trading_platform.strategies.winners import Winners

EVERY = sorted(STRATEGIES)
TARGETS = [name for name in EVERY if form_of(name) == "target"]
ENTRIES = [name for name in EVERY if form_of(name) == "entry"]
# These hold funds by design and no stock. Every other, a new one too, ranks stocks and leaves funds alone.
HOLD_FUNDS = ["asset_trend", "long_bonds", "managed_market", "real_assets"]
RANK_STOCKS = [name for name in EVERY if name not in HOLD_FUNDS]
SOON = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 10_000)


@pytest.mark.parametrize("name", EVERY)
@SOON
@given(data=st.data(), seed=SEEDS, faults=st.booleans())
def test_strategy_knows_its_lookback_and_nothing_else(name: str, data: st.DataObject, seed: int, faults: bool) -> None:
    strategy = STRATEGIES[name](**data.draw(parameters_of(name)))
    panel = exactly_adjustable(mixed_panel(seed, 300, faults=faults))
    row = data.draw(st.integers(230, 298).filter(lambda t: members_stay(panel, t)), label="row")
    event(f"{name} says something: {bool(said(strategy, panel)[row].any())}")
    assert faults_of(lambda market: said(strategy, market), panel, strategy.lookback, [row]) == []


@pytest.mark.parametrize("name", EVERY)
@SOON
@given(data=st.data(), seed=SEEDS, powers=st.lists(st.integers(-8, 8), min_size=20, max_size=20))
def test_strategy_says_the_same_in_another_unit(name: str, data: st.DataObject, seed: int, powers: list[int]) -> None:
    strategy = STRATEGIES[name](**data.draw(parameters_of(name)))
    panel = mixed_panel(seed, 200)
    assert said(strategy, rescaled(panel, 2.0 ** np.array(powers))).tobytes() == said(strategy, panel).tobytes()


@pytest.mark.parametrize("name", EVERY)
@SOON
@given(data=st.data(), seed=SEEDS, scale=st.sampled_from([3.7, 1 / 3.0, 0.1]))
def test_strategy_says_nearly_the_same_where_rounding_differs(
    name: str, data: st.DataObject, seed: int, scale: float
) -> None:
    strategy = STRATEGIES[name](**data.draw(parameters_of(name)))
    panel = mixed_panel(seed, 200)
    plain = said(strategy, panel)
    event(f"{name} says something: {bool(plain.any())}")
    np.testing.assert_allclose(said(strategy, rescaled(panel, np.full(20, scale))), plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", TARGETS)
@SOON
@given(data=st.data(), seed=SEEDS, faults=st.booleans())
def test_targets_can_be_held_and_name_members_only(name: str, data: st.DataObject, seed: int, faults: bool) -> None:
    strategy = STRATEGIES[name](**data.draw(parameters_of(name)))
    panel = mixed_panel(seed, 300, faults=faults)
    weights = said(strategy, panel)  # which refuses NaN, negative weights and sums above 1
    if panel.member is not None:
        assert not weights[~panel.member].any()
    gone = np.isnan(panel.close[-10:]).all(axis=0)
    assert not weights[-1, gone].any()
    assert not weights[:, (panel.close != panel.close).all(axis=0)].any()


@pytest.mark.parametrize("name", TARGETS)
def test_target_strategy_holds_something_on_ordinary_markets_and_keeps_it(name: str) -> None:
    strategy = STRATEGIES[name]()
    held = traded = 0.0
    for seed in range(4):
        panel = mixed_panel(seed, 700)
        panel = replace(panel, vix=22.0 + 8.0 * np.sin(np.arange(700) / 40.0))  # calm and panic, by the quarter
        weights = said(strategy, panel)[420:]
        held += float(weights.sum())
        traded += float(np.abs(np.diff(weights, axis=0)).sum())
    assert held > 0.0
    assert traded < 0.25 * held  # a whole new book a week would be 0.4: each share is sold and another bought


@pytest.mark.parametrize("name", TARGETS)
def test_target_strategy_without_what_it_needs_says_so_and_wants_nothing(name: str) -> None:
    bare = replace(mixed_panel(1, 300).columns([0, 1]), benchmark_ticker="", asset_classes=())
    reason = STRATEGIES[name]().stands_aside(bare)
    assert reason.startswith("needs ")
    assert not said(STRATEGIES[name](), bare).any()
    assert STRATEGIES[name]().stands_aside(mixed_panel(1, 300)) == ""


@pytest.mark.parametrize("name", TARGETS)
def test_target_strategy_declares_its_protection(name: str) -> None:
    assert isinstance(STRATEGIES[name]().protection, Protection)


@pytest.mark.parametrize("name", RANK_STOCKS)
@SOON
@given(seed=SEEDS)
def test_strategy_that_ranks_stocks_wants_neither_funds_nor_the_benchmark_nor_strangers(name: str, seed: int) -> None:
    panel = mixed_panel(seed, 420, faults=True)
    strength = said(STRATEGIES[name](), panel)[:, : panel.n_tickers]
    assert not strength[:, ~panel.is_stock].any()
    assert panel.member is not None
    assert not strength[~panel.member].any()


@pytest.mark.parametrize("name", HOLD_FUNDS)
def test_strategy_that_holds_funds_wants_no_stock(name: str) -> None:
    panel = mixed_panel(3, 700)
    weights = said(STRATEGIES[name](), panel)
    assert weights[:, ~panel.is_stock].any()
    assert not weights[:, panel.is_stock].any()


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_strategy_ranks_no_benchmark_where_there_are_no_stocks(name: str) -> None:
    panel = mixed_panel(5, 420).columns(range(12, 20))
    assert panel.tickers[0] == panel.benchmark_ticker
    assert not said(STRATEGIES[name](), panel)[:, 0].any()


def test_entry_strategies_rank_the_others_where_there_are_no_stocks() -> None:
    panel = mixed_panel(5, 420).columns(range(12, 20))
    strength = sum(said(STRATEGIES[name](), panel)[:, : panel.n_tickers] for name in ENTRIES)
    assert np.asarray(strength)[:, 1:].any()


def test_default_set_has_nine_target_strategies() -> None:
    assert len(DEFAULT_SET) >= 8
    assert set(DEFAULT_SET) <= set(TARGETS)


# ---------------------------------------------------------------- the checks can fail


@dataclass(frozen=True)
class Endless:
    """Keeps what it bought for ever: what it holds depends on where the history begins."""

    lookback: int = 40

    def targets(self, panel: MarketPanel) -> Floats:
        """Hold, from its first week on, the ticker that was best then."""
        first = int(first_of_week(panel.sessions)[0])
        weights = np.zeros(panel.close.shape)
        weights[first:, int(np.nanargmax(panel.close[first] / panel.close[0]))] = 0.5
        return weights


def test_band_without_a_beginning_is_caught() -> None:
    panels = [mixed_panel(seed, 300) for seed in range(5)]
    found = [fault for panel in panels for fault in faults_of(Endless().targets, panel, 40, [250])]
    assert "shorten the past at row 250" in found


def test_price_level_that_matters_is_caught() -> None:
    """Back-adjusted prices make "above 5 dollars" a look into the future."""
    panel = mixed_panel(1, 200)
    strategy = STRATEGIES["mean_reversion"]()

    def filtered(market: MarketPanel) -> Floats:
        return np.where(market.close > 40.0, said(strategy, market)[:, : market.n_tickers], 0.0)

    assert filtered(rescaled(panel, np.full(20, 0.5))).tobytes() != filtered(panel).tobytes()


@pytest.mark.parametrize(
    ("weight", "message"),
    [(np.nan, "a weight must be a number"), (-0.1, "a weight must be a number"), (0.6, "must sum to at most 1")],
)
def test_weights_that_cannot_be_held_are_refused_by_name_and_session(weight: float, message: str) -> None:
    panel = mixed_panel(1, 20)
    weights = np.zeros(panel.close.shape)
    weights[7, 2], weights[7, 3] = weight, 0.5
    with pytest.raises(StrategyTargetError, match=message) as caught:
        check_targets("mine", weights, panel)
    assert "strategies.mine" in str(caught.value) and str(panel.session(7)) in str(caught.value)
    weights[7] = 0.0
    check_targets("mine", weights, panel)


def test_weights_of_another_shape_are_refused() -> None:
    panel = mixed_panel(1, 20)
    with pytest.raises(StrategyTargetError, match="targets must be"):
        check_targets("mine", np.zeros((20, 3)), panel)


def test_targets_are_checked_when_they_are_prepared() -> None:
    class Greedy(Winners):
        """Wants more than there is."""

        def targets(self, panel: MarketPanel) -> Floats:
            """Return too much."""
            return np.ones(panel.close.shape)

    with pytest.raises(StrategyTargetError):
        prepare_targets(mixed_panel(1, 20), [Greedy()])


def members_stay(panel: MarketPanel, t: int) -> bool:
    """Return whether the members of session `t` are those of the next: entries are for it, a shorter panel ends here.

    Who joins and leaves is announced days before, so `prepare_signals` may read it; a panel cut at `t` cannot tell it.
    """
    return panel.member is None or bool((panel.member[t] == panel.member[t + 1]).all())


def rescaled(panel: MarketPanel, scale: Floats) -> MarketPanel:
    changed: dict[str, Any] = {name: getattr(panel, name) * scale for name in ("open", "high", "low", "close")}
    return replace(panel, **changed)
