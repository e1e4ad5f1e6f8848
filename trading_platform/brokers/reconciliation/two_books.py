"""Two books of one account, ours and the broker's, and the actions that make them agree. Pure values and functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

from trading_platform.alpaca.answers import Unreadable
from trading_platform.brokers.reconciliation.activity_fields import UNDONE
from trading_platform.core.compiled import plain
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import lowered
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, BrokerPosition, JournalOrder
from trading_platform.core.types import Fill, OrderStatus, Side

_lowered = plain(lowered)

SHARE_TOLERANCE = 1e-6  # shares; Alpaca counts to 1e-9 and floats lose less
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MANUAL = "manual"  # strategy of shares that the account's owner bought himself


class CashKind(StrEnum):
    """Why money moved without a trade."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    FEE = "fee"
    DIVIDEND = "dividend"
    INTEREST = "interest"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Money that moved without a trade, in dollars; positive into the account."""

    flow_id: str
    kind: CashKind
    amount: float
    at: datetime
    ticker: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ShareChange:
    """Shares that came (or went, negative) without a trade: a split, a spin-off, a transfer."""

    change_id: str
    ticker: str
    quantity: float
    at: datetime
    is_split: bool
    note: str = ""


class ExchangeKind(StrEnum):
    """How shares of one ticker became, or brought, those of another."""

    RENAME = "rename"
    MERGER = "merger"
    SPIN_OFF = "spin_off"


@dataclass(frozen=True, slots=True)
class Exchange:
    """Shares that became others without a trade: `gone` of `ticker` went, `came` of `other` and `cash` dollars came.

    Of a spin-off nothing went; its `ticker` is "" until somebody knows whose shares they are: one of those `named`.
    """

    exchange_id: str
    kind: ExchangeKind
    ticker: str
    gone: float
    other: str
    came: float
    cash: float
    at: datetime
    note: str = ""
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HalfAction:
    """A corporate action of which the broker has told a part: shares of each ticker and dollars that moved so far."""

    entry_id: str
    kind: str
    moved: tuple[tuple[str, float], ...]
    at: datetime
    cash: float = 0.0


@dataclass(frozen=True, slots=True)
class ForeignFill:
    """An execution of an order that is not ours: the account's owner traded by hand."""

    fill_id: str
    broker_order_id: str
    ticker: str
    side: Side
    quantity: float
    price: float
    amount: float
    at: datetime


@dataclass(frozen=True, slots=True)
class UndoneAction:
    """What takes a booked corporate action back: shares by ticker and dollars that come again, or go (negative)."""

    action_id: str
    moved: tuple[tuple[str, float], ...]
    cash: float
    at: datetime


Reversal: TypeAlias = CashFlow | ShareChange | UndoneAction | Fill | ForeignFill


@dataclass(frozen=True, slots=True)
class AccountHistory:
    """What the broker says has happened, oldest first.

    `exchanges` and `halves` are corporate actions that move more than one ticker, whole and in part; `taken_back` are
    those that we have booked and that the broker has cancelled since. `undone` are reversals of entries that the broker
    has cancelled, for those who have booked them: (id of the entry, what takes it back); a busted trade is taken back
    by one of the other side at its own price. `unreadable` are entries that nobody understands.
    """

    fills: tuple[Fill, ...] = ()
    foreign: tuple[ForeignFill, ...] = ()
    cash: tuple[CashFlow, ...] = ()
    shares: tuple[ShareChange, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    taken_back: tuple[UndoneAction, ...] = ()
    halves: tuple[HalfAction, ...] = ()
    undone: tuple[tuple[str, Reversal], ...] = ()
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True, slots=True)
class OurPosition:
    """A position in our book: shares, where its stop and target belong (dollars a share, None = none), and how many of
    the shares are to leave.
    """

    ticker: str
    quantity: float
    strategy: str
    stop_price: float | None = None
    target_price: float | None = None
    leaving: float = 0.0


@dataclass(frozen=True, slots=True)
class OurBook:
    """What we believe.

    `orders` are those still open to us; `booked` are ids of history entries already in here; `known` are the tickers
    that the book can hold, None: any.
    """

    cash: float
    positions: Mapping[str, OurPosition] = field(default_factory=dict)
    orders: Mapping[str, JournalOrder] = field(default_factory=dict)
    booked: frozenset[str] = frozenset()
    known: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class TheirBook:
    """What the broker says now.

    `orders` are all open orders and the last state of ours that were open to us, with legs inside their parents;
    `missing` are ids of ours that the broker has never seen; `unreadable` is what nobody understands of the answers.
    `owners` are words for open orders of the account's owner in something else than shares.
    `trouble` is why the account must take no new risk, "" if it may. `unlisted` are the dollars in positions by the
    account's own figures (equity less cash) that the positions it lists are not worth; None: not told.
    """

    cash: float | None
    positions: Mapping[str, BrokerPosition] = field(default_factory=dict)
    orders: tuple[BrokerOrder, ...] = ()
    missing: frozenset[str] = frozenset()
    history: AccountHistory = AccountHistory()
    unreadable: tuple[Unreadable, ...] = ()
    trouble: str = ""
    unlisted: float | None = 0.0
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PostFill:
    """Book an execution of one of our orders."""

    fill: Fill


