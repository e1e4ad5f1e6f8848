"""Clocks, heartbeat, watchdog and the live loop: what is noticed when something stands still."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from autonomous_trading_engine import AutonomousTradingEngine
from trading_platform.alpaca.answers import BrokerClock
from trading_platform.alpaca.clock import FollowedClock, SkewGuard, check_skew, skew_of
from trading_platform.alpaca.failures import AlpacaRefusalError, Failure, FailureKind
from trading_platform.core.errors import BrokerUnreachableError, MarketDataError, OperatorNeededError
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.machine.heartbeat import Heartbeat
from trading_platform.machine.stop_signals import INTERRUPTED, StoppedNowError, stop_signals
from trading_platform.machine.watchdog import Watchdog
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.runtime.live_loop import (
    BARS_FINAL_AFTER,
    BLIND_AFTER,
    STALE_AFTER,
    LiveLoop,
    clock_doubt,
    due_session,
    run_live,
)
from trading_platform.storage.runs import RunLock

CALENDAR = NyseCalendar()
SESSION = date(2024, 7, 3)  # a half day: it closes at 13:00 in New York
CLOSE = datetime(2024, 7, 3, 17, 0, tzinfo=UTC)
NEXT_OPEN = datetime(2024, 7, 5, 13, 30, tzinfo=UTC)  # the 4th is a holiday


@dataclass
class Teller:
    """A broker whose clock says what the test says, or nothing."""

    at: datetime | None

    def exchange_clock(self) -> BrokerClock:
        if self.at is None:
            raise BrokerUnreachableError("no answer")
        return BrokerClock(self.at, False, self.at, self.at)


def test_a_followed_clock_moves_when_asked_only_and_never_back() -> None:
    teller = Teller(CLOSE)
    clock = FollowedClock(teller)
    teller.at = CLOSE + timedelta(hours=1)
    assert clock.now() == CLOSE
    assert clock.asking.now() == clock.now() == CLOSE + timedelta(hours=1)
    teller.at = CLOSE
    assert clock.asking.now() == CLOSE + timedelta(hours=1)
    teller.at = None
    assert clock.asking.now() == CLOSE + timedelta(hours=1)


def test_a_clock_far_from_the_brokers_is_refused() -> None:
    check_skew(Teller(datetime.now(UTC)))
    check_skew(Teller(datetime.now(UTC) + timedelta(seconds=10)))
    with pytest.raises(OperatorNeededError, match="NTP"):
        check_skew(Teller(datetime.now(UTC) - timedelta(seconds=90)))


def test_an_answer_that_was_long_on_its_way_is_no_skew() -> None:
    """Asked at :00 and heard at :40, an answer of any instant in between may be right; one of :50 is 10 s off."""
    for second, skew in ((0, 0.0), (25, 0.0), (40, 0.0), (50, 10.0), (-7, 7.0)):
        ours = iter((CLOSE, CLOSE + timedelta(seconds=40)))
        assert skew_of(Teller(CLOSE + timedelta(seconds=second)), ours.__next__) == timedelta(seconds=skew)


@pytest.mark.parametrize(("seconds", "agrees"), [(0, True), (30, True), (-30, True), (31, False), (-31, False)])
def test_the_guard_refuses_beyond_the_limit_and_releases(seconds: int, agrees: bool) -> None:
    teller = Teller(CLOSE)
    guard = SkewGuard(teller, lambda: CLOSE)
    assert guard.compare() is None
    teller.at = CLOSE + timedelta(seconds=seconds)
    assert (guard.compare() is None) == agrees
    teller.at = CLOSE
    assert guard.compare() is None


def test_a_guard_that_gets_no_answer_says_so() -> None:
    with pytest.raises(BrokerUnreachableError, match="no answer"):
        SkewGuard(Teller(None), lambda: CLOSE).compare()


def test_a_clock_that_may_not_be_seen_is_not_known() -> None:
    class Refusing:
        def exchange_clock(self) -> BrokerClock:
            raise AlpacaRefusalError("clock", Failure(FailureKind.NOT_FOUND, 404, None, "not found"))

    with pytest.raises(BrokerUnreachableError, match="refuses to show its clock"):
        SkewGuard(Refusing(), lambda: CLOSE).compare()


class Hold:
    """A run that is held."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.released = 0

    def beat(self, now: datetime, note: str) -> None:
        self.notes.append(note)

    def release(self) -> None:
        self.released += 1


