"""The broker's side of reconciliation: our orders as Alpaca has them, the account's history, and both in one book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from trading_platform.alpaca.answers import Holdings, Unreadable
from trading_platform.alpaca.failures import UnreadableAnswerError
from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca.orders import root_id
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.brokers.reconciliation.alpaca_history import parse_history, read_activities
from trading_platform.brokers.reconciliation.leg_rows import leg_row
from trading_platform.brokers.reconciliation.two_books import AccountHistory, TheirBook, state_of
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerAccount, BrokerOrder, BrokerPosition, JournalOrder, OrderJournal

STEADY_READINGS = 3


class AlpacaBook:
    """Reads what Alpaca has of us.

    Parameters
    ----------
    http, reader
        The tamed clients, and the reader over them.
    journal
        Our own record of orders: it says which to ask for.
    prefix
        Our client order ids begin so.
    """

    def __init__(self, http: AlpacaHttp, reader: AlpacaReader, journal: OrderJournal, prefix: str) -> None:
        self._http = http
        self._reader = reader
        self._journal = journal
        self._prefix = prefix
        self._unread: list[Unreadable] = []  # orders of ours that the last look could not read
        self.strange: set[str] = set()  # ids of our form that have filled and that we never wrote down

    def history_since(self, instant: datetime) -> AccountHistory:
        """Return all that happened to the account after `instant`: fills, manual trades, money, splits."""
        orders, _ = self.look()
        return self.history_of(instant, orders)

    def sync(self) -> tuple[list[BrokerOrder], frozenset[str]]:
        """Ask for every order that is open to us, by id, and write the news down.

        Returns
        -------
        tuple
            Their present state with legs, and the ids that Alpaca has never seen (for `reconcile` to judge).
        """
        known = {row.client_order_id: row for row in self._journal.open_orders()}
        found, missing = self.look()
        for order in found:
            if _is_news(order, known):
                self._journal.record_order(order)
        return found, missing

    def look(self) -> tuple[list[BrokerOrder], frozenset[str]]:
        """Ask for every order that is open to us; write nothing. One that cannot be read is in neither answer."""
        found: list[BrokerOrder] = []
        missing: set[str] = set()
        self._unread = []
        known = {row.client_order_id: row for row in self._journal.open_orders()}
        for root in dict.fromkeys(root_id(key) for key in known):
            try:
                order = self._reader.order(root, known[root].broker_order_id if root in known else None)
            except UnreadableAnswerError as error:
                ticker = next(row.ticker for key, row in known.items() if root_id(key) == root)
                self._unread.append(Unreadable(str(error), ticker))
                continue
            if order is None:
                missing |= {key for key in known if root_id(key) == root}
            else:
                found.append(order)
        return found, frozenset(missing)

    def history_of(self, instant: datetime, orders: Sequence[BrokerOrder]) -> AccountHistory:
        """Return the history, `orders` being the latest looks at ours: they name legs the journal may not know yet."""
        names: dict[str, JournalOrder] = {}
        for order in orders:
            row = self._journal.find_order(order.client_order_id)
            if row is not None:
                reason = row.reason if order.reason is OrderReason.NONE else order.reason
                names[order.broker_order_id] = replace(row, reason=reason)
                names |= {leg.broker_order_id: leg_row(row, leg) for leg in order.legs}

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
        before, _ = self._holdings()
        for _ in range(STEADY_READINGS):
            ours, missing = self.look()
            listed = self._reader.listed_orders(self._prefix)
            history = self.history_of(instant, ours)
            after, unlisted = self._holdings()
            if before == after:
                account, positions, unknown = after
                legs = {leg.broker_order_id for order in ours for leg in order.legs}
                known = {order.broker_order_id for order in ours} | legs
                others = tuple(order for order in listed.orders if order.broker_order_id not in known)
                held = {position.ticker: position for position in positions}
                unreadable = (*self._unread, *listed.unreadable, *unknown, *history.unreadable)
                return TheirBook(
                    account.cash,
                    held,
                    (*ours, *others),
                    missing,
                    history,
                    unreadable,
                    account.trouble,
                    unlisted,
                    listed.owners,
                )
            before = after
        raise BrokerUnreachableError(
            "the account changes with every look at it; try again when fewer orders are filling"
        )

    def _holdings(self) -> tuple[tuple[BrokerAccount, list[BrokerPosition], list[Unreadable]], float | None]:
        """Return what must agree at two looks, and the dollars in positions that are not listed (`TheirBook`)."""
        account, holdings = self._reader.account(), self._reader.holdings()
        # Prices move all the time; cash and shares are what must agree.
        still = replace(account, equity=None, buying_power=None)
        listed = [replace(position, price=None) for position in holdings.positions]
        return (still, listed, holdings.unreadable), _unlisted(account, holdings)

    def _order_named(self, broker_order_id: str) -> JournalOrder | None:
        """Return our order or leg with Alpaca's id; one that the journal does not know yet is asked for."""
        known = self._journal.find_broker_order(broker_order_id)
        if known is not None:
            return known
        client_order_id = self._reader.client_id_of(broker_order_id)
        if client_order_id is None or not client_order_id.startswith(self._prefix):
            return None
        row = self._journal.find_order(client_order_id)
        if row is None:
            self.strange.add(client_order_id)
        return row


def _is_news(order: BrokerOrder, known: Mapping[str, JournalOrder]) -> bool:
    for seen in (order, *order.legs):
        row = known.get(seen.client_order_id)
        if row is None:
            if seen.status.is_open:
                return True
        elif state_of(row) != state_of(seen):
            return True
    return False


def _unlisted(account: BrokerAccount, holdings: Holdings) -> float | None:
    """Return the dollars in positions by equity and cash, less the value of all that are listed; None: not told.

    Below 0 where more is listed than the account says it has, as with shorts of options; that is nobody's shrinking.
    """
    if account.equity is None or account.cash is None or holdings.dollars is None:
        return None
    return account.equity - account.cash - holdings.dollars
