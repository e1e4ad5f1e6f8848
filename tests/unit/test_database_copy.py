"""`db copy`: from a file into PostgreSQL and back, each row compared, and numbers that count on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from account_rows import add_run, empty
from sqlalchemy import Engine, insert, select, update

from trading_platform.core.errors import FixConfigError, OperatorNeededError, RepairDatabaseError
from trading_platform.storage import database_copy
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.database_copy import copy_database
from trading_platform.storage.operator_requests import leave_command
from trading_platform.storage.runs import RunLock

NOW = datetime(2024, 7, 3, 17, 0, 0, 1, tzinfo=UTC)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Engine]:
    """A file with runs, closes, positions whose order differs between languages, and texts of all kinds."""
    writer = empty(tmp_path / "source.db")
    add_run(writer, "alpaca_paper", account="PA1", equity=1000.01, held=("AAPL", "BRK.B", "b", "_X"))
    add_run(writer, name="é ✓ \\N\t\n")
    with writer.begin() as connection:
        connection.execute(update(m.Run).where(m.Run.id == 2).values(id=41, seed=2**40, note="x" * 5000))
    leave_command(writer, 41, "halt", "why", NOW)
    writer.dispose()
    yield open_database(tmp_path / "source.db", read_only=True)


@pytest.fixture
def target(place: str) -> Iterator[Engine]:
    engine = open_database(place)
    yield engine
    engine.dispose()


def rows(engine: Engine) -> dict[str, set[tuple[object, ...]]]:
    with engine.connect() as connection:
        return {t.name: {tuple(row) for row in connection.execute(select(t))} for t in m.Base.metadata.sorted_tables}


def test_copy_holds_every_row_and_numbers_count_on(source: Engine, target: Engine, tmp_path: Path) -> None:
    counts = copy_database(source, target)
    assert (counts["runs"], counts["positions"], counts["commands"]) == (2, 4, 1)
    assert rows(target) == rows(source)
    back = open_database(tmp_path / "back.db")
    assert copy_database(target, back) == counts
    assert rows(back) == rows(source)
    back.dispose()
    assert add_run(target) == 42
    assert leave_command(target, 42, "halt", "why", NOW) == 2


def test_target_with_runs_is_refused(source: Engine, target: Engine) -> None:
    migrate(target)
    add_run(target)
    with pytest.raises(FixConfigError, match="holds runs already"):
        copy_database(source, target)


def test_database_is_not_copied_into_itself(source: Engine) -> None:
    with pytest.raises(FixConfigError, match="cannot be copied into itself"):
        copy_database(source, open_database(str(source.url.database)))


def test_source_without_tables_is_refused(place: str, tmp_path: Path) -> None:
    made = open_database(place)
    made.connect().close()
    source = open_database(place, read_only=True)
    with pytest.raises(RepairDatabaseError, match="holds nothing yet; start the engine first"):
        copy_database(source, open_database(tmp_path / "target.db"))
    made.dispose()
    source.dispose()


def test_source_that_an_engine_trades_is_refused(source: Engine, target: Engine) -> None:
    writer = open_database(str(source.url.database))
    lock = RunLock(writer, 41)
    lock.acquire(NOW)
    with pytest.raises(OperatorNeededError, match="an engine trades run 41 of it now"):
        copy_database(source, target)
    lock.release()
    writer.dispose()


def test_row_that_does_not_arrive_leaves_nothing(
    source: Engine, target: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = database_copy._copy_table

    def lossy(reading: object, writing: object, table: object) -> int:
        count = whole(reading, writing, table)  # type: ignore[arg-type] # as they come
        if getattr(table, "name", "") == "positions":
            changed = update(m.PositionRow).where(m.PositionRow.ticker == "BRK.B").values(cost=0.01)
            writing.execute(changed)  # type: ignore[attr-defined] # a connection
        return count

    monkeypatch.setattr(database_copy, "_copy_table", lossy)
    with pytest.raises(RepairDatabaseError, match=r"table positions, run_id 1, .*ticker BRK.B: column cost did not"):
        copy_database(source, target)
    assert rows(target)["runs"] == set()


def test_row_that_is_missing_is_noticed(source: Engine, target: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = database_copy._copy_table

    def more(reading: object, writing: object, table: object) -> int:
        count = whole(reading, writing, table)  # type: ignore[arg-type] # as they come
        if getattr(table, "name", "") == "data_warnings":
            writing.execute(insert(m.DataWarning).values(run_id=1, message="new"))  # type: ignore[attr-defined]
        return count

    monkeypatch.setattr(database_copy, "_copy_table", more)
    with pytest.raises(RepairDatabaseError, match="table data_warnings: the copy has not as many rows"):
        copy_database(source, target)
