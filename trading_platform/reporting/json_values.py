"""How facts become JSON values: dollars, percent, plain numbers, ISO texts, and null for what is unknown."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import overload


@overload
def money(cents: int) -> float: ...


@overload
def money(cents: int | None) -> float | None: ...


def money(cents: int | None) -> float | None:
    """Return cents as dollars."""
    return None if cents is None else cents / 100


def percent(fraction: float | None) -> float | None:
    """Return a fraction as percent with four digits; None where it is unknown or not finite."""
    return None if fraction is None or not math.isfinite(fraction) else round(100.0 * fraction, 4)


def number(value: float | None, digits: int = 6) -> float | None:
    """Return a finite number rounded, else None: JSON knows no NaN."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def instant_text(instant: datetime) -> str:
    """Return an instant as ISO 8601 to the second, with its offset."""
    return instant.isoformat(timespec="seconds")


@overload
def day_text(day: date) -> str: ...


@overload
def day_text(day: date | None) -> str | None: ...


def day_text(day: date | None) -> str | None:
    """Return a day as ISO 8601."""
    return None if day is None else str(day)
