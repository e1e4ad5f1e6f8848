"""The page and the picture: self-contained, well formed, and safe whatever names the market has."""

from __future__ import annotations

import json
import math
import re
import struct
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_stories import BARE, EVENING, STORIES, Weekdays
from report_world import Plan, build

from daily_report import complete
from trading_platform.reporting.charts import Line, Scale, chart, growth_scale, meter, nice_scale, stacked
from trading_platform.reporting.evidence import Evidence
from trading_platform.reporting.gather import Request, Surroundings, gather
from trading_platform.reporting.page import render_page
from trading_platform.reporting.page_cards import POSITIONS, SHARES, TRADES
from trading_platform.reporting.picture import render_picture
from trading_platform.reporting.series import Span

VOID = {"meta", "br", "rect", "path"}
EVIL = ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "日本電気", "A&B"]


def evidence(path: Path, session: date | None = None, since: date | None = None) -> Evidence:
    calendar: Any = Weekdays()
    request = Request(path, session=session, since=since, history=True)
    return gather(request, Surroundings(BARE, None, lambda: calendar, EVENING, deadline=1e12))


class Page(HTMLParser):
    """Reads a page, checks that tags are closed in order, and collects what matters."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            self.scripts[-1] += data
        elif not self.stack or self.stack[-1] != "style":
            self.text += data


@pytest.mark.parametrize("name", STORIES)
def test_page_of_every_story_is_whole_and_needs_nothing_else(name: str, tmp_path: Path) -> None:
    build(tmp_path / "trading.db", STORIES[name].plan)
    found = evidence(tmp_path / "trading.db", STORIES[name].session)
    html = render_page(complete(found), found)
    page = Page(html)
    for _, attributes in page.tags:
        assert not {"src", "href", "srcset", "style"} & set(attributes)
    assert not re.search(r"url\(|@import|https?://", html)
    assert "NaN" not in html
    assert "None" not in page.text.replace("None.", "")
    for data in page.scripts[:-1]:
        lines = json.loads(data)
        assert {len(line["values"]) for line in lines["lines"]} == {len(lines["dates"])}


def test_page_shows_what_the_report_says(tmp_path: Path) -> None:
    build(tmp_path / "trading.db", STORIES["winning_day"].plan)
    found = evidence(tmp_path / "trading.db")
    report = complete(found)
    page = Page(render_page(report, found))
    for words in ("Growth", "Drawdown", "Daily P&L", "Invested", "Allocation", "Where the day came from", "Headroom"):
        assert words in page.text
    for position in report["positions"]:
        assert position["ticker"] in page.text
    assert f"${report['account']['equity']:,.2f}" in page.text
    bands = {str(a["class"]) for tag, a in page.tags if tag == "rect"}
    assert {"band-bull", "band-bear", "band-consolidation"} == {name for name in bands if name.startswith("band-")}


def test_hostile_names_are_text(tmp_path: Path) -> None:
    build(tmp_path / "trading.db", Plan(sessions=30, names=EVIL, warnings=["<img src=x>"], capital=1_000_000_00))
    found = evidence(tmp_path / "trading.db")
    report = complete(found)
    assert report["positions"]
    page = Page(render_page(report, found))
    assert len(page.scripts) == 1 + sum(tag == "figure" for tag, _ in page.tags)
    assert not any(tag == "img" for tag, _ in page.tags)
    assert report["positions"][0]["ticker"] in page.text


def test_since_begins_the_charts(tmp_path: Path) -> None:
    build(tmp_path / "trading.db", Plan(sessions=40))
    found = evidence(tmp_path / "trading.db", since=date(2023, 2, 1))
    page = Page(render_page(complete(found), found))
    assert json.loads(page.scripts[0])["dates"][0] == "2023-02-01"
    late = evidence(tmp_path / "trading.db", since=date(2030, 1, 1))
    Page(render_page(complete(late), late))


@pytest.mark.parametrize("name", STORIES)
def test_picture_is_a_png_of_its_size(name: str, tmp_path: Path) -> None:
    build(tmp_path / "trading.db", STORIES[name].plan)
    found = evidence(tmp_path / "trading.db", STORIES[name].session)
    png = render_picture(complete(found), found)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1152, 1216)
    assert len(png) < 1_000_000


def test_one_session_makes_a_page_and_a_picture(tmp_path: Path) -> None:
    build(tmp_path / "trading.db", Plan(sessions=1))
    found = evidence(tmp_path / "trading.db")
    report = complete(found)
    Page(render_page(report, found))
    assert render_picture(report, found)


DAYS = [date(2024, 1, 1) + timedelta(days=i) for i in range(5)]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 10.0], (0.0, 5.0, 10.0)),
        ([-3.1, 7.4], (0.0, 5.0)),
        ([0.0, 0.0], (-0.5, 0.0, 0.5)),
        ([None, float("nan")], (-0.5, 0.0, 0.5)),
        ([120.0, 1_900.0], (0.0, 1000.0, 2000.0)),
        ([-9.8, 0.0], (-10.0, -5.0, 0.0)),
    ],
)
def test_scale_has_round_ticks_around_the_values(values: list[float | None], ticks: tuple[float, ...]) -> None:
    scale = nice_scale(values)
    assert scale.ticks == ticks
    known = [0.0, *(v for v in values if v is not None and math.isfinite(v))]
    assert scale.low <= min(known)
    assert scale.high >= max(known)


def test_growth_that_multiplies_is_shown_by_factors() -> None:
    assert not growth_scale([-10.0, 119.0]).is_log
    scale = growth_scale([-36.0, 1004.0])
    assert scale.ticks == (0.0, 100.0, 400.0, 900.0)
    assert scale.y(100.0) - scale.y(300.0) == pytest.approx(scale.y(0.0) - scale.y(100.0))
    assert scale.y(scale.high) == pytest.approx(0.0)
    assert scale.y(-100.0) > 300.0  # a lost account stays a number


def test_gap_in_a_line_lifts_the_pen() -> None:
    html = chart("k", "T", DAYS, [Line("L", (1.0, 2.0, None, 3.0, 4.0), "own")], scale=Scale(0, 4, (0, 4)))
    assert 'd="M0.0 225.0L250.0 150.0M750.0 75.0L1000.0 0.0"' in html


def test_limit_bands_and_marks_are_drawn() -> None:
    line = Line("L", (1.0,) * 5, "own")
    html = chart("k", "T", DAYS, [line], limit=8.0, bands=[Span("bull", 0, 1)], marks=[Span("halted", 4, 4)])
    assert 'class="limit"' in html
    assert '<rect class="band-bull" x="0.0" y="0.0" width="375.0"' in html
    assert '<rect class="mark-halted" x="875.0" y="291.0" width="125.0"' in html


def test_stacked_areas_meet() -> None:
    html = stacked("k", "T", DAYS[:2], [Line("a", (40.0, 60.0), "s0"), Line("b", (60.0, None), "s1")])
    assert "M0.0 180.0L1000.0 120.0L1000.0 300.0L0.0 300.0Z" in html
    assert "M0.0 0.0L1000.0 120.0L1000.0 120.0L0.0 180.0Z" in html


@pytest.mark.parametrize(("used", "level"), [(None, "off"), (0.5, "good"), (0.8, "warn"), (1.0, "warn"), (1.2, "bad")])
def test_meter_colours_by_use(used: float | None, level: str) -> None:
    assert f'<rect class="{level}"' in meter("n", "1", "2", used)


def test_the_first_number_of_a_table_is_money() -> None:
    """On a phone it is the one that is seen without scrolling."""
    for head in (SHARES, POSITIONS, TRADES):
        assert next(name for name in head if name.startswith("#")) in ("#P&L", "#realised")
