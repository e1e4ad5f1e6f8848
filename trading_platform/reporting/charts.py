"""Charts as inline SVG that needs neither library nor network: lines, areas, bars, bands, with HTML labels around.

The drawing stretches to any width (``preserveAspectRatio="none"`` with strokes that do not scale) while labels stay
text of a fixed size, so that one file reads well on a phone and on a wide screen. Colours are CSS classes and nothing
has a style of its own: the strictest content security policy lets all of it pass.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date
from html import escape
from typing import NamedTuple

from trading_platform.reporting.plain import MONTHS
from trading_platform.reporting.series import Span, Values

WIDTH, HEIGHT = 1000.0, 300.0
ROOM = 0.06  # of the values' range, beyond the outermost
MOST_POINTS = 1400  # of a drawn line: more lie on one pixel; the least and the largest of each stretch are kept
LOG_FROM = 120.0  # growth in percent from which an even axis would flatten everything else


class Line(NamedTuple):
    """A named line of the CSS class ``c-<colour>``; `unit` formats the tooltip's values: ``%``, ``$`` or none."""

    name: str
    values: Values
    colour: str
    unit: str = "%"
    kind: str = "line"  # line | area | bars | hidden (tooltip only)


class Scale(NamedTuple):
    """A vertical axis from `low` to `high` with labelled `ticks`.

    `is_log` spaces growth in percent by its factor, so that 100 % to 300 % is as far as 0 % to 100 %.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def y(self, value: float) -> float:
        """Return the drawing's y of `value`; the top is 0."""
        if self.is_log:
            low, high, value = (math.log1p(max(v, -99.0) / 100) for v in (self.low, self.high, value))
            return HEIGHT * (high - value) / (high - low)
        return HEIGHT * (self.high - value) / (self.high - self.low)


def nice_scale(values: Sequence[float | None], count: int = 4) -> Scale:
    """Return a scale around `values` and 0 with about `count` round ticks (1, 2 or 5 times a power of ten apart)."""
    low, high = _bounds(values)
    room = (high - low) * ROOM
    low, high = low - room if low < 0 else 0.0, high + room if high > 0 else 0.0
    step = _nice_step((high - low) / count)
    ticks = tuple(round(step * i, 10) for i in range(math.ceil(low / step), math.floor(high / step) + 1))
    return Scale(low, high, ticks)


def growth_scale(values: Sequence[float | None]) -> Scale:
    """Return a scale for growth in percent: even, or by factor where something has more than doubled."""
    low, high = _bounds(values)
    if high <= LOG_FROM:
        return nice_scale(values)
    low, high = max(low, -95.0), high * (1 + 2 * ROOM)
    factors = [factor * 10.0**power for power in range(-2, 7) for factor in (1, 2, 5)]
    ticks = tuple(round(100 * (factor - 1), 10) for factor in factors)
    return Scale(low - 5.0, high, tuple(tick for tick in ticks if low - 5.0 <= tick <= high), is_log=True)


def chart(
    key: str,
    title: str,
    sessions: Sequence[date],
    lines: Sequence[Line],
    *,
    unit: str = "%",
    height: int = 240,
    scale: Scale | None = None,
    bands: Sequence[Span] = (),
    marks: Sequence[Span] = (),
    limit: float | None = None,
    more: str = "",
    own_dates: bool = True,
) -> str:
    """Return a figure with caption, legend, drawing, axes and the data of its tooltip.

    Parameters
    ----------
    bands, marks
        Spans shown as a tint behind everything (class ``band-<label>``), and as a strip along the bottom.
    limit
        A level drawn as a dashed line.
    height
        Pixels; the style sheet must have a class ``h<height>``.
    more
        HTML that is added to the legend.
    own_dates
        The tooltip's data have the dates in them; False: the page has them once for all its charts.
    """
    shown = [line for line in lines if line.kind != "hidden"]
    if scale is None:
        every = [v for line in shown for v in line.values] + ([limit] if limit is not None else [])
        scale = nice_scale(every)
    drawing = _drawing(len(sessions), shown, scale, bands, marks, limit)
    return _figure(key, title, sessions, lines, scale, unit, height, drawing, more, own_dates=own_dates)


