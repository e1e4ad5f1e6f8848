"""The charts of a run's page: its course, its calendar, what each strategy brought and held."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape

import numpy as np

from trading_platform.core.types import Floats
from trading_platform.reporting.charts import Line, Scale, chart, growth_scale, key, nice_scale, stacked, tick_text
from trading_platform.reporting.page_tables import card, scrolling
from trading_platform.reporting.run_figures import Returns
from trading_platform.reporting.run_record import RunRecord
from trading_platform.reporting.run_shape import (
    YearLine,
    depth,
    growth,
    held_shares,
    rolling,
    universe_returns,
    years_of,
)
from trading_platform.reporting.series import Values, spans

COLOURS = 8
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WIDEST_BAR = 60.0  # of 1000
HEAT = (0.5, 1.5, 3.0, 5.0, 8.0)  # percent a month from which a cell is one shade stronger
REGIMES = {"bull": "good", "bear": "bad", "consolidation": "warn"}


def course_card(record: RunRecord, returns: Returns, market: str) -> str:
    """Return equity against the market and equal weight, falls, rolling figures, exposure and cash."""
    days = record.days
    sessions = [day.session for day in days]
    own, benchmark, universe = growth(returns.own), growth(returns.benchmark), growth(universe_returns(days))
    recent = rolling(returns)
    window = "a year" if recent.window > 100 else "a quarter"
    lines = [
        Line("This run", percents_of(own - 1.0), "own"),
        Line(market, percents_of(benchmark - 1.0), "spy"),
        Line("Equal weight of all", percents_of(universe - 1.0), "equal"),
        Line("Equity", tuple(day.equity / 100 for day in days), "own", "$", "hidden"),
    ]
    scale = growth_scale([value for line in lines[:3] for value in line.values])
    falls = [
        Line("This run", percents_of(depth(own)), "bad", kind="area"),
        Line(market, percents_of(depth(benchmark)), "spy"),
    ]
    ratios = [
        Line("This run", _plain(recent.sharpe), "own", ""),
        Line(market, _plain(recent.market_sharpe), "spy", ""),
    ]
    halts = spans(days, lambda day: "halted" if day.halted else "")
    money = [
        Line("Invested", tuple(100 * day.gross_exposure for day in days), "own", kind="area"),
        Line("Cash", tuple(100 * day.cash / day.equity if day.equity else None for day in days), "equal"),
    ]
    halted = key("bad", "halted") if halts else ""
    parts = [
        chart("growth", "Growth", sessions, lines, height=320, scale=scale, marks=halts, more=halted, own_dates=False),
        chart("drawdown", "Below the highest so far", sessions, falls, height=130, own_dates=False),
        chart(
            "sharpe",
            f"Sharpe ratio over bills of the last {recent.window} sessions ({window})",
            sessions,
            ratios,
            unit="",
            height=130,
            own_dates=False,
        ),
        chart(
            "beta",
            f"Beta to {market} of the last {recent.window} sessions",
            sessions,
            [Line("Beta", _plain(recent.beta), "own", "")],
            unit="",
            height=110,
            own_dates=False,
        ),
        chart("invested", "Invested and in cash, of equity", sessions, money, height=130, own_dates=False),
    ]
    return f'<section class="card" id="course">{"".join(parts)}</section>'


def calendar_cards(record: RunRecord, returns: Returns, market: str) -> str:
    """Return the months as a heat map and the years as bars."""
    sessions = [day.session for day in record.days]
    years = years_of(sessions, returns.own, returns.benchmark, universe_returns(record.days))
    return card("Months, percent", _heat_map(years, market), "calendar") + card(
        "Years", year_bars(years, market), "years"
    )


def strategy_lines(record: RunRecord, brought: Mapping[str, Floats]) -> str:
    """Return what each strategy had brought by each close, as lines; `brought` are the `contributions`, (T,)."""
    if not brought:
        return ""
    colours = _colours(record)
    ranked = sorted(brought.items(), key=lambda item: -float(item[1][-1]))
    lines = [Line(name, _plain(values), colours[name], "$") for name, values in ranked]
    sessions = [day.session for day in record.days]
    body = chart("brought", "Brought so far, dollars", sessions, lines, unit="$", height=240, own_dates=False)
    return f'<section class="card">{body}</section>'


def allocation_card(record: RunRecord) -> str:
    """Return what strategies held over the regimes, and the allocator's split where it ever changed."""
    sessions = [day.session for day in record.days]
    equity = np.array([day.equity / 100 for day in record.days])
    shares = held_shares(record.lives, equity)
    regimes = dict(record.history.regimes)
    strip = spans(record.days, lambda day: regimes.get(day.session, ""))
    legend = "".join(key(REGIMES.get(name, "soft"), name) for name in sorted({span.label for span in strip}))
    parts = [f'<p class="soft">{escape(_who_allocated(record))}</p>']
    if shares:
        colours = _colours(record)
        lines = [Line(name, percents_of(values), colours[name]) for name, values in shares.items()]
        parts.append(
            stacked(
                "held",
                "Held by strategy, of equity; the strip below is the regime",
                sessions,
                lines,
                height=240,
                marks=strip,
                more=legend,
                own_dates=False,
            )
        )
    split = _split(record, sessions)
    if any(len(set(line.values)) > 1 for line in split):
        parts.append(
            stacked("split", "Capital as the allocator split it", sessions, split, marks=strip, own_dates=False)
        )
    return card("Allocations over time", "".join(parts), "allocations")


