"""What has changed: marks of every account, read when the database file has been written, and told to browsers.

One watcher serves all browsers. It looks at the file's times twice a second, which costs nothing, and reads the marks
when those have moved, else every few seconds; so a fill is told within a second of its commit. A heartbeat alone, which
an engine leaves every few seconds, is told now and then only: each page loads itself again when it hears of a change.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool

from trading_platform.core.errors import TradingPlatformError
from trading_platform.storage.reader import Reader, read_database, sqlite_path

LOOK_SECONDS = 0.5
ANYWAY_SECONDS = 3.0  # a server has no file to look at; and file times may be coarse
SAY_SECONDS = 15.0  # a comment line keeps proxies from closing a silent stream
BEAT_SECONDS = 20.0  # between heartbeats that are told; an engine is late after minutes
MOST_STREAMS = 64
TROUBLE = "trouble"


class Mark(NamedTuple):
    """What a run's pages show, as texts that change with it: everything but the heartbeat, and the heartbeat."""

    state: str
    beat: str = ""


Marks = dict[str, Mark]

MARKS = """
SELECT r.id, h.at, h.note, r.status, r.last_session, r.tag, r.note,
    (SELECT max(id) FROM fills f WHERE f.run_id = r.id),
    (SELECT max(id) FROM orders o WHERE o.run_id = r.id),
    (SELECT count(*) FROM orders o WHERE o.run_id = r.id
        AND o.status IN ('intent', 'submitted', 'partially_filled', 'uncertain')),
    (SELECT max(id) FROM commands c WHERE c.run_id = r.id),
    (SELECT count(*) FROM commands c WHERE c.run_id = r.id AND c.handled_at IS NULL),
    (SELECT max(id) FROM risk_events e WHERE e.run_id = r.id),
    (SELECT count(*) FROM differences d WHERE d.run_id = r.id AND d.resolved_at IS NULL),
    (SELECT saved_at FROM risk_states s WHERE s.run_id = r.id)
FROM runs r LEFT JOIN heartbeats h ON h.run_id = r.id WHERE r.mode <> 'replay' OR r.status <> 'finished' OR r.id IN
    (SELECT id FROM runs ORDER BY id DESC LIMIT 20)"""


def read_marks(url: str) -> Marks:
    """Return a mark for each run that changes whenever something changes that a page shows; trouble has one, too."""
    try:
        return read_database(url, _marks, 5.0) or {TROUBLE: Mark("empty")}
    except (TradingPlatformError, OSError) as error:
        return {TROUBLE: Mark(str(error))}


def _marks(reader: Reader) -> Marks:
    return {str(row[0]): Mark("|".join(map(str, row[2:])), str(row[1])) for row in reader.rows(MARKS)}


def file_times(url: str) -> tuple[object, ...]:
    """Return what changes when a database file or its log is written; empty for a server."""
    path = sqlite_path(url)
    if path is None:
        return ()
    return tuple(_times(Path(f"{path}{end}")) for end in ("", "-wal"))


def _times(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def changed(before: Mapping[str, Mark], now: Mapping[str, Mark]) -> list[str]:
    """Return the runs, and perhaps `TROUBLE`, whose states differ."""
    return sorted(key for key in before.keys() | now.keys() if _state(before.get(key)) != _state(now.get(key)))


def _state(mark: Mark | None) -> str | None:
    return None if mark is None else mark.state


class Told:
    """What listeners know: the marks as they were last told, and when each heartbeat was."""

    def __init__(self, marks: Marks, now: float) -> None:
        self.marks = marks
        self._beats = dict.fromkeys(marks, now)

    def news(self, found: Marks, now: float) -> list[str]:
        """Return the runs to tell of at `now`, seconds: those that changed, and those whose last heartbeat is old."""
        states = changed(self.marks, found)
        runs = {*states, *(run for run, mark in found.items() if run not in states and self._is_stale(run, mark, now))}
        for run in runs & found.keys():
            self._beats[run] = now
        self.marks = {run: mark if run in runs else self.marks[run] for run, mark in found.items()}
        return sorted(runs)

    def _is_stale(self, run: str, mark: Mark, now: float) -> bool:
        return mark.beat != self.marks[run].beat and now - self._beats[run] >= BEAT_SECONDS


class Watch:
    """Looks for changes while anybody listens.

    Parameters
    ----------
    url : the database. steady : seconds that only grow. look_seconds : between looks at the file.
    """

    def __init__(self, url: str, steady: Callable[[], float], look_seconds: float = LOOK_SECONDS) -> None:
        self._url, self._steady, self._pause = url, steady, look_seconds
        self._listeners: set[asyncio.Queue[list[str] | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._told = Told({}, steady())

    @property
    def told(self) -> Marks:
        """The marks as they were last told; empty before anybody has listened."""
        return self._told.marks

    @property
    def is_full(self) -> bool:
        """True if no more browsers can listen."""
        return len(self._listeners) >= MOST_STREAMS

    async def events(self, is_in: Callable[[], bool] = lambda: True) -> AsyncIterator[str]:
        """Yield server-sent events: which runs have changed. Ends when the desk stops, or `is_in` says no more."""
        queue: asyncio.Queue[list[str] | None] = asyncio.Queue(maxsize=100)
        self._listeners.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            yield "retry: 2000\nevent: hello\ndata: {}\n\n"
            while not self._stopping:
                try:
                    runs = await asyncio.wait_for(queue.get(), SAY_SECONDS)
                except TimeoutError:
                    if not is_in():
                        return
                    yield ": still here\n\n"
                    continue
                if runs is None:
                    return
                yield f"event: change\ndata: {json.dumps({'runs': runs})}\n\n"
        finally:
            self._listeners.discard(queue)

    def stop(self) -> None:
        """End every stream; a signal handler may call it."""
        self._stopping = True
        for queue in list(self._listeners):
            _put(queue, None)

    async def _look(self) -> None:
        """Look until nobody listens any more."""
        times, read_at = await run_in_threadpool(file_times, self._url), self._steady()
        self._told = Told(await run_in_threadpool(read_marks, self._url), read_at)
        while self._listeners and not self._stopping:
            await asyncio.sleep(self._pause)
            now = await run_in_threadpool(file_times, self._url)
            if now == times and self._steady() - read_at < ANYWAY_SECONDS:
                continue
            times, read_at = now, self._steady()
            found = await run_in_threadpool(read_marks, self._url)
            if runs := self._told.news(found, read_at):
                for queue in list(self._listeners):
                    _put(queue, runs)


def _put(queue: asyncio.Queue[Any], item: Any) -> None:
    if queue.full():  # a browser that does not read: it will learn all from the next it reads
        queue.get_nowait()
    queue.put_nowait(item)
