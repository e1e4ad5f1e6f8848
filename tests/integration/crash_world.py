"""An engine that trades a made-up market through the local Alpaca, one process a scan, and dies as often as asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from account_invariants import Breach, Ledger, breaches, read_ledger

from trading_platform.alpaca_server.admin import state
from trading_platform.alpaca_server.faults import Fault
from trading_platform.alpaca_server.fill_models import PaperFills
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.storage.database import open_database
from trading_platform.storage.database_copy import copy_database
from trading_platform.storage.operator_requests import leave_command

ROOT = Path(__file__).parents[2]
CALENDAR = NyseCalendar()
PATIENCE = 180.0  # seconds, of a real process with a cold compiler on a busy machine
HISTORY = 372  # sessions before the first one that trades: what the engine asks for, so that its cache is complete
LAST = date(2024, 6, 28)
TICKERS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH")
BENCHMARK = "SPY"
STEPS = (
    "before_intent",
    "after_intent",
    "before_post",
    "after_post",
    "after_response",
    "after_commit",
    "after_fill",
    "before_book",
    "after_book",
)
SETTINGS = """
[engine]
initial_capital = 100000.0
history_sessions = 10
[universe]
tickers = {tickers}
[data]
source = "alpaca"
[strategies]
enabled = ["mean_reversion", "breakout"]
[strategies.mean_reversion]
window = 3
entry_rank = 0.6
exit_rank = 0.4
[strategies.breakout]
entry_window = 10
exit_window = 5
volatility_window = 10
[exits]
stop_loss_volatilities = {stop}
take_profit_volatilities = 2.0
min_stop_pct = 1.0
max_holding_sessions = 6
[risk]
max_positions = 6
max_sector_pct = 100.0
correlation_window = 20
{risk}
[logging]
file = "engine.log"
level = "INFO"
"""


def panel_of(seed: int, sessions: int, shock: int | None = None, names: Sequence[str] = TICKERS) -> MarketPanel:
    """Return a market of eight rough tickers and SPY in ticks; `shock` counts from the first session that trades."""
    draws = np.random.default_rng(seed)
    days = CALENDAR.sessions_between(date(2020, 1, 2), LAST)[-(HISTORY + sessions) :]
    tickers = tuple(sorted((*names, BENCHMARK)))
    shape = (len(days), len(tickers))
    gaps, moves = np.exp(draws.normal(0.0, 0.006, shape)), np.exp(draws.normal(0.0005, 0.016, shape))
    if shock is not None:
        gaps[HISTORY + shock : HISTORY + shock + 3] *= 0.95
    opened, closed = np.empty(shape), np.empty(shape)
    last = draws.uniform(40.0, 160.0, len(tickers))
    for t in range(len(days)):
        opened[t] = np.round(last * gaps[t], 2)
        closed[t] = last = np.round(opened[t] * moves[t], 2)
    high = np.round(np.maximum(opened, closed) * (1.0 + draws.random(shape) * 0.008), 2)
    low = np.round(np.minimum(opened, closed) * (1.0 - draws.random(shape) * 0.008), 2)
    return MarketPanel(
        sessions=days,
        tickers=tickers,
        open=opened,
        high=high,
        low=low,
        close=closed,
        volume=np.full(shape, 2e6),
        vix=np.full(len(days), 15.0),
        benchmark=closed[:, tickers.index(BENCHMARK)].copy(),
        sectors=("Unknown",) * len(tickers),
        source="test",
        data_hash="test",
    )


@dataclass(frozen=True, slots=True)
class Life:
    """How a process of the engine ended."""

    code: int
    killed: bool
    hung: bool
    seconds: float
    steps: tuple[str, ...]
    calls: int | None = None  # how many there were, of a life that was to die at one

    @property
    def last_step(self) -> str:
        """The last named step that it passed."""
        return self.steps[-1] if self.steps else "none"


class HeardServer(AlpacaServer):
    """A local Alpaca that sets an event at every request, so that a test waits for the engine and not for time."""

    _bars: tuple[datetime, str, tuple[int, object]] | None = None  # when, asked for what, and the answer

    def __init__(self, panel: MarketPanel, start: date) -> None:
        super().__init__(panel, CALENDAR, ServerConfig(), PaperFills(), start=start)
        self.heard = threading.Event()

    def note(self, method: str, path: str, status: int) -> None:
        super().note(method, path, status)
        self.heard.set()

    def answer(self, method: str, target: str, body: bytes, fault: Fault | None) -> tuple[int, object]:
        """Answer a request; the same bars are put together once a moment, and not for each life again."""
        if method != "GET" or "/stocks/bars" not in target or fault is not None:
            return super().answer(method, target, body, fault)
        if self._bars is None or self._bars[:2] != (self.now, target):
            self._bars = (self.now, target, super().answer(method, target, body, None))
        return self._bars[2]


class Forge:
    """The fork server as a child process; closed at the end of a `with`."""

    def __init__(self, home: Path) -> None:
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.crash_forge", str(home / "forge")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**plain_environment(), **single, "COLUMNS": "200"},
            text=True,
        )
        self._hear()

    def __enter__(self) -> Forge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)

    def live(self, wish: Mapping[str, Any]) -> Life:
        """Run one life to its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        told = self._hear()
        return Life(told["code"], told["killed"], told["hung"], told["seconds"], tuple(told["steps"]), told["calls"])

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the fork server has died; what it said is in forge/engine.out"
        heard: dict[str, Any] = json.loads(line)
        return heard


