"""The engine's command as a user runs it: killed, interrupted, doubled, misused, short of packages, abroad."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.runs import RunLock

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "autonomous_trading_engine.py"
SHARED = ROOT.parent / "shared" / "market-data"
RESULTS = {
    "fills": "session, client_order_id, ticker, side, quantity, price, amount, fees, strategy, reason",
    "trades": "ticker, strategy, entry_session, exit_session, quantity, pnl, exit_reason",
    "equity": "session, cash, equity, drawdown, gross_exposure, n_positions",
    "orders": "client_order_id, status, quantity, filled_quantity",
    "positions": "session, ticker, quantity, value, cost",
    "signals": "session, ticker, strategy, verdict, code",
    "rl_allocations": "session, weights, source",
}
PATIENCE = 280.0  # seconds: a cold compiler on a very busy machine; pytest ends a test after 300


def environment(home: Path, **extra: str) -> dict[str, str]:
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ALPACA", "APCA", "TRADING", "DATABASE"))
    }
    return {**own, "COLUMNS": "200", "TRADING_CACHE_DIR": str(home / "cache"), **extra}


def engine(home: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ENGINE), *arguments]
    return subprocess.run(
        command, cwd=home, env=environment(home, **extra), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ENGINE), *arguments]
    return subprocess.Popen(
        command, cwd=home, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as database:
        return {
            table: database.execute(f"SELECT {columns} FROM {table} ORDER BY {columns}").fetchall()  # noqa: S608 - our names
            for table, columns in RESULTS.items()
        }


def sessions_booked(path: Path) -> int:
    if not path.is_file():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM equity").fetchone()[0])
    except sqlite3.Error:
        return 0


def wait_for_sessions(path: Path, process: subprocess.Popen[str], count: int) -> int:
    """Poll until the run has booked `count` sessions; return what is booked."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        booked = sessions_booked(path)
        if booked >= count:
            return booked
        time.sleep(0.005)
    raise AssertionError(f"the engine ended or hung before {count} sessions: {process.communicate()}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "often.toml").write_text("[engine]\ncommit_sessions = 2\nreplay_sessions = 900\n")
    return folder


@pytest.fixture(scope="module")
def whole(home: Path) -> dict[str, list[tuple[object, ...]]]:
    """What an uninterrupted run writes; its equity and trades are what every interrupted one must end with."""
    done = engine(home, "--config", "often.toml", "--db", "whole.db", "--json")
    assert done.returncode == 0, done.stderr
    return tables(home / "whole.db")


@pytest.fixture
def interrupted(home: Path) -> Iterator[Path]:
    path = home / "interrupted.db"
    yield path
    for file in home.glob("interrupted.db*"):
        file.unlink()


def test_replay_without_options_ends_well_and_says_that_it_is_simulated(home: Path) -> None:
    done = engine(home, "--db", "plain.db")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "Simulated" in done.stdout
    assert "plain.db" in done.stdout
    assert "daily_report.py" in done.stdout


def test_one_session_of_a_replay_says_how_far_it_is_and_how_to_go_on(home: Path) -> None:
    done = engine(home, "--once", "--db", "first.db")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert (
        "1 of 252 sessions, all of it in sqlite:///first.db" in said
        or "1 of 252 sessions, all of it in first.db" in said
    )
    assert "run it again to continue" in said
    assert "by strategy" not in said  # there is nothing to sum up yet
    assert "n/a" not in said


def test_json_output_is_one_object_with_the_promised_keys(home: Path) -> None:
    done = engine(home, "--db", "json.db", "--json")
    document = json.loads(done.stdout)
    promised = (
        "sessions",
        "bars",
        "orders",
        "fills",
        "denials",
        "halts",
        "trades",
        "final_equity",
        "total_return",
        "annual_return",
        "sharpe",
        "max_drawdown",
        "avg_exposure",
        "strategies",
        "elapsed_seconds",
        "bars_per_second",
    )
    assert set(promised) <= document.keys()
    assert document["sessions"] == 252
    assert document["bars"] == 252 * 69
    assert done.stderr == ""


def test_settings_choose_who_splits_the_capital_and_the_run_says_who_did(home: Path) -> None:
    for policy, sessions in (("rules", {"rules": 1}), ("equal", {"equal_weight": 1})):
        (home / f"{policy}.toml").write_text(f'[allocator]\npolicy = "{policy}"\n')
        done = engine(home, "--config", f"{policy}.toml", "--db", f"{policy}.db", "--once", "--json")
        assert done.returncode == 0, done.stderr
        allocation = json.loads(done.stdout)["allocation"]
        assert allocation["sessions"] == sessions
        assert allocation["equal_weight_because"] == ({} if policy == "rules" else {"CHOSEN": 1})


def test_realistic_fills_are_another_run_that_says_so_and_repeats(home: Path) -> None:
    def document(database: str, *options: str) -> dict[str, object]:
        done = engine(home, "--db", database, "--json", *options)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    drawn, exact = document("fills.db", "--fills", "realistic"), document("fills.db")
    assert (drawn["fill_model"], exact["fill_model"], drawn["seed"]) == ("realistic", "exact", 7)
    assert drawn["run_id"] != exact["run_id"]
    assert drawn["final_equity"] != exact["final_equity"]
    assert document("fills-again.db", "--fills", "realistic")["final_equity"] == drawn["final_equity"]
    shown = engine(home, "--db", "fills.db", "--fills", "realistic", "--quiet")
    assert "realistic fills (seed 7)" in " ".join(shown.stdout.split())


def test_two_runs_with_one_seed_trade_the_same(home: Path, whole: dict[str, list[tuple[object, ...]]]) -> None:
    done = engine(home, "--config", "often.toml", "--db", "again.db", "--json", TZ="Asia/Tokyo")
    assert done.returncode == 0
    assert tables(home / "again.db") == whole
    assert len(whole["fills"]) > 100


@pytest.mark.parametrize("booked", [1, 300])
def test_killed_replay_continues_to_the_same_trades(
    home: Path, whole: dict[str, list[tuple[object, ...]]], interrupted: Path, booked: int
) -> None:
    process = start(home, "--config", "often.toml", "--db", interrupted.name, "--quiet")
    wait_for_sessions(interrupted, process, booked)
    process.kill()
    process.communicate()
    left = sessions_booked(interrupted)
    assert 0 < left < 900
    done = engine(home, "--config", "often.toml", "--db", interrupted.name, "--quiet")
    assert done.returncode == 0, done.stderr
    assert f"interrupted after {left} of 900 sessions" in " ".join(done.stdout.split())
    assert tables(interrupted) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_replay_leaves_a_consistent_state_and_continues(
    home: Path, whole: dict[str, list[tuple[object, ...]]], interrupted: Path, number: signal.Signals
) -> None:
    process = start(home, "--config", "often.toml", "--db", interrupted.name, "--quiet")
    wait_for_sessions(interrupted, process, 10)
    process.send_signal(number)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in output + errors
    assert "Stopped" in output
    done = engine(home, "--config", "often.toml", "--db", interrupted.name, "--quiet")
    assert done.returncode == 0
    assert tables(interrupted) == whole


def test_second_engine_on_the_same_run_refuses(home: Path, interrupted: Path) -> None:
    first = start(home, "--config", "often.toml", "--db", interrupted.name, "--quiet")
    wait_for_sessions(interrupted, first, 2)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=PATIENCE)
    lock = RunLock(open_database(interrupted), 1)
    lock.acquire(datetime.now(UTC))  # this process holds the run, as a living engine would
    second = engine(home, "--config", "often.toml", "--db", interrupted.name, "--quiet")
    assert second.returncode == 5
    assert f"process {os.getpid()}" in second.stderr
    lock.release()
    assert engine(home, "--config", "often.toml", "--db", interrupted.name, "--quiet").returncode == 0


