"""The same decisions through the local Alpaca and through the paper broker give the same trades, to the cent.

Prices of orders are in ticks on both sides: Alpaca takes no others.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from alpaca_world import Bar, Register, make_server, make_world, market, utc

from risk_config import RiskConfig
from trading_platform.alpaca_server.fill_models import PaperFills
from trading_platform.brokers.paper import PaperBroker
from trading_platform.brokers.reconciliation.differences import Difference
from trading_platform.brokers.reconciliation.pending_entries import PendingEntries
from trading_platform.brokers.reconciliation.reconcile import reconcile
from trading_platform.brokers.reconciliation.two_books import OurBook, Protect, UpdateOrder, apply_actions
from trading_platform.brokers.venue import row_of
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.market import build_market
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.types import Fill, OrderIntent, Side

TICKERS = ("AAA", "BBB", "CCC", "DDD")
SESSIONS = 60
SINCE = utc("2024-01-01")
Trade = tuple[str, str, str, float, float, float, float, str]


def rough_market(seed: int) -> dict[str, list[Bar | None]]:
    """Return bars with gaps that jump over limits, stops and targets."""
    draws = np.random.default_rng(seed)
    bars: dict[str, list[Bar | None]] = {}
    for ticker in TICKERS:
        series: list[Bar | None] = []
        close = 60.0
        for _ in range(SESSIONS):
            opened = close * float(np.exp(draws.normal(0, 0.02)))
            last = opened * float(np.exp(draws.normal(0, 0.025)))
            high, low = max(opened, last) * (1 + draws.random() * 0.02), min(opened, last) * (1 - draws.random() * 0.02)
            series.append((round(opened, 2), round(high, 2), round(low, 2), round(last, 2)))
            close = round(last, 2)
        bars[ticker] = series
    return bars


def trade(fill: Fill) -> Trade:
    return (
        fill.session.isoformat(),
        fill.ticker,
        fill.side,
        fill.quantity,
        fill.price,
        fill.amount,
        fill.fees,
        fill.reason,
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_same_decisions_give_the_same_trades(seed: int) -> None:
    panel = market(rough_market(seed), volume=5e6)
    rules = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
    kernel_market = build_market(
        panel, np.arange(SESSIONS, dtype=np.float64) * 23_400.0, rules.limits.correlation_window
    )
    register = Register()
    paper = PaperBroker(rules, 100_000.0, panel.tickers, ["momentum"], register)
    staged = PendingEntries(paper.book, panel.tickers, ["momentum"])
    theirs: list[Trade] = []
    draws = random.Random(seed)
    with make_server(panel, PaperFills(CostConfig())) as server:
        world = make_world(server)
        book, previous = OurBook(100_000.0), tuple[Difference, ...]()

        def reconciled() -> OurBook:
            nonlocal previous
            seen = world.broker.book_since(SINCE)
            ours = replace(book, orders={row.client_order_id: row for row in world.journal.open_orders()})
            result = reconcile(ours, seen, server.now, "tp-", previous)
            previous = result.differences
            after = apply_actions(ours, result.actions)
            for action in result.actions:
                match action:
                    case UpdateOrder(order):
                        world.journal.record_order(order)
                    case Protect(ticker, quantity, stop, target):
                        world.place(
                            key=f"tp-{t}-{ticker}-oco",
                            ticker=ticker,
                            side=Side.SELL,
                            quantity=quantity,
                            reason=OrderReason.STOP_LOSS,
                            stop_price=stop,
                            target_price=target,
                        )
            return after

        for t in range(1, SESSIONS):
            for wish in decisions(draws, world.server.market.price, book, t):
                world.broker.place_order(world.register.approve(wish, server.now, key=f"tp-{t}-{wish.ticker}"))
                approved = register.approve(wish, server.now, key=f"tp-{t}-{wish.ticker}")
                staged.stage(row_of(approved))
                paper.place_order(approved)
            server.advance_to_close()
            session = panel.session(t)
            settled = paper.settle(kernel_market, t, session, server.market.opens[t], server.market.closes[t])
            theirs += [trade(fill) for fill, _, _ in settled.fills]
            book = reconciled()
            assert book.cash == float(paper.record["cash"]) == server.account.cash
            assert server.account.equity(server.market.price) == settled.equity
        ours = [trade(fill) for fill in world.broker.history_since(SINCE).fills]
    reasons = {reason for *_, reason in ours}
    assert reasons == {"entry", "signal_exit", "stop_loss", "take_profit"}
    assert len(ours) > 50
    assert sorted(ours) == sorted(theirs)


def decisions(draws: random.Random, price_of: object, book: OurBook, t: int) -> list[OrderIntent]:
    """Return exits and entries for the next open, at random, the same for both brokers."""
    wishes = []
    for ticker in TICKERS:
        price = price_of(ticker)  # type: ignore[operator]
        day = np.datetime64("2024-01-02") + np.timedelta64(t, "D")
        decided = day.astype("datetime64[D]").item()
        if ticker in book.positions:
            if draws.random() < 0.1:
                quantity = book.positions[ticker].quantity
                wishes.append(
                    OrderIntent(
                        ticker, Side.SELL, quantity, None, None, None, "momentum", OrderReason.SIGNAL_EXIT, 0.0, decided
                    )
                )
        elif draws.random() < 0.5:
            limit, stop, target = (round(price * factor, 2) for factor in (1.015, 0.96, 1.05))
            quantity = float(draws.randint(1, 90))
            wishes.append(
                OrderIntent(
                    ticker, Side.BUY, quantity, limit, stop, target, "momentum", OrderReason.ENTRY, 1.0, decided
                )
            )
    return wishes
