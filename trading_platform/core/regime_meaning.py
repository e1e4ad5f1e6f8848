"""What the market's regimes say, in words for reports, and which model says it. Imports nothing slow."""

from __future__ import annotations

# Of the model behind regime probabilities. Cached ones of another are not used, nor policies that were trained on them.
REGIME_REVISION = 4

# Of `core.types.Regime`, a clause each: what the market is, not what it will do (docs/regime.md has the numbers).
REGIME_MEANINGS = {
    "bull": "near its high and calm",
    "bear": "well below its high and its 200-day mean, and volatile",
    "consolidation": "in between: off its high, or less calm",
    "unknown": "too little history to say, or no VIX",
}


def regime_words(regime: str) -> str:
    """Return a regime with what it says of the market, e.g. ``bull: near its high and calm``."""
    meaning = REGIME_MEANINGS.get(regime)
    return regime if meaning is None else f"{regime}: {meaning}"
