"""Results of stored runs by plain sums: contributions to the cent, costs by cause, the critique's inputs."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from report_world import Plan, build
from sqlalchemy import Engine

from trading_platform.core.types import MarketPanel
from trading_platform.evaluation.critique_inputs import ObjectionCode
from trading_platform.reporting.run_critique import longest_unchanged
from trading_platform.reporting.run_results import RunResults, run_results
from trading_platform.storage.database import open_database

PLAN = Plan(seed=11, sessions=90, flows={20: 5_000_00}, cash_rate=3.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("results") / "trading.db"
    build(place, PLAN)
    return place


@pytest.fixture(scope="module")
def database(path: Path) -> Iterator[Engine]:
    engine = open_database(path)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def results(database: Engine) -> RunResults:
    return run_results(database, 1)


def by_name(path: Path, sql: str) -> dict[str, int]:
    return {str(name): int(value) for name, value in rows(path, sql)}


def rows(path: Path, sql: str, *values: object) -> list[tuple[int, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(sql, values).fetchall()
    connection.close()
    return found


def cents(dollars: float) -> int:
    whole = round(dollars * 100)
    assert abs(dollars * 100 - whole) < 1e-4
    return whole


def test_contributions_interest_and_deposits_add_up_to_the_account(path: Path, results: RunResults) -> None:
    parts = sum(cents(result.pnl) for result in results.strategies.values()) + cents(results.account.pnl)
    ((end,),) = rows(path, "SELECT equity FROM equity ORDER BY session DESC LIMIT 1")
    assert parts + cents(results.cash_flow) == end - PLAN.capital
    assert cents(results.account.pnl) == cents(results.interest) > 0
    assert cents(results.cash_flow) == 5_000_00


def test_contribution_of_each_strategy_is_what_its_fills_lots_and_dividends_say(
    path: Path, results: RunResults
) -> None:
    (last,) = rows(path, "SELECT max(session) FROM equity")[0]
    assert rows(path, "SELECT count(*) FROM lots WHERE session = ?", last)[0][0] > 0
    wanted: dict[str, int] = defaultdict(int)
    for name, side, amount, fees in rows(path, "SELECT strategy, side, amount, fees FROM fills"):
        wanted[str(name)] += (amount if str(side) == "sell" else -amount) - fees
    for name, dividends in rows(path, "SELECT strategy, dividends FROM trades"):
        wanted[str(name)] += dividends
    shared = {row[0] for row in rows(path, "SELECT ticker FROM lots WHERE session = ?", last)}
    held = {
        "lots": "SELECT ticker, strategy, value, dividends FROM lots WHERE session = ?",
        "positions": "SELECT ticker, strategy, value, dividends FROM positions WHERE session = ?",
    }
    for table, sql in held.items():
        for ticker, name, value, dividends in rows(path, sql, last):
            if table == "lots" or ticker not in shared:
                wanted[str(name)] += value + dividends
    assert {name: cents(result.pnl) for name, result in results.strategies.items() if result.pnl} == dict(wanted)


def test_costs_by_cause_are_the_accounts_and_the_sum_of_the_strategies(path: Path, results: RunResults) -> None:
    sums = rows(path, "SELECT sum(commission), sum(spread), sum(slippage), sum(impact), sum(fees) FROM equity")[0]
    costs = results.costs
    assert (costs.commission, costs.spread, costs.slippage, costs.impact) == tuple(c / 100 for c in sums[:4])
    assert cents(costs.regulatory) == sums[4] - sums[0]
    assert cents(costs.total) == sum(sums[1:])
    assert sum(cents(result.costs) for result in results.strategies.values()) == cents(costs.total)


def test_closed_trades_are_counted_by_strategy(path: Path, results: RunResults) -> None:
    trades = by_name(path, "SELECT strategy, count(*) FROM trades GROUP BY strategy")
    assert {name: result.trades for name, result in results.strategies.items() if result.trades} == trades
    assert results.trades == sum(trades.values())
    won = by_name(path, "SELECT strategy, sum(pnl > 0) FROM trades GROUP BY strategy")
    for name, result in results.strategies.items():
        assert result.win_rate == pytest.approx(won[name] / trades[name])


def test_turnover_is_traded_dollars_over_mean_equity_a_year(path: Path, results: RunResults) -> None:
    traded = by_name(path, "SELECT strategy, sum(amount) FROM fills GROUP BY strategy")
    mean = rows(path, "SELECT avg(equity) FROM equity")[0][0]
    for name, result in results.strategies.items():
        assert result.turnover == pytest.approx(traded[name] / mean * 252 / 90)


def test_document_is_json_with_every_key_of_the_contract(results: RunResults) -> None:
    document = results.to_dict()
    assert {
        "interest",
        "costs",
        "excess_return",
        "sharpe",
        "sharpe_plain",
        "beta",
        "alpha",
        "alpha_t",
        "avg_exposure",
        "avg_exposure_calm",
        "max_drawdown",
        "not_invested_because",
        "critique",
        "schema_version",
        "strategies",
        "run_id",
        "first_session",
        "last_session",
        "sessions",
        "orders",
        "fills",
        "trades",
        "denials",
        "halts",
        "final_equity",
        "total_return",
        "annual_return",
        "fees",
        "benchmark_return",
        "universe_return",
    } <= set(document)
    assert set(document["costs"]) == {"commission", "spread", "slippage", "impact", "regulatory", "total"}
    assert set(document["not_invested_because"]) == {"no_signal", "slots", "caps", "size", "halts"}
    assert document["not_invested_because"]["size"] == 12.34
    for finding in document["critique"]:
        assert set(finding) == {"code", "observed", "threshold", "message"}


def flat_panel(volume: float) -> MarketPanel:
    """The bars of the run's tickers: prices that never move, bars that touch every stop and target."""
    sessions = np.arange(np.datetime64(PLAN.first), np.datetime64(date(2023, 7, 1)), dtype="datetime64[D]")
    tickers = tuple(f"T{i:03d}" for i in range(PLAN.tickers))
    shape = (len(sessions), len(tickers))
    flat = np.full(shape, 100.0)
    return MarketPanel(
        sessions,
        tickers,
        flat,
        flat * 100.0,
        flat * 0.0 + 0.01,
        flat,
        np.full(shape, volume),
        np.ones(len(sessions)),
        np.ones(len(sessions)),
        ("Unknown",) * len(tickers),
        "test",
        "test",
    )


