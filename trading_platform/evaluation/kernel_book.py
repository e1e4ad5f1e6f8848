"""The configured book as the machine trades it, on any panel: what `evaluate` asks for each universe.

The kernel that trains and replays runs it, with the rules, costs and bands of the settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trading_platform.core.costs import default_protection
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.market import Market, Signals, build_market, build_signals, forward_adjusted
from trading_platform.core.market_features import market_features
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.observation import observation_schema
from trading_platform.core.published_rules import rule_offsets
from trading_platform.core.realistic_fills import EXACT, REALISTIC, with_fills
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.rules import is_for_operator
from trading_platform.core.served_policy import answers, equal_shares, rule_places, rules_alone
from trading_platform.core.session import Rules
from trading_platform.core.simulate import Backtest, backtest
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.evaluation.evaluate import BookRun
from trading_platform.evaluation.lifted_rules import lifted
from trading_platform.evaluation.paper_form import nightly_interest
from trading_platform.strategies.base import AnyStrategy, TargetStrategy, family_of, prepare_signals
from trading_platform.strategies.registry import active_strategies

ENDED_LOSS = 0.30  # Shumway (1997): what those lost that failed; most ended tickers were bought out
COST_KINDS = ("commission", "spread", "slippage", "impact")


@dataclass(frozen=True)
class KernelBook:
    """Runs the configured book on a panel; an instance is a `RunBook`.

    Attributes
    ----------
    strategies, rules, capital
        Who trades, by which rules, with how many dollars at the start.
    exchange_seconds
        Returns the exchange clock at the close of sessions, (T,) seconds.
    fills
        The book of fills, "exact" or "realistic"; the realistic ratio is told either way.
    policy
        "equal" or "rules": who splits the capital, by the function that serves accounts. A model is judged by training.
    """

    strategies: Sequence[AnyStrategy]
    rules: Rules
    capital: float
    exchange_seconds: Callable[[np.ndarray], Floats]
    fills: str = EXACT
    policy: str = "equal"

    def __call__(self, panel: MarketPanel, start: int, seed: int) -> BookRun:
        """Trade `panel` from row `start` on; `seed` is that of realistic fills."""
        active, _ = active_strategies(self.strategies, panel)
        signals = build_signals(prepare_signals(panel, active), default_protection(self.rules.exits))
        exact = build_market(panel, self.exchange_seconds(panel.sessions), self.rules.limits.correlation_window)
        market = exact if self.fills == EXACT else with_fills(exact, panel, self.fills, seed)
        weights = self.weights(panel, active)
        result = self._run(market, signals, weights, start, panel.n_sessions, self.rules, tells_unused=True)
        returns = self._returns(result)
        names = [strategy.name for strategy in active]
        account = result.books.accounts[0]
        costs = {name: round(float(account[name]), 2) for name in COST_KINDS}
        costs["regulatory"] = round(float(account["fees"] - account["commission"]), 2)
        costs["total"] = round(sum(costs.values()), 2)
        return BookRun(
            returns=returns,
            exposure=result.days["exposure"][1:].copy(),
            halted=result.days["halted"][1:] != 0,
            costs=costs,
            fills={name: int((result.fills["strategy"] == k).sum()) for k, name in enumerate(names)},
            profit=_profits(result, names),
            stopped_for_good=_stopped_for_good(result, self.rules.limits),
            realistic=self._realistic(exact, signals, panel, start, weights, seed) if market is exact else returns,
            at_equal_weight=self._held_still(market, signals, start, weights, equally=True),
            at_average_weights=self._held_still(market, signals, start, weights, equally=False),
            sharpe_if_ended_lost_30=self._if_ended_lost(market, signals, panel, start, weights),
            unused=result.unused[1:],
            equity=result.days["equity"][1:].copy(),
            lifted=self._lifted(market, signals, panel, start, weights),
        )

    def daily_returns(self, panel: MarketPanel, start: int, seed: int) -> Floats:
        """Return the daily returns of a run, (T,), and nothing beside them."""
        active, _ = active_strategies(self.strategies, panel)
        signals = build_signals(prepare_signals(panel, active), default_protection(self.rules.exits))
        market = build_market(panel, self.exchange_seconds(panel.sessions), self.rules.limits.correlation_window)
        filled = market if self.fills == EXACT else with_fills(market, panel, self.fills, seed)
        weights = self.weights(panel, active)
        return self._returns(self._run(filled, signals, weights, start, panel.n_sessions, self.rules))

    def _run(
        self,
        market: Market,
        signals: Signals,
        weights: Floats,
        start: int,
        stop: int,
        rules: Rules,
        *,
        tells_unused: bool = False,
    ) -> Backtest:
        # The first decision is taken at the close before `start`, so that `start` is the first session that trades.
        first = start - 1
        return backtest(market, signals, weights, rules, self.capital, first, stop, tells_unused=tells_unused)

    def _lifted(
        self, market: Market, signals: Signals, panel: MarketPanel, start: int, weights: Floats
    ) -> dict[str, Floats]:
        """Return the daily returns with one rule after the other lifted; none where there is no paper form."""
        if not all(isinstance(item, TargetStrategy) for item in self.strategies):
            return {}
        return {
            cause: self._returns(self._run(market, said, weights, start, panel.n_sessions, rules))
            for cause, rules, said in lifted(self.rules, signals, panel.n_tickers)
        }

    def weights(self, panel: MarketPanel, active: Sequence[AnyStrategy]) -> Floats:
        """Return the split of capital, (K,) or (T, K)."""
        works = np.ones(len(active), dtype=np.bool_)
        if self.policy == "equal":
            return equal_shares(works)
        schema = observation_schema([strategy.name for strategy in active])
        adjusted = forward_adjusted(panel)
        offsets = rule_offsets(adjusted, market_features(adjusted), [family_of(strategy) for strategy in active])
        rows = np.tile(np.array([field.neutral for field in schema]), (panel.n_sessions, 1))
        rows[:, rule_places(schema)] = offsets.astype(np.float32)  # as an observation has them
        return answers(rules_alone(schema), rows).weights

    def _returns(self, result: Backtest) -> Floats:
        equity = result.days["equity"]
        returns: Floats = equity[1:] / equity[:-1] - 1.0
        return returns

    def _held_still(
        self, market: Market, signals: Signals, start: int, weights: Floats, *, equally: bool
    ) -> Floats | None:
        """Return the daily returns at equal weight, or at the policy's average; None where its weights do not move."""
        if weights.ndim == 1:
            return None
        everyone = np.ones(weights.shape[1], dtype=np.bool_)
        still = equal_shares(everyone) if equally else weights[start - 1 : -1].mean(axis=0)
        return self._returns(self._run(market, signals, still, start, len(market.day), self.rules))

    def _if_ended_lost(
        self, market: Market, signals: Signals, panel: MarketPanel, start: int, weights: Floats
    ) -> float | None:
        """Return the ratio if tickers that end had lost `ENDED_LOSS`; None if none ends while it could be held."""
        last = panel.n_sessions - 1 - np.argmax(np.isfinite(panel.close[::-1]), axis=0)
        if not ((last < panel.n_sessions - 1) & (last >= start)).any():
            return None
        rules = self.rules._replace(costs=self.rules.costs._replace(delisting_haircut=ENDED_LOSS))
        worse = self._returns(self._run(market, signals, weights, start, panel.n_sessions, rules))
        return float(sharpe_ratio(worse - nightly_interest(panel)[start:]))

    def _realistic(
        self, exact: Market, signals: Signals, panel: MarketPanel, start: int, weights: Floats, seed: int
    ) -> Floats:
        """Return the daily returns of the same book with realistic fills."""
        market = with_fills(exact, panel, REALISTIC, seed)
        return self._returns(self._run(market, signals, weights, start, panel.n_sessions, self.rules))


def _profits(result: Backtest, names: Sequence[str]) -> dict[str, float]:
    """Return what each strategy made after fees, dollars: what it realized, and what its open lots are worth."""
    fills, slots, lots = result.fills, result.books.slots[0], result.books.lots[0]
    profits = {}
    for k, name in enumerate(names):
        mine = fills[fills["strategy"] == k]
        realized = float(mine["realized"].sum() - mine["fees"].sum())
        closed = float(mine["trade_dividends"][mine["closed"] != 0].sum())
        held = lots[:, k]
        open_lots = float((held["quantity"] * slots["price"] - held["cost"] + held["dividends"]).sum())
        profits[name] = round(realized + closed + open_lots, 2)
    return profits


def _stopped_for_good(result: Backtest, limits: Limits) -> bool:
    """Return True if the book ended in a halt that only an operator could end, or that had lasted for a year."""
    if is_for_operator(result.books.accounts[0], limits):
        return True
    halted = result.days["halted"] != 0
    return bool(len(halted) > ANNUAL_SESSIONS and halted[-ANNUAL_SESSIONS:].all())