def test_halt_left_while_down_is_obeyed_at_the_next_start(home: Path, interrupted: Path) -> None:
    process = start(home, "--config", "often.toml", "--db", interrupted.name, "--quiet")
    wait_for_sessions(interrupted, process, 10)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    left = sessions_booked(interrupted)
    assert engine(home, "halt", "--reason", "holiday", "--db", interrupted.name).returncode == 0
    assert "holiday" in engine(home, "status", "--db", interrupted.name).stdout
    assert engine(home, "--config", "often.toml", "--db", interrupted.name, "--quiet").returncode == 0
    state = json.loads(engine(home, "status", "--db", interrupted.name, "--json").stdout)
    assert "holiday" in state["risk"]["manual_halt"]
    assert state["waiting_commands"] == []
    with closing(sqlite3.connect(interrupted)) as database:
        first_day = database.execute(
            "SELECT session FROM equity ORDER BY session LIMIT 1 OFFSET ?", (left,)
        ).fetchone()[0]
        entries = database.execute(
            "SELECT count(*) FROM orders WHERE side = 'buy' AND decided_session >= ?", (first_day,)
        )
        assert entries.fetchone()[0] == 0


def test_flatten_closes_every_position_and_halts(home: Path, interrupted: Path) -> None:
    # Long and with a commit a session, it takes many times as long as the command that must reach it on its way.
    (home / "long.toml").write_text("[engine]\ncommit_sessions = 1\nreplay_sessions = 1500\n")
    process = start(home, "--config", "long.toml", "--db", interrupted.name, "--quiet")
    wait_for_sessions(interrupted, process, 60)
    assert engine(home, "flatten", "--reason", "moving house", "--yes", "--db", interrupted.name).returncode == 0
    assert process.wait(timeout=PATIENCE) == 0
    process.communicate()
    state = json.loads(engine(home, "status", "--db", interrupted.name, "--json").stdout)
    assert state["positions"] == []
    assert "moving house" in state["risk"]["manual_halt"]
    with closing(sqlite3.connect(interrupted)) as database:
        assert database.execute("SELECT count(*) FROM fills WHERE reason = 'flatten'").fetchone()[0] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--data-dir", "nowhere"], 6, "nowhere"),
        (["--tickers", "ZUZILY"], 6, "ZUZILI"),
        (["--start", "2031-01-02"], 2, "the data covers"),
        (["--capital", "0"], 2, "initial_capital"),
        (["--capital", "nan"], 2, "initial_capital"),
        (["--config", "wrong.toml"], 2, "did you mean"),
        (["--config", "missing.toml"], 2, "missing.toml"),
        (["--allocation", "winers"], 2, "winners"),
        (["--allocation", "winners=0.4,quiet_stocks=0.4"], 2, "sum to 1"),
        (["--db", "broken.db"], 4, "broken.db"),
        (["--start", "yesterday"], 2, "yesterday"),
        (["--no-such-option"], 2, "no-such-option"),
        (["--start", "2024-05-01", "--end", "2024-01-01"], 2, "--end 2024-01-01 lies before --start 2024-05-01"),
        (["backtest"], 2, "the word here is replay"),
        (["--db", "none.db", "status"], 4, "none.db"),
        (["trade"], 2, "trade needs an account"),
        (["trade", "--start", "2024-01-02"], 2, "trade does not take --start"),
        (["--live", "--start", "2024-01-02"], 2, "--start makes it a replay"),
        (["restore", "none.db", "--yes"], 4, "none.db"),
        (["backup", "--db", "none.db"], 4, "none.db"),
        (["runs", "show", "7", "--db", "empty.db"], 2, "--run 7: no such run"),
        (["halt", "--reason", "x", "--db", "empty.db"], 2, "holds no run yet"),
        (["halt", "--db", "empty.db"], 2, "halt needs --reason"),
        (["halt", "--reason", "x", "--run", "1", "--all", "--db", "empty.db"], 2, "exclude each other"),
        (["status", "--db", "none.db"], 4, "none.db"),
        (["halt", "--reason", " ", "--db", "empty.db"], 2, "--reason"),
        (["--db", "postgresql+nodriver://x/y"], 2, "DATABASE_URL"),
    ],
)
def test_bad_input_gets_one_clear_line_and_its_exit_code(
    home: Path, arguments: list[str], code: int, words: str
) -> None:
    (home / "wrong.toml").write_text("[engine]\ncomit_sessions = 2\n")
    (home / "broken.db").write_bytes(b"SQLite format 3\x00" + b"nonsense" * 100)
    empty = open_database(home / "empty.db")
    migrate(empty)
    empty.dispose()
    done = engine(home, *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in done.stderr
    assert done.stdout == ""


BLOCKER = """
import importlib.abc, runpy, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked")
sys.meta_path.insert(0, Blocker())
sys.argv = ["autonomous_trading_engine.py", *{arguments!r}]
sys.path.insert(0, {root!r})
runpy.run_path({engine!r}, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("blocked", "notice"),
    [
        (("hmmlearn",), "hmmlearn is not installed"),
        (("numba",), "numba is not installed"),
        (("torch", "stable_baselines3", "gymnasium", "alpaca"), "Simulated"),
    ],
)
def test_engine_runs_without_optional_packages(home: Path, blocked: tuple[str, ...], notice: str) -> None:
    arguments = ["--db", f"without-{blocked[0]}.db", "--quiet", "--config", "short.toml"]
    (home / "short.toml").write_text("[engine]\nreplay_sessions = 10\n")
    code = BLOCKER.format(blocked=blocked, arguments=arguments, root=str(ROOT), engine=str(ENGINE))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert notice in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_without_numba_the_first_line_says_that_it_runs_uncompiled(home: Path) -> None:
    (home / "short.toml").write_text("[engine]\nreplay_sessions = 10\n")
    arguments = ["--db", "uncompiled.db", "--no-page", "--config", "short.toml"]
    code = BLOCKER.format(blocked=("numba",), arguments=arguments, root=str(ROOT), engine=str(ENGINE))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "runs uncompiled" in done.stdout.splitlines()[0]


def test_once_scans_one_session_without_torch(home: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['e', '--once', '--db', 'once.db', '--quiet']\n"
        "from trading_platform.runtime.command_line import run\n"
        "code = run()\n"
        "heavy = ('torch', 'stable_baselines3', 'alpaca', 'plotly', 'matplotlib')\n"
        "print(code, [name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
    assert sessions_booked(home / "once.db") == 1


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real history in ../shared/market-data")
def test_real_history_trades(home: Path) -> None:
    done = engine(
        home, "--data-dir", str(SHARED), "--start", "2016-01-04", "--end", "2016-12-30", "--json", "--db", "real.db"
    )
    document = json.loads(done.stdout)
    assert (document["sessions"], document["bars"]) == (252, 252 * 120)
    assert document["fills"] > 20
