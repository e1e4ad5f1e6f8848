"""How fast the engine replays, database and every risk rule on, beside NautilusTrader on the same market and machine.

Run: python -m benchmarks.engine [--tickers 50 500] [--write]

Each market is the embedded one, seeded, 2,520 sessions, written to files and replayed by the engine's own command. It
runs twice in one process: a process loads its compiled code during its first replay, which the second shows without.
NautilusTrader needs `make bench-peers` once; without it it is named as missing. ``--write`` puts the table into
docs/benchmarks-engine.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.environment import machine  # noqa: E402 - the path must be set before

if TYPE_CHECKING:
    from trading_platform.core.types import MarketPanel

PEER = ROOT / ".venv-peers-nautilus" / "bin" / "python"
DOCUMENT = ROOT / "docs" / "benchmarks-engine.md"
N_SESSIONS, WARM_UP = 2520, 260
TARGETS = {50: 10.0, 500: 50.0}
BARS = ("open", "high", "low", "close", "volume")
STAGES = ("signals", "fills", "allocation", "decisions", "database")


def write_market(n_tickers: int, folder: Path) -> None:
    """Write the market as files for the engine, and as one array file for the peer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from trading_platform.market_data.synthetic import SyntheticMarketData

    panel = SyntheticMarketData(n_tickers=n_tickers, n_sessions=N_SESSIONS).history()
    sessions, names = panel.sessions.astype("datetime64[D]"), np.array(panel.tickers)
    bars = {name: getattr(panel, name).ravel() for name in BARS}
    keys = {"date": np.repeat(sessions, panel.n_tickers), "ticker": np.tile(names, panel.n_sessions)}
    (folder / "files").mkdir(parents=True)
    pq.write_table(pa.table({**keys, **bars}), folder / "files" / "bars.parquet")
    _write_sides(panel, sessions, folder / "files")
    np.savez(folder / "market.npz", sessions=sessions, tickers=names, **{name: getattr(panel, name) for name in BARS})


def _write_sides(panel: MarketPanel, sessions: Any, folder: Path) -> None:
    vix = [f"{day},{value:.4f}\n" for day, value in zip(sessions, panel.vix, strict=True)]
    sectors = [f"{ticker},{sector}\n" for ticker, sector in zip(panel.tickers, panel.sectors, strict=True)]
    (folder / "vix.csv").write_text("date,close\n" + "".join(vix))
    (folder / "sectors.csv").write_text("ticker,sector\n" + "".join(sectors))


def replay(folder: Path) -> list[dict[str, Any]]:
    """Replay the files twice with the engine's command, each into a new database; return what ``--json`` printed."""
    from trading_platform.command_line import TradeOptions

    with np.load(folder / "market.npz") as arrays:
        start = datetime.fromisoformat(str(arrays["sessions"][WARM_UP]))
    trade = importlib.import_module("autonomous_trading_engine").trade
    answers = []
    for n in range(2):
        options = TradeOptions(
            data_dir=folder / "files", tickers=(), start=start, end=None, capital=None, seed=None,
            database=str(folder / f"replay{n}.db"), config=None, cost_bps=None, allocation=None, source=None,
            once=False, live=False, json=True, quiet=True,
        )  # fmt: skip
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            trade(options)
        answers.append(json.loads(output.getvalue()))
    answers[-1]["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return answers


def run_engine(folder: Path) -> list[dict[str, Any]]:
    """Run `replay` in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.engine", "--replay", str(folder)]
    # one thread, and no settings or caches of whoever runs this
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def run_peer(folder: Path) -> dict[str, Any] | None:
    """Run NautilusTrader on the same bars; None if it is not installed."""
    if not PEER.exists():
        return None
    script = ROOT / "benchmarks" / "peers" / "nautilus_sma.py"
    done = subprocess.run([str(PEER), str(script), str(folder / "market.npz")], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def measure(n_tickers: int) -> list[str]:
    """Measure one size of market; return its part of the document."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_market(n_tickers, folder)
        before = os.getloadavg()[0]
        first, second = run_engine(folder)
        middle = os.getloadavg()[0]
        peer = run_peer(folder)
    rate, seconds = second["bars_per_second"], second["elapsed_seconds"]
    lines = [
        "",
        f"## {n_tickers} tickers, {N_SESSIONS:,} sessions",
        "",
        "| replay | bars/s | orders | peak MB | load before |",
        "|---|---:|---:|---:|---:|",
        f"| engine, a process's first replay | {first['bars_per_second']:,} | {first['orders']:,} | | {before:.1f} |",
        f"| engine, its second replay | {rate:,} | {second['orders']:,} | {second['peak_mb']:,.0f} | {before:.1f} |",
    ]
    stages = ", ".join(f"{stage} {seconds[stage]:.2f}" for stage in STAGES)
    about = f"Seconds of the second replay by stage: {stages} ({second['sessions']:,} sessions)."
    if peer is None:
        return [*lines, "| NautilusTrader: not installed, run `make bench-peers` | | | | |", "", about]
    lines.append(
        f"| NautilusTrader {peer['version']}, SMA({10}/{30}) cross | {peer['rate']:,.0f} | {peer['orders']:,} | "
        f"{peer['peak_mb']:,.0f} | {middle:.1f} |"
    )
    target = f" (target {TARGETS[n_tickers]:.0f} x)" if n_tickers in TARGETS else ""
    ratios = f"{rate / peer['rate']:.1f} x{target}; its first replay {first['bars_per_second'] / peer['rate']:.1f} x"
    return [*lines, "", f"Engine over NautilusTrader: {ratios}.", "", about]


def main() -> None:
    """Measure, print, and write the document if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", nargs="+", type=int, default=list(TARGETS), help="sizes of market")
    parser.add_argument("--replay", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)}")
    options = parser.parse_args()
    if options.replay is not None:
        json.dump(replay(options.replay), sys.stdout)
        return
    lines = [
        "# Replay bars a second",
        "",
        "`python -m benchmarks.engine --write`: the engine replays a seeded market through its own command, all",
        "strategies, every risk rule, orders, fills, positions and verdicts written to SQLite, after",
        f"{WARM_UP} sessions of warm-up.",
        "Its bars/s are those of `--json`: bars of the traded sessions over the time of signals (of all",
        "sessions), decisions, risk, fills and database writes. NautilusTrader runs an SMA cross an instrument with",
        "market orders on the same bars, without database and risk rules; bars over the time of `engine.run()`.",
        "",
        f"{machine()}, SQLAlchemy {version('sqlalchemy')}.",
    ]
    for n_tickers in options.tickers:
        lines += measure(n_tickers)
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
