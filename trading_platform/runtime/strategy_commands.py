"""The commands `strategies list` and `strategies test`: what there is, and whether one of them holds what it must."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trading_platform import api
from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.trading_config import TradingConfig, config_path, load_config
from trading_platform.core.costs import default_protection
from trading_platform.core.market import build_market, build_signals
from trading_platform.core.simulate import backtest
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.engine.engine_market import strategies_named
from trading_platform.engine.given_weights import given_strategies
from trading_platform.engine.own_strategies import own_strategies
from trading_platform.engine.trading_rules import rules_of
from trading_platform.evaluation.lookahead_proof import prove
from trading_platform.evaluation.lookahead_subjects import strategy_subject
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.load_panel import load_panel
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.reporting.wrapping import wrapped
from trading_platform.strategies.base import AnyStrategy, prepare_signals
from trading_platform.strategies.registry import DEFAULT_SET, STRATEGIES

CUTS = 12
PARITY_SESSIONS = 63  # a quarter of a year, at the end of the market
SPLIT_RATIO = 2.0  # a power of two, so that prices move without rounding


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried on a strategy. `holds` None: nothing to pass or fail, only told."""

    name: str
    holds: bool | None
    words: str


def list_strategies(config_file: Path | None, *, as_json: bool) -> int:
    """Print every strategy by name: where from, whether it trades by these settings, what it does."""
    config = load_config(config_path(config_file))
    classes = {**STRATEGIES, **own_strategies(Path(config.strategies.folder), STRATEGIES)}
    given = given_strategies(config)
    trading = config.strategies.enabled or tuple(given) or DEFAULT_SET
    rows = [
        {
            "name": name,
            "trades": name in trading,
            "from": "this program" if name in STRATEGIES else "your own",
            "says": "targets" if hasattr(each, "targets") else "entries and exits",
            "does": _first_line(each),
        }
        for name, each in classes.items()
    ]
    rows += [
        {"name": name, "trades": name in trading, "from": "weights file", "says": "targets", "does": "made elsewhere"}
        for name in given
    ]
    if as_json:
        _out(json.dumps(rows))
        return 0
    for row in rows:
        mark = "trades" if row["trades"] else ""
        _out(f"{row['name']:<18} {mark:<7} {row['from']:<13} {row['does']}")
    return 0


def test_strategy(name: str, config_file: Path | None, folders: Sequence[Path], *, as_json: bool) -> int:
    """Try one strategy on the embedded market, or on bars of one's own; return 0, or 1 if something does not hold."""
    source = {"data.source": "files", "data.folder": [str(folder) for folder in folders]} if folders else {}
    config = load_config(config_path(config_file), source or {"data.source": "synthetic"})
    (strategy,) = strategies_named(config, [name])
    panel = load_panel(config, load_settings(), exchange_calendar(config.data), None, None)
    checks = checks_of(strategy, panel, config)
    holds = all(check.holds is not False for check in checks)
    if as_json:
        found = [{"check": check.name, "holds": check.holds, "found": check.words} for check in checks]
        _out(json.dumps({"strategy": name, "market": panel.source, "holds": holds, "checks": found}))
        return 0 if holds else 1
    first, last = panel.session(0), panel.session(panel.n_sessions - 1)
    _out(f"{name} on {panel.source}: {panel.n_tickers} tickers, {first} to {last}")
    for check in checks:
        _out(f"  {_MARKS[check.holds]:<4} {check.name:<14} {check.words}")
    _out("It holds." if holds else "It does not hold: mend what is marked NO before it trades.")
    return 0 if holds else 1


test_strategy.__test__ = False  # type: ignore[attr-defined]  # a command, not a test of pytest's
_MARKS = {True: "yes", False: "NO", None: ""}


