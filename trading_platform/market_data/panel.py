"""From checked long-form bars to one `MarketPanel`, and the hash that names its content."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import UNKNOWN_SECTOR, Floats, MarketPanel
from trading_platform.market_data.bars import Bars
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.quality import Suspicion, SuspicionKind, check_bars, check_vix
from trading_platform.market_data.schedule import FIRST_DAY, LAST_DAY

NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class VixHistory:
    """VIX closes: increasing days (V,) datetime64[D] and values (V,); `place` names their origin."""

    days: NDArray[np.datetime64]
    values: Floats
    place: str


def build_panel(
    bars: Bars,
    *,
    source: str,
    calendar: NyseCalendar,
    vix: VixHistory | None = None,
    sectors: Mapping[str, str] | None = None,
    benchmark: str = "SPY",
    suspicions: Sequence[Suspicion] = (),
) -> MarketPanel:
    """Check long-form bars and lay them out on the exchange's sessions.

    Parameters
    ----------
    bars
        Bars of all tickers, the benchmark's included.
    source
        Name of the provider, for people.
    calendar
        Sessions of the exchange; the panel has every one from the first bar to the last.
    vix
        VIX closes; sessions without one hold NaN, never a carried or default value.
    sectors
        Ticker -> sector; tickers without one are `UNKNOWN_SECTOR`.
    benchmark
        This ticker becomes `panel.benchmark` instead of a tradable column.
    suspicions
        What the caller has noticed already; it is stored with what the checks find.

    Raises
    ------
    MarketDataError
        The bars or the VIX fail a check of `quality`, or nothing but the benchmark is there.
    """
    sessions = _sessions_of(bars, calendar)
    noticed = [*suspicions, *check_bars(bars, sessions)]
    rows = np.searchsorted(sessions, bars.session)
    tickers = tuple(name for name in bars.names if name != benchmark)
    if not tickers:
        raise MarketDataError(f"{bars.place(0)}: {benchmark} is the benchmark and the only ticker; add tradable ones")
    position = {name: i for i, name in enumerate(tickers)}
    column = np.array([position.get(name, -1) for name in bars.names], dtype=np.int64)
    columns = column[bars.ticker]
    traded = columns >= 0
    flat = rows[traded] * len(tickers) + columns[traded]

    def grid(values: Floats, empty: float = np.nan) -> Floats:
        out = np.full(len(sessions) * len(tickers), empty)
        out[flat] = values[traded]
        return out.reshape(len(sessions), len(tickers))

    benchmark_close = np.full(len(sessions), np.nan)
    benchmark_close[rows[~traded]] = bars.close[~traded]
    noticed += _benchmark_suspicion(benchmark, benchmark_close, sessions)
    vix_close, vix_noticed = _align_vix(vix, sessions)
    noticed += vix_noticed
    known = sectors or {}
    unknown = [name for name in tickers if name not in known]
    if unknown:
        noticed.append(Suspicion(SuspicionKind.SECTOR_UNKNOWN, len(unknown), shown(unknown)))
    panel = MarketPanel(
        sessions=sessions,
        tickers=tickers,
        open=grid(bars.open),
        high=grid(bars.high),
        low=grid(bars.low),
        close=grid(bars.close),
        volume=grid(bars.volume),
        vix=vix_close,
        benchmark=benchmark_close,
        sectors=tuple(known.get(name, UNKNOWN_SECTOR) for name in tickers),
        source=source,
        data_hash="",
        split_ratio=None if bars.split_ratio is None else grid(bars.split_ratio, 1.0),
        dividend=None if bars.dividend is None else grid(bars.dividend, 0.0),
        warnings=tuple(str(suspicion) for suspicion in noticed),
    )
    return with_hash(panel)


def with_hash(panel: MarketPanel) -> MarketPanel:
    """Return `panel` with `data_hash` set to the hash of its content."""
    return replace(panel, data_hash=content_hash(panel))


def content_hash(panel: MarketPanel) -> str:
    """Return the sha256 of sessions, tickers, sectors and all numbers: the same on every machine.

    Source and warnings are not content. Every NaN counts as the same NaN, and -0.0 as 0.0.
    """
    digest = hashlib.sha256()
    for names in (panel.tickers, panel.sectors):
        digest.update("\0".join(names).encode())
        digest.update(b"\1")
    digest.update(panel.sessions.astype("datetime64[D]").astype("<i8").tobytes())
    numbers = (panel.open, panel.high, panel.low, panel.close, panel.volume, panel.vix, panel.benchmark)
    for values in (*numbers, panel.split_ratio, panel.dividend):
        digest.update(
            b"-" if values is None else np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8").tobytes()
        )
    return digest.hexdigest()


def select(
    panel: MarketPanel,
    tickers: Sequence[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    *,
    benchmark: str = "SPY",
) -> MarketPanel:
    """Return the part of `panel` with `tickers` (all when None) and sessions in [start, end], with its own hash.

    Raises
    ------
    MarketDataError
        An unknown ticker (the message suggests the nearest name), no tickers, or no session in the range.
    """
    if tickers is None and start is None and end is None:
        return panel
    chosen = panel
    if tickers is not None:
        chosen = _select_tickers(panel, tickers, benchmark)
    first = 0 if start is None else int(np.searchsorted(panel.sessions, np.datetime64(start, "D")))
    stop = (
        len(panel.sessions) if end is None else int(np.searchsorted(panel.sessions, np.datetime64(end, "D"), "right"))
    )
    if first >= stop:
        raise MarketDataError(
            f"{panel.source} has no session from {start or 'the beginning'} to {end or 'the end'}; "
            f"it covers {panel.session(0)} to {panel.session(-1)}"
        )
    return with_hash(chosen.rows(first, stop))


def shown(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    rest = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + rest


def _select_tickers(panel: MarketPanel, tickers: Sequence[str], benchmark: str) -> MarketPanel:
    position = {name: column for column, name in enumerate(panel.tickers)}
    wanted = sorted(set(tickers) - {benchmark})
    for name in wanted:
        if name not in position:
            near = difflib.get_close_matches(name.upper(), panel.tickers, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {shown(panel.tickers)}"
            raise MarketDataError(f"ticker {name!r} is not in {panel.source}; {hint}")
    if not wanted:
        raise MarketDataError(f"no ticker was asked for but the benchmark {benchmark}; name at least one to trade")
    chosen = panel.columns([position[name] for name in wanted])
    if benchmark in tickers:
        text = f"{benchmark} is the benchmark and is not traded"
        warning = str(Suspicion(SuspicionKind.TICKER_DROPPED, 1, text))
        chosen = replace(chosen, warnings=(*chosen.warnings, warning))
    return chosen


def _sessions_of(bars: Bars, calendar: NyseCalendar) -> NDArray[np.datetime64]:
    """Return every exchange session from the first bar's day to the last's, at least one."""
    for row in (int(bars.session.argmin()), int(bars.session.argmax())):
        if not (FIRST_DAY <= bars.day(row) <= LAST_DAY):
            raise MarketDataError(
                f"{bars.label(row)} is outside the calendar ({FIRST_DAY} to {LAST_DAY}); correct or delete the row"
            )
    sessions = calendar.sessions_between(bars.session.min().item(), bars.session.max().item())
    return sessions if len(sessions) else np.array([calendar.next_session(bars.session.min().item())], "datetime64[D]")


def _align_vix(vix: VixHistory | None, sessions: NDArray[np.datetime64]) -> tuple[Floats, list[Suspicion]]:
    out = np.full(len(sessions), np.nan)
    if vix is None:
        return out, [Suspicion(SuspicionKind.VIX_MISSING, len(sessions), "there is no VIX history (vix.csv)")]
    check_vix(vix.days, vix.values, vix.place)
    inside = (vix.days >= sessions[0]) & (vix.days <= sessions[-1])
    days, values = vix.days[inside], vix.values[inside]
    rows = np.searchsorted(sessions, days)
    known = sessions[rows] == days
    out[rows[known]] = values[known]
    noticed = []
    if not known.all():
        text = f"{vix.place} {days[~known][0]} is not an NYSE session; ignored"
        noticed.append(Suspicion(SuspicionKind.VIX_OFF_SESSION, int((~known).sum()), text))
    missing = np.isnan(out)
    if missing.any():
        text = f"{vix.place} has no value for {sessions[missing][0]}"
        noticed.append(Suspicion(SuspicionKind.VIX_MISSING, int(missing.sum()), text))
    return out, noticed


def _benchmark_suspicion(name: str, close: Floats, sessions: NDArray[np.datetime64]) -> list[Suspicion]:
    missing = np.isnan(close)
    if not missing.any():
        return []
    text = f"the benchmark {name} has no bar on {sessions[missing][0]}"
    return [Suspicion(SuspicionKind.BENCHMARK_MISSING, int(missing.sum()), text)]
