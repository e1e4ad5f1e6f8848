"""The trial in service as stories of sessions: entering, replacing, passing, retiring, and what makes it a new one."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from trading_platform.core.errors import RetrainModelError
from trading_platform.core.types import Floats
from trading_platform.evaluation.promotion import Objective
from trading_platform.evaluation.service_trial import (
    RETIRE_BELOW,
    Candidate,
    Trial,
    TrialState,
    admitted,
    against,
    differences,
    fed,
    fold_stake,
    in_force,
    served,
)
from trading_platform.evaluation.wealth import LIMIT, RARE_SESSIONS
from trading_platform.storage.trial_file import TrialFile, parse_trial, trial_text
from trading_platform.training.verdict_words import missing

FIRST, SECOND, THIRD = "20260105-aaaaaaaaaaaa", "20260112-bbbbbbbbbbbb", "20260119-cccccccccccc"
START = date(2026, 1, 5)


def books(n_sessions: int, mean: float, seed: int = 1) -> tuple[Floats, Floats]:
    """A challenger that earns `mean` deviations of the difference more than what serves."""
    rng = np.random.default_rng(seed)
    serving = 0.006 * rng.standard_normal(n_sessions)
    return serving + 0.001 * (rng.standard_normal(n_sessions) + mean), serving


def candidate(model_id: str = FIRST, seen: date = START, **changes: object) -> Candidate:
    challenger, serving = books(126, 0.1, seed=9)
    made = Candidate(model_id, seen, ("a", "b"), Objective.RETURN, 0.2, 126, -0.02, challenger, serving)
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


def days(n_sessions: int, after: date = START) -> list[date]:
    return [after + timedelta(days=n + 1) for n in range(n_sessions)]


def served_days(trial: Trial, n_sessions: int, mean: float, seed: int = 1) -> Trial:
    return fed(trial, days(n_sessions, trial.fed), *books(n_sessions, mean, seed))


def test_a_first_challenger_begins_with_one_dollar_and_bets_on_later_sessions_only() -> None:
    trial = admitted(None, candidate(), "")
    assert (trial.number, trial.wealth, trial.fed, trial.challenger) == (1, 1.0, START, FIRST)
    assert in_force(trial, START) is None
    assert in_force(trial, START + timedelta(days=1)) == FIRST
    same = fed(trial, [START, START - timedelta(days=1)], np.array([0.1, 0.1]), np.zeros(2))
    assert same == trial


def test_a_session_counts_once_however_often_and_in_which_pieces_it_is_fed() -> None:
    trial = admitted(None, candidate(), "")
    sessions, (mine, other) = days(60), books(60, 0.1)
    once = fed(trial, sessions, mine, other)
    pieces = trial
    for stop in (10, 7, 33, 60, 60):
        pieces = fed(pieces, sessions[:stop], mine[:stop], other[:stop])
    assert pieces == once
    assert once.sums.sessions == once.wager.sessions == 60


def test_a_better_challenger_passes_and_nothing_is_bet_behind_the_end() -> None:
    passed = served_days(admitted(None, candidate(), ""), 400, 0.3)
    assert passed.state is TrialState.PASSED
    assert passed.wealth > LIMIT
    assert "passed" in passed.events[-1]
    assert fed(passed, days(10, passed.fed), *books(10, -5.0)) == passed


def test_wealth_without_the_total_gain_does_not_pass() -> None:
    trial = admitted(None, candidate(gain=-3.0, gain_sessions=100_000), "")
    stuck = served_days(trial, 400, 0.3)
    assert stuck.wealth > LIMIT
    assert stuck.total_gain < -0.02
    assert stuck.state is TrialState.RUNNING
    assert served_days(replace(trial, fold_gain=0.0), 400, 0.3).state is TrialState.PASSED  # the control


def test_a_challenger_that_loses_is_retired_and_the_next_begins_with_what_is_left() -> None:
    lost = served_days(admitted(None, candidate(), ""), 600, -0.3)
    assert lost.state is TrialState.RETIRED
    assert lost.wealth < RETIRE_BELOW
    again = admitted(lost, candidate(SECOND, lost.fed), "")
    assert again.state is TrialState.RUNNING
    assert again.number == 1  # the same job: its error was partly spent
    assert again.wealth == pytest.approx(lost.wealth)
    assert again.sums.sessions == 0
    assert [entry.model_id for entry in again.entries] == [SECOND]


def test_next_weeks_challenger_goes_on_with_the_wealth() -> None:
    week = served_days(admitted(None, candidate(), ""), 5, 1.0)
    replaced = admitted(week, candidate(SECOND, week.fed), "")
    assert (replaced.wealth, replaced.number) == (week.wealth, 1)
    assert in_force(replaced, week.fed + timedelta(days=1)) == SECOND


def test_sessions_before_a_replacement_belong_to_the_one_before() -> None:
    trial = admitted(None, candidate(), "")
    entered = admitted(trial, candidate(SECOND, START + timedelta(days=5)), "")  # fed late: five sessions are missing
    assert in_force(entered, START + timedelta(days=5)) == FIRST
    assert in_force(entered, START + timedelta(days=6)) == SECOND
    after = served_days(entered, 6, 0.0)
    assert [entry.model_id for entry in after.entries] == [SECOND]


def test_unknown_sessions_are_passed_over_and_counted() -> None:
    trial = admitted(None, candidate(), "")
    mine, other = books(10, 0.0)
    mine[3], other[5] = math.nan, math.nan
    after = fed(trial, days(10), mine, other)
    assert (after.unknown, after.sums.sessions) == (2, 8)
    assert after.fed == days(10)[-1]


@pytest.mark.parametrize(
    ("changes", "serving", "said"),
    [
        ({"strategies": ("a", "b", "c")}, "", "the strategies changed"),
        ({"objective": Objective.RISK}, "", "the objective changed from return to risk"),
        ({}, THIRD, "another model serves"),
    ],
)
def test_what_makes_a_new_trial_is_said_and_losses_stay_lost(
    changes: dict[str, object], serving: str, said: str
) -> None:
    poor = served_days(admitted(None, candidate(), ""), 40, -0.2)
    new = admitted(poor, candidate(SECOND, poor.fed, **changes), serving)
    assert new.number == 2
    assert new.wealth == pytest.approx(min(1.0, poor.wealth))
    assert said in new.events[-1]
    rich = served_days(admitted(None, candidate(), ""), 40, 0.4)
    assert rich.wealth > 1.0
    assert admitted(rich, candidate(SECOND, rich.fed, **changes), serving).wealth == 1.0


def test_after_a_passed_trial_the_next_has_a_dollar_of_its_own() -> None:
    done = served(served_days(admitted(None, candidate(), ""), 400, 0.3))
    new = admitted(done, candidate(SECOND, done.fed), FIRST)
    assert (new.number, new.wealth, new.serving) == (2, 1.0, FIRST)


def test_another_champion_by_hand_is_a_new_trial_of_the_same_challenger() -> None:
    trial = served_days(admitted(None, candidate(), ""), 40, 0.4)
    moved = against(trial, THIRD)
    assert (moved.number, moved.wealth, moved.serving, moved.challenger) == (2, 1.0, THIRD, FIRST)


def test_folds_are_a_part_of_the_stake_once_over_all_runs() -> None:
    assert admitted(None, candidate(fold_evidence=4.0), "").wealth == pytest.approx(0.75 + 0.25 * 4.0 / 2.0)
    # whatever one run's folds say, all runs together stake a quarter of a dollar on them
    assert sum(fold_stake(1.0, runs) - 0.75 for runs in range(1, 10_000)) == pytest.approx(0.25, abs=1e-3)
    at_once = admitted(None, candidate(fold_evidence=1_000.0), "")
    assert at_once.state is TrialState.PASSED
    later = admitted(served_days(admitted(None, candidate(), ""), 5, 0.0), candidate(SECOND, fold_evidence=1e6), "")
    assert later.state is TrialState.RUNNING


def test_more_risk_is_no_gain_and_less_risk_is_one_for_its_objective() -> None:
    _, serving = books(800, 0.0)
    serving = serving + 0.0005
    matched = admitted(None, candidate(challenger=1.5 * serving[:126], serving=serving[:126]), "")
    after = fed(matched, days(600), 1.5 * serving[126:726], serving[126:726])
    assert after.wealth < 2.0
    calmer = candidate(challenger=0.9 * serving[:126], serving=serving[:126], objective=Objective.RISK)
    short = fed(admitted(None, calmer, ""), days(600), 0.9 * serving[126:726], serving[126:726])
    assert (short.state, short.wealth, short.wager.known) == (TrialState.RUNNING, 1.0, 726)
    assert short.sessions_to_wait > short.sessions_missing == RARE_SESSIONS - 726
    assert "534 more sessions, so that rare storms would have been seen (726 of 1260 known)" in missing(short)
    long = np.tile(serving[:126], 10)
    calm = admitted(None, replace(calmer, known=np.stack([0.9 * long, long])), "")
    assert fed(calm, days(600), 0.9 * serving[126:726], serving[126:726]).state is TrialState.PASSED
    assert differences(np.array([0.02]), np.array([0.01]), Objective.RISK)[0] == pytest.approx(-0.0003)


def test_the_waiting_time_is_that_of_folds_first_and_of_service_after_half_a_year() -> None:
    trial = admitted(None, candidate(), "")
    assert 0.0 < trial.sessions_to_wait < math.inf
    behind = replace(trial.sums, sessions=125, difference=-0.1, difference_squares=0.01)
    assert replace(trial, sums=behind).sessions_to_wait == trial.sessions_to_wait
    assert replace(trial, sums=replace(behind, sessions=126)).sessions_to_wait == math.inf
    ahead = replace(behind, sessions=126, difference=0.1)
    assert 0.0 < replace(trial, sums=ahead).sessions_to_wait < math.inf


def test_the_file_holds_every_digit_and_is_private(tmp_path: Path) -> None:
    trial = served_days(admitted(None, candidate(), ""), 77, 0.1)
    file = TrialFile(tmp_path / "models")
    assert file.read() is None
    file.write(trial)
    assert file.read() == trial
    assert (file.path.stat().st_mode & 0o777) == 0o600
    assert [item.name for item in file.folder.iterdir()] == ["trial.json"]
    on = fed(trial, days(20, trial.fed), *books(20, 0.1, seed=3))
    assert fed(parse_trial(trial_text(trial)), days(20, trial.fed), *books(20, 0.1, seed=3)) == on


BROKEN = [
    ({"version": 3}, "version"),
    ({"wealth": 19.0}, "altered"),
    ({"state": "won"}, "won"),
    ({"number": True}, "whole number"),
    ({"fold_gain": "1"}, "finite number"),
    ({"entries": []}, "at least one"),
    ({"entries": [{"model_id": "../x", "seen": "2026-01-05"}]}, "no model id"),
    ({"fed": "yesterday"}, "yesterday"),
    ({"events": [1]}, "list of texts"),
    ({"wager": None}, "object"),
    ({"serving_traded": 1.5}, "must be in"),
    ({"entries": [{"model_id": FIRST, "seen": "2026-01-05", "traded": -0.1}]}, "must be in"),
]


@pytest.mark.parametrize(("changes", "said"), BROKEN, ids=[b[1] for b in BROKEN])
def test_a_damaged_file_is_never_taken_for_no_file(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    trial = served_days(admitted(None, candidate(), ""), 30, 0.1)
    file = TrialFile(tmp_path)
    file.path.write_text(json.dumps(json.loads(trial_text(trial)) | changes))
    with pytest.raises(RetrainModelError, match=said):
        file.read()


@pytest.mark.parametrize("objective", list(Objective))
def test_a_trial_of_an_older_file_goes_on_with_its_wealth(objective: Objective) -> None:
    trial = served_days(admitted(None, candidate(), ""), 40, -0.2)
    old = json.loads(trial_text(trial)) | {"version": 1, "objective": str(objective)}
    del old["serving_traded"], old["entries"][0]["traded"]
    found = parse_trial(json.dumps(old))
    assert found.wealth == pytest.approx(trial.wealth)
    assert found.entries[0].traded == found.serving_traded == 1.0  # in full, as it was charged then
    assert found.wager.known == (0 if objective is Objective.RISK else trial.wager.known)
    # the next challenger brings what is known of the books
    again = admitted(found, candidate(SECOND, found.fed, objective=objective, traded=0.02), "")
    assert again.wager.known > 0
    assert again.wealth == pytest.approx(trial.wealth)
    assert again.entries[-1].traded == 0.02


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 1}', '{"version": 1, "wealth": NaN}'])
def test_what_is_no_trial_is_refused_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "trial.json").write_text(text)
    with pytest.raises(RetrainModelError, match=r"trial\.json"):
        TrialFile(tmp_path).read()


def test_a_pipe_under_the_trial_s_name_is_refused_and_waits_for_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trial.json")
    with pytest.raises(RetrainModelError, match="it is no file"):
        TrialFile(tmp_path).read()
