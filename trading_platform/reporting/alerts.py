"""What the owner must know, most urgent first: one line each, with the numbers."""

from __future__ import annotations

from itertools import pairwise

from trading_platform.reporting.evidence import Evidence
from trading_platform.reporting.facts import Day, Ledger
from trading_platform.reporting.market_words import data_words
from trading_platform.reporting.plain import dollars
from trading_platform.reporting.risk_view import LASTING, Halt
from trading_platform.reporting.states import (
    State,
    Unexplained,
    all_states,
    engine_silent,
    stopped_state,
    unexplained_days,
)
from trading_platform.storage.replay_days import replay_summary

# A limit that is used up to this part is worth a look, except for those that a full book reaches by design.
NEAR_LIMIT = 0.75
NEAR_RULES = ("drawdown", "total_drawdown", "daily_loss")
GROWN_RULES = ("exposure", "position", "sector")
GROWTH = (
    1.1  # entries are held to these limits; what rises afterwards may exceed them, and by this much it is worth a word
)
# A gap of more days than a holiday weekend makes between two booked closes (2001: seven).
LONGEST_PAUSE = 7
WORDS = {
    "halt": "HALTED",
    "manual_halt": "HALTED by an operator",
    "state_invalid": "HALTED, risk memory unusable",
    "daily_loss": "NO NEW TRADES today",
    "pause": "PAUSED after losing trades",
    "breach": "NO NEW TRADES, drawdown limit touched",
    "equity_suspect": "NO NEW TRADES, equity reading doubted",
}


def build_alerts(evidence: Evidence) -> list[str]:
    """Return the alerts of a report, most urgent first."""
    ledger = evidence.ledger
    lines = [state.text for state in report_states(evidence)]
    lines += _tie_out(evidence)
    lines += evidence.notes
    if ledger is not None:
        lines += _books(ledger)
        lines += _orders(ledger)
    lines += _limits(evidence)
    lines += _engine(evidence)
    if ledger is not None:
        lines += _allocator(evidence, ledger)
        lines += _data(ledger)
    return lines


def report_states(evidence: Evidence) -> list[State]:
    """Return what is wrong and lasts, most urgent first: halts, then what `all_states` finds."""
    ledger = evidence.ledger
    halts = [State(h.kind, (), None if h.since is None else str(h.since), halt_line(h)) for h in evidence.halts]
    if ledger is None:
        return halts
    is_watched = ledger.run.status == "running" and ledger.run.mode != "replay" and evidence.asked is None
    silent = engine_silent(ledger.heartbeat, evidence.now) if is_watched else None
    found = [Unexplained(d.found_at, d.kind, d.ticker, d.ours, d.theirs) for d in ledger.differences]
    note = ledger.beat_note if is_watched else ""
    found_states = all_states(found, ledger.exits if evidence.asked is None else (), note, silent)
    halts += [stopped_state(stop, ledger.run.mode) for stop in ledger.stopped]
    return halts + found_states + unexplained_days(replay_summary(ledger.replay))


def halt_line(halt: Halt) -> str:
    """Return a halt in one line: what, since when, why, and what ends it."""
    since = f" since {halt.since}" if halt.since is not None and halt.kind in LASTING else ""
    reason = f": {halt.reason}" if halt.reason else ""
    return f"{WORDS.get(halt.kind, 'HALTED')}{since}{reason}; {halt.release}"


def _tie_out(evidence: Evidence) -> list[str]:
    view = evidence.view
    lines = []
    if view.bridge is not None and view.bridge.residual != 0:
        why = (
            "" if view.booked else " (dividends, cash flows and account fees of a session under way are not booked yet)"
        )
        lines.append(f"P&L does not tie out: {dollars(view.bridge.residual / 100)} unexplained{why}")
    day = view.booked
    if day is not None:
        stored = sum(h.value or 0 for h in (evidence.ledger.holdings if evidence.ledger else ()))
        if day.cash + stored != day.equity:
            off = (day.equity - day.cash - stored) / 100
            lines.append(f"Books do not tie out: equity is {dollars(off)} off cash plus positions")
        if evidence.snapshot is not None and view.equity is not None and view.equity != day.equity:
            off = (view.equity - day.equity) / 100
            lines.append(f"Account is {dollars(off)} off the booked close (prices move after the close)")
    return lines


def _books(ledger: Ledger) -> list[str]:
    lines = []
    broken = [b for a, b in pairwise(ledger.days) if b.previous_equity != a.equity]
    if broken:
        last = broken[-1]
        lines.append(
            f"Equity jumps between closes, last on {last.session}: {len(broken)} session(s) begin from another equity"
        )
    return lines


def _orders(ledger: Ledger) -> list[str]:
    if not ledger.is_latest:
        return []
    bad = [order for order in ledger.orders if order.status in ("rejected", "uncertain")]
    return [
        f"Order {order.status}: {order.side} {order.quantity:g} {order.ticker}"
        + (f" ({order.message})" if order.message else "")
        for order in bad[:3]
    ]


def _limits(evidence: Evidence) -> list[str]:
    halted = {halt.kind for halt in evidence.halts}
    lines = []
    for rule in evidence.headroom:
        if rule.observed is None or rule.limit is None:
            continue
        used = rule.observed / rule.limit if rule.limit > 0 else 0.0
        name = rule.rule.replace("_", " ")
        if rule.rule in NEAR_RULES and used >= NEAR_LIMIT and not (halted & {"halt", "daily_loss"}):
            lines.append(f"Near the limit: {name} {rule.observed:.1f} % of {rule.limit:g} % allowed")
        elif rule.rule in GROWN_RULES and rule.observed > rule.limit * GROWTH:
            note = f" ({rule.note})" if rule.note and rule.rule in ("position", "sector") else ""
            lines.append(f"Grown over its limit: {name}{note} {rule.observed:.1f} %, limit {rule.limit:g} %")
        elif rule.rule == "positions" and rule.observed > rule.limit:
            lines.append(f"Over its limit: {rule.observed:g} positions, limit {rule.limit:g}")
        elif rule.rule == "vix" and rule.observed > rule.limit:
            lines.append(f"VIX {rule.observed:.1f} above {rule.limit:g}: new positions are scaled down")
    return lines


def _engine(evidence: Evidence) -> list[str]:
    ledger, lines = evidence.ledger, []
    if ledger is None or not ledger.is_latest or evidence.asked is not None:
        return []
    if evidence.missing > 0:
        last = ledger.day.session if ledger.day else "the start"
        lines.append(f"{evidence.missing} closed session(s) not booked since {last}: is the engine running?")
    if ledger.run.status == "interrupted":
        lines.append("The run was interrupted; the same command continues it")
    return lines


def _allocator(evidence: Evidence, ledger: Ledger) -> list[str]:
    now, before, model = ledger.allocation, ledger.previous_allocation, evidence.model
    lines = []
    if now is not None and before is not None and now.source != "model" and before.source == "model":
        lines.append(f"Allocator fell back to equal weight: {now.reason}")
    if model is not None and model.age_days is not None and model.age_days < 0:
        lines.append(f"Model {model.id} has seen data up to {model.data_end}, after this session: results flatter")
    return lines


def _data(ledger: Ledger) -> list[str]:
    lines = [f"No bookings between {a.session} and {b.session}" for a, b in _gaps(ledger.days)[-2:]]
    if ledger.warnings:
        lines.append(f"Market data: {data_words(ledger.warnings)}")
    return lines


def _gaps(days: tuple[Day, ...]) -> list[tuple[Day, Day]]:
    return [(a, b) for a, b in pairwise(days) if (b.session - a.session).days > LONGEST_PAUSE]
