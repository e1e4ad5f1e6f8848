"""The book of a real account as text and back: exact, by names of tickers and strategies, with a checksum."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np

from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.day_entries import Day, Evening, Morning, copied
from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.brokers.reconciliation.entry_texts import (
    booked_text,
    entry_text,
    news_text,
    read_booked,
    read_entry,
    read_first_flows,
    read_news,
)
from trading_platform.brokers.reconciliation.taken_back import BookedAction
from trading_platform.brokers.reconciliation.two_books import UndoneAction
from trading_platform.brokers.reconciliation.waiting_exits import WaitingExit, read_waits, waits_text
from trading_platform.core.booking import LONG_AGO
from trading_platform.core.errors import OperatorNeededError, RepairDatabaseError
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import LOT, SLOT
from trading_platform.core.plan import Book
from trading_platform.core.ports import SavedBook
from trading_platform.core.risk.memory import checksum
from trading_platform.core.saved_books import BadBookError, account_text, read_account, read_slots, slots_text


@dataclass(frozen=True, slots=True)
class Memory:
    """What reconciliation must remember: where history begins, what of it is booked (id -> when it happened), the
    differences of the last reading, the exits that could not leave yet, and since when stops are missing (by ticker).
    """

    since: datetime
    booked: Mapping[str, datetime]
    previous: tuple[Difference, ...] = ()
    waits: Mapping[str, WaitingExit] = field(default_factory=dict)
    lacking: Mapping[str, datetime] = field(default_factory=dict)


def save(book: AccountBook, memory: Memory, session: date) -> SavedBook:
    """Return the book as it stands, `session` being the last one settled."""
    account = json.dumps({"account": json.loads(account_text(book.book.accounts)), **_memory(memory)})
    morning, day = book.day.morning, book.day
    text = slots_text(
        book.slots,
        book.lots,
        book.book.stopped,
        tickers=book.tickers,
        strategies=book.strategies,
        manual=book.manual,
        news=news_text(book.news),
        opening=json.loads(account_text(day.opening)),
        entries=[entry_text(entry) for entry in day.entries],
        morning=None if morning is None else _morning(morning),
        evening=None if book.evening is None else _evening(book.evening),
        actions=[_action(action) for action in book.actions.values()],
    )
    return SavedBook(session, account, text, checksum(account + text))


def load(book: AccountBook, saved: SavedBook) -> Memory:
    """Put a saved book into `book`, which may number tickers and strategies otherwise; return the memory.

    Raises
    ------
    RepairDatabaseError
        The book does not match its checksum or the number of positions allowed.
    OperatorNeededError
        A position's ticker or strategy is no longer configured.
    """
    if checksum(saved.account + saved.slots) != saved.checksum:
        raise RepairDatabaseError(
            "table paper_books: the book does not match its checksum; restore a backup of the database"
        )
    account, outer = json.loads(saved.account), json.loads(saved.slots)
    names = outer["tickers"], outer["strategies"]
    try:
        _put(book, book.book, _read(json.dumps(account["account"]), saved.slots, outer, names), names)
        book.manual = _shares(outer["manual"])
        book.news = read_news(outer["news"])
        book.day = _day(book, outer, names)
        actions = [_read_action(book, raw, names) for raw in outer.get("actions", [])]
        book.actions = {action.back.action_id: action for action in actions}
        book.evening = _read_evening(book, outer.get("evening"), names)  # a book of an older version has none
    except BadBookError as error:
        raise RepairDatabaseError(f"table paper_books: {error}; restore a backup of the database") from error
    previous = tuple(Difference(DifferenceKind(kind), *rest) for kind, *rest in account["previous"])
    booked = {str(key): datetime.fromisoformat(at) for key, at in account["booked"].items()}
    waits = read_waits(account.get("waits", []))  # a book of an older version has none
    lacking = {str(name): datetime.fromisoformat(at) for name, at in account.get("lacking", {}).items()}
    return Memory(datetime.fromisoformat(account["since"]), booked, previous, waits, lacking)


def book_text(book: AccountBook, parts: Book) -> str:
    """Return another state of an account's book as text, with the names of its tickers and strategies."""
    names = {"tickers": book.tickers, "strategies": book.strategies}
    return json.dumps({**names, **_parts(parts)})


def read_book(book: AccountBook, text: str) -> Book:
    """Return what `book_text` has written, numbered as `book` is.

    Raises
    ------
    RepairDatabaseError, OperatorNeededError
        As `load`.
    """
    raw = json.loads(text)
    return _read_parts(book, raw, (raw["tickers"], raw["strategies"]))


def evening_text(book: AccountBook, evening: Evening) -> str:
    """Return an evening of an account as text, with the names of its tickers and strategies."""
    return json.dumps({"tickers": book.tickers, "strategies": book.strategies, **_evening(evening)})


def read_evening(book: AccountBook, text: str) -> Evening:
    """Return what `evening_text` has written, numbered as `book` is.

    Raises
    ------
    RepairDatabaseError, OperatorNeededError
        As `load`.
    """
    raw = json.loads(text)
    parts = _read_parts(book, raw, (raw["tickers"], raw["strategies"]))
    return Evening(date.fromisoformat(raw["session"]), parts, tuple(read_entry(entry) for entry in raw["entries"]))


# ---------------------------------------------------------------- the day


def _morning(morning: Morning) -> dict[str, Any]:
    return {**_parts(morning.book), "manual": morning.manual, "news": news_text(morning.news)}


def _evening(evening: Evening) -> dict[str, Any]:
    entries = [entry_text(entry) for entry in evening.entries]
    return {**_parts(evening.book), "session": evening.session.isoformat(), "entries": entries}


