"""The summary of a run: one sentence that is right, and no number or name cut at any width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.evaluation.critique_inputs import Objection, ObjectionCode
from trading_platform.market_data.notices import fold
from trading_platform.reporting.allocation_results import AllocationUse
from trading_platform.reporting.market_words import benchmark_name, data_words, market_words
from trading_platform.reporting.narrow import Column, table, wrap
from trading_platform.reporting.run_results import Costs, RunResults
from trading_platform.reporting.run_summary import sparkline, summary_lines
from trading_platform.reporting.run_verdict import signed_percent, verdict
from trading_platform.reporting.strategy_results import AccountShare, StrategyResult

DEFAULTS = RiskConfig().to_dict()
DOUBT = "the benchmark held at the same beta earns as much: the gain over it has p value 0.190"
STRATEGY = StrategyResult(7, 0.571, 3_777.15, 0.04, 1_477.76, 2_300.13, 0.0, 0.74, 31.52, 0.56, 1_477.02)
RESULTS = RunResults(
    schema_version=2,
    run_id=1,
    market="files:/data/prices",
    first_session="2010-01-04",
    last_session="2010-12-31",
    sessions=252,
    orders=77,
    fills=81,
    fill_model="exact",
    seed=7,
    trades=31,
    denials={"MAX_POSITIONS": 148},
    halts=[],
    stopped_strategies=[],
    final_equity=105_100.0,
    total_return=0.051,
    annual_return=0.051,
    excess_return=0.041,
    sharpe=0.91,
    sharpe_plain=1.12,
    beta=0.31,
    alpha=0.024,
    alpha_t=1.4,
    volatility=0.05,
    benchmark_volatility=0.15,
    benchmark_annual_return=0.176,
    bills_return=0.01,
    max_drawdown=0.044,
    avg_exposure=0.42,
    avg_exposure_calm=0.45,
    fees=3.71,
    costs=Costs(1.5, 52.39, 78.63, 12.45, 2.21, 147.18),
    interest=612.05,
    dividends=0.0,
    cash_flow=0.0,
    not_invested_because={"no_signal": 19_599.37, "slots": 7_273.48, "caps": 24_795.4, "size": 8_437.48, "halts": None},
    benchmark_return=0.176,
    universe_return=0.11,
    strategies={"a_strategy_of_a_very_long_name": STRATEGY, "winners": STRATEGY._replace(pnl=-1_234_567.89)},
    account=AccountShare(612.05, 0.0, 0.0, 0.0, 0.0, 612.05),
    allocation=AllocationUse({"equal_weight": 212, "model": 40}, {"MODEL_TOO_OLD": 200, "STATE_OUT_OF_RANGE": 12}),
    critique=(Objection(ObjectionCode.NO_BETTER_THAN_BENCHMARK, 0.19, 0.05, DOUBT),),
)
EQUITY = np.linspace(100_000.0, 105_100.0, 252)


def lines(results: RunResults, width: int) -> list[str]:
    return summary_lines(results, EQUITY, 100_000.0, DEFAULTS, DEFAULTS, width)


def test_verdict_says_gain_risk_investment_and_distance() -> None:
    assert verdict(RESULTS, DEFAULTS, DEFAULTS) == (
        "+4.1 % a year over bills with a third of the market's risk, 42 % invested; 12.5 points behind SPY."
    )


def test_realistic_fills_are_said_with_their_seed_and_exact_ones_go_without_saying() -> None:
    drawn = replace(RESULTS, fill_model="realistic", seed=11)
    assert "realistic fills (seed 11)" in " ".join(lines(drawn, 80)[:3])
    assert "fills (seed" not in " ".join(lines(RESULTS, 80))


def test_who_split_the_capital_is_said_and_why_the_model_did_not() -> None:
    text = " ".join(" ".join(lines(RESULTS, 200)).split())
    why = "it was too old (200), the state was new to it (12)"
    assert f"Capital was split by equal weight 212 of 252 sessions: {why} the model 40 of 252 sessions" in text
    alone = replace(RESULTS, allocation=AllocationUse({"equal_weight": 252}, {"NO_MODEL": 252}))
    assert "equal weight 252 of 252 sessions: no model is promoted" in " ".join(" ".join(lines(alone, 200)).split())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"market": "synthetic:seed=7"}, "12.5 points behind the market."),
        ({"benchmark_return": 0.04}, "1.1 points ahead of SPY."),
        ({"benchmark_return": 0.0511}, "level with SPY."),
        ({"benchmark_return": None}, "42 % invested."),
        ({"sessions": 2520, "benchmark_annual_return": 0.08}, "2.9 points a year behind SPY."),
        ({"volatility": 0.30}, "with 2.0 times the market's risk"),
        ({"volatility": 0.148}, "with the market's risk"),
        ({"volatility": 0.015}, "with 10 % of the market's risk"),
        ({"volatility": None}, "over bills, 42 %"),
        ({"sessions": 20, "total_return": 0.0104}, "+0.04 % over bills in 20 sessions"),
    ],
)
def test_verdict_follows_the_figures(change: dict[str, object], words: str) -> None:
    assert words in verdict(replace(RESULTS, **change), DEFAULTS, DEFAULTS)  # type: ignore[arg-type] # fields by name


IDLE = replace(RESULTS, orders=0, fills=0, trades=0, denials={"POSITION_LIMIT": 4869})


def test_zero_trades_name_the_rule_and_the_slip() -> None:
    limits = {**DEFAULTS, "max_position_pct": 0.05}
    assert verdict(IDLE, limits, DEFAULTS) == (
        "No order passed: POSITION_LIMIT refused all 4,869. max_position_pct is 0.05 percent; did you mean 5?"
    )


def test_zero_trades_without_a_slip_name_the_setting() -> None:
    limits = {**DEFAULTS, "max_position_pct": 1.5}
    assert verdict(IDLE, limits, DEFAULTS).endswith("refused all 4,869. max_position_pct is 1.5 percent.")
    two = replace(IDLE, denials={"POSITION_LIMIT": 10, "VIX_UNKNOWN": 30})
    assert verdict(two, DEFAULTS, DEFAULTS) == "No order passed: VIX_UNKNOWN refused 30 of 40."


def test_zero_trades_without_refusals_say_what_there_was() -> None:
    assert verdict(replace(IDLE, denials={}), DEFAULTS, DEFAULTS) == (
        "No strategy asked for a position in 252 sessions."
    )
    assert verdict(replace(IDLE, orders=12), DEFAULTS, DEFAULTS) == "No order was filled, of 12."


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.0, "0 %"), (0.0004, "+0.04 %"), (-0.00002, "-0.002 %"), (0.041, "+4.1 %"), (-0.1, "-10.0 %"), (None, "n/a")],
)
def test_percentages_never_show_a_sign_before_nothing(fraction: float | None, text: str) -> None:
    assert signed_percent(fraction) == text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_summary_fits_and_cuts_nothing(width: int) -> None:
    found = lines(RESULTS, width)
    text = " ".join(" ".join(found).split())
    assert max(len(line) for line in found) <= width
    assert "…" not in text
    for wanted in (
        "SIMULATED, files in prices",
        "$100,000.00",
        "$105,100.00",
        "0.91 over bills",
        "+2.40 % a year",
        "spread $52.39",
        "slippage $78.63",
        "impact $12.45",
        "commission $1.50",
        "regulatory $2.21",
        "$612.05",
        "caps $24,795",
        "a_strategy_of_a_very_long_name",
        "-1,234,567.89",
        "+3,777.15",
        DOUBT,
        "MAX_POSITIONS 148",
        "SPY",
        "together",
        "-1,230,178.69",
    ):
        assert wanted.replace(" ", "") in text.replace(" ", ""), wanted


def test_wide_summary_has_every_column_and_a_narrow_one_drops_the_least() -> None:
    assert any("turnover a year" in line for line in lines(RESULTS, 120))
    narrow = lines(RESULTS, 60)
    assert not any("turnover" in line for line in narrow)
    assert any("P&L" in line and "costs" in line for line in narrow)


def test_table_without_room_stacks_and_keeps_names_and_numbers() -> None:
    head = Column("strategy", ["a_strategy_of_a_very_long_name"], 10, is_number=False)
    found = table(head, [Column("P&L", ["+1,234,567.89"], 9), Column("won", ["50%"], 1)], 40)
    assert found == ["  a_strategy_of_a_very_long_name", "    P&L +1,234,567.89"]


def test_words_are_not_parted_from_their_percent_sign() -> None:
    assert wrap("it is quite exactly 40 % of it all", 23) == ["it is quite exactly", "40 % of it all"]


def test_flat_curve_is_no_mountain_and_both_ends_are_in_it() -> None:
    assert set(sparkline(np.linspace(100.0, 100.05, 300))) == {"▁"}
    line = sparkline(np.array([100.0, *[120.0] * 300, 200.0]))
    assert (line[0], line[-1], len(line)) == ("▁", "█", 40)


def test_market_and_benchmark_have_their_real_names() -> None:
    assert (market_words("synthetic:seed=7"), benchmark_name("synthetic:seed=7")) == (
        "embedded market (seed 7)",
        "market (synthetic)",
    )
    assert (market_words("files:/a/b/prices"), benchmark_name("files:/a/b/prices")) == ("files in prices", "SPY")
    assert market_words("files:../a/stocks,../a/funds") == "files in stocks and funds"
    assert market_words("files:/a/one,/a/two,C:\\a\\three,/b/d,e") == "files in one, two, C:\\a\\three and d,e"
    assert market_words("alpaca:iex") == "Alpaca's bars (iex)"


def test_data_remarks_are_one_line_with_a_count() -> None:
    warnings = ("large_move: 40 x, e.g. AAPL 2000-09-29", "stale: 3 x, e.g. X")
    assert data_words(warnings) == "fine to trade; 43 remarks, first: large move: 40 x, e.g. AAPL 2000-09-29"
    assert data_words(()) == "fine to trade"
    assert data_words(("something else",)) == "fine to trade; 1 remark, first: something else"


def test_data_are_told_as_data_check_tells_them() -> None:
    guess, jump = "guessed: 12 sessions at the last known rate of cash (x)", "attention: 1 price jump (AAA)"
    repeated = "left out: 1,002 repeated rows (y)"

    assert data_words((guess, repeated)) == f"fine to trade; 1,002 remarks; {guess}"
    assert data_words((jump, guess)) == f"look at this before you trade; 1 remark, first: {jump}"
    assert data_words((guess,)) == f"fine to trade; {guess}"
    for warnings in ((guess, repeated), (jump, guess), (guess,)):
        assert data_words(warnings).startswith(fold(warnings).verdict.removeprefix("data: "))
