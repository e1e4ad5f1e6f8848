"""Reconciliation: (our book, the broker's book) -> differences -> actions. Pure functions.

Start-up, crash recovery and every scan run this one path. What the broker's history explains (fills while we were
away, fees, dividends, deposits, splits, manual trades) becomes an action that books it. What remains is *unexplained*:
the ticker is quarantined (no new risk), or, if cash does not tie, everything is. An unexplained difference is adopted
from the broker only when the next reading shows it again unchanged, since the history may lag behind the positions.
Applying the actions (`books.apply_actions`) gives the broker's book; nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, combinations
from typing import TypeAlias

from trading_platform.brokers.reconciliation.activity_fields import UNDONE
from trading_platform.brokers.reconciliation.differences import (
    CASH_KINDS,
    NEEDS_CONFIRMATION,
    QUARANTINES,
    Difference,
    DifferenceKind,
)
from trading_platform.brokers.reconciliation.protection import protection
from trading_platform.brokers.reconciliation.two_books import (
    EPOCH,
    MANUAL,
    SHARE_TOLERANCE,
    AccountHistory,
    Action,
    AdoptCash,
    AdoptPosition,
    CancelOrder,
    CloseOrder,
    Exchange,
    HalfAction,
    OurBook,
    PostCash,
    PostExchange,
    PostFill,
    PostForeignFill,
    PostShares,
    PostUndone,
    TheirBook,
    UpdateOrder,
    apply_actions,
    state_of,
    with_reversals,
)
from trading_platform.core.fills import round_cents
from trading_platform.core.ports import BrokerOrder, JournalOrder
from trading_platform.core.types import Fill, OrderStatus, Side

CENT_PER_ENTRY = 0.005  # dollars that rounding one history entry to the cent may cost
HALF, LEAST_DOLLARS = 0.5, 1.0
GRACE = timedelta(seconds=60)  # a request that has not arrived by then never will
MOST_QUARANTINED = 8  # entries of which each may have moved its money or not; of more, all have
HALF_PATIENCE = timedelta(days=2)  # with a corporate action of which a part is told


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The outcome: what differed, what to do, and where no new risk is allowed meanwhile."""

    differences: tuple[Difference, ...]
    actions: tuple[Action, ...]
    quarantine: frozenset[str]
    cash_ties: bool


Found: TypeAlias = tuple[Difference, tuple[Action, ...]]


def reconcile(
    ours: OurBook, theirs: TheirBook, now: datetime, prefix: str, previous: Collection[Difference] = ()
) -> Reconciliation:
    """Compare both books.

    Parameters
    ----------
    ours, theirs
        The books.
    now
        Time of the reading, for the age of orders that did not arrive.
    prefix
        Client order ids that begin so are ours; all others are foreign and never touched.
    previous
        Differences of the reading before: what needs confirmation is adopted only if it stands in there.
    """
    explained = [*_history(ours, theirs.history), *_strange(theirs)]
    waiting, halves = awaited_fills(ours, theirs, prefix), [*_unfinished(ours, theirs.history, now)]
    # What orders say they have traded, or half an action has moved, is counted for the comparison only.
    seen: list[Action] = [
        *(PostFill(fill) for _, fill in waiting),
        *(AdoptCash(half.cash) for half in _young(theirs.history, now)),
    ]
    book = apply_actions(ours, [*_actions(explained), *seen])
    entries = len(explained) + len(waiting) + 1
    unclear = {d.ticker for d, _ in halves} | {thing.ticker for thing in theirs.unreadable}
    found = [*explained, *((d, ()) for d, _ in waiting), *halves]
    found += [*_orders(ours, theirs, now, prefix), *_manual_positions(book)]
    found += _positions(book, theirs, unclear)
    found += _cash(book, theirs, entries * CENT_PER_ENTRY, is_estimate=bool(waiting))
    found += _state(theirs)
    found = [
        (difference, () if difference.kind in NEEDS_CONFIRMATION and difference not in previous else actions)
        for difference, actions in found
    ]
    unclear |= {d.ticker for d, _ in waiting}
    found += protection(ours, apply_actions(ours, _actions(found)), theirs, prefix, unclear)
    differences = tuple(difference for difference, _ in found)
    return Reconciliation(
        differences=differences,
        actions=tuple(_actions(found)),
        quarantine=frozenset(d.ticker for d in differences if d.kind in QUARANTINES and d.ticker is not None),
        cash_ties=not any(d.kind in CASH_KINDS for d in differences),
    )


