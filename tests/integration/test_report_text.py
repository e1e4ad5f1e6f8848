"""The text: always short enough, never wider than a phone, safe whatever names the market has."""

from __future__ import annotations

import sqlite3
import time
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from report_stories import BARE, EVENING, make_report
from report_world import Plan, build

from daily_report import complete, generate_daily_report
from trading_platform.reporting.gather import Request, Surroundings, gather, nyse
from trading_platform.reporting.page import render_page
from trading_platform.reporting.plain import amount, columns, dollars, fit, long_date, percents, quantity, safe, short
from trading_platform.reporting.text import LIMIT, WIDTH, standing_words, summary_text


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_report("winning_day", tmp_path_factory.mktemp("text"))


def fences(text: str) -> list[str]:
    lines, is_code = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            is_code = not is_code
        elif is_code:
            lines.append(line)
    assert not is_code, "a fence is open"
    return lines


def grown(report: Any, positions: int, trades: int, alerts: int = 0, name: str = "T{0:03d}") -> Any:
    one, fill = report["positions"][0], report["trades_today"][0]
    return {
        **report,
        "positions": [{**one, "ticker": name.format(i)} for i in range(positions)],
        "trades_today": [{**fill, "ticker": name.format(i)} for i in range(trades)],
        "alerts": [f"Unreconciled position number {i}: " + "some words about it " * 12 for i in range(alerts)],
        "orders_for_next_open": [
            {**report["positions"][0], "side": "buy", "ticker": name.format(i)} for i in range(30)
        ],
    }


@pytest.mark.parametrize("positions", [0, 1, 10, 50, 200])
@pytest.mark.parametrize("alerts", [0, 3, 40])
def test_text_fits_one_message_and_a_phone(report: Any, positions: int, alerts: int) -> None:
    text = summary_text(grown(report, positions, 120, alerts))
    assert len(text) <= LIMIT
    assert max(columns(line) for line in fences(text)) <= WIDTH
    if positions > 14:
        assert f"{positions} positions" in text
        assert " more" in text
    if alerts == 40:
        assert "more alerts" in text


def test_most_important_comes_first(report: Any) -> None:
    found: Any = {**report, "alerts": ["HALTED since 2024-01-02: drawdown", "Near the limit: drawdown"]}
    text = summary_text(found)
    order = ["Trading report", "🟢", "⛔ **HALTED", "⚠️ Near", "positions", " fill", "Returns", "Regime"]
    places = [text.index(word) for word in order]
    assert places == sorted(places)


def test_small_limit_cuts_whole_blocks(report: Any) -> None:
    text = summary_text(report, limit=400)
    assert len(text) <= 400
    assert text.endswith("the full report has the rest")
    fences(text)


ODD = [
    "BRK.B",
    "```",
    "[[reply_to:1]]",
    "MEDIA:/etc/passwd",
    "<b>x</b>",
    "日本電気株式会社",
    "e\u0301\u0301clair",
    "a\nb\x07",
    "*_~|`",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_stay_in_their_column(report: Any, name: str) -> None:
    text = summary_text(grown(report, 3, 3, name=name.replace("{", "").replace("}", "")))
    assert max(columns(line) for line in fences(text)) <= WIDTH
    assert text.count("```") % 2 == 0
    for sign in ("[[", "MEDIA:", "<b>", "\x07"):
        assert sign not in text


@given(st.text(max_size=60), st.integers(1, 40))
def test_fit_makes_exactly_its_width(text: str, width: int) -> None:
    fitted = fit(text, width)
    event(f"cut: {'…' in fitted and '…' not in text}")
    assert columns(fitted) == width


@given(st.text(max_size=300))
def test_safe_text_is_one_plain_line(text: str) -> None:
    plain = safe(text)
    assert len(plain) <= 200
    assert not set(plain) & set("`*[]|~\n\r\t\x00")
    assert "MEDIA:" not in plain.upper()


@pytest.mark.parametrize(
    ("value", "words"), [(None, "n/a"), (0.0, "$0.00"), (-0.0, "$0.00"), (1234.5, "+$1,234.50"), (-0.01, "-$0.01")]
)
def test_dollars(value: float | None, words: str) -> None:
    assert dollars(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(None, "n/a"), (0.0, "0.00%"), (-0.001, "0.00%"), (0.414, "+0.41%"), (-12.0, "-12.00%")]
)
def test_percents(value: float | None, words: str) -> None:
    assert percents(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (120, "120"),
        (0.375, "0.375"),
        (1250, "1,250"),
        (12_500, "12.5k"),
        (250_000, "250k"),
        (1.2e6, "1.2M"),
        (-7, "-7"),
    ],
)
def test_quantity_is_short(value: float, words: str) -> None:
    assert quantity(value) == words


