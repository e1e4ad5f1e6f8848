"""What a person sees while the engine runs in a terminal: progress, a live panel, and the summary at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from trading_platform.core.types import Floats
from trading_platform.reporting.run_results import RunResults

BLOCKS = "▁▂▃▄▅▆▇█"
REGIME_STYLES = {"bull": "green", "bear": "red", "consolidation": "yellow", "unknown": "dim"}
RECENT = 6


class ReplayScreen:
    """A progress bar and a panel that follow a replay; plain lines when the output is no terminal."""

    def __init__(self, console: Console, sessions: int, capital: float) -> None:
        self._console = console
        self._capital = capital
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        )
        self._task = self._progress.add_task("sessions", total=sessions)
        self._recent: deque[Text] = deque(maxlen=RECENT)
        self._status = Table.grid(padding=(0, 2))
        self._live = Live(self._layout(), console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> ReplayScreen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(
        self,
        session: str,
        equity: float,
        exposure: float,
        regime: str,
        allocation: Mapping[str, float],
        orders: Sequence[str],
        denials: Sequence[str],
        *,
        halted: bool,
    ) -> None:
        """Follow one session."""
        self._progress.advance(self._task)
        if not self._console.is_terminal:
            return
        self._recent.extend(Text(f"{session}  {line}", style="cyan") for line in orders)
        self._recent.extend(Text(f"{session}  {line}", style="dim") for line in denials)
        status = Table.grid(padding=(0, 2))
        status.add_row("session", session, "regime", Text(regime, style=REGIME_STYLES.get(regime, "")))
        change = equity / self._capital - 1.0
        status.add_row("equity", f"${equity:,.2f} ({change:+.2%})", "exposure", f"{exposure:.1%}")
        status.add_row("risk", Text("HALTED", style="bold red") if halted else Text("ok", style="green"), "", "")
        split = "  ".join(f"{name} {weight:.0%}" for name, weight in allocation.items())
        self._status = status
        self._live.update(self._layout(split))

    def _layout(self, split: str = "") -> RenderableType:
        return Group(
            self._progress,
            Panel(self._status, title="account", title_align="left"),
            Panel(split, title="allocation", title_align="left"),
            Panel(Group(*self._recent), title="orders and denials", title_align="left", height=RECENT + 2),
        )


def summary(results: RunResults, equity: Floats, capital: float) -> RenderableType:
    """Return the summary of a finished run as tables."""
    totals = Table.grid(padding=(0, 3))
    totals.add_row("sessions", f"{results.sessions}  ({results.first_session} to {results.last_session})")
    totals.add_row("equity", f"${results.final_equity:,.2f} from ${capital:,.2f}  {sparkline(equity)}")
    totals.add_row("return", f"{results.total_return:+.2%} in all, {percent(results.annual_return)} a year")
    totals.add_row("Sharpe ratio", "n/a" if results.sharpe is None else f"{results.sharpe:.2f}")
    totals.add_row("max drawdown", f"{results.max_drawdown:.2%}")
    totals.add_row("average exposure", f"{results.avg_exposure:.1%}")
    totals.add_row("benchmark / universe", f"{percent(results.benchmark_return)} / {percent(results.universe_return)}")
    totals.add_row("orders, fills, trades", f"{results.orders}, {results.fills}, {results.trades}")
    totals.add_row("fees", f"${results.fees:,.2f}")
    denied = ", ".join(f"{code} {n}" for code, n in sorted(results.denials.items(), key=lambda item: -item[1]))
    totals.add_row("denials", denied or "none")
    halts = ", ".join(f"{halt['kind']} {halt['session']}" for halt in results.halts)
    totals.add_row("drawdown halts", halts or "none")
    table = Table(title="by strategy", title_justify="left", show_edge=False)
    for name, justify in (("strategy", "left"), ("trades", "right"), ("win rate", "right"), ("P&L", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type] # literals, but mypy sees str
    table.add_column("average trade", justify="right")
    for name, result in results.strategies.items():
        pnl = Text(f"{result.pnl:+,.2f}", style="green" if result.pnl >= 0.0 else "red")
        table.add_row(name, str(result.trades), percent(result.win_rate), pnl, percent(result.average_return))
    return Group(totals, Text(), table)


def sparkline(values: Floats, width: int = 40) -> str:
    """Return `values` as a line of block characters, at most `width` wide."""
    if len(values) == 0:
        return ""
    step = max(1, len(values) // width)
    picked = [float(v) for v in values[::step]]
    low, high = min(picked), max(picked)
    if not high > low:
        return BLOCKS[0] * len(picked)
    return "".join(BLOCKS[round((v - low) / (high - low) * (len(BLOCKS) - 1))] for v in picked)


def percent(fraction: float | None) -> str:
    """Return a fraction as a signed percentage, n/a when unknown."""
    return "n/a" if fraction is None else f"{fraction:+.2%}"
