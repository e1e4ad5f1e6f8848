"""What idle cash earns: a rate in percent a year by session, from a folder, a setting, or the shipped bill rate.

The shipped series is the 3-month Treasury bill of the secondary market, DTB3 of the Board of Governors of the Federal
Reserve System (release H.15, public domain), 1990-01-02 to 2017-12-29. It is a bank discount and becomes a yield here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.types import Floats
from trading_platform.market_data.notices import Notice, NoticeKind

SHIPPED = Path(__file__).with_name("data") / "dtb3.csv"
BILL_DAYS = 91.0
BANK_YEAR, YEAR = 360.0, 365.0
HELD_DAYS = 7  # a rate that is older than a week of holidays is held, and said to be


@dataclass(frozen=True, slots=True, eq=False)
class RateHistory:
    """Yields in percent a year: days (R,) datetime64[D], not decreasing, values (R,), and where they come from."""

    days: NDArray[np.datetime64]
    values: Floats
    place: str


def yield_of_discount(percent: Floats) -> Floats:
    """Return the yield of a 91-day bill in percent a year, (n,), from its bank discount d: 365 d / (360 - 91 d)."""
    discount = percent / 100.0
    out: Floats = 100.0 * YEAR * discount / (BANK_YEAR - BILL_DAYS * discount)
    return out


def align_rate(history: RateHistory, sessions: NDArray[np.datetime64]) -> tuple[Floats, list[Notice]]:
    """Return the rate last known at the close of each session (T,), NaN before the first, and where it is held."""
    at = np.searchsorted(history.days, sessions, side="right") - 1
    rate = np.where(at >= 0, history.values[np.maximum(at, 0)], np.nan)
    late = sessions > history.days[-1] + np.timedelta64(HELD_DAYS, "D")
    if not np.any(late):
        return rate, []
    text = f"{history.place} ends on {history.days[-1]}; {history.values[-1]:.2f} % holds from there on"
    return rate, [Notice(NoticeKind.RATE_HELD, int(np.count_nonzero(late)), text)]


@cache
def shipped_rate() -> RateHistory:
    """Return the shipped bill rate as yields."""
    lines = [line for line in SHIPPED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    days, discounts = zip(*(line.split(",") for line in lines[1:]), strict=True)
    values = yield_of_discount(np.array(discounts, dtype=np.float64))
    return RateHistory(np.array(days, dtype="datetime64[D]"), values, "the shipped bill rate (DTB3)")
