"""The tie-out: every session of a run, recomputed by plain SQL in whole cents, without the platform's own code."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from report_stories import BARE
from report_world import Plan, build

from daily_report import generate_daily_report
from trading_platform.reporting.document import WholeReport

NOW = datetime(2024, 1, 1, tzinfo=UTC)
PLANS = {
    "plain": Plan(seed=1, sessions=45),
    "flows": Plan(seed=2, sessions=45, flows={0: 10_000_00, 7: 1_234_56, 20: -25_000_17, 44: 1}),
    "many": Plan(seed=3, sessions=30, tickers=90, max_positions=60, moves={12: -0.05, 13: 0.04}),
}


def cents(dollars: float) -> int:
    whole = round(dollars * 100)
    assert abs(dollars * 100 - whole) < 1e-6, f"{dollars} is no whole number of cents"
    return whole


@pytest.fixture(scope="module", params=PLANS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[date]]:
    path = tmp_path_factory.mktemp("tie") / "trading.db"
    build(path, PLANS[request.param])
    with sqlite3.connect(path) as connection:
        sessions = [date.fromisoformat(row[0]) for row in connection.execute("SELECT session FROM equity ORDER BY 1")]
    connection.close()
    return path, sessions


def one(connection: sqlite3.Connection, sql: str, *values: object) -> int:
    row = connection.execute(sql, values).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def expected(connection: sqlite3.Connection, session: str, before: str | None) -> dict[str, int]:
    """Return the day in cents, from executions, positions and dividends alone."""
    value = one(connection, "SELECT sum(value) FROM positions WHERE session = ?", session)
    cost = one(connection, "SELECT sum(cost) FROM positions WHERE session = ?", session)
    value_0 = one(connection, "SELECT sum(value) FROM positions WHERE session = ?", before)
    cost_0 = one(connection, "SELECT sum(cost) FROM positions WHERE session = ?", before)
    cash = one(connection, "SELECT cash FROM equity WHERE session = ?", session)
    cash_0 = one(connection, "SELECT cash FROM equity WHERE session = ?", before)
    if before is None:
        cash_0 = one(connection, "SELECT capital FROM runs")
    bought = one(connection, "SELECT sum(amount) FROM fills WHERE side = 'buy' AND session = ?", session)
    sold = one(connection, "SELECT sum(amount) FROM fills WHERE side = 'sell' AND session = ?", session)
    fees = one(connection, "SELECT sum(fees) FROM fills WHERE session = ?", session)
    held = one(connection, "SELECT sum(dividends) FROM positions WHERE session = ?", session)
    held_0 = one(connection, "SELECT sum(dividends) FROM positions WHERE session = ?", before)
    closed = one(connection, "SELECT sum(dividends) FROM trades WHERE exit_session = ?", session)
    dividends = held + closed - held_0
    flow = one(connection, "SELECT cash_flow FROM equity WHERE session = ?", session)
    interest = one(connection, "SELECT interest FROM equity WHERE session = ?", session)
    assert cash - cash_0 == sold - bought - fees + dividends + interest + flow, f"cash does not tie out on {session}"
    realized = sold - (cost_0 + bought - cost)
    return {
        "start_equity": cash_0 + value_0,
        "realized": realized,
        "unrealized_change": (value - cost) - (value_0 - cost_0),
        "fees": -fees,
        "dividends": dividends,
        "interest": interest,
        "cash_flow": flow,
        "residual": 0,
        "equity_change": cash + value - cash_0 - value_0,
        "end_equity": cash + value,
    }


def ticker_pnl(connection: sqlite3.Connection, session: str, before: str | None) -> dict[str, int]:
    """Return each ticker's day in cents: what it is worth and brought in, less what it was worth and took."""
    pnl: dict[str, int] = defaultdict(int)
    marks = "SELECT ticker, value, dividends FROM positions WHERE session = ?"
    for ticker, value, dividends in connection.execute(marks, (session,)):
        pnl[ticker] += value + dividends
    for ticker, value, dividends in connection.execute(marks, (before,)):
        pnl[ticker] -= value + dividends
    for ticker, side, amount, fees in connection.execute(
        "SELECT ticker, side, amount, fees FROM fills WHERE session = ?", (session,)
    ):
        pnl[ticker] += (amount if side == "sell" else -amount) - fees
    for ticker, dividends in connection.execute(
        "SELECT ticker, dividends FROM trades WHERE exit_session = ?", (session,)
    ):
        pnl[ticker] += dividends
    return {ticker: value for ticker, value in pnl.items() if value}


def with_interest(shares: dict[str, int], interest: int) -> dict[str, int]:
    """Add what only the account earned."""
    return {**shares, "(account)": interest} if interest else shares


def strategy_pnl(connection: sqlite3.Connection, session: str, before: str | None) -> dict[str, int]:
    """Return each strategy's day in cents; a position that is shared belongs to its lots."""
    pnl: dict[str, int] = defaultdict(int)
    marks = """
    SELECT strategy, value, dividends FROM lots WHERE session = :day
    UNION ALL SELECT strategy, value, dividends FROM positions AS p WHERE session = :day
    AND NOT EXISTS (SELECT 1 FROM lots AS l WHERE l.session = p.session AND l.ticker = p.ticker)"""
    for strategy, value, dividends in connection.execute(marks, {"day": session}):
        pnl[strategy] += value + dividends
    for strategy, value, dividends in connection.execute(marks, {"day": before}):
        pnl[strategy] -= value + dividends
    for strategy, side, amount, fees in connection.execute(
        "SELECT strategy, side, amount, fees FROM fills WHERE session = ?", (session,)
    ):
        pnl[strategy] += (amount if side == "sell" else -amount) - fees
    for strategy, dividends in connection.execute(
        "SELECT strategy, dividends FROM trades WHERE exit_session = ?", (session,)
    ):
        pnl[strategy] += dividends
    return {name: value for name, value in pnl.items() if value}


