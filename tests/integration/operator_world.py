"""The bare command with keys as a process that trades a local Alpaca, and the commands beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from alpaca_world import CALENDAR, flat, market

from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig

ENGINE = Path(__file__).parents[2] / "autonomous_trading_engine.py"
KEY, SECRET = "PKWORD0123456789", "s3cr3t-of-the-word"
PATIENCE = 180.0  # seconds: a cold compiler on a busy machine


def quiet_market() -> AlpacaServer:
    """Return a local Alpaca whose prices stand still: nothing is traded, every session is settled."""
    bars = {name: flat(price, 60) for name, price in (("AAA", 50.0), ("BBB", 20.0), ("SPY", 400.0))}
    panel = market(bars)
    return AlpacaServer(panel, CALENDAR, ServerConfig(key_id=KEY, secret_key=SECRET), start=panel.session(30))


def environment(home: Path, url: str | None) -> dict[str, str]:
    names = ("ALPACA", "APCA", "TRADING", "DATABASE", "TELEGRAM")
    own = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    own |= {"COLUMNS": "300", "TRADING_CACHE_DIR": str(home / "cache"), "TRADING_LOG_DIR": str(home / "logs")}
    return (
        own
        if url is None
        else {
            **own,
            "ALPACA_API_KEY": KEY,
            "ALPACA_SECRET_KEY": SECRET,
            "ALPACA_BASE_URL": url,
        }
    )


def command(home: Path, *words: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, str(ENGINE), *words],
        cwd=home,
        env=environment(home, url),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


class Trading:
    """The bare command with keys: it trades the paper account of the local server until it is stopped."""

    def __init__(self, home: Path, url: str, *words: str) -> None:
        self.heartbeat = home / "logs" / "heartbeat.json"
        self.said = home / "engine.out"
        with self.said.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(ENGINE), *(words or ("--db", "a.db"))],
                cwd=home,
                env=environment(home, url),
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def wait_for_look(self, since: str = "") -> None:
        """Wait until a look of this very process is over, and begun at `since` or later by the engine's clock."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said.read_text()
            told = json.loads(self.heartbeat.read_text()) if self.heartbeat.is_file() else {}
            if told.get("pid") == self.process.pid and str(told["scanned"]) >= since:
                return
            time.sleep(0.05)
        raise AssertionError(self.said.read_text())

    def wait_for_word(self, word: str) -> None:
        """Wait until it has said `word`."""
        deadline = time.monotonic() + PATIENCE
        while word not in self.said.read_text():
            assert time.monotonic() < deadline, self.said.read_text()
            assert self.process.poll() is None, self.said.read_text()
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> str:
        """End it by a signal; return all that it said."""
        self.process.send_signal(number)
        assert self.process.wait(timeout=PATIENCE) == 130
        return self.said.read_text()
