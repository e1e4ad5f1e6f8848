"""The regime model: what it observes, when it is fitted, what it refuses, what it finds, what it calls it."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from datetime import date
from itertools import permutations

import numpy as np
import pytest

from tests.regime_markets import BEAR, QUICK, switching_market
from trading_platform.core.types import Floats, MarketPanel, Regime
from trading_platform.core.validation import InvalidSettingsError
from trading_platform.regime.features import (
    FALL,
    TREND,
    VIX,
    VOLATILITY,
    market_returns,
    refit_rows,
    regime_features,
)
from trading_platform.regime.hmm import (
    RegimeConfig,
    RegimePath,
    cache_key,
    causal_regimes,
    fit_seed,
    from_arrays,
    to_arrays,
)
from trading_platform.regime.model import filter_regimes, fit_model, in_order
from trading_platform.regime.states import ANCHORS, CENTER, DOUBT, LABELS, SCALE

NAN = np.nan

# Regimes of the test markets last a quarter, not years: the trend that shows them is shorter, too.
CONFIG = RegimeConfig(trend_window=50, feature_window=10)


def features_of(panel: MarketPanel) -> Floats:
    return regime_features(panel, CONFIG.feature_window, CONFIG.trend_window)


# ---------------------------------------------------------------- what is observed, and when it is fitted


def test_features_are_of_the_benchmark_and_vix() -> None:
    panel, _ = switching_market(1, 60)
    index = panel.benchmark
    daily = index[1:] / index[:-1] - 1.0
    features = regime_features(panel, 20, 30)
    assert np.isnan(features[:29, TREND]).all() and np.isnan(features[:20, VOLATILITY]).all()
    assert np.isfinite(features[29:]).all()
    as_of_200 = (200 / 30) ** 0.5  # how much further a random walk gets
    assert features[40, TREND] == pytest.approx(as_of_200 * (index[40] / index[11:41].mean() - 1.0), rel=1e-9)
    fallen = as_of_200 * (1.0 - index[40] / index[11:41].max())
    assert fallen > 0.0
    assert np.exp(features[40, FALL]) - 0.01 == pytest.approx(fallen, abs=1e-12)
    assert features[40, VOLATILITY] == pytest.approx(np.log(daily[20:40].std(ddof=1)), rel=1e-9)
    assert features[40, VIX] == np.log(panel.vix[40])


def test_universe_stands_in_where_the_benchmark_is_not_known() -> None:
    panel, _ = switching_market(1, 60)
    without = replace(panel, benchmark=np.full(60, NAN))
    daily = (panel.close[1:] / panel.close[:-1] - 1.0).mean(axis=1)
    np.testing.assert_allclose(market_returns(without)[1:], daily, rtol=1e-12)
    gap = replace(panel, benchmark=panel.benchmark.copy())
    gap.benchmark[30] = NAN
    expected = market_returns(panel)
    expected[30:32] = daily[29:31]
    np.testing.assert_allclose(market_returns(gap), expected, rtol=1e-12)


def test_market_at_its_high_has_fallen_by_nothing() -> None:
    panel, _ = switching_market(1, 60)
    rising = replace(panel, benchmark=100.0 * 1.001 ** np.arange(60.0) ** 1.1)
    np.testing.assert_allclose(regime_features(rising, 20, 30)[29:, FALL], np.log(0.01), rtol=1e-12)


def test_universe_folds_splits_in() -> None:
    panel, _ = switching_market(1, 60)
    panel = replace(panel, benchmark=np.full(60, NAN))
    split = np.ones_like(panel.close)
    split[30, 1], split[45, 2] = 3.0, 0.1
    raw = replace(panel, close=panel.close / split.cumprod(axis=0), split_ratio=split)
    np.testing.assert_allclose(regime_features(raw, 20, 30), regime_features(panel, 20, 30), rtol=1e-9)
    unaware = regime_features(replace(raw, split_ratio=None), 20, 30)
    assert not np.allclose(unaware[40:], regime_features(panel, 20, 30)[40:])


def test_features_are_unknown_where_vix_or_movement_is() -> None:
    panel, _ = switching_market(1, 60)
    panel.vix[50], panel.vix[51] = 0.0, -1.0
    panel.vix[53:57] = NAN
    panel.benchmark[:40] = 100.0
    features = regime_features(panel, 20, 30)
    assert np.flatnonzero(np.isnan(features[:, VIX])).tolist() == [50, 51, 56]
    assert features[55, VIX] == features[52, VIX]  # three sessions old
    assert np.isnan(features[:40, VOLATILITY]).all()


@pytest.mark.parametrize(
    ("months", "expected"),
    [
        (1, ["2017-02-01", "2017-03-01", "2017-04-03", "2017-05-01"]),
        (3, ["2017-04-03"]),
        (2, ["2017-03-01", "2017-05-01"]),
        (12, []),
    ],
)
def test_refits_are_at_the_first_session_of_their_months(months: int, expected: list[str]) -> None:
    sessions = np.busday_offset("2017-01-02", np.arange(90), roll="forward").astype("datetime64[D]")
    assert [str(sessions[row]) for row in refit_rows(sessions, months)] == expected
    assert refit_rows(sessions[:0], months) == []


# ---------------------------------------------------------------- what a fit refuses, and what states are called


def test_anchors_are_in_the_order_that_names_promise() -> None:
    assert LABELS == (Regime.BULL, Regime.BEAR, Regime.CONSOLIDATION)
    assert in_order(ANCHORS)


@pytest.mark.parametrize("order", [order for order in permutations(range(3)) if order != (0, 1, 2)])
def test_states_that_have_changed_places_do_not_keep_their_names(order: tuple[int, int, int]) -> None:
    assert not in_order(ANCHORS[list(order)])


def test_bear_that_is_afraid_but_does_not_fall_is_no_bear() -> None:
    rising = ANCHORS.copy()
    rising[LABELS.index(Regime.BEAR), TREND] = 2.0
    assert not in_order(rising)


def test_fit_gives_states_that_differ_in_order() -> None:
    panel, _ = switching_market(2, 600)
    model, refused = fit_model(features_of(panel)[50:], CONFIG, 1)
    assert refused is None and model is not None
    bull, bear, consolidation = model.means
    assert bull[VIX] < consolidation[VIX] < bear[VIX]
    assert bull[TREND] > bear[TREND] and bull[VOLATILITY] < bear[VOLATILITY]
    np.testing.assert_allclose(model.transition.sum(axis=1), 1.0, rtol=1e-9)
    assert (np.diag(model.transition) > 0.9).all()


def calm_market() -> MarketPanel:
    """Return two years of a market that only rises, a tenth a year, at a VIX of about 13."""
    panel, _ = switching_market(2, 600)
    rng = np.random.default_rng(5)
    index = 100.0 * np.exp((0.0004 + 0.0045 * rng.standard_normal(600)).cumsum())
    return replace(panel, benchmark=index, vix=13.0 * np.exp(0.05 * rng.standard_normal(600)))


def test_calm_years_have_no_bear_market() -> None:
    """A fit that scales its window by itself finds one in any two years."""
    path = causal_regimes(calm_market(), RegimeConfig(), seed=7)
    assert path.known.sum() > 50
    assert set(path.labels) == {Regime.BULL, Regime.UNKNOWN}
    assert (path.probabilities[path.known, BEAR] < 0.01).all()


def test_state_that_a_window_does_not_have_stays_at_its_anchor() -> None:
    model, _ = fit_model(regime_features(calm_market(), 20, 200)[200:], RegimeConfig(), 1)
    assert model is not None
    np.testing.assert_allclose(model.means[BEAR], ANCHORS[BEAR], atol=0.05)
    assert np.abs(model.means[0] - ANCHORS[0]).max() > 0.15  # what the window does have moves


@pytest.mark.parametrize("far", [3.0, 8.0, 30.0, 1e4])
def test_probabilities_are_never_certain(far: float) -> None:
    """Also of sessions that are like no state at all."""
    model, _ = fit_model(features_of(calm_market())[50:], CONFIG, 1)
    assert model is not None
    raw = CENTER + SCALE * np.outer(np.linspace(-far, far, 9), np.array([-1.0, 1.0, 1.0, 1.0]))
    for features in (raw, np.repeat(raw[-1:], 40, axis=0), np.repeat(raw[:1], 40, axis=0)):
        filtered = filter_regimes(features, np.ones(len(features), dtype=bool), model, 20.0)
        assert (filtered > 0.0).all() and (filtered < 1.0).all()
        np.testing.assert_allclose(filtered.sum(axis=1), 1.0, rtol=1e-12)


def test_tempered_filter_is_less_certain_and_slower() -> None:
    panel, _ = switching_market(2, 600)
    features = features_of(panel)[50:]
    model, _ = fit_model(features, CONFIG, 1)
    assert model is not None
    everything = np.ones(len(features), dtype=bool)
    plain, tempered = (filter_regimes(features, everything, model, temper) for temper in (1.0, 20.0))
    assert (tempered.max(axis=1) > 0.99).mean() < (plain.max(axis=1) > 0.99).mean() - 0.2
    switches = [int((p.argmax(axis=1)[1:] != p.argmax(axis=1)[:-1]).sum()) for p in (plain, tempered)]
    assert 0 < switches[1] < switches[0]


def test_fit_is_the_same_from_one_seed() -> None:
    panel, _ = switching_market(2, 600)
    features = features_of(panel)
    config = replace(CONFIG, restarts=6, tolerance=0.1)  # stops early, so that starts end in different places
    one, again, other = (fit_model(features, config, seed)[0] for seed in (1, 1, 2))
    assert one is not None and again is not None and other is not None
    np.testing.assert_array_equal(one.means, again.means)
    assert not np.array_equal(one.means, other.means)
    assert fit_seed(7, date(2010, 1, 4)) != fit_seed(7, date(2010, 4, 1)) != fit_seed(8, date(2010, 4, 1))


def test_fit_refuses_too_few_sessions() -> None:
    panel, _ = switching_market(2, 600)
    model, refused = fit_model(features_of(panel)[:300], CONFIG, 1)
    assert model is None and refused == "251 usable sessions, 252 needed"
    assert fit_model(features_of(panel)[:301], CONFIG, 1)[1] is None


def test_fit_refuses_a_feature_that_does_not_move() -> None:
    panel, _ = switching_market(2, 600)
    still = replace(panel, vix=np.full(600, 18.0))
    assert fit_model(features_of(still), CONFIG, 1) == (None, "a feature does not move")


def test_fit_refuses_states_that_have_lost_their_order() -> None:
    """VIX that is high in calm rises and low in falls, for many years, is no VIX."""
    panel, _ = switching_market(2, 3_000)
    features = features_of(panel)
    features[:, VIX] = 2.0 * np.log(19.0) - features[:, VIX]
    features[:, VIX] += 2.0 * (np.log(19.0) - features[:, VIX]) * -1.0
    model, refused = fit_model(features, CONFIG, 1)
    assert model is None and refused == "bear is no longer the most afraid state, or bull the calmest"


def test_fit_refuses_a_run_that_has_not_converged() -> None:
    panel, _ = switching_market(2, 600)
    features = features_of(panel)
    assert fit_model(features, replace(CONFIG, iterations=5, tolerance=1e-7), 1) == (
        None,
        "no start of the EM algorithm converged",
    )
    assert fit_model(features, replace(CONFIG, iterations=500, tolerance=1e-7), 1)[0] is not None


def test_session_without_features_teaches_nothing() -> None:
    panel, _ = switching_market(2, 600)
    features = features_of(panel)[50:]
    model, _ = fit_model(features, CONFIG, 1)
    assert model is not None
    known = np.ones(len(features), dtype=bool)
    known[300] = False
    filtered = filter_regimes(features, known, model, 20.0)
    without_doubt = (filtered - DOUBT / 3.0) / (1.0 - DOUBT)
    np.testing.assert_allclose(without_doubt[300], without_doubt[299] @ model.transition, rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        ({"fit_window": 100}, ["fit_window must be in [126, 5040], was 100"]),
        ({"fit_window": 504.5}, ["fit_window must be a whole number, was 504.5"]),
        ({"restarts": True}, ["restarts must be a number, was True"]),
        ({"tolerance": NAN}, ["tolerance must be a finite number, was nan"]),
        ({"fit_windw": 504}, ["fit_windw is no setting: did you mean 'fit_window'?"]),
        (
            {"refit_months": 0, "keep_refits": -1},
            ["refit_months must be in [1, 12], was 0", "keep_refits must be in [0, 12], was -1"],
        ),
    ],
)
def test_wrong_settings_are_named_all_at_once(settings: dict[str, object], problems: list[str]) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        RegimeConfig.from_mapping(settings)
    assert list(caught.value.problems) == problems


def test_settings_come_over_the_defaults() -> None:
    assert RegimeConfig.from_mapping({}) == RegimeConfig()
    assert RegimeConfig.from_mapping({"restarts": 7}) == RegimeConfig(restarts=7)


# ---------------------------------------------------------------- the path of a market


def test_regimes_of_a_known_chain_are_found() -> None:
    """Out of sample, three states: chance is 1 in 3, always guessing the most frequent about 1 in 2."""
    for seed in range(4):
        panel, truth = switching_market(seed, 1_200)
        path = causal_regimes(panel, replace(CONFIG, trend_window=10, feature_window=5), seed=7)
        known = path.known
        assert known.sum() > 600
        called = path.probabilities.argmax(axis=1)[known]
        hit = called == truth[known]
        commonest = np.bincount(truth[known]).max() / known.sum()
        assert hit.mean() > max(0.7, commonest + 0.1)
        assert hit[truth[known] == BEAR].mean() > 0.55
        assert hit[called == BEAR].mean() > 0.9


def test_regime_is_unknown_before_the_first_fit_and_where_vix_is_missing() -> None:
    panel, _ = switching_market(3)
    panel.vix[347:351] = NAN
    path = causal_regimes(panel, QUICK, seed=7)
    first = next(row for row in refit_rows(panel.sessions, 1) if row >= QUICK.fit_window)
    assert not path.known[:first].any() and path.known[first:350].all()
    assert not path.known[350] and path.known[351]
    assert path.labels[first - 1] is path.labels[350] is Regime.UNKNOWN
    assert path.labels[351] is not Regime.UNKNOWN
    np.testing.assert_array_equal(path.probabilities[~path.known], 1.0 / 3.0)
    np.testing.assert_allclose(path.probabilities.sum(axis=1), 1.0, rtol=1e-12)


def still_after(row: int) -> MarketPanel:
    """Return a market whose VIX stops moving, so that fits fail from some time on."""
    panel, _ = switching_market(3)
    panel.vix[row:] = 21.0
    return panel


def test_last_good_model_serves_while_fits_fail_but_not_for_ever() -> None:
    panel = still_after(150)
    path = causal_regimes(panel, QUICK, seed=7)
    failed = [fit.session for fit in path.fits if fit.refused == "a feature does not move"]
    refits = [panel.session(row) for row in refit_rows(panel.sessions, 1)]
    rows = refit_rows(panel.sessions, 1)
    n = refits.index(failed[0])
    assert refits[n:] == failed and len(failed) > 3
    assert path.known[rows[n - 1] : rows[n + 2]].all()  # the two refits after the last good one
    assert not path.known[rows[n + 2] :].any()
    assert not causal_regimes(panel, replace(QUICK, keep_refits=0), seed=7).known[rows[n] :].any()


@pytest.mark.parametrize("still", [420, 150])
def test_later_first_row_gives_the_same_regimes_with_fewer_fits(still: int) -> None:
    """Also where the model that serves was fitted before the first row, because later fits failed."""
    panel = still_after(still)
    whole = causal_regimes(panel, QUICK, seed=7)
    rows = refit_rows(panel.sessions, 1)
    for first in (0, 200, rows[-6], rows[-6] + 3, 300, 419):
        part = causal_regimes(panel, QUICK, seed=7, first=first)
        np.testing.assert_array_equal(part.probabilities[first:], whole.probabilities[first:])
        np.testing.assert_array_equal(part.known[first:], whole.known[first:])
        assert not part.known[:first].any()
        assert set(part.fits) <= set(whole.fits)
    assert len(causal_regimes(panel, QUICK, seed=7, first=419).fits) < len(whole.fits)


def test_labels_do_not_flip_at_a_refit() -> None:
    """What two models in a row call the quarter between their fits, which both can see, over three markets."""
    agreement = []
    for seed in range(3):
        panel, _ = switching_market(seed, 900)
        features = features_of(panel)
        everything = np.ones(len(features), dtype=bool)
        rows = [row for row in refit_rows(panel.sessions, 3) if row >= 398]
        models = [fit_model(features[row - 378 : row], replace(CONFIG, fit_window=378), seed=7)[0] for row in rows]
        assert all(models) and len(models) > 5
        named = [
            filter_regimes(features, everything, model, 10.0).argmax(axis=1) for model in models if model is not None
        ]
        agreement += [
            float((named[n - 1][rows[n - 1] : rows[n]] == named[n][rows[n - 1] : rows[n]]).mean())
            for n in range(1, len(rows))
        ]
    assert np.mean(agreement) > 0.8


def test_missing_library_is_one_notice_and_the_same_regimes(monkeypatch: pytest.MonkeyPatch) -> None:
    panel, _ = switching_market(3)
    fitted = causal_regimes(panel, QUICK, seed=7)
    key = cache_key(panel, QUICK, 7, 0)
    assert fitted.notice is None
    monkeypatch.setitem(sys.modules, "hmmlearn", None)
    path = causal_regimes(panel, QUICK, seed=7)
    assert path.notice is not None and "hmmlearn is not installed" in path.notice and "\n" not in path.notice
    np.testing.assert_array_equal(path.known, fitted.known)
    np.testing.assert_allclose(path.probabilities, fitted.probabilities, rtol=0.0, atol=1e-9)
    assert cache_key(panel, QUICK, 7, 0) != key  # the last digits differ


def test_short_market_is_unknown_without_a_notice() -> None:
    for n_sessions in (0, 1, 100):
        panel, _ = switching_market(3, 420)
        path = causal_regimes(panel.rows(0, n_sessions), QUICK, seed=7)
        assert path.labels == [Regime.UNKNOWN] * n_sessions
        assert path.notice is None


# ---------------------------------------------------------------- keeping a path


def test_path_survives_a_file() -> None:
    path = causal_regimes(still_after(150), QUICK, seed=7)
    file = io.BytesIO()
    np.savez(file, **to_arrays(path))  # type: ignore[arg-type] # numpy's stub wants a literal keyword
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        again = from_arrays(dict(arrays))
    assert isinstance(again, RegimePath)
    np.testing.assert_array_equal(again.probabilities, path.probabilities)
    assert again.labels == path.labels and again.fits == path.fits
    assert {fit.refused for fit in again.fits} >= {None, "a feature does not move"}


def test_cache_key_changes_with_everything_that_moves_a_path() -> None:
    panel, _ = switching_market(3)
    keys = {
        cache_key(panel, QUICK, 7, 0),
        cache_key(panel, QUICK, 8, 0),
        cache_key(panel, QUICK, 7, 1),
        cache_key(panel, replace(QUICK, trend_window=51), 7, 0),
        cache_key(replace(panel, data_hash="other"), QUICK, 7, 0),
        cache_key(panel.rows(0, 419), QUICK, 7, 0),
        cache_key(panel.rows(1, 420), QUICK, 7, 0),
        cache_key(panel.columns([0, 1]), QUICK, 7, 0),
    }
    assert len(keys) == 8
    assert cache_key(panel, replace(QUICK), 7, 0) in keys
