"""Days as people write them in options: 2024-03-28, or a month or a year alone."""

from __future__ import annotations

import calendar
import re
from datetime import date

_DAY = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")


def written_day(text: str, *, last: bool) -> date:
    """Return a day; of a year or a month alone its first one, or its last.

    Raises
    ------
    ValueError
        It is none; the message goes on behind the option's name.
    """
    found = _DAY.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        year, month = int(found[1]), int(found[2] or (12 if last else 1))
        day = int(found[3] or (calendar.monthrange(year, month)[1] if last else 1))
        return date(year, month, day)
    except ValueError:
        raise ValueError(f"must be a day such as 2024-03-28 (or 2024-03, or 2024), was {text!r}") from None
