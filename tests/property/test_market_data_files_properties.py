"""Whatever market is written to files comes back bit for bit, and one seeded fault anywhere is refused by name."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import UNKNOWN_SECTOR, MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.files import FilesMarketData

HEADER = ("date", "ticker", "open", "high", "low", "close", "volume")
CALENDAR = NyseCalendar()


def after_all() -> datetime:
    """Return a clock's time after every drawn day."""
    return datetime(2031, 1, 1, tzinfo=UTC)


TICKERS = ("A", "AA", "BRK.B", "T", "X-1", "ZZZ9")


@dataclass(frozen=True)
class Row:
    """One bar, as a file holds it."""

    day: date
    ticker: str
    open: float
    high: float
    low: float
    close: float
    volume: float

    def text(self) -> str:
        numbers = (self.open, self.high, self.low, self.close, self.volume)
        return ",".join([self.day.isoformat(), self.ticker, *(repr(number) for number in numbers)])


@st.composite
def markets(draw: st.DrawFn) -> list[Row]:
    """Draw bars of a few tickers; some bars are missing, no session is empty, the benchmark may be there."""
    first = draw(st.dates(date(1995, 1, 1), date(2030, 1, 1)))
    sessions = CALENDAR.sessions_between(first, first + timedelta(days=draw(st.integers(5, 14)))).tolist()
    tickers = sorted(draw(st.sets(st.sampled_from(TICKERS), min_size=1, max_size=4)))
    tickers += ["SPY"] if draw(st.booleans()) else []
    rows = []
    for ticker in tickers:
        price = draw(st.floats(0.01, 1e5))
        for session in sessions:
            price *= draw(st.floats(0.6, 1.7))
            body = draw(st.tuples(st.floats(0.9, 1.1), st.floats(1.0, 1.2), st.floats(0.8, 1.0)))
            opened = price * body[0]
            high, low = max(opened, price) * body[1], min(opened, price) * body[2]
            row = Row(session, ticker, opened, high, low, price, float(draw(st.integers(0, 10**10))))
            # the first ticker keeps all bars, so that every session has one
            if ticker == tickers[0] or draw(st.integers(0, 9)):
                rows.append(row)
    return rows


@st.composite
def filings(draw: st.DrawFn) -> Callable[[Path, list[Row]], None]:
    """Draw a way to file rows: sorted by date or ticker, in one to three files, as csv, csv.gz or parquet."""
    n_files = draw(st.integers(1, 3))
    by_ticker = draw(st.booleans())
    formats = [draw(st.sampled_from(["csv", "csv.gz", "parquet"])) for _ in range(n_files)]
    event(f"files: {n_files}")
    for suffix in set(formats):
        event(f"format: {suffix}")

    def file_rows(folder: Path, rows: list[Row]) -> None:
        ordered = sorted(rows, key=lambda row: (row.ticker, row.day) if by_ticker else (row.day, row.ticker))
        cuts = np.linspace(0, len(ordered), n_files + 1).astype(int).tolist()
        for number, suffix in enumerate(formats):
            part = ordered[cuts[number] : cuts[number + 1]]
            if part:
                write_file(folder / f"part{number}.{suffix}", part)

    return file_rows


def write_file(path: Path, rows: list[Row]) -> None:
    text = "\n".join([",".join(HEADER), *(row.text() for row in rows)]) + "\n"
    if path.suffix == ".parquet":
        columns = {"date": [row.day for row in rows]}
        parquet.write_table(
            pa.table({**columns, **{name: [getattr(r, name) for r in rows] for name in HEADER[1:]}}), path
        )
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def expect_equal(panel: MarketPanel, rows: list[Row]) -> None:
    """Compare the panel with the rows, one cell at a time: the slow and obvious way."""
    expected = {(row.day, row.ticker): row for row in rows}
    days = [panel.session(t) for t in range(panel.n_sessions)]
    assert days == sorted({row.day for row in rows})
    assert list(panel.tickers) == sorted({row.ticker for row in rows} - {"SPY"})
    for t, day in enumerate(days):
        for i, ticker in enumerate(panel.tickers):
            row = expected.get((day, ticker))
            for name in HEADER[2:]:
                value = getattr(panel, name)[t, i]
                assert np.isnan(value) if row is None else value == getattr(row, name)
        spy = expected.get((day, "SPY"))
        assert np.isnan(panel.benchmark[t]) if spy is None else panel.benchmark[t] == spy.close