def stacked(
    key: str,
    title: str,
    sessions: Sequence[date],
    lines: Sequence[Line],
    height: int = 200,
    *,
    marks: Sequence[Span] = (),
    more: str = "",
    own_dates: bool = True,
) -> str:
    """Return a figure of areas that add up to at most 100 %; `marks` are a strip along its bottom."""
    scale = Scale(0.0, 100.0, (0.0, 50.0, 100.0))
    base = [0.0] * len(sessions)
    parts = []
    for line in lines:
        top = [b + (v or 0.0) for b, v in zip(base, line.values, strict=True)]
        parts.append(_ribbon(base, top, scale, line.colour))
        base = top
    parts += [_rectangle(span, len(sessions), HEIGHT - 9, 9.0, f"mark-{span.label}") for span in marks]
    return _figure(key, title, sessions, lines, scale, "%", height, "".join(parts), more, own_dates=own_dates)


def meter(name: str, shown: str, limit: str, used: float | None) -> str:
    """Return a horizontal bar of how much of a limit is used (1 = all of it)."""
    width = 0.0 if used is None else max(0.0, min(1.0, used)) * 100
    level = "off" if used is None else "bad" if used > 1.0 else "warn" if used >= 0.75 else "good"
    return (
        f'<div class="meter"><span>{escape(name)}</span><span class="num">{escape(shown)} <small>of {escape(limit)}'
        f'</small></span><svg class="track"><rect class="{level}" width="{width:.1f}%" height="100%"/></svg></div>'
    )


def key(colour: str, name: str, kind: str = "") -> str:
    """Return an entry of a legend."""
    return f'<span class="key"><i class="c-{colour}{f" {kind}" if kind else ""}"></i>{escape(name)}</span>'


def tick_text(value: float, unit: str) -> str:
    """Return what stands beside a tick."""
    if unit == "$":
        size = abs(value)
        text = f"{size / 1e6:g}M" if size >= 1e6 else f"{size / 1e3:g}k" if size >= 1e3 else f"{size:g}"
        return f"{'-' if value < 0 else ''}${text}"
    return f"{value:g}{unit}"


