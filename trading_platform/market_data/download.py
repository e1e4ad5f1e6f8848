"""Bars fetched into a folder, one file a ticker, so that a broken download goes on where it was.

Yahoo's prices are kept as they trade today: adjusted for splits, with dividends beside them as cash. Alpaca's are kept
adjusted for both. A note in the folder says what was asked for and what is there; another question fetches anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.market_data.columns import OWN_HEADER
from trading_platform.market_data.own_files import write_csv
from trading_platform.market_data.panel import VixHistory
from trading_platform.market_data.yahoo import BENCHMARK, Download, ask_yfinance, to_yahoo, whole_rows

NOTE = "download.json"
AT_ONCE = 20  # tickers a request: a broken one costs no more, and progress is seen


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
    cure = "what is there stays; wait some minutes and give the same command again"

    def fetch(tickers: Sequence[str], first: date, last: date) -> dict[str, FetchedBars]:
        frame = ask_yfinance(download, tickers, first, last, adjusted=False, cure=cure)
        return {name: bars for name in tickers if len((bars := _with_dividends(frame, to_yahoo(name))).sessions)}

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


def _with_dividends(frame: Any, symbol: str) -> FetchedBars:
    """Return the whole rows of one ticker from columns (field, ticker)."""
    rows, bars = whole_rows(frame, symbol)
    paid = ("Dividends", symbol)
    dividend = frame[paid].to_numpy(dtype=np.float64)[rows] if paid in frame.columns else np.zeros(len(rows))
    return FetchedBars(bars.sessions, bars.values, np.nan_to_num(dividend))


def _rows(name: str, bars: FetchedBars) -> list[Sequence[object]]:
    header: Sequence[object] = OWN_HEADER if bars.dividend is None else (*OWN_HEADER, "dividend")
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
