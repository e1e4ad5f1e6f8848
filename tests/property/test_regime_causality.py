"""Regimes know the last `lookback` sessions and nothing else; a smoothed or leaking model is caught by the check."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.causal_checks import Compute, faults_of
from tests.kernel_world import random_panel
from tests.regime_markets import QUICK, switching_market
from trading_platform.core.market_features import market_features
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.regime.features import regime_features
from trading_platform.regime.filter import forward_filter, log_densities
from trading_platform.regime.hmm import RegimeConfig, causal_regimes
from trading_platform.regime.model import fit_model, scaled
from trading_platform.strategies.base import prepare_signals
from trading_platform.strategies.registry import FIRST_SET, make_strategies

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "market-data"


def path_of(config: RegimeConfig, seed: int = 7) -> Compute:
    """Return what computes probabilities beside whether they are known, (T, 4)."""

    def compute(panel: MarketPanel) -> Floats:
        path = causal_regimes(panel, config, seed)
        return np.column_stack([path.probabilities, path.known])

    return compute


@settings(max_examples=16, deadline=None)
@given(seed=st.integers(0, 10_000), row=st.integers(QUICK.lookback - 1, 419), since=st.integers(60, 200))
def test_regime_knows_its_lookback_and_nothing_else(seed: int, row: int, since: int) -> None:
    """Also while fits fail, since VIX has stood still for long, and an older model serves."""
    panel = still_before(seed, row, since)
    path = causal_regimes(panel, QUICK, seed=7)
    newest = [fit for fit in path.fits if fit.session <= panel.session(row)][-1]
    event(f"known: {bool(path.known[row])}, newest fit refused: {newest.refused is not None}")
    assert faults_of(path_of(QUICK), panel, QUICK.lookback, [row]) == []


def still_before(seed: int, row: int, since: int) -> MarketPanel:
    """Return a market whose VIX does not move over the `since` sessions up to `row`."""
    panel, _ = switching_market(seed)
    panel.vix[max(0, row - since) : row + 1] = 21.0
    return panel


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    fit_window=st.integers(126, 160),
    feature_window=st.integers(5, 30),
    trend_window=st.integers(5, 60),
    keep_refits=st.integers(0, 2),
    refit_months=st.sampled_from([1, 2]),
)
def test_lookback_is_right_for_other_settings_too(
    seed: int, fit_window: int, feature_window: int, trend_window: int, keep_refits: int, refit_months: int
) -> None:
    config = replace(
        QUICK,
        fit_window=fit_window,
        feature_window=feature_window,
        trend_window=trend_window,
        keep_refits=keep_refits,
        refit_months=refit_months,
    )
    panel, _ = switching_market(seed, 470)
    panel.vix[260:] = 21.0
    assert config.lookback <= 370
    assert faults_of(path_of(config), panel, config.lookback, [400, 469]) == []


def test_random_starts_of_a_fit_are_a_matter_of_its_date() -> None:
    panel, _ = switching_market(3)
    config = replace(QUICK, restarts=10)
    compute = path_of(config)
    assert not np.array_equal(compute(panel), path_of(config, seed=8)(panel))  # random starts do win here
    assert faults_of(compute, panel, config.lookback, range(300, 420, 40)) == []


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_filtering_a_prefix_is_the_prefix_of_filtering(seed: int) -> None:
    panel, _ = switching_market(seed)
    whole = causal_regimes(panel, QUICK, seed=7)
    stop = int(np.random.default_rng(seed).integers(1, 420))
    part = causal_regimes(panel.rows(0, stop), QUICK, seed=7)
    event(f"known sessions in the prefix: {bool(part.known.any())}")
    np.testing.assert_array_equal(part.probabilities, whole.probabilities[:stop])
    assert part.labels == whole.labels[:stop]
    assert list(part.fits) == [fit for fit in whole.fits if fit.session <= panel.session(stop - 1)]


# ---------------------------------------------------------------- seeded faults: the check can fail


def smoothed(panel: MarketPanel) -> Floats:
    """One causal fit, but the probabilities that hmmlearn's `predict_proba` gives."""
    features = regime_features(panel, 10, 20)
    model, _ = fit_model(features[50:176], QUICK, 1)
    assert model is not None
    peer = GaussianHMM(3, covariance_type="diag")
    peer.n_features = 4
    peer.startprob_, peer.transmat_, peer.means_ = model.start, model.transition, model.means
    peer.covars_ = model.variances
    values = scaled(features)
    probabilities = np.full((len(values), 3), 1.0 / 3.0)
    known = np.flatnonzero(np.isfinite(values).all(axis=1))
    probabilities[known] = peer.predict_proba(values[known])
    return probabilities


