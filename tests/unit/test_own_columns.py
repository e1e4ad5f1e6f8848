"""Data columns and risk rules in files of one's own: they come with the bars, or are refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trading_platform.configuration.trading_config import load_config
from trading_platform.core.errors import FixConfigError
from trading_platform.core.resample import ResampleOptions, resample_market
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.evaluation.lookahead_markets import other_future
from trading_platform.evaluation.lookahead_proof import prove
from trading_platform.evaluation.lookahead_subjects import strategy_subject
from trading_platform.market_data.load_panel import with_own_parts
from trading_platform.market_data.own_columns import own_columns, own_rules, with_own_columns, with_own_rules
from trading_platform.market_data.panel import content_hash
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.runtime.causality import column_subject, refuse_lookahead, rule_subject
from trading_platform.strategies.base import prepare_signals

GAP = """
LOOKBACK = 2

def column(panel):
    gap = panel.open.copy()
    gap[0] = float("nan")
    gap[1:] = panel.open[1:] / panel.close[:-1] - 1.0
    return gap
"""
CALM = """
LOOKBACK = 1

def allows(panel):
    return panel.vix < 20.0
"""
AHEAD = """
import numpy as np
LOOKBACK = 2

def column(panel):
    return np.roll(panel.close, -1, axis=0)

def allows(panel):
    return np.roll(panel.close, -1, axis=0) > panel.close
