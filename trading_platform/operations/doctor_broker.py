"""`doctor --broker`: one harmless order at the broker, placed far from the market, read, replaced and cancelled.

It shows that keys, account and network let an order live and die, before the engine has to rely on it. The order
buys one share at half the price of a fund that the account neither holds nor has an order in, under ids of its own
(`check-...`), which the engine takes for the owner's and never touches. Whatever happens on the way, what was placed is
cancelled; if that fails, it is said with the order's id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from trading_platform.alpaca.failures import FailureKind, SendError
from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca.orders import OrderForm, parse_order, tick, to_request
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.core.errors import (
    BrokerUnreachableError,
    FixCredentialsError,
    OperatorNeededError,
    TradingPlatformError,
)
from trading_platform.core.ports import BrokerOrder
from trading_platform.core.types import Side
from trading_platform.market_data.alpaca_data import AlpacaMarketData
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.operations.doctor_findings import CheckVerdict, Finding, examined

PREFIX = "check-"
FUNDS = ("SPY", "IVV", "VTI", "QQQ", "DIA")  # liquid at any hour; the first that the account has nothing to do with
FAR = 0.5  # of the last price: such a bid is never met, and no sale of the account could meet it
LOOKS, PAUSE = 20, 0.25  # at an order whose change is on its way; seconds between
PENDING = "pending_cancel"
STEPS = ("order placed", "order read", "order replaced", "order cancelled")
DASHBOARD = "cancel it by hand in Alpaca's dashboard"


class BrokerTrial:
    """The life of one order.

    Parameters
    ----------
    http
        The tamed clients.
    now
        The time, for the order's id.
    seconds, wait
        Seconds that only grow, and how to wait some.
    """

    def __init__(
        self,
        http: AlpacaHttp,
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        wait: Callable[[float], None],
    ) -> None:
        self._http = http
        self._reader = AlpacaReader(http)
        self._seconds = seconds
        self._wait = wait
        stamp = f"{PREFIX}{now():%Y%m%d%H%M%S%f}"
        self._ids = (f"{stamp}-1", f"{stamp}-2")
        self._placed = False
        self._ticker = ""
        self._limit = Decimal(0)

    def run(self) -> list[Finding]:
        """Take all steps, each a finding with its time; a failure ends them. The last finding is of what is left."""
        found: list[Finding] = []
        try:
            for name, step in zip(STEPS, (self._place, self._read, self._replace, self._cancel), strict=True):
                if found and found[-1].verdict is CheckVerdict.FAILED:
                    found.append(Finding(name, CheckVerdict.SKIPPED, f"not tried, since {found[-1].check} failed"))
                    break
                begun = self._seconds()
                outcome = examined(name, step)
                found.append(replace(outcome, text=f"{outcome.text} ({1000.0 * (self._seconds() - begun):.0f} ms)"))
        finally:
            left = self._clear_away()
        return [*found, left]

    # ------------------------------------------------------------ steps

    def _place(self) -> Finding:
        self._ticker, price = self._choose()
        self._limit = tick(FAR * price, ROUND_FLOOR)
        form = OrderForm(self._ticker, Side.BUY, Decimal(1), "simple", "limit", "day", limit_price=self._limit)
        request = to_request(form, self._ids[0])
        self._placed = True  # from here on it may be there, whatever the answer
        order = self._send(lambda: self._http.trading.submit_order(request), self._ids[0])
        text = f"buy 1 {self._ticker} at {self._limit}, far below {price:g}: {order.message}"
        if not order.status.is_open:
            raise OperatorNeededError(f"{text}; look at the account in Alpaca's dashboard")
        return Finding(STEPS[0], CheckVerdict.OK, text)

    def _read(self) -> Finding:
        order = self._look(self._ids[0])
        told = (order.ticker, order.side, order.quantity, order.limit_price)
        if told != (self._ticker, Side.BUY, 1.0, float(self._limit)):
            raise OperatorNeededError(f"another order than was sent came back: {told}; do not trade here")
        return Finding(STEPS[1], CheckVerdict.OK, f"{order.client_order_id} is {order.message}, as it was sent")

    def _replace(self) -> Finding:
        from alpaca.trading.requests import ReplaceOrderRequest

        old, lower = self._look(self._ids[0]), tick(0.98 * float(self._limit), ROUND_FLOOR)
        request = ReplaceOrderRequest(limit_price=float(lower), client_order_id=self._ids[1])
        self._send(lambda: self._http.trading.replace_order_by_id(old.broker_order_id, request), self._ids[1])
        for _ in range(LOOKS):
            successor = self._find(self._ids[1])
            if successor is not None and successor.limit_price == float(lower) and successor.status.is_open:
                return Finding(STEPS[2], CheckVerdict.OK, f"limit {self._limit} is {lower} now: {successor.message}")
            self._wait(PAUSE)
        raise OperatorNeededError(f"the order was not replaced within {LOOKS * PAUSE:g} s; look at Alpaca's dashboard")

    def _cancel(self) -> Finding:
        order = self._look(self._ids[1])
        left = self._cancelled(order)
        if left is None:
            return Finding(STEPS[3], CheckVerdict.OK, "cancelled, and gone")
        if left.message == PENDING:
            cure = "after hours Alpaca may hold a cancellation until the next open; the order cannot fill meanwhile"
            return Finding(STEPS[3], CheckVerdict.WARNING, "the cancellation is pending", cure)
        raise OperatorNeededError(f"the order is still {left.message}; {DASHBOARD}")

    # ------------------------------------------------------------ the end

    def _clear_away(self) -> Finding:
        """Cancel what is still there, and say what cannot be."""
        name = "nothing left"
        if not self._placed:
            return Finding(name, CheckVerdict.OK, "no order was sent")
        filled, pending, left = list[str](), list[str](), list[str]()
        for client_order_id in self._ids:
            try:
                order = self._find(client_order_id)
                rest = None if order is None or not order.status.is_open else self._cancelled(order)
            except TradingPlatformError as error:
                left.append(f"{client_order_id} (nobody can say: {error})")
                continue
            if rest is not None:
                (pending if rest.message == PENDING else left).append(f"{client_order_id} ({rest.message})")
            if order is not None and order.filled_quantity > 0.0:
                filled.append(f"{order.filled_quantity:g} {order.ticker} at {order.filled_average_price}")
        code = OperatorNeededError.exit_code
        if left:
            return Finding(name, CheckVerdict.FAILED, f"an order is left behind: {', '.join(left)}", DASHBOARD, code)
        if filled:
            return Finding(name, CheckVerdict.FAILED, f"bought {', '.join(filled)}", "sell it by hand; tell us", code)
        if pending:
            words = f"the cancellation of {', '.join(pending)} is pending"
            return Finding(name, CheckVerdict.WARNING, words, "look at the next open whether it is gone")
        return Finding(name, CheckVerdict.OK, "no order of this check is open")

    def _cancelled(self, order: BrokerOrder) -> BrokerOrder | None:
        """Cancel an order; return it as it is if it is still there after a while."""
        try:
            self._http.send(lambda: self._http.trading.cancel_order_by_id(order.broker_order_id), lambda raw: None)
        except SendError as error:
            if error.failure.kind is FailureKind.CREDENTIALS:
                raise FixCredentialsError(f"cancel {order.client_order_id}: {error.failure}") from error
        for _ in range(LOOKS):  # after a lost answer as after a good one
            seen = self._find(order.client_order_id)
            if seen is None or not seen.status.is_open:
                return None
            if seen.message == PENDING:
                return seen
            self._wait(PAUSE)
        return seen

    # ------------------------------------------------------------ asking

    def _choose(self) -> tuple[str, float]:
        """Return a fund that the account has nothing to do with, and its last price, dollars."""
        taken = {position.ticker for position in self._reader.positions()}
        taken |= {order.ticker for order in self._reader.open_orders()}
        free = [fund for fund in FUNDS if fund not in taken]
        quotes = AlpacaMarketData(self._http, cache_dir=None, calendar=NyseCalendar())
        prices = quotes.latest_prices(free) if free else {}
        for fund in free:
            if fund in prices:
                return fund, prices[fund].price
        raise OperatorNeededError(
            f"none of {', '.join(FUNDS)} is free and has a price, so no order was sent; try again later"
        )

    def _find(self, client_order_id: str) -> BrokerOrder | None:
        return self._reader.order(client_order_id)

    def _look(self, client_order_id: str) -> BrokerOrder:
        order = self._find(client_order_id)
        if order is None:
            raise OperatorNeededError(f"order {client_order_id} is not known to Alpaca any more; do not trade here")
        return order

    def _send(self, call: Callable[[], object], client_order_id: str) -> BrokerOrder:
        """Send what makes an order under an id of ours; an answer that is lost is looked up by it."""
        try:
            return self._http.send(call, parse_order)
        except SendError as error:
            failure = error.failure
            if failure.kind is FailureKind.CREDENTIALS:
                raise FixCredentialsError(f"Alpaca refused the keys ({failure}); replace them") from error
            if failure.is_definitive:
                raise OperatorNeededError(f"Alpaca refused it: {failure}; look at the account's dashboard") from error
            found = self._find(client_order_id)
            if found is None:
                raise BrokerUnreachableError(f"no usable answer ({failure}), and no order; try again") from error
            return found


def skipped_trial(why: str) -> Sequence[Finding]:
    """Return the findings of a trial that was not made."""
    return [Finding(name, CheckVerdict.SKIPPED, why) for name in STEPS]
