"""The account's history at Alpaca: activities read page by page and sorted into what our books understand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from trading_platform.alpaca.answers import UNREADABLE_ERRORS, Unreadable, as_list, finite
from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.brokers.reconciliation.activity_fields import (
    SHARES,
    UNDONE,
    dollars,
    entry_time,
    multiplier_of,
    note_of,
    required_instant,
    side_of,
    ticker_of,
)
from trading_platform.brokers.reconciliation.corporate_rows import CORPORATE, STOCK_DIVIDEND, Told, corporate_actions
from trading_platform.brokers.reconciliation.two_books import (
    AccountHistory,
    CashFlow,
    CashKind,
    Exchange,
    ForeignFill,
    HalfAction,
    Reversal,
    ShareChange,
    back_of,
)
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.fills import round_cents
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import JournalOrder
from trading_platform.core.types import Fill, Side
from trading_platform.machine.clocks import session_of

PAGE = 100  # Alpaca's largest page of activities
MAX_PAGES = 1000
CANCELED, PENDING = "canceled", "pending"
EXECUTED = ("executed", "correct")

CASH_KINDS: Mapping[str, CashKind] = {
    **dict.fromkeys(("CSD", "ACATC"), CashKind.DEPOSIT),
    "CSW": CashKind.WITHDRAWAL,
    **dict.fromkeys(("FEE", "CFEE", "PTC", "PTR", "DIVFEE"), CashKind.FEE),
    **dict.fromkeys(
        ("DIV", "CGD", "DIVCGL", "DIVCGS", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX"), CashKind.DIVIDEND
    ),
    **dict.fromkeys(("INT", "INTNRA", "INTTW"), CashKind.INTEREST),
    # Journals and transfers between the owner's accounts, and all that comes of his options: money in or out,
    # neither profit nor loss.
    **dict.fromkeys(("JNL", "JNLC", "TRANS", "OPASN", "OPEXC", "OPEXP", "OPCA", "OPCSH", "OPTRD"), CashKind.DEPOSIT),
}
# Stock transfers and journals, and what Alpaca describes as rarely used: their money is a fee or a credit.
OTHER_KINDS = frozenset({"MISC", "WH", "ACATS", "FOPT", "JNLS"})
SPLITS = frozenset({"SPLIT", "FSPLIT", "RSPLIT", "USPLIT"})
# Of these `qty` is what the money was paid on, or a number of contracts: no share moves.
WITHOUT_SHARES = frozenset({*CASH_KINDS, "OPASN", "OPEXC", "OPEXP"}) - {"TRANS", "OPTRD"}

KNOWN = frozenset({*CASH_KINDS, *OTHER_KINDS, *SPLITS, *CORPORATE, "FILL"})

OrderOf = Callable[[str], JournalOrder | None]


def read_activities(http: AlpacaHttp, since: datetime) -> list[Mapping[str, Any]]:
    """Return all activities after `since`, oldest first, each once.

    Raises
    ------
    BrokerUnreachableError
        No answer, or pages that never end.
    """
    entries: dict[str, Mapping[str, Any]] = {}
    token: str | None = None
    for _ in range(MAX_PAGES):
        query: dict[str, Any] = {"after": since.astimezone(UTC).isoformat(), "direction": "asc", "page_size": PAGE}
        if token is not None:
            query["page_token"] = token
        page = http.read("account activities", partial(http.trading.get, "/account/activities", query), as_list)
        entries |= {_name(entry): entry for entry in page}
        last = _name(page[-1]) if page else token
        if len(page) < PAGE:
            return list(entries.values())
        if last == token:
            break
        token = last
    raise BrokerUnreachableError("account activities: Alpaca repeats the same page for ever; try again later")


def _name(entry: Mapping[str, Any]) -> str:
    """Return the id of an entry; one without an id is its own name."""
    return str(entry.get("id") or entry) if isinstance(entry, Mapping) else str(entry)


def parse_history(entries: Sequence[Mapping[str, Any]], order_of: OrderOf) -> AccountHistory:
    """Sort activities into fills of our orders, manual trades, money and shares.

    `order_of` finds our order or leg by the broker's order id. A fee whose `group_id` names one of our fills is that
    fill's fee; Alpaca itself books fees by the day, and those stay account-wide. What the broker has cancelled counts
    for nothing, and is undone where it was booked; what is pending has not happened yet.

    Raises
    ------
    ValueError
        A status or a kind of activity that is unknown.
    """
    sorted_ = _Sorted()
    corporate: list[Mapping[str, Any]] = []
    cancelled: list[Mapping[str, Any]] = []
    for entry in entries:
        try:
            status = str(entry.get("status") or "executed")
            if status == PENDING:
                continue
            if status == CANCELED and str(entry["activity_type"]) in CORPORATE:
                _check_row(entry)
                cancelled.append(entry)
            elif status == CANCELED:
                sorted_.undo(entry, order_of)
            elif status not in EXECUTED:
                raise ValueError(f"status {status!r} is unknown")
            elif str(entry["activity_type"]) not in KNOWN:
                raise ValueError(f"activity type {entry['activity_type']!r} is unknown")
            elif str(entry["activity_type"]) in CORPORATE:
                _check_row(entry)
                corporate.append(entry)
            else:
                sorted_.take(entry, order_of)
        except UNREADABLE_ERRORS as error:
            sorted_.unread.add(_name(entry))
            sorted_.unreadable.append(_unreadable(entry, error))
    for told in corporate_actions(corporate):
        sorted_.keep(told)
    sorted_.undo_actions(list(corporate_actions(cancelled)), cancelled)
    return sorted_.history()


@dataclass(slots=True)
class _Sorted:
    """Activities by what they mean."""

    fills: dict[str, Fill] = field(default_factory=dict)
    foreign: list[ForeignFill] = field(default_factory=list)
    cash: list[CashFlow] = field(default_factory=list)
    shares: list[ShareChange] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    halves: list[HalfAction] = field(default_factory=list)
    undone: list[tuple[str, Reversal]] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)  # ids of those

    def take(self, entry: Mapping[str, Any], order_of: OrderOf) -> None:
        """Sort one entry that has been executed."""
        kind = str(entry["activity_type"])
        if kind == "FILL":
            self._take_fill(entry, order_of)
            return
        group, amount = str(entry.get("group_id") or ""), dollars(entry)
        if kind == "FEE" and group in self.fills:
            fill = self.fills[group]
            self.fills[group] = fill._replace(fees=round_cents(fill.fees - amount))
            return
        if group in self.unread:  # by itself it would be booked beside the fill that may have paid it already
            raise ValueError(f"it belongs to {group}, which cannot be read")
        if kind == "OPTRD" and ticker_of(entry) is not None and multiplier_of(str(entry["symbol"])) is None:
            self.foreign.append(_assigned(entry, amount))
            return
        for told in (_cash(entry, kind, amount), _shares(entry, kind)):
            if told is not None:
                self.keep(told)

    def keep(self, told: Told) -> None:
        """Keep what an entry, or several, have told."""
        match told:
            case Exchange():
                self.exchanges.append(told)
            case ShareChange():
                self.shares.append(told)
            case CashFlow():
                self.cash.append(told)
            case HalfAction():
                self.halves.append(told)

    def undo_actions(self, actions: Sequence[Told], rows: list[Mapping[str, Any]]) -> None:
        """Note what takes cancelled corporate actions back; of one that is told in part people have to think."""
        flows = {told.flow_id: told for told in actions if isinstance(told, CashFlow)}
        for told in actions:
            match told:
                case Exchange():
                    self.undone.append((told.exchange_id, back_of(told)))
                case ShareChange():  # with its money it is a sale
                    back = back_of(told, flows.pop(told.change_id.removesuffix(SHARES)))
                    self.undone.append((back.action_id, back))
                case HalfAction():
                    error = ValueError("half of a corporate action was cancelled; compare positions and stops by hand")
                    tickers = {ticker for ticker, _ in told.moved}
                    self.unreadable += [_unreadable(row, error) for row in rows if row.get("symbol") in tickers]
                case CashFlow():
                    pass
        for flow in flows.values():
            self.undone.append((flow.flow_id, replace(flow, flow_id=flow.flow_id + UNDONE, amount=-flow.amount)))

    def undo(self, entry: Mapping[str, Any], order_of: OrderOf) -> None:
        """Note what takes back an entry that was cancelled, should it have been booked."""
        kind = str(entry["activity_type"])
        if kind not in KNOWN:
            raise ValueError(f"activity type {kind!r} is unknown")
        if kind == "FILL":
            self._undo_fill(entry, order_of)
            return
        flow, change = _cash(entry, kind, dollars(entry)), _shares(entry, kind)
        if flow is not None:
            self.undone.append((flow.flow_id, replace(flow, flow_id=flow.flow_id + UNDONE, amount=-flow.amount)))
        if change is not None:
            taken = replace(change, change_id=change.change_id + UNDONE, quantity=-change.quantity)
            self.undone.append((change.change_id, taken))

    def _undo_fill(self, entry: Mapping[str, Any], order_of: OrderOf) -> None:
        """Note the opposite of a busted trade, at its own price."""
        trade = _Sorted()
        trade._take_fill(entry, order_of)
        for flow in trade.cash:
            self.undone.append((flow.flow_id, replace(flow, flow_id=flow.flow_id + UNDONE, amount=-flow.amount)))
        for hand in trade.foreign:
            back = replace(hand, fill_id=hand.fill_id + UNDONE, side=_other(hand.side))
            self.undone.append((hand.fill_id, back))
        for fill in trade.fills.values():
            self.undone.append(
                (
                    fill.fill_id,
                    fill._replace(
                        fill_id=fill.fill_id + UNDONE,
                        client_order_id=fill.client_order_id + UNDONE,
                        side=_other(fill.side),
                        reason=OrderReason.NONE,
                    ),
                )
            )

    def history(self) -> AccountHistory:
        """Return all of it."""
        return AccountHistory(
            tuple(self.fills.values()),
            tuple(self.foreign),
            tuple(self.cash),
            tuple(self.shares),
            tuple(self.exchanges),
            (),
            tuple(self.halves),
            tuple(self.undone),
            tuple(self.unreadable),
        )

    def _take_fill(self, entry: Mapping[str, Any], order_of: OrderOf) -> None:
        symbol = str(entry["symbol"])
        multiplier = multiplier_of(symbol)
        if multiplier is not None:
            self.cash.append(_other_deal(entry, symbol, multiplier))
            return
        order = order_of(str(entry["order_id"]))
        if order is None:
            self.foreign.append(_foreign(entry))
            return
        fill = _fill(entry, order)
        self.fills[fill.fill_id] = fill


def _check_row(entry: Mapping[str, Any]) -> None:
    """Raise what makes a row of a corporate action none, before it is put together with others."""
    str(entry["id"]), entry_time(entry), finite(entry.get("qty") or 0.0), dollars(entry)


def _unreadable(entry: Mapping[str, Any], error: Exception) -> Unreadable:
    symbol = entry.get("symbol") if isinstance(entry, Mapping) else None
    name = entry.get("id") if isinstance(entry, Mapping) else entry
    words = f"activity {name} cannot be read: {type(error).__name__}: {error}"
    return Unreadable(words, None if not symbol else str(symbol), _dollars_told(entry))


def _other(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


def _dollars_told(entry: Mapping[str, Any]) -> float:
    """Return what an entry says that it has moved, a cancelled one back; 0 where it does not say."""
    try:
        return -dollars(entry) if entry.get("status") == CANCELED else dollars(entry)
    except UNREADABLE_ERRORS:
        return 0.0


def _fill(entry: Mapping[str, Any], order: JournalOrder) -> Fill:
    at = required_instant(entry["transaction_time"])
    quantity, price = finite(entry["qty"]), finite(entry["price"])
    return Fill(
        client_order_id=order.client_order_id,
        ticker=str(entry["symbol"]),
        side=side_of(entry),
        quantity=quantity,
        price=price,
        amount=round_cents(quantity * price),
        fees=0.0,
        filled_at=at,
        session=session_of(at),
        strategy=order.strategy,
        reason=order.reason,
        fill_id=str(entry["id"]),
    )


def _foreign(entry: Mapping[str, Any]) -> ForeignFill:
    quantity, price = finite(entry["qty"]), finite(entry["price"])
    return ForeignFill(
        fill_id=str(entry["id"]),
        broker_order_id=str(entry["order_id"]),
        ticker=str(entry["symbol"]),
        side=side_of(entry),
        quantity=quantity,
        price=price,
        amount=round_cents(quantity * price),
        at=required_instant(entry["transaction_time"]),
    )


def _assigned(entry: Mapping[str, Any], amount: float) -> ForeignFill:
    """Return the shares that an option of the owner's has brought or taken, as the trade by hand that it is."""
    quantity = finite(entry["qty"])
    price = abs(amount / quantity)
    side = Side.BUY if quantity > 0.0 else Side.SELL
    name = str(entry["id"])
    return ForeignFill(name, name, str(entry["symbol"]), side, abs(quantity), price, abs(amount), entry_time(entry))


