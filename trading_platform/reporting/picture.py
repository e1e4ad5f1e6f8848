"""The one picture to send along: equity, drawdown, the last days, and the headline, for a phone's screen."""

from __future__ import annotations

import io
from datetime import date
from typing import TYPE_CHECKING, Any

from trading_platform.reporting.charts import growth_scale
from trading_platform.reporting.document import Report
from trading_platform.reporting.evidence import Evidence
from trading_platform.reporting.market_words import in_currency
from trading_platform.reporting.plain import MONTHS, dollars, long_date, percents, safe
from trading_platform.reporting.series import Series, build_series
from trading_platform.reporting.text import STOP_WORDS, benchmark_head, place_words, standing_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (7.2, 7.6)  # inches; at DPI that is 1,152 x 1,216 pixels, sharp on a phone
DPI = 160
BAR_SESSIONS = 60
INK, SOFT, GRID, PAPER = "#16202c", "#5d6b7a", "#e3e7ec", "#ffffff"
OWN, SPY, EQUAL, GOOD, BAD, WARN = "#2563eb", "#7c8794", "#d97706", "#15803d", "#c8283c", "#b45309"
BANDS = {"bull": GOOD, "bear": BAD, "consolidation": EQUAL}


def render_picture(report: Report, evidence: Evidence) -> bytes:
    """Return a PNG of the report."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no display, no global state
    from matplotlib.figure import Figure

    days = () if evidence.ledger is None else evidence.ledger.days
    series = build_series(days, evidence.history, evidence.since)
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    _headline(figure, report)
    if series.sessions:
        grid = figure.add_gridspec(
            3, 1, height_ratios=(3.2, 1.2, 1.6), left=0.1, right=0.965, top=0.78, bottom=0.055, hspace=0.38
        )
        _growth(figure.add_subplot(grid[0]), series, benchmark_head(report))
        _drawdown(figure.add_subplot(grid[1]), series)
        _profit(figure.add_subplot(grid[2]), series)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _headline(figure: Figure, report: Report) -> None:
    pnl = report["daily_pnl"]
    colour = SOFT if not pnl else GOOD if pnl > 0 else BAD
    source = "" if report["run"] is None else report["run"]["market_data"]
    equity = in_currency(dollars(report["account"]["equity"], sign=False), source)
    drawdown = percents(report["risk_status"]["drawdown_pct"], 1, sign=False)
    title = " · ".join((long_date(report["date"]), *(safe(word, 40) for word in place_words(report))))
    figure.text(0.04, 0.968, title.replace("$", r"\$"), color=SOFT, fontsize=11, va="top")
    day = in_currency(f"{dollars(pnl)}  {percents(report['daily_pnl_pct'])}", source).replace("$", r"\$")
    figure.text(0.04, 0.94, day, color=colour, fontsize=23, weight="bold", va="top")
    line = f"Equity {equity}   Total {percents(report['total_pnl_pct'])}   Drawdown {drawdown}".replace("$", r"\$")
    figure.text(0.04, 0.882, line, color=INK, fontsize=11.5, va="top")
    figure.text(0.04, 0.855, standing_words(report), color=INK, fontsize=10.5, va="top")
    stops = [text for text in report["alerts"] if text.startswith(STOP_WORDS)]
    count = len(report["alerts"])
    note = stops[0] if stops else f"{count} alert{'s' if count > 1 else ''}" if count else ""
    if note:
        figure.text(
            0.04, 0.83, safe(note, 96).replace("$", r"\$"), color=BAD if stops else WARN, fontsize=9.5, va="top"
        )


def _growth(axes: Axes, s: Series, benchmark: str) -> None:
    _frame(axes, s.sessions, "Growth %")
    for span in s.regimes:
        if span.label in BANDS:
            axes.axvspan(span.first - 0.5, span.last + 0.5, color=BANDS[span.label], alpha=0.08, linewidth=0)
    for span in s.halts:
        axes.axvspan(span.first - 0.5, span.last + 0.5, ymax=0.03, color=BAD, linewidth=0)
    for name, values, colour, width in (
        (benchmark, s.benchmark, SPY, 1.2),
        ("Equal-weight universe", s.universe, EQUAL, 1.2),
        ("Own", s.own, OWN, 2.0),
    ):
        axes.plot(_known(values), color=colour, linewidth=width, label=name, solid_joinstyle="round")
    scale = growth_scale((*s.own, *s.benchmark, *s.universe))
    if scale.is_log:
        axes.set_yscale("function", functions=(_factor, _percent))
        axes.set_yticks(scale.ticks)
    axes.set_ylim(scale.low, scale.high)
    lines = axes.legend(loc="upper left", frameon=False, fontsize=8.5, labelcolor=INK, ncols=3, borderaxespad=0.1)
    _name_bands(axes, s)
    axes.add_artist(lines)


def _name_bands(axes: Axes, s: Series) -> None:
    """Say what the tints behind the lines are."""
    from matplotlib.patches import Patch

    labels = [label for label in BANDS if any(span.label == label for span in s.regimes)]
    if labels:
        patches = [Patch(color=BANDS[label], alpha=0.25, linewidth=0, label=label) for label in labels]
        axes.legend(
            handles=patches,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=len(labels),
            frameon=False,
            fontsize=8.0,
            labelcolor=SOFT,
            handlelength=1.0,
            borderaxespad=0.1,
        )


def _factor(percent: Any) -> Any:
    import numpy as np

    return np.log1p(np.maximum(percent, -99.0) / 100)


def _percent(factor: Any) -> Any:
    import numpy as np

    return 100 * np.expm1(factor)


def _drawdown(axes: Axes, s: Series) -> None:
    _frame(axes, s.sessions, "Drawdown %")
    values = _known(s.drawdown)
    axes.fill_between(range(len(values)), values, 0.0, color=BAD, alpha=0.2, linewidth=0)
    axes.plot(values, color=BAD, linewidth=1.1)
    axes.set_ylim(top=0.0)


def _profit(axes: Axes, s: Series) -> None:
    profit, sessions = s.profit[-BAR_SESSIONS:], s.sessions[-BAR_SESSIONS:]
    _frame(axes, sessions, f"Daily P&L, last {len(profit)} sessions")
    values = _known(profit)
    axes.bar(range(len(values)), values, color=[GOOD if v > 0 else BAD for v in values], width=0.72)
    axes.axhline(0.0, color=SOFT, linewidth=0.8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{'-' if value < 0 else ''}\\${abs(value):,.0f}")


def _frame(axes: Axes, sessions: tuple[date, ...], title: str) -> None:
    last = len(sessions) - 1
    rows = sorted({round(last * i / 4) for i in range(5)})
    far = sessions[0].year != sessions[-1].year
    axes.set_title(title, loc="left", fontsize=9.5, color=SOFT, pad=5)
    axes.set_xlim(-0.6, last + 0.6)
    axes.set_xticks(rows, [_label(sessions[row], far=far) for row in rows])
    axes.tick_params(colors=SOFT, labelsize=8.5, length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _label(day: date, *, far: bool) -> str:
    month = MONTHS[day.month - 1]
    return f"{month} {day.year % 100:02d}" if far else f"{day.day} {month}"


def _known(values: tuple[float | None, ...]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