def scaled_on_everything(panel: MarketPanel) -> Floats:
    """One causal fit and a forward filter, but features less their mean over the whole history."""
    features = regime_features(panel, 10, 20)
    model, _ = fit_model(features[50:176], QUICK, 1)
    assert model is not None
    values = scaled(features) - np.nanmean(scaled(features), axis=0)
    densities = np.nan_to_num(log_densities(values, model.means, model.variances))
    return forward_filter(densities, model.start, model.transition)


def filtered_once(panel: MarketPanel) -> Floats:
    """The same without a fault."""
    features = regime_features(panel, 10, 20)
    model, _ = fit_model(features[50:176], QUICK, 1)
    assert model is not None
    values = scaled(features)
    densities = np.nan_to_num(log_densities(values, model.means, model.variances))
    return forward_filter(densities, model.start, model.transition)


def fitted_on_everything(panel: MarketPanel) -> Floats:
    """A forward filter whose parameters have seen the future."""
    features = regime_features(panel, 10, 20)
    model, _ = fit_model(features, QUICK, 1)
    if model is None:  # the future that the check makes up may have no three states
        return np.full((len(features), 3), 1.0 / 3.0)
    values = scaled(features)
    densities = np.nan_to_num(log_densities(values, model.means, model.variances))
    return forward_filter(densities, model.start, model.transition)


@pytest.mark.parametrize("fault", [smoothed, scaled_on_everything, fitted_on_everything])
def test_seeded_fault_is_caught(fault: Compute) -> None:
    panel, _ = switching_market(3)
    found = faults_of(fault, panel, 10_000, [200, 300])
    assert {"truncate the future at row 300", "perturb the future at row 300"} <= set(found)


def test_same_filter_without_the_fault_is_let_through() -> None:
    panel, _ = switching_market(3)
    assert faults_of(filtered_once, panel, 10_000, [200, 300]) == []


def test_lookback_without_the_time_since_the_fit_is_caught() -> None:
    panel, _ = switching_market(3)
    short = QUICK.reach + QUICK.fit_window
    assert "shorten the past at row 300" in faults_of(path_of(QUICK), panel, short, [300])


def test_lookback_without_the_older_models_is_caught() -> None:
    panel = still_before(3, 400, 140)
    path = causal_regimes(panel, QUICK, seed=7)
    assert path.known[400] and path.fits[-2].refused is not None
    short = replace(QUICK, keep_refits=0).lookback
    assert "shorten the past at row 400" in faults_of(path_of(QUICK), panel, short, [400])


# ---------------------------------------------------------------- compiled and plain


def digest() -> str:
    """Return a digest of every signal, feature and regime of two small markets."""
    panel, _ = switching_market(3)
    path = causal_regimes(panel, QUICK, seed=7)
    faulty = random_panel(5, 300, 6, faults=True)
    arrays = [path.probabilities, path.known, market_features(panel), market_features(faulty)]
    for bars in (panel, faulty):
        arrays += [
            part for item in prepare_signals(bars, make_strategies(FIRST_SET)) for part in (item.strength, item.exit)
        ]
    total = hashlib.sha256()
    for values in arrays:
        total.update(np.nan_to_num(np.asarray(values, dtype=np.float64), nan=-9.0).tobytes())
    return total.hexdigest()


PROGRAM = """
import sys
if sys.argv[1] == "without numba":
    sys.modules["numba"] = None
from tests.property.test_regime_causality import digest
print(digest())
"""


@pytest.mark.parametrize("way", ["interpreted", "without numba"])
def test_compiled_and_plain_python_agree_to_the_bit(way: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if way == "interpreted":
        environment["NUMBA_DISABLE_JIT"] = "1"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [digest()]


# ---------------------------------------------------------------- the real history


@pytest.mark.shared_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real history is not beside this checkout")
def test_regimes_of_the_real_history_are_causal_and_tell_storm_from_calm() -> None:
    from trading_platform.market_data.files import FilesMarketData

    panel = FilesMarketData(DATA).history().rows(1_400, 2_500)  # mid 2005 to end of 2009
    config = RegimeConfig()
    compute = path_of(config)
    assert faults_of(compute, panel, config.lookback, [800, 1_000]) == []
    path = causal_regimes(panel, config, seed=7)
    assert all(fit.refused is None for fit in path.fits)
    bull, bear = (path.known & (path.probabilities.argmax(axis=1) == k) for k in (0, 1))
    assert panel.vix[bear].mean() > 1.3 * panel.vix[bull].mean()
    crash = (panel.sessions >= np.datetime64("2008-09-15")) & (panel.sessions < np.datetime64("2009-03-01"))
    assert bear[crash].mean() > 0.9
