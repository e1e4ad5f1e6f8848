"""The paper broker: an account that fills orders by the decision core's own rules, and survives restarts.

It runs `core.session.settle_book` on its book, the session of the simulation kernel itself: next-open fills with
costs, volume caps, stops and targets, splits and dividends. Nothing here decides a price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

from trading_platform.brokers.venue import PendingOrder, Refuser, refuses_nothing
from trading_platform.core.booking import withdraw_growth
from trading_platform.core.compiled import as_rows, direct, plain
from trading_platform.core.errors import OperatorNeededError, RepairDatabaseError
from trading_platform.core.fill_log import CROSSED, OF_ORDER, new_fill_log
from trading_platform.core.ledger import SHARE_NOISE, Record
from trading_platform.core.market import Market
from trading_platform.core.order_reasons import ORDER_REASONS
from trading_platform.core.plan import Book
from trading_platform.core.ports import ApprovalRegister, BrokerOrder, SavedBook
from trading_platform.core.reasons import DELISTED, STOP_LOSS, TAKE_PROFIT
from trading_platform.core.risk.memory import checksum
from trading_platform.core.round_trips import EPOCH, LoggedFill, account_flows, round_trip
from trading_platform.core.saved_books import BadBookError, account_text, read_account, read_slots, slots_text
from trading_platform.core.session import Rules, settle_book
from trading_platform.core.simulate import open_books
from trading_platform.core.types import ApprovedOrder, ClosedTrade, Fill, OrderStatus, Settlement, Side

LEGS = {STOP_LOSS: "stop", TAKE_PROFIT: "target", DELISTED: "delisted"}

_withdraw = plain(withdraw_growth)


class PaperBroker:
    """A simulated account.

    Parameters
    ----------
    rules, capital
        Limits, exits and costs that govern fills; dollars at the start.
    tickers, strategies
        Names of columns and strategy numbers.
    approvals
        Where approvals are spent: `RiskManager`.
    refuses, open_after
        Which entries operators want no more, and the open that follows a session: those that still wait for it are
        withdrawn, as at a broker. None: nobody speaks meanwhile, as in a replay.

    Attributes
    ----------
    book, record, slots, lots, stopped
        The book in the kernel's form, and views of its parts (`core.ledger`).
    """

    def __init__(
        self,
        rules: Rules,
        capital: float,
        tickers: Sequence[str],
        strategies: Sequence[str],
        approvals: ApprovalRegister,
        refuses: Refuser = refuses_nothing,
        open_after: Callable[[date], datetime] | None = None,
    ) -> None:
        self._rules = as_rows(rules.limits), as_rows(rules.exits), as_rows(rules.costs)
        self._tickers = tickers
        self._strategies = strategies
        self._columns = {ticker: i for i, ticker in enumerate(tickers)}
        self._numbers = {name: i for i, name in enumerate(strategies)}
        self._approvals = approvals
        self._refuses, self._open_after = refuses, open_after
        self._withdrawn: set[str] = set()  # ids of the orders of which nothing waits any more
        books = open_books(1, rules.limits.max_positions, len(strategies), len(tickers), capital)
        self.book = Book(books.accounts, books.slots[0], books.lots[0], books.stopped[0])
        self.record: Record = books.accounts[0]
        self.slots, self.lots, self.stopped = self.book.slots, self.book.lots, self.book.stopped
        self._settle_book = direct(settle_book)
        self._log = new_fill_log(4 * len(self.slots) * (len(strategies) + 1))
        self._pending: dict[int, BrokerOrder] = {}  # by slot
        self._entry_ids: dict[int, str] = {}

    # ------------------------------------------------------------ orders

    def place_order(self, order: ApprovedOrder) -> BrokerOrder:
        """Take an approved order for the next open.

        Raises
        ------
        ApprovalError
            The approval was not given, was spent, or has expired.
        """
        self._approvals.consume(order)
        intent = order.intent
        s = self._slot_of(self._columns[intent.ticker])
        if intent.side == Side.BUY:
            self._entry_ids[s] = order.client_order_id
        self._pending[s] = _waiting(order.client_order_id, intent.ticker, intent.side, intent.quantity, self.slots[s])
        return self._pending[s]

    # ------------------------------------------------------------ a session

    def settle(self, market: Market, t: int, session: date, opened: datetime, closed: datetime) -> Settlement:
        """Run session `t` up to its close and return what happened; orders that did not fill have expired."""
        before, accounts = self.record.copy(), self.book.accounts
        equity = self._settle_book(market, accounts, self.slots, self.lots, self.stopped, t, *self._rules, self._log)
        flows = account_flows(before, self.record)
        if not self._pending and self._log.used[0] == 0:
            return Settlement(equity, [], {}, flows)
        fills: list[tuple[Fill, float, ClosedTrade | None]] = []
        filled: dict[str, float] = {}
        for row in self._log.rows[: self._log.used[0]].tolist():
            made = LoggedFill._make(row)
            order = self._pending.get(made.slot)
            if made.kind == OF_ORDER and order is not None:
                client_order_id = order.client_order_id
                filled[client_order_id] = filled.get(client_order_id, 0.0) + made.quantity
            elif made.kind == CROSSED:
                client_order_id = netting_id(session, self._tickers[made.ticker])
            else:
                entry_id = self._entry_ids.get(made.slot, self._tickers[made.ticker])
                client_order_id = f"{entry_id}-{LEGS.get(made.reason, ORDER_REASONS[made.reason].value)}"
            fill = self._fill(made, client_order_id, session, opened if made.kind in (OF_ORDER, CROSSED) else closed)
            fills.append((fill, made.realized, round_trip(made, self._tickers, self._strategies, session)))
        ended: dict[str, tuple[OrderStatus, float]] = {}
        for order in self._pending.values():
            quantity = filled.get(order.client_order_id, 0.0)
            status = _final_status(order.quantity, quantity)
            is_withdrawn = order.client_order_id in self._withdrawn
            ended[order.client_order_id] = (OrderStatus.CANCELED if is_withdrawn else status, quantity)
        self._pending = {}
        self._withdrawn.clear()
        for s, column in enumerate(self.slots["ticker"].tolist()):
            if column < 0:
                self._entry_ids.pop(s, None)
        return Settlement(equity, fills, ended, flows)

    def watch(self, now: datetime) -> bool:
        """Withdraw what operators want no more of the entries that wait for the open; return True if there was any.

        Nothing else happens to a simulated account between sessions.
        """
        settled = EPOCH + timedelta(days=int(self.record["day"]))
        if self._open_after is None or not self._pending or now >= self._open_after(settled):
            return False
        before = len(self._withdrawn)
        for s, order in self._pending.items():
            if order.side is Side.BUY and order.client_order_id not in self._withdrawn:
                buying = [k for k, lot in enumerate(self.lots[s]) if lot["delta"] > 0.0]
                if self._refuses(order.ticker, [self._strategies[k] for k in buying]):
                    _withdraw(self.slots, self.lots, s)
                    self._withdrawn.add(order.client_order_id)
        return len(self._withdrawn) > before

    # ------------------------------------------------------------ restart

    def snapshot(self, session: date) -> SavedBook:
        """Return the book after `session` as text, exact to the last bit."""
        account = account_text(self.book.accounts)
        entries = {str(s): key for s, key in self._entry_ids.items()}
        slots = slots_text(self.slots, self.lots, self.stopped, entries=entries)
        return SavedBook(session, account, slots, checksum(account + slots))

    def restore(self, saved: SavedBook, open_orders: Sequence[PendingOrder]) -> None:
        """Continue from a saved book and the orders that were waiting then.

        Raises
        ------
        RepairDatabaseError
            The book does not match its checksum or this configuration.
        """
        if checksum(saved.account + saved.slots) != saved.checksum:
            raise RepairDatabaseError(
                "table paper_books: the book does not match its checksum; restore a backup of the database"
            )
        try:
            self.book.accounts[:] = read_account(saved.account)
            beside = read_slots(saved.slots, self.slots, self.lots, self.stopped)
        except BadBookError as error:
            raise RepairDatabaseError(f"table paper_books: {error}; use the risk limits of the run") from error
        self._entry_ids = {int(s): key for s, key in beside["entries"].items()}
        slot_of = {key: s for s, key in self._entry_ids.items()}
        for order in open_orders:
            s = slot_of[order.client_order_id] if order.side == Side.BUY else self._slot_of(self._columns[order.ticker])
            self._pending[s] = _waiting(order.client_order_id, order.ticker, order.side, order.quantity, self.slots[s])

    # ------------------------------------------------------------ inside

    def _slot_of(self, column: int) -> int:
        tickers: list[int] = self.slots["ticker"].tolist()
        if column not in tickers:
            raise OperatorNeededError(f"paper account: no position or entry in {self._tickers[column]} for the order")
        return tickers.index(column)

    def _fill(self, made: LoggedFill, client_order_id: str, session: date, at: datetime) -> Fill:
        return Fill(
            client_order_id=client_order_id,
            ticker=self._tickers[made.ticker],
            side=Side.BUY if made.side > 0 else Side.SELL,
            quantity=made.quantity,
            price=made.price,
            amount=made.amount,
            fees=made.fees,
            filled_at=at,
            session=session,
            strategy=self._strategies[made.strategy],
            reason=ORDER_REASONS[made.reason],
            spread=made.spread,
            slippage=made.slippage,
            impact=made.impact,
        )


def netting_id(session: date, ticker: str) -> str:
    """Return the name under which strategies' trades with each other in `ticker` are booked."""
    return f"tp-{session.isoformat().replace('-', '')}-{ticker}-netted"


def _waiting(client_order_id: str, ticker: str, side: Side, quantity: float, slot: Record) -> BrokerOrder:
    """Return an order that waits for the next open; a slot has at most one."""
    return BrokerOrder(
        client_order_id=client_order_id,
        broker_order_id=client_order_id,
        ticker=ticker,
        side=side,
        quantity=quantity,
        filled_quantity=0.0,
        filled_average_price=None,
        status=OrderStatus.SUBMITTED,
        limit_price=float(slot["limit_price"]) if side == Side.BUY else None,
        stop_price=float(slot["stop"]),
        submitted_at=None,
    )


def _final_status(quantity: float, filled: float) -> OrderStatus:
    return OrderStatus.FILLED if filled >= quantity - SHARE_NOISE else OrderStatus.EXPIRED