def _read_evening(
    book: AccountBook, raw: Mapping[str, Any] | None, names: tuple[Sequence[str], Sequence[str]]
) -> Evening | None:
    """Return a saved evening; what it held and nobody trades any more is no reason not to trade on."""
    if raw is None:
        return None
    try:
        return read_evening(book, json.dumps({"tickers": names[0], "strategies": names[1], **raw}))
    except (OperatorNeededError, RepairDatabaseError):
        return None


def _action(action: BookedAction) -> dict[str, Any]:
    return {
        "back": entry_text(action.back),
        "before": _parts(action.before),
        "after": _parts(action.after),
        "sales": booked_text(action.sales),
    }


def _read_action(book: AccountBook, raw: Mapping[str, Any], names: tuple[Sequence[str], Sequence[str]]) -> BookedAction:
    back = read_entry(raw["back"])
    if not isinstance(back, UndoneAction):
        raise BadBookError(f"a stored corporate action is unreadable ({raw['back']})")
    before, after = (_read_parts(book, raw[name], names) for name in ("before", "after"))
    return BookedAction(back, before, after, tuple(read_booked(raw["sales"])))


def _parts(book: Book) -> dict[str, Any]:
    return {
        "account": json.loads(account_text(book.accounts)),
        **json.loads(slots_text(book.slots, book.lots, book.stopped)),
    }


def _read_parts(book: AccountBook, raw: Mapping[str, Any], names: tuple[Sequence[str], Sequence[str]]) -> Book:
    parts = copied(book.book)
    _put(book, parts, _read(json.dumps(raw["account"]), json.dumps(raw), raw, names), names)
    return parts


def _day(book: AccountBook, outer: Mapping[str, Any], names: tuple[Sequence[str], Sequence[str]]) -> Day:
    """Return the entries since the last settlement; what a book of the first version has booked stays as it is."""
    if "opening" not in outer:
        opening = book.book.accounts.copy()
        for name, dollars in read_first_flows(outer["news"]).items():
            opening[name] = round_cents(float(opening[name][0]) - dollars)
        return Day(opening)
    day = Day(read_account(json.dumps(outer["opening"])), [read_entry(entry) for entry in outer["entries"]])
    raw = outer["morning"]
    if raw is not None:
        day.morning = Morning(_read_parts(book, raw, names), _shares(raw["manual"]), read_news(raw["news"]))
    return day


def _shares(raw: Mapping[str, Any]) -> dict[str, float]:
    return {str(ticker): float(quantity) for ticker, quantity in raw.items()}


# ---------------------------------------------------------------- records


def _read(account: str, slots: str, outer: Mapping[str, Any], names: tuple[Sequence[str], Sequence[str]]) -> Book:
    """Return a saved book as it was numbered then."""
    tickers, strategies = names
    rows = outer["slots"] if isinstance(outer["slots"], list) else outer["slots"]["rows"]
    book = Book(
        read_account(account),
        np.zeros(len(rows), dtype=SLOT),
        np.zeros((len(rows), len(strategies)), dtype=LOT),
        np.full(len(tickers), LONG_AGO, dtype=np.int64),
    )
    read_slots(slots, book.slots, book.lots, book.stopped)
    return book


def _put(book: AccountBook, into: Book, saved: Book, names: tuple[Sequence[str], Sequence[str]]) -> None:
    """Write a saved book `into` arrays numbered as those of `book`."""
    held = np.flatnonzero(saved.slots["ticker"] >= 0).tolist()
    if len(held) > len(into.slots):
        raise RepairDatabaseError(
            f"table paper_books: {len(held)} positions and pending entries, the book has {len(into.slots)} places; "
            "use the risk limits of the run"
        )
    # Each where it was: the order of slots is the order of decisions.
    places = held if len(saved.slots) <= len(into.slots) else range(len(held))
    into.accounts[:] = saved.accounts
    into.slots[:] = np.zeros(1, dtype=SLOT)[0]
    into.slots["ticker"] = -1
    into.lots[:] = np.zeros(1, dtype=LOT)[0]
    into.stopped[:] = LONG_AGO
    tickers, strategies = names
    for s, place in zip(held, places, strict=True):
        slot = into.slots[place]
        into.slots[place] = saved.slots[s]
        slot["ticker"] = _number("ticker", tickers[saved.slots[s]["ticker"]], book.tickers)
        slot["strategy"] = _number("strategy", strategies[saved.slots[s]["strategy"]], book.strategies)
        slot["owners"] = 0
        for k, name in enumerate(strategies):
            if int(saved.slots[s]["owners"]) >> k & 1:
                number = _number("strategy", name, book.strategies)
                slot["owners"] |= 1 << number
                into.lots[place, number] = saved.lots[s, k]
    for i in np.flatnonzero(saved.stopped > LONG_AGO).tolist():
        if tickers[i] in book.tickers:
            into.stopped[book.tickers.index(tickers[i])] = saved.stopped[i]


def _number(what: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise OperatorNeededError(
            f"the account holds a position of {what} {name}, which is no longer configured: put it back, or close the "
            "position first"
        )
    return list(names).index(name)


def _memory(memory: Memory) -> dict[str, Any]:
    previous = [[d.kind.value, d.ticker, d.ours, d.theirs] for d in memory.previous]
    booked = {key: at.isoformat() for key, at in sorted(memory.booked.items())}
    lacking = {name: at.isoformat() for name, at in sorted(memory.lacking.items())}
    return {
        "since": memory.since.isoformat(),
        "booked": booked,
        "previous": previous,
        "waits": waits_text(memory.waits),
        "lacking": lacking,
    }
