"""What Alpaca says of an account's own state: may it trade, and is there a margin call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

ACTIVE = "ACTIVE"
STATUSES = frozenset(  # alpaca-py's AccountStatus
    {
        "ACCOUNT_CLOSED",
        "ACCOUNT_UPDATED",
        "ACTION_REQUIRED",
        ACTIVE,
        "AML_REVIEW",
        "APPROVAL_PENDING",
        "APPROVED",
        "DISABLED",
        "DISABLE_PENDING",
        "EDITED",
        "INACTIVE",
        "KYC_SUBMITTED",
        "LIMITED",
        "ONBOARDING",
        "PAPER_ONLY",
        "REAPPROVAL_PENDING",
        "REJECTED",
        "RESUBMITTED",
        "SIGNED_UP",
        "SUBMISSION_FAILED",
        "SUBMITTED",
    }
)
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
    unknown = _status(raw) not in STATUSES
    strange = [f"its status is {_status(raw)}, which nobody knows"] if unknown else []
    return "; ".join([*blocks(raw), *strange, *([MARGIN_CALL] if _is_margin_call(raw) else [])])


def blocks(raw: Mapping[str, Any]) -> list[str]:
    """Return why the account of Alpaca's answer `raw` may not trade at all, in words; nothing if it may.

    A status that nobody knows is none of it: it takes no new risk, and must not keep down who looks after positions.
    """
    found = [words for flag, words in FLAGS.items() if raw.get(flag)]
    status = _status(raw)
    return found if status == ACTIVE or status not in STATUSES else [*found, f"its status is {status}"]


def _status(raw: Mapping[str, Any]) -> str:
    return str(raw["status"]).upper()


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
