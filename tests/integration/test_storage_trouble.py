"""A database that is locked or put away under a live engine: it tells, waits, and goes on where it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from operator_world import Trading, quiet_market

from trading_platform.alpaca_server.server import AlpacaServer


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with quiet_market() as alpaca:
        yield alpaca


@pytest.fixture
def trading(tmp_path: Path, server: AlpacaServer) -> Iterator[Trading]:
    engine = Trading(tmp_path, server.url)
    engine.wait_for_look()
    yield engine
    engine.process.kill()
    engine.process.wait()


def held(pid: int, folder: Path) -> list[str]:
    """Return the database files below `folder` that a process has open, where the system tells."""
    links = Path(f"/proc/{pid}/fd")
    files = [str(link.readlink()) for link in links.iterdir()] if links.is_dir() else []
    return [name for name in files if name.startswith(str(folder)) and ".db" in name]


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["locked", "put away"])
def test_a_live_engine_outlasts_its_database(
    tmp_path: Path, server: AlpacaServer, trading: Trading, trouble: str
) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        if trouble == "locked":
            other.execute("BEGIN IMMEDIATE")
            trading.wait_for_word("locked by another program")
            other.execute("ROLLBACK")
        else:
            path.rename(tmp_path / "away.db")
            trading.wait_for_word("was deleted while it was in use")
            assert not path.exists()  # no new one was made
            assert held(trading.process.pid, tmp_path) == []  # what is open cannot be unmounted and mended
            (tmp_path / "away.db").rename(path)
    server.advance_to_evening()
    trading.wait_for_look(server.now.isoformat())
    said = trading.stop()
    assert "can be used again: starting over from what it holds" in said
    assert "Traceback" not in said
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM equity").fetchone() == (2,)
