"""Another engine on the same account, with another database: found out by orders of our form that we never wrote down.

Every order of ours is written down before it is sent, so one that begins as ours do and that our journal has never had
was sent by somebody else. Whoever came second, by the first order of each, takes no new risk until an operator has
looked; what it holds it goes on protecting and selling. An engine on a restored, older database is the first one still.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from trading_platform.core.alert_states import AlertKind, AlertState
from trading_platform.core.ports import BrokerOrder, JournalOrder

log = logging.getLogger("trading_platform.venue")

FindOrder = Callable[[str], JournalOrder | None]


class SecondEngine:
    """Looks for orders of another engine at each look at the account.

    Parameters
    ----------
    all_orders
        Returns every order of our form that the account ever had; asked for only when a stranger is seen.
    find_order
        Returns our own row of an order, None if we never wrote one.
    prefix
        Our client order ids begin so.
    now
        The engine's time.
    """

    def __init__(
        self,
        all_orders: Callable[[], Sequence[BrokerOrder]],
        find_order: FindOrder,
        prefix: str,
        now: Callable[[], datetime],
    ) -> None:
        self._all_orders = all_orders
        self._find_order = find_order
        self._prefix = prefix
        self._now = now
        self._judged: set[str] = set()
        self._words: str | None = None
        self._since: datetime | None = None

    def look(self, orders: Iterable[BrokerOrder], filled: Iterable[str] = ()) -> str | None:
        """Return why no new risk may be taken, None if we may go on.

        Takes the open orders that a reading found, and ids of our form that have `filled` and are in no book of ours.
        Once found to be the second one an engine stays it until it is started again.
        """
        seen = set(filled) | {
            order.client_order_id
            for order in orders
            if order.client_order_id.startswith(self._prefix) and order.parent_id is None
        }
        strange = {key for key in seen - self._judged if self._is_strange(key)}
        if strange and self._words is None:
            self._judge(sorted(strange))
        self._judged |= strange
        return self._words

    def is_anothers(self, client_order_id: str) -> bool:
        """Return True for an order that we must leave alone, being the second engine: we never wrote it down."""
        return self._words is not None and self._is_strange(client_order_id)

    def states(self) -> list[AlertState]:
        """Return the state to tell people of."""
        if self._words is None or self._since is None:
            return []
        return [AlertState(AlertKind.SECOND_ENGINE, "", self._since, f"TWO ENGINES on one account: {self._words}")]

    def _is_strange(self, client_order_id: str) -> bool:
        return self._find_order(client_order_id) is None

    def _judge(self, strange: Sequence[str]) -> None:
        """Find out who was first: the earliest order of ours, or the earliest that we never wrote down."""
        ours, theirs = list[datetime](), list[datetime]()
        for order in self._all_orders():
            if order.submitted_at is not None:
                (theirs if self._is_strange(order.client_order_id) else ours).append(order.submitted_at)
        names = ", ".join(strange[:3]) + (f" and {len(strange) - 3} more" if len(strange) > 3 else "")
        if ours and theirs and min(ours) < min(theirs):
            log.error("another engine trades this account (%s); it came second, and should be stopped", names)
            return
        first = f"since {min(theirs):%Y-%m-%d %H:%M} UTC" if theirs else "first"
        self._since = self._now()
        self._words = (
            f"another engine trades this account {first} ({names}); this one takes no new risk. Stop one of them, then "
            "start the other again"
        )
        log.error("%s", self._words)
