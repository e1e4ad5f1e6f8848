"""What a command of the engine says: progress and summary for people, one JSON object for programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from sqlalchemy import Engine

from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import TradingConfig, mask_password
from trading_platform.core.order_reasons import OrderReason
from trading_platform.engine.scan_result import ScanResult
from trading_platform.machine.stopwatch import Stopwatch
from trading_platform.reporting.console import ReplayScreen
from trading_platform.reporting.market_words import data_words, in_currency, market_words
from trading_platform.reporting.run_results import RunResults, equity_curve
from trading_platform.reporting.run_summary import for_encoding, summary_lines
from trading_platform.reporting.status_screen import say, show_json
from trading_platform.runtime.open_run import Stage
from trading_platform.storage.run_status import run_status

ENGINE_STAGES = ("signals", "fills", "allocation", "decisions", "database")


class MayTrade(Protocol):
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
    place
        ``--db`` and ``--config`` as they were given, for the next steps.
    """

    def __init__(self, stage: Stage, config: TradingConfig, *, as_json: bool, quiet: bool, place: str = "") -> None:
        self._stage = stage
        self._config = config
        self._json = as_json
        self._console = Console()
        self._screen: ReplayScreen | None = None
        self._quiet = quiet
        self._place = place
        self._remaining = 0

    def announce(self, row: int, door: MayTrade) -> None:
        """Say what is about to be traded, and what was found of an earlier, interrupted run."""
        stage = self._stage
        self._remaining = stage.stop - row
        if self._json:
            return
        panel = stage.prepared.panel
        self._console.print(f"[bold]SIMULATED[/bold] trading, {market_words(panel.source)}: no real money.")
        for notice in stage.notices:
            self._console.print(notice, style="yellow", markup=False)  # it may name a table: [risk]
        if stage.run.continued:
            self._console.print(
                f"Found run {stage.run.run_id}, interrupted after {row - stage.first} of {stage.stop - stage.first} "
                "sessions; continuing where it was last committed."
            )
        self._say(f"data: {data_words(panel.warnings)}")
        allowed, message = door.can_trade()
        if not allowed and stage.run.continued:
            self._console.print(message, style="red", markup=False)

    def __enter__(self) -> RunScreen:
        if not self._json and not self._quiet:
            sign = in_currency("$", self._stage.prepared.panel.source)
            self._screen = ReplayScreen(self._console, self._remaining, self._config.engine.initial_capital, sign)
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

    def conclude(self, results: RunResults, stages: Stopwatch, *, stopped: bool, page: Path | None = None) -> None:
        """Say how it went, where its `page` is, and what to do next."""
        stage = self._stage
        if self._json:
            sys.stdout.write(json.dumps(self._document(results, stages, page)) + "\n")
            return
        database = mask_password(self._config.storage.database_url)
        if results.sessions > 1:  # of one close there is nothing to sum up
            equity = equity_curve(stage.database, stage.run.run_id)
            limits, defaults = RiskConfig.from_mapping(self._config.risk).to_dict(), RiskConfig().to_dict()
            capital, width = self._config.engine.initial_capital, self._console.width
            for line in summary_lines(results, equity, capital, limits, defaults, width):
                shown = for_encoding(in_currency(line, results.market), self._console.encoding)
                self._console.print(shown, markup=False, highlight=False, soft_wrap=True)
        if stopped:
            all_sessions = stage.stop - stage.first
            self._say(
                f"Stopped after {results.last_session}, {results.sessions} of {all_sessions} sessions, all of it in "
                f"{database}; the same command goes on: run it again to continue."
            )
            return
        self._say(f"Simulated results are in {database}, run {results.run_id}. Next:")
        run = f"{self._place} --run {results.run_id}"
        own_page = f"python autonomous_trading_engine.py page{self._place} {results.run_id}"
        pages = (own_page, "its page with charts") if page is None else (str(page), "its page: open it in a browser")
        for line, meaning in (
            pages,
            (f"python daily_report.py{run} --format text", "the day in words"),
            (f"python autonomous_trading_engine.py status{run}", "the account"),
            ("python train_rl_model.py", "learn an allocation, prove it, promote it"),
        ):
            self._say(f"  {line}")
            self._say(f"      {meaning}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=line.startswith("  "))

    def _document(self, results: RunResults, stages: Stopwatch, page: Path | None) -> dict[str, Any]:
        bars = results.sessions * self._stage.prepared.panel.n_tickers
        busy = sum(stages.seconds.get(name, 0.0) for name in ENGINE_STAGES)
        document = results.to_dict()
        document["bars"] = bars
        document["data_warnings"] = len(self._stage.prepared.panel.warnings)
        document["elapsed_seconds"] = {name: round(value, 4) for name, value in stages.seconds.items()}
        document["bars_per_second"] = round(bars / busy) if busy > 0.0 else None
        document["simulated"] = True
        document["page"] = None if page is None else str(page)
        return document


class LiveScreen:
    """Follows an account that is traded: one line a session, or one JSON object at the end.

    Parameters
    ----------
    database, run_id
        Where the account's run is.
    as_json
        Say nothing but one JSON object at the end.
    quiet
        No lines; what needs an operator is logged all the same.
    """

    def __init__(self, database: Engine, run_id: int, *, as_json: bool, quiet: bool) -> None:
        self._database = database
        self._run_id = run_id
        self._json = as_json
        self._equity: float | None = None
        self._scans: list[ScanResult] = []
        self.quiet = quiet or as_json

    def watch(self, scan: ScanResult) -> None:
        """Follow one session."""
        if self._json:
            self._scans.append(scan)
        if not self.quiet:
            say(session_line(scan, self._equity))
        self._equity = scan.equity

    def conclude(self) -> None:
        """Print the JSON object, if one is wanted."""
        if self._json:
            sessions = [
                {
                    "session": scan.session.isoformat(),
                    "equity": scan.equity,
                    "exposure": scan.exposure,
                    "orders": [order.client_order_id for order in scan.orders],
                    "denials": len(scan.denials),
                    "regime": scan.regime.value,
                    "halted": scan.halted,
                }
                for scan in self._scans
            ]
            show_json(
                {"run_id": self._run_id, "sessions": sessions, "status": run_status(self._database, self._run_id)}
            )


def session_line(scan: ScanResult, before: float | None) -> str:
    """Return what a settled session brought, in one line; `before` is the equity of the session before, if known."""
    change = "" if before is None or not before > 0.0 else f" ({scan.equity / before - 1.0:+.2%})"
    count = f"{len(scan.orders)} order" + ("" if len(scan.orders) == 1 else "s")
    halted = "; HALTED" if scan.halted else ""
    return (
        f"{scan.session} settled: equity ${scan.equity:,.2f}{change}, {scan.exposure:.0%} invested, {count} for the "
        f"next open{halted}"
    )
