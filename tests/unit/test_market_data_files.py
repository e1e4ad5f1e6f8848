"""A folder of files becomes one panel; every fault is refused with file, line, value and cure."""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from trading_platform.core.errors import MarketDataError
from trading_platform.core.ports import MarketData
from trading_platform.core.types import UNKNOWN_SECTOR
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.files import FilesMarketData
from trading_platform.market_data.schedule import Sessions

SHARED = Path(__file__).parents[3] / "shared" / "market-data"

# two stocks and the benchmark over five sessions; 3 June 2024 was a Monday
BARS = """\
date,ticker,open,high,low,close,volume
2024-06-03,AAA,10,10.5,9.5,10.25,1000
2024-06-03,BBB,50,51,49,50.5,2000
2024-06-03,SPY,500,505,499,503,9000
2024-06-04,AAA,10.25,10.75,10,10.5,1100
2024-06-04,BBB,50.5,52,50,51.5,2100
2024-06-04,SPY,503,506,500,501,9100
2024-06-05,AAA,10.5,11,10.25,10.75,1200
2024-06-05,BBB,51.5,53,51,52.5,2200
2024-06-05,SPY,501,507,500,506,9200
2024-06-06,AAA,10.75,11,10.5,10.8,1300
2024-06-06,BBB,52.5,53.5,51.5,52,2300
2024-06-06,SPY,506,508,504,505,9300
2024-06-07,AAA,10.8,11.2,10.6,11.1,1400
2024-06-07,BBB,52,52.5,50,50.25,2400
2024-06-07,SPY,505,509,503,507,9400
"""
VIX = "date,open,high,low,close\n2024-06-03,13,14,12.5,13.1\n2024-06-04,13,14,12.5,13.2\n2024-06-05,13,14,12,12.6\n"
VIX += "2024-06-06,12.6,13,12,12.5\n2024-06-07,12.5,13,12,12.2\n"
# changes only if the layout of the hash changes, which orphans every stored hash: think twice
GOLDEN_HASH = "7852da76073d847f7bb0bdcc6dc45eb81366d402ebc2e6a48050cb72d16adfb6"
SECTORS = "ticker,sector\nAAA,Energy\nBBB,Utilities\n"


def folder_with(path: Path, **files: str | bytes) -> Path:
    """Write the given files (``bars_csv`` is bars.csv) beside good defaults; None-like empty names are left out."""
    content: dict[str, str | bytes] = {"bars_csv": BARS, "vix_csv": VIX, "sectors_csv": SECTORS, **files}
    for name, text in content.items():
        stem, _, suffix = name.partition("_")
        target = path / f"{stem}.{suffix.replace('_', '.')}"
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def line(number: int, text: str) -> Callable[[str], str]:
    """Replace one line (1 = header) of a file."""

    def edit(content: str) -> str:
        lines = content.splitlines()
        lines[number - 1] = text
        return "\n".join(lines) + "\n"

    return edit


def field(number: int, column: str, value: str) -> Callable[[str], str]:
    """Replace one field of one line."""

    def edit(content: str) -> str:
        lines = content.splitlines()
        fields = lines[number - 1].split(",")
        fields[lines[0].split(",").index(column)] = value
        return line(number, ",".join(fields))(content)

    return edit


def without(text: str) -> Callable[[str], str]:
    """Drop all lines that hold `text`."""
    return lambda content: "".join(row for row in content.splitlines(keepends=True) if text not in row)


def scaled(number: int, factor: float) -> Callable[[str], str]:
    """Multiply the four prices of one line."""

    def edit(content: str) -> str:
        fields = content.splitlines()[number - 1].split(",")
        prices = [f"{float(price) * factor:g}" for price in fields[2:6]]
        return line(number, ",".join([*fields[:2], *prices, fields[6]]))(content)

    return edit


def test_history_lays_the_bars_out_by_session_and_sorted_ticker(tmp_path: Path) -> None:
    panel = FilesMarketData(folder_with(tmp_path)).history()

    assert panel.sessions.tolist() == [date(2024, 6, day) for day in (3, 4, 5, 6, 7)]
    assert panel.tickers == ("AAA", "BBB")
    assert panel.sectors == ("Energy", "Utilities")
    np.testing.assert_array_equal(panel.close, [[10.25, 50.5], [10.5, 51.5], [10.75, 52.5], [10.8, 52], [11.1, 50.25]])
    np.testing.assert_array_equal(panel.open[1], [10.25, 50.5])
    np.testing.assert_array_equal(panel.high[1], [10.75, 52])
    np.testing.assert_array_equal(panel.low[1], [10, 50])
    np.testing.assert_array_equal(panel.volume[4], [1400, 2400])
    np.testing.assert_array_equal(panel.benchmark, [503, 501, 506, 505, 507])
    np.testing.assert_array_equal(panel.vix, [13.1, 13.2, 12.6, 12.5, 12.2])
    assert panel.split_ratio is None
    assert panel.dividend is None
    assert panel.warnings == ()
    assert all(values.flags.c_contiguous for values in (panel.open, panel.high, panel.low, panel.close, panel.volume))


