"""A market of a few tickers whose every price is written out, and a book of several strategies that trades it.

Tickers do not correlate and have a daily volatility of 1 %. Before row 0 of a story lie quiet sessions, so that nothing
cools for want of a past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from risk_config import RiskConfig
from tests.kernel_world import SESSION_SECONDS, clock_of, random_panel
from tests.kernel_world import STRATEGIES as QUICK
from trading_platform.core.costs import CostConfig, ExitConfig, Protection, SizingConfig, default_protection
from trading_platform.core.fill_log import FillLog, new_fill_log
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import (
    NORM,
    VOLATILITY,
    Market,
    Signals,
    build_market,
    build_signals,
    forward_adjusted,
)
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.simulate import DAY, N_CODES, open_books, run_books
from trading_platform.core.types import CorporateEvent, Floats, MarketPanel, StrategySignals

NAN = float("nan")
FIRST_DAY = np.datetime64("2024-01-02")
VOLUME = 1e6
QUIET = 32  # sessions before a story begins: a window of correlations
GONE = (NAN,) * 5
FREE = CostConfig(
    half_spread_bps=0.0, slippage_bps=0.0, impact_bps=0.0, sec_fee_per_million=0.0, taf_per_share=0.0, taf_max=0.0
)
Bar = tuple[float, float, float, float, float]  # open, high, low, close, volume


def story_rules(
    costs: CostConfig = FREE, sizing: SizingConfig | None = None, exits: ExitConfig | None = None, **limits: object
) -> Rules:
    """Return rules under which an order costs nothing and pays at most the close that it was decided at."""
    config = RiskConfig.from_mapping({"entry_collar_pct": 0.0, "max_daily_loss_pct": 50.0, **limits})
    return Rules(
        limits_of(config.to_dict()), (exits or ExitConfig()).rates(), costs.rates(), (sizing or SizingConfig()).rates()
    )


def bars_of(prices: Sequence[float | Bar]) -> Floats:
    """Return (T, 5) bars; a number is a session that stands still at it, and at which much is traded."""
    return np.array([bar if isinstance(bar, tuple) else (bar, bar, bar, bar, VOLUME) for bar in prices])


def says(
    strength: Sequence[float | Sequence[float]],
    leaves: Sequence[int] = (),
    n_tickers: int = 1,
    *,
    is_target: bool = False,
    protection: Protection | None = None,
) -> StrategySignals:
    """Return what a strategy says: a strength a session (of the first ticker, or of each), and rows at which it leaves.

    A target strategy leaves a ticker where its weight is 0.
    """
    table = np.zeros((len(strength), n_tickers))
    for t, row in enumerate(strength):
        table[t] = row if isinstance(row, Sequence) else [row, *([0.0] * (n_tickers - 1))]
    leave = table <= 0.0 if is_target else np.zeros(table.shape, dtype=np.bool_)
    leave[list(leaves)] = True
    return StrategySignals(table, leave, is_target, protection or Protection())


def story_panel(
    prices: Mapping[str, Sequence[float | Bar]],
    events: Sequence[CorporateEvent] = (),
    rate: Sequence[float] | None = None,
    sessions: np.ndarray | None = None,
) -> MarketPanel:
    """Return the panel of a story; its sessions are the weekdays from Tuesday 2024-01-02 on."""
    names = tuple(sorted(prices))
    table = np.stack([bars_of(prices[name]) for name in names], axis=1)
    n = len(table)
    if sessions is None:
        sessions = np.busday_offset(FIRST_DAY, np.arange(n), roll="forward")
    open_, high, low, close, volume = (np.ascontiguousarray(table[:, :, i]) for i in range(5))
    return MarketPanel(
        sessions.astype("datetime64[D]"),
        names,
        open_,
        high,
        low,
        close,
        volume,
        vix=np.full(n, 15.0),
        benchmark=np.full(n, NAN),
        sectors=tuple(f"sector {name}" for name in names),
        source="story",
        data_hash="story",
        events=tuple(events),
        cash_rate=None if rate is None else np.array(rate, dtype=np.float64),
    )


def preceded(panel: MarketPanel) -> MarketPanel:
    """Return `panel` after `QUIET` sessions that stand still at its first opens."""

    def before(values: Floats) -> Floats:
        return np.concatenate([np.tile(values[:1], (QUIET,) + (1,) * (values.ndim - 1)), values])

    earlier = np.busday_offset(panel.sessions[0], np.arange(-QUIET, 0)).astype("datetime64[D]")
    still = before(panel.open)
    still[QUIET:] = panel.open
    quiet = replace(
        panel,
        sessions=np.concatenate([earlier, panel.sessions]),
        volume=before(panel.volume),
        vix=before(panel.vix),
        benchmark=before(panel.benchmark),
        cash_rate=None if panel.cash_rate is None else before(panel.cash_rate),
    )
    fields: dict[str, Any] = {}
    for name in ("open", "high", "low", "close"):
        values = still.copy()
        values[QUIET:] = getattr(panel, name)
        fields[name] = values
    return replace(quiet, **fields)


def preceded_signals(said: StrategySignals) -> StrategySignals:
    """Return what a strategy says after `QUIET` sessions in which it says nothing."""
    silent = np.zeros((QUIET, said.strength.shape[1]))
    return replace(
        said, strength=np.concatenate([silent, said.strength]), exit=np.concatenate([silent > 0.0, said.exit])
    )


def calm(market: Market) -> Market:
    """Return `market` with a daily volatility of 1 % and no correlation, known from its first row on."""
    bars = market.bars.copy()
    bars[:, :, VOLATILITY], bars[:, :, NORM] = 0.01, 1.0
    zero = np.zeros_like(market.returns)
    return market._replace(bars=bars, returns=zero, return_mean=zero.copy())


@dataclass
class LotStory:
    """One book that runs a story; `rows` of its fill log as dicts, session by session."""

    panel: MarketPanel
    signals: Sequence[StrategySignals]
    rules: Rules = field(default_factory=story_rules)
    weights: Sequence[float] | Floats | None = None
    capital: float = 100_000.0

    def __post_init__(self) -> None:
        panel = preceded(self.panel)
        clock = np.arange(panel.n_sessions, dtype=np.float64) * SESSION_SECONDS
        self.market: Market = calm(build_market(panel, clock, self.rules.limits.correlation_window))
        self.kernel_signals: Signals = build_signals([preceded_signals(said) for said in self.signals])
        k = len(self.signals)
        weights = np.full(k, 1.0 / k) if self.weights is None else np.asarray(self.weights, dtype=np.float64)
        if weights.ndim == 2:
            weights = np.concatenate([np.tile(weights[:1], (QUIET, 1)), weights])
        self.rows_of_weights = np.ascontiguousarray(np.atleast_2d(weights)[None])
        self.books = open_books(1, self.rules.limits.max_positions, k, panel.n_tickers, self.capital)
        self.days = np.zeros((1, panel.n_sessions), dtype=DAY)
        self.denials = np.zeros((1, N_CODES), dtype=np.int64)
        self.next = 0  # row of the story

    @property
    def account(self) -> Record:
        """The account."""
        return self.books.accounts[0]

    def slot(self, ticker: str) -> Record:
        """Return the slot of `ticker`; fails if there is none."""
        return self.books.slots[0][self._at(ticker)]

    def lots(self, ticker: str) -> Records:
        """Return the lots (K,) of `ticker`."""
        lots: Records = self.books.lots[0][self._at(ticker)]
        return lots

    def shares(self, ticker: str) -> list[float]:
        """Return each strategy's shares of `ticker`; nothing at all if no slot has it."""
        held = self.held
        return [float(lot["quantity"]) for lot in self.lots(ticker)] if ticker in held else []

    @property
    def held(self) -> list[str]:
        """Tickers in slots, by name."""
        return sorted(self.panel.tickers[i] for i in self.books.slots[0]["ticker"] if i >= 0)

    def _at(self, ticker: str) -> int:
        column = self.panel.tickers.index(ticker)
        found = np.flatnonzero(self.books.slots[0]["ticker"] == column)
        assert len(found) == 1, f"{ticker} is in {len(found)} slots"
        return int(found[0])

    def session(self) -> Records:
        """Run the next session and decide at its close; return its fills."""
        log: FillLog = new_fill_log(200)
        t, self.next = np.array([QUIET + self.next]), self.next + 1
        run_books(
            self.books,
            self.market,
            self.kernel_signals,
            t,
            t + 1,
            self.rows_of_weights,
            self.rules,
            log,
            self.days,
            self.denials,
        )
        assert_book_adds_up(self.account, self.books.slots[0], self.books.lots[0])
        return log.rows[: log.used[0]].copy()

    def until(self, t: int) -> Records:
        """Run sessions up to and including row `t`; return the fills of that row."""
        fills = self.session()
        while self.next <= t:
            fills = self.session()
        return fills

    def with_rules(self, rules: Rules) -> LotStory:
        """Return the same story, not begun, under other rules."""
        return replace(self, rules=rules)


