"""The rate limiter, and what failures mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.alpaca.failures import FailureKind, failure_kind, read_body
from trading_platform.alpaca.http import AlpacaAccess
from trading_platform.alpaca.rate_limit import LONGEST_WAIT, RateLimiter, Timer
from trading_platform.configuration.environment import Secret
from trading_platform.core.errors import FixConfigError


class Time:
    def __init__(self) -> None:
        self.now = 500.0
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0.0
        self.now += seconds
        self.slept += seconds

    def timer(self) -> Timer:
        return Timer(lambda: self.now, lambda: self.now, self.sleep)


def test_burst_leaves_at_once_and_the_rest_in_turn() -> None:
    time = Time()
    limiter = RateLimiter(per_minute=60.0, burst=5.0, timer=time.timer())
    for _ in range(5):
        limiter.acquire()
    assert time.slept == 0.0
    for _ in range(10):
        limiter.acquire()
    assert time.slept == pytest.approx(10.0)


@given(st.lists(st.floats(0.0, 20.0), max_size=60))
def test_no_minute_sees_more_than_rate_and_burst(pauses: list[float]) -> None:
    time = Time()
    limiter = RateLimiter(per_minute=30.0, burst=4.0, timer=time.timer())
    sent = []
    for pause in pauses:
        time.now += pause
        limiter.acquire()
        sent.append(time.now)
    for first in sent:
        assert sum(first <= at < first + 60.0 for at in sent) <= 30 + 4


def test_service_that_counted_more_slows_us_down() -> None:
    time = Time()
    limiter = RateLimiter(per_minute=60.0, timer=time.timer())
    limiter.observe({"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": str(time.now + 12)})
    limiter.acquire()
    assert time.slept == pytest.approx(12.0, abs=1.1)


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Ratelimit-Remaining": "many"}, {"X-Ratelimit-Remaining": "150", "X-Ratelimit-Reset": "0"}],
)
def test_harmless_headers_change_nothing(headers: dict[str, str]) -> None:
    time = Time()
    limiter = RateLimiter(per_minute=60.0, timer=time.timer())
    limiter.observe(headers)
    limiter.acquire()
    assert time.slept == 0.0


def test_absurd_reset_cannot_stop_us_for_long() -> None:
    time = Time()
    limiter = RateLimiter(per_minute=60.0, timer=time.timer())
    limiter.observe({"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": str(time.now + 1e9)})
    limiter.acquire()
    assert time.slept <= LONGEST_WAIT + 1.0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_rate_must_be_positive(rate: float) -> None:
    with pytest.raises(FixConfigError, match="requests_per_minute"):
        RateLimiter(rate)


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (401, None, "", FailureKind.CREDENTIALS),
        (403, 40110000, "request is not authorized", FailureKind.CREDENTIALS),
        (403, None, "forbidden.", FailureKind.CREDENTIALS),
        (403, 40310000, "insufficient buying power", FailureKind.FORBIDDEN),
        (403, 40310000, "account is not authorized to trade options", FailureKind.FORBIDDEN),
        (404, 40410000, "order not found", FailureKind.NOT_FOUND),
        (422, 40010001, "client_order_id must be unique", FailureKind.REFUSED),
        (400, None, "bad", FailureKind.REFUSED),
        (408, None, "request timeout", FailureKind.SERVER),
        (429, None, "slow down", FailureKind.RATE_LIMITED),
        (500, None, "", FailureKind.SERVER),
        (502, None, "<html>", FailureKind.SERVER),
        (504, None, "", FailureKind.SERVER),
        (302, None, "", FailureKind.SERVER),
        (None, None, "", FailureKind.SERVER),
    ],
)
def test_answers_are_sorted_by_what_can_be_done(
    status: int | None, code: int | None, message: str, expected: FailureKind
) -> None:
    assert failure_kind(status, code, message) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"code": 42210000, "message": "no"}', (42210000, "no")),
        ('{"message": "no"}', (None, "no")),
        ("<html>502</html>", (None, "<html>502</html>")),
        ("", (None, "empty answer")),
        ("[1]", (None, "[1]")),
    ],
)
def test_error_bodies_are_read_whatever_they_are(text: str, expected: tuple[int | None, str]) -> None:
    assert read_body(text) == expected


def test_access_shows_no_secret() -> None:
    access = AlpacaAccess(Secret("PKAAA"), Secret("very-secret"))
    assert "PKAAA" not in repr(access)
    assert "very-secret" not in repr(access)
    assert access.redact("key PKAAA, very-secret!") == "key ***, ***!"
