"""Who belongs to the universe, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.types import Bools
from trading_platform.market_data.notices import Notice, NoticeKind, shown


@dataclass(frozen=True, slots=True)
class Membership:
    """One row of ``universe.csv``: `ticker` belongs to the universe from `first` to `last` (included, None = open)."""

    ticker: str
    first: date | None
    last: date | None
    place: str


def member_grid(
    rows: Sequence[Membership], sessions: NDArray[np.datetime64], tickers: Sequence[str]
) -> tuple[Bools, list[Notice]]:
    """Return True while a ticker is a member (T, N), and the members that have no bars."""
    grid = np.zeros((len(sessions), len(tickers)), dtype=np.bool_)
    column = {ticker: place for place, ticker in enumerate(tickers)}
    strangers: list[str] = []
    for row in rows:
        place = column.get(row.ticker)
        if place is None:
            strangers.append(row.ticker)
            continue
        first = 0 if row.first is None else int(np.searchsorted(sessions, np.datetime64(row.first, "D")))
        stop = (
            len(sessions) if row.last is None else int(np.searchsorted(sessions, np.datetime64(row.last, "D"), "right"))
        )
        grid[first:stop, place] = True
    strangers = list(dict.fromkeys(strangers))
    return grid, [Notice(NoticeKind.MEMBER_UNKNOWN, len(strangers), shown(strangers))] if strangers else []
