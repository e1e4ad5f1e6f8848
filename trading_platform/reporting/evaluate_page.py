"""The judgement of `evaluate` as one HTML file: no library, no network, no script, light and dark, phone and desk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from trading_platform.core.types import Floats
from trading_platform.evaluation.growth import Growth
from trading_platform.evaluation.lifted_rules import CAUSES
from trading_platform.reporting.market_words import page_in_currency
from trading_platform.reporting.plain import UNKNOWN

STYLES = ("page.css", "evaluate_page.css")
Document = Mapping[str, Any]
RATIOS = {
    "sharpe": "this book",
    "sharpe_realistic": "with realistic fills",
    "paper_form": "its paper form",
    "equal_weight_universe": "equal-weight universe",
    "benchmark": "benchmark",
    "gain_over_equal_weight_universe": "gain over equal weight",
}
UNUSED = {
    "no_signal": "no strategy wants it",
    "slots": "every slot is taken",
    "caps": "a cap keeps it",
    "size": "smaller than wished",
    "halts": "no new risk allowed",
}
WIDTH, HEIGHT, LEFT, BELOW = 900.0, 320.0, 44.0, 22.0
STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0)
MOST_UNIVERSES = 40  # rows; more are told by their extremes alone


def render_evaluate_page(result: Document, growth: Growth, source: str = "") -> str:
    """Return the page of an `evaluate` document and the growth of its books, in the currency of bars from `source`."""
    parts = [
        _header(result),
        _tiles(result),
        _card("Sharpe ratio over bills, and 95 % intervals", _ratios(result)),
        _card("What 1 became", _growth(growth)),
        '<section class="grid">'
        + _card("What the machine loses of the paper form", _lost(result))
        + _card("Why money lies in cash", _unused(result))
        + "</section>",
        _card("Beside", _comparisons(result)),
        _card("Strategies", _strategies(result)),
        '<section class="grid">'
        + _card("Costs in a universe", _costs(result))
        + _card("Universe by universe", _universes(result))
        + "</section>",
        _notes(result),
    ]
    folder = Path(__file__).parent
    style = "".join((folder / name).read_text(encoding="utf-8") for name in STYLES)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation {escape(result['start'])} to {escape(result['end'])}</title><style>{style}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )
    return page_in_currency(page, source)


def _header(result: Document) -> str:
    words = [
        f"{result['universes']} random universes of {result['universe_size']} stocks",
        f"{result['start']} to {result['end']}",
        f"{result['cost_bps']:g} bp one way",
        f"{result['fill_model']} fills",
        f"seed {result['seed']}",
        f"trials {result['trials']}",
    ]
    return f"<header><h1>How good is this book?</h1><p>{escape(' · '.join(words))}</p></header>"


def _tiles(result: Document) -> str:
    ratio = result["sharpe"]
    interval = f"{_number(ratio['low'])} to {_number(ratio['high'])}, 95 %"
    stopped = f"stopped for good in {result['stopped_for_good']} of {result['universes']}"
    tiles = [
        ("Sharpe ratio over bills", _number(ratio["mean"]), interval, " lead"),
        ("Return over bills", _percent(result["excess_return"]), f"{_percent(result['annual_return'])} a year", ""),
        ("Deepest fall", _percent(result["max_drawdown"]), f"worst {_percent(result['worst_drawdown'])}", ""),
        ("Invested", _percent(result["avg_exposure"]), f"calm days {_percent(result['avg_exposure_calm'])}", ""),
        ("Alpha", _percent(result["alpha"]), f"t {_number(result['alpha_t'])}, beta {_number(result['beta'])}", ""),
        ("Kept of the paper form", _percent(result["kept_of_paper_form"]), stopped, ""),
    ]
    return (
        '<section class="tiles">'
        + "".join(
            f'<div class="tile{kind}"><span class="soft">{escape(name)}</span><b>{escape(value)}</b>'
            f"<small>{escape(note)}</small></div>"
            for name, value, note, kind in tiles
        )
        + "</section>"
    )


def _ratios(result: Document) -> str:
    shown = {words: result[key] for key, words in RATIOS.items() if result[key] and result[key]["mean"] is not None}
    ends = [value for row in shown.values() for value in (row["low"], row["high"], row["mean"]) if value is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)

    def x(value: float) -> float:
        return 100.0 * (value - low) / (high - low) if high > low else 0.0

    rows = []
    for words, row in shown.items():
        marks = f'<path class="zero" d="M{x(0.0):.2f} 0V10"/>'
        if row["low"] is not None:
            marks += f'<path class="range" d="M{x(row["low"]):.2f} 5H{x(row["high"]):.2f}"/>'
        marks += f'<path class="mean" d="M{x(row["mean"]):.2f} 1V9"/>'
        interval = "" if row["low"] is None else f"{_number(row['low'])} to {_number(row['high'])}"
        rows.append([_text(words), (_bar(marks), "wide", True), _cell(_number(row["mean"])), _cell(interval)])
    return _table(("", "", "#mean", "#interval"), rows)


def _growth(growth: Growth) -> str:
    """Return the growth chart: even steps are even factors."""
    values = [*growth.worth.values(), growth.low, growth.high]
    low, high = min(float(line.min()) for line in values), max(float(line.max()) for line in values)
    low, high = min(low, 1.0) * 0.98, max(high, 1.0) * 1.02
    span = math.log(high / low)

    def y(worth: float) -> float:
        return (HEIGHT - BELOW) * (1.0 - math.log(worth / low) / span)

    n = len(growth.days)

    def x(i: int) -> float:
        return LEFT + (WIDTH - LEFT) * (i / max(1, n - 1))

    def path(line: Floats) -> str:
        return "M" + "L".join(f"{x(i):.1f} {y(float(line[i])):.1f}" for i in range(n))

    back = "L".join(f"{x(i):.1f} {y(float(growth.low[i])):.1f}" for i in reversed(range(n)))
    parts = [f'<path class="extremes" d="{path(growth.high)}L{back}Z"/>']
    for step in (step for step in STEPS if low <= step <= high):
        parts.append(f'<path class="grid" d="M{LEFT:.0f} {y(step):.1f}H{WIDTH:.0f}"/>')
        parts.append(f'<text x="{LEFT - 6:.0f}" y="{y(step) + 4:.1f}" class="end">{step:g}</text>')
    years = [int(day[:4]) for day in growth.days]
    parts += [
        f'<text x="{x(i):.1f}" y="{HEIGHT - 4:.0f}" class="mid">{years[i]}</text>'
        for i in range(1, n)
        if years[i] != years[i - 1] and years[i] % _every(n) == 0
    ]
    keys = []
    for k, (name, line) in enumerate(growth.worth.items()):
        parts.append(f'<path class="line k{k}" d="{path(line)}"/>')
        keys.append(f'<span class="key"><i class="k{k}"></i>{escape(name)} {float(line[-1]):.2f}</span>')
    svg = f'<svg class="growth" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img">{"".join(parts)}</svg>'
    told = '<p class="soft">Mean over universes; the shade is between the poorest and the richest of them.</p>'
    return f'<figure><figcaption>{"".join(keys)}</figcaption><div class="scroll">{svg}</div></figure>{told}'


def _every(months: int) -> int:
    return 1 if months <= 96 else 2 if months <= 240 else 5


def _lost(result: Document) -> str:
    lost = result["lost_to"]
    if lost is None:
        return '<p class="soft">Not run: a strategy of entries and exits has no paper form.</p>'
    known = {name: value for name, value in lost.items() if value is not None}
    rows = [
        [
            _text(f"{name}: {CAUSES.get(name, '')}"),
            (_gain(-value, known.values()), "wide", True),
            _cell(f"{-value:+.3f}"),
        ]
        for name, value in known.items()
    ]
    total = [_text("Sharpe ratio, machine less paper"), _text(""), _cell(f"{-sum(known.values()):+.3f}")]
    told = (
        "The book run again with one group of rules lifted after the other: what each takes from the Sharpe ratio, or "
        "gives (+). Another order would divide it otherwise."
    )
    return f'{_table(("", "", "#"), rows, total)}<p class="soft">{told}</p>'


def _unused(result: Document) -> str:
    shares, dollars = result["not_invested_share"], result["not_invested_because"]
    if shares is None or dollars is None:
        return '<p class="soft">Not told by this book.</p>'
    most = max(shares.values()) or 1.0
    rows = [
        [
            _text(f"{name.replace('_', ' ')}: {UNUSED[name]}"),
            (_bar(f'<path class="share" d="M0 5H{100.0 * share / most:.2f}"/>'), "wide", True),
            _cell(_percent(share)),
            _cell(_money(dollars[name])),
        ]
        for name, share in shares.items()
    ]
    total = [
        _text("Not invested"),
        _text(""),
        _cell(_percent(sum(shares.values()))),
        _cell(_money(sum(dollars.values()))),
    ]
    told = '<p class="soft">After each close\'s decision, on average: of the equity, and in money.</p>'
    return _table(("", "", "#of equity", "#amount"), rows, total) + told


def _comparisons(result: Document) -> str:
    keys: tuple[tuple[str, Callable[[float | None], str]], ...] = (
        ("sharpe", _number),
        ("annual_return", _percent),
        ("volatility", _percent),
        ("max_drawdown", _percent),
        ("beta", _number),
        ("alpha", _percent),
        ("alpha_t", _number),
    )
    head = ("", "#Sharpe over bills", "#return", "#volatility", "#deepest fall", "#beta", "#alpha", "#t of alpha")
    rows = [[_text(row["name"]), *(_cell(form(row[key])) for key, form in keys)] for row in result["comparisons"]]
    return _table(head, rows)


def _strategies(result: Document) -> str:
    head = ("", "#Sharpe on paper", "#beta", "#turnover a year", "#invested", "#fills", "#profit", "")
    rows = [
        [
            _text(name),
            _cell(_number(row["paper_sharpe"])),
            _cell(_number(row["paper_beta"])),
            _cell(_number(row["paper_turnover"], 1)),
            _cell(_percent(row["paper_exposure"])),
            _cell(_number(row["fills"], 0)),
            _cell(UNKNOWN if row["profit"] is None else _money(row["profit"])),
            _text(f"stands aside: {row['stands_aside']}" if row["stands_aside"] else ""),
        ]
        for name, row in result["per_strategy"].items()
    ]
    pairs = result["correlation"]
    told = (
        f"Mean correlation of two strategies {_number(pairs['raw'])}, after the market "
        f"{_number(pairs['market_residual'])}. On paper each has all of its own capital; fills and profit are the "
        "machine's."
    )
    return f'{_table(head, rows)}<p class="soft">{escape(told)}</p>'


def _costs(result: Document) -> str:
    costs = result["costs"]
    rows = [[_text(name), _cell(_money(value))] for name, value in costs.items() if name != "total"]
    total = [_text("total"), _cell(_money(costs["total"]))] if "total" in costs else None
    return _table(("", "#"), rows, total)


def _universes(result: Document) -> str:
    rows = [
        [
            _cell(str(row["number"] + 1)),
            _cell(_number(row["sharpe"])),
            _cell(_number(row["paper_sharpe"])),
            _cell(_percent(row["max_drawdown"])),
            _cell(_percent(row["exposure"])),
        ]
        for row in result["per_universe"][:MOST_UNIVERSES]
    ]
    return _table(("#", "#Sharpe", "#paper", "#deepest fall", "#invested"), rows)


def _notes(result: Document) -> str:
    notes = [
        *result["notes"],
        "Intervals: circular block bootstrap over time that keeps universes together, since they share their years. "
        "Twenty universes of one market are worth little more than one.",
        "Past years, which whoever chose the strategies has seen: expect less.",
    ]
    return "<footer><ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul></footer>"


# ---------------------------------------------------------------- cells

Cell = tuple[str, str] | tuple[str, str, bool]  # text, CSS classes, True if it is HTML already


def _card(title: str, body: str) -> str:
    return f'<section class="card"><h2>{escape(title)}</h2>{body}</section>'


def _table(head: Sequence[str], rows: Iterable[Sequence[Cell]], total: Sequence[Cell] | None = None) -> str:
    titles = "".join(
        f'<th class="{"num" if name.startswith("#") else ""}">{escape(name.removeprefix("#"))}</th>' for name in head
    )
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    last = "" if total is None else f'<tr class="sum">{_cells(total)}</tr>'
    return f'<div class="scroll"><table><tr>{titles}</tr>{body}{last}</table></div>'


def _cells(row: Sequence[Cell]) -> str:
    return "".join(f'<td class="{cell[1]}">{cell[0] if len(cell) == 3 else escape(cell[0])}</td>' for cell in row)


def _text(words: str) -> Cell:
    return (words, "")


def _cell(number: str) -> Cell:
    return (number, "num")


def _bar(marks: str) -> str:
    return f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none">{marks}</svg>'


def _gain(value: float, all_of_them: Iterable[float]) -> str:
    """Return a bar that goes right for a gain and left for a loss, on the scale of all."""
    most = max((abs(other) for other in all_of_them), default=0.0) or 1.0
    kind = "good" if value > 0.0 else "bad"
    return _bar(f'<path class="zero" d="M50 0V10"/><path class="{kind}" d="M50 5H{50.0 + 50.0 * value / most:.2f}"/>')


def _number(value: float | None, digits: int = 2) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def _money(value: float) -> str:
    """Return an amount before its currency is known: whole dollars, never -0."""
    whole = round(value) + 0
    return f"{'-' if whole < 0 else ''}${abs(whole):,}"


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{round(100.0 * value, 1) + 0.0:.1f} %"  # never -0.0
