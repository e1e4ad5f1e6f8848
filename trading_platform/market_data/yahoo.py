"""Keyless daily bars by yfinance, so that a person without keys can trade the real market on paper.

An unofficial service for personal use, with known gaps: rows of NaN, missing sessions, a half-built last bar, empty
answers instead of errors. Rows that are not whole are dropped, the calendar decides what is missing (and the quality
checks say so), and an empty answer is a failure.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from trading_platform.configuration.environment import load_settings
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.types import Ints, MarketPanel
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.cache import BarCache, CachedHistory, TickerBars, joined, last_finished
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.notices import shown
from trading_platform.market_data.panel import Beside, build_panel
from trading_platform.market_data.reach import check_reachable
from trading_platform.market_data.universe import Universe, load_universe
from trading_platform.market_data.vix import VixService, YahooVix, cboe, fred

SERVICE = "https://query2.finance.yahoo.com"  # that yfinance asks
BENCHMARK = "SPY"
FIRST_DAY = date(2010, 1, 4)
SETTLE_MINUTES = 30.0  # the closing auction's prices need a while to arrive
TICKERS_AT_ONCE = 50
FIELDS = ("Open", "High", "Low", "Close", "Volume")

# yfinance lets through what its parsers and its HTTP library raise
ERRORS: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
)

Download = Callable[..., Any]  # yfinance.download; a pandas frame or None


class YahooMarketData:
    """Daily bars from Yahoo; implements `core.ports.MarketData`.

    Parameters
    ----------
    cache_dir
        Where bars and VIX are kept, None for nowhere.
    calendar
        Sessions of the exchange.
    universe
        Default tickers and sectors, the shipped ones when None.
    vix
        Where VIX comes from; CBOE, FRED and Yahoo when None.
    download
        `yfinance.download`, or a stand-in.
    now
        The clock.
    with_benchmark
        True makes the benchmark a column of the panels as well.
    """

    name = "yahoo"

    def __init__(
        self,
        *,
        cache_dir: Path | None = None,
        calendar: NyseCalendar | None = None,
        universe: Universe | None = None,
        vix: VixService | None = None,
        download: Download | None = None,
        now: Callable[[], datetime] = utc_now,
        with_benchmark: bool = False,
    ) -> None:
        self._calendar = calendar or NyseCalendar()
        self._universe = universe or load_universe()
        self._download = download
        self._now = now
        self._with_benchmark = with_benchmark
        self._history = CachedHistory(
            None if cache_dir is None else BarCache(cache_dir / "yahoo"), self._calendar, self._fetch
        )
        store = None if cache_dir is None else cache_dir / "vix.csv"
        self._vix = vix or VixService([cboe(), fred(), YahooVix(index_closes)], store, self._calendar, now)

    def history(
        self, tickers: Sequence[str] | None = None, start: date | None = None, end: date | None = None
    ) -> MarketPanel:
        """Return completed bars of `tickers` for sessions in [start, end], adjusted for splits and dividends.

        Raises
        ------
        MarketDataError
            Yahoo does not answer, or the data fail a check.
        FixConfigError
            yfinance is not installed.
        """
        names = sorted({*(self._universe.tickers if tickers is None else tickers), BENCHMARK})
        newest = last_finished(self._calendar, self._now(), SETTLE_MINUTES)
        last = newest if end is None else min(end, newest)
        first = start or FIRST_DAY
        if first > last:
            raise MarketDataError(f"yahoo has completed sessions up to {newest}, none from {first} to {last}")
        try:
            found = self._history.read(names, first, last)
        except MarketDataError as error:
            kept = self._history.kept_to(names, first)
            if kept is None or kept < first:
                raise
            raise MarketDataError(f"{error}; bars of these tickers are kept up to {kept}: --to {kept}") from error
        bars = joined(found, "yahoo")
        vix = self._vix.history(first, last)
        panel = build_panel(
            bars,
            source=self.name,
            calendar=self._calendar,
            beside=Beside(vix=vix, sectors=self._universe.sectors),
            with_benchmark=self._with_benchmark,
        )
        absent = [name for name in names if name not in bars.names]
        notices = [*self._vix.notices, *([f"no bars: {', '.join(absent)}"] if absent else [])]
        return replace(panel, warnings=(*panel.warnings, *notices))

    def _fetch(self, tickers: Sequence[str], start: date, end: date) -> dict[str, TickerBars]:
        found: dict[str, TickerBars] = {}
        for place in range(0, len(tickers), TICKERS_AT_ONCE):
            found |= download_bars(self._download, tickers[place : place + TICKERS_AT_ONCE], start, end)
        sessions = self._calendar.sessions_between(start, end)
        return {name: _on_sessions(bars, sessions) for name, bars in found.items()}


def index_closes(symbol: str, start: date, end: date, download: Download | None = None) -> Mapping[date, float]:
    """Return the closes of an index such as ^VIX by day.

    Raises
    ------
    MarketDataError, FixConfigError
        No usable answer; yfinance is not installed.
    """
    bars = download_bars(download, [symbol], start, end).get(symbol)
    return {} if bars is None else dict(zip(bars.sessions.tolist(), bars.values[:, 3].tolist(), strict=True))


def download_bars(download: Download | None, tickers: Sequence[str], start: date, end: date) -> dict[str, TickerBars]:
    """Ask yfinance for whole daily bars of `tickers` on days in [start, end], adjusted for splits and dividends.

    Raises
    ------
    MarketDataError, FixConfigError
        It raised, or answered with an empty frame; it is not installed.
    """
    cure = 'wait some minutes and try again, or use data.source = "alpaca" or "files"'
    frame = ask_yfinance(download, tickers, start, end, adjusted=True, cure=cure)
    return {name: bars for name in tickers if len(bars := whole_rows(frame, to_yahoo(name))[1])}


def ask_yfinance(
    download: Download | None, tickers: Sequence[str], start: date, end: date, *, adjusted: bool, cure: str
) -> Any:
    """Return yfinance's frame of daily bars, columns (field, Yahoo's ticker), for days in [start, end].

    Parameters
    ----------
    download
        `yfinance.download`, or a stand-in; None for the former.
    tickers
        In our spelling.
    adjusted
        True: prices adjusted for splits and dividends. False: for splits alone, with a column of dividends.
    cure
        What to do about a failure, for people.

    Raises
    ------
    MarketDataError, FixConfigError
        It raised, or answered with an empty frame; it is not installed.
    """
    if download is None:
        check_reachable("yahoo", SERVICE)
    ask, errors = (download, ERRORS) if download is not None else _yfinance_download()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # yfinance 1.7 on pandas 3.1: dozens a call
            frame = ask(
                [to_yahoo(name) for name in tickers],
                start=start.isoformat(),
                end=(end + timedelta(days=1)).isoformat(),  # yfinance's end is exclusive
                auto_adjust=adjusted,
                actions=not adjusted,
                progress=False,
                threads=True,
                group_by="column",
                multi_level_index=True,
                timeout=10,
            )
    except errors as error:
        raise MarketDataError(
            f"yahoo: no answer for {shown(tickers, 3)} ({type(error).__name__}: {error}); {cure}"
        ) from error
    if frame is None or len(frame) == 0:
        raise MarketDataError(
            f"yahoo: an empty answer for {shown(tickers, 3)} from {start} to {end}; the service limits requests or "
            f"the tickers are unknown: {cure}"
        )
    return frame


def to_yahoo(ticker: str) -> str:
    """Return Yahoo's spelling: share classes with a dash."""
    return ticker.replace(".", "-")