@dataclass(slots=True)
class Campaign:
    """One account: its server, the files of its engine, and the tally of its lives."""

    server: HeardServer
    forge: Forge
    home: Path
    where: str = "engine.db"  # a file in `home`, or the URL of a database on a server
    kills: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    scan_seconds: float = 1.0
    commands: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def database(self) -> Path:
        """The engine's database as a file; a server's is copied into one, as it is now."""
        if "://" not in self.where:
            return self.home / self.where
        copy = self.home / "copy.db"
        copy.unlink(missing_ok=True)
        source, target = open_database(self.where, read_only=True), open_database(copy)
        copy_database(source, target)
        source.dispose()
        target.dispose()
        return copy

    @property
    def log(self) -> Path:
        """The engine's log file."""
        return self.home / "logs" / "engine.log"

    @property
    def environment(self) -> dict[str, str]:
        """What the engine is told by environment variables."""
        return {
            "ALPACA_API_KEY": self.server.config.key_id,
            "ALPACA_SECRET_KEY": self.server.config.secret_key,
            "ALPACA_BASE_URL": self.server.url,
            "TRADING_CACHE_DIR": str(self.home / "cache"),
            "TRADING_LOG_DIR": str(self.home / "logs"),
        }

    def life(
        self,
        kill: Mapping[str, Any] | None = None,
        hindrance: Mapping[str, Any] | None = None,
        database: str | None = None,
    ) -> Life:
        """Let the engine look at the present moment once; it may die on the way, or suffer a hindrance."""
        life = self.forge.live(
            {
                "home": str(self.home),
                "env": self.environment,
                "options": {
                    "config": "trading.toml",
                    "database": database or self.where,
                    "once": True,
                    "allocation": "equal",
                },
                "kill": kill,
                "hindrance": hindrance,
            }
        )
        self.lives += 1
        assert not life.hung, f"a life hung after {life.last_step}; see {self.home}"
        if life.killed:
            self.kills[str(kill["step"]) if kill is not None and "step" in kill else "random"] += 1
        else:
            self.scan_seconds = life.seconds
        return life

    def scan(self) -> Life:
        """Let the engine look at the present moment, undisturbed."""
        life = self.life()
        assert life.code == 0, f"the engine ended with code {life.code}: {self.words()}"
        return life

    def wish(self, kind: str, reason: str, subject: str | None = None) -> None:
        """Leave an operator's command in the database."""
        engine = open_database(self.home / self.where if "://" not in self.where else self.where)
        leave_command(engine, 1, kind, reason, self.server.now, subject)  # one account, one run
        engine.dispose()

    def words(self, most: int | None = 3000) -> str:
        """Return the last of what the engine said, `None` for all of it."""
        said = self.home / "engine.out"
        return said.read_text()[-(most or 0) :] if said.is_file() else "nothing"

    def ledger(self) -> Ledger:
        """Return the engine's database as rows."""
        return read_ledger(self.database)

    def state(self) -> dict[str, Any]:
        """Return all that the server knows, as its admin endpoint shows it."""
        shown: dict[str, Any] = json.loads(json.dumps(state(self.server)))
        return shown

    def breaches(self) -> list[Breach]:
        """Return the invariants that do not hold."""
        return breaches(self.state(), self.ledger())


