"""The pace of requests: a token bucket that listens to the service's own count, and a timeout on everything."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter

from trading_platform.core.errors import FixConfigError
from trading_platform.machine.clocks import utc_now

BURST = 20.0
LONGEST_WAIT = 60.0


class Timer(NamedTuple):
    """Time as this module needs it; tests pass one that does not wait."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = lambda: utc_now().timestamp()
    sleep: Callable[[float], None] = time.sleep


class RateLimiter:
    """Token bucket: at most `per_minute` requests a minute, at most `burst` at once."""

    def __init__(self, per_minute: float, burst: float = BURST, timer: Timer | None = None) -> None:
        if not (per_minute > 0.0):
            raise FixConfigError(f"requests_per_minute must be > 0, was {per_minute!r}")
        self._rate = per_minute / 60.0
        self._burst = max(1.0, min(burst, per_minute))
        self._timer = timer or Timer()
        self._tokens = self._burst
        self._filled_at = self._timer.monotonic()

    def acquire(self) -> None:
        """Wait until a request may leave."""
        self._refill()
        if self._tokens < 1.0:
            self._timer.sleep((1.0 - self._tokens) / self._rate)
            self._refill()
        self._tokens -= 1.0

    def observe(self, headers: Mapping[str, str]) -> None:
        """Take over what the service counted: when nothing remains, hold requests back until its window resets."""
        remaining, reset = (
            header_number(headers.get("X-Ratelimit-Remaining")),
            header_number(headers.get("X-Ratelimit-Reset")),
        )
        if remaining is None:
            return
        self._refill()
        self._tokens = min(self._tokens, remaining)
        if remaining < 1.0 and reset is not None:
            wait = min(max(reset - self._timer.wall(), 0.0), LONGEST_WAIT)
            self._tokens = min(self._tokens, 1.0 - wait * self._rate)

    def _refill(self) -> None:
        now = self._timer.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now


class PacedAdapter(HTTPAdapter):
    """Gives every request a timeout and its turn, through a public hook of requests: nothing is patched."""

    def __init__(self, timeout: tuple[float, float], limiter: RateLimiter) -> None:
        super().__init__()
        self._timeout = timeout
        self._limiter = limiter

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send with a timeout, after waiting for a token."""
        self._limiter.acquire()
        if options.get("timeout") is None:
            options["timeout"] = self._timeout
        response = super().send(request, *args, **options)
        self._limiter.observe(response.headers)
        return response


def header_number(text: str | None) -> float | None:
    """Read a header in seconds; an HTTP date or nonsense counts as absent."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
