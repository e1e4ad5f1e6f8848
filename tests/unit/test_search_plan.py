"""The file of a search: everything that is wrong with it is told at once, an outer period that lacks above all."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.search.adoption import differences, with_settings
from trading_platform.search.plan import Dimension, Outer, Value, read_plan

WHOLE = """
[search]
name = "exits"
trials = 20
objectives = ["sharpe", "drawdown"]
start = "2005-01-03"

[[outer]]
start = 2016-01-04
end = 2017-12-29

[[outer]]
start = 2014-01-02
end = "2015-12-31"

[space]
"exits.max_holding_sessions" = { low = 20, high = 120, step = 10 }
"allocator.policy" = { choices = ["equal", "rules"] }

[space.strategies.momentum]
lookback = { low = 60, high = 250 }

[space.sizing]
rebalance_band_pct = { low = 5.0, high = 40.0, log = true }
"""


def read(folder: Path, text: str) -> object:
    path = folder / "search.toml"
    path.write_text(text, encoding="utf-8")
    return read_plan(path)


def test_a_whole_plan_is_read(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text(WHOLE, encoding="utf-8")
    plan = read_plan(path)
    assert plan.asked.objectives == ("sharpe", "drawdown")
    assert plan.start == date(2005, 1, 3)
    assert plan.outer == (
        Outer(date(2014, 1, 2), date(2015, 12, 31)),
        Outer(date(2016, 1, 4), date(2017, 12, 29)),
    )
    assert plan.space == (
        Dimension("exits.max_holding_sessions", 20.0, 120.0, 10.0, whole=True),
        Dimension("allocator.policy", choices=("equal", "rules")),
        Dimension("strategies.momentum.lookback", 60.0, 250.0, whole=True),
        Dimension("sizing.rebalance_band_pct", 5.0, 40.0, log=True),
    )


def test_a_search_without_outer_years_is_refused_with_the_lines_to_add(tmp_path: Path) -> None:
    text = WHOLE.replace("[[outer]]", "[[outside]]")
    with pytest.raises(FixConfigError, match=r"outer: a search needs years that it never sees"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        ("trials = 20", "trials = 0", "search.trials must be in"),
        ("trials = 20", "trails = 20", "search.trails is no setting: did you mean 'trials'"),
        ("trials = 20", 'sampler = "randon"', "search.sampler must be one of .* did you mean 'random'"),
        ("trials = 20", 'pruner = "median"', 'pruner must be "none" with several objectives'),
        ('"drawdown"]', '"luck"]', "search.objectives must be one of"),
        ('"2005-01-03"', '"soon"', "search.start must be a day"),
        ("end = 2017-12-29", "end = 2015-12-29", "outer 1: end 2015-12-29 must lie after start 2016-01-04"),
        ("end = 2017-12-29", "", "outer 1 must have start and end"),
        ('"exits.max', '"costs.max', "costs.max_holding_sessions may not be searched"),
        ("low = 20, high", "low = 200, high", "low must be below high, was 200 against 120"),
        ("low = 20, high", "low = 20, hi", "has no hi; it may have low, high"),
        ('["equal", "rules"]', '["equal"]', "choices must be a list of two or more"),
        ("low = 5.0", "low = 0.0", "with true, low must be above 0"),
        ("[space]", "[spaces]", "spaces is no table of a search: did you mean 'space'"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, was: str, becomes: str, words: str) -> None:
    assert was in WHOLE
    with pytest.raises(FixConfigError, match=words):
        read(tmp_path, WHOLE.replace(was, becomes, 1))


def test_settings_go_into_a_file_and_leave_the_rest_of_it_alone() -> None:
    text = "# mine\n[exits]\nmax_holding_sessions = 60 # days\n#min_stop_pct = 3.0\n\n[risk]\nmax_positions = 8\n"
    written = with_settings(
        text, {"exits.max_holding_sessions": 80, "exits.min_stop_pct": 2.5, "allocator.policy": "rules"}
    )
    assert written == (
        "# mine\n[exits]\nmin_stop_pct = 2.5\nmax_holding_sessions = 80\n#min_stop_pct = 3.0\n\n[risk]\n"
        'max_positions = 8\n\n[allocator]\npolicy = "rules"\n'
    )


def test_an_empty_file_gets_its_tables() -> None:
    assert with_settings("", {"exits.cooling_sessions": 3}) == "[exits]\ncooling_sessions = 3\n"


def test_a_file_written_in_another_way_is_not_spoilt() -> None:
    with pytest.raises(FixConfigError, match=r"put by hand:\n  exits.cooling_sessions = 3"):
        with_settings("exits = { cooling_sessions = 5 }\n", {"exits.cooling_sessions": 3})


def test_only_what_differs_is_shown() -> None:
    now: dict[str, object] = {"exits.cooling_sessions": 5, "allocator.policy": "equal"}
    found: dict[str, Value] = {
        "exits.cooling_sessions": 3,
        "allocator.policy": "equal",
        "sizing.rebalance_band_pct": 10.0,
    }
    assert differences(now, found) == [
        ("exits.cooling_sessions", 5, 3),
        ("sizing.rebalance_band_pct", None, 10.0),
    ]
