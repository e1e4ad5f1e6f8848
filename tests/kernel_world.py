"""Small random markets with every kind of trouble, three quick strategies, and rules, for tests of the kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from risk_config import RiskConfig
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.market import Market, Signals, build_market, build_signals, forward_adjusted
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats, MarketPanel, StrategySignals
from trading_platform.strategies.prepared import prepare_panel

SESSION_SECONDS = 23_400.0
SECTORS = ("Energy", "Financials", "Utilities", "Materials")


def make_rules(**limits: object) -> Rules:
    """Return rules with `limits` over the defaults."""
    config = RiskConfig.from_mapping(limits)
    return Rules(limits_of(config.to_dict()), ExitConfig().rates(), CostConfig().rates())


def random_panel(seed: int, n_sessions: int = 420, n_tickers: int = 12, faults: bool = False) -> MarketPanel:
    """Return random walks with a common factor; `faults` adds gaps, thin volume, a delisting, splits, missing VIX."""
    rng = np.random.default_rng(seed)
    shape = (n_sessions, n_tickers)
    daily = 0.0004 + 0.012 * rng.standard_t(4, shape) + 0.006 * rng.standard_normal((n_sessions, 1))
    close = 50.0 * np.exp(np.cumsum(daily, axis=0))
    open_ = close * np.exp(0.004 * rng.standard_normal(shape))
    high = np.maximum(open_, close) * np.exp(np.abs(0.006 * rng.standard_normal(shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(0.006 * rng.standard_normal(shape)))
    volume = np.exp(rng.normal(12.0, 0.5, shape)).round()
    vix = 18.0 * np.exp(0.3 * rng.standard_normal(n_sessions))
    fields = [open_, high, low, close, volume]
    split = dividend = None
    if faults:
        holes = rng.random(shape) < 0.01
        for start in rng.integers(0, n_sessions - 8, 4):  # halts of some days
            holes[start : start + 6, rng.integers(0, n_tickers)] = True
        holes[int(0.7 * n_sessions) :, 0] = True  # delisted
        holes[: n_sessions // 4, 1] = True  # listed late
        volume[rng.random(shape) < 0.02] = 0.0
        volume[rng.random(shape) < 0.02] = 900.0  # an order takes several sessions
        vix[rng.random(n_sessions) < 0.15] = np.nan
        split = np.where(rng.random(shape) < 0.004, rng.choice([2.0, 3.0, 0.5], shape), 1.0)
        factor = np.cumprod(split, axis=0)
        fields = [*(values / factor for values in fields[:4]), volume * factor]
        for values in fields:
            values[holes] = np.nan
        dividend = np.where(rng.random(shape) < 0.01, 0.2, 0.0)
    sessions = np.busday_offset("2010-01-04", np.arange(n_sessions), roll="forward").astype("datetime64[D]")
    return MarketPanel(
        sessions=sessions,
        tickers=tuple(f"T{i:02d}" for i in range(n_tickers)),
        open=fields[0],
        high=fields[1],
        low=fields[2],
        close=fields[3],
        volume=fields[4],
        vix=vix,
        benchmark=close.mean(axis=1),
        sectors=tuple(SECTORS[i % len(SECTORS)] for i in range(n_tickers)),
        source=f"random {seed}",
        data_hash=f"random-{seed}",
        split_ratio=split,
        dividend=dividend,
    )


def _ratio(values: Floats, rows: int) -> Floats:
    result = np.full_like(values, np.nan)
    result[rows:] = values[rows:] / values[:-rows]
    return result


def _trend(close: Floats) -> tuple[Floats, Floats]:
    return _ratio(close, 20) - 1.03, _ratio(close, 20) - 1.0


def _reversal(close: Floats) -> tuple[Floats, Floats]:
    return 0.98 - _ratio(close, 3), 1.0 - _ratio(close, 2)


def _jump(close: Floats) -> tuple[Floats, Floats]:
    return _ratio(close, 1) - 1.015, _ratio(close, 5) - 0.99


@dataclass(frozen=True)
class QuickStrategy:
    """Enters while the first figure is positive, leaves when the second is negative."""

    name: str
    figures: Callable[[Floats], tuple[Floats, Floats]]
    lookback: int = 22

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return the signals."""
        with np.errstate(invalid="ignore"):
            entry, stay = self.figures(panel.close)
            return StrategySignals(np.clip(np.nan_to_num(entry) * 20.0, 0.0, 1.0), stay < 0.0)


STRATEGIES = (QuickStrategy("trend", _trend), QuickStrategy("reversal", _reversal), QuickStrategy("jump", _jump))


def clock_of(panel: MarketPanel) -> Floats:
    """Return an exchange clock that depends on the date alone."""
    return (panel.sessions.astype(np.int64) * SESSION_SECONDS).astype(np.float64)


def kernel_arrays(panel: MarketPanel, rules: Rules) -> tuple[Market, Signals]:
    """Return what the kernel reads."""
    adjusted = forward_adjusted(panel)
    signals = build_signals(tuple(strategy.signals(adjusted) for strategy in STRATEGIES))
    return build_market(panel, clock_of(panel), rules.limits.correlation_window), signals


def prepared_market(seed: int = 1, n_sessions: int = 420, faults: bool = False, **limits: object) -> PreparedMarket:
    """Return a market ready for episodes."""
    panel = random_panel(seed, n_sessions, faults=faults)
    regimes = np.random.default_rng(seed).dirichlet(np.ones(3), n_sessions)
    return prepare_panel(panel, clock_of(panel), STRATEGIES, regimes, make_rules(**limits))
