"""Runs, closes and positions as rows of a database, for tests of whoever reads them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import Engine, insert

from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.repository import create_run

NOW = datetime(2024, 1, 2, 21, 0, tzinfo=UTC)
DAY = date(2024, 1, 2)


def empty(path: Path) -> Engine:
    """Return a database without runs."""
    engine = open_database(path)
    migrate(engine)
    return engine


def add_run(
    engine: Engine,
    mode: str = "replay",
    status: str = "running",
    account: str | None = None,
    name: str | None = None,
    equity: float | None = None,
    held: tuple[str, ...] = (),
    started: datetime = NOW,
) -> int:
    """Add a run with its last close; return its id."""
    texts = dict.fromkeys(("key", "source", "config_fingerprint", "data_hash", "code_version"), "x")
    run_id = create_run(
        engine,
        {
            **texts,
            "config": "{}",
            "strategies": '["momentum", "breakout"]',
            "sectors": "{}",
            "mode": mode,
            "status": status,
            "account": account,
            "name": name,
            "started_at": started,
            "capital": 1000.0,
            "first_session": DAY,
            "last_session": None if equity is None else DAY,
        },
        [],
    )
    with engine.begin() as connection:
        if equity is not None:
            zero = dict.fromkeys(("realized_pnl", "unrealized_pnl", "fees", "dividends", "cash_flow"), 0.0)
            connection.execute(
                insert(m.EquityRow).values(
                    run_id=run_id,
                    session=DAY,
                    as_of=NOW,
                    cash=equity,
                    positions_value=0.0,
                    equity=equity,
                    previous_equity=equity,
                    peak_equity=equity,
                    drawdown=0.0,
                    lifetime_drawdown=0.0,
                    gross_exposure=0.0,
                    n_positions=len(held),
                    halted=False,
                    **zero,
                )
            )
        for ticker in held:
            connection.execute(
                insert(m.PositionRow).values(
                    run_id=run_id,
                    session=DAY,
                    ticker=ticker,
                    strategy="momentum",
                    quantity=10.0,
                    entry_price=50.0,
                    price=51.0,
                    cost=500.0,
                    value=510.0,
                    stop_price=45.0,
                    target_price=None,
                    entry_session=DAY,
                )
            )
    return run_id
