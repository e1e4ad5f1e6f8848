"""Causal market regimes: a hidden Markov model fitted on the past, filtered forward, labelled by a stable rule.

At the first session of every quarter the model is fitted on the `fit_window` sessions before it. From there to the next
refit it filters, started afresh `fit_window` sessions earlier. The probabilities of a session therefore depend on at
most `lookback` sessions, its own included, and on nothing later. With too little history, or when too many fits in a
row have failed, the regime is unknown: label ``unknown``, probabilities one third each.

States are what `states.py` says they are: bull is calm and rising, bear falling and volatile. docs/regime.md has the
reasons, and what was measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np

from trading_platform.core.regime_meaning import REGIME_REVISION
from trading_platform.core.types import Bools, Floats, MarketPanel, Regime
from trading_platform.regime.config import RegimeConfig as RegimeConfig
from trading_platform.regime.em import OWN, library
from trading_platform.regime.features import refit_rows
from trading_platform.regime.features import regime_features as regime_features
from trading_platform.regime.model import Fitted, RegimeModel, filter_regimes, fit_model
from trading_platform.regime.states import LABELS, N_STATES

Fitter = Callable[[Floats, RegimeConfig, int], Fitted]


@dataclass(frozen=True, slots=True)
class FitRecord:
    """One refit: when, on how many sessions, and why it was refused, if it was."""

    session: date
    sessions: int
    refused: str | None


@dataclass(frozen=True, slots=True, eq=False)
class RegimePath:
    """Regimes of a panel: filtered `probabilities` (T, 3) in the order of `LABELS`, and `known` (T,).

    `fits` are in order of time. `notice` is a line for whoever starts a run, if hmmlearn does not fit.
    """

    probabilities: Floats
    known: Bools
    fits: tuple[FitRecord, ...]
    notice: str | None = None

    @property
    def labels(self) -> list[Regime]:
        """The most probable regime of each session, or unknown."""
        best = self.probabilities.argmax(axis=1)
        return [LABELS[k] if ok else Regime.UNKNOWN for k, ok in zip(best, self.known, strict=True)]


def causal_regimes(
    panel: MarketPanel, config: RegimeConfig, seed: int, first: int = 0, fit: Fitter = fit_model
) -> RegimePath:
    """Return the regime of every session from row `first` on; fits that only earlier rows need are not made.

    `fit` makes the fits; another than `fit_model` may remember them.
    """
    probabilities = np.full((panel.n_sessions, N_STATES), 1.0 / N_STATES)
    known = np.zeros(panel.n_sessions, dtype=bool)
    refits = _Refits(panel, config, seed, fit)
    stops = [*refits.rows, panel.n_sessions][1:]
    for n, (row, stop) in enumerate(zip(refits.rows, stops, strict=True)):
        model = refits.serving(n) if stop > first else None
        if model is None:
            continue
        segment = refits.features[row - config.fit_window : stop]
        usable: Bools = np.asarray(np.isfinite(segment).all(axis=1), dtype=np.bool_)
        filtered = filter_regimes(segment, usable, model, config.feature_window)[config.fit_window :]
        known[row:stop] = usable[config.fit_window :]
        probabilities[row:stop] = np.where(known[row:stop, None], filtered, 1.0 / N_STATES)
    known[:first], probabilities[:first] = False, 1.0 / N_STATES
    fits = tuple(record for _, record in sorted(refits.records.items()))
    return RegimePath(probabilities, known, fits, missing_library())


class _Refits:
    """The fits of a panel, each made when first asked for, so that what serves a session is a matter of dates alone."""

    def __init__(self, panel: MarketPanel, config: RegimeConfig, seed: int, fit: Fitter) -> None:
        self.features = regime_features(panel, config.feature_window, config.trend_window)
        self.rows = refit_rows(panel.sessions, config.refit_months)
        self.records: dict[int, FitRecord] = {}
        self._models: dict[int, RegimeModel | None] = {}
        self._panel, self._config, self._seed, self._fit = panel, config, seed, fit

    def serving(self, n: int) -> RegimeModel | None:
        """Return the model of refit `n`, or the last good one of the few before it."""
        for earlier in range(n, max(-1, n - self._config.keep_refits - 1), -1):
            if (model := self._fitted(earlier)) is not None:
                return model
        return None

    def _fitted(self, n: int) -> RegimeModel | None:
        row, length = self.rows[n], self._config.fit_window
        if row < length:
            return None
        if n not in self._models:
            session = self._panel.session(row)
            window = self.features[row - length : row]
            self._models[n], refused = self._fit(window, self._config, fit_seed(self._seed, session))
            self.records[n] = FitRecord(session, length, refused)
        return self._models[n]


def fit_seed(seed: int, session: date) -> int:
    """Return a seed made of the refit's date, so that a fit is the same whatever history is loaded around it."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{session.isoformat()}".encode()).digest()[:8], "big")


def missing_library() -> str | None:
    """Return a line to tell if hmmlearn is not there; None if it is."""
    if library() != OWN:
        return None
    return "hmmlearn is not installed: regimes are fitted by this program's own code, to the same but the last digits"


def cache_key(panel: MarketPanel, config: RegimeConfig, seed: int, first: int) -> str:
    """Return the name under which a path may be kept: it changes with the data, the rows and the settings."""
    rows = [str(panel.sessions[0]), str(panel.sessions[-1]), panel.tickers]
    parts = json.dumps([REGIME_REVISION, library(), panel.data_hash, rows, asdict(config), seed, first])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def to_arrays(path: RegimePath) -> dict[str, np.ndarray]:
    """Return `path` as plain arrays for an .npz file: probabilities (T, 3), known (T,), and three a fit, (R,)."""
    return {
        "probabilities": path.probabilities,
        "known": path.known,
        "fit_sessions": np.array([fit.session for fit in path.fits], dtype="datetime64[D]"),
        "fit_lengths": np.array([fit.sessions for fit in path.fits], dtype=np.int64),
        "fit_refusals": np.array([fit.refused or "" for fit in path.fits], dtype=np.str_),
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> RegimePath:
    """Return the path that `to_arrays` took apart; see `to_arrays` for shapes."""
    sessions = arrays["fit_sessions"].astype("datetime64[D]").tolist()
    fits = tuple(
        FitRecord(session, int(length), str(refused) or None)
        for session, length, refused in zip(sessions, arrays["fit_lengths"], arrays["fit_refusals"], strict=True)
    )
    return RegimePath(arrays["probabilities"], arrays["known"].astype(bool), fits, missing_library())
