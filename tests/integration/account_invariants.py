"""What must hold between an account at the local Alpaca and the engine's database, whatever has happened.

`breaches` compares the server's whole state (`GET /admin/state`) with the database of the engine that traded it, when
both have come to rest: every session settled, nothing at work that only one side knows. Each breach has a name.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = "tp-"
SHARES = 1e-6
CENT = 0.005
SAME_STATUS = {
    "filled": {"filled"},
    "expired": {"expired"},
    "canceled": {"canceled"},
    "rejected": {"rejected"},
    "replaced": {"canceled"},
    "new": {"submitted"},
    "accepted": {"submitted"},
    "held": {"submitted"},
    "pending_cancel": {"submitted", "partially_filled"},
    "partially_filled": {"partially_filled"},
}
OPEN = ("intent", "submitted", "partially_filled", "uncertain")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Breach:
    """One invariant that does not hold."""

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """The engine's database as rows."""

    orders: Sequence[Row]
    fills: Sequence[Row]
    positions: Mapping[str, float]
    cash: float
    signals: Sequence[Row]
    events: Sequence[Row]
    commands: Sequence[Row]
    differences: Sequence[Row]
    risk: Mapping[str, Any]
    equity: Sequence[Row]
    trades: Sequence[Row]


def read_ledger(database: Path) -> Ledger:
    """Read the only run of `database`."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row

        def rows(query: str, *values: object) -> list[Row]:
            return [dict(row) for row in connection.execute(query, values)]

        (run,) = rows("SELECT * FROM runs")
        equity = rows("SELECT * FROM equity ORDER BY session")
        held = rows("SELECT ticker, quantity FROM positions WHERE session = ?", run["last_session"])
        states = rows("SELECT payload FROM risk_states")
        return Ledger(
            orders=rows("SELECT * FROM orders ORDER BY id"),
            fills=rows("SELECT * FROM fills ORDER BY id"),
            positions={row["ticker"]: row["quantity"] for row in held},
            cash=(equity[-1]["cash"] if equity else run["capital"]) / 100.0,
            signals=rows("SELECT * FROM signals WHERE verdict = 'approved'"),
            events=rows("SELECT * FROM risk_events ORDER BY id"),
            commands=rows("SELECT * FROM commands ORDER BY id"),
            differences=rows("SELECT * FROM differences WHERE resolved_at IS NULL"),
            risk=_payload(states[0]["payload"]) if states else {},
            equity=equity,
            trades=rows("SELECT * FROM trades ORDER BY exit_session, ticker"),
        )


def breaches(state: Mapping[str, Any], ledger: Ledger) -> list[Breach]:
    """Return every invariant that does not hold; an empty list is what a sound engine leaves behind."""
    return [
        *_orders(state["orders"], ledger),
        *_approvals(state["orders"], ledger),
        *_signals(ledger),
        *_fills(state, ledger),
        *_holdings(state, ledger),
        *_halts(ledger),
    ]


# ---------------------------------------------------------------- orders


def _orders(theirs: Sequence[Row], ledger: Ledger) -> Iterator[Breach]:
    ours = {row["broker_order_id"]: row for row in ledger.orders if row["broker_order_id"]}
    roots = [order for order in theirs if order["parent_id"] is None]
    for key, count in Counter(order["client_order_id"] for order in roots).items():
        if count > 1:
            yield Breach("duplicate_order", f"{key} stands {count} times at the broker")
    yield from _repeated_decisions(roots, ours)
    by_id = {order["id"]: order for order in theirs}
    for order in theirs:
        row = ours.get(order["id"])
        if row is None and _newest(order, by_id)["id"] in ours:
            continue  # an edit ended it: its row goes on with what took its place
        if row is None:
            yield Breach("unknown_order", f"{order['client_order_id']} {order['side']} {order['symbol']} is not ours")
        elif row["status"] not in SAME_STATUS.get(order["status"], set()):
            yield Breach("order_state", f"{row['client_order_id']}: ours {row['status']}, theirs {order['status']}")
        elif abs(row["filled_quantity"] - float(order["filled_qty"])) > SHARES:
            filled = f"ours {row['filled_quantity']:g}, theirs {order['filled_qty']}"
            yield Breach("order_filled", f"{row['client_order_id']}: {filled}")
    known = {order["id"] for order in theirs}
    for row in ledger.orders:
        if row["broker_order_id"] and row["broker_order_id"] not in known:
            yield Breach("invented_order", f"{row['client_order_id']} is unknown to the broker")
        if not row["broker_order_id"] and row["status"] in OPEN:
            yield Breach("limbo_order", f"{row['client_order_id']} is {row['status']} and has no name at the broker")


def _newest(order: Row, by_id: Mapping[str, Row]) -> Row:
    """Return what has taken an order's place at the end of all edits, or itself."""
    while order["status"] == "replaced" and order.get("replaced_by") in by_id:
        order = by_id[order["replaced_by"]]
    return order


def _first(order: Row, by_id: Mapping[str, Row]) -> Row:
    """Return the order that was sent, of which this one is the last edit."""
    while order.get("replaces") in by_id:
        order = by_id[order["replaces"]]
    return order


