"""The operator's word to real processes: it reaches the account that trades, and a signal ends it with a word."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from operator_world import ENGINE, PATIENCE, Trading, command, environment, quiet_market

from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.runtime.command_line import run

pytestmark = pytest.mark.real

Operator = Callable[..., "Answer"]


@pytest.fixture(scope="module")
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


def commands(path: Path) -> list[tuple[int, str, str | None]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT run_id, kind, subject FROM commands ORDER BY id").fetchall()


class Answer(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    """Give commands beside the engine, in its folder: in this process, since a dozen starts of Python take minutes on a
    busy machine and show nothing more.
    """
    own = environment(tmp_path, None)
    for name in os.environ.keys() - own.keys():
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody answers a question

    def give(*words: str) -> Answer:
        code = run(words)
        return Answer(code, *capsys.readouterr())

    return give


def test_the_word_reaches_the_account_and_not_a_finished_replay(
    tmp_path: Path, trading: Trading, operator: Operator
) -> None:
    """Seen: a replay was begun and ended meanwhile, and `halt` went to it, while the account went on buying."""
    (tmp_path / "short.toml").write_text("[engine]\nreplay_sessions = 5\n")
    replayed = operator("replay", "--quiet", "--config", "short.toml", "--db", "a.db")
    assert "run 2. Next:" in replayed.out
    assert "status --db a.db --config short.toml --run 2" in replayed.out

    done = operator("--db", "a.db", "halt", "--reason", "holiday")  # the option before its command counts
    assert done.code == 0, done.err
    assert "halt: Alpaca paper account" in done.out
    assert "equity $100,000.00, 0 positions" in done.out
    assert "done at" in done.out
    assert "nothing new is opened until `resume`" in done.out
    state = json.loads(operator("status", "--json", "--db", "a.db").out)
    assert (state["run"]["id"], state["heartbeat"]["alive"]) == (1, True)
    assert "holiday" in state["risk"]["manual_halt"]

    over = operator("halt", "--reason", "x", "--run", "2", "--db", "a.db")
    assert (over.code, over.err) == (2, "error: run 2 is a finished replay: nothing to halt\n")
    elsewhere = operator("--db", "other.db", "halt", "--reason", "x")
    assert elsewhere.code == 4
    assert "other.db: does not exist" in elsewhere.err
    nobody = operator("flatten", "--reason", "x", "--db", "a.db")
    assert nobody.code == 2  # it asks, and nobody answers
    assert commands(tmp_path / "a.db") == [(1, "halt", None)]
    assert operator("pause", "managed_market", "--reason", "x", "--no-wait", "--db", "a.db").code == 0


def test_a_backup_is_taken_beside_the_engine_and_restored_when_it_has_gone(
    tmp_path: Path, server: AlpacaServer, trading: Trading, operator: Operator
) -> None:
    assert operator("halt", "--reason", "holiday", "--db", "a.db").code == 0
    assert operator("restore", "a.db", "--yes", "--db", "a.db").code == 2
    made = json.loads(operator("backup", "safe", "--db", "a.db", "--json").out)["backup"]
    refused = operator("restore", made, "--yes", "--db", "a.db")
    assert (refused.code, "an engine trades run 1" in refused.err) == (5, True)
    second = command(tmp_path, "--db", "a.db", "--once", url=server.url)
    assert (second.returncode, f"process {trading.process.pid}" in second.stderr) == (5, True)

    said = trading.stop()
    assert "stopping after this look; again: now" in said
    assert "0 positions and 0 protecting orders rest at Alpaca; nobody watches it until you start" in said
    restored = operator("restore", made, "--yes", "--db", "a.db")
    assert restored.code == 0, restored.err
    again = command(tmp_path, "--db", "a.db", "--once", url=server.url)
    assert again.returncode == 0, again.stderr
    state = json.loads(operator("status", "--json", "--db", "a.db").out)
    assert "holiday" in state["risk"]["manual_halt"]  # the restored account goes on as it was


def test_a_killed_engine_comes_up_again_and_term_ends_it_as_an_interrupt_does(
    tmp_path: Path, server: AlpacaServer, trading: Trading
) -> None:
    trading.process.kill()
    trading.process.wait()
    again = Trading(tmp_path, server.url)
    again.wait_for_look()
    assert "nobody watches it" in again.stop(signal.SIGTERM)


def test_a_replays_options_never_reach_the_account(tmp_path: Path, server: AlpacaServer) -> None:
    """Seen: ``--source alpaca --start ... --end ... --capital 5000`` traded the account and heeded none of them."""
    panel = server.market.panel
    days = [panel.session(row).isoformat() for row in (22, 27)]
    before = len(server.requests)
    done = command(
        tmp_path,
        "--source",
        "alpaca",
        "--tickers",
        "AAA,BBB",
        "--start",
        days[0],
        "--end",
        days[1],
        "--capital",
        "5000",
        "--json",
        "--db",
        "b.db",
        url=server.url,
    )
    asked = {(request.method, request.path) for request in server.requests[before:]}
    assert not {path for method, path in asked if method != "GET" or "account" in path or "orders" in path}
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["first_session"], document["last_session"]) == (days[0], days[1])
    assert document["final_equity"] == pytest.approx(5000.0 + document["interest"], abs=0.005)  # nothing traded
    assert 0.0 < document["interest"] < 5.0
    for words in (["--live", "--seed", "3"], ["trade", "--capital", "5000"], ["trade", "--start", days[0]]):
        before = len(server.requests)
        refused = command(tmp_path, *words, "--db", "b.db", url=server.url)
        assert refused.returncode == 2, refused.stdout
        assert len(server.requests) == before


def test_an_interrupt_at_the_very_start_is_answered_with_a_word(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(ENGINE.parent)!r})\n"
        "from trading_platform.runtime import command_line\n"
        "def work(given): return lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
        "command_line.HANDLERS = {'status': work}\n"
        "sys.argv = ['engine', 'status']\n"
        "command_line.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 130
    assert done.stderr == ("Stopped before anything was done; nothing has changed, the same command starts again.\n")