def test_the_heartbeat_file_tells_clock_and_reading(tmp_path: Path) -> None:
    hold = Hold()
    heart = Heartbeat(hold, tmp_path / "logs" / "heartbeat.json", 7, CLOSE, SESSION, CLOSE)
    heart.beat(CLOSE + timedelta(minutes=1), "watching")
    told = json.loads((tmp_path / "logs" / "heartbeat.json").read_text())
    assert (told["run_id"], told["note"], told["last_session"]) == (7, "watching", "2024-07-03")
    assert told["clock"] == "2024-07-03T17:01:00+00:00"
    assert abs(datetime.fromisoformat(told["at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert hold.notes == ["watching"]


def test_a_heartbeat_without_a_place_to_write_goes_on(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    hold = Hold()
    Heartbeat(hold, tmp_path / "logs" / "heartbeat.json", 7).beat(CLOSE, "watching")
    assert hold.notes == ["watching"]


def test_the_watchdog_acts_once_nobody_pets_it() -> None:
    now, acted = [0.0], list[float]()
    dog = Watchdog(60.0, lambda: acted.append(now[0]), lambda: now[0])
    now[0] = 60.0
    assert not dog.check()
    dog.pet()
    now[0] = 120.0
    assert not dog.check()
    now[0] = 121.0
    assert dog.check()
    assert acted == [121.0]


def test_a_process_that_was_stopped_as_a_whole_gets_that_time_back() -> None:
    """Seen: paused for twenty minutes and let go on, it was ended by its own watchdog."""
    now, acted = [0.0], list[float]()
    dog = Watchdog(900.0, lambda: acted.append(now[0]), lambda: now[0])
    now[0] = 1215.0  # it had slept for 15 s, as it meant to, and then stood still for 1200 s
    dog.wake(15.0)
    assert not dog.check()
    for _ in range(45):
        now[0] += 20.0  # a busy machine: late each time, and not for having stood still
        dog.wake(15.0)
    assert dog.check()
    assert acted == [2115.0]


# ---------------------------------------------------------------- the loop


@dataclass
class Engine:
    """What the loop drives, with everything it was told."""

    last_session: date | None
    stopped: bool = False
    decided: list[tuple[int, bool]] = field(default_factory=list)
    watched: int = 0
    fails: bool = False
    stops_after: int | None = None
    is_lost: bool = False
    recovered: list[int] = field(default_factory=list)
    orders: tuple[str, ...] = ()

    def recover(self, first: int) -> int:
        if self.is_lost:
            raise OperatorNeededError("the book is gone")
        self.recovered.append(first)
        return first

    entries_end: bool = False

    def ask_to_stop(self) -> None:
        self.stopped = True

    def end_entries(self) -> None:
        self.entries_end = True

    def adopt(self, prepared: EngineMarket) -> None:
        self.prepared = prepared

    def scan_cycle(self, t: int, *, decide: bool = True) -> Any:
        if self.fails:
            raise BrokerUnreachableError("no answer")
        self.decided.append((t, decide))
        self.last_session = self.prepared.sessions[t]
        return SimpleNamespace(session=self.last_session, orders=self.orders if decide else ())

    def watch(self, now: datetime) -> None:
        self.watched += 1
        if self.watched == self.stops_after:
            signal.raise_signal(signal.SIGTERM)

    def commit(self) -> None: ...


def days(*sessions: date) -> EngineMarket:
    return cast(EngineMarket, SimpleNamespace(sessions=list(sessions)))


class Steps(threading.Event):
    """Waiting that passes time: a steady clock and a wall clock, which `jumps` may set in a wait of its own."""

    def __init__(self, wall: datetime, *jumps: timedelta) -> None:
        super().__init__()
        self.seconds = 0.0
        self.wall = wall
        self._jumps = list(jumps)
        self.longest = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.longest = max(self.longest, timeout)
        self.seconds += timeout
        self.wall += timedelta(seconds=timeout) + (self._jumps.pop(0) if self._jumps else timedelta())
        return self.is_set()

    def now(self) -> datetime:
        return self.wall


def waited(engine: Engine, steps: Steps, asked: Callable[[], bool] = lambda: False, looks: int = 3) -> list[float]:
    """Run a loop for `looks` looks; return when each began, in steady seconds."""
    begun: list[float] = []
    loop = LiveLoop(
        engine,
        CALENDAR,
        steps,
        Heartbeat(Hold(), None, 1),
        refuse,
        900.0,
        wake=steps,
        steady=lambda: steps.seconds,
        asked=asked,
    )
    seen = engine.watch

    def watch(now: datetime) -> None:
        begun.append(steps.seconds)
        seen(now)
        if len(begun) == looks:
            loop.stop()

    engine.watch = watch  # type: ignore[method-assign] # a stand-in that counts
    loop.run()
    return begun


@pytest.mark.parametrize("jump", [timedelta(0), -timedelta(hours=6), -timedelta(days=400)], ids=str)
def test_a_wall_clock_that_is_set_back_costs_no_look(jump: timedelta) -> None:
    steps = Steps(CLOSE, jump)
    assert waited(Engine(SESSION), steps) == pytest.approx([0.0, 900.0, 1800.0])
    assert steps.longest <= 2.0  # a signal or an operator is heard soon


@pytest.mark.parametrize("jump", [timedelta(hours=6), timedelta(days=3)], ids=str)
def test_a_wall_clock_that_runs_ahead_brings_the_look_forward(jump: timedelta) -> None:
    """After a machine's sleep the wall is right and the wait was too short; set ahead, a look early costs nothing."""
    begun = waited(Engine(SESSION), Steps(CLOSE, jump))
    assert begun == pytest.approx([0.0, 2.0, 902.0])


LATE = CLOSE + BARS_FINAL_AFTER


@pytest.mark.parametrize(
    ("ours", "theirs", "waits"),
    [
        (LATE, LATE, ""),
        (LATE, LATE - timedelta(seconds=1), "not over by the broker's clock"),
        (LATE, CLOSE - timedelta(hours=3), "not over by the broker's clock"),
        (LATE + timedelta(seconds=30), LATE, ""),
        (LATE + timedelta(hours=6), LATE, "synchronise"),
        (LATE, LATE + timedelta(minutes=20), "synchronise"),
        (NEXT_OPEN - timedelta(hours=1, minutes=20), NEXT_OPEN - timedelta(hours=1), ""),  # exits have to leave
        (NEXT_OPEN - timedelta(hours=1), LATE, ""),
    ],
)
def test_a_session_is_settled_when_both_clocks_say_so(ours: datetime, theirs: datetime, waits: str) -> None:
    doubt = clock_doubt(CALENDAR, SESSION, ours, theirs)
    assert waits in doubt
    assert bool(doubt) == bool(waits)


def test_a_session_waits_for_the_clocks_while_looks_go_on_and_is_decided_when_they_agree() -> None:
    """Seen: a clock six hours ahead at noon would have the session settled on the bars of half a day."""
    engine, asked = Engine(date(2024, 7, 2)), list[date]()

    def load(session: date) -> EngineMarket:
        asked.append(session)
        return days(date(2024, 7, 2), SESSION)

    at = [CLOSE - timedelta(hours=2)]
    steps, hold = Steps(at[0] + timedelta(hours=6)), Hold()
    heart = Heartbeat(hold, None, 1)
    loop = LiveLoop(engine, CALENDAR, steps, heart, load, 900.0, wake=steps, brokers_now=lambda: at[0])
    assert loop.scan() == []
    assert (asked, engine.watched) == ([], 1)
    assert "WAITS FOR THE CLOCKS: 2024-07-03, it is not over" in hold.notes[-1]
    steps.wall = at[0] = LATE
    loop.scan()
    assert (asked, engine.decided, engine.watched) == ([SESSION], [(1, True)], 2)
    assert "WAITS" not in hold.notes[-1]


def test_a_brokers_clock_that_does_not_answer_lets_the_session_wait() -> None:
    def load(session: date) -> EngineMarket:
        raise AssertionError("nobody knows that it is over")

    engine = Engine(date(2024, 7, 2))
    unheard = SkewGuard(Teller(None), lambda: LATE).brokers_now
    loop = LiveLoop(engine, CALENDAR, Steps(LATE), Heartbeat(Hold(), None, 1), load, 900.0, brokers_now=unheard)
    assert loop.scan() == []
    assert engine.watched == 1


def test_an_operators_word_brings_the_look_forward() -> None:
    answers = iter([False, False, True])
    assert waited(Engine(SESSION), Steps(CLOSE), lambda: next(answers), 2) == pytest.approx([0.0, 4.0])


def test_the_watchdog_counts_looks_and_not_that_the_loop_waits() -> None:
    now, acted = [0.0], list[float]()
    dog = Watchdog(60.0, lambda: acted.append(now[0]), lambda: now[0])
    dog.pet(900.0)
    now[0] = 959.0
    assert not dog.check()
    now[0] = 961.0  # the loop may beat its heart as it likes: the look is overdue
    assert dog.check()
    assert acted == [961.0]


def test_a_signal_while_bars_are_loaded_lets_the_session_wait_for_the_next_start() -> None:
    """Seen: Ctrl-C in a live scan, and 15 s later ten buys were sent."""
    engine = Engine(date(2024, 7, 2))

    def load(session: date) -> EngineMarket:
        signal.raise_signal(signal.SIGINT)
        return world(session)

    loop = loop_at(CLOSE + BARS_FINAL_AFTER, engine, load, CLOSE)
    with stop_signals(loop.stop):
        loop.run()
    assert (engine.decided, engine.entries_end, engine.watched) == ([], True, 1)


def test_a_signal_while_sessions_are_caught_up_begins_no_further_one() -> None:
    engine = Engine(date(2024, 7, 1))
    loop = loop_at(CLOSE + BARS_FINAL_AFTER, engine, world, CLOSE)
    loop.on_scan = lambda scan: loop.stop()
    loop.run()
    assert engine.decided == [(1, False)]


def test_the_second_signal_ends_at_once_and_says_what_is_left(capfd: pytest.CaptureFixture[str]) -> None:
    engine, hold = Engine(date(2024, 7, 2)), Hold()

    def load(session: date) -> EngineMarket:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on after the second signal")

    loop = loop_at(CLOSE + BARS_FINAL_AFTER, engine, load, CLOSE)
    market = days(date(2024, 7, 1), date(2024, 7, 2))
    with pytest.raises(StoppedNowError, match="2 positions rest") as caught:
        run_live(
            cast(AutonomousTradingEngine, engine),
            cast(RunLock, hold),
            market,
            loop,
            "welcome",
            once=False,
            farewell=lambda: "Stopped. 2 positions rest; nobody watches",
        )
    assert caught.value.exit_code == INTERRUPTED
    assert hold.released == 1
    assert capfd.readouterr().err == "stopping after this look; again: now\n"


def loop_at(now: datetime, engine: Engine, load: Callable[[date], EngineMarket], reading: datetime | None) -> LiveLoop:
    clock = SimpleNamespace(now=lambda: now)
    return LiveLoop(engine, CALENDAR, clock, Heartbeat(Hold(), None, 1), load, 900.0, reading=lambda: reading)


def world(session: date) -> EngineMarket:
    return days(date(2024, 7, 1), date(2024, 7, 2), session)


def test_a_half_day_is_settled_and_decided_after_its_own_close() -> None:
    engine = Engine(date(2024, 7, 2))
    loop_at(CLOSE + BARS_FINAL_AFTER - timedelta(minutes=1), engine, world, CLOSE).scan()
    assert engine.decided == []
    loop_at(CLOSE + BARS_FINAL_AFTER, engine, world, CLOSE).scan()
    assert engine.decided == [(2, True)]
    assert engine.watched == 2


def test_after_a_sleep_only_the_newest_session_is_decided_and_only_before_its_next_open() -> None:
    engine = Engine(date(2024, 7, 1))
    loop_at(NEXT_OPEN - timedelta(minutes=1), engine, world, CLOSE).scan()
    assert engine.decided == [(1, False), (2, True)]
    late = Engine(date(2024, 7, 1))
    loop_at(NEXT_OPEN, late, world, CLOSE).scan()
    assert late.decided == [(1, False), (2, False)]


def refuse(session: date) -> EngineMarket:
    raise MarketDataError("not out yet")


def test_missing_bars_and_a_mute_account_are_told_in_the_heartbeat() -> None:
    now = CLOSE + BARS_FINAL_AFTER + STALE_AFTER + timedelta(minutes=1)
    patient = loop_at(now - timedelta(minutes=2), Engine(date(2024, 7, 2)), refuse, now)
    patient.scan()
    assert patient.heart.note == "watching; settled to 2024-07-02"
    loop = loop_at(now, Engine(date(2024, 7, 2)), refuse, now - BLIND_AFTER - timedelta(seconds=1))
    loop.scan()
    assert "NOT SETTLED: 2024-07-03" in loop.heart.note
    assert "ACCOUNT UNREADABLE since" in loop.heart.note


SATURDAY = datetime(2024, 7, 13, 13, 0, tzinfo=UTC)  # the second of July, 9:00 in New York
WORKED = timedelta(hours=2, minutes=30)


@pytest.mark.parametrize(
    ("seen", "now", "is_told"),
    [
        (timedelta(), WORKED - timedelta(minutes=1), False),
        (-timedelta(minutes=14), WORKED + timedelta(minutes=15), False),
        (timedelta(), WORKED + timedelta(minutes=16), True),
        (-timedelta(minutes=16), -timedelta(seconds=1), True),
        (-timedelta(days=7), -timedelta(days=7) + WORKED, True),  # the first Saturday of the month
        (WORKED, WORKED + timedelta(minutes=16), True),
    ],
)
def test_silence_in_the_hours_of_maintenance_is_no_alarm(seen: timedelta, now: timedelta, is_told: bool) -> None:
    engine = Engine(date(2024, 7, 12))
    loop = loop_at(SATURDAY + now, engine, world, SATURDAY + seen)
    loop.scan()
    assert ("ACCOUNT UNREADABLE" in loop.heart.note) == is_told


@pytest.mark.parametrize(
    ("before", "orders", "is_told"), [(121, ("a buy",), False), (120, ("a buy",), True), (120, (), False)]
)
def test_orders_decided_after_9_28_are_told_to_miss_the_auction(
    before: int, orders: tuple[str, ...], is_told: bool
) -> None:
    engine = Engine(date(2024, 7, 2), orders=orders)
    loop = loop_at(NEXT_OPEN - timedelta(seconds=before), engine, world, NEXT_OPEN)
    loop.scan()
    assert engine.decided == [(2, True)]
    assert ("LATE FOR THE AUCTION" in loop.heart.note) == is_told


def test_a_settlement_that_cannot_read_the_account_is_tried_again() -> None:
    engine = Engine(date(2024, 7, 2), fails=True)
    loop = loop_at(CLOSE + BARS_FINAL_AFTER, engine, world, CLOSE)
    loop.scan()
    assert engine.last_session == date(2024, 7, 2)
    engine.fails = False
    loop.scan()
    assert engine.decided == [(2, True)]


# ---------------------------------------------------------------- the desk


def run(engine: Engine, hold: Hold, *, once: bool) -> int:
    loop = loop_at(CLOSE + BARS_FINAL_AFTER, engine, world, CLOSE)
    market = days(date(2024, 7, 1), date(2024, 7, 2))
    return run_live(cast(AutonomousTradingEngine, engine), cast(RunLock, hold), market, loop, "welcome", once=once)


def test_a_session_is_due_once_its_bars_are_final() -> None:
    assert due_session(CALENDAR, CLOSE + BARS_FINAL_AFTER - timedelta(seconds=1)) == date(2024, 7, 2)
    assert due_session(CALENDAR, CLOSE + BARS_FINAL_AFTER) == SESSION


def test_one_scan_recovers_scans_once_and_lets_the_run_go() -> None:
    engine, hold = Engine(date(2024, 7, 2)), Hold()
    assert run(engine, hold, once=True) == 0
    assert hold.released == 1
    assert (engine.recovered, engine.decided, engine.watched) == ([1], [(2, True)], 1)


def test_a_signal_ends_the_loop_after_the_scan_in_hand_and_lets_the_run_go() -> None:
    before = signal.getsignal(signal.SIGTERM)
    engine, hold = Engine(date(2024, 7, 2), stops_after=1), Hold()
    assert run(engine, hold, once=False) == INTERRUPTED
    assert (hold.released, engine.watched) == (1, 1)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_is_let_go_when_recovery_fails() -> None:
    engine, hold = Engine(date(2024, 7, 2), is_lost=True), Hold()
    with pytest.raises(OperatorNeededError):
        run(engine, hold, once=True)
    assert (hold.released, engine.watched) == (1, 0)


def test_an_operators_stop_ends_the_loop_after_the_look_in_hand_and_is_answered() -> None:
    engine, answers = Engine(SESSION), list[str]()
    loop = loop_at(CLOSE, engine, world, CLOSE)

    def told(words: str) -> bool:
        answers.append(words)
        return True

    loop.told_to_stop = told
    loop.run()

    assert (engine.watched, engine.entries_end, loop.by_command) == (1, True, True)
    assert answers[0] == f"stopped at {CLOSE:%Y-%m-%d %H:%M} UTC"