def _state(theirs: TheirBook) -> Iterator[Found]:
    """Yield the account's own trouble: new risk waits, what is held may be sold."""
    if theirs.trouble:
        yield Difference(DifferenceKind.ACCOUNT_STATE, None, "may trade", theirs.trouble), ()


def _actions(found: Iterable[Found]) -> Iterator[Action]:
    for _, actions in found:
        yield from actions


# ---------------------------------------------------------------- what history explains


def _history(ours: OurBook, history: AccountHistory) -> Iterator[Found]:
    """Yield history that we have not booked, in the order in which it happened."""
    entries: list[tuple[datetime, Found]] = []
    history = with_reversals(history, ours.booked)
    for fill in history.fills:
        if fill.fill_id not in ours.booked:
            order = ours.orders.get(fill.client_order_id)
            done = order is None or order.filled_quantity + fill.quantity >= order.quantity - SHARE_TOLERANCE
            kind = DifferenceKind.FILL if done else DifferenceKind.PARTIAL_FILL
            entries.append((fill.filled_at, (_fill_words(kind, fill), (PostFill(fill),))))
    for foreign in history.foreign:
        if foreign.fill_id not in ours.booked:
            text = f"{foreign.side} {foreign.quantity:g} at {foreign.price:g}, order {foreign.broker_order_id}"
            words = Difference(DifferenceKind.MANUAL_TRADE, foreign.ticker, "not ours", text)
            entries.append((foreign.at, (words, (PostForeignFill(foreign),))))
    for exchange in history.exchanges:
        if exchange.exchange_id not in ours.booked and _is_bookable(ours, exchange):
            text = f"{exchange.gone:g} {exchange.ticker} became {exchange.came:g} {exchange.other}, {exchange.note}"
            words = Difference(DifferenceKind.EXCHANGE, exchange.ticker, "not booked", text)
            entries.append((exchange.at, (words, (PostExchange(exchange),))))
    for undone in history.taken_back:
        if undone.action_id + UNDONE not in ours.booked:
            moved = ", ".join(f"{quantity:+g} {ticker}" for ticker, quantity in undone.moved)
            text = f"cancelled by the broker, taken back: {moved}, {undone.cash:+.2f} dollars"
            words = Difference(DifferenceKind.EXCHANGE, undone.moved[0][0], "booked", text)
            entries.append((undone.at, (words, (PostUndone(undone),))))
    for flow in history.cash:
        if flow.flow_id not in ours.booked:
            text = f"{flow.kind} {flow.amount:+.2f} {flow.note}".strip()
            words = Difference(DifferenceKind.CASH_FLOW, flow.ticker, "not booked", text)
            entries.append((flow.at, (words, (PostCash(flow),))))
    for change in history.shares:
        if change.change_id not in ours.booked:
            text = f"{'split' if change.is_split else 'transfer'} {change.quantity:+g} shares {change.note}".strip()
            words = Difference(DifferenceKind.SHARE_CHANGE, change.ticker, "not booked", text)
            entries.append((change.at, (words, (PostShares(change),))))
    for _, finding in sorted(entries, key=lambda entry: entry[0]):
        yield finding


def _is_bookable(ours: OurBook, exchange: Exchange) -> bool:
    """Return True if it is known whose shares came, and the book can hold them."""
    return exchange.ticker != "" and (ours.known is None or exchange.other in ours.known)


