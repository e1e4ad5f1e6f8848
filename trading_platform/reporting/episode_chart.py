"""One training episode as a figure: equity beside equal weight, capital weights, regime probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REGIME_COLORS = {"bull": "#59a14f", "bear": "#e15759", "consolidation": "#bab0ac"}


def draw_episode(
    sessions: NDArray[Any],
    equity: Floats,
    base_equity: Floats,
    weights: Floats,
    strategies: Sequence[str],
    regimes: Floats,
) -> Figure:
    """Draw an episode of n sessions.

    Parameters
    ----------
    sessions : (n,) dates.
    equity, base_equity : (n,) dollars of the agent and of the base allocation, from the same start.
    weights : (n, K) capital weights after each session's decision. regimes : (n, 3) bull, bear, consolidation; NaN =
        unknown.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 6.0), dpi=100, layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1))
    days = np.arange(len(equity))
    top.plot(days, 100.0 * (equity / equity[0] - 1.0), label="agent", color="#4e79a7", linewidth=2.0)
    top.plot(days, 100.0 * (base_equity / base_equity[0] - 1.0), label="equal weight", color="#79706e", linestyle="--")
    top.axhline(0.0, color="black", linewidth=0.5)
    top.set_ylabel("return (%)")
    top.legend(loc="upper left", frameon=False)
    top.set_title(f"SIMULATED episode of {len(equity) - 1} sessions from {np.datetime_as_string(sessions[0], 'D')}")
    middle.stackplot(days, 100.0 * weights.T, labels=list(strategies), step="post")
    middle.set_ylabel("capital (%)")
    middle.set_ylim(0.0, 100.0)
    middle.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    shares = 100.0 * np.where(np.isfinite(regimes), regimes, 0.0)
    bottom.stackplot(days, shares.T, labels=list(REGIME_COLORS), colors=list(REGIME_COLORS.values()), step="post")
    bottom.set_ylabel("regime (%)")
    bottom.set_ylim(0.0, 100.0)
    bottom.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    ticks = days[:: max(1, len(days) // 6)]
    bottom.set_xticks(ticks, [np.datetime_as_string(sessions[i], "D") for i in ticks])
    bottom.set_xlim(0, max(1, len(days) - 1))
    return figure


def figure_pixels(figure: Figure) -> NDArray[np.uint8]:
    """Return the figure as an (H, W, 3) array of red, green, blue."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)  # matplotlib leaves its methods untyped
    canvas.draw()
    pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
    return pixels