def test_every_session_ties_out_to_the_cent(run: tuple[Path, list[date]]) -> None:
    path, sessions = run
    connection = sqlite3.connect(path)
    total, before = 0, None
    for session in sessions:
        report: Any = generate_daily_report(path, session, settings=BARE, now=NOW)
        wanted = expected(connection, str(session), before)
        assert {key: cents(value) for key, value in report["bridge"].items()} == wanted, session
        profit = wanted["equity_change"] - wanted["cash_flow"]
        assert cents(report["daily_pnl"]) == profit
        total += profit
        assert cents(report["total_pnl"]) == total
        shares = {s["name"]: cents(s["pnl"]) for s in report["attribution"]["tickers"] if cents(s["pnl"])}
        assert shares == with_interest(ticker_pnl(connection, str(session), before), wanted["interest"]), session
        owners = {s["name"]: cents(s["pnl"]) for s in report["attribution"]["strategies"] if cents(s["pnl"])}
        assert owners == with_interest(strategy_pnl(connection, str(session), before), wanted["interest"]), session
        for kind in ("strategies", "tickers"):
            assert sum(cents(share["pnl"]) for share in report["attribution"][kind]) == profit
        assert not any("tie out" in alert for alert in report["alerts"])
        before = str(session)
    connection.close()


def test_period_profits_sum_the_days(run: tuple[Path, list[date]]) -> None:
    path, sessions = run
    days: Any = {s: generate_daily_report(path, s, settings=BARE, now=NOW) for s in sessions}
    daily = {s: cents(day["daily_pnl"]) for s, day in days.items()}
    report = generate_daily_report(path, since=sessions[10], settings=BARE, now=NOW)
    periods = report["performance"]["periods"]
    last = sessions[-1]
    assert cents(periods["since_start"]["pnl"]) == sum(daily.values())
    assert cents(periods["since_date"]["pnl"]) == sum(daily[s] for s in sessions[10:])
    assert cents(periods["month_to_date"]["pnl"]) == sum(
        pnl for s, pnl in daily.items() if (s.year, s.month) == (last.year, last.month)
    )
    assert cents(periods["week_to_date"]["pnl"]) == sum(
        pnl for s, pnl in daily.items() if s.isocalendar()[:2] == last.isocalendar()[:2]
    )


def test_past_session_is_told_as_it_was(run: tuple[Path, list[date]], tmp_path: Path) -> None:
    """A report of a session is the same whether or not later sessions have been booked."""
    path, sessions = run
    cut = tmp_path / "cut.db"
    connection = sqlite3.connect(path)
    shorter = sqlite3.connect(cut)
    connection.backup(shorter)
    connection.close()
    last = str(sessions[20])
    for table in ("equity", "positions", "fills", "signals", "risk_events", "rl_allocations", "regimes"):
        shorter.execute(f"DELETE FROM {table} WHERE session > ?", (last,))  # noqa: S608 - constants
    shorter.execute("DELETE FROM trades WHERE exit_session > ?", (last,))
    shorter.execute("DELETE FROM orders WHERE decided_session > ?", (last,))
    shorter.commit()
    shorter.close()
    then = generate_daily_report(cut, sessions[20], settings=BARE, now=NOW)
    now = generate_daily_report(path, sessions[20], settings=BARE, now=NOW)
    assert comparable(now) == comparable(then)


def comparable(report: WholeReport) -> dict[str, object]:
    """Leave out what may differ: the state of orders today, and the text that would repeat it."""
    orders = [{**order, "status": None} for order in report["orders_for_next_open"]]
    return {**report, "orders_for_next_open": orders}


ONE_POSITION = """
UPDATE positions SET value = value - 2 WHERE session = ?
AND ticker = (SELECT max(ticker) FROM positions AS p WHERE p.session = positions.session)"""


@pytest.mark.parametrize(
    ("fault", "alert"),
    [
        ("UPDATE equity SET fees = fees + 1 WHERE session = ?", "P&L does not tie out: +$0.01 unexplained"),
        (
            ONE_POSITION,
            "Books do not tie out",
        ),
        ("UPDATE equity SET previous_equity = previous_equity + 100 WHERE session = ?", "Equity jumps between closes"),
    ],
)
def test_a_cent_out_of_place_is_alerted(tmp_path: Path, fault: str, alert: str) -> None:
    path = tmp_path / "trading.db"
    build(path, Plan(seed=7, sessions=25))
    connection = sqlite3.connect(path)
    (session,) = connection.execute("SELECT max(session) FROM equity").fetchone()
    assert connection.execute(fault, (session,)).rowcount == 1
    connection.commit()
    connection.close()
    report: Any = generate_daily_report(path, settings=BARE, now=NOW)
    assert any(line.startswith(alert) for line in report["alerts"]), report["alerts"]
    if "P&L" in alert:
        assert report["bridge"]["residual"] == 0.01
