"""From a touched order to an execution: elected stops, partial fills, and what becomes of the rest of a group."""

from __future__ import annotations

import math

from trading_platform.alpaca_server.draws import Draw, uniform
from trading_platform.alpaca_server.exchange import SimExchange
from trading_platform.alpaca_server.fill_models import Touched
from trading_platform.alpaca_server.paths import Bar
from trading_platform.alpaca_server.records import Json, SimOrder, number
from trading_platform.core.ledger import SHARE_NOISE
from trading_platform.core.types import Side


class Executions:
    """Executes orders that have met their price."""

    def __init__(self, exchange: SimExchange) -> None:
        self._exchange = exchange
        self._market = exchange.market
        self._account = exchange.account

    def trigger(self, order: SimOrder, quote: float, bar: Bar) -> None:
        """Fill a touched order; a stop turns into a market order first and takes its sibling off the book."""
        if order.waits_for_stop:
            order.triggered = True
            quote = self._slipped(order, quote)
            for sibling in order.group():
                if sibling is not order and sibling.is_working:
                    self._exchange.close(sibling, "canceled", self._market.now)
            if order.type == "stop_limit" and order.limit_price is not None and quote < order.limit_price:
                order.status = "new"
                return
            if order.status == "held":
                order.status = "new"
        self.fill(order, quote, bar)

    def _slipped(self, order: SimOrder, quote: float) -> float:
        """Return what an elected stop meets in a moving market, a little worse than `quote`."""
        most = self._exchange.behaviour.stop_slippage
        if most == 0.0:
            return quote
        part = most * self.drawn(order, Draw.STOP)
        return round(quote * (1.0 - part if order.side is Side.SELL else 1.0 + part), 4)

    def drawn(self, order: SimOrder, what: Draw) -> float:
        """Return a draw of this session for the order's security and side, a fresh one for each of its executions."""
        market = self._market
        day = market.session_at(market.session_row)
        security = f"{market.security(order.symbol)}/{order.side.value}"
        return uniform(market.seed, day, security, what, order.fills)

    def fill(self, order: SimOrder, quote: float, bar: Bar) -> None:
        """Execute what can be executed of an order at `quote`: by the fill model, the whims, the habits."""
        quantity = order.remaining
        if order.notional is not None:
            quantity = math.floor(order.notional / quote * 1e9) / 1e9
        if order.side is Side.SELL:
            quantity = min(quantity, self._account.held(order.symbol))
            if not (quantity > 0.0):
                self._exchange.close_group(order, "canceled", self._market.now)
                return
        limit = None if order.triggered or order.is_exit_leg else order.limit_price
        model = self._exchange.fill_model
        execution = model.execute(Touched(order.side, quantity, quote, limit, bar.volume, self._account.cash))
        if execution is None:
            order.exhausted = order.side is Side.BUY and not self._exchange.fills_after_open
            return
        filled = self._in_part(order, execution.quantity)
        if order.whim is not None and order.whim.kind == "partial":
            filled = min(filled, max(1.0, math.floor(quantity * order.whim.fraction)))
            order.exhausted = True
        self._book(order, filled, execution.price, execution.fees)
        if order.is_open and not self._exchange.fills_after_open:
            self._rest(order)

    def _in_part(self, order: SimOrder, quantity: float) -> float:
        """Return how much of `quantity` is filled now: all, or with a chance a random part of it."""
        chance = self._exchange.behaviour.partial_fills
        if order.notional is not None or not (chance > 0.0) or self.drawn(order, Draw.PARTIAL) >= chance:
            return quantity
        part = quantity * self.drawn(order, Draw.PARTIAL_SIZE)
        if quantity == math.floor(quantity):
            return min(quantity, math.floor(part) + 1.0)
        return max(math.floor(part * 1e9) / 1e9, 1e-9)

    def _rest(self, order: SimOrder) -> None:
        """Leave what the volume cap has left of an order: of an entry for good, of a sale for this session."""
        if order.side is Side.BUY:
            order.exhausted = True
            return
        for member in order.group():
            member.rested_at = self._market.opens[self._market.opened_row]

    def _book(self, order: SimOrder, quantity: float, price: float, fees: float) -> None:
        order.fills += 1
        order.worked_at = self._market.now
        order.filled_quantity += quantity
        order.filled_amount += quantity * price
        done = order.notional is not None or order.remaining < SHARE_NOISE
        order.status = "filled" if done else "partially_filled"
        order.filled_at = order.updated_at = self._market.now
        self._account.book_fill(order, quantity, price, fees, self._market.now)
        held = number(self._account.held(order.symbol))
        details: Json = {"price": number(price), "qty": number(quantity), "position_qty": held}
        self._exchange.tell("fill" if done else "partial_fill", order, details)
        if order.is_exit_leg:
            self._settle_group(order)
        elif done:
            self._activate_legs(order)

    def _activate_legs(self, entry: SimOrder) -> None:
        for place, leg in enumerate(entry.legs):
            if leg.status == "held" and place == 0:
                leg.status = "new"  # of two legs the target works and the stop stays held, as at the service
                leg.updated_at = self._market.now

    def _settle_group(self, leg: SimOrder) -> None:
        for sibling in leg.group():
            if sibling is leg or not sibling.is_working:
                continue
            if leg.status == "filled":
                self._exchange.close(sibling, "canceled", self._market.now)
            elif sibling.quantity is not None and self._exchange.behaviour.replaced_legs > 0.0:
                prices = sibling.limit_price, sibling.stop_price
                self._exchange.renew(sibling, leg.remaining, *prices, sibling.time_in_force)
                self._exchange.tell("replaced", sibling, {})
            elif sibling.quantity is not None:
                sibling.quantity = leg.remaining
