"""Run the kernel, the shadow books and an environment on a troubled market and print a digest of every bit.

``python tests/parity/kernel_digest.py`` prints one line a part; with ``NUMBA_DISABLE_JIT=1`` the same source runs as
plain Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings

import numpy as np

from tests.kernel_world import STRATEGIES, kernel_arrays, make_rules, prepared_market, random_panel
from trading_platform.core.episode_batch import EpisodeBatch, EpisodeOptions
from trading_platform.core.realistic_fills import REALISTIC, with_fills
from trading_platform.core.shadow_books import shadow_statistics
from trading_platform.core.simulate import backtest

N_SESSIONS = 220


def digest(*arrays: np.ndarray) -> str:
    """Return a digest of the arrays' bytes; all NaN count as the same."""
    total = hashlib.sha256()
    for array in arrays:
        values = np.where(np.isnan(array), np.nan, array) if array.dtype.kind == "f" else array
        total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()


def digests() -> dict[str, object]:
    """Return part -> digest, and how much there was to compare."""
    result: dict[str, object] = {}
    for seed, profile in ((1, "conservative"), (2, "aggressive")):
        limits = {"max_drawdown_pct": 1.0, "recovery_drawdown_pct": 0.5, "max_total_drawdown_pct": 50.0}
        rules = make_rules(profile=profile, **limits)
        panel = random_panel(seed, N_SESSIONS, faults=True)
        market, signals = kernel_arrays(panel, rules)
        weights = np.random.default_rng(seed).dirichlet(np.ones(len(STRATEGIES)), N_SESSIONS)
        run = backtest(market, signals, weights, rules, 100_000.0, 25, N_SESSIONS)
        result[f"fills {profile}"] = digest(run.fills)
        result[f"days {profile}"] = digest(run.days)
        result[f"books {profile}"] = digest(*run.books)
        result[f"market {profile}"] = digest(market.bars, market.return_mean)
        drawn = with_fills(market, panel, REALISTIC, seed)
        run_drawn = backtest(drawn, signals, weights, rules, 100_000.0, 25, N_SESSIONS)
        result[f"realistic {profile}"] = digest(drawn.draws, run_drawn.fills, run_drawn.days)
        result[f"counts {profile}"] = [len(run.fills), int(run.days["halted"].sum()), *run.denials.tolist()]
    world = prepared_market(3, 330, faults=True)
    result["shadow books"] = digest(*shadow_statistics(world.market, world.signals, world.rules, 30))
    for kind in ("softmax", "sparsemax", "proportional"):
        batch = EpisodeBatch([world], 2, EpisodeOptions(action_kind=kind, zero_threshold=0.1, cost_jitter=0.5))
        batch.reset(np.arange(2))
        seen: list[np.ndarray] = [batch.observations.copy()]
        for action in np.random.default_rng(4).random((20, 2, len(STRATEGIES))):
            batch.step(action)
            seen += [batch.observations.copy(), batch.rewards.copy()]
        result[f"episodes {kind}"] = digest(*seen)
    return result


if __name__ == "__main__":
    warnings.simplefilter("error")
    json.dump({"compiled": os.environ.get("NUMBA_DISABLE_JIT") != "1", **digests()}, sys.stdout, indent=1)
