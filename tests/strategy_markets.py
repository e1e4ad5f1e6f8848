"""Random markets of stocks, funds, a benchmark, members that come and go; and parameters drawn from annotations."""

from __future__ import annotations

import typing
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from tests.kernel_world import random_panel
from trading_platform.core import validation
from trading_platform.core.types import STOCK, Floats, MarketPanel
from trading_platform.core.validation import Interval
from trading_platform.strategies.base import AnyStrategy, StrategyParameterError, prepare_signals, prepare_targets
from trading_platform.strategies.registry import STRATEGIES, form_of

FUNDS = ("equity_us", "equity_em", "government_bonds", "government_bonds", "gold", "real_estate", "commodities", "cash")
SHORTEST, LONGEST = 2, 30  # sessions of drawn windows, so that short markets get past them


def mixed_panel(seed: int, n_sessions: int = 420, n_stocks: int = 12, faults: bool = False) -> MarketPanel:
    """Return random walks of which the last eight are funds and the first of those the benchmark.

    `faults` adds those of `random_panel`, unknown bill rates, and members that join late and leave early.
    """
    panel = random_panel(seed, n_sessions, n_stocks + len(FUNDS), faults=faults)
    rng = np.random.default_rng(seed + 1)
    rate = np.clip(2.0 + np.cumsum(0.02 * rng.standard_normal(n_sessions)), 0.0, None)
    member = None
    if faults:
        rate[rng.random(n_sessions) < 0.1] = np.nan
        member = np.ones(panel.close.shape, dtype=np.bool_)
        member[: n_sessions // 2, 3] = False
        member[int(0.8 * n_sessions) :, 4] = False
    return replace(
        panel,
        asset_classes=(STOCK,) * n_stocks + FUNDS,
        sectors=panel.sectors[:n_stocks] + FUNDS,
        cash_rate=rate,
        member=member,
        benchmark_ticker=panel.tickers[n_stocks],
        benchmark=panel.close[:, n_stocks].copy(),
    )


def said(strategy: AnyStrategy, panel: MarketPanel) -> Floats:
    """Return all that `strategy` says, (T, N) targets or (T, 2 N) strengths beside exits."""
    if form_of(strategy.name) == "target":
        return prepare_targets(panel, [typing.cast(typing.Any, strategy)])[0]
    signals = prepare_signals(panel, [typing.cast(typing.Any, strategy)])[0]
    return np.hstack([signals.strength, signals.exit.astype(np.float64)])


@st.composite
def parameters_of(draw: st.DrawFn, name: str) -> dict[str, float]:
    """Draw parameters from the annotated fields of the strategy `name` until it takes them."""
    fields = {key: hint for key, hint in validation.type_hints(STRATEGIES[name]).items() if key != "name"}

    def takes(chosen: dict[str, float]) -> bool:
        try:
            STRATEGIES[name](**chosen)
        except StrategyParameterError:
            return False
        return True

    drawn: dict[str, float] = draw(st.fixed_dictionaries({key: values_of(fields[key]) for key in fields}).filter(takes))
    return drawn


def values_of(hint: object) -> st.SearchStrategy[float]:
    """Return values that the annotation `hint` allows: whole numbers up to `LONGEST`, fractions up to 3."""
    kind, *notes = typing.get_args(hint) or (hint,)
    interval = next((note for note in notes if isinstance(note, Interval)), Interval("[0, 1]"))
    low, high = (float(bound) for bound in interval.text[1:-1].split(","))
    if kind is int:
        return st.integers(max(int(low), 1), min(int(high), LONGEST))
    numbers = st.floats(low, min(high, max(3.0, 2 * low)), exclude_min=interval.text[0] == "(")
    return numbers.map(lambda value: round(value, 3)).filter(lambda value: value in interval)


def exactly_adjustable(panel: MarketPanel) -> MarketPanel:
    """Return the panel with splits by powers of two, and dividends of half the price.

    Both are folded into prices as factors from the first session on. The product of others is rounded, so that it
    depends in its last bit on where the history begins, and a weight such as one over a volatility shows it.
    """
    if panel.split_ratio is None or panel.dividend is None:
        return panel
    ratio = np.where(panel.split_ratio == 3.0, 4.0, panel.split_ratio)
    half = np.zeros_like(panel.dividend)
    half[1:] = np.where(panel.dividend[1:] > 0.0, panel.close[:-1] / ratio[1:] / 2.0, 0.0)
    return replace(panel, split_ratio=ratio, dividend=np.nan_to_num(half))