def keep_plausible(rows: list[Row]) -> None:
    """Reject markets that jump as only a bad tick or a split does; the checks take those bars out rightly."""
    for ticker in {row.ticker for row in rows}:
        own = sorted((row for row in rows if row.ticker == ticker), key=lambda row: row.day)
        close = np.array([row.close for row in own])
        size = np.abs(np.log(close[1:] / close[:-1]))
        assume(np.all(size < np.log(1.9)))


@settings(deadline=None, max_examples=60)
@given(rows=markets(), file_rows=filings())
def test_files_round_trip_bit_for_bit(rows: list[Row], file_rows: Callable[[Path, list[Row]], None]) -> None:
    assume({row.ticker for row in rows} != {"SPY"})
    keep_plausible(rows)
    with tempfile.TemporaryDirectory() as folder:
        file_rows(Path(folder), rows)
        provider = FilesMarketData(folder, cache_dir=Path(folder) / "cache", now=after_all)
        panel, again = provider.history(), provider.history()

    expect_equal(panel, rows)
    expect_equal(again, rows)
    assert panel.data_hash == again.data_hash
    assert set(panel.sectors) == {UNKNOWN_SECTOR}
    missing = panel.n_sessions * panel.n_tickers - sum(row.ticker != "SPY" for row in rows)
    event("missing bars" if missing else "full grid")
    assert int(np.isnan(panel.close).sum()) == missing


FAULTS: dict[str, Callable[[Row], Row]] = {
    "open": lambda row: replace(row, open=-row.open),
    "high": lambda row: replace(row, high=float("nan")),
    "low": lambda row: replace(row, low=0.0),
    "close": lambda row: replace(row, close=float("inf")),
    "volume": lambda row: replace(row, volume=-1.0),
    "low <= open, close <= high": lambda row: replace(row, high=row.low, low=row.high * 1.01),
}


@pytest.mark.parametrize("fault", FAULTS)
@settings(deadline=None, max_examples=12)
@given(rows=markets(), data=st.data())
def test_one_bar_that_cannot_be_true_anywhere_is_named_by_its_line_and_unknown_and_nothing_else_changes(
    fault: str, rows: list[Row], data: st.DataObject
) -> None:
    assume({row.ticker for row in rows} != {"SPY"})
    keep_plausible(rows)
    ordered = sorted(rows, key=lambda row: (row.day, row.ticker))
    number = data.draw(st.sampled_from(range(len(ordered))))
    suffix = data.draw(st.sampled_from(["csv", "csv.gz"]))
    gone = [*ordered[:number], *ordered[number + 1 :]]
    assume({row.day for row in gone} == {row.day for row in ordered})  # else the panel is another one
    assume({row.ticker for row in gone} == {row.ticker for row in ordered})
    keep_plausible(gone)
    faulty = [*ordered[:number], FAULTS[fault](ordered[number]), *ordered[number + 1 :]]
    with tempfile.TemporaryDirectory() as folder:
        write_file(Path(folder) / f"bars.{suffix}", faulty)
        panel = FilesMarketData(folder, now=after_all).history()

    expect_equal(panel, gone)
    place = f"unknown: 1 bar that cannot be true (bars.{suffix} line {number + 2}: "
    assert [fault in text for text in panel.warnings if text.startswith(place)] == [True]


