"""What each part of an allocator is worth: sums that add up, in every stretch of time, with an interval."""

from __future__ import annotations

import numpy as np
import pytest

from trading_platform.core.metrics import sharpe_ratio
from trading_platform.evaluation.contributions import block_count, contribution


def test_gain_is_tilt_plus_timing_and_stands_beside_its_interval_and_its_stretches() -> None:
    rng = np.random.default_rng(1)
    equal = 0.01 * rng.standard_normal((3, 800))
    policy, average = 0.9 * equal + 0.0005, 0.95 * equal
    found = contribution("learner", policy, average, equal, 1.5, np.random.default_rng(0), is_judged=True)
    gain = np.mean([sharpe_ratio(p) - sharpe_ratio(e) for p, e in zip(policy, equal, strict=True)])
    assert found.gain == pytest.approx(gain)
    assert found.tilt + found.timing == pytest.approx(found.gain)
    assert found.tilt == pytest.approx(0.0, abs=1e-9)
    assert found.low < found.gain < found.high
    assert found.volatility == pytest.approx(0.9)
    assert (len(found.blocks), found.turnover, found.is_judged) == (3, 1.5, True)
    sizes = [267, 267, 266]
    assert np.average(found.blocks, weights=sizes) == pytest.approx(found.gain)
    assert found.to_dict()["blocks"] == list(found.blocks)


@pytest.mark.parametrize(("sessions", "blocks"), [(100, 1), (252, 1), (504, 2), (5_000, 3)])
def test_no_stretch_is_shorter_than_a_year(sessions: int, blocks: int) -> None:
    assert block_count(sessions) == blocks


def test_a_book_that_was_stopped_spoils_no_stretch() -> None:
    equal = 0.01 * np.random.default_rng(1).standard_normal((2, 900))
    equal[0, 600:] = 1e-4 + 1e-9 * np.arange(300)  # flat, earning bills: a Sharpe ratio without measure
    found = contribution("learner", 0.9 * equal, equal, equal, 0.0, np.random.default_rng(0))
    assert np.abs(found.blocks).max() < 0.01
