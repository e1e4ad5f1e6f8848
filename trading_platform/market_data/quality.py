"""Is this market data fit to trade on? Pure checks on daily bars in long form.

A row that cannot be placed (a day that is yet to come, two rows that disagree) is refused, with every other such row
in one error. A bar that cannot be true is its ticker's unknown day: taken out, counted and shown; nothing else stops,
unless so many are bad that the columns themselves must be misunderstood. A jump of prices that looks like a split
which nobody recorded ends new risk in that ticker. What is strange but happens is a remark. Thresholds are set so that
the real moves of 2000-2017 pass (AAPL -52 % on 2000-09-29, REGN -57 % on 2003-03-31 at 17 times its usual turnover).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import Bools, Floats, Ints
from trading_platform.market_data.bars import PRICES, Bars
from trading_platform.market_data.calendar import ExchangeCalendar
from trading_platform.market_data.notices import PROBLEMS_SHOWN, Notice, NoticeKind, refuse
from trading_platform.market_data.schedule import FIRST_DAY, LAST_DAY

# Adjusted prices are products of rounded factors, so a low may lie above a close by float32 noise (6e-8) or so.
PRICE_TOLERANCE = 1e-5
# Two rows that differ by less tell the same bar: a text and its float.
SAME_BAR = 1e-9
# Lehman Brothers fell by a factor of 17 on 2008-09-15; a price in cents instead of dollars jumps by 100.
ABSURD_RATIO = 20.0
# A jump by more than SPIKE_RATIO that the next bar takes back, to within SPIKE_RETURN, is a bad tick.
SPIKE_RATIO = 5.0
SPIKE_RETURN = 1.5
LARGE_MOVE = 0.40
HEIR_PRICE = 0.10  # a renamed company opens within a usual day's move
WIDE_RANGE_RATIO = 3.0
# Share-count factors of common splits; a gap at the open by one of them, to within SPLIT_TOLERANCE, looks unadjusted.
SPLIT_FACTORS = np.array([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0])
SPLIT_TOLERANCE = 0.03
SPLIT_GAP = 0.30  # gaps at the open beyond this are looked at
CALM_DAY = 0.12  # on the day of a split the shares trade as on any other day
# A split moves no money; a crash moves many times the usual. REGN's day had 17 times its median turnover.
CRASH_TURNOVER = 4.0
TURNOVER_SESSIONS = 20
FEWEST_TURNOVERS = 5
# VIX has closed between 9.14 (2017) and 82.69 (2020) since 1990.
VIX_RANGE = (5.0, 150.0)
# Vendors' bad bars are a few in ten thousand; one in twenty means that the columns are not what they seem.
MAX_BAD_BARS_PCT = 5.0
FOREIGN_DAYS = 3  # with trades while the exchange was shut: more than a slip

Sessions = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump that nothing explains: no new risk in `ticker` from `session` on."""

    ticker: str
    session: date


@dataclass(frozen=True, slots=True, eq=False)
class CheckedBars:
    """Bars fit to trade on, every exchange session from first to last, the bars' rows in them, and what was noticed."""

    bars: Bars
    sessions: Sessions
    rows: Ints
    notices: tuple[Notice, ...]
    jumps: tuple[Jump, ...]


