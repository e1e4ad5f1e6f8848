"""The page of a run: whole, self-contained, safe, and with the very numbers of the run's JSON."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_world import STRATEGIES, Plan, build

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.reporting.kept_pages import parts_of
from trading_platform.reporting.plain import MONTHS, dollars
from trading_platform.reporting.run_page import document, run_parts
from trading_platform.reporting.run_page_file import defaults, draw_again, holds_prices, write_page, write_run_page
from trading_platform.reporting.run_prices import packed_prices, price_book
from trading_platform.reporting.run_record import RunRecord, read_record
from trading_platform.reporting.run_results import RunResults, run_results
from trading_platform.reporting.run_shape import contributions
from trading_platform.reporting.run_verdict import signed_percent
from trading_platform.storage.database import open_database
from trading_platform.storage.reader import read_database

VOID = {"meta", "br", "input"}
EVIL = ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--", "=1+1", "日本電気", "A&B"]
DATA = 'type="application/json"'


def results_of(path: Path, run_id: int = 1) -> RunResults:
    engine = open_database(path, read_only=True)
    found = run_results(engine, run_id)
    engine.dispose()
    return found


def record_of(path: Path, run_id: int = 1) -> RunRecord:
    found = read_database(path, lambda reader: read_record(reader, run_id))
    assert found is not None
    return found


def page_of(path: Path, panel: MarketPanel | None = None) -> str:
    return document(*run_parts(record_of(path), results_of(path), panel, defaults()))


@pytest.fixture
def year(tmp_path: Path) -> Path:
    build(tmp_path / "trading.db", Plan(sessions=260))
    return tmp_path / "trading.db"


class Page(HTMLParser):
    """Reads a page, checks that tags are closed in order, and collects tables, tiles and data."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        inner = self.stack[-1] if self.stack else ""
        if inner == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif inner != "style":
            self.text += data
            if {"td", "th"} & set(self.stack):
                self.tables[-1][-1][-1] += data

    def data(self, name: str) -> Any:
        return next(json.loads(text) for attributes, text in self.scripts if attributes.get("id") == name)

    def rows(self, *head: str) -> list[dict[str, str]]:
        """Return the rows of the table whose titles begin with `head`, by title."""
        found = next(table for table in self.tables if tuple(table[0][: len(head)]) == head)
        return [dict(zip(found[0], row, strict=True)) for row in found[1:]]


def test_page_is_whole_and_its_policy_lets_nothing_else_in(year: Path) -> None:
    html = page_of(year)
    page = Page(html)
    for _, attributes in page.tags:
        assert not {"src", "srcset", "style", "onclick"} & set(attributes)
        assert str(attributes.get("href", "#")).startswith("#")
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", html)
    assert "NaN" not in html
    assert "None" not in page.text
    policy = next(str(a["content"]) for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    style = html[html.index("<style>") + 7 : html.index("</style>")]
    script = next(text for attributes, text in page.scripts if not attributes)
    for kind, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert sum(not attributes for attributes, _ in page.scripts) == 1


def test_what_scrolls_can_be_reached_by_keyboard_and_what_is_drawn_has_a_name(year: Path) -> None:
    page = Page(page_of(year))
    frames = [attributes for _, attributes in page.tags if attributes.get("class") == "scroll"]
    assert len(frames) > 5
    assert all(frame.get("tabindex") == "0" and frame.get("aria-label") for frame in frames)
    drawings = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("role") == "img"]
    assert len(drawings) > 5
    assert all(drawing.get("aria-label") for drawing in drawings)


