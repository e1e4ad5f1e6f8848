"""What a lost database held, rebuilt from the account itself: our orders by their ids, and the account's history.

A client order id says when, what, which side and why, and nothing of strategies: whose a position is, is for the caller
to say. Everything else is booked as ever: the history since the first order of ours goes through the very functions
that book it while trading, from the cash and the owner's shares that the account had then, so that cash and shares tie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np

from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.alpaca_history import parse_history, read_activities
from trading_platform.brokers.reconciliation.bookkeeper import AccountLook, Bookkeeper
from trading_platform.brokers.reconciliation.leg_rows import leg_row
from trading_platform.brokers.reconciliation.owner_shares import carve_out
from trading_platform.brokers.reconciliation.protection import covers_of
from trading_platform.brokers.reconciliation.reconcile import reconcile
from trading_platform.brokers.reconciliation.saved_account import Memory, save
from trading_platform.brokers.reconciliation.two_books import (
    SHARE_TOLERANCE,
    AccountHistory,
    OurBook,
    PostCash,
    PostFill,
    PostForeignFill,
    PostShares,
    TheirBook,
    apply_actions,
)
from trading_platform.core.compiled import plain
from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.fills import round_cents, to_tick
from trading_platform.core.intents import read_order_id
from trading_platform.core.ledger import owns, settle_levels
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, Clock, JournalOrder, SavedBook, no_checkpoint
from trading_platform.core.session import Rules
from trading_platform.core.types import OrderStatus, Settlement, Side

BEFORE_FIRST = timedelta(minutes=1)  # history is read from so long before our first order
WhoseIs = Callable[[str, date], str]  # (ticker, session of the decision) -> strategy

_settle_levels, _owns, _to_tick = plain(settle_levels), plain(owns), plain(to_tick)


@dataclass(frozen=True, slots=True)
class OurPast:
    """Every order of ours that the account ever had, with its legs, oldest first, and the account as it stands."""

    orders: tuple[BrokerOrder, ...]
    theirs: TheirBook
    rows: Mapping[str, JournalOrder]

    @property
    def since(self) -> datetime:
        """When our part of the account's history begins."""
        return first_instant(self.orders)


@dataclass(frozen=True, slots=True)
class AdoptedPosition:
    """A position as it is taken over. `stop_from` says where its stop comes from."""

    ticker: str
    quantity: float
    strategy: str
    stop: float
    target: float | None
    stop_from: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """A book rebuilt: saved form, what was booked, equity in dollars, and the positions for people."""

    book: SavedBook
    settlement: Settlement
    equity: float
    cash: float
    positions: tuple[AdoptedPosition, ...]
    manual: Mapping[str, float]


def has_our_risk(orders: Sequence[BrokerOrder], held: Mapping[str, float]) -> list[str]:
    """Return the tickers in which an account (shares `held` by ticker) has orders at work or shares of ours."""
    net: dict[str, float] = {}
    for order in orders:
        signed = order.filled_quantity if order.side is Side.BUY else -order.filled_quantity
        net[order.ticker] = net.get(order.ticker, 0.0) + signed
    at_work = {order.ticker for order in orders if order.status.is_open}
    shares = {t for t, quantity in net.items() if quantity > SHARE_TOLERANCE and held.get(t, 0.0) > SHARE_TOLERANCE}
    return sorted(at_work | shares)


def read_past(http: AlpacaHttp, reader: AlpacaReader, prefix: str, whose: WhoseIs) -> OurPast:
    """Read what the account has of us; one request for each order that may have legs.

    Raises
    ------
    BrokerUnreachableError
        No usable answer.
    """
    listed = [order for order in reader.own_orders(prefix) if read_order_id(order.client_order_id) is not None]
    orders = tuple(reader.order(order.client_order_id, order.broker_order_id) or order for order in listed)
    rows = {row.client_order_id: row for order in orders for row in rows_of(order, whose)}
    by_broker = {row.broker_order_id: row for row in rows.values()}
    account, positions = reader.account(), reader.positions()
    history = AccountHistory()
    if orders:
        history = parse_history(read_activities(http, first_instant(orders)), by_broker.get)
    known = {order.broker_order_id for order in orders} | by_broker.keys()
    others = tuple(order for order in reader.open_orders() if order.broker_order_id not in known)
    held = {position.ticker: position for position in positions}
    return OurPast(orders, TheirBook(account.cash, held, (*orders, *others), frozenset(), history), rows)


