"""Faults on demand: what goes wrong, on which requests, how often.

A fault strikes before the request is handled (`*_before`: nothing happened) or after it (`*_after`: it did happen, and
the client does not hear of it). Draws come from a seeded generator, so a run can be repeated.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trading_platform.core.errors import FixConfigError


class FaultKind(StrEnum):
    """What may go wrong with a request."""

    LATENCY = "latency"
    HANG = "hang"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    STATUS_BEFORE = "status_before"
    STATUS_AFTER = "status_after"
    HTML = "html"
    GARBAGE_AFTER = "garbage_after"
    EMPTY_AFTER = "empty_after"
    STALE_CLOCK = "stale_clock"
    DUPLICATE_PAGE = "duplicate_page"
    MISSING_PAGE = "missing_page"
    VANISHED_POSITIONS = "vanished_positions"
    INFINITE_CASH = "infinite_cash"
    ABSURD_PRICES = "absurd_prices"
    NEGATIVE_FILLS = "negative_fills"
    UNKNOWN_WORDS = "unknown_words"
    DOUBLED_ROWS = "doubled_rows"
    REWRITE = "rewrite"


STRIKES_AFTER = frozenset(
    {FaultKind.DROP_AFTER, FaultKind.STATUS_AFTER, FaultKind.GARBAGE_AFTER, FaultKind.EMPTY_AFTER}
)
# requests that an absurd answer is for, where a fault names none
ABSURD_PATHS: Mapping[FaultKind, str] = {
    FaultKind.VANISHED_POSITIONS: r"^/v2/positions(\?|$)",
    FaultKind.INFINITE_CASH: r"^/v2/account(\?|$)",
    FaultKind.ABSURD_PRICES: r"^/v2/(positions|orders|stocks)",
    FaultKind.NEGATIVE_FILLS: r"^/v2/(orders|account/activities)",
    FaultKind.UNKNOWN_WORDS: r"^/v2/(account|orders)",
    FaultKind.DOUBLED_ROWS: r"^/v2/(account/activities|orders|positions)",
    FaultKind.REWRITE: "",
}
CHANGES_PAGES = frozenset({FaultKind.STALE_CLOCK, FaultKind.DUPLICATE_PAGE, FaultKind.MISSING_PAGE, *ABSURD_PATHS})


@dataclass(slots=True)
class Fault:
    """One rule.

    Attributes
    ----------
    kind
        What happens.
    method, path
        Which requests: an HTTP method or None for any, and a regular expression searched in the path with its query.
    skip
        So many fitting requests pass first: 2 means "from the third on".
    times
        It strikes so many times, then never again; None = for ever.
    probability
        Chance that it strikes a fitting request.
    status, code, message, headers
        The answer of the `status_*` kinds; 429 brings its limit headers by itself.
    seconds
        Delay of `latency`, longest `hang`.
    fields
        What `rewrite` puts into the answer: field -> value, wherever the field occurs.
    """

    kind: FaultKind
    method: str | None = None
    path: str = ""
    skip: int = 0
    times: int | None = 1
    probability: float = 1.0
    status: int = 500
    code: int = 50010000
    message: str = "internal server error occurred"
    headers: Mapping[str, str] | None = None
    seconds: float = 0.0
    struck: int = 0
    fields: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        if self.kind in ABSURD_PATHS:
            self.method = self.method or "GET"
            self.path = self.path or ABSURD_PATHS[self.kind]

    @classmethod
    def from_json(cls, wish: Mapping[str, object]) -> Fault:
        """Build a fault from the admin endpoint's JSON.

        Raises
        ------
        FixConfigError
            It cannot be read.
        """
        try:
            known: dict[str, Any] = dict(wish)  # JSON: the constructor checks the names
            return cls(**{**known, "kind": FaultKind(known["kind"])})
        except (KeyError, TypeError, ValueError) as error:
            raise FixConfigError(f"fault {dict(wish)!r} cannot be read: {error}") from error


class FaultPlan:
    """The faults in force."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - it breaks tests on purpose, not locks
        self._faults: list[Fault] = []
        self.history: Counter[FaultKind] = Counter()  # how often each kind has struck, also after `clear`

    def add(self, *faults: Fault, first: bool = False) -> None:
        """Put faults in force, behind those that are or before them."""
        at = 0 if first else len(self._faults)
        self._faults[at:at] = faults

    def remove(self, n_faults: int) -> None:
        """Lift the first `n_faults`."""
        del self._faults[:n_faults]

    def clear(self) -> None:
        """Lift all faults."""
        self._faults.clear()

    @property
    def faults(self) -> Sequence[Fault]:
        """The faults in force, spent ones included."""
        return tuple(self._faults)

    def strike(self, method: str, path: str) -> Fault | None:
        """Return the first fault that strikes this request, counting it."""
        for fault in self._faults:
            if fault.method not in (None, method) or re.search(fault.path, path) is None:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.times is not None and fault.struck >= fault.times:
                continue
            if self._random.random() < fault.probability:
                fault.struck += 1
                self.history[fault.kind] += 1
                return fault
        return None
