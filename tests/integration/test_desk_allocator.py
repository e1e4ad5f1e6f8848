"""The desk's allocator page: each criterion of the gate as a bar beside its threshold, and how each seed learnt."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from desk_world import PAPER, Visit, world
from test_desk_screens import words

from trading_platform.desk import machine_screens
from trading_platform.desk.machine_screens import gate_bar
from trading_platform.evaluation.promotion import GateCode
from trading_platform.reporting.how_alike import read_brought
from trading_platform.reporting.learning_curves import ENDING, curves_figure, read_curves, write_curves
from trading_platform.reporting.run_record import read_record
from trading_platform.reporting.run_shape import contributions
from trading_platform.storage.model_manifest import ModelManifest

MODEL = "20240105-0123456789ab"
GATE = {
    "sessions_observed": 256.0,
    "sessions_threshold": 126.0,
    "sessions_passed": True,
    "turnover_observed": 15.0,
    "turnover_threshold": 12.0,
    "turnover_passed": False,
    "gain_observed": None,
    "gain_threshold": 0.0,
    "gain_passed": False,
    "universes": 5,
}


def manifest() -> ModelManifest:
    names = {field.name: None for field in dataclasses.fields(ModelManifest)}
    told = {
        "model_id": MODEL,
        "created_at": "2024-01-05T10:00",
        "data_end": "2023-12-29",
        "seeds": (1, 2),
        "gate": GATE,
    }
    return cast(ModelManifest, SimpleNamespace(**{**names, **told, "metrics": {}, "promoted_by_gate": False}))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    visit = Visit(world(tmp_path / "a.db")).enter()
    folder = visit.desk.models_dir / "reports"
    folder.mkdir(parents=True)
    write_curves({"seed 1": [(100.0, -0.2), (200.0, 0.4)], "seed 2": []}, folder / f"{MODEL}{ENDING}")
    monkeypatch.setattr(machine_screens, "_models", lambda registry: ([manifest()], []))
    return str(visit.get("/allocator").text)


def test_every_criterion_of_the_gate_is_a_bar_with_its_threshold(page: str) -> None:
    text = words(page)

    assert "Judged sessions passed 256 at least 126" in text
    assert "Turnover a year not passed 15 at most 12" in text
    assert "Sharpe ratio less equal weight's not passed unknown above 0" in text
    assert page.count('class="track gate"') == 3
    assert 'aria-label="Turnover a year: 15, at most 12, not passed"' in page
    assert "universes 5" in text
    assert "observed" not in text


def test_learning_curves_are_drawn_with_their_figures(page: str) -> None:
    assert "after 0 to 200 episodes" in words(page)
    assert "seed 1 2 +0.40 +0.40" in words(page)
    assert "seed 2" not in words(page).partition("How it learnt")[2].partition("Gate")[0]


def test_every_criterion_that_the_gate_knows_has_words() -> None:
    assert set(machine_screens.GATE_WORDS) == set(GateCode)


@pytest.mark.parametrize("value, limit, left, right", [(50.0, 100.0, 0.0, 46.3), (-0.5, 1.0, 6.9, 35.6)])
def test_bar_of_the_gate_goes_from_zero_to_what_was_observed(
    value: float, limit: float, left: float, right: float
) -> None:
    found = re.search(r'x="([\d.]+)%" width="([\d.]+)%"', gate_bar(value, limit, "x", passed=True))

    assert found is not None
    assert float(found[1]) == pytest.approx(left, abs=0.1)
    assert float(found[1]) + float(found[2]) == pytest.approx(right, abs=0.1)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": [["x", 1]]}', '{"a": [[1]]}'])
def test_curves_that_make_no_sense_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)

    assert read_curves(path) == {}
    assert read_curves(tmp_path / "gone.json") == {}
    assert curves_figure({}) == ""


def test_curves_keep_only_numbers_and_names_stay_text(tmp_path: Path) -> None:
    write_curves({"<b>": [(1.0, float("nan")), (2.0, 0.5)]}, tmp_path / "x.json")

    assert json.loads((tmp_path / "x.json").read_text()) == {"<b>": [[2.0, 0.5]]}
    assert "<b>" not in curves_figure(read_curves(tmp_path / "x.json"))


def test_what_strategies_brought_is_that_of_the_runs_page(tmp_path: Path) -> None:
    visit = Visit(world(tmp_path / "a.db")).enter()
    record: Any = visit.desk.read(lambda reader: read_record(reader, PAPER))
    whole = contributions(record.lives)
    last = [day.session for day in record.days][-20:]

    found = visit.desk.read(lambda reader: read_brought(reader, PAPER, last))

    assert found.keys() == whole.keys()
    for name, values in found.items():
        assert np.diff(values) == pytest.approx(np.diff(whole[name][-20:]), abs=0.006)
    assert "How alike they move" in visit.get(f"/accounts/{PAPER}/strategies").text
