"""How to read files where they alone do not say; apart from the readers, so that whoever reads no file loads none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trading_platform.core.day_count import NEW_YORK_ZONE
from trading_platform.core.errors import MarketDataError
from trading_platform.market_data.dates import DateOrder, Days, parse_days

Adjustment = Literal["auto", "raw", "adjusted"]
NAME_FORMAT = 'say which with date_order = "month_first" or "day_first" in [data], or write dates as 2017-12-29'


@dataclass(frozen=True, slots=True)
class Rules:
    """How to read where the data alone do not say.

    Attributes
    ----------
    date_order
        Day or month first in dates in figures; None asks the column.
    adjustment
        "auto": splits and dividends where they are told, else the adjusted close; "raw": prices as they stand;
        "adjusted": always by the adjusted close.
    zone
        The exchange's zone, for instants.
    """

    date_order: DateOrder | None = None
    adjustment: Adjustment = "auto"
    zone: str = NEW_YORK_ZONE


def settled_days(texts: Sequence[str], rules: Rules, file: str) -> Days:
    """Return the days that `texts` (R,) of a file beside the bars name.

    Raises
    ------
    MarketDataError
        They can be day or month first, and nothing says which.
    """
    days = parse_days(texts, rules.date_order, rules.zone)
    if days.ambiguous:
        unsettled = np.isnat(days.day).tolist()
        text = next(text for text, is_open in zip(texts, unsettled, strict=True) if is_open and text.strip())
        raise MarketDataError(f"{file}: dates such as {text.strip()!r} can be day or month first; {NAME_FORMAT}")
    return days
