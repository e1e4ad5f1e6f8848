"""What a failed request to Alpaca tells: its kind, and whether anybody knows what became of it. Pure functions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from trading_platform.core.errors import BrokerUnreachableError, TradingPlatformError


class FailureKind(StrEnum):
    """Why a request failed, by what can be done about it."""

    CREDENTIALS = "credentials"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    SERVER = "server"
    NETWORK = "network"
    GARBAGE = "garbage"


DEFINITIVE = frozenset({FailureKind.CREDENTIALS, FailureKind.FORBIDDEN, FailureKind.NOT_FOUND, FailureKind.REFUSED})


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed request tells. `retry_after` is in seconds, None where the service did not say."""

    kind: FailureKind
    status: int | None
    code: int | None
    message: str
    retry_after: float | None = None

    @property
    def is_definitive(self) -> bool:
        """True if the service certainly did not do what it was asked; otherwise nobody knows yet."""
        return self.kind in DEFINITIVE

    def __str__(self) -> str:
        head = self.kind.value if self.status is None else f"HTTP {self.status}"
        return f"{head}: {self.message}"


class AlpacaRefusalError(TradingPlatformError):
    """Alpaca understood a read and refused it, or does not know what was asked for."""

    def __init__(self, what: str, failure: Failure) -> None:
        super().__init__(f"{what}: Alpaca refused ({failure})")
        self.failure = failure


class UnreadableAnswerError(BrokerUnreachableError):
    """Alpaca answers each time, and nobody understands the answer: other requests may well be understood."""


class SendError(Exception):
    """A change was sent once and did not come back with a usable answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def read_body(text: str) -> tuple[int | None, str]:
    """Return (code, message) of an error body, which may also be HTML or empty."""
    try:
        body = json.loads(text)
    except json.JSONDecodeError:
        return None, text or "empty answer"
    if not isinstance(body, dict):
        return None, text
    code = body.get("code")
    return code if isinstance(code, int) else None, str(body.get("message") or text)


def failure_kind(status: int | None, code: int | None, message: str) -> FailureKind:
    """Return what an answer with an error status means; `code` and `message` are those of its body."""
    if status == 401 or code == 40110000:
        return FailureKind.CREDENTIALS
    if status == 403:
        # The data host and older gateways answer wrong keys with 403 {"message": "forbidden."}.
        words = message.lower().strip(". ")
        refused = words in ("forbidden", "request is not authorized") or "access key verification failed" in words
        return FailureKind.CREDENTIALS if refused else FailureKind.FORBIDDEN
    if status == 404:
        return FailureKind.NOT_FOUND
    if status == 429:
        return FailureKind.RATE_LIMITED
    if status is not None and 400 <= status < 500 and status != 408:
        return FailureKind.REFUSED
    return FailureKind.SERVER


def network_cause(error: Exception) -> str:
    """Return what a person needs of a network error: urllib3 wraps it in its pool, retries and URLs."""
    text = str(error)
    host = re.search(r"host='([^']+)', port=(\d+)", text)
    cause = re.search(r"Failed to resolve|Connection refused|Network is unreachable|timed out", text)
    if host is None or cause is None:
        return text
    if cause.group() == "Failed to resolve":
        return f"the name {host.group(1)} cannot be resolved"
    return f"{host.group(1)}:{host.group(2)}: {cause.group().lower()}"