def test_page_has_the_numbers_of_the_json(year: Path) -> None:
    results = results_of(year).to_dict()
    page = Page(page_of(year))
    for wanted in (
        f"{results['sessions']:,} sessions",
        f"{100 * results['max_drawdown']:.1f} %",
        f"{100 * results['avg_exposure']:.1f} %",
        f"{results['sharpe']:.2f}",
        f"beta {results['beta']:.2f}",
        dollars(results["final_equity"], sign=False),
        dollars(results["costs"]["total"], sign=False),
        "SIMULATED",
    ):
        assert wanted in page.text, wanted
    lines = page.rows("", "P&L", "realised")
    assert [line[""] for line in lines] == [*results["strategies"], "interest, account", "together"]
    for line in lines[:-2]:
        result = results["strategies"][line[""]]
        assert line["P&L"] == dollars(result["pnl"])
        assert line["trades"] == f"{result['trades']:,}"
        assert line["all costs"] == dollars(-result["costs"])
    change = results["final_equity"] - record_of(year).run.capital - results["cash_flow"]
    assert lines[-1]["P&L"] == dollars(round(change, 2))
    costs = page.rows("", "dollars")
    assert costs[-1]["dollars"] == dollars(results["costs"]["total"], sign=False)
    denials = {line["rule"]: line["refused"] for line in page.rows("rule", "refused")}
    assert denials == {code: f"{count:,}" for code, count in results["denials"].items()}
    assert denials
    for finding in results["critique"]:
        assert finding["message"] in page.text


def test_lines_of_strategies_end_where_the_results_say(year: Path) -> None:
    record, results = record_of(year), results_of(year)
    brought = contributions(record.lives)
    assert set(brought) == set(STRATEGIES)
    for name, values in brought.items():
        assert values[-1] == pytest.approx(results.strategies[name].pnl, abs=1e-9)


def test_months_compound_to_years_and_years_to_the_whole(year: Path) -> None:
    page, results = Page(page_of(year)), results_of(year)
    lines = page.rows("", "Year")
    for line in lines:
        months = [1 + float(line[name]) / 100 for name in MONTHS if line[name]]
        assert np.prod(months) - 1 == pytest.approx(float(line["Year"]) / 100, abs=0.01)  # of figures with one decimal
    whole = np.prod([1 + float(line["Year"]) / 100 for line in lines]) - 1
    assert whole == pytest.approx(results.total_return, abs=0.002)


def test_all_trades_are_in_the_data_and_the_latest_in_the_table(year: Path) -> None:
    page, results, record = Page(page_of(year)), results_of(year), record_of(year)
    data = page.data("trade-data")
    assert len(data["columns"]["pnl"]) == results.trades == len(record.trades)
    closed = sum(result.closed_pnl for result in results.strategies.values())
    assert sum(data["columns"]["pnl"]) / 100 == pytest.approx(closed, abs=0.005)
    days = page.data("days")
    first = page.rows("", "P&L", "P&L %")[0]
    n = max(range(results.trades), key=lambda k: (data["columns"]["exit"][k], -data["columns"]["ticker"][k]))
    assert first["sold"] == days[data["columns"]["exit"][n]]
    assert len(page.rows("", "P&L", "P&L %")) == min(60, results.trades)


def test_hostile_names_are_text(tmp_path: Path) -> None:
    build(tmp_path / "evil.db", Plan(sessions=90, names=EVIL, capital=1_000_000_00))
    engine = open_database(tmp_path / "evil.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET tag = ?, note = ?, name = ?", (EVIL[0], EVIL[1], EVIL[2]))
    engine.dispose()
    page = Page(page_of(tmp_path / "evil.db"))
    assert sum(not attributes for attributes, _ in page.scripts) == 1
    assert not any(tag == "img" for tag, _ in page.tags)
    assert {ticker["name"] for ticker in page.data("price-data")["tickers"]} <= set(EVIL)
    assert EVIL[0] in page.text
    assert EVIL[1] in page.text


def bars_like(record: RunRecord, shift: int = 0) -> MarketPanel:
    """Return bars that hold what the run has booked; `shift` sessions too late for a control."""
    tickers = tuple(sorted(set(record.levels.tickers) | {fill.ticker for fill in record.fills}))
    closes: Floats = np.full((len(record.days), len(tickers)), 50.0)
    columns = [tickers.index(name) for name in record.levels.tickers]
    closes[record.levels.rows, columns] = record.levels.prices
    closes = np.roll(closes, shift, axis=0)
    unknown = np.full(len(record.days), np.nan)
    sessions = np.array([day.session for day in record.days], dtype="datetime64[D]")
    return MarketPanel(
        sessions,
        tickers,
        closes,
        closes,
        closes,
        closes,
        closes,
        unknown,
        unknown,
        ("x",) * len(tickers),
        "files:x",
        "h",
    )


