"""An account's day and the kernel's in the form that causes are found in: ticker by ticker, and the account beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from trading_platform.brokers.reconciliation.day_entries import (
    AdoptedCash,
    AdoptedShares,
    CashOut,
    Entry,
    Evening,
    FillEntry,
)
from trading_platform.brokers.reconciliation.pending_entries import is_protective
from trading_platform.brokers.reconciliation.two_books import Exchange, ForeignFill, ShareChange, UndoneAction
from trading_platform.core.day_replay import PlayedDay
from trading_platform.core.fill_log import CROSSED, OF_ORDER
from trading_platform.core.market import CLOSE, HIGH, LOW, OPEN, Market
from trading_platform.core.plan import Book
from trading_platform.core.replay_causes import Bar, Cause, DayFill, Facts, Item, Sort, TickerDay, to_cents
from trading_platform.core.round_trips import account_flows
from trading_platform.core.types import Side
from trading_platform.engine.day_events import moved_by
from trading_platform.storage.consents import NOT_SENT, VETOED
from trading_platform.storage.day_evidence import BARE, DayEvidence

EDITED, AWAITED = frozenset({"edited"}), frozenset({"awaited_fill"})


class ComparedDay(NamedTuple):
    """A day in both books: the kernel's before and after it, the account's after it, and what else is known.

    `paid` are dollars that corporate events paid the kernel's book for shares, by column. `t` is its row in `market`,
    whose columns are `tickers`; `settled` is when it was settled at the latest.
    """

    start: Book
    played: PlayedDay
    paid: Mapping[int, float]
    live: Evening
    market: Market
    t: int
    tickers: Sequence[str]
    settled: datetime
    evidence: DayEvidence


def ticker_days(day: ComparedDay) -> list[TickerDay]:
    """Return every ticker that is in one of the books, or was."""
    live = _live_fills(day.live.entries)
    replay = _replay_fills(day)
    before, after, played = (_values(book) for book in (day.start, day.live.book, day.played.book))
    columns = {*before, *after, *played, *replay, *(day.tickers.index(ticker) for ticker in live)}
    return [
        TickerDay(
            day.tickers[column],
            before.get(column, 0.0),
            after.get(column, 0.0),
            played.get(column, 0.0),
            tuple(live.get(day.tickers[column], ())),
            tuple(replay.get(column, ())),
            _bar(day, column),
            _facts(day, column),
            _other_cash(day.live.entries, day.tickers[column]),
        )
        for column in sorted(columns)
    ]


def account_items(day: ComparedDay, days: Sequence[TickerDay]) -> Iterator[Item]:
    """Yield what moved the account's money, or the kernel's, beside tickers; together with theirs it is all of it."""
    before, after = day.start.accounts[0], day.live.book.accounts[0]
    live, replay = account_flows(before, after), day.played.flows
    of_fills = sum(fill.fees for one in days for fill in one.live_fills)
    of_replay = sum(fill.fees for one in days for fill in one.replay_fills)
    adopted = [entry for entry in day.live.entries if isinstance(entry, AdoptedCash) and not entry.is_rounding]
    unsaid = sum(entry.amount for entry in adopted)
    known = [
        (
            Cause.INTEREST,
            live.interest - replay.interest,
            f"interest {live.interest:.2f}, in the replay {replay.interest:.2f}",
        ),
        (
            Cause.EVENT,
            live.dividends - replay.dividends,
            f"dividends {live.dividends:.2f}, in the replay {replay.dividends:.2f}",
        ),
        (Cause.FEES, (replay.fees - of_replay) - (live.fees - of_fills), "fees that belong to no fill"),
        (Cause.UNEXPLAINED, unsaid, "cash that nothing explains was taken over from the broker"),
    ]
    moved = float(after["cash"]) - float(before["cash"])
    tickers = sum(one.other + sum(_cash(fill) for fill in one.live_fills) for one in days)
    rest = moved - tickers - (live.interest + live.dividends - (live.fees - of_fills)) - unsaid
    by_hand = live.cash_flow - unsaid
    if any(isinstance(entry, AdoptedShares) for entry in day.live.entries):
        by_hand = rest  # shares that went by a transfer were sold to nobody: their money came and went
    known += [
        (Cause.OWNER, by_hand, "money of the owner's: paid in or out, or put into shares of his own"),
        (Cause.UNEXPLAINED, rest - by_hand, "cash moved that no entry tells of"),
    ]
    for cause, dollars, words in known:
        if to_cents(dollars) != 0:
            yield Item(cause, "", to_cents(dollars), words)


# ---------------------------------------------------------------- parts of a ticker's day


def _live_fills(entries: Sequence[Entry]) -> dict[str, list[DayFill]]:
    found: dict[str, list[DayFill]] = {}
    for entry in entries:
        if isinstance(entry, FillEntry):
            fill = entry.fill
            found.setdefault(fill.ticker, []).append(DayFill(_sort_of(entry), fill.quantity, fill.amount, fill.fees))
    return found


def _sort_of(entry: FillEntry) -> Sort:
    if entry.fill.side is Side.BUY:
        return Sort.ENTRY
    return Sort.PROTECTIVE if is_protective(entry.fill.reason, entry.order) else Sort.EXIT


def _replay_fills(day: ComparedDay) -> dict[int, list[DayFill]]:
    """Return the kernel's executions by column; what strategies sell to each other leaves the account as it is."""
    found: dict[int, list[DayFill]] = {}
    for fill in day.played.fills:
        if fill.kind != CROSSED:
            sort = Sort.ENTRY if fill.side > 0 else Sort.EXIT if fill.kind == OF_ORDER else Sort.PROTECTIVE
            found.setdefault(fill.ticker, []).append(DayFill(sort, fill.quantity, fill.amount, fill.fees))
    for column, dollars in day.paid.items():  # shares that are gone brought it
        found.setdefault(column, []).append(DayFill(Sort.PROTECTIVE, 0.0, dollars, 0.0))
    return found


