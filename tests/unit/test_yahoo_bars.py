"""yfinance's known gaps: NaN rows, holidays, repeated days, empty answers, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trading_platform.core.errors import MarketDataError
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.universe import Asset, Universe
from trading_platform.market_data.vix import VixService
from trading_platform.market_data.yahoo import YahooMarketData, download_bars, index_closes, to_yahoo

CALENDAR = NyseCalendar()
START, END = date(2024, 1, 2), date(2024, 1, 12)
NOW = datetime(2024, 1, 12, 23, tzinfo=UTC)


class Yahoo:
    """Answers like `yfinance.download`: columns (field, ticker), NaN where there is nothing."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.spoil: Callable[[pd.DataFrame], pd.DataFrame | None] = lambda frame: frame
        self.error: Exception | None = None

    def __call__(self, tickers: Sequence[str], **options: Any) -> pd.DataFrame | None:
        self.asked.append({"tickers": list(tickers), **options})
        if self.error is not None:
            raise self.error
        start, end = date.fromisoformat(options["start"]), date.fromisoformat(options["end"])
        days = [day for day in CALENDAR.sessions_between(start, end).tolist() if day < end]
        columns = pd.MultiIndex.from_product(
            [["Close", "High", "Low", "Open", "Volume"], tickers], names=["Price", "Ticker"]
        )
        values = np.tile([100.0, 101.0, 99.0, 100.5, 1e6], (len(days), 1))
        frame = pd.DataFrame(np.repeat(values, len(tickers), axis=1), index=pd.DatetimeIndex(days), columns=columns)
        return self.spoil(frame)


def source(
    yahoo: Yahoo, cache_dir: Path | None = None, now: datetime = NOW, *, with_benchmark: bool = False
) -> YahooMarketData:
    universe = Universe((Asset("AAA", "A", "Energy"), Asset("BRK.B", "B", "Financials")))
    vix = VixService([], None, CALENDAR, lambda: now)
    return YahooMarketData(
        cache_dir=cache_dir,
        calendar=CALENDAR,
        universe=universe,
        vix=vix,
        download=yahoo,
        now=lambda: now,
        with_benchmark=with_benchmark,
    )


def test_panel_has_our_tickers_and_the_benchmark_apart() -> None:
    yahoo = Yahoo()
    panel = source(yahoo).history(None, START, END)
    assert (panel.tickers, panel.sectors, panel.n_sessions) == (("AAA", "BRK.B"), ("Energy", "Financials"), 9)
    assert panel.open[0].tolist() == [100.5, 100.5]
    assert panel.benchmark[0] == 100.0
    (asked,) = yahoo.asked
    assert asked["tickers"] == ["AAA", "BRK-B", "SPY"]
    assert (asked["end"], asked["auto_adjust"], asked["progress"]) == ("2024-01-13", True, False)


@pytest.mark.parametrize("field", ["Close", "Open", "Volume"])
def test_rows_with_a_nan_are_no_bars_and_the_gap_is_told(field: str) -> None:
    yahoo = Yahoo()

    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc["2024-01-04", (field, "AAA")] = np.nan
        return frame

    yahoo.spoil = spoil
    panel = source(yahoo).history(None, START, END)
    assert np.isnan(panel.close[2, 0])
    assert np.isnan(panel.open[2, 0])
    assert any("missing bar" in warning for warning in panel.warnings)


def test_rows_on_holidays_are_left_out() -> None:
    yahoo = Yahoo()

    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        holiday = frame.iloc[[0]].set_axis(pd.DatetimeIndex(["2024-01-01"]))
        return pd.concat([holiday, frame])

    yahoo.spoil = spoil
    assert source(yahoo).history(None, START, END).session(0) == START


def test_of_two_rows_for_one_day_the_later_counts() -> None:
    yahoo = Yahoo()

    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        twice = frame.iloc[[-1]] * 1.001
        return pd.concat([frame, twice])

    yahoo.spoil = spoil
    panel = source(yahoo).history(None, START, END)
    assert panel.close[-1, 0] == pytest.approx(100.1)