def test_prices_are_of_the_bars_and_unpack_to_them(year: Path) -> None:
    record = record_of(year)
    panel = bars_like(record)
    packed = packed_prices(record, price_book(record, panel))
    assert packed["step"] == 1
    for ticker in packed["tickers"]:
        found = np.cumsum(ticker["closes"]) / 10.0 ** ticker["decimals"]
        wanted = panel.close[:, panel.tickers.index(ticker["name"])]
        assert found == pytest.approx(wanted, rel=2e-3)
    fills = sum(len(ticker["fills"]) for ticker in packed["tickers"])
    assert fills == len(record.fills)


def test_without_bars_prices_are_of_what_was_held_and_the_page_says_so(year: Path) -> None:
    record = record_of(year)
    packed = packed_prices(record, price_book(record, None))
    known = sum(close is not None for ticker in packed["tickers"] for close in ticker["closes"])
    assert known == len(record.levels.tickers)
    assert "Prices are known only while something was held." in page_of(year)
    assert "Prices are known only" not in page_of(year, bars_like(record))


def test_bars_of_another_market_are_not_taken_for_the_runs_own(year: Path) -> None:
    record = record_of(year)
    assert holds_prices(bars_like(record), record)
    assert not holds_prices(bars_like(record, shift=1), record)
    assert not holds_prices(bars_like(record._replace(days=record.days[:-1], levels=bare(record))), record)


def bare(record: RunRecord) -> Any:
    kept = record.levels.rows < len(record.days) - 1
    return record.levels._replace(
        tickers=tuple(name for name, keep in zip(record.levels.tickers, kept, strict=True) if keep),
        rows=record.levels.rows[kept],
        prices=record.levels.prices[kept],
    )


