"""Alpaca's monthly maintenance: the second Saturday of a month, 9:00 to 11:30 in New York (status.alpaca.markets)."""

from __future__ import annotations

from datetime import datetime, time

from trading_platform.machine.clocks import NEW_YORK

BEGINS, ENDS = time(9), time(11, 30)
SATURDAY = 5


def maintenance_of(now: datetime) -> tuple[datetime, datetime] | None:
    """Return begin and end of the maintenance on the day of `now` in New York, None if that day has none."""
    local = now.astimezone(NEW_YORK)
    if local.weekday() != SATURDAY or not 8 <= local.day <= 14:
        return None
    begin, end = (datetime.combine(local.date(), at, NEW_YORK).astimezone(now.tzinfo) for at in (BEGINS, ENDS))
    return begin, end


def excused(seen: datetime, now: datetime) -> datetime:
    """Return from when on silence counts that has lasted since `seen`: what the maintenance explains does not."""
    hours = maintenance_of(now)
    if hours is None or now < hours[0] or seen >= hours[1]:
        return seen
    return min(now, hours[1])
