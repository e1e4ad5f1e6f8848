"""What must hold of an account in a campaign, beside what its owner does with it himself."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from account_invariants import PREFIX, SHARES, Breach, Ledger, breaches

from trading_platform.alpaca_server.server import AlpacaServer

# Unresolved differences that tell people of a position: status and report show them until they are over.
TELLING = ("unprotected", "no_cover", "exit_waits", "quarantine")
LOOKS = 2  # without full cover; what lasts longer must have been told


def campaign_breaches(
    state: Mapping[str, Any],
    ledger: Ledger,
    owners: Mapping[str, float],
    manual: Mapping[str, float],
    excused: Collection[str],
) -> list[Breach]:
    """Return every invariant that does not hold.

    Parameters
    ----------
    state, ledger
        The server's whole state, and the engine's database.
    owners, manual
        The owner's own shares by ticker: as he has traded them, and as the engine has them.
    excused
        Client ids of orders that were sent after the copy of the database that was restored: whatever it cannot know
        of them (approval, signal) is no breach, but shares and money must agree.
    """
    ours = _ours(state)
    positions = {
        ticker: shares - owners.get(ticker, 0.0)
        for ticker, shares in state["positions"].items()
        if abs(shares - owners.get(ticker, 0.0)) > SHARES
    }
    orders = [order for order in state["orders"] if order["id"] in ours]
    fills = [fill for fill in state["fills"] if fill["order_id"] in ours]
    mine = {**state, "orders": orders, "fills": fills, "positions": positions}
    told = [row for row in ledger.differences if row["kind"] != "manual_position"]  # the owner's shares stand by right
    ledger = replace(ledger, differences=told)
    found = [breach for breach in breaches(mine, ledger) if not any(key in breach.detail for key in excused)]
    for ticker in sorted(owners.keys() | manual.keys()):
        theirs, believed = owners.get(ticker, 0.0), manual.get(ticker, 0.0)
        if abs(theirs - believed) > SHARES:
            found.append(Breach("given_up", f"{ticker}: {believed:g} shares are called the owner's, {theirs:g} are"))
    return found


def _ours(state: Mapping[str, Any]) -> set[str]:
    """Return the broker's ids of orders that are the engine's: its own, their legs, and what has replaced them."""
    ours = {order["id"] for order in state["orders"] if order["client_order_id"].startswith(PREFIX)}
    while True:
        more = {
            order["id"]
            for order in state["orders"]
            if order["id"] not in ours and (order["parent_id"] in ours or order["replaces"] in ours)
        }
        if not more:
            return ours
        ours |= more


def manual_shares(database: Path) -> dict[str, float]:
    """Return the shares that the engine takes for the owner's, by ticker."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT slots FROM paper_books").fetchone()
    return {} if row is None else {name: float(shares) for name, shares in json.loads(row[0])["manual"].items()}


def told_of(database: Path) -> set[str]:
    """Return the tickers about which the engine tells that something is wrong now."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT ticker FROM differences WHERE resolved_at IS NULL AND ticker IS NOT NULL")
        return {str(row[0]) for row in rows}


class Cover:
    """Counts, ticker by ticker, the looks in a row after which shares of the engine had no order to sell them.

    Looks while the exchange is closed do not count: nothing trades then, and on the eve of a split stops are off.
    """

    def __init__(self) -> None:
        self._looks: dict[str, int] = {}

    def after_look(self, server: AlpacaServer, owners: Mapping[str, float], told: Collection[str]) -> Iterator[Breach]:
        """Yield positions that are bare for longer than allowed without a word about them."""
        if not server.market.is_open:
            return
        bare = {
            ticker: position.quantity - owners.get(ticker, 0.0) - server.exchange.held_for_orders(ticker)
            for ticker, position in server.account.positions.items()
        }
        self._looks = {ticker: self._looks.get(ticker, 0) + 1 for ticker, shares in bare.items() if shares > SHARES}
        for ticker, looks in self._looks.items():
            if looks > LOOKS and ticker not in told:
                yield Breach("unprotected", f"{ticker}: {bare[ticker]:g} shares without cover at {looks} looks, untold")
