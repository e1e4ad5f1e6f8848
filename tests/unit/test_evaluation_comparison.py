"""Comparison table: figures equal their single functions, unknown stays unknown, the text reads as written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from trading_platform.core import metrics
from trading_platform.core.types import Floats
from trading_platform.evaluation.bootstrap import sharpe_difference
from trading_platform.evaluation.comparison import ComparisonRow, Contender, compare
from trading_platform.evaluation.deflated import deflated_sharpe, return_shape
from trading_platform.evaluation.sharpe_tests import matched_difference


def books(n_sessions: int = 756) -> dict[str, Floats]:
    rng = np.random.default_rng(0)
    common = rng.normal(0.0004, 0.01, n_sessions)
    return {
        "equal_weight": common + rng.normal(0, 0.002, n_sessions),
        "better": common + rng.normal(0.0004, 0.002, n_sessions),
        "same": common + rng.normal(0, 0.002, n_sessions),
    }


def rows_of(contenders: dict[str, Contender], n_resamples: int = 500) -> dict[str, ComparisonRow]:
    return {row.name: row for row in compare(contenders, np.random.default_rng(1), n_resamples=n_resamples)}


def test_figures_equal_those_of_their_own_functions() -> None:
    returns = books()
    contenders = {name: Contender(r, turnover=np.full(756, 0.02)) for name, r in returns.items()}
    rows = rows_of(contenders)
    assert list(rows) == list(returns)
    for name, row in rows.items():
        assert row.n_sessions == 756
        assert row.sharpe == metrics.sharpe_ratio(returns[name])
        assert row.annual_return == metrics.annual_return(returns[name])
        assert row.volatility == metrics.volatility(returns[name])
        assert row.max_drawdown == metrics.max_drawdown(returns[name])
        assert row.annual_turnover == pytest.approx(5.04)
        assert row.sharpe_low < row.sharpe < row.sharpe_high


def test_gains_agree_with_the_paired_bootstrap() -> None:
    returns = books()
    row = rows_of({name: Contender(r) for name, r in returns.items()}, n_resamples=4_000)["better"]
    alone = sharpe_difference(returns["better"], returns["equal_weight"], np.random.default_rng(9), n_resamples=4_000)
    assert row.gain == alone.difference
    assert row.gain_low == pytest.approx(alone.low, abs=0.06)
    assert row.gain_high == pytest.approx(alone.high, abs=0.06)
    assert row.gain_p_value == pytest.approx(alone.p_value, abs=0.01)
    assert row.gain_low > 0


def test_the_reference_has_no_gain_over_itself() -> None:
    row = rows_of({name: Contender(r) for name, r in books().items()})["equal_weight"]
    assert math.isnan(row.gain)
    assert math.isnan(row.gain_p_value)
    assert math.isnan(row.deflated_sharpe)


def test_trials_deflate() -> None:
    returns = books()
    once = rows_of({"equal_weight": Contender(returns["equal_weight"]), "rl": Contender(returns["better"])})["rl"]
    often = rows_of(
        {
            "equal_weight": Contender(returns["equal_weight"]),
            "rl": Contender(returns["better"], n_trials=200.0, trial_sharpe_variance=0.4),
        }
    )["rl"]
    assert once.deflated_sharpe > 0.99
    assert often.deflated_sharpe < 0.95
    assert often.gain == once.gain
    # all of the 756 sessions are independent in this world, or nearly so
    matched = matched_difference(returns["better"], returns["equal_weight"])
    most = deflated_sharpe(return_shape(matched), 200.0, 0.4 / 252)
    least = deflated_sharpe(return_shape(matched, 756 * 0.7), 200.0, 0.4 / 252)
    assert least <= often.deflated_sharpe <= most or most <= often.deflated_sharpe <= least


def test_a_contender_with_a_nan_is_unknown_and_leaves_the_others_alone() -> None:
    returns = books()
    returns["holed"] = returns["same"].copy()
    returns["holed"][10] = math.nan
    rows = rows_of({name: Contender(r) for name, r in returns.items()})
    without = rows_of({name: Contender(r) for name, r in returns.items() if name != "holed"})
    holed = rows["holed"]
    assert all(
        math.isnan(v) for v in (holed.sharpe, holed.sharpe_low, holed.gain, holed.gain_p_value, holed.max_drawdown)
    )
    assert rows["better"] == without["better"]


def test_rows_are_json_ready() -> None:
    rows = rows_of({name: Contender(r) for name, r in books().items()})
    text = json.dumps([row.to_dict() for row in rows.values()], allow_nan=False)
    first, second, _ = json.loads(text)
    assert first["gain"] is None
    assert first["annual_turnover"] is None
    assert second["gain"] > 0
    assert second["n_sessions"] == 756


def test_contenders_that_cannot_be_compared_are_an_error() -> None:
    returns = books()
    with pytest.raises(ValueError, match="no contender named 'equal_weight'"):
        rows_of({"better": Contender(returns["better"])})
    with pytest.raises(ValueError, match="same sessions"):
        rows_of({"equal_weight": Contender(returns["equal_weight"]), "short": Contender(returns["better"][1:])})
