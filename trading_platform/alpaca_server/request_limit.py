"""How many requests a minute are allowed: of the trading host and of the data host, each its own count."""

from __future__ import annotations

import math
import threading
import time
from collections import deque

from trading_platform.machine.clocks import utc_now

WINDOW_SECONDS = 60.0
DATA_PATHS = ("/v2/stocks", "/v1beta1", "/v1/")  # the data host's


class RequestLimit:
    """Counts requests in a window that slides with real time: the simulated clock may stand still."""

    def __init__(self) -> None:
        self._recent: dict[bool, deque[float]] = {True: deque(), False: deque()}
        self._lock = threading.Lock()

    def count(self, path: str, limit: int | None) -> tuple[bool, dict[str, str]]:
        """Count a request; return (whether it is within the limit of its host, the limit headers)."""
        recent, now = self._recent[path.startswith(DATA_PATHS)], time.monotonic()
        with self._lock:
            while recent and recent[0] <= now - WINDOW_SECONDS:
                recent.popleft()
            allowed = limit is None or len(recent) < limit
            if allowed:
                recent.append(now)
            left = 199 if limit is None else max(0, limit - len(recent))
            wait = 0.0 if not recent else recent[0] + WINDOW_SECONDS - now
        headers = {
            "X-Ratelimit-Limit": str(limit or 200),
            "X-Ratelimit-Remaining": str(left),
            "X-Ratelimit-Reset": str(math.ceil(utc_now().timestamp() + wait)),
        }
        return allowed, headers
