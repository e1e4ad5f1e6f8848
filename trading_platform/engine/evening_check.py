"""Live against replay, every evening: the account's day, and what the kernel makes of the same day.

The kernel begins with the account's own book of the evening before, decides at that close by the same bars, settings
and allocation, and runs the session on the bars of the day. What the account made instead is put to causes
(`core.replay_causes`) and stored. Nothing here trades, and whatever fails here harms nothing: it is told, and tried
again the next evening.

Two steps, so that later corrections of bars do not change what was decided: at each evening the kernel's decision for
the next session is kept (`start`), and the session before it, whose start was kept a day ago, is compared. A day that
leaves doubts is compared again on the next evenings, when the source may have corrected its bars.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime

import numpy as np

from trading_platform.brokers.eve_events import ExDateSource, told_changes
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.day_entries import Evening
from trading_platform.brokers.reconciliation.saved_account import book_text, evening_text, read_book, read_evening
from trading_platform.brokers.venue import HISTORY_PATIENCE
from trading_platform.core.day_replay import decide_day
from trading_platform.core.ledger import Record
from trading_platform.core.market import Market
from trading_platform.core.plan import Book
from trading_platform.core.realistic_fills import EXACT, with_fills
from trading_platform.core.replay_causes import Cause, Item, explain_day, to_cents
from trading_platform.core.round_trips import account_flows
from trading_platform.core.session import Rules
from trading_platform.engine.day_events import DayEvents, play_eventful_day
from trading_platform.engine.day_facts import ComparedDay, account_items, ticker_days
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.engine.recovery import held_weights
from trading_platform.storage.day_evidence import day_evidence
from trading_platform.storage.replay_checks import OpenCheck, Outcome, ReplayChecks
from trading_platform.storage.repository import Repository

log = logging.getLogger("trading_platform.evening")


class EveningCheck:
    """Compares an account's days with the kernel's.

    Parameters
    ----------
    repository
        The run's database.
    rules
        All rules, as the engine has them.
    book
        The account's book; its `evening` is the last settlement.
    risk
        Returns the record that the risk rules read (`RiskManager.account`).
    next_session
        Returns the session after one.
    now
        The time.
    ex_dates
        Who tells corporate actions; None: nobody.
    """

    def __init__(
        self,
        repository: Repository,
        rules: Rules,
        book: AccountBook,
        risk: Callable[[], Record],
        next_session: Callable[[date], date],
        now: Callable[[], datetime],
        ex_dates: ExDateSource | None = None,
    ) -> None:
        self._repository = repository
        self._checks = ReplayChecks(repository.engine, repository.run_id)
        self._rules = rules
        self._book = book
        self._risk = risk
        self._next_session = next_session
        self._now = now
        self._ex_dates = ex_dates
        self._done: date | None = None  # the newest evening that has been looked at

    def look(self, prepared: EngineMarket) -> None:
        """Compare what can be compared; call it when a session is settled and committed, or at any time."""
        evening = self._book.evening
        if evening is None or evening.session == self._done:
            return
        try:
            self._look(evening, prepared)
        except Exception:  # whatever it is, the account trades on
            log.exception("the account's %s is not compared with its replay; tried again", evening.session)
        self._done = evening.session

    def _look(self, evening: Evening, prepared: EngineMarket) -> None:
        self._checks.keep_live(evening.session, evening_text(self._book, evening))
        for check in self._checks.due(evening.session):
            self._compare(check, prepared)
        ahead = self._next_session(evening.session)
        if not self._checks.has_start(ahead):
            self._checks.keep_start(ahead, book_text(self._book, self._decided(evening, prepared)))

    def _decided(self, evening: Evening, prepared: EngineMarket) -> Book:
        """Return the book that the kernel, deciding at the close of an evening, would begin the next session with."""
        t = prepared.sessions.index(evening.session)
        weights = held_weights(prepared, self._repository, evening.session)
        if weights is None:
            weights = np.full(len(prepared.strategies), 1.0 / len(prepared.strategies))
        return decide_day(evening.book, self._risk(), _exact(prepared), prepared.signals, t, weights, self._rules)

    def _compare(self, check: OpenCheck, prepared: EngineMarket) -> None:
        try:
            outcome = self._outcome(check, prepared)
        except Exception as error:  # whatever it is, the account trades on
            log.exception("the account's %s cannot be compared with its replay; tried again", check.session)
            self._checks.failed(check.session, f"{type(error).__name__}: {error}", self._now())
            return
        if check.doubt is not None and not outcome.doubt < check.doubt:  # history may have moved meanwhile
            self._checks.unchanged(check.session)
            return
        self._checks.done(check.session, outcome, self._now())
        level = logging.WARNING if outcome.unexplained else logging.INFO
        log.log(
            level,
            "replay of %s: the account has %.2f, the kernel %.2f, without a cause %.2f",
            check.session,
            outcome.live_equity,
            outcome.replay_equity,
            outcome.unexplained,
        )

    def _outcome(self, check: OpenCheck, prepared: EngineMarket) -> Outcome:
        t, market = prepared.sessions.index(check.session), _exact(prepared)
        start, live = read_book(self._book, check.start), read_evening(self._book, check.live)
        tickers, before = prepared.panel.tickers, prepared.sessions[t - 1]
        changes = told_changes(self._ex_dates, tickers, before, check.session)
        dividends = account_flows(start.accounts[0], live.book.accounts[0]).dividends
        events = DayEvents(changes, live.entries, dividends, prepared.opened[t])
        played, paid = play_eventful_day(start, market, t, tickers, events, self._rules)
        evidence = day_evidence(self._repository.engine, self._repository.run_id, before)
        settled = prepared.closed[t] + HISTORY_PATIENCE
        day = ComparedDay(start, played, paid, live, market, t, tickers, settled, evidence)
        days = ticker_days(day)
        items = [*explain_day(days), *account_items(day, days)]
        ours, theirs = (float(book.accounts[0]["equity"]) for book in (live.book, played.book))
        rest = to_cents(ours - theirs) - sum(item.cents for item in items)
        if rest != 0:
            items.append(Item(Cause.UNEXPLAINED, "", rest, "the parts do not add up to the whole"))
        return Outcome(ours, theirs, tuple(items))


def _exact(prepared: EngineMarket) -> Market:
    """Return the market with fills at the official open, whatever book of fills the account's replays have."""
    return with_fills(prepared.market, prepared.panel, EXACT, 0)
