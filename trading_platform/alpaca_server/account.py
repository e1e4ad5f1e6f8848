"""The simulated account: cash to the cent, positions, activities and the history of equity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

from trading_platform.alpaca_server.records import (
    Activity,
    Identifiers,
    Json,
    SimOrder,
    SimPosition,
    number,
    stamp,
)
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import SHARE_NOISE
from trading_platform.core.types import Side
from trading_platform.machine.clocks import NEW_YORK

FEE, DIVIDEND, DEPOSIT, WITHDRAWAL, SPLIT, REMOVAL = "FEE", "DIV", "CSD", "CSW", "SPLIT", "REORG"
INTEREST, MERGER, RENAME, SPIN_OFF, SHARE_JOURNAL = "INT", "MA", "NC", "SPIN", "JNLS"


def at_once(count: int) -> timedelta:
    """Return how late activity number `count` appears: not at all."""
    return timedelta()


class SimAccount:
    """Money and shares. Every change leaves an activity, except a fault that is meant to be unexplained."""

    def __init__(self, cash: float, identifiers: Identifiers, multiplier: int = 1) -> None:
        self.cash = round_cents(cash)
        self.starting_cash = self.cash
        self.multiplier = multiplier
        self.positions: dict[str, SimPosition] = {}
        self.activities: list[Activity] = []
        self.moved: dict[str, float] = {}  # id of an activity that is no trade -> shares that it has moved
        self.equity_history: list[tuple[date, datetime, float]] = []
        self.equity_marks: list[tuple[datetime, float]] = []  # at every bell and extreme, for intraday history
        self.cash_flows: dict[date, float] = {}
        self.blocked = False
        self.overrides: Json = {}  # fields of the account entity that an admin request has set
        self.foreign_value = 0.0  # dollars, of positions that are no shares (the owner's options, crypto)
        self.lateness: Callable[[int], timedelta] = at_once
        self.fees_by_day = False
        self._fees_due = 0.0
        self._identifiers = identifiers

    @property
    def refuses_orders(self) -> bool:
        """True while new orders are refused, whoever has blocked the account."""
        names = ("trading_blocked", "account_blocked", "trade_suspended_by_user")
        return self.blocked or any(self.overrides.get(name) is True for name in names)

    def book_fill(self, order: SimOrder, quantity: float, price: float, fees: float, at: datetime) -> None:
        """Book an execution of `order`, whose own counts are already updated."""
        amount = round_cents(quantity * price)
        if order.side is Side.BUY:
            self._add_shares(order.symbol, quantity, amount)
            self.cash = round_cents(self.cash - amount)
        else:
            self._remove_shares(order.symbol, quantity)
            self.cash = round_cents(self.cash + amount)
        fill = self._record(
            "FILL",
            at,
            {
                "transaction_time": stamp(at),
                "type": "fill" if order.status == "filled" else "partial_fill",
                "price": number(price),
                "qty": number(quantity),
                "side": order.side.value,
                "symbol": order.symbol,
                "leaves_qty": number(order.remaining),
                "cum_qty": number(order.filled_quantity),
                "order_id": order.id,
                "order_status": order.status,
            },
        )
        if fees > 0.0 and self.fees_by_day:
            self._fees_due = round_cents(self._fees_due + fees)
        elif fees > 0.0:
            # The service books fees apart from fills; `group_id` names the fill so that nothing is guessed.
            self.book_cash(FEE, -fees, at, symbol=order.symbol, group_id=fill.id)

    def book_fees_due(self, at: datetime) -> None:
        """Book the fees of the trades since the last time as one row that names none of them."""
        if self._fees_due > 0.0:
            self.book_cash(FEE, -self._fees_due, at, activity_sub_type="TAF", description="regulatory fees")
            self._fees_due = 0.0

    def book_cash(
        self, kind: str, amount: float, at: datetime, symbol: str | None = None, **details: object
    ) -> Activity:
        """Book money that is not a trade: fee, dividend, deposit, withdrawal."""
        self.cash = round_cents(self.cash + amount)
        body: Json = {
            "date": at.astimezone(NEW_YORK).date().isoformat(),
            "created_at": stamp(at),
            "net_amount": number(round_cents(amount)),
            "description": kind,
            "status": "executed",
            **({} if symbol is None else {"symbol": symbol}),
            **details,
        }
        activity = self._record(kind, at, body)
        if kind in (DEPOSIT, WITHDRAWAL):
            day = at.astimezone(NEW_YORK).date()
            self.cash_flows[day] = round_cents(self.cash_flows.get(day, 0.0) + amount)
        return activity

    def book_shares(
        self,
        kind: str,
        symbol: str,
        quantity: float,
        at: datetime,
        amount: float = 0.0,
        details: Json | None = None,
    ) -> Activity:
        """Move shares (and money) without a trade: a split, a spin-off, one side of a rename or a merger.

        Shares that come cost nothing, those that go take their cost along: `move_cost` puts it where it belongs.

        Raises
        ------
        ValueError
            More shares would go than there are.
        """
        if -quantity > self.held(symbol) + SHARE_NOISE:
            raise ValueError(f"{number(-quantity)} shares of {symbol} cannot go: {number(self.held(symbol))} are held")
        if quantity > 0.0:
            self._add_shares(symbol, quantity, 0.0)
        elif quantity < 0.0:
            self._remove_shares(symbol, -quantity)
        row = self.book_cash(kind, amount, at, symbol=symbol, qty=number(quantity), **(details or {}))
        self.moved[row.id] = quantity
        return row

    def move_cost(self, symbol: str, dollars: float) -> None:
        """Add to what the shares of `symbol` have cost."""
        position = self.positions.get(symbol)
        if position is not None:
            position.cost = round_cents(position.cost + dollars)

    def cancel_activity(self, activity_id: str) -> None:
        """Let a booked row be `canceled`: it stays in the list, its money and the shares that it moved go back.

        A trade that is busted goes back at its own price; its order stays as it is.

        Raises
        ------
        ValueError
            There is none of that number, or it is no such row.
        """
        for place, activity in enumerate(self.activities):
            if activity.id == activity_id and activity.body.get("status") != "canceled":
                if activity.kind == "FILL":
                    self._bust(activity)
                else:
                    self.cash = round_cents(self.cash - float(str(activity.body["net_amount"])))
                    self._take_back(str(activity.body.get("symbol")), self.moved.pop(activity_id, 0.0))
                self.activities[place] = replace(activity, body={**activity.body, "status": "canceled"})
                return
        raise ValueError(f"no activity {activity_id} that could be cancelled")

    def _bust(self, fill: Activity) -> None:
        quantity, price = float(str(fill.body["qty"])), float(str(fill.body["price"]))
        amount, symbol = round_cents(quantity * price), str(fill.body["symbol"])
        sign = 1.0 if fill.body["side"] == "buy" else -1.0
        self.cash = round_cents(self.cash + sign * amount)
        self._take_back(symbol, sign * quantity)

    def _take_back(self, symbol: str, quantity: float) -> None:
        """Let shares that had come go, or (negative) come back."""
        if quantity > 0.0:
            self._remove_shares(symbol, quantity)
        elif quantity < 0.0:
            self._add_shares(symbol, -quantity, 0.0)

    def book_foreign_fill(self, at: datetime, cash: float, body: Json) -> None:
        """Record a fill of something that is no share: `cash` moves, no position of ours does."""
        self.cash = round_cents(self.cash + cash)
        self._record("FILL", at, {"transaction_time": stamp(at), "type": "fill", "leaves_qty": "0", **body})

    def book_split(self, symbol: str, ratio: float, at: datetime, sub_type: str = "FSPLIT") -> None:
        """Multiply the shares held by `ratio`; money does not move."""
        position = self.positions[symbol]
        added = position.quantity * (ratio - 1.0)
        position.quantity *= ratio
        self._record(
            SPLIT,
            at,
            {
                "date": at.astimezone(NEW_YORK).date().isoformat(),
                "created_at": stamp(at),
                "net_amount": "0",
                "activity_sub_type": sub_type,
                "description": f"{ratio:g} for 1",
                "status": "executed",
                "symbol": symbol,
                "qty": number(added),
            },
        )

    def book_removal(self, symbol: str, price: float, at: datetime) -> None:
        """Take the shares of a delisted ticker out of the account at `price`, dollars a share."""
        quantity = self.positions[symbol].quantity
        amount = round_cents(quantity * price)
        del self.positions[symbol]
        self.book_cash(
            REMOVAL, amount, at, symbol=symbol, qty=number(-quantity), price=number(price), description="delisted"
        )

    def _add_shares(self, symbol: str, quantity: float, amount: float) -> None:
        position = self.positions.get(symbol)
        if position is None:
            self.positions[symbol] = SimPosition(symbol, quantity, amount)
        else:
            position.quantity += quantity
            position.cost = round_cents(position.cost + amount)

    def _remove_shares(self, symbol: str, quantity: float) -> None:
        position = self.positions[symbol]
        left = position.quantity - quantity
        if left < SHARE_NOISE:  # float noise of fractional shares is not a position
            del self.positions[symbol]
        else:
            position.cost = round_cents(position.cost * left / position.quantity)
            position.quantity = left

    def _record(self, kind: str, at: datetime, body: Json) -> Activity:
        identifier = f"{at.astimezone(NEW_YORK):%Y%m%d%H%M%S%f}"[:17] + "::" + self._identifiers.next()
        activity = Activity(identifier, at, kind, body, at + self.lateness(len(self.activities)))
        self.activities.append(activity)
        return activity

    def held(self, symbol: str) -> float:
        """Return the shares held."""
        position = self.positions.get(symbol)
        return 0.0 if position is None else position.quantity

    def market_value(self, price: Callable[[str], float | None]) -> float:
        """Return the value of all positions, dollars; one without a price counts at cost."""
        total = self.foreign_value
        for position in self.positions.values():
            last = price(position.symbol)
            total += position.cost if last is None else round_cents(position.quantity * last)
        return round_cents(total)

    def equity(self, price: Callable[[str], float | None]) -> float:
        """Return cash plus the value of all positions, dollars."""
        return round_cents(self.cash + self.market_value(price))
