"""What Alpaca's rows say of corporate actions, put together: a rename, a merger, a spin-off is told in several. Pure.

Rows that belong together share a `group_id`; older ones a day and a kind. Alpaca posts renames as two NC rows, mergers
in one or two MA rows, and enters the halves at different moments, so half of an action waits for the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trading_platform.alpaca.answers import finite
from trading_platform.brokers.reconciliation.activity_fields import SHARES, dollars, entry_time, note_of, ticker_of
from trading_platform.brokers.reconciliation.two_books import (
    SHARE_TOLERANCE,
    CashFlow,
    CashKind,
    Exchange,
    ExchangeKind,
    HalfAction,
    ShareChange,
)
from trading_platform.core.fills import round_cents

NAME_CHANGE, MERGER, REMOVAL, SPIN_OFF, STOCK_DIVIDEND = "NC", "MA", "REORG", "SPIN", "SDIV"
OFFER = "VOF"  # voluntary: tenders, exchanges, rights, warrants
CORPORATE = frozenset({NAME_CHANGE, MERGER, REMOVAL, SPIN_OFF, OFFER})
TICKERS = re.compile(r"\b[A-Z][A-Z.]{0,5}\b")

Told = Exchange | ShareChange | CashFlow | HalfAction


@dataclass(frozen=True, slots=True)
class _Row:
    """One row: what moved, and its own id."""

    entry: Mapping[str, Any]
    ticker: str
    quantity: float
    cash: float


def corporate_actions(entries: Sequence[Mapping[str, Any]]) -> Iterator[Told]:
    """Yield what corporate rows (`CORPORATE` kinds) mean, in the order in which they were entered."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        groups.setdefault(_group_of(entry), []).append(entry)
    for members in groups.values():
        yield from _meaning([_row(entry) for entry in members])


def _group_of(entry: Mapping[str, Any]) -> str:
    """Return what rows of one action have in common; where Alpaca says nothing, day, kind and size."""
    if entry.get("group_id"):
        return str(entry["group_id"])
    kind = str(entry["activity_type"])
    if kind == NAME_CHANGE:
        return f"{kind} {entry.get('date')} {abs(_quantity(entry)):.9f}"
    if kind == MERGER:
        return f"{kind} {entry.get('date')} {ticker_of(entry)}"
    return str(entry["id"])


def _row(entry: Mapping[str, Any]) -> _Row:
    return _Row(entry, ticker_of(entry) or "", _quantity(entry), dollars(entry))


def _quantity(entry: Mapping[str, Any]) -> float:
    return finite(entry.get("qty") or 0.0)


def _meaning(rows: Sequence[_Row]) -> Iterator[Told]:
    first = rows[0]
    kind = str(first.entry["activity_type"])
    moved: dict[str, float] = {}
    for row in rows:
        if row.quantity != 0.0 and not _names_what_it_pays(row, rows):
            moved[row.ticker] = moved.get(row.ticker, 0.0) + row.quantity
    moved = {ticker: quantity for ticker, quantity in moved.items() if abs(quantity) > SHARE_TOLERANCE}
    gone = {ticker: quantity for ticker, quantity in moved.items() if quantity < 0.0}
    came = {ticker: quantity for ticker, quantity in moved.items() if quantity > 0.0}
    cash = round_cents(sum(row.cash for row in rows))
    if len(gone) == 1 and len(came) == 1:
        what = ExchangeKind.RENAME if kind == NAME_CHANGE else ExchangeKind.MERGER
        (old, lost), (new, won) = *gone.items(), *came.items()
        yield _exchange(rows, what, old, -lost, new, won, cash)
    elif kind == SPIN_OFF and len(came) == 1 and not gone:
        ((new, won),) = came.items()
        yield _exchange(rows, ExchangeKind.SPIN_OFF, "", 0.0, new, won, cash)
    elif len(gone) == 1 and not came and (cash != 0.0 or kind == REMOVAL):
        ((old, lost),) = gone.items()
        yield from _sold(rows, old, lost, cash)
    elif moved or kind == NAME_CHANGE:
        if moved:  # a name change of the same ticker, with another CUSIP, moves nothing
            yield HalfAction(str(first.entry["id"]), kind, tuple(moved.items()), entry_time(first.entry), cash)
    elif cash != 0.0:
        yield CashFlow(
            str(first.entry["id"]),
            CashKind.OTHER,
            cash,
            entry_time(first.entry),
            first.ticker or None,
            note_of(first.entry),
        )


def _names_what_it_pays(row: _Row, rows: Sequence[_Row]) -> bool:
    """Return True for a row of money whose `qty` are the shares that another row takes away."""
    return row.cash != 0.0 and any(
        other.ticker == row.ticker and other.cash == 0.0 and other.quantity * row.quantity < 0.0 for other in rows
    )


def _exchange(
    rows: Sequence[_Row], what: ExchangeKind, old: str, gone: float, new: str, came: float, cash: float
) -> Exchange:
    """Return what became of shares; the parent of a spin-off stands in words only."""
    entry = rows[0].entry
    words = f"{entry.get('description') or ''}"
    named = tuple(ticker for ticker in TICKERS.findall(words) if ticker != new)
    ids = tuple(sorted(str(row.entry["id"]) for row in rows))
    return Exchange(ids[0] + SHARES, what, old, gone, new, came, cash, entry_time(entry), note_of(entry), named)


def _sold(rows: Sequence[_Row], ticker: str, lost: float, cash: float) -> Iterator[Told]:
    """Yield a sale without a trade as its two halves, whose ids belong together."""
    paid = next((row for row in rows if row.cash != 0.0), rows[0]).entry
    name, at, note = str(paid["id"]), entry_time(paid), note_of(paid)
    yield CashFlow(name, CashKind.OTHER, cash, at, ticker, note)
    yield ShareChange(name + SHARES, ticker, lost, at, is_split=False, note=note)
