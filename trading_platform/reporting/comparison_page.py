"""Runs beside each other: the page, and the lines for a terminal of any width."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from trading_platform.reporting.charts import Line, chart, embedded, growth_scale
from trading_platform.reporting.narrow import GAP, Column, pairs, table, wrap
from trading_platform.reporting.page_tables import Cell, card, number, text
from trading_platform.reporting.page_tables import table as html_table
from trading_platform.reporting.run_comparison import (
    Comparison,
    Difference,
    FigureLine,
    RunCase,
    market_name,
    run_words,
    verdicts,
)
from trading_platform.reporting.run_page import document
from trading_platform.reporting.run_page_charts import percents_of
from trading_platform.reporting.run_shape import depth


def render_comparison(comparison: Comparison) -> str:
    """Return the page of a comparison."""
    return document(*comparison_parts(comparison))


def comparison_parts(comparison: Comparison) -> tuple[str, str, str]:
    """Return title, body and data of a comparison's page, for a page of any frame."""
    title = "Runs " + ", ".join(str(case.run.id) for case in comparison.cases)
    parts = [_header(comparison, title), _course(comparison), _figures_card(comparison), _settings_card(comparison)]
    days = embedded([day.isoformat() for day in comparison.sessions])
    return title, f"<main>{''.join(parts)}</main>", f'<script type="application/json" id="days">{days}</script>'


def comparison_lines(comparison: Comparison, width: int) -> list[str]:
    """Return a comparison in lines of at most `width` columns."""
    lines = []
    for case in comparison.cases:
        lines += wrap(f"run {case.run.id}: {run_words(case)}", width, "  ")
    for notice in comparison.notices:
        lines += wrap(notice, width)
    lines += ["", *(line for sentence in verdicts(comparison) for line in wrap(sentence, width)), ""]
    lines += _values(comparison, width)
    for n, case in enumerate(comparison.cases[1:]):
        rows = [
            (line.name, _difference_words(line, line.differences[n])) for line in comparison.figures if line.differences
        ]
        title = f"Run {case.run.id} less run {comparison.cases[0].run.id}, with the range of luck (95 %)"
        lines += ["", *wrap(title, width), *pairs(rows, width)]
    rows = [(name, " | ".join(values)) for name, values in comparison.settings.items()]
    lines += ["", "Settings that differ", *(pairs(rows, width) if rows else ["  none"])]
    return lines


def _values(comparison: Comparison, width: int) -> list[str]:
    """Return the figures in a column for each run; where there is no room for all, behind each other."""
    runs = range(len(comparison.cases))
    heads = [f"run {case.run.id}" for case in comparison.cases]
    columns = [Column(heads[n], [value_words(comparison, line, n) for line in comparison.figures], 1) for n in runs]
    names = Column("", [line.name for line in comparison.figures], 1, is_number=False)
    if 2 + names.width + sum(GAP + column.width for column in columns) <= width:
        return table(names, columns, width)
    rows = [(line.name, " | ".join(value_words(comparison, line, n) for n in runs)) for line in comparison.figures]
    return pairs([("", " | ".join(heads)), *rows], width)


def value_words(comparison: Comparison, line: FigureLine, n: int) -> str:
    """Return one run's figure as people read it, money in the currency of its market."""
    return _words(line.values[n], line.unit, comparison.cases[n].sign)


def _words(value: float | None, unit: str, sign: str) -> str:
    if value is None:
        return "n/a"
    if unit == "%":
        return f"{round(100.0 * value, 2) + 0.0:.2f} %"
    if unit == "$":
        return f"{sign}{value:,.2f}"
    return f"{round(value, 2) + 0.0:.2f}" if unit == "x" else f"{value:,.0f}"


def _difference_words(line: FigureLine, difference: Difference) -> str:
    """Return a difference with its range; of percentages in points."""
    if difference.value is None:
        return "n/a"
    factor, unit = (100.0, " points") if line.unit == "%" else (1.0, "")
    value, low, high = (_signed(factor * part) for part in (difference.value, *difference.interval))
    is_known = difference.interval.low <= difference.interval.high
    return f"{value}{unit}, {low} to {high}" if is_known else f"{value}{unit}, range unknown"


def _signed(value: float) -> str:
    rounded = round(value, 2)
    return f"{rounded:+.2f}" if rounded else "0.00"


def _header(comparison: Comparison, title: str) -> str:
    runs = "".join(
        f'<li><span class="key"><i class="c-s{n}"></i></span> <b>Run {case.run.id}</b> {escape(_described(case))}</li>'
        for n, case in enumerate(comparison.cases)
    )
    sentences = "".join(f'<p class="verdict">{escape(sentence)}</p>' for sentence in verdicts(comparison))
    notices = "".join(f"<p>{escape(notice)}</p>" for notice in comparison.notices)
    return f'<header class="run"><h1>{escape(title)}</h1><ul class="runs">{runs}</ul>{sentences}{notices}</header>'


def _described(case: RunCase) -> str:
    return run_words(case) + (f". {case.run.note}" if case.run.note else "")


def _course(comparison: Comparison) -> str:
    names = [f"Run {case.run.id}" for case in comparison.cases]
    market = market_name(comparison)
    curves = list(zip(names, comparison.curves, strict=True))
    lines = [Line(name, percents_of(curve - 1.0), f"s{n}") for n, (name, curve) in enumerate(curves)]
    lines.append(Line(market, percents_of(comparison.market_curve - 1.0), "spy"))
    falls = [Line(name, percents_of(depth(curve)), f"s{n}") for n, (name, curve) in enumerate(curves)]
    scale = growth_scale([value for line in lines for value in line.values])
    sessions = comparison.sessions
    growth = chart("growth", "Growth", sessions, lines, height=320, scale=scale, own_dates=False)
    below = chart("drawdown", "Below the highest so far", sessions, falls, height=170, own_dates=False)
    return f'<section class="card">{growth}{below}</section>'


def _figures_card(comparison: Comparison) -> str:
    first = comparison.cases[0].run.id
    head = ["", *(f"#run {case.run.id}" for case in comparison.cases)]
    head += [f"#{case.run.id} less {first}, 95 %" for case in comparison.cases[1:]]
    rows: list[Sequence[Cell]] = []
    for line in comparison.figures:
        cells = [text(line.name), *(number(value_words(comparison, line, n)) for n in range(len(line.values)))]
        cells += [number(_difference_words(line, each)) for each in line.differences]
        cells += [text("")] * (len(head) - len(cells))
        rows.append(cells)
    ranges = (
        f"The ranges hold 95 % of {comparison.resamples:,} resamples of the daily returns of all runs together, drawn "
        "in blocks of a month or more. Who compares many runs finds a lucky one among them."
        if comparison.resamples
        else "Too few common sessions for ranges: at least 61 are needed."
    )
    return card("Figures", f'{html_table(head, rows)}<p class="soft">{ranges}</p>')


def _settings_card(comparison: Comparison) -> str:
    head = ("", *(f"run {case.run.id}" for case in comparison.cases))
    rows = [[text(name), *((value, "part") for value in values)] for name, values in comparison.settings.items()]
    return card("Settings that differ", html_table(head, rows))
