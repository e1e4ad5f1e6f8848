"""Books as the first version wrote them: bare rows, one strategy a position, ten slots."""

from __future__ import annotations

import json
from datetime import date

from trading_platform.core.ports import SavedBook
from trading_platform.core.risk.memory import checksum
from trading_platform.core.saved_books import FIRST_ACCOUNT, FIRST_SLOT

SESSION = date(2026, 11, 20)
ENTRY_DAY = 20_400


def first_account(**changed: float) -> list[float]:
    """Return an account row of the first version."""
    told: dict[str, float] = dict.fromkeys(FIRST_ACCOUNT, 0.0)
    for name in ("cash", "equity", "previous_equity", "peak_equity", "lifetime_peak", "accepted_equity"):
        told[name] = 100_000.0
    whole = {name for name in FIRST_ACCOUNT if name.endswith(("readings", "halted", "streak", "sessions"))}
    whole |= {"trades", "wins", "halts"}
    told |= changed
    return [int(told[name]) if name in whole else float(told[name]) for name in FIRST_ACCOUNT]


def first_slot(**changed: float) -> list[float]:
    """Return a slot row of the first version; empty unless something is said of it."""
    told: dict[str, float] = dict.fromkeys(FIRST_SLOT, 0.0) | {"ticker": -1} | changed
    whole = {"ticker", "strategy", "exit_reason", "entry_day", "held", "missing"}
    return [int(told[name]) if name in whole else float(told[name]) for name in FIRST_SLOT]


POSITION = {
    "ticker": 1,
    "strategy": 1,
    "quantity": 30.0,
    "limit_price": 102.0,
    "stop": 90.0,
    "target": 120.0,
    "price": 104.0,
    "value": 3_120.0,
    "cost": 3_000.0,
    "bought": 50.0,
    "bought_amount": 5_000.0,
    "sold_amount": 2_060.0,
    "fees": 0.07,
    "dividends": 12.5,
    "entry_day": ENTRY_DAY,
    "held": 9,
}
WAITING = {
    "ticker": 2,
    "strategy": 0,
    "pending": 25.0,
    "limit_price": 51.0,
    "stop": 45.0,
    "target": 60.0,
    "price": 50.0,
}


def first_text(account: list[float], slots: list[list[float]], entries: dict[str, str]) -> SavedBook:
    """Return a saved book as the paper broker of the first version made it: ten slots, `tolist` of each record."""
    rows = slots + [first_slot() for _ in range(10 - len(slots))]
    one, two = json.dumps(account), json.dumps({"slots": rows, "entries": entries})
    return SavedBook(SESSION, one, two, checksum(one + two))
