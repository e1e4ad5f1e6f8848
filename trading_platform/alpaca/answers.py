"""What Alpaca's answers mean: account, positions, clock, calendar, assets, portfolio history.

Only the fields that matter are read, so that one which Alpaca adds or drops elsewhere breaks nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from trading_platform.alpaca.account_state import account_trouble, blocks
from trading_platform.alpaca.orders import parse_instant
from trading_platform.core.ports import BrokerAccount, BrokerPosition


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


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One thing in an answer that nobody understands: what it is and why, its ticker and the dollars that it has moved
    where those can be read.
    """

    text: str
    ticker: str | None = None
    dollars: float = 0.0


def as_object(raw: object) -> Mapping[str, Any]:
    """Return `raw` if it is a JSON object.

    Raises
    ------
    ValueError
        It is none.
    """
    if not isinstance(raw, Mapping):
        raise ValueError(f"expected an object, got {type(raw).__name__}")
    return raw


def as_list(raw: object) -> Sequence[Mapping[str, Any]]:
    """Return `raw` if it is a JSON list.

    Raises
    ------
    ValueError
        It is none.
    """
    if not isinstance(raw, list):
        raise ValueError(f"expected a list, got {type(raw).__name__}")
    return raw


def parse_account(raw: Any) -> BrokerAccount:
    """Read the account; None where Alpaca did not tell a number."""
    return BrokerAccount(
        account_id=str(raw.get("account_number") or raw["id"]),
        equity=_dollars(raw.get("equity")),
        cash=_dollars(raw.get("cash")),
        buying_power=_dollars(raw.get("buying_power")),
        is_blocked=bool(blocks(raw)),
        trouble=account_trouble(raw),
    )


UNREADABLE_ERRORS = (ValueError, TypeError, KeyError, AttributeError)


class Holdings(NamedTuple):
    """The list of positions: those in US shares, those that cannot be read, and the dollars that all are worth.

    `dollars` counts what is not of shares as well; shares count at their number times their price, whatever value is
    written beside them. None where one of these is not told.
    """

    positions: list[BrokerPosition]
    unreadable: list[Unreadable]
    dollars: float | None


def parse_positions(raw: Any) -> Holdings:
    """Read positions in US shares, short ones with negative quantities, and name those that cannot be read."""
    found: list[BrokerPosition] = []
    unreadable: list[Unreadable] = []
    for entry in as_list(raw):
        try:
            if str(entry.get("asset_class") or "us_equity") == "us_equity":
                found.append(_position(entry))
        except UNREADABLE_ERRORS as error:
            ticker = entry.get("symbol") if isinstance(entry, Mapping) else None
            words = f"position {ticker}: {type(error).__name__}: {error}"
            unreadable.append(Unreadable(words, None if ticker is None else str(ticker)))
    return Holdings(found, unreadable, _worth(as_list(raw)))


def _worth(entries: Sequence[Any]) -> float | None:
    try:
        return sum(map(_value, entries), 0.0)
    except UNREADABLE_ERRORS:
        return None


def _value(entry: Mapping[str, Any]) -> float:
    if str(entry.get("asset_class") or "us_equity") != "us_equity":
        return finite(entry["market_value"])
    dollars = finite(entry["qty"]) * finite(entry["current_price"])
    return -abs(dollars) if entry.get("side") == "short" else dollars


def _position(entry: Mapping[str, Any]) -> BrokerPosition:
    quantity = finite(entry["qty"])
    return BrokerPosition(
        ticker=str(entry["symbol"]),
        quantity=-abs(quantity) if entry.get("side") == "short" else quantity,
        entry_price=finite(entry["avg_entry_price"]),
        price=_dollars(entry.get("current_price")),
    )


def parse_clock(raw: Any) -> BrokerClock:
    """Read the clock, in UTC."""
    instants = [parse_instant(raw[key]) for key in ("timestamp", "next_open", "next_close")]
    now, opens, closes = (instant.astimezone(UTC) for instant in instants if instant is not None)
    return BrokerClock(now, bool(raw["is_open"]), opens, closes)


def parse_calendar(raw: Any) -> list[tuple[date, str, str]]:
    """Read (session, open, close) in New York wall time."""
    return [(date.fromisoformat(str(e["date"])), str(e["open"]), str(e["close"])) for e in as_list(raw)]


def parse_assets(raw: Any) -> dict[str, AssetFlags]:
    """Read the flags of assets by ticker; one that cannot be read is left out, and so not tradable."""
    found = {}
    for entry in as_list(raw):
        with contextlib.suppress(*UNREADABLE_ERRORS):
            flags = _flags(entry)
            found[flags.ticker] = flags
    return found


def _flags(entry: Mapping[str, Any]) -> AssetFlags:
    return AssetFlags(
        ticker=str(entry["symbol"]),
        tradable=bool(entry["tradable"]) and entry.get("status") == "active",
        fractionable=bool(entry["fractionable"]),
        attributes=tuple(str(name) for name in entry.get("attributes") or ()),
    )


def parse_equity(raw: Any) -> list[EquityPoint]:
    """Read the portfolio history; its cash flows are signed."""
    flows: Mapping[str, Sequence[float]] = raw.get("cashflow") or {}
    points = []
    for place, (stamp, equity) in enumerate(zip(raw["timestamp"], raw["equity"], strict=True)):
        moved = sum(float(series[place] or 0.0) for series in flows.values())
        points.append(EquityPoint(datetime.fromtimestamp(stamp, tz=UTC), float(equity), moved))
    return points


def finite(value: object) -> float:
    """Return a number in an answer.

    Raises
    ------
    ValueError
        It is none, or not finite.
    """
    number = float(str(value))
    if not math.isfinite(number):
        raise ValueError(f"number {value!r} is not finite")
    return number


def _dollars(value: object) -> float | None:
    return None if value is None or value == "" else finite(value)
