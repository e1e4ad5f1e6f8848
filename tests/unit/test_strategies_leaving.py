"""Strategies that leave an account: their lots go at the next open, capital is for those who stay."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pytest

from tests.kernel_world import STRATEGIES, clock_of, make_rules, random_panel
from trading_platform.core.costs import CostConfig
from trading_platform.core.market import Market, Signals, build_market, build_signals, forward_adjusted
from trading_platform.core.observation import observation_schema
from trading_platform.core.plan import Book
from trading_platform.core.rehearsal import MOST_ROUNDS, rehearse
from trading_platform.core.session import Rules
from trading_platform.core.simulate import backtest
from trading_platform.core.types import Floats, StrategySignals
from trading_platform.engine.fixed_allocator import FixedAllocator, FixedDecision
from trading_platform.engine.staying_allocator import StayingAllocator
from trading_platform.strategies.leaving import LeavingStrategy

PANEL = random_panel(3, 120)
RULES = make_rules(max_sector_pct=100.0, max_correlation=1.0)
AT = 100  # the session at whose close `trend` leaves


def market_of(rules: Rules) -> Market:
    return build_market(PANEL, clock_of(PANEL), rules.limits.correlation_window)


def signals_of(*strategies: object) -> Signals:
    adjusted = forward_adjusted(PANEL)
    return build_signals(tuple(item.signals(adjusted) for item in strategies))  # type: ignore[attr-defined]


def held_book(rules: Rules) -> Book:
    """Return a book that all three strategies have filled."""
    weights = np.full(3, 1.0 / 3.0)
    books = backtest(market_of(rules), signals_of(*STRATEGIES), weights, rules, 100_000.0, 30, AT + 1).books
    book = Book(books.accounts, books.slots[0], books.lots[0], books.stopped[0])
    for name in ("exit_reason", "delta"):  # nothing waits
        book.lots[name] = 0
    for name in ("selling", "pending", "crossing"):
        book.slots[name] = 0.0
    book.slots["ticker"][book.slots["quantity"] == 0.0] = -1
    book.slots["owners"][book.slots["quantity"] == 0.0] = 0
    return book


def everybody(said: StrategySignals) -> Signals:
    return build_signals([said] * 3)


def after_trend() -> Signals:
    return signals_of(LeavingStrategy("trend"), *STRATEGIES[1:])


def test_lots_of_a_strategy_that_leaves_are_sold_without_speaking_of_its_skill() -> None:
    book = held_book(RULES)
    held = book.lots[:, 0]["quantity"].copy()
    assert (held > 0.0).any()
    streak = int(book.accounts[0]["loss_streak"]), float(book.accounts[0]["kelly_trades"])
    found = rehearse(market_of(RULES), after_trend(), book, AT, np.array([0.0, 0.5, 0.5]), RULES)
    assert not found.book.lots[:, 0]["quantity"].any()
    sold = sum(-change.quantity for change in found.changes if change.strategy == 0)
    assert sold == pytest.approx(held.sum())
    assert all(change.quantity < 0.0 for change in found.changes if change.strategy == 0)
    gone = rehearse(market_of(RULES), everybody(LeavingStrategy("x").signals(PANEL)), book, AT, np.zeros(3), RULES)
    assert not gone.book.slots["quantity"].any()
    assert (int(gone.book.accounts[0]["loss_streak"]), float(gone.book.accounts[0]["kelly_trades"])) == streak
    flags = StrategySignals(np.zeros(PANEL.close.shape), np.ones(PANEL.close.shape, dtype=np.bool_))  # its own exits
    own = rehearse(market_of(RULES), everybody(flags), book, AT, np.full(3, 1.0 / 3.0), RULES)
    assert float(own.book.accounts[0]["kelly_trades"]) > streak[1]


def test_a_strategy_that_stays_keeps_its_lots() -> None:
    book = held_book(RULES)
    own = signals_of(*STRATEGIES)
    found = rehearse(market_of(RULES), own, book, AT, np.full(3, 1.0 / 3.0), RULES)
    assert found.book.lots[:, 0]["quantity"].any()


def test_rehearsal_leaves_the_book_as_it_is_and_tells_every_cost() -> None:
    book = held_book(RULES)
    before = [part.copy() for part in book]
    found = rehearse(market_of(RULES), after_trend(), book, AT, np.array([0.0, 0.5, 0.5]), RULES)
    assert all(mine.tobytes() == theirs.tobytes() for mine, theirs in zip(book, before, strict=True))
    assert found.costs["total"] == pytest.approx(sum(v for k, v in found.costs.items() if k != "total"), abs=0.005)
    free = RULES._replace(
        costs=CostConfig(0.0, 0.0, 0.0, sec_fee_per_million=0.0, taf_per_share=0.0, max_participation_pct=5.0).rates()
    )
    # The equity falls by the costs and by nothing else: everything is traded at the price at which it is marked.
    equity = float(book.accounts[0]["equity"])
    assert equity - float(found.book.accounts[0]["equity"]) == pytest.approx(found.costs["total"], abs=0.05)
    without = rehearse(market_of(free), after_trend(), book, AT, np.array([0.0, 0.5, 0.5]), free)
    assert without.costs["total"] == 0.0
    assert float(without.book.accounts[0]["equity"]) == pytest.approx(equity, abs=0.05)


def test_rehearsal_ends_when_nothing_is_left_to_trade() -> None:
    book = held_book(RULES)
    done = rehearse(market_of(RULES), after_trend(), book, AT, np.array([0.0, 0.5, 0.5]), RULES)
    again = rehearse(market_of(RULES), after_trend(), done.book, AT, np.array([0.0, 0.5, 0.5]), RULES)
    assert len(again.changes) < len(done.changes)
    assert MOST_ROUNDS > 1


class Remembering(FixedAllocator):
    """An allocator that knows three strategies, and what it was shown."""

    def __init__(self) -> None:
        super().__init__({"a": 0.75, "c": 0.25})
        self.shown: list[Floats] = []

    def get_allocation(self, current_state: Floats, session: date | None = None) -> Mapping[str, float]:
        self.shown.append(current_state)
        return super().get_allocation(current_state, session)


def test_capital_is_split_among_those_who_stay_by_their_own_fields() -> None:
    inner, traded = Remembering(), ("a", "b", "c")
    allocator = StayingAllocator(inner, ("a", "c"), traded)
    schema = observation_schema(traded)
    state = np.arange(len(schema), dtype=np.float64)
    assert allocator.get_allocation(state, date(2024, 1, 2)) == {"a": 0.75, "b": 0.0, "c": 0.25}
    names = observation_schema(("a", "c")).names
    assert [schema.names[int(value)] for value in inner.shown[0]] == list(names)
    allocator.get_allocation(np.empty(0))
    assert inner.shown[1].size == 0
    assert isinstance(allocator.last_decision, FixedDecision)
    assert (allocator.model_id, allocator.explain(state)) == (None, {})


def test_panel_without_history_is_no_hindrance() -> None:
    short = PANEL.rows(0, 2)
    said = LeavingStrategy("trend").signals(short)
    assert said.strength.shape == short.close.shape
    assert not said.exit.any()