def test_critique_sees_volumes_and_dead_prices_of_the_bars(database: Engine, results: RunResults) -> None:
    def codes(found: RunResults) -> set[ObjectionCode]:
        return {finding.code for finding in found.critique}

    needs_bars = {ObjectionCode.STALE_FILLS, ObjectionCode.STALE_PRICES}
    assert not codes(results) & needs_bars  # without bars nothing is said of them
    assert needs_bars <= codes(run_results(database, 1, flat_panel(volume=0.0)))
    assert ObjectionCode.STALE_FILLS not in codes(run_results(database, 1, flat_panel(volume=1e6)))


def test_halt_that_only_an_operator_ends_stops_for_good(tmp_path: Path) -> None:
    halted = Plan(
        seed=4,
        sessions=70,
        halted=frozenset(range(40, 70)),
        events=[(40, "halt", "DRAWDOWN_HALT", 0.11, 0.10, "drawdown")],
    )
    for release, stops in (("manual", True), ("shadow", False)):
        path = tmp_path / f"{release}.db"
        build(path, halted)
        connection = sqlite3.connect(path)
        connection.execute("UPDATE runs SET config = replace(config, '\"shadow\"', ?)", (f'"{release}"',))
        connection.commit()
        connection.close()
        engine = open_database(path)
        found = {finding.code for finding in run_results(engine, 1).critique}
        engine.dispose()
        assert (ObjectionCode.STOPPED_FOR_GOOD in found) is stops


def test_run_without_trades_says_only_what_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "still.db"
    build(path, Plan(sessions=70, still=frozenset(range(70)), cash_rate=0.0))
    engine = open_database(path)
    found = run_results(engine, 1)
    engine.dispose()
    assert (found.fills, found.sharpe, found.costs.total) == (0, None, 0.0)
    assert not any("nan" in finding.message for finding in found.critique)
    assert ObjectionCode.TOO_FEW_TRADES in {finding.code for finding in found.critique}


def test_longest_unchanged_counts_sessions_after_the_first() -> None:
    assert longest_unchanged(np.array([1.0, 1.0, 1.0, 2.0, 2.0])) == 2
    assert longest_unchanged(np.array([1.0, np.nan, 1.0])) == 0
    assert longest_unchanged(np.array([])) == 0
