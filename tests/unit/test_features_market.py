"""The ten market features on markets whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kernel_world import random_panel
from trading_platform.core.market_features import (
    LOOKBACK,
    MARKET_FEATURES,
    average_correlation,
    index_trend,
    market_features,
    row_deviation,
    row_mean,
    row_median,
    row_share,
)
from trading_platform.core.types import Floats, MarketPanel

NAN = np.nan
NAMES = [spec.name for spec in MARKET_FEATURES]


def market(close: Floats, vix: float = 20.0, benchmark: Floats | None = None, volume: float = 1e6) -> MarketPanel:
    """Return a panel with these closes (T, N); the benchmark is the first ticker unless given."""
    n_sessions, n_tickers = close.shape
    return MarketPanel(
        sessions=np.busday_offset("2010-01-04", np.arange(n_sessions), roll="forward").astype("datetime64[D]"),
        tickers=tuple(f"T{i:02d}" for i in range(n_tickers)),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.full(close.shape, volume),
        vix=np.full(n_sessions, vix),
        benchmark=close[:, 0] if benchmark is None else benchmark,
        sectors=("Energy",) * n_tickers,
        source="made up",
        data_hash="made-up",
    )


def growing(rates: list[float], n_sessions: int = 260) -> Floats:
    return np.asarray(100.0 * (1.0 + np.array(rates)) ** np.arange(n_sessions)[:, None])


def last(panel: MarketPanel) -> dict[str, float]:
    return dict(zip(NAMES, market_features(panel)[-1], strict=True))


def test_there_are_ten_described_features() -> None:
    assert len(MARKET_FEATURES) == len(set(NAMES)) == 10
    assert all(spec.unit and spec.description and np.isfinite(spec.neutral) for spec in MARKET_FEATURES)
    assert market_features(market(growing([0.001, 0.002]))).shape == (260, 10)


def test_steady_market_has_the_figures_of_its_growth() -> None:
    now = last(market(growing([0.001, 0.001, -0.002, 0.003])))
    assert now["vix"] == 20.0
    assert now["vix_ratio"] == 1.0
    assert now["volume_ratio"] == 1.0
    assert now["trend"] == pytest.approx(200 * 0.001 / (1 - 1.001**-200) / 1.001 - 1.0, rel=1e-9)  # geometric series
    assert now["benchmark_return"] == pytest.approx(1.001**20 - 1.0, rel=1e-12)
    assert now["breadth"] == now["momentum_breadth"] == 0.75
    assert now["volatility"] == pytest.approx(0.0, abs=1e-7)
    month = np.array([1.001, 1.001, 0.998, 1.003]) ** 20
    assert now["dispersion"] == pytest.approx(month.std(), rel=1e-9)


def test_vix_ratio_compares_with_sixty_three_sessions() -> None:
    panel = market(growing([0.001, 0.002]))
    panel.vix[-1] = 20.0 + 63.0  # the mean becomes 21
    assert last(panel)["vix_ratio"] == pytest.approx(83.0 / 21.0, rel=1e-12)


def test_vix_may_lag_three_sessions_and_no_more() -> None:
    panel = market(growing([0.001, 0.002]))
    panel.vix[:] = np.linspace(15.0, 25.0, 260)
    panel.vix[-4:] = NAN
    vix, ratio = market_features(panel)[:, :2].T
    assert vix[-2] == vix[-5] == panel.vix[-5] and np.isfinite(ratio[-2])
    assert np.isnan([vix[-1], ratio[-1]]).all()


def test_volume_ratio_is_the_median_ticker_so_one_burst_does_not_show() -> None:
    panel = market(growing([0.001, 0.002, 0.003]))
    panel.volume[-1, 0] = 50e6
    assert last(panel)["volume_ratio"] == 1.0
    panel.volume[-1] = 2e6
    assert last(panel)["volume_ratio"] == pytest.approx(2.0 / 1.05, rel=1e-12)


def test_correlation_of_one_factor_is_one_and_of_none_is_none() -> None:
    rng = np.random.default_rng(5)
    together = np.repeat(0.01 * rng.standard_normal((300, 1)), 40, axis=1)
    apart = 0.01 * rng.standard_normal((300, 40))
    half = np.sqrt(0.5) * (together + apart)
    figures = [average_correlation(daily, row_mean(daily))[-1] for daily in (together, apart, half, together[:, :1])]
    assert figures[0] == pytest.approx(1.0, rel=1e-9)
    assert figures[1] == pytest.approx(0.0, abs=0.02)
    assert figures[2] == pytest.approx(np.corrcoef(half[-63:].T)[np.triu_indices(40, 1)].mean(), abs=0.02)
    assert np.isnan(figures[3])  # one asset is correlated with nothing


def test_volatility_is_annual_and_of_the_universe() -> None:
    steps = np.where(np.arange(260) % 2 == 0, 1.01, 1.0 / 1.01)
    now = last(market(np.repeat(steps.cumprod()[:, None] * 50.0, 3, axis=1)))
    assert now["volatility"] == pytest.approx(0.01 * np.sqrt(252 * 20 / 19), rel=0.01)


def test_features_are_unknown_until_their_windows_are_full() -> None:
    values = market_features(random_panel(2))
    assert np.isfinite(values).argmax(axis=0).tolist() == [0, 62, 199, 20, 19, 62, 63, 20, 63, 20]
    assert np.isfinite(values[LOOKBACK - 1 :]).all()


def test_index_trend_is_that_of_an_index_built_forward() -> None:
    daily = 0.01 * np.random.default_rng(6).standard_normal(400)
    daily[0] = NAN
    level = np.concatenate(([1.0], (1.0 + daily[1:]).cumprod()))
    forward = np.array([level[t] / level[t - 199 : t + 1].mean() - 1.0 for t in range(199, 400)])
    trend = index_trend(daily, 200)
    assert np.isnan(trend[:199]).all()
    np.testing.assert_allclose(trend[199:], forward, rtol=0, atol=1e-12)


def test_without_a_benchmark_the_universe_stands_in() -> None:
    close = growing([0.001, 0.001, 0.001])
    known, unknown = market(close), market(close, benchmark=np.full(len(close), NAN))
    np.testing.assert_allclose(market_features(unknown), market_features(known), rtol=1e-9, atol=1e-12)


def test_benchmark_that_appears_later_does_not_change_what_was_seen_without_it() -> None:
    panel = random_panel(3, n_sessions=420)
    benchmark = panel.benchmark.copy()
    benchmark[:300] = NAN
    late = replace(panel, benchmark=benchmark)
    never = replace(panel, benchmark=np.full_like(benchmark, NAN))
    np.testing.assert_array_equal(market_features(late)[:300], market_features(never)[:300])
    assert not np.array_equal(market_features(late)[320:], market_features(never)[320:])


def test_gaps_are_left_out_of_the_universe_and_not_taken_for_anything() -> None:
    panel = market(growing([0.001, 0.001, -0.002, 0.003]))
    panel.close[-10:, 3] = NAN
    now = last(panel)
    assert now["breadth"] == now["momentum_breadth"] == 2.0 / 3.0
    panel.close[-1] = NAN
    now = last(panel)
    assert np.isnan([now["breadth"], now["momentum_breadth"], now["dispersion"], now["volatility"]]).all()


@pytest.mark.parametrize(
    ("row", "mean", "median", "deviation"),
    [
        ([1.0, 2.0, 6.0], 3.0, 2.0, (14.0 / 3.0) ** 0.5),
        ([4.0, NAN, 1.0], 2.5, 2.5, 1.5),
        ([NAN, 7.0, NAN], 7.0, 7.0, 0.0),
        ([NAN, NAN, NAN], NAN, NAN, NAN),
    ],
)
def test_figures_of_a_row_count_what_is_known(row: list[float], mean: float, median: float, deviation: float) -> None:
    values = np.array([row])
    with np.errstate(invalid="ignore"):
        found = [row_mean(values)[0], row_median(values)[0], row_deviation(values)[0]]
    np.testing.assert_allclose(found, [mean, median, deviation], rtol=1e-15)


def test_share_counts_the_known_only() -> None:
    flags = np.array([[True, True, False, True], [True, True, True, True]])
    known = np.array([[True, False, True, True], [False, False, False, False]])
    np.testing.assert_array_equal(row_share(flags, known), [2.0 / 3.0, NAN])