def first_instant(orders: Sequence[BrokerOrder]) -> datetime:
    """Return an instant before the first of some orders."""
    return min(order.submitted_at for order in orders if order.submitted_at is not None) - BEFORE_FIRST


def adopt_account(
    past: OurPast,
    rules: Rules,
    tickers: Sequence[str],
    strategies: Sequence[str],
    session: date,
    clock: Clock,
    prefix: str,
) -> Adopted:
    """Return the book of an account, rebuilt; `session` is the last one that is over.

    The profit of the time before is booked and counts for nothing that is decided: peak, previous close and the day's
    loss begin with the equity that the account has now.

    Raises
    ------
    OperatorNeededError
        The universe lacks a ticker, or the history does not explain what is held.
    """
    theirs = past.theirs
    if theirs.cash is None:
        raise OperatorNeededError("Alpaca does not tell the account's cash: try again later")
    effects = _effects(theirs, clock.now(), prefix)
    manual = _owners_before(theirs, effects)
    cash = round_cents(theirs.cash - effects.cash)
    book = AccountBook(rules, cash, tickers, strategies)
    book.manual = dict(manual)
    keeper = Bookkeeper(book, AdoptedJournal(past.rows), Memory(past.since, {}), clock, no_checkpoint)
    carved = carve_out(theirs, manual, {}, ())
    mine = OurBook(cash + carved.cash, {}, {key: row for key, row in past.rows.items() if row.status.is_open})
    result = reconcile(mine, carved.theirs, clock.now(), prefix)
    keeper.take_in(AccountLook(result, carved), clock.now(), is_watch=True)
    _check_shares(book, theirs)
    positions = tuple(_protect(book, past, rules, prefix))
    equity = book.close_session(session, _prices(book, theirs))
    for name in ("previous_equity", "peak_equity", "lifetime_peak"):
        book.record[name] = equity
    news, flows = book.take_news()
    keeper.forget(clock.now())
    return Adopted(
        save(book, keeper.memory, session),
        Settlement(equity, news.fills, {}, flows),
        equity,
        float(book.record["cash"]),
        positions,
        dict(book.manual),
    )


class AdoptedJournal:
    """The rows of adopted orders, as the bookkeeper asks for them; nothing is written back, they are final already."""

    def __init__(self, rows: Mapping[str, JournalOrder]) -> None:
        self._rows = rows

    def record_intent(self, order: object) -> None:
        """Take no notice."""

    def record_order(self, order: BrokerOrder) -> None:
        """Take no notice."""

    def close(self, client_order_id: str, status: OrderStatus, message: str) -> None:
        """Take no notice."""

    def find_order(self, client_order_id: str) -> JournalOrder | None:
        """Return an order or leg."""
        return self._rows.get(client_order_id)

    def find_broker_order(self, broker_order_id: str) -> JournalOrder | None:
        """Return an order or leg by the broker's name of it."""
        return next((row for row in self._rows.values() if row.broker_order_id == broker_order_id), None)

    def open_orders(self) -> list[JournalOrder]:
        """Return what may still fill."""
        return [row for row in self._rows.values() if row.status.is_open]


# ---------------------------------------------------------------- orders


def lost_orders(
    reader: AlpacaReader, prefix: str, whose: WhoseIs, knows: Callable[[str], bool], until: datetime
) -> list[JournalOrder]:
    """Return our orders with their legs that were sent by `until` and that a restored database (`knows`) lacks.

    Raises
    ------
    BrokerUnreachableError
        No usable answer.
    """
    listed = [
        order
        for order in reader.own_orders(prefix)
        if read_order_id(order.client_order_id) is not None
        and not knows(order.client_order_id)
        and (order.submitted_at is None or order.submitted_at <= until)
    ]
    whole = [reader.order(order.client_order_id, order.broker_order_id) or order for order in listed]
    return [row for order in whole for row in rows_of(order, whose)]


def rows_of(order: BrokerOrder, whose: WhoseIs) -> list[JournalOrder]:
    """Return the journal's rows of an order and its legs."""
    name = read_order_id(order.client_order_id)
    assert name is not None  # noqa: S101 - only orders of our form are read
    stops = [leg.stop_price for leg in order.legs if leg.reason is OrderReason.STOP_LOSS]
    targets = [leg.limit_price for leg in order.legs if leg.reason is OrderReason.TAKE_PROFIT]
    if name.side is Side.SELL:
        stops += [order.stop_price]
        targets += [order.limit_price] if order.reason is OrderReason.TAKE_PROFIT else []
    reason = name.reason if order.reason is OrderReason.NONE else order.reason
    root = JournalOrder(
        order.client_order_id,
        order.broker_order_id,
        order.ticker,
        order.side,
        order.quantity,
        order.filled_quantity,
        order.status,
        whose(name.ticker, name.session),
        reason,
        order.submitted_at or past_midnight(name.session),
        _first(stops),
        _first(targets),
        order.limit_price,
    )
    legs = [replace(leg_row(root, leg), limit_price=leg.limit_price) for leg in order.legs]
    return [root, *legs]


