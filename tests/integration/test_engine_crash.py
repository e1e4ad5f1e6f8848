"""The engine is killed with SIGKILL again and again while it trades through the local Alpaca, and loses nothing.

Each scan is a process of its own (`crash_forge`), killed at a named step of an order's life or at any instant, and
started again at the same moment of the simulated market. Afterwards the broker's books equal the engine's
(`account_invariants`), and executions, trades, equity at every close, risk events, decided entries and the signals that
they came from equal those of an engine that was never disturbed.
"""

from __future__ import annotations

import random
import signal
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from account_invariants import Ledger, story
from crash_world import PATIENCE, STEPS, Campaign, Command, Forge, campaign, moments, panel_of

from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.real

Death = Mapping[str, Any]
Wishes = Mapping[int, tuple[str, str]]
# Large positions, wide stops and a fall of the whole market end in a drawdown halt.
DRAWDOWN = """
max_drawdown_pct = 1.5
recovery_drawdown_pct = 1.0
max_daily_loss_pct = 50.0
max_position_pct = 15.0
max_exposure_pct = 90.0
position_volatility_pct = 20.0
consecutive_loss_limit = 50
"""
HALT_AND_RESUME: Wishes = {2: ("halt", "elections"), 4: ("resume", "they are over")}
SENDING = ("before_intent", "after_intent", "before_post", "after_post", "after_response", "after_commit")


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with Forge(tmp_path_factory.mktemp("forge")) as running:
        yield running


