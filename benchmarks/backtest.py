"""How fast the kernel backtests with every rule on, beside vectorbt; and how time and memory grow.

Run: python -m benchmarks.backtest [--data-dir FOLDER] [--write]

``--write`` puts the tables into docs/benchmarks-backtest.md and the growth into docs/benchmarks-backtest.png. vectorbt
needs `make bench-peers` once; without it it is named as missing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.environment import PEERS, load_panel, machine  # noqa: E402 - the path must be set before

if TYPE_CHECKING:
    from trading_platform.core.session import Rules
    from trading_platform.core.types import MarketPanel, StrategySignals

DOCUMENT, PICTURE = ROOT / "docs" / "benchmarks-backtest.md", ROOT / "docs" / "benchmarks-backtest.png"
SESSIONS_A_YEAR = 252
BY_TICKERS = [(n, 10) for n in (50, 119, 500, 1000, 2000, 5000)]
BY_YEARS = [(500, years) for years in (1, 5, 10, 20, 40)]
N_STRATEGIES = 5


def make_rules() -> Rules:
    """Return the default rules."""
    from risk_config import RiskConfig
    from trading_platform.core.costs import CostConfig, ExitConfig
    from trading_platform.core.limits import limits_of
    from trading_platform.core.session import Rules

    return Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())


def random_market(n_tickers: int, n_sessions: int) -> tuple[MarketPanel, tuple[StrategySignals, ...]]:
    """Return random walks, and for each strategy entries on 2 % and exits on 10 % of the bars."""
    from trading_platform.core.types import MarketPanel, StrategySignals

    rng = np.random.default_rng(0)
    shape = (n_sessions, n_tickers)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0003, 0.015, shape), axis=0))
    panel = MarketPanel(
        sessions=np.arange(n_sessions).astype("datetime64[D]"),
        tickers=tuple(f"T{i:05d}" for i in range(n_tickers)),
        open=close * 1.001, high=close * 1.01, low=close * 0.99, close=close, volume=np.full(shape, 1e6),
        vix=np.full(n_sessions, 18.0), benchmark=close[:, 0].copy(),
        sectors=tuple(f"sector {i % 11}" for i in range(n_tickers)), source="random", data_hash="",
    )  # fmt: skip
    signals = []
    for _ in range(N_STRATEGIES):
        chance = rng.random(shape, dtype=np.float32)
        signals.append(StrategySignals(np.where(chance < 0.02, 1.0 - 25.0 * chance, 0.0), chance > 0.9))
    return panel, tuple(signals)


def run_size(n_tickers: int, n_sessions: int) -> dict[str, float]:
    """Return seconds to lay out the market and to backtest it, and what memory that took; for a process of its own."""
    from trading_platform.core.market import build_market, build_signals
    from trading_platform.core.simulate import backtest

    rules, weights = make_rules(), np.full(N_STRATEGIES, 1.0 / N_STRATEGIES)
    for warm_up in (True, False):
        panel, raw = random_market(*((20, 100) if warm_up else (n_tickers, n_sessions)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        clock = np.arange(panel.n_sessions, dtype=np.float64) * 23_400.0
        market, signals = build_market(panel, clock, rules.limits.correlation_window), build_signals(raw)
        built = time.perf_counter()
        run = backtest(market, signals, weights, rules, 1e5, 40, panel.n_sessions)
        done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "tickers": n_tickers, "sessions": n_sessions, "build": built - start, "run": done - built,
        "fills": len(run.fills), "peak_mb": peak / 1024.0, "added_mb": (peak - before) / 1024.0,
    }  # fmt: skip


def measured_size(n_tickers: int, years: int) -> dict[str, float]:
    """Run `run_size` in a new process, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.backtest", "--size", str(n_tickers), str(years * SESSIONS_A_YEAR)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def against_vectorbt(panel: MarketPanel) -> list[tuple[str, float, int, str]]:
    """Return (name, bars a second, orders, note) of the kernel and of vectorbt on the same bars and strategies."""
    from trading_platform.core.market import build_market, build_signals, forward_adjusted
    from trading_platform.core.simulate import backtest
    from trading_platform.strategies.registry import make_strategies

    rules, strategies = make_rules(), make_strategies()
    with np.errstate(invalid="ignore", divide="ignore"):
        raw = tuple(strategy.signals(forward_adjusted(panel)) for strategy in strategies)
    weights = np.full(len(raw), 1.0 / len(raw))
    clock = np.arange(panel.n_sessions, dtype=np.float64) * 23_400.0
    laid_out = alone = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        market, signals = build_market(panel, clock, rules.limits.correlation_window), build_signals(raw)
        built = time.perf_counter()
        run = backtest(market, signals, weights, rules, 1e5, 40, panel.n_sessions)
        done = time.perf_counter()
        alone, laid_out = min(alone, done - built), min(laid_out, done - start)
    bars = panel.close.size
    rows = [
        ("kernel backtest", bars / alone, len(run.fills), "every rule, next-open fills, stops; arrays laid out before"),
        (
            "kernel backtest with layout",
            bars / laid_out,
            len(run.fills),
            "correlations, volatilities and sorting included",
        ),
    ]
    if not PEERS.exists():
        return [*rows, ("vectorbt", float("nan"), 0, "not installed; run `make bench-peers`")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.npz"
        entries = np.any([item.strength > 0.0 for item in raw], axis=0)
        exits = np.all([item.exit for item in raw], axis=0)
        np.savez(path, close=panel.close, open=panel.open, entries=entries, exits=exits)
        command = [str(PEERS), str(ROOT / "benchmarks" / "peers" / "backtest.py"), str(path)]
        answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode != 0:
        return [*rows, ("vectorbt", float("nan"), 0, answer.stderr.strip().splitlines()[-1])]
    peer = json.loads(answer.stdout)
    return [*rows, (f"vectorbt {peer['version']}", peer["rate"], peer["orders"], "shared cash, flat fee, no rules")]


def draw(by_tickers: list[dict[str, float]], by_years: list[dict[str, float]]) -> None:
    """Plot time and memory against size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.0), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, rows, sizes, label in (
        (left, by_tickers, [row["tickers"] for row in by_tickers], "tickers (10 years)"),
        (right, by_years, [row["sessions"] / SESSIONS_A_YEAR for row in by_years], "years (500 tickers)"),
    ):
        axis.loglog(sizes, [row["build"] for row in rows], "o-", label="lay out the market (s)")
        axis.loglog(sizes, [row["run"] for row in rows], "s-", label="backtest, every rule on (s)")
        axis.loglog(sizes, [row["peak_mb"] / 1000.0 for row in rows], "^--", label="peak memory (GB)")
        axis.set_xlabel(label)
        axis.grid(visible=True, which="both", alpha=0.3)
    left.legend(frameon=False)
    figure.suptitle("Kernel backtest: growth with the size of the market")
    figure.savefig(PICTURE)


def main() -> None:
    """Measure, print, and write the document if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder of market data; a synthetic market of the same size without it")
    parser.add_argument("--size", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)} and its picture")
    options = parser.parse_args()
    if options.size:
        json.dump(run_size(*options.size), sys.stdout)
        return
    where = machine()
    panel = load_panel(options.data_dir)
    rows = against_vectorbt(panel)
    by_tickers = [measured_size(*size) for size in BY_TICKERS]
    by_years = [measured_size(*size) for size in BY_YEARS]
    command = "python -m benchmarks.backtest" + (" --data-dir ..." if options.data_dir else "")
    lines = [
        "# Backtest bars a second",
        "",
        f"`{command}`, {panel.n_sessions} sessions of {panel.n_tickers} tickers, all strategies, one core.",
        f"{where}.",
        "",
        "| backtest | bars/s | fills | what it does |",
        "|---|---:|---:|---|",
        *(f"| {name} | {rate:,.0f} | {fills:,} | {note} |" for name, rate, fills, note in rows),
        "",
        f"Kernel over vectorbt: {rows[0][1] / rows[2][1]:.1f} x (target 10 x), "
        f"{rows[1][1] / rows[2][1]:.1f} x with the layout, which a market needs once.",
        "",
        "## Growth",
        "",
        f"Random walks, {N_STRATEGIES} strategies, each size in a process of its own. Peak memory holds all of it.",
        "",
        "![growth](benchmarks-backtest.png)",
        "",
        "| tickers | years | bars | layout s | backtest s | fills | peak MB |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {row['tickers']:,} | {row['sessions'] // SESSIONS_A_YEAR} | {row['tickers'] * row['sessions']:,} | "
            f"{row['build']:.2f} | {row['run']:.3f} | {row['fills']:,} | {row['peak_mb']:,.0f} |"
            for row in by_tickers + by_years
        ),
        "",
    ]
    text = "\n".join(lines)
    print(text)
    if options.write:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)
        draw(by_tickers, by_years)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