def _unfinished(ours: OurBook, history: AccountHistory, now: datetime) -> Iterator[Found]:
    """Yield corporate actions that cannot be booked yet; their tickers are left alone meanwhile."""
    for half in _young(history, now):
        moved = ", ".join(f"{quantity:+g} {ticker}" for ticker, quantity in half.moved)
        for ticker, _ in half.moved:
            words = "waits for the rest of it", f"{half.kind} {moved}"
            yield Difference(DifferenceKind.HALF_ACTION, ticker, *words), ()
    for exchange in history.exchanges:
        if exchange.exchange_id in ours.booked or _is_bookable(ours, exchange):
            continue
        if exchange.ticker == "" and now - exchange.at > HALF_PATIENCE:
            continue  # shares of which nobody says where they come from are the owner's in the end
        cure = "nobody says of which holding" if exchange.ticker == "" else f"add {exchange.other} to [universe]"
        text = f"{exchange.came:g} {exchange.other} came for {exchange.gone:g} {exchange.ticker or '?'}"
        for ticker in (exchange.ticker, exchange.other):
            if ticker:
                yield Difference(DifferenceKind.UNKNOWN_TICKER, ticker, cure, text), ()


def _young(history: AccountHistory, now: datetime) -> list[HalfAction]:
    return [half for half in history.halves if now - half.at <= HALF_PATIENCE]


def _strange(theirs: TheirBook) -> Iterator[Found]:
    for thing in theirs.unreadable:
        yield Difference(DifferenceKind.UNREADABLE, thing.ticker, "left alone", thing.text), ()
    for words in theirs.owners:
        yield Difference(DifferenceKind.OWNERS_THINGS, None, "left alone", words), ()


def awaited_fills(ours: OurBook, theirs: TheirBook, prefix: str) -> list[tuple[Difference, Fill]]:
    """Return what our orders say they have traded beyond what history tells, as fills at their mean price.

    Alpaca enters executions late at times; until it does, the shares are ours, and nothing is booked. A leg may have
    traded before our journal has ever heard of it.
    """
    found = []
    for order in flatten(theirs.orders):
        known = ours.orders.get(order.client_order_id)
        is_new_leg = order.parent_id is not None and order.client_order_id.startswith(prefix)
        missing = order.filled_quantity - _told(ours, theirs, order)
        if (known is None and not is_new_leg) or not (missing > SHARE_TOLERANCE) or order.filled_average_price is None:
            continue
        text = f"{order.side} {missing:g} of {order.filled_quantity:g} filled, {order.client_order_id}"
        amount = _awaited_amount(theirs.history, order, order.filled_average_price, missing)
        at = order.submitted_at or (EPOCH if known is None else known.decided_at)
        strategy, reason = ("", order.reason) if known is None else (known.strategy, known.reason)
        fill = Fill(
            order.client_order_id,
            order.ticker,
            order.side,
            missing,
            amount / missing,
            amount,
            0.0,
            at,
            at.date(),
            strategy,
            reason,
        )
        found.append((Difference(DifferenceKind.AWAITED_FILL, order.ticker, "history has no entry yet", text), fill))
    return found


def _awaited_amount(history: AccountHistory, order: BrokerOrder, mean_price: float, missing: float) -> float:
    """Return the dollars of what an order has traded beyond its history: all of it, less what history tells.

    The mean price is that of all executions. Where history begins later than the order it stands for the missing ones.
    """
    told = [fill for fill in history.fills if fill.client_order_id == order.client_order_id]
    is_whole = abs(sum(fill.quantity for fill in told) + missing - order.filled_quantity) <= SHARE_TOLERANCE
    if not is_whole:
        return round_cents(missing * mean_price)
    return round_cents(order.filled_quantity * mean_price - sum(fill.amount for fill in told))


def _told(ours: OurBook, theirs: TheirBook, order: BrokerOrder) -> float:
    """Return the shares of an order that are booked, or can be by now."""
    known = ours.orders.get(order.client_order_id)
    fills = [fill for fill in theirs.history.fills if fill.client_order_id == order.client_order_id]
    booked = sum(fill.quantity for fill in fills if fill.fill_id in ours.booked)
    new = sum(fill.quantity for fill in fills if fill.fill_id not in ours.booked)
    return (booked if known is None else known.filled_quantity) + new