def test_provider_satisfies_the_port_and_names_its_folder(tmp_path: Path) -> None:
    port: MarketData = FilesMarketData(folder_with(tmp_path))

    assert port.name == f"files:{tmp_path}"
    assert port.history().source == port.name


def test_data_hash_is_the_same_on_every_machine(tmp_path: Path) -> None:
    panel = FilesMarketData(folder_with(tmp_path)).history()

    assert panel.data_hash == GOLDEN_HASH


@pytest.mark.parametrize("change", [field(2, "close", "10.26"), field(2, "volume", "1001"), without("2024-06-07")])
def test_data_hash_changes_with_the_content(tmp_path: Path, change: Callable[[str], str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before = FilesMarketData(folder_with(tmp_path / "a")).history()
    after = FilesMarketData(folder_with(tmp_path / "b", bars_csv=change(BARS))).history()

    assert before.data_hash != after.data_hash


def test_data_hash_does_not_depend_on_how_the_rows_are_filed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    header, *rows = BARS.splitlines(keepends=True)
    by_ticker = header + "".join(sorted(rows, key=lambda row: row.split(",")[1]))
    parts = {
        "one_csv_gz": gzip.compress((header + "".join(rows[9:])).encode()),
        "bars_csv": (header + "".join(rows[:9])).encode(),
    }

    hashes = {
        FilesMarketData(folder_with(tmp_path / "a", bars_csv=by_ticker)).history().data_hash,
        FilesMarketData(folder_with(tmp_path / "b", **parts)).history().data_hash,
    }

    assert hashes == {GOLDEN_HASH}


def test_column_names_may_be_in_any_case_and_order_with_extra_columns(tmp_path: Path) -> None:
    rows = [text.split(",") for text in BARS.splitlines()]
    rows[0] = ["Date", "TICKER", "Open", "HIGH", "low", "Close", "Volume"]
    text = "".join(",".join([row[6], *row[:6], "n/a"]) + "\n" for row in rows)

    panel = FilesMarketData(folder_with(tmp_path, bars_csv="\ufeff" + text.replace("n/a", "Adj Close", 1))).history()

    assert panel.data_hash == GOLDEN_HASH


def test_plain_reader_gives_the_same_panel_when_pyarrow_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    NyseCalendar().is_session(date(2024, 6, 3))  # pandas must not meet the blocked package first
    folder = folder_with(tmp_path, bars_csv=BARS.replace("2024-06-05,AAA", "\n2024-06-05,AAA"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    assert FilesMarketData(folder).history().data_hash == GOLDEN_HASH


def test_parquet_without_pyarrow_is_refused_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_with(tmp_path, more_parquet=b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(MarketDataError, match=r"more\.parquet: Parquet needs the package pyarrow"):
        FilesMarketData(folder).history()


@pytest.mark.parametrize("date_type", [pa.date32(), pa.string(), pa.timestamp("ns"), pa.timestamp("us", "UTC")])
def test_parquet_with_any_usual_date_type_gives_the_same_panel(tmp_path: Path, date_type: pa.DataType) -> None:
    header, *rows = [text.split(",") for text in BARS.splitlines()]
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    days = pa.array([date.fromisoformat(text) for text in columns["date"]])
    table = pa.table(
        {
            "Date": days.cast(pa.timestamp("us")).cast(date_type) if date_type != pa.string() else columns["date"],
            "ticker": pa.array(columns["ticker"]).dictionary_encode(),
            **{name: [float(text) for text in columns[name]] for name in ("open", "high", "low", "close")},
            "volume": [int(text) for text in columns["volume"]],
        }
    )
    folder_with(tmp_path)
    (tmp_path / "bars.csv").unlink()
    parquet.write_table(table, tmp_path / "bars.parquet")

    assert FilesMarketData(tmp_path).history().data_hash == GOLDEN_HASH


def test_raw_prices_keep_their_splits_and_dividends(tmp_path: Path) -> None:
    text = "\n".join(f"{row},{'split_ratio,dividend' if i == 0 else ','}" for i, row in enumerate(BARS.splitlines()))
    text = field(7 + 1, "split_ratio", "2")(text)  # AAA on 5 June
    text = field(9, "dividend", "0.35")(text)  # BBB on 5 June
    for number in (8, 11, 14):
        text = halved(number, text)

    panel = FilesMarketData(folder_with(tmp_path, bars_csv=text)).history()

    assert panel.split_ratio is not None
    assert panel.dividend is not None
    np.testing.assert_array_equal(panel.split_ratio[:, 0], [1, 1, 2, 1, 1])
    np.testing.assert_array_equal(panel.dividend[:, 1], [0, 0, 0.35, 0, 0])
    assert panel.warnings == ()  # the split is known, so the halved price is no jump


def halved(number: int, content: str) -> str:
    fields = content.splitlines()[number - 1].split(",")
    fields[2:6] = [str(float(price) / 2) for price in fields[2:6]]
    return line(number, ",".join(fields))(content)


def test_absent_bars_are_nan_and_never_carried(tmp_path: Path) -> None:
    panel = FilesMarketData(folder_with(tmp_path, bars_csv=without("2024-06-05,AAA")(BARS))).history()

    for values in (panel.open, panel.high, panel.low, panel.close, panel.volume):
        assert np.isnan(values[:, 0]).tolist() == [False, False, True, False, False]
    assert panel.warnings == ("unknown: 1 missing bar (AAA 2024-06-04 is followed by 1 session without a bar)",)


def test_without_vix_sectors_and_benchmark_the_unknown_stays_unknown_and_is_said(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text(without(",SPY,")(BARS))

    panel = FilesMarketData(tmp_path).history()

    assert np.isnan(panel.vix).all()
    assert np.isnan(panel.benchmark).all()
    assert panel.sectors == (UNKNOWN_SECTOR, UNKNOWN_SECTOR)
    assert [warning.split(" (")[0] for warning in panel.warnings] == [
        "unknown: 5 sessions without the benchmark",
        "unknown: 5 sessions without VIX",
        "remark: 2 stocks without a sector",
    ]


def test_vix_file_of_the_exchange_is_understood_and_other_days_are_counted(tmp_path: Path) -> None:
    text = "DATE,OPEN,HIGH,LOW,CLOSE\n05/31/2024,13,14,12,12.9\n06/03/2024,13,14,12,13.1\n06/04/2024,13,14,12,13.2\n"
    text += "06/06/2024,13,14,12,12.5\n06/08/2024,1,1,1,12.1\n"

    panel = FilesMarketData(folder_with(tmp_path, vix_csv=text)).history()

    np.testing.assert_array_equal(panel.vix, [13.1, 13.2, np.nan, 12.5, np.nan])
    assert panel.warnings == ("unknown: 2 sessions without VIX (vix.csv has no value for 2024-06-05)",)


def test_vix_on_a_day_without_a_session_is_ignored_counted_and_not_moved_to_the_next(tmp_path: Path) -> None:
    friday = [row for row in BARS.splitlines() if row.startswith("2024-06-07")]
    bars = BARS + "".join(row.replace("2024-06-07", "2024-06-10") + "\n" for row in friday)
    vix = VIX + "2024-06-08,12,12,12,99\n2024-06-09,12,12,12,98\n"

    panel = FilesMarketData(folder_with(tmp_path, vix_csv=vix, bars_csv=bars)).history()

    np.testing.assert_array_equal(panel.vix, [13.1, 13.2, 12.6, 12.5, 12.2, np.nan])
    assert panel.warnings == (
        "unknown: 1 session without VIX (vix.csv has no value for 2024-06-10)",
        "remark: 2 VIX closes of days without a session, left out (vix.csv 2024-06-08 is no session; ignored)",
    )


def test_vix_may_be_a_column_named_vix_and_sectors_may_be_gics(tmp_path: Path) -> None:
    vix = "\n".join(f"{row.split(',')[0]},{row.split(',')[4]}" for row in VIX.splitlines()).replace("close", "vix")
    sectors = "ticker,name,gics_sector\nAAA,Alpha,Energy\nBBB,Beta,\n"

    panel = FilesMarketData(folder_with(tmp_path, vix_csv=vix, sectors_csv=sectors)).history()

    assert panel.vix[0] == 13.1
    assert panel.sectors == ("Energy", UNKNOWN_SECTOR)
    assert panel.warnings == ("remark: 1 stock without a sector (BBB)",)


def test_foreign_files_and_folders_are_skipped_and_counted(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, rates_csv="date,rate_pct\n2024-06-03,5.25\n", notes_txt="ticker", other_csv="x\n1\n")
    (folder / "intraday.csv").mkdir()
    (folder / "._bars.csv").write_bytes(b"\x00\x05\x16\x07")
    (folder / "~$bars.csv").write_bytes(b"\x00")

    panel = FilesMarketData(folder).history()

    assert panel.warnings == (
        "left out: 3 files (other.csv: no bars in its columns x; rates.csv: no bars in its columns date, rate_pct; "
        "notes.txt: no rows)",
    )


def test_another_benchmark_makes_spy_tradable(tmp_path: Path) -> None:
    panel = FilesMarketData(folder_with(tmp_path), benchmark="BBB").history()

    assert panel.tickers == ("AAA", "SPY")
    np.testing.assert_array_equal(panel.benchmark, [50.5, 51.5, 52.5, 52, 50.25])


def test_history_of_some_tickers_and_days(tmp_path: Path) -> None:
    provider = FilesMarketData(folder_with(tmp_path))

    panel = provider.history(["BBB"], date(2024, 6, 1), date(2024, 6, 5))

    assert panel.tickers == ("BBB",)
    assert panel.sectors == ("Utilities",)
    np.testing.assert_array_equal(panel.close, [[50.5], [51.5], [52.5]])
    np.testing.assert_array_equal(panel.vix, [13.1, 13.2, 12.6])
    assert panel.data_hash != provider.history().data_hash
    assert panel.data_hash == provider.history(["BBB"], end=date(2024, 6, 5)).data_hash


def test_history_asked_for_the_benchmark_drops_it_and_says_so(tmp_path: Path) -> None:
    panel = FilesMarketData(folder_with(tmp_path)).history(["SPY", "AAA"])

    assert panel.tickers == ("AAA",)
    assert panel.warnings == ("left out: 1 ticker that was asked for (SPY is the benchmark and is not traded)",)


@pytest.mark.parametrize(
    ("tickers", "start", "end", "message"),
    [
        (["AAAA"], None, None, "ticker 'AAAA' is not in files:.*; did you mean AAA?"),
        (["bbb"], None, None, "did you mean BBB?"),
        (["ZQX"], None, None, "ticker 'ZQX' is not in files:.*; it has AAA, BBB"),
        (["SPY"], None, None, "no ticker was asked for but the benchmark SPY"),
        (None, date(2024, 6, 8), None, "no session from 2024-06-08 to the end; it covers 2024-06-03 to 2024-06-07"),
        (None, None, date(2020, 1, 1), "no session from the beginning to 2020-01-01"),
        (None, date(2024, 6, 7), date(2024, 6, 4), "no session from 2024-06-07 to 2024-06-04"),
    ],
)
def test_history_of_what_is_not_there_is_refused(
    tmp_path: Path, tickers: list[str] | None, start: date | None, end: date | None, message: str
) -> None:
    with pytest.raises(MarketDataError, match=message):
        FilesMarketData(folder_with(tmp_path)).history(tickers, start, end)


def test_history_does_not_share_memory_between_calls(tmp_path: Path) -> None:
    provider = FilesMarketData(folder_with(tmp_path))
    provider.history().close[:] = 0.0

    assert provider.history().close[0, 0] == 10.25


REFUSED: dict[str, tuple[Callable[[str], str], str]] = {
    "no volume column": (lambda text: text.replace("volume", "turnover"), "bars.csv: column volume is missing"),
    "column twice": (lambda text: text.replace("high", "open", 1), "column high is missing"),
    "one column twice beside all": (
        lambda text: "\n".join(f"{row},1" if i else f"{row},close" for i, row in enumerate(text.splitlines())),
        "bars.csv: column close appears twice",
    ),
    "a field too many": (line(6, "2024-06-04,BBB,50.5,52,50,51.5,2100,7"), "bars.csv line 6: 8 fields where .* has 7"),
    "a field too few": (line(6, "2024-06-04,BBB,50.5,52,50,51.5"), "bars.csv line 6: 6 fields where the header has 7"),
    "no such date": (field(6, "date", "2024-06-31"), "line 6: date '2024-06-31' is not a date like 2017-12-29"),
    "date in words": (field(6, "date", "tuesday"), "line 6: date 'tuesday' is not a date like 2017-12-29"),
    "day or month": (field(6, "date", "06/04/2024"), "bars.csv line 6: date '06/04/2024' can be day or month first"),
    "empty date": (field(6, "date", ""), "bars.csv line 6: the date is missing"),
    "two rows disagree": (
        lambda text: text + "2024-06-07,SPY,505,509,503,508,9400\n",
        "bars.csv line 17: SPY 2024-06-07 repeats bars.csv line 16 with another close",
    ),
    "holiday": (lambda text: text.replace("2024-06-07", "2024-06-19"), r"line 14: AAA 2024-06-19 \(Wednesday\) is not"),
    "before the calendar": (field(2, "date", "1962-06-04"), "line 2: AAA 1962-06-04 is outside the calendar"),
    "after the calendar": (field(14, "date", "2204-06-07"), "line 14: AAA 2204-06-07 is outside the calendar"),
    "yet to come": (field(14, "date", "2059-06-06"), "line 14: AAA 2059-06-06 is yet to come"),
    "two sessions without bars": (
        lambda text: without("2024-06-05")(without("2024-06-06")(text)),
        r"no ticker has a bar on 2024-06-05, an NYSE session \(2 such",
    ),
    "no ticker": (field(6, "ticker", ""), "line 6: the ticker is missing"),
    "unclosed quote": (field(6, "ticker", '"BBB'), "bars.csv line .*: not valid CSV"),
    "header only": (lambda text: text.splitlines()[0] + "\n", "bars.csv has a header and no rows with bars"),
    "empty": (lambda _: "", "bars.csv is empty"),
    "benchmark only": (
        lambda text: "".join(r for r in text.splitlines(True) if "AAA" not in r and "BBB" not in r),
        "SPY is the benchmark and the only ticker",
    ),
    "three bad bars": (
        lambda text: field(6, "low", "0")(field(9, "low", "0")(field(12, "low", "0")(text))),
        "3 of 15 bars cannot be true, more than the 5 % that max_bad_bars_pct",
    ),
}


@pytest.mark.parametrize("reader", ["pyarrow", "plain"])
@pytest.mark.parametrize("fault", REFUSED)
def test_rows_that_cannot_be_placed_are_refused_with_file_line_value_and_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, reader: str
) -> None:
    NyseCalendar().is_session(date(2024, 6, 3))
    edit, message = REFUSED[fault]
    folder = folder_with(tmp_path, bars_csv=edit(BARS))
    if reader == "plain":
        monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(MarketDataError, match=message):
        FilesMarketData(folder).history()


UNKNOWN: dict[str, tuple[Callable[[str], str], int, str]] = {
    "words": (field(6, "close", "ten"), 1, "line 6: BBB 2024-06-04: close 'ten' is not a number"),
    "one empty price": (field(6, "close", ""), 1, "line 6: BBB 2024-06-04: close is missing"),
    "nan price": (field(6, "close", "NaN"), 1, "line 6: BBB 2024-06-04: close is missing"),
    "infinite price": (field(6, "high", "inf"), 1, "line 6: BBB 2024-06-04: high inf is not a price above 0"),
    "zero price": (field(6, "low", "0"), 1, "line 6: BBB 2024-06-04: low 0 is not a price above 0"),
    "negative price": (field(6, "open", "-50.5"), 1, "line 6: BBB 2024-06-04: open -50.5 is not a price above 0"),
    "negative volume": (field(6, "volume", "-1"), 1, "line 6: BBB 2024-06-04: volume -1 is not a number >= 0"),
    "nan volume": (field(6, "volume", "nan"), 1, "line 6: BBB 2024-06-04: volume is missing"),
    "infinite volume": (field(6, "volume", "inf"), 1, "line 6: BBB 2024-06-04: volume inf is not"),
    "high below close": (
        field(6, "high", "51.4"),
        1,
        "line 6: BBB 2024-06-04: low <= open, .*open 50.5, high 51.4, low 50, close 51.5",
    ),
    "low above open": (field(6, "low", "50.6"), 1, "line 6: BBB 2024-06-04: low <= open, close <= high does not hold"),
    "high and low swapped": (lambda text: field(6, "low", "52")(field(6, "high", "50")(text)), 1, "line 6: BBB 2024"),
    "cents for dollars": (scaled(15, 100.0), 4, "line 15: BBB 2024-06-07: close 5025 after 52 .* factor of 96.63"),
    "dollars for cents": (scaled(15, 0.01), 4, "line 15: BBB 2024-06-07: close 0.5025 after 52 .* factor of 0.009663"),
    "spike": (scaled(9, 6.0), 2, "line 9: BBB 2024-06-05: close 315 after 51.5 .*and the next bar takes it back"),
    "dip": (scaled(9, 1 / 6), 2, "line 9: BBB 2024-06-05: close 8.75 after 51.5 .*and the next bar takes it back"),
}


@pytest.mark.parametrize("reader", ["pyarrow", "plain"])
@pytest.mark.parametrize("fault", UNKNOWN)
def test_one_bar_that_cannot_be_true_is_unknown_counted_and_shown_and_nothing_else_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, reader: str
) -> None:
    NyseCalendar().is_session(date(2024, 6, 3))
    edit, session, message = UNKNOWN[fault]
    folder = folder_with(tmp_path, bars_csv=edit(BARS))
    if reader == "plain":
        monkeypatch.setitem(sys.modules, "pyarrow", None)

    panel = FilesMarketData(folder).history()

    expected = np.zeros((5, 2), dtype=bool)
    expected[session, 1] = True
    for values in (panel.open, panel.high, panel.low, panel.close, panel.volume):
        np.testing.assert_array_equal(np.isnan(values), expected)
    assert re.search(rf"unknown: 1 bar that cannot be true \(bars.csv {message}", panel.warnings[0]), panel.warnings


READ: dict[str, tuple[Callable[[str], str], str]] = {
    "semicolons": (lambda text: text.replace(",", ";"), "columns separated by semicolons"),
    "tabs": (lambda text: text.replace(",", "\t"), "columns separated by tabs"),
    "bars": (lambda text: text.replace(",", "|"), r"columns separated by bars \(\|\)"),
    "decimal commas": (lambda text: text.replace(",", ";").replace(".", ","), "guessed: 1 file with decimal commas"),
    "compact date": (field(6, "date", "20240604"), ""),
    "row twice": (lambda text: text + text.splitlines()[-1] + "\n", r"left out: 1 repeated row \(bars.csv line 17"),
    "not sorted": (
        lambda text: without("2024-06-04,BBB")(text) + "2024-06-04,BBB,50.5,52,50,51.5,2100\n",
        "bars.csv: rows sorted by date",
    ),
    "stray blanks": (field(6, "ticker", "BBB "), ""),
    "lower case": (field(6, "ticker", "bbb"), "guessed: 1 ticker spelt in another way .*bbb is BBB"),
    "a saturday": (
        lambda text: text + "2024-06-08,AAA,10,11,9,10,5\n",
        r"left out: 1 bar of a day without a session \(bars.csv line 17: AAA 2024-06-08 is a Saturday",
    ),
    "a holiday without trade": (lambda text: text + "2024-05-27,AAA,10,11,9,10,0\n", "left out: 1 bar of a day"),
    "header again": (lambda text: text + text.splitlines()[0] + "\n", "left out: 1 line that is no bar"),
    "a footer": (lambda text: text + "Data provided by nobody\n", "left out: 1 line that is no bar"),
    "a title": (lambda text: "Prices of three\n" + text, "left out: 1 line that is no bar"),
    "blank rows": (lambda text: text + ",,,,,,\n", "left out: 1 line that is no bar"),
    "trailing separators": (lambda text: text.replace("\n", ",\n"), ""),
    "windows": (lambda text: text.replace("\n", "\r\n"), ""),
    "zone": (
        lambda text: (
            text.replace("2024-06-0", "2024-06-0")
            .replace(",AAA", " 16:00:00,AAA")
            .replace(",BBB", " 16:00:00,BBB")
            .replace(",SPY", " 16:00:00,SPY")
        ),
        "guessed: 1 file with times",
    ),
    "milliseconds": (
        lambda text: "\n".join(
            row if i == 0 else f"{(date.fromisoformat(row[:10]) - date(1970, 1, 1)).days * 86_400_000}{row[10:]}"
            for i, row in enumerate(text.splitlines())
        ),
        "dates as seconds since 1970",
    ),
    "brackets": (
        lambda text: text.replace(
            "date,ticker,open,high,low,close,volume", "<DATE>,<TICKER>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>"
        ),
        "<VOL> is the volume",
    ),
    "numbered": (
        lambda text: text.replace("open,high,low,close,volume", "1. open,2. high,3. low,4. close,5. volume"),
        "4. close is the close",
    ),
}


@pytest.mark.parametrize("form", READ)
def test_forms_that_people_have_give_the_same_panel_and_say_what_was_understood(tmp_path: Path, form: str) -> None:
    edit, message = READ[form]

    panel = FilesMarketData(folder_with(tmp_path, bars_csv=edit(BARS))).history()

    assert panel.data_hash == GOLDEN_HASH
    assert any(re.search(message, warning) for warning in panel.warnings) or not message, panel.warnings


def test_a_fault_after_blank_lines_is_named_by_the_line_an_editor_shows(tmp_path: Path) -> None:
    text = field(6, "close", "-1")(BARS).replace("2024-06-03,SPY", "\n\n2024-06-03,SPY")

    panel = FilesMarketData(folder_with(tmp_path, bars_csv=text)).history()

    assert "bars.csv line 8: BBB 2024-06-04" in panel.warnings[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            gzip.compress(BARS.encode())[:-20],
            r"more.csv.gz: the gzip data end in the middle, after [\d,]+ bytes; download",
        ),
        (gzip.compress(BARS.encode())[:-8] + b"\0" * 8, "more.csv.gz: damaged gzip data after"),
        (gzip.compress(BARS.encode())[:60] + b"\xff" * 40, "more.csv.gz: damaged gzip data after"),
        (BARS.encode(), "more.csv.gz: damaged gzip data after 0 bytes"),
        (gzip.compress(b""), "more.csv.gz is empty"),
        (
            gzip.compress(field(2, "close", "10.26")(BARS).encode()),
            "more.csv.gz line 2: AAA 2024-06-03 repeats bars.csv line 2 with another close",
        ),
    ],
    ids=["truncated", "checksum", "garbage", "not gzip", "empty", "in another file already"],
)
def test_faulty_gzip_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        FilesMarketData(folder_with(tmp_path, more_csv_gz=content)).history()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("vix_csv", "date,level\n2024-06-03,13\n", r"vix.csv: needs the columns date and close \(or vix\)"),
        ("vix_csv", "date,close\n", "vix.csv has a header and no rows"),
        ("vix_csv", "date,close\n2024-06-03,13\n2024-06-04,high\n", "vix.csv line 3: VIX 'high' is not a number"),
        ("vix_csv", "date,close\n2024-06-03,nan\n", "vix.csv has a header and no rows with values"),
        ("vix_csv", "date,close\n06-03-2024,13\n", "vix.csv: dates such as '06-03-2024' can be day or month"),
        ("vix_csv", "date,close\n2024-06-03,0.13\n", r"vix.csv line 2: 2024-06-03 VIX 0.13 is outside 5..150"),
        ("vix_csv", "date,close\n2024-06-03,1310\n", r"VIX 1310 is outside 5..150"),
        ("vix_csv", "date,close\n2024-06-03,13\n2024-06-03,14\n", "line 3: 2024-06-03 has VIX 14, and 13 in"),
        ("sectors_csv", "ticker,industry\nAAA,Oil\n", "sectors.csv: needs the columns ticker and sector"),
        ("sectors_csv", "ticker,sector\nAAA,Energy\nAAA,Utilities\n", "line 3: AAA is in 'Utilities' and was in"),
    ],
)
def test_faulty_side_files_are_refused_with_the_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        FilesMarketData(folder_with(tmp_path, **{name: text})).history()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("split_ratio", "0", "line 6: BBB 2024-06-04: split_ratio 0 is not a factor above 0"),
        ("split_ratio", "two", "line 6: split_ratio 'two' is not a number"),
        ("dividend", "-0.1", "line 6: BBB 2024-06-04: dividend -0.1 is not dollars a share >= 0"),
    ],
)
def test_faulty_corporate_actions_are_refused(tmp_path: Path, column: str, value: str, message: str) -> None:
    text = "\n".join(f"{row},{column if i == 0 else ''}" for i, row in enumerate(BARS.splitlines())) + "\n"

    with pytest.raises(MarketDataError, match=message):
        FilesMarketData(folder_with(tmp_path, bars_csv=field(6, column, value)(text))).history()


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("date", [None, "2024-06-03"], "more.parquet row 1: the date is missing"),
        ("ticker", ["CCC", None], "more.parquet row 2: the ticker is missing"),
        ("close", ["ten", "11"], "more.parquet row 1: CCC 2024-06-03: close 'ten' is not a number"),
        ("date", ["yesterday", "today"], "more.parquet row 1: date 'yesterday' is not a date"),
    ],
)
def test_faulty_parquet_is_refused_with_row_or_column(
    tmp_path: Path, column: str, values: list[str | float | None], message: str
) -> None:
    good = {"date": ["2024-06-03", "2024-06-04"], "ticker": ["CCC"] * 2, "volume": [1, 2]}
    table = pa.table({**good, **{name: [10.0, 10.0] for name in ("open", "high", "low", "close")}, column: values})
    parquet.write_table(table, folder_with(tmp_path) / "more.parquet")

    with pytest.raises(MarketDataError, match=message):
        FilesMarketData(tmp_path).history()


