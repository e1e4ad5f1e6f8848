"""`upgrade`: a running account goes over to the strategies of today, once its owner has seen what that trades.

An account keeps the strategies that it began with, whatever a new version would choose. `--plan` decides with those of
today on a copy of its book, at last prices, with costs; agreeing writes an operator's word into the database. From its
next start on the engine sells what belongs to strategies that left, and what others want of it changes hands first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Engine

from trading_platform.configuration.environment import is_loopback
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError, OperatorNeededError, RepairDatabaseError
from trading_platform.core.plan import Book
from trading_platform.core.ports import Clock, SavedBook
from trading_platform.core.rehearsal import Change, Rehearsal, rehearse
from trading_platform.core.risk.memory import checksum
from trading_platform.core.saved_books import BadBookError, owners_in, read_account, read_slots, renumbered
from trading_platform.core.session import Rules
from trading_platform.core.simulate import open_books
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.machine.clocks import WallClock, utc_now
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.operations.commands import confirmed
from trading_platform.reporting.plain import dollars
from trading_platform.reporting.status_screen import say, show_json
from trading_platform.reporting.waiting import waiting
from trading_platform.runtime.account_choice import Whose
from trading_platform.runtime.instructions import Instructions
from trading_platform.runtime.live_loop import due_session
from trading_platform.runtime.open_run import EMPTY, live_market, run_of_account
from trading_platform.storage.operator_requests import standing_orders
from trading_platform.storage.repository import Repository
from trading_platform.storage.run_targets import KINDS
from trading_platform.storage.runs import RunLock, saved_slots
from trading_platform.storage.strategy_changes import change_strategies, is_halted
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.leaving import LeavingStrategy

REASON = "went over to the strategies of today"


class Owned(NamedTuple):
    """The account that is meant: settings as they hold for it, its mode and its number at the broker, its time."""

    config: TradingConfig
    mode: str
    number: str | None
    clock: Clock


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What going over means. `before` are all strategies of the run in kernel order, `after` those of today."""

    run_id: int
    mode: str
    number: str | None
    session: date
    before: tuple[str, ...]
    traded: tuple[str, ...]  # of those, without those that leave already
    after: tuple[str, ...]
    aside: tuple[str, ...]  # configured, and without what they need in this market
    prepared: EngineMarket
    book: Book
    rehearsal: Rehearsal

    @property
    def joining(self) -> list[str]:
        """Strategies that the account did not trade."""
        return [name for name in self.after if name not in self.traded]

    @property
    def leaving(self) -> list[str]:
        """Strategies that it will trade no longer."""
        return [name for name in self.traded if name not in self.after]


def upgrade(given: Instructions, whose: Whose, *, plan_only: bool, sure: bool, reason: str | None) -> int:
    """Show what going over to the configured strategies would trade; agreed to, write it down; return the exit code.

    Raises
    ------
    FixConfigError
        No account has begun here, or nobody could answer.
    OperatorNeededError
        An engine trades the account now, or it is halted by its drawdown.
    """
    if given.options.json and not (sure or plan_only):
        raise FixConfigError("upgrade --json asks nobody: say --plan or --yes as well")
    if given.database is not None and not given.database.is_file():
        raise RepairDatabaseError(f"{given.database}: does not exist; name the account's database with --db")
    owned = _owned(given, whose)
    database, run_id, before = run_of_account(owned.config, owned.mode, owned.number)
    if run_id is None:
        raise FixConfigError(f"no {KINDS[owned.mode]} has begun in this database: it will begin with today's set")
    owners = owners_in(saved_slots(database, run_id) or EMPTY, before)
    before += tuple(sorted(owners - set(before)))  # of a book that an older version left behind a change of settings
    with waiting("asking for the latest bars", shown=not given.options.json):
        plan = _plan(given, owned, database, run_id, before)
    agreed = False
    if not given.options.json:
        _show(plan)
    if plan.joining or plan.leaving:
        if not plan_only and (sure or confirmed("Go over to these strategies?")):
            _write(database, plan, reason or REASON)
            agreed = True
        if not given.options.json:
            say(_ending(plan, agreed=agreed))
    if given.options.json:
        show_json(plan_document(plan) | {"agreed": agreed})
    return 0


