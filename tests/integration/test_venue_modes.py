"""The command's modes as a person meets them: keys or none, right or wrong, paper or live, with and without network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alpaca_world import CALENDAR, flat, market

from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig

pytestmark = pytest.mark.real

ENGINE = Path(__file__).parents[2] / "autonomous_trading_engine.py"
SECRET = "s3cr3t/of+the=modes"
PAPER_KEY, LIVE_KEY = "PKMODES0123456789", "AKMODES0123456789"
LIVE = {"TRADING_ALLOW_LIVE": "yes-i-mean-it"}


def command(home: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    if arguments[:1] != ("status",) and "--once" not in arguments:
        arguments = (*arguments, "--once")  # an account is traded until stopped
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ALPACA", "APCA", "TRADING", "DATABASE", "TELEGRAM"))
    }
    environment = {**own, "COLUMNS": "300", "TRADING_CACHE_DIR": str(home / "cache"), **extra}
    done = subprocess.run(
        [sys.executable, str(ENGINE), *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120.0,
        check=False,
    )
    for shown in (done.stdout, done.stderr):
        assert SECRET not in shown
        assert "Traceback" not in shown
    return done


def keys(url: str, key: str = PAPER_KEY, secret: str = SECRET) -> dict[str, str]:
    return {"ALPACA_API_KEY": key, "ALPACA_SECRET_KEY": secret, "ALPACA_BASE_URL": url}


def host(key: str) -> AlpacaServer:
    """An Alpaca that only `key` opens, as each of the two hosts is."""
    config = ServerConfig(key_id=key, secret_key=SECRET)
    return AlpacaServer(market({"AAA": flat(50.0), "SPY": flat(400.0)}), CALENDAR, config)


@pytest.fixture(scope="module")
def paper() -> Iterator[AlpacaServer]:
    with host(PAPER_KEY) as server:
        yield server


@pytest.fixture(scope="module")
def live() -> Iterator[AlpacaServer]:
    with host(LIVE_KEY) as server:
        yield server


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_keys_and_no_other_wish_open_the_paper_account_and_name_it(tmp_path: Path, paper: AlpacaServer) -> None:
    done = command(tmp_path, "--db", "a.db", **keys(paper.url))
    assert "Alpaca paper account" in done.stderr
    assert "$100,000.00" in done.stderr
    assert "no real money" in done.stderr
    assert not any(request.method == "POST" for request in paper.requests)


@pytest.mark.parametrize("wish", [["--source", "synthetic"], ["--seed", "7"]], ids=["source", "seed"])
def test_a_wish_for_another_market_beats_the_keys(tmp_path: Path, paper: AlpacaServer, wish: list[str]) -> None:
    before = len(paper.requests)
    done = command(tmp_path, "--db", "a.db", "--once", "--quiet", *wish, **keys(paper.url))
    assert done.returncode == 0, done.stderr
    assert len(paper.requests) == before


def test_a_source_in_the_settings_file_beats_the_keys(tmp_path: Path, paper: AlpacaServer) -> None:
    (tmp_path / "trading.toml").write_text('[data]\nsource = "files"\nfolder = "nowhere"\n')
    before = len(paper.requests)
    done = command(tmp_path, "--db", "a.db", "--once", **keys(paper.url))
    assert "nowhere" in done.stderr
    assert len(paper.requests) == before


def test_real_money_needs_the_option_and_the_variable(tmp_path: Path, live: AlpacaServer) -> None:
    before = len(live.requests)
    done = command(tmp_path, "--live", **keys(live.url, LIVE_KEY))
    assert done.returncode == 2
    assert "TRADING_ALLOW_LIVE=yes-i-mean-it" in done.stderr
    assert "ALPACA_API_KEY" not in done.stderr
    assert len(live.requests) == before
    done = command(tmp_path, **keys(live.url, LIVE_KEY), **LIVE)
    assert "REAL MONEY" not in done.stderr


def test_live_without_keys_says_all_that_is_missing(tmp_path: Path) -> None:
    done = command(tmp_path, "--live")
    assert done.returncode == 2
    assert "ALPACA_API_KEY and ALPACA_SECRET_KEY" in done.stderr
    assert "TRADING_ALLOW_LIVE=yes-i-mean-it" in done.stderr


def test_live_with_another_market_is_refused(tmp_path: Path, live: AlpacaServer) -> None:
    done = command(tmp_path, "--live", "--source", "synthetic", **keys(live.url, LIVE_KEY), **LIVE)
    assert done.returncode == 2
    assert "leave out --data-dir, --source" in done.stderr


def test_live_names_the_account_on_a_banner(tmp_path: Path, live: AlpacaServer) -> None:
    done = command(tmp_path, "--live", "--db", "a.db", **keys(live.url, LIVE_KEY), **LIVE)
    assert "*** REAL MONEY *** Alpaca live account" in done.stderr


def test_a_paper_key_in_live_mode_is_named_as_such(tmp_path: Path, live: AlpacaServer) -> None:
    done = command(tmp_path, "--live", **keys(live.url, PAPER_KEY), **LIVE)
    assert done.returncode == 7
    assert "The key is one of a paper account, but this is live mode" in done.stderr
    assert "REAL MONEY" not in done.stderr


def test_a_live_key_in_paper_mode_is_named_as_such(tmp_path: Path, paper: AlpacaServer) -> None:
    done = command(tmp_path, **keys(paper.url, LIVE_KEY))
    assert done.returncode == 7
    assert "The key is one of a live account, but this is paper mode" in done.stderr


def test_wrong_keys_and_revoked_keys_say_so(tmp_path: Path, paper: AlpacaServer) -> None:
    done = command(tmp_path, **keys(paper.url, secret="another-secret"))
    assert done.returncode == 7
    assert "may have been revoked" in done.stderr
    assert "another-secret" not in done.stderr + done.stdout


def test_no_network_is_exit_3(tmp_path: Path) -> None:
    done = command(tmp_path, **keys(closed_port()))
    assert done.returncode == 3
    assert "check the network" in done.stderr


def test_misspelt_keys_are_told_and_one_of_two_is_refused(tmp_path: Path) -> None:
    done = command(tmp_path, "--db", "a.db", "--once", "--quiet", ALPACA_APIKEY=PAPER_KEY)
    assert done.returncode == 0
    assert "ALPACA_APIKEY" in done.stderr
    assert PAPER_KEY not in done.stderr
    done = command(tmp_path, "--db", "a.db", "--once", "--quiet", ALPACA_SECRET_KEY=SECRET)
    assert done.returncode == 2
    assert "ALPACA_API_KEY" in done.stderr


def test_no_keys_replay_the_embedded_market(tmp_path: Path) -> None:
    done = command(tmp_path, "--db", "a.db", "--once", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "Alpaca" not in done.stderr


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_file_that_the_command_leaves_holds_a_key(tmp_path: Path, paper: AlpacaServer, style: str) -> None:
    (tmp_path / "trading.toml").write_text(f'[logging]\nfile = "engine.log"\nlevel = "DEBUG"\nformat = "{style}"\n')
    logs = {"TRADING_LOG_DIR": str(tmp_path / "logs")}
    command(tmp_path, "--db", "a.db", **keys(paper.url), **logs)
    command(tmp_path, "--db", "a.db", "--once", "--source", "synthetic", **keys(paper.url), **logs)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "logs" / "engine.log" in files
    assert tmp_path / "a.db" in files
    for path in files:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert PAPER_KEY.encode() not in content, path


def test_an_account_is_traded_for_one_scan_and_found_again(tmp_path: Path) -> None:
    panel = market({"AAA": flat(50.0, 12), "BBB": flat(20.0, 12), "SPY": flat(400.0, 12)})
    config = ServerConfig(key_id=PAPER_KEY, secret_key=SECRET)
    with AlpacaServer(panel, CALENDAR, config, start=panel.session(6)) as server:
        server.trade_by_hand("BBB", "buy", 3.0)
        server.advance_to_open()  # the owner's shares are there before the engine
        for session in (5, 6):
            done = command(tmp_path, "--db", "a.db", **keys(server.url), TRADING_LOG_DIR=str(tmp_path / "logs"))
            assert done.returncode == 0, done.stderr
            beat = json.loads((tmp_path / "logs" / "heartbeat.json").read_text())
            assert beat["last_session"] == panel.session(session).isoformat()
            server.advance_to_close()
            server.advance(server.now + timedelta(minutes=25))
        shown = json.loads(command(tmp_path, "status", "--db", "a.db", "--json").stdout)
    assert shown["run"]["mode"] == "alpaca_paper"
    assert shown["run"]["id"] == 1
    assert shown["equity"]["cash"] == server.account.cash < 100_000.0 - 60.0
    assert [row["kind"] for row in shown["differences"]] == ["manual_position"]


def test_a_short_life_of_approvals_is_refused(tmp_path: Path, paper: AlpacaServer) -> None:
    (tmp_path / "trading.toml").write_text("[risk]\napproval_seconds = 5.0\n")
    done = command(tmp_path, "--db", "a.db", **keys(paper.url))
    assert done.returncode == 2
    assert "approval_seconds" in done.stderr
