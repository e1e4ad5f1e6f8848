"""What the look-ahead prover looks at: strategies, regimes, features, shadow books, observations, orders, fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from trading_platform.core import market_features, metrics, theory_features
from trading_platform.core.costs import CostConfig, ExitConfig, default_protection
from trading_platform.core.fill_log import CROSSED, OF_ORDER
from trading_platform.core.ledger import Records
from trading_platform.core.market import Market, Signals, build_market, build_signals, forward_adjusted
from trading_platform.core.observation import Observer, episode_of, exogenous_matrix, observation_schema
from trading_platform.core.prepare import record_books
from trading_platform.core.published_rules import rule_offsets
from trading_platform.core.recorded_books import RecordedBooks
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.shadow_books import lookback_sessions, shadow_statistics
from trading_platform.core.simulate import N_CODES, backtest, decide_books, new_scratch, open_books
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.evaluation.lookahead_proof import Decisions, FillAt, FillSubject, Subject, table_decisions
from trading_platform.regime.hmm import RegimeConfig, causal_regimes
from trading_platform.strategies.base import AnyStrategy, family_of, prepare_signals
from trading_platform.strategies.registry import make_strategies

CAPITAL = 100_000.0
SESSION_SECONDS = 6.5 * 3600.0
# Regime fits take most of a second each, so these subjects are tried at few rows.
SLOW_CUTS = 3
# What the risk rules of the default profile look back on: 30 returns.
RISK_LOOKBACK = 31


def strategy_subject(strategy: AnyStrategy) -> Subject:
    """Return a strategy's signals: strengths and exits of every ticker. A row with an entry is a decision."""

    def decide(panel: MarketPanel, since: int) -> Decisions:
        signals = prepare_signals(panel, [strategy])[0]
        both = np.concatenate([signals.strength, signals.exit.astype(np.float64)], axis=1)
        return table_decisions(both, np.asarray((signals.strength > 0.0).any(axis=1), dtype=np.bool_))

    return Subject(f"strategy {getattr(strategy, 'name', type(strategy).__name__)}", decide, strategy.lookback)


def regime_subject(config: RegimeConfig, seed: int = 7) -> Subject:
    """Return the filtered regime probabilities."""

    def decide(panel: MarketPanel, since: int) -> Decisions:
        path = causal_regimes(panel, config, seed, since)
        return table_decisions(path.probabilities, path.known)

    return Subject("regime", decide, config.lookback, cuts=SLOW_CUTS)


def features_subject() -> Subject:
    """Return the ten market features."""

    def decide(panel: MarketPanel, since: int) -> Decisions:
        values = market_features.market_features(forward_adjusted(panel))
        return table_decisions(values, np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_))

    return Subject("market features", decide, market_features.LOOKBACK)


