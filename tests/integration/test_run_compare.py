"""Runs compared: the numbers of their results, differences with what luck could do, settings, screens of any width."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from report_world import Plan, build
from test_run_page import EVIL, Page, results_of

from trading_platform.core.errors import FixConfigError
from trading_platform.market_data.exchange import Exchange
from trading_platform.reporting.comparison_page import comparison_lines, render_comparison
from trading_platform.reporting.ledger_view import read_days
from trading_platform.reporting.run_comparison import (
    Comparison,
    RunCase,
    compare_runs,
    comparison_document,
    verdicts,
)
from trading_platform.reporting.run_record import read_run, read_why
from trading_platform.runtime.command_line import run
from trading_platform.storage.database import open_database
from trading_platform.storage.reader import Reader, read_database

LATER = Plan(seed=7, first=date(2030, 1, 2), sessions=5)
TWIN = Plan(seed=7, sessions=200)


def cases(path: Path, *run_ids: int) -> list[RunCase]:
    def read(reader: Reader) -> list[RunCase]:
        found = []
        for run_id in run_ids:
            row = read_run(reader, run_id)
            assert row is not None
            days = read_days(reader, run_id, date.max)
            found.append(RunCase(row, results_of(path, run_id), days, read_why(reader, run_id)))
        return found

    result = read_database(path, read)
    assert result is not None
    return result


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a database of four runs: two alike, one of other luck, one that began later and has an evil tag."""
    path = tmp_path / "trading.db"
    build(path, TWIN, TWIN, Plan(seed=8, sessions=200), Plan(seed=7, first=date(2023, 3, 1), sessions=200), LATER)
    engine = open_database(path)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET tag = ?, note = ? WHERE id = 4", (EVIL[0], EVIL[1]))
        config = json.dumps({"risk": {"max_positions": 7}, "costs": {"slippage_bps": 9.0}, "logging": {"level": "x"}})
        connection.exec_driver_sql("UPDATE runs SET config = ? WHERE id = 3", (config,))
    engine.dispose()
    return path


def figures(comparison: Comparison) -> dict[str, tuple[float | None, ...]]:
    return {line.key: line.values for line in comparison.figures}


def test_figures_of_runs_that_share_all_sessions_are_those_of_their_results(runs: Path) -> None:
    found = figures(compare_runs(cases(runs, 1, 3)))
    results = [results_of(runs, 1), results_of(runs, 3)]
    for key in ("annual_return", "excess_return", "sharpe", "max_drawdown", "volatility", "beta", "alpha"):
        assert found[key] == tuple(getattr(each, key) for each in results), key
    assert found["total_return"] == pytest.approx([each.total_return for each in results])
    assert found["final_equity"] == tuple(each.final_equity for each in results)
    assert found["costs"] == tuple(each.costs.total for each in results)
    assert found["avg_exposure"] == tuple(each.avg_exposure for each in results)


def test_a_run_and_its_twin_do_not_differ_and_another_does(runs: Path) -> None:
    comparison = compare_runs(cases(runs, 1, 2, 3))
    for line in comparison.figures:
        if line.differences:
            twin, other = line.differences
            assert (twin.value, *twin.interval) == (0.0, 0.0, 0.0), line.key
            assert other.interval.low < other.interval.high, line.key
    same, different = verdicts(comparison)
    assert same == "Run 2 against run 1: Sharpe ratio 0.00 (0.00 to 0.00): luck alone could do that."
    assert different.startswith("Run 3 against run 1: Sharpe ratio ")


def test_a_run_that_earns_more_each_day_is_more_than_luck(runs: Path) -> None:
    first, second = cases(runs, 1, 2)
    days = []
    equity = first.days[0].previous_equity
    for day in second.days:
        grown = round(equity * (day.equity / day.previous_equity + 0.0005))
        days.append(day._replace(previous_equity=equity, equity=grown))
        equity = grown
    better = compare_runs([first, second._replace(days=tuple(days))])
    assert verdicts(better)[0].endswith("more than luck explains.")


def test_settings_that_decide_and_differ_are_told_and_others_are_not(runs: Path) -> None:
    found = compare_runs(cases(runs, 1, 3)).settings
    assert found["costs.slippage_bps"] == ("not set", "9.0")
    assert found["risk.max_positions"] == ("10", "7")
    assert found["seed"] == ("7", "8")
    assert not any(name.startswith("logging") for name in found)
    assert "market data" not in found
    assert compare_runs(cases(runs, 1, 2)).settings == {}


def test_runs_of_other_spans_meet_on_their_common_sessions(runs: Path) -> None:
    comparison = compare_runs(cases(runs, 1, 4))
    days = [{day.session for day in case.days} for case in comparison.cases]
    assert set(comparison.sessions) == days[0] & days[1]
    assert len(comparison.sessions) < 200
    assert comparison.notices == (
        f"Returns, ratios and falls are of the {len(comparison.sessions)} sessions that all runs share; money and "
        "counts are of each whole run.",
    )
    for curve in comparison.curves:
        assert len(curve) == len(comparison.sessions)
    later = cases(runs, 1)[0].days
    place = next(n for n, day in enumerate(later) if day.session == comparison.sessions[0])
    before, last = later[place - 1].equity, later[place + len(comparison.sessions) - 1].equity
    assert comparison.curves[0][-1] == pytest.approx(last / before)