@dataclass(frozen=True, slots=True)
class PostForeignFill:
    """Book a manual trade."""

    fill: ForeignFill


@dataclass(frozen=True, slots=True)
class PostCash:
    """Book money that moved without a trade."""

    flow: CashFlow


@dataclass(frozen=True, slots=True)
class PostShares:
    """Book shares that changed without a trade; a split also moves stop and target."""

    change: ShareChange


@dataclass(frozen=True, slots=True)
class PostExchange:
    """Book a rename, a merger for shares, a spin-off."""

    exchange: Exchange


@dataclass(frozen=True, slots=True)
class PostUndone:
    """Take back a corporate action that was cancelled after it was booked."""

    undone: UndoneAction


@dataclass(frozen=True, slots=True)
class UpdateOrder:
    """Take over the broker's state of one of our orders or legs."""

    order: BrokerOrder


@dataclass(frozen=True, slots=True)
class CloseOrder:
    """End one of our orders that the broker does not have."""

    client_order_id: str
    status: OrderStatus
    message: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Ask the broker to cancel one of our orders."""

    client_order_id: str


@dataclass(frozen=True, slots=True)
class Protect:
    """Place a resting stop (and target) for a position that lost its own."""

    ticker: str
    quantity: float
    stop_price: float
    target_price: float | None


@dataclass(frozen=True, slots=True)
class AdoptPosition:
    """Set our quantity to the broker's, unexplained."""

    ticker: str
    quantity: float


@dataclass(frozen=True, slots=True)
class AdoptCash:
    """Add dollars to our cash, unexplained (or the rounding of explained entries)."""

    amount: float


Action: TypeAlias = (
    PostFill
    | PostForeignFill
    | PostCash
    | PostShares
    | PostExchange
    | PostUndone
    | UpdateOrder
    | CloseOrder
    | CancelOrder
    | Protect
    | AdoptPosition
    | AdoptCash
)


def back_of(told: Exchange | ShareChange, paid: CashFlow | None = None) -> UndoneAction:
    """Return what takes an exchange back, or shares that were taken for what was `paid`."""
    match told:
        case Exchange():
            both = ((told.ticker, told.gone), (told.other, -told.came))
            moved = tuple((ticker, quantity) for ticker, quantity in both if ticker and quantity != 0.0)
            return UndoneAction(told.exchange_id, moved, 0.0 - told.cash, told.at)
        case ShareChange():
            name, amount = (told.change_id, 0.0) if paid is None else (paid.flow_id, paid.amount)
            return UndoneAction(name, ((told.ticker, -told.quantity),), 0.0 - amount, told.at)


def with_reversals(history: AccountHistory, booked: Collection[str]) -> AccountHistory:
    """Return history with what takes back entries that are in a book already, `booked` being their ids."""
    for entry_id, reversal in history.undone:
        if entry_id in booked:
            history = _with_reversal(history, reversal)
    return replace(history, undone=())


def _with_reversal(history: AccountHistory, reversal: Reversal) -> AccountHistory:
    match reversal:
        case CashFlow():
            return replace(history, cash=(*history.cash, reversal))
        case ShareChange():
            return replace(history, shares=(*history.shares, reversal))
        case UndoneAction():
            return replace(history, taken_back=(*history.taken_back, reversal))
        case ForeignFill():
            return replace(history, foreign=(*history.foreign, reversal))
        case Fill():
            return replace(history, fills=(*history.fills, reversal))


def state_of(order: BrokerOrder | JournalOrder) -> tuple[OrderStatus, float, float, str | None]:
    """Return what makes news of an order when it changes: status, shares filled, the broker's name of it, and shares
    ordered, which a split multiplies.
    """
    return order.status, order.filled_quantity, order.quantity, order.broker_order_id


def apply_actions(book: OurBook, actions: Iterable[Action]) -> OurBook:
    """Return `book` after the actions that change it; wishes to the broker (`CancelOrder`, `Protect`) do not."""
    for action in actions:
        book = _apply(book, action)
    return book


