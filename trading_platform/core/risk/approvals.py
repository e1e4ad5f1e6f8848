"""The register of approvals: what was approved and not yet sent, and what was sent since the book was last shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from trading_platform.core.errors import ApprovalError
from trading_platform.core.types import ApprovedOrder, Portfolio, Side


class Approvals:
    """Approvals of one `RiskManager`; each is spent once, by the very object that was handed out."""

    def __init__(self) -> None:
        self._live: dict[str, ApprovedOrder] = {}
        self._reduce_only: set[str] = set()
        self._spent: set[str] = set()
        self._sent: dict[tuple[str, str], float] = {}

    def add(self, order: ApprovedOrder, *, reduce_only: bool) -> None:
        """Register an approval that was just given."""
        self._live[order.client_order_id] = order
        if reduce_only:
            self._reduce_only.add(order.client_order_id)

    def is_spent(self, client_order_id: str) -> bool:
        """Return True if an order with this id was sent in this session."""
        return client_order_id in self._spent

    def is_reduce_only(self, order: ApprovedOrder) -> bool:
        """Return True if the approval holds whatever the state of the account."""
        return order.client_order_id in self._reduce_only

    def void(self, client_order_id: str) -> ApprovedOrder | None:
        """Take back an approval that was not spent; return it, or None if there is none."""
        order = self._live.pop(client_order_id, None)
        self._reduce_only.discard(client_order_id)
        return order

    def check(self, order: ApprovedOrder, now: datetime) -> None:
        """Refuse what may not be sent.

        Raises
        ------
        ApprovalError
            Not given here (an altered order is another object), spent, or expired.
        """
        if self._live.get(order.client_order_id) is not order:
            raise ApprovalError(
                f"order {order.client_order_id}: approval {order.approval_id} is forged, altered or spent"
            )
        if not order.approved_at <= now <= order.expires_at:
            raise ApprovalError(
                f"order {order.client_order_id}: approval is void at {now}, it held from {order.approved_at} "
                f"to {order.expires_at}"
            )

    def spend(self, order: ApprovedOrder) -> None:
        """Spend a checked approval; what it reduces stays promised until the book is shown again."""
        del self._live[order.client_order_id]
        self._spent.add(order.client_order_id)
        if order.client_order_id in self._reduce_only:
            self._reduce_only.discard(order.client_order_id)
            key = (order.intent.ticker, str(order.intent.side))
            self._sent[key] = self._sent.get(key, 0.0) + order.intent.quantity

    def promised(self, ticker: str, side: str) -> float:
        """Return the shares of reduce-only orders approved or sent, that a further one may not reduce again."""
        waiting = sum(
            order.intent.quantity
            for key, order in self._live.items()
            if key in self._reduce_only and order.intent.ticker == ticker and order.intent.side == side
        )
        return waiting + self._sent.get((ticker, side), 0.0)

    def entries(self, now: datetime) -> Iterable[ApprovedOrder]:
        """Return the entries approved, not sent and not expired at `now`: they count as pending orders."""
        if not self._live:  # as nearly always
            return ()
        return [order for key, order in self._live.items() if key not in self._reduce_only and now <= order.expires_at]

    def book_shown(self, portfolio: Portfolio) -> None:
        """Take the broker's word for the sell orders that it still works on."""
        self._sent.clear()
        for item in portfolio.holdings:
            key = (item.ticker, str(Side.SELL))
            self._sent[key] = self._sent.get(key, 0.0) + max(0.0, item.selling)

    def sells_shown(self, selling: Mapping[str, float]) -> None:
        """Take the broker's word for the shares (ticker -> quantity) that exits still at work will sell."""
        self._sent = {(ticker, str(Side.SELL)): quantity for ticker, quantity in selling.items()}

    def clear(self) -> None:
        """Forget everything: approvals end with their session."""
        self._live.clear()
        self._reduce_only.clear()
        self._spent.clear()
        self._sent.clear()
