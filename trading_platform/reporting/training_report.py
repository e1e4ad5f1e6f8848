"""The training report: learning curves, equity beside the baselines, weights over regimes, the gate's numbers.

`write_png` draws one picture to send along, `write_html` one self-contained page (the same charts as vector graphics,
and the tables as text). Both need matplotlib, which is imported when they are called.
"""

from __future__ import annotations

import html
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.types import Floats

# Okabe & Ito's colours, told apart by the colour-blind; the policy is the strongest.
POLICY_COLOUR = "#0072B2"
COLOURS = ("#555555", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#A6761D", "#8DA0CB", "#66A61E", "#999999")
REGIME_COLOURS = {"bull": "#B7E4C7", "bear": "#F4A6A0", "consolidation": "#F6E3A1"}
REGIME_NAMES = tuple(REGIME_COLOURS)
POLICY = "policy"
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #d0d7de; --good: #116329; --bad: #a40e26; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --good: #3fb950;
  --bad: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1080px;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; } th, td { border-bottom: 1px solid var(--line); padding: .25rem .7rem; text-align: right; }
th:first-child, td:first-child, .facts td, .facts th { text-align: left; }
 .pass { color: var(--good); } .fail { color: var(--bad); }
figure { margin: 0; background: #ffffff; } svg { width: 100%; height: auto; }
"""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A look at validation: Sharpe ratio minus that of equal weight after so many episodes."""

    episodes: int
    gain: float


@dataclass(frozen=True, slots=True)
class Check:
    """One criterion of the gate, ready to print."""

    name: str
    observed: float
    threshold: float
    passed: bool


@dataclass(frozen=True, slots=True, eq=False)
class TrainingReport:
    """What the report shows.

    Attributes
    ----------
    title, verdict : a line each.
    facts : what was trained on what, by name.
    curves : learning curve of each seed.
    path_name : what the sessions below are, e.g. "validation" or "out of sample".
    sessions : (n,) dates. books : daily returns by name, (n,) each; the policy's is called "policy".
    strategies, weights : names and (n, K). regimes : (n, 3) filtered probabilities of bull, bear, consolidation.
    checks : the gate. table : header and rows of the comparison, as text. parts : the same of what each part of the
        allocator is worth in all universes, and `parts_words` what its columns are.
    """

    title: str
    verdict: str
    promoted: bool
    facts: Mapping[str, str]
    curves: Mapping[str, Sequence[CurvePoint]]
    path_name: str
    sessions: NDArray[np.datetime64]
    books: Mapping[str, Floats]
    strategies: tuple[str, ...]
    weights: Floats
    regimes: Floats
    checks: Sequence[Check]
    table: Sequence[Sequence[str]]
    parts: Sequence[Sequence[str]] = ()
    parts_words: str = ""


def write_png(report: TrainingReport, path: Path) -> None:
    """Draw the report into a PNG file."""
    figure = _draw(report)
    figure.savefig(path, format="png", dpi=110)


def write_html(report: TrainingReport, path: Path) -> None:
    """Write the report as one self-contained HTML page."""
    path.write_text(render_html(report), encoding="utf-8")


def render_html(report: TrainingReport) -> str:
    """Return the page."""
    picture = io.StringIO()
    _draw(report).savefig(picture, format="svg", metadata={"Date": None})
    svg = picture.getvalue()
    svg = svg[svg.index("<svg") :]
    tone = "pass" if report.promoted else "fail"
    facts = [["fact", "value"], *([name, value] for name, value in report.facts.items())]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(report.title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(report.title)}</h1><p class='{tone}'><strong>{html.escape(report.verdict)}</strong></p>",
        f"<figure>{svg}</figure>",
        f"<h2>Comparison, {html.escape(report.path_name)}</h2>{_table(report.table)}",
        f"<h2>What each part is worth, in all universes</h2>{_table(report.parts)}"
        f"<p>{html.escape(report.parts_words)}</p>"
        if len(report.parts) > 1
        else "",
        f"<h2>Gate</h2>{_checks_table(report.checks)}",
        f"<h2>Facts</h2><div class='facts'>{_table(facts)}</div>",
        "</body></html>\n",
    ]
    return "\n".join(parts)


