"""Two engines at two local Alpacas, one database, one desk: a browser's stream for an hour, and what it heard.

    PYTHONPATH=.:tests/integration python tests/integration/desk_hour.py --seconds 3600

Each server walks from bell to bell by itself, so that both accounts trade while the stream is open. Every fill is
looked for in the database itself, ten times a second, and in the stream; with ``--tabs`` (needs Playwright and a
Chromium) so many pages stay open, too, and each says when the fill stood on its screen.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from operator_world import environment

ROOT = Path(__file__).parents[2]
KEYS = {"ALPACA_API_KEY": "PKLOCAL", "ALPACA_SECRET_KEY": "local-secret"}
START = "2022-01-03"
PATIENCE = 300.0  # seconds for a cold start
NEWEST = "SELECT run_id, max(id), count(*) FROM fills GROUP BY run_id"
WATCH_FILLS = """() => {
  const seen = () => document.querySelector('#fills')?.innerText ?? '';
  window.shown = []; let before = seen();
  const note = () => {
    const now = seen();
    if (now !== before) { before = now; window.shown.push(Date.now() / 1000); }
  };
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


class Fill(NamedTuple):
    """The newest fill of a run, and when it was first seen in the database."""

    run: str
    number: int
    at: float


class Heard:
    """What came down the stream, with the time of each line."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str]] = []
        self.ended: str | None = None

    @property
    def changes(self) -> list[tuple[float, list[str]]]:
        """Events that name runs."""
        data = [(at, line[6:]) for at, line in self.lines if line.startswith("data: {") and "runs" in line]
        return [(at, json.loads(text)["runs"]) for at, text in data]

    def listen(self, base: str, cookie: str) -> None:
        """Read until the desk ends the stream."""
        place = urlsplit(base)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            connection.request("GET", "/events", headers={"cookie": cookie})
            answer = connection.getresponse()
            while line := answer.readline():
                self.lines.append((time.time(), line.decode().rstrip()))
            self.ended = "the desk ended it"
        except OSError as error:
            self.ended = f"{type(error).__name__}: {error}"


def main(words: Sequence[str] | None = None) -> int:
    """Hold the stream open; print what was measured; return 0 if it lived and told every fill."""
    given = _options(words)
    home = given.home or Path(tempfile.mkdtemp(prefix="desk-hour-"))
    home.mkdir(parents=True, exist_ok=True)
    children: list[subprocess.Popen[bytes]] = []
    try:
        told = _hour(given, home, children)
    finally:
        for child in children:
            child.send_signal(signal.SIGINT)
        for child in children:
            child.wait(timeout=60)
    text = json.dumps(told, indent=1)
    (home / "told.json").write_text(text)
    print(text)  # noqa: T201 - a command
    return 0 if told["stream_lived"] and told["fills"] == told["fills_told"] else 1


def _hour(given: argparse.Namespace, home: Path, children: list[subprocess.Popen[bytes]]) -> dict[str, Any]:
    (home / "trading.toml").write_text("[engine]\nscan_interval_seconds = 5.0\n")
    for number, seed in enumerate(given.seeds):
        _engine(home, number, seed, given.step, children)
    desk, link = _desk(home, given.port, children)
    base = link.partition("/enter")[0]
    heard, cookie = Heard(), _come_in(link)
    threading.Thread(target=heard.listen, args=(base, cookie), daemon=True).start()
    weight = [_megabytes(desk.pid)]
    if given.tabs:
        fills, shown = _with_tabs(given, home / "hour.db", base, cookie)
    else:
        fills, shown = _watched(home / "hour.db", given.seconds), []
    lived = heard.ended is None
    weight.append(_megabytes(desk.pid))
    begun = time.monotonic()
    desk.send_signal(signal.SIGTERM)
    desk.wait(timeout=30)
    children.remove(desk)
    return _told(heard, fills, shown) | {
        "seconds": given.seconds,
        "stream_lived": lived,
        "desk_megabytes": weight,
        "desk_ended_after_seconds": round(time.monotonic() - begun, 2),
        "load": os.getloadavg(),
    }


def _told(heard: Heard, fills: Sequence[Fill], shown: Sequence[float]) -> dict[str, Any]:
    delays = [found for fill in fills if (found := _delay(fill, heard.changes)) is not None]
    times = [at for at, _ in heard.lines]
    silences = [after - before for before, after in pairwise(times)]
    return {
        "events": len(heard.changes),
        "events_by_run": {run: sum(run in runs for _, runs in heard.changes) for run in ("1", "2", "trouble")},
        "longest_silence_seconds": round(max(silences, default=0.0), 1),
        "fills": len(fills),
        "fills_told": len(delays),
        "told_after_seconds": _spread(delays),
        "on_screens_after_seconds": _spread(shown),
        "screens": len(shown),
    }


def _delay(fill: Fill, changes: Sequence[tuple[float, list[str]]]) -> float | None:
    """Return how long after its commit a fill was told; the database was looked at in steps of 0.1 s."""
    return next((max(0.0, at - fill.at) for at, runs in changes if at > fill.at - 0.15 and fill.run in runs), None)


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"median": round(statistics.median(values), 2), "most": round(max(values), 2)}


def _watched(database: Path, seconds: float, stop: threading.Event | None = None) -> list[Fill]:
    """Return every batch of fills that is committed in so many seconds, with the time when it was first seen."""
    found: list[Fill] = []
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        before = {row[0]: row[1] for row in connection.execute(NEWEST)}
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (stop and stop.is_set()):
            for run, newest, _ in connection.execute(NEWEST):
                if before.get(run) != newest:
                    before[run] = newest
                    found.append(Fill(str(run), newest, time.time()))
            time.sleep(0.1)
    return found


def _with_tabs(given: argparse.Namespace, database: Path, base: str, cookie: str) -> tuple[list[Fill], list[float]]:
    """Return the fills, and how long after each one every page of its account showed it."""
    from playwright.sync_api import sync_playwright

    name, _, value = cookie.partition("=")
    fills: list[Fill] = []
    watcher = threading.Thread(target=lambda: fills.extend(_watched(database, given.seconds)), daemon=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
        context = browser.new_context()
        context.add_cookies([{"name": name, "value": value, "url": base}])
        pages = []
        for number in range(given.tabs):
            page = context.new_page()
            page.goto(f"{base}/accounts/{1 + number % 2}")
            page.wait_for_selector("#pulse.on")
            page.evaluate(WATCH_FILLS)
            pages.append((str(1 + number % 2), page))
        watcher.start()
        while watcher.is_alive():
            pages[0][1].wait_for_timeout(500)
        pages[0][1].wait_for_timeout(5_000)
        seen = [(run, page.evaluate("window.shown")) for run, page in pages]
        browser.close()
    shown = []
    for fill in fills:
        for run, times in seen:
            if run == fill.run:
                shown.append(next((max(0.0, at - fill.at) for at in times if at > fill.at - 0.15), 999.0))
    return fills, shown


def _engine(home: Path, number: int, seed: int, step: float, children: list[subprocess.Popen[bytes]]) -> None:
    """Start a local Alpaca and the engine that trades its account; wait for its first look."""
    said = home / f"server-{number}.out"
    server = ["-m", "trading_platform.alpaca_server", "--start", START, "--seed", str(seed)]
    own = environment(home, None) | {"TRADING_CACHE_DIR": os.environ.get("TRADING_CACHE_DIR", str(home / "cache"))}
    children.append(_start([*server, "--seconds-per-step", str(step)], home, own, said))
    (url,) = _wait(said, r"listens on (http://\S+)").groups()
    logs = home / f"logs-{number}"
    keys = own | KEYS | {"ALPACA_BASE_URL": url, "TRADING_LOG_DIR": str(logs)}
    engine = [str(ROOT / "autonomous_trading_engine.py"), "--db", "hour.db"]
    children.append(_start(engine, home, keys, home / f"engine-{number}.out"))
    _wait(logs / "heartbeat.json", "pid")


def _desk(home: Path, port: int, children: list[subprocess.Popen[bytes]]) -> tuple[subprocess.Popen[bytes], str]:
    words = [str(ROOT / "autonomous_trading_engine.py"), "desk", "--db", "hour.db", "--port", str(port)]
    desk = _start(words, home, environment(home, None), home / "desk.out")
    children.append(desk)
    return desk, _wait(home / "desk.out", r"http://\S+token=\S+")[0]


def _start(words: Sequence[str], home: Path, env: dict[str, str], said: Path) -> subprocess.Popen[bytes]:
    env = env | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with said.open("wb") as out:
        return subprocess.Popen([sys.executable, *words], cwd=home, env=env, stdout=out, stderr=subprocess.STDOUT)


def _wait(said: Path, pattern: str) -> re.Match[str]:
    deadline = time.monotonic() + PATIENCE
    while (found := re.search(pattern, said.read_text() if said.is_file() else "")) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{said} never said {pattern}")
        time.sleep(0.1)
    return found


def _come_in(link: str) -> str:
    """Spend the link; return the session's cookie."""
    place = urlsplit(link)
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        try:
            connection.request("GET", f"{place.path}?{place.query}")
            answer = connection.getresponse()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
            continue
        if (cookie := answer.getheader("set-cookie")) is None:
            raise RuntimeError(f"the link was refused: {answer.status}")
        return cookie.partition(";")[0]


def _megabytes(process: int) -> float:
    """Return what a process holds in memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return 0.0 if found is None else round(int(found[1]) / 1024, 1)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long the stream is held (3600)")
    parser.add_argument("--step", type=float, default=60.0, help="seconds between bells of the simulated exchange (60)")
    parser.add_argument("--tabs", type=int, default=0, help="so many pages in a real Chromium as well (0)")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 4), help="of the two markets")
    parser.add_argument("--port", type=int, default=8794)
    parser.add_argument("--home", type=Path, help="folder for databases and logs; a new one by default")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
