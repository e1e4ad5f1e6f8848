"""A simulated quarter of an account that is killed, deceived and hindered, and what that breaks in the engine.

Every look is a process of its own over HTTP at the local Alpaca (`crash_forge`). At each moment the engine dies a few
times while answers are spoiled, perhaps one disaster comes on top (`campaign_faults`), and then it must be up again and
look without an error. Every two weeks both books are compared, with nothing left to chance of agreement
(`campaign_books`). The first breach ends the quarter; its seed replays it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from account_invariants import story
from campaign_books import Cover, campaign_breaches, manual_shares, told_of
from campaign_faults import Blows, Kill, blows, kill_wish
from crash_world import BENCHMARK, HISTORY, Campaign, Forge, Life, campaign, panel_of

from trading_platform.alpaca_server.admin import administer
from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.records import ApiError, SimOrder, Whim
from trading_platform.brokers.reconciliation.reconcile import GRACE
from trading_platform.core.errors import (
    BrokerUnreachableError,
    FixConfigError,
    MarketDataError,
    OperatorNeededError,
    RepairDatabaseError,
)
from trading_platform.core.types import MarketPanel, Side
from trading_platform.storage.backups import back_up, put_back
from trading_platform.storage.run_locks import KernelLock, lock_path

QUARTER = 63  # sessions
CHECK_EVERY = 10  # sessions
FIRST_GUESS = 300_000  # calls of a look, until one has been counted
STRATEGIES = ("mean_reversion", "breakout")
PASSING = frozenset({0, BrokerUnreachableError.exit_code, MarketDataError.exit_code})  # of a look with spoiled answers
REFUSED = OperatorNeededError.exit_code
NO_STORAGE = RepairDatabaseError.exit_code
WRONG_SETTING = FixConfigError.exit_code  # a log file that is not ours to write
LOCKED_SECONDS = 0.3
SLOW_MACHINE = "ReadTimeout"  # the local Alpaca, which answers within milliseconds, had no processor for seconds
TRIES = 5
BESIDE = ("", "-wal", "-shm")


def eventful_panel(seed: int, sessions: int) -> MarketPanel:
    """Return the crash tests' market with splits and dividends in the `sessions` that trade; prices are as printed."""
    panel, draws = panel_of(seed, sessions), np.random.default_rng(seed)
    shape = panel.open.shape
    ratios, dividends, level = np.ones(shape), np.zeros(shape), np.ones(shape)
    for column, ticker in enumerate(panel.tickers):
        if ticker == BENCHMARK:
            continue
        ahead = np.arange(HISTORY + 2, HISTORY + sessions - 1)
        days = draws.choice(ahead, size=min(5, len(ahead)), replace=False)
        for n, day in enumerate(days):
            if n == 0:
                ratio = float(draws.choice((2.0, 3.0, 4.0)))
                ratios[day, column], level[day:, column] = ratio, level[day:, column] / ratio
            else:
                dividends[day, column] = round(float(draws.uniform(0.1, 1.0 if n < 4 else 3.0)), 2)
    prices = {name: np.round(getattr(panel, name) * level, 2) for name in ("open", "close")}
    high = np.maximum(np.round(panel.high * level, 2), np.maximum(prices["open"], prices["close"]))
    low = np.minimum(np.round(panel.low * level, 2), np.minimum(prices["open"], prices["close"]))
    return replace(panel, **prices, high=high, low=low, split_ratio=ratios, dividend=dividends)


@dataclass(slots=True)
class Tally:
    """What a quarter has come to."""

    seed: int
    sessions: int = 0
    lives: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)  # "family: kind"
    codes: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    fills: int = 0
    breaches: list[str] = field(default_factory=list)
    digest: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "seed": self.seed,
            "sessions": self.sessions,
            "lives": self.lives,
            "kills": dict(self.kills),
            "faults": dict(self.faults),
            "codes": dict(self.codes),
            "orders": self.orders,
            "fills": self.fills,
            "breaches": self.breaches,
            "digest": self.digest,
        }


class BrokenQuarterError(Exception):
    """An invariant does not hold: the quarter ends here."""