def check_bars(
    bars: Bars,
    calendar: ExchangeCalendar,
    *,
    today: date = LAST_DAY,
    max_bad_pct: float = MAX_BAD_BARS_PCT,
    explained: Collection[tuple[str, date | None]] = (),
) -> CheckedBars:
    """Check bars of any number of tickers, in any order, and take out what cannot be true.

    Parameters
    ----------
    bars
        Long-form bars.
    calendar
        Sessions of the exchange.
    today
        Bars of later days are refused.
    max_bad_pct
        Largest share of bad bars, and of bars on days without a session, percent; one bar always may be bad.
    explained
        (ticker, session or None for all) of jumps that an event or the operator explains.

    Raises
    ------
    MarketDataError
        Rows that cannot be placed, all in one; too many bad bars; no bar left.
    """
    refuse([*_unplaceable(bars, today), *_bad_actions(bars)])
    notices: list[Notice] = []
    bars, left_out = _on_sessions(bars, calendar, max_bad_pct)
    notices += left_out
    bars, order, repeats = _without_repeats(bars)
    notices += repeats
    reasons = impossible(bars)
    order, jumps, spikes, remarks = _find_jumps(bars, order, set(reasons), explained)
    reasons |= spikes
    _refuse_many(bars, reasons, max_bad_pct)
    if reasons:
        good = np.ones(len(bars), dtype=np.bool_)
        good[list(reasons)] = False
        first = min(reasons)
        notices.append(
            Notice(NoticeKind.BAD_BAR, len(reasons), f"{bars.label(first)}: {reasons[first]}; taken as unknown")
        )
        bars = bars.kept(good).without_unused_names()
        order = sorted_rows(bars)
    if not len(bars):
        raise MarketDataError("no bar of the data can be true; look at its columns")
    if jumps:
        texts = [f"{jump.ticker} {jump.session} {words}" for jump, words in jumps[:3]]
        notices.append(
            Notice(
                NoticeKind.UNEXPLAINED_JUMP,
                len(jumps),
                f"{'; '.join(texts)}: no new position in it until a split_ratio column, events.csv, a corrected file, "
                "or accepted_jumps in [data] explains it",
            )
        )
    sessions = sessions_of(bars, calendar)
    rows = session_rows(bars.session, sessions)
    notices += [*remarks, *_empty_sessions(rows, sessions, max_bad_pct), *_strange(bars, order, rows)]
    return CheckedBars(bars, sessions, rows, tuple(notices), tuple(jump for jump, _ in jumps))


def impossible(bars: Bars) -> dict[int, str]:
    """Return rows with numbers that no bar can have, and what is wrong with the first of them."""
    reasons: dict[int, str] = dict(bars.unread)
    for column in (*PRICES, "volume"):
        values: Floats = getattr(bars, column)
        wanted = "a number >= 0" if column == "volume" else "a price above 0"
        bad = ~(values >= 0.0) if column == "volume" else ~(values > 0.0)
        for row in np.flatnonzero(bad | np.isinf(values)).tolist():
            value = values[row]
            reasons.setdefault(
                row, f"{column} is missing" if np.isnan(value) else f"{column} {value:g} is not {wanted}"
            )
    top = np.maximum(bars.open, bars.close)
    bottom = np.minimum(bars.open, bars.close)
    with np.errstate(invalid="ignore"):
        bad = (bars.high < top * (1.0 - PRICE_TOLERANCE)) | (bars.low > bottom * (1.0 + PRICE_TOLERANCE))
    for row in np.flatnonzero(bad).tolist():
        numbers = ", ".join(f"{column} {getattr(bars, column)[row]:g}" for column in PRICES)
        reasons.setdefault(row, f"low <= open, close <= high does not hold ({numbers})")
    return reasons


def check_vix(days: Sessions, values: Floats, place: str) -> None:
    """Refuse VIX values (n,) outside 5..150 or not finite, and days that do not increase.

    Raises
    ------
    MarketDataError
        What it refuses, with the place and the first bad day.
    """
    bad = ~((values >= VIX_RANGE[0]) & (values <= VIX_RANGE[1]))
    if np.any(bad):
        row = _first(bad)
        raise MarketDataError(
            f"{place}: {days[row]} VIX {values[row]:g} is outside {VIX_RANGE[0]:g}..{VIX_RANGE[1]:g}; correct the row"
        )
    step = np.diff(days.astype(np.int64))
    if np.any(step <= 0):
        row = _first(step <= 0) + 1
        fault = "appears twice" if days[row] == days[row - 1] else f"comes after {days[row - 1]}"
        raise MarketDataError(f"{place}: {days[row]} {fault}; dates must increase")


def session_rows(days: Sessions, sessions: Sessions) -> Ints:
    """Return the row of each of `days` (R,) in `sessions` (T,), -1 for days that are none. A table: R is large."""
    first = int(sessions[0].astype(np.int64))
    table = np.full(int(sessions[-1].astype(np.int64)) - first + 1, -1, dtype=np.int64)
    table[sessions.astype(np.int64) - first] = np.arange(len(sessions))
    at = days.astype(np.int64) - first
    inside = (at >= 0) & (at < len(table))
    return table[at] if inside.all() else np.where(inside, table[np.clip(at, 0, len(table) - 1)], -1)


