"""Which market and whose money: the same words on every screen, picture and page. Imports nothing slow."""

from __future__ import annotations

from pathlib import PurePath

# Kinds of runs: a replay and the local paper account trade nobody's money, Alpaca's paper account plays at a broker.
MONEY = {"replay": "SIMULATED", "paper": "SIMULATED", "alpaca_paper": "PAPER MONEY", "alpaca_live": "REAL MONEY"}
MODES = {"replay": "replay", "paper": "local paper account", "alpaca_paper": "Alpaca", "alpaca_live": "Alpaca"}
SYNTHETIC = "synthetic"


def money_words(mode: str) -> str:
    """Return whose money a run of `mode` trades; an unknown mode is said as it is."""
    return MONEY.get(mode, mode)


def mode_words(mode: str) -> str:
    """Return what kind of run it is."""
    return MODES.get(mode, mode)


def market_words(source: str) -> str:
    """Return where bars come from, e.g. ``embedded market (seed 7)``, ``files in market-data``."""
    name, _, rest = source.partition(":")
    if name == SYNTHETIC:
        return f"embedded market (seed {rest.removeprefix('seed=')})" if rest else "embedded market"
    if name == "files":
        return f"files in {PurePath(rest).name or rest}"
    if name == "yahoo":
        return "Yahoo"
    return f"Alpaca's bars ({rest})" if name == "alpaca" and rest else source


def benchmark_name(source: str) -> str:
    """Return what the market's benchmark is called: the embedded market has no SPY."""
    return "market (synthetic)" if is_synthetic(source) else "SPY"


def benchmark_short(source: str) -> str:
    """Return the benchmark's name for the head of a narrow column."""
    return "market" if is_synthetic(source) else "SPY"


def is_synthetic(source: str) -> bool:
    """Tell whether prices were made up by a program."""
    return source.partition(":")[0] == SYNTHETIC
