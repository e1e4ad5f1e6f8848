"""Column types that do not lie: money in whole cents, instants aware and in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, DateTime, Dialect
from sqlalchemy.types import TypeDecorator


class Cents(TypeDecorator[float]):
    """Dollars in Python, whole cents (integer) in the database, so that sums in SQL are exact."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> int | None:
        """Return whole cents."""
        return None if value is None else round(value * 100.0)

    def process_result_value(self, value: int | None, dialect: Dialect) -> float | None:
        """Return dollars."""
        return None if value is None else value / 100.0


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes only. SQLite drops time zones, so naive input is refused instead of guessed."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC, without its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: pass an aware one, e.g. datetime.now(UTC)")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the stored instant, aware and in UTC."""
        return None if value is None else value.replace(tzinfo=UTC)
