"""What the decision core expects of the outside world. Adapters implement these; tests use fakes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple, Protocol

from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import ApprovedOrder, Floats, LotOrder, MarketPanel, OrderStatus, Side


class Clock(Protocol):
    """The only source of time below a shell."""

    def now(self) -> datetime:
        """Return the current instant, aware and in UTC."""
        ...


class MarketData(Protocol):
    """A source of completed daily bars.

    Raises:
        MarketDataError: the data cannot be used; the message names file or source, line or ticker, date, value, cure.
    """

    @property
    def name(self) -> str:
        """Short name for people, e.g. ``files:../shared/market-data``."""
        ...

    def history(
        self, tickers: Sequence[str] | None = None, start: date | None = None, end: date | None = None
    ) -> MarketPanel:
        """Return completed bars of `tickers` (all when None) for sessions in [start, end], checked and sorted."""
        ...


class TradingCalendar(Protocol):
    """Sessions of the exchange, with half days, holidays and daylight saving time."""

    def is_session(self, day: date) -> bool:
        """Return True if the exchange opens on `day`."""
        ...

    def open_at(self, session: date) -> datetime:
        """Return the open of `session` in UTC."""
        ...

    def close_at(self, session: date) -> datetime:
        """Return the close of `session` in UTC (earlier on half days)."""
        ...

    def next_session(self, day: date) -> date:
        """Return the first session after `day`."""
        ...

    def previous_session(self, day: date) -> date:
        """Return the last session before `day`."""
        ...

    def exchange_seconds(self, sessions: Sequence[date]) -> Floats:
        """Return cumulative open seconds at each session's close, (T,), from a fixed epoch: the exchange clock."""
        ...


@dataclass(frozen=True, slots=True)
class BrokerAccount:
    """The broker's view of the account, in dollars. None where the broker did not say.

    `trouble` says why it must take no new risk, "" if it may: blocked, not active, a margin call.
    """

    account_id: str
    equity: float | None
    cash: float | None
    buying_power: float | None
    is_blocked: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """A position as the broker sees it; quantity is negative for a short."""

    ticker: str
    quantity: float
    entry_price: float
    price: float | None


class BrokerOrder(NamedTuple):
    """An order as the broker sees it. `client_order_id` may be foreign: then it is not ours to touch.

    `legs` are the resting stop and target of a group, named ``<parent>-stop`` and ``<parent>-target``.
    """

    client_order_id: str
    broker_order_id: str
    ticker: str
    side: Side
    quantity: float
    filled_quantity: float
    filled_average_price: float | None
    status: OrderStatus
    limit_price: float | None
    stop_price: float | None
    submitted_at: datetime | None
    parent_id: str | None = None
    reason: OrderReason = OrderReason.NONE
    message: str = ""
    legs: tuple[BrokerOrder, ...] = ()


@dataclass(frozen=True, slots=True)
class JournalOrder:
    """An order as our database knows it: what was intended, and the last news of it."""

    client_order_id: str
    broker_order_id: str | None
    ticker: str
    side: Side
    quantity: float
    filled_quantity: float
    status: OrderStatus
    strategy: str
    reason: OrderReason
    decided_at: datetime
    stop_price: float | None = None
    target_price: float | None = None
    limit_price: float | None = None
    parts: tuple[LotOrder, ...] = ()


class OrderJournal(Protocol):
    """The durable record of orders that a real broker writes ahead and keeps up to date.

    Every method returns after the commit. Legs of a group are rows of their own with the approval and strategy of
    their parent and the reason ``stop_loss`` or ``take_profit``.
    """

    def record_intent(self, order: ApprovedOrder) -> None:
        """Write an order down before anything is sent."""
        ...

    def record_order(self, order: BrokerOrder) -> None:
        """Write down what the broker says of one of our orders and its legs, which may be new to us.

        An empty `broker_order_id` means that the broker has not named the order (yet). A `reason` other than ``none``
        replaces the stored one: of an OCO the order itself is the target, and its leg the stop.
        """
        ...

    def find_order(self, client_order_id: str) -> JournalOrder | None:
        """Return an order or leg of ours, open or not."""
        ...

    def find_broker_order(self, broker_order_id: str) -> JournalOrder | None:
        """Return an order or leg of ours by the broker's name of it, open or not."""
        ...

    def open_orders(self) -> Sequence[JournalOrder]:
        """Return our orders and legs that may still fill, as far as we know, oldest first."""
        ...


class ApprovalRegister(Protocol):
    """The side of `RiskManager` that brokers see."""

    def consume(self, order: ApprovedOrder) -> None:
        """Spend the approval.

        Raises:
            ApprovalError: forged, altered, expired, or already spent.
        """
        ...


class RiskStateStore(Protocol):
    """Durable memory of `RiskManager`. `payload` is canonical JSON; the store adds nothing but durability."""

    def load(self) -> str | None:
        """Return the last saved envelope (payload with checksum and version), or None if there never was one."""
        ...

    def save(self, envelope: str) -> None:
        """Store durably before returning."""
        ...

    def has_trades(self) -> bool:
        """Return True if this account has traded before, so that a missing state is a fault and not a first start."""
        ...


class AllocationReason(Protocol):
    """Who decided an allocation, and why."""

    @property
    def source(self) -> str:
        """``model``, ``rules``, ``equal_weight`` or ``fixed``."""
        ...

    @property
    def reason(self) -> str:
        """A code, then words for people."""
        ...

    @property
    def model_id(self) -> str | None:
        """The model that was asked, if any."""
        ...


class Allocator(Protocol):
    """Splits capital between strategies."""

    @property
    def last_decision(self) -> AllocationReason:
        """Why the last allocation is what it is."""
        ...

    @property
    def model_id(self) -> str | None:
        """The model that would be asked."""
        ...

    @property
    def reads_state(self) -> bool:
        """True if the answer depends on the state, which need not be observed otherwise."""
        ...

    def explain(self, current_state: Floats) -> Mapping[str, float]:
        """Return which groups of the observation (D,) moved the weights, as shares that sum to 1 (or are all 0)."""
        ...

    def get_allocation(self, current_state: Floats, session: date | None = None) -> Mapping[str, float]:
        """Return weights by strategy name, summing to 1, for the observation (D,) at the close of `session`."""
        ...


@dataclass(frozen=True, slots=True)
class SavedBook:
    """The paper broker's book after `session`."""

    session: date
    account: str
    slots: str
    checksum: str


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One difference in words. One that `stands` is unexplained until a later reading no longer finds it."""

    kind: str
    ticker: str | None
    ours: str
    theirs: str
    action: str
    stands: bool
    is_patient: bool = False  # true: mended within a look as a rule, and worth a line only if it is not
    since: datetime | None = None  # of a patient one: when it was seen first, perhaps by an earlier process


Checkpoint = Callable[[str], None]  # called with the name of each step of an order's and a book's life


def no_checkpoint(step: str) -> None:
    """Take no notice: nobody watches the steps."""
