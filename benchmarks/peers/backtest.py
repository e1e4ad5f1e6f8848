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
    """Run the entries and exits of all strategies as one portfolio with shared cash; the best of three, compiled."""
    import vectorbt as vbt

    with np.load(sys.argv[1]) as arrays:
        close, open_, entries, exits = (arrays[name] for name in ("close", "open", "entries", "exits"))
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        portfolio = vbt.Portfolio.from_signals(
            close, entries, exits, price=open_, size=0.05, size_type="percent", fees=0.0005, init_cash=1e5,
            group_by=True, cash_sharing=True, freq="1D",
        )  # fmt: skip
        value = portfolio.value()
        best = min(best, time.perf_counter() - start)
    result = {
        "name": "vectorbt",
        "version": importlib.metadata.version("vectorbt"),
        "seconds": best,
        "rate": close.size / best,
        "orders": int(portfolio.orders.count()),
        "final": float(np.asarray(value)[-1]),
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