@dataclass(frozen=True)
class Trader:
    """Strategies under rules at equal weight, on whatever panel it is given.

    Attributes
    ----------
    strategies, rules
        Who decides and what binds them.
    sessions
        All sessions of the market: the exchange clock is counted on them, also where a panel has fewer.
    first
        First session that is traded.
    """

    strategies: Sequence[AnyStrategy]
    rules: Rules
    sessions: np.ndarray
    first: int

    @property
    def weights(self) -> Floats:
        """Equal weight, (K,)."""
        return np.full(len(self.strategies), 1.0 / len(self.strategies))

    @property
    def lookback(self) -> int:
        """Sessions of the slowest strategy or risk rule."""
        return max(RISK_LOOKBACK, *(strategy.lookback for strategy in self.strategies))

    def arrays(self, panel: MarketPanel) -> tuple[Market, Signals]:
        """Return the kernel's arrays of a panel."""
        clock = np.searchsorted(self.sessions, panel.sessions, side="right").astype(np.float64) * SESSION_SECONDS
        market = build_market(panel, clock, self.rules.limits.correlation_window)
        return market, build_signals(prepare_signals(panel, self.strategies), default_protection(self.rules.exits))

    def books(self, panel: MarketPanel) -> tuple[Market, Signals, RecordedBooks]:
        """Return the kernel's arrays, and the book at each close before it decides."""
        market, signals = self.arrays(panel)
        return market, signals, record_books(market, signals, self.weights, self.rules, CAPITAL)

    def shadows(self, panel: MarketPanel, since: int) -> Decisions:
        """Return statistics and returns of the strategies' shadow books."""
        market, signals = self.arrays(panel)
        shadows = shadow_statistics(market, signals, self.rules, self.lookback, since)
        values = np.concatenate([shadows.statistics.reshape(len(shadows.returns), -1), shadows.returns], axis=1)
        return table_decisions(values, np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_))

    def orders(self, panel: MarketPanel, since: int) -> Decisions:
        """Return the book after each decision: positions, stops, entries and exits that wait for the next open."""
        market, signals, books = self.books(panel)
        limits, n_strategies = self.rules.limits, len(self.strategies)
        scratch, denials = new_scratch(n_strategies, limits.max_reviews), np.zeros((1, N_CODES), dtype=np.int64)
        one = open_books(1, limits.max_positions, n_strategies, panel.n_tickers, CAPITAL)
        rows, told = [b""] * since, np.zeros(panel.n_sessions, dtype=np.bool_)
        for t in range(since, panel.n_sessions):
            books.begin(one, np.zeros(1, dtype=np.int64), np.array([t]))
            decide_books(one, 0, market, signals, t, self.weights, self.rules, scratch, denials[0])
            told[t] = bool((one.slots["pending"] > 0.0).any() or (one.slots["exit_reason"] > 0).any())
            rows.append(_bytes(one.accounts) + _bytes(one.slots) + _bytes(one.lots))
        return Decisions(rows, told)

    def observations(self, panel: MarketPanel, since: int, config: RegimeConfig, seed: int = 7) -> Decisions:
        """Return the whole observation of the book, with the regimes known from `since` on."""
        market, signals, books = self.books(panel)
        schema = observation_schema([strategy.name for strategy in self.strategies])
        regimes = causal_regimes(panel, config, seed, since).probabilities
        shadows = shadow_statistics(market, signals, self.rules, self.lookback, max(0, since - theory_features.YEAR))
        adjusted = forward_adjusted(panel)
        features = market_features.market_features(adjusted)
        theory = theory_features.theory_features(adjusted, shadows.returns)
        offsets = rule_offsets(adjusted, features, [family_of(strategy) for strategy in self.strategies])
        exogenous = exogenous_matrix(schema, regimes, shadows.statistics, features, theory, offsets)
        observer = Observer(schema, exogenous, market)
        values = np.full((panel.n_sessions, len(schema)), np.nan)
        for t in range(since, panel.n_sessions):
            episode = episode_of(books.accounts["equity"][: t + 1])
            values[t] = observer.observe(t, books.accounts[t], books.own.slots[t], episode)
        return table_decisions(values, np.arange(panel.n_sessions) >= since)

    def figures(self, panel: MarketPanel, since: int) -> Decisions:
        """Return what a report says at each close: the account, and performance since the start."""
        market, signals = self.arrays(panel)
        days = backtest(market, signals, self.weights, self.rules, CAPITAL, self.first, panel.n_sessions).days
        equity = np.concatenate(([CAPITAL], days["equity"]))
        returns = equity[1:] / equity[:-1] - 1.0
        names = ("equity", "cash", "exposure", "drawdown", "positions", "halted")
        values = np.full((panel.n_sessions, len(names) + 5), np.nan)
        for t in range(since, panel.n_sessions):
            known = returns[: t + 1 - self.first]
            values[t, : len(names)] = [days[name][t - self.first] for name in names]
            values[t, len(names) :] = [
                metrics.total_return(known),
                metrics.annual_return(known),
                metrics.sharpe_ratio(known),
                metrics.volatility(known),
                metrics.max_drawdown(known),
            ]
        return table_decisions(values, np.nan_to_num(values[:, names.index("positions")]) > 0.0)

    def fills(self, panel: MarketPanel) -> list[FillAt]:
        """Return the fills of a backtest."""
        market, signals = self.arrays(panel)
        log = backtest(market, signals, self.weights, self.rules, CAPITAL, self.first, panel.n_sessions).fills
        rows = np.searchsorted(market.day, log["day"])
        at_open = np.isin(log["kind"], (OF_ORDER, CROSSED))
        columns = rows.tolist(), log["ticker"].tolist(), (log["quantity"] * log["side"]).tolist(), log["price"].tolist()
        return [FillAt(*values) for values in zip(*columns, at_open.tolist(), strict=True)]


