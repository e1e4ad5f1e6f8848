"""Causal market regimes: a hidden Markov model fitted on the past, filtered forward, labelled by a stable rule.

At the first session of every quarter the model is fitted on the `fit_window` sessions before it and then filters until
the next refit. The probabilities of a session therefore depend on at most `lookback` sessions, its own included, and on
nothing later. With too little history, without hmmlearn, or after a failed fit with no model before it, the regime is
unknown: label ``unknown``, probabilities one third each.

States are named by what they are, not by the number that a fit happens to give them: the state with the highest VIX is
bear; of the other two, the one with the higher return is bull, and the last is consolidation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np

from trading_platform import strict
from trading_platform.core.indicators import rolling_mean, rolling_std
from trading_platform.core.types import Bools, Floats, MarketPanel, Regime
from trading_platform.regime.filter import forward_filter, log_densities
from trading_platform.strict import Interval, InvalidSettingsError

N_STATES = 3
LABELS = (Regime.BULL, Regime.BEAR, Regime.CONSOLIDATION)
RETURN, VOLATILITY, VIX = range(3)
MIN_VARIANCE = 1e-3  # of z-scores; smaller ones are a state that has collapsed on a few days


@dataclass(frozen=True, slots=True)
class RegimeConfig:
    """Settings of the regime model.

    Attributes
    ----------
    fit_window
        Sessions a fit sees; two years hold several turns of the market and are what live trading loads anyway.
    feature_window
        Sessions of the mean return and the volatility that are observed.
    refit_months
        A fit at the first session of every so many months, counted from January.
    restarts, iterations, tolerance
        Starts of the EM algorithm, its steps at most, and the gain in log likelihood below which it has converged.
    min_occupancy
        Smallest fraction of the fitted sessions that each state must hold; a fit with less is refused.
    """

    fit_window: int = 504
    feature_window: int = 20
    refit_months: int = 3
    restarts: int = 3
    iterations: int = 60
    tolerance: float = 1e-2
    min_occupancy: float = 0.05

    def __post_init__(self) -> None:
        ranges = {
            "fit_window": "[126, 5040]", "feature_window": "[5, 126]", "refit_months": "[1, 12]", "restarts": "[1, 50]",
            "iterations": "[5, 1000]", "tolerance": "(0, 10]", "min_occupancy": "[0, 0.3]",
        }  # fmt: skip
        problems = [
            f"{name} must be in {text}, was {getattr(self, name)!r}"
            for name, text in ranges.items()
            if isinstance(getattr(self, name), bool) or getattr(self, name) not in Interval(text)
        ]
        if problems:
            raise InvalidSettingsError(problems)

    @classmethod
    def from_mapping(cls, table: Mapping[str, object]) -> RegimeConfig:
        """Return the settings in `table` over the defaults; refuse unknown keys."""
        return strict.build(cls, dict(table), InvalidSettingsError)

    @property
    def lookback(self) -> int:
        """Sessions that a row's probabilities depend on: feature windows, a fit, and the time since."""
        return self.feature_window + self.fit_window + 23 * self.refit_months + 1


@dataclass(frozen=True, slots=True, eq=False)
class RegimeModel:
    """A fitted model in label order (bull, bear, consolidation); moments of z-scored features."""

    center: Floats
    scale: Floats
    start: Floats
    transition: Floats
    means: Floats
    variances: Floats


@dataclass(frozen=True, slots=True)
class FitRecord:
    """One refit: when, on how many sessions, and why it was refused, if it was."""

    session: date
    sessions: int
    refused: str | None


@dataclass(frozen=True, slots=True, eq=False)
class RegimePath:
    """Regimes of a panel: filtered `probabilities` (T, 3) in the order of `LABELS`, and `known` (T,)."""

    probabilities: Floats
    known: Bools
    fits: tuple[FitRecord, ...]
    notice: str | None = None

    @property
    def labels(self) -> list[Regime]:
        """The most probable regime of each session, or unknown."""
        best = self.probabilities.argmax(axis=1)
        return [LABELS[k] if ok else Regime.UNKNOWN for k, ok in zip(best, self.known, strict=True)]


