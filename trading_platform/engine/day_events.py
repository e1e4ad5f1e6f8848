"""The corporate events of a session in the replay of an account's day, where the bars do not tell of them.

Bars of an account are adjusted for all that has happened: after a split of ten for one they show a tenth of the price
at which the book was decided the evening before. The kernel of a backtest books splits, special dividends, mergers and
renames before the open. Here the book of that evening follows them by the kernel's own functions before it is played.

What is announced for the session comes first; where nobody tells, what the account was given says it. Money that the
account was paid for shares (dividends, mergers) is paid to the replay as well, when the account had it: a broker pays a
dividend weeks after its ex-date. It is paid after the session: interest is due on the cash of the evening before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from trading_platform.brokers.eve_events import Change
from trading_platform.brokers.reconciliation.day_entries import CashOut, Entry
from trading_platform.brokers.reconciliation.event_market import ROW, event_market
from trading_platform.brokers.reconciliation.two_books import Exchange, ExchangeKind, ShareChange
from trading_platform.core.booking import withdraw_growth
from trading_platform.core.compiled import plain
from trading_platform.core.corporate_events import CASH_MERGER, COLUMN, SPIN_OFF, STOCK_MERGER, follow_events
from trading_platform.core.day_replay import PlayedDay, copy_of, play_day
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import SHARE_NOISE, Record
from trading_platform.core.market import CLOSE, OPEN, Market
from trading_platform.core.plan import Book
from trading_platform.core.round_trips import account_flows
from trading_platform.core.session import Rules, apply_corporate_actions

HISTORY_MOVED = 0.02  # by which yesterday's close was changed since: an event, no dividend of every quarter

_apply, _follow, _withdraw = plain(apply_corporate_actions), plain(follow_events), plain(withdraw_growth)


class DayEvents(NamedTuple):
    """What is known of a session's corporate events: announced by ticker, and the account's own entries.

    `dividends` are the dollars that the account was paid, `at` is the open.
    """

    changes: Mapping[str, Change]
    entries: Sequence[Entry]
    dividends: float
    at: datetime


class EventfulDay(NamedTuple):
    """A session as the kernel has run it with its events, and the dollars that they paid for shares, by column."""

    played: PlayedDay
    paid: Mapping[int, float]


def play_eventful_day(
    start: Book, market: Market, t: int, tickers: Sequence[str], events: DayEvents, rules: Rules
) -> EventfulDay:
    """Return row `t` of `market` as the kernel runs it from `start`, once that has followed the events of its open.

    `start` stays as it is; `tickers` names the columns of `market`.
    """
    moved = copy_of(start)
    with np.errstate(all="ignore"):
        _follow_prices(moved, market, t, tickers, events, rules)
        paid = _follow_shares(moved, market, t, tickers, events, rules)
    book = play_day(moved, market, t, rules)
    dividends = 0.0 if len(market.dividend) > 0 else events.dividends
    return EventfulDay(_paid_out(book, start, sum(paid.values()), dividends), paid)


def moved_by(start: Book, market: Market, t: int, column: int) -> tuple[float, float]:
    """Return a ticker's close of row `t` - 1 as `start` knew it and as it is by now, where it has moved; else zeros."""
    slots = start.slots[(start.slots["ticker"] == column) & (start.slots["price"] > 0.0)]
    if len(slots) and t > 0:
        was, now = float(slots["price"][0]), float(market.bars[column, t - 1, CLOSE])
        if now > 0.0 and not abs(was / now - 1.0) <= HISTORY_MOVED:
            return was, now
    return 0.0, 0.0


# ---------------------------------------------------------------- prices


def _follow_prices(
    moved: Book, market: Market, t: int, tickers: Sequence[str], events: DayEvents, rules: Rules
) -> None:
    """Let shares and levels follow splits and special dividends; whose shares nobody can price buys no more."""
    n = len(tickers)
    split, dividend = np.ones((1, n)), np.zeros((1, n))
    for s, slot in enumerate(moved.slots):
        column = int(slot["ticker"])
        if column < 0:
            continue
        change, price = events.changes.get(tickers[column]), float(slot["price"])
        if len(market.split) == 0:
            split[ROW, column] = _ratio(moved, market, t, tickers[column], slot, events)
        if change is None:
            continue
        if len(market.dividend) == 0:
            dividend[ROW, column] = change.dividend(price, rules.costs.special_dividend)
        if change.ends or change.is_absurd(price):
            _withdraw(moved.slots, moved.lots, s)
    row = event_market(n, events.at, None)._replace(split=split, dividend=dividend)
    unread = moved.accounts.copy()  # the money comes when the account had it
    _apply(unread[0], moved.slots, moved.lots, row, ROW, rules.costs)