def sorted_rows(bars: Bars) -> Ints:
    """Return the rows in the order of ticker and session, (R,)."""
    days = bars.session.astype(np.int64)
    key = bars.ticker * (days.max() - days.min() + 1 if len(days) else 1) + (days - (days.min() if len(days) else 0))
    return np.argsort(key, kind="stable")


def sessions_of(bars: Bars, calendar: ExchangeCalendar) -> Sessions:
    """Return every exchange session from the first bar's day to the last's."""
    return calendar.sessions_between(bars.session.min().item(), bars.session.max().item())


def _unplaceable(bars: Bars, today: date) -> list[str]:
    """Return rows of days that the calendar does not know, or that are yet to come."""
    if not len(bars):
        return []
    first, last = np.datetime64(FIRST_DAY, "D"), np.datetime64(LAST_DAY, "D")
    problems = [
        f"{bars.label(row)} is outside the calendar ({FIRST_DAY} to {LAST_DAY}); correct or delete the row"
        for row in _some((bars.session < first) | (bars.session > last))
    ]
    future = (bars.session > np.datetime64(today, "D")) & (bars.session <= last)
    problems += [
        f"{bars.label(row)} is yet to come (today is {today}); correct the date or delete the row"
        for row in _some(future)
    ]
    more = int(np.count_nonzero(future)) - PROBLEMS_SHOWN
    return [*problems, *([f"{more} more rows of days that are yet to come"] if more > 0 else [])]


def _bad_actions(bars: Bars) -> list[str]:
    problems = []
    if bars.split_ratio is not None:
        bad = ~(bars.split_ratio > 0.0) | np.isinf(bars.split_ratio)
        problems += [
            f"{bars.label(row)}: split_ratio {bars.split_ratio[row]:g} is not a factor above 0; correct the row"
            for row in _some(bad)
        ]
    if bars.dividend is not None:
        bad = ~(bars.dividend >= 0.0) | np.isinf(bars.dividend)
        problems += [
            f"{bars.label(row)}: dividend {bars.dividend[row]:g} is not dollars a share >= 0; correct the row"
            for row in _some(bad)
        ]
    return problems


def _on_sessions(bars: Bars, calendar: ExchangeCalendar, max_bad_pct: float) -> tuple[Bars, list[Notice]]:
    """Return the bars of sessions; those of other days are left out, unless they are many and traded."""
    if not len(bars):
        raise MarketDataError("there is no bar in the data; add some")
    sessions = calendar.sessions_between(bars.session.min().item(), bars.session.max().item())
    if not len(sessions):
        raise MarketDataError(f"{bars.label(0)} ({bars.day(0):%A}) is no session of the exchange, and no other bar is")
    strange = session_rows(bars.session, sessions) < 0
    if not np.any(strange):
        return bars, []
    row = _first(strange)
    traded = strange & (bars.volume > 0.0)
    if np.count_nonzero(traded) > _allowed(len(bars), max_bad_pct):
        row = _first(traded)
        raise MarketDataError(
            f"{bars.label(row)} ({bars.day(row):%A}) is not a session of {calendar.name}, and so are "
            f"{np.count_nonzero(traded)} of {len(bars)} bars with a volume: correct the dates (is their time zone "
            "right?); "
            'bars of another exchange need its calendar in [data], e.g. calendar = "XLON"'
        )
    text = f"{bars.label(row)} is a {bars.day(row):%A} without a session"
    days = len(np.unique(bars.session[traded]))
    if days >= FOREIGN_DAYS:
        text += f"; {days} such days had trades: bars of another exchange need its calendar in [data], e.g. XLON"
    return bars.kept(~strange).without_unused_names(), [Notice(NoticeKind.OFF_SESSION, int(strange.sum()), text)]