@contextmanager
def campaign(
    forge: Forge,
    home: Path,
    panel: MarketPanel,
    sessions: int,
    risk: str = "",
    stop: float = 1.5,
    where: str = "engine.db",
) -> Iterator[Campaign]:
    """Serve `panel`, of which the last `sessions` trade, and give the engine a home and a database of its own."""
    home.mkdir()
    (home / "trading.toml").write_text(SETTINGS.format(tickers=json.dumps(list(TICKERS)), risk=risk, stop=stop))
    start = panel.session(panel.n_sessions - sessions)
    server = HeardServer(panel, start)
    with server:
        world = Campaign(server, forge, home, where)
        try:
            yield world
        finally:  # a test that fails leaves no engine behind
            for process in world.commands:
                process.kill()
                process.wait()


def moments(server: AlpacaServer, sessions: int, afternoons: bool, *, dry: bool = False) -> Iterator[str]:
    """Move the clock through `sessions` days, an evening, the next open, perhaps an afternoon; yield the names.

    The last moment is an evening, when every session is settled. `dry` yields the names and moves nothing.
    """
    for n in range(sessions):
        if not dry:
            server.advance_to_evening()
        yield "evening"
        if n == sessions - 1:
            return
        if not dry:
            server.advance_to_open()
        yield "open"
        if not afternoons:
            continue
        if not dry:
            row = server.market.opened_row
            opened, closed = server.market.opens[row], server.market.closes[row]
            server.advance(opened + (closed - opened) * 0.8)
        yield "afternoon"


class Command:
    """The engine's command as a process of its own, started from a shell's point of view."""

    def __init__(self, world: Campaign) -> None:
        options = ["--config", "trading.toml", "--db", world.where, "--allocation", "equal"]
        self._world = world
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "autonomous_trading_engine.py"), *options],
            cwd=world.home,
            env=shell_environment(world),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        world.commands.append(self.process)
        threading.Thread(target=self._tell_the_end, daemon=True).start()

    def wait_for_requests(self, count: int) -> None:
        """Wait until the server has heard `count` requests, or the scan of this moment is over."""
        self._wait(lambda: len(self._world.server.requests) >= count or self.has_scanned())

    def wait_for_scan(self) -> None:
        """Wait until the scan of the present moment is over and committed."""
        self._wait(self.has_scanned)

    def scans_or_ends(self) -> bool:
        """Wait until the scan of the present moment is over, or the process is; return True if it lives."""
        self._wait(lambda: self.process.poll() is not None or self.has_scanned(), may_end=True)
        return self.process.poll() is None

    def has_scanned(self) -> bool:
        """Return True when the last finished scan of this very process is of the present moment."""
        beat = self._world.home / "logs" / "heartbeat.json"
        if not beat.is_file():
            return False
        told = json.loads(beat.read_text())
        return told["pid"] == self.process.pid and str(told["scanned"]) >= self._world.server.now.isoformat()

    def _wait(self, condition: Callable[[], bool], *, may_end: bool = False) -> None:
        deadline = time.monotonic() + PATIENCE
        heard = self._world.server.heard
        while True:
            heard.clear()  # before the look, so that what happens after it is not missed
            if condition():
                return
            assert may_end or self.process.poll() is None, self.process.communicate()[0]
            # a local clock is asked for again soon after every scan, so a request follows all that is waited for
            assert heard.wait(deadline - time.monotonic()), "the engine does not get there"

    def _tell_the_end(self) -> None:
        self.process.wait()
        self._world.server.heard.set()


def shell_environment(world: Campaign) -> dict[str, str]:
    """Return the environment of a real command of this campaign."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return {**plain_environment(), **single, **world.environment}


def command_of(world: Campaign, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the program in the campaign's folder, on its settings and its database; nobody answers it."""
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "autonomous_trading_engine.py"),
            command,
            "--config",
            "trading.toml",
            "--db",
            "engine.db",
            *words,
        ],
        cwd=world.home,
        env={**shell_environment(world), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def plain_environment() -> dict[str, str]:
    """Return this process's environment without anything that is meant for an engine."""
    names = ("ALPACA", "APCA", "TRADING", "DATABASE", "TELEGRAM")
    return {name: value for name, value in os.environ.items() if not name.startswith(names)}
