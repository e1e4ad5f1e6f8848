"""Run books of both forms of strategy, with corporate events and interest, and print a digest of every bit.

``python -m tests.lots_digest`` prints a line a part; with ``NUMBA_DISABLE_JIT=1`` the same source is plain Python.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from dataclasses import replace

import numpy as np

from tests.kernel_world import clock_of, make_rules
from tests.lot_world import N_MIXED, mixed_arrays
from trading_platform.core.fill_log import CROSSED
from trading_platform.core.market import build_market
from trading_platform.core.simulate import backtest
from trading_platform.core.types import CorporateEvent, EventKind

N_SESSIONS = 200


def digest(array: np.ndarray) -> str:
    """Return a digest of the array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def digests() -> dict[str, object]:
    """Return part -> digest, and how much there was to compare."""
    result: dict[str, object] = {}
    for seed, profile in ((5, "conservative"), (6, "aggressive")):
        rules = make_rules(profile=profile)
        panel, _, signals = mixed_arrays(seed, N_SESSIONS, rules, faults=True)
        names, day = panel.tickers, panel.session
        events = (
            CorporateEvent(day(60), names[3], EventKind.STOCK_MERGER, names[4], 0.83, 2.5),
            CorporateEvent(day(80), names[5], EventKind.CASH_MERGER, "", 1.0, 55.0),
            CorporateEvent(day(90), names[6], EventKind.SPIN_OFF, names[7], 0.21),
            CorporateEvent(day(100), names[8], EventKind.SPECIAL_DIVIDEND, "", 1.0, 6.0),
            CorporateEvent(day(120), names[9], EventKind.DELISTING, "", 1.0, 0.5),
        )
        market = build_market(replace(panel, events=events), clock_of(panel), rules.limits.correlation_window)
        weights = np.repeat(np.random.default_rng(seed).dirichlet(np.ones(N_MIXED), 25), 8, axis=0)
        weights[weights < 0.1] = 0.0
        run = backtest(market, signals, weights, rules, 100_000.0, 25, N_SESSIONS)
        for name, array in (("fills", run.fills), ("days", run.days), *zip(run.books._fields, run.books, strict=True)):
            result[f"{name} {profile}"] = digest(array)
        crossed = int((run.fills["kind"] == CROSSED).sum())
        result[f"counts {profile}"] = [len(run.fills), crossed, len(set(run.fills["reason"].tolist()))]
    return result


if __name__ == "__main__":
    warnings.simplefilter("error")
    json.dump(digests(), sys.stdout, indent=1)
