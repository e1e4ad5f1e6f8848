"""What people write in a notebook, as the values that the rules take: sides in any case, round trips as mappings."""

from __future__ import annotations

from collections.abc import Mapping

from trading_platform.core.types import TradeResult

KEYS = TradeResult._fields


def side_of(side: str) -> str:
    """Return `side` as the rules spell it; what is no text stays, and is refused as an unknown side."""
    return side.lower() if isinstance(side, str) else side


def trade_result_of(told: TradeResult | Mapping[str, object]) -> TradeResult:
    """Return a round trip told as a mapping with the keys ticker, pnl and cost (dollars).

    Raises
    ------
    ValueError
        Missing or unknown keys, or money that is no number; all of them in one message.
    """
    if not isinstance(told, Mapping):
        return told
    faults = [f"{key} is missing" for key in KEYS if key not in told]
    faults += [f"{key} is unknown" for key in told if key not in KEYS]
    faults += [
        f"{key} must be a number of dollars, was {told[key]!r}"
        for key in KEYS[1:]
        if key in told and (isinstance(told[key], bool) or not isinstance(told[key], int | float))
    ]
    if faults:
        raise ValueError(f"update_state takes {', '.join(KEYS)}: {'; '.join(faults)}")
    return TradeResult(**told)  # type: ignore[arg-type]  # every value was just looked at
