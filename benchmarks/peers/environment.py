"""Steps a second of public trading environments; run by the interpreter of .venv-peers, prints JSON.

usage: python benchmarks/peers/environment.py MARKET.npz SECONDS
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import json
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def steps_per_second(reset, step, seconds: float) -> float:
    """Step with random actions, resetting at the end of episodes; the best of three stretches."""
    best = 0.0
    for _ in range(3):
        reset()
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            for _ in range(20):
                if step():
                    reset()
            count += 20
        best = max(best, count / elapsed)
    return best


def finrl(market, seconds: float):
    """FinRL's StockTradingEnv on numpy arrays: many stocks, fills at the close it shows, a flat fee, no risk rules."""
    spec = importlib.util.find_spec("finrl")
    path = f"{spec.submodule_search_locations[0]}/meta/env_stock_trading/env_stocktrading_np.py"
    loader = importlib.util.spec_from_file_location("finrl_env", path)  # finrl's own import needs brokers and ray
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    close = market["close"].astype(np.float32)
    tech = np.concatenate([close / close.mean(axis=0)] * 4, axis=1).astype(np.float32)
    env = module.StockTradingEnv(
        {
            "price_array": close,
            "tech_array": tech,
            "turbulence_array": np.zeros(len(close), dtype=np.float32),
            "if_train": True,
        }
    )
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1.0, 1.0, (64, close.shape[1])).astype(np.float32)
    counter = iter(range(10**12))
    rate = steps_per_second(env.reset, lambda: env.step(actions[next(counter) % 64])[2], seconds)
    return rate, importlib.metadata.version("finrl"), f"{close.shape[1]} stocks, fills at the close it shows, no rules"


def frame(market):
    """Return the first ticker as a data frame."""
    import pandas as pd

    columns = {name: market[name][:, 0] for name in ("open", "high", "low", "close", "volume")}
    table = pd.DataFrame(columns, index=pd.bdate_range("2000-01-03", periods=len(market["close"])))
    table["feature_return"] = table["close"].pct_change().fillna(0.0)
    table["feature_range"] = table["high"] / table["low"] - 1.0
    return table


def gym_trading_env(market, seconds: float):
    """gym-trading-env: one ticker, positions, fees, no risk rules."""
    import gym_trading_env  # noqa: F401 - registers the environment
    import gymnasium

    env = gymnasium.make(
        "TradingEnv",
        df=frame(market),
        positions=[-1, 0, 1],
        trading_fees=0.0005,
        borrow_interest_rate=0.0,
        verbose=0,
        disable_env_checker=True,
    )
    actions = np.random.default_rng(0).integers(0, 3, 4096)
    counter = iter(range(10**12))

    def step() -> bool:
        _, _, terminated, truncated, _ = env.step(int(actions[next(counter) % 4096]))
        return terminated or truncated

    return (
        steps_per_second(env.reset, step, seconds),
        importlib.metadata.version("gym-trading-env"),
        "1 ticker, no rules",
    )


def gym_anytrading(market, seconds: float):
    """gym-anytrading: one ticker, buy or sell, no portfolio."""
    import gym_anytrading  # noqa: F401 - registers the environment
    import gymnasium

    table = frame(market).rename(columns=str.capitalize)
    env = gymnasium.make("stocks-v0", df=table, frame_bound=(10, len(table)), window_size=10, disable_env_checker=True)
    actions = np.random.default_rng(0).integers(0, 2, 4096)
    counter = iter(range(10**12))

    def step() -> bool:
        _, _, terminated, truncated, _ = env.step(int(actions[next(counter) % 4096]))
        return terminated or truncated

    rate = steps_per_second(env.reset, step, seconds)
    return rate, importlib.metadata.version("gym-anytrading"), "1 ticker, no portfolio, no rules"


def main() -> None:
    """Run every peer; a peer that fails is reported, not hidden."""
    with np.load(sys.argv[1]) as arrays:
        market = dict(arrays)
    results = []
    for peer in (finrl, gym_trading_env, gym_anytrading):
        name = peer.__name__.replace("_", "-")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                rate, version, note = peer(market, float(sys.argv[2]))
            results.append({"name": name, "version": version, "rate": rate, "note": note})
        except Exception as error:  # noqa: BLE001 - whatever a peer does is its result
            results.append({"name": name, "error": f"{type(error).__name__}: {error}"})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
