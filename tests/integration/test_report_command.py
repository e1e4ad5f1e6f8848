"""`python daily_report.py` as a scheduler runs it: every state of the database, every format, every exit code."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from report_world import Plan, build

import daily_report
from trading_platform.core.errors import FixConfigError
from trading_platform.core.regime_meaning import REGIME_MEANINGS
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.models import Base

REPO = Path(__file__).resolve().parents[2]
SCRIPT = REPO / "daily_report.py"
SCHEMA = json.loads((REPO / "trading_platform" / "reporting" / "report.schema.json").read_text())
CONTRACT = {
    "date": str,
    "account": dict,
    "daily_pnl": float,
    "daily_pnl_pct": float,
    "total_pnl": float,
    "total_pnl_pct": float,
    "positions": list,
    "trades_today": list,
    "risk_status": dict,
    "regime": str,
    "rl_allocations": dict,
    "alerts": list,
    "summary": str,
}


def run(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "LANG": "C", **(env or {})}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def report(folder: Path, *arguments: str) -> dict[str, Any]:
    done = run(folder, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    value: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(value, SCHEMA, format_checker=jsonschema.FormatChecker())
    return value


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("command") / "trading.db"
    build(path, Plan(sessions=70, names=["BRK.B", "<b>A</b>", "日本電気", "a`b", *[f"T{i:02d}" for i in range(20)]]))
    return path


@pytest.fixture
def folder(traded: Path, tmp_path: Path) -> Path:
    shutil.copy(traded, tmp_path / "trading.db")
    return tmp_path


def test_bare_clone_reports_that_nothing_has_traded(tmp_path: Path) -> None:
    found = report(tmp_path)
    assert set(CONTRACT) <= set(found)
    assert found["source"] == "none"
    assert found["account"] == {"equity": None, "cash": None, "buying_power": None}
    assert "Nothing has traded yet" in found["summary"]
    assert list(tmp_path.iterdir()) == []


def test_report_has_the_contract_keys_and_types(folder: Path) -> None:
    found = report(folder)
    for key, kind in CONTRACT.items():
        assert isinstance(found[key], kind), key
    assert set(found["account"]) == {"equity", "cash", "buying_power"}
    assert {"ticker", "qty", "entry", "current", "pnl", "pnl_pct"} <= set(found["positions"][0])
    status = {"drawdown_pct", "daily_loss_pct", "exposure_pct", "positions_count", "circuit_breaker"}
    assert status <= set(found["risk_status"])
    assert sum(found["rl_allocations"].values()) == pytest.approx(1.0, abs=1e-3)


def test_every_session_validates_against_the_schema(folder: Path) -> None:
    with sqlite3.connect(folder / "trading.db") as connection:
        days = [row[0] for row in connection.execute("SELECT session FROM equity ORDER BY 1")]
    connection.close()
    for day in (days[0], days[1], days[33], days[-1]):
        assert report(folder, "--date", day)["date"] == day
    assert (
        report(folder, "--date", days[9], "--since", days[4])["performance"]["periods"]["since_date"]["sessions"] == 6
    )


def test_schema_refuses_a_report_with_another_key() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema_version": 1}, SCHEMA)
    assert SCHEMA["additionalProperties"] is False


def test_text_is_plain_markdown(folder: Path) -> None:
    done = run(folder, "--format", "text")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("**Trading report · ")
    assert len(done.stdout) <= 3501
    assert "<b>" not in done.stdout


def test_files_are_written_whole_and_private(folder: Path) -> None:
    out = folder / "out"
    done = run(
        folder,
        "--format",
        "text",
        "--json-out",
        str(out / "r.json"),
        "--html-out",
        str(out / "r.html"),
        "--png-out",
        str(out / "r.png"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in out.iterdir()} == {"r.json", "r.html", "r.png"}
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}
    jsonschema.validate(json.loads((out / "r.json").read_text(encoding="utf-8")), SCHEMA)
    assert (out / "r.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (out / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert run(folder, "--format", "html").stdout.startswith("<!doctype html>")


def test_unwritable_target_is_a_setting_to_fix(folder: Path) -> None:
    done = run(folder, "--json-out", str(folder / "trading.db" / "x.json"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "x.json: cannot be written" in done.stderr


def test_nothing_beside_the_database_changes(folder: Path) -> None:
    before = (folder / "trading.db").read_bytes()
    report(folder)
    assert [path.name for path in folder.iterdir()] == ["trading.db"]
    assert (folder / "trading.db").read_bytes() == before


def test_report_beside_a_writing_engine_sees_committed_rows_and_does_not_wait(folder: Path) -> None:
    path = folder / "trading.db"
    engine = sqlite3.connect(path, isolation_level=None)
    engine.execute("PRAGMA journal_mode = WAL")
    engine.execute("BEGIN IMMEDIATE")
    engine.execute("UPDATE runs SET status = 'running'")
    started = time.monotonic()
    assert report(folder)["run"]["status"] == "finished"
    assert time.monotonic() - started < 5
    engine.execute("COMMIT")
    assert report(folder)["run"]["status"] == "running"
    engine.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"garbage" * 1000, "cannot be read"),
        ("newer", "written by a newer version"),
        ("foreign", "not a trading database"),
        ("damaged", "cannot be read"),
    ],
)
def test_unusable_database_is_exit_4_and_untouched(folder: Path, content: bytes | str, message: str) -> None:
    path = folder / "trading.db"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "damaged":
        page = bytearray(path.read_bytes())
        for i in range(4096 * 2, len(page) - 4096, 4096):
            page[i : i + 64] = b"\xee" * 64
        path.write_bytes(page)
    else:
        change = {"newer": "UPDATE alembic_version SET version_num = '9999'", "foreign": "DROP TABLE alembic_version"}
        with sqlite3.connect(path) as connection:
            connection.execute(change[content])
        connection.close()
    before = path.read_bytes()
    done = run(folder)
    assert (done.returncode, done.stdout) == (4, "")
    assert message in done.stderr
    assert str(path) in done.stderr or "trading.db" in done.stderr
    assert path.read_bytes() == before


def test_empty_database_has_not_traded_yet(tmp_path: Path) -> None:
    migrate(open_database(tmp_path / "trading.db"))
    assert report(tmp_path)["source"] == "none"
    (tmp_path / "empty.db").touch()
    assert report(tmp_path, "--db", "empty.db")["source"] == "none"


@pytest.mark.parametrize("how", ["option", "environment", "settings"])
def test_a_database_that_was_named_and_is_not_there_is_exit_4(tmp_path: Path, how: str) -> None:
    """A slip in a scheduler's line: 170 lines of null with exit 0 would never be noticed."""
    words, env = ["--db", "nope.db"], {"DATABASE_URL": "sqlite:///nope.db"}
    if how == "settings":
        (tmp_path / "trading.toml").write_text('[storage]\ndatabase_url = "sqlite:///nope.db"\n')
    done = run(tmp_path, *(words if how == "option" else []), env=env if how == "environment" else None)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "error: database nope.db does not exist; start the engine first, or name another with --db\n"