def _apply(book: OurBook, action: Action) -> OurBook:
    match action:
        case PostFill(fill):
            cash = book.cash - fill.amount - fill.fees if fill.side is Side.BUY else book.cash + fill.amount - fill.fees
            order = book.orders.get(fill.client_order_id) if fill.side is Side.BUY else None
            book = _add_shares(book, fill.ticker, _signed(fill.side, fill.quantity), fill.strategy, order)
            return replace(book, cash=round_cents(cash), booked=book.booked | {fill.fill_id})
        case PostForeignFill(fill):
            book = _add_shares(book, fill.ticker, _signed(fill.side, fill.quantity), MANUAL)
            cash = book.cash - _signed(fill.side, fill.amount)
            return replace(book, cash=round_cents(cash), booked=book.booked | {fill.fill_id})
        case PostCash(flow):
            return replace(book, cash=round_cents(book.cash + flow.amount), booked=book.booked | {flow.flow_id})
        case PostShares(change):
            return replace(_change_shares(book, change), booked=book.booked | {change.change_id})
        case PostExchange(exchange):
            return replace(_exchanged(book, exchange), booked=book.booked | {exchange.exchange_id})
        case PostUndone(undone):
            for ticker, quantity in undone.moved:
                book = _add_shares(book, ticker, quantity, "")
            return replace(
                book, cash=round_cents(book.cash + undone.cash), booked=book.booked | {undone.action_id + UNDONE}
            )
        case UpdateOrder(order):
            return replace(book, orders=_with_order(book.orders, order))
        case CloseOrder(client_order_id):
            return replace(book, orders={key: row for key, row in book.orders.items() if key != client_order_id})
        case AdoptPosition(ticker, quantity):
            held = book.positions[ticker].quantity if ticker in book.positions else 0.0
            return _add_shares(book, ticker, quantity - held, MANUAL)
        case AdoptCash(amount):
            return replace(book, cash=round_cents(book.cash + amount))
        case CancelOrder() | Protect():
            return book


def _signed(side: Side, amount: float) -> float:
    return amount if side is Side.BUY else -amount


def _add_shares(
    book: OurBook, ticker: str, quantity: float, strategy: str, order: JournalOrder | None = None
) -> OurBook:
    """Add shares to a position; a new one takes its stop and target from the order that opened it."""
    stop, target = (None, None) if order is None else (order.stop_price, order.target_price)
    held = book.positions.get(ticker) or OurPosition(ticker, 0.0, strategy, stop, target)
    left = held.quantity + quantity
    positions = {key: position for key, position in book.positions.items() if key != ticker}
    if abs(left) > SHARE_TOLERANCE:
        positions[ticker] = replace(held, quantity=left)
    return replace(book, positions=positions)


def _change_shares(book: OurBook, change: ShareChange) -> OurBook:
    held = book.positions.get(change.ticker)
    book = _add_shares(book, change.ticker, change.quantity, MANUAL)
    after = book.positions.get(change.ticker)
    if not change.is_split or held is None or after is None:
        return book
    ratio = after.quantity / held.quantity
    moved = replace(
        after,
        stop_price=None if after.stop_price is None else after.stop_price / ratio,
        target_price=None if after.target_price is None else after.target_price / ratio,
    )
    return replace(book, positions={**book.positions, change.ticker: moved})


def _exchanged(book: OurBook, exchange: Exchange) -> OurBook:
    held = book.positions.get(exchange.ticker)
    strategy = MANUAL if held is None else held.strategy
    is_new = exchange.other not in book.positions
    book = _add_shares(book, exchange.ticker, -exchange.gone, strategy)
    book = _add_shares(book, exchange.other, exchange.came, strategy)
    if held is not None and is_new and exchange.gone > 0.0:
        paid, factor = exchange.cash / exchange.gone, exchange.gone / exchange.came
        stop, target = (
            (None if p is None else _lowered(p, paid, factor)) for p in (held.stop_price, held.target_price)
        )
        moved = replace(book.positions[exchange.other], stop_price=stop, target_price=target)
        book = replace(book, positions={**book.positions, exchange.other: moved})
    return replace(book, cash=round_cents(book.cash + exchange.cash))


def _with_order(orders: Mapping[str, JournalOrder], order: BrokerOrder) -> Mapping[str, JournalOrder]:
    known = orders.get(order.client_order_id)
    kept = {key: row for key, row in orders.items() if key != order.client_order_id}
    if not order.status.is_open:
        return kept
    parent = orders.get(order.parent_id or "")
    origin = known or parent
    kept[order.client_order_id] = JournalOrder(
        client_order_id=order.client_order_id,
        broker_order_id=order.broker_order_id,
        ticker=order.ticker,
        side=order.side,
        quantity=order.quantity,
        filled_quantity=order.filled_quantity,
        status=order.status,
        strategy=MANUAL if origin is None else origin.strategy,
        reason=order.reason if known is None or order.reason is not OrderReason.NONE else known.reason,
        decided_at=(order.submitted_at or EPOCH) if origin is None else origin.decided_at,
        stop_price=None if known is None else known.stop_price,
        target_price=None if known is None else known.target_price,
    )
    return kept
