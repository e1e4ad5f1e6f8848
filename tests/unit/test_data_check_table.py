"""`data check` over every folder of ../shared/cases: what its README expects beside what came, one table.

``PYTHONPATH=. python tests/unit/test_data_check_table.py`` prints the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from trading_platform.configuration.market_tables import DataConfig
from trading_platform.operations.data_commands import CheckResult, check, check_lines

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not there"),
]
NO_BARS = ("c1_toml_bom", "c2_toml_backslash", "c3_env_utf16")  # settings, which other tests read
FORM, GUESSED, LEFT_OUT, UNKNOWN, ATTENTION, REFUSED = "read", "guessed", "left out", "unknown", "attention", "REFUSED"


class Right(NamedTuple):
    """The right answer for a folder: which line of the answer tells what is odd about it, and in which words."""

    line: str
    words: str


# The right answers of ../shared/cases/README.md. A folder that is not named here fails the test.
RIGHT = {
    "bars/alpaca_export": Right(GUESSED, "2023-01-03 05:00:00+00:00 is the session 2023-01-03"),
    "bars/bad_bar_on_the_newest_day": Right(UNKNOWN, "1 bar that cannot be true (bars.csv line 125: AAA 2023-03-31"),
    "bars/compact_dates": Right(FORM, "dates as 20171229"),
    "bars/future_row": Right(REFUSED, "bars.csv line 188: BRK.B 2031-01-02 is yet to come"),
    "bars/holiday_row": Right(LEFT_OUT, "3 bars of days without a session (bars.csv line 101: SPY 2023-02-20"),
    "bars/intraday_rows": Right(REFUSED, "holds intraday bars"),
    "bars/newest_first": Right(FORM, "rows sorted by date"),
    "bars/one_bad_bar": Right(UNKNOWN, "1 bar that cannot be true (bars.csv line 91: AAA 2023-02-10"),
    "bars/one_empty_bar": Right(UNKNOWN, "1 row without prices"),
    "bars/same_row_twice": Right(LEFT_OUT, "1 repeated row (bars.csv line 188: BRK.B 2023-03-31)"),
    "bars/split_not_adjusted": Right(ATTENTION, "AAA 2023-02-10 opened at 0.1004 x the close before"),
    "bars/thousands_separators": Right(FORM, "numbers with commas"),
    "bars/timestamps_with_zone": Right(GUESSED, "2023-01-03 00:00:00-05:00 is the session 2023-01-03"),
    "bars/two_rows_disagree": Right(REFUSED, "line 188: BRK.B 2023-03-31 repeats bars.csv line 187"),
    "bars/us_dates": Right(GUESSED, "month first: 01/03/2023 is 2023-01-03"),
    "bars/utf16": Right(FORM, "UTF-16"),
    "bars/vix_from_fred": Right(FORM, "observation_date, VIXCLS"),
    "bars/yahoo_one_file_a_ticker": Right(GUESSED, "AAA 2023-01-03 open 49.436 -> 47.9529"),
    "bars/yfinance_two_header_rows": Right(FORM, "3 header rows; tickers side by side"),
    "market/00_plain_reference": Right(FORM, "7 tickers, 625 sessions, 2022-01-03 to 2024-06-28, from 2 files"),
    "market/07_finrl_tic": Right(FORM, "tic is the ticker"),
    "market/08_kaggle_Name": Right(FORM, "Name is the ticker"),
    "market/09_yf_actions_raw": Right(GUESSED, "the split of 4 of AAA on 2023-06-12"),
    "market/10_excel_footer": Right(LEFT_OUT, "2 lines that are no bars"),
    "market/14_comment_line": Right(FORM, "remarks in the text"),
    "market/15_quoted_spaces": Right(FORM, "blanks around columns"),
    "market/16_dollar": Right(FORM, "Close/Last is the close; signs $"),
    "market/17_dmon_dates": Right(FORM, "dates as 29-Dec-2017"),
    "market/18_zip_only": Right(FORM, "packed in bars.csv.zip"),
    "market/20_feather": Right(FORM, "a Feather file"),
    "market/21_subfolders": Right(FORM, "from subfolders: 2022/bars.csv"),
    "market/22_vix_history_name": Right(FORM, "VIX_History.csv: by its name it holds VIX"),
    "market/23_vix_yahoo_name": Right(FORM, "^VIX.csv: by its name it holds VIX"),
    "market/24_vix_fred_dot": Right(UNKNOWN, "1 session without VIX"),
    "market/25_vix_as_ticker": Right(FORM, "^VIX among the bars is VIX"),
    "market/26_vix_yf_tz": Right(FORM, "days from times such as 2022-01-03 00:00:00-06:00"),
    "market/27_vix_one_gap": Right(UNKNOWN, "1 session without VIX"),
    "market/30_overlap_years": Right(LEFT_OUT, "7 repeated rows"),
    "market/40_leading_nan_ipo": Right(UNKNOWN, "251 rows without prices (bars.csv, first EEE 2022-01-03)"),
    "market/42_future_stray_all": Right(REFUSED, "line 4377: SPY 2034-06-28 is yet to come"),
    "market/43_case_change_midway": Right(GUESSED, "aaa is AAA"),
    "market/44_rename_midway": Right("ends", "AAAX begins on the next session at its price"),
    "market/47_kaggle_sp500_symbol_blanks": Right(UNKNOWN, "167 rows without prices"),
    "market/48_kaggle_ticker_blanks": Right(UNKNOWN, "167 rows without prices"),
    "market/49_volume_only_row": Right(UNKNOWN, "1 row without prices"),
    "market/53_merger_ends": Right("ends", "BBB has no bar after 2024-01-31"),
    "market/54_live_special_dividend": Right(FORM, "19 tickers, 629 sessions, 2020-01-02 to 2022-06-30"),
    "market/60_events_cash_merger": Right(FORM, "7 tickers, 625 sessions, 2022-01-03 to 2024-06-28, from 3 files"),
    "market/61_events_stock_merger": Right(FORM, "7 tickers, 625 sessions, 2022-01-03 to 2024-06-28, from 3 files"),
    "market/62_events_rename": Right(FORM, "AAA is AAAX from 2024-02-01 on"),
    "market/63_events_spin_off": Right(FORM, "8 tickers, 625 sessions, 2022-01-03 to 2024-06-28, from 3 files"),
    "market/64_events_delisting": Right(FORM, "7 tickers, 625 sessions, 2022-01-03 to 2024-06-28, from 3 files"),
    "market/65_three_sessions_without_bars": Right(UNKNOWN, "3 missing bars"),
    "market/66_universe_over_time": Right(FORM, "7 tickers, 625 sessions, 2022-01-03 to 2024-06-28, from 3 files"),
    "market/67_events_wrong_rows": Right(REFUSED, "5 things are wrong with the data"),
}


class Row(NamedTuple):
    folder: str
    expected: str
    got: str
    agrees: bool


def now() -> datetime:
    return datetime(2026, 11, 28, 2, tzinfo=UTC)


def rows() -> list[Row]:
    folders = [path for place in ("bars", "market") for path in sorted((CASES / place).iterdir())]
    checked = [path for path in folders if path.name not in NO_BARS]
    return [row_of(result) for result in check(checked, DataConfig(), now=now)]


def row_of(result: CheckResult) -> Row:
    name = "/".join(Path(result.name).parts[-2:])
    right = RIGHT.get(name)
    if right is None:
        return Row(name, "no right answer is known", "", agrees=False)
    lines = check_lines(result, verbose=True)
    line = line_of(lines, right.line)
    code = 6 if right.line == REFUSED else 0
    agrees = right.words in line and result.exit_code == code
    return Row(name, f"{code}, {right.line}: {right.words}", f"{result.exit_code}, {line or lines[0]}", agrees)


def line_of(lines: Sequence[str], which: str) -> str:
    """Return the line of an answer that tells a kind of thing; of a refusal everything."""
    if which == REFUSED:
        return " ".join(lines) if lines[0].endswith(REFUSED) else ""
    if which == "ends":
        return next((line for line in lines if "ends before the others" in line), "")
    return next((line for line in lines if line.startswith(f"  {which}")), "")


def table(found: Sequence[Row]) -> str:
    head = ["| folder | | expected | got |", "|---|---|---|---|"]
    return "\n".join(
        [
            *head,
            *(f"| {row.folder} | {'' if row.agrees else 'DIFFERS'} | {row.expected} | {row.got} |" for row in found),
        ]
    )


def test_data_check_of_every_folder_of_the_cases_answers_as_their_readme_says() -> None:
    found = rows()

    assert {row.folder for row in found} == set(RIGHT)
    wrong = [row for row in found if not row.agrees]
    assert wrong == [], table(wrong)


def test_data_check_table_of_another_answer_differs() -> None:
    (result,) = check([CASES / "bars" / "one_bad_bar"], DataConfig(), now=now)
    other = CheckResult(result.name, None, (), (), "refused for no reason")

    assert row_of(result).agrees
    assert not row_of(other).agrees


if __name__ == "__main__":
    print(table(rows()))  # noqa: T201 - what it was asked for
