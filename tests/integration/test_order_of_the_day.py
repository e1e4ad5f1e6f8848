"""How many requests a day of 10 and of 50 positions takes, against the limit of 200 a minute.

The numbers stand in docs/alpaca.md.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from alpaca_world import CALENDAR, ServerClock, flat, make_http, make_server, market
from test_engine_at_realistic_alpaca import leave
from test_eve_of_ex_date import Told

from risk_config import RiskConfig
from trading_platform.brokers.alpaca_broker import AlpacaBroker
from trading_platform.brokers.alpaca_venue import AlpacaVenue
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.saved_account import Memory
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules

LIMIT = 200  # requests a minute that Alpaca allows
RULES = Rules(limits_of(RiskConfig(max_positions=50).to_dict()), ExitConfig().rates(), CostConfig().rates())


class Wide(Told):
    """A venue whose book has fifty places."""

    def build(self) -> AlpacaVenue:
        clock, http = ServerClock(self.server), make_http(self.server, self.timer, requests_per_minute=1e9)
        broker = AlpacaBroker(http, self.door, self.journal, clock, self.timer.sleep)
        self.book = AccountBook(RULES, 100_000.0, self.panel.tickers, ["momentum", "breakout"])
        memory = Memory(self.server.now - timedelta(seconds=1), {})
        return AlpacaVenue(
            broker,
            self.journal,
            self.differences,
            self.door,
            self.book,
            memory,
            CALENDAR,
            clock,
            self.prices,
            ex_dates=self.ex_dates(http),
        )


def day_of(positions: int) -> dict[str, int]:
    """Return the requests of each step of a day on which `positions` are entered, held and, a session later, left."""
    names = [f"T{n:02d}" for n in range(positions)]
    counts: dict[str, int] = {}
    with make_server(market({**{name: flat(50.0) for name in names}, "SPY": flat(400.0)})) as server:
        scene = Wide(server, server.market.panel)
        before = 0

        def count(step: str) -> None:
            nonlocal before
            counts[step], before = len(server.requests) - before, len(server.requests)

        scene.settle(0)
        before = len(server.requests)
        for name in names:
            scene.enter(name, 1.0)
        count("entries")
        scene.opened(1)
        count("first look after the open")
        scene.look(server.now + timedelta(minutes=15))
        count("a look in the day")
        scene.look(server.market.closes[1])
        count("first look after the close")
        scene.settle(1)
        count("settlement")
        for name in names:
            leave(scene, name)
        count("exits")
        scene.look(server.now + timedelta(minutes=15))
        count("a look in the night")
        scene.opened(2)
        assert scene.book.positions() == {}
    return counts


STEPS = {  # requests at most: fixed, and for each position
    "entries": (0, 1),
    "first look after the open": (6, 1),
    "a look in the day": (6, 2),
    "first look after the close": (7, 3),
    "settlement": (7, 1),
    "exits": (0, 9),
    "a look in the night": (6, 1),
}


@pytest.mark.parametrize("positions", [10, 50])
def test_requests_of_a_day_are_within_the_table(positions: int) -> None:
    counts = day_of(positions)
    assert counts.keys() == STEPS.keys()
    for step, (fixed, each) in STEPS.items():
        assert 0 < counts[step] <= fixed + each * positions, step
    assert max(count for step, count in counts.items() if step != "exits") < LIMIT