def _other_deal(entry: Mapping[str, Any], symbol: str, multiplier: float) -> CashFlow:
    """Return the money of a deal in an option or a coin: the owner's, who takes it out or puts it in."""
    amount = round_cents(finite(entry["qty"]) * finite(entry["price"]) * multiplier)
    bought = side_of(entry) is Side.BUY
    kind = CashKind.WITHDRAWAL if bought else CashKind.DEPOSIT
    return CashFlow(
        str(entry["id"]),
        kind,
        -amount if bought else amount,
        required_instant(entry["transaction_time"]),
        None,
        f"{entry['side']} {entry['qty']} {symbol}, not ours",
    )


def _cash(entry: Mapping[str, Any], kind: str, amount: float) -> CashFlow | None:
    if amount == 0.0:
        return None
    sort = CASH_KINDS.get(kind, CashKind.OTHER)
    if sort is CashKind.DEPOSIT and amount < 0.0:
        sort = CashKind.WITHDRAWAL
    return CashFlow(str(entry["id"]), sort, amount, entry_time(entry), ticker_of(entry), note_of(entry))


def _shares(entry: Mapping[str, Any], kind: str) -> ShareChange | None:
    """Return shares that moved without a trade. Dividends name the shares they were paid on: those do not move."""
    quantity, ticker = finite(entry.get("qty") or 0.0), ticker_of(entry)
    if quantity == 0.0 or ticker is None or multiplier_of(ticker) is not None:
        return None
    multiplies = kind in SPLITS or _is_stock_dividend(entry, kind)
    if kind in WITHOUT_SHARES and not multiplies:
        return None
    change_id = f"{entry['id']}{SHARES}"  # apart from the money that the same entry may have moved
    return ShareChange(change_id, ticker, quantity, entry_time(entry), multiplies, note_of(entry))


def _is_stock_dividend(entry: Mapping[str, Any], kind: str) -> bool:
    """Return True if a dividend is paid in shares: then `qty` are the new ones, and no money moves."""
    return kind == "DIV" and entry.get("activity_sub_type") == STOCK_DIVIDEND and dollars(entry) == 0.0