def embedded(value: object) -> str:
    """Return `value` as JSON that may stand in a script element of HTML."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _figure(
    name: str,
    title: str,
    sessions: Sequence[date],
    lines: Sequence[Line],
    scale: Scale,
    unit: str,
    height: int,
    body: str,
    more: str = "",
    *,
    own_dates: bool = True,
) -> str:
    legend = "".join(key(line.colour, line.name) for line in lines if line.kind != "hidden")
    labels = "".join(
        f'<text class="y" x="-8" y="{100 * scale.y(tick) / HEIGHT:.2f}%">{tick_text(tick, unit)}</text>'
        for tick in scale.ticks
    ) + "".join(
        f'<text class="x {side}" x="{100 * x:.2f}%" y="100%" dy="18">{escape(text)}</text>'
        for x, text, side in _dates(sessions)
    )
    grid = "".join(f'<path class="grid" d="M0 {scale.y(t):.1f}H{WIDTH:.0f}"/>' for t in scale.ticks)
    svg = (
        f'<svg role="img" aria-label="{escape(title)}"><svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}"'
        f' preserveAspectRatio="none" width="100%" height="100%">{grid}{body}</svg>{labels}</svg>'
    )
    data: dict[str, object] = {"dates": [day.isoformat() for day in sessions]} if own_dates else {}
    data["lines"] = [
        {"name": line.name, "unit": line.unit, "colour": line.colour, "values": _rounded(line.values)} for line in lines
    ]
    data["bars"] = any(line.kind == "bars" for line in lines)
    return (
        f'<figure class="chart" id="{name}"><figcaption><b>{escape(title)}</b>{legend}{more}</figcaption>'
        f'<div class="plot h{height}">{svg}<div class="cursor"></div></div>'
        f'<script type="application/json">{embedded(data)}</script></figure>'
    )


def _drawing(
    count: int, lines: Sequence[Line], scale: Scale, bands: Sequence[Span], marks: Sequence[Span], limit: float | None
) -> str:
    parts = [_rectangle(span, count, 0.0, HEIGHT, f"band-{span.label}") for span in bands]
    for line in lines:
        if line.kind == "area":
            parts.append(_ribbon([min(scale.high, 0.0)] * count, line.values, scale, line.colour, fade=True))
            parts.append(_path(line.values, scale, line.colour))
        elif line.kind == "bars":
            parts.append(_bars(line.values, scale))
        else:
            parts.append(_path(line.values, scale, line.colour))
    if limit is not None:
        parts.append(f'<path class="limit" d="M0 {scale.y(limit):.1f}H{WIDTH:.0f}"/>')
    parts += [_rectangle(span, count, HEIGHT - 9, 9.0, f"mark-{span.label}") for span in marks]
    return "".join(parts)


def _path(values: Values, scale: Scale, colour: str) -> str:
    steps, pen = [], "M"
    step, place = WIDTH / max(len(values) - 1, 1), scale.y
    high, extent = scale.high, scale.high - scale.low
    for row in _drawn_rows(values):
        value = values[row]
        if value is None:
            pen = "M"
            continue
        y = place(value) if scale.is_log else HEIGHT * (high - value) / extent
        steps.append(f"{pen}{row * step:.1f} {y:.1f}")
        pen = "L"
    return f'<path class="line c-{colour}" d="{"".join(steps)}"/>' if steps else ""


def _drawn_rows(values: Values) -> Sequence[int]:
    """Return the rows of a line that are drawn: all, or of each stretch the least, the largest, and every gap."""
    count = len(values)
    if count <= MOST_POINTS:
        return range(count)
    size = math.ceil(count / (MOST_POINTS / 2))
    rows = {0, count - 1}
    for first in range(0, count, size):
        part = values[first : first + size]
        if None in part:
            rows.update(range(first, first + len(part)))
        else:
            rows.add(first + part.index(min(part)))  # type: ignore[type-var]  # no None is in it
            rows.add(first + len(part) - 1 - part[::-1].index(max(part)))  # type: ignore[type-var]
    return sorted(rows)


def _ribbon(
    low: Sequence[float], high: Sequence[float | None], scale: Scale, colour: str, *, fade: bool = False
) -> str:
    xs, every = _xs(len(low)), math.ceil(len(low) / MOST_POINTS)
    points = [(xs[n], low[n], b) for n in range(0, len(low), every) if (b := high[n]) is not None]
    if every > 1 and (last := high[-1]) is not None:
        points.append((xs[-1], low[-1], last))
    if not points:
        return ""
    there = "L".join(f"{x:.1f} {scale.y(b):.1f}" for x, _, b in points)
    back = "L".join(f"{x:.1f} {scale.y(a):.1f}" for x, a, _ in reversed(points))
    return f'<path class="{"fade" if fade else "ribbon"} c-{colour}" d="M{there}L{back}Z"/>'


def _bars(values: Values, scale: Scale) -> str:
    slot = WIDTH / max(len(values), 1)
    gain: list[str] = []
    loss: list[str] = []
    for i, value in enumerate(values):
        if value:
            top, bottom = scale.y(max(value, 0.0)), scale.y(min(value, 0.0))
            bar = f"M{slot * (i + 0.14):.1f} {top:.1f}h{slot * 0.72:.1f}V{bottom:.1f}h-{slot * 0.72:.1f}Z"
            (gain if value > 0 else loss).append(bar)
    return f'<path class="gain" d="{"".join(gain)}"/><path class="loss" d="{"".join(loss)}"/>'


def _rectangle(span: Span, count: int, y: float, height: float, name: str) -> str:
    step = WIDTH / max(count - 1, 1)
    left = max(0.0, (span.first - 0.5) * step)
    right = min(WIDTH, (span.last + 0.5) * step)
    return f'<rect class="{escape(name)}" x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{height:.1f}"/>'


def _xs(count: int) -> list[float]:
    return [WIDTH * i / (count - 1) for i in range(count)] if count > 1 else [0.0] * count


def _dates(sessions: Sequence[date], count: int = 5) -> list[tuple[float, str, str]]:
    """Return up to `count` labels as (place in [0, 1], text, alignment)."""
    if not sessions:
        return []
    last = len(sessions) - 1
    rows = sorted({round(last * i / (count - 1)) for i in range(count)})
    years = sessions[0].year != sessions[last].year
    labels = []
    for row in rows:
        day = sessions[row]
        text = f"{MONTHS[day.month - 1]} {day.year % 100:02d}" if years else f"{day.day} {MONTHS[day.month - 1]}"
        labels.append((row / last if last else 0.0, text, "first" if row == 0 else "last" if row == last else ""))
    return labels


def _bounds(values: Sequence[float | None]) -> tuple[float, float]:
    """Return the least and the largest known value, 0 included; never the same."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    return (low - 0.5, high + 0.5) if high - low < 1e-9 else (low, high)


def _nice_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)


def _rounded(values: Values) -> list[float | None]:
    known = math.isfinite
    return [None if value is None or not known(value) else round(value, 2) for value in values]
