"""What agents may ask by MCP: read-only. No key is in this process, the database is opened for reading.

`runs_compare` and `replay` are the program's own commands in a process of their own, without keys; a replay writes to
a database that is thrown away. Text that comes from markets and notes is data: nothing here acts on it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from sqlalchemy import Engine

from trading_platform.configuration.environment import secretless_environment
from trading_platform.core.errors import TradingPlatformError
from trading_platform.reporting.document import WholeReport
from trading_platform.reporting.why import why_lines
from trading_platform.storage.run_state import RunState
from trading_platform.storage.run_status import run_status
from trading_platform.storage.run_targets import KINDS, Account, Target, all_accounts, shown_account

INSTRUCTIONS = (
    "Read-only view of an autonomous trading engine. Quote numbers exactly as given; `mode` says whether money is "
    "simulated, paper or real. Nothing here trades, halts or resumes; for that the user has Telegram or the terminal."
)
COMPARE_SECONDS, REPLAY_SECONDS = 120.0, 300.0
MOST_BYTES = 200_000


def mcp_server(
    database: Engine,
    place: str,
    report: Callable[[int | None], WholeReport],
    now: Callable[[], datetime],
    engine: Path,
) -> MCPServer:
    """Return the server over `database`, which is at `place`; `engine` is the program, `report` a run's day."""
    server = MCPServer("trading-engine", instructions=INSTRUCTIONS)

    def meant(run: int | None) -> Account:
        try:
            return shown_account(all_accounts(database, now()), Target(run=run))
        except TradingPlatformError as error:
            raise ToolError(str(error)) from None

    def state(run: int | None) -> RunState:
        account = meant(run)
        found = run_status(database, account.run_id, now())
        if found["heartbeat"] is not None:
            found["heartbeat"]["alive"] = account.running
        return found

    @server.tool()
    def accounts() -> list[dict[str, Any]]:
        """List the accounts that an engine trades or may trade again, the most real first."""
        return [_row(account) for account in all_accounts(database, now()) if not account.is_finished]

    @server.tool()
    def runs() -> list[dict[str, Any]]:
        """List every run in the database, replays too."""
        return [_row(account) for account in all_accounts(database, now())]

    @server.tool()
    def status(run: int | None = None) -> dict[str, Any]:
        """Show one account now: equity, halts, positions, orders for the next open, engine."""
        return _bounded(state(run))

    @server.tool()
    def positions(run: int | None = None) -> list[dict[str, Any]]:
        """Show what an account held at its last close: quantity, entry, price, stop, strategy."""
        return [dict(row) for row in state(run)["positions"]]

    @server.tool()
    def daily_report(run: int | None = None) -> dict[str, Any]:
        """Return the daily report of an account."""
        try:
            return _bounded(report(meant(run).run_id))
        except TradingPlatformError as error:
            raise ToolError(str(error)) from None

    @server.tool()
    def explain(ticker: str, run: int | None = None) -> list[str]:
        """Say why a ticker was bought, sold or refused: verdicts with rule, value and limit, and executions."""
        return why_lines(database, meant(run).run_id, ticker.upper()[:16])

    @server.tool()
    def runs_compare(run_ids: list[int]) -> dict[str, Any]:
        """Compare 2 to 6 runs: figures side by side, what luck could do to their differences, settings that differ."""
        words = [str(int(run)) for run in run_ids]
        return _command(engine, ["compare", *words, "--json", "--no-page", "--db", place], COMPARE_SECONDS)

    @server.tool()
    def replay(
        start: str | None = None, end: str | None = None, tickers: str | None = None, cost_bps: float | None = None
    ) -> dict[str, Any]:
        """Replay past bars of the embedded market in a database that is thrown away; no account can be reached."""
        given = {"--start": start, "--end": end, "--tickers": tickers, "--cost-bps": cost_bps}
        words = [f"{name}={value}" for name, value in given.items() if value is not None]
        with tempfile.TemporaryDirectory() as folder:
            sandbox = ["--source", "synthetic", "--json", "--no-page", "--db", f"{folder}/sandbox.db"]
            return _command(engine, ["replay", *sandbox, *words], REPLAY_SECONDS, Path(folder))

    return server


def _command(engine: Path, words: Sequence[str], seconds: float, folder: Path | None = None) -> dict[str, Any]:
    """Return the JSON that a command of the program prints."""
    try:
        done = subprocess.run(  # noqa: S603 - our own program; what agents say are arguments, and no shell reads them
            [sys.executable, str(engine), *words],
            cwd=folder,
            env=secretless_environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{words[0]} took more than {seconds:.0f} s and was ended") from None
    if done.returncode != 0:
        raise ToolError(f"{words[0]} ended with exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    found = json.loads(done.stdout)
    return _bounded(found if isinstance(found, dict) else {"result": found})


def _bounded(document: Mapping[str, object]) -> dict[str, Any]:
    """Return a document that fits a conversation; what is too long is left out, and said to be."""
    kept: dict[str, Any] = dict(document)
    while len(json.dumps(kept, default=str)) > MOST_BYTES:
        name, longest = max(kept.items(), key=lambda item: len(json.dumps(item[1], default=str)))
        kept[name] = f"left out: {len(json.dumps(longest, default=str))} characters"
    return kept


def _row(account: Account) -> dict[str, Any]:
    return {
        "run": account.run_id,
        "name": account.name,
        "mode": account.mode,
        "kind": KINDS.get(account.mode, account.mode),
        "market": account.source,
        "equity": account.equity,
        "positions": account.positions,
        "last_session": None if account.last_session is None else str(account.last_session),
        "engine_running": account.running,
    }
