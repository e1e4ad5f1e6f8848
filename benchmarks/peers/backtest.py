"""Bars a second of vectorbt with shared cash; run by the interpreter of .venv-peers, prints JSON.

usage: python benchmarks/peers/backtest.py MARKET.npz
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def main() -> None:
    """Run the entries and exits of all strategies as one portfolio with shared cash; the best of 16, compiled."""
    import vectorbt as vbt
    from vectorbt.portfolio import dispatch

    with np.load(sys.argv[1]) as arrays:
        close, open_, entries, exits = (arrays[name] for name in ("close", "open", "entries", "exits"))
    simulate, loops = dispatch.simulate_from_signals, []

    def timed(*args, **kwargs):
        begin = time.perf_counter()
        result = simulate(*args, **kwargs)
        loops.append(time.perf_counter() - begin)
        return result

    dispatch.simulate_from_signals = timed  # vectorbt's compiled loop, its arguments prepared
    best = float("inf")
    for _ in range(16):
        start = time.perf_counter()
        portfolio = vbt.Portfolio.from_signals(
            close,
            entries,
            exits,
            price=open_,
            size=0.05,
            size_type="percent",
            fees=0.0005,
            init_cash=1e5,
            group_by=True,
            cash_sharing=True,
            freq="1D",
        )
        value = portfolio.value()
        best = min(best, time.perf_counter() - start)
    result = {
        "name": "vectorbt",
        "version": importlib.metadata.version("vectorbt"),
        "rate": close.size / best,
        "loop_rate": close.size / min(loops),
        "orders": int(portfolio.orders.count()),
        "final": float(np.asarray(value)[-1]),
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
