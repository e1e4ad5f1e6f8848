"""What `status`, `runs` and the operator's commands print: now, in words, as wide as the screen is."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from typing import Literal, TypedDict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trading_platform.core.alert_states import OWNERS_THINGS
from trading_platform.core.regime_meaning import regime_words
from trading_platform.reporting.market_words import in_currency, market_words
from trading_platform.reporting.own_costs import OwnCostsPart, own_costs_words
from trading_platform.reporting.plain import dollars, percents
from trading_platform.reporting.states import AccountState, StatePart
from trading_platform.storage.replay_days import replay_words
from trading_platform.storage.run_state import HeartbeatState, OrderAhead, OrderState, PositionState, RunState

WIDE = 70  # columns; below that a name and its value stand on lines of their own
MOST_LINES = 12  # of positions or orders; the rest is counted


# A run as `runs` and the API list it; "return" is the gain of a replay, a fraction (a word that no class may have).
RunRow = TypedDict(
    "RunRow",
    {
        "id": int,
        "kind": str,
        "mode": str,
        "name": str | None,
        "source": str,
        "first_session": str | None,
        "last_session": str | None,
        "equity": float | None,
        "return": float | None,
        "positions": int,
        "state": str,
        "tag": str | None,
        "note": str | None,
        "words": str,
    },
)


def say(line: str) -> None:
    """Print a line for people, in a terminal wrapped at words; logs and pipes get it whole."""
    console = Console(highlight=False)
    console.print(escape(line), soft_wrap=not console.is_terminal)


def complain(line: str) -> None:
    """Print a line for people on standard error, as `say` does."""
    console = Console(stderr=True, highlight=False)
    console.print(escape(line), soft_wrap=not console.is_terminal)


def show_json(value: object) -> None:
    """Print exactly one JSON value."""
    sys.stdout.write(json.dumps(value) + "\n")


def show_status(state: AccountState, *, as_json: bool) -> None:
    """Print the state of a run."""
    if as_json:
        show_json(state)
        return
    console = Console(highlight=False)
    lines = status_lines(state, state["states"], state["own_costs"])
    if console.width >= WIDE:
        table = Table.grid(padding=(0, 3))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in lines:
            table.add_row(name, escape(text))
        console.print(table)
        return
    for name, text in lines:
        if name:
            console.print(f"[bold]{name}[/bold]")
        for line in textwrap.wrap(text, console.width - 2, break_long_words=False, break_on_hyphens=False):
            console.print(f"  {escape(line)}")


def status_lines(
    state: RunState, wrong: Sequence[StatePart] = (), costs: OwnCostsPart | None = None
) -> list[tuple[str, str]]:
    """Return the state of a run as (name, text); a name is empty where the text goes on with the one above.

    `wrong` and `costs` are told where they are known.
    """
    run, equity = state["run"], state["equity"]
    called, market = " ".join(filter(None, (run["name"], run["account"]))), market_words(run["source"])
    lines = _rows("WRONG NOW", [line["text"] for line in wrong]) if wrong else []
    lines += [
        ("run", f"{run['id']}, {run['mode']}{f' {called}' if called else ''} of {market}, {run['status']}"),
        ("sessions", f"{run['first_session']} to {run['last_session']}"),
    ]
    if equity is not None:
        lines += [
            (
                "equity",
                f"{dollars(equity['equity'], sign=False)} at the close of {equity['session']}, "
                f"cash {dollars(equity['cash'], sign=False)}",
            ),
            ("drawdown", f"{equity['drawdown']:.2%} from the peak, {equity['lifetime_drawdown']:.2%} ever"),
            ("exposure", f"{equity['gross_exposure']:.1%} in {equity['n_positions']} positions"),
        ]
    unused = {name: value for name, value in (state["not_invested_because"] or {}).items() if value}
    if unused:
        told = ", ".join(f"{name.replace('_', ' ')} {dollars(value, sign=False)}" for name, value in unused.items())
        lines.append(("not invested", told))
    lines += [("halts", "; ".join(_halts(state)) or "none"), ("regime", _regime(state))]
    leaving = [name for name in run["strategies"] if name in state["standing"]["leaving"]]
    lines += [("leaving", f"{', '.join(leaving)}: sold at the next open, by `upgrade`")] if leaving else []
    lines += _rows("positions", [_position(row) for row in state["positions"]])
    lines += _rows("open orders", [_order(row) for row in state["open_orders"]])
    if ahead := state["next_open"]["orders"]:
        lines += _rows("next open", [ahead_words(row) for row in ahead])
    told = own_costs_words(costs)
    lines += [("costs", told)] if told else []
    owners = [row for row in state["differences"] if row["kind"] == OWNERS_THINGS]
    doubted = [row for row in state["differences"] if row["kind"] != OWNERS_THINGS]
    unexplained = ", ".join(f"{row['kind']} {row['ticker'] or ''}".strip() for row in doubted)
    lines += [("the owner's", row["theirs"]) for row in owners]
    compared = state["replay_check"]
    lines += [] if compared is None else _rows("replay", replay_words(compared))
    lines += [
        ("unexplained", unexplained or "none"),
        ("waiting commands", "; ".join(state["waiting_commands"]) or "none"),
        ("engine", _engine(state)),  # last, where a terminal ends: the first question is whether it runs
    ]
    return [(name, in_currency(text, run["source"])) for name, text in lines]


def show_runs(rows: Sequence[RunRow], *, as_json: bool) -> None:
    """Print one run a row: number, kind, name, market, sessions, equity, what a replay gained, status, tag, note."""
    if as_json:
        show_json(list(rows))
        return
    console = Console(highlight=False)
    if console.width < WIDE:
        for row in rows:
            words = (row["words"], market_words(row["source"]), _span(row), _gain(row), _state(row))
            console.print(escape(f"run {row['id']}: {', '.join(filter(None, words))}"))
        return
    table = Table(show_edge=False, box=None, pad_edge=False)
    for title in ("run", "kind", "market", "sessions", "equity", "return", "state"):
        justify: Literal["left", "right"] = "right" if title in ("run", "equity", "return") else "left"
        table.add_column(title, justify=justify, no_wrap=title in ("run", "equity", "return"), overflow="fold")
    for row in rows:
        kind = " ".join(filter(None, (row["kind"], row["name"])))
        equity = "" if row["equity"] is None else in_currency(dollars(row["equity"], sign=False), row["source"])
        market = escape(market_words(row["source"]))
        table.add_row(str(row["id"]), escape(kind), market, _span(row), equity, _gain(row), escape(_state(row)))
    console.print(table)


def _span(row: RunRow) -> str:
    first, last = row["first_session"], row["last_session"]
    return "" if last is None else f"{first} to {last}"


def _gain(row: RunRow) -> str:
    return "" if row["return"] is None else percents(100.0 * row["return"], 1)


def _state(row: RunRow) -> str:
    return "; ".join(filter(None, (row["state"], row["tag"], row["note"])))


def _engine(state: RunState) -> str:
    beat = state["heartbeat"]
    if beat is None or beat.get("alive") is False:
        seen = "" if beat is None else f"; last seen {_age(beat)} as process {beat['pid']} on {beat['host']}"
        return f"not running{seen}"
    return f"running, process {beat['pid']} on {beat['host']}, last seen {_age(beat)}: {beat['note']}"


def _age(beat: HeartbeatState) -> str:
    seconds = beat["age_seconds"]
    if seconds is None:
        return "at an unknown time"
    for size, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _halts(state: RunState) -> list[str]:
    risk, standing, found = state["risk"], state["standing"], list[str]()
    if risk is not None:
        found += [f"drawdown halt since {risk['halted_since']}"] if risk["halted_since"] else []
        found += [f"manual halt: {risk['manual_halt']}"] if risk["manual_halt"] else []
        found += [f"fault: {risk['fault']}"] if risk["fault"] else []
    found += [f"paused: {name}" for name in standing["paused"]]
    return found + [f"closing {ticker}, no more of it is bought" for ticker in standing["closing"]]


def _regime(state: RunState) -> str:
    regime = "unknown" if state["regime"] is None else state["regime"]["regime"]
    if regime != "unknown":
        return regime_words(regime)
    return "unknown: the model of regimes needs some years of the benchmark's closes (see the data warnings)"


def _position(row: PositionState) -> str:
    change = row["price"] / row["entry_price"] - 1.0 if row["entry_price"] else 0.0
    stop = "no stop" if row["stop_price"] is None else f"stop {row['stop_price']:,.2f}"
    return (
        f"{row['ticker']} {row['quantity']:g}  entry {row['entry_price']:,.2f}  close {row['price']:,.2f}  "
        f"{percents(100.0 * change)}  {stop}"
    )


def _order(row: OrderState) -> str:
    beside = None if row["reason"] == "take_profit" else row["stop_price"]
    price = row["limit_price"] if row["limit_price"] is not None else beside
    at = "" if price is None else f" at {price:,.2f}"
    reason = str(row["reason"]).replace("_", " ")
    return f"{row['side']} {row['quantity']:g} {row['ticker']}{at} ({reason}), {row['status']}"


def ahead_words(row: OrderAhead) -> str:
    """Return an order that was decided for the next open: what, how much at most, whose idea, and what it waits for."""
    most = "" if row["dollars"] is None else f" for at most {dollars(row['dollars'], sign=False)}"
    why = row["strategy"] if row["side"] == "buy" else str(row["reason"]).replace("_", " ")
    waits = f": {row['message']}" if row["message"] else ""
    return f"{row['side']} {row['quantity']:g} {row['ticker']}{most} ({why}), {row['status']}{waits}"


def _rows(name: str, rows: Sequence[str]) -> list[tuple[str, str]]:
    if not rows:
        return [(name, "none")]
    shown = list(rows[:MOST_LINES])
    if len(rows) > MOST_LINES:
        shown.append(f"and {len(rows) - MOST_LINES} more (--json shows all)")
    return [(name, shown[0]), *(("", text) for text in shown[1:])]