def words_of(name: str) -> str:
    """Return a name of the program as plain words."""
    return name.replace("_", " ")


def _table(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<div class='scroll'><table><tr>{head}</tr>{body}</table></div>"


def _checks_table(checks: Sequence[Check]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(words_of(check.name))}</td><td>{check.observed:.4g}</td><td>{check.threshold:.4g}</td>"
        f"<td class='{'pass' if check.passed else 'fail'}'>{'passed' if check.passed else 'refused'}</td></tr>"
        for check in checks
    )
    return f"<table><tr><th>criterion</th><th>observed</th><th>limit</th><th></th></tr>{rows}</table>"


def _draw(report: TrainingReport) -> Any:
    # The object-oriented interface: no global figure list, no display, safe in worker processes.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 11), layout="constrained")
    verdict = textwrap.fill(report.verdict, 120)
    figure.suptitle(f"{report.title}\n{verdict}", fontsize=11, color="#111111")
    curves, equity, weights, regimes = figure.subplots(4, 1, height_ratios=(1.0, 1.6, 1.2, 0.5))
    _draw_curves(curves, report)
    _draw_equity(equity, report)
    _draw_weights(weights, report)
    _draw_regimes(regimes, report)
    for axes in (equity, weights, regimes):
        axes.set_xlim(report.sessions[0], report.sessions[-1])
        axes.xaxis.set_major_formatter(_dates(axes))
    return figure


def _dates(axes: Any) -> Any:
    from matplotlib import dates

    locator: Any = dates.AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    return dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]


def _draw_curves(axes: Any, report: TrainingReport) -> None:
    for name, points in report.curves.items():
        axes.plot([p.episodes for p in points], [p.gain for p in points], marker="o", ms=3, lw=1, label=name)
    axes.axhline(0.0, color="#888888", lw=0.8)
    axes.set_title("Learning curve: validation Sharpe ratio minus equal weight's", loc="left", fontsize=10)
    axes.set_xlabel("episodes", fontsize=8)
    if 0 < len(report.curves) <= 10:
        axes.legend(fontsize=7, ncols=5, frameon=False)


def _draw_equity(axes: Any, report: TrainingReport) -> None:
    others = [name for name in report.books if name != POLICY]
    for colour, name in zip(_cycle(len(others)), others, strict=True):
        growth = np.cumprod(1.0 + np.nan_to_num(report.books[name]))
        axes.plot(
            report.sessions, growth, lw=1.8 if name == "equal_weight" else 0.8, color=colour, label=words_of(name)
        )
    axes.plot(
        report.sessions, np.cumprod(1.0 + report.books[POLICY]), lw=2.0, color=POLICY_COLOUR, label=POLICY, zorder=5
    )
    axes.set_title(f"Growth of one dollar after costs, {report.path_name}", loc="left", fontsize=10)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axes.legend(fontsize=7, ncols=4, frameon=False, loc="upper left")


def _draw_weights(axes: Any, report: TrainingReport) -> None:
    axes.stackplot(
        report.sessions, report.weights.T, labels=report.strategies, colors=_cycle(len(report.strategies), skip=1), lw=0
    )
    axes.set_ylim(0.0, 1.0)
    axes.set_title("Weights of the policy", loc="left", fontsize=10)
    axes.legend(fontsize=7, ncols=5, loc="upper left")


def _draw_regimes(axes: Any, report: TrainingReport) -> None:
    known = np.nan_to_num(report.regimes)
    axes.stackplot(report.sessions, known.T, labels=REGIME_NAMES, colors=list(REGIME_COLOURS.values()), lw=0)
    axes.set_ylim(0.0, 1.0)
    axes.set_title("Filtered regime probabilities", loc="left", fontsize=10)
    axes.legend(fontsize=7, ncols=3, loc="upper left")


def _cycle(count: int, skip: int = 0) -> list[str]:
    return [COLOURS[(i + skip) % len(COLOURS)] for i in range(count)]
