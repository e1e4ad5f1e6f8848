"""Where orders meet prices: openings, stops, targets, closings, corporate actions."""

from __future__ import annotations

from datetime import datetime, timedelta

from trading_platform.alpaca_server.corporate import CorporateDesk
from trading_platform.alpaca_server.draws import Draw
from trading_platform.alpaca_server.exchange import SimExchange
from trading_platform.alpaca_server.executions import Executions
from trading_platform.alpaca_server.market import Event, Moment
from trading_platform.alpaca_server.records import Json, SimOrder
from trading_platform.core.fills import DELISTED_AFTER_SESSIONS
from trading_platform.core.types import Side

AUCTION_CLOSED = timedelta(minutes=2)  # 9:28, Alpaca's order handling standards


class MatchingEngine:
    """Moves the clock and fills orders on the way."""

    def __init__(self, exchange: SimExchange) -> None:
        self._exchange = exchange
        self._market = exchange.market
        self._account = exchange.account
        self.corporate = CorporateDesk(exchange)
        self._executions = Executions(exchange)

    def submit(self, body: Json) -> SimOrder:
        """Accept an order and, while the exchange is open, match it against the current price."""
        order = self._exchange.submit(body)
        if self._market.is_open:
            self._venue_whim(order)
            self._match_now(order)
        return order

    def advance(self, until: datetime) -> None:
        """Move the clock to `until`, letting every moment on the way happen."""
        for event in self._market.events(until):
            self._market.now = event.at
            match event.moment:
                case Moment.DAWN:
                    self._dawn(event)
                case Moment.OPEN:
                    self._release(event.row)
                    self._match_open(event.row)
                    if self._exchange.behaviour.seeded_path:
                        self._match_path(event.row)
                case Moment.LOW:
                    self.corporate.catch_up(event)
                    self._match_extreme(event)
                case Moment.HIGH:
                    self._match_extreme(event)
                case Moment.CLOSE:
                    self._close_session(event)
            self._account.equity_marks.append((event.at, self._account.equity(self._market.price)))
        self._market.now = max(self._market.now, until)
        if self._exchange.behaviour.seeded_path and self._market.is_open:
            self._match_path(self._market.opened_row)

    # ------------------------------------------------------------ moments

    def _dawn(self, event: Event) -> None:
        self.corporate.at_dawn(event)
        chance = self._exchange.behaviour.replaced_legs
        for order in list(self._exchange.working()) if chance > 0.0 else ():
            resting = order.is_exit_leg and order.time_in_force == "gtc" and not order.cancel_wanted
            if resting and self._executions.drawn(order, Draw.REPLACED) < chance:
                self._exchange.renew(order, order.quantity, order.limit_price, order.stop_price, order.time_in_force)
                self._exchange.tell("replaced", order, {})

    def _release(self, row: int) -> None:
        for order in self._exchange.working():
            if order.cancel_wanted:
                self._exchange.close(order, "canceled", self._market.opens[row])
        for order in self._exchange.working():
            if order.queued:
                order.queued = False
                order.status = "new"
                order.updated_at = self._market.opens[row]
                self._exchange.tell("new", order, {})
                self._venue_whim(order)

    def _venue_whim(self, order: SimOrder) -> None:
        if order.whim is not None and order.whim.kind in ("reject", "cancel"):
            status = "rejected" if order.whim.kind == "reject" else "canceled"
            self._exchange.close_group(order, status, self._market.now)

    def _match_open(self, row: int) -> None:
        """Match the opening auction: queued orders at its price, then what rests, stops at the first trade."""
        for side in (Side.SELL, Side.BUY):
            for order in self._exchange.working():
                bar, price = self._market.bar(row, order.symbol), self._opening_price(order, row)
                if order.side is side and not _rests(order) and self._takes(order, price):
                    self._executions.fill(order, price, bar)
        for order in self._exchange.working():
            bar = self._market.bar(row, order.symbol)
            price = bar.open if order.waits_for_stop else self._market.auction(row, order.symbol)
            if _rests(order) and self._takes(order, price):
                self._executions.trigger(order, price, bar)
            order.trail(bar.open)
        for order in self._exchange.working():
            if order.time_in_force == "opg":
                self._exchange.close_group(order, "canceled", self._market.now)

    def _opening_price(self, order: SimOrder, row: int) -> float:
        """Return the auction's price, or of an order that came too late for the auction, the first trade's."""
        if order.created_at >= self._market.opens[row] - AUCTION_CLOSED:
            return self._market.bar(row, order.symbol).open
        return self._market.auction(row, order.symbol)

    def _match_extreme(self, event: Event) -> None:
        if self._exchange.behaviour.seeded_path:
            self._match_path(event.row)
            return
        falling = event.moment is Moment.LOW
        for order in self._exchange.working():
            bar = self._market.bar(event.row, order.symbol)
            reached = bar.low if falling else bar.high
            if order.side is Side.BUY and not self._exchange.fills_after_open:
                continue
            price = order.level
            if price is not None and self._takes(order, reached) and falling == _waits_for_fall(order):
                self._executions.trigger(order, price, bar)
            order.trail(reached)

    def _match_path(self, row: int) -> None:
        """Match everything that rests with the price of this instant.

        The price walks in straight lines and this is called at every corner. So what an order waits for was met on
        the way if the price is beyond it now and was not before; what could have traded before (the rest of a partial
        fill) trades at the price of now. At the opening bell there was no way: the first trade counts.
        """
        at_open = self._market.now == self._market.opens[row]
        for order in self._exchange.working():
            bar, price = self._market.bar(row, order.symbol), self._market.price(order.symbol)
            if not bar.traded or price is None:
                continue
            if order.worked_at != self._market.now and self._takes(order, price):
                waited = order.seen is None or not _meets(order, order.seen)
                level = order.level
                self._executions.trigger(order, level if waited and not at_open and level is not None else price, bar)
            order.seen = price
            order.trail(price)

    def _close_session(self, event: Event) -> None:
        if self._exchange.behaviour.seeded_path:
            self._match_path(event.row)
        for order in self._exchange.working():
            bar = self._market.bar(event.row, order.symbol)
            if order.time_in_force == "cls" and self._takes(order, bar.close):
                self._executions.fill(order, bar.close, bar)
        for order in self._exchange.working():
            lapses = order.time_in_force != "gtc" or order.expires_at <= event.at
            if lapses and not order.queued:
                self._exchange.close_group(order, "expired", event.at)
        for foreign in self._exchange.foreign.values():
            foreign.expire(event.at)
        self._remove_delisted(event)
        day = self._market.session_at(event.row)
        self._account.equity_history.append(
            (day, self._market.opens[event.row], self._account.equity(self._market.price))
        )

    def _remove_delisted(self, event: Event) -> None:
        """Take positions that have gone without a price for too long out of the account, as the paper broker does."""
        for symbol, position in list(self._account.positions.items()):
            position.missing = 0 if self._market.bar(event.row, symbol).close > 0.0 else position.missing + 1
            if position.missing < DELISTED_AFTER_SESSIONS:
                continue
            for order in self._exchange.working(symbol):
                self._exchange.close_group(order, "canceled", event.at)
            last = self._market.close_before(symbol, event.row)
            price = position.entry_price if last is None else last
            self._account.book_removal(symbol, price, event.at)

    # ------------------------------------------------------------ one order

    def _match_now(self, order: SimOrder) -> None:
        bar = self._market.bar(self._market.opened_row, order.symbol)
        price = self._market.price(order.symbol)
        if order.is_open and bar.traded and price is not None and order.time_in_force not in ("opg", "cls"):
            if self._takes(order, price):
                self._executions.trigger(order, price, bar)
            order.seen = price
            if order.time_in_force in ("ioc", "fok") and order.is_open:
                self._exchange.close_group(order, "canceled", self._market.now)

    def _takes(self, order: SimOrder, price: float) -> bool:
        """Return True if `order` trades at `price`."""
        if not (price > 0.0) or order.exhausted or not self._exchange.is_live(order):
            return False
        if self._exchange.assets[order.symbol].halted:
            return False
        if order.rested_at is not None and order.rested_at == self._market.opens[self._market.opened_row]:
            return False
        if order.time_in_force == "cls" and self._market.is_open:
            return False
        return _meets(order, price)


def _meets(order: SimOrder, price: float) -> bool:
    """Return True if `price` is what `order` waits for, or better (a stop: or worse)."""
    level = order.level
    if level is None:
        return True
    if _waits_for_fall(order):
        return price <= level
    return price >= level


def _rests(order: SimOrder) -> bool:
    """True for sells that wait for a price: stops and the halves of a group. They come after the opening orders."""
    return order.waits_for_stop or order.is_exit_leg


def _waits_for_fall(order: SimOrder) -> bool:
    return (order.side is Side.SELL) == order.waits_for_stop
