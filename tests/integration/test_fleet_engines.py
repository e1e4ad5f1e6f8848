"""Three accounts in one database, an engine each: what kills one touches no other, and `status --all` says which."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import report_world
from alpaca_world import CALENDAR, flat, market
from operator_world import KEY, SECRET, Trading, command
from sqlalchemy import insert

from tests.postgres_server import PostgresServer
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.operations.commands import MOST_WHOLE, Place, status
from trading_platform.storage.database import open_database
from trading_platform.storage.models import Difference
from trading_platform.storage.run_status import run_status
from trading_platform.storage.run_targets import Target

NAMES = ("main", "second", "third")
SEEN = datetime(2023, 1, 9, 21, 30, tzinfo=UTC)


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


@pytest.mark.real
@pytest.mark.slow
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


def test_more_accounts_than_can_be_read_whole_are_a_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "many.db"
    plans = [
        report_world.Plan(mode="alpaca_paper", account=f"PA-{n:02d}", status="running", sessions=4, seed=n)
        for n in range(MOST_WHOLE + 1)
    ]
    report_world.build(path, *plans)
    engine = open_database(path)
    with engine.begin() as connection:
        difference = {
            "run_id": 3,
            "session": SEEN.date(),
            "kind": "cash",
            "action": "none",
            "ours": "$1.00",
            "theirs": "$2.00",
            "found_at": SEEN,
        }
        connection.execute(insert(Difference).values(**difference))
    assert status(Place(str(path), None), Target(everything=True), as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == MOST_WHOLE + 2
    assert [line for line in lines if "WRONG NOW: Cash differs" in line] == [
        line for line in lines if line.startswith("Alpaca paper account PA-02 (run 3)")
    ]
    assert "NO ENGINE RUNS" in lines[0]
    assert lines[-1] == "status --account NAME shows one of them whole"
    assert status(Place(str(path), None), Target(everything=True), as_json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["run"]["id"] for row in shown] == list(range(MOST_WHOLE + 1, 0, -1))
    assert [row["own_costs"] is None for row in shown] == [False] * (MOST_WHOLE + 1)
    alone = run_status(open_database(path, read_only=True), 3)
    assert alone["differences"] == [row for row in shown if row["run"]["id"] == 3][0]["differences"]  # noqa: RUF015
    assert alone["positions"] == [row for row in shown if row["run"]["id"] == 3][0]["positions"]  # noqa: RUF015
