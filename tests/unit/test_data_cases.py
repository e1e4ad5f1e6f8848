"""Every folder of ../shared/cases reads or refuses as its README says; skipped where the cases are not there."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.trading_config import load_config
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.types import CorporateEvent, EventKind, MarketPanel
from trading_platform.market_data.files import FilesMarketData

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not there"),
]
NUMBERS = ("open", "high", "low", "close", "volume", "vix", "benchmark")

# form -> what is told of it (part of one notice)
SAME_BARS = {
    "alpaca_export": "bars.csv: 2023-01-03 05:00:00+00:00 is the session 2023-01-03",
    "timestamps_with_zone": "2023-01-03 00:00:00-05:00 is the session 2023-01-03",
    "us_dates": "month first: 01/03/2023 is 2023-01-03",
    "compact_dates": "dates as 20171229",
    "newest_first": "rows sorted by date",
    "same_row_twice": "left out: 1 repeated row (bars.csv line 188",
    "thousands_separators": "numbers with commas",
    "utf16": "UTF-16",
    "holiday_row": "left out: 3 bars of days without a session (bars.csv line 101: SPY 2023-02-20",
    "vix_from_fred": "VIXCLS",
}
SAME_MARKETS = {
    "07_finrl_tic": "tic is the ticker",
    "08_kaggle_Name": "Name is the ticker",
    "10_excel_footer": "left out: 2 lines that are no bars",
    "14_comment_line": "remarks in the text",
    "15_quoted_spaces": "blanks around columns",
    "16_dollar": "Close/Last is the close; signs $",
    "17_dmon_dates": "dates as 29-Dec-2017",
    "18_zip_only": "packed in bars.csv.zip",
    "20_feather": "a Feather file",
    "21_subfolders": "from subfolders: 2022/bars.csv",
    "22_vix_history_name": "VIX_History.csv: by its name it holds VIX",
    "23_vix_yahoo_name": "^VIX.csv: by its name it holds VIX",
    "25_vix_as_ticker": "^VIX among the bars is VIX",
    "26_vix_yf_tz": "days from times such as 2022-01-03 00:00:00-06:00",
    "30_overlap_years": "left out: 7 repeated rows",
    "43_case_change_midway": "aaa is AAA",
}
UNKNOWN_BARS = {
    "bars/one_bad_bar": ("AAA", date(2023, 2, 10), 1, "unknown: 1 bar that cannot be true (bars.csv line 91"),
    "bars/bad_bar_on_the_newest_day": ("AAA", date(2023, 3, 31), 1, "unknown: 1 bar that cannot be true"),
    "bars/one_empty_bar": ("AAA", date(2023, 2, 10), 1, "unknown: 1 row without prices"),
    "market/40_leading_nan_ipo": ("EEE", date(2022, 1, 3), 251, "unknown: 251 rows without prices"),
    "market/47_kaggle_sp500_symbol_blanks": ("EEE", date(2022, 1, 3), 167, "unknown: 167 rows without prices"),
    "market/48_kaggle_ticker_blanks": ("EEE", date(2022, 1, 3), 167, "unknown: 167 rows without prices"),
    "market/49_volume_only_row": ("CCC", date(2024, 6, 27), 1, "unknown: 1 row without prices"),
    "market/65_three_sessions_without_bars": ("CCC", date(2024, 3, 5), 3, "unknown: 3 missing bars"),
}
REFUSED = {
    "bars/two_rows_disagree": "bars.csv line 188: BRK.B 2023-03-31 repeats bars.csv line 187 with another close",
    "bars/future_row": r"bars.csv line 188: BRK.B 2031-01-02 is yet to come \(today is 2026-11-27\)",
    "bars/intraday_rows": r"holds intraday bars \(bars.csv has several times a day\)",
    "market/42_future_stray_all": r"7 things are wrong.*\n.*line 4377: SPY 2034-06-28(.*\n)*"
    r".*line 4383: FFF 2034-06-28",
    "market/67_events_wrong_rows": r"5 things are wrong(.*\n)*.*line 2: new_ticker.*\n.*line 3: date '2024-02-30'.*\n"
    r".*line 4: ratio '-1'.*\n.*line 6: ratio '0'.*\n.*line 5: there are no bars of QQQQ",
}


def now() -> datetime:
    return datetime(2026, 11, 28, 2, tzinfo=UTC)


@cache
def panel_of(name: str) -> MarketPanel:
    return FilesMarketData(CASES / name, now=now).history()


def told(panel: MarketPanel, text: str) -> bool:
    return any(text in warning for warning in panel.warnings)


@pytest.mark.parametrize("name", SAME_BARS)
def test_bars_of_each_form_are_the_same_panel_and_it_is_told_what_was_understood(name: str) -> None:
    panel, plain = panel_of(f"bars/{name}"), panel_of("bars/newest_first")

    assert panel.data_hash == plain.data_hash
    assert told(panel, SAME_BARS[name]), panel.warnings


@pytest.mark.parametrize("name", SAME_MARKETS)
def test_market_of_each_form_is_the_reference_and_it_is_told_what_was_understood(name: str) -> None:
    panel = panel_of(f"market/{name}")

    assert panel.data_hash == panel_of("market/00_plain_reference").data_hash
    assert told(panel, SAME_MARKETS[name]), panel.warnings


@pytest.mark.parametrize("name", ["24_vix_fred_dot", "27_vix_one_gap"])
def test_blank_day_of_vix_is_unknown_and_nothing_else_changes(name: str) -> None:
    panel, plain = panel_of(f"market/{name}"), panel_of("market/00_plain_reference")

    assert int(np.isnan(panel.vix).sum()) == 1
    known = np.isfinite(panel.vix)
    np.testing.assert_array_equal(panel.vix[known], plain.vix[known])
    np.testing.assert_array_equal(panel.close, plain.close)
    assert told(panel, "unknown: 1 session without VIX")


@pytest.mark.parametrize("name", UNKNOWN_BARS)
def test_bar_that_cannot_be_true_or_is_not_there_is_unknown_counted_and_shown(name: str) -> None:
    ticker, day, count, text = UNKNOWN_BARS[name]
    panel = panel_of(name)
    plain = panel_of("bars/newest_first" if name.startswith("bars/") else "market/00_plain_reference")
    row = panel.sessions.tolist().index(day)

    assert np.isnan(panel.close[row, panel.tickers.index(ticker)])
    assert int(np.isnan(panel.close).sum()) == count
    known = np.isfinite(panel.close)
    np.testing.assert_array_equal(panel.close[known], plain.close[known])
    assert told(panel, text), panel.warnings


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_placed_is_refused_all_at_once(name: str) -> None:
    with pytest.raises(MarketDataError, match=REFUSED[name]):
        panel_of(name)


def test_yahoo_files_are_adjusted_by_their_adjusted_close_and_shown_before_and_after() -> None:
    panel, plain = panel_of("bars/yahoo_one_file_a_ticker"), panel_of("bars/newest_first")

    assert panel.tickers == ("AAA", "BRK.B")
    ratio = 47.9331 / 49.4156
    assert panel.close[0, 0] == pytest.approx(47.9331)
    assert panel.open[0, 0] == pytest.approx(49.436 * ratio)
    np.testing.assert_array_equal(panel.volume, plain.volume)
    assert told(panel, "AAA 2023-01-03 open 49.436 -> 47.9529, close 49.4156 -> 47.9331")


def test_yfinance_file_with_two_header_rows_is_read() -> None:
    panel, plain = panel_of("bars/yfinance_two_header_rows"), panel_of("bars/newest_first")

    assert panel.tickers == ("AAA",)
    np.testing.assert_array_equal(panel.close[:, 0], plain.close[:, 0])


def test_unadjusted_split_is_named_first_and_takes_no_new_risk_from_its_day_on() -> None:
    panel = panel_of("bars/split_not_adjusted")
    row = panel.sessions.tolist().index(date(2023, 2, 10))

    assert panel.warnings[0].startswith("attention: 1 price jump that nothing explains (AAA 2023-02-10")
    assert "split of 10 for 1" in panel.warnings[0]
    assert panel.member is not None
    assert panel.member[:row].all()
    assert panel.member[:, 1].all()
    assert not panel.member[row:, 0].any()


def test_accepted_jump_takes_risk_again() -> None:
    accepted = FilesMarketData(CASES / "bars/split_not_adjusted", accepted_jumps=["AAA 2023-02-10"], now=now).history()

    assert accepted.member is None


def test_actions_beside_an_adjusted_close_are_used_and_it_is_told() -> None:
    panel, plain = panel_of("market/09_yf_actions_raw"), panel_of("market/00_plain_reference")
    split, paid = panel.sessions.tolist().index(date(2023, 6, 12)), panel.sessions.tolist().index(date(2023, 3, 10))

    assert panel.split_ratio is not None
    assert panel.dividend is not None
    assert panel.split_ratio[split, 0] == 4.0
    assert np.count_nonzero(panel.split_ratio != 1.0) == 1
    assert panel.dividend[paid, 1] == 5.0
    assert panel.close[split, 0] == pytest.approx(plain.close[split, 0] / 4.0, rel=1e-4)
    assert told(panel, "the adjusted close is not used")


EVENTS = {
    "60_events_cash_merger": CorporateEvent(date(2024, 2, 1), "BBB", EventKind.CASH_MERGER, "", 1.0, 78.5),
    "61_events_stock_merger": CorporateEvent(date(2024, 2, 1), "BBB", EventKind.STOCK_MERGER, "CCC", 0.9, 1.25),
    "63_events_spin_off": CorporateEvent(date(2024, 2, 1), "DDD", EventKind.SPIN_OFF, "ZZZ", 0.25, 0.0),
    "64_events_delisting": CorporateEvent(date(2024, 2, 1), "EEE", EventKind.DELISTING, "", 1.0, 0.05),
}


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_handed_on(name: str) -> None:
    panel = panel_of(f"market/{name}")

    assert panel.events == (EVENTS[name],)
    assert panel.member is None


def test_rename_is_one_series_under_the_newest_name() -> None:
    panel, plain = panel_of("market/62_events_rename"), panel_of("market/00_plain_reference")

    assert panel.tickers == ("AAAX", *plain.tickers[1:])
    for name in NUMBERS:
        np.testing.assert_array_equal(getattr(panel, name), getattr(plain, name))
    assert told(panel, "AAA is AAAX from 2024-02-01 on")
    by_old_name = FilesMarketData(CASES / "market/62_events_rename", now=now).history(["AAA"])
    assert by_old_name.tickers == ("AAAX",)


def test_universe_over_time_is_membership() -> None:
    panel = panel_of("market/66_universe_over_time")
    first, last = (panel.sessions.tolist().index(day) for day in (date(2024, 1, 2), date(2023, 12, 29)))

    assert panel.member is not None
    assert not panel.member[:first, 0].any()
    assert panel.member[first:, 0].all()
    assert panel.member[: last + 1, 5].all()
    assert not panel.member[last + 1 :, 5].any()


def test_special_dividend_in_the_column_explains_its_gap() -> None:
    panel = panel_of("market/54_live_special_dividend")

    assert panel.member is None
    assert panel.dividend is not None


def test_settings_as_editors_save_them_are_read_or_refused_with_the_cure() -> None:
    assert load_config(CASES / "market/c1_toml_bom/trading.toml").engine.history_sessions == 30
    with pytest.raises(FixConfigError, match=r"folder = 'C:\\Users\\me\\stock data' in single quotes"):
        load_config(CASES / "market/c2_toml_backslash/trading.toml")
    assert load_settings({}, CASES / "market/c3_env_utf16/.env").has_alpaca_keys


@pytest.mark.skipif(not (CASES.parent / "market-data-etf").is_dir(), reason="../shared/market-data-etf is not there")
def test_two_folders_give_each_ticker_once_and_the_benchmark_s_sessions() -> None:
    shared = CASES.parent
    panel = FilesMarketData(
        [shared / "market-data", shared / "market-data-etf"], with_benchmark=True, now=now
    ).history()

    assert panel.session(0) == date(2000, 1, 3)
    assert panel.n_tickers == 119 + 21
    assert panel.benchmark_ticker == "SPY"
    assert panel.asset_classes[panel.tickers.index("TLT")] == panel.sectors[panel.tickers.index("TLT")]
    assert panel.sectors[panel.tickers.index("GLD")] == "gold"
    assert panel.cash_rate is not None
    assert panel.cash_rate[0] == pytest.approx(100 * 365 * 0.0527 / (360 - 91 * 0.0527), rel=0.02)
    np.testing.assert_array_equal(panel.close[:, panel.tickers.index("SPY")], panel.benchmark)
    assert told(panel, "market-data-etf: SPY")
    assert told(panel, "SPY begins on 2000-01-03")
