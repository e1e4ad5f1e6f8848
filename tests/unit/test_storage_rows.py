"""Rows written quickly are the rows that SQLAlchemy would write; a close becomes the rows that the report reads."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, insert, select

from trading_platform.core.ledger import ACCOUNT, LOT, SLOT
from trading_platform.core.types import Flows
from trading_platform.storage import models as m
from trading_platform.storage.closes import Closes, Day
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.repository import Repository, create_run
from trading_platform.storage.rows import BLOCK, RowBuffer

SESSION = date(2015, 3, 4)
CLOSE = datetime(2015, 3, 4, 21, tzinfo=UTC)
RUN = {
    "key": "k",
    "mode": "replay",
    "source": "s",
    "status": "running",
    "started_at": CLOSE,
    "capital": 100_000.0,
    "config_fingerprint": "",
    "config": "{}",
    "data_hash": "",
    "code_version": "",
    "strategies": "[]",
    "sectors": "{}",
}


@pytest.fixture
def database(tmp_path: Path) -> Engine:
    engine = open_database(tmp_path / "rows.db")
    migrate(engine)
    return engine


def stored(engine: Engine, model: type[m.Base]) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(model.__table__).order_by(*model.__table__.c))]


def trade(n: int, run_id: int) -> dict[str, Any]:
    day = SESSION + timedelta(days=n)
    instant = CLOSE + timedelta(days=n, microseconds=n)
    return {
        "run_id": run_id,
        "ticker": f"T{n % 3}",
        "strategy": "momentum",
        "entry_session": SESSION,
        "exit_session": day,
        "opened_at": CLOSE,
        "closed_at": instant.astimezone(),
        "quantity": n / 7.0,
        "entry_price": 10.0 / 3.0,
        "exit_price": 0.1 * n,
        "cost": 1234.005 + n,
        "proceeds": 1e9 / 3.0,
        "fees": 0.0,
        "dividends": 0.015 * n,
        "pnl": -0.01 * n,
        "return_fraction": -1.0 / (n + 1),
        "exit_reason": "stop_loss",
        "market_costs": 0.01 * n,
    }


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_any_number_of_rows_is_stored_as_sqlalchemy_stores_them(database: Engine, count: int) -> None:
    quick, slow = (create_run(database, RUN | {"key": key}, []) for key in ("quick", "slow"))
    buffer = RowBuffer(m.Trade)
    for n in range(count):
        buffer.add(tuple(trade(n, quick).values()))
    with database.begin() as connection:
        buffer.flush(connection)
        connection.execute(insert(m.Trade), [trade(n, slow) for n in range(count)])
    rows = stored(database, m.Trade)
    assert len(rows) == 2 * count
    assert [row[2:] for row in rows if row[1] == quick] == [row[2:] for row in rows if row[1] == slow]
    assert len(buffer) == 0


def test_naive_instants_are_refused(database: Engine) -> None:
    buffer = RowBuffer(m.Trade)
    row = trade(1, create_run(database, RUN, []))
    buffer.add(tuple((row | {"closed_at": datetime(2015, 3, 4, 21)}).values()))  # noqa: DTZ001 - the mistake
    with pytest.raises(ValueError, match="naive datetime"), database.begin() as connection:
        buffer.flush(connection)


def close_of(
    closes: Closes, n: int, *, cash: float, held: tuple[tuple[int, float, float, float], ...], vix: float = 20.0
) -> None:
    """Collect a close with positions (column, shares, price, cost) and one entry that only waits."""
    account, risk = np.zeros(1, dtype=ACCOUNT)[0], np.zeros(1, dtype=ACCOUNT)[0]
    slots = np.zeros(4, dtype=SLOT)
    slots["ticker"] = -1
    for s, (column, shares, price, cost) in enumerate(held):
        slots[s]["ticker"], slots[s]["quantity"], slots[s]["price"], slots[s]["cost"] = column, shares, price, cost
        slots[s]["value"], slots[s]["stop"], slots[s]["entry_day"] = shares * price, 0.9 * price, 16_000 + n
    slots[3]["ticker"], slots[3]["pending"], slots[3]["value"] = 2, 5.0, 0.0
    account["cash"], account["equity"] = cash, cash + sum(shares * price for _, shares, price, _ in held)
    risk["peak_equity"], risk["lifetime_drawdown"], risk["halted"] = 1_000.0, 0.25, n % 2
    flows = Flows(
        realized=1.5, fees=0.25, commission=0.2, spread=1.0, slippage=1.5, impact=0.5, dividends=0.3, interest=0.4
    )
    day = Day(SESSION + timedelta(days=n), CLOSE + timedelta(days=n), 900.0, flows, vix, math.nan, 0.01, 4.5)
    closes.add(day, account, slots, np.zeros((4, 2), dtype=LOT), risk)
    if n == 0:
        closes.not_invested((1.0, 2.0, 3.0, 4.0, 5.0))


def test_closes_become_equity_and_position_rows(database: Engine) -> None:
    repository = Repository(database, create_run(database, RUN, []), ("A", "B", "C"), ("momentum", "breakout"))
    close_of(repository.closes, 0, cash=100.0, held=((1, 4.0, 100.0, 500.0), (0, 10.0, 40.0, 350.0)))
    close_of(repository.closes, 1, cash=1_200.0, held=(), vix=math.nan)
    repository.commit()
    first, second = stored(database, m.EquityRow)
    assert first[3:13] == (100.0, 800.0, 900.0, 900.0, 1.5, -50.0, 0.25, 0.3, 0.0, 1_000.0)
    assert first[13:21] == (pytest.approx(0.1), 0.25, pytest.approx(800.0 / 900.0), 2, False, 20.0, None, 0.01)
    assert first[21:] == (0.4, 0.2, 1.0, 1.5, 0.5, 4.5, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert second[3:6] == (1_200.0, 0.0, 1_200.0)
    assert second[13:21] == (0.0, 0.25, 0.0, 0, True, None, None, 0.01)
    assert second[27:] == (None,) * 5  # nothing was decided
    positions = stored(database, m.PositionRow)
    assert [row[1:8] for row in positions] == [
        (SESSION, "A", "momentum", 10.0, 35.0, 40.0, 350.0),
        (SESSION, "B", "momentum", 4.0, 125.0, 100.0, 500.0),
    ]
    assert [row[8:] for row in positions] == [
        (400.0, 36.0, None, 0.0, date(2013, 10, 22)),
        (400.0, 90.0, None, 0.0, date(2013, 10, 22)),
    ]
    repository.commit()
    assert len(stored(database, m.EquityRow)) == 2  # nothing is written twice


def test_an_account_without_money_has_no_exposure_and_no_drawdown_of_nothing() -> None:
    closes = Closes(1, ("A",), ("momentum",))
    account, risk = np.zeros(1, dtype=ACCOUNT)[0], np.zeros(1, dtype=ACCOUNT)[0]
    day = Day(SESSION, CLOSE, 0.0, Flows(), 0.0, 0.0, 0.0, 0.0)
    closes.add(day, account, np.zeros(2, dtype=SLOT), np.zeros((2, 1), dtype=LOT), risk)
    columns = closes.equity_columns()
    assert (columns[13], columns[15]) == ([0.0], [0.0])
    assert all(len(column) == 0 for column in closes.position_columns())
