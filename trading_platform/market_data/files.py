"""Market data from folders of files, in whatever form people have them; see docs/data.md.

Several folders count in their order: the first that has a ticker gives its whole series, and the first file of VIX,
sectors, classes and rate counts; events and memberships add up, and sessions are the benchmark's. Everything is
checked on load (`quality`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import MarketPanel
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.bars import Bars, join_bars
from trading_platform.market_data.calendar import ExchangeCalendar
from trading_platform.market_data.events import first_names_of, joined_events, joined_names, renames_of, with_events
from trading_platform.market_data.exchange import Exchange
from trading_platform.market_data.folder import LoadedFolder, read_folder
from trading_platform.market_data.membership import Membership
from trading_platform.market_data.notices import Notice, NoticeKind, refuse, shown
from trading_platform.market_data.panel import Beside, Checks, build_panel, select
from trading_platform.market_data.quality import MAX_BAD_BARS_PCT
from trading_platform.market_data.reading_rules import Rules
from trading_platform.market_data.snapshot import load_snapshot, save_snapshot
from trading_platform.market_data.sources import foreign_reason, list_files, sources_of
from trading_platform.market_data.weights import TargetWeights

USUAL_RULES = Rules()


@dataclass(frozen=True, slots=True, eq=False)
class LoadedFiles:
    """A panel with what became of each file: for `data check` and its like."""

    panel: MarketPanel
    folders: tuple[LoadedFolder, ...]


class FilesMarketData:
    """Daily bars from folders; implements `core.ports.MarketData`.

    Parameters
    ----------
    folder
        Where the files are: one folder, or several in the order in which they count.
    benchmark
        Ticker whose closes become `panel.benchmark`.
    with_benchmark
        True makes it a column of the panel as well, which `panel.benchmark_ticker` names.
    cache_dir
        Folder for a snapshot of the checked panel, or None for none. A snapshot is used only for files with the
        same names and content (sha256) that are read in the same way.
    calendar
        Sessions of the exchange; None = those of `exchange`.
    exchange
        Where the bars are traded and in what money; the source's name says so where it is not New York.
    rules
        How to read where the data alone do not say.
    max_bad_pct
        Largest share of bars that cannot be true, percent.
    accepted_jumps
        Price jumps that are real: a ticker, or a ticker and a date such as ``AAA 2023-02-10``.
    now
        The clock: bars of days that are yet to come are refused.

    Raises
    ------
    MarketDataError
        From `history`, when a folder or a file cannot be used.
    """

    def __init__(
        self,
        folder: Path | str | Sequence[Path | str],
        *,
        benchmark: str = "SPY",
        with_benchmark: bool = False,
        cache_dir: Path | None = None,
        calendar: ExchangeCalendar | None = None,
        exchange: Exchange = Exchange(),  # noqa: B008 - a frozen value
        rules: Rules = USUAL_RULES,
        max_bad_pct: float = MAX_BAD_BARS_PCT,
        accepted_jumps: Sequence[str] = (),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        given = [folder] if isinstance(folder, str | Path) else list(folder)
        self.folders = tuple(Path(one) for one in given)
        self.benchmark = benchmark
        self.with_benchmark = with_benchmark
        self.cache_dir = cache_dir
        self._exchange = exchange
        self._calendar = calendar or ExchangeCalendar(exchange.calendar)
        self._rules = rules
        self._max_bad_pct = max_bad_pct
        self._accepted = tuple(accepted_jumps)
        self._now = now

    @property
    def name(self) -> str:
        """Short name for people."""
        return self._exchange.marked("files:" + ",".join(str(folder) for folder in self.folders))

    def history(
        self, tickers: Sequence[str] | None = None, start: date | None = None, end: date | None = None
    ) -> MarketPanel:
        """Return completed bars of `tickers` (all when None) for sessions in [start, end], checked and sorted.

        The whole folder is read and checked, whatever part of it is asked for. A ticker that has another name by now
        is found under both.
        """
        panel = self._load()
        if tickers is not None and not set(tickers) <= {*panel.tickers, self.benchmark}:
            newest = self._renames()
            tickers = [newest.get(name, name) if name not in panel.tickers else name for name in tickers]
        return select(panel, tickers, start, end, benchmark=self.benchmark)

    def read(self) -> LoadedFiles:
        """Read all files anew and return the panel with what became of each of them."""
        readings = [read_folder(folder, self._rules, self._leave()) for folder in self.folders]
        return LoadedFiles(self._panel(readings), tuple(readings))

    def weights(self) -> TargetWeights | None:
        """Return the targets of the first ``weights.csv``, None if there is none."""
        found = [read_folder(folder, self._rules, self._leave()).weights for folder in self.folders]
        return next((weights for weights in found if weights is not None), None)

    def _load(self) -> MarketPanel:
        if self.cache_dir is None:
            return self.read().panel
        key = self._key()
        places = "\0".join(str(folder.resolve()) for folder in self.folders)
        digest = hashlib.sha256(f"{places}\0{self.benchmark}".encode()).hexdigest()
        snapshot = self.cache_dir / f"panel-{digest[:16]}.npz"
        panel = load_snapshot(snapshot, key)
        if panel is None:
            panel = self.read().panel
            save_snapshot(snapshot, key, panel)
        return panel

    def _leave(self) -> list[Path]:
        return [] if self.cache_dir is None else [self.cache_dir]

    def _key(self) -> str:
        """Return what a stored panel depends on: names and content of the files, and how they are read."""
        ways = (self._rules, self._max_bad_pct, self._accepted, self.with_benchmark)
        digest = hashlib.sha256(f"{self.name}\0{ways!r}".encode())
        for folder in self.folders:
            for path in list_files(folder, self._leave()):
                is_read = not all(foreign_reason(source) for source in sources_of(folder, path))
                content = str(path.stat().st_size)
                if is_read:
                    with path.open("rb") as file:
                        content = hashlib.file_digest(file, "sha256").hexdigest()
                digest.update(f"\0{path.relative_to(folder)}\0{content}".encode())
        return digest.hexdigest()

    def _renames(self) -> dict[str, str]:
        readings = [read_folder(folder, self._rules, self._leave()) for folder in self.folders]
        return renames_of(joined_events([reading.events for reading in readings]))

    def _panel(self, readings: Sequence[LoadedFolder]) -> MarketPanel:
        bars, notices = _first_series(readings)
        if len(readings) > 1:
            bars, begun = _from_benchmark(bars, self.benchmark)
            notices += begun
        events = joined_events([reading.events for reading in readings])
        newest, first_names = renames_of(events), first_names_of(events)
        bars, events, renamed = joined_names(bars, events)
        bars, handed, left_out = with_events(bars, events)
        beside = Beside(
            vix=next((reading.vix for reading in readings if reading.vix is not None), None),
            sectors=_newest_keys(next((reading.sectors for reading in readings if reading.sectors), {}), newest),
            asset_classes=_newest_keys(next((reading.assets for reading in readings if reading.assets), {}), newest),
            rate=next((reading.rate for reading in readings if reading.rate is not None), None),
            members=_all_members(readings, newest),
            events=handed,
            first_names=first_names,
        )
        checks = Checks(
            today=self._now().astimezone(ZoneInfo(self._rules.zone)).date(),
            max_bad_pct=self._max_bad_pct,
            accepted=frozenset(_accepted(text) for text in self._accepted),
        )
        return build_panel(
            bars,
            source=self.name,
            calendar=self._calendar,
            beside=beside,
            benchmark=self.benchmark,
            with_benchmark=self.with_benchmark,
            notices=[*(notice for reading in readings for notice in reading.notices), *notices, *renamed, *left_out],
            checks=checks,
        )


def _first_series(readings: Sequence[LoadedFolder]) -> tuple[Bars, list[Notice]]:
    """Return the bars of all folders, each ticker's from the first folder that has it, and what that left out."""
    taken: set[str] = set()
    parts: list[Bars] = []
    notices: list[Notice] = []
    for reading in readings:
        bars = reading.bars
        if bars is None:
            continue
        again = [name for name in bars.names if name in taken]
        taken |= set(bars.names)
        if again:
            notices.append(Notice(NoticeKind.OTHER_FOLDER, len(again), f"{reading.folder}: {shown(again)}"))
            fresh = np.array([name not in again for name in bars.names], dtype=np.bool_)
            bars = bars.kept(fresh[bars.ticker]).without_unused_names()
        if len(bars):
            parts.append(bars)
    if not parts:
        raise MarketDataError("no folder of bars is given; name one")
    return join_bars(parts), notices