def _repeated_decisions(roots: Sequence[Row], ours: Mapping[str, Row]) -> Iterator[Breach]:
    """A decision to enter may be sent again only when nothing came of it before."""
    entries: Counter[tuple[str, str]] = Counter()
    for order in roots:
        row = ours.get(order["id"])
        if row is None or order["side"] != "buy":
            continue
        if float(order["filled_qty"]) > 0.0 or row["status"] in OPEN:
            entries[row["decided_session"], row["ticker"]] += 1
    for (session, ticker), count in entries.items():
        if count > 1:
            yield Breach("duplicate_order", f"the entry into {ticker} decided on {session} was sent {count} times")


def _approvals(theirs: Sequence[Row], ledger: Ledger) -> Iterator[Breach]:
    """The approval is stored with the intent, before anything is sent: what was sent must be what was approved.

    What an edit made of a sale is what its row says by now: Alpaca gives it an id of its own, and other shares.
    """
    by_id = {order["id"]: order for order in theirs}
    ours = {row["broker_order_id"]: row for row in ledger.orders if row["broker_order_id"]}
    spent: Counter[str] = Counter()
    for order in theirs:
        row = ours.get(order["id"])
        if order["parent_id"] is not None or row is None:
            continue
        spent[row["approval_id"]] += 1
        sent = (_first(order, by_id)["client_order_id"], order["symbol"], order["side"], float(order["qty"]))
        if not row["approval_id"] or not row["config_fingerprint"]:
            yield Breach("unapproved_order", f"{row['client_order_id']} has no approval")
        elif sent != (row["client_order_id"], row["ticker"], row["side"], row["quantity"]):
            yield Breach("unapproved_order", f"{row['client_order_id']}: {sent} is not what was approved")
        elif row["side"] == "buy" and not float(order["limit_price"] or "inf") <= row["limit_price"]:
            yield Breach("unapproved_order", f"{row['client_order_id']}: its limit is above the approved one")
    for approval, count in spent.items():
        if approval and count > 1:
            yield Breach("approval_spent_twice", f"{approval} was spent {count} times")


def _signals(ledger: Ledger) -> Iterator[Breach]:
    """The verdict that let an entry through is stored with its intent: each has the other, once."""
    verdicts = Counter(row["client_order_id"] for row in ledger.signals)
    entries = {row["client_order_id"]: row for row in ledger.orders if row["side"] == "buy"}
    for key in sorted(entries.keys() | verdicts.keys()):
        if key not in entries:
            yield Breach("signal_without_order", f"{key} was approved, and no order is written down")
        elif verdicts[key] != 1:
            yield Breach("order_without_signal", f"{key} has {verdicts[key]} approved signals")
    for row in ledger.signals:
        entry = entries.get(row["client_order_id"])
        told = ("ticker", "strategy", "strength", "quantity")
        if entry is not None and any(row[name] != entry[name] for name in told):
            yield Breach("altered_signal", f"{row['client_order_id']}: the order is not what was approved")


# ---------------------------------------------------------------- fills, shares, money


def _fills(state: Row, ledger: Ledger) -> Iterator[Breach]:
    ours = _executions(ledger.fills)
    rows = {row["broker_order_id"]: row for row in ledger.orders if row["broker_order_id"]}
    fees = _fees(state["activities"])
    names = Counter(row["broker_fill_id"] for row in ledger.fills)
    if len(names) != len(ledger.fills):
        yield Breach("doubled_fill", f"{len(ledger.fills)} fills under {len(names)} names")
    for fill in state["fills"]:
        mine = ours.pop(fill["id"], None)
        words = f"{fill['side']} {fill['qty']} {fill['symbol']} at {fill['price']}"
        if mine is None:
            yield Breach("lost_fill", words)
            continue
        order = rows.get(fill["order_id"])
        same = (
            (mine["side"], mine["ticker"], mine["price"]) == (fill["side"], fill["symbol"], float(fill["price"]))
            and abs(mine["quantity"] - float(fill["qty"])) <= SHARES
            and abs(mine["fees"] / 100.0 - fees.get(fill["id"], 0.0)) < CENT
            and order is not None
            and mine["client_order_id"] == order["client_order_id"]
        )
        if not same:
            yield Breach("altered_fill", f"{words}, ours {mine['side']} {mine['quantity']:g} at {mine['price']}")
    for mine in ours.values():
        if not mine["client_order_id"].endswith(("-delisted", "-netted")):  # those are no executions
            yield Breach("invented_fill", f"{mine['side']} {mine['quantity']:g} {mine['ticker']}: not at the broker")


def _executions(fills: Sequence[Row]) -> dict[str, Row]:
    """Return our fills by the broker's name of the execution, the parts of several strategies together."""
    whole: dict[str, Row] = {}
    for row in fills:
        name = row["broker_fill_id"].removesuffix(f"-{row['strategy']}")
        known = whole.get(name)
        added = {} if known is None else {key: known[key] + row[key] for key in ("quantity", "fees")}
        whole[name] = {**row, **added}
    return whole


