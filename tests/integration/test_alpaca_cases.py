"""Every fault of Alpaca's real behaviour tried again with the engine as a process over HTTP; one line a case.

`python tests/integration/test_alpaca_cases.py` prints the table that stands in docs/alpaca.md. One account is walked
through its sessions; the engine is a process of its own at each look (`crash_forge`). The server has the habits of its
realistic profile; what they leave to chance and a case needs (a partial fill, a late split) is asked for.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import requests
from crash_world import BENCHMARK, SETTINGS, Campaign, Forge, panel_of
from test_alpaca_realistic_quarter import NAMES, SLOTS, HabitServer, Quarter

from trading_platform.alpaca_server.behaviour import REALISTIC, changed
from trading_platform.alpaca_server.records import SimOrder, Whim
from trading_platform.core.types import Side

NEW = "NEW"  # the name that a ticker takes
CASES = ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "Q1", "Q2", "Q3", "Q4", "Q5", "D1")
SESSIONS = 16
WARM_UP = 6  # sessions at most, until enough is held
WANTED = 9  # positions
HABITS = changed(
    REALISTIC,
    {"requests_per_minute": 0, "partial_fills": 0.0, "bad_ticks": 0.0, "merger_rows": 2, "late_splits": 1.0},
)


class Line(NamedTuple):
    """How a case went, and what was seen."""

    case: str
    is_right: bool
    seen: str


class Cases(Quarter):
    """An account in which each case happens to a position of its own."""

    def __init__(self, world: Campaign) -> None:
        super().__init__(world)
        self.lines: list[Line] = []
        self._taken: set[str] = {BENCHMARK, NEW}
        self._watched = ""  # a position with a fraction of a share, whose stop the engine watches

    def _look(self, when: str) -> None:
        life = self.world.life()
        assert life.code == 0, f"{self._day()} {when}: the engine ended with code {life.code}: {self.world.words()}"

    # ------------------------------------------------------------ the day

    def evening(self, before: Callable[[], None] = lambda: None) -> None:
        """Settle a session and decide; compare the books. `before` happens at the close."""
        self.world.server.advance_to_evening()
        before()
        self._settle()
        self._compare_books()

    def opening(self) -> None:
        """Look at the bell."""
        self.world.server.advance_to_open()
        self._look("open")

    def later(self, minutes: int) -> None:
        """Look so many minutes after the open."""
        server = self.world.server
        server.advance(server.market.opens[server.market.opened_row] + timedelta(minutes=minutes))
        self._look(f"{minutes} minutes after the open")

    def note(self, case: str, is_right: bool, seen: str) -> None:
        """Write down how a case went."""
        self.lines.append(Line(case, is_right, seen))

    # ------------------------------------------------------------ what there is

    def take(self) -> str:
        """Return a position that no case has had yet, with its stop at the venue."""
        exchange = self.world.server.exchange
        leaving = self._saved().leaving
        for ticker in sorted(self.world.ledger().positions):
            stops = [order for order in exchange.working(ticker) if order.waits_for_stop]
            if ticker not in self._taken | leaving.keys() and stops:
                self._taken.add(ticker)
                return ticker
        raise AssertionError(f"no position is left for a case; taken: {sorted(self._taken)}")

    def held(self, ticker: str) -> float:
        """Return the shares at the broker."""
        return self.world.server.account.held(ticker)

    def cover(self, ticker: str) -> float:
        """Return the shares that working sells would sell."""
        return self.world.server.exchange.held_for_orders(ticker)

    def stop_of(self, ticker: str) -> SimOrder:
        """Return the resting stop."""
        return next(order for order in self.world.server.exchange.working(ticker) if order.waits_for_stop)

    def close(self, ticker: str) -> float:
        """Return the last price."""
        return float(self.world.server.market.price(ticker) or 0.0)

    def told(self, ticker: str) -> list[str]:
        """Return the kinds of differences that stand."""
        query = "SELECT kind FROM differences WHERE resolved_at IS NULL AND ticker = ?"
        return [kind for (kind,) in self._rows(query, ticker)]

    def sales(self, ticker: str) -> list[tuple[float, str]]:
        """Return (shares, reason) of what the engine has booked as sold."""
        query = "SELECT quantity, reason FROM fills WHERE ticker = ? AND side = 'sell' ORDER BY id"
        return [(float(quantity), str(reason)) for quantity, reason in self._rows(query, ticker)]

    def bend(self, ticker: str, factor: float, into: str | None = None) -> None:
        """Multiply the prices of all sessions to come; or let them go on under another name."""
        panel, row = self.world.server.market.panel, self.world.server.market.closed_row + 1
        old = panel.tickers.index(ticker)
        new = old if into is None else panel.tickers.index(into)
        for grid in (panel.open, panel.high, panel.low, panel.close):
            grid[row:, new] = grid[row:, old] * factor
        panel.volume[row:, new] = panel.volume[row:, old]

    def shape(self, ticker: str, bar: tuple[float, float, float, float]) -> None:
        """Let the next session of a ticker be this bar, and later ones begin where it ends."""
        panel, row = self.world.server.market.panel, self.world.server.market.closed_row + 1
        column = panel.tickers.index(ticker)
        self.bend(ticker, bar[3] / float(panel.close[row, column]))
        for grid, price in zip((panel.open, panel.high, panel.low, panel.close), bar, strict=True):
            grid[row, column] = round(price, 2)

    # ------------------------------------------------------------ the stories

    def all(self) -> list[Line]:
        """Live through every case and return a line for each."""
        self.evening()
        self.entries()
        for _ in range(WARM_UP):
            if len(self.world.ledger().positions) >= WANTED:
                break
            self.opening()
            self.later(20)
            self.evening()
        self._deed("foreign", kind="mleg")
        self._deed("foreign", kind="option", side="buy", qty=1.0, price=1.5, filled=True)
        self._deed("foreign", kind="crypto", qty=0.01, price=100.0, filled=True)
        self.exits()
        self.events()
        self.stops()
        books = [*self.findings.books, *self.findings.ends]
        self.note("all", not books, f"cash, shares and profit each evening: {'; '.join(books) or 'to the cent'}")
        return self.lines

    def exits(self) -> None:
        """P1, P4, Q5, P3: exits whose stop pends, whose sale is refused, and a stop that its owner has edited."""
        server = self.world.server
        self.opening()
        self.later(20)
        late, wash, shut, edited = (self.take() for _ in range(4))
        near = round(self.close(wash) * 0.97, 2)
        buy = {"symbol": wash, "side": "buy", "type": "limit", "limit_price": near, "time_in_force": "gtc", "qty": 1}
        self._deed("orders", **buy)
        self._deed("assets", symbol=shut, tradable=False)
        self._deed("replace", order_id=self.stop_of(edited).id, stop_price=round(self.close(edited) * 0.985, 2))

        def wish() -> None:
            for ticker in (late, wash, shut):
                self.world.wish("flatten", "a case", ticker)

        before = {ticker: self.held(ticker) for ticker in (late, wash, shut, edited)}
        self.evening(wish)
        pending = {order.status for order in server.exchange.working(late)}
        price = self.close(edited)
        self.shape(edited, (price, price * 1.001, price * 0.975, price * 0.98))
        quarantined = self.told(edited)
        covers = [self.cover(ticker) == before[ticker] for ticker in (wash, shut)]
        self.opening()
        covers += [self.cover(ticker) == self.held(ticker) for ticker in (wash, shut)]
        words = f"{before[late]:g} {late}, the evening: stop {'/'.join(sorted(pending))}; at the bell: "
        (sale,) = [o for o in server.exchange.orders.values() if o.symbol == late and o.type == "market"][-1:]
        is_right = pending >= {"pending_cancel"} and sale.side is Side.SELL and sale.filled_quantity == before[late]
        self.note("P1", is_right, f"{words}{sale.filled_quantity:g} sold")
        waits = self._told("exit_waits")
        server.advance(server.now + timedelta(minutes=5))
        self._deed("cancel", symbol=wash, side="buy")
        self._deed("assets", symbol=shut, tradable=True)
        self.later(20)
        for case, ticker, cause in (("P4", wash, "near buy of the owner"), ("Q5", shut, "asset not tradable")):
            is_right = all(covers) and ticker in waits and self.held(ticker) == 0.0
            seen = (
                f"{before[ticker]:g} {ticker}, {cause}: stop kept, {waits.get(ticker, 'NOT TOLD')}; when it is gone: "
            )
            self.note(case, is_right, f"{seen}{self.held(ticker):g} held")
        self.evening()
        sold = self.sales(edited)
        is_right = not quarantined and sold[-1:] == [(before[edited], "stop_loss")]
        self.note("P3", is_right, f"stop of {before[edited]:g} {edited} edited by the owner; booked: {sold[-1:]}")

    def events(self) -> None:
        """P5, P6, P8, Q1, P7: a rename, a stock dividend, a cash merger, a split, a cancelled dividend."""
        self.opening()
        self.later(20)
        named, given, merged, split, watched = (self.take() for _ in range(5))
        row = requests.post(
            f"{self.world.server.url}/admin/activities",
            json={"activity_type": "DIV", "symbol": given, "net_amount": 7.0},
            timeout=5,
        ).json()
        self.later(60)
        self._deed("activities", cancel=row["id"])
        self.later(120)
        cash_trouble = self._rows("SELECT kind FROM differences WHERE resolved_at IS NULL AND ticker IS NULL")
        before: dict[str, float] = {}
        flows = len(self.world.ledger().equity)

        def happen() -> None:
            before.update({ticker: self.held(ticker) for ticker in (named, given, merged, split, watched)})
            self._deed("events", kind="rename", ticker=named, other=NEW)
            self._deed("events", kind="stock_dividend", ticker=given, ratio=2.0 / before[given])
            self._deed("events", kind="stock_dividend", ticker=watched, ratio=0.5 / before[watched])
            self._deed("events", kind="cash_merger", ticker=merged, cash=round(self.close(merged) * 1.04, 2))
            self._deed("events", kind="split", ticker=split, ratio=2.0)
            self.bend(named, 1.0, NEW)
            self.bend(given, before[given] / (before[given] + 2.0))
            self.bend(watched, before[watched] / (before[watched] + 0.5))
            self.bend(split, 0.5)

        self.evening(happen)
        self._watched = watched
        trouble = [kind for (kind,) in cash_trouble if kind.startswith("cash")]
        paid = self.world.ledger().equity[-1]["dividends"]
        self.note("P7", not trouble and paid == 0, f"7.00 booked and cancelled: dividends of the day {paid / 100:.2f}")
        self.opening()
        unsold = self.held(split) >= before[split]
        self.later(20)
        self.later(380)
        self.evening()
        ledger, owners = self.world.ledger(), self._saved().owners
        held, cover = self.held(NEW), self.cover(NEW)
        is_right = ledger.positions.get(NEW) == before[named] == held and NEW not in owners and cover == held
        self.note(
            "P5", is_right, f"{before[named]:g} {named} became {held:g} {NEW}, stops for {cover:g}, owner's: none"
        )
        held = self.held(given)
        is_right = held > before[given] and ledger.positions.get(given) == held == self.cover(given)
        self.note("P6", is_right, f"{before[given]:g} {given} became {held:g}, stops for {self.cover(given):g}")
        moved = sum(day["cash_flow"] for day in ledger.equity[flows:])
        is_right = self.sales(merged)[-1:] == [(before[merged], "delisted")] and moved == 0
        self.note("P8", is_right, f"merger in two rows: booked {self.sales(merged)[-1:]}, flows {moved / 100:.2f}")
        held = self.held(split)
        is_right = unsold and held == 2 * before[split] == ledger.positions.get(split) == self.cover(split)
        self.note("Q1", is_right, f"{before[split]:g} {split}, 2:1 told late: not sold; {held:g} held, stops for all")

    def stops(self) -> None:
        """Q4, Q2, Q3: a stop that is suspended; where the engine watches, a price of yesterday, and one of now."""
        server = self.world.server
        self.opening()
        self.later(20)
        idle, ticker = self.take(), self._watched
        before, level = self.held(ticker), self.levels()[ticker]
        for order in server.exchange.working(idle):
            order.status = "suspended"
        old = server.now - timedelta(hours=20)
        self._deed("trades", symbol=ticker, price=level * 0.9, at=old.isoformat())
        self.later(30)
        told = self.told(idle)
        seen = f"stop of {self.held(idle):g} {idle} suspended: told as {', '.join(told) or 'NOTHING'}"
        self.note("Q4", "stop_idle" in told, seen)
        kept = self.held(ticker)
        seen = f"{before:g} {ticker}, last trade of yesterday at {level * 0.9:.2f}, stop {level:.2f}: {kept:g} held"
        self.note("Q2", kept == before, seen)
        at = server.now + timedelta(minutes=5)
        self._deed("trades", symbol=ticker, price=level * 0.995, at=at.isoformat())
        self.later(35)
        held = self.held(ticker)
        seen = f"{before:g} {ticker}, trade of now at {level * 0.995:.2f}: {held:g} held after the look"
        self.note("Q3", held == 0.0, f"{seen} {', '.join(self.told(ticker))}".strip())
        self.evening()

    def levels(self) -> dict[str, float]:
        """Return ticker -> stop of what the engine holds by its own book."""
        [(text,)] = self._rows("SELECT slots FROM paper_books")
        outer = json.loads(text)
        slots = [dict(zip(outer["slots"]["names"], row, strict=True)) for row in outer["slots"]["rows"]]
        return {outer["tickers"][slot["ticker"]]: float(slot["stop"]) for slot in slots if slot["quantity"] > 0.0}

    def entries(self) -> None:
        """P2, D1: an entry that fills in part, and one whose limit the open passes."""
        server = self.world.server
        done: set[str] = set()
        for _ in range(4):
            buys = [order for order in server.exchange.working() if order.side is Side.BUY and order.parent is None]
            buys = [order for order in buys if order.client_order_id.startswith("tp-")]
            missed = part = None
            if buys and "D1" not in done:
                missed = buys.pop()
                limit = missed.limit_price or 0.0
                self.shape(missed.symbol, (limit * 1.02, limit * 1.03, limit * 0.97, limit * 0.99))
            if buys and "P2" not in done:
                part = buys.pop()
                part.whim = Whim("partial", fraction=0.6)
            self.opening()
            self.later(6)
            self.later(20)
            if part is not None and self.held(part.symbol) > 0.0:
                done.add("P2")
                held, cover = self.held(part.symbol), self.cover(part.symbol)
                is_right = 0.0 < held < (part.quantity or 0.0) and cover == held and not part.is_working
                seen = f"{held:g} of {part.quantity:g} {part.symbol} bought at the open: rest {part.status}"
                self.note("P2", is_right, f"{seen}, stops for {cover:g} within 20 minutes")
            self.evening()
            if missed is not None:
                done.add("D1")
                seen = f"{missed.symbol}: limit {limit:.2f}, open {limit * 1.02:.2f}, low {limit * 0.97:.2f}: order "
                is_right = missed.filled_quantity == 0.0 and self.held(missed.symbol) == 0.0
                self.note("D1", is_right, f"{seen}{missed.status}, {missed.filled_quantity:g} filled in the afternoon")
            if len(done) == 2:
                return


@contextmanager
def cases(home: Path) -> Iterator[Cases]:
    """Serve a market in which one ticker has no prices yet, and give the engine a home of its own."""
    panel = panel_of(11, SESSIONS + 1, names=(*NAMES, NEW))
    for grid in (panel.open, panel.high, panel.low, panel.close, panel.volume):
        grid[:, panel.tickers.index(NEW)] = np.nan
    home.mkdir()
    tickers = "[" + ", ".join(f'"{name}"' for name in (*NAMES, NEW)) + "]"
    settings = SETTINGS.format(tickers=tickers, risk="", stop=3.0)
    settings = settings.replace("take_profit_volatilities = 2.0", "take_profit_volatilities = 8.0")
    settings = settings.replace("max_holding_sessions = 6", "max_holding_sessions = 60")
    settings = settings.replace("exit_rank = 0.4", "exit_rank = 0.01").replace("exit_window = 5", "exit_window = 200")
    (home / "trading.toml").write_text(settings.replace("max_positions = 6", f"max_positions = {SLOTS + 2}"))
    server = HabitServer(panel, panel.session(panel.n_sessions - SESSIONS - 1), HABITS, 11)
    with Forge(home) as forge, server:
        yield Cases(Campaign(server, forge, home))


@pytest.mark.slow
def test_every_proven_fault_is_mended_at_the_process_over_http(tmp_path: Path) -> None:
    with cases(tmp_path / "cases") as account:
        lines = account.all()
    assert [line for line in lines if not line.is_right] == []
    assert sorted(line.case for line in lines) == sorted((*CASES, "all"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, cases(Path(folder) / "cases") as story:
        try:
            story.all()
        finally:
            rows = [f"| {line.case} | {'yes' if line.is_right else 'NO'} | {line.seen} |" for line in story.lines]
            sys.stdout.write("\n".join(["| case | right | seen |", "|---|---|---|", *rows, ""]))