def _owned(given: Instructions, whose: Whose) -> Owned:
    options, settings, config = given.options, given.settings, given.config
    if whose is Whose.SIMULATED:
        return Owned(config, "paper", None, WallClock())
    if whose is not Whose.BROKERS:
        raise FixConfigError(
            "upgrade is for an account that is traded: set ALPACA_API_KEY and ALPACA_SECRET_KEY, or say --source "
            "yahoo for the local paper account; a replay trades today's strategies anyway, and an account at a broker "
            "of your own takes those of [strategies] enabled once it holds nothing of the others"
        )
    from trading_platform.alpaca.clock import FollowedClock
    from trading_platform.alpaca.http import AlpacaHttp, access_from
    from trading_platform.alpaca.reader import AlpacaReader
    from trading_platform.runtime.account_choice import open_account
    from trading_platform.runtime.trade_alpaca import local_universe

    reader = AlpacaReader(AlpacaHttp(access_from(settings, live=options.live)))
    account = open_account(reader, settings, live=options.live, name=config.account.name)
    is_local = is_loopback(settings.alpaca_base_url)
    capital = account.cash if account.cash is not None and account.cash > 0.0 else config.engine.initial_capital
    config = replace(config, engine=replace(config.engine, initial_capital=capital))
    return Owned(
        local_universe(config, reader) if is_local else config,
        "alpaca_live" if options.live else "alpaca_paper",
        account.account_id,
        FollowedClock(reader) if is_local else WallClock(),
    )


def _plan(given: Instructions, owned: Owned, database: Engine, run_id: int, before: tuple[str, ...]) -> Plan:
    """Decide with the configured strategies on a copy of the account's book at its newest session."""
    calendar, now = NyseCalendar(), owned.clock.now
    session = due_session(calendar, now())
    chosen = {item.name: item for item in given.strategies}

    def prepared_with(union: Sequence[AnyStrategy]) -> EngineMarket:
        return live_market(owned.config, given.settings, given.rules, calendar, union, session, now=now)

    prepared = prepared_with(_union(before, chosen))
    aside = set(before) - set(prepared.strategies)
    if aside:  # what it holds must have an owner
        chosen = {name: item for name, item in chosen.items() if name not in aside}
        prepared = prepared_with(_union(before, chosen))
    after = tuple(name for name in prepared.strategies if name in chosen)
    leaving = standing_orders(database, run_id).leaving
    book = _book(given.rules, owned, prepared, before, Repository(database, run_id).load_book())
    weights = np.array([1.0 / len(after) if name in after else 0.0 for name in prepared.strategies])
    t = len(prepared.sessions) - 1
    return Plan(
        run_id,
        owned.mode,
        owned.number,
        prepared.sessions[t],
        before,
        tuple(name for name in before if name not in leaving),
        after,
        tuple(item.name for item in given.strategies if item.name not in after),
        prepared,
        book,
        rehearse(prepared.market, prepared.signals, book, t, weights, given.rules),
    )


def _union(before: Sequence[str], chosen: dict[str, AnyStrategy]) -> tuple[AnyStrategy, ...]:
    """Return those of the run in their order, then those that are new."""
    kept = [chosen.get(name) or LeavingStrategy(name) for name in before]
    return (*kept, *(item for name, item in chosen.items() if name not in before))


def _book(rules: Rules, owned: Owned, prepared: EngineMarket, before: Sequence[str], saved: SavedBook | None) -> Book:
    """Return the account's book with the strategies numbered as in `prepared`; an empty one where none is saved."""
    capital = owned.config.engine.initial_capital
    names = prepared.panel.tickers, prepared.strategies
    if owned.mode == "paper" or saved is None:
        books = open_books(1, rules.limits.max_positions, len(names[1]), len(names[0]), capital)
        book = Book(books.accounts, books.slots[0], books.lots[0], books.stopped[0])
        if saved is not None:
            if checksum(saved.account + saved.slots) != saved.checksum:
                raise RepairDatabaseError("table paper_books: the book does not match its checksum; restore a backup")
            try:
                book.accounts[:] = read_account(saved.account)
                read_slots(renumbered(saved.slots, before, names[1]), book.slots, book.lots, book.stopped)
            except BadBookError as error:
                raise RepairDatabaseError(f"table paper_books: {error}; use the risk limits of the run") from error
        return book
    from trading_platform.brokers.reconciliation.account_book import AccountBook
    from trading_platform.brokers.reconciliation.saved_account import load

    account = AccountBook(rules, capital, *names)
    load(account, saved)
    return account.book


def _write(database: Engine, plan: Plan, reason: str) -> None:
    if is_halted(database, plan.run_id):
        raise OperatorNeededError(
            f"run {plan.run_id} is halted by its drawdown, and what ends the halt goes by the strategies that it had: "
            "upgrade when the halt is over, or `resume` first"
        )
    lock = RunLock(database, plan.run_id)
    lock.acquire(utc_now())
    try:
        change_strategies(database, plan.run_id, plan.before, plan.after, reason, utc_now())
    finally:
        lock.release()