# ---------------------------------------------------------------- random markets, both forms of strategy

N_MIXED = len(QUICK) + 2


def targets(seed: int, panel: MarketPanel) -> StrategySignals:
    """Return target weights that wander, with tickers dropped and taken up again."""
    rng = np.random.default_rng(seed)
    wish = np.exp(np.cumsum(0.1 * rng.standard_normal(panel.close.shape), axis=0))
    wish[rng.random((1, panel.n_tickers)).repeat(len(wish), axis=0) < 0.5] = 0.0
    wish *= np.repeat(rng.random((len(wish) // 10 + 1, 1)), 10, axis=0)[: len(wish)]
    total = np.maximum(wish.sum(axis=1, keepdims=True), 1.0)
    weights = np.where(np.isfinite(panel.close), wish / total, 0.0)
    return StrategySignals(weights, weights <= 0.0, is_target=True)


def mixed_arrays(seed: int, n_sessions: int, rules: Rules, *, faults: bool) -> tuple[MarketPanel, Market, Signals]:
    """Return a market with bill rates, and the signals of three strategies of entries and two of targets."""
    panel = random_panel(seed, n_sessions, faults=faults)
    panel = replace(panel, cash_rate=np.linspace(1.0, 6.0, n_sessions))
    adjusted = forward_adjusted(panel)
    said = [strategy.signals(adjusted) for strategy in QUICK]
    said[1] = replace(said[1], protection=Protection(trailing=0.06, max_holding=9, cooling=2))
    said += [targets(seed, panel), targets(seed + 1, panel)]
    market = build_market(panel, clock_of(panel), rules.limits.correlation_window)
    return panel, market, build_signals(said, default_protection(rules.exits))


# ---------------------------------------------------------------- what holds of every book


def assert_book_adds_up(account: Record, slots: Records, lots: Records) -> None:
    """Check what holds of every book at every close: money, sums over lots, owners, protection, orders."""
    assert abs(account["equity"] - account["cash"] - slots["value"].sum()) < 1e-6
    parts = account["spread"] + account["slippage"] + account["impact"]
    assert parts >= 0.0
    for s, slot in enumerate(slots):
        own = lots[s]
        bits = [k for k in range(len(own)) if slot["owners"] >> k & 1]
        assert slot["owners"] >> len(own) == 0
        absent = [k for k in range(len(own)) if k not in bits]
        assert not any(own[k].tolist() != np.zeros(1, own.dtype)[0].tolist() for k in absent), (s, absent)
        if slot["ticker"] < 0:
            assert not bits
            continue
        assert bits, "a slot without an owner"
        for name in ("quantity", "cost", "dividends"):
            assert abs(slot[name] - own[name].sum()) < 1e-6, (s, name)
        assert all(own[k]["quantity"] > 0.0 or own[k]["delta"] > 0.0 for k in bits)
        assert all(own[k]["delta"] >= -own[k]["quantity"] - 1e-9 for k in bits)
        net = own["delta"].sum()
        assert abs(slot["pending"] - max(net, 0.0)) < 1e-6
        assert abs(slot["selling"] - max(-net, 0.0)) < 1e-6
        if slot["quantity"] > 0.0:
            assert slot["stop"] > 0.0
            stops = [own[k]["stop"] for k in bits if own[k]["stop"] > 0.0]
            assert slot["stop"] == min(stops)
            targets = [float(own[k]["target"]) for k in bits]
            assert slot["target"] == (max(targets) if all(target > 0.0 for target in targets) else 0.0)
