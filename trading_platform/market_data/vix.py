"""VIX from several sources in order, validated, kept on disk, and never made up.

Alpaca's index values (if the plan has them) -> CBOE's CSV -> FRED's CSV -> yfinance -> what is stored. A source that
answers with HTML, nonsense, or nothing new is passed over and named. Sessions for which nobody has a value stay
unknown: the risk rules decide how old a value may be (`max_vix_age_sessions`), and there is no default.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import requests

from trading_platform.core.errors import MarketDataError, TradingPlatformError
from trading_platform.machine.clocks import utc_now
from trading_platform.machine.time_outs import TIMEOUT
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.panel import VixHistory
from trading_platform.market_data.quality import VIX_RANGE, check_vix

CBOE_URL = "https://cdn.cboe.com/api/global/us_indices/daily_prices/VIX_History.csv"
FRED_URL = "https://fred.stlouisfed.org/graph/fredgraph.csv?id=VIXCLS"
USER_AGENT = "trading-platform (daily VIX close)"
MAX_BYTES = 10_000_000  # CBOE's file since 1990 has 0.5 MB
MOST_SINGLE_DAYS = 10  # Alpaca has no daily series: one request a session, so for short gaps only

ASK_AGAIN_AFTER = timedelta(minutes=15)  # a source without the newest value gets it once a day
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Closes = Mapping[date, float]


class VixSourceError(Exception):
    """A source has no usable answer; the next one is asked."""


class VixSource(Protocol):
    """Somewhere to get VIX closes from."""

    @property
    def name(self) -> str:
        """Short name for people."""
        ...

    def closes(self, start: date, end: date) -> Closes:
        """Return closes by day; days outside [start, end] are ignored.

        Raises
        ------
        VixSourceError
            No usable answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class CsvVix:
    """A CSV at a web address: a date column first, and the column that holds the close.

    `missing` are the words for "no value" (FRED writes a point or nothing on holidays).
    """

    name: str
    url: str
    date_column: tuple[str, ...]
    close_column: str
    date_format: str
    missing: tuple[str, ...] = ()

    def closes(self, start: date, end: date) -> Closes:
        """Download and read the file.

        Raises
        ------
        VixSourceError
            It cannot be had, or is not the file that is known.
        """
        text = _download(self.url)
        rows = csv.reader(io.StringIO(text))
        header = [name.strip().upper() for name in next(rows, [])]
        dates = [header.index(name) for name in self.date_column if name in header]
        if not dates or self.close_column not in header:
            raise VixSourceError(f"its first line is not the expected header: {text[:80]!r}")
        place, closing = dates[0], header.index(self.close_column)
        found: dict[date, float] = {}
        for line, row in enumerate(rows, start=2):
            if not row or row[closing].strip() in self.missing:
                continue
            try:
                day = datetime.strptime(row[place].strip(), self.date_format).replace(tzinfo=UTC).date()
                value = float(row[closing])
            except (ValueError, IndexError) as error:
                raise VixSourceError(f"line {line} cannot be read: {row!r}") from error
            if found and day <= next(reversed(found)):
                raise VixSourceError(f"line {line}: {day} comes after {next(reversed(found))}; dates must increase")
            found[day] = value
        return found


def cboe(url: str = CBOE_URL) -> CsvVix:
    """Return CBOE's own history since 1990."""
    return CsvVix("CBOE", url, ("DATE",), "CLOSE", "%m/%d/%Y")


def fred(url: str = FRED_URL) -> CsvVix:
    """Return the St. Louis Fed's copy, which comes a business day later."""
    return CsvVix("FRED", url, ("OBSERVATION_DATE", "DATE"), "VIXCLS", "%Y-%m-%d", missing=(".", ""))