@settings(deadline=None, max_examples=40)
@given(rows=markets(), data=st.data())
def test_truncated_gzip_is_refused_wherever_it_ends(rows: list[Row], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.csv.gz"
        write_file(path, sorted(rows, key=lambda row: (row.day, row.ticker)))
        whole = path.read_bytes()
        path.write_bytes(whole[: data.draw(st.integers(1, len(whole) - 1))])
        with pytest.raises(MarketDataError, match=r"bars\.csv\.gz: (the gzip data end|damaged gzip)"):
            FilesMarketData(folder, now=after_all).history()


@settings(deadline=None, max_examples=40)
@given(rows=markets(), data=st.data())
def test_repeated_row_counts_once_and_one_that_disagrees_is_refused_with_both_lines(
    rows: list[Row], data: st.DataObject
) -> None:
    assume({row.ticker for row in rows} != {"SPY"})
    keep_plausible(rows)
    ordered = sorted(rows, key=lambda row: (row.day, row.ticker))
    again = data.draw(st.sampled_from(ordered))
    label = f"{again.ticker} {again.day}"
    with tempfile.TemporaryDirectory() as folder:
        write_file(Path(folder) / "a.csv", ordered)
        write_file(Path(folder) / "b.csv", [again])
        panel = FilesMarketData(folder, now=after_all).history()
        expect_equal(panel, rows)
        assert any(text.startswith("left out: 1 repeated row") for text in panel.warnings)
        write_file(Path(folder) / "b.csv", [replace(again, volume=2.0 * again.volume + 1.0)])
        with pytest.raises(
            MarketDataError, match=rf"b\.csv line 2: {label} repeats a\.csv line \d+ with another volume"
        ):
            FilesMarketData(folder, now=after_all).history()


PIECES = (
    "date",
    "ticker",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "Date",
    "Adj Close",
    "Symbol",
    "AAA",
    "^VIX",
    "SPY",
    "2024-06-03",
    "03/06/2024",
    "20240604",
    "1717372800",
    "10",
    "10.5",
    "-3",
    "1e400",
    "1,5",
    "$7",
    "n/a",
    "",
    "nan",
    ",",
    ",",
    ",",
    ";",
    "\t",
    "|",
    "\n",
    "\n",
    "\r\n",
    '"',
    "#",
    "\ufeff",
    "\0",
    "0x1",
    "12:30",
    "Z",
)


@settings(deadline=None, max_examples=300)
@given(
    text=st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=80).map("".join)),
    name=st.sampled_from(
        [
            "bars.csv",
            "AAA.csv",
            "vix.csv",
            "sectors.csv",
            "events.csv",
            "universe.csv",
            "assets.csv",
            "cash_rate.csv",
            "weights.csv",
            "close.csv",
            "bars.txt",
            "tbill_3m.csv",
        ]
    ),
    raw=st.booleans(),
)
def test_readers_end_with_a_panel_or_with_our_error_whatever_the_text(text: str, name: str, raw: bool) -> None:
    good = "date,ticker,open,high,low,close,volume\n2024-06-03,AAA,10,11,9,10,5\n2024-06-04,AAA,10,11,9,10,5\n"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "good.csv").write_text(good)
        data = text.encode("utf-16-le" if raw else "utf-8", errors="surrogatepass")
        (Path(folder) / name).write_bytes(data)
        try:
            panel = FilesMarketData(folder, now=after_all).history()
        except MarketDataError as error:
            event("refused")
            assert str(error)
        else:
            event("read")
            assert panel.n_tickers >= 1


@settings(deadline=None, max_examples=100)
@given(
    data=st.binary(max_size=300),
    name=st.sampled_from(["a.csv", "a.csv.gz", "a.zip", "a.parquet", "a.feather", "vix.csv.xz"]),
)
def test_readers_end_with_a_panel_or_with_our_error_whatever_the_bytes(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        with pytest.raises(MarketDataError):
            FilesMarketData(folder, now=after_all).history()