def _without_repeats(bars: Bars) -> tuple[Bars, Ints, list[Notice]]:
    """Return the bars with repeated rows once, and their sorted rows; refuse rows that disagree."""
    order = sorted_rows(bars)
    ticker, session = bars.ticker[order], bars.session[order]
    twice = np.flatnonzero((ticker[1:] == ticker[:-1]) & (session[1:] == session[:-1]))
    if not twice.size:
        return bars, order, []
    earlier, later = order[twice], order[twice + 1]
    columns = (*PRICES, "volume", "split_ratio", "dividend")
    differing = np.full(len(twice), -1)  # the first column in which the two rows differ
    for place, column in enumerate(columns):
        values = getattr(bars, column)
        if values is not None:
            one, two = values[earlier], values[later]
            with np.errstate(invalid="ignore"):
                same = (np.abs(one - two) <= SAME_BAR * np.abs(one)) | (np.isnan(one) & np.isnan(two))
            differing[(differing < 0) & ~same] = place
    problems = []
    for at in np.flatnonzero(differing >= 0)[: PROBLEMS_SHOWN + 1].tolist():
        first, second = sorted((int(earlier[at]), int(later[at])))
        column = columns[differing[at]]
        values = getattr(bars, column)
        problems.append(
            f"{bars.label(second)} repeats {bars.place(first)} with another {column} ({values[second]:g}, there "
            f"{values[first]:g}); delete one of the two rows"
        )
    refuse(problems)
    kept = np.ones(len(bars), dtype=np.bool_)
    kept[later] = False
    row = int(later.min())
    notice = Notice(NoticeKind.ROW_REPEATED, len(twice), bars.label(row))
    bars = bars.kept(kept)
    return bars, sorted_rows(bars), [notice]


def _find_jumps(
    bars: Bars, order: Ints, bad: Collection[int], explained: Collection[tuple[str, date | None]]
) -> tuple[Ints, list[tuple[Jump, str]], dict[int, str], list[Notice]]:
    """Return the sorted rows, jumps that nothing explains, single bars that are off, and remarks on large moves.

    A jump beyond belief that the next bar confirms, or a gap by the factor of a split at no unusual turnover, is taken
    for a split that nobody recorded. One that the next bar takes back, or beyond belief on the last bar, is a bad bar.
    """
    if bad:
        good = np.ones(len(bars), dtype=np.bool_)
        good[list(bad)] = False
        order = order[good[order]]
    ratio, gap = _steps(bars, order)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(np.log(ratio))
        following = np.append(ratio[1:], np.nan)
        back = np.abs(np.log(ratio * following)) < np.log(SPIKE_RETURN)
    spike = (size > np.log(SPIKE_RATIO)) & back
    absurd = (size > np.log(ABSURD_RATIO)) & ~spike
    is_return = np.append(False, spike[:-1])
    last = np.append(bars.ticker[order][1:] != bars.ticker[order][:-1], True) if len(order) else np.empty(0, np.bool_)
    off = (spike & ~is_return) | (absurd & last & ~is_return)
    spikes = {int(order[at]): _jump_words(bars, order, at, ratio[at], spike[at]) for at in np.flatnonzero(off).tolist()}
    alike = np.zeros(len(order), dtype=np.bool_)
    wide = np.flatnonzero((gap < 1.0 - SPLIT_GAP) | (gap > 1.0 / (1.0 - SPLIT_GAP)))
    factor = np.maximum(gap[wide], 1.0 / gap[wide])
    near = np.min(np.abs(factor[:, None] / SPLIT_FACTORS - 1.0), axis=1, initial=np.inf) < SPLIT_TOLERANCE
    alike[wide] = near & (np.abs(np.log(ratio[wide] / gap[wide])) < CALM_DAY)
    quiet = _usual_turnover(bars, order, wide)
    alike &= ~off & ~is_return
    splits = (alike & quiet) | (absurd & ~off & ~is_return)
    known = set(explained)
    jumps = []
    for at in np.flatnonzero(splits).tolist():
        row = int(order[at])
        if (bars.name(row), bars.day(row)) in known or (bars.name(row), None) in known:
            continue
        jumps.append((Jump(bars.name(row), bars.day(row)), _split_words(gap[at], ratio[at])))
    remarks = list(_large_moves(bars, order, ratio, off | is_return, alike & ~splits))
    return order, jumps, spikes, remarks


