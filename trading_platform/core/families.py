"""What kind of reward a strategy lives from. Rules that tilt capital go by it, never by a strategy's name."""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """The families of docs/strategies.md; `OTHER` is whatever does not say."""

    TREND = "trend"
    MOMENTUM = "momentum"
    LOW_RISK = "low_risk"
    BONDS = "bonds"
    REAL_ASSETS = "real_assets"
    EQUITY = "equity"
    REVERSAL = "reversal"
    OTHER = "other"