def test_halted_engine_is_exit_0_with_a_banner(tmp_path: Path) -> None:
    halt = (8, "halt", "DRAWDOWN_HALT", 0.11, 0.1, "drawdown 11.00% of peak equity, limit 10.00%")
    build(tmp_path / "trading.db", Plan(sessions=10, halted=frozenset({8, 9}), events=[halt]))
    found = report(tmp_path)
    assert found["alerts"][0].startswith("HALTED since 2023-01-13")
    assert found["risk_status"]["halted"] is True
    assert found["risk"]["halts"][0]["release"] == "ends when the shadow book recovers to -5 %"
    assert "⛔" in found["summary"]


@pytest.mark.parametrize(
    ("day", "closed"),
    [("2023-01-07", True), ("2023-01-08", True), ("2023-02-20", False), ("2022-12-26", True), ("2022-12-27", False)],
)
def test_quiet_if_closed_is_silent_on_days_without_a_session(folder: Path, day: str, closed: bool) -> None:
    """Weekends; a day that is booked although it is a holiday; Christmas Monday, from the calendar; an open Tuesday."""
    done = run(folder, "--quiet-if-closed", "--date", day, "--format", "text")
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "NO_REPLY\n") == closed


def test_weekend_shows_the_session_before(folder: Path) -> None:
    found = report(folder, "--date", "2023-01-08")
    assert (found["date"], found["session"]["asked"], found["session"]["is_session"]) == (
        "2023-01-06",
        "2023-01-08",
        False,
    )
    assert "The exchange is closed. Last session: Fri 6 Jan 2023." in found["summary"]