def deaths(draws: random.Random, count: int) -> deque[Death]:
    """Return `count` deaths: each named step in turn, and between them any instant of a scan (as a part of it)."""
    planned: deque[Death] = deque()
    for n in range(count):
        if n % 2 == 0:
            planned.append({"step": STEPS[n // 2 % len(STEPS)], "nth": draws.choice((1, 1, 2))})
        else:
            planned.append({"part": draws.random()})
    return planned


def trade(world: Campaign, sessions: int, wishes: Wishes, planned: deque[Death], pace: Pace) -> Ledger:
    """Trade `sessions` days; at each moment the engine dies some of the `planned` deaths before it may finish."""
    names = list(moments(world.server, sessions, pace.afternoons, dry=True))
    evening = -1
    for n, kind in enumerate(moments(world.server, sessions, pace.afternoons)):
        left = len(names) - n
        evening += kind == "evening"
        if kind == "evening" and evening in wishes:
            world.wish(*wishes[evening])
        for _ in range(len(planned) if left == 1 else -(-pace.weight(kind) * len(planned) // left)):
            die(world, planned, kind, is_last=left == 1)
        world.scan()
    return world.ledger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How many looks a day the engine takes, and that it dies most often where orders are sent."""

    afternoons: bool = False

    def weight(self, kind: str) -> int:
        """Return how many times the average number of deaths a moment gets."""
        return 2 if kind == "evening" else 1


QUICK = Pace()


def die(world: Campaign, planned: deque[Death], kind: str, *, is_last: bool) -> None:
    """Let the engine die the first planned death that fits the moment; one that it outlives waits for another."""
    # In the evenings orders are sent; steps of sending come first, while there is still something to send.
    choice = sorted(planned, key=lambda death: (death.get("step") in SENDING) != (kind == "evening"))
    fits = next((death for death in choice if kind == "evening" or death.get("step") not in SENDING), None)
    if fits is None:
        return
    planned.remove(fits)
    for _ in range(20):
        life = world.life(fits if "step" in fits else {"after": fits["part"] * world.scan_seconds})
        if life.killed:
            return
        assert life.code == 0, f"the engine ended with code {life.code}: {world.words()}"
        if "step" in fits and not is_last:
            planned.append(fits)
            return
        fits = {"part": 0.5 * fits.get("part", 1.0)}
    raise AssertionError("the engine is faster than any death")


def crash_and_compare(
    forge: Forge,
    home: Path,
    seed: int,
    sessions: int,
    kills: int,
    wishes: Wishes,
    shock: int | None,
    pace: Pace = QUICK,
    where: str = "engine.db",
) -> tuple[Ledger, Counter[str]]:
    """Trade the market of `seed` undisturbed on a file and with `kills` deaths on `where`: both tell the same story."""
    risk, stop = ("", 1.5) if shock is None else (DRAWDOWN, 8.0)
    panel = panel_of(seed, sessions + 1, shock)  # one more, so that the last evening has a next open
    with campaign(forge, home / "whole", panel, sessions + 1, risk, stop) as world:
        whole = trade(world, sessions, wishes, deque(), pace)
        assert world.breaches() == []
    with campaign(forge, home / "killed", panel, sessions + 1, risk, stop, where) as world:
        killed = trade(world, sessions, wishes, deaths(random.Random(seed), kills), pace)
        assert world.breaches() == []
        assert world.kills.total() == kills
        tally = world.kills
    assert story(killed) == story(whole)
    return killed, tally


def kinds_of(ledger: Ledger) -> set[str]:
    return {event["kind"] for event in ledger.events}


def test_killed_engine_ends_where_an_undisturbed_one_does(forge: Forge, tmp_path: Path) -> None:
    ledger, tally = crash_and_compare(forge, tmp_path, 1, 6, 22, HALT_AND_RESUME, None)
    assert set(STEPS) <= set(tally)
    assert len(ledger.fills) >= 10
    assert kinds_of(ledger) >= {"manual_halt", "resume"}


def test_drawdown_halt_survives_every_death(forge: Forge, tmp_path: Path) -> None:
    ledger, _ = crash_and_compare(forge, tmp_path, 2, 7, 9, {}, 2)
    assert "halt" in kinds_of(ledger)
    assert len(ledger.fills) >= 5


def test_engine_on_a_server_killed_at_every_step_ends_where_an_undisturbed_one_on_a_file_does(
    forge: Forge, tmp_path: Path, postgres: PostgresServer
) -> None:
    ledger, tally = crash_and_compare(
        forge, tmp_path, 1, 4, 18, {1: HALT_AND_RESUME[2], 2: HALT_AND_RESUME[4]}, None, where=postgres.new_database()
    )
    assert set(STEPS) <= set(tally)
    assert len(ledger.fills) >= 5
    assert kinds_of(ledger) >= {"manual_halt", "resume"}


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest) -> str:
    """The engine's database: a file in its home, or one on a server."""
    if request.param == "sqlite":
        return "engine.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_death_at_every_occurrence_of_a_step_changes_nothing(
    forge: Forge, tmp_path: Path, step: str, where: str
) -> None:
    panel = panel_of(21, 6)
    with campaign(forge, tmp_path / "whole", panel, 6) as world:
        whole = trade(world, 5, {}, deque(), QUICK)
    with campaign(forge, tmp_path / "killed", panel, 6, where=where) as world:
        for _ in moments(world.server, 5, afternoons=False):
            nth = 1
            while world.life({"step": step, "nth": nth}).killed:
                nth += 1
        killed = world.ledger()
        assert world.breaches() == []
        assert world.kills[step] >= 5
    assert story(killed) == story(whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_deaths_in_a_month_change_nothing(forge: Forge, tmp_path: Path, seed: int, where: str) -> None:
    halting = seed % 2 == 0
    wishes: Wishes = {8: ("halt", "elections"), 11: ("resume", "over")} if not halting else {}
    ledger, tally = crash_and_compare(
        forge,
        tmp_path,
        100 + seed,
        20,
        104,
        wishes,
        6 if halting else None,
        Pace(afternoons=True),
        where,
    )
    assert tally.total() == 104
    assert len(ledger.fills) >= 15
    assert ("halt" in kinds_of(ledger)) or not halting


@pytest.mark.parametrize("step", ["after_intent", "after_post"])
def test_engine_that_stays_dead_over_the_open_finds_what_became_of_its_orders(
    forge: Forge, tmp_path: Path, step: str
) -> None:
    with campaign(forge, tmp_path / "late", panel_of(3, 5), 5) as world:
        for n, _ in enumerate(moments(world.server, 4, afternoons=True)):
            if n == 3:  # the second evening; started again in the afternoon of the next day
                assert world.life({"step": step, "nth": 2}).killed
            elif n != 4:
                world.scan()
        world.scan()
        assert world.breaches() == []
        assert world.ledger().fills


def test_order_that_is_on_its_way_at_a_death_has_its_signal(forge: Forge, tmp_path: Path) -> None:
    """The engine never comes back: what it has sent must be told of all the same, down to the verdict."""
    with campaign(forge, tmp_path / "cut", panel_of(3, 3), 3) as world:
        for _ in moments(world.server, 1, afternoons=False):
            assert world.life({"step": "after_post", "nth": 2}).killed
        ledger = world.ledger()
        sent = [row["client_order_id"] for row in ledger.orders if row["side"] == "buy"]
        assert len(sent) == 2
        assert [row["client_order_id"] for row in ledger.signals] == sent
        assert not any("signal" in breach.name for breach in world.breaches())


# ------------------------------------------------------------ the command itself


def test_real_command_is_killed_between_shell_and_market(forge: Forge, tmp_path: Path) -> None:
    draws = random.Random(5)
    with campaign(forge, tmp_path / "shell", panel_of(4, 3), 3) as world:
        command = Command(world)
        for kind in moments(world.server, 2, afternoons=False):
            if kind == "evening":
                command.wait_for_requests(len(world.server.requests) + draws.randint(5, 40))
                command.process.send_signal(signal.SIGKILL)
                command.process.communicate()
                assert command.process.returncode == -signal.SIGKILL
                command = Command(world)
            command.wait_for_scan()
        command.process.send_signal(signal.SIGINT)
        command.process.communicate(timeout=PATIENCE)
        assert command.process.returncode == 130
        assert world.breaches() == []
        assert world.ledger().orders