def _fill_words(kind: DifferenceKind, fill: Fill) -> Difference:
    text = f"{fill.side} {fill.quantity:g} at {fill.price:g}, {fill.client_order_id}"
    return Difference(kind, fill.ticker, "not booked", text)


# ---------------------------------------------------------------- orders


def flatten(orders: Iterable[BrokerOrder]) -> Iterator[BrokerOrder]:
    """Yield orders and, after each, its legs."""
    for order in orders:
        yield order
        yield from order.legs


def _orders(ours: OurBook, theirs: TheirBook, now: datetime, prefix: str) -> Iterator[Found]:
    seen = {order.client_order_id: order for order in flatten(theirs.orders)}
    for known in ours.orders.values():
        order = seen.get(known.client_order_id)
        if order is None:
            yield _absent(known, known.client_order_id in theirs.missing, now)
        else:
            told = _as_told(ours, theirs, order)
            if state_of(told) != state_of(known):
                yield _news(known, told)
    for order in seen.values():
        told = _as_told(ours, theirs, order) if order.client_order_id.startswith(prefix) else order
        if order.client_order_id not in ours.orders and told.status.is_open:
            yield _stranger(told, prefix)


def _as_told(ours: OurBook, theirs: TheirBook, order: BrokerOrder) -> BrokerOrder:
    """Return an order and its legs as far as history bears them out: one whose executions are awaited is not over."""
    order = order._replace(legs=tuple(_as_told(ours, theirs, leg) for leg in order.legs))
    told = _told(ours, theirs, order)
    if not (order.filled_quantity - told > SHARE_TOLERANCE) or order.filled_average_price is None:
        return order
    status = OrderStatus.PARTIALLY_FILLED if told > 0.0 else OrderStatus.SUBMITTED
    return order._replace(status=status, filled_quantity=told)


def _news(known: JournalOrder, order: BrokerOrder) -> Found:
    ours = f"{known.client_order_id} {known.status}, {known.filled_quantity:g} filled"
    theirs = f"{order.status}, {order.filled_quantity:g} filled"
    kind = DifferenceKind.ORDER_NEWS if order.status.is_open else DifferenceKind.ORDER_ENDED
    if known.broker_order_id not in (None, order.broker_order_id):
        kind, theirs = DifferenceKind.EDITED, f"changed by its owner or by the broker; {theirs}, {_levels(order)}"
    return Difference(kind, order.ticker, ours, theirs), (UpdateOrder(order),)


def _levels(order: BrokerOrder) -> str:
    prices = [
        f"{name} {price:g}" for name, price in (("stop", order.stop_price), ("limit", order.limit_price)) if price
    ]
    return " and ".join(prices) or "at the market"


def _absent(known: JournalOrder, is_missing: bool, now: datetime) -> Found:
    ours = f"{known.client_order_id} {known.status}"
    key = known.client_order_id
    if not is_missing:
        return Difference(DifferenceKind.UNCERTAIN_ORDER, known.ticker, ours, "could not be asked"), ()
    if known.broker_order_id is not None:
        close = CloseOrder(key, OrderStatus.CANCELED, "vanished at the broker")
        return Difference(DifferenceKind.VANISHED_ORDER, known.ticker, ours, "unknown to the broker"), (close,)
    if not (now - known.decided_at >= GRACE):
        # An intent cut off by a crash may go out again under its own id, which Alpaca takes once: it keeps nothing out.
        is_intent = known.status is OrderStatus.INTENT
        kind = DifferenceKind.NOT_SENT if is_intent else DifferenceKind.UNCERTAIN_ORDER
        return Difference(kind, known.ticker, ours, "not there yet"), ()
    close = CloseOrder(key, OrderStatus.CANCELED, "never reached the broker")
    return Difference(DifferenceKind.NEVER_SENT, known.ticker, ours, "never reached the broker"), (close,)