class Quarter:
    """One account on its way through its quarter.

    Parameters
    ----------
    world
        Its server and the files of its engine.
    seed, tempo
        Of all that befalls it.
    """

    def __init__(self, world: Campaign, seed: int, tempo: float = 1.0) -> None:
        self._world = world
        self._tempo = tempo
        self._cover = Cover()
        self._owners: Counter[str] = Counter()
        self._calls: dict[str, int] = {}
        self._backup: Path | None = None
        self._excused: set[str] = set()
        self._moment = 0
        self.tally = Tally(seed)

    def trade(self, sessions: int) -> None:
        """Trade; the tally tells how far it got."""
        try:
            self._trade(sessions)
        except BrokenQuarterError as broken:
            self.tally.breaches.append(f"session {self.tally.sessions}, moment {self._moment}: {broken}")
        world = self._world
        self.tally.lives, self.tally.kills = world.lives, world.kills
        self.tally.faults += Counter(
            {f"answers: {kind.value}": count for kind, count in world.server.faults.history.items()}
        )
        self.tally.orders = len(world.server.exchange.orders)
        if world.database.is_file() and not self.tally.breaches:
            ledger = world.ledger()
            self.tally.fills = len(ledger.fills)
            self.tally.digest = hashlib.sha256(json.dumps(story(ledger), default=str).encode()).hexdigest()[:16]

    def _trade(self, sessions: int) -> None:
        server, away = self._world.server, 0
        for n in range(sessions):
            server.advance_to_evening()
            if away > 0:
                away -= 1
                server.advance_to_open()
                continue
            away = self._live_through("evening")
            self.tally.sessions = n + 1
            if n % CHECK_EVERY == CHECK_EVERY - 1 or n == sessions - 1:
                away = 0
                self._compare()
            if n == sessions - 1:
                return
            if self._moment % 5 == 0:
                server.advance_to_dawn()
                self._live_through("dawn")
            server.advance_to_open()
            self._live_through("open")
            if self._moment % 3 == 0:
                row = server.market.opened_row
                opened, closed = server.market.opens[row], server.market.closes[row]
                server.advance(opened + (closed - opened) * (0.1 + 0.1 * (self._moment % 8)))
                self._live_through("day")

    # ------------------------------------------------------------ one moment

    def _live_through(self, kind: str) -> int:
        """Live through one moment; return for how many sessions the engine is away after it."""
        self._moment += 1
        blow = blows(self.tally.seed, self._moment, kind, self._tempo)
        begun = self._world.database.is_file() and self._moment > 3
        if begun:
            self._prepare(blow, kind)
        for kill in blow.kills:
            self._die(kill, kind)
        if begun:
            self._strike(blow)
        if blow.spoiled:
            self._spoiled_look(blow.spoiled)
        self._look("a look that nothing disturbs")
        return 1 + round(3 * blow.chance) if begun and blow.clock == "engine away for sessions" else 0

    def _die(self, kill: Kill, kind: str) -> None:
        life = self._disturbed(kill.spoiled, kill_wish(kill, self._calls.get(kind, FIRST_GUESS)))
        if life.calls is not None:
            self._calls[kind] = life.calls

    def _spoiled_look(self, spoiled: Sequence[Fault]) -> None:
        self._disturbed(spoiled, None)

    def _disturbed(self, spoiled: Sequence[Fault], kill: dict[str, Any] | None) -> Life:
        server = self._world.server
        server.faults.add(*spoiled, first=True)
        life = self._world.life(kill)
        server.faults.clear()
        server.trading.accounts.frozen_clock = None
        self._expect(life, PASSING, f"with {', '.join(_words(fault) for fault in spoiled)}")
        return life

    def _look(self, why: str) -> None:
        """Look at the account undisturbed: the engine is up again, and what it holds is covered or told of."""
        world = self._world
        self._expect(self._calm(), {0}, why)
        for breach in self._cover.after_look(world.server, self._owners, told_of(world.database)):
            raise BrokenQuarterError(f"{breach.name}: {breach.detail}")

    def _calm(self, **how: Any) -> Life:
        """Let the engine look; one that a busy machine kept from the local Alpaca is started again, as by its service.

        Nothing but that ends such a look by a timeout: answers are not spoiled.
        """
        world = self._world
        for _ in range(TRIES):
            said = len(world.words(None))
            life = world.life(**how)
            if life.code != BrokerUnreachableError.exit_code or SLOW_MACHINE not in world.words(None)[said:]:
                break
            self.tally.codes[f"{life.code} (machine too busy)"] += 1
        return life

    def _expect(self, life: Life, codes: frozenset[int] | set[int], why: str) -> None:
        self.tally.codes["killed" if life.killed else str(life.code)] += 1
        if not life.killed and life.code not in codes:
            raise BrokenQuarterError(f"exit code {life.code} {why}: {self._world.words()[-1500:]}")

    # ------------------------------------------------------------ disasters

    def _count(self, family: str, kind: str) -> None:
        self.tally.faults[f"{family}: {kind}"] += 1

    def _prepare(self, blow: Blows, kind: str) -> None:
        """Do what happens before the engine looks: words of the operator, deeds of the owner, whims of the venue."""
        server = self._world.server
        if blow.operator is not None:
            self._operator(blow.operator, blow.chance)
        # what the owner does after a close is in the books of the next one only
        if blow.owner is not None and kind != "evening" and self._owner(blow.owner, blow.chance):
            self._count("owner", blow.owner)
        if blow.whim is not None:
            server.exchange.whims.append(Whim(blow.whim, side="buy"))
            self._count("venue", blow.whim)

    def _operator(self, word: str, chance: float) -> None:
        held = sorted(set(self._world.server.account.positions) - set(self._owners))
        kind, subject = word, None
        if word == "flatten one":
            if not held:
                return
            kind, subject = "flatten", held[int(chance * len(held))]
        elif word in ("pause", "unpause"):
            subject = STRATEGIES[int(chance * len(STRATEGIES))]
        self._world.wish(kind, "campaign", subject)
        self._count("operator", word)

    def _owner(self, deed: str, chance: float) -> bool:
        """Let the owner do something; return False where there is nothing to do it with."""
        server = self._world.server
        match deed:
            case "buys by hand":
                if not server.market.is_open:
                    return False
                shares = float(1 + round(4 * chance))
                server.trade_by_hand(BENCHMARK, "buy", shares)
                self._owners[BENCHMARK] = round(server.account.held(BENCHMARK))
                return True
            case "sells by hand":
                if not server.market.is_open or not self._owners[BENCHMARK]:
                    return False
                server.trade_by_hand(BENCHMARK, "sell", 1.0)
                self._owners[BENCHMARK] = round(server.account.held(BENCHMARK))
                return True
            case "deposits" | "withdraws":
                amount = round(50.0 + 400.0 * chance, 2)
                server.move_cash(amount if deed == "deposits" else -amount)
                return True
            case "trades an option":
                return self._deed("foreign", {"kind": "option", "qty": 1.0, "price": round(0.1 + chance, 2)})
            case "cancels a stop" | "edits a stop":
                stop = next(iter(self._stops()), None)
                if stop is None:
                    return False
                if deed == "cancels a stop":
                    return self._deed("cancel", {"order_id": stop.id})
                price = round((stop.stop_price or 1.0) * (0.985 + 0.01 * chance), 2)
                return self._deed("replace", {"order_id": stop.id, "stop_price": price})
        raise AssertionError(deed)

    def _stops(self) -> Iterator[SimOrder]:
        for order in self._world.server.exchange.working():
            if order.side is Side.SELL and order.waits_for_stop and order.is_open:
                yield order

    def _deed(self, path: str, wish: dict[str, object]) -> bool:
        try:
            with self._world.server.lock:
                administer(self._world.server, "POST", f"/admin/{path}", wish)
        except ApiError:  # what it speaks of has gone in the same moment
            return False
        return True

    def _strike(self, blow: Blows) -> None:
        """Let the disasters come that a whole look must live with."""
        if blow.engines is not None:
            self._rival(blow.engines)
        if blow.clock in ("two hours ahead", "twenty minutes back"):
            self._clock(blow.clock)
        if blow.storage is not None:
            self._storage(blow.storage, blow.chance)
        if blow.clock == "engine away for sessions":
            self._count("clock", blow.clock)

    def _has_risk(self) -> bool:
        server = self._world.server
        ours = any(order.client_order_id.startswith("tp-") for order in server.exchange.working())
        return ours or any(ticker not in self._owners for ticker in server.account.positions)

    def _rival(self, kind: str) -> None:
        """Start another engine on the account: it is refused, and sends nothing."""
        world = self._world
        sent = len(world.server.exchange.orders)
        if kind == "same database":
            lock = KernelLock(lock_path(world.database, 1))
            assert lock.acquire()
            try:
                life = self._calm()
            finally:
                lock.release()
        elif self._has_risk():
            life = self._calm(database="rival.db")
            for path in world.home.glob("rival.db*"):
                path.unlink()
        else:
            return
        self._count("engines", kind)
        self._expect(life, {REFUSED}, f"of a second engine ({kind})")
        if len(world.server.exchange.orders) != sent:
            raise BrokenQuarterError(f"a second engine ({kind}) has sent orders")

    def _clock(self, kind: str) -> None:
        """Let the clock be told wrong through a whole look."""
        server = self._world.server
        shift = timedelta(hours=2) if kind == "two hours ahead" else timedelta(minutes=-20)
        if shift > timedelta() and server.market.is_open:  # a local engine has no other clock, and would see the close
            shift = min(shift, server.market.closes[server.market.opened_row] - server.now - timedelta(minutes=1))
        told = (server.now + shift).isoformat()
        fault = Fault(FaultKind.REWRITE, method="GET", path="clock", fields={"timestamp": told}, times=None)
        self._disturbed([fault], None)
        self._count("clock", kind)

    def _storage(self, kind: str, chance: float) -> None:
        world = self._world
        sent = len(world.server.exchange.orders)
        match kind:
            case "no room":
                (world.home / "engine.out").write_text("")  # its own words must find room, to be read here
                life = self._calm(hindrance={"most_bytes": 4096 * (1 + round(30 * chance))})
                self._expect(life, {0, NO_STORAGE}, "with no room to write")
            case "not writable":
                life = self._calm(hindrance={"stranger": True})
                self._expect(life, {NO_STORAGE, WRONG_SETTING}, "with files of somebody else")
            case "locked":
                with closing(sqlite3.connect(world.database, isolation_level=None, check_same_thread=False)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    timer = threading.Timer(LOCKED_SECONDS, other.execute, ["ROLLBACK"])
                    timer.start()
                    life = world.life()
                    timer.join()
                self._expect(life, {0}, "with a database that is locked for a moment")
            case "put away":
                if not self._has_risk():
                    return
                self._without_database()
            case "back to an older copy":
                if self._backup is None:
                    self._backup = back_up(world.database, world.home / "backups", 1, _wall(world))
                    return
                self._restore()
            case _:
                raise AssertionError(kind)
        self._count("storage", kind)
        if kind in ("not writable", "put away") and len(world.server.exchange.orders) != sent:
            raise BrokenQuarterError(f"orders were sent without a database ({kind})")

    def _without_database(self) -> None:
        world, away = self._world, self._world.home / "away"
        away.mkdir()
        for side in BESIDE:
            path = world.database.with_name(world.database.name + side)
            if path.exists():
                path.rename(away / path.name)
        life = self._calm()
        for path in world.home.glob("engine.db*"):
            path.unlink()
        for path in away.iterdir():
            path.rename(world.home / path.name)
        away.rmdir()
        self._expect(life, {REFUSED}, "with its database put away")

    def _restore(self) -> None:
        """Put the copy back that was taken some moments ago; what was sent since is not in it."""
        world = self._world
        assert self._backup is not None
        before = {row["client_order_id"] for row in world.ledger().orders}
        put_back(self._backup, world.database, _wall(world))
        # nor does it know what its owner's edits of then made of its orders
        self._excused |= {
            order.client_order_id
            for order in world.server.exchange.orders.values()
            if not order.client_order_id.startswith("tp-")
        }
        self._excused |= before - {row["client_order_id"] for row in world.ledger().orders}
        self._backup = None
        shutil.rmtree(world.home / "backups")
        for path in world.home.glob("engine.db.before-restore-*"):
            path.unlink()

    # ------------------------------------------------------------ both books

    def _compare(self) -> None:
        """Let the engine come to rest, and compare all that there is to compare."""
        world = self._world
        world.server.lift_faults()
        world.server.advance(world.server.now + GRACE)  # a crash's unsent intent is open until then
        for _ in range(2):  # what nothing explains is taken over when a second look shows the same
            self._look("a look before the books are compared")
        found = campaign_breaches(
            world.state(), world.ledger(), self._owners, manual_shares(world.database), self._excused
        )
        if found:
            raise BrokenQuarterError("; ".join(f"{breach.name}: {breach.detail}" for breach in found[:8]))
        halted = world.ledger().risk
        if halted.get("manual_halt") is not None or halted.get("account", {}).get("halted"):
            world.wish("resume", "the campaign goes on")


def _wall(world: Campaign) -> datetime:
    return world.server.now.astimezone(UTC)


def _words(fault: Fault) -> str:
    named = {"path": fault.path, "skip": fault.skip, "times": fault.times, "fields": fault.fields}
    return f"{fault.kind.value} {fault.status} { ({key: value for key, value in named.items() if value}) }"


def live_a_quarter(forge: Forge, home: Path, seed: int, sessions: int = QUARTER, tempo: float = 1.0) -> Tally:
    """Live through the quarter of `seed` and return its tally; `home` keeps the account's files."""
    panel = eventful_panel(seed, sessions + 2)
    with campaign(forge, home, panel, sessions + 2) as world:
        quarter = Quarter(world, seed, tempo)
        quarter.trade(sessions)
        quarter.tally.faults += _corporate(panel, quarter.tally.sessions)
    return quarter.tally


def _corporate(panel: MarketPanel, sessions: int) -> Counter[str]:
    """Return how many corporate events there were in the sessions that traded."""
    assert panel.split_ratio is not None
    assert panel.dividend is not None
    traded = slice(HISTORY, HISTORY + sessions)
    return Counter(
        {
            "corporate: split": int(np.count_nonzero(panel.split_ratio[traded] != 1.0)),
            "corporate: dividend": int(np.count_nonzero(panel.dividend[traded])),
        }
    )
