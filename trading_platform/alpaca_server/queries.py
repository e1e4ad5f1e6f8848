"""How query strings are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

from trading_platform.alpaca_server.records import ApiError
from trading_platform.alpaca_server.validation import SYNTAX

Query = Mapping[str, str]
Answer = tuple[int, object]


def read_flag(query: Query, key: str) -> bool:
    """Read true or false."""
    return query.get(key, "false").lower() == "true"


def read_whole(query: Query, key: str, default: int, largest: int) -> int:
    """Read a whole number in 1..`largest`.

    Raises
    ------
    ApiError
        What the service refuses, in its words and with its status.
    """
    text = query.get(key)
    if text is None:
        return default
    if not text.isdigit() or not 1 <= int(text) <= largest:
        raise ApiError(422, SYNTAX, f"{key} must be in 1..{largest}, was {text}")
    return int(text)


def read_instant(text: str | None) -> datetime | None:
    """Read a date or an RFC 3339 instant; a naive one is UTC.

    Raises
    ------
    ApiError
        What the service refuses, in its words and with its status.
    """
    if text is None:
        return None
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
        # Python 3.11 reads at most microseconds
        read = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError as error:
        raise ApiError(422, SYNTAX, f"invalid time {text}") from error
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def read_period(text: str) -> timedelta:
    """Read a span such as 1M: a number of days, weeks, months or years (A).

    Raises
    ------
    ApiError
        What the service refuses, in its words and with its status.
    """
    days = {"D": 1, "W": 7, "M": 31, "A": 366}
    if len(text) < 2 or text[-1] not in days or not text[:-1].isdigit():
        raise ApiError(422, SYNTAX, f"invalid period {text}")
    return timedelta(days=days[text[-1]] * int(text[:-1]))