@dataclass(frozen=True, slots=True)
class AlpacaVix:
    """Alpaca's index values; the free plan may refuse them.

    `ask` sends a GET to the data host: (what, path, query, API version) -> JSON.
    """

    ask: Callable[[str, str, dict[str, Any], str], Any]
    calendar: NyseCalendar
    name: str = "Alpaca"

    def closes(self, start: date, end: date) -> Closes:
        """Ask for the last value of each session, one request a session.

        Raises
        ------
        VixSourceError
            No answer, or none that can be read.
        """
        days = self.calendar.sessions_between(start, end)
        if len(days) > MOST_SINGLE_DAYS:
            raise VixSourceError(f"{len(days)} sessions are missing, and it serves single days only")
        found: dict[date, float] = {}
        for day in days.tolist():
            close = self.calendar.close_at(day)
            query = {
                "symbols": "VIX",
                "start": (close - timedelta(minutes=15)).isoformat(),
                "end": (close + timedelta(minutes=20)).isoformat(),  # VIX is computed until 16:15
                "sort": "desc",
                "limit": 1,
            }
            try:
                answer = self.ask("VIX", "/indices/values", query, "v1beta1")
                series = answer["values"].get("VIX") or []
                if series:
                    found[day] = float(series[0]["v"])
            except (TradingPlatformError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise VixSourceError(str(error)) from error
        return found


@dataclass(frozen=True, slots=True)
class LocalVix:
    """The index values of a local server, which has one a session: the whole range in one request."""

    ask: Callable[[str, str, dict[str, Any], str], Any]
    name: str = "the local server"

    def closes(self, start: date, end: date) -> Closes:
        """Ask for the range.

        Raises
        ------
        VixSourceError
            No answer, or none that can be read.
        """
        query = {
            "symbols": "VIX",
            "start": f"{start.isoformat()}T00:00:00Z",
            "end": f"{end.isoformat()}T23:59:59Z",
            "limit": 10_000,
        }
        try:
            answer = self.ask("VIX", "/indices/values", query, "v1beta1")
            return {
                date.fromisoformat(entry["t"][:10]): float(entry["v"]) for entry in answer["values"].get("VIX") or ()
            }
        except (TradingPlatformError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise VixSourceError(str(error)) from error


@dataclass(frozen=True, slots=True)
class YahooVix:
    """Yahoo's ^VIX. `closes_of` is `yahoo.index_closes`, passed in so that yfinance is needed only where it is used."""

    closes_of: Callable[[str, date, date], Closes]
    name: str = "Yahoo"

    def closes(self, start: date, end: date) -> Closes:
        """Ask yfinance.

        Raises
        ------
        VixSourceError
            No answer, or none that can be read.
        """
        try:
            return self.closes_of("^VIX", start, end)
        except TradingPlatformError as error:
            raise VixSourceError(str(error)) from error


class VixService:
    """VIX closes from the first source that has them, kept in a file.

    Parameters
    ----------
    sources
        Asked in this order.
    store
        CSV file (date, close, source) that keeps every value ever read; None keeps nothing.
    calendar
        Sessions of the exchange.
    now
        The clock; values of the future are refused.
    """

    def __init__(
        self,
        sources: Sequence[VixSource],
        store: Path | None,
        calendar: NyseCalendar,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._sources = sources
        self._store = store
        self._calendar = calendar
        self._now = now
        self._failed_at: dict[str, datetime] = {}
        self.notices: list[str] = []

    def history(self, start: date, end: date) -> VixHistory | None:
        """Return closes for sessions in [start, end], None if there is not one. `notices` says what went wrong."""
        self.notices = []
        stored = _read_store(self._store)
        known = dict(stored)
        for source in self._sources:
            lacking = self._lacking(known, start, end)
            if lacking is None:
                break
            if self._now() - self._failed_at.get(source.name, LONG_AGO) < ASK_AGAIN_AFTER:
                continue
            try:
                fresh = self._checked(source.closes(*lacking), *lacking)
            except VixSourceError as error:
                self._failed_at[source.name] = self._now()
                self.notices.append(f"VIX: {source.name} was passed over: {error}")
                continue
            known |= {day: (value, source.name) for day, value in fresh.items() if day not in known}
        if known != stored:
            _write_store(self._store, known)
        days = sorted(day for day in known if start <= day <= end)
        if not days:
            return None
        origins = sorted({known[day][1] for day in days})
        values = np.array([known[day][0] for day in days])
        return VixHistory(np.array(days, dtype="datetime64[D]"), values, f"VIX of {', '.join(origins)}")

    def _lacking(self, known: Mapping[date, object], start: date, end: date) -> tuple[date, date] | None:
        """Return the range from the first session without a value to the last, None if there is none."""
        sessions = self._calendar.sessions_between(start, end).tolist()
        missing = [day for day in sessions if day not in known]
        return (missing[0], missing[-1]) if missing else None

    def _checked(self, closes: Closes, start: date, end: date) -> Closes:
        today = self._now().date()
        future = [day for day in closes if day > today]
        if future:
            raise VixSourceError(f"it has a value for {future[0]}, which is yet to come")
        inside = {day: value for day, value in closes.items() if start <= day <= end}
        if not inside:
            raise VixSourceError(f"it has no value from {start} to {end}")
        for day, value in inside.items():
            if not (VIX_RANGE[0] <= value <= VIX_RANGE[1]):
                raise VixSourceError(f"{day} has {value:g}, outside {VIX_RANGE[0]:g}..{VIX_RANGE[1]:g}")
        return {day: value for day, value in inside.items() if self._calendar.is_session(day)}


def _download(url: str) -> str:
    """Return the text at `url`; anything but a plain file is an error: pages come with status 200, too."""
    try:
        with requests.get(url, timeout=TIMEOUT, headers={"User-Agent": USER_AGENT}, stream=True) as answer:
            if answer.status_code != 200:
                raise VixSourceError(f"HTTP {answer.status_code}")
            kind = answer.headers.get("Content-Type", "")
            if "html" in kind.lower():
                raise VixSourceError(f"it sent a page ({kind}) instead of a CSV file")
            body = b""
            for chunk in answer.iter_content(65536):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise VixSourceError(f"it sent more than {MAX_BYTES:,} bytes")
    except requests.RequestException as error:
        raise VixSourceError(f"{type(error).__name__}: {error}") from error
    try:
        text: str = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise VixSourceError("it sent no text") from error
    if text.lstrip()[:1] == "<":
        raise VixSourceError("it sent a page instead of a CSV file")
    return text


def _read_store(path: Path | None) -> dict[date, tuple[float, str]]:
    """Return the stored closes; a damaged file is only a lost copy."""
    if path is None or not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        known = {date.fromisoformat(row["date"]): (float(row["close"]), row["source"]) for row in rows}
        days = np.array(sorted(known), dtype="datetime64[D]")
        check_vix(days, np.array([known[day][0] for day in sorted(known)]), path.name)
    except (OSError, KeyError, TypeError, ValueError, csv.Error, MarketDataError):
        return {}
    return known


def _write_store(path: Path | None, known: Mapping[date, tuple[float, str]]) -> None:
    """Replace the file at once; a disk that refuses costs only the next start's time."""
    if path is None:
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["date", "close", "source"])
            rows.writerows([day.isoformat(), repr(value), source] for day, (value, source) in sorted(known.items()))
        partial.replace(path)
    with suppress(OSError):
        partial.unlink(missing_ok=True)
