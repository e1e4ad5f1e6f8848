"""Bars in the forms that people have: each gives the panel of the plain form, or is refused in words."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.dates import DateOrder
from trading_platform.market_data.files import FilesMarketData
from trading_platform.market_data.reading_rules import Rules

Form = Callable[[Path], None]
NUMBERS = ("open", "high", "low", "close", "volume", "vix", "benchmark")
FORMS: dict[str, Form] = {}
REFUSED: dict[str, tuple[Form, str]] = {}


def now() -> datetime:
    return datetime(2026, 11, 28, 2, tzinfo=UTC)


def plain_bars() -> pd.DataFrame:
    """Three tickers over the 62 sessions of early 2023, prices with four decimals."""
    random = np.random.default_rng(5)
    sessions = NyseCalendar().sessions_between(pd.Timestamp("2023-01-03").date(), pd.Timestamp("2023-03-31").date())
    parts = []
    for ticker in ("AAA", "BRK.B", "SPY"):
        close = np.round(50.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, len(sessions)))), 4)
        opened = np.round(close * np.exp(random.normal(0.0, 0.004, len(sessions))), 4)
        parts.append(
            pd.DataFrame(
                {
                    "date": pd.to_datetime(sessions).astype("datetime64[s]"),
                    "ticker": ticker,
                    "open": opened,
                    "high": np.round(np.maximum(opened, close) * 1.004, 4),
                    "low": np.round(np.minimum(opened, close) * 0.996, 4),
                    "close": close,
                    "volume": random.integers(1_000_000, 3_000_000, len(sessions)),
                }
            )
        )
    return pd.concat(parts).sort_values(["date", "ticker"]).reset_index(drop=True)


BARS = plain_bars()
WIDE = pd.DataFrame(BARS.set_index(["date", "ticker"]).unstack())
PAIRS = [(str(a), str(b)) for a, b in zip(*(WIDE.columns.get_level_values(i) for i in (0, 1)), strict=True)]
PRICES = ("open", "high", "low", "close")


def form(make: Form) -> Form:
    FORMS[make.__name__] = make
    return make


def refused(message: str) -> Callable[[Form], Form]:
    def keep(make: Form) -> Form:
        REFUSED[make.__name__] = make, message
        return make

    return keep


def each(folder: Path, write: Callable[[pd.DataFrame, str], str], name: str = "{}.csv") -> None:
    """Write one file a ticker; `write` returns its text."""
    for ticker, own in BARS.groupby("ticker"):
        (folder / name.format(ticker)).write_text(write(own.drop(columns="ticker"), str(ticker)))


def dated(pattern: str) -> pd.DataFrame:
    return BARS.assign(date=BARS.date.dt.strftime(pattern))


def new_york() -> Any:
    return BARS.date.dt.tz_localize("America/New_York").dt.tz_convert("UTC")


def panel_in(folder: Path, make: Form, **options: Any) -> MarketPanel:
    (folder / "vix.csv").write_text("date,close\n" + "".join(f"{day.date()},20.5\n" for day in BARS.date.unique()))
    make(folder)
    return FilesMarketData(folder, now=now, **options).history()


@form
def investing(folder: Path) -> None:
    def text(own: pd.DataFrame, _: str) -> str:
        table = {
            "Date": own.date.dt.strftime("%m/%d/%Y"),
            "Price": own.close,
            "Open": own.open,
            "High": own.high,
            "Low": own.low,
            "Vol.": (own.volume / 1e6).map("{:.6f}M".format),
            "Change %": "0.5%",
        }
        return str(pd.DataFrame(table).iloc[::-1].to_csv(index=False, quoting=1))

    each(folder, text, "{} Historical Data.csv")


@form
def nasdaq(folder: Path) -> None:
    def text(own: pd.DataFrame, _: str) -> str:
        dollars = {name: own[name].map("${}".format) for name in PRICES}
        table = {
            "Date": own.date.dt.strftime("%m/%d/%Y"),
            "Close/Last": dollars["close"],
            "Volume": own.volume.map("{:,}".format),
            "Open": dollars["open"],
            "High": dollars["high"],
            "Low": dollars["low"],
        }
        return str(pd.DataFrame(table).iloc[::-1].to_csv(index=False))

    each(folder, text)


@form
def stooq(folder: Path) -> None:
    for ticker, own in BARS.groupby("ticker"):
        name = str(ticker).lower().replace(".", "-") + ".us"
        table = {
            "<TICKER>": name.upper(),
            "<PER>": "D",
            "<DATE>": own.date.dt.strftime("%Y%m%d"),
            "<TIME>": "000000",
            "<OPEN>": own.open,
            "<HIGH>": own.high,
            "<LOW>": own.low,
            "<CLOSE>": own.close,
            "<VOL>": own.volume,
            "<OPENINT>": 0,
        }
        pd.DataFrame(table).to_csv(folder / f"{name}.txt", index=False)


@form
def excel_with_decimal_commas(folder: Path) -> None:
    dated("%d.%m.%Y").to_csv(folder / "kurse.csv", sep=";", decimal=",", index=False)


@form
def points_between_thousands(folder: Path) -> None:
    table = dated("%d/%m/%Y").assign(volume=BARS.volume.map(lambda value: f"{value:,}".replace(",", ".")))
    table.to_csv(folder / "bars.csv", sep=";", decimal=",", index=False)


@form
def german_names(folder: Path) -> None:
    names = {
        "date": "Datum",
        "open": "Erster",
        "high": "Hoch",
        "low": "Tief",
        "close": "Schlusskurs",
        "volume": "Stuecke",
    }
    each(folder, lambda own, _: str(own.rename(columns=names).to_csv(sep=";", decimal=",", index=False)))


@form
def tabs(folder: Path) -> None:
    BARS.to_csv(folder / "bars.tsv", sep="\t", index=False)


@form
def printed_table(folder: Path) -> None:
    (folder / "bars.txt").write_text(BARS.to_string(index=False))


@form
def unnamed_index(folder: Path) -> None:
    BARS.to_csv(folder / "bars.csv")


def two_levels(field_first: bool, names: list[str | None]) -> pd.DataFrame:
    pairs = [(str(a).title(), str(b).replace(".", "-")) for a, b in PAIRS]
    table = WIDE.copy()
    table.columns = pd.MultiIndex.from_tuples(pairs if field_first else [(b, a) for a, b in pairs], names=names)
    table.index.name = "Date"
    return table


@form
def yfinance_many_tickers(folder: Path) -> None:
    two_levels(True, ["Price", "Ticker"]).to_csv(folder / "yf.csv")


@form
def yfinance_by_ticker(folder: Path) -> None:
    two_levels(False, ["Ticker", "Price"]).sort_index(axis=1).to_csv(folder / "yf.csv")


@form
def two_levels_in_parquet(folder: Path) -> None:
    two_levels(True, [None, None]).to_parquet(folder / "yf.parquet")


@form
def yfinance_history_with_zone(folder: Path) -> None:
    def text(own: pd.DataFrame, _: str) -> str:
        zoned = own.assign(date=own.date.dt.tz_localize("America/New_York"), Dividends=0.0, **{"Stock Splits": 0.0})
        return str(zoned.rename(columns=str.title).to_csv(index=False))

    each(folder, text)


@form
def names_such_as_aaa_open(folder: Path) -> None:
    table = WIDE.copy()
    table.columns = [f"{b}_{str(a).title()}" for a, b in PAIRS]
    table.to_csv(folder / "wide.csv")


@form
def names_such_as_open_aaa(folder: Path) -> None:
    table = WIDE.copy()
    table.columns = [f"{a} {b}" for a, b in PAIRS]
    table.to_csv(folder / "wide.csv")


@form
def a_field_a_file(folder: Path) -> None:
    for name in (*PRICES, "volume"):
        WIDE[name].to_csv(folder / f"prices_{name}.csv")


@form
def seconds_since_1970(folder: Path) -> None:
    BARS.assign(date=BARS.date.astype("int64")).rename(columns={"date": "timestamp"}).to_csv(
        folder / "b.csv", index=False
    )


@form
def nanoseconds_in_new_york(folder: Path) -> None:
    stamps = new_york().dt.as_unit("ns").astype("int64")
    BARS.assign(date=stamps).rename(columns={"date": "window_start"}).to_csv(folder / "b.csv.gz", index=False)


@form
def letters_for_columns(folder: Path) -> None:
    letters = {"date": "t", "ticker": "S", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    BARS.assign(date=new_york().dt.strftime("%Y-%m-%dT%H:%M:%SZ"), vw=1).rename(columns=letters).to_csv(
        folder / "b.csv", index=False
    )


@form
def tiingo(folder: Path) -> None:
    def text(own: pd.DataFrame, _: str) -> str:
        extra = {f"adj{name.title()}": own[name] for name in (*PRICES, "volume")}
        return str(
            own.assign(
                date=own.date.dt.strftime("%Y-%m-%dT00:00:00.000Z"), **extra, divCash=0.0, splitFactor=1.0
            ).to_csv(index=False)
        )

    each(folder, text)


@form
def tradingview(folder: Path) -> None:
    def text(own: pd.DataFrame, _: str) -> str:
        opens = (own.date + pd.Timedelta(hours=9, minutes=30)).dt.tz_localize("America/New_York").dt.tz_convert("UTC")
        return str(own.assign(time=opens.dt.as_unit("s").astype("int64")).drop(columns="date").to_csv(index=False))

    each(folder, text, "BATS_{}, 1D.csv")


@form
def metatrader(folder: Path) -> None:
    def text(own: pd.DataFrame, _: str) -> str:
        table = own.assign(date=own.date.dt.strftime("%Y.%m.%d")).rename(columns=lambda name: f"<{name.upper()[:6]}>")
        return str(table.rename(columns={"<VOLUME>": "<VOL>"}).to_csv(index=False, sep="\t"))

    each(folder, text)


@form
def class_shares_with_a_dash(folder: Path) -> None:
    BARS.assign(ticker=BARS.ticker.str.replace(".", "-")).to_csv(folder / "bars.csv", index=False)


@form
def class_shares_with_a_slash(folder: Path) -> None:
    BARS.assign(ticker=BARS.ticker.str.replace(".", "/")).to_csv(folder / "bars.csv", index=False)


@form
def closing_times_in_utc(folder: Path) -> None:
    closes = (BARS.date + pd.Timedelta(hours=16)).dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    BARS.assign(date=closes).to_csv(folder / "bars.csv", index=False)


@form
def times_with_the_name_of_their_zone(folder: Path) -> None:
    dated("%Y-%m-%d 00:00:00 America/New_York").to_csv(folder / "bars.csv", index=False)


@form
def parquet_with_row_numbers_and_a_csv_of_another_form(folder: Path) -> None:
    dated("%m/%d/%Y")[BARS.ticker != "AAA"].to_parquet(folder / "rest.parquet")
    BARS[BARS.ticker == "AAA"].drop(columns="ticker").to_csv(folder / "AAA.csv", index=False, sep=";", decimal=",")


@form
def afternoons(folder: Path) -> None:
    dated("%m/%d/%Y 04:00:00 PM").to_csv(folder / "bars.csv", index=False)


@form
def days_in_words(folder: Path) -> None:
    dated("%A, %B %d, %Y").to_csv(folder / "bars.csv", index=False)


@form
def years_of_two_figures(folder: Path) -> None:
    dated("%m/%d/%y").to_csv(folder / "bars.csv", index=False)


@form
def excel_day_numbers(folder: Path) -> None:
    BARS.assign(date=(BARS.date - pd.Timestamp("1899-12-30")).dt.days).to_csv(folder / "bars.csv", index=False)


@form
def time_in_a_column_of_its_own(folder: Path) -> None:
    BARS.assign(time="16:00").to_csv(folder / "bars.csv", index=False)


@form
def no_header(folder: Path) -> None:
    BARS.to_csv(folder / "bars.csv", index=False, header=False)


@form
def utf16_without_mark(folder: Path) -> None:
    (folder / "bars.csv").write_bytes(BARS.to_csv(index=False).encode("utf-16-le"))


@form
def windows_1252(folder: Path) -> None:
    (folder / "bars.csv").write_bytes(BARS.assign(company="Soci\xe9t\xe9").to_csv(index=False).encode("latin-1"))


@form
def byte_order_mark(folder: Path) -> None:
    (folder / "bars.csv").write_bytes(BARS.to_csv(index=False).encode("utf-8-sig"))


@form
def lines_of_an_old_mac(folder: Path) -> None:
    (folder / "bars.csv").write_bytes(BARS.to_csv(index=False).replace("\n", "\r").encode())


@form
def excel_separator_hint(folder: Path) -> None:
    (folder / "bars.csv").write_text("sep=;\n" + BARS.to_csv(index=False, sep=";"))


@form
def titles_and_sums(folder: Path) -> None:
    text = BARS.to_csv(index=False)
    (folder / "bars.csv").write_text(
        f"Price history\nSource: Vendor, Inc.\n\n{text}\nSource: Vendor\nTotal rows,186,,,,,\n"
    )


@form
def zip_of_many(folder: Path) -> None:
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for ticker, own in BARS.groupby("ticker"):
            archive.writestr(f"data/{ticker}.csv", own.drop(columns="ticker").to_csv(index=False))
        archive.writestr("readme.txt", "hello")


@form
def a_folder_a_ticker(folder: Path) -> None:
    for ticker, own in BARS.groupby("ticker"):
        (folder / str(ticker)).mkdir()
        own.drop(columns="ticker").to_csv(folder / str(ticker) / "2023.csv", index=False)


@form
def feather(folder: Path) -> None:
    BARS.to_feather(folder / "bars.feather")


@form
def parquet_with_an_index_and_a_zone(folder: Path) -> None:
    zoned = BARS.assign(date=BARS.date.dt.tz_localize("America/New_York"))
    zoned.set_index(["date", "ticker"]).to_parquet(folder / "bars.parquet")


@form
def headers_within(folder: Path) -> None:
    text = BARS.iloc[:90].to_csv(index=False) + BARS.iloc[90:].to_csv(index=False)
    (folder / "bars.csv").write_text(text)


@form
def adjusted_columns_alone(folder: Path) -> None:
    BARS.rename(columns={name: f"Adj {name.title()}" for name in (*PRICES, "volume")}).to_csv(
        folder / "b.csv", index=False
    )


@form
def crsp(folder: Path) -> None:
    names = {"ticker": "TICKER", "low": "BIDLO", "high": "ASKHI", "close": "PRC", "volume": "VOL", "open": "OPENPRC"}
    dated("%Y%m%d").rename(columns=names).assign(PERMNO=1).to_csv(folder / "crsp.csv", index=False)


@form
def calendar_days_filled_forward(folder: Path) -> None:
    parts = []
    for ticker, own in BARS.groupby("ticker"):
        days = pd.date_range("2023-01-03", "2023-03-31", name="date")
        filled = own.set_index("date").reindex(days)
        filled[list(PRICES)] = filled[list(PRICES)].ffill()
        parts.append(filled.assign(volume=filled.volume.fillna(0), ticker=ticker).reset_index())
    pd.concat(parts).to_csv(folder / "bars.csv", index=False)


@refused(r"closes alone cannot be traded at an open")
def closes_side_by_side(folder: Path) -> None:
    WIDE["close"].to_csv(folder / "prices.csv")


@refused(r"closes alone cannot be traded at an open")
def closes_in_rows(folder: Path) -> None:
    BARS[["date", "ticker", "close"]].to_csv(folder / "bars.csv", index=False)


@refused(r'date .01/03/2023. can be day or month first.*date_order = "month_first" or "day_first"')
def dates_that_fit_both_orders(folder: Path) -> None:
    dated("%m/%d/%Y")[BARS.date.dt.day <= 12].to_csv(folder / "bars.csv", index=False)


@refused(r"column open is missing, the header has date, ticker, Opn, high.*did you mean 'Opn' for open")
def a_slip_in_a_name(folder: Path) -> None:
    BARS.rename(columns={"open": "Opn"}).to_csv(folder / "bars.csv", index=False)


@refused(r"prices.csv: no ticker: .*name the file by its ticker")
def no_ticker(folder: Path) -> None:
    BARS[BARS.ticker == "AAA"].drop(columns="ticker").to_csv(folder / "prices.csv", index=False)


@refused(r"bars.xlsx: an Excel workbook: save it as CSV")
def a_workbook(folder: Path) -> None:
    (folder / "bars.xlsx").write_bytes(b"PK")


@pytest.mark.parametrize("name", FORMS)
def test_bars_of_each_form_are_the_plain_panel_and_the_form_is_told(tmp_path: Path, name: str) -> None:
    for folder in ("plain", "form"):
        (tmp_path / folder).mkdir()
    plain = panel_in(tmp_path / "plain", lambda folder: BARS.to_csv(folder / "bars.csv", index=False))

    panel = panel_in(tmp_path / "form", FORMS[name])

    assert panel.tickers == ("AAA", "BRK.B")
    for field in NUMBERS:
        np.testing.assert_allclose(getattr(panel, field), getattr(plain, field), rtol=1e-9)
    assert panel.member is None
    quiet = ("lines_of_an_old_mac",)
    assert len(panel.warnings) > len(plain.warnings) or name in quiet, panel.warnings


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_cure(tmp_path: Path, name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(MarketDataError, match=message):
        panel_in(tmp_path, make)


def test_ambiguous_dates_are_read_in_the_order_that_settings_name(tmp_path: Path) -> None:
    make, _ = REFUSED["dates_that_fit_both_orders"]

    panel = panel_in(tmp_path, make, rules=Rules(DateOrder.MONTH_FIRST), max_bad_pct=100.0)

    assert str(panel.sessions[0]) == "2023-01-03"


def test_ambiguous_dates_are_read_in_the_order_that_the_other_files_show(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        table = dated("%m/%d/%Y")
        short = (BARS.ticker == "AAA") & (BARS.date.dt.day <= 12) & (BARS.date.dt.month == 1)
        table[BARS.ticker != "AAA"].to_csv(folder / "one.csv", index=False)
        table[short].to_csv(folder / "another.csv", index=False)

    panel = panel_in(tmp_path, write)

    assert int(np.isfinite(panel.close[:, 0]).sum()) == int(
        ((BARS.date.dt.day <= 12) & (BARS.date.dt.month == 1)).sum() / 3
    )
