"""A month of the engine at the local Alpaca in which everything breaks: both books agree at its end."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from crash_world import PATIENCE, Campaign, Command, Forge, campaign, moments, panel_of

from trading_platform.alpaca.http import READ_ATTEMPTS
from trading_platform.alpaca_server.faults import ABSURD_PATHS, Fault, FaultKind
from trading_platform.alpaca_server.records import Whim
from trading_platform.core.errors import BrokerUnreachableError, MarketDataError

pytestmark = pytest.mark.real

ORDERS = "^/v2/orders$"
SESSIONS = 22
UNREACHABLE = BrokerUnreachableError.exit_code
BAD_DATA = MarketDataError.exit_code


def refusal(status: int, code: int, message: str) -> Fault:
    return Fault(FaultKind.STATUS_BEFORE, method="POST", path=ORDERS, status=status, code=code, message=message)


def answer(kind: FaultKind, status: int, method: str = "POST", path: str = ORDERS, times: int = 1) -> Fault:
    at_once = {"Retry-After": "0", "X-Ratelimit-Reset": "0"} if status == 429 else None  # a real one asks for a minute
    return Fault(kind, method=method, path=path, status=status, times=times, headers=at_once)


def cut(kind: FaultKind, method: str = "POST", path: str = ORDERS, times: int = 1, seconds: float = 0.0) -> Fault:
    return Fault(kind, method=method, path=path, times=times, seconds=seconds)


# Evening -> what breaks from then on, each until it has struck. Orders leave in the evenings.
PLAN: dict[int, Sequence[Fault]] = {
    1: (cut(FaultKind.LATENCY, times=3, seconds=0.05), cut(FaultKind.LATENCY, "GET", "account", 5, 0.05)),
    2: (cut(FaultKind.DROP_BEFORE), cut(FaultKind.DROP_BEFORE, "GET", "positions", 2)),
    3: (cut(FaultKind.DROP_AFTER), cut(FaultKind.DROP_AFTER, "GET", "activities", 2)),
    4: (cut(FaultKind.HANG, seconds=4.0), cut(FaultKind.HANG, "GET", "/v2/account$", 1, 4.0)),
    5: (refusal(403, 40310000, "insufficient buying power"),),
    6: (refusal(422, 42210000, "asset is not tradable today"),),
    7: (answer(FaultKind.STATUS_BEFORE, 429), answer(FaultKind.STATUS_BEFORE, 429, "GET", "orders", 3)),
    8: (answer(FaultKind.STATUS_BEFORE, 500), answer(FaultKind.STATUS_AFTER, 500, times=2)),
    9: (answer(FaultKind.HTML, 502), answer(FaultKind.HTML, 502, "GET", "bars", 2)),
    10: (answer(FaultKind.STATUS_AFTER, 504, times=2), cut(FaultKind.GARBAGE_AFTER), cut(FaultKind.EMPTY_AFTER)),
    14: (cut(FaultKind.DUPLICATE_PAGE, "GET", "bars"),),
    15: (cut(FaultKind.MISSING_PAGE, "GET", "bars"),),
    16: (cut(FaultKind.STALE_CLOCK, "GET", "clock"),),
}
WHIMS: dict[int, str] = {10: "partial", 11: "reject", 12: "cancel"}
DEAF = 13  # an order arrives, and then nobody can be asked for it: its fate stays open until the next scan
OUTAGE = 17  # on the evening itself nothing works at all
NOISE = range(18, 20)  # every request fails with one chance in twelve


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with Forge(tmp_path_factory.mktemp("forge")) as running:
        yield running


def noise() -> Iterator[Fault]:
    kinds = [(FaultKind.STATUS_BEFORE, 503), (FaultKind.STATUS_AFTER, 504), (FaultKind.DROP_BEFORE, 0)]
    for kind, status in [*kinds, (FaultKind.DROP_AFTER, 0), (FaultKind.HTML, 502), (FaultKind.GARBAGE_AFTER, 0)]:
        yield Fault(kind, status=status, times=None, probability=1.0 / 72.0)


def trade_through(world: Campaign) -> Counter[int]:
    """Trade the month; return how often the engine ended with which exit code."""
    codes: Counter[int] = Counter()
    evening = -1
    for kind in moments(world.server, SESSIONS, afternoons=False):
        passing: list[Fault] = []
        if kind == "evening":
            evening += 1
            world.server.faults.add(*PLAN.get(evening, ()))
            if evening == DEAF:
                today = f"tp-{world.server.market.session_at(world.server.market.closed_row):%Y%m%d}-"
                world.server.faults.add(
                    cut(FaultKind.DROP_AFTER), answer(FaultKind.STATUS_BEFORE, 503, "GET", today, READ_ATTEMPTS)
                )
            if evening in WHIMS:
                world.server.exchange.whims.append(Whim(WHIMS[evening], side="buy"))
            if evening == OUTAGE:
                passing = [Fault(FaultKind.STATUS_BEFORE, status=503, times=None)]
        if evening in NOISE:
            passing = list(noise())
        world.server.faults.add(*passing, first=True)
        codes[world.life().code] += 1
        world.server.faults.remove(len(passing))
        if evening == 16:
            world.server.trading.accounts.frozen_clock = None
    return codes


@pytest.mark.slow
def test_month_in_which_everything_breaks_ends_reconciled(forge: Forge, tmp_path: Path) -> None:
    with campaign(forge, tmp_path / "month", panel_of(11, SESSIONS + 2), SESSIONS + 2) as world:
        codes = trade_through(world)
        planned = [fault for fault in world.server.faults.faults if fault.times is not None]
        assert len(planned) == sum(len(faults) for faults in PLAN.values()) + 2
        assert [fault for fault in planned if fault.struck == 0] == []
        assert all(whim.times == 0 for whim in world.server.exchange.whims)
        # answers that make no sense are a matter of their own: the engine believes them still
        assert set(world.server.faults.history) == set(FaultKind) - set(ABSURD_PATHS)
        world.server.lift_faults()
        world.server.advance_to_evening()
        for _ in range(3):  # what nothing explains is taken over when a second look shows the same
            world.scan()
        assert world.breaches() == []
        assert len(world.ledger().fills) >= 15
        assert set(codes) <= {0, UNREACHABLE, BAD_DATA}
        assert codes[0] >= 35


@pytest.mark.slow
def test_running_command_outlives_a_fortnight_of_noise(forge: Forge, tmp_path: Path) -> None:
    """One process follows the clock while one request in twelve fails; a supervisor starts it again where it ends."""
    restarts = 0
    with campaign(forge, tmp_path / "noise", panel_of(12, 12), 12) as world:
        command = Command(world)
        command.wait_for_scan()
        world.server.faults.add(*noise())
        for _ in moments(world.server, 10, afternoons=True):
            for _ in range(2):  # and a quarter of an hour later once more
                while not command.scans_or_ends():
                    assert command.process.returncode == UNREACHABLE, command.process.communicate()[0]
                    restarts += 1
                    command = Command(world)
                world.server.advance(world.server.now + timedelta(minutes=15))
        struck = world.server.faults.history.total()
        world.server.lift_faults()
        world.server.advance_to_evening()
        for _ in range(3):
            command.wait_for_scan()
            world.server.advance(world.server.now + timedelta(minutes=15))
        command.process.send_signal(signal.SIGINT)
        command.process.communicate(timeout=PATIENCE)
        assert command.process.returncode == 130
        assert world.breaches() == []
        assert len(world.ledger().fills) >= 10
        assert struck >= 40
        assert restarts <= 2
