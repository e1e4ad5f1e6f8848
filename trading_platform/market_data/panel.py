"""From long-form bars and what lies beside them to one `MarketPanel`, and the hash that names its content."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import STOCK, UNKNOWN_SECTOR, Bools, CorporateEvent, Floats, Ints, MarketPanel
from trading_platform.market_data.assets import classes_of
from trading_platform.market_data.bars import Bars
from trading_platform.market_data.calendar import ExchangeCalendar
from trading_platform.market_data.membership import Membership, member_grid
from trading_platform.market_data.notices import Notice, NoticeKind, merged, shown
from trading_platform.market_data.quality import MAX_BAD_BARS_PCT, CheckedBars, Jump, check_bars, check_vix
from trading_platform.market_data.rates import RateHistory, align_rate
from trading_platform.market_data.schedule import FIRST_DAY, LAST_DAY
from trading_platform.market_data.tickers import canonical


@dataclass(frozen=True, slots=True, eq=False)
class VixHistory:
    """VIX closes: increasing days (V,) datetime64[D] and values (V,); `place` names their origin."""

    days: NDArray[np.datetime64]
    values: Floats
    place: str


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What lies beside the bars.

    Attributes
    ----------
    vix
        VIX closes; sessions without one hold NaN, never a carried or default value.
    sectors
        Ticker -> sector; stocks without one are `UNKNOWN_SECTOR`. The asset class of a fund is its sector.
    asset_classes
        Ticker -> asset class, over the shipped table of common funds.
    rate
        What cash earns; None leaves it to the settings.
    members
        Membership over time; None: every ticker always.
    events
        Events that are not in the bars: mergers, spin-offs, delistings, special dividends.
    first_names
        Ticker -> the name that it had first, of those that were renamed.
    """

    vix: VixHistory | None = None
    sectors: Mapping[str, str] = field(default_factory=dict)
    asset_classes: Mapping[str, str] = field(default_factory=dict)
    rate: RateHistory | None = None
    members: Sequence[Membership] | None = None
    events: Sequence[CorporateEvent] = ()
    first_names: Mapping[str, str] = field(default_factory=dict)


NOTHING_BESIDE = Beside()


@dataclass(frozen=True, slots=True)
class Checks:
    """How strict the checks are.

    Attributes
    ----------
    today
        Bars of later days are refused.
    max_bad_pct
        Largest share of bars that cannot be true, percent.
    accepted
        (ticker, session or None for all) of price jumps that the operator knows to be real.
    """

    today: date = LAST_DAY
    max_bad_pct: float = MAX_BAD_BARS_PCT
    accepted: frozenset[tuple[str, date | None]] = frozenset()


USUAL_CHECKS = Checks()


