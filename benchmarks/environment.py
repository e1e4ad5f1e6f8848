"""How fast the environment steps, beside public peers on the same machine in the same run.

Run: python -m benchmarks.environment [--data-dir FOLDER] [--seconds 2] [--write]

119 tickers, every registered strategy, every risk rule, observations and rewards included. ``--write`` puts the table
into docs/benchmarks-environment.md. Peers need `make bench-peers` once; without it they are named as missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trading_platform.core.prepare import PreparedMarket
    from trading_platform.core.types import MarketPanel

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
DOCUMENT = ROOT / "docs" / "benchmarks-environment.md"
N_TICKERS, N_SESSIONS = 119, 4528
STRETCH = 0.2  # seconds: on a busy machine some of these find the cores free
TARGETS = {"1 core": 300_000, "all cores": 1_000_000, "episode": 3.0, "first": 20.0}


def load_panel(folder: str | None) -> MarketPanel:
    """Return the files' history, or a synthetic one of the same size."""
    from trading_platform.market_data.files import FilesMarketData
    from trading_platform.market_data.synthetic import SyntheticMarketData

    if folder is not None:
        return FilesMarketData(Path(folder)).history()
    return SyntheticMarketData(n_tickers=N_TICKERS, n_sessions=N_SESSIONS).history()


def load_world(panel: MarketPanel) -> PreparedMarket:
    """Return the prepared market."""
    from risk_config import RiskConfig
    from trading_platform.core.costs import CostConfig, ExitConfig
    from trading_platform.core.risk.limits import limits_of
    from trading_platform.core.session import Rules
    from trading_platform.market_data.calendar import NyseCalendar
    from trading_platform.strategies.prepared import prepare_panel
    from trading_platform.strategies.registry import FIRST_SET, make_strategies

    rules = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
    clock = NyseCalendar().exchange_seconds(panel.sessions)
    regimes = np.full(
        (panel.n_sessions, 3), np.nan
    )  # a column of the observation; how it was fitted costs nothing here
    return prepare_panel(panel, clock, make_strategies(FIRST_SET), regimes, rules)


def batched_rate(worlds: list[PreparedMarket], n_envs: int, threads: int, seconds: float) -> float:
    """Return steps a second of the batched environment with random actions; the best of short stretches."""
    from rl_environment import BatchedAllocEnv

    env = BatchedAllocEnv(worlds, n_envs, threads=threads)
    actions = np.random.default_rng(0).random((20, n_envs, worlds[0].n_strategies))
    env.reset()
    for action in actions:
        env.step(action)
    best = 0.0
    for _ in range(max(5, int(seconds / STRETCH))):
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < STRETCH:
            for action in actions:
                env.step(action)
            count += 20 * n_envs
        best = max(best, count / elapsed)
    env.close()
    return best


def scalar_times(world: PreparedMarket) -> tuple[float, float]:
    """Return (milliseconds of reset and 20 steps, steps a second) of the single environment, median of 100."""
    from rl_environment import TradingAllocEnv

    env = TradingAllocEnv(world)
    action = np.full(world.n_strategies, 0.5, dtype=np.float32)
    times = []
    for _ in range(100):
        start = time.perf_counter()
        env.reset()
        for _ in range(20):
            env.step(action)
        times.append(time.perf_counter() - start)
    middle = float(np.median(times))
    return middle * 1e3, 20.0 / middle


def first_call(cache: str) -> float:
    """Return seconds from the prepared arrays to the first step in a new process, with `cache` as numba's."""
    code = (
        "import time\n"
        "import numpy as np, numba\n"
        "from benchmarks.environment import load_panel, load_world\n"
        "from rl_environment import TradingAllocEnv\n"
        "panel = load_panel(None).rows(0, 1000)\n"
        "start = time.perf_counter()\n"
        "world = load_world(panel)\n"
        "env = TradingAllocEnv(world)\n"
        "env.reset(); env.step(np.full(world.n_strategies, 0.5, np.float32))\n"
        "print(time.perf_counter() - start)\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return float(done.stdout)


def peer_rates(panel: MarketPanel, seconds: float) -> list[dict[str, object]]:
    """Return what the peers say, on the same bars."""
    if not PEERS.exists():
        return [{"name": "peers", "error": "not installed; run `make bench-peers`"}]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.npz"
        np.savez(path, **{name: getattr(panel, name) for name in ("open", "high", "low", "close", "volume")})
        command = [str(PEERS), str(ROOT / "benchmarks" / "peers" / "environment.py"), str(path), str(seconds / 3)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return [{"name": "peers", "error": done.stderr.strip().splitlines()[-1]}]
    results: list[dict[str, object]] = json.loads(done.stdout)
    return results


def machine() -> str:
    """Return processor, cores, load and versions in one line."""
    import gymnasium
    import numba

    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = f"Python {sys.version.split()[0]}, numpy {np.__version__}, numba {numba.__version__}"
    load = os.getloadavg()[0]
    return (
        f"{model}, {os.cpu_count()} cores, load {load:.1f} at the start; {versions}, gymnasium {gymnasium.__version__}"
    )


def main() -> None:
    """Measure, print, and write the document if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder of market data; a synthetic market of the same size without it")
    parser.add_argument("--seconds", type=float, default=3.0, help="time of each measurement")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)}")
    options = parser.parse_args()
    where = machine()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as cache:
        first, cached = first_call(cache), first_call(cache)
    panel = load_panel(options.data_dir)
    world = load_world(panel)
    episode, scalar = scalar_times(world)
    single = max(batched_rate([world], n, 1, options.seconds) for n in (256, 1024))
    every = max(batched_rate([world], n, cores, options.seconds) for n in (1024, 2048, 4096))
    rules = "next-open fills, costs, stops, every risk rule"
    rows = [
        (
            "BatchedAllocEnv, 1 core",
            f"{single:,.0f}",
            f"{panel.n_tickers} tickers x {world.n_strategies} strategies, {rules}",
        ),
        (f"BatchedAllocEnv, {cores} cores", f"{every:,.0f}", "the same"),
        ("TradingAllocEnv", f"{scalar:,.0f}", "the same, one at a time through gymnasium's interface"),
    ]
    for peer in peer_rates(panel, options.seconds):
        label = f"{peer['name']} {peer.get('version', '')}".strip()
        rows.append(
            (label, f"{peer['rate']:,.0f}" if "rate" in peer else "failed", str(peer.get("note", peer.get("error"))))
        )
    command = "python -m benchmarks.environment" + (" --data-dir ..." if options.data_dir else "")
    lines = [
        "# Environment steps a second",
        "",
        f"`{command}`, {panel.n_sessions} sessions of {panel.n_tickers} tickers.",
        f"{where}.",
        "",
        "| environment | steps/s | what a step holds |",
        "|---|---:|---|",
        *(f"| {name} | {rate} | {note} |" for name, rate, note in rows),
        "",
        f"Targets: 1 core {TARGETS['1 core']:,}, all cores {TARGETS['all cores']:,} steps/s.",
        f"`reset()` and 20 steps of the single environment: {episode:.2f} ms (target {TARGETS['episode']:g} ms).",
        f"From bars to the first step in a new process: {first:.1f} s with compilation (target {TARGETS['first']:g}), "
        f"{cached:.1f} s with the compiled code on disk.",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    if options.write:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
