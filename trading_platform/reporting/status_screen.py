"""What `status` and the operator's commands print."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table


def say(line: str) -> None:
    """Print one line for people."""
    Console().print(line)


def show_status(state: dict[str, Any], *, as_json: bool) -> None:
    """Print the state of a run."""
    if as_json:
        sys.stdout.write(json.dumps(state) + "\n")
        return
    console = Console()
    equity, risk, run = state["equity"] or {}, state["risk"] or {}, state["run"]
    table = Table.grid(padding=(0, 3))
    table.add_row("run", f"{run['id']} {run['mode']} of {run['source']}, {run['status']}")
    table.add_row("sessions", f"{run['first_session']} to {run['last_session']}")
    if equity:
        table.add_row("equity", f"${equity['equity']:,.2f}, cash ${equity['cash']:,.2f}")
        table.add_row("drawdown", f"{equity['drawdown']:.2%} from the peak, {equity['lifetime_drawdown']:.2%} ever")
        table.add_row("exposure", f"{equity['gross_exposure']:.1%} in {equity['n_positions']} positions")
    halted = [f"drawdown halt since {risk['halted_since']}"] if risk.get("halted_since") else []
    halted += [f"manual halt: {risk['manual_halt']}"] if risk.get("manual_halt") else []
    halted += [f"fault: {risk['fault']}"] if risk.get("fault") else []
    table.add_row("halts", "; ".join(halted) or "none")
    table.add_row("regime", (state["regime"] or {}).get("regime", "unknown"))
    table.add_row("positions", ", ".join(f"{p['ticker']} {p['quantity']:g}" for p in state["positions"]) or "none")
    table.add_row("open orders", ", ".join(order["client_order_id"] for order in state["open_orders"]) or "none")
    table.add_row("unexplained", ", ".join(f"{d['kind']} {d['ticker'] or ''}" for d in state["differences"]) or "none")
    table.add_row("waiting commands", "; ".join(state["waiting_commands"]) or "none")
    beat = state["heartbeat"]
    if beat is None:
        table.add_row("engine", "not running")
    else:
        age = "unknown" if beat["age_seconds"] is None else f"{beat['age_seconds']:.0f} s ago"
        table.add_row("engine", f"process {beat['pid']} on {beat['host']}, last seen {age}: {beat['note']}")
    console.print(table)