def checks_of(strategy: AnyStrategy, panel: MarketPanel, config: TradingConfig) -> list[Check]:
    """Return what was tried on a strategy and what came of it."""
    aside = strategy.stands_aside(panel) if hasattr(strategy, "stands_aside") else ""
    if aside:
        return [Check("market", False, f"it stands aside here: {aside}")]
    if panel.n_sessions < strategy.lookback + 3:
        return [Check("market", False, f"it needs {strategy.lookback} sessions, the market has {panel.n_sessions}")]
    since = time.perf_counter()
    wanted = _wanted(strategy, panel)
    seconds = time.perf_counter() - since
    proof = prove(strategy_subject(strategy), panel, CUTS)
    ahead = [leak for leak in proof.leaks if not leak.startswith(("shortened", "asked", "input"))]
    short = [leak for leak in proof.leaks if leak.startswith("shortened")]
    other = [leak for leak in proof.leaks if leak.startswith(("asked", "input"))]
    said = (wanted[strategy.lookback - 1 :] > 0.0).any(axis=1)
    per_session = seconds / panel.n_sessions
    return [
        Check("no foresight", not ahead, ahead[0] if ahead else f"the future hidden and changed at {CUTS} sessions"),
        Check("history", not short, short[0] if short else f"a row needs {strategy.lookback} sessions, as it says"),
        Check("repeatable", not other, other[0] if other else "the same bars, the same answer; bars untouched"),
        _split(strategy, panel, wanted),
        Check("says something", bool(said.any()), f"wants a ticker in {said.mean():.0%} of sessions"),
        Check("speed", None, f"{1e6 * per_session:,.0f} microseconds a session for {panel.n_tickers} tickers"),
        Check("parity", None, "not tried") if ahead or short else _parity(strategy, panel, config),
    ]


def _wanted(strategy: AnyStrategy, panel: MarketPanel) -> Floats:
    return prepare_signals(panel, [strategy])[0].strength


def _split(strategy: AnyStrategy, panel: MarketPanel, wanted: Floats) -> Check:
    """Ask again after a split of every second ticker in the middle: what is wanted may not move."""
    t, odd = panel.n_sessions // 2, slice(0, None, 2)
    moved = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name, values in moved.items():
        values[t:, odd] *= SPLIT_RATIO if name == "volume" else 1.0 / SPLIT_RATIO
    ratio = np.ones(panel.close.shape) if panel.split_ratio is None else panel.split_ratio.copy()
    ratio[t, odd] *= SPLIT_RATIO
    other = _wanted(strategy, replace(panel, **moved, split_ratio=ratio))
    rows = np.flatnonzero((other != wanted).any(axis=1))
    if not len(rows):
        return Check("splits", True, f"the same after {SPLIT_RATIO:g} for 1 in the middle")
    return Check("splits", False, f"what it wants on {panel.session(int(rows[0]))} moves with {SPLIT_RATIO:g} for 1")


def _parity(strategy: AnyStrategy, panel: MarketPanel, config: TradingConfig) -> Check:
    """Trade the last quarter of a year by the engine and by the kernel that training uses: to the cent."""
    first = max(strategy.lookback, panel.n_sessions - PARITY_SESSIONS)
    market = api.Market(panel, {"data.source": config.data.source, "data.folder": list(config.data.folder)})
    run = api.backtest(market, strategies=[strategy], allocation="equal", start=panel.session(first))
    engine = run.equity["equity"].to_numpy()
    kernel = _kernel_equity(strategy, panel, first)
    same = len(kernel) == len(engine) and bool((np.round(kernel, 2) == np.round(engine, 2)).all())
    words = f"engine and kernel end with ${engine[-1]:,.2f} after {len(engine)} sessions"
    return Check("parity", same, words if same else f"the engine ends with ${engine[-1]:,.2f}, the kernel elsewhere")


def _kernel_equity(strategy: AnyStrategy, panel: MarketPanel, first: int) -> Floats:
    """Return what the kernel makes of one strategy alone from row `first` on, by the default settings, (T,) dollars."""
    config = load_config(None)
    rules = rules_of(config)
    signals = build_signals(prepare_signals(panel, [strategy]), default_protection(rules.exits))
    market = build_market(panel, NyseCalendar().exchange_seconds(panel.sessions), rules.limits.correlation_window)
    book = backtest(market, signals, np.ones(1), rules, config.engine.initial_capital, first, panel.n_sessions)
    equity: Floats = book.days["equity"]
    return equity


def _first_line(each: type[Any]) -> str:
    return (each.__doc__ or "").strip().partition("\n")[0]


def _out(text: str) -> None:
    sys.stdout.write(f"{wrapped(text, sys.stdout)}\n")
