"""A panel written as files in the platform's own form, which read back as the very same panel."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import STOCK, UNKNOWN_SECTOR, EventKind, MarketPanel
from trading_platform.market_data.columns import OWN_HEADER


def write_panel(panel: MarketPanel, folder: Path) -> list[str]:
    """Write a panel whose benchmark is one of its columns into `folder`; return the names of the files.

    Raises
    ------
    FixConfigError
        The folder holds files already, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FixConfigError(f"{folder} is not empty; name a new folder, nothing is overwritten")
    tables = {
        "bars.csv": _bars(panel),
        "vix.csv": _series(panel, panel.vix, "close"),
        "sectors.csv": _sectors(panel),
        "assets.csv": _assets(panel),
        "cash_rate.csv": [] if panel.cash_rate is None else _series(panel, panel.cash_rate, "rate"),
        "events.csv": _events(panel),
        "universe.csv": _members(panel),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            if rows:
                write_csv(folder / name, rows)
    except OSError as error:
        raise FixConfigError(f"{folder} cannot be written ({error}); check path, permissions and room") from error
    return [name for name, rows in tables.items() if rows]


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a table, replacing the file at once, so that a killed command leaves no half of one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    partial.replace(path)


def _bars(panel: MarketPanel) -> list[Sequence[object]]:
    extra = [
        (name, values)
        for name, values in (("split_ratio", panel.split_ratio), ("dividend", panel.dividend))
        if values is not None
    ]
    columns = [panel.open, panel.high, panel.low, panel.close, panel.volume, *(values for _, values in extra)]
    rows: list[Sequence[object]] = [(*OWN_HEADER, *(name for name, _ in extra))]
    days = [str(day) for day in panel.sessions]
    for t, i in zip(*np.nonzero(np.isfinite(panel.close)), strict=True):
        rows.append((days[t], panel.tickers[i], *(repr(float(values[t, i])) for values in columns)))
    return rows


def _series(
    panel: MarketPanel, values: np.ndarray[tuple[int], np.dtype[np.float64]], name: str
) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [
        (str(day), repr(float(value))) for day, value in zip(panel.sessions, values, strict=True) if np.isfinite(value)
    ]
    return [("date", name), *rows] if rows else []


def _sectors(panel: MarketPanel) -> list[Sequence[object]]:
    kinds = panel.classes
    rows: list[Sequence[object]] = [
        (ticker, sector)
        for ticker, sector, kind in zip(panel.tickers, panel.sectors, kinds, strict=True)
        if kind == STOCK and sector != UNKNOWN_SECTOR
    ]
    return [("ticker", "sector"), *rows] if rows else []


def _assets(panel: MarketPanel) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = list(zip(panel.tickers, panel.asset_classes, strict=False))
    return [("ticker", "asset_class"), *rows] if rows else []


def _events(panel: MarketPanel) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    for event in panel.events:
        ratio = repr(event.ratio) if event.kind in (EventKind.STOCK_MERGER, EventKind.SPIN_OFF) else ""
        cash = repr(event.cash) if np.isfinite(event.cash) and event.cash > 0.0 else ""
        cash = "0.0" if event.kind is EventKind.DELISTING and event.cash == 0.0 else cash
        rows.append((event.session.isoformat(), event.ticker, event.kind.value, event.other, ratio, cash))
    return [("date", "ticker", "kind", "new_ticker", "ratio", "cash"), *rows] if rows else []


def _members(panel: MarketPanel) -> list[Sequence[object]]:
    if panel.member is None:
        return []
    rows: list[Sequence[object]] = [("ticker", "from", "to")]
    for i, ticker in enumerate(panel.tickers):
        held = np.concatenate([[False], panel.member[:, i], [False]])
        edges = np.flatnonzero(held[1:] != held[:-1])
        for first, stop in zip(edges[::2], edges[1::2], strict=True):
            last = "" if stop == panel.n_sessions else str(panel.sessions[stop - 1])
            rows.append((ticker, str(panel.sessions[first]), last))
    return rows
