"""Market data from a folder of files.

Every ``*.csv``, ``*.csv.gz`` and ``*.parquet`` directly in the folder counts; subfolders and hidden files do not.

* ``vix.csv`` (or ``vix.csv.gz``): ``date`` and ``close`` or ``vix``, further columns ignored; CBOE's own file fits.
* ``sectors.csv`` (or ``.csv.gz``): ``ticker`` and ``sector`` or ``gics_sector``, further columns ignored.
* a file with a ``ticker`` column holds bars: date, ticker, open, high, low, close, volume, and if prices are raw
  split_ratio and dividend; further columns ignored. Any number of such files, each sorted by date.
* a file without a ``ticker`` column is none of ours: skipped, with a warning.

Column names may be in any case. Everything is checked on load (`quality`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import numpy as np

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.bars import Bars, join_bars
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.panel import VixHistory, build_panel, select, shown
from trading_platform.market_data.quality import Suspicion, SuspicionKind, check_order
from trading_platform.market_data.snapshot import load_snapshot, save_snapshot
from trading_platform.market_data.tables import REQUIRED, parse_date, read_bars, read_header, read_rows

SUFFIXES = (".csv", ".csv.gz", ".parquet")
SIDE_FILES = ("vix", "sectors")


class FilesMarketData:
    """Daily bars from a folder; implements `core.ports.MarketData`.

    Parameters
    ----------
    folder
        Where the files are.
    benchmark
        Ticker whose closes become `panel.benchmark`; it is not traded.
    cache_dir
        Folder for a snapshot of the checked panel, or None for none. A snapshot is used only for files with the
        same names and content (sha256).
    calendar
        Sessions of the exchange.

    Raises
    ------
    MarketDataError
        From `history`, when the folder or a file cannot be used.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        benchmark: str = "SPY",
        cache_dir: Path | None = None,
        calendar: NyseCalendar | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.benchmark = benchmark
        self.cache_dir = cache_dir
        self._calendar = calendar or NyseCalendar()

    @property
    def name(self) -> str:
        """Short name for people."""
        return f"files:{self.folder}"

    def history(
        self, tickers: Sequence[str] | None = None, start: date | None = None, end: date | None = None
    ) -> MarketPanel:
        """Return completed bars of `tickers` (all when None) for sessions in [start, end], checked and sorted.

        The whole folder is read and checked, whatever part of it is asked for.
        """
        return select(self._load(self._paths()), tickers, start, end, benchmark=self.benchmark)

    def _paths(self) -> list[Path]:
        if not self.folder.is_dir():
            raise MarketDataError(f"{self.folder} is not a folder; give one that holds bar files")
        paths = [path for path in sorted(self.folder.iterdir()) if _stem(path) is not None and path.is_file()]
        if not paths:
            raise MarketDataError(
                f"{self.folder} holds no *.csv, *.csv.gz or *.parquet file; add one with {', '.join(REQUIRED)}"
            )
        return paths

    def _load(self, paths: Sequence[Path]) -> MarketPanel:
        if self.cache_dir is None:
            return self._parse(paths)
        key = self._key(paths)
        folder = hashlib.sha256(f"{self.folder.resolve()}\0{self.benchmark}".encode()).hexdigest()
        snapshot = self.cache_dir / f"panel-{folder[:16]}.npz"
        panel = load_snapshot(snapshot, key)
        if panel is None:
            panel = self._parse(paths)
            save_snapshot(snapshot, key, panel)
        return panel

    def _key(self, paths: Sequence[Path]) -> str:
        digest = hashlib.sha256(self.name.encode())
        for path in paths:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"\0{path.name}\0{content}".encode())
        return digest.hexdigest()

    def _parse(self, paths: Sequence[Path]) -> MarketPanel:
        parts: list[Bars] = []
        skipped: list[str] = []
        vix: VixHistory | None = None
        sectors: dict[str, str] = {}
        for path in paths:
            match _stem(path):
                case "vix":
                    vix = read_vix(path)
                case "sectors":
                    sectors = read_sectors(path)
                case _:
                    if _holds_bars(path):
                        parts.append(read_bars(path))
                        check_order(parts[-1])
                    else:
                        skipped.append(path.name)
        if not parts:
            raise MarketDataError(
                f"{self.folder} holds no file with bars ({shown([path.name for path in paths])}); "
                f"a bar file needs the columns {', '.join(REQUIRED)}"
            )
        text = f"{shown(skipped)}: no ticker column"
        return build_panel(
            join_bars(parts),
            source=self.name,
            calendar=self._calendar,
            vix=vix,
            sectors=sectors,
            benchmark=self.benchmark,
            suspicions=[Suspicion(SuspicionKind.FILE_SKIPPED, len(skipped), text)] if skipped else [],
        )


