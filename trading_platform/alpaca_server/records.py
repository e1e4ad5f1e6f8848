"""What the local server remembers: orders, positions, activities, and their JSON as the service writes it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from trading_platform.core.types import Side

Json = dict[str, object]

OPEN_STATUSES = frozenset({"new", "accepted", "pending_new", "partially_filled", "pending_cancel", "pending_replace"})
WORKING_STATUSES = OPEN_STATUSES | {"held"}
ENDS = frozenset({"filled", "canceled", "expired", "replaced", "rejected"})
GTC_DAYS = 90  # Alpaca's aged-order policy


class ApiError(Exception):
    """An answer with an error status, as the service words it."""

    def __init__(self, status: int, code: int, message: str, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"code": code, "message": message, **details}


class Identifiers:
    """UUIDs that are the same in every run."""

    def __init__(self, seed: int = 0) -> None:
        self._space = uuid.uuid5(uuid.NAMESPACE_URL, f"local-alpaca/{seed}")
        self._count = 0

    def next(self) -> str:
        """Return a new identifier."""
        self._count += 1
        return str(uuid.uuid5(self._space, str(self._count)))

    def named(self, name: str) -> str:
        """Return the identifier of a name, always the same."""
        return str(uuid.uuid5(self._space, name))


def number(value: float | None) -> str | None:
    """Write a number as the service does, as a string; exactly, so that nothing is lost on the way."""
    if value is None:
        return None
    return str(int(value)) if value == int(value) else repr(value)


def stamp(instant: datetime | None) -> str | None:
    """Write an instant in RFC 3339."""
    return None if instant is None else instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Whim:
    """What the venue does to the next orders it fits: `reject`, `cancel`, or fill `fraction` of it and no more."""

    kind: str
    symbol: str | None = None
    side: str | None = None
    fraction: float = 0.5
    times: int = 1

    @classmethod
    def from_json(cls, wish: Json) -> Whim:
        """Build a whim from the admin endpoint's JSON; the constructor checks the names.

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
        known: dict[str, Any] = dict(wish)
        try:
            return cls(**known)
        except TypeError as error:
            raise ApiError(400, 40010000, f"whim {wish!r} cannot be read: {error}") from error

    def fits(self, symbol: str, side: Side) -> bool:
        """Return True if an order of `symbol` and `side` is to suffer it."""
        return self.times > 0 and self.symbol in (None, symbol) and self.side in (None, side.value)


