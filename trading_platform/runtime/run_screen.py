"""What a command of the engine says: progress and summary for people, one JSON object for programs."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console

from trading_platform.configuration.trading_config import TradingConfig, mask_password
from trading_platform.core.types import OrderReason
from trading_platform.engine.scan_result import ScanResult
from trading_platform.machine.stopwatch import Stopwatch
from trading_platform.reporting.console import ReplayScreen, summary
from trading_platform.reporting.run_results import RunResults, equity_curve
from trading_platform.runtime.open_run import Stage

ENGINE_STAGES = ("signals", "fills", "allocation", "decisions", "database")


class TradeGate(Protocol):
    """The part of RiskManager that the screen reads."""

    def can_trade(self) -> tuple[bool, str]:
        """Return whether new risk may be taken, and why not."""
        ...


class RunScreen:
    """Follows one run.

    Parameters
    ----------
    stage, config
        The run and its settings.
    as_json
        Say nothing but one JSON object at the end.
    quiet
        No progress, only what was found and the summary.
    """

    def __init__(self, stage: Stage, config: TradingConfig, *, as_json: bool, quiet: bool) -> None:
        self._stage = stage
        self._config = config
        self._json = as_json
        self._console = Console()
        self._screen: ReplayScreen | None = None
        self._quiet = quiet
        self._remaining = 0

    def announce(self, row: int, gate: TradeGate) -> None:
        """Say what is about to be traded, and what was found of an earlier, interrupted run."""
        stage = self._stage
        self._remaining = stage.stop - row
        if self._json:
            return
        panel = stage.world.panel
        self._console.print(f"[bold]Simulated trading[/bold] of {panel.source}: no real money, no real orders.")
        for notice in stage.notices:
            self._console.print(f"[yellow]{notice}[/yellow]")
        if stage.run.continued:
            self._console.print(
                f"Found run {stage.run.run_id}, interrupted after {row - stage.first} of {stage.stop - stage.first} "
                "sessions; continuing where it was last committed."
            )
        for warning in panel.warnings[:5]:
            self._console.print(f"[yellow]data:[/yellow] {warning}")
        allowed, message = gate.can_trade()
        if not allowed and stage.run.continued:
            self._console.print(f"[red]{message}[/red]")

    def __enter__(self) -> RunScreen:
        if not self._json and not self._quiet:
            self._screen = ReplayScreen(self._console, self._remaining, self._config.engine.initial_capital)
            self._screen.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._screen is not None:
            self._screen.__exit__(kind, error, traceback)

    def watch(self, scan: ScanResult) -> None:
        """Follow one scan."""
        if self._screen is None:
            return
        orders = [
            f"{order.intent.side} {order.intent.quantity:g} {order.intent.ticker} ({order.intent.strategy}"
            + (")" if order.intent.reason is OrderReason.ENTRY else f", {order.intent.reason})")
            for order in scan.orders
        ]
        self._screen.show(
            scan.session.isoformat(),
            scan.equity,
            scan.exposure,
            scan.regime.value,
            scan.allocation,
            orders,
            [denial.message for denial in scan.denials],
            halted=scan.halted,
        )

    def conclude(self, results: RunResults, stages: Stopwatch, *, stopped: bool) -> None:
        """Say how it went and what to do next."""
        stage = self._stage
        if self._json:
            sys.stdout.write(json.dumps(self._document(results, stages)) + "\n")
            return
        equity = equity_curve(stage.database, stage.run.run_id)
        self._console.print(summary(results, equity, self._config.engine.initial_capital))
        database = mask_password(self._config.storage.database_url)
        if stopped:
            self._console.print(
                f"Stopped after {results.last_session}, all of it in {database}; run it again to continue."
            )
            return
        self._console.print(f"Simulated results are in {database}, run {results.run_id}. Next:")
        self._console.print("  python daily_report.py --format text     the day in words")
        self._console.print("  python autonomous_trading_engine.py status")
        self._console.print("  python train_rl_model.py                 learn an allocation, prove it, promote it")

    def _document(self, results: RunResults, stages: Stopwatch) -> dict[str, Any]:
        bars = results.sessions * self._stage.world.panel.n_tickers
        busy = sum(stages.seconds.get(name, 0.0) for name in ENGINE_STAGES)
        document = results.to_dict()
        document["bars"] = bars
        document["data_warnings"] = len(self._stage.world.panel.warnings)
        document["elapsed_seconds"] = {name: round(value, 4) for name, value in stages.seconds.items()}
        document["bars_per_second"] = round(bars / busy) if busy > 0.0 else None
        document["simulated"] = True
        return document