def read_vix(path: Path) -> VixHistory:
    """Read VIX closes; dates are ``YYYY-MM-DD`` or, as CBOE writes them, ``MM/DD/YYYY``.

    Raises
    ------
    MarketDataError
        Missing columns, no rows, or a field that is not a date or a number.
    """
    header = read_header(path)
    value_column = next((name for name in ("close", "vix") if name in header), None)
    if "date" not in header or value_column is None:
        raise MarketDataError(f"{path.name}: needs the columns date and close (or vix), has {', '.join(header)}")
    day_index, value_index = header.index("date"), header.index(value_column)
    rows = read_rows(path)
    next(rows)
    days: list[date] = []
    values: list[float] = []
    for line, fields in rows:
        try:
            days.append(_vix_date(fields[day_index]))
            values.append(_finite(fields[value_index]))
        except ValueError:
            raise MarketDataError(
                f"{path.name} line {line}: {', '.join(fields)} has no usable date and {value_column}; "
                "correct or delete the line"
            ) from None
    if not days:
        raise MarketDataError(f"{path.name} has a header and no rows; add VIX closes or remove the file")
    return VixHistory(np.array(days, dtype="datetime64[D]"), np.array(values), path.name)


def read_sectors(path: Path) -> dict[str, str]:
    """Read ticker -> sector; a blank sector means unknown and is left out.

    Raises
    ------
    MarketDataError
        Missing columns, or a ticker that appears with two sectors.
    """
    header = read_header(path)
    sector_column = next((name for name in ("sector", "gics_sector") if name in header), None)
    if "ticker" not in header or sector_column is None:
        raise MarketDataError(
            f"{path.name}: needs the columns ticker and sector (or gics_sector), has {', '.join(header)}"
        )
    ticker_index, sector_index = header.index("ticker"), header.index(sector_column)
    rows = read_rows(path)
    next(rows)
    sectors: dict[str, str] = {}
    for line, fields in rows:
        ticker, sector = fields[ticker_index].strip(), fields[sector_index].strip()
        if sectors.get(ticker, sector) != sector:
            raise MarketDataError(
                f"{path.name} line {line}: {ticker} is in {sector!r} and was in {sectors[ticker]!r} above; keep one"
            )
        if ticker and sector:
            sectors[ticker] = sector
    return sectors


def _stem(path: Path) -> str | None:
    """Return the file name without its known suffix, in lower case; None for files that are not ours to read."""
    name = path.name.lower()
    if name.startswith((".", "~")):
        return None
    suffix = next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), None)
    if suffix is None:
        return None
    stem = name.removesuffix(suffix)
    return None if stem in SIDE_FILES and suffix == ".parquet" else stem


def _holds_bars(path: Path) -> bool:
    header = read_header(path)
    if len(header) == 1 and "ticker" in header[0]:
        raise MarketDataError(f"{path.name}: the header {header[0]!r} is one column; separate columns with commas")
    return "ticker" in header


def _vix_date(text: str) -> date:
    return datetime.strptime(text, "%m/%d/%Y").date() if "/" in text else parse_date(text)  # noqa: DTZ007 - a date only


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
