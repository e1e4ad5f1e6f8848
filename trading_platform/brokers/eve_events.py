"""The eve of an ex-date: what rests or waits at the broker follows tomorrow's splits and special dividends today.

At each close the corporate actions of the next session are asked for, for all tickers that the engine may hold or want.

* Special dividend (above `special_dividend` of the price): stop and target of what is held rest lower by it from the
  evening on; an entry is sent with limit, stop and target lower by it.
* Split, stock dividend: stop and target are taken off until the split is booked, since at Alpaca no group follows one;
  an entry is sent with shares and prices after it; growth of a position is withdrawn.
* Spin-off: told; an entry is withdrawn, since what the price loses is not known before the open.
* Merger, rename, removal: told; an entry is withdrawn, since the ticker ends.

The book itself follows when the evening's decisions are made: they look at the close before the ex-date, as those of
the kernel do (`core.session.apply_corporate_actions`). Splits of positions are booked from the account's history alone.

Nobody may be able to tell. Then entries go on and stops rest as they are, and it is told once a session: to trade on is
bounded by the limit of each entry, a position without its stop is not bounded at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from trading_platform.alpaca.corporate_actions import ActionKind, ActionsAnswer, CorporateAction
from trading_platform.alpaca.failures import AlpacaRefusalError
from trading_platform.alpaca.orders import root_id
from trading_platform.brokers.last_prices import LastPrice, Prices
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.bookkeeper import Bookkeeper
from trading_platform.brokers.reconciliation.saved_account import Memory
from trading_platform.brokers.reconciliation.two_books import SHARE_TOLERANCE, OurPosition
from trading_platform.core.compiled import plain
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.fills import round_shares, to_tick
from trading_platform.core.ledger import lower_prices, lowered, post_split
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.plan import Book
from trading_platform.core.ports import JournalOrder, TradingCalendar
from trading_platform.core.types import LotOrder, OrderIntent, Side
from trading_platform.machine.clocks import session_of

log = logging.getLogger("trading_platform.eve")

ASK_AGAIN = timedelta(hours=3)  # announcements come late
MOST_PAID = 0.9  # of the price: a larger dividend is not believed
MARK = "exdate"  # ids that begin so, among those of booked history, say what the book has followed

_lowered, _lower, _split = plain(lowered), plain(lower_prices), plain(post_split)
_tick, _round = plain(to_tick), plain(round_shares)

AskActions = Callable[[Sequence[str], date, date], ActionsAnswer]


class ExDateSource(NamedTuple):
    """Who tells corporate actions, and from which part of the price on a dividend is special (`Costs`)."""

    ask: AskActions
    special_dividend: float


@dataclass(frozen=True, slots=True)
class Change:
    """All that happens to one ticker at the open of `session`: new shares for one old, then dollars a share."""

    session: date
    ticker: str
    words: str
    ratio: float = 1.0
    cash: float = 0.0
    ends: bool = False

    def dividend(self, price: float, special: float) -> float:
        """Return the dollars by which prices follow, 0 for a usual dividend; `price` is that before the ex-date."""
        after = price / self.ratio
        return self.cash if special * after < self.cash <= MOST_PAID * after else 0.0

    def is_absurd(self, price: float) -> bool:
        """Return True if it would pay more than a holder may believe."""
        return self.cash > 0.0 and not self.cash <= MOST_PAID * price / self.ratio


def changes_of(actions: Iterable[CorporateAction], session: date) -> dict[str, Change]:
    """Return what happens to each ticker at the open of `session`: dividends add up, ratios multiply."""
    found: dict[str, Change] = {}
    for action in actions:
        old = found.get(action.ticker)
        ends = action.kind in (ActionKind.ENDS, ActionKind.SPIN_OFF)
        new = Change(session, action.ticker, action.words, action.ratio, action.cash, ends)
        found[action.ticker] = (
            new
            if old is None
            else Change(
                session,
                action.ticker,
                f"{old.words}, {new.words}",
                old.ratio * new.ratio,
                old.cash + new.cash,
                old.ends or new.ends,
            )
        )
    return found


def told_changes(source: ExDateSource | None, tickers: Sequence[str], before: date, session: date) -> dict[str, Change]:
    """Return what happens to each ticker between the close of `before` and the open of `session`, as far as it is told.

    For whoever looks back: where nobody tells it is told in the log, and nothing is known.
    """
    if source is None:
        return {}
    try:
        answer = source.ask(tickers, before + timedelta(days=1), session)
    except (BrokerUnreachableError, AlpacaRefusalError) as error:
        log.warning("nobody tells the corporate actions of %s (%s)", session, error)
        return {}
    return changes_of(answer.actions, session)


def after_ex_date(
    intent: OrderIntent, change: Change, price: float, held: float, special: float, share_step: float
) -> OrderIntent | str:
    """Return an entry of the eve as it is right after `change`, or why it is withdrawn.

    `price` is the ticker's close before the ex-date, dollars a share; `held` the shares of it already held.
    """
    if change.ends or change.is_absurd(price):
        return f"{change.words} on {change.session}"
    if change.ratio != 1.0 and held > 0.0:
        return f"{change.words} of {change.ratio:g} on {change.session}: positions grow on after it"
    quantity = _round(intent.quantity * change.ratio, share_step) if change.ratio != 1.0 else intent.quantity
    if not quantity > 0.0:
        return f"{change.words} of {change.ratio:g} on {change.session} leaves less than a share"
    dollars = change.dividend(price, special)

    def moved(value: float) -> float:
        split = _tick(value / change.ratio) if change.ratio != 1.0 and value > 0.0 else value
        return float(_lowered(split, dollars, 1.0)) if dollars > 0.0 else split

    parts = tuple(
        part._replace(quantity=part.quantity * change.ratio, stop=moved(part.stop), target=moved(part.target))
        for part in intent.parts
    )
    return intent._replace(
        quantity=float(quantity),
        limit_price=None if intent.limit_price is None else moved(intent.limit_price),
        stop_price=None if intent.stop_price is None else moved(intent.stop_price),
        target_price=None if intent.target_price is None else moved(intent.target_price),
        parts=_whole(parts, float(quantity)) if change.ratio != 1.0 else parts,
    )


def _whole(parts: tuple[LotOrder, ...], quantity: float) -> tuple[LotOrder, ...]:
    """Return parts that add up to `quantity`, each its share of it."""
    total = sum(part.quantity for part in parts)
    return tuple(part._replace(quantity=part.quantity * quantity / total) for part in parts)


class EveOfExDates:
    """Keeps orders and book of an account in step with the corporate actions of the next session.

    Parameters
    ----------
    source
        Who tells them; None: nobody, and nothing is done.
    book, keeper
        Our book, and its bookkeeper, whose memory keeps what has been followed: it is saved with the book.
    calendar
        Sessions.
    """

    def __init__(
        self, source: ExDateSource | None, book: AccountBook, keeper: Bookkeeper, calendar: TradingCalendar
    ) -> None:
        self._source = source
        self._special = 0.0 if source is None else source.special_dividend
        self._book = book
        self._keeper = keeper
        self._calendar = calendar
        self._changes: dict[str, Change] = {}
        self._answered: date | None = None
        self._asked_at: datetime | None = None
        self._told: set[tuple[date, str]] = set()

    # ------------------------------------------------------------ asking

    def ask(self, now: datetime, *, at_once: bool = False) -> None:
        """Ask for the actions of the session ahead (the one that runs, while it does) if they are due, or `at_once`."""
        session = self._session_ahead(now)
        known = self._answered == session
        if self._source is None or (known and not at_once and not self._is_old(now, session)):
            return
        if not known:
            self._changes = {}
        before = self._calendar.previous_session(session)
        try:
            answer = self._source.ask(self._book.tickers, before + timedelta(days=1), session)
        except (BrokerUnreachableError, AlpacaRefusalError) as error:
            words = "nobody tells the corporate actions of %s (%s): entries go on, stops rest as they are"
            self._tell(session, "source", words, session, error)
            return
        self._answered, self._asked_at = session, now
        self._changes = changes_of(answer.actions, session)
        for text in answer.unread:
            self._tell(session, text, "a corporate action that cannot be read is passed over: %s", text)

    def _is_old(self, now: datetime, session: date) -> bool:
        is_shut = now < self._calendar.open_at(session)
        return is_shut and self._asked_at is not None and now - self._asked_at >= ASK_AGAIN

    def _session_ahead(self, now: datetime) -> date:
        day = session_of(now)
        if self._calendar.is_session(day) and now < self._calendar.close_at(day):
            return day
        return self._calendar.next_session(day)

    # ------------------------------------------------------------ orders of the eve

    def terms(self, intent: OrderIntent) -> OrderIntent | str:
        """Return an entry as it should be sent, or why it is withdrawn. Its slot in the book follows at once."""
        change = self._changes.get(intent.ticker)
        held = self._book.quantity(intent.ticker)
        if intent.side is not Side.BUY or change is None:
            return intent
        if self._has_followed(change) and (change.ratio == 1.0 or held == 0.0):
            return intent
        s = self._book.slot_of(intent.ticker)
        price = float(self._book.slots[s]["price"]) if s >= 0 else intent.limit_price or 0.0
        found = after_ex_date(intent, change, price, held, self._special, self._book.share_step)
        if isinstance(found, OrderIntent):
            if found != intent:
                log.info(
                    "entry %s: %g at %s becomes %g at %s (%s on %s)",
                    intent.ticker,
                    intent.quantity,
                    intent.limit_price,
                    found.quantity,
                    found.limit_price,
                    change.words,
                    change.session,
                )
            self._follow(change)
        return found

    # ------------------------------------------------------------ the book

    def follow(self, now: datetime, settled: date, orders: Sequence[JournalOrder]) -> list[str]:
        """Let the book follow, once the decisions of the eve are made; return the ids of orders to be cancelled.

        Cancelled are resting stops that a split would set off, and entries that were sent before a change was known.
        """
        if self._source is None:
            return []
        self.ask(now)
        self._suspend(now)
        cancels = [
            root_id(row.client_order_id)
            for row in orders
            if row.side is Side.SELL and row.ticker in self.suspended(settled) and _is_protective(row)
        ]
        if self._answered is not None and self._calendar.next_session(settled) == self._answered:
            cancels += self._follow_all(orders)
        return list(dict.fromkeys(cancels))

    def close(self, session: date) -> None:
        """Let the book follow what is known of `session` and was not followed on its eve, before it is booked."""
        if self._answered == session:
            for change in self._changes.values():
                if self._book.slot_of(change.ticker) >= 0 and not self._has_followed(change):
                    self._follow(change)

    def _follow_all(self, orders: Sequence[JournalOrder]) -> Iterator[str]:
        buys = {row.ticker: row for row in orders if row.side is Side.BUY}
        for change in self._changes.values():
            s = self._book.slot_of(change.ticker)
            if s < 0 or self._has_followed(change):
                continue
            row, price = buys.get(change.ticker), float(self._book.slots[s]["price"])
            moves = change.ends or change.ratio != 1.0 or change.dividend(price, self._special) > 0.0
            if row is not None and moves:
                words = "entry %s is withdrawn: %s on %s was not known when it was sent"
                log.warning(words, change.ticker, change.words, change.session)
                yield row.client_order_id
            if change.ends or change.is_absurd(price):
                text = "%s: %s on %s; what rests at the broker stays as it is: look at it"
                self._tell(change.session, change.ticker, text, change.ticker, change.words, change.session)
            self._follow(change)

    def _follow(self, change: Change) -> None:
        """Let the slot of a ticker follow, in the book and in the one before the day's entries; never twice."""
        morning = self._book.day.morning
        for book in [self._book.book, *([] if morning is None else [morning.book])]:
            self._move(book, change)
        self._mark(f"{MARK}|{change.session}|{change.ticker}", change.session)

    def _move(self, book: Book, change: Change) -> None:
        column = self._book.tickers.index(change.ticker)
        for s in (book.slots["ticker"] == column).nonzero()[0].tolist():
            slot, lots = book.slots[s], book.lots[s]
            dollars = 0.0 if change.ends else change.dividend(float(slot["price"]), self._special)
            if change.ratio != 1.0 and not slot["quantity"] > 0.0:
                _split(slot, lots, change.ratio)
            if dollars > 0.0:
                log.info(
                    "%s goes ex %g on %s: stop %g and target %g follow",
                    change.ticker,
                    dollars,
                    change.session,
                    slot["stop"],
                    slot["target"],
                )
                _lower(slot, lots, dollars, 1.0)

    # ------------------------------------------------------------ what rests at the broker

    def wanted(self, positions: Mapping[str, OurPosition], settled: date | None) -> dict[str, OurPosition]:
        """Return positions with the stops and targets that should rest now: after the close, those of the ex-date."""
        suspended = self.suspended(settled)
        return {ticker: self._as_wanted(position, suspended) for ticker, position in positions.items()}

    def _as_wanted(self, position: OurPosition, suspended: Collection[str]) -> OurPosition:
        if position.ticker in suspended:
            return replace(position, stop_price=None, target_price=None)
        change = self._changes.get(position.ticker)
        if change is None or change.ends or change.ratio != 1.0 or self._has_followed(change):
            return position
        price = float(self._book.slots[self._book.slot_of(position.ticker)]["price"])
        dollars = change.dividend(price, self._special)
        if not dollars > 0.0:
            return position
        stop, target = position.stop_price, position.target_price
        return replace(
            position,
            stop_price=None if stop is None else float(_lowered(stop, dollars, 1.0)),
            target_price=None if target is None else float(_lowered(target, dollars, 1.0)),
        )

    def suspended(self, settled: date | None) -> frozenset[str]:
        """Return the tickers whose stops wait for a split: until it is booked, or its session is settled without it."""
        found = set()
        for key in self._keeper.memory.booked:
            if key.startswith(f"{MARK}|") and key.count("|") == 3:
                _, session, ticker, quantity = key.split("|")
                waits = settled is None or settled < date.fromisoformat(session)
                if waits and abs(self._book.quantity(ticker) - float(quantity)) <= SHARE_TOLERANCE:
                    found.add(ticker)
        return frozenset(found)

    def priced(self, prices: Prices, settled: Callable[[], date | None]) -> Prices:
        """Return `prices` without those of tickers whose stops wait for a split: the book's levels are not theirs."""

        def ask(tickers: Collection[str]) -> Mapping[str, LastPrice]:
            suspended = self.suspended(settled())
            wanted = [ticker for ticker in tickers if ticker not in suspended]
            return prices(wanted) if wanted else {}

        return ask

    def _suspend(self, now: datetime) -> None:
        """Remember, on the eve, the shares of each position that a split will multiply."""
        for change in self._changes.values():
            held = self._book.quantity(change.ticker)
            if change.ratio == 1.0 or not held > 0.0 or not session_of(now) < change.session:
                continue
            text = "%s: %s of %g on %s; its stop is off until the split is booked"
            self._tell(change.session, change.ticker, text, change.ticker, change.words, change.ratio, change.session)
            self._mark(f"{MARK}|{change.session}|{change.ticker}|{held!r}", change.session)

    # ------------------------------------------------------------ memory

    def _has_followed(self, change: Change) -> bool:
        return f"{MARK}|{change.session}|{change.ticker}" in self._keeper.memory.booked

    def _mark(self, key: str, session: date) -> None:
        memory = self._keeper.memory
        booked = {**memory.booked, key: self._calendar.open_at(session)}
        self._keeper.memory = Memory(memory.since, booked, memory.previous)

    def _tell(self, session: date, what: str, words: str, *values: object) -> None:
        if (session, what) not in self._told:
            self._told.add((session, what))
            log.warning(words, *values)


def _is_protective(row: JournalOrder) -> bool:
    return row.reason in (OrderReason.STOP_LOSS, OrderReason.TAKE_PROFIT) and not row.parts
