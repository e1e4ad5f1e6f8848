"""Which tickers are funds, and of what: the table of common US funds that ships, and a folder's own over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from trading_platform.core.types import STOCK

SHIPPED = Path(__file__).with_name("data") / "assets.csv"


@cache
def shipped_classes() -> Mapping[str, str]:
    """Return ticker -> asset class of the common US funds. Bonds of all kinds together count as government bonds."""
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()[1:]
    return dict(line.split(",") for line in lines)


def classes_of(tickers: Sequence[str], own: Mapping[str, str]) -> tuple[str, ...]:
    """Return the asset class of each ticker, empty if all are stocks; `own` wins over the shipped table."""
    shipped = shipped_classes()
    classes = tuple(own.get(name, shipped.get(name, STOCK)) for name in tickers)
    return classes if any(name != STOCK for name in classes) else ()
