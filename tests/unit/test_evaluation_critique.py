"""Backtest critique: a good backtest passes in silence; each fault, planted alone, raises exactly its finding."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.evaluation.critique import critique
from trading_platform.evaluation.critique_figures import (
    CHUNK,
    benchmark_p_value,
    coin_flip_p_value,
    cost_share,
    gain_p_value,
    largest_share,
    longest_flat_run,
    profit_without_best,
)
from trading_platform.evaluation.critique_inputs import Backtest, CritiqueConfig, ObjectionCode
from trading_platform.evaluation.sharpe_tests import long_run_variance


def good() -> Backtest:
    rng = np.random.default_rng(0)
    benchmark = rng.normal(0.0002, 0.01, 504)
    profits = rng.normal(20.0, 50.0, 80)
    return Backtest(
        returns=benchmark + rng.normal(0.0008, 0.004, 504),
        benchmark_returns=benchmark,
        trade_profits=profits,
        stop_prices=np.full(80, 95.0),
        target_prices=np.full(80, 110.0),
        exit_lows=np.full(80, 99.0),
        exit_highs=np.full(80, 111.0),
        fill_volumes=np.full(160, 1e6),
    )


def codes(backtest: Backtest, config: CritiqueConfig | None = None) -> list[ObjectionCode]:
    return [finding.code for finding in critique(backtest, np.random.default_rng(1), config)]


def test_a_good_backtest_raises_nothing() -> None:
    assert codes(good()) == []


def test_too_few_trades() -> None:
    full = good()
    cut = {name: getattr(full, name)[:29] for name in ("stop_prices", "target_prices", "exit_lows", "exit_highs")}
    few = replace(full, trade_profits=np.linspace(-10, 60, 29), **cut)
    (finding,) = critique(few, np.random.default_rng(1))
    assert (finding.code, finding.observed, finding.threshold) == (ObjectionCode.TOO_FEW_TRADES, 29.0, 30.0)
    assert "29 closed trades" in finding.message
    assert codes(few, CritiqueConfig(min_trades=29)) == []


def test_few_lucky_trades() -> None:
    # four of eighty carry everything; the rest loses a little
    profits = np.full(80, -1.0)
    profits[:4] = 500.0
    assert ObjectionCode.FEW_LUCKY_TRADES in codes(replace(good(), trade_profits=profits))
    # a fifth good one is not among the best 5 %
    profits[4] = 500.0
    assert ObjectionCode.FEW_LUCKY_TRADES not in codes(replace(good(), trade_profits=profits))


def test_trades_like_coin_flips() -> None:
    profits = np.tile([50.0, -49.0], 40)
    assert ObjectionCode.TRADES_LIKE_COIN_FLIPS in codes(replace(good(), trade_profits=profits))


def test_no_better_than_benchmark() -> None:
    backtest = good()
    noise = np.random.default_rng(3).normal(0, 0.004, 504)
    found = codes(replace(backtest, returns=backtest.benchmark_returns + noise - noise.mean()))
    assert found == [ObjectionCode.NO_BETTER_THAN_BENCHMARK]


def test_probabilities_at_their_limit_convince_and_profits_of_zero_do_not() -> None:
    backtest = good()
    coin = coin_flip_p_value(backtest.trade_profits, 2_000, np.random.default_rng(1))
    lead = gain_p_value(backtest.returns, backtest.benchmark_returns, np.zeros(504))
    assert lead > 0
    at = CritiqueConfig(max_coin_flip_p_value=coin, max_benchmark_p_value=lead)
    assert codes(backtest, at) == []
    beside = CritiqueConfig(
        max_coin_flip_p_value=math.nextafter(coin, 0.0), max_benchmark_p_value=math.nextafter(lead, 0.0)
    )
    assert codes(backtest, beside) == [ObjectionCode.TRADES_LIKE_COIN_FLIPS, ObjectionCode.NO_BETTER_THAN_BENCHMARK]
    nothing_left = np.concatenate((np.full(4, 100.0), np.zeros(76)))
    assert ObjectionCode.FEW_LUCKY_TRADES in codes(replace(backtest, trade_profits=nothing_left))


@pytest.mark.parametrize("volume", [0.0, math.nan, -1.0])
def test_one_stale_fill_is_enough(volume: float) -> None:
    volumes = np.full(160, 1e6)
    volumes[7] = volume
    (finding,) = critique(replace(good(), fill_volumes=volumes), np.random.default_rng(1))
    assert finding.code is ObjectionCode.STALE_FILLS
    assert finding.observed == 1 / 160
    assert "1 of 160 fills" in finding.message


def test_ambiguous_bars_at_and_beyond_their_share() -> None:
    lows = np.full(80, 99.0)
    highs = np.full(80, 110.0)
    lows[:4] = 95.0  # touches the stop exactly, as the highs do the target: 4 of 80 is the allowed 5 %
    assert codes(replace(good(), exit_lows=lows, exit_highs=highs)) == []
    lows[4] = 94.0
    (finding,) = critique(replace(good(), exit_lows=lows, exit_highs=highs), np.random.default_rng(1))
    assert (finding.code, finding.observed) == (ObjectionCode.AMBIGUOUS_BARS, 5 / 80)


def test_bars_without_a_stop_are_not_ambiguous() -> None:
    assert codes(replace(good(), exit_lows=np.full(80, 90.0), stop_prices=np.full(80, math.nan))) == []


def test_flat_equity_at_and_beyond_its_length() -> None:
    backtest = good()
    returns = backtest.returns.copy()
    returns[100:163] = 0.0
    assert codes(replace(backtest, returns=returns)) == []
    returns[163] = 0.0
    (finding,) = critique(replace(backtest, returns=returns), np.random.default_rng(1))
    assert (finding.code, finding.observed, finding.threshold) == (ObjectionCode.FLAT_EQUITY, 64.0, 63.0)


def test_nothing_to_judge_is_objected_to() -> None:
    none = np.zeros(0)
    empty = Backtest(none, none, none, none, none, none, none, none)
    assert codes(empty) == [
        ObjectionCode.TOO_FEW_TRADES,
        ObjectionCode.FEW_LUCKY_TRADES,
        ObjectionCode.TRADES_LIKE_COIN_FLIPS,
        ObjectionCode.NO_BETTER_THAN_BENCHMARK,
    ]


def test_an_unknown_profit_or_return_is_objected_to() -> None:
    backtest = good()
    profits = backtest.trade_profits.copy()
    profits[3] = math.nan
    assert codes(replace(backtest, trade_profits=profits)) == [
        ObjectionCode.FEW_LUCKY_TRADES,
        ObjectionCode.TRADES_LIKE_COIN_FLIPS,
    ]
    returns = backtest.returns.copy()
    returns[3] = math.nan
    assert codes(replace(backtest, returns=returns)) == [ObjectionCode.NO_BETTER_THAN_BENCHMARK]


def test_profit_without_best_takes_at_least_one_trade() -> None:
    assert profit_without_best(np.array([5.0, 1.0, -2.0]), 0.05) == -1.0
    assert profit_without_best(np.arange(100.0), 0.05) == sum(range(95))
    assert profit_without_best(np.array([5.0]), 0.05) == 0.0


def test_coin_flip_p_value_of_three_wins_is_one_in_eight() -> None:
    p_value = coin_flip_p_value(np.array([1.0, 1.0, 1.0]), 20_000, np.random.default_rng(0))
    assert p_value == pytest.approx(1 / 8, abs=0.01)


def test_coin_flip_p_value_counts_ties_despite_rounding() -> None:
    # every pattern of signs with the same total must count, in whatever order it is added
    profits = np.array([0.1, 0.2, 0.3, -0.3, -0.2, -0.1])
    assert coin_flip_p_value(profits, 20_000, np.random.default_rng(0)) > 0.55


def test_coin_flip_p_value_of_many_resamples_counts_each_chunk_once() -> None:
    n = 3 * CHUNK // 40  # of 40 profits each: three chunks
    profits = np.random.default_rng(0).normal(2.0, 50.0, 40)
    signs = np.random.default_rng(4).choice([-1.0, 1.0], (n, 40))
    whole = float(np.mean(signs @ profits >= profits.sum()))
    assert coin_flip_p_value(profits, n, np.random.default_rng(5)) == pytest.approx(whole, abs=0.01)
    assert coin_flip_p_value(np.ones(40), n, np.random.default_rng(4)) == pytest.approx(1 / (n + 1))


def test_coin_flip_p_value_of_large_profits_still_counts_ties() -> None:
    profits = 1e6 * np.array([0.1, 0.2, 0.3, -0.3, -0.2, -0.1])
    assert coin_flip_p_value(profits, 20_000, np.random.default_rng(0)) > 0.55


def test_benchmark_p_value_equals_a_t_test_on_independent_days() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with hmmlearn only")
    rng = np.random.default_rng(5)
    difference = rng.normal(0.0, 0.004, 5_000)
    ours = benchmark_p_value(difference, np.zeros(5_000))
    assert ours == pytest.approx(stats.ttest_1samp(difference, 0.0, alternative="greater").pvalue, rel=0.15)


def test_benchmark_p_value_of_a_constant_lead_is_certain() -> None:
    base = np.zeros(20)
    assert benchmark_p_value(base, base) == 1.0
    assert benchmark_p_value(base + 0.25, base) == 0.0
    assert benchmark_p_value(base - 0.25, base) == 1.0
    assert benchmark_p_value(base[:10], base[:10]) == 1.0
    assert math.isnan(benchmark_p_value(base[:9], base[:9]))


def test_benchmark_p_value_of_ten_days_written_out() -> None:
    # mean 1, variance 1, no bandwidth beyond the first lag's autocorrelation -0.9: z = 1 / sqrt(long-run variance / 9)
    days = np.tile([2.0, 0.0], 5)
    error = math.sqrt(long_run_variance(days) / 9)
    assert benchmark_p_value(days, np.zeros(10)) == pytest.approx(0.5 * math.erfc(1 / error / math.sqrt(2)))


def test_longest_flat_run_counts_unknown_days_as_still() -> None:
    assert longest_flat_run(np.array([0.0, 0.1, 0.0, math.nan, 0.0, 0.1])) == 3
    assert longest_flat_run(np.zeros(0)) == 0


def test_arrays_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"returns and benchmark_returns"):
        replace(good(), returns=np.zeros(3))
    with pytest.raises(ValueError, match=r"trade arrays"):
        replace(good(), exit_lows=np.zeros(3))


def test_impossible_settings_are_named_together() -> None:
    CritiqueConfig(min_trades=2, max_flat_sessions=0, n_resamples=100)
    with pytest.raises(FixConfigError, match=r"min_trades .*; .*max_stale_share"):
        CritiqueConfig(min_trades=1, max_stale_share=math.nan)


# ---------------------------------------------------------------- concentration, costs, data, perfection


def test_half_of_the_benchmark_is_judged_against_half_of_it() -> None:
    backtest = good()
    rng = np.random.default_rng(4)
    half = 0.5 * backtest.benchmark_returns + 0.0006 + rng.normal(0.0, 0.003, 504)
    richer = backtest.benchmark_returns + 0.002  # which all of the benchmark beats by far
    assert codes(replace(backtest, returns=half, benchmark_returns=richer)) != []
    assert gain_p_value(half, backtest.benchmark_returns, np.zeros(504)) < 0.01
    only_half = 0.5 * backtest.benchmark_returns + rng.normal(0.0, 0.003, 504)
    assert codes(replace(backtest, returns=only_half)) == [ObjectionCode.NO_BETTER_THAN_BENCHMARK]


def test_cash_is_no_gain_over_the_benchmark() -> None:
    backtest = good()
    bills = np.full(504, 0.0008)
    idle = bills + np.random.default_rng(6).normal(0.0, 0.0005, 504)
    found = codes(replace(backtest, returns=idle, bills=bills))
    assert found == [ObjectionCode.NO_BETTER_THAN_BENCHMARK]
    assert ObjectionCode.NO_BETTER_THAN_BENCHMARK not in codes(replace(backtest, returns=idle))


def test_profit_of_one_ticker_is_named() -> None:
    backtest = good()
    numbers = np.arange(80) % 4
    even = replace(backtest, trade_tickers=numbers, tickers=("AAA", "BBB", "CCC", "DDD"))
    assert codes(even) == []
    profits = np.where(numbers == 2, backtest.trade_profits + 80.0, backtest.trade_profits)
    (finding,) = critique(replace(even, trade_profits=profits), np.random.default_rng(1))
    assert finding.code is ObjectionCode.ONE_TICKER
    assert "from CCC alone" in finding.message


def test_gain_of_one_year_is_named_where_there_are_three() -> None:
    backtest = good()
    years = 2010 + np.arange(504) // 168
    own = backtest.returns - backtest.benchmark_returns
    even = np.concatenate([0.0015 + row - row.mean() for row in np.split(backtest.benchmark_returns, 3)]) + own
    backtest = replace(backtest, returns=even)
    returns = even.copy()
    returns[168:336] += 0.004
    lucky = replace(backtest, returns=returns, years=years)
    assert codes(replace(backtest, years=years), CritiqueConfig(max_sharpe=100.0)) == []
    found = critique(lucky, np.random.default_rng(1), CritiqueConfig(max_sharpe=100.0))
    assert [finding.code for finding in found] == [ObjectionCode.ONE_YEAR]
    assert "from 2011 alone" in found[0].message
    two = replace(lucky, years=2010 + np.arange(504) // 252)
    assert codes(two, CritiqueConfig(max_sharpe=100.0)) == []


def test_costs_that_take_half_are_objected_to() -> None:
    backtest = good()
    profit = float(backtest.trade_profits.sum())
    assert codes(replace(backtest, costs=0.99 * profit)) == []
    (finding,) = critique(replace(backtest, costs=1.1 * profit), np.random.default_rng(1))
    assert finding.code is ObjectionCode.COSTS_EAT_THE_EDGE
    assert finding.observed == pytest.approx(1.1 / 2.1)


def test_price_that_stands_still_is_named() -> None:
    backtest = replace(good(), tickers=("AAA", "BBB"))
    assert codes(replace(backtest, unchanged_sessions=np.array([3, 10]))) == []
    (finding,) = critique(replace(backtest, unchanged_sessions=np.array([3, 11])), np.random.default_rng(1))
    assert finding.code is ObjectionCode.STALE_PRICES
    assert "BBB closed at one and the same price 11 sessions" in finding.message


def test_book_that_stopped_for_good_says_so() -> None:
    assert codes(replace(good(), stopped_for_good=True)) == [ObjectionCode.STOPPED_FOR_GOOD]


def test_perfection_is_objected_to() -> None:
    backtest = good()
    winners = np.where(np.arange(80) < 7, -5.0, np.abs(backtest.trade_profits))
    assert codes(replace(backtest, trade_profits=winners)) == [ObjectionCode.TOO_GOOD]
    always = replace(backtest, returns=backtest.benchmark_returns + 0.01)
    assert codes(always) == [ObjectionCode.TOO_GOOD]
    assert codes(always, CritiqueConfig(max_sharpe=100.0)) == []


def test_largest_share_may_exceed_all_and_is_unknown_without_a_profit() -> None:
    assert largest_share(np.array([3.0, -1.0]), np.array([7, 4])) == (1.5, 7)
    assert math.isnan(largest_share(np.array([-3.0, 1.0]), np.array([7, 4]))[0])
    assert math.isnan(largest_share(np.zeros(0), np.zeros(0, dtype=np.int64))[0])


def test_cost_share_is_of_the_profit_before_costs() -> None:
    assert cost_share(np.array([30.0, 30.0]), 40.0) == 0.4
    assert math.isnan(cost_share(np.array([-50.0]), 40.0))
    assert math.isnan(cost_share(np.array([50.0]), math.nan))


def test_new_arrays_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match="trade_tickers"):
        replace(good(), trade_tickers=np.zeros(3, dtype=np.int64))
    with pytest.raises(ValueError, match="bills and years"):
        replace(good(), bills=np.zeros(3))
