"""Three accounts in one database, an engine each: what kills one touches no other, and `status --all` says which."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from alpaca_world import CALENDAR, flat, market
from operator_world import KEY, SECRET, Trading, command

from tests.postgres_server import PostgresServer
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig

pytestmark = [pytest.mark.real, pytest.mark.slow]
NAMES = ("main", "second", "third")


@pytest.fixture
def brokers() -> Iterator[dict[str, AlpacaServer]]:
    """A local Alpaca an account; prices stand still, so that every session is settled and nothing is traded."""
    panel = market({name: flat(price, 60) for name, price in (("AAA", 50.0), ("BBB", 20.0), ("SPY", 400.0))})
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                AlpacaServer(
                    panel,
                    CALENDAR,
                    ServerConfig(key_id=KEY, secret_key=SECRET, seed=number),
                    start=panel.session(30),
                )
            )
            for number, name in enumerate(NAMES, start=1)
        }


def test_a_crash_of_one_engine_touches_no_other(
    postgres: PostgresServer, brokers: dict[str, AlpacaServer], tmp_path: Path
) -> None:
    url = postgres.new_database()

    def begin(name: str) -> Trading:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        (home / "trading.toml").write_text(f'[account]\nname = "{name}"\n')
        return Trading(home, brokers[name].url, "--config", "trading.toml", "--db", url)

    def rows() -> dict[str, dict[str, Any]]:
        shown = command(tmp_path, "status", "--all", "--json", "--db", url)
        return {row["run"]["name"]: row for row in json.loads(shown.stdout)}

    def day() -> None:
        for broker in brokers.values():
            broker.advance_to_open()
            broker.advance_to_evening()

    engines = {name: begin(name) for name in NAMES}
    try:
        for engine in engines.values():
            engine.wait_for_look()
        engines["second"].process.send_signal(signal.SIGKILL)
        engines["second"].process.wait()
        day()
        for name in ("main", "third"):
            engines[name].wait_for_look(brokers[name].now.isoformat())
        before = rows()
        assert {name: row["heartbeat"]["alive"] for name, row in before.items()} == {
            "main": True,
            "second": False,
            "third": True,
        }
        text = command(tmp_path, "status", "--all", "--db", url).stdout
        first = text.splitlines()[:3]
        assert [line.endswith("NO ENGINE RUNS") for line in sorted(first, key=lambda line: line.split()[2])] == [
            False,
            True,
            False,
        ]
        assert before["second"]["run"]["last_session"] < before["main"]["run"]["last_session"]
        engines["second"] = begin("second")  # its run is free at once: the holder of the lease is known to be dead
        engines["second"].wait_for_look(brokers["second"].now.isoformat())
        after = rows()
        assert len({row["run"]["last_session"] for row in after.values()}) == 1
        assert len(after) == 3
        for engine in engines.values():
            assert "Traceback" not in engine.stop()
    finally:
        for engine in engines.values():
            engine.process.kill()
            engine.process.wait()
