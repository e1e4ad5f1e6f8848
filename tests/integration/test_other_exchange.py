"""Bars of another exchange than New York's: London's sessions and pounds, from the folder to page, report, training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from daily_report import main as report_main
from trading_platform import api
from trading_platform.core.errors import FixConfigError
from trading_platform.market_data.calendar import ExchangeCalendar, NyseCalendar
from trading_platform.market_data.exchange import Exchange, exchange_of_source, without_exchange
from trading_platform.reporting.market_words import benchmark_name, in_currency, market_words, page_in_currency
from trading_platform.runtime.command_line import run
from trading_platform.training.env_market import environment_market

LONDON = Exchange("XLON", "GBP", "ISF")
SETTINGS = """[data]
source = "files"
folder = "bars"
calendar = "XLON"
benchmark = "ISF"
vix = "realized"
[engine]
replay_sessions = 20
"""


def bars(calendar: ExchangeCalendar, first: date = date(2021, 9, 1)) -> Iterator[str]:
    """Yield daily bars of a fund and four stocks, to 2023-01, as a CSV file's lines."""
    rng = np.random.default_rng(5)
    yield "date,ticker,open,high,low,close,volume"
    days = calendar.sessions_between(first, date(2023, 1, 31))
    market = rng.normal(0.0004, 0.008, len(days))
    for place, name in enumerate(("ISF", "BARC", "HSBA", "SHEL", "VOD")):
        own = market if name == "ISF" else market + rng.normal(0.0, 0.01, len(days))
        for day, close in zip(days, (5.0 + place) * np.exp(np.cumsum(own)), strict=True):
            yield f"{day},{name},{close:.4f},{close * 1.004:.4f},{close * 0.996:.4f},{close:.4f},2000000"


@pytest.fixture
def london(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with London's bars in bars/ and settings that say so."""
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "all.csv").write_text("\n".join(bars(ExchangeCalendar("XLON"))), encoding="utf-8")
    (tmp_path / "trading.toml").write_text(SETTINGS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_calendar_of_london_opens_where_new_york_is_shut_and_counts_its_own_hours() -> None:
    calendar, new_york = ExchangeCalendar("XLON"), NyseCalendar()
    thanksgiving, jubilee = date(2022, 11, 24), date(2022, 6, 2)

    assert calendar.is_session(thanksgiving)
    assert not new_york.is_session(thanksgiving)
    assert not calendar.is_session(jubilee)
    assert calendar.zone == "Europe/London"
    assert (calendar.close_at(thanksgiving) - calendar.open_at(thanksgiving)).total_seconds() == 8.5 * 3600
    eve = date(2022, 12, 23)
    assert (calendar.close_at(eve) - calendar.open_at(eve)).total_seconds() == 4.5 * 3600


def test_calendar_of_an_unknown_exchange_is_refused_with_what_is_near() -> None:
    with pytest.raises(FixConfigError, match="knows no exchange 'XLOM'; did you mean XLON"):
        ExchangeCalendar("XLOM").is_session(date(2022, 6, 2))


def test_source_carries_its_exchange_and_gives_it_back() -> None:
    marked = LONDON.marked("files:bars")

    assert exchange_of_source(marked) == LONDON
    assert without_exchange(marked) == "files:bars"
    assert market_words(marked) == "files in bars, XLON in GBP"
    assert benchmark_name(marked) == "ISF"
    assert Exchange().marked("files:bars") == "files:bars"
    assert exchange_of_source("files:odd?name") == Exchange()


def test_amounts_are_said_in_the_currency_of_the_bars_and_hashed_scripts_stay() -> None:
    marked = LONDON.marked("files:bars")
    html = "<html lang='en'><p>$1,234.50</p><th>$</th><script>unit === '$' ? 1 : `${x}`</script></html>"

    assert in_currency("+$1.00, mean dollars a day", marked) == "+£1.00, mean GBP a day"
    assert in_currency("+$1.00", "files:bars") == "+$1.00"
    said = page_in_currency(html, marked)
    assert said.startswith('<html data-currency="GBP" lang')
    assert "<p>£1,234.50</p><th>£</th><script>unit === '$' ? 1 : `${x}`</script>" in said
    assert page_in_currency(html, "files:bars") == html


def test_replay_of_london_is_on_its_sessions_and_in_pounds_from_screen_to_page_and_report(
    london: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay"]) == 0
    screen = capsys.readouterr()
    assert "files in bars, XLON in GBP" in screen.out + screen.err
    assert "£100,000.00" in screen.out
    assert "$" not in screen.out

    page = next((london / "reports").glob("run-*.html")).read_text(encoding="utf-8")
    assert 'data-currency="GBP"' in page
    assert "ISF" in page

    assert report_main(["--format", "text"]) == 0
    text = capsys.readouterr().out
    assert "£" in text
    assert "$" not in text

    assert run(["status"]) == 0
    assert "£" in capsys.readouterr().out


def test_data_check_reads_london_by_its_calendar_and_says_by_new_york_s_what_it_may_be(
    london: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "check", "bars", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["folders"]
    assert found["sessions"] == len(ExchangeCalendar("XLON").sessions_between(date(2021, 9, 1), date(2023, 1, 31)))

    notes = api.load(london / "bars", vix="realized").notes
    assert any("such days had trades: bars of another exchange need its calendar in [data]" in note for note in notes)


def test_cash_in_pounds_earns_nothing_by_the_rate_of_dollars_and_it_is_told(london: Path) -> None:
    market = api.load(london / "bars", vix="realized", calendar="XLON", benchmark="ISF")

    assert market.panel.cash_rate is not None
    assert not market.panel.cash_rate.any()
    assert any("cash in GBP earns nothing" in note for note in market.notes)


def test_training_s_market_of_london_is_prepared_by_its_sessions(london: Path) -> None:
    longer = "\n".join(bars(ExchangeCalendar("XLON"), date(2019, 1, 2)))  # training looks back further
    (london / "bars" / "all.csv").write_text(longer, encoding="utf-8")
    panel = api.load(london / "bars", vix="realized", calendar="XLON", benchmark="ISF").panel

    market = environment_market(panel, ["momentum", "mean_reversion"], None)

    assert market.n_sessions == panel.n_sessions