@dataclass(slots=True)
class SimOrder:
    """One order. `exhausted` marks one that its fill model will not work further."""

    id: str
    client_order_id: str
    asset_id: str
    symbol: str
    side: Side
    type: str
    time_in_force: str
    order_class: str
    quantity: float | None
    notional: float | None
    limit_price: float | None
    stop_price: float | None
    extended_hours: bool
    created_at: datetime
    expires_at: datetime
    status: str = "new"
    filled_quantity: float = 0.0
    filled_amount: float = 0.0
    parent: SimOrder | None = None
    legs: list[SimOrder] = field(default_factory=list)
    triggered: bool = False
    exhausted: bool = False
    rested_at: datetime | None = None  # the opening bell of the session that has worked this resting sell already
    queued: bool = False
    cancel_wanted: bool = False  # after hours, of a routed order: it ends at the next open
    fills: int = 0  # executions so far, so that each has draws of its own
    worked_at: datetime | None = None  # when it last traded
    seen: float | None = None  # the last price it was compared with
    trail_percent: float | None = None
    trail_price: float | None = None
    high_water: float | None = None
    whim: Whim | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    filled_at: datetime | None = None
    canceled_at: datetime | None = None
    expired_at: datetime | None = None
    failed_at: datetime | None = None
    replaced_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """True while the service lists it as open; held legs are not."""
        return self.status in OPEN_STATUSES

    @property
    def is_working(self) -> bool:
        """True while it may still trade, held legs included."""
        return self.status in WORKING_STATUSES

    @property
    def remaining(self) -> float:
        """Shares left; 0 for an order in dollars, whose shares are not known before it fills."""
        return 0.0 if self.quantity is None else max(0.0, self.quantity - self.filled_quantity)

    @property
    def is_exit_leg(self) -> bool:
        """True for a resting stop or target: a leg, or the first half of an OCO."""
        return self.parent is not None or self.order_class == "oco"

    @property
    def side_word(self) -> str:
        """`buy` or `sell`."""
        return self.side.value

    @property
    def level(self) -> float | None:
        """The price that this order waits for: the stop's until it is elected, then the limit."""
        return self.stop_price if self.waits_for_stop else self.limit_price

    @property
    def waits_for_stop(self) -> bool:
        """True for a stop of any kind that has not been elected."""
        return self.type in ("stop", "stop_limit", "trailing_stop") and not self.triggered

    def trail(self, price: float) -> None:
        """Let a trailing stop follow `price`, and never back."""
        if self.type != "trailing_stop" or self.triggered:
            return
        sells = self.side is Side.SELL
        best = price if self.high_water is None else (max if sells else min)(self.high_water, price)
        distance = self.trail_price if self.trail_price is not None else best * (self.trail_percent or 0.0) / 100.0
        self.high_water = best
        self.stop_price = round(best - distance if sells else best + distance, 4)

    def group(self) -> list[SimOrder]:
        """Return this order's parent with all its legs."""
        root = self.parent or self
        return [root, *root.legs]

    def json(self, nested: bool) -> Json:
        """Return the order entity."""
        average = self.filled_amount / self.filled_quantity if self.filled_quantity > 0.0 else None
        legs: object = [leg.json(nested=False) for leg in self.legs] if nested and self.legs else None
        opening = (self.side is Side.BUY) != self.is_exit_leg
        return {
            "id": self.id,
            "client_order_id": self.client_order_id,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at or self.created_at),
            "submitted_at": stamp(self.created_at),
            "filled_at": stamp(self.filled_at),
            "expired_at": stamp(self.expired_at),
            "expires_at": stamp(self.expires_at),
            "canceled_at": stamp(self.canceled_at),
            "failed_at": stamp(self.failed_at),
            "replaced_at": stamp(self.replaced_at),
            "replaced_by": self.replaced_by,
            "replaces": self.replaces,
            "asset_id": self.asset_id,
            "symbol": self.symbol,
            "asset_class": "us_equity",
            "notional": number(self.notional),
            "qty": number(self.quantity),
            "filled_qty": number(self.filled_quantity),
            "filled_avg_price": number(average),
            "order_class": self.order_class,
            "order_type": self.type,
            "type": self.type,
            "side": self.side.value,
            "time_in_force": self.time_in_force,
            "limit_price": number(self.limit_price),
            "stop_price": number(self.stop_price),
            "status": self.status,
            "extended_hours": self.extended_hours,
            "legs": legs,
            "trail_percent": number(self.trail_percent),
            "trail_price": number(self.trail_price),
            "hwm": number(self.high_water),
            "position_intent": f"{self.side.value}_to_{'open' if opening and self.side is Side.BUY else 'close'}",
        }


def expiry(created_at: datetime, time_in_force: str, session_close: datetime, gtc_days: int = GTC_DAYS) -> datetime:
    """Return when an order lapses: the session's close, or 90 days on for GTC."""
    return created_at + timedelta(days=gtc_days) if time_in_force == "gtc" else session_close


@dataclass(slots=True)
class ForeignOrder:
    """An order of the owner's that is no share order of this server: only shown. `entity` is its JSON as it stands."""

    id: str
    client_order_id: str
    symbol: str
    side_word: str
    created_at: datetime
    entity: Json
    parent: None = None

    @property
    def status(self) -> str:
        """The status word of the entity."""
        return str(self.entity.get("status"))

    @property
    def is_open(self) -> bool:
        """True while the service lists it as open: whatever is at no known end."""
        return self.status not in ENDS

    def expire(self, at: datetime) -> None:
        """End an open DAY order with its session."""
        if self.is_open and self.entity.get("time_in_force") == "day":
            self.entity["status"], self.entity["expired_at"] = "expired", stamp(at)

    def json(self, nested: bool) -> Json:
        """Return the entity, legs or not."""
        return self.entity if nested or self.entity.get("order_class") == "mleg" else {**self.entity, "legs": None}


@dataclass(slots=True)
class SimPosition:
    """A long position: shares, the dollars paid for them, and the sessions in a row without a price."""

    symbol: str
    quantity: float
    cost: float
    missing: int = 0

    @property
    def entry_price(self) -> float:
        """Average dollars a share paid."""
        return self.cost / self.quantity


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of the account's history, shown from `visible_at` on. `body` is its JSON without the identifier."""

    id: str
    at: datetime
    kind: str
    body: Json
    visible_at: datetime

    def json(self) -> Json:
        """Return the activity entity."""
        return {"id": self.id, "activity_type": self.kind, **self.body}
