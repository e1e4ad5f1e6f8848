"""The prover lets what is causal pass, and catches each way of looking ahead by name."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.strategy_markets import mixed_panel
from trading_platform.core.errors import FixConfigError
from trading_platform.core.indicators import lag, rolling_mean
from trading_platform.core.market_features import LOOKBACK, market_features
from trading_platform.core.types import Floats, MarketPanel, StrategySignals
from trading_platform.evaluation.lookahead import assert_causal, load_strategies, main
from trading_platform.evaluation.lookahead_markets import other_close, other_future, other_open
from trading_platform.evaluation.lookahead_proof import (
    Decisions,
    FillAt,
    FillSubject,
    LookaheadError,
    Proof,
    Subject,
    prove,
    prove_fills,
    table_decisions,
    to_text,
)
from trading_platform.evaluation.lookahead_subjects import Trader, all_subjects, default_rules, strategy_subject
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.regime.features import TREND, VIX, VOLATILITY, regime_features
from trading_platform.regime.hmm import RegimeConfig
from trading_platform.strategies.base import AnyStrategy, Strategy, TargetStrategy
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.mean_reversion import MeanReversion
from trading_platform.strategies.momentum import Momentum
from trading_platform.strategies.registry import STRATEGIES, make_strategies

QUICK: tuple[Strategy, ...] = (
    Momentum(formation=60, skip=5, trend=40, entry_rank=0.7, exit_rank=0.5),
    MeanReversion(entry_rank=0.8),
    Breakout(entry_window=20, exit_window=10),
)
QUICK_REGIME = RegimeConfig(fit_window=126, trend_window=50, feature_window=10)


@pytest.fixture(scope="module")
def panel() -> MarketPanel:
    return SyntheticMarketData(seed=3, n_tickers=12, n_sessions=620).history()


@pytest.fixture(scope="module")
def raw_panel(panel: MarketPanel) -> MarketPanel:
    """The same market with splits in it, and with bars missing."""
    rng = np.random.default_rng(1)
    split = np.where(rng.random(panel.close.shape) < 0.004, rng.choice([2.0, 3.0, 0.1], panel.close.shape), 1.0)
    shares = np.cumprod(split, axis=0)
    missing = rng.random(panel.close.shape) < 0.002
    bars = {name: np.where(missing, np.nan, getattr(panel, name) / shares) for name in ("open", "high", "low", "close")}
    return replace(panel, **bars, split_ratio=split, dividend=np.zeros_like(split))  # type: ignore[arg-type] # by name


@pytest.fixture(scope="module")
def prove_causal(panel: MarketPanel) -> Callable[[AnyStrategy], Proof]:
    """What docs/lookahead.md shows to users: a fixture that proves a strategy on the embedded market."""
    return lambda strategy: assert_causal(strategy, panel)


# ---------------------------------------------------------------- what is causal


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_registered_strategy_is_causal(
    prove_causal: Callable[[AnyStrategy], Proof], panel: MarketPanel, name: str
) -> None:
    strategy = make_strategies([name])[0]
    needs_funds = isinstance(strategy, TargetStrategy) and bool(strategy.stands_aside(panel))
    proof = assert_causal(strategy, mixed_panel(3, 620)) if needs_funds else prove_causal(strategy)
    assert proof.told > 20
    assert proof.tried["truncated future"] == proof.tried["shortened past"] > 5
    assert proof.tried["other future"] == 3 * proof.tried["truncated future"]


def test_strategies_are_causal_on_raw_bars_with_splits_and_gaps(raw_panel: MarketPanel) -> None:
    for strategy in QUICK:
        assert assert_causal(strategy, raw_panel).told > 20


@pytest.mark.compiles
def test_everything_that_decides_is_causal(panel: MarketPanel) -> None:
    pytest.importorskip("hmmlearn", reason="regimes need hmmlearn")
    subjects, fills = all_subjects(panel, QUICK, QUICK_REGIME)
    proofs = {subject.name: prove(subject, panel, 6) for subject in subjects if subject.name != "market features"}
    proofs |= {subject.name: prove_fills(subject, panel, 10) for subject in fills}
    assert {name: proof.leaks for name, proof in proofs.items() if not proof.holds} == {}
    assert proofs.keys() >= {"regime", "shadow statistics", "orders", "observations", "report figures", "fills"}
    assert proofs["orders"].told > 50
    assert proofs["fills"].told > 10


# ---------------------------------------------------------------- seeded faults


@dataclass(frozen=True)
class Fault:
    """A strategy made of a function of the closes."""

    strength: Callable[[Floats], Floats]
    lookback: int = 10
    name: str = "fault"

    def signals(self, panel: MarketPanel) -> StrategySignals:
        strength = self.strength(panel.close)
        return StrategySignals(strength, np.zeros(strength.shape, dtype=bool))


def tomorrow(close: Floats) -> Floats:
    """A shift by -1: the classic."""
    later = np.vstack([close[1:], close[-1:]])
    return np.where(later > close, 1.0, 0.0)


def centred_average(close: Floats) -> Floats:
    """A window that is centred instead of trailing."""
    return np.where(close > np.roll(rolling_mean(close, 5), -2, axis=0), 1.0, 0.0)


def scaled_on_all_data(close: Floats) -> Floats:
    """A scaler fitted on the whole history."""
    return np.where((close - close.mean(axis=0)) / close.std(axis=0) < -0.5, 1.0, 0.0)


def expanding_mean(close: Floats) -> Floats:
    """Causal, but it depends on everything that came before."""
    return np.where(close > np.cumsum(close, axis=0) / np.arange(1, len(close) + 1)[:, None], 1.0, 0.0)


def trailing_mean(close: Floats) -> Floats:
    return np.where(close > rolling_mean(close, 20), 1.0, 0.0)


def writes_into_the_bars(close: Floats) -> Floats:
    close[-1] *= 1.0 + 1e-12
    return np.where(close > lag(close, 1), 1.0, 0.0)


def rolls_dice() -> Callable[[Floats], Floats]:
    rng = np.random.default_rng(0)
    return lambda close: rng.random(close.shape)


@pytest.mark.parametrize(
    ("strength", "check"),
    [
        (tomorrow, "truncated future"),
        (tomorrow, "other future"),
        (centred_average, "other future"),
        (scaled_on_all_data, "truncated future"),
        (expanding_mean, "shortened past"),
        (trailing_mean, "shortened past"),
        (writes_into_the_bars, "input untouched"),
        (rolls_dice(), "asked again"),
    ],
)
def test_fault_is_caught_by_name(panel: MarketPanel, strength: Callable[[Floats], Floats], check: str) -> None:
    own = replace(panel, close=panel.close.copy())
    proof = prove(strategy_subject(Fault(strength)), own, 8)
    assert any(leak.startswith(f"{check}: ") for leak in proof.leaks)
    assert not proof.holds


def test_causal_but_forgetful_strategies_fail_by_their_past_alone(panel: MarketPanel) -> None:
    for strength in (expanding_mean, trailing_mean):
        proof = prove(strategy_subject(Fault(strength)), panel, 8)
        assert {leak.partition(":")[0] for leak in proof.leaks} == {"shortened past"}
    assert prove(strategy_subject(Fault(trailing_mean, lookback=20)), panel, 8).holds


def test_smoothed_regime_is_caught(panel: MarketPanel) -> None:
    """`predict_proba` of a hidden Markov model smooths: it uses the whole series for each session."""
    hmm = pytest.importorskip("hmmlearn.hmm", reason="the fault is hmmlearn's")
    model = hmm.GaussianHMM(3, covariance_type="diag")
    model.startprob_, model.transmat_ = np.full(3, 1 / 3), np.full((3, 3), 0.02) + 0.94 * np.eye(3)
    model.means_ = np.array([[0.001, -5.0, 2.5], [-0.001, -4.3, 3.2], [0.0, -4.7, 2.9]])
    model.covars_ = np.array([[1e-5, 0.1, 0.1]] * 3)

    def decide(bars: MarketPanel, since: int) -> Decisions:
        features = regime_features(bars, 10, 12)[:, [TREND, VOLATILITY, VIX]]
        values = np.full((len(features), 3), np.nan)
        values[11:] = model.predict_proba(features[11:])
        return table_decisions(values, np.arange(len(values)) > 11)

    proof = prove(Subject("smoothed regime", decide, None, first=50), panel, 6)
    assert {leak.partition(":")[0] for leak in proof.leaks} == {"truncated future", "other future"}


def test_features_scaled_on_all_data_are_caught_and_plain_ones_are_not(panel: MarketPanel) -> None:
    def subject(*, scale: bool) -> Subject:
        def decide(bars: MarketPanel, since: int) -> Decisions:
            values = market_features(bars)
            if scale:
                values = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
            return table_decisions(values, np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_))

        return Subject("features", decide, LOOKBACK)

    assert prove(subject(scale=False), panel, 6).holds
    leaks = prove(subject(scale=True), panel, 6).leaks
    assert {leak.partition(":")[0] for leak in leaks} == {"truncated future", "other future", "shortened past"}


@pytest.fixture(scope="module")
def trader(panel: MarketPanel) -> Trader:
    return Trader(QUICK, default_rules(), panel.sessions, 61)


def refill(trader: Trader, price: Callable[[MarketPanel, FillAt], FillAt]) -> FillSubject:
    """Return the trader's fills with another price."""
    return FillSubject("fault", lambda panel: [price(panel, fill) for fill in trader.fills(panel)], first=80)


