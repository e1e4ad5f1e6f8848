"""A checked panel kept on disk as npz, so that the next start need not parse and check the same files again.

No pickle: reading a snapshot runs no code. It is only a copy, so anything wrong with one (truncated, altered, of
another version or other files) means that it is not used and is written anew.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from trading_platform.core.types import CorporateEvent, EventKind, MarketPanel
from trading_platform.market_data.panel import content_hash

# Raise this when the layout, or a check that a stored panel has passed, changes.
FORMAT = "3"
NUMBERS = ("open", "high", "low", "close", "volume", "vix", "benchmark")
OPTIONAL = ("split_ratio", "dividend", "cash_rate", "member")
NAMES = ("tickers", "sectors", "warnings", "asset_classes", "securities")


def save_snapshot(path: Path, key: str, panel: MarketPanel) -> None:
    """Write `panel` under `key`, replacing the file at once. A disk that refuses costs only the next start's time."""
    arrays: dict[str, Any] = {name: getattr(panel, name) for name in NUMBERS}
    arrays |= {name: getattr(panel, name) for name in OPTIONAL if getattr(panel, name) is not None}
    arrays |= {name: np.array(getattr(panel, name), dtype=np.str_) for name in NAMES}
    arrays["sessions"] = panel.sessions.astype(np.int64)
    arrays["head"] = np.array([FORMAT, key, panel.source, panel.data_hash, panel.benchmark_ticker], dtype=np.str_)
    arrays["events"] = np.array([_event_text(event) for event in panel.events], dtype=np.str_).reshape(-1, 6)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)
    with suppress(OSError):
        partial.unlink(missing_ok=True)


def load_snapshot(path: Path, key: str) -> MarketPanel | None:
    """Return the panel stored under `key`, or None if there is none or its content is not what its hash says."""
    try:
        # np.load would leave the file open when it is no zip archive
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            version, stored_key, source, data_hash, benchmark_ticker = file["head"].tolist()
            if (version, stored_key) != (FORMAT, key):
                return None
            columns: dict[str, Any] = {name: file[name] for name in NUMBERS}
            columns |= {name: file[name] for name in OPTIONAL if name in file.files}
            columns |= {name: tuple(file[name].tolist()) for name in NAMES}
            panel = MarketPanel(
                sessions=file["sessions"].astype("datetime64[D]"),
                source=source,
                data_hash=data_hash,
                benchmark_ticker=benchmark_ticker,
                events=tuple(_event_of(*fields) for fields in file["events"].tolist()),
                **columns,
            )
    except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    return panel if content_hash(panel) == data_hash else None


def _event_text(event: CorporateEvent) -> list[str]:
    return [event.session.isoformat(), event.ticker, event.kind, event.other, repr(event.ratio), repr(event.cash)]


def _event_of(session: str, ticker: str, kind: str, other: str, ratio: str, cash: str) -> CorporateEvent:
    return CorporateEvent(date.fromisoformat(session), ticker, EventKind(kind), other, float(ratio), float(cash))
