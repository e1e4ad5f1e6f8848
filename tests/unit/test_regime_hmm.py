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
from trading_platform.core.types import MarketPanel, Regime
from trading_platform.core.validation import InvalidSettingsError
from trading_platform.regime.features import RETURN, VIX, VOLATILITY, refit_rows, regime_features
from trading_platform.regime.hmm import (
    RegimeConfig,
    RegimePath,
    cache_key,
    causal_regimes,
    fit_seed,
    from_arrays,
    to_arrays,
)
from trading_platform.regime.model import LABELS, filter_regimes, fit_model, label_order

NAN = np.nan


# ---------------------------------------------------------------- what is observed, and when it is fitted


def test_features_are_of_the_equal_weight_universe_and_vix() -> None:
    panel, _ = switching_market(1, 60)
    daily = (panel.close[1:] / panel.close[:-1] - 1.0).mean(axis=1)
    features = regime_features(panel, 20)
    assert np.isnan(features[:20, :2]).all() and np.isfinite(features[20:]).all()
    assert features[40, RETURN] == pytest.approx(daily[20:40].mean(), rel=1e-12)
    assert features[40, VOLATILITY] == pytest.approx(np.log(daily[20:40].std(ddof=1)), rel=1e-9)
    assert features[40, VIX] == np.log(panel.vix[40])


def test_features_fold_splits_in() -> None:
    panel, _ = switching_market(1, 60)
    split = np.ones_like(panel.close)
    split[30, 1], split[45, 2] = 3.0, 0.1
    raw = replace(panel, close=panel.close / split.cumprod(axis=0), split_ratio=split)
    np.testing.assert_allclose(regime_features(raw, 20), regime_features(panel, 20), rtol=1e-9)
    assert not np.allclose(regime_features(replace(raw, split_ratio=None), 20)[40:], regime_features(panel, 20)[40:])


def test_features_are_unknown_where_vix_or_movement_is() -> None:
    panel, _ = switching_market(1, 60)
    panel.vix[50], panel.vix[51] = 0.0, -1.0
    panel.vix[53:57] = NAN
    panel.close[:40] = 100.0
    features = regime_features(panel, 20)
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


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_states_are_called_what_they_are_whatever_their_number(order: tuple[int, int, int]) -> None:
    means = np.array([[0.5, -1.0, -1.1], [-1.5, 1.5, 1.8], [0.6, 0.1, 0.2]])  # calm, afraid, between
    bull, bear, consolidation = label_order(means[list(order)])
    assert [order[bull], order[bear], order[consolidation]] == [0, 1, 2]
    assert LABELS == (Regime.BULL, Regime.BEAR, Regime.CONSOLIDATION)


def test_fit_gives_states_that_differ_in_order() -> None:
    panel, _ = switching_market(2, 600)
    model, refused = fit_model(regime_features(panel, 20)[20:], RegimeConfig(), 1)
    assert refused is None and model is not None
    bull, bear, consolidation = model.means
    assert bull[VIX] < consolidation[VIX] < bear[VIX]
    assert bull[RETURN] > bear[RETURN] and bull[VOLATILITY] < bear[VOLATILITY]
    np.testing.assert_allclose(model.transition.sum(axis=1), 1.0, rtol=1e-9)
    assert (np.diag(model.transition) > 0.9).all()


def test_fit_is_the_same_from_one_seed() -> None:
    panel, _ = switching_market(2, 600)
    features = regime_features(panel, 20)
    one, again, other = (fit_model(features, RegimeConfig(restarts=6), seed)[0] for seed in (1, 1, 2))
    assert one is not None and again is not None and other is not None
    np.testing.assert_array_equal(one.means, again.means)
    assert fit_seed(7, date(2010, 1, 4)) != fit_seed(7, date(2010, 4, 1)) != fit_seed(8, date(2010, 4, 1))


