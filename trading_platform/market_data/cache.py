"""Daily bars kept on disk, one Parquet file a ticker: only what is missing is fetched.

Adjusted history moves when a split or dividend happens. So every fetch of newer bars repeats the last few known ones:
where the oldest repeated bar differs, the whole ticker is fetched again; where only newer ones differ, the service has
corrected them and they are replaced. Older corrections come with the whole history, which is fetched anew once a week.
A newest bar that is not out yet is asked for again. A file is only a copy: anything wrong with one means that it is
fetched anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.types import Floats
from trading_platform.market_data.bars import Bars, encode_tickers
from trading_platform.market_data.calendar import NyseCalendar

Sessions = NDArray[np.datetime64]
COLUMNS = ("open", "high", "low", "close", "volume")
PRICES = slice(0, 4)
OVERLAP_SESSIONS = 5
SAME_PRICE = 1e-9  # relative: the same adjustment gives the same digits
WHOLE_EVERY = timedelta(days=7)
FIRST_KEY, LAST_KEY, WHOLE_KEY = b"known_from", b"known_to", b"whole_to"


@dataclass(frozen=True, slots=True, eq=False)
class TickerBars:
    """Bars of one ticker: increasing sessions (n,) datetime64[D] and values (n, 5) open, high, low, close, volume."""

    sessions: Sessions
    values: Floats

    def __len__(self) -> int:
        return len(self.sessions)

    def between(self, start: date, end: date) -> TickerBars:
        """Return the bars of sessions in [start, end]."""
        inside = (self.sessions >= np.datetime64(start, "D")) & (self.sessions <= np.datetime64(end, "D"))
        return TickerBars(self.sessions[inside], self.values[inside])

    def merged(self, newer: TickerBars) -> TickerBars:
        """Return both, `newer` winning where a session is in both."""
        kept = ~np.isin(self.sessions, newer.sessions)
        sessions = np.concatenate([self.sessions[kept], newer.sessions])
        order = np.argsort(sessions, kind="stable")
        return TickerBars(sessions[order], np.concatenate([self.values[kept], newer.values])[order])

    def without(self, days: Collection[date]) -> TickerBars:
        """Return the bars of all other sessions."""
        kept = ~np.isin(self.sessions, np.array(sorted(days), dtype="datetime64[D]"))
        return TickerBars(self.sessions[kept], self.values[kept])


NO_BARS = TickerBars(np.empty(0, "datetime64[D]"), np.empty((0, 5)))


@dataclass(frozen=True, slots=True, eq=False)
class KnownBars:
    """What a file holds: bars, and the range of days for which they are all there is.

    `whole` is the last day of the reading that fetched all of them at once.
    """

    bars: TickerBars
    first: date
    last: date
    whole: date


Fetch = Callable[[Sequence[str], date, date], Mapping[str, TickerBars]]


class BarCache:
    """A folder of Parquet files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, ticker: str) -> KnownBars | None:
        """Return what is stored for `ticker`; None if there is nothing usable."""
        path = self._path(ticker)
        if not path.is_file():
            return None
        pa, parquet = _pyarrow()
        try:
            table = parquet.read_table(path)
            facts = table.schema.metadata
            first, last = (date.fromisoformat(facts[key].decode()) for key in (FIRST_KEY, LAST_KEY))
            whole = date.fromisoformat(facts[WHOLE_KEY].decode()) if WHOLE_KEY in facts else first
            sessions = table.column("date").to_numpy().astype("datetime64[D]")
            values = np.column_stack([table.column(name).to_numpy().astype(np.float64) for name in COLUMNS])
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            return None
        if len(sessions) and not bool(np.all(np.diff(sessions.astype(np.int64)) > 0)):
            return None
        return KnownBars(TickerBars(sessions, values), first, last, whole)

    def store(self, ticker: str, known: KnownBars) -> None:
        """Replace the file of `ticker` at once. A disk that refuses costs only the next start's time."""
        pa, parquet = _pyarrow()
        columns = {"date": pa.array(known.bars.sessions.astype("datetime64[D]"))}
        columns |= {name: pa.array(known.bars.values[:, place]) for place, name in enumerate(COLUMNS)}
        days = {FIRST_KEY: known.first, LAST_KEY: known.last, WHOLE_KEY: known.whole}
        facts = {key: day.isoformat() for key, day in days.items()}
        table = pa.table(columns).replace_schema_metadata(facts)
        path = self._path(ticker)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            parquet.write_table(table, partial)
            partial.replace(path)
        with suppress(OSError):
            partial.unlink(missing_ok=True)

    def _path(self, ticker: str) -> Path:
        return self.folder / f"{quote(ticker, safe='')}.parquet"