def test_broken_parquet_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"more\.parquet: not a readable Parquet file"):
        FilesMarketData(folder_with(tmp_path, more_parquet=b"PAR1 but not really")).history()


def test_folders_without_bars_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="nowhere is not a folder"):
        FilesMarketData(tmp_path / "nowhere").history()
    with pytest.raises(MarketDataError, match=r"holds no \*.csv"):
        FilesMarketData(tmp_path).history()
    (tmp_path / "vix.csv").write_text(VIX)
    with pytest.raises(
        MarketDataError, match=r"holds no file with bars \(vix.csv: VIX\); a bar file needs the columns date"
    ):
        FilesMarketData(tmp_path).history()


def test_snapshot_gives_the_same_panel_without_reading_the_calendar_or_the_bars(tmp_path: Path) -> None:
    folder, cache = folder_with(tmp_path), tmp_path / "cache"
    first = FilesMarketData(folder, cache_dir=cache).history()

    class NoCalendar(NyseCalendar):
        def sessions_between(self, start: date, end: date) -> Sessions:
            raise AssertionError("the snapshot was not used")

    second = FilesMarketData(folder, cache_dir=cache, calendar=NoCalendar()).history()

    assert second.data_hash == first.data_hash
    assert (second.tickers, second.sectors, second.warnings) == (first.tickers, first.sectors, first.warnings)
    assert second.source == first.source
    for name in ("sessions", "open", "high", "low", "close", "volume", "vix", "benchmark"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))