def test_fit_refuses_too_few_sessions() -> None:
    panel, _ = switching_market(2, 600)
    model, refused = fit_model(regime_features(panel, 20)[:271], RegimeConfig(), 1)
    assert model is None and refused == "251 usable sessions, 252 needed"
    assert fit_model(regime_features(panel, 20)[:272], RegimeConfig(), 1)[1] is None


def test_fit_refuses_a_feature_that_does_not_move() -> None:
    panel, _ = switching_market(2, 600)
    still = replace(panel, vix=np.full(600, 18.0))
    assert fit_model(regime_features(still, 20), RegimeConfig(), 1) == (None, "a feature does not move")


def test_fit_refuses_a_state_that_holds_too_few_sessions() -> None:
    panel, _ = switching_market(2, 600)
    features = regime_features(panel, 20)
    features[::60] += 40.0  # ten sessions of 580 that are like no other
    model, refused = fit_model(features, RegimeConfig(restarts=3), 1)
    assert model is None and refused is not None and "every state in use" in refused
    assert fit_model(features, RegimeConfig(restarts=3, min_occupancy=0.0), 1)[1] is None


def test_fit_refuses_a_run_that_has_not_converged() -> None:
    panel, _ = switching_market(2, 600)
    features = regime_features(panel, 20)
    assert fit_model(features, RegimeConfig(iterations=5, tolerance=1e-6), 1)[0] is None
    assert fit_model(features, RegimeConfig(iterations=500, tolerance=1e-6), 1)[0] is not None


def test_session_without_features_teaches_nothing() -> None:
    panel, _ = switching_market(2, 600)
    features = regime_features(panel, 20)[20:]
    model, _ = fit_model(features, RegimeConfig(), 1)
    assert model is not None
    known = np.ones(len(features), dtype=bool)
    known[300] = False
    filtered = filter_regimes(features, known, model)
    np.testing.assert_allclose(filtered[300], filtered[299] @ model.transition, rtol=1e-12)


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
        path = causal_regimes(panel, RegimeConfig(restarts=3), seed=7)
        known = path.known
        assert known.sum() > 600
        hit = path.probabilities.argmax(axis=1)[known] == truth[known]
        commonest = np.bincount(truth[known]).max() / known.sum()
        assert hit.mean() > max(0.7, commonest + 0.1)
        assert hit[truth[known] == BEAR].mean() > 0.7


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
        features = regime_features(panel, 20)
        everything = np.ones(len(features), dtype=bool)
        rows = [row for row in refit_rows(panel.sessions, 3) if row >= 398]
        models = [fit_model(features[row - 378 : row], RegimeConfig(fit_window=378), seed=7)[0] for row in rows]
        assert all(models) and len(models) > 5
        named = [filter_regimes(features, everything, model).argmax(axis=1) for model in models if model is not None]
        agreement += [
            float((named[n - 1][rows[n - 1] : rows[n]] == named[n][rows[n - 1] : rows[n]]).mean())
            for n in range(1, len(rows))
        ]
    assert np.mean(agreement) > 0.8


def test_missing_library_is_one_notice_and_an_unknown_regime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hmmlearn", None)
    panel, _ = switching_market(3)
    path = causal_regimes(panel, QUICK, seed=7)
    assert path.notice is not None and "pip install hmmlearn" in path.notice and "\n" not in path.notice
    assert set(path.labels) == {Regime.UNKNOWN} and path.fits == ()
    np.testing.assert_array_equal(path.probabilities, 1.0 / 3.0)


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
        cache_key(panel, replace(QUICK, restarts=3), 7, 0),
        cache_key(replace(panel, data_hash="other"), QUICK, 7, 0),
        cache_key(panel.rows(0, 419), QUICK, 7, 0),
        cache_key(panel.rows(1, 420), QUICK, 7, 0),
        cache_key(panel.columns([0, 1]), QUICK, 7, 0),
    }
    assert len(keys) == 8
    assert cache_key(panel, replace(QUICK), 7, 0) in keys
