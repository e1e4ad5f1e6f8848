"""The halts of one account: what readings of its equity and an operator's word start and end."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, datetime

from trading_platform.core.ledger import Record
from trading_platform.core.risk import rules
from trading_platform.core.risk.book import RiskBook
from trading_platform.core.risk.caps import NOISE
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.risk.equity_readings import READING_FIELDS, begin_session, count_result, event, take_reading
from trading_platform.core.risk.memory import Standing
from trading_platform.core.risk.portfolio_slots import ABSURD
from trading_platform.core.types import RiskEvent, RiskEventKind, TradeResult

# Sums of positions and a broker's own figure differ by cents, or by a price that one of them has a moment earlier.
SAME_MOMENT = 0.01
# What a reading may change of the standing; an operator's halt between showing and reading must not be lost.
READING_WORDS = ("halted_since", "halt_session", "halt_book", "daily_since", "release_session")


def same_moment(equity: float, shown: float) -> bool:
    """Return True if a reading of `equity` is that of the portfolio `shown` (dollars), and not a further one."""
    if not shown > 0.0 or not equity > 0.0:
        return not shown > 0.0 and not equity > 0.0
    return abs(equity / shown - 1.0) <= SAME_MOMENT


class Halts:
    """Numbers of the halts live in the book's account record, words and instants in `standing`.

    Parameters
    ----------
    book
        The account that is watched, with its limits.
    """

    def __init__(self, book: RiskBook) -> None:
        self.standing = Standing()
        self._book = book
        self._limits = book.limits
        self._taken_back: tuple[Record, Standing] | None = None
        self._account_first = False  # the account is shown before its market

    def start_session(self, session: date | None) -> None:
        """Begin a session, unless it or a later one has begun before (a restart): the day's loss stays then."""
        self._taken_back = None
        begun = self.standing.session
        if session is not None and begun is not None and session.isoformat() <= begun:
            return
        self._book.direct(begin_session)(self._book.books.accounts)
        self.standing.daily_since = None
        self.standing.session = None if session is None else session.isoformat()

    def market_begins(self, session: date) -> bool:
        """Begin the session of a market that was shown, unless it has begun; return whether it did.

        The day's loss counts from the reading before. Where people show the account first and its market after, the
        account shown belongs to the new day already: it counts from the reading before that one.
        """
        begun, shown = self.standing.session, self._taken_back
        if begun is not None and session.isoformat() <= begun:
            return False
        if begun is None and shown is not None:
            self._account_first = True
        self.start_session(session)
        if self._account_first and shown is not None and shown[0]["accepted_equity"] > 0.0:
            self._book.account["previous_equity"] = shown[0]["accepted_equity"]
        return True

    def preview(self, equity: float, cash_flow: float, now: datetime) -> list[RiskEvent]:
        """Take a reading that the next `read` replaces if it is of the same moment, which is to say nearly as large."""
        before = self._book.account.copy(), replace(self.standing)
        session = None if self._book.view is None else self._book.view.session
        events = self._read(equity, math.nan, session, cash_flow, now)
        self._taken_back = before
        return events

    def read(
        self, equity: float, shadow_equity: float, session: date, cash_flow: float, now: datetime
    ) -> list[RiskEvent]:
        """Take a reading; return what changed."""
        if self._taken_back is not None and same_moment(equity, float(self._book.account["equity"])):
            account, standing = self._taken_back
            for name in READING_FIELDS:
                self._book.account[name] = account[name]
            for name in READING_WORDS:
                setattr(self.standing, name, getattr(standing, name))
        return self._read(equity, shadow_equity, session, cash_flow, now)

    def _read(
        self, equity: float, shadow_equity: float, session: date | None, cash_flow: float, now: datetime
    ) -> list[RiskEvent]:
        account, day = self._book.account, None if session is None else session.isoformat()
        was_halted = account["halted"] != 0
        counts = day is None or day != self.standing.release_session
        accounts, limits = self._book.books.accounts, self._book.limit_rows
        events = take_reading(accounts, equity, shadow_equity, cash_flow, limits, halt_counts=counts)
        if self.standing.daily_since is not None and account["daily_halted"] == 0:  # told once a session
            events = [event for event in events if event.kind is not RiskEventKind.DAILY_LOSS]
        self.standing.note(events, session, now, self._book.books)
        if was_halted and account["halted"] != 0:
            self.standing.release_session = day
        self._taken_back = None
        return events

    def count_trade(self, result: TradeResult, pause_hours: float, now: datetime) -> RiskEvent | None:
        """Count a closed round trip; return the pause that it starts, which waits for a market to tell the time.

        Raises
        ------
        ValueError
            Profit or cost is no amount in dollars.
        """
        pnl, cost = float(result.pnl), float(result.cost)
        if not abs(pnl) < ABSURD or not (cost == 0.0 or 0.01 <= cost < ABSURD):
            raise ValueError(f"trade result of {result.ticker} has pnl {pnl}, cost {cost}: not amounts in dollars")
        clock = math.nan if self._book.view is None else float(self._book.view.clock)
        if not self._book.direct(count_result)(self._book.books.accounts, pnl, cost, clock, self._book.limit_rows):
            return None
        self.standing.pause_since = now.isoformat()
        streak = self._limits.loss_streak
        message = f"{streak} losing trades in a row, entries pause {pause_hours:g} exchange hours"
        return event(RiskEventKind.PAUSE, DenialCode.LOSS_STREAK_PAUSE, streak, streak, message)

    def halt(self, reason: str, actor: str, now: datetime) -> RiskEvent:
        """Note an operator's halt; halting again changes the reason only."""
        words = reason.strip() or "no reason given"
        self.standing.manual_halt = words
        self.standing.manual_halt_since = self.standing.manual_halt_since or now.isoformat()
        return event(RiskEventKind.MANUAL_HALT, DenialCode.MANUAL_HALT, math.nan, math.nan, words, actor)

    def resume(self, reason: str, actor: str) -> RiskEvent:
        """End manual halt, drawdown halt, pause and fault; rebase the peak if drawdown would halt again at once.

        Raises
        ------
        ValueError
            No reason is given.
        """
        if not reason.strip():
            raise ValueError("resume needs a reason")
        standing, account = self.standing, self._book.account
        standing.manual_halt = standing.manual_halt_since = None
        standing.fault = standing.fault_since = standing.evidence = None
        standing.pause_since = self._taken_back = None
        account["pause_until"] = 0.0
        account["loss_streak"] = 0
        drawdown = rules.drawdown_of(account["accepted_equity"], account["peak_equity"])
        within = drawdown <= self._limits.max_drawdown + NOISE and rules.is_within_total(account, self._limits)
        if account["halted"] != 0 or not within:
            rules.resume(account, self._limits)
        standing.forget_halt()
        return event(RiskEventKind.RESUME, DenialCode.OK, math.nan, math.nan, reason, actor)

    def reason(self) -> tuple[DenialCode, str] | None:
        """Return the code and words of a halt that only an operator ends, or None."""
        standing = self.standing
        if standing.fault is not None:
            return DenialCode.RISK_STATE_INVALID, f"RISK_STATE_INVALID: {standing.fault}"
        if standing.manual_halt is not None:
            return DenialCode.MANUAL_HALT, f"MANUAL_HALT: {standing.manual_halt} (since {standing.manual_halt_since})"
        return None
