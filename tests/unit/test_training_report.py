"""The training report: one page that stands alone and one picture, whatever the names and however short the path."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the report draws with matplotlib")

from trading_platform.reporting.training_report import (
    Check,
    CurvePoint,
    TrainingReport,
    render_html,
    write_html,
    write_png,
)


def report(n: int = 30) -> TrainingReport:
    rng = np.random.default_rng(0)
    return TrainingReport(
        title="Model 20260105-1f2e3d4c5b6a",
        verdict="REFUSED: gain_confidence 0.610 (limit 0.975)",
        promoted=False,
        facts={"data": "files:<here> & there"},
        curves={"seed 1": [CurvePoint(100, 0.1), CurvePoint(200, float("nan"))]},
        path_name="purged validation",
        sessions=np.arange("2020-01-01", n, dtype="datetime64[D]"),
        books={"policy": rng.normal(0.0, 0.01, n), "equal_weight": rng.normal(0.0, 0.01, n)},
        strategies=("momentum", "mean_reversion"),
        weights=np.full((n, 2), 0.5),
        regimes=np.full((n, 3), np.nan),
        checks=[Check("sharpe_gain", 0.1, 0.05, True), Check("gain_confidence", 0.61, 0.975, False)],
        table=[["book", "Sharpe"], ["policy", "0.50"]],
    )


def test_the_page_stands_alone_and_escapes_what_it_is_given() -> None:
    page = render_html(report())
    assert page.startswith("<!doctype html>")
    assert "<svg" in page
    assert "files:&lt;here&gt; &amp; there" in page
    assert "files:<here>" not in page
    assert not re.search(r"<(script|link|img)\b", page)
    assert "<td class='pass'>passed</td>" in page
    assert "<td class='fail'>refused</td>" in page
    assert "<p class='fail'><strong>REFUSED: gain_confidence" in page


def test_the_same_report_draws_the_same_shapes() -> None:
    without_ids = [re.sub(r"#?[pm][0-9a-f]{10}", "", render_html(report())) for _ in range(2)]
    assert without_ids[0].count("<path") == without_ids[1].count("<path") > 10


def test_page_and_picture_are_files_of_their_kind(tmp_path: Path) -> None:
    write_png(report(), tmp_path / "r.png")
    write_html(replace(report(), promoted=True, table=[], curves={}), tmp_path / "r.html")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert "<p>none</p>" in (tmp_path / "r.html").read_text(encoding="utf-8")