def test_snapshot_keeps_splits_and_warnings(tmp_path: Path) -> None:
    text = "\n".join(f"{row},{'split_ratio' if i == 0 else ''}" for i, row in enumerate(BARS.splitlines())) + "\n"
    folder, cache = folder_with(tmp_path, bars_csv=without("2024-06-05,AAA")(text)), tmp_path / "cache"

    first = FilesMarketData(folder, cache_dir=cache).history()
    second = FilesMarketData(folder, cache_dir=cache).history()

    assert second.split_ratio is not None
    assert second.dividend is None
    assert second.warnings == first.warnings
    assert len(second.warnings) == 1


def test_snapshot_answers_with_the_name_that_the_folder_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    folder_with(tmp_path / "data")
    monkeypatch.chdir(tmp_path)

    names = [
        FilesMarketData(path, cache_dir=tmp_path).history().source for path in ("data", "./data", tmp_path / "data")
    ]

    assert names == ["files:data", "files:data", f"files:{tmp_path / 'data'}"]


@pytest.mark.parametrize("name", ["bars.csv", "vix.csv", "sectors.csv"])
def test_snapshot_is_not_used_after_a_file_has_changed(tmp_path: Path, name: str) -> None:
    folder, cache = folder_with(tmp_path), tmp_path / "cache"
    before = FilesMarketData(folder, cache_dir=cache).history()
    change = {"bars.csv": ("10.25,1000", "10.3,1000"), "vix.csv": ("13.1", "13.3"), "sectors.csv": ("Energy", "Staple")}
    path = folder / name
    path.write_text(path.read_text().replace(*change[name]))

    assert FilesMarketData(folder, cache_dir=cache).history().data_hash != before.data_hash