# ---------------------------------------------------------------- told


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON-ready values; money in dollars."""
    equity = float(plan.book.accounts[0]["equity"])
    held, would = _invested(plan.book), _invested(plan.rehearsal.book)
    return {
        "run": plan.run_id,
        "mode": plan.mode,
        "account": plan.number,
        "session": plan.session.isoformat(),
        "equity": round(equity, 2),
        "before": list(plan.traded),
        "after": list(plan.after),
        "leaving": plan.leaving,
        "joining": plan.joining,
        "stands_aside": list(plan.aside),
        "sold": _trades(plan, -1),
        "bought": _trades(plan, 1),
        "handed_over": _trades(plan, 0),
        "costs": plan.rehearsal.costs,
        "invested_before": held / equity if equity > 0.0 else 0.0,
        "invested_after": would / equity if equity > 0.0 else 0.0,
    }


def _invested(book: Book) -> float:
    return float(book.slots["value"][book.slots["quantity"] > 0.0].sum())


def _trades(plan: Plan, side: int) -> list[dict[str, Any]]:
    """Return what is sold (-1) or bought (1) at the market, or what changes hands without it (0), by ticker."""
    found: dict[int, list[Change]] = {}
    for change in plan.rehearsal.changes:
        # Of what changes hands each share is sold and bought: the buyer's side counts it once.
        if (change.crossed and side == 0 and change.quantity > 0.0) or (
            not change.crossed and change.quantity * side > 0.0
        ):
            found.setdefault(change.ticker, []).append(change)
    return [_trade(plan, changes) for _, changes in sorted(found.items())]


def _trade(plan: Plan, changes: Sequence[Change]) -> dict[str, Any]:
    shares, amount = sum(abs(change.quantity) for change in changes), sum(change.amount for change in changes)
    parts: dict[str, float] = {}
    for change in changes:
        name = plan.prepared.strategies[change.strategy]
        parts[name] = round(parts.get(name, 0.0) + abs(change.quantity), 9)
    return {
        "ticker": plan.prepared.panel.tickers[changes[0].ticker],
        "quantity": round(shares, 9),
        "price": round(amount / shares, 4),
        "amount": round(amount, 2),
        "strategies": parts,
    }


def _show(plan: Plan) -> None:
    told = plan_document(plan)
    called = f" {plan.number}" if plan.number else ""
    say(
        f"{KINDS[plan.mode]}{called} (run {plan.run_id}): equity {dollars(told['equity'], sign=False)} at the close of "
        f"{told['session']}"
    )
    if not (plan.joining or plan.leaving):
        say(f"it trades the strategies of today already ({', '.join(plan.after)}): nothing to upgrade")
        return
    stay = [name for name in plan.after if name in plan.traded]
    for word, names in (("leave", plan.leaving), ("stay", stay), ("join", plan.joining)):
        say(f"{word:6s} {', '.join(names) or 'none'}")
    if plan.aside:
        say(f"aside  {', '.join(plan.aside)}: this market lacks what they need")
    say("at last prices, equal weight, with waiting orders filled:")
    for word, key in (("sell", "sold"), ("buy", "bought"), ("hand over", "handed_over")):
        for row in told[key]:
            owners = ", ".join(row["strategies"])
            say(
                f"  {word} {row['quantity']:g} {row['ticker']} at {row['price']:,.2f}: "
                f"{dollars(row['amount'], sign=False)} ({'to ' if key == 'handed_over' else ''}{owners})"
            )
    if not plan.rehearsal.changes:
        say("  nothing: no share is held that would go, and nothing is wanted now")
    parts = {name: value for name, value in told["costs"].items() if value and name != "total"}
    causes = ", ".join(f"{name} {dollars(value, sign=False)}" for name, value in parts.items())
    say(f"costs {dollars(told['costs']['total'], sign=False)}" + (f" ({causes})" if causes else ""))
    say(f"invested {told['invested_before']:.1%} now, {told['invested_after']:.1%} afterwards")


def _ending(plan: Plan, *, agreed: bool) -> str:
    if not agreed:
        return "nothing was changed; `upgrade` asks, `upgrade --yes` agrees"
    return (
        f"agreed and recorded: run {plan.run_id} goes over when its engine is started; what it really trades is "
        "decided at the next close"
    )
