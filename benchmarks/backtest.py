"""How fast the kernel backtests with every rule on, beside vectorbt; and how time and memory grow with the market.

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
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.environment import PEERS, load_panel, machine
from trading_platform.core.day_count import ANNUAL_SESSIONS

if TYPE_CHECKING:
    from trading_platform.core.session import Rules
    from trading_platform.core.types import MarketPanel, StrategySignals

ROOT = Path(__file__).parents[1]
DOCUMENT, PICTURE = ROOT / "docs" / "benchmarks-backtest.md", ROOT / "docs" / "benchmarks-backtest.png"
BY_TICKERS = [(n, 10) for n in (50, 119, 500, 1000, 2000, 5000)]
BY_YEARS = [(500, years) for years in (1, 5, 10, 20, 40)]
N_STRATEGIES = 5
RUNS, ROUNDS = 15, 4  # by turns, so that a busy machine hinders both alike; the best counts
DRAWN = ("build", "run", "arrays_mb")
WINDOWS = "volatilities, correlations with the universe and sorted lists of candidates"


def make_rules() -> Rules:
    """Return the default rules."""
    from risk_config import RiskConfig
    from trading_platform.core.costs import CostConfig, ExitConfig
    from trading_platform.core.risk.limits import limits_of
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
        open=close * 1.001,
        high=close * 1.01,
        low=close * 0.99,
        close=close,
        volume=np.full(shape, 1e6),
        vix=np.full(n_sessions, 18.0),
        benchmark=close[:, 0].copy(),
        sectors=tuple(f"sector {i % 11}" for i in range(n_tickers)),
        source="random",
        data_hash="",
    )
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
    for size, runs in (((20, 100), 1), ((n_tickers, n_sessions), 3)):  # the first compiles
        panel, raw = random_market(*size)
        clock = np.arange(panel.n_sessions, dtype=np.float64) * 23_400.0
        layout, loop, system = float("inf"), float("inf"), 0.0
        for _ in range(runs):
            paging = resource.getrusage(resource.RUSAGE_SELF).ru_stime
            start = time.perf_counter()
            market, signals = build_market(panel, clock, rules.limits.correlation_window), build_signals(raw)
            built = time.perf_counter()
            if built - start < layout:
                system = resource.getrusage(resource.RUSAGE_SELF).ru_stime - paging
            run = backtest(market, signals, weights, rules, 1e5, 40, panel.n_sessions)
            done = time.perf_counter()
            layout, loop = min(layout, built - start), min(loop, done - built)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "tickers": n_tickers,
        "sessions": n_sessions,
        "build": layout,
        "system": system,
        "run": loop,
        "fills": len(run.fills),
        "peak_mb": peak / 1024.0,
        "arrays_mb": array_megabytes(market, signals),
    }


def strategy_signals(panel: MarketPanel) -> tuple[StrategySignals, ...]:
    """Return the signals of every registered strategy."""
    from trading_platform.strategies.base import prepare_signals
    from trading_platform.strategies.registry import FIRST_SET, make_strategies

    with np.errstate(invalid="ignore", divide="ignore"):
        return prepare_signals(panel, make_strategies(FIRST_SET))


def array_megabytes(*groups: tuple[object, ...]) -> float:
    """Return the size of the kernel's arrays."""
    return sum(array.nbytes for group in groups for array in group if isinstance(array, np.ndarray)) / 2.0**20


def measured_size(n_tickers: int, years: int) -> dict[str, float]:
    """Run `run_size` in a new process, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.backtest", "--size", str(n_tickers), str(years * ANNUAL_SESSIONS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result


Size = dict[str, float]  # what `run_size` says


class Row(NamedTuple):
    """One line of the table."""

    name: str
    rate: float  # bars a second
    orders: int
    note: str


def kernel_rows(panel: MarketPanel, raw: tuple[StrategySignals, ...]) -> list[Row]:
    """Return the speed of the kernel's loop, and of all that it takes from bars and signals to equity and fills."""
    from trading_platform.core.market import build_market, build_signals
    from trading_platform.core.simulate import backtest

    rules, weights = make_rules(), np.full(len(raw), 1.0 / len(raw))
    clock = np.arange(panel.n_sessions, dtype=np.float64) * 23_400.0
    whole = alone = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        market, signals = build_market(panel, clock, rules.limits.correlation_window), build_signals(raw)
        built = time.perf_counter()
        run = backtest(market, signals, weights, rules, 1e5, 40, panel.n_sessions)
        done = time.perf_counter()
        alone, whole = min(alone, done - built), min(whole, done - start)
    bars, fills = panel.close.size, len(run.fills)
    loop = "the loop alone: every rule, limit orders at the next open, stops and targets, impact, fees, daily books"
    return [
        Row("kernel, loop", bars / alone, fills, loop),
        Row("kernel, whole", bars / whole, fills, "with rolling volatilities, correlations and sorted candidates"),
    ]