def test_fill_at_the_close_that_was_observed_is_caught(panel: MarketPanel, trader: Trader) -> None:
    """The decision of yesterday's close, filled at yesterday's close."""
    subject = refill(trader, lambda bars, fill: fill._replace(price=float(bars.close[fill.row - 1, fill.ticker])))
    leaks = prove_fills(subject, panel, 12).leaks
    assert {leak.partition(":")[0] for leak in leaks} == {"other open of the session"}
    assert "not priced by that session's open" in leaks[0]


def test_fill_at_the_close_of_its_own_session_is_caught(panel: MarketPanel, trader: Trader) -> None:
    subject = refill(trader, lambda bars, fill: fill._replace(price=float(bars.close[fill.row, fill.ticker])))
    checks = {leak.partition(":")[0] for leak in prove_fills(subject, panel, 12).leaks}
    assert checks == {"other close of the session", "other open of the session"}


def test_fill_at_tomorrows_open_is_caught(panel: MarketPanel, trader: Trader) -> None:
    def price(bars: MarketPanel, fill: FillAt) -> FillAt:
        return fill._replace(price=float(bars.open[min(fill.row + 1, bars.n_sessions - 1), fill.ticker]))

    checks = {leak.partition(":")[0] for leak in prove_fills(refill(trader, price), panel, 12).leaks}
    assert {"truncated future", "other future"} <= checks


