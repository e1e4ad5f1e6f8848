"""Alpaca as a broker: no order lost, none doubled, whatever breaks.

An order's life: its approval is spent; the intent is written down; shares held by our own resting stops are released
(for an exit); it is sent once. A usable answer is written down. After anything else nobody knows what became of it, so
the next step is always to ask for it by its client order id: it is there (good), it is not (the same id may be sent
again: Alpaca takes an id once and for all), or nobody answers (`uncertain`; :meth:`AlpacaBroker.sync` asks again).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from trading_platform.brokers.alpaca_history import parse_history, read_activities
from trading_platform.brokers.alpaca_http import AlpacaHttp, AlpacaRefusalError, Failure, FailureKind, SendError
from trading_platform.brokers.alpaca_orders import (
    OrderForm,
    OrderFormError,
    order_form,
    parse_instant,
    parse_order,
    rests_stops,
    root_id,
    to_request,
)
from trading_platform.brokers.books import AccountHistory, TheirBook
from trading_platform.core.errors import ApprovalError, BrokerUnreachableError, FixCredentialsError
from trading_platform.core.ports import (
    ApprovalRegister,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    Clock,
    JournalOrder,
    OrderJournal,
)
from trading_platform.core.types import ApprovedOrder, Fill, OrderIntent, OrderReason, OrderStatus, Side

PREFIX = "tp-"
SENDS = 3  # of one order under one id
RELEASE_CHECKS = 20  # looks at a cancelled order before it counts as still holding its shares
RELEASE_WAIT = 0.25  # seconds between them
STEADY_READINGS = 3
MAX_ORDERS = 500  # Alpaca's largest page

Checkpoint = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BrokerClock:
    """The exchange clock as Alpaca has it, all instants UTC."""

    timestamp: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


@dataclass(frozen=True, slots=True)
class AssetFlags:
    """What may be done with a ticker. A halted or delisted one is not tradable."""

    ticker: str
    tradable: bool
    fractionable: bool
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity at the close of a session, dollars; deposits and withdrawals of that day (signed)."""

    session_open: datetime
    equity: float
    cash_flow: float


