"""`make demo-rl`: a market with something to learn, trained on, judged, promoted, replayed, compared. SIMULATED.

In the planted market each regime pays another of three strategies, far more than any real market does: it shows what
the machinery does when there is something to find. In real bars it finds next to nothing (docs/rl-evaluation.md).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from trading_platform.market_data.market_model import REGIME_EDGES  # noqa: E402
from trading_platform.market_data.synthetic import SyntheticMarketData  # noqa: E402

SEED, TICKERS, SESSIONS = 101, 20, 1764
KEPT_BACK = 252  # sessions that training never sees
HOME = ROOT / "demo-rl"
# Strategies that live by what the regimes of this market pay; the default set hardly looks at it.
SETTINGS = """[strategies]
enabled = ["momentum", "mean_reversion", "breakout", "panic_reversal", "steady_winners", "quiet_stocks"]
"""
FREER = "action_scale=2"  # by default a strategy's odds move by a quarter of this; here there is something to move for


def planted_folder(folder: Path) -> list[str]:
    """Write seven years of a market in which regimes pay different strategies; return its sessions, ISO dates."""
    panel = SyntheticMarketData(SEED, model=REGIME_EDGES, n_tickers=TICKERS, n_sessions=SESSIONS).history()
    days = panel.sessions.astype(str)
    tickers = [*panel.tickers, "SPY"]
    benchmark = panel.benchmark[:, None]
    columns = {
        name: np.hstack([getattr(panel, name), benchmark]).T.ravel() for name in ("open", "high", "low", "close")
    }
    volume = np.hstack([panel.volume, np.full((len(days), 1), 1e7)]).T.ravel()
    frame = pd.DataFrame({"date": np.tile(days, len(tickers)), "ticker": np.repeat(tickers, len(days)), **columns})
    frame["volume"] = volume.astype(np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "bars.csv", index=False)
    pd.DataFrame({"date": days, "close": panel.vix}).to_csv(folder / "vix.csv", index=False)
    return list(days.tolist())


def command(program: str, *words: str, allowed: tuple[int, ...] = (0,), silent: bool = False) -> str:
    """Run one command of ours in the demo's folder, shown as a user types it; return what it printed."""
    print(f"\n$ python {program} {' '.join(words)}", flush=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / program), *words],
        cwd=HOME,
        text=True,
        check=False,
        stdout=subprocess.PIPE if silent else None,
    )
    if done.returncode not in allowed:
        raise SystemExit(done.returncode)
    return done.stdout or ""


def main() -> None:
    """Walk through the life of a model."""
    print("SIMULATED. A made-up market whose regimes pay different strategies, far more than real ones do.")
    HOME.mkdir(exist_ok=True)
    (HOME / "trading.toml").write_text(SETTINGS, encoding="utf-8")
    days = planted_folder(HOME / "planted")
    first, last = days[-KEPT_BACK], days[-1]
    print(f"Training sees {days[0]} to the day before {first}; the year to {last} is kept back.")
    told = command(
        "train_rl_model.py",
        "--data-dir",
        "planted",
        "--algo",
        "gradient",
        "--set",
        FREER,
        "--json",
        allowed=(0, 10),
        silent=True,
    )
    verdict = json.loads(told)
    print(verdict["verdict"])
    command("train_rl_model.py", "models", "promote", verdict["model_id"], "--reason", "the demo shows it", "--yes")
    replay = ("replay", "--data-dir", "planted", "--start", first, "--quiet")
    command("autonomous_trading_engine.py", *replay, "--allocation", "equal")
    command("autonomous_trading_engine.py", *replay)
    command("autonomous_trading_engine.py", "compare", "1", "2")
    print(f"\nPages with charts: {HOME / 'reports'}")


if __name__ == "__main__":
    main()
