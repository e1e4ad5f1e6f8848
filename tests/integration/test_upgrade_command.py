"""An account keeps the strategies that it began with until its owner has seen what `upgrade` trades, and agrees."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from crash_world import Campaign, Forge, campaign, command_of, moments, panel_of

SESSIONS = 11
CHANGED_AT = 5  # the evening on which the settings name other strategies
MOMENTUM = "[strategies.momentum]\nformation = 20\nskip = 2\ntrend = 10\nentry_rank = 0.5\nexit_rank = 0.3\n"


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def traded(world: Campaign) -> list[str]:
    names: list[str] = json.loads(asked(world.database, "SELECT strategies FROM runs")[0][0])
    return names


def holders(world: Campaign) -> set[str]:
    """Return the strategies that own something at the last close."""
    last = "(SELECT max(session) FROM equity)"
    shared = asked(world.database, f"SELECT DISTINCT strategy FROM lots WHERE session = {last}")  # noqa: S608
    alone = asked(world.database, f"SELECT DISTINCT strategy FROM positions WHERE session = {last}")  # noqa: S608
    return {name for (name,) in (*shared, *alone)}


def name_others(world: Campaign) -> None:
    settings = world.home / "trading.toml"
    text = settings.read_text().replace('["mean_reversion", "breakout"]', '["breakout", "momentum"]')
    settings.write_text(text + MOMENTUM)


@pytest.mark.slow
def test_an_account_goes_over_when_its_owner_agrees_and_not_before(tmp_path: Path) -> None:
    panel = panel_of(seed=5, sessions=SESSIONS)
    with Forge(tmp_path) as forge, campaign(forge, tmp_path / "home", panel, SESSIONS) as world:
        evenings = 0
        for kind in moments(world.server, SESSIONS, afternoons=False):
            evenings += kind == "evening"
            world.scan()
            if kind == "evening" and evenings == CHANGED_AT:
                assert "mean_reversion" in holders(world)
                name_others(world)
                go_over(world)
        assert traded(world) == ["breakout", "momentum"]
        assert holders(world) <= {"breakout", "momentum"}
        again = command_of(world, "upgrade", "--yes")
        assert (again.returncode, "nothing to upgrade" in again.stdout) == (0, True), again.stdout
        found = [breach for breach in world.breaches() if "the simulated market ended" not in breach.detail]
    assert found == []
    reasons = asked(
        world.database, "SELECT DISTINCT reason FROM fills WHERE strategy = 'mean_reversion' AND side = 'sell'"
    )
    assert ("unfunded",) in reasons
    met = "SELECT count(*), count(decision_price), min(dollar_volume) > 1e7 FROM fills"  # what `own_costs` goes by
    ((count, known, is_liquid),) = asked(world.database, met)
    assert count == known > 0
    assert is_liquid


def go_over(world: Campaign) -> None:
    refused = world.life()
    assert refused.code == 2
    assert "upgrade" in world.words()
    orders = len(world.server.exchange.orders)

    planned = command_of(world, "upgrade", "--plan", "--json")
    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert (plan["leaving"], plan["joining"], plan["agreed"]) == (["mean_reversion"], ["momentum"], False)
    assert "mean_reversion" in {name for row in plan["sold"] for name in row["strategies"]}
    assert 0.0 < plan["costs"]["total"] == round(sum(v for k, v in plan["costs"].items() if k != "total"), 2)
    told = command_of(world, "upgrade", "--plan")
    assert "nothing was changed" in told.stdout
    assert "leave  mean_reversion" in told.stdout
    nobody = command_of(world, "upgrade")
    assert (nobody.returncode, "nobody answers" in nobody.stderr) == (2, True)
    both = command_of(world, "upgrade", "--plan", "--yes")
    assert both.returncode == 2
    assert asked(world.database, "SELECT count(*) FROM commands") == [(0,)]
    assert traded(world) == ["mean_reversion", "breakout"]

    agreed = command_of(world, "upgrade", "--yes", "--reason", "the new book")
    assert agreed.returncode == 0, agreed.stderr
    assert "agreed and recorded" in agreed.stdout
    assert asked(world.database, "SELECT kind, subject, reason FROM commands WHERE handled_at IS NOT NULL") == [
        ("upgrade", None, "the new book"),
        ("join", "breakout", "the new book"),
        ("join", "momentum", "the new book"),
        ("leave", "mean_reversion", "the new book"),
    ]
    assert traded(world) == ["mean_reversion", "breakout", "momentum"]
    assert len(world.server.exchange.orders) == orders  # nothing was sent
