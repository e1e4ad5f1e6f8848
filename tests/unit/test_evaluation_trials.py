"""Trial records: lines survive a round trip, broken lines are refused by name, sums count distinct trials."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from trading_platform.core.errors import OperatorNeededError
from trading_platform.evaluation.trials import TrialRecord, parse_line, summarise

RECORD = TrialRecord(
    trial_id="t-1",
    recorded_at=datetime(2026, 1, 5, 21, 0, tzinfo=UTC),
    purpose="train",
    fold="2006",
    seed=3,
    config_fingerprint="abc",
    data_hash="def",
    n_sessions=143,
    sharpe=0.8,
    difference_sharpe=-0.25,
)


def scored(trial_id: str, score: float | None) -> TrialRecord:
    return replace(RECORD, trial_id=trial_id, difference_sharpe=score)


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, sharpe=None, difference_sharpe=None, fold="")])
def test_a_line_reads_back_as_the_same_record(record: TrialRecord) -> None:
    line = record.to_line()
    assert "\n" not in line
    assert parse_line(line, "trials.jsonl:1") == record


def test_times_are_written_in_utc() -> None:
    tokyo = replace(RECORD, recorded_at=datetime(2026, 1, 6, 6, 0, tzinfo=timezone(timedelta(hours=9))))
    assert json.loads(tokyo.to_line())["recorded_at"] == "2026-01-05T21:00:00+00:00"


def test_naive_times_and_infinite_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        replace(RECORD, recorded_at=datetime(2026, 1, 5, 21, 0))  # noqa: DTZ001  the point is a naive time
    with pytest.raises(ValueError, match="difference_sharpe must be finite"):
        replace(RECORD, difference_sharpe=math.nan)
    with pytest.raises(ValueError, match="sharpe must be finite"):
        replace(RECORD, sharpe=math.inf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2"),
        ({"schema": None}, "schema None"),
        ({"surprise": 1}, r"unknown \['surprise'\]"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"fold": 2006}, "fold must be text"),
        ({"sharpe": "0.8"}, "sharpe must be a number or null"),
        ({"sharpe": math.nan}, "sharpe must be finite"),
        ({"recorded_at": "yesterday"}, "isoformat"),
        ({"recorded_at": "2026-01-05T21:00:00"}, "aware"),
    ],
)
def test_lines_of_another_shape_are_refused_by_name(change: dict[str, object], message: str) -> None:
    line = json.dumps(json.loads(RECORD.to_line()) | change)
    with pytest.raises(OperatorNeededError, match=message) as caught:
        parse_line(line, "trials.jsonl:7")
    assert "trials.jsonl:7" in str(caught.value)


@pytest.mark.parametrize("line", ["", "{", "[]", "null", '{"schema": 1}', RECORD.to_line()[:-5]])
def test_truncated_lines_are_refused(line: str) -> None:
    with pytest.raises(OperatorNeededError, match=r"trial ledger x:1"):
        parse_line(line, "x:1")


def test_summary_counts_every_distinct_trial_and_measures_those_that_scored() -> None:
    summary = summarise([scored("a", 0.0), scored("b", 1.0), scored("c", None), scored("a", 0.0)])
    assert summary.n_trials == 3
    assert summary.sharpe_variance == pytest.approx(0.5)


@pytest.mark.parametrize("records", [[], [scored("a", 0.3)], [scored("a", 0.3), scored("b", None)]])
def test_variance_of_fewer_than_two_scores_is_unknown(records: list[TrialRecord]) -> None:
    summary = summarise(records)
    assert summary.n_trials == len(records)
    assert math.isnan(summary.sharpe_variance)


def test_short_trials_are_brought_to_the_length_of_the_judged_series() -> None:
    short, long = replace(scored("a", 2.0), n_sessions=63), replace(scored("b", 0.5), n_sessions=1008)
    # on 252 sessions: 2 x sqrt(63 / 252) = 1 and 0.5 x sqrt(1008 / 252) = 1
    assert summarise([short, long], 252).sharpe_variance == pytest.approx(0.0)
    same = [replace(scored("a", 0.0), n_sessions=252), replace(scored("b", 1.0), n_sessions=252)]
    assert summarise(same, 252).sharpe_variance == summarise(same).sharpe_variance == pytest.approx(0.5)


def test_luck_of_worthless_trials_shrinks_with_the_series_they_are_brought_to() -> None:
    noise = np.random.default_rng(1).standard_normal(8000) * math.sqrt(252 / 70)
    records = [replace(scored(str(i), float(score)), n_sessions=70) for i, score in enumerate(noise)]
    assert summarise(records, 3780).sharpe_variance == pytest.approx(252 / 3780, rel=0.05)
