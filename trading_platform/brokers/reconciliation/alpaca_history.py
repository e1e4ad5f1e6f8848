"""The account's history at Alpaca: activities read page by page and sorted into what our books understand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from functools import partial
from typing import Any

from trading_platform.alpaca.answers import as_list
from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca.orders import parse_instant
from trading_platform.brokers.reconciliation.two_books import (
    AccountHistory,
    CashFlow,
    CashKind,
    ForeignFill,
    ShareChange,
)
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.fills import round_cents
from trading_platform.core.ports import JournalOrder
from trading_platform.core.types import Fill, Side
from trading_platform.machine.clocks import NEW_YORK, session_of

SHARES = "/shares"  # ends the id of the shares that an entry moved
PAGE = 100  # Alpaca's largest page of activities
MAX_PAGES = 1000

CASH_KINDS: Mapping[str, CashKind] = {
    **dict.fromkeys(("CSD", "ACATC"), CashKind.DEPOSIT),
    "CSW": CashKind.WITHDRAWAL,
    **dict.fromkeys(("FEE", "CFEE", "PTC", "DIVFEE"), CashKind.FEE),
    **dict.fromkeys(
        ("DIV", "CGD", "DIVCGL", "DIVCGS", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX"), CashKind.DIVIDEND
    ),
    **dict.fromkeys(("INT", "INTNRA", "INTTW"), CashKind.INTEREST),
    # Journals and transfers between the owner's accounts: money in or out, neither profit nor loss.
    **dict.fromkeys(("JNL", "JNLC", "TRANS"), CashKind.DEPOSIT),
}
SPLITS = frozenset({"SPLIT", "FSPLIT", "RSPLIT", "USPLIT"})

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
        entries |= {str(entry["id"]): entry for entry in page}
        last = str(page[-1]["id"]) if page else token
        if len(page) < PAGE:
            return list(entries.values())
        if last == token:
            break
        token = last
    raise BrokerUnreachableError("account activities: Alpaca repeats the same page for ever; try again later")


def parse_history(entries: Sequence[Mapping[str, Any]], order_of: OrderOf) -> AccountHistory:
    """Sort activities into fills of our orders, manual trades, money and shares.

    `order_of` finds our order or leg by the broker's order id. A fee whose `group_id` names one of our fills is that
    fill's fee; Alpaca itself books fees by the day, and those stay account-wide.
    """
    fills: dict[str, Fill] = {}
    foreign: list[ForeignFill] = []
    cash: list[CashFlow] = []
    shares: list[ShareChange] = []
    for entry in entries:
        kind = str(entry["activity_type"])
        if kind == "FILL":
            order = order_of(str(entry["order_id"]))
            if order is None:
                foreign.append(_foreign(entry))
            else:
                fill = _fill(entry, order)
                fills[fill.fill_id] = fill
            continue
        group, amount = str(entry.get("group_id") or ""), _dollars(entry)
        if kind == "FEE" and group in fills:
            fills[group] = fills[group]._replace(fees=round_cents(fills[group].fees - amount))
            continue
        cash += _cash(entry, kind, amount)
        shares += _shares(entry, kind)
    return AccountHistory(tuple(fills.values()), tuple(foreign), tuple(cash), tuple(shares))


def _fill(entry: Mapping[str, Any], order: JournalOrder) -> Fill:
    at = _required_instant(entry["transaction_time"])
    quantity, price = float(entry["qty"]), float(entry["price"])
    return Fill(
        client_order_id=order.client_order_id,
        ticker=str(entry["symbol"]),
        side=_side(entry),
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
    quantity, price = float(entry["qty"]), float(entry["price"])
    return ForeignFill(
        fill_id=str(entry["id"]),
        broker_order_id=str(entry["order_id"]),
        ticker=str(entry["symbol"]),
        side=_side(entry),
        quantity=quantity,
        price=price,
        amount=round_cents(quantity * price),
        at=_required_instant(entry["transaction_time"]),
    )


def _cash(entry: Mapping[str, Any], kind: str, amount: float) -> Iterator[CashFlow]:
    if amount == 0.0:
        return
    sort = CASH_KINDS.get(kind, CashKind.OTHER)
    if sort is CashKind.DEPOSIT and amount < 0.0:
        sort = CashKind.WITHDRAWAL
    note = f"{kind} {entry.get('description') or ''}".strip()
    yield CashFlow(str(entry["id"]), sort, amount, _entry_time(entry), _ticker(entry), note)


def _shares(entry: Mapping[str, Any], kind: str) -> Iterator[ShareChange]:
    """Yield shares that moved without a trade. Dividends name the shares they were paid on: those do not move."""
    quantity, ticker = float(entry.get("qty") or 0.0), _ticker(entry)
    if quantity == 0.0 or ticker is None or (kind in CASH_KINDS and kind != "TRANS"):
        return
    change_id = f"{entry['id']}{SHARES}"  # apart from the money that the same entry may have moved
    note = f"{kind} {entry.get('description') or ''}".strip()
    yield ShareChange(change_id, ticker, quantity, _entry_time(entry), kind in SPLITS, note)


def _entry_time(entry: Mapping[str, Any]) -> datetime:
    """Return when an entry was made; older entries carry the New York date only, and count from its start."""
    for key in ("transaction_time", "created_at"):
        if entry.get(key):
            return _required_instant(entry[key])
    text = str(entry["date"])
    if len(text) > 10:
        return _required_instant(text)
    day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date; its zone follows
    return datetime.combine(day, time(), tzinfo=NEW_YORK).astimezone(UTC)


def _required_instant(text: object) -> datetime:
    instant = parse_instant(text)
    if instant is None:
        raise ValueError("an activity without a time")
    return instant


def _side(entry: Mapping[str, Any]) -> Side:
    return Side.BUY if str(entry["side"]) == "buy" else Side.SELL  # also `sell_short`


def _ticker(entry: Mapping[str, Any]) -> str | None:
    return str(entry["symbol"]) if entry.get("symbol") else None


def _dollars(entry: Mapping[str, Any]) -> float:
    return round_cents(float(entry.get("net_amount") or 0.0))
