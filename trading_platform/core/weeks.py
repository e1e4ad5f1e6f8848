"""Where the weeks of a market begin."""

from __future__ import annotations

import numpy as np

from trading_platform.core.types import Ints


def first_of_week(sessions: np.ndarray) -> Ints:
    """Return the rows (n,) of `sessions` (T,) that are the first of their calendar week; of row 0 nobody knows."""
    days = sessions.astype("datetime64[D]").astype(np.int64)
    weeks = (days + 3) // 7  # 1970-01-01 was a Thursday
    rows: Ints = np.flatnonzero(np.diff(weeks) != 0) + 1
    return rows
