"""``data check|convert|download|show``: words, codes, files, and a download that goes on where it broke."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from trading_platform.configuration.market_tables import DataConfig
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.market_data.download import Fetch, Question, panel_fetch, yahoo_fetch
from trading_platform.market_data.files import FilesMarketData
from trading_platform.market_data.panel import VixHistory
from trading_platform.operations.data_commands import (
    check,
    check_lines,
    convert,
    data_app,
    data_main,
    download,
    files_market,
    picture_lines,
    write_picture,
)

DAYS = pd.bdate_range("2024-06-03", "2024-06-14")
BARS = "date,ticker,open,high,low,close,volume\n" + "".join(
    f"{day.date()},{ticker},{price + i / 10},{price * 1.2},{price * 0.8},{price + i / 10},1000\n"
    for ticker, price in (("AAA", 10.0), ("GLD", 20.0), ("SPY", 50.0))
    for i, day in enumerate(DAYS)
)
ASKED = Question("yahoo", ("AAA", "BRK.B"), DAYS[0].date(), DAYS[-1].date())


def now() -> datetime:
    return datetime(2026, 11, 28, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "bars"
    path.mkdir()
    (path / "bars.csv").write_text(BARS)
    (path / "vix.csv").write_text("date,close\n" + "".join(f"{day.date()},15.5\n" for day in DAYS))
    return path


class Yahoo:
    """A stand-in for yfinance.download that breaks on the request with the given number."""

    def __init__(self, breaks_at: int = 0) -> None:
        self.asked: list[list[str]] = []
        self.breaks_at = breaks_at

    def __call__(self, tickers: list[str], **options: Any) -> pd.DataFrame:
        self.asked.append(tickers)
        assert options["auto_adjust"] is False
        if len(self.asked) == self.breaks_at:
            raise OSError("the line is dead")
        columns = {}
        for place, ticker in enumerate(tickers):
            close = 50.0 + place + np.arange(len(DAYS)) / 10
            for field, factor in (("Open", 1.0), ("High", 1.02), ("Low", 0.98), ("Close", 1.0)):
                columns[field, ticker] = close * factor
            columns["Volume", ticker] = np.full(len(DAYS), 1e6)
            columns["Dividends", ticker] = np.where(np.arange(len(DAYS)) == 3, 0.25, 0.0)
        return pd.DataFrame(columns, index=DAYS)


def vix(first: date, last: date) -> VixHistory:
    return VixHistory(DAYS.to_numpy().astype("datetime64[D]"), np.full(len(DAYS), 15.0), "stand-in")


def test_check_tells_what_was_read_guessed_and_left_out_in_three_lines(folder: Path) -> None:
    (folder / "notes.md").write_text("words")

    (result,) = check([folder], DataConfig(), now=now)

    assert result.exit_code == 0
    lines = check_lines(result)
    assert lines[0] == f"{folder}: fine to trade; 2 remarks"
    assert lines[1] == "  read      3 tickers, 10 sessions, 2024-06-03 to 2024-06-14, from 2 files"
    assert lines[2] == "  guessed   nothing"
    assert lines[3] == "  left out  notes.md (no table)"
    assert lines[4].startswith("  short     10 sessions")
    assert "--verbose" in lines[5]


def test_check_of_data_that_cannot_be_read_says_why_and_is_code_6(folder: Path) -> None:
    (folder / "more.csv").write_text("date,ticker,open,high,low,close,volume\n2099-01-01,AAA,1,1,1,1,1\n")

    (result,) = check([folder], DataConfig(), now=now)

    assert result.exit_code == 6
    assert check_lines(result)[0] == f"{folder}: REFUSED"
    assert "more.csv line 2" in result.error


def test_check_of_folders_read_together_is_one_result(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "bars.csv").write_text(BARS.replace("AAA", "CCC"))

    (result,) = check([folder, other], DataConfig(), together=True, now=now)

    assert result.panel is not None
    assert result.panel.tickers == ("AAA", "CCC", "GLD", "SPY")


def test_check_command_prints_one_json_object_and_ends_with_the_worst_code(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    outcome = CliRunner().invoke(
        data_app, ["check", str(folder), str(tmp_path / "empty"), "--json"], standalone_mode=False
    )

    found = json.loads(outcome.stdout)
    assert outcome.return_value == 6
    assert found["readable"] is False
    assert [entry["readable"] for entry in found["folders"]] == [True, False]
    assert found["folders"][0]["tickers"] == 3
    assert "holds no" in found["folders"][1]["error"]


def test_converted_folder_reads_back_as_the_same_panel(folder: Path, tmp_path: Path) -> None:
    (folder / "events.csv").write_text("date,ticker,kind,new_ticker,ratio,cash\n2024-06-12,AAA,cash_merger,,,11.5\n")
    (folder / "universe.csv").write_text("ticker,from,to\nAAA,2024-06-04,2024-06-10\nGLD,,\n")
    (folder / "cash_rate.csv").write_text("date,rate\n2024-06-05,5.25\n")
    (folder / "sectors.csv").write_text("ticker,sector\nAAA,Energy\n")
    out = tmp_path / "out"

    lines = convert([folder], out, DataConfig(), now)

    assert "reads back the same" in lines[1]
    assert sorted(path.name for path in out.iterdir()) == [
        "assets.csv",
        "bars.csv",
        "cash_rate.csv",
        "events.csv",
        "sectors.csv",
        "universe.csv",
        "vix.csv",
    ]
    assert (
        files_market([out], DataConfig(), now).history().data_hash
        == files_market([folder], DataConfig(), now).history().data_hash
    )


def test_convert_overwrites_nothing(folder: Path) -> None:
    with pytest.raises(FixConfigError, match="is not empty"):
        convert([folder], folder, DataConfig(), now)


def fetched(out: Path, fetch: Fetch, question: Question = ASKED) -> tuple[list[str], list[str]]:
    told: list[str] = []
    return download(question, out, DataConfig(), fetch, vix, told.append, now), told


def test_download_keeps_one_file_a_ticker_with_dividends_and_says_what_is_next(tmp_path: Path) -> None:
    lines, told = fetched(tmp_path / "out", yahoo_fetch(Yahoo()))

    panel = FilesMarketData(tmp_path / "out", now=now).history()
    assert panel.tickers == ("AAA", "BRK.B")
    assert panel.dividend is not None
    assert panel.dividend[3].tolist() == [0.25, 0.25]
    assert panel.vix[0] == 15.0
    assert told[0] == "yahoo: 0 of 3 tickers, now AAA to SPY"
    assert lines[-1] == f"next: python autonomous_trading_engine.py --data-dir {tmp_path / 'out'}"


def test_broken_download_goes_on_where_it_was(tmp_path: Path) -> None:
    many = Question("yahoo", tuple(f"A{chr(65 + i)}" for i in range(25)), ASKED.first, ASKED.last)
    broken, again = Yahoo(breaks_at=2), Yahoo()
    with pytest.raises(MarketDataError, match=r"the line is dead.*give the same command again"):
        fetched(tmp_path / "out", yahoo_fetch(broken), many)

    _, told = fetched(tmp_path / "out", yahoo_fetch(again), many)

    assert [len(names) for names in again.asked] == [6]
    assert told[0] == "20 of 26 tickers are there already"
    assert FilesMarketData(tmp_path / "out", now=now).history().n_tickers == 25


def test_another_question_fetches_anew(tmp_path: Path) -> None:
    fetched(tmp_path / "out", yahoo_fetch(Yahoo()))
    again = Yahoo()

    fetched(tmp_path / "out", yahoo_fetch(again), Question("yahoo", ("AAA",), date(2024, 6, 4), ASKED.last))

    assert again.asked == [["AAA", "SPY"]]


def test_download_into_a_folder_with_other_files_is_refused(folder: Path) -> None:
    with pytest.raises(FixConfigError, match="holds other files"):
        fetched(folder, yahoo_fetch(Yahoo()))


def test_download_of_the_wrong_way_round_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixConfigError, match="--to 2024-06-03 lies before --from 2024-06-14"):
        fetched(tmp_path / "out", yahoo_fetch(Yahoo()), Question("yahoo", ("AAA",), ASKED.last, ASKED.first))


def test_provider_of_panels_is_kept_without_dividends(folder: Path, tmp_path: Path) -> None:
    source = FilesMarketData(folder, with_benchmark=True, now=now)

    def history(tickers: Sequence[str], first: date, last: date) -> Any:
        return source.history(tickers, first, last)

    fetched(tmp_path / "out", panel_fetch(history), Question("alpaca", ("AAA",), ASKED.first, ASKED.last))

    panel = FilesMarketData(tmp_path / "out", now=now).history()
    assert panel.tickers == ("AAA",)
    assert panel.dividend is None


def test_picture_in_characters_has_both_ends_and_fits_the_width(folder: Path) -> None:
    panel = files_market([folder], DataConfig(), now).history()

    lines = picture_lines(panel, "AAA", width=40, height=6, plain=True)

    assert lines[0] == "AAA  10 bars, close 10.90 on 2024-06-14 (+9.0% in all)"
    assert lines[1].startswith("     10.90 ")
    assert lines[1].rstrip().endswith("*")
    assert lines[6].startswith("     10.00 *")
    assert "2024-06-03" in lines[7]
    assert "2024-06-14" in lines[7]
    assert all(len(line) <= 60 and line.isascii() for line in lines)
    with pytest.raises(MarketDataError, match="'ZZZ' is not in"):
        picture_lines(panel, "ZZZ")


@pytest.mark.parametrize(("name", "first"), [("a.svg", b"<svg"), ("a.png", b"\x89PNG")])
def test_picture_is_written_as_svg_or_png(folder: Path, tmp_path: Path, name: str, first: bytes) -> None:
    panel = files_market([folder], DataConfig(), now).history()

    write_picture(panel, "AAA", tmp_path / name)

    assert (tmp_path / name).read_bytes().startswith(first)
    with pytest.raises(FixConfigError, match=r"a picture is a \.svg or a \.png file"):
        write_picture(panel, "AAA", tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "data: Missing command; see"),
        (["check"], "data: Missing argument 'DIR'; see"),
        (["chekc", "bars"], "No such command 'chekc'. Did you mean 'check'"),
        (["download", "AAA", "--to", "2024-13"], r"'--to': must be a day such as 2024-03-28 .*, was '2024-13'; see"),
    ],
)
def test_misspelt_words_are_one_sentence_with_where_to_look(words: list[str], message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        data_main(words)


def test_last_day_may_be_a_year_and_is_then_its_last() -> None:
    with pytest.raises(FixConfigError, match="--to 2019-12-31 lies before --from 2020-01-01"):
        data_main(["download", "AAA", "--from", "2020", "--to", "2019"])


def test_picture_fits_a_screen_of_80_columns(folder: Path) -> None:
    lines = picture_lines(files_market([folder], DataConfig(), now).history(), "AAA")

    assert max(len(line) for line in lines) < 80
