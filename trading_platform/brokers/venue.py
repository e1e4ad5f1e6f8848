"""What an engine trades through: the paper simulator, an account at Alpaca, or one's own (docs/brokers.md)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import Market
from trading_platform.core.plan import Book
from trading_platform.core.ports import ApprovalRegister, BrokerOrder, JournalOrder, SavedBook
from trading_platform.core.types import ApprovedOrder, Denial, Ints, OrderIntent, OrderStatus, Settlement, Side

# After the open. What an entry has not bought by then it does not buy: the decision was for the open, a limit that has
# missed it comes back when the price falls, and the legs of a group sleep until all of the entry is filled.
ENTRY_LIFE = timedelta(minutes=5)
# After the close. Activities come late at times; what is decided without them is decided on shares that are gone.
HISTORY_PATIENCE = timedelta(minutes=80)


# Whether operators want an entry no more: its ticker, and the strategies that it is for.
Refuser = Callable[[str, Collection[str]], bool]


def refuses_nothing(ticker: str, strategies: Collection[str]) -> bool:
    """Return False: nobody's word is asked for."""
    return False


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """An order that waited for the next open when the book was saved."""

    client_order_id: str
    ticker: str
    side: Side
    quantity: float


class Broker(Protocol):
    """An account as the engine drives it: a book in the kernel's records, and orders.

    The one port of brokers. What each method must keep is held by `tests/integration/test_broker_contract.py`, which
    any broker can be put through.
    """

    @property
    def record(self) -> Record:
        """The account record (`core.ledger.ACCOUNT`)."""
        ...

    @property
    def slots(self) -> Records:
        """Positions and pending entries, (S,) of `core.ledger.SLOT`."""
        ...

    @property
    def lots(self) -> Records:
        """The strategies' parts of them, (S, K) of `core.ledger.LOT`."""
        ...

    @property
    def stopped(self) -> Ints:
        """(N,) days on which tickers were last stopped out."""
        ...

    @property
    def book(self) -> Book:
        """All of it in the kernel's form. Decisions are staged in it; orders say what of them leaves."""
        ...

    def place_order(self, order: ApprovedOrder) -> BrokerOrder:
        """Take an approved order for the next open; what it means for lots stands in the book already.

        Raises
        ------
        ApprovalError
            The approval was not given, was spent, or has expired; nothing was sent.
        """
        ...

    def settle(self, market: Market, t: int, session: date, opened: datetime, closed: datetime) -> Settlement:
        """Take in session `t` up to its close and return what happened; nothing is told twice.

        Raises
        ------
        BrokerUnreachableError
            The account could not be read; nothing has changed, and the engine asks again.
        """
        ...

    def watch(self, now: datetime) -> bool:
        """Look at the account between settlements; return True if the book has changed."""
        ...

    def snapshot(self, session: date) -> SavedBook:
        """Return the book after `session` as text, exact to the last bit."""
        ...

    def restore(self, saved: SavedBook, open_orders: Sequence[PendingOrder]) -> None:
        """Continue from a saved book and the orders that were waiting then."""
        ...


class RiskDoor(ApprovalRegister, Protocol):
    """The side of `RiskManager` that an account at a real broker needs."""

    def approve(
        self, intent: OrderIntent, attempt: int = 0, decided: OrderIntent | None = None
    ) -> ApprovedOrder | Denial:
        """Return the approval that a broker needs, or the denial; `decided` is an entry before its ex-date."""
        ...

    def quarantine(self, reasons: Mapping[str, str], unreconciled: str | None = None) -> None:
        """Refuse new risk in the tickers given, or in all."""
        ...

    def can_trade(self) -> tuple[bool, str]:
        """Return (True, "OK") if new risk may be taken now, else (False, code and numbers)."""
        ...

    def show_selling(self, selling: Mapping[str, float]) -> None:
        """Take the broker's word for shares that exits still at work will sell."""
        ...

    def mirror(self, account: Record, slots: Records, lots: Records, stopped: Ints) -> None:
        """Copy cash, positions (S,), lots (S, K) and stop-outs (N,) of the broker's book."""
        ...


BrokerMaker = Callable[[RiskDoor], Broker]


def row_of(order: ApprovedOrder) -> JournalOrder:
    """Return an order as the journal has it before it is sent."""
    intent = order.intent
    return JournalOrder(
        order.client_order_id,
        None,
        intent.ticker,
        intent.side,
        intent.quantity,
        0.0,
        OrderStatus.INTENT,
        intent.strategy,
        intent.reason,
        order.approved_at,
        intent.stop_price,
        intent.target_price,
        intent.limit_price,
        intent.parts,
    )
