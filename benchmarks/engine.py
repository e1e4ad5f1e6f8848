"""How fast the engine replays, database and every risk rule on, beside NautilusTrader on the same market and machine.

Run: python -m benchmarks.engine [--tickers 50 500] [--rounds 5] [--write]

Each market is the embedded one, seeded, 2,520 sessions, written to files and replayed by the engine's own command,
twice in one process: the first replay also pays for what every process does once. Engine and peer run by turns, each
in a process of its own, and a round's ratio compares what ran side by side, since machines change their speed from
minute to minute. Large markets, of which the peer takes minutes, get one round. NautilusTrader needs `make bench-peers`
once; without it it is named as missing. ``--write`` puts the tables into docs/benchmarks-engine.md.
"""

from __future__ import annotations

import argparse
import contextlib
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

from benchmarks.environment import machine

if TYPE_CHECKING:
    from trading_platform.core.types import MarketPanel

ROOT = Path(__file__).parents[1]
PEER = ROOT / ".venv-peers-nautilus" / "bin" / "python"
DOCUMENT = ROOT / "docs" / "benchmarks-engine.md"
N_SESSIONS, WARM_UP = 2520, 260
TARGETS = {50: 10.0, 500: 50.0}
BARS = ("open", "high", "low", "close", "volume")
STAGES = ("signals", "fills", "allocation", "decisions", "database")
SLOW_PEER = 100  # tickers from which on there is one round


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
    from trading_platform.runtime.trade import trade
    from trading_platform.runtime.trade_settings import TradeOptions

    with np.load(folder / "market.npz") as arrays:
        start = datetime.fromisoformat(str(arrays["sessions"][WARM_UP])).date()
    answers = []
    for n in range(2):
        options = TradeOptions(
            data_dirs=(folder / "files",), start=start, database=str(folder / f"replay{n}.db"), json=True, quiet=True
        )
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
    for left in folder.glob("replay*.db*"):
        left.unlink()
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


def measure(n_tickers: int, rounds: int) -> list[str]:
    """Measure one size of market; return its part of the document."""
    table = ["| round | load | engine's first replay | its second | NautilusTrader | first over it | second over it |"]
    table.append("|---:" * 7 + "|")
    firsts, seconds = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_market(n_tickers, folder)
        for n in range(rounds):
            load = os.getloadavg()[0]
            first, second = run_engine(folder)
            peer = run_peer(folder)
            rates = [first["bars_per_second"], second["bars_per_second"]]
            line = f"| {n + 1} | {load:.1f} | {rates[0]:,} | {rates[1]:,} |"
            if peer is None:
                table.append(f"{line} not installed: `make bench-peers` | | |")
                continue
            firsts.append(rates[0] / peer["rate"])
            seconds.append(rates[1] / peer["rate"])
            table.append(f"{line} {peer['rate']:,.0f} | {firsts[-1]:.1f} x | {seconds[-1]:.1f} x |")
    spent = second["elapsed_seconds"]
    stages = ", ".join(f"{stage} {spent[stage]:.2f}" for stage in STAGES)
    orders = f"{second['orders']:,} orders, at most {second['peak_mb']:,.0f} MB"
    about = [f"Engine: {second['sessions']:,} sessions, {orders}; seconds of the last replay: {stages}."]
    if peer is not None:
        target = f" (target {TARGETS[n_tickers]:.0f} x)" if n_tickers in TARGETS else ""
        about[:0] = [
            f"Engine over NautilusTrader{target}: first replay {_spread(firsts)}, second {_spread(seconds)}.",
            "",
        ]
        about += [
            "",
            f"NautilusTrader {peer['version']}: {peer['orders']:,} orders, at most {peer['peak_mb']:,.0f} MB.",
        ]
    return ["", f"## {n_tickers} tickers, {N_SESSIONS:,} sessions", "", *table, "", *about]


def _spread(ratios: list[float]) -> str:
    """Return the median ratio and, of several, the smallest and the largest."""
    text = f"{np.median(ratios):.1f} x"
    return text if len(ratios) == 1 else f"{text} (median; {min(ratios):.1f} to {max(ratios):.1f})"


def main() -> None:
    """Measure, print, and write the document if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", nargs="+", type=int, default=list(TARGETS), help="sizes of market")
    parser.add_argument("--rounds", type=int, default=5, help="rounds by turns with the peer on small markets")
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
        "sessions), decisions, risk, fills and database writes; loading compiled code (0.4 s a process, from numba's",
        "cache) is a stage of its own and not in them. NautilusTrader runs an SMA(10/30) cross an instrument with",
        "market orders on the same bars, without database and risk rules; bars over the time of `engine.run()`. They",
        "run by turns, and every round has a ratio of its own.",
        "",
        f"{machine()}, SQLAlchemy {version('sqlalchemy')}.",
    ]
    for n_tickers in options.tickers:
        lines += measure(n_tickers, options.rounds if n_tickers < SLOW_PEER else 1)
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
