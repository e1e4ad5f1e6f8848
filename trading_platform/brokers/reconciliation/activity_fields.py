"""Fields of Alpaca's activities. Pure functions; each raises ValueError or KeyError where a row makes no sense."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any

from trading_platform.alpaca.answers import finite
from trading_platform.alpaca.orders import parse_instant
from trading_platform.core.fills import round_cents
from trading_platform.core.types import Side
from trading_platform.machine.clocks import NEW_YORK

UNDONE = "/undone"  # ends the id of what takes a cancelled entry back
SHARES = "/shares"  # ends the id of the shares that an entry moved
# An option's name in the OCC's form: root, date, C or P, strike in thousandths. A contract is of a hundred shares.
OPTION = re.compile(r"[A-Z0-9.]{1,6}\d{6}[CP]\d{8}")
OPTION_MULTIPLIER = 100.0


def entry_time(entry: Mapping[str, Any]) -> datetime:
    """Return when an entry was made; older entries carry the New York date only, and count from its start."""
    for key in ("transaction_time", "created_at"):
        if entry.get(key):
            return required_instant(entry[key])
    text = str(entry["date"])
    if len(text) > 10:
        return required_instant(text)
    day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date; its zone follows
    return datetime.combine(day, time(), tzinfo=NEW_YORK).astimezone(UTC)


def required_instant(text: object) -> datetime:
    """Return an instant that must be there.

    Raises
    ------
    ValueError
        It is not.
    """
    instant = parse_instant(text)
    if instant is None:
        raise ValueError("an activity without a time")
    return instant


def side_of(entry: Mapping[str, Any]) -> Side:
    """Return the side of an execution; `sell_short` sells.

    Raises
    ------
    ValueError
        It is neither.
    """
    side = str(entry["side"])
    if side not in ("buy", "sell", "sell_short"):
        raise ValueError(f"side {side!r} is unknown")
    return Side.BUY if side == "buy" else Side.SELL


def ticker_of(entry: Mapping[str, Any]) -> str | None:
    """Return the ticker of an entry that has one."""
    return str(entry["symbol"]) if entry.get("symbol") else None


def dollars(entry: Mapping[str, Any]) -> float:
    """Return the money that an entry moved, in whole cents; positive into the account."""
    return round_cents(finite(entry.get("net_amount") or 0.0))


def note_of(entry: Mapping[str, Any]) -> str:
    """Return kind and description of an entry."""
    return f"{entry['activity_type']} {entry.get('description') or ''}".strip()


def multiplier_of(symbol: str) -> float | None:
    """Return how many units a deal in something else than shares moves a price by, None for shares."""
    if OPTION.fullmatch(symbol):
        return OPTION_MULTIPLIER
    return 1.0 if "/" in symbol else None
