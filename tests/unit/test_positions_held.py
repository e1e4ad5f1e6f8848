"""How many positions an account is said to hold: those of now, and not those of the last close."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from account_rows import DAY, NOW, add_run, empty
from sqlalchemy import Engine, insert

from trading_platform.storage import models as m
from trading_platform.storage.positions_held import positions_held
from trading_platform.storage.run_status import resting

BOOK = {"slots": {"names": ["ticker", "quantity"], "rows": [[3, 10.0], [5, 0.0], [-1, 0.0], [7, 2.5]]}}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    database = empty(tmp_path / "trading.db")
    add_run(database, "alpaca_paper", account="PA1", equity=100.0, held=("AAA",))
    return database


def save(engine: Engine, slots: str) -> None:
    with engine.begin() as connection:
        values = {"run_id": 1, "session": DAY, "saved_at": NOW, "account": "{}", "slots": slots, "checksum": "x"}
        connection.execute(insert(m.PaperBook).values(**values))


def held(engine: Engine) -> int:
    with engine.connect() as connection:
        return positions_held(connection, 1)


def test_positions_that_were_opened_after_the_last_close_count(engine: Engine) -> None:
    save(engine, json.dumps(BOOK))
    assert held(engine) == 2
    assert resting(engine, 1).words().startswith("2 positions")


@pytest.mark.parametrize("slots", ["not JSON", "{}", '{"slots": [[3, 0, 10.0]]}'], ids=["damaged", "empty", "first"])
def test_a_book_that_cannot_be_read_by_names_leaves_it_to_the_last_close(engine: Engine, slots: str) -> None:
    save(engine, slots)
    assert held(engine) == 1


def test_a_run_without_a_book_is_read_from_its_last_close(engine: Engine) -> None:
    assert held(engine) == 1