class AlpacaBroker:
    """The account at Alpaca; implements `core.ports.Broker`.

    Parameters
    ----------
    http
        The tamed clients.
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
        before_intent, after_intent, before_post, after_post, after_response, after_commit, after_fill.
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
        checkpoint: Checkpoint = lambda step: None,
    ) -> None:
        self._http = http
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
        return self._http.read("account", self._http.trading.get_account, _parse_account)

    def positions(self) -> list[BrokerPosition]:
        """Return all open positions, manual ones included."""
        return self._http.read("positions", self._http.trading.get_all_positions, _parse_positions)

    def exchange_clock(self) -> BrokerClock:
        """Return Alpaca's clock."""
        return self._http.read("clock", self._http.trading.get_clock, _parse_clock)

    def sessions(self, start: date, end: date) -> list[tuple[date, str, str]]:
        """Return (session, open, close) in New York wall time for sessions in [start, end]."""
        from alpaca.trading.requests import GetCalendarRequest

        request = GetCalendarRequest(start=start, end=end)
        return self._http.read("calendar", lambda: self._http.trading.get_calendar(request), _parse_calendar)

    def assets(self, tickers: Iterable[str]) -> dict[str, AssetFlags]:
        """Return the flags of `tickers` in one request; a ticker that Alpaca does not list is not tradable."""
        from alpaca.trading.enums import AssetClass, AssetStatus
        from alpaca.trading.requests import GetAssetsRequest

        request = GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY)
        listed = self._http.read("assets", lambda: self._http.trading.get_all_assets(request), _parse_assets)
        flags = {ticker: listed.get(ticker) or AssetFlags(ticker, False, False) for ticker in tickers}
        self._unfractionable = frozenset(ticker for ticker, flag in flags.items() if not flag.fractionable)
        return flags

    def equity_history(self, start: datetime) -> list[EquityPoint]:
        """Return daily equity from `start` on. Alpaca's own profit figures count from a base value and are not used."""
        from alpaca.trading.requests import GetPortfolioHistoryRequest

        request = GetPortfolioHistoryRequest(start=start, timeframe="1D", cashflow_types="CSD,CSW")
        return self._http.read(
            "portfolio history", lambda: self._http.trading.get_portfolio_history(request), _parse_equity
        )

    def open_orders(self) -> list[BrokerOrder]:
        """Return open orders, foreign ones included, flat. Alpaca does not list held stops: `sync` finds ours."""
        return self._list_open()

    def find_order(self, client_order_id: str) -> BrokerOrder | None:
        """Return our order, or leg ``<parent>-stop`` / ``<parent>-target``, or None if Alpaca has never seen it."""
        root = root_id(client_order_id)
        order = self._find_root(root)
        if order is None or root == client_order_id:
            return order
        return next((leg for leg in order.legs if leg.client_order_id == client_order_id), None)

    def fills_since(self, instant: datetime) -> list[Fill]:
        """Return executions of our orders after `instant`, oldest first.

        Alpaca may enter a fill a little late, so pass an instant well before the last one known and book by `fill_id`.
        """
        orders, _ = self.sync()
        fills = sorted(self._history(instant, orders).fills, key=lambda fill: fill.filled_at)
        self._checkpoint("after_fill")
        return fills

    def history_since(self, instant: datetime) -> AccountHistory:
        """Return all that happened to the account after `instant`: fills, manual trades, money, splits."""
        orders, _ = self._look()
        return self._history(instant, orders)

    def rests_stops(self, quantity: float) -> bool:
        """Return True if Alpaca can hold the stop of a position of so many shares; else the engine watches it."""
        return rests_stops(quantity)

    # ------------------------------------------------------------ reconciliation

    def sync(self) -> tuple[list[BrokerOrder], frozenset[str]]:
        """Ask for every order that is open to us, by id, and write the news down.

        Returns
        -------
        tuple
            Their present state with legs, and the ids that Alpaca has never seen (for `reconcile` to judge).
        """
        known = {row.client_order_id: row for row in self._journal.open_orders()}
        found, missing = self._look()
        for order in found:
            if _is_news(order, known):
                self._journal.record_order(order)
        return found, missing

    def _look(self) -> tuple[list[BrokerOrder], frozenset[str]]:
        """Ask for every order that is open to us; write nothing."""
        found: list[BrokerOrder] = []
        missing: set[str] = set()
        known = {row.client_order_id: row for row in self._journal.open_orders()}
        for root in dict.fromkeys(root_id(key) for key in known):
            order = self._find_root(root, known[root].broker_order_id if root in known else None)
            if order is None:
                missing |= {key for key in known if root_id(key) == root}
            else:
                found.append(order)
        return found, frozenset(missing)

    def _history(self, instant: datetime, orders: Sequence[BrokerOrder]) -> AccountHistory:
        """Return the history, `orders` being the latest looks at ours: they name legs the journal may not know yet."""
        names: dict[str, JournalOrder] = {}
        for order in orders:
            row = self._journal.find_order(order.client_order_id)
            if row is not None:
                reason = row.reason if order.reason is OrderReason.NONE else order.reason
                names[order.broker_order_id] = replace(row, reason=reason)
                names |= {leg.broker_order_id: _leg_row(row, leg) for leg in order.legs}

        def order_of(broker_order_id: str) -> JournalOrder | None:
            return names.get(broker_order_id) or self._order_named(broker_order_id)

        return parse_history(read_activities(self._http, instant), order_of)

    def book_since(self, instant: datetime) -> TheirBook:
        """Return the broker's side for `reconcile`, read until two looks at the account agree. Writes nothing.

        Raises
        ------
        BrokerUnreachableError
            No answer, or an account that never stands still.
        """
        before = self._holdings()
        for _ in range(STEADY_READINGS):
            ours, missing = self._look()
            listed = self._list_open()
            history = self._history(instant, ours)
            after = self._holdings()
            if before == after:
                account, positions = after
                legs = {leg.broker_order_id for order in ours for leg in order.legs}
                known = {order.broker_order_id for order in ours} | legs
                others = tuple(order for order in listed if order.broker_order_id not in known)
                held = {position.ticker: position for position in positions}
                return TheirBook(account.cash, held, (*ours, *others), missing, history)
            before = after
        raise BrokerUnreachableError(
            "the account changes with every look at it; try again when fewer orders are filling"
        )

    def _holdings(self) -> tuple[BrokerAccount, list[BrokerPosition]]:
        account, positions = self.account(), self.positions()
        # Prices move all the time; cash and shares are what must agree.
        return replace(account, equity=None, buying_power=None), [replace(p, price=None) for p in positions]

    # ------------------------------------------------------------ changing

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
        try:
            form = order_form(intent, fractionable=intent.ticker not in self._unfractionable)
            to_request(form, order.client_order_id)
        except OrderFormError as error:
            return self._record(_outcome(order, OrderStatus.REJECTED, f"not sent: {error}"))
        if intent.side is Side.SELL and not self._release(intent.ticker):
            return self._record(
                _outcome(order, OrderStatus.REJECTED, "not sent: a resting order still holds the shares")
            )
        return self._record(self._send(order, form))

    def cancel_order(self, client_order_id: str) -> None:
        """Cancel one of our orders, or a leg with its group; a no-op when it is no longer open.

        Raises
        ------
        ApprovalError
            The order is not ours.
        BrokerUnreachableError
            Alpaca did not say what became of the request; the order may still be open.
        """
        self._check_ours(client_order_id)
        order = self.find_order(client_order_id)
        if order is None or not order.status.is_open:
            return
        self._cancel(order)
        news = self._find_root(root_id(client_order_id))
        if news is not None:
            self._journal.record_order(news)

    def _check_ours(self, client_order_id: str) -> None:
        if not client_order_id.startswith(self._prefix):
            raise ApprovalError(
                f"order {client_order_id!r} does not begin with {self._prefix!r}: it is not ours to touch"
            )

    def _record(self, order: BrokerOrder) -> BrokerOrder:
        self._journal.record_order(order)
        self._checkpoint("after_commit")
        return order

    # ------------------------------------------------------------ sending

    def _send(self, order: ApprovedOrder, form: OrderForm) -> BrokerOrder:
        failure: Failure | None = None
        for attempt in range(SENDS):
            if attempt > 0:
                self._wait(max(RELEASE_WAIT, (failure.retry_after or 0.0) if failure is not None else 0.0))
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
        return _outcome(order, status, f"not accepted so far: {why}")

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
            self._journal.record_order(_outcome(order, OrderStatus.REJECTED, f"keys refused: {failure}"))
            raise FixCredentialsError(
                f"order {order.client_order_id}: Alpaca refused the keys ({failure}); replace ALPACA_API_KEY and "
                "ALPACA_SECRET_KEY"
            )
        if failure.is_definitive and not _is_duplicate(failure):
            return _outcome(order, OrderStatus.REJECTED, str(failure))
        try:
            found = self._find_root(order.client_order_id)
        except (BrokerUnreachableError, AlpacaRefusalError) as error:
            return _outcome(order, OrderStatus.UNCERTAIN, f"{failure}; {error}")
        if found is None:
            return None
        if not _is_same(found, order.intent):
            taken = f"{found.side} {found.quantity:g} {found.ticker}"
            return _outcome(
                order, OrderStatus.REJECTED, f"the id is taken by another order ({taken}); nothing was sent"
            )
        return found

    def _release(self, ticker: str) -> bool:
        """Cancel our resting sells of `ticker`, since Alpaca sells shares only once; return True when none is left."""
        for root in dict.fromkeys(
            root_id(row.client_order_id)
            for row in self._journal.open_orders()
            if row.ticker == ticker and row.side is Side.SELL and row.broker_order_id is not None
        ):
            if not self._release_root(root):
                return False
        return True

    def _release_root(self, root: str) -> bool:
        for _ in range(RELEASE_CHECKS):
            order = self._find_root(root)
            working = (
                [] if order is None else [o for o in (order, *order.legs) if o.side is Side.SELL and o.status.is_open]
            )
            if not working:
                if order is not None:
                    self._journal.record_order(order)
                return True
            with contextlib.suppress(BrokerUnreachableError):  # the next look tells
                self._cancel(working[0])
            self._wait(RELEASE_WAIT)
        return False

    def _cancel(self, order: BrokerOrder) -> None:
        """Send a cancellation, which may safely be repeated; what is closed or unknown needs none."""
        trading = self._http.trading
        for _ in range(SENDS):
            try:
                self._http.send(lambda: trading.cancel_order_by_id(order.broker_order_id), lambda raw: None)
            except SendError as error:
                if error.failure.kind in (FailureKind.REFUSED, FailureKind.NOT_FOUND):
                    return
                if error.failure.kind is FailureKind.CREDENTIALS:
                    raise FixCredentialsError(f"cancel {order.client_order_id}: {error.failure}") from error
                failure = error.failure
                self._wait(max(RELEASE_WAIT, failure.retry_after or 0.0))
            else:
                return
        raise BrokerUnreachableError(
            f"cancel {order.client_order_id}: no usable answer ({failure}); it may still be open"
        )

    # ------------------------------------------------------------ finding

    def _find_root(self, client_order_id: str, broker_order_id: str | None = None) -> BrokerOrder | None:
        """Return an order with its legs, which Alpaca shows by its own id only."""
        trading = self._http.trading
        try:
            if broker_order_id is not None:
                return self._nested(broker_order_id)
            raw = self._http.read(
                f"order {client_order_id}", lambda: trading.get_order_by_client_id(client_order_id), _mapping
            )
        except AlpacaRefusalError as error:
            if error.failure.kind is FailureKind.NOT_FOUND:
                return None
            raise
        if str(raw.get("order_class") or "simple") in ("simple", ""):
            return parse_order(raw)
        return self._nested(str(raw["id"]))

    def _nested(self, broker_order_id: str) -> BrokerOrder:
        from alpaca.trading.requests import GetOrderByIdRequest

        request = GetOrderByIdRequest(nested=True)
        trading = self._http.trading
        return self._http.read(
            f"order {broker_order_id}", lambda: trading.get_order_by_id(broker_order_id, request), parse_order
        )

    def _list_open(self) -> list[BrokerOrder]:
        from alpaca.trading.enums import QueryOrderStatus
        from alpaca.trading.requests import GetOrdersRequest

        request = GetOrdersRequest(status=QueryOrderStatus.OPEN, limit=MAX_ORDERS, nested=False)
        raw = self._http.read("open orders", lambda: self._http.trading.get_orders(request), _sequence)
        if len(raw) >= MAX_ORDERS:
            raise BrokerUnreachableError(f"the account has {MAX_ORDERS} or more open orders; cancel some of them")
        return [parse_order(entry) for entry in raw]

    def _order_named(self, broker_order_id: str) -> JournalOrder | None:
        """Return our order or leg with Alpaca's id; one that the journal does not know yet is asked for."""
        known = self._journal.find_broker_order(broker_order_id)
        if known is not None:
            return known
        try:
            raw = self._http.read(
                f"order {broker_order_id}", lambda: self._http.trading.get_order_by_id(broker_order_id), _mapping
            )
        except AlpacaRefusalError as error:
            if error.failure.kind is FailureKind.NOT_FOUND:
                return None
            raise
        client_order_id = str(raw["client_order_id"])
        return self._journal.find_order(client_order_id) if client_order_id.startswith(self._prefix) else None


