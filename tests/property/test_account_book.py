"""Our book in the kernel's records moves as reconciliation says, and survives being written down."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from risk_config import RiskConfig
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.owner_shares import carve_out
from trading_platform.brokers.reconciliation.reconcile import reconcile
from trading_platform.brokers.reconciliation.saved_account import Memory, load, save
from trading_platform.brokers.reconciliation.two_books import (
    AccountHistory,
    CashFlow,
    CashKind,
    ForeignFill,
    OurBook,
    PostFill,
    TheirBook,
    apply_actions,
)
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.fills import round_cents
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerPosition
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.types import Fill, Side

TICKERS, STRATEGIES = ("AAA", "BBB", "CCC"), ("momentum", "breakout")
RULES = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
START = datetime.fromisoformat("2024-01-02T15:00:00+00:00")
PRICES = st.floats(0.5, 900.0).map(lambda price: round(price, 4))


def fill_of(n: int, ticker: str, side: Side, quantity: float, price: float) -> Fill:
    at = START + timedelta(minutes=n)
    reason = OrderReason.ENTRY if side is Side.BUY else OrderReason.SIGNAL_EXIT
    return Fill(
        f"tp-{n}",
        ticker,
        side,
        quantity,
        price,
        round_cents(quantity * price),
        round(0.01 * (n % 3), 2),
        at,
        at.date(),
        "breakout",
        reason,
        f"fill-{n}",
    )


@st.composite
def trades(draw: st.DrawFn) -> list[Fill]:
    """Return executions that never sell more than is held."""
    held: dict[str, int] = {}
    fills = []
    for n in range(draw(st.integers(1, 25))):
        ticker = draw(st.sampled_from(TICKERS))
        if held.get(ticker, 0) and draw(st.booleans()):
            side, quantity = Side.SELL, draw(st.integers(1, held[ticker]))
        else:
            side, quantity = Side.BUY, draw(st.integers(1, 300))
        held[ticker] = held.get(ticker, 0) + (quantity if side is Side.BUY else -quantity)
        fills.append(fill_of(n, ticker, side, float(quantity), draw(PRICES)))
    return fills


def new_book() -> AccountBook:
    return AccountBook(RULES, 100_000.0, TICKERS, STRATEGIES)


@given(trades(), st.integers(0, 25))
def test_records_and_reconciliation_move_alike_also_over_a_restart(fills: list[Fill], cut: int) -> None:
    book, plain = new_book(), OurBook(100_000.0)
    for n, fill in enumerate(fills):
        if n == cut:
            saved = save(book, Memory(START, {"x": START}), date(2024, 1, 2))
            book = new_book()
            assert load(book, saved) == Memory(START, {"x": START})
        book.book_fill(fill, None)
        plain = apply_actions(plain, [PostFill(fill)])
        assert float(book.record["cash"]) == plain.cash
        assert {t: p.quantity for t, p in book.positions().items()} == {
            t: p.quantity for t, p in plain.positions.items()
        }
    news, flows = book.take_news()
    assert sorted(fill.fill_id for fill, _, _ in news.fills) == sorted(fill.fill_id for fill in fills)
    closed = [trade for _, _, trade in news.fills if trade is not None]
    # what came in and went out is what the round trips say, plus what is still held at its cost
    realized = round_cents(sum(realized for _, realized, _ in news.fills))
    fees = round_cents(sum(fill.fees for fill, _, _ in news.fills))
    assert (flows.realized, flows.fees) == (realized, fees)
    held = round_cents(float(book.slots["cost"].sum()))
    assert abs(float(book.record["cash"]) + held - 100_000.0 - realized + fees) < 0.005
    assert len(closed) == sum(trade is not None for _, _, trade in news.fills)


@given(trades())
def test_equity_is_cash_and_marks_to_the_cent(fills: list[Fill]) -> None:
    book = new_book()
    for fill in fills:
        book.book_fill(fill, None)
    prices = np.array([10.25, np.nan, 99.99])
    equity = book.close_session(date(2024, 1, 2), prices)
    value = round_cents(float(book.slots["value"].sum()))
    assert abs(equity - float(book.record["cash"]) - value) < 0.005
    assert (book.slots["held"][book.slots["quantity"] > 0.0] == 1).all()


@given(st.lists(st.tuples(st.sampled_from(TICKERS), st.booleans(), st.integers(1, 40), PRICES), max_size=12))
def test_what_the_owner_does_never_reaches_our_positions(moves: list[tuple[str, bool, int, float]]) -> None:
    """Hand trades are carved out whole: both books agree without them, and money that they moved is a flow."""
    book = new_book()
    book.book_fill(fill_of(0, "AAA", Side.BUY, 50.0, 20.0), None)
    cash, theirs, manual = float(book.record["cash"]), {"AAA": 50.0}, dict[str, float]()
    foreign = []
    for n, (ticker, buys, wish, price) in enumerate(moves):
        quantity = float(wish) if buys else min(float(wish), manual.get(ticker, 0.0))
        if quantity == 0.0:
            continue
        side, signed = (Side.BUY, quantity) if buys else (Side.SELL, -quantity)
        amount = round_cents(quantity * price)
        foreign.append(
            ForeignFill(
                f"hand-{n}", f"order-{n}", ticker, side, quantity, price, amount, START + timedelta(hours=1, minutes=n)
            )
        )
        cash = round_cents(cash - amount if buys else cash + amount)
        manual[ticker] = manual.get(ticker, 0.0) + signed
        theirs[ticker] = theirs.get(ticker, 0.0) + signed
    positions = {t: BrokerPosition(t, q, 1.0, 1.0) for t, q in theirs.items() if q}
    seen = TheirBook(cash, positions, history=AccountHistory(foreign=tuple(foreign)))
    carved = carve_out(seen, {}, {"AAA": 50.0}, ())
    ours = OurBook(round_cents(float(book.record["cash"]) + carved.cash), book.positions())
    result = reconcile(ours, carved.theirs, START + timedelta(hours=3), "tp-")
    assert result.differences == ()
    assert dict(carved.manual) == {t: q for t, q in manual.items() if q}
    for move in carved.moves:
        book.move_manual(move.ticker, move.quantity, move.cash)
    assert float(book.record["cash"]) == cash
    assert book.take_news()[1].cash_flow == round_cents(cash - 99_000.0)
    assert book.quantity("AAA") == 50.0


def test_money_lands_where_the_report_expects_it() -> None:
    book = new_book()
    book.book_fill(fill_of(0, "AAA", Side.BUY, 50.0, 20.0), None)
    book.move_manual("CCC", 5.0, -500.0)
    flows = [
        (CashKind.DIVIDEND, 12.5, "AAA"),
        (CashKind.INTEREST, 1.25, None),
        (CashKind.FEE, -0.4, None),
        (CashKind.DEPOSIT, 1_000.0, None),
        (CashKind.WITHDRAWAL, -200.0, None),
        (CashKind.DIVIDEND, 7.0, "CCC"),
        (CashKind.OTHER, -0.1, None),
    ]
    for n, (kind, amount, ticker) in enumerate(flows):
        book.book_cash(CashFlow(f"flow-{n}", kind, amount, START, ticker))
    _, flows_told = book.take_news()
    assert (flows_told.dividends, flows_told.interest, flows_told.fees) == (12.5, 1.25, 0.5)
    assert flows_told.cash_flow == -500.0 + 1_000.0 - 200.0 + 7.0  # a dividend on the owner's shares is his
    assert float(book.record["cash"]) == 99_000.0 - 500.0 + 12.5 + 1.25 - 0.4 + 1_000.0 - 200.0 + 7.0 - 0.1
    assert float(book.slots[book.slot_of("AAA")]["dividends"]) == 12.5