def whole_rows(frame: Any, symbol: str) -> tuple[Ints, TickerBars]:
    """Return the rows (n,) of a frame that are bars of one ticker, and the bars; none if it has no such columns.

    Rows with a NaN are no bars; of a day that is there twice the last row counts.
    """
    columns = [(field, symbol) for field in FIELDS]
    if any(column not in frame.columns for column in columns):
        return np.empty(0, np.int64), TickerBars(np.empty(0, "datetime64[D]"), np.empty((0, 5)))
    values = np.column_stack([frame[column].to_numpy(dtype=np.float64) for column in columns])
    days = frame.index.tz_localize(None).to_numpy().astype("datetime64[D]")
    whole = np.flatnonzero(np.isfinite(values).all(axis=1) & (values[:, :4] > 0.0).all(axis=1))
    rows = whole[np.argsort(days[whole], kind="stable")]
    last_of_day = np.append(np.diff(days[rows].astype(np.int64)) > 0, True)[: len(rows)]
    kept = rows[last_of_day]
    return kept, TickerBars(days[kept], values[kept])


def _on_sessions(bars: TickerBars, sessions: np.ndarray[Any, np.dtype[np.datetime64]]) -> TickerBars:
    """Return the bars of exchange sessions; Yahoo sometimes has rows on holidays."""
    inside = np.isin(bars.sessions, sessions)
    return TickerBars(bars.sessions[inside], bars.values[inside])


def _yfinance_download() -> tuple[Download, tuple[type[Exception], ...]]:
    """Return its download function and what it may raise."""
    try:
        import yfinance
        from yfinance.exceptions import YFException
    except ImportError as error:
        raise FixConfigError("bars from Yahoo need the package yfinance; run pip install yfinance") from error
    # it keeps time zones and cookies: beside our own, not in the home folder
    yfinance.set_tz_cache_location(str((load_settings().cache_dir / "yfinance").resolve()))
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # what it would print is in our error or our warnings
    return yfinance.download, (*ERRORS, YFException)
