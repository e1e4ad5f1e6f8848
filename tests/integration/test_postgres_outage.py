"""An engine at a local Alpaca whose PostgreSQL goes away and comes back: nothing is lost, nothing doubled."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from account_invariants import breaches, read_ledger
from alpaca_world import CALENDAR
from crash_world import SETTINGS, TICKERS, panel_of
from operator_world import KEY, SECRET, Trading, command

from tests.postgres_server import PostgresServer
from trading_platform.alpaca_server.admin import state
from trading_platform.alpaca_server.fill_models import PaperFills
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.storage.database import open_database
from trading_platform.storage.database_copy import copy_database

pytestmark = [pytest.mark.real, pytest.mark.slow]
SESSIONS = 5
# The engine has told that it waits before the server is started again, so no time must pass; a look by hand sets it.
OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "0"))


@pytest.fixture
def alpaca() -> Iterator[AlpacaServer]:
    panel = panel_of(11, SESSIONS + 2)
    start = panel.session(panel.n_sessions - SESSIONS - 2)
    config = ServerConfig(key_id=KEY, secret_key=SECRET)
    with AlpacaServer(panel, CALENDAR, config, PaperFills(), start=start) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    words = SETTINGS.format(tickers=json.dumps(list(TICKERS)), risk="", stop=1.5)
    (tmp_path / "trading.toml").write_text(words)
    return tmp_path


def test_engine_outlasts_its_server_and_both_books_agree(
    postgres: PostgresServer, alpaca: AlpacaServer, home: Path
) -> None:
    url = postgres.new_database()
    options = "--config", "trading.toml", "--db", url, "--allocation", "equal"
    trading = Trading(home, alpaca.url, *options)
    try:
        trading.wait_for_look()
        for session in range(SESSIONS):
            away = session in (1, 3)
            if away:
                postgres.stop("fast" if session == 1 else "immediate")
            alpaca.advance_to_evening()
            if away:
                trading.wait_for_word("The engine waits; what rests at the broker stays there")
                threading.Event().wait(OUTAGE_SECONDS)
                postgres.start()
            trading.wait_for_look(alpaca.now.isoformat())
            if session < SESSIONS - 1:
                alpaca.advance_to_open()
                trading.wait_for_look(alpaca.now.isoformat())
        second = command(home, *options, "--once", url=alpaca.url)
        assert second.returncode == 5
        assert f"is traded by process {trading.process.pid}" in second.stderr
        said = trading.stop()
    finally:
        trading.process.kill()
        trading.process.wait()
    assert "Traceback" not in said
    assert said.count("can be used again: starting over from what it holds") == 2
    source, target = open_database(url, read_only=True), open_database(home / "copy.db")
    counts = copy_database(source, target)
    source.dispose()
    target.dispose()
    assert counts["equity"] >= SESSIONS
    assert counts["fills"] > 0  # else nothing was there to lose
    assert breaches(json.loads(json.dumps(state(alpaca))), read_ledger(home / "copy.db")) == []