@pytest.mark.parametrize("damage", ["truncated", "altered", "garbage", "pickle"])
def test_damaged_snapshot_is_not_used_and_is_written_anew(tmp_path: Path, damage: str) -> None:
    folder, cache = folder_with(tmp_path), tmp_path / "cache"
    FilesMarketData(folder, cache_dir=cache).history()
    [snapshot] = cache.iterdir()
    good = snapshot.read_bytes()
    if damage == "truncated":
        snapshot.write_bytes(good[: len(good) // 2])
    elif damage == "altered":
        arrays = dict(np.load(snapshot, allow_pickle=False))
        arrays["close"] = arrays["close"] * 2.0
        np.savez(snapshot, **arrays)
    elif damage == "garbage":
        snapshot.write_bytes(b"not a zip file")
    else:
        np.savez(snapshot, head=np.array([{"run": "code"}], dtype=object), allow_pickle=True)

    panel = FilesMarketData(folder, cache_dir=cache).history()

    assert panel.data_hash == GOLDEN_HASH
    assert panel.close[0, 0] == 10.25
    assert dict(np.load(snapshot, allow_pickle=False))["close"][0, 0] == 10.25


def test_snapshot_folder_that_cannot_be_written_does_not_stop_the_load(tmp_path: Path) -> None:
    occupied = tmp_path / "cache"
    occupied.write_text("a file where the folder should be")

    assert FilesMarketData(folder_with(tmp_path), cache_dir=occupied).history().data_hash == GOLDEN_HASH


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real history is not beside the repository")
def test_real_history_loads_with_its_known_oddities() -> None:
    panel = FilesMarketData(SHARED).history()

    assert panel.close.shape == (4528, 119)
    assert not np.isnan(panel.close).any()
    assert not np.isnan(panel.vix).any()
    assert not np.isnan(panel.benchmark).any()
    assert panel.close[0, panel.tickers.index("AAPL")] == 0.839281
    assert panel.sectors[panel.tickers.index("AAPL")] == "Information Technology"
    assert UNKNOWN_SECTOR not in panel.sectors
    assert [warning.split(" (")[0] for warning in panel.warnings] == [
        "left out: 5 files",
        "remark: 32 moves of more than 40 % in a day",  # REGN 2003-03-31 is no split, by its turnover
        "remark: 3 bars without volume",
        "remark: 6 bars repeated for days",
        "remark: 1 VIX close of a day without a session, left out",  # 2004-06-11, the mourning for President Reagan
    ]
    assert "AAPL 2000-09-29 close moved -51.9%" in panel.warnings[1]
    assert "intraday/hour_lean.csv.gz: intraday bars" in panel.warnings[0]
    assert panel.member is None