def test_half_day_is_named(tmp_path: Path) -> None:
    build(tmp_path / "trading.db", Plan(sessions=5, half_days=frozenset({4})))
    found = report(tmp_path)
    assert (found["session"]["close"], found["session"]["half_day"]) == ("13:00", True)


def test_two_hundred_positions(tmp_path: Path) -> None:
    build(tmp_path / "trading.db", Plan(seed=8, sessions=40, tickers=400, max_positions=200, capital=10_000_000_00))
    found = report(tmp_path)
    assert found["risk_status"]["positions_count"] > 150
    assert len(found["summary"]) <= 3500


def test_real_account_comes_before_a_newer_replay_and_run_chooses(tmp_path: Path) -> None:
    build(
        tmp_path / "trading.db", Plan(sessions=8, mode="alpaca_paper", account="PA1"), Plan(sessions=9, first=_later())
    )
    found = report(tmp_path)
    assert (found["run"]["id"], found["source"]) == (1, "alpaca_snapshot")
    assert found["account"]["buying_power"] is None
    assert any("No Alpaca keys" in alert for alert in found["alerts"])
    assert report(tmp_path, "--run", "2")["source"] == "paper_simulator"
    done = run(tmp_path, "--run", "3")
    assert done.returncode == 2
    assert "no such run" in done.stderr
    assert "2 (replay), 1 (alpaca_paper)" in done.stderr


def _later() -> Any:
    from datetime import date

    return date(2023, 6, 5)


def test_reconciliation_and_order_problems_are_alerts(folder: Path) -> None:
    path = folder / "trading.db"
    engine = open_database(path)
    with engine.begin() as connection:
        now = _instant()
        connection.execute(
            Base.metadata.tables["differences"].insert(),
            [
                {
                    "run_id": 1,
                    "found_at": now,
                    "session": _later(),
                    "kind": "quantity",
                    "ticker": "AAPL",
                    "ours": "10",
                    "theirs": "12",
                    "action": "quarantined",
                    "resolved_at": None,
                },
                {
                    "run_id": 1,
                    "found_at": now,
                    "session": _later(),
                    "kind": "cash",
                    "ticker": None,
                    "ours": "1",
                    "theirs": "2",
                    "action": "none",
                    "resolved_at": now,
                },
            ],
        )
        connection.exec_driver_sql("UPDATE runs SET mode = 'paper', status = 'running'")
        connection.execute(
            Base.metadata.tables["heartbeats"].insert(),
            {"run_id": 1, "at": now, "pid": 1, "host": "h", "owner": "o", "note": ""},
        )
    engine.dispose()
    found = report(folder)
    assert [line["ticker"] for line in found["reconciliation"]] == ["AAPL"]
    assert any(
        alert.startswith("AAPL is in quarantine since 2023-06-05 12:00 UTC (quantity): 10 here, 12 at the broker")
        for alert in found["alerts"]
    )
    assert any(alert.startswith("Engine silent for") for alert in found["alerts"])
    assert any("not booked since" in alert for alert in found["alerts"])
    assert found["data"]["sessions_not_booked"] > 100


