"""Learning curves beside a model's report: what validation said after so many episodes, a line a seed.

Training writes them as a small JSON file, `MODEL.curves.json`; the desk draws them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from trading_platform.reporting.charts import HEIGHT, WIDTH, nice_scale

ENDING = ".curves.json"
LARGEST_FILE = 1_000_000
COLOURS = 6  # of the style sheet: c-s0 to c-s5
Curve = Sequence[tuple[float, float]]  # episodes, and the Sharpe ratio less equal weight's


def write_curves(curves: Mapping[str, Curve], path: Path) -> None:
    """Write curves; what is no number is left out."""
    known = {name: [[at, gain] for at, gain in points if math.isfinite(gain)] for name, points in curves.items()}
    path.write_text(json.dumps(known, allow_nan=False), encoding="utf-8")


def read_curves(path: Path) -> dict[str, Curve]:
    """Return curves; none where there is no file, or none that makes sense."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): [(float(at), float(gain)) for at, gain in points] for name, points in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def curves_figure(curves: Mapping[str, Curve]) -> str:
    """Return a drawing of curves with a table of their last looks; empty where there is nothing to draw."""
    drawn = {name: points for name, points in curves.items() if points}
    if not drawn:
        return ""
    last = max(at for points in drawn.values() for at, _ in points)
    scale = nice_scale([gain for points in drawn.values() for _, gain in points])
    parts = [
        f'<path class="grid" d="M0 {scale.y(0.0):.1f}H{WIDTH:.0f}"/>',
        *(_line(points, last, scale.y, n % COLOURS) for n, points in enumerate(drawn.values())),
    ]
    head = '<div class="scroll" tabindex="0" role="group" aria-label="table, scrolls sideways"><table>'
    head += '<thead><tr><th scope="col">Seed</th><th scope="col" class="num">Looks</th>'
    head += '<th scope="col" class="num">Best</th><th scope="col" class="num">Last</th></tr></thead><tbody>'
    rows = [_row(name, points, n % COLOURS) for n, (name, points) in enumerate(drawn.items())]
    words = f"Sharpe ratio less equal weight's on validation, after 0 to {last:,.0f} episodes"
    ends = f'<p class="soft ends">{scale.low:+.2f} at the bottom, {scale.high:+.2f} at the top; the line is 0</p>'
    return (
        f'<figure class="learning"><figcaption>{words}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" aria-label="{words}">'
        f"{''.join(parts)}</svg>{ends}{head}{''.join(rows)}</tbody></table></div></figure>"
    )


def _line(points: Curve, last: float, y: Callable[[float], float], colour: int) -> str:
    at = [(WIDTH * episodes / last if last else 0.0, y(gain)) for episodes, gain in points]
    if len(at) == 1:
        at = [(0.0, at[0][1]), *at]
    path = "L".join(f"{x:.1f} {level:.1f}" for x, level in at)
    return f'<path class="line c-s{colour}" d="M{path}"/>'


def _row(name: str, points: Curve, colour: int) -> str:
    best, last = max(gain for _, gain in points), points[-1][1]
    return (
        f'<tr><th scope="row"><span class="key"><i class="c-s{colour}"></i></span>{escape(name)}</th>'
        f'<td class="num">{len(points)}</td><td class="num">{best:+.2f}</td><td class="num">{last:+.2f}</td></tr>'
    )
