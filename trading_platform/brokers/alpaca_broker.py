"""Alpaca as a broker: no order lost, none doubled, whatever breaks.

An order's life: its approval is spent; the intent is written down; shares held by our own resting stops are released
(for an exit); it is sent once. A usable answer is written down. After anything else nobody knows what became of it, so
the next step is always to ask for it by its client order id: it is there (good), it is not (the same id may be sent
again: Alpaca takes an id once and for all), or nobody answers (`uncertain`; :meth:`AlpacaBroker.sync` asks again).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from trading_platform.alpaca.answers import AssetFlags
from trading_platform.alpaca.failures import AlpacaRefusalError, Failure, FailureKind, SendError
from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca.orders import (
    OrderForm,
    OrderFormError,
    order_form,
    parse_order,
    root_id,
    to_request,
)
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.brokers.alpaca_canceller import RELEASE_CHECKS, SHORTEST_WAIT, AlpacaCanceller, RestingOrders
from trading_platform.brokers.alpaca_resizer import Room, StopResizer
from trading_platform.brokers.reconciliation.alpaca_side import AlpacaBook
from trading_platform.brokers.reconciliation.two_books import SHARE_TOLERANCE, AccountHistory, TheirBook
from trading_platform.brokers.sale_check import SaleCheck, check_sale
from trading_platform.brokers.untold_fills import as_told
from trading_platform.core.errors import ApprovalError, BrokerUnreachableError, FixCredentialsError
from trading_platform.core.ports import (
    ApprovalRegister,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    Checkpoint,
    Clock,
    OrderJournal,
    no_checkpoint,
)
from trading_platform.core.types import ApprovedOrder, OrderIntent, OrderStatus

log = logging.getLogger("trading_platform.alpaca")

PREFIX = "tp-"
SENDS = 3  # of one order under one id
IMPATIENT_CHECKS = 2  # one cancellation, and one look at what it did


class AlpacaBroker:
    """The account at Alpaca as it is spoken to; `alpaca_venue` makes the engine's broker of it.

    Parameters
    ----------
    http
        The tamed clients. What can be asked without changing anything is `AlpacaBroker.reader`.
    approvals
        Where approvals are spent: `RiskManager`.
    journal
        The durable record of our orders.
    clock
        Time, for the expiry of approvals.
    prefix
        Our client order ids begin so. Orders that do not are read and counted, and never touched.
    checkpoint
        Called with the name of each step of an order's life: the crash test kills the process there. Steps:
        before_intent, after_intent, before_post, after_post, after_response, after_commit.
    wait
        How to wait between looks, in seconds.
    """

    def __init__(
        self,
        http: AlpacaHttp,
        approvals: ApprovalRegister,
        journal: OrderJournal,
        clock: Clock,
        wait: Callable[[float], None],
        prefix: str = PREFIX,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._http = http
        self.reader = AlpacaReader(http)
        self._book = AlpacaBook(http, self.reader, journal, prefix)
        resting = RestingOrders(http, self.reader, journal, wait)
        self._canceller, self._resizer = AlpacaCanceller(resting), StopResizer(resting)
        self._approvals = approvals
        self._journal = journal
        self._clock = clock
        self._wait = wait
        self._prefix = prefix
        self._checkpoint = checkpoint
        self._unfractionable: frozenset[str] = frozenset()

    # ------------------------------------------------------------ reading

    def account(self) -> BrokerAccount:
        """Return the account; None where Alpaca did not tell a number."""
        return self.reader.account()

    def positions(self) -> list[BrokerPosition]:
        """Return all open positions, manual ones included."""
        return self.reader.positions()

    def assets(self, tickers: Iterable[str]) -> dict[str, AssetFlags]:
        """Return the flags of `tickers`, and remember which have no fractions."""
        flags = self.reader.assets(tickers)
        self._unfractionable = frozenset(ticker for ticker, flag in flags.items() if not flag.fractionable)
        return flags

    def open_orders(self) -> list[BrokerOrder]:
        """Return open orders, foreign ones included, flat. Alpaca does not list held stops: `sync` finds ours."""
        return self.reader.open_orders()

    def find_order(self, client_order_id: str) -> BrokerOrder | None:
        """Return our order, or leg ``<parent>-stop`` / ``<parent>-target``, or None if Alpaca has never seen it."""
        root = root_id(client_order_id)
        order = self.reader.order(root)
        if order is None or root == client_order_id:
            return order
        return next((leg for leg in order.legs if leg.client_order_id == client_order_id), None)

    def history_since(self, instant: datetime) -> AccountHistory:
        """Return all that happened to the account after `instant`: fills, manual trades, money, splits."""
        return self._book.history_since(instant)

    def sync(self) -> tuple[list[BrokerOrder], frozenset[str]]:
        """Ask for every order that is open to us and write the news down (`AlpacaBook.sync`)."""
        return self._book.sync()

    @property
    def strange_orders(self) -> frozenset[str]:
        """Ids of our form that have filled, as readings found, and that we never wrote down."""
        return frozenset(self._book.strange)

    def book_since(self, instant: datetime) -> TheirBook:
        """Return the broker's side for `reconcile` (`AlpacaBook.book_since`). Writes nothing."""
        return self._book.book_since(instant)

    def check_sale(self, ticker: str, price: float) -> SaleCheck:
        """Return what would refuse a sale of `ticker` now, whose last known price is `price` dollars.

        Raises
        ------
        BrokerUnreachableError
            No usable answer.
        """
        try:
            account, asset = self.reader.account(), self.reader.asset(ticker)
            return check_sale(ticker, price, account, asset, self.reader.open_orders(), self._prefix)
        except AlpacaRefusalError as error:
            raise BrokerUnreachableError(f"Alpaca refuses to show what would refuse a sale: {error}") from error

    # ------------------------------------------------------------ changing

    def release(self, ticker: str, *, is_patient: bool) -> bool:
        """Cancel our orders that hold the shares of `ticker`, which an exit needs; return True when none does any more.

        `is_patient`: wait some seconds for the cancellations, which after hours may pend until the next open.

        Raises
        ------
        BrokerUnreachableError
            No usable answer.
        """
        checks = RELEASE_CHECKS if is_patient else IMPATIENT_CHECKS
        return self._canceller.release(ticker, with_entry=True, checks=checks)

    def resize(self, ticker: str, shares: float, *, is_patient: bool) -> Room:
        """Let the resting stop of `ticker` protect `shares`, where Alpaca changes it: a reduction sells the others.

        Raises
        ------
        BrokerUnreachableError
            No usable answer.
        """
        return self._resizer.resize(ticker, shares, RELEASE_CHECKS if is_patient else IMPATIENT_CHECKS)

    def place_order(self, order: ApprovedOrder) -> BrokerOrder:
        """Send an approved order; never raises for an unclear outcome.

        Returns
        -------
        BrokerOrder
            `submitted` or further; `rejected` with Alpaca's words (or ours, if it was never sendable); `uncertain`.

        Raises
        ------
        ApprovalError
            No valid approval, or the id is not one of ours; nothing was sent.
        FixCredentialsError
            Alpaca refused the keys; the order was not accepted.
        """
        self._check_ours(order.client_order_id)
        self._approvals.consume(order)
        self._checkpoint("before_intent")
        self._journal.record_intent(order)
        self._checkpoint("after_intent")
        intent = order.intent
        known = self._journal.find_order(order.client_order_id)
        if known is not None and known.broker_order_id is not None and known.status.is_open:
            found = self.find_order(order.client_order_id)  # decided again after a crash: it has been sent before
            if found is not None:
                return self._record(found)
        try:
            form = order_form(intent, fractionable=intent.ticker not in self._unfractionable)
            to_request(form, order.client_order_id)
        except OrderFormError as error:
            return self._record(own_answer(order, OrderStatus.REJECTED, f"not sent: {error}"))
        if not (self._resizer.takes_room(intent) or self._canceller.make_way(intent)):
            return self._record(
                own_answer(order, OrderStatus.REJECTED, "not sent: a resting order still holds the shares")
            )
        return self._record(self._send(order, form))

    def cancel_order(self, client_order_id: str) -> None:
        """Cancel one of our orders, or what is left of its group; a no-op when nothing of it is open.

        Raises
        ------
        ApprovalError
            The order is not ours.
        BrokerUnreachableError
            Alpaca did not say what became of the request; the order may still be open.
        """
        self._check_ours(client_order_id)
        order = self.find_order(client_order_id)
        at_work = [] if order is None else [o for o in (order, *order.legs) if o.status.is_open]
        if not at_work:
            return
        self._canceller.cancel(at_work[0])  # a filled entry leaves its legs behind; one takes its sibling along
        news = self.reader.order(root_id(client_order_id))
        if news is not None and self._journal.find_order(news.client_order_id) is not None:
            self._journal.record_order(as_told(news, self._journal))

    def _check_ours(self, client_order_id: str) -> None:
        if not client_order_id.startswith(self._prefix):
            raise ApprovalError(
                f"order {client_order_id!r} does not begin with {self._prefix!r}: it is not ours to touch"
            )

    def _record(self, order: BrokerOrder) -> BrokerOrder:
        """Write an answer down; what it has traded at once is written when the account's history tells it."""
        self._journal.record_order(as_told(order, self._journal))
        self._checkpoint("after_commit")
        return order

    # ------------------------------------------------------------ sending

    def _send(self, order: ApprovedOrder, form: OrderForm) -> BrokerOrder:
        failure: Failure | None = None
        for attempt in range(SENDS):
            if attempt > 0:
                self._wait(max(SHORTEST_WAIT, (failure.retry_after or 0.0) if failure is not None else 0.0))
            if not self._clock.now() <= order.expires_at:
                break
            try:
                accepted = self._post(order, form)
            except SendError as error:
                failure = error.failure
            else:
                self._checkpoint("after_response")
                return accepted
            settled = self._settle(order, failure)
            self._checkpoint("after_response")
            if settled is not None:
                return settled
        why = "its approval expired" if failure is None else str(failure)
        status = OrderStatus.REJECTED if failure is None else OrderStatus.UNCERTAIN
        return own_answer(order, status, f"not accepted so far: {why}")

    def _post(self, order: ApprovedOrder, form: OrderForm) -> BrokerOrder:
        request = to_request(form, order.client_order_id)
        self._checkpoint("before_post")
        try:
            return self._http.send(lambda: self._http.trading.submit_order(request), parse_order)
        finally:
            self._checkpoint("after_post")

    def _settle(self, order: ApprovedOrder, failure: Failure) -> BrokerOrder | None:
        """Find out what became of a failed request; None if it may be sent again under the same id."""
        if failure.kind is FailureKind.CREDENTIALS:
            self._journal.record_order(own_answer(order, OrderStatus.REJECTED, f"keys refused: {failure}"))
            raise FixCredentialsError(
                f"order {order.client_order_id}: Alpaca refused the keys ({failure}); replace ALPACA_API_KEY and "
                "ALPACA_SECRET_KEY"
            )
        if failure.is_definitive and not _is_duplicate(failure):
            return own_answer(order, OrderStatus.REJECTED, str(failure))
        log.warning("order %s: no usable answer (%s); looking it up", order.client_order_id, failure)
        try:
            found = self.reader.order(order.client_order_id)
        except (BrokerUnreachableError, AlpacaRefusalError) as error:
            log.warning(
                "order %s: nobody can say whether it arrived; asked again at the next scan", order.client_order_id
            )
            return own_answer(order, OrderStatus.UNCERTAIN, f"{failure}; {error}")
        if found is None:
            log.warning("order %s: it has not arrived; it may be sent again under the same id", order.client_order_id)
            return None
        log.warning("order %s: it has arrived, %s; not sent again", order.client_order_id, found.status)
        if not _is_same(found, order.intent):
            taken = f"{found.side} {found.quantity:g} {found.ticker}"
            return own_answer(
                order, OrderStatus.REJECTED, f"the id is taken by another order ({taken}); nothing was sent"
            )
        return found


def own_answer(order: ApprovedOrder, status: OrderStatus, message: str) -> BrokerOrder:
    """Return what is said of an order in the broker's place: it was not sent, or nobody knows what became of it."""
    intent = order.intent
    return BrokerOrder(
        client_order_id=order.client_order_id,
        broker_order_id="",
        ticker=intent.ticker,
        side=intent.side,
        quantity=intent.quantity,
        filled_quantity=0.0,
        filled_average_price=None,
        status=status,
        limit_price=intent.limit_price,
        stop_price=intent.stop_price,
        submitted_at=None,
        reason=intent.reason,
        message=message,
    )


def _is_duplicate(failure: Failure) -> bool:
    return failure.status == 422 and "client_order_id" in failure.message and "unique" in failure.message


def _is_same(found: BrokerOrder, intent: OrderIntent) -> bool:
    same_size = abs(found.quantity - intent.quantity) <= SHARE_TOLERANCE
    return (found.ticker, found.side) == (intent.ticker, intent.side) and same_size