def test_half_built_bar_of_today_is_not_asked_for() -> None:
    yahoo = Yahoo()
    open_market = datetime(2024, 1, 12, 17, tzinfo=UTC)
    panel = source(yahoo, now=open_market).history(None, START, END)
    assert panel.session(-1) == date(2024, 1, 11)
    assert yahoo.asked[0]["end"] == "2024-01-12"


def test_missing_ticker_is_told_by_name() -> None:
    yahoo = Yahoo()
    yahoo.spoil = lambda frame: frame.drop(columns="AAA", level=1)
    panel = source(yahoo).history(None, START, END)
    assert panel.tickers == ("BRK.B",)
    assert "no bars: AAA" in panel.warnings


@pytest.mark.parametrize("empty", [None, pd.DataFrame()])
def test_empty_answer_is_a_failure(empty: pd.DataFrame | None) -> None:
    yahoo = Yahoo()
    yahoo.spoil = lambda frame: empty
    with pytest.raises(MarketDataError, match=r"yahoo: an empty answer for AAA, BRK\.B, SPY"):
        source(yahoo).history(None, START, END)


def test_error_of_the_library_is_one_message() -> None:
    yahoo = Yahoo()
    yahoo.error = RuntimeError("Too Many Requests")
    with pytest.raises(MarketDataError, match=r"RuntimeError: Too Many Requests.*wait some minutes"):
        source(yahoo).history(None, START, END)


def test_nonsense_prices_are_an_unknown_day_and_nothing_else_stops() -> None:
    yahoo = Yahoo()

    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc["2024-01-04", ("High", "AAA")] = 50.0
        return frame

    yahoo.spoil = spoil
    panel = source(yahoo).history(None, START, END)

    row = panel.sessions.tolist().index(date(2024, 1, 4))
    assert np.isnan(panel.close[row, panel.tickers.index("AAA")])
    assert int(np.isnan(panel.close).sum()) == 1
    assert "yahoo: AAA 2024-01-04" in panel.warnings[0]


def test_second_start_reads_the_cache(tmp_path: Path) -> None:
    yahoo = Yahoo()
    first = source(yahoo, tmp_path).history(None, START, END)
    second = source(yahoo, tmp_path).history(None, START, END)
    assert len(yahoo.asked) == 1
    assert first.data_hash == second.data_hash


def test_future_range_is_an_error() -> None:
    with pytest.raises(MarketDataError, match="completed sessions up to 2024-01-12, none from 2024-02-01"):
        source(Yahoo()).history(None, date(2024, 2, 1), None)


def test_index_closes_come_by_day() -> None:
    yahoo = Yahoo()
    assert index_closes("^VIX", START, date(2024, 1, 3), yahoo) == {START: 100.0, date(2024, 1, 3): 100.0}
    assert yahoo.asked[0]["tickers"] == ["^VIX"]


def test_unknown_ticker_is_absent() -> None:
    yahoo = Yahoo()
    yahoo.spoil = lambda frame: frame.drop(columns="BBB", level=1)
    assert set(download_bars(yahoo, ["AAA", "BBB"], START, END)) == {"AAA"}


def test_share_classes_are_spelled_with_a_dash() -> None:
    assert (to_yahoo("BRK.B"), to_yahoo("AAPL")) == ("BRK-B", "AAPL")


def test_benchmark_is_a_column_where_it_is_asked_for() -> None:
    apart = source(Yahoo()).history(None, START, END)
    beside = source(Yahoo(), with_benchmark=True).history(None, START, END)

    assert apart.tickers == ("AAA", "BRK.B")
    assert apart.benchmark_ticker == ""
    assert beside.tickers == ("AAA", "BRK.B", "SPY")
    assert beside.benchmark_ticker == "SPY"
    assert beside.asset_classes == ("stock", "stock", "equity_us")
    np.testing.assert_array_equal(beside.close[:, 2], beside.benchmark)
