"""Why a ticker was bought, sold or refused: what the database holds of it, in lines."""

from __future__ import annotations

from sqlalchemy import Engine, select

from trading_platform.reporting.status_screen import ahead_words
from trading_platform.storage import models as m
from trading_platform.storage.consents import next_open

MOST = 5  # verdicts and fills that are told


def why_lines(engine: Engine, run_id: int, ticker: str) -> list[str]:
    """Return what was decided about `ticker`, the newest first; empty where the run never looked at it."""
    signal, fill = m.SignalRow, m.FillRow
    lines = [f"next open: {ahead_words(row)}" for row in next_open(engine, run_id)["orders"] if row["ticker"] == ticker]
    with engine.connect() as connection:
        verdicts = connection.execute(
            select(
                signal.session,
                signal.strategy,
                signal.verdict,
                signal.code,
                signal.observed,
                signal.limit,
                signal.quantity,
            )
            .where(signal.run_id == run_id, signal.ticker == ticker)
            .order_by(signal.id.desc())
            .limit(MOST)
        ).all()
        fills = connection.execute(
            select(fill.session, fill.side, fill.quantity, fill.price, fill.strategy, fill.reason)
            .where(fill.run_id == run_id, fill.ticker == ticker)
            .order_by(fill.id.desc())
            .limit(MOST)
        ).all()
        closed_doors = connection.execute(
            select(signal.session, signal.code)
            .where(signal.run_id == run_id, signal.ticker == "*")
            .order_by(signal.id.desc())
            .limit(1)
        ).all()
    for session, strategy, verdict, code, observed, limit, largest in verdicts:
        refused = "" if verdict == "approved" else f", {code}{_numbers(observed, limit)}{_largest(largest)}"
        lines.append(f"{session} {strategy}: {verdict}{refused}")
    lines += [
        f"{session} {side} {quantity:g} at {price:,.2f} ({strategy}, {str(reason).replace('_', ' ')})"
        for session, side, quantity, price, strategy, reason in fills
    ]
    return lines + [f"{session}: no new positions at all, {code}" for session, code in closed_doors if lines]


def _numbers(observed: float | None, limit: float | None) -> str:
    return "" if observed is None or limit is None else f" ({observed:.6g}, limit {limit:.6g})"


def _largest(shares: float) -> str:
    """Return the largest size that the rule would have let through."""
    return f"; the largest that would pass: {f'{shares:g} shares' if shares > 0.0 else 'none'}"