def _instant() -> Any:
    from datetime import UTC, datetime

    return datetime(2023, 6, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--date", "yesterday"], "must be a day such as 2024-03-28"),
        (["--timeout", "0"], "must be seconds from 1 to 600"),
        (["--format", "pdf"], "invalid choice"),
        (["--colour"], "unrecognized arguments"),
        (["--config", "none.toml"], "none.toml"),
        (["--telegram"], "TELEGRAM_BOT_TOKEN"),
        (["--db", "nosuch://x"], "no driver for 'nosuch'"),
    ],
)
def test_mistakes_are_exit_2(folder: Path, arguments: list[str], words: str) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("stored", "limit"),
    [
        ({}, 10.0),  # nothing differs from the profile
        ({"profile": "balanced"}, 15.0),
        ({"max_drawdown_pct": 7.5}, 7.5),
        ({"max_drawdown_pct": "lots"}, None),  # no sense: unknown, and not a default
    ],
)
def test_limits_are_the_stored_ones_over_those_of_their_profile(
    folder: Path, stored: dict[str, object], limit: float | None
) -> None:
    with sqlite3.connect(folder / "trading.db") as connection:
        connection.execute("UPDATE runs SET config = ?", (json.dumps({"risk": stored}),))
    connection.close()
    found = {rule["rule"]: rule["limit"] for rule in report(folder)["risk"]["headroom"]}
    assert found["drawdown"] == limit


def test_environment_and_settings_file_name_the_database(folder: Path) -> None:
    (folder / "trading.db").rename(folder / "other.db")
    done = run(folder, env={"DATABASE_URL": f"sqlite:///{folder}/other.db"})
    assert json.loads(done.stdout)["source"] == "paper_simulator"
    text = '[storage]\ndatabase_url = "sqlite:///other.db"\n[report]\nsummary_characters = 600\n'
    (folder / "trading.toml").write_text(text)
    found = report(folder)
    assert found["source"] == "paper_simulator"
    assert len(found["summary"]) <= 600


def test_summary_is_formatted_from_json_alone(folder: Path) -> None:
    from daily_report import format_summary

    found: Any = report(folder)
    assert format_summary(found) == found["summary"]


def test_regime_is_said_with_its_meaning_and_is_never_certain(folder: Path) -> None:
    from daily_report import format_summary

    found = report(folder)
    name, words = found["regime"], REGIME_MEANINGS[found["regime"]]
    assert f"Regime **{name}** (87%): {words}" in found["summary"]
    sure: Any = {**found, "regime_probabilities": {**found["regime_probabilities"], name: 0.9997}}
    assert f"Regime **{name}** (over 99%): {words}" in format_summary(sure)


def test_reader_that_leaves_early_is_no_traceback(folder: Path) -> None:
    command = f"{sys.executable} {SCRIPT} --db {folder / 'trading.db'} --format html | head -c 10"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("<!doctype ", "")


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        (">&-", 0, ""),  # closed by a scheduler
        pytest.param(
            ">/dev/full",
            2,
            "error: the output could not be written: No space left on device; send it elsewhere\n",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux'"),
        ),
    ],
)
def test_output_that_nobody_takes_is_no_traceback(folder: Path, where: str, code: int, said: str) -> None:
    command = f"{sys.executable} {SCRIPT} --db {folder / 'trading.db'} {where}"
    done = subprocess.run(["sh", "-c", command], cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)


def test_picture_without_its_package_is_refused_before_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FixConfigError, match=r"--png-out: the package matplotlib is not installed .* pip install"):
        daily_report._run(daily_report._parser().parse_args(["--db", str(folder / "trading.db"), "--png-out", "x.png"]))


HEAVY = ("torch", "pandas", "numpy", "sqlalchemy", "alembic", "matplotlib", "alpaca", "exchange_calendars", "requests")


def test_usual_report_imports_nothing_heavy(folder: Path) -> None:
    code = (
        "import sys, daily_report\n"
        f"daily_report.main(['--db', {str(folder / 'trading.db')!r}, '--format', 'text'])\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stderr == "[]\n"


def test_five_years_take_little_time_and_memory(tmp_path: Path) -> None:
    """The bound is 0.5 s and 100 MB on a quiet machine; it is three times as wide here, for busy ones."""
    build(tmp_path / "trading.db", Plan(sessions=1260, tickers=60))
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n"
        "usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, str(SCRIPT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, kilobytes = map(float, done.stdout.split())
    assert seconds < 1.5
    assert kilobytes < 100_000


def test_help_answers_at_once(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert "exit codes:" in done.stdout