def build_panel(
    bars: Bars,
    *,
    source: str,
    calendar: ExchangeCalendar,
    beside: Beside = NOTHING_BESIDE,
    benchmark: str = "SPY",
    with_benchmark: bool = False,
    notices: Sequence[Notice] = (),
    checks: Checks = USUAL_CHECKS,
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
    beside
        VIX, sectors, classes, rate, membership, events.
    benchmark
        This ticker becomes `panel.benchmark`.
    with_benchmark
        True makes it a column as well, which `panel.benchmark_ticker` names; False leaves it out of the columns.
    notices
        What the caller has noticed already; it is stored with what the checks find.
    checks
        How strict the checks are.

    Raises
    ------
    MarketDataError
        The bars or the VIX fail a check of `quality`, or nothing but the benchmark is there.
    """
    events = _on_sessions(beside.events, _span(bars, calendar)) if beside.events else ()
    explained = checks.accepted | {(event.ticker, event.session) for event in events}
    checked = check_bars(bars, calendar, today=checks.today, max_bad_pct=checks.max_bad_pct, explained=explained)
    bars, sessions = checked.bars, checked.sessions
    noticed = [*notices, *checked.notices]
    tickers = tuple(name for name in bars.names if with_benchmark or name != benchmark)
    if not any(name != benchmark for name in tickers):
        raise MarketDataError(f"{bars.place(0)}: {benchmark} is the benchmark and the only ticker; add tradable ones")
    grids = _Grids(bars, checked.rows, len(sessions), tickers)
    benchmark_close = np.full(len(sessions), np.nan)
    if benchmark in bars.names:
        own = bars.ticker == bars.names.index(benchmark)
        benchmark_close[grids.rows[own]] = bars.close[own]
    noticed += _benchmark_notice(benchmark, benchmark_close, sessions)
    vix_close, vix_noticed = _align_vix(beside.vix, sessions)
    classes = classes_of(tickers, beside.asset_classes)
    sectors = _sectors(tickers, classes, beside.sectors)
    unknown = [
        name for name, sector in zip(tickers, sectors, strict=True) if sector == UNKNOWN_SECTOR and name != benchmark
    ]
    if unknown:
        noticed.append(Notice(NoticeKind.SECTOR_UNKNOWN, len(unknown), shown(unknown)))
    member, member_noticed = _members(checked, beside.members, tickers, benchmark)
    rate, rate_noticed = (None, []) if beside.rate is None else align_rate(beside.rate, sessions)
    panel = MarketPanel(
        sessions=sessions,
        tickers=tickers,
        open=grids.of(bars.open),
        high=grids.of(bars.high),
        low=grids.of(bars.low),
        close=grids.of(bars.close),
        volume=grids.of(bars.volume),
        vix=vix_close,
        benchmark=benchmark_close,
        sectors=sectors,
        source=source,
        data_hash="",
        split_ratio=None if bars.split_ratio is None else grids.of(bars.split_ratio, 1.0),
        dividend=None if bars.dividend is None else grids.of(bars.dividend, 0.0),
        warnings=tuple(str(notice) for notice in merged([*noticed, *vix_noticed, *member_noticed, *rate_noticed])),
        asset_classes=classes,
        cash_rate=rate,
        member=member,
        events=tuple(event for event in events if event.ticker in tickers),
        benchmark_ticker=benchmark if benchmark in tickers else "",
        securities=_securities(tickers, beside.first_names),
    )
    return with_hash(panel)


def _span(bars: Bars, calendar: ExchangeCalendar) -> NDArray[np.datetime64]:
    """Return the sessions from the first bar to the last; bars outside the calendar are refused elsewhere."""
    days = np.clip(bars.session, np.datetime64(FIRST_DAY, "D"), np.datetime64(LAST_DAY, "D"))
    return calendar.sessions_between(days.min().item(), days.max().item())


def _on_sessions(events: Sequence[CorporateEvent], sessions: NDArray[np.datetime64]) -> tuple[CorporateEvent, ...]:
    """Return the events on the first session at or after their date; later ones than the last are dropped."""
    moved = []
    for event in events:
        at = int(np.searchsorted(sessions, np.datetime64(event.session, "D")))
        if at < len(sessions):
            moved.append(event._replace(session=sessions[at].item()))
    return tuple(moved)


class _Grids:
    """Lays columns of bars (R,) out as sessions x tickers (T, N)."""

    def __init__(self, bars: Bars, rows: Ints, n_sessions: int, tickers: Sequence[str]) -> None:
        position = {name: i for i, name in enumerate(tickers)}
        columns = np.array([position.get(name, -1) for name in bars.names], dtype=np.int64)[bars.ticker]
        self.rows = rows
        self._traded = columns >= 0
        self._flat = self.rows[self._traded] * len(tickers) + columns[self._traded]
        self._shape = n_sessions, len(tickers)

    def of(self, values: Floats, empty: float = np.nan) -> Floats:
        """Return `values` on the grid, `empty` where there is no bar."""
        out = np.full(self._shape, empty)
        out.reshape(-1)[self._flat] = values[self._traded]
        return out


def _sectors(tickers: Sequence[str], classes: Sequence[str], known: Mapping[str, str]) -> tuple[str, ...]:
    kinds = classes or (STOCK,) * len(tickers)
    return tuple(
        known.get(name, UNKNOWN_SECTOR) if kind == STOCK else kind for name, kind in zip(tickers, kinds, strict=True)
    )


def _securities(tickers: Sequence[str], first: Mapping[str, str]) -> tuple[str, ...]:
    """Return an id of each ticker that a change of name keeps; none where nothing was renamed."""
    return tuple(first.get(name, name) for name in tickers) if any(name in first for name in tickers) else ()


def _members(
    checked: CheckedBars, rows: Sequence[Membership] | None, tickers: Sequence[str], benchmark: str
) -> tuple[Bools | None, list[Notice]]:
    """Return membership (T, N), None for always; a ticker with an unexplained jump takes no new risk from there on."""
    noticed: list[Notice] = []
    grid: Bools | None = None
    if rows is not None:
        grid, noticed = member_grid(rows, checked.sessions, tickers)
        if benchmark in tickers:
            # it is no member of anything, and strategies that name it may trade it
            grid[:, tickers.index(benchmark)] = True
    jumps: Sequence[Jump] = [jump for jump in checked.jumps if jump.ticker in tickers]
    if not jumps:
        return grid, noticed
    if grid is None:
        grid = np.ones((len(checked.sessions), len(tickers)), dtype=np.bool_)
    for jump in jumps:
        since = int(np.searchsorted(checked.sessions, np.datetime64(jump.session, "D")))
        grid[since:, tickers.index(jump.ticker)] = False
    return grid, noticed


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
    # what panels did not have before speaks only where it is there, so that their hashes stay
    if panel.asset_classes:
        digest.update(b"classes\0" + "\0".join(panel.asset_classes).encode())
    if panel.cash_rate is not None:
        rate = np.where(np.isnan(panel.cash_rate), np.nan, panel.cash_rate + 0.0)
        digest.update(b"rate\0" + rate.astype("<f8").tobytes())
    if panel.member is not None:
        digest.update(b"member\0" + panel.member.astype(np.uint8).tobytes())
    if panel.events:
        digest.update(b"events\0" + "\0".join(repr(tuple(event)) for event in panel.events).encode())
    if panel.benchmark_ticker:
        digest.update(b"benchmark\0" + panel.benchmark_ticker.encode())
    if panel.securities:
        digest.update(b"securities\0" + "\0".join(panel.securities).encode())
    for name, values in panel.extra.items():
        digest.update(f"column\0{name}\0".encode() + np.where(np.isnan(values), np.nan, values + 0.0).tobytes())
    if panel.no_new_risk is not None:
        digest.update(b"rules\0" + panel.no_new_risk.astype(np.uint8).tobytes())
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


def _select_tickers(panel: MarketPanel, tickers: Sequence[str], benchmark: str) -> MarketPanel:
    """Return the columns of `tickers`, and of those that their shares become or bring, which are no members."""
    position = {name: column for column, name in enumerate(panel.tickers)}
    asked = {
        name if name in position else canonical(name) if canonical(name) in position and name.isupper() else name
        for name in tickers
    }
    wanted = sorted(asked - {benchmark})
    for name in wanted:
        if name not in position:
            near = difflib.get_close_matches(name.upper(), panel.tickers, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {shown(panel.tickers)}"
            raise MarketDataError(f"ticker {name!r} is not in {panel.source}; {hint}")
    if not wanted:
        raise MarketDataError(f"no ticker was asked for but the benchmark {benchmark}; name at least one to trade")
    heirs = _heirs(panel, wanted)
    kept = sorted({*wanted, *heirs, *({benchmark} & {panel.benchmark_ticker})})
    chosen = panel.columns([position[name] for name in kept])
    if heirs:
        member = (
            np.ones((chosen.n_sessions, chosen.n_tickers), dtype=np.bool_) if chosen.member is None else chosen.member
        )
        member[:, [chosen.tickers.index(name) for name in heirs]] = False
        chosen = replace(chosen, member=member)
    if benchmark in tickers and not panel.benchmark_ticker:
        text = f"{benchmark} is the benchmark and is not traded"
        warning = str(Notice(NoticeKind.TICKER_DROPPED, 1, text))
        chosen = replace(chosen, warnings=(*chosen.warnings, warning))
    return chosen


def _heirs(panel: MarketPanel, wanted: Sequence[str]) -> list[str]:
    """Return the tickers that the shares of `wanted` become or bring, which are not wanted for themselves."""
    found: list[str] = []
    known = set(wanted)
    for event in sorted(panel.events, key=lambda event: event.session):
        if event.ticker in known and event.other and event.other in panel.tickers and event.other not in known:
            found.append(event.other)
            known.add(event.other)
    return found


def _align_vix(vix: VixHistory | None, sessions: NDArray[np.datetime64]) -> tuple[Floats, list[Notice]]:
    out = np.full(len(sessions), np.nan)
    if vix is None:
        return out, [Notice(NoticeKind.VIX_MISSING, len(sessions), "there is no VIX history (vix.csv)")]
    check_vix(vix.days, vix.values, vix.place)
    inside = (vix.days >= sessions[0]) & (vix.days <= sessions[-1])
    days, values = vix.days[inside], vix.values[inside]
    rows = np.searchsorted(sessions, days)
    known = sessions[rows] == days
    out[rows[known]] = values[known]
    noticed = []
    if not known.all():
        text = f"{vix.place} {days[~known][0]} is no session; ignored"
        noticed.append(Notice(NoticeKind.VIX_OFF_SESSION, int((~known).sum()), text))
    missing = np.isnan(out)
    if missing.any():
        text = f"{vix.place} has no value for {sessions[missing][0]}"
        noticed.append(Notice(NoticeKind.VIX_MISSING, int(missing.sum()), text))
    return out, noticed


def _benchmark_notice(name: str, close: Floats, sessions: NDArray[np.datetime64]) -> list[Notice]:
    missing = np.isnan(close)
    if not missing.any():
        return []
    text = f"the benchmark {name} has no bar on {sessions[missing][0]}"
    return [Notice(NoticeKind.BENCHMARK_MISSING, int(missing.sum()), text)]