def _split_words(gap: float, ratio: float) -> str:
    factor = max(gap, 1.0 / gap) if gap > 0.0 else np.nan
    nearest = SPLIT_FACTORS[int(np.argmin(np.abs(factor / SPLIT_FACTORS - 1.0)))] if np.isfinite(factor) else np.nan
    if np.isfinite(factor) and abs(factor / nearest - 1.0) < SPLIT_TOLERANCE:
        kind = f"{nearest:g} for 1" if gap < 1.0 else f"1 for {nearest:g}"
        return f"opened at {gap:.4g} x the close before, which looks like a split of {kind} that is not in the prices"
    return f"closed at {ratio:.4g} x the close before"


def _jump_words(bars: Bars, order: Ints, at: int, ratio: float, taken_back: bool) -> str:
    row, before = int(order[at]), int(order[at - 1])
    undone = " and the next bar takes it back" if taken_back else ""
    was = f"{bars.close[before]:g} on {bars.day(before)}"
    return f"close {bars.close[row]:g} after {was} is a factor of {ratio:.4g}{undone}"


def _steps(bars: Bars, order: Ints) -> tuple[Floats, Floats]:
    """Return close and open over the ticker's close before, sorted (R,): what is told undone, NaN at first."""
    opened, close, ticker = bars.open[order], bars.close[order], bars.ticker[order]
    same = ticker[1:] == ticker[:-1]
    ratio, gap = np.full(len(order), np.nan), np.full(len(order), np.nan)
    np.divide(_worth(bars, close, order)[1:], close[:-1], out=ratio[1:], where=same)
    np.divide(_worth(bars, opened, order)[1:], close[:-1], out=gap[1:], where=same)
    return ratio, gap


def _worth(bars: Bars, prices: Floats, order: Ints) -> Floats:
    """Return what a share of the day before is worth at sorted `prices` (R,): with its split and its dividend."""
    if bars.dividend is not None:
        prices = prices + bars.dividend[order]
    return prices if bars.split_ratio is None else prices * bars.split_ratio[order]


def _usual_turnover(bars: Bars, order: Ints, wide: Ints) -> Bools:
    """Return True where dollars traded are not many times their median before (R,), or cannot be compared.

    Computed for the sorted rows in `wide` only, those of large gaps: there are few.
    """
    usual = np.ones(len(order), dtype=np.bool_)
    if not wide.size:
        return usual
    turnover = bars.close[order] * bars.volume[order]  # of bars that can be: `order` has no others
    ticker = bars.ticker[order]
    for at in wide.tolist():
        before = slice(max(0, at - TURNOVER_SESSIONS), at)
        past = turnover[before][ticker[before] == ticker[at]]
        past = past[past > 0.0]
        if len(past) >= FEWEST_TURNOVERS:
            usual[at] = turnover[at] <= CRASH_TURNOVER * float(np.median(past))
    return usual


def _large_moves(bars: Bars, order: Ints, ratio: Floats, known: Bools, alike: Bools) -> Iterator[Notice]:
    large = (np.abs(ratio - 1.0) > LARGE_MOVE) & ~known
    if np.any(large):
        at = _first(large)
        text = f"{bars.subject(int(order[at]))} close moved {ratio[at] - 1.0:+.1%}"
        yield Notice(NoticeKind.LARGE_MOVE, int(large.sum()), text)
    alike = alike & large
    if np.any(alike):
        at = _first(alike)
        yield Notice(NoticeKind.SPLIT_LIKE, int(alike.sum()), bars.subject(int(order[at])))


def _refuse_many(bars: Bars, reasons: dict[int, str], max_bad_pct: float) -> None:
    if len(reasons) <= _allowed(len(bars), max_bad_pct):
        return
    rows = sorted(reasons)
    lines = [f"{bars.label(row)}: {reasons[row]}; correct or delete the row" for row in rows[:PROBLEMS_SHOWN]]
    if len(rows) > PROBLEMS_SHOWN:
        lines.append(f"{len(rows) - PROBLEMS_SHOWN} more such bars")
    if len(rows) == 1:
        raise MarketDataError(lines[0])
    text = "".join(f"\n  - {line}" for line in lines)
    raise MarketDataError(
        f"{len(rows)} of {len(bars)} bars cannot be true, more than the {max_bad_pct:g} % that max_bad_bars_pct in "
        f"[data] allows:{text}"
    )