def test_strategy_that_says_nothing_proves_nothing(panel: MarketPanel) -> None:
    silent = Fault(np.zeros_like)
    proof = prove(strategy_subject(silent), panel, 6)
    assert proof.leaks == []
    assert not proof.holds
    with pytest.raises(LookaheadError, match="no signal on any row tried"):
        assert_causal(silent, panel)
    with pytest.raises(LookaheadError, match=r"fault: truncated future: the decision of 20.*moved"):
        assert_causal(Fault(tomorrow), panel)


# ---------------------------------------------------------------- other markets


def test_other_markets_differ_where_they_should_and_nowhere_else(raw_panel: MarketPanel) -> None:
    rng = np.random.default_rng(0)
    future = other_future(raw_panel, 300, rng)
    for name in ("open", "high", "low", "close", "volume", "vix", "benchmark", "split_ratio", "dividend"):
        old, new = getattr(raw_panel, name), getattr(future, name)
        np.testing.assert_array_equal(new[:300], old[:300], err_msg=name)
        assert (new[300:] != old[300:]).any(), name
    close = other_close(raw_panel, 300, rng)
    for name in ("open", "high", "low", "volume"):
        np.testing.assert_array_equal(getattr(close, name)[:301], getattr(raw_panel, name)[:301])
    moved = np.isfinite(raw_panel.close[300])
    assert (close.close[300] != raw_panel.close[300])[moved].all()
    assert ((close.close[300] >= raw_panel.low[300]) & (close.close[300] <= raw_panel.high[300]))[moved].all()
    opened = other_open(raw_panel, 300)
    np.testing.assert_allclose(opened.open[300] / raw_panel.open[300], 1.0005)
    assert (opened.high[300] >= opened.open[300])[moved].all()


# ---------------------------------------------------------------- the command

GOOD = """
    from dataclasses import dataclass
    import numpy as np
    from trading_platform.core.types import StrategySignals

    @dataclass(frozen=True)
    class Above:
        name: str = "above"
        lookback: int = 2

        def signals(self, panel):
            before = np.vstack([panel.close[:1] * np.nan, panel.close[:-1]])
            return StrategySignals(np.where(panel.close > before, 1.0, 0.0), panel.close < before)
"""
ARGUMENTS = ("--sessions", "200", "--cuts", "6")


def write(folder: Path, text: str) -> str:
    path = folder / "my.py"
    path.write_text(textwrap.dedent(text))
    return str(path)


def test_command_proves_a_users_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, "--strategy-file", write(tmp_path, GOOD)]) == 0
    out = capsys.readouterr().out
    assert "synthetic:seed=7: 200 sessions" in out
    assert "strategy above" in out
    assert "causal" in out


def test_command_fails_on_a_users_file_that_looks_ahead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peeking = GOOD.replace("panel.close[:1] * np.nan, panel.close[:-1]", "panel.close[1:], panel.close[:1] * np.nan")
    assert main([*ARGUMENTS, "--strategy-file", write(tmp_path, peeking)]) == 1
    out = capsys.readouterr().out
    assert "LOOKS AHEAD" in out
    assert "strategy above: truncated future: the decision of 20" in out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "no class with a lookback"),
        ("import no_such_module_anywhere", "cannot be imported"),
        ("def broken(:", "cannot be imported"),
        (GOOD.replace('name: str = "above"', "name: str"), "must have a default for every parameter"),
    ],
)
def test_file_without_a_strategy_is_an_error_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(FixConfigError, match=words):
        load_strategies(path)
    assert main([*ARGUMENTS, "--strategy-file", path]) == 2
    assert words in capsys.readouterr().err


def test_too_short_a_history_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sessions", "100"]) == 2
    assert "sessions are too few" in capsys.readouterr().err


def test_table_tells_silence_from_causality() -> None:
    proofs = [Proof("quiet", compared=3), Proof("good", compared=3, told=1), Proof("bad", told=1, leaks=["x: y"])]
    verdicts = [line.split()[0:4] for line in to_text(proofs).splitlines()[1:4]]
    assert verdicts == [["quiet", "3", "0", "NOTHING"], ["good", "3", "1", "causal"], ["bad", "0", "1", "LOOKS"]]