def default_rules() -> Rules:
    """Return the conservative rules, with a drawdown limit that is met."""
    # `RiskConfig` is a flat module above this package; these are its defaults but for the halt, which should be tried.
    limits: dict[str, Any] = {
        "max_drawdown_pct": 3.0,
        "recovery_drawdown_pct": 1.5,
        "halt_release": "shadow",
        "max_daily_loss_pct": 2.0,
        "max_position_pct": 5.0,
        "max_exposure_pct": 80.0,
        "max_sector_pct": 30.0,
        "max_correlation": 0.8,
        "correlation_window": RISK_LOOKBACK - 1,
        "consecutive_loss_limit": 3,
        "pause_hours": 4.0,
        "max_positions": 10,
        "vix_threshold": 25.0,
        "max_vix_age_sessions": 3,
        "confirmation_readings": 2,
        "max_equity_jump_pct": 15.0,
        "kelly_fraction": 0.5,
        "kelly_prior_trades": 100,
        "kelly_prior_win_rate": 0.53,
        "kelly_prior_payoff": 1.2,
        "kelly_memory_trades": 250,
        "min_kelly_scale": 0.5,
        "position_volatility_pct": 2.0,
        "correlation_discount": 0.25,
        "entry_collar_pct": 2.0,
        "min_order_dollars": 100.0,
        "share_step": 1.0,
        "max_reviews": 25,
        "min_slot_pct": 40.0,
        "max_total_drawdown_pct": None,
        "second_halt_asks": False,
        "price_collar_pct": 20.0,
    }
    return Rules(limits_of(limits), ExitConfig().rates(), CostConfig().rates())


def all_subjects(
    panel: MarketPanel, strategies: Sequence[AnyStrategy] = (), config: RegimeConfig | None = None
) -> tuple[list[Subject], list[FillSubject]]:
    """Return everything of this package that decides, and what fills; with its default parameters unless given."""
    strategies = strategies or make_strategies()
    config = RegimeConfig() if config is None else config
    slowest = max(strategy.lookback for strategy in strategies)
    trader = Trader(strategies, default_rules(), panel.sessions, slowest)
    shadow_lookback = lookback_sessions(trader.lookback) + 1
    observe = partial(trader.observations, config=config)
    first_observed = max(config.lookback, shadow_lookback)
    subjects = [
        *(strategy_subject(strategy) for strategy in strategies),
        regime_subject(config),
        features_subject(),
        Subject("shadow statistics", trader.shadows, shadow_lookback),
        Subject("orders", trader.orders, None, first=slowest + 10),
        Subject("observations", observe, None, first=first_observed, cuts=SLOW_CUTS),
        Subject("report figures", trader.figures, None, first=slowest + 10),
    ]
    return subjects, [FillSubject("fills", trader.fills, first=slowest + 10)]


def _bytes(records: Records) -> bytes:
    """Return records as bytes, field by field: what lies between the fields is nobody's."""
    return b"".join(np.ascontiguousarray(records[name]).tobytes() for name in records.dtype.names or ())
