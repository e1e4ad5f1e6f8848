"""What a person sees while the engine runs in a terminal: progress and a live panel."""

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

REGIME_STYLES = {"bull": "green", "bear": "red", "consolidation": "yellow", "unknown": "dim"}
RECENT = 6


class ReplayScreen:
    """A progress bar and a panel that follow a replay; plain lines when the output is no terminal."""

    def __init__(self, console: Console, sessions: int, capital: float, sign: str = "$") -> None:
        self._console = console
        self._capital = capital
        self._sign = sign
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
        status.add_row("equity", f"{self._sign}{equity:,.2f} ({change:+.2%})", "exposure", f"{exposure:.1%}")
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
