"""The regime models that docs/regime.md compares: the one before, the one chosen, and it with one part taken out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from trading_platform.core.indicators import lag, rolling_mean, rolling_product, rolling_std
from trading_platform.core.market_features import known_vix, row_mean, universe_of
from trading_platform.core.types import Bools, Floats, MarketPanel
from trading_platform.regime.config import RegimeConfig
from trading_platform.regime.em import run_em
from trading_platform.regime.features import VIX, market_returns, refit_rows, regime_features
from trading_platform.regime.filter import forward_filter, log_densities
from trading_platform.regime.hmm import RegimePath, causal_regimes
from trading_platform.regime.model import scaled
from trading_platform.regime.states import ANCHORS, DOUBT, N_STATES, PRIOR_SESSIONS, prior_transitions

CONFIG = RegimeConfig()
SEED = 7

# From the values of the fitting window and of the segment to serve (both finite where known): probabilities (n, 3).
Filtered = Callable[[Floats, Floats], Floats]


def forward(panel: MarketPanel, features: Floats, filtered: Filtered) -> RegimePath:
    """Return the path of a model fitted each quarter on the window before, filtered over window and quarter."""
    probabilities = np.full((len(features), N_STATES), 1.0 / N_STATES)
    known = np.zeros(len(features), dtype=bool)
    rows = [row for row in refit_rows(panel.sessions, CONFIG.refit_months) if row >= CONFIG.fit_window]
    for row, stop in zip(rows, [*rows[1:], len(features)], strict=True):
        segment = features[row - CONFIG.fit_window : stop]
        usable: Bools = np.asarray(np.isfinite(segment).all(axis=1), dtype=np.bool_)
        window = segment[: CONFIG.fit_window][usable[: CONFIG.fit_window]]
        if len(window) < CONFIG.fit_window // 2:
            continue
        probabilities[row:stop] = filtered(window, segment)[CONFIG.fit_window :]
        known[row:stop] = usable[CONFIG.fit_window :]
    return RegimePath(np.where(known[:, None], probabilities, 1.0 / N_STATES), known, ())


def revision_3(panel: MarketPanel) -> RegimePath:
    """Return the model before: mean return, volatility and VIX, scaled by the window, plain likelihood, five starts."""
    inside = universe_of(panel)
    with np.errstate(invalid="ignore", divide="ignore"):
        daily = row_mean(inside.close / lag(inside.close, 1) - 1.0)
        columns = [rolling_mean(daily, 20), np.log(rolling_std(daily, 20)), np.log(known_vix(panel))]
    return forward(panel, np.column_stack(columns), _filtered_3)


def _filtered_3(window: Floats, segment: Floats) -> Floats:
    from hmmlearn.hmm import GaussianHMM

    center, scale = window.mean(axis=0), window.std(axis=0)
    values = (window - center) / scale
    rng = np.random.default_rng(SEED)
    fits = []
    for attempt in range(5):
        means = values[rng.choice(len(values), N_STATES, replace=False)]
        if attempt < values.shape[1]:
            ranked = np.argsort(values[:, (2, 1, 0)[attempt]], kind="stable")
            means = np.array([values[part].mean(axis=0) for part in np.array_split(ranked, N_STATES)])
        model = GaussianHMM(N_STATES, "diag", n_iter=60, tol=1e-2, init_params="")
        model.startprob_ = np.full(N_STATES, 1.0 / N_STATES)
        model.transmat_ = np.full((N_STATES, N_STATES), 0.02) + 0.94 * np.eye(N_STATES)
        model.means_, model.covars_ = means, np.ones_like(means)
        fits.append(model.fit(values))
    best = max(fits, key=lambda fit: fit.score(values))
    calm, middle, afraid = np.argsort(best.means_[:, 2])
    order = [calm, afraid, middle]
    variances = np.maximum(np.array([np.diag(c) for c in best.covars_]), 1e-3)[order]
    densities = log_densities((segment - center) / scale, best.means_[order], variances)
    densities = np.where(np.isfinite(densities), densities, 0.0)
    return forward_filter(densities, best.startprob_[order], best.transmat_[np.ix_(order, order)])


def revision_4(panel: MarketPanel) -> RegimePath:
    """Return what the platform serves."""
    return causal_regimes(panel, CONFIG, SEED)


def without_part(panel: MarketPanel, temper: float, columns: tuple[int, ...], fits: bool) -> RegimePath:
    """Return revision 4 with another tempering, fewer features, or nothing fitted."""
    features = regime_features(panel, CONFIG.feature_window, CONFIG.trend_window)
    return forward(
        panel, features, partial(_filtered_4, anchors=ANCHORS, temper=temper, columns=list(columns), fits=fits)
    )


def with_quarter(panel: MarketPanel) -> RegimePath:
    """Return revision 4 with the return of a quarter instead of the trend."""
    features = regime_features(panel, CONFIG.feature_window, CONFIG.trend_window)
    features[:, 0] = rolling_product(1.0 + market_returns(panel), 63) - 1.0
    anchors = ANCHORS.copy()
    anchors[:, 0] = np.array([0.04, -0.10, 0.0]) / 0.05
    return forward(
        panel, features, partial(_filtered_4, anchors=anchors, temper=_TEMPER, columns=list(_ALL), fits=True)
    )


def _filtered_4(
    window: Floats, segment: Floats, anchors: Floats, temper: float, columns: list[int], fits: bool
) -> Floats:
    anchors = anchors[:, columns]
    start, transition = np.full(N_STATES, 1.0 / N_STATES), prior_transitions() / PRIOR_SESSIONS
    means, variances = anchors, np.ones_like(anchors)
    if fits:
        run = run_em(scaled(window)[:, columns], anchors, anchors, temper, CONFIG.iterations, CONFIG.tolerance)
        start, transition, means, variances = run.start, run.transition, run.means, run.variances
    densities = log_densities(scaled(segment)[:, columns], means, variances) / temper
    filtered = forward_filter(np.where(np.isfinite(densities), densities, 0.0), start, transition)
    return (1.0 - DOUBT) * filtered + DOUBT / N_STATES


_ALL = tuple(range(ANCHORS.shape[1]))
_TEMPER = float(CONFIG.feature_window)

VARIANTS: Mapping[str, Callable[[MarketPanel], RegimePath]] = {
    "3": revision_3,
    "4": revision_4,
    "4a": partial(without_part, temper=1.0, columns=_ALL, fits=True),
    "4b": partial(without_part, temper=_TEMPER, columns=tuple(c for c in _ALL if c != VIX), fits=True),
    "4c": partial(without_part, temper=_TEMPER, columns=_ALL, fits=False),
    "5": with_quarter,
}
