"""The book of a real account as text and back: exact, by names of tickers and strategies, with a checksum."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.brokers.reconciliation.settlement_news import Booked, News
from trading_platform.core.errors import OperatorNeededError, RepairDatabaseError
from trading_platform.core.ledger import ACCOUNT, SLOT
from trading_platform.core.ports import SavedBook
from trading_platform.core.risk.memory import checksum
from trading_platform.core.types import ClosedTrade, Fill, OrderReason, Side


@dataclass(frozen=True, slots=True)
class Memory:
    """What reconciliation must remember: where history begins, what of it is booked (id -> when it happened), and the
    differences of the last reading.
    """

    since: datetime
    booked: Mapping[str, datetime]
    previous: tuple[Difference, ...] = ()


def save(book: AccountBook, memory: Memory, session: date) -> SavedBook:
    """Return the book as it stands, `session` being the last one settled."""
    account = json.dumps({"account": book.record.tolist(), **_memory(memory)})
    slots = {
        "slots": book.slots.tolist(),
        "tickers": book.tickers,
        "strategies": book.strategies,
        "manual": book.manual,
        "news": _news(book.news),
    }
    text = json.dumps(slots)
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
    rows = np.array([tuple(row) for row in outer["slots"]], dtype=SLOT)
    held = rows[rows["ticker"] >= 0]
    if len(held) > len(book.slots):
        raise RepairDatabaseError(
            f"table paper_books: {len(held)} positions and pending entries, max_positions is {len(book.slots)}; "
            "use the risk limits of the run"
        )
    if len(rows) == len(book.slots):
        held = rows  # each where it was: the order of slots is the order of decisions
    for row in held:
        if row["ticker"] < 0:
            continue
        row["ticker"] = _number("ticker", outer["tickers"][row["ticker"]], book.tickers)
        row["strategy"] = _number("strategy", outer["strategies"][row["strategy"]], book.strategies)
    book.refill(np.array([tuple(account["account"])], dtype=ACCOUNT), held)
    book.manual = {str(ticker): float(quantity) for ticker, quantity in outer["manual"].items()}
    book.news = _read_news(outer["news"])
    previous = tuple(Difference(DifferenceKind(kind), *rest) for kind, *rest in account["previous"])
    booked = {str(key): datetime.fromisoformat(at) for key, at in account["booked"].items()}
    return Memory(datetime.fromisoformat(account["since"]), booked, previous)


def _number(what: str, name: str, names: Collection[str]) -> int:
    if name not in names:
        raise OperatorNeededError(
            f"the account holds a position of {what} {name}, which is no longer configured: put it back, or close the "
            "position first"
        )
    return list(names).index(name)


def _memory(memory: Memory) -> dict[str, Any]:
    previous = [[d.kind.value, d.ticker, d.ours, d.theirs] for d in memory.previous]
    booked = {key: at.isoformat() for key, at in sorted(memory.booked.items())}
    return {"since": memory.since.isoformat(), "booked": booked, "previous": previous}


def _news(news: News) -> dict[str, Any]:
    fills = [
        [fill._asdict(), realized, None if trade is None else trade._asdict()] for fill, realized, trade in news.fills
    ]
    plain = json.loads(json.dumps(fills, default=lambda value: value.isoformat()))
    return {
        "fills": plain,
        "places": news.places,
        "dividends": news.dividends,
        "fees": news.fees,
        "cash_flow": news.cash_flow,
    }


def _read_news(raw: Mapping[str, Any]) -> News:
    fills: list[Booked] = [
        (_fill(fill), float(realized), None if trade is None else _trade(trade))
        for fill, realized, trade in raw["fills"]
    ]
    places = [(int(day), int(part), int(slot)) for day, part, slot in raw["places"]]
    return News(fills, places, raw["dividends"], raw["fees"], raw["cash_flow"])


def _fill(raw: Mapping[str, Any]) -> Fill:
    words = {
        "side": Side(raw["side"]),
        "reason": OrderReason(raw["reason"]),
        "filled_at": datetime.fromisoformat(raw["filled_at"]),
        "session": date.fromisoformat(raw["session"]),
    }
    return Fill(**{**raw, **words})


def _trade(raw: Mapping[str, Any]) -> ClosedTrade:
    words = {
        "reason": OrderReason(raw["reason"]),
        "entry_session": date.fromisoformat(raw["entry_session"]),
        "exit_session": date.fromisoformat(raw["exit_session"]),
    }
    return ClosedTrade(**{**raw, **words})