"""


class BuysGaps:
    """Wants whatever opened below yesterday's close, by the column of one's own."""

    name = "buys_gaps"
    lookback = 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        gap = panel.column("gap")
        return StrategySignals(np.where(gap < -0.002, 0.5, 0.0), gap > 0.0)


@pytest.fixture(scope="module")
def bars() -> MarketPanel:
    return SyntheticMarketData(3, n_tickers=12, n_sessions=300).history()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in with a column, a rule, and one of each that knows tomorrow."""
    monkeypatch.chdir(tmp_path)
    for folder, name, text in (
        ("columns", "gap", GAP),
        ("columns", "ahead", AHEAD),
        ("rules", "calm", CALM),
        ("rules", "ahead", AHEAD),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.py").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_column_comes_with_the_bars_and_is_read_by_name(bars: MarketPanel, files: Path) -> None:
    panel = with_own_columns(bars, own_columns(["gap"]))
    assert panel.column("gap")[1, 0] == panel.open[1, 0] / panel.close[0, 0] - 1.0
    cut = panel.rows(100, 120).columns([2, 5])
    assert np.array_equal(cut.column("gap"), panel.column("gap")[100:120][:, [2, 5]])
    assert panel.data_hash != bars.data_hash  # another column is another run
    wanted = prepare_signals(panel, [BuysGaps()])[0].strength
    assert 0.0 < (wanted > 0.0).mean() < 1.0


def test_a_strategy_that_asks_for_a_column_that_is_not_there_is_told_how_to_name_it(bars: MarketPanel) -> None:
    with pytest.raises(FixConfigError, match=r"no column 'gap' comes with the bars \(none\): columns = \[\"gap\"\]"):
        prepare_signals(bars, [BuysGaps()])


def test_a_market_that_is_rearranged_for_training_keeps_each_sessions_column_and_rule(
    bars: MarketPanel, files: Path
) -> None:
    panel = with_own_rules(with_own_columns(bars, own_columns(["gap"])), own_rules(["calm"]))
    regimes = np.arange(3.0 * panel.n_sessions).reshape(-1, 3)
    other, moved = resample_market(panel, regimes, ResampleOptions(20, 1.0, 0.2), np.random.default_rng(1))
    rows = (moved[:, 0] / 3.0).astype(int)
    assert np.array_equal(other.column("gap"), panel.column("gap")[rows], equal_nan=True)
    assert other.no_new_risk is not None and panel.no_new_risk is not None
    assert np.array_equal(other.no_new_risk, panel.no_new_risk[rows])


def test_a_rule_refuses_purchases_and_leaves_what_is_held_alone(bars: MarketPanel, files: Path) -> None:
    free = with_own_columns(bars, own_columns(["gap"]))
    panel = with_own_rules(free, own_rules(["calm"]))
    refused = ~(bars.vix < 20.0)
    assert panel.no_new_risk is not None and 0 < refused.sum() < len(refused)
    assert np.array_equal(panel.no_new_risk, np.repeat(refused[:, None], 12, axis=1))
    before, after = prepare_signals(free, [BuysGaps()])[0], prepare_signals(panel, [BuysGaps()])[0]
    assert (before.strength[refused] > 0.0).any() and not after.strength[refused].any()
    assert np.array_equal(after.strength[~refused], before.strength[~refused])
    assert np.array_equal(after.exit, before.exit)
    assert (
        panel.warnings[-1]
        == f"your rule calm lets nothing be bought in {refused.mean():.1%} of all sessions and tickers"
    )


def test_two_rules_refuse_what_either_does_and_a_rule_may_read_a_column(bars: MarketPanel, files: Path) -> None:
    text = "LOOKBACK = 1\n\ndef allows(panel):\n    return panel.column('gap') < 0.0\n"
    (files / "rules" / "gaps_only.py").write_text(text, encoding="utf-8")
    panel = with_own_rules(with_own_columns(bars, own_columns(["gap"])), own_rules(["calm", "gaps_only"]))
    expected = ~((bars.vix < 20.0)[:, None] & (panel.column("gap") < 0.0))  # an unknown gap is refused
    assert panel.no_new_risk is not None
    assert np.array_equal(panel.no_new_risk, expected)


@pytest.mark.parametrize(("kind", "subject"), [("columns", column_subject), ("rules", rule_subject)])
def test_what_knows_tomorrow_is_found_and_what_does_not_holds(
    bars: MarketPanel, files: Path, kind: str, subject: type
) -> None:
    make = own_columns if kind == "columns" else own_rules
    honest, prophet = make(["gap" if kind == "columns" else "calm"])[0], make(["ahead"])[0]
    assert prove(subject(honest), bars, 4).holds
    assert any("moved with what came after" in leak for leak in prove(subject(prophet), bars, 4).leaks)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data.columns": ("ahead",)}, "the column ahead uses what it cannot know"),
        ({"engine.own_rules": ("ahead",)}, "the rule ahead uses what it cannot know"),
    ],
)
def test_a_run_with_what_knows_tomorrow_is_refused_by_name(
    bars: MarketPanel, files: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(FixConfigError, match=said):
        refuse_lookahead([], bars, load_config(None, settings))
    refuse_lookahead([], bars, load_config(None, {"data.columns": ("gap",), "engine.own_rules": ("calm",)}))


def test_a_strategy_that_reads_tomorrows_row_of_a_column_is_found(bars: MarketPanel, files: Path) -> None:
    class Peeks(BuysGaps):
        def signals(self, panel: MarketPanel) -> StrategySignals:
            gap = np.roll(panel.column("gap"), -1, axis=0)
            return StrategySignals(np.where(gap < -0.002, 0.5, 0.0), gap > 0.0)

    panel = with_own_columns(bars, own_columns(["gap"]))
    other = other_future(panel, 200, np.random.default_rng(1))
    assert np.array_equal(other.column("gap")[:200], panel.column("gap")[:200], equal_nan=True)
    assert not np.array_equal(other.column("gap")[200:], panel.column("gap")[200:], equal_nan=True)
    assert prove(strategy_subject(BuysGaps()), panel, 4).holds
    assert not prove(strategy_subject(Peeks()), panel, 4).holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("LOOKBACK = 1", r"no function column\(panel\)"),
        ("def column(panel): return panel.close", "LOOKBACK.* must be 1 to 252, was None"),
        ("LOOKBACK = 253\ndef column(panel): return panel.close", "was 253"),
        (
            "LOOKBACK = 1\ndef column(panel): return panel.close[:, :3]",
            r"must return \(300, 12\) or \(300,\), returned",
        ),
        ("LOOKBACK = 1\ndef column(panel): return panel.tickers", "must return numbers, returned <U"),
        ("LOOKBACK = 1\ndef column(panel): return panel.clos", "column: AttributeError"),
        ("LOOKBACK = ", "cannot be imported: SyntaxError"),
    ],
)
def test_a_column_that_cannot_be_used_names_the_file_and_the_cause(
    bars: MarketPanel, files: Path, text: str, said: str
) -> None:
    (files / "columns" / "gap.py").write_text(text, encoding="utf-8")
    with pytest.raises(FixConfigError, match=rf"gap\.py: .*{said}"):
        with_own_columns(bars, own_columns(["gap"]))


def test_a_rule_that_says_anything_but_true_and_false_is_refused(bars: MarketPanel, files: Path) -> None:
    (files / "rules" / "calm.py").write_text("LOOKBACK = 1\ndef allows(panel): return panel.vix", encoding="utf-8")
    with pytest.raises(FixConfigError, match="must return True and False, returned float64"):
        with_own_rules(bars, own_rules(["calm"]))


@pytest.mark.parametrize("make", [own_columns, own_rules])
def test_a_name_without_a_file_is_refused(files: Path, make: object) -> None:
    with pytest.raises(FixConfigError, match=r"'nothing' in \w+: there is no \w+.nothing\.py with a function"):
        make(["nothing"])  # type: ignore[operator]
    with pytest.raises(FixConfigError, match="a name must be letters, digits and _"):
        make(["../gap"])  # type: ignore[operator]


def test_a_panel_that_has_what_the_settings_name_is_left_as_it_is(bars: MarketPanel, files: Path) -> None:
    config = load_config(None, {"data.columns": ("gap",), "engine.own_rules": ("calm",)})
    once = with_own_parts(bars, config)
    assert with_own_parts(once, config) is once
    assert with_own_parts(bars, load_config(None, {})) is bars
    assert content_hash(replace(once, extra={}, no_new_risk=None)) == bars.data_hash  # hashes of old runs stay
