"""A small deterministic trading life, written to a database: what reports are tested on.

It shares no arithmetic with the platform: whole cents, average cost, one position a ticker, fills at made-up prices.
Every fourth ticker is bought by two strategies together, of which the first sells on its own.
Everything ties out by construction, which `tests/integration/test_report_tie_out.py` recomputes by SQL.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Table, insert

from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.models import Base

NEW_YORK = ZoneInfo("America/New_York")
STRATEGIES = ("momentum", "mean_reversion", "breakout", "low_volatility")
SECTORS = ("Technology", "Energy", "Financials", "Health Care", "Utilities")
RISK = {
    "max_drawdown_pct": 10.0,
    "max_daily_loss_pct": 2.0,
    "max_position_pct": 5.0,
    "max_exposure_pct": 80.0,
    "max_correlation": 0.8,
    "consecutive_loss_limit": 3,
    "pause_hours": 4,
    "max_positions": 10,
    "vix_threshold": 25.0,
    "max_sector_pct": 30.0,
    "recovery_drawdown_pct": 5.0,
    "halt_release": "shadow",
}
HOLIDAYS = {(1, 1), (7, 4), (12, 25)}
Rows = dict[str, list[dict[str, object]]]


@dataclass
class Plan:
    """What the life looks like. `moves` adds to every return of a session, by its number."""

    seed: int = 7
    first: date = date(2023, 1, 3)
    sessions: int = 60
    tickers: int = 24
    max_positions: int = 10
    capital: int = 100_000_00
    mode: str = "replay"
    account: str | None = None
    status: str = "finished"
    names: Sequence[str] = ()
    moves: dict[int, float] = field(default_factory=dict)
    flows: dict[int, int] = field(default_factory=dict)
    still: frozenset[int] = frozenset()
    cash_rate: float = 2.0  # percent a year
    half_days: frozenset[int] = frozenset()
    events: list[tuple[int, str, str, float | None, float | None, str]] = field(default_factory=list)
    halted: frozenset[int] = frozenset()
    model_id: str | None = "20230105-1f2e3d4c5b6a"
    warnings: Sequence[str] = ()


@dataclass
class Lot:
    strategy: str
    quantity: int
    cost: int
    entry: date
    dividends: int = 0
    bought: int = 0
    paid: int = 0
    proceeds: int = 0
    fees: int = 0
    market: int = 0


def build(path: Path | str, *plans: Plan) -> None:
    """Write one run for each plan into a new database: a file, or an empty one on a server by its URL."""
    engine = open_database(path, synchronous="NORMAL")
    migrate(engine)
    with engine.begin() as connection:
        for number, plan in enumerate(plans, start=1):
            for name, rows in live(plan, number).items():
                table: Table = Base.metadata.tables[name]
                if rows:
                    connection.execute(insert(table), rows)
    engine.dispose()


def sessions(plan: Plan) -> Iterator[date]:
    """Weekdays, but for three fixed holidays."""
    day, count = plan.first, 0
    while count < plan.sessions:
        if day.weekday() < 5 and (day.month, day.day) not in HOLIDAYS:
            yield day
            count += 1
        day += timedelta(days=1)


def live(plan: Plan, run_id: int) -> Rows:
    """Return the rows of one run, by table."""
    return Life(plan, run_id).rows


class Life:
    """The run itself, session by session."""

    def __init__(self, plan: Plan, run_id: int) -> None:
        self.plan, self.run_id, self.rng = plan, run_id, random.Random(plan.seed)
        self.days = list(sessions(plan))
        self.names = sorted(plan.names) if plan.names else [f"T{i:03d}" for i in range(plan.tickers)]
        self.price = {name: round(self.rng.uniform(20, 300), 2) for name in self.names}
        self.lots: dict[str, list[Lot]] = {}
        self.cash, self.equity, self.unrealized = plan.capital, plan.capital, 0
        self.peak = self.high = float(plan.capital)
        self.deepest = 0.0
        self.benchmark, self.fills, self.orders = 400.0, 0, 1
        self.before: date | None = None
        self.lost = dict.fromkeys(("spread", "slippage", "impact"), 0)
        self.rows: Rows = {name: [] for name in Base.metadata.tables}
        self._run()
        for number, day in enumerate(self.days):
            self._session(number, day)

    def _run(self) -> None:
        plan, first = self.plan, self.days[0]
        start = datetime.combine(first, time(8), NEW_YORK).astimezone(UTC)
        self.rows["runs"].append(
            {
                "id": self.run_id,
                "key": f"run-{self.run_id}",
                "mode": plan.mode,
                "source": "test market",
                "account": plan.account,
                "status": plan.status,
                "started_at": start,
                "finished_at": None,
                "capital": plan.capital / 100,
                "first_session": first,
                "last_session": self.days[-1],
                "config_fingerprint": "0123456789abcdef",
                "config": json.dumps({"risk": RISK}),
                "data_hash": "d" * 8,
                "seed": plan.seed,
                "code_version": "test",
                "strategies": json.dumps(STRATEGIES),
                "sectors": json.dumps({name: SECTORS[i % 5] for i, name in enumerate(self.names[:-1])}),
            }
        )
        self.rows["data_warnings"] += [{"run_id": self.run_id, "message": text} for text in plan.warnings]

    def _session(self, number: int, day: date) -> None:
        plan, rng = self.plan, self.rng
        still = number in plan.still
        flow = plan.flows.get(number, 0)
        previous, before = self.equity, self.unrealized
        nights = 0 if self.before is None else (day - self.before).days
        interest = round(self.cash * plan.cash_rate / 100 * nights / 365)
        self.before, self.lost = day, dict.fromkeys(self.lost, 0)
        self.cash += flow + interest
        realized = fees = dividends = 0
        if not still:
            dividends = self._pay_dividends(day)
            realized, fees = self._trade(number, day)
        returns = []
        for name in self.names:
            gain = 0.0 if still else rng.gauss(0.0006, 0.013) + plan.moves.get(number, 0.0)
            returns.append(gain)
            self.price[name] = max(1.0, round(self.price[name] * (1 + gain), 2))
        self.benchmark *= 1 + (0.0 if still else 0.8 * plan.moves.get(number, 0.0) + rng.gauss(0.0004, 0.008))
        value = self._mark(day)
        self.equity = self.cash + value
        self.unrealized = value - sum(lot.cost for lots in self.lots.values() for lot in lots)
        change = realized + self.unrealized - before - fees + dividends + interest + flow
        assert self.equity == previous + change, "the test world does not tie out"
        day_flows = (realized, fees, dividends, flow, interest)
        self._book(number, day, previous, day_flows, value, math.fsum(returns) / len(returns))
        self._decide(number, day)

    def _pay_dividends(self, day: date) -> int:
        total = 0
        for lots in self.lots.values():
            if self.rng.random() < 0.02:
                cents = self.rng.uniform(10, 90)
                for lot in lots:
                    paid = round(lot.quantity * cents)
                    lot.dividends += paid
                    total += paid
        self.cash += total
        return total

    def _trade(self, number: int, day: date) -> tuple[int, int]:
        realized = fees = 0
        for name in sorted(self.lots):
            lots, draw = self.lots[name], self.rng.random()
            if draw < 0.10:
                leaving = lots if draw < 0.03 else lots[:1]
                price = round(self.price[name] * (1 + self.rng.gauss(0, 0.004)), 2)
                for lot in list(leaving):
                    part = lot.quantity if draw < 0.06 or lot.quantity < 2 else max(1, lot.quantity // 3)
                    gain, fee = self._sell(day, name, lot, part, price)
                    realized, fees = realized + gain, fees + fee
                self.orders += 1
        room = self.plan.max_positions - len(self.lots)
        if number not in self.plan.halted:
            for name in self.rng.sample(self.names, len(self.names)):
                if room <= 0 or name in self.lots or self.rng.random() > 0.12:
                    continue
                fees += self._buy(day, name)
                room -= 1
        return realized, fees

    def _buy(self, day: date, name: str) -> int:
        price = round(self.price[name] * (1 + self.rng.gauss(0, 0.004)), 2)
        budget = min(self.equity * 0.04, self.equity * 0.75 / self.plan.max_positions, self.cash * 0.5)
        quantity = int(budget / 100 // price)
        if quantity < 1:
            return 0
        first = self.rng.randrange(len(STRATEGIES))
        is_shared = self.names.index(name) % 4 == 0 and quantity > 1
        shares = [quantity - quantity // 3, quantity // 3] if is_shared and quantity > 2 else [quantity]
        fees = 0
        for n, part in enumerate(shares):
            strategy, amount, fee = STRATEGIES[(first + n) % len(STRATEGIES)], round(part * price * 100), 35
            lost = self._lose(amount)
            lot = Lot(strategy, part, amount, day, bought=part, paid=amount, fees=fee, market=sum(lost))
            self.lots.setdefault(name, []).append(lot)
            self.cash -= amount + fee
            self._fill(day, name, "buy", part, price, amount, fee, 0, strategy, "entry", lost)
            fees += fee
        self.orders += 1
        return fees

    def _sell(self, day: date, name: str, lot: Lot, quantity: int, price: float) -> tuple[int, int]:
        amount = round(quantity * price * 100)
        fee = 35 + round(amount * 0.0000278)
        cost = lot.cost if quantity == lot.quantity else round(lot.cost * quantity / lot.quantity)
        lost = self._lose(amount)
        lot.quantity, lot.cost = lot.quantity - quantity, lot.cost - cost
        lot.proceeds, lot.fees, lot.market = lot.proceeds + amount, lot.fees + fee, lot.market + sum(lost)
        self.cash += amount - fee
        reason = "signal_exit" if amount >= cost else "stop_loss"
        self._fill(day, name, "sell", quantity, price, amount, fee, amount - cost, lot.strategy, reason, lost)
        if lot.quantity == 0:
            self.lots[name].remove(lot)
            self._close(day, name, lot, price, reason)
        if not self.lots[name]:
            del self.lots[name]
        return amount - cost, fee

    def _lose(self, amount: int) -> tuple[int, int, int]:
        """What the price of a fill lost to spread, slippage and impact, cents."""
        lost = (round(amount * 0.0002), round(amount * 0.0003), round(amount * 0.00005))
        for name, cents in zip(self.lost, lost, strict=True):
            self.lost[name] += cents
        return lost

    def _close(self, day: date, name: str, lot: Lot, price: float, reason: str) -> None:
        pnl = lot.proceeds - lot.paid - lot.fees + lot.dividends
        self.rows["trades"].append(
            {
                "run_id": self.run_id,
                "ticker": name,
                "strategy": lot.strategy,
                "entry_session": lot.entry,
                "exit_session": day,
                "opened_at": self._at(lot.entry, time(9, 30)),
                "closed_at": self._at(day, time(9, 30)),
                "quantity": lot.bought,
                "entry_price": lot.paid / lot.bought / 100,
                "exit_price": price,
                "cost": lot.paid / 100,
                "proceeds": lot.proceeds / 100,
                "fees": lot.fees / 100,
                "dividends": lot.dividends / 100,
                "pnl": pnl / 100,
                "return_fraction": pnl / lot.paid,
                "exit_reason": reason,
                "market_costs": lot.market / 100,
            }
        )

    def _fill(
        self,
        day: date,
        name: str,
        side: str,
        quantity: int,
        price: float,
        amount: int,
        fee: int,
        gain: int,
        strategy: str,
        reason: str,
        lost: tuple[int, int, int],
    ) -> None:
        self.fills += 1
        self.rows["fills"].append(
            {
                "run_id": self.run_id,
                "client_order_id": f"o{self.orders}",
                "broker_fill_id": f"f{self.fills}",
                "session": day,
                "filled_at": self._at(day, time(9, 30)),
                "ticker": name,
                "side": side,
                "quantity": quantity,
                "price": price,
                "amount": amount / 100,
                "fees": fee / 100,
                "realized_pnl": gain / 100,
                "strategy": strategy,
                "reason": reason,
                **{cause: cents / 100 for cause, cents in zip(self.lost, lost, strict=True)},
            }
        )

    def _mark(self, day: date) -> int:
        total = 0
        for name in sorted(self.lots):
            lots, price = self.lots[name], self.price[name]
            quantity, cost = sum(lot.quantity for lot in lots), sum(lot.cost for lot in lots)
            value = round(quantity * price * 100)
            total += value
            largest = max(lots, key=lambda lot: lot.quantity)
            self.rows["positions"].append(
                {
                    "run_id": self.run_id,
                    "session": day,
                    "ticker": name,
                    "strategy": largest.strategy,
                    "quantity": quantity,
                    "entry_price": cost / quantity / 100,
                    "price": price,
                    "cost": cost / 100,
                    "value": value / 100,
                    "stop_price": round(price * 0.92, 2),
                    "target_price": None,
                    "dividends": sum(lot.dividends for lot in lots) / 100,
                    "entry_session": min(lot.entry for lot in lots),
                }
            )
            left = value
            for lot in lots if len(lots) > 1 else []:
                part = left if lot is lots[-1] else round(lot.quantity * price * 100)
                left -= part
                self.rows["lots"].append(
                    {
                        "run_id": self.run_id,
                        "session": day,
                        "ticker": name,
                        "strategy": lot.strategy,
                        "quantity": lot.quantity,
                        "cost": lot.cost / 100,
                        "value": part / 100,
                        "stop_price": None,
                        "target_price": None,
                        "dividends": lot.dividends / 100,
                        "entry_session": lot.entry,
                    }
                )
        return total

    def _book(
        self, number: int, day: date, previous: int, flows: tuple[int, int, int, int, int], value: int, universe: float
    ) -> None:
        realized, fees, dividends, flow, interest = flows
        if flow:
            scale = (previous + flow) / previous
            self.peak, self.high = self.peak * scale, self.high * scale
        self.peak, self.high = max(self.peak, self.equity), max(self.high, self.equity)
        self.deepest = max(self.deepest, 1 - self.equity / self.high)
        close = time(13) if number in self.plan.half_days else time(16)
        self.rows["equity"].append(
            {
                "run_id": self.run_id,
                "session": day,
                "as_of": self._at(day, close),
                "cash": self.cash / 100,
                "positions_value": value / 100,
                "equity": self.equity / 100,
                "previous_equity": previous / 100,
                "realized_pnl": realized / 100,
                "unrealized_pnl": self.unrealized / 100,
                "fees": fees / 100,
                "dividends": dividends / 100,
                "cash_flow": flow / 100,
                "peak_equity": self.peak / 100,
                "drawdown": max(0.0, 1 - self.equity / self.peak),
                "lifetime_drawdown": self.deepest,
                "gross_exposure": value / self.equity,
                "n_positions": len(self.lots),
                "halted": number in self.plan.halted,
                "vix": round(16 + 6 * math.sin(number / 9), 2),
                "benchmark_close": round(self.benchmark, 2),
                "universe_return": universe,
                "interest": interest / 100,
                "commission": fees // 2 / 100,
                "cash_rate": self.plan.cash_rate,
                **{name: amount / 100 for name, amount in self.lost.items()},
                "unused_no_signal": 0.5 * self.cash // 100,
                "unused_slots": self.cash // 400,
                "unused_caps": 0.0,
                "unused_size": 12.34,
                "unused_halts": 0.0,
            }
        )

    def _decide(self, number: int, day: date) -> None:
        at = self._at(day, time(16, 1))
        weights = [1.0 + 0.5 * math.sin(number / 5 + 2 * i) for i in range(len(STRATEGIES))]
        split = {name: round(w / sum(weights), 4) for name, w in zip(STRATEGIES, weights, strict=True)}
        model = self.plan.model_id
        self.rows["rl_allocations"].append(
            {
                "run_id": self.run_id,
                "session": day,
                "as_of": at,
                "weights": json.dumps(split if model else dict.fromkeys(STRATEGIES, 0.25)),
                "source": "model" if model else "equal_weight",
                "reason": "" if model else "no model in rl_models",
                "model_id": model,
                "observation": None,
                "influences": json.dumps({"regime": 0.55, "portfolio": 0.3, "market": 0.15}) if model else None,
            }
        )
        regime = ("bull", "bear", "consolidation")[(number // 20) % 3]
        odds = {"bull": 0.08, "bear": 0.05, "consolidation": 0.04, regime: 0.87}
        self.rows["regimes"].append({"run_id": self.run_id, "session": day, "regime": regime, **odds})
        for event_number, kind, code, observed, limit, message in self.plan.events:
            if event_number == number:
                self.rows["risk_events"].append(
                    {
                        "run_id": self.run_id,
                        "at": self._at(day, time(16)),
                        "session": day,
                        "kind": kind,
                        "code": code,
                        "observed": observed,
                        "limit": limit,
                        "message": message,
                        "actor": "engine",
                    }
                )
        if number % 3 == 0 and number not in self.plan.still:
            self._signals(number, day, at)

    def _signals(self, number: int, day: date, at: datetime) -> None:
        name = self.names[number % len(self.names)]
        for i, (verdict, code) in enumerate(
            (("approved", "OK"), ("denied", "SECTOR_LIMIT"), ("denied", "POSITION_LIMIT"))
        ):
            self.rows["signals"].append(
                {
                    "run_id": self.run_id,
                    "session": day,
                    "ticker": self.names[(number + i) % len(self.names)],
                    "strategy": "momentum",
                    "strength": 0.5,
                    "verdict": verdict,
                    "code": code,
                    "observed": None,
                    "limit": None,
                    "quantity": 10,
                    "client_order_id": None,
                }
            )
        self.rows["orders"].append(
            {
                "run_id": self.run_id,
                "client_order_id": f"d{number}",
                "broker_order_id": None,
                "approval_id": "a",
                "config_fingerprint": "0123456789abcdef",
                "ticker": name,
                "side": "buy",
                "quantity": 10,
                "filled_quantity": 0,
                "limit_price": self.price[name],
                "stop_price": None,
                "target_price": None,
                "strategy": "momentum",
                "reason": "entry",
                "strength": 0.5,
                "status": "submitted",
                "message": None,
                "decided_session": day,
                "decided_at": at,
                "submitted_at": at,
                "closed_at": None,
            }
        )

    @staticmethod
    def _at(day: date, hour: time) -> datetime:
        return datetime.combine(day, hour, NEW_YORK).astimezone(UTC)