class CachedHistory:
    """Reads through a `BarCache`, fetching what it lacks.

    Parameters
    ----------
    cache
        Where bars are kept; None keeps nothing.
    calendar
        Sessions of the exchange.
    fetch
        Asks the service for (tickers, first day, last day); a ticker without bars may be absent from its answer.
    """

    def __init__(self, cache: BarCache | None, calendar: NyseCalendar, fetch: Fetch) -> None:
        self._cache = cache
        self._calendar = calendar
        self._fetch = fetch

    def read(self, tickers: Sequence[str], start: date, end: date) -> dict[str, TickerBars]:
        """Return the bars of `tickers` on sessions in [start, end]; `end` must be a completed session."""
        known = {} if self._cache is None else {name: self._cache.load(name) for name in tickers}
        wanted = {name: self._missing(known.get(name), start, end) for name in tickers}
        fresh: dict[str, KnownBars] = {}
        again: list[str] = []
        for (first, last), names in _grouped(wanted).items():
            answer = self._fetch(names, first, last)
            for name in names:
                new, old = answer.get(name, NO_BARS), known.get(name)
                if old is None or first <= old.first:
                    fresh[name] = KnownBars(new, first, self._known_to(new, last), last)
                elif _has_moved(old.bars, new):
                    again.append(name)
                else:
                    bars = old.bars.merged(new)
                    fresh[name] = KnownBars(bars, old.first, self._known_to(bars, last), old.whole)
        if again:
            origins = [old.first for old in (known[name] for name in again) if old is not None]
            first = min([start, *origins])
            answer = self._fetch(again, first, end)
            for name in again:
                bars = answer.get(name, NO_BARS)
                fresh[name] = KnownBars(bars, first, self._known_to(bars, end), end)
        if self._cache is not None:
            for name, facts in fresh.items():
                self._cache.store(name, facts)
        found = {name: fresh.get(name) or known.get(name) for name in tickers}
        return {name: bars.bars.between(start, end) for name, bars in found.items() if bars is not None}

    def kept_to(self, tickers: Sequence[str], start: date) -> date | None:
        """Return the last day up to which bars of all `tickers` from `start` on are kept; None if some have none."""
        known = [None if self._cache is None else self._cache.load(name) for name in tickers]
        days = [bars.last for bars in known if bars is not None and bars.first <= start]
        return min(days) if days and len(days) == len(known) else None

    def _missing(self, known: KnownBars | None, start: date, end: date) -> tuple[date, date] | None:
        """Return the range to fetch, None if all is known; newer bars are fetched with an overlap."""
        if known is None or start < known.first:
            return start, end
        if end <= known.last:
            return None
        if end - known.whole >= WHOLE_EVERY:
            return known.first, end
        tail = known.bars.sessions[-OVERLAP_SESSIONS:]
        if len(tail) == 0:
            return known.first, end
        return tail[0].item(), end

    def _known_to(self, bars: TickerBars, last: date) -> date:
        """Return `last`, or the newest bar's day where the next may still come: the ticker traded a short while ago."""
        if len(bars) == 0:
            return last
        newest: date = bars.sessions[-1].item()
        lacking = len(self._calendar.sessions_between(newest, last)) - 1
        return newest if 0 < lacking <= OVERLAP_SESSIONS else last


def _grouped(wanted: Mapping[str, tuple[date, date] | None]) -> dict[tuple[date, date], list[str]]:
    groups: dict[tuple[date, date], list[str]] = {}
    for name, span in wanted.items():
        if span is not None:
            groups.setdefault(span, []).append(name)
    return groups


def _has_moved(old: TickerBars, new: TickerBars) -> bool:
    """Return True if the oldest bar that both have differs, so that all older ones have changed too."""
    both = np.intersect1d(old.sessions, new.sessions)
    if len(both) == 0:
        return True
    ours = old.values[old.sessions == both[0]][0, PRICES]
    theirs = new.values[new.sessions == both[0]][0, PRICES]
    return bool(np.any(np.abs(theirs / ours - 1.0) > SAME_PRICE))


def joined(found: Mapping[str, TickerBars], service: str) -> Bars:
    """Return the bars of all tickers in long form.

    Raises
    ------
    MarketDataError
        There are none.
    """
    parts = [(name, bars) for name, bars in sorted(found.items()) if len(bars)]
    if not parts:
        raise MarketDataError(f"{service} has no bars for any of {len(found)} tickers; check the tickers and the dates")
    names, codes = encode_tickers([name for name, _ in parts])
    values = np.concatenate([bars.values for _, bars in parts])
    return Bars(
        names=names,
        ticker=np.repeat(codes, [len(bars) for _, bars in parts]),
        session=np.concatenate([bars.sessions for _, bars in parts]),
        open=np.ascontiguousarray(values[:, 0]),
        high=np.ascontiguousarray(values[:, 1]),
        low=np.ascontiguousarray(values[:, 2]),
        close=np.ascontiguousarray(values[:, 3]),
        volume=np.ascontiguousarray(values[:, 4]),
        place=lambda row: service,
    )


def last_finished(calendar: NyseCalendar, now: datetime, delay_minutes: float = 0.0) -> date:
    """Return the newest session whose close is at least `delay_minutes` before `now`."""
    return calendar.last_completed_session(now - timedelta(minutes=delay_minutes))


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise FixConfigError("the bar cache needs the package pyarrow; run pip install pyarrow") from error
    return pa, parquet