def test_too_many_prices_are_thinned_and_the_page_says_so(year: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_platform.reporting.run_prices.MOST_CLOSES", 2_500)
    html = page_of(year, bars_like(record_of(year)))
    assert Page(html).data("price-data")["step"] == 3
    assert "Every third session is drawn." in html


@pytest.mark.parametrize("mode", ["replay", "paper", "alpaca_paper", "alpaca_live"])
def test_page_says_whose_money_it_is(tmp_path: Path, mode: str) -> None:
    build(tmp_path / "a.db", Plan(sessions=70, mode=mode, status="running"))
    word = {"alpaca_paper": "PAPER MONEY", "alpaca_live": "REAL MONEY"}.get(mode, "SIMULATED")
    text = Page(page_of(tmp_path / "a.db")).text
    assert text.count(word) == 1
    assert "not finished (running)" in text


def test_short_and_idle_runs_have_pages(tmp_path: Path) -> None:
    build(tmp_path / "short.db", Plan(sessions=2))
    page, results = Page(page_of(tmp_path / "short.db")), results_of(tmp_path / "short.db")
    gain = signed_percent(results.total_return - results.bills_return)
    assert "Too few sessions for ranges" in page.text
    assert "Over bills, in allin 2 sessions" in page.text.replace(gain, "")
    assert "A year over bills" not in page.text
    build(tmp_path / "idle.db", Plan(sessions=80, max_positions=0))
    idle = Page(page_of(tmp_path / "idle.db"))
    assert "Nothing was traded." in idle.text
    assert "No trade was closed." in idle.text


def test_one_close_is_nothing_to_draw(tmp_path: Path) -> None:
    build(tmp_path / "one.db", Plan(sessions=1))
    with pytest.raises(FixConfigError, match="run 1 has fewer than 2 booked closes"):
        write_run_page(tmp_path / "one.db", results_of(tmp_path / "one.db"), None, tmp_path)
    with pytest.raises(FixConfigError, match="run 9 has fewer"):
        write_run_page(tmp_path / "one.db", replace(results_of(tmp_path / "one.db"), run_id=9), None, tmp_path)


def test_page_is_written_whole_over_an_older_one(year: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    write_page(folder, "run-1.html", "old")
    path = write_run_page(year, results_of(year), None, folder)
    assert path == folder / "run-1.html"
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert [file.name for file in folder.iterdir()] == ["run-1.html"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FixConfigError, match=r"file/run-1\.html: the page cannot be written"):
        write_page(tmp_path / "file", "run-1.html", "x")


def test_ten_years_of_fifty_tickers_stay_below_three_megabytes(tmp_path: Path) -> None:
    build(tmp_path / "long.db", Plan(sessions=2_520, tickers=50, max_positions=20, first=date(2012, 1, 3)))
    html = page_of(tmp_path / "long.db", bars_like(record_of(tmp_path / "long.db")))
    assert len(html.encode()) < 3_000_000
    assert results_of(tmp_path / "long.db").trades > 1_000


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def in_browser(path: Path) -> str:
    """Return the page as Chromium has it after its script has run."""
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={path.parent / 'profile'}",
            "--virtual-time-budget=3000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.real
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_runs_the_script_under_the_policy_and_no_other(tmp_path: Path) -> None:
    build(tmp_path / "evil.db", Plan(sessions=300, names=EVIL, capital=1_000_000_00))
    trades = results_of(tmp_path / "evil.db").trades
    assert trades > 60
    html = page_of(tmp_path / "evil.db")
    seen = in_browser(write_page(tmp_path, "run.html", html))
    assert f"{trades} of {trades} closed trades" in seen
    assert 'class="price"' in seen
    assert "<img" not in seen
    altered = in_browser(write_page(tmp_path, "altered.html", html.replace("// What needs a hand", "// What needs it")))
    assert 'class="price"' not in altered


# ---------------------------------------------------------------- kept for the desk


def test_kept_page_is_the_written_one_and_is_not_drawn_again(year: Path, tmp_path: Path) -> None:
    written = write_run_page(year, results_of(year), None, tmp_path / "pages", tmp_path / "cache")
    parts = parts_of(tmp_path / "cache", year, [1], lambda: pytest.fail("it was drawn again"))
    assert document(*parts) == written.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE runs SET tag = 'mine'",
        "UPDATE runs SET config = '{}'",
        "UPDATE runs SET started_at = '2001-01-01'",
        "UPDATE equity SET equity = equity + 1",
        "DELETE FROM fills WHERE id = (SELECT max(id) FROM fills)",
    ],
)
def test_page_of_a_run_that_has_changed_is_drawn_again(year: Path, tmp_path: Path, change: str) -> None:
    parts_of(tmp_path, year, [1], lambda: ("old", "", ""))
    assert parts_of(tmp_path, year, [1], lambda: ("new", "", ""))[0] == "old"  # as long as nothing changes
    with closing(sqlite3.connect(year)) as database, database:
        database.execute(change)
    assert parts_of(tmp_path, year, [1], lambda: ("new", "", ""))[0] == "new"


def test_kept_page_that_does_not_open_is_drawn_again(year: Path, tmp_path: Path) -> None:
    parts_of(tmp_path, year, [1], lambda: ("old", "", ""))
    (kept,) = (tmp_path / "run-pages").iterdir()
    kept.write_bytes(kept.read_bytes()[:-9])
    assert parts_of(tmp_path, year, [1], lambda: ("new", "", ""))[0] == "new"
    assert parts_of(tmp_path, year, [1], lambda: ("never", "", ""))[0] == "new"


def test_folder_that_keeps_nothing_costs_nobody_the_page(year: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for _ in range(2):
        assert parts_of(tmp_path / "file", year, [1], lambda: ("drawn", "", ""))[0] == "drawn"


def test_page_drawn_again_from_other_bars_does_not_judge_by_them(year: Path) -> None:
    database = open_database(year, read_only=True)
    own, other = bars_like(record_of(year)), bars_like(record_of(year), shift=1)
    _, with_own, _ = draw_again(year, database, 1, own)
    _, with_other, _ = draw_again(year, database, 1, other)
    _, without, _ = draw_again(year, database, 1, None)
    database.dispose()
    assert with_other == without
    assert with_own != without
