"""A database is lost while an account is traded: the next start refuses, `adopt` takes over, and trading goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from crash_world import Campaign, Forge, campaign, command_of, moments, panel_of

pytestmark = pytest.mark.real

SESSIONS = 10
LOST_AT = 6  # the evening after which the database is gone


@pytest.mark.slow
def test_a_lost_database_is_refused_adopted_and_traded_on(tmp_path: Path) -> None:
    panel = panel_of(seed=5, sessions=SESSIONS)
    with Forge(tmp_path) as forge, campaign(forge, tmp_path / "home", panel, SESSIONS) as world:
        evenings = 0
        for kind in moments(world.server, SESSIONS, afternoons=False):
            evenings += kind == "evening"
            if kind == "evening" and evenings == LOST_AT:
                world.scan()
                lose_and_adopt(world)
            world.scan()
        found = world.breaches()
        adopted = {row["client_order_id"] for row in world.ledger().orders if row["approval_id"].startswith("adopted")}
    # orders, executions of all ten days, shares, stops and money agree; what the lost journal knew of signals is lost
    lost = {f"{key} has 0 approved signals" for key in adopted}
    left = [breach for breach in found if breach.name != "order_without_signal" or breach.detail not in lost]
    # An exit of the last evening waits for an open that does not come.
    assert [breach for breach in left if "the simulated market ended" not in breach.detail] == []
    assert 0 < len(lost) < len(world.server.exchange.orders)


def lose_and_adopt(world: Campaign) -> None:
    before = sum(request.method == "POST" for request in world.server.requests)
    for path in world.home.glob("engine.db*"):
        path.rename(path.with_name(f"lost-{path.name}"))
    assert world.life().code == 5
    assert "adopt" in world.words()
    asked = command_of(world, "adopt")  # nobody answers
    assert (asked.returncode, "say --yes" in asked.stderr) == (2, True)
    told = command_of(world, "adopt", "--yes", "--json")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    at_server = {symbol: position.quantity for symbol, position in world.server.account.positions.items()}
    assert {row["ticker"]: row["quantity"] for row in found["positions"]} == at_server
    assert all(row["stop"] > 0.0 and row["strategy"] in ("mean_reversion", "breakout") for row in found["positions"])
    again = command_of(world, "adopt", "--yes")
    assert (again.returncode, "has a book already" in again.stderr) == (2, True)
    assert sum(request.method == "POST" for request in world.server.requests) == before  # nothing was sent
