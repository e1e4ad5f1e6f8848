"""What befalls an account at one moment of a campaign, drawn from the quarter's seed and the moment's number alone.

Pure: the same seed gives the same blows, whatever has become of the engine meanwhile: a quarter can be replayed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trading_platform.alpaca.http import READ_ATTEMPTS
from trading_platform.alpaca_server.faults import Fault, FaultKind

FAMILIES = ("answers", "venue", "storage", "clock", "operator", "owner", "corporate", "engines")
STEPS = (
    "before_intent",
    "after_intent",
    "before_post",
    "after_post",
    "after_response",
    "after_commit",
    "after_fill",
    "before_book",
    "after_book",
)
# Where orders are sent all steps are passed; at the other moments most of a look only reads.
QUIET_STEPS = ("after_fill", "before_book", "after_book")
PATHS = (
    "",
    r"^/v2/account$",
    r"^/v2/positions",
    r"^/v2/orders",
    r"^/v2/orders$",
    r"^/v2/orders/",
    r"activities",
    r"bars",
    r"clock",
    r"corporate-actions",
    r"assets",
)
PLAIN = (
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.STATUS_BEFORE,
    FaultKind.STATUS_AFTER,
    FaultKind.HTML,
    FaultKind.GARBAGE_AFTER,
    FaultKind.EMPTY_AFTER,
)
ABSURD = (
    FaultKind.VANISHED_POSITIONS,
    FaultKind.INFINITE_CASH,
    FaultKind.ABSURD_PRICES,
    FaultKind.NEGATIVE_FILLS,
    FaultKind.UNKNOWN_WORDS,
    FaultKind.DOUBLED_ROWS,
)
PAGES = (FaultKind.DUPLICATE_PAGE, FaultKind.MISSING_PAGE, FaultKind.STALE_CLOCK)
STATUSES = (429, 500, 502, 503, 504)
REFUSALS = ((403, 40310000, "insufficient buying power"), (422, 42210000, "asset is not tradable today"))
# Fields that come wrong though everything else is right.
REWRITTEN: Sequence[tuple[str, Mapping[str, object]]] = (
    (r"^/v2/positions", {"qty": "NaN"}),
    (r"^/v2/positions", {"qty": "0"}),
    (r"^/v2/account$", {"cash": None}),
    (r"^/v2/account$", {"cash": "-1e12"}),
    (r"^/v2/orders", {"filled_qty": "1e15"}),
    (r"^/v2/orders", {"status": "suspended"}),
    (r"activities", {"price": "0"}),
    (r"activities", {"transaction_time": "yesterday"}),
    (r"bars", {"c": -1.0}),
    (r"clock", {"timestamp": "soon"}),
)

STORAGE = ("no room", "not writable", "locked", "put away", "back to an older copy")
CLOCK = ("engine away for sessions", "two hours ahead", "twenty minutes back")
OPERATOR = ("halt", "resume", "flatten", "flatten one", "pause", "unpause")
OWNER = ("buys by hand", "sells by hand", "deposits", "withdraws", "cancels a stop", "edits a stop", "trades an option")
ENGINES = ("same database", "fresh database")
WHIMS = ("reject", "cancel", "partial")


@dataclass(frozen=True, slots=True)
class Kill:
    """A death: at a named step, or at a part of all calls that a look takes; what is spoiled on the way."""

    step: str | None
    nth: int
    part: float
    spoiled: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Blows:
    """All that befalls one moment; None or empty is nothing."""

    kills: tuple[Kill, ...]
    spoiled: tuple[Fault, ...]
    whim: str | None
    storage: str | None
    clock: str | None
    operator: str | None
    owner: str | None
    engines: str | None
    chance: float  # whatever else must be chosen is chosen by it


def blows(seed: int, moment: int, kind: str, tempo: float = 1.0) -> Blows:
    """Return what befalls moment number `moment` of a quarter; more than one disaster a moment is rare, as in life.

    `kind` is "evening" (orders are sent), "open", "day" or "dawn". A `tempo` above 1 makes disasters that many times
    as likely, so that a short campaign meets all of them.
    """
    draws = random.Random(f"{seed}/{moment}")
    least, most = {"evening": (3, 8), "open": (1, 5), "day": (1, 4), "dawn": (1, 3)}[kind]
    kills = tuple(_kill(draws, kind) for _ in range(draws.randint(least, most)))

    def once(chance: float, kinds: Sequence[str]) -> str | None:
        struck, chosen = draws.random() < chance * tempo, draws.choice(kinds)
        return chosen if struck else None

    return Blows(
        kills=kills,
        spoiled=_spoiled(draws, 4) if draws.random() < 0.6 else (),
        whim=once(0.06, WHIMS) if kind == "evening" else None,
        storage=once(0.05, STORAGE),
        clock=once(0.02, CLOCK),
        operator=once(0.04, OPERATOR),
        owner=once(0.05, OWNER),
        engines=once(0.03, ENGINES),
        chance=draws.random(),
    )


def _kill(draws: random.Random, kind: str) -> Kill:
    steps = STEPS if kind == "evening" else QUIET_STEPS
    by_step = draws.random() < (0.6 if kind == "evening" else 0.15)
    step, nth, part = draws.choice(steps), draws.choice((1, 1, 2, 3)), draws.random()
    return Kill(step if by_step else None, nth, part, _spoiled(draws, 3))


def _spoiled(draws: random.Random, most: int) -> tuple[Fault, ...]:
    return tuple(spoiled_answer(draws) for _ in range(draws.randint(1, most)))


def spoiled_answer(draws: random.Random) -> Fault:
    """Return one way in which one answer, rarely several in a row, goes wrong."""
    sort = draws.random()
    skip = draws.choice((0, 0, 0, 1, 2, 4, 8))
    if sort < 0.02:
        return Fault(FaultKind.LATENCY, path=draws.choice(PATHS), skip=skip, times=3, seconds=0.02)
    if sort < 0.03:
        return Fault(FaultKind.STATUS_BEFORE, path=draws.choice(PATHS), status=503, times=READ_ATTEMPTS + 1)
    if sort < 0.09:
        status, code, message = draws.choice(REFUSALS)
        return Fault(
            FaultKind.STATUS_BEFORE,
            method="POST",
            path="^/v2/orders$",
            skip=min(skip, 2),
            status=status,
            code=code,
            message=message,
        )
    if sort < 0.14:
        return Fault(
            draws.choice((FaultKind.DROP_AFTER, FaultKind.STATUS_AFTER)),
            method="POST",
            path="^/v2/orders$",
            skip=min(skip, 2),
            status=504,
        )
    if sort < 0.30:
        return Fault(draws.choice(ABSURD), skip=draws.choice((0, 0, 1, 2)), times=draws.choice((1, 1, 2)))
    if sort < 0.38:
        path, fields = draws.choice(REWRITTEN)
        return Fault(FaultKind.REWRITE, path=path, fields=fields, skip=min(skip, 2))
    if sort < 0.46:
        kind = draws.choice(PAGES)
        path = "clock" if kind is FaultKind.STALE_CLOCK else draws.choice(("bars", "activities"))
        return Fault(kind, method="GET", path=path)
    if sort < 0.462:
        return Fault(FaultKind.HANG, path=draws.choice(PATHS), skip=skip, seconds=4.0)
    plain = draws.choice(PLAIN)
    has_status = plain in (FaultKind.STATUS_BEFORE, FaultKind.STATUS_AFTER)
    status = draws.choice(STATUSES) if has_status else 502
    at_once = {"Retry-After": "0", "X-Ratelimit-Reset": "0"} if status == 429 else None  # a real one asks for a minute
    return Fault(
        plain, path=draws.choice(PATHS), skip=skip, times=draws.choice((1, 1, 1, 2, 3)), status=status, headers=at_once
    )


def kill_wish(kill: Kill, calls: int) -> dict[str, Any]:
    """Return a death as the fork server takes it, where a whole look takes `calls` calls."""
    return {"call": max(1, round(kill.part * calls))} if kill.step is None else {"step": kill.step, "nth": kill.nth}