def _ratio(moved: Book, market: Market, t: int, ticker: str, slot: Record, events: DayEvents) -> float:
    """Return shares for each share of a slot at the open; what the account was told late is no split of this day."""
    change, held = events.changes.get(ticker), float(slot["quantity"])
    if change is not None and change.ratio != 1.0:
        return change.ratio
    came = sum(e.quantity for e in events.entries if isinstance(e, ShareChange) and e.is_split and e.ticker == ticker)
    is_of_today = moved_by(moved, market, t, int(slot["ticker"]))[1] > 0.0
    return (held + came) / held if is_of_today and came != 0.0 and held > 0.0 and held + came > 0.0 else 1.0


# ---------------------------------------------------------------- shares that become others, or money


def _follow_shares(
    moved: Book, market: Market, t: int, tickers: Sequence[str], events: DayEvents, rules: Rules
) -> dict[int, float]:
    """Let shares become others or money as those of the account did; return the dollars paid by column."""
    known = {int(event[COLUMN]) for event in market.events[market.event_start[t] : market.event_start[t + 1]]}
    row = event_market(len(tickers), events.at, market.bars[:, t, OPEN])
    row.event_start[ROW + 1] = 1
    limits = rules.limits._replace(share_step=SHARE_NOISE)  # fractions are paid out by the broker, and told
    log = new_fill_log(4 * len(moved.slots) * (moved.lots.shape[1] + 1))
    paid: dict[int, float] = {}
    for event in _exchanged(moved, tickers, events.entries):
        column = int(event[COLUMN])
        if column in known:
            continue
        purse, log.used[0] = moved.accounts.copy(), 0
        before = float(purse[0]["cash"])
        one = row._replace(events=np.array([event]))
        _follow(purse[0], moved.slots, moved.lots, moved.stopped, one, ROW, limits, rules.exits, log)
        paid[column] = round_cents(paid.get(column, 0.0) + float(purse[0]["cash"]) - before)
    return paid


def _exchanged(
    moved: Book, tickers: Sequence[str], entries: Sequence[Entry]
) -> Iterator[tuple[float, float, float, float, float]]:
    """Yield what the account was told in the form of `Market.events`; ratios and dollars are for each share held."""
    columns = {ticker: i for i, ticker in enumerate(tickers)}
    for entry in entries:
        ticker = entry.change.ticker if isinstance(entry, CashOut) else getattr(entry, "ticker", None)
        column = -1 if ticker is None else columns.get(ticker, -1)
        held = float(moved.slots["quantity"][moved.slots["ticker"] == column].sum()) if column >= 0 else 0.0
        if not held > 0.0:
            continue
        match entry:
            case CashOut(change, flow) if change.quantity != 0.0:
                yield CASH_MERGER, column, -1.0, 0.0, max(0.0, flow.amount / abs(change.quantity))
            case Exchange(other=other) if other in columns:
                kind = SPIN_OFF if entry.kind is ExchangeKind.SPIN_OFF else STOCK_MERGER
                cash = 0.0 if kind == SPIN_OFF else entry.cash / held
                yield kind, column, columns[other], entry.came / held, cash
            case _:
                pass


def _paid_out(played: PlayedDay, start: Book, events: float, dividends: float) -> PlayedDay:
    """Return a played day with the dollars that events and dividends paid in its cash, and its flows since `start`."""
    account = played.book.accounts[0]
    account["dividends"] = round_cents(account["dividends"] + dividends)
    account["cash"] = round_cents(account["cash"] + events + dividends)
    account["equity"] = account["accepted_equity"] = account["equity"] + events + dividends
    return PlayedDay(played.book, played.fills, account_flows(start.accounts[0], account))