def regime_features(panel: MarketPanel, window: int) -> Floats:
    """Return (T, 3): mean daily return and volatility of the equal-weight universe over `window` sessions, log VIX.

    NaN where history is too short or VIX is unknown.
    """
    returns = np.full(panel.n_sessions, np.nan)
    daily = panel.close[1:] / panel.close[:-1] - 1.0
    known = np.isfinite(daily)
    count = known.sum(axis=1)
    returns[1:] = np.where(count > 0, np.where(known, daily, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        volatility = np.log(rolling_std(returns, window))
        return np.column_stack([rolling_mean(returns, window), volatility, np.log(panel.vix)])


def causal_regimes(panel: MarketPanel, config: RegimeConfig, seed: int, first: int = 0) -> RegimePath:
    """Return the regime of every session from row `first` on; earlier rows are unknown and cost nothing."""
    features = regime_features(panel, config.feature_window)
    probabilities = np.full((panel.n_sessions, N_STATES), 1.0 / N_STATES)
    known = np.zeros(panel.n_sessions, dtype=bool)
    notice = _missing_library()
    fits: list[FitRecord] = []
    model: RegimeModel | None = None
    starts = refit_rows(panel.sessions, config.refit_months)
    for n, row in enumerate(starts):
        stop = starts[n + 1] if n + 1 < len(starts) else panel.n_sessions
        if stop <= first or notice is not None:
            continue
        window = features[row - config.fit_window : row] if row >= config.fit_window else features[:0]
        fitted, refused = fit_model(window, config, _seed(seed, panel.session(row)))
        fits.append(FitRecord(panel.session(row), len(window), refused))
        if fitted is None and len(window) == 0:
            continue
        model = model if fitted is None else fitted
        if model is None:
            continue
        since = row - config.fit_window
        segment = features[since:stop]
        usable: Bools = np.asarray(np.isfinite(segment).all(axis=1), dtype=np.bool_)
        filtered = filter_regimes(segment, usable, model)
        probabilities[row:stop] = np.where(usable[row - since :, None], filtered[row - since :], 1.0 / N_STATES)
        known[row:stop] = usable[row - since :]
    return RegimePath(probabilities, known, tuple(fits), notice)


def refit_rows(sessions: np.ndarray, months: int) -> list[int]:
    """Return the rows that are the first session of a month whose number (from 0) is a multiple of `months`."""
    month = sessions.astype("datetime64[M]").astype(np.int64)
    first = np.concatenate(([False], month[1:] != month[:-1]))
    return [int(row) for row in np.flatnonzero(first & (month % 12 % months == 0))]


def filter_regimes(features: Floats, usable: Bools, model: RegimeModel) -> Floats:
    """Return filtered probabilities (T, 3) of raw features (T, 3); rows that are not usable teach nothing."""
    values = (features - model.center) / model.scale
    densities = np.where(usable[:, None], log_densities(values, model.means, model.variances), 0.0)
    return forward_filter(densities, model.start, model.transition)


def fit_model(window: Floats, config: RegimeConfig, seed: int) -> tuple[RegimeModel | None, str | None]:
    """Fit a model on raw features (n, 3); return it, or None with the reason why there is none."""
    usable = window[np.isfinite(window).all(axis=1)]
    if len(usable) < config.fit_window // 2:
        return None, f"{len(usable)} usable sessions, {config.fit_window // 2} needed"
    center, scale = usable.mean(axis=0), usable.std(axis=0)
    if not bool((scale > 0.0).all()):
        return None, "a feature does not move"
    values = (usable - center) / scale
    best = _best_fit(values, config, np.random.default_rng(seed))
    if best is None:
        return None, "no start of the EM algorithm converged with every state in use"
    start, transition, means, variances = best
    order = label_order(means)
    return RegimeModel(
        center,
        scale,
        start[order],
        np.ascontiguousarray(transition[np.ix_(order, order)]),
        means[order],
        variances[order],
    ), None


def label_order(means: Floats) -> list[int]:
    """Return the state numbers of bull, bear and consolidation from the states' mean features (3, 3)."""
    bear = int(np.argmax(means[:, VIX]))
    others = [k for k in range(N_STATES) if k != bear]
    bull = max(others, key=lambda k: float(means[k, RETURN]))
    consolidation = next(k for k in others if k != bull)
    return [bull, bear, consolidation]


Fit = tuple[Floats, Floats, Floats, Floats]


def _best_fit(values: Floats, config: RegimeConfig, rng: np.random.Generator) -> Fit | None:
    from hmmlearn.base import ConvergenceMonitor  # over a second to import, and only fits need it
    from hmmlearn.hmm import GaussianHMM

    class _QuietMonitor(ConvergenceMonitor):  # type: ignore[misc] # the library has no types
        """Keeps the history without logging a warning for a step that loses a rounding error."""

        def report(self, log_prob: float) -> None:
            self.history.append(log_prob)
            self.iter += 1

    best: Fit | None = None
    best_score = -np.inf
    for attempt in range(config.restarts):
        model = GaussianHMM(
            N_STATES,
            covariance_type="diag",
            n_iter=config.iterations,
            tol=config.tolerance,
            init_params="",
            params="stmc",
        )
        model.startprob_ = np.full(N_STATES, 1.0 / N_STATES)
        model.transmat_ = np.full((N_STATES, N_STATES), 0.02) + 0.94 * np.eye(N_STATES)
        model.means_ = _initial_means(values, attempt, rng)
        model.covars_ = np.ones((N_STATES, values.shape[1]))
        model.monitor_ = _QuietMonitor(config.tolerance, config.iterations, verbose=False)
        model.fit(values)
        history = list(model.monitor_.history)
        # hmmlearn calls a run that stopped at the iteration cap converged: look at the last gain instead
        gain = history[-1] - history[-2] if len(history) > 1 else np.inf
        variances = np.maximum(np.array([np.diag(c) for c in model.covars_]), MIN_VARIANCE)
        occupancy = forward_filter(log_densities(values, model.means_, variances), model.startprob_, model.transmat_)
        if not gain < 10.0 * config.tolerance or not occupancy.mean(axis=0).min() >= config.min_occupancy:
            continue
        if history[-1] > best_score:
            best_score = history[-1]
            best = (model.startprob_.copy(), model.transmat_.copy(), model.means_.copy(), variances)
    return best


def _initial_means(values: Floats, attempt: int, rng: np.random.Generator) -> Floats:
    """Return starting means: thirds of the sessions by VIX for the first attempt, sessions drawn at random after."""
    if attempt == 0:
        order = np.argsort(values[:, VIX], kind="stable")
        return np.array([values[part].mean(axis=0) for part in np.array_split(order, N_STATES)])
    return values[rng.choice(len(values), N_STATES, replace=False)]


def _seed(seed: int, session: date) -> int:
    """Return a seed made of the refit's date, so that a fit is the same whatever history is loaded around it."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{session.isoformat()}".encode()).digest()[:8], "big")


def _missing_library() -> str | None:
    try:
        import hmmlearn  # noqa: F401 - only whether it is there
    except ImportError:
        return "hmmlearn is not installed: market regimes are unknown; pip install hmmlearn"
    return None


def cache_key(panel: MarketPanel, config: RegimeConfig, seed: int, first: int) -> str:
    """Return the name under which a path may be kept: it changes with the data, the rows and the settings."""
    rows = [str(panel.sessions[0]), str(panel.sessions[-1]), panel.tickers]
    parts = json.dumps([panel.data_hash, rows, asdict(config), seed, first])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def to_arrays(path: RegimePath) -> dict[str, np.ndarray]:
    """Return `path` as plain arrays for an .npz file."""
    sessions = np.array([fit.session for fit in path.fits], dtype="datetime64[D]")
    return {
        "probabilities": path.probabilities,
        "known": path.known,
        "fit_sessions": sessions,
        "fit_lengths": np.array([fit.sessions for fit in path.fits], dtype=np.int64),
        "fit_refusals": np.array([fit.refused or "" for fit in path.fits], dtype=np.str_),
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> RegimePath:
    """Return the path that `to_arrays` took apart."""
    fits = tuple(
        FitRecord(session, int(length), str(refused) or None)
        for session, length, refused in zip(
            arrays["fit_sessions"].astype("datetime64[D]").tolist(),
            arrays["fit_lengths"],
            arrays["fit_refusals"],
            strict=True,
        )
    )
    return RegimePath(arrays["probabilities"], arrays["known"].astype(bool), fits)
