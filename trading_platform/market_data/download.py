"""Bars fetched into a folder, one file a ticker, so that a broken download goes on where it was.

Yahoo's prices are kept as they trade today: adjusted for splits, with dividends beside them as cash. Alpaca's are kept
adjusted for both. A note in the folder says what was asked for and what is there; another question fetches anew.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.market_data.own_files import HEADER, write_csv
from trading_platform.market_data.panel import VixHistory
from trading_platform.market_data.yahoo import FIELDS, Download, to_yahoo, yfinance_download

NOTE = "download.json"
AT_ONCE = 20  # tickers a request: a broken one costs no more, and progress is seen
BENCHMARK = "SPY"


@dataclass(frozen=True, slots=True, eq=False)
class FetchedBars:
    """Bars of one ticker: sessions (n,), values (n, 5) open to volume, dividends (n,) or None if prices hold them."""

    sessions: NDArray[np.datetime64]
    values: Floats
    dividend: Floats | None


@dataclass(frozen=True, slots=True)
class Question:
    """What a download asks for."""

    source: str
    tickers: tuple[str, ...]
    first: date
    last: date


Fetch = Callable[[Sequence[str], date, date], Mapping[str, FetchedBars]]
Tell = Callable[[str], None]


def download_bars_into(
    folder: Path, question: Question, fetch: Fetch, vix: Callable[[date, date], VixHistory | None], tell: Tell
) -> list[str]:
    """Fetch the bars of `question` (and of the benchmark) into `folder`; return the tickers that have none.

    Parameters
    ----------
    folder
        Made if it is not there. One with other files is refused.
    question
        What is asked for.
    fetch
        Asks the service for some tickers.
    vix
        Asks for VIX closes; None if nobody has them.
    tell
        Is told how far it is.

    Raises
    ------
    FixConfigError
        The folder holds something else, or cannot be written.
    MarketDataError
        The service does not answer; what was fetched stays, and the same command goes on.
    """
    names = tuple(sorted({*question.tickers, BENCHMARK}))
    done = _begun(folder, question)
    left = [name for name in names if name not in done]
    if len(left) < len(names):
        tell(f"{len(names) - len(left)} of {len(names)} tickers are there already")
    for at in range(0, len(left), AT_ONCE):
        some = left[at : at + AT_ONCE]
        tell(f"{question.source}: {len(names) - len(left) + at} of {len(names)} tickers, now {some[0]} to {some[-1]}")
        found = fetch(some, question.first, question.last)
        for name in some:
            bars = found.get(name)
            if bars is not None and len(bars.sessions):
                write_csv(folder / f"{quote(name, safe='^')}.csv", _rows(name, bars))
            done[name] = 0 if bars is None else len(bars.sessions)
        _note(folder, question, done)
    closes = vix(question.first, question.last)
    if closes is not None:
        pairs = zip(closes.days, closes.values, strict=True)
        write_csv(folder / "vix.csv", [("date", "close"), *((str(day), repr(float(value))) for day, value in pairs)])
    tell(f"{question.source}: {len(names)} of {len(names)} tickers" + ("" if closes is not None else "; no VIX"))
    return [name for name in names if not done[name]]


def yahoo_fetch(download: Download | None = None) -> Fetch:
    """Return a function that asks yfinance for prices without dividends in them, and the dividends."""

    def fetch(tickers: Sequence[str], first: date, last: date) -> dict[str, FetchedBars]:
        ask, errors = (download, (Exception,)) if download is not None else yfinance_download()
        symbols = {to_yahoo(name): name for name in tickers}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # yfinance 1.7 on pandas 3.1: dozens a call
                frame = ask(
                    list(symbols),
                    start=first.isoformat(),
                    end=(last + timedelta(days=1)).isoformat(),  # yfinance's end is exclusive
                    auto_adjust=False,
                    actions=True,
                    progress=False,
                    threads=True,
                    group_by="column",
                    multi_level_index=True,
                    timeout=10,
                )
        except errors as error:
            raise MarketDataError(
                f"yahoo: no answer for {shown_few(tickers)} ({type(error).__name__}: {error}); what is there stays: "
                "wait some minutes and give the same command again"
            ) from error
        if frame is None or len(frame) == 0:
            raise MarketDataError(
                f"yahoo: an empty answer for {shown_few(tickers)}; the service limits requests or the tickers are "
                "unknown: what is there stays, give the same command again later"
            )
        return {name: bars for symbol, name in symbols.items() if (bars := _of_frame(frame, symbol)) is not None}

    return fetch


def panel_fetch(history: Callable[[Sequence[str], date, date], MarketPanel]) -> Fetch:
    """Return a function that asks a provider of panels, whose prices hold splits and dividends."""

    def fetch(tickers: Sequence[str], first: date, last: date) -> dict[str, FetchedBars]:
        panel = history(tickers, first, last)
        found = {}
        for i, name in enumerate(panel.tickers):
            rows = np.isfinite(panel.close[:, i])
            columns = [grid[rows, i] for grid in (panel.open, panel.high, panel.low, panel.close, panel.volume)]
            found[name] = FetchedBars(panel.sessions[rows], np.column_stack(columns), None)
        return found

    return fetch


def shown_few(tickers: Sequence[str]) -> str:
    """Return the first tickers of a request, and how many it has."""
    return tickers[0] if len(tickers) == 1 else f"{tickers[0]} and {len(tickers) - 1} more"


def _of_frame(frame: Any, symbol: str) -> FetchedBars | None:
    """Return the whole rows of one ticker from columns (field, ticker)."""
    columns = [(field, symbol) for field in FIELDS]
    if any(column not in frame.columns for column in columns):
        return None
    values = np.column_stack([frame[column].to_numpy(dtype=np.float64) for column in columns])
    paid = ("Dividends", symbol)
    dividend = frame[paid].to_numpy(dtype=np.float64) if paid in frame.columns else np.zeros(len(values))
    days = frame.index.tz_localize(None).to_numpy().astype("datetime64[D]")
    whole = np.isfinite(values).all(axis=1) & (values[:, :4] > 0.0).all(axis=1)
    return FetchedBars(days[whole], values[whole], np.nan_to_num(dividend[whole]))


def _rows(name: str, bars: FetchedBars) -> list[Sequence[object]]:
    header: Sequence[object] = HEADER if bars.dividend is None else (*HEADER, "dividend")
    rows: list[Sequence[object]] = [header]
    for row, (day, values) in enumerate(zip(bars.sessions, bars.values, strict=True)):
        paid = () if bars.dividend is None else (repr(float(bars.dividend[row])),)
        rows.append((str(day), name, *(repr(float(value)) for value in values), *paid))
    return rows


def _begun(folder: Path, question: Question) -> dict[str, int]:
    """Return the tickers that an earlier run of the same question has fetched, and their numbers of bars."""
    note = folder / NOTE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not note.is_file():
            if any(folder.iterdir()):
                raise FixConfigError(f"{folder} holds other files; name a new folder, nothing is overwritten")
            return {}
        known = json.loads(note.read_text(encoding="utf-8"))
    except OSError as error:
        raise FixConfigError(f"{folder} cannot be used ({error}); check path and permissions") from error
    except ValueError:
        return {}
    same = isinstance(known, dict) and all(known.get(key) == value for key, value in _asked(question).items())
    done = known.get("tickers") if same else None
    return {str(name): int(count) for name, count in done.items()} if isinstance(done, dict) else {}


def _note(folder: Path, question: Question, done: Mapping[str, int]) -> None:
    partial = folder / f".{NOTE}.partial"
    partial.write_text(json.dumps({**_asked(question), "tickers": dict(done)}, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / NOTE)


def _asked(question: Question) -> dict[str, str]:
    return {"source": question.source, "from": question.first.isoformat(), "to": question.last.isoformat()}
