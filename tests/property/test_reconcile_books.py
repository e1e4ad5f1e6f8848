"""Whatever happened at the broker, the actions lead to its book, and nothing unexplained passes in silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import event, given, settings
from hypothesis import strategies as st

from trading_platform.brokers.reconciliation.differences import QUARANTINES
from trading_platform.brokers.reconciliation.reconcile import reconcile
from trading_platform.brokers.reconciliation.two_books import (
    MANUAL,
    SHARE_TOLERANCE,
    AccountHistory,
    CashFlow,
    CashKind,
    ForeignFill,
    OurBook,
    OurPosition,
    ShareChange,
    TheirBook,
    apply_actions,
)
from trading_platform.core.fills import round_cents
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerPosition
from trading_platform.core.types import Fill, Side

NOW = datetime(2024, 1, 3, 15, tzinfo=UTC)
ENTRY = OrderReason.ENTRY
TICKERS = ("AAA", "BBB", "CCC")

tickers = st.sampled_from(TICKERS)
sides = st.sampled_from([Side.BUY, Side.SELL])
quantities = st.one_of(st.integers(1, 500).map(float), st.floats(0.001, 50.0))
prices = st.floats(0.5, 900.0)
dollars = st.integers(-500_000, 500_000).map(lambda cents: cents / 100.0)


@st.composite
def happenings(draw: st.DrawFn) -> AccountHistory:
    """Return a random history of fills, manual trades, money and splits."""
    fills, foreign, cash, shares = [], [], [], []
    for n in range(draw(st.integers(0, 8))):
        at = NOW - timedelta(minutes=draw(st.integers(0, 600)))
        ticker, kind = draw(tickers), draw(st.sampled_from(["fill", "foreign", "cash", "shares"]))
        quantity, price = draw(quantities), draw(prices)
        amount = round_cents(quantity * price)
        match kind:
            case "fill":
                fee = draw(st.integers(0, 300)) / 100.0
                day = date(2024, 1, 3)
                side = draw(sides)
                fills.append(
                    Fill("tp-1", ticker, side, quantity, price, amount, fee, at, day, "momentum", ENTRY, f"f{n}")
                )
            case "foreign":
                foreign.append(ForeignFill(f"m{n}", f"web-{n}", ticker, draw(sides), quantity, price, amount, at))
            case "cash":
                cash.append(CashFlow(f"c{n}", draw(st.sampled_from(list(CashKind))), draw(dollars), at))
            case _:
                shares.append(ShareChange(f"s{n}", ticker, draw(st.sampled_from([-3.0, 10.0])), at, is_split=False))
    return AccountHistory(tuple(fills), tuple(foreign), tuple(cash), tuple(shares))


@st.composite
def books(draw: st.DrawFn) -> OurBook:
    held = draw(st.dictionaries(tickers, quantities, max_size=3))
    positions = {name: OurPosition(name, quantity, "momentum") for name, quantity in held.items()}
    return OurBook(round_cents(draw(st.floats(0.0, 1e6))), positions)


def happened(book: OurBook, history: AccountHistory) -> tuple[float, dict[str, float]]:
    """Return cash and shares after a history, computed in the plainest way: the model to compare with."""
    cash = round(book.cash * 100)
    shares = {name: position.quantity for name, position in book.positions.items()}

    def move(ticker: str, quantity: float) -> None:
        shares[ticker] = shares.get(ticker, 0.0) + quantity

    trades: list[Fill | ForeignFill] = [*history.fills, *history.foreign]
    for trade in trades:
        sign = 1 if trade.side is Side.BUY else -1
        move(trade.ticker, sign * trade.quantity)
        cash -= sign * round(trade.amount * 100)
    cash -= sum(round(fill.fees * 100) for fill in history.fills)
    cash += sum(round(flow.amount * 100) for flow in history.cash)
    for change in history.shares:
        move(change.ticker, change.quantity)
    return cash / 100.0, shares


def account(cash: float, shares: dict[str, float], history: AccountHistory) -> TheirBook:
    positions = {
        name: BrokerPosition(name, quantity, 1.0, 1.0)
        for name, quantity in shares.items()
        if abs(quantity) > SHARE_TOLERANCE
    }
    return TheirBook(cash, positions, history=history)


def same(book: OurBook, theirs: TheirBook) -> bool:
    names = book.positions.keys() | theirs.positions.keys()
    mine = {name: book.positions[name].quantity if name in book.positions else 0.0 for name in names}
    held = {name: theirs.positions[name].quantity if name in theirs.positions else 0.0 for name in names}
    return book.cash == theirs.cash and all(abs(mine[name] - held[name]) <= SHARE_TOLERANCE for name in names)


@given(books(), happenings())
def test_explained_history_leads_to_the_brokers_book_at_once(book: OurBook, history: AccountHistory) -> None:
    cash, shares = happened(book, history)
    result = reconcile(book, account(cash, shares, history), NOW, "tp-")
    event(f"{len(history.fills)} fills, {len(history.foreign)} manual, {len(history.cash)} cash")
    after = apply_actions(book, result.actions)
    assert same(after, account(cash, shares, history))
    assert result.cash_ties
    assert after.booked >= {fill.fill_id for fill in history.fills}


@given(books(), happenings(), st.dictionaries(tickers, st.sampled_from([-7.0, 0.5, 3.0, 40.0])), dollars)
@settings(max_examples=200)
def test_unexplained_rest_is_quarantined_first_and_adopted_when_confirmed(
    book: OurBook, history: AccountHistory, strange_shares: dict[str, float], strange_cash: float
) -> None:
    cash, shares = happened(book, history)
    for ticker, quantity in strange_shares.items():
        shares[ticker] = shares.get(ticker, 0.0) + quantity
    theirs = account(round_cents(cash + strange_cash), shares, history)
    first = reconcile(book, theirs, NOW, "tp-")
    n_entries = len(history.fills) + len(history.foreign) + len(history.cash) + len(history.shares)
    unexplained_cash = abs(strange_cash) > 0.005 * (n_entries + 1) + 1e-9
    event(f"shares {'strange' if strange_shares else 'fine'}, cash {'strange' if unexplained_cash else 'fine'}")
    assert set(strange_shares) <= first.quarantine
    assert first.cash_ties is not unexplained_cash
    booked = apply_actions(book, first.actions)
    for ticker in strange_shares:  # nothing was adopted on a first reading
        mine = booked.positions[ticker].quantity if ticker in booked.positions else 0.0
        assert abs(mine - shares.get(ticker, 0.0)) > SHARE_TOLERANCE
    second = reconcile(booked, theirs, NOW, "tp-", first.differences)
    after = apply_actions(booked, second.actions)
    assert same(after, theirs)
    assert set(strange_shares) <= second.quarantine


@given(books(), happenings())
def test_second_reading_after_the_actions_finds_nothing_new(book: OurBook, history: AccountHistory) -> None:
    cash, shares = happened(book, history)
    theirs = account(cash, shares, history)
    after = apply_actions(book, reconcile(book, theirs, NOW, "tp-").actions)
    again = reconcile(after, theirs, NOW, "tp-")
    assert again.actions == ()
    manual = {position.ticker for position in after.positions.values() if position.strategy == MANUAL}
    assert again.quarantine == manual
    assert all(difference.kind in QUARANTINES for difference in again.differences)


@given(books(), happenings(), st.data())
def test_no_history_entry_is_booked_twice(book: OurBook, history: AccountHistory, data: st.DataObject) -> None:
    cash, shares = happened(book, history)
    theirs = account(cash, shares, history)
    once = apply_actions(book, reconcile(book, theirs, NOW, "tp-").actions)
    part = data.draw(st.integers(0, len(history.fills)))
    repeated = replace(theirs, history=replace(history, fills=history.fills[:part]))
    assert reconcile(once, repeated, NOW, "tp-").actions == ()