def _from_benchmark(bars: Bars, benchmark: str) -> tuple[Bars, list[Notice]]:
    """Return the bars from the benchmark's first on: its sessions are the panel's."""
    if benchmark not in bars.names:
        return bars, []
    first = bars.session[bars.ticker == bars.names.index(benchmark)].min()
    early = bars.session < first
    if not early.any():
        return bars, []
    text = f"{benchmark} begins on {first}"
    notice = Notice(NoticeKind.BEFORE_BENCHMARK, int(np.count_nonzero(early)), text)
    return bars.kept(~early).without_unused_names(), [notice]


def _newest_keys(known: dict[str, str], newest: dict[str, str]) -> dict[str, str]:
    """Return `known` with what it says of old tickers said of their newest names, too."""
    moved = {new: known[old] for old, new in newest.items() if old in known}
    return {**moved, **known}


def _all_members(readings: Sequence[LoadedFolder], newest: dict[str, str]) -> list[Membership] | None:
    found = [reading.members for reading in readings if reading.members is not None]
    if not found:
        return None
    rows = [row for members in found for row in members]
    return [replace(row, ticker=newest.get(row.ticker, row.ticker)) for row in rows]


def _accepted(text: str) -> tuple[str, date | None]:
    ticker, _, day = text.strip().partition(" ")
    if not day.strip():
        return ticker.upper(), None
    try:
        return ticker.upper(), date.fromisoformat(day.strip())
    except ValueError:
        refuse([f"accepted_jumps in [data] has {text!r}; write a ticker, or a ticker and a date: AAA 2023-02-10"])
        raise AssertionError from None