def _empty_sessions(rows: Ints, sessions: Sessions, max_bad_pct: float) -> list[Notice]:
    """Return sessions without any bar; refuse many of them, which are a hole in the data and no vendor's bad day."""
    counts = np.bincount(rows, minlength=len(sessions))
    holes = np.flatnonzero(counts == 0)
    if not holes.size:
        return []
    if holes.size > _allowed(len(sessions), max_bad_pct):
        raise MarketDataError(
            f"no ticker has a bar on {sessions[holes[0]]}, an NYSE session ({holes.size} such sessions from "
            f"{sessions[0]} to {sessions[-1]}); add the missing bars"
        )
    return [Notice(NoticeKind.EMPTY_SESSION, int(holes.size), f"first {sessions[holes[0]]}")]


def _allowed(total: int, max_bad_pct: float) -> int:
    return max(1, int(total * max_bad_pct / 100.0))


def _strange(bars: Bars, order: Ints, row: Ints) -> Iterator[Notice]:
    wide = bars.high > WIDE_RANGE_RATIO * bars.low
    if np.any(wide):
        first = _first(wide)
        text = f"{bars.subject(first)} low {bars.low[first]:g}, high {bars.high[first]:g}"
        yield Notice(NoticeKind.WIDE_RANGE, int(wide.sum()), text)
    silent = bars.volume == 0.0
    if np.any(silent):
        yield Notice(NoticeKind.ZERO_VOLUME, int(silent.sum()), bars.subject(_first(silent)))
    yield from _stale(bars, order)
    yield from _gaps(bars, order, row)


def _stale(bars: Bars, order: Ints) -> Iterator[Notice]:
    """Yield bars whose two successors have the same four prices; twice in a row happens, three times seldom."""
    ticker = bars.ticker[order]
    repeat = ticker[1:] == ticker[:-1]
    for column in PRICES:
        values = getattr(bars, column)[order]
        repeat = repeat & (values[1:] == values[:-1])
    stale = repeat[1:] & repeat[:-1]
    if np.any(stale):
        text = f"{bars.subject(int(order[_first(stale)]))} and the next two bars have the same four prices"
        yield Notice(NoticeKind.STALE, int(stale.sum()), text)


def _gaps(bars: Bars, order: Ints, row: Ints) -> Iterator[Notice]:
    ticker, position = bars.ticker[order], row[order]
    missing = np.where(ticker[1:] == ticker[:-1], np.diff(position) - 1, 0)
    if np.any(missing > 0):
        at = _first(missing > 0)
        word = "session" if missing[at] == 1 else "sessions"
        text = f"{bars.subject(int(order[at]))} is followed by {missing[at]} {word} without a bar"
        yield Notice(NoticeKind.GAP, int(missing.sum()), text)
    last = np.append(np.flatnonzero(ticker[1:] != ticker[:-1]), len(order) - 1)
    early = last[position[last] < position.max()]
    if early.size:
        first = int(order[early[0]])
        text = f"{bars.name(first)} has no bar after {bars.day(first)}: delisted, renamed, or an old download?"
        heir = _heir(bars, order, position, int(early[0]))
        if heir:
            text += f" {heir} begins on the next session at its price: if it is the same company, say so in events.csv"
        yield Notice(NoticeKind.ENDS_EARLY, int(early.size), text)


def _heir(bars: Bars, order: Ints, position: Ints, ended: int) -> str:
    """Return a ticker that begins where the one of sorted row `ended` ends, at nearly its price; empty if none does."""
    ticker = bars.ticker[order]
    first = np.append(0, np.flatnonzero(ticker[1:] != ticker[:-1]) + 1)
    begins = first[position[first] == position[ended] + 1]
    ratio = bars.open[order][begins] / bars.close[order[ended]]
    near = begins[(ratio > 1.0 - HEIR_PRICE) & (ratio < 1.0 + HEIR_PRICE)]
    return bars.name(int(order[near[0]])) if near.size else ""


def _some(mask: Bools) -> list[int]:
    rows: list[int] = np.flatnonzero(mask)[:PROBLEMS_SHOWN].tolist()
    return rows


def _first(mask: Bools) -> int:
    return int(np.flatnonzero(mask)[0])
