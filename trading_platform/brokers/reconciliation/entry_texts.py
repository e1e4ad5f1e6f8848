"""What has been booked since the last settlement as text and back: news, and the entries that they came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from trading_platform.brokers.reconciliation.day_entries import (
    AdoptedCash,
    AdoptedShares,
    CashOut,
    Entry,
    FillEntry,
    ManualMove,
)
from trading_platform.brokers.reconciliation.settlement_news import Booked, News
from trading_platform.brokers.reconciliation.two_books import (
    CashFlow,
    CashKind,
    Exchange,
    ExchangeKind,
    ForeignFill,
    ShareChange,
    UndoneAction,
)
from trading_platform.core.fills import round_cents
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import JournalOrder
from trading_platform.core.saved_books import BadBookError
from trading_platform.core.types import ClosedTrade, Fill, LotOrder, OrderStatus, Side

KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        FillEntry,
        ForeignFill,
        CashFlow,
        ShareChange,
        Exchange,
        CashOut,
        UndoneAction,
        AdoptedShares,
        AdoptedCash,
        ManualMove,
        Fill,
        JournalOrder,
        LotOrder,
        ClosedTrade,
    )
}
# What a field's text is the text of, by the field's name: the same in all of them.
READERS: Mapping[str, Any] = {
    "side": Side,
    "reason": OrderReason,
    "status": OrderStatus,
    "filled_at": datetime.fromisoformat,
    "decided_at": datetime.fromisoformat,
    "at": datetime.fromisoformat,
    "session": date.fromisoformat,
    "entry_session": date.fromisoformat,
    "exit_session": date.fromisoformat,
}

KINDS_OF: Mapping[type, Any] = {CashFlow: CashKind, Exchange: ExchangeKind}


def entry_text(entry: Entry) -> dict[str, Any]:
    """Return an entry as a JSON object."""
    plain: dict[str, Any] = _plain(entry)
    return plain


def read_entry(raw: Mapping[str, Any]) -> Entry:
    """Return the entry in a JSON object.

    Raises
    ------
    BadBookError
        It is none.
    """
    entry = _read(raw)
    if not isinstance(entry, Entry):
        raise BadBookError(f"a stored entry is unreadable ({raw})")
    return entry


def news_text(news: News) -> dict[str, Any]:
    """Return news as a JSON object."""
    return {"fills": booked_text(news.fills), "places": news.places}


def booked_text(fills: Iterable[Booked]) -> list[Any]:
    """Return fills with their profits and round trips as a JSON list."""
    return [[_values(fill), realized, None if trade is None else _values(trade)] for fill, realized, trade in fills]


def read_booked(raw: Iterable[Any]) -> list[Booked]:
    """Return the fills in a JSON list."""
    return [
        (_made(Fill, fill), float(realized), None if trade is None else _made(ClosedTrade, trade))
        for fill, realized, trade in raw
    ]


def read_news(raw: Mapping[str, Any]) -> News:
    """Return the news in a JSON object; a place of the first version does not say whether strategies crossed."""
    places = [(int(place[0]), int(place[1]), int(place[2]), int((*place, 1)[3])) for place in raw["places"]]
    return News(read_booked(raw["fills"]), places)


def read_first_flows(raw: Mapping[str, Any]) -> dict[str, float]:
    """Return by field of the account what news of the first version have moved, dollars."""
    fills: Sequence[Any] = raw["fills"]
    fees = sum(fill["fees"] for fill, _, _ in fills) + raw["fees"]
    return {
        "realized_pnl": round_cents(sum(realized for _, realized, _ in fills)),
        "fees": round_cents(fees),
        "dividends": raw["dividends"],
        "cash_flow": raw["cash_flow"],
    }


def _values(row: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(row._asdict(), default=lambda value: value.isoformat()))
    return values


def _plain(value: Any) -> Any:
    """Return dataclasses and NamedTuples as objects that name their kind, everything else as JSON has it."""
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
    elif hasattr(value, "_fields"):
        names = list(value._fields)
    elif isinstance(value, tuple):
        return [_plain(item) for item in value]
    elif isinstance(value, Enum):
        return value.value
    else:
        return value.isoformat() if isinstance(value, date) else value
    return {"kind_of_entry": type(value).__name__, **{name: _plain(getattr(value, name)) for name in names}}


def _read(raw: Any) -> Any:
    if isinstance(raw, list):
        return tuple(_read(item) for item in raw)
    if not isinstance(raw, dict):
        return raw
    try:
        kind = KINDS[raw["kind_of_entry"]]
        return _made(kind, {name: _read(value) for name, value in raw.items() if name != "kind_of_entry"})
    except (KeyError, TypeError, ValueError) as error:
        raise BadBookError(f"a stored entry is unreadable ({error})") from error


def _made(kind: Any, raw: Mapping[str, Any]) -> Any:
    readers = {**READERS, "kind": KINDS_OF[kind]} if kind in KINDS_OF else READERS
    return kind(**{name: _field(readers, name, value) for name, value in raw.items()})


def _field(readers: Mapping[str, Any], name: str, value: Any) -> Any:
    return readers[name](value) if name in readers and isinstance(value, str) else value
