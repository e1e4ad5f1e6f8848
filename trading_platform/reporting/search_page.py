"""The page of a search: what was found and whether to believe it; no library, no network, no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from trading_platform.reporting.page_tables import card, number, table, text
from trading_platform.reporting.plain import UNKNOWN

Document = Mapping[str, Any]
WIDTH, HEIGHT, LEFT, BELOW, TOP = 420.0, 200.0, 44.0, 22.0, 8.0
MOST_TRIALS = 40  # rows of the table of trials: the best ones


def render_search_page(result: Document) -> str:
    """Return the page of a search's document."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    studies = "".join(_study(result, study) for study in result["studies"])
    asked = f"{result['trials']} trials a study · {result['sampler']} · {', '.join(result['objectives'])}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Search {escape(result['name'])}</title><style>{style}"
        "svg.slice{width:100%;height:auto}.slice circle{fill:var(--accent,#4c78a8);opacity:.75}"
        ".slice .best{fill:none;stroke:currentColor;stroke-width:1.5;opacity:1}"
        ".slice path{stroke:currentColor;opacity:.3;fill:none}.slice .now{stroke-dasharray:4 3;opacity:.7}"
        ".slice text{fill:currentColor;font-size:11px}</style></head>"
        f"<body><main><header><h1>Search {escape(result['name'])}</h1><p>{escape(asked)}</p></header>{studies}"
        "<p>Nothing is adopted by itself: <code>search adopt FILE</code> shows which settings would change.</p>"
        "</main></body></html>\n"
    )


def _study(result: Document, study: Document) -> str:
    parts = [
        card(f"Outer years {study['outer']}", f"<p><b>{escape(study['sentence'])}</b></p>" + _facts(study)),
        card("Settings of the best trial", _settings(study)),
    ]
    if study["importance"]:
        rows = [(text(name), number(f"{100.0 * share:.0f} %")) for name, share in study["importance"].items()]
        parts.append(card("What explains the differences between trials", table(("setting", "#share"), rows)))
    slices = "".join(card(name, _slice(study, name)) for name in result["space"])
    parts += [f'<section class="grid">{slices}</section>', card("Trials, best first", _trials(study))]
    return "".join(parts)


def _facts(study: Document) -> str:
    luck, near = study["luck"], study["plateau"]
    rows = [
        ("inner years", f"{study['inner'][0]} to {study['inner'][1]}"),
        ("today's settings, inner", _figure(study["now"])),
        ("best trial, inner", _figure(study["best_value"])),
        (f"its {near['trials']} nearest trials: mean", f"{_figure(near['mean'])}, worst {_figure(near['worst'])}"),
        ("deviation among them", _figure(near["deviation"])),
        ("independent trials that they amount to", _figure(luck["effective"], 1)),
        ("gain of the best of so many worthless ones", _figure(luck["expected"])),
        ("part of a gain that is expected to stay", _figure(luck["shrinkage"])),
        ("gain expected of the best elsewhere", _figure(luck["kept"])),
        ("today's settings, outer years", _figure(study["outer_now"])),
        ("best trial, outer years", _figure(study["outer_best"])),
        ("probability that it is better there, deflated by the trials", _figure(study["deflated"])),
    ]
    return table(("", "#"), [(text(name), number(value)) for name, value in rows])


def _settings(study: Document) -> str:
    rows = [
        (text(name), number(_said(study["settings_now"].get(name))), number(_said(value)))
        for name, value in study["best_settings"].items()
    ]
    return table(("setting", "#today", "#best trial"), rows) if rows else "<p>No trial has a figure.</p>"


def _trials(study: Document) -> str:
    done = [trial for trial in study["all_trials"] if trial["value"] is not None]
    done.sort(key=lambda trial: (-trial["value"] if study["higher_is_better"] else trial["value"], trial["number"]))
    names = list(study["best_settings"])
    rows = [
        (
            number(str(trial["number"])),
            number(_figure(trial["value"], 3)),
            *(number(_said(trial["settings"][name])) for name in names),
        )
        for trial in done[:MOST_TRIALS]
    ]
    others = len(study["all_trials"]) - len(done)
    note = (
        f"<p>{others} more gave no figure: given up early, or settings that contradict each other.</p>"
        if others
        else ""
    )
    return table(("#trial", "#value", *(f"#{name}" for name in names)), rows) + note


def _slice(study: Document, name: str) -> str:
    """Return the trials' first objective over one setting, as a picture; today's value as a line."""
    done = [trial for trial in study["all_trials"] if trial["value"] is not None]
    if not done:
        return f"<p>{UNKNOWN}</p>"
    values = [trial["settings"][name] for trial in done]
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    places: dict[Any, float] = {}
    if not is_number:
        places = {value: float(i) for i, value in enumerate(sorted(set(values), key=str))}
    across = [float(value) if is_number else places[value] for value in values]
    up = [float(trial["value"]) for trial in done]
    x = _scale(across, LEFT, WIDTH - 10.0)
    y = _scale(up, HEIGHT - BELOW, TOP)
    dots = "".join(
        f'<circle class="{"best" if trial["number"] == study["best"] else ""}" cx="{x(a):.1f}" cy="{y(b):.1f}" '
        f'r="{6 if trial["number"] == study["best"] else 3}"><title>trial {trial["number"]}: '
        f"{escape(_said(trial['settings'][name]))}, {b:.3f}</title></circle>"
        for trial, a, b in zip(done, across, up, strict=True)
    )
    ends = (
        [(min(across), "start"), (max(across), "end")]
        if is_number
        else [
            (place, "start" if place == 0.0 else "end" if place == max(places.values()) else "middle")
            for place in places.values()
        ]
    )
    words = [f"{end:.4g}" for end, _ in ends] if is_number else [_said(value) for value in places]
    ticks = "".join(
        f'<text x="{x(end):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(word)}</text>'
        for (end, anchor), word in zip(ends, words, strict=True)
    )
    ticks += "".join(f'<text x="2" y="{y(value) + 4:.1f}">{value:.2f}</text>' for value in {min(up), max(up)})
    now = study["now"]
    line = ""
    if now is not None and min(up) <= now <= max(up):
        line = f'<path class="now" d="M{LEFT} {y(now):.1f}H{WIDTH - 10}"><title>today {now:.3f}</title></path>'
    frame = f'<path d="M{LEFT} {TOP}V{HEIGHT - BELOW}H{WIDTH - 10}"/>'
    return (
        f'<svg class="slice" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="value over {escape(name)}">'
        f"{frame}{line}{dots}{ticks}</svg>"
    )


def _scale(values: Sequence[float], low: float, high: float) -> Any:
    least, most = min(values), max(values)
    width = (most - least) or 1.0
    return lambda value: low + (value - least) / width * (high - low)


def _figure(value: float | None, digits: int = 2) -> str:
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def _said(value: object) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.4g}" if isinstance(value, float) else str(value)