def vectorbt_rows(panel: MarketPanel, raw: tuple[StrategySignals, ...]) -> list[Row]:
    """Return the same of vectorbt; no rows without it."""
    if not PEERS.exists():
        print("vectorbt is not installed; run `make bench-peers`", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.npz"
        entries = np.any([item.strength > 0.0 for item in raw], axis=0)
        exits = np.any([item.exit for item in raw], axis=0)
        np.savez(path, close=panel.close, open=panel.open, entries=entries, exits=exits)
        command = [str(PEERS), str(ROOT / "benchmarks" / "peers" / "backtest.py"), str(path)]
        answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode != 0:
        raise SystemExit(answer.stderr)
    peer = json.loads(answer.stdout)
    name, rules = f"vectorbt {peer['version']}", "market orders of 5 % of the cash, a flat fee, no rules, no stops"
    return [
        Row(
            f"{name}, loop", peer["loop_rate"], peer["orders"], f"its compiled loop alone, arguments prepared: {rules}"
        ),
        Row(f"{name}, whole", peer["rate"], peer["orders"], "`Portfolio.from_signals` with shared cash, and `value()`"),
    ]


def comparison(rows: list[Row]) -> str:
    """Say how many times faster the kernel is: like with like, and as the target reads."""
    if len(rows) < 4:
        return "vectorbt was not installed."
    loop, whole, peer_loop, peer_whole = (row.rate for row in rows)
    return (
        f"The kernel's loop runs {loop / peer_whole:.1f} times as many bars a second as vectorbt's backtest (target "
        f"10), {loop / peer_loop:.1f} times as many as vectorbt's loop; from bars and signals to equity it is "
        f"{whole / peer_whole:.1f} times as fast, although it forms {WINDOWS} first. A market is laid out once and "
        "then serves any number of backtests and episodes."
    )


def growth_line(rows: list[Size], of: str) -> str:
    """Say how a tenfold larger market changes time and memory, by a line through the logarithms."""
    size = np.log10([row[of] for row in rows])
    tenfold = {key: 10.0 ** np.polyfit(size, np.log10([row[key] for row in rows]), 1)[0] for key in DRAWN}
    return (
        f"Ten times the {of}: layout x {tenfold['build']:.1f}, backtest x {tenfold['run']:.1f}, "
        f"arrays x {tenfold['arrays_mb']:.1f}."
    )


def draw(by_tickers: list[Size], by_years: list[Size]) -> None:
    """Plot time and memory against size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.0), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, rows, sizes, label in (
        (left, by_tickers, [row["tickers"] for row in by_tickers], "tickers (10 years)"),
        (right, by_years, [row["sessions"] / ANNUAL_SESSIONS for row in by_years], "years (500 tickers)"),
    ):
        axis.loglog(sizes, [row["build"] for row in rows], "o-", label="lay out the market (s)")
        axis.loglog(sizes, [row["run"] for row in rows], "s-", label="backtest, every rule on (s)")
        axis.loglog(sizes, [row["arrays_mb"] / 1024.0 for row in rows], "^--", label="the kernel's arrays (GiB)")
        axis.loglog(sizes, [row["peak_mb"] / 1024.0 for row in rows], "v:", label="peak of the process (GiB)")
        axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axis.set_xticks([], minor=True)
        axis.set_xlabel(label)
        axis.grid(visible=True, alpha=0.3)
    left.set_ylabel("seconds, GiB")
    left.legend(frameon=False)
    figure.suptitle("Kernel backtest: growth with the size of the market")
    figure.savefig(PICTURE)


def document(
    where: str, command: str, panel: MarketPanel, rows: list[Row], by_tickers: list[Size], by_years: list[Size]
) -> str:
    """Return the document."""
    table = [f"| {row.name} | {row.rate:,.0f} | {row.orders:,} | {row.note} |" for row in rows]
    growth = [
        f"| {row['tickers']:,} | {row['sessions'] // ANNUAL_SESSIONS} | {row['tickers'] * row['sessions']:,} "
        f"| {row['build']:.3f} | {row['system']:.3f} | {row['run']:.4f} | {row['fills']:,} | {row['arrays_mb']:,.0f} "
        f"| {row['peak_mb']:,.0f} |"
        for row in by_tickers + by_years
    ]
    lines = [
        "# Backtest bars a second",
        "",
        f"`{command}`, {panel.n_sessions} sessions of {panel.n_tickers} tickers, every registered strategy, one core.",
        f"{where}.",
        "",
        "| backtest | bars/s | fills | what is timed |",
        "|---|---:|---:|---|",
        *table,
        "",
        "Both start from the same signals, whose making is not timed. vectorbt, which trades one signal a ticker,",
        "enters when any strategy does and leaves when any wants to. Each number is the best of",
        f"{RUNS * ROUNDS} runs by turns, after compilation.",
        "",
        comparison(rows),
        "",
        "## Growth",
        "",
        f"Random walks, {N_STRATEGIES} strategies that enter on 2 % and leave on 10 % of the bars, each size in a",
        "process of its own, the best of three runs. Layout is all that `build_market` and `build_signals` do; arrays",
        "are what they return; the system's part of its time is the handing out and clearing of their memory. The peak",
        "of the process holds the random market and its signals too.",
        "",
        growth_line(by_tickers[2:], "tickers"),
        growth_line(by_years, "sessions"),
        "",
        "![growth](benchmarks-backtest.png)",
        "",
        "| tickers | years | bars | layout s | of it the system's | backtest s | fills | arrays MiB | peak MiB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *growth,
        "",
    ]
    return "\n".join(lines)


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
    raw = strategy_signals(panel)
    rounds = [kernel_rows(panel, raw) + vectorbt_rows(panel, raw) for _ in range(ROUNDS)]
    rows = [max(same, key=lambda row: row.rate) for same in zip(*rounds, strict=True)]
    by_tickers = [measured_size(*size) for size in BY_TICKERS]
    by_years = [measured_size(*size) for size in BY_YEARS]
    command = "python -m benchmarks.backtest" + (" --data-dir ..." if options.data_dir else "")
    text = document(where, command, panel, rows, by_tickers, by_years)
    print(text)
    if options.write:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)
        draw(by_tickers, by_years)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