def _outcome(order: ApprovedOrder, status: OrderStatus, message: str) -> BrokerOrder:
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


def _leg_row(parent: JournalOrder, leg: BrokerOrder) -> JournalOrder:
    return replace(
        parent,
        client_order_id=leg.client_order_id,
        broker_order_id=leg.broker_order_id,
        side=leg.side,
        quantity=leg.quantity,
        filled_quantity=leg.filled_quantity,
        status=leg.status,
        reason=leg.reason,
        stop_price=None,
        target_price=None,
    )


def _is_duplicate(failure: Failure) -> bool:
    return failure.status == 422 and "client_order_id" in failure.message and "unique" in failure.message


def _is_same(found: BrokerOrder, intent: OrderIntent) -> bool:
    same_size = abs(found.quantity - intent.quantity) <= 1e-6
    return (found.ticker, found.side) == (intent.ticker, intent.side) and same_size


def _is_news(order: BrokerOrder, known: Mapping[str, JournalOrder]) -> bool:
    for seen in (order, *order.legs):
        row = known.get(seen.client_order_id)
        state = (seen.status, seen.filled_quantity, seen.broker_order_id)
        if row is None:
            if seen.status.is_open:
                return True
        elif (row.status, row.filled_quantity, row.broker_order_id) != state:
            return True
    return False


