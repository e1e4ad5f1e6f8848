"""The live loop: the engine's scans on the clock of the exchange.

A new completed session is settled and decided once; between sessions the loop watches: it obeys operators, lets the
broker report, and says that it lives. After a sleep or a restart the sessions missed are settled in order, and only
the newest is decided, and only while its next open still lies ahead: nothing is traded on stale signals.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol

from autonomous_trading_engine import AutonomousTradingEngine
from trading_platform.alpaca.clock import SKEW_LIMIT
from trading_platform.alpaca.maintenance import excused
from trading_platform.brokers.venue import ENTRY_LIFE
from trading_platform.core.alert_states import AlertKind, AlertState, moment
from trading_platform.core.errors import BrokerUnreachableError, MarketDataError
from trading_platform.core.ports import Clock
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.engine.scan_result import ScanResult
from trading_platform.machine.clocks import session_of, steady_seconds
from trading_platform.machine.heartbeat import Heartbeat
from trading_platform.machine.stop_signals import INTERRUPTED, StoppedNowError, stop_signals
from trading_platform.machine.watchdog import Watchdog
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.reporting.status_screen import complain, say
from trading_platform.runtime.alerting import Ears, NobodyListens
from trading_platform.storage.runs import RunLock

log = logging.getLogger("trading_platform.runtime.live_loop")

# Daily bars are final some minutes after the close; free feeds hold the consolidated tape back for fifteen.
BARS_FINAL_AFTER = timedelta(minutes=20)
BEAT_SECONDS = 60.0
GLANCE_SECONDS = 5.0  # between glances at the stops that the engine watches
WAIT_STEP_SECONDS = 2.0  # an operator's word is heard within that time
CLOCK_JUMP_SECONDS = 60.0  # by which the wall clock may run away from the steady one before a look is due at once
BLIND_AFTER = timedelta(minutes=15)  # without a usable answer of the account
STALE_AFTER = timedelta(hours=2)  # without bars of a session that should be there
LAST_CALL = timedelta(hours=1)  # before the open: a session that waits for the clocks is settled then, for its exits
AUCTION_CLOSES = timedelta(minutes=2)  # before the open: what comes later (9:28) trades after it, not in it


def next_moment(calendar: NyseCalendar, now: datetime) -> datetime:
    """Return the next instant after `now` at which a look is due whatever the interval.

    At the bell cancellations come true and exits that waited leave; a few minutes later entries are over.
    """
    day = session_of(now)
    if calendar.is_session(day):
        opened = calendar.open_at(day)
        for moment in (opened, opened + ENTRY_LIFE):
            if now < moment:
                return moment
    return calendar.open_at(calendar.next_session(day))


def due_session(calendar: NyseCalendar, now: datetime) -> date:
    """Return the newest session whose bars are final at `now`: the one that should be settled."""
    return calendar.last_completed_session(now - BARS_FINAL_AFTER)


def clock_doubt(calendar: NyseCalendar, due: date, ours: datetime, theirs: datetime) -> str:
    """Return why these clocks, this machine's and the broker's, do not let session `due` be settled yet, "" if they do.

    A clock that runs ahead would have a session settled on the bars of half a day. While the two differ no entry may
    be decided either, and a session is decided once: so it waits for them, as long as its exits do.
    """
    if theirs < calendar.close_at(due) + BARS_FINAL_AFTER:
        return f"it is not over by the broker's clock, {moment(theirs)}, here it is {moment(ours)}"
    last_call = calendar.open_at(calendar.next_session(due)) - LAST_CALL
    if abs(ours - theirs) > SKEW_LIMIT and max(ours, theirs) < last_call:
        return f"it is {moment(ours)} here and {moment(theirs)} by the broker's clock: synchronise this one (NTP)"
    return ""


class LiveEngine(Protocol):
    """The part of the engine that the loop drives."""

    @property
    def stopped(self) -> bool:
        """True once somebody asked it to stop."""
        ...

    @property
    def last_session(self) -> date | None:
        """The newest session that has been settled, None before the first."""
        ...

    def ask_to_stop(self) -> None:
        """Finish what is in hand and stop."""
        ...

    def end_entries(self) -> None:
        """Decide and send no entry any more."""
        ...

    def adopt(self, prepared: EngineMarket) -> None:
        """Continue on a market that has grown by some sessions."""
        ...

    def scan_cycle(self, t: int, *, decide: bool = True) -> ScanResult:
        """Settle row `t`; decide too, if asked."""
        ...

    def watch(self, now: datetime) -> None:
        """Obey operators and let the broker report, between sessions."""
        ...

    def commit(self) -> None:
        """Write everything collected."""
        ...


@dataclass(slots=True)
class LiveLoop:
    """Runs an engine until it is asked to stop.

    Attributes
    ----------
    engine, calendar, clock, heart
        Who trades, when the exchange is open, what time it is, and the proof of life.
    load_market
        Returns the market with bars up to the session given, prepared; raises when it cannot.
    scan_interval
        Seconds between scans.
    poll
        Seconds of real time between looks at a simulated clock, which is scanned whenever it has moved; None: the
        clock is real.
    reading
        Returns when the account was last read, None where there is nothing to read.
    asked
        Returns True if an operator waits for an answer: the next look is then due at once.
    glance
        Returns True if something cannot wait for the next look: a stop that the engine watches is reached, say. Asked
        every few seconds.
    watchdog
        Ends the process when no look happens.
    steady
        Seconds that only grow: waiting goes by them, whatever becomes of the wall clock.
    checkpoint
        Called with ``after_book`` when a scan's work is committed.
    wake
        Ends a wait at once when set.
    ears
        Hears at the end of each look what is so, and whether the look was a complete one; returns at once.
    standing
        Returns what the venue knows of its account beside that.
    brokers_now
        Returns the broker's time, by which a session must be over, too; None: there is one clock only.
    told_to_stop
        Answers operators who ask the process to stop with the words given; returns True if any did.
    evening
        Called with the market when a session is settled and committed, and at each look after: live against replay.
    """

    engine: LiveEngine
    calendar: NyseCalendar
    clock: Clock
    heart: Heartbeat
    load_market: Callable[[date], EngineMarket]
    scan_interval: float
    poll: float | None = None
    on_scan: Callable[[ScanResult], None] | None = None
    reading: Callable[[], datetime | None] = lambda: None
    asked: Callable[[], bool] = lambda: False
    glance: Callable[[datetime], bool] = lambda now: False
    watchdog: Watchdog = field(default_factory=Watchdog)
    checkpoint: Callable[[str], None] = lambda step: None
    wake: threading.Event = field(default_factory=threading.Event)
    steady: Callable[[], float] = steady_seconds
    ears: Ears = field(default_factory=NobodyListens)
    standing: Callable[[], Sequence[AlertState]] = lambda: ()
    evening: Callable[[EngineMarket], None] = lambda prepared: None
    brokers_now: Callable[[], datetime] | None = None
    told_to_stop: Callable[[str], bool] = lambda words: False
    by_command: bool = False  # an operator's `stop` has ended it, and no signal

    def run(self) -> None:
        """Scan until the engine is stopped."""
        with self.watchdog:
            while not self.engine.stopped:
                self.scan()
                self._sleep()
            self.engine.commit()

    def stop(self) -> None:
        """Make safe what is in hand, decide no entry any more, and return from `run`; a signal handler may call it."""
        self.engine.end_entries()
        self.engine.ask_to_stop()
        self.wake.set()

    def scan(self) -> list[ScanResult]:
        """Do what is due now; return the scans of sessions that had completed."""
        self.watchdog.pet()
        now = self.clock.now()
        results: list[ScanResult] = []
        due = due_session(self.calendar, now)
        doubt = ""
        if self.engine.last_session is None or due > self.engine.last_session:
            try:
                doubt = self._clock_doubt(due)
                if doubt:
                    log.warning("session %s is not settled yet: %s", due, doubt)
                else:
                    results = self._settle(due, now)
            except (MarketDataError, BrokerUnreachableError) as error:
                # without new bars there is no new decision; stops rest at the broker, and the next scan tries again
                log.warning("session %s is not settled yet: %s", due, error)
        self.engine.watch(now)
        self.engine.commit()
        self.checkpoint("after_book")
        heart = self.heart
        heart.scanned, heart.last_session, heart.reconciled = now, self.engine.last_session, self.reading()
        troubles = list(self._troubles(now, due))
        words = [*self._lateness(results), *(state.words for state in troubles)]
        words += [f"WAITS FOR THE CLOCKS: {due}, {doubt}"] if doubt else []
        heart.beat(now, "; ".join([f"watching; settled to {heart.last_session}", *words]))
        self.ears.look([*troubles, *self.standing()], complete=not troubles)
        self.watchdog.pet(self.scan_interval)
        if self.told_to_stop(f"stopped at {self.clock.now():%Y-%m-%d %H:%M} UTC"):
            self.by_command = True
            self.stop()
        return results

    def _clock_doubt(self, due: date) -> str:
        if self.brokers_now is None:
            return ""
        theirs = self.brokers_now()
        return clock_doubt(self.calendar, due, self.clock.now(), theirs)

    def _settle(self, due: date, now: datetime) -> list[ScanResult]:
        prepared = self.load_market(due)
        if self.engine.stopped:  # the session waits for the next start, which can still decide it
            return []
        return self._catch_up(prepared, now)

    def _troubles(self, now: datetime, due: date) -> Iterator[AlertState]:
        """Yield what has been missing for too long; new risk is refused meanwhile by what misses it."""
        seen, settled = self.heart.reconciled, self.heart.last_session
        if seen is not None and now - excused(seen, now) > BLIND_AFTER:
            log.error("the account has not been readable since %s: no new risk", seen)
            words = f"ACCOUNT UNREADABLE since {moment(seen)}"
            yield AlertState(AlertKind.ACCOUNT_UNREADABLE, "", seen, words)
        expected = self.calendar.close_at(due) + BARS_FINAL_AFTER
        if (settled is None or due > settled) and now - expected > STALE_AFTER:
            log.error("session %s should have been settled at %s: no new risk", due, expected)
            words = f"NOT SETTLED: {due}, expected since {moment(expected)}"
            yield AlertState(AlertKind.NOT_SETTLED, str(due), expected, words)

    def _lateness(self, results: Sequence[ScanResult]) -> Iterator[str]:
        """Yield that what this look has decided comes too late for the opening auction."""
        if results and results[-1].orders:
            opens = self.calendar.open_at(self.calendar.next_session(results[-1].session))
            if self.clock.now() >= opens - AUCTION_CLOSES:
                log.warning("decided after 9:28 New York: these orders trade after the opening auction, not in it")
                yield "LATE FOR THE AUCTION: orders decided after 9:28 New York"

    def _catch_up(self, prepared: EngineMarket, now: datetime) -> list[ScanResult]:
        """Settle the sessions since the last one, oldest first; decide the newest while its next open is ahead."""
        first = len(prepared.sessions) - 1
        if self.engine.last_session is not None:
            first = prepared.sessions.index(self.engine.last_session) + 1
        self.engine.adopt(prepared)
        results = []
        for row in range(first, len(prepared.sessions)):
            if self.engine.stopped:
                break
            newest = row == len(prepared.sessions) - 1
            in_time = now < self.calendar.open_at(self.calendar.next_session(prepared.sessions[row]))
            if newest and not in_time:
                log.warning("session %s is settled but not decided: its next open has passed", prepared.sessions[row])
            result = self.engine.scan_cycle(row, decide=newest and in_time)
            results.append(result)
            self.evening(prepared)
            if self.on_scan is not None:
                self.on_scan(result)
        return results

    def _sleep(self) -> None:
        """Wait until the next look is due, beating the heart at least once a minute."""
        if self.poll is not None:
            self._follow(self.poll)
            return
        wall, begun = self.clock.now(), self.steady()
        beaten = glanced = begun
        pause = min(self.scan_interval, (next_moment(self.calendar, wall) - wall).total_seconds())
        while not self.engine.stopped and not self.wake.is_set():
            waited = self.steady() - begun
            jump = (self.clock.now() - wall).total_seconds() - waited
            if waited >= pause or jump > CLOCK_JUMP_SECONDS or self.asked():
                return
            if self.steady() - glanced >= GLANCE_SECONDS:
                glanced = self.steady()
                if self.glance(self.clock.now()):
                    return
            self.wake.wait(min(pause - waited, WAIT_STEP_SECONDS))
            if self.steady() - beaten >= BEAT_SECONDS:
                beaten = self.steady()
                self.heart.beat(self.clock.now(), self.heart.note)

    def _follow(self, poll: float) -> None:
        """Wait until a simulated clock has moved; asking it is a look."""
        begun = self.heart.scanned or self.clock.now()
        while not self.engine.stopped and not self.wake.is_set():
            self.wake.wait(poll)
            now = self.clock.now()
            self.watchdog.pet()
            self.heart.beat(now, self.heart.note)
            if now > begun or self.asked():
                return


def run_live(
    engine: AutonomousTradingEngine,
    lock: RunLock,
    prepared: EngineMarket,
    loop: LiveLoop,
    welcome: str,
    *,
    once: bool,
    farewell: Callable[[], str] = lambda: "Stopped.",
    quiet: bool = False,
) -> int:
    """Trade until stopped, or for one scan; return the exit code.

    Parameters
    ----------
    engine, lock
        Who trades, and its hold on the run; released whatever happens.
    prepared
        The market that the engine was made with: it recovers to its newest session.
    loop
        The engine's scans.
    welcome
        Said to the operator once the engine has recovered.
    farewell
        Returns the last line of an engine that was stopped: what rests at the broker, and who watches it.
    quiet
        Say neither the one nor the progress.

    Raises
    ------
    StoppedNowError
        An operator stopped it twice: it ends at once.
    """
    try:
        loop.told_to_stop("too late: its engine had ended before it heard")  # or it would end this start at once
        engine.recover(len(prepared.sessions) - 1)
        loop.evening(prepared)  # what an engine that was killed had settled, and did not compare
        if not quiet:
            say(welcome)
        with stop_signals(loop.stop):
            if once:
                loop.scan()
            else:
                loop.run()
        if engine.stopped:
            complain(farewell())
    except KeyboardInterrupt:
        raise StoppedNowError(farewell()) from None
    finally:
        lock.release()
    return INTERRUPTED if engine.stopped and not loop.by_command else 0
