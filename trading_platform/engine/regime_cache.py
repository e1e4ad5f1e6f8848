"""The regimes of a live market: fits of before are read from disk, so that a new session is filtered and not refitted.

A fit is a pure function of the features that it sees, the settings and a seed (`regime.model.fit_model`), and is kept
under a digest of exactly these. The path of a market that has grown by a session therefore continues with the very
models of the day before, and a revised bar, another universe or another setting never meets a model that is not its
own: the result is that of computing everything afresh, to the bit. A file that is torn, or of a program, numpy or
hmmlearn of another version, is not used, and is replaced at the next fit.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from trading_platform.core.regime_meaning import REGIME_REVISION
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.regime.config import RegimeConfig
from trading_platform.regime.em import library
from trading_platform.regime.hmm import Fitter, RegimePath, cache_key, causal_regimes, from_arrays, to_arrays
from trading_platform.regime.model import Fitted, RegimeModel, fit_model

log = logging.getLogger("trading_platform.engine.regime_cache")

FORMAT = 1  # of the file


def load_regimes(panel: MarketPanel, config: RegimeConfig, seed: int, first: int, cache_dir: Path | None) -> RegimePath:
    """Return the panel's regimes from row `first` on; a path computed before is read from `cache_dir`."""
    path = None if cache_dir is None else cache_dir / f"regimes-{cache_key(panel, config, seed, first)}.npz"
    if path is not None and path.is_file():
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return from_arrays(dict(arrays))
        except (OSError, EOFError, ValueError, KeyError, BadZipFile):
            path.unlink(missing_ok=True)  # a torn cache file is worth nothing; it is computed again
    regimes = causal_regimes(panel, config, seed, first)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        torn = path.with_suffix(".tmp.npz")
        np.savez(torn, **to_arrays(regimes))  # type: ignore[arg-type] # numpy's stub wants a literal keyword
        torn.replace(path)
    return regimes


def continued_regimes(
    panel: MarketPanel, config: RegimeConfig, seed: int, first: int, cache_dir: Path, fit: Fitter = fit_model
) -> RegimePath:
    """Return the panel's regimes from row `first` on, with the fits that `cache_dir` holds and those that are new.

    The same as `causal_regimes` to the bit, whatever the folder holds. A folder that cannot be written costs the time
    of a fit at each call, and a warning.
    """
    fits = KeptFits(cache_dir / file_name(panel, config, seed), fit)
    path = causal_regimes(panel, config, seed, first, fits)
    fits.save()
    return path


def file_name(panel: MarketPanel, config: RegimeConfig, seed: int) -> str:
    """Return the name of the file of a universe and its settings: others do not push its fits out."""
    parts = json.dumps([panel.tickers, asdict(config), seed])
    return f"fits-{hashlib.sha256(parts.encode()).hexdigest()[:32]}.json"


class KeptFits:
    """`fit_model` with a memory on disk, which holds what the newest path was made with: older fits are done with.

    Parameters
    ----------
    path
        The file; it need not be there.
    fit
        What makes the fits that are not in it.
    """

    def __init__(self, path: Path, fit: Fitter = fit_model) -> None:
        self._path = path
        self._fit = fit
        self._stored = _read(path)
        self._asked: dict[str, Fitted] = {}

    def __call__(self, window: Floats, config: RegimeConfig, seed: int) -> Fitted:
        """Return the fit of a window of features (n, F), made now or before."""
        key = _key(window, config, seed)
        fitted = self._stored.get(key)
        if fitted is None:
            fitted = self._fit(window, config, seed)
        self._asked[key] = fitted
        return fitted

    def save(self) -> None:
        """Replace the file if a fit is new."""
        if self._asked.keys() <= self._stored.keys():
            return
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.partial")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_text(_encode(self._asked))
            partial.replace(self._path)
        except OSError as error:
            log.warning("%s: fits of the regime model cannot be kept, each scan makes them again: %s", partial, error)
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def _key(window: Floats, config: RegimeConfig, seed: int) -> str:
    head = json.dumps([window.shape, str(window.dtype), asdict(config), seed])
    return hashlib.sha256(head.encode() + b"\0" + np.ascontiguousarray(window).tobytes()).hexdigest()


def _program() -> list[object]:
    """Return what must be the same for a fit to be the same: file, algorithm, and the libraries that compute it."""
    return [FORMAT, REGIME_REVISION, np.__version__, library()]


def _encode(fits: Mapping[str, Fitted]) -> str:
    """Return fits as JSON, which repeats every float exactly, behind a checksum."""
    plain = {key: {"model": _to_lists(model), "refused": refused} for key, (model, refused) in fits.items()}
    payload = json.dumps({"program": _program(), "fits": plain}, sort_keys=True)
    return json.dumps({"checksum": hashlib.sha256(payload.encode()).hexdigest(), "payload": payload})


def _read(path: Path) -> dict[str, Fitted]:
    """Return the fits in a file, none if there is anything wrong with it."""
    try:
        outer = json.loads(path.read_bytes())
        payload = outer["payload"]
        if hashlib.sha256(payload.encode()).hexdigest() != outer["checksum"]:
            return {}
        inner = json.loads(payload)
        if inner["program"] != _program():
            return {}
        return {key: (_to_model(entry["model"]), entry["refused"]) for key, entry in inner["fits"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _to_lists(model: RegimeModel | None) -> dict[str, list[object]] | None:
    return None if model is None else {field.name: getattr(model, field.name).tolist() for field in fields(model)}


def _to_model(lists: Mapping[str, list[object]] | None) -> RegimeModel | None:
    return None if lists is None else RegimeModel(**{name: np.array(lists[name]) for name in lists})
