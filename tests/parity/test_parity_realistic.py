"""Under realistic fills, too, the engine does what the kernel does to the cent: the same draws, whoever asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from parity_markets import scripted_weights
from parity_world import Case, Desk, Trail, assert_same, engine, kernel
from test_parity_engine_generated import START, trouble_case

from risk_config import RiskConfig
from trading_platform.core.realistic_fills import EXACT, REALISTIC
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.storage.operator_requests import leave_command
from trading_platform.strategies.base import prepare_signals
from trading_platform.strategies.registry import FIRST_SET, make_strategies

Sale = tuple[date, str]


@pytest.fixture(scope="module")
def embedded() -> Case:
    """The embedded market under a script of allocations and a drawdown limit that halts and releases."""
    panel = SyntheticMarketData(seed=7, n_tickers=40, n_sessions=700).history()
    strategies = make_strategies(FIRST_SET)
    names = tuple(strategy.name for strategy in strategies)
    weights = scripted_weights(np.random.default_rng(3), panel.n_sessions, len(names))
    tight = RiskConfig(max_drawdown_pct=1.0, recovery_drawdown_pct=0.5, max_total_drawdown_pct=50.0)
    return Case(panel, prepare_signals(panel, strategies), weights, risk=tight, names=names, fills=REALISTIC)


def partial_exits(trail: Trail) -> set[Sale]:
    """Return (session, ticker) of sales that a sale for the same reason in the same ticker followed within days."""
    sales = [(trade[0], trade[1], trade[6]) for trade in trail.trades if trade[2] == "sell"]
    later = {(ticker, reason, session) for session, ticker, reason in sales}
    return {
        (session, ticker)
        for session, ticker, reason in sales
        if any(0 < (other - session).days <= 4 for name, why, other in later if (name, why) == (ticker, reason))
    }


def test_troubled_markets_trade_the_same_to_the_cent(tmp_path: Path) -> None:
    rests: set[Sale] = set()
    for seed in range(6):
        case = replace(trouble_case(seed, thin=seed % 2 == 0, halted=seed % 3 == 0), fills=REALISTIC, seed=seed)
        reference, _ = kernel(case, START, 160)
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert_same(engine(case, folder, START, 160, commit_sessions=50), reference)
        exact, _ = kernel(replace(case, fills=EXACT), START, 160)
        assert reference.cents != exact.cents
        rests |= partial_exits(reference)
    assert rests  # an exit that was filled in part went on


def test_embedded_market_trades_the_same_through_halts_and_restarts(embedded: Case, tmp_path: Path) -> None:
    reference, _ = kernel(embedded, 253, 700)
    assert [kind for _, kind in reference.halts].count("release") >= 1
    desk = Desk(embedded, tmp_path, 253, commit_sessions=7)
    for row in range(300, 700, 57):
        desk.crash_after(row)
    desk.run(700)
    assert_same(desk.trail(), reference)


@pytest.mark.parametrize("difference", [{"seed": 8}, {"fills": EXACT}], ids=["another seed", "the other book"])
def test_another_seed_or_book_is_noticed(embedded: Case, difference: dict[str, object], tmp_path: Path) -> None:
    other = replace(embedded, **difference)  # type: ignore[arg-type] # fields by name
    with pytest.raises(AssertionError):
        assert_same(engine(other, tmp_path, 253, 400), kernel(embedded, 253, 400)[0])


def test_flatten_filled_in_part_goes_on_until_all_is_sold_over_a_restart(embedded: Case, tmp_path: Path) -> None:
    desk = Desk(replace(embedded, risk=RiskConfig(), seed=3), tmp_path, 253)
    desk.run(300)
    leave_command(desk.database, 1, "flatten", "why", desk.engine.prepared.closed[299])
    desk.run(301)
    held = [desk_shares(desk)]
    for row in range(302, 307):
        desk.run(row)
        held.append(desk_shares(desk))
        desk.restart()
    in_part = [share for share in held[1].tolist() if share > 0.0]
    assert 0 < len(in_part) < int((held[0] > 0.0).sum())  # most went at once, and not all
    assert held[1].sum() < held[0].sum()
    assert held[-1].sum() == 0.0


def desk_shares(desk: Desk) -> np.ndarray:
    """Return the shares of every slot, (S,)."""
    shares: np.ndarray = desk.engine.broker.slots["quantity"].copy()
    return shares