def _fees(activities: Sequence[Row]) -> dict[str, float]:
    fees: defaultdict[str, float] = defaultdict(float)
    for entry in activities:
        if entry["activity_type"] == "FEE" and entry.get("group_id"):
            fees[entry["group_id"]] += -float(entry["net_amount"])
    return dict(fees)


def _holdings(state: Row, ledger: Ledger) -> Iterator[Breach]:
    theirs: Mapping[str, float] = state["positions"]
    for ticker in sorted(theirs.keys() | ledger.positions.keys()):
        mine, held = ledger.positions.get(ticker, 0.0), theirs.get(ticker, 0.0)
        if abs(mine - held) > SHARES:
            yield Breach("position", f"{ticker}: ours {mine:g}, theirs {held:g}")
    if abs(ledger.cash - state["cash"]) > CENT:
        yield Breach("cash", f"ours {ledger.cash:.2f}, theirs {state['cash']:.2f}")
    for row in ledger.differences:
        yield Breach("unexplained", f"{row['kind']} {row['ticker'] or ''}: ours {row['ours']}, theirs {row['theirs']}")


# ---------------------------------------------------------------- halts


def halted_spans(ledger: Ledger) -> list[tuple[str, str, str | None]]:
    """Return (kind, first session, last session or None) of every halt that the events tell of."""
    ends = {"halt": "release", "manual_halt": "resume"}
    spans: list[tuple[str, str, str | None]] = []
    since: dict[str, str] = {}
    for event in ledger.events:
        for start, end in ends.items():
            if event["kind"] == start:
                since.setdefault(start, event["session"])
            elif event["kind"] == end and start in since:
                spans.append((start, since.pop(start), event["session"]))
    return [*spans, *((kind, first, None) for kind, first in since.items())]


def _halts(ledger: Ledger) -> Iterator[Breach]:
    """A halt lasts until its end is a stored event; no entry is decided in between, and none is forgotten."""
    spans = halted_spans(ledger)
    account = ledger.risk.get("account", {})
    remembered = {"halt": bool(account.get("halted")), "manual_halt": ledger.risk.get("manual_halt") is not None}
    for kind, is_remembered in remembered.items():
        stands = any(found == kind and last is None for found, _, last in spans)
        if stands and not is_remembered:
            yield Breach("forgotten_halt", f"{kind} was never lifted, and the risk memory does not hold it")
        if is_remembered and not stands:
            yield Breach("forgotten_halt", f"the risk memory holds a {kind} that no event tells of")
    # a flatten of one ticker halts nothing
    wished = [
        row
        for row in ledger.commands
        if row["handled_at"] and row["kind"] in ("halt", "flatten") and row.get("subject") is None
    ]
    told = sum(event["kind"] == "manual_halt" for event in ledger.events)
    if told < len(wished):
        yield Breach("forgotten_halt", f"{len(wished)} commands to halt were handled, {told} are told of")
    for row in ledger.commands:
        if not row["handled_at"]:
            yield Breach("ignored_command", f"{row['kind']} by {row['actor']}: {row['reason']}")
    for kind, first, last in spans:
        for row in ledger.orders:
            inside = first <= row["decided_session"] and (last is None or row["decided_session"] < last)
            # the operator's halt may come after the decision of its own session
            on_first = kind == "manual_halt" and row["decided_session"] == first
            if row["side"] == "buy" and inside and not on_first:
                yield Breach("entry_while_halted", f"{row['client_order_id']} during the {kind} since {first}")


def _payload(text: str) -> dict[str, Any]:
    """Return the risk memory of a stored payload, which may be wrapped in its envelope."""
    outer: dict[str, Any] = json.loads(text)
    inner = outer.get("payload")
    return json.loads(inner) if isinstance(inner, str) else outer


# ---------------------------------------------------------------- two runs


def story(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    """Return what two runs of the same market must have in common: everything but names that the broker gives.

    Executions (session, ticker, side, shares, price, amount, fees, profit, strategy, reason), closed trades, the
    account at every close, risk events, the entries that were decided, and the signals that were approved.
    """
    return {
        "fills": sorted(
            (
                row["session"],
                row["ticker"],
                row["side"],
                row["quantity"],
                row["price"],
                row["amount"],
                row["fees"],
                row["realized_pnl"],
                row["strategy"],
                row["reason"],
            )
            for row in ledger.fills
        ),
        "trades": [
            (row["ticker"], row["strategy"], row["entry_session"], row["exit_session"], row["pnl"], row["exit_reason"])
            for row in ledger.trades
        ],
        "equity": [
            (row["session"], row["cash"], row["equity"], row["drawdown"], row["n_positions"], row["halted"])
            for row in ledger.equity
        ],
        "events": [(row["session"], row["kind"], row["code"], row["actor"]) for row in ledger.events],
        "entries": sorted(
            (row["decided_session"], row["ticker"], row["quantity"], row["limit_price"], row["strategy"])
            for row in ledger.orders
            if row["side"] == "buy"
        ),
        "signals": sorted(
            (row["session"], row["ticker"], row["strategy"], row["strength"], row["quantity"], row["client_order_id"])
            for row in ledger.signals
        ),
    }