def past_midnight(session: date) -> datetime:
    """Return an instant of a session's day, for an order that does not say when it was sent."""
    from datetime import UTC, time

    return datetime.combine(session, time(), tzinfo=UTC)


def _first(prices: Sequence[float | None]) -> float | None:
    return next((price for price in prices if price is not None), None)


# ---------------------------------------------------------------- money and shares


def _effects(theirs: TheirBook, now: datetime, prefix: str) -> OurBook:
    """Return what all of the history did to an account of nothing: cash, and shares by ticker."""
    actions = reconcile(OurBook(0.0), replace(theirs, orders=()), now, prefix).actions
    entries = [a for a in actions if isinstance(a, PostFill | PostForeignFill | PostCash | PostShares)]
    return apply_actions(OurBook(0.0), entries)


def _owners_before(theirs: TheirBook, effects: OurBook) -> dict[str, float]:
    """Return the shares that were in the account before our first order: the owner's.

    Raises
    ------
    OperatorNeededError
        There would have been less than none: the history is not complete.
    """
    before = {}
    for ticker in sorted(theirs.positions.keys() | effects.positions.keys()):
        held = theirs.positions[ticker].quantity if ticker in theirs.positions else 0.0
        moved = effects.positions[ticker].quantity if ticker in effects.positions else 0.0
        left = held - moved
        if left < -SHARE_TOLERANCE:
            raise OperatorNeededError(
                f"the account's history does not explain {ticker}: {held:g} shares are held, {moved:g} have come; sell "
                "them by hand, or restore a backup of the database"
            )
        if left > SHARE_TOLERANCE:
            before[ticker] = left
    return before


def _check_shares(book: AccountBook, theirs: TheirBook) -> None:
    """Make sure that the book and the owner hold together what the broker has."""
    ours = {ticker: position.quantity for ticker, position in book.positions().items()}
    for ticker in sorted(ours.keys() | theirs.positions.keys() | book.manual.keys()):
        held = theirs.positions[ticker].quantity if ticker in theirs.positions else 0.0
        known = ours.get(ticker, 0.0) + book.manual.get(ticker, 0.0)
        if abs(held - known) > SHARE_TOLERANCE:
            raise OperatorNeededError(
                f"{ticker}: the history makes it {known:g} shares, Alpaca has {held:g}; try again in some minutes"
            )


def _prices(book: AccountBook, theirs: TheirBook) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    prices = [theirs.positions[t].price if t in theirs.positions else None for t in book.tickers]
    return np.array([math.nan if price is None else price for price in prices])


# ---------------------------------------------------------------- stops


def _protect(book: AccountBook, past: OurPast, rules: Rules, prefix: str) -> list[AdoptedPosition]:
    """Give every position its stop: the one that rests, else the one it was last given, else the disaster stop."""
    covers = covers_of(past.orders, prefix)
    last = {row.ticker: row for row in past.rows.values() if row.stop_price is not None}
    found = []
    for ticker, position in book.positions().items():
        s = book.slot_of(ticker)
        slot, lots = book.slots[s], book.lots[s]
        resting = next((cover for cover in covers.get(ticker, {}).values() if cover.stop is not None), None)
        target: float | None
        if resting is not None and resting.stop is not None:
            stop, target, source = resting.stop, resting.target or position.target_price, "the stop that rests"
        elif ticker in last and (known := last[ticker].stop_price) is not None:
            stop, target, source = known, last[ticker].target_price, f"order {last[ticker].client_order_id}"
        else:
            entry = float(slot["cost"]) / float(slot["quantity"])
            stop = float(_to_tick(entry * (1.0 - rules.exits.disaster_stop)))
            target, source = None, f"none known: {rules.exits.disaster_stop:.0%} below what it cost"
        for k in range(len(lots)):
            if _owns(slot, k):
                lots[k]["stop"], lots[k]["target"] = stop, target or 0.0
        _settle_levels(slot, lots)
        found.append(AdoptedPosition(ticker, position.quantity, position.strategy, stop, target, source))
    return found
