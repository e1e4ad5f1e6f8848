"""Shadow books: who starts when, what is measured, and that no history too far back matters."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernel_world import STRATEGIES, kernel_arrays, make_rules, random_panel
from trading_platform.core.reasons import is_strategys_own
from trading_platform.core.shadow_books import (
    MAX_DRAWDOWN,
    MEAN_RETURN,
    SHARPE,
    WIN_RATE,
    fill_statistics,
    half_year_starts,
    lookback_sessions,
    shadow_statistics,
)
from trading_platform.core.simulate import backtest

LOOKBACK = 40
N = 800


def days(*dates: str) -> np.ndarray:
    return np.array(dates, dtype="datetime64[D]").astype(np.int64)


def test_half_years_start_with_the_first_session_of_january_and_july() -> None:
    sessions = days("2010-06-29", "2010-06-30", "2010-07-01", "2010-12-31", "2011-01-03", "2011-01-04", "2011-07-05")
    assert half_year_starts(sessions).tolist() == [2, 4, 6]


def test_first_row_is_no_start_since_what_was_before_is_unknown() -> None:
    assert half_year_starts(days("2010-01-04", "2010-01-05")).tolist() == []


def test_statistics_have_known_values() -> None:
    daily = np.array([0.01, -0.02, 0.03])
    trades, wins = np.array([0, 1, 3, 4]), np.array([0, 1, 2, 2])
    out = np.empty((1, 4))
    fill_statistics(daily, trades, wins, np.array([3]), out)
    mean = daily.mean()
    deviation = np.sqrt((((daily - mean) ** 2).sum() + 21 * 0.003**2) / (3 + 21 - 1))
    assert out[0, WIN_RATE] == pytest.approx((2 + 10) / (4 + 20))
    assert out[0, MEAN_RETURN] == pytest.approx(mean * 252)
    assert out[0, SHARPE] == pytest.approx(daily.sum() / 24 / deviation * np.sqrt(252))
    assert out[0, MAX_DRAWDOWN] == pytest.approx(0.02)


def test_idle_book_is_neutral_and_not_infinite() -> None:
    out = np.empty((1, 4))
    fill_statistics(np.zeros(130), np.zeros(131, np.int64), np.zeros(131, np.int64), np.array([130]), out)
    assert out[0].tolist() == [0.5, 0.0, 0.0, 0.0]


def test_window_ends_after_126_sessions() -> None:
    daily = np.concatenate([[-0.5], np.full(126, 0.001)])
    trades, wins = np.concatenate([[0], np.full(127, 9)]), np.zeros(128, np.int64)
    out = np.empty((1, 4))
    fill_statistics(daily, trades, wins, np.array([127]), out)
    assert out[0, MAX_DRAWDOWN] == 0.0
    assert out[0, WIN_RATE] == 0.5  # the nine losers closed before the window
    fill_statistics(daily, trades, wins, np.array([126]), out)
    assert out[0, MAX_DRAWDOWN] == pytest.approx(0.5)


def test_seasoned_book_is_a_backtest_of_the_strategy_alone() -> None:
    rules = make_rules()
    panel = random_panel(1, N)
    market, signals = kernel_arrays(panel, rules)
    result = shadow_statistics(market, signals, rules, LOOKBACK)
    starts = half_year_starts(market.day)
    book, used, end = (int(row) for row in starts[1:4])
    for k in range(len(STRATEGIES)):
        run = backtest(market, signals, np.eye(len(STRATEGIES))[k], rules, 100_000.0, book, end)
        equity = run.days["equity"]
        assert len(run.fills) > 10
        assert np.array_equal(result.returns[used:end, k], (equity[1:] / equity[:-1] - 1.0)[used - book - 1 :])
        own = np.array([is_strategys_own(reason) for reason in run.fills["reason"].tolist()])
        closed = run.fills[own & (run.fills["closed"] == 1) & (run.fills["day"] > market.day[end - 1 - 126])]
        won = closed["trade_proceeds"] + closed["trade_dividends"] - closed["trade_cost"] - closed["trade_fees"] > 0.0
        assert result.statistics[end - 1, k, WIN_RATE] == pytest.approx((won.sum() + 10) / (len(closed) + 20))


def test_before_a_seasoned_book_nothing_is_known() -> None:
    rules = make_rules()
    market, signals = kernel_arrays(random_panel(1, N), rules)
    starts = half_year_starts(market.day)
    result = shadow_statistics(market, signals, rules, LOOKBACK)
    assert np.isnan(result.statistics[: starts[1]]).all()
    assert np.isfinite(result.statistics[starts[1] :]).all()
    assert np.isfinite(result.returns[starts[1] :]).all()


def test_history_too_short_is_unknown_everywhere() -> None:
    rules = make_rules()
    market, signals = kernel_arrays(random_panel(1, 150), rules)
    assert np.isnan(shadow_statistics(market, signals, rules, LOOKBACK).statistics).all()


@pytest.mark.parametrize("cut", [1, 77, 200, 333])
def test_shorter_past_changes_no_bit(cut: int) -> None:
    rules = make_rules()
    panel = random_panel(3, N)
    whole = shadow_statistics(*kernel_arrays(panel, rules), rules, LOOKBACK)
    short = shadow_statistics(*kernel_arrays(panel.rows(cut, N), rules), rules, LOOKBACK)
    known = lookback_sessions(LOOKBACK)
    assert N - cut > known
    assert short.statistics[known:].tobytes() == whole.statistics[cut + known :].tobytes()
    assert short.returns[known:].tobytes() == whole.returns[cut + known :].tobytes()


@pytest.mark.parametrize("cut", [500, 640, 799])
def test_shorter_future_changes_no_bit(cut: int) -> None:
    rules = make_rules()
    panel = random_panel(3, N)
    whole = shadow_statistics(*kernel_arrays(panel, rules), rules, LOOKBACK)
    short = shadow_statistics(*kernel_arrays(panel.rows(0, cut), rules), rules, LOOKBACK)
    assert short.statistics.tobytes() == whole.statistics[:cut].tobytes()


def test_since_computes_the_tail_alone() -> None:
    rules = make_rules()
    market, signals = kernel_arrays(random_panel(3, N), rules)
    whole = shadow_statistics(market, signals, rules, LOOKBACK)
    tail = shadow_statistics(market, signals, rules, LOOKBACK, since=N - 1)
    assert tail.statistics[-1].tobytes() == whole.statistics[-1].tobytes()
    assert np.isnan(tail.statistics[: N // 2]).all()


def test_strategy_without_signals_is_idle() -> None:
    rules = make_rules()
    market, signals = kernel_arrays(random_panel(3, 500), rules)
    silent = signals._replace(start=np.zeros_like(signals.start))
    result = shadow_statistics(market, silent, rules, LOOKBACK)
    assert result.statistics[-1, 0].tolist() == [0.5, 0.0, 0.0, 0.0]