def test_amounts_and_dates() -> None:
    assert amount(-3.1) == "-3.10"
    assert long_date("2024-03-05") == "Tue 5 Mar 2024"


@pytest.mark.parametrize(
    ("mode", "source", "where", "benchmark"),
    [
        ("replay", "synthetic:seed=7", "SIMULATED · embedded market (seed 7) · replay", "market"),
        ("replay", "files:/somewhere/prices", "SIMULATED · files in prices · replay", "SPY"),
        ("paper", "yahoo", "SIMULATED · Yahoo · local paper account", "SPY"),
        ("alpaca_paper", "alpaca:iex", "PAPER MONEY · Alpaca, last stored snapshot · Alpaca's bars (iex)", "SPY"),
        ("alpaca_live", "alpaca:iex", "REAL MONEY · Alpaca, last stored snapshot · Alpaca's bars (iex)", "SPY"),
    ],
)
def test_text_and_page_say_whose_money_and_which_market(
    tmp_path: Path, mode: str, source: str, where: str, benchmark: str
) -> None:
    path = tmp_path / "trading.db"
    build(path, Plan(seed=7, sessions=30, mode=mode))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE runs SET source = ?", (source,))
    connection.commit()
    connection.close()
    day = date(2023, 2, 13)
    report: Any = generate_daily_report(path, day, settings=BARE)
    assert where in report["summary"].splitlines()[1]
    assert f"{benchmark:>7}  equal" in report["summary"]
    assert report["run"]["money"] == where.partition(" · ")[0]
    evidence = gather(
        Request(path, day, history=True), Surroundings(BARE, None, nyse, EVENING, time.monotonic() + 30.0)
    )
    page = render_page(complete(evidence), evidence)
    assert escape(where) in page
    assert (">SPY<" in page) is (benchmark == "SPY")


def test_report_says_costs_interest_idle_cash_and_whose_shares(report: Any) -> None:
    day, whole = report["costs"]["day"], report["costs"]["since_start"]
    causes = ("commission", "spread", "slippage", "impact", "regulatory")
    for costs in (day, whole):
        assert costs["total"] == pytest.approx(sum(costs[cause] for cause in causes))
    assert whole["total"] > day["total"] > 0.0
    assert report["bridge"]["interest"] == report["interest"]["day"] > 0.0
    assert f"Interest {report['interest']['day']:+,.2f}" in " ".join(report["summary"].split())
    assert f"Total {day['total']:,.2f} {whole['total']:,.2f}" in " ".join(report["summary"].split())
    assert report["not_invested_because"]["size"] == 12.34
    assert "Left in cash because" in report["summary"]
    shared = [position for position in report["positions"] if len(position["strategies"]) > 1]
    assert shared
    for position in report["positions"]:
        assert sum(position["strategies"].values()) == position["qty"]
        assert position["strategies"][position["strategy"]] == max(position["strategies"].values())


@pytest.mark.parametrize(
    ("name", "width", "text"),
    [
        ("momentum", 8, "momentum"),
        ("mean_reversion", 8, "mean.rev"),
        ("Health Care", 9, "Heal.Care"),
        ("buy", 8, "buy     "),
        ("Communication", 9, "Communic…"),
        ("a_b_c_d_e_f", 8, "a_b_c_d…"),
    ],
)
def test_long_names_are_shortened_by_words(name: str, width: int, text: str) -> None:
    assert short(name, width) == text


@pytest.mark.parametrize(
    ("own", "market", "source", "words"),
    [
        (-1.0, 11.5, "files:x", "12.5 points behind SPY since the start, 20% invested"),
        (11.5, -1.0, "files:x", "12.5 points ahead of SPY since the start, 20% invested"),
        (0.0, 12.5, "synthetic:seed=7", "12.5 points behind the market since the start, 20% invested"),
        (0.01, 0.03, "files:x", "level with SPY, 20% invested"),
        (None, 0.03, "files:x", "20% invested"),
        (1.0, None, "files:x", "20% invested"),
    ],
)
def test_standing_is_told_in_points_and_by_the_benchmarks_name(
    own: float | None, market: float | None, source: str, words: str
) -> None:
    periods = {"since_start": {"return_pct": own, "spy_return_pct": market}}
    report: Any = {
        "performance": {"periods": periods},
        "risk_status": {"exposure_pct": 20.04},
        "run": {"market_data": source},
    }
    assert standing_words(report) == words


def test_standing_of_an_account_without_a_close_is_empty() -> None:
    report: Any = {"performance": {"periods": {}}, "risk_status": {"exposure_pct": None}, "run": None}
    assert standing_words(report) == ""