def test_other_markets_and_other_data_are_said(runs: Path) -> None:
    first, second = cases(runs, 1, 2)
    assert compare_runs([first, second]).notices == ()
    moved = second._replace(run=second.run._replace(data_hash="other"))
    assert compare_runs([first, moved]).notices[0].startswith("The market data changed")
    elsewhere = second._replace(run=second.run._replace(source="yahoo"))
    assert compare_runs([first, elsewhere]).notices[0].startswith("The runs traded different markets")


@pytest.mark.parametrize(
    ("run_ids", "words"),
    [
        ((1,), "compare takes 2 to 6 runs, was given 1"),
        ((1, 2, 3, 4, 1, 2, 3), "compare takes 2 to 6 runs, was given 7"),
        ((1, 3, 1), "run 1 is named twice"),
        ((1, 5), "no sessions in common .run 1 2023-01-03 to .*, run 5 2030-01-02"),
    ],
)
def test_what_cannot_be_compared_says_why(runs: Path, run_ids: tuple[int, ...], words: str) -> None:
    with pytest.raises(FixConfigError, match=words):
        compare_runs(cases(runs, *run_ids))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lines_fit_and_no_number_or_run_is_left_out(runs: Path, width: int) -> None:
    comparison = compare_runs(cases(runs, 1, 3, 4))
    lines = comparison_lines(comparison, width)
    assert max(len(line) for line in lines if EVIL[0] not in line and EVIL[0][:9] not in line) <= width
    text = " ".join(" ".join(lines).split())
    for case in comparison.cases:
        assert f"{case.results.final_equity:,.2f}" in text
        assert f"run {case.run.id}" in text
    assert "…" not in text
    assert "nan" not in text


def test_each_run_s_money_is_in_the_currency_of_its_market(runs: Path) -> None:
    dollars, other = cases(runs, 1, 3)
    pounds = other._replace(run=other.run._replace(source=Exchange("XLON", "GBP", "ISF").marked("files:bars")))
    comparison = compare_runs([dollars, pounds])

    for shown in (" ".join(comparison_lines(comparison, 120)), Page(render_comparison(comparison)).text):
        assert f"${dollars.results.final_equity:,.2f}" in shown
        assert f"£{pounds.results.final_equity:,.2f}" in shown


def test_page_has_the_curves_and_figures_and_takes_no_orders_from_names(runs: Path) -> None:
    comparison = compare_runs(cases(runs, 1, 3, 4))
    page = Page(render_comparison(comparison))
    assert sum(not attributes for attributes, _ in page.scripts) == 1
    assert not any(tag == "img" for tag, _ in page.tags)
    assert not any("style" in attributes for _, attributes in page.tags)
    assert EVIL[0] in page.text
    assert page.text.count("SIMULATED") == 3
    rows = {line[""]: line for line in page.rows("", "run 1")}
    for n, case in enumerate(comparison.cases):
        assert rows["Sharpe ratio over bills"][f"run {case.run.id}"] == f"{figures(comparison)['sharpe'][n]:.2f}"
    assert rows["Sharpe ratio over bills"]["3 less 1, 95 %"].startswith(("+", "-"))
    data = [json.loads(text) for attributes, text in page.scripts if attributes.get("type") and "id" not in attributes]
    names = [line["name"] for line in data[0]["lines"]]
    assert names == ["Run 1", "Run 3", "Run 4", "SPY"]
    assert {len(line["values"]) for line in data[0]["lines"]} == {len(comparison.sessions)}


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_command_prints_json_and_writes_the_page(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs.parent)
    assert run(["compare", "1", "3", "--db", str(runs), "--json"]) == 0
    document = said(capsys)
    expected = json.loads(json.dumps(comparison_document(compare_runs(cases(runs, 1, 3)))))
    assert document == {**expected, "page": "reports/compare-1-3.html"}
    assert (runs.parent / "reports" / "compare-1-3.html").is_file()
    low, high = (document["figures"]["sharpe"]["differences"][0][key] for key in ("low", "high"))
    assert low < document["figures"]["sharpe"]["differences"][0]["value"] < high
    assert run(["runs", "compare", "3", "1", "--db", str(runs), "--json", "--no-page"]) == 0
    assert said(capsys)["page"] is None
    assert not (runs.parent / "reports" / "compare-3-1.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "1", "9"], "--run 9: no such run"),
        (["compare", "1"], "compare needs ID ID ...: say which"),
        (["compare", "1", "two"], "compare needs a run's number, was 'two'"),
        (["compare", "1", "2", "--open", "--no-page"], "--open shows the page and --no-page writes none"),
        (["page", "9"], "--run 9: no such run"),
        (["page", "one"], "page needs a run's number, was 'one'"),
        (["page", "1", "2"], "page takes ID; '2' is too much"),
    ],
)
def test_slips_are_named(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(runs.parent)
    assert run([*words, "--db", str(runs)]) == 2
    assert message in capsys.readouterr().err
    assert not (runs.parent / "reports").exists()


def test_page_command_writes_the_page_again(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs.parent)
    assert run(["page", "3", "--db", str(runs), "--json"]) == 0
    assert said(capsys) == {"page": "reports/run-3.html"}
    assert "Run 3" in (runs.parent / "reports" / "run-3.html").read_text(encoding="utf-8")