# ---------------------------------------------------------------- answers


def _mapping(raw: object) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise ValueError(f"expected an object, got {type(raw).__name__}")
    return raw


def _sequence(raw: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(raw, list):
        raise ValueError(f"expected a list, got {type(raw).__name__}")
    return raw


def _parse_account(raw: Any) -> BrokerAccount:
    blocked = any(raw.get(flag) for flag in ("trading_blocked", "account_blocked", "trade_suspended_by_user"))
    return BrokerAccount(
        account_id=str(raw.get("account_number") or raw["id"]),
        equity=_dollars(raw.get("equity")),
        cash=_dollars(raw.get("cash")),
        buying_power=_dollars(raw.get("buying_power")),
        is_blocked=blocked or str(raw["status"]) != "ACTIVE",
    )


def _parse_positions(raw: Any) -> list[BrokerPosition]:
    return [
        BrokerPosition(
            ticker=str(entry["symbol"]),
            quantity=-abs(float(entry["qty"])) if entry.get("side") == "short" else float(entry["qty"]),
            entry_price=float(entry["avg_entry_price"]),
            price=_dollars(entry.get("current_price")),
        )
        for entry in _sequence(raw)
    ]


def _parse_clock(raw: Any) -> BrokerClock:
    instants = [parse_instant(raw[key]) for key in ("timestamp", "next_open", "next_close")]
    now, opens, closes = (instant.astimezone(UTC) for instant in instants if instant is not None)
    return BrokerClock(now, bool(raw["is_open"]), opens, closes)


def _parse_calendar(raw: Any) -> list[tuple[date, str, str]]:
    return [(date.fromisoformat(str(e["date"])), str(e["open"]), str(e["close"])) for e in _sequence(raw)]


def _parse_assets(raw: Any) -> dict[str, AssetFlags]:
    return {
        str(entry["symbol"]): AssetFlags(
            ticker=str(entry["symbol"]),
            tradable=bool(entry["tradable"]) and entry.get("status") == "active",
            fractionable=bool(entry["fractionable"]),
            attributes=tuple(str(name) for name in entry.get("attributes") or ()),
        )
        for entry in _sequence(raw)
    }


def _parse_equity(raw: Any) -> list[EquityPoint]:
    flows: Mapping[str, Sequence[float]] = raw.get("cashflow") or {}
    points = []
    for place, (stamp, equity) in enumerate(zip(raw["timestamp"], raw["equity"], strict=True)):
        moved = sum(float(series[place] or 0.0) for series in flows.values())
        points.append(EquityPoint(datetime.fromtimestamp(stamp, tz=UTC), float(equity), moved))
    return points


def _dollars(value: object) -> float | None:
    return None if value is None or value == "" else float(str(value))