def year_bars(years: Sequence[YearLine], market: str) -> str:
    """Return own return and the market's of each year as pairs of bars."""
    values = [value for year in years for value in (year.own, year.benchmark) if value is not None]
    scale = nice_scale([100 * value for value in values])
    slot = 1000.0 / max(len(years), 1)
    wide = min(0.36 * slot, WIDEST_BAR)
    bars, labels = [], []
    for n, year in enumerate(years):
        for value, colour, place in ((year.own, "own", -wide), (year.benchmark, "spy", 0.0)):
            if value is not None:
                top, bottom = scale.y(max(100 * value, 0.0)), scale.y(min(100 * value, 0.0))
                bars.append(
                    f'<rect class="bar c-{colour}" x="{slot * (n + 0.5) + place:.1f}" y="{top:.1f}" '
                    f'width="{wide:.1f}" '
                    f'height="{max(bottom - top, 0.5):.1f}"><title>{year.year}: {100 * value:+.1f} %</title></rect>'
                )
        text = str(year.year) if len(years) <= 8 else f"'{year.year % 100:02d}"
        labels.append(f'<text class="x" x="{(n + 0.5) * 100 / len(years):.2f}%" y="100%" dy="18">{text}</text>')
    return _bar_figure(scale, bars, labels, market)


def _bar_figure(scale: Scale, bars: Sequence[str], labels: Sequence[str], market: str) -> str:
    ticks = "".join(
        f'<text class="y" x="-8" y="{scale.y(tick) / 3:.2f}%">{tick_text(tick, "%")}</text>' for tick in scale.ticks
    )
    grid = "".join(f'<path class="grid" d="M0 {scale.y(tick):.1f}H1000"/>' for tick in scale.ticks)
    return (
        f'<figure><figcaption>{key("own", "This run")}{key("spy", market)}</figcaption><div class="plot h200">'
        f'<svg role="img" aria-label="Returns by year; the table beside the months has the numbers">'
        f'<svg viewBox="0 0 1000 300" preserveAspectRatio="none" width="100%" height="100%">{grid}{"".join(bars)}</svg>'
        f"{ticks}{''.join(labels)}</svg></div></figure>"
    )


def _heat_map(years: Sequence[YearLine], market: str) -> str:
    head = "".join(f'<th class="num">{name}</th>' for name in ("Year", market.split(" ")[0], "fall", *MONTHS))
    rows = "".join(
        f'<tr><th scope="row">{year.year}</th>{_heat(year.own, "sum")}{_number(year.benchmark)}{_number(-year.deepest)}'
        + "".join(_heat(value) for value in year.months)
        + "</tr>"
        for year in years
    )
    return scrolling(f'<table class="heat"><tr><td></td>{head}</tr>{rows}</table>')


def _heat(value: float | None, kind: str = "") -> str:
    if value is None:
        return f'<td class="num {kind}"></td>'
    percent = 100.0 * value
    shade = sum(abs(percent) >= limit for limit in HEAT)
    name = f"{'g' if percent > 0 else 'l'}{shade}" if shade else ""
    return f'<td class="num {kind} {name}">{_one(percent)}</td>'


def _number(value: float | None) -> str:
    return f'<td class="num soft">{"" if value is None else _one(100.0 * value)}</td>'


def _one(percent: float) -> str:
    """Return one decimal place, and nothing neither plus nor minus."""
    return f"{round(percent, 1) + 0.0:.1f}"


def _who_allocated(record: RunRecord) -> str:
    words = []
    for source, reason in record.why:
        who = (
            "a model" if source == "model" else "equal weight" if source == "equal_weight" else source.replace("_", " ")
        )
        words.append(f"{who} ({reason})" if reason else who)
    if not words:
        return "No allocation is stored."
    return f"Capital was split by {words[0]}." if len(words) == 1 else f"Capital was split by {', then '.join(words)}."


def _split(record: RunRecord, sessions: Sequence[date]) -> list[Line]:
    """Return the weights in force at each close, percent."""
    decided = dict(record.history.allocations)
    names = sorted({name for weights in decided.values() for name in weights})
    weights: dict[str, float] = {}
    rows: list[dict[str, float]] = []
    for session in sessions:
        weights = decided.get(session, weights)
        rows.append(weights)
    colours = _colours(record)
    return [Line(name, tuple(100.0 * row.get(name, 0.0) for row in rows), colours[name]) for name in names]


def _colours(record: RunRecord) -> dict[str, str]:
    """Return one colour for each strategy, the same in every chart."""
    names = {*record.lives, *(name for _, weights in record.history.allocations for name in weights)}
    return {name: f"s{n % COLOURS}" for n, name in enumerate(sorted(names))}


def percents_of(values: Floats) -> Values:
    """Return fractions (T,) as the percent of a line, None where unknown."""
    return tuple(None if math.isnan(value) else 100.0 * value for value in values.tolist())


def _plain(values: Floats) -> Values:
    return tuple(None if math.isnan(value) else value for value in values.tolist())