def _stranger(order: BrokerOrder, prefix: str) -> Found:
    text = f"{order.client_order_id} {order.side} {order.quantity:g} {order.status}"
    if not order.client_order_id.startswith(prefix):
        return Difference(DifferenceKind.FOREIGN_ORDER, order.ticker, "not ours", text), ()
    if order.parent_id is not None:
        return Difference(DifferenceKind.HELD_LEG, order.ticker, "not known", text), (UpdateOrder(order),)
    cancel = (CancelOrder(order.client_order_id),) if order.side is Side.BUY else ()
    return Difference(DifferenceKind.UNKNOWN_OWN_ORDER, order.ticker, "not open to us", text), cancel


# ---------------------------------------------------------------- positions and cash


def _manual_positions(book: OurBook) -> Iterator[Found]:
    for position in book.positions.values():
        if position.strategy == MANUAL:
            text = f"{position.quantity:g} shares without a strategy"
            yield Difference(DifferenceKind.MANUAL_POSITION, position.ticker, text, "held"), ()


def _positions(book: OurBook, theirs: TheirBook, unclear: Collection[str | None]) -> Iterator[Found]:
    for ticker in sorted((book.positions.keys() | theirs.positions.keys()) - {*unclear}):
        position = book.positions.get(ticker)
        mine = 0.0 if position is None else position.quantity
        held = theirs.positions[ticker].quantity if ticker in theirs.positions else 0.0
        if not (abs(mine - held) <= SHARE_TOLERANCE):
            words = Difference(DifferenceKind.POSITION_UNEXPLAINED, ticker, f"{mine:g} shares", f"{held:g} shares")
            lost = mine - max(held, 0.0)
            if position is not None and lost > 0.0 and _is_contradicted(theirs, lost, position.stop_price):
                yield replace(words, theirs=f"{words.theirs}, which its equity contradicts; they stay ours"), ()
            else:
                yield words, (AdoptPosition(ticker, held),)


def _is_contradicted(theirs: TheirBook, lost: float, stop_price: float | None) -> bool:
    """Return True unless the account's own figures bear it out that so many shares are gone.

    Shares are ours until a sale, a corporate action or an operator says otherwise: a list of positions that leaves them
    out, at however many looks, is not enough while the account's equity still counts them. They are worth about what
    their stop would bring; half of that allows for prices that move between two answers.
    """
    if theirs.unlisted is None:
        return True
    return theirs.unlisted > max(LEAST_DOLLARS, HALF * lost * (stop_price or 0.0))


def _cash(book: OurBook, theirs: TheirBook, tolerance: float, *, is_estimate: bool) -> Iterator[Found]:
    """Yield what cash differs by. Cents of an estimate, the mean price of what history does not tell yet, are none."""
    ours = f"{book.cash:.2f}"
    if theirs.cash is None:
        yield Difference(DifferenceKind.CASH_UNKNOWN, None, ours, "not told"), ()
        return
    gap = round_cents(theirs.cash - book.cash)
    if gap == 0.0 or _is_quarantined(gap, tolerance, theirs):
        return
    kind = DifferenceKind.CASH_ROUNDING if abs(gap) <= tolerance else DifferenceKind.CASH_UNEXPLAINED
    if is_estimate and kind is DifferenceKind.CASH_ROUNDING:
        return
    yield Difference(kind, None, ours, f"{theirs.cash:.2f}"), (AdoptCash(gap),)


def _is_quarantined(gap: float, tolerance: float, theirs: TheirBook) -> bool:
    """Return True if `gap` is the money of entries that nobody understands: it stands aside as they do.

    Nobody knows whether such an entry has moved what it says, so some of them may not have.
    """
    amounts = [thing.dollars for thing in theirs.unreadable if thing.dollars != 0.0]
    if len(amounts) > MOST_QUARANTINED:
        return abs(gap - sum(amounts)) <= tolerance
    some = chain.from_iterable(combinations(amounts, n) for n in range(1, len(amounts) + 1))
    return any(abs(gap - sum(moved)) <= tolerance for moved in some)
