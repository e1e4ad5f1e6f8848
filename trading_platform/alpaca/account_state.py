"""What Alpaca says of an account's own state: may it trade, and is there a margin call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

ACTIVE = "ACTIVE"
# Flags of Alpaca's account, and what they mean for new risk. `transfers_blocked` is none of it.
FLAGS = {
    "trading_blocked": "trading is blocked (trading_blocked)",
    "account_blocked": "the account is blocked (account_blocked)",
    "trade_suspended_by_user": "trading was suspended in Alpaca's dashboard (trade_suspended_by_user)",
}
MARGIN_CALL = "margin call: equity is below the maintenance margin"


def account_trouble(raw: Mapping[str, Any]) -> str:
    """Return why the account of Alpaca's answer `raw` must take no new risk, "" if it may.

    The words hold no number that moves with prices: two looks at one state must read the same.
    """
    return "; ".join([*blocks(raw), *([MARGIN_CALL] if _is_margin_call(raw) else [])])


def blocks(raw: Mapping[str, Any]) -> list[str]:
    """Return why the account of Alpaca's answer `raw` may not trade at all, in words; nothing if it may."""
    found = [words for flag, words in FLAGS.items() if raw.get(flag)]
    status = str(raw["status"]).upper()
    return found if status == ACTIVE else [*found, f"its status is {status}"]


def _is_margin_call(raw: Mapping[str, Any]) -> bool:
    """Return True where equity is below what must be there for the positions held; an account in cash needs none."""
    needed, equity = _number(raw.get("maintenance_margin")), _number(raw.get("equity"))
    return needed > 0.0 and equity < needed


def _number(value: object) -> float:
    """Return a number of dollars, NaN (which compares false) where none was told."""
    try:
        return float(str(value))
    except ValueError:
        return math.nan