def _values(book: Book) -> dict[int, float]:
    held = book.slots[book.slots["quantity"] > 0.0]
    return {int(slot["ticker"]): float(slot["value"]) for slot in held}


def _bar(day: ComparedDay, column: int) -> Bar:
    bar = day.market.bars[column, day.t]
    return Bar(float(bar[OPEN]), float(bar[HIGH]), float(bar[LOW]), float(bar[CLOSE]))


def _other_cash(entries: Sequence[Entry], ticker: str) -> float:
    """Return the dollars that corporate events paid for shares of a ticker."""
    outs = sum(entry.flow.amount for entry in entries if isinstance(entry, CashOut) and entry.change.ticker == ticker)
    paid = sum(entry.cash for entry in entries if isinstance(entry, Exchange) and entry.ticker == ticker)
    back = sum(entry.cash for entry in entries if isinstance(entry, UndoneAction) and entry.moved[0][0] == ticker)
    return outs + paid + back


def _cash(fill: DayFill) -> float:
    return (-fill.amount if fill.sort is Sort.ENTRY else fill.amount) - fill.fees


# ---------------------------------------------------------------- facts


def _facts(day: ComparedDay, column: int) -> Facts:
    ticker, evidence = day.tickers[column], day.evidence
    orders = [order for order in evidence.orders if order.ticker == ticker and not order.is_protective]
    buys = [order for order in orders if order.side == Side.BUY.value]
    sales = [order.quantity for order in orders if order.side == Side.SELL.value]
    slots = day.start.slots[day.start.slots["ticker"] == column]
    pending, selling = float(slots["pending"].sum()), float(slots["selling"].sum())
    return Facts(
        asked_entry=max((order.quantity for order in buys), default=0.0),
        asked_exit=max(sales, default=0.0),
        replay_entry=pending,
        replay_exit=selling,
        limit=max((order.limit_price or 0.0 for order in buys), default=float(slots["limit_price"].sum())),
        adopted=_adopted(day.live.entries, ticker),
        event=_event(day, column),
        owner=_owner(day, ticker),
        edited=evidence.noted(ticker, EDITED),
        operator=_operator(day, ticker),
        late=_late(day, ticker),
        refused=evidence.refusal(ticker),
        uncovered=evidence.noted(ticker, BARE),
    )


def _adopted(entries: Sequence[Entry], ticker: str) -> str:
    changes = [e.change for e in entries if isinstance(e, AdoptedShares) and e.ticker == ticker]
    return f"{sum(changes):+g} shares came or went, and nobody says why" if changes else ""


def _event(day: ComparedDay, column: int) -> str:
    ticker = day.tickers[column]
    for entry in day.live.entries:
        match entry:
            case ShareChange(ticker=name) | CashOut(change=ShareChange(ticker=name)) if name == ticker:
                change = entry.change if isinstance(entry, CashOut) else entry
                return f"{change.quantity:+g} shares: {change.note}"
            case UndoneAction() if any(name == ticker for name, _ in entry.moved):
                moved = ", ".join(f"{quantity:+g} {name}" for name, quantity in entry.moved)
                return f"a corporate action was cancelled: {moved}"
            case Exchange() if ticker in (entry.ticker, entry.other):
                return f"{entry.gone:g} {entry.ticker or '?'} became {entry.came:g} {entry.other}"
            case _:
                pass
    was, now = moved_by(day.start, day.market, day.t, column)
    return f"the close before was {was:.4f}, and is {now:.4f} by now" if now > 0.0 else ""


def _owner(day: ComparedDay, ticker: str) -> str:
    trades = [e for e in day.live.entries if isinstance(e, ForeignFill) and e.ticker == ticker]
    if trades:
        return f"{trades[0].side} of {trades[0].quantity:g} by hand"
    if ticker in day.evidence.withdrawn:
        return "withdrawn at an operator's word"
    kept_back = (order.message for order in day.evidence.orders if order.ticker == ticker)
    return next((words for words in kept_back if words.startswith((VETOED, NOT_SENT))), "")


def _operator(day: ComparedDay, ticker: str) -> str:
    standing = day.evidence.standing
    if day.evidence.is_closed(ticker):
        return "an operator closes it"
    if standing.closing:  # the place and the money of what is not bought are for others
        return f"an operator closes {', '.join(sorted(standing.closing))}"
    if standing.paused:
        return f"paused by an operator or a drawdown stop of its own: {', '.join(sorted(standing.paused))}"
    return day.evidence.halt


def _late(day: ComparedDay, ticker: str) -> str:
    session = day.live.session
    for entry in day.live.entries:
        if isinstance(entry, FillEntry) and entry.fill.ticker == ticker and entry.fill.session < session:
            return f"{entry.fill.side} of {entry.fill.quantity:g} on {entry.fill.session} was told on {session}"
    return day.evidence.noted(ticker, AWAITED, still=day.settled)
