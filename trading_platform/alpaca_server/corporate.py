"""Corporate events at the local server: what they do to shares, money, orders and names, and how they are told.

Events come from the panel (`split_ratio`, `dividend`, `events`) and from admin requests. They are booked at dawn, 90
minutes before the open of their session; with `Behaviour.late_splits` some splits come in the course of the day.

| kind | told as |
|---|---|
| split | SPLIT / FSPLIT or RSPLIT, qty = shares added; cash in lieu of a fraction in the same row |
| dividend, special_dividend | DIV / CDIV |
| stock_dividend | DIV / SDIV, qty = new shares |
| rename | two rows NC / SNC, -qty of the old and +qty of the new ticker, one group_id |
| cash_merger | MA / CMA in one row (shares and money) or two of one group_id |
| stock_merger | MA / SMA (or SCMA with cash): shares out, shares in |
| spin_off | SPIN, qty = shares of the new ticker |
| delisting | REORG / WRM |
| journal | JNLS, shares in or out |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from trading_platform.alpaca_server.account import (
    DIVIDEND,
    INTEREST,
    MERGER,
    REMOVAL,
    RENAME,
    SHARE_JOURNAL,
    SPIN_OFF,
    SPLIT,
)
from trading_platform.alpaca_server.behaviour import Behaviour
from trading_platform.alpaca_server.draws import Draw, uniform
from trading_platform.alpaca_server.market import Event
from trading_platform.alpaca_server.records import Json, SimOrder
from trading_platform.alpaca_server.validation import Asset
from trading_platform.core.errors import FixConfigError
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import SHARE_NOISE

if TYPE_CHECKING:
    from trading_platform.alpaca_server.exchange import SimExchange

KINDS = (
    "split",
    "dividend",
    "special_dividend",
    "stock_dividend",
    "rename",
    "cash_merger",
    "stock_merger",
    "spin_off",
    "delisting",
    "journal",
)
WITH_OTHER = frozenset({"rename", "stock_merger", "spin_off"})
MONTHS = 12.0


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, from the open of `session` on; `ratio` new shares per old, `cash` dollars per old share.

    Of a `journal` `ratio` is the number of shares that come (negative: go). `cash` NaN: the last price.
    """

    session: date
    ticker: str
    kind: str
    other: str = ""
    ratio: float = 1.0
    cash: float = 0.0

    @classmethod
    def from_json(cls, wish: Json, session: date) -> Happening:
        """Read an admin request; `session` is meant where it names none.

        Raises
        ------
        FixConfigError
            An unknown kind, or an event without what it needs.
        """
        kind = str(wish.get("kind"))
        if kind not in KINDS:
            raise FixConfigError(f"event kind must be one of {', '.join(KINDS)}, was {kind!r}")
        event = cls(
            session=date.fromisoformat(str(wish["session"])) if "session" in wish else session,
            ticker=str(wish["ticker"]),
            kind=kind,
            other=str(wish.get("other", "")),
            ratio=float(str(wish.get("ratio", 1.0))),
            cash=float(str(wish.get("cash", math.nan if kind == "delisting" else 0.0))),
        )
        if kind in WITH_OTHER and not event.other:
            raise FixConfigError(f"event {kind} of {event.ticker} needs other, the ticker that comes")
        if not math.isfinite(event.ratio) or (kind != "journal" and not (event.ratio > 0.0)):
            raise FixConfigError(f"event {kind} of {event.ticker}: ratio must be positive, was {event.ratio}")
        return event


class CorporateDesk:
    """Books corporate events, and interest and fees, which come at the same hour."""

    def __init__(self, exchange: SimExchange) -> None:
        self._exchange = exchange
        self._market = exchange.market
        self._account = exchange.account
        self.events: list[Happening] = [
            Happening(event.session, event.ticker, event.kind.value, event.other, event.ratio, event.cash)
            for event in exchange.market.panel.events
        ]
        self._late: list[Happening] = []
        self._wrong: list[tuple[str, float]] = []  # rows to be cancelled, and what is right instead (0: nothing)

    def announced(self, first: date, last: date) -> list[Happening]:
        """Return all events with a session in [first, last], those in the panel's columns included, oldest first."""
        market, found = self._market, [event for event in self.events if first <= event.session <= last]
        for row, day in enumerate(market.sessions):
            if not first <= day <= last:
                continue
            for ticker in market.tickers:
                found += self._of_columns(row, ticker)
        return sorted(found, key=lambda event: (event.session, event.ticker, event.kind))

    def _of_columns(self, row: int, ticker: str) -> list[Happening]:
        """Return what the panel's columns `split_ratio` and `dividend` say, where no event says it already."""
        day, found = self._market.session_at(row), list[Happening]()
        told = {event.kind for event in self.events if (event.session, event.ticker) == (day, ticker)}
        ratio, amount = self._market.split_ratio(row, ticker), self._market.dividend(row, ticker)
        if ratio != 1.0 and "split" not in told:
            found.append(Happening(day, ticker, "split", ratio=ratio))
        if amount > 0.0 and not told & {"dividend", "special_dividend"}:
            found.append(Happening(day, ticker, "dividend", cash=amount))
        return found

    # ------------------------------------------------------------ the day

    def at_dawn(self, event: Event) -> None:
        """Book what is due before the open of session `event.row`."""
        self._correct(event.at)
        self._account.book_fees_due(event.at)
        self._pay_interest(event)
        row, day = event.row, self._market.session_at(event.row)
        before = (
            self._market.session_at(row - 1) if row > 0 else date.min
        )  # a date without a session counts for the next
        named = [happening for happening in self.events if before < happening.session <= day]
        tickers = dict.fromkeys([*self._account.positions, *(order.symbol for order in self._exchange.working())])
        for ticker in tickers:
            named += self._of_columns(row, ticker)
        for happening in named:
            if happening.kind == "split" and self._chance(happening, Draw.SPLIT) < self._behaviour.late_splits:
                self._late.append(happening)
            else:
                self.book(happening, row, event.at)

    def catch_up(self, event: Event) -> None:
        """Book the splits that come late."""
        late, self._late = self._late, []
        for happening in late:
            self.book(happening, event.row, event.at)

    def book(self, event: Happening, row: int, at: datetime) -> None:
        """Let one event happen to account, orders and names."""
        match event.kind:
            case "split":
                self._split(event, at)
            case "dividend" | "special_dividend":
                self._dividend(event, at)
            case "stock_dividend":
                self._stock_dividend(event, at)
            case "rename":
                self._become(event, row, at, RENAME, "SNC")
            case "cash_merger":
                self._cash_merger(event, row, at)
            case "stock_merger":
                self._become(event, row, at, MERGER, "SCMA" if event.cash > 0.0 else "SMA")
            case "spin_off":
                self._spin_off(event, row, at)
            case "delisting":
                self._delisting(event, row, at)
            case _:
                self._account.book_shares(
                    SHARE_JOURNAL, event.ticker, event.ratio, at, details={"description": "journal entry"}
                )

    @property
    def _behaviour(self) -> Behaviour:
        return self._exchange.behaviour

    def _chance(self, event: Happening, what: Draw) -> float:
        return uniform(self._market.seed, event.session, self._market.security(event.ticker), what)

    # ------------------------------------------------------------ shares that multiply

    def _split(self, event: Happening, at: datetime) -> None:
        held, ratio = self._account.held(event.ticker), event.ratio
        if held > 0.0:
            fraction = held * ratio - math.floor(held * ratio + SHARE_NOISE)
            pays_out = self._behaviour.cash_in_lieu and held == math.floor(held) and fraction > SHARE_NOISE
            self._account.book_split(event.ticker, ratio, at, "RSPLIT" if ratio < 1.0 else "FSPLIT")
            if pays_out:
                self._pay_fraction(event.ticker, fraction, at)
        for order in self._exchange.working(event.ticker):
            # Groups carry "do not reduce": neither their prices nor their quantities follow a split.
            if order.order_class == "simple" and order.quantity is not None:
                order.quantity *= ratio
                order.limit_price = None if order.limit_price is None else order.limit_price / ratio
                order.stop_price = None if order.stop_price is None else order.stop_price / ratio

    def _pay_fraction(self, ticker: str, fraction: float, at: datetime) -> None:
        """Pay a fraction out at the next open's price."""
        row = self._market.session_row
        price = self._market.bar(row, ticker).open
        worth = price if price > 0.0 else self._market.price(ticker) or 0.0
        amount = round_cents(fraction * worth)
        self._account.book_shares(SPLIT, ticker, -fraction, at, amount, {"description": "cash in lieu"})

    def _stock_dividend(self, event: Happening, at: datetime) -> None:
        added = round(self._account.held(event.ticker) * event.ratio, 9)
        if added > 0.0:
            details: Json = {"activity_sub_type": "SDIV", "description": "stock dividend"}
            self._account.book_shares(DIVIDEND, event.ticker, added, at, details=details)

    def _spin_off(self, event: Happening, row: int, at: datetime) -> None:
        self._list(event.other)
        added = round(self._account.held(event.ticker) * event.ratio, 9)
        if added > 0.0:
            self._account.book_shares(
                SPIN_OFF, event.other, added, at, details={"description": f"spin-off of {event.ticker}"}
            )

    # ------------------------------------------------------------ money

    def _dividend(self, event: Happening, at: datetime) -> None:
        held = self._account.held(event.ticker)
        amount = round_cents(held * event.cash)
        if self._behaviour.reduced_limits:
            for order in self._exchange.working(event.ticker):
                _reduce(order, event.cash)
        if not (amount > 0.0) or not self._behaviour.pays_dividends:
            return
        details: Json = {"per_share_amount": repr(event.cash)}
        if self._behaviour.late_activities > 0.0:
            details |= {"activity_sub_type": "CDIV", "qty": repr(held)}
        chance = self._chance(event, Draw.DOUBLED)
        doubled, reverses = self._behaviour.doubled_activities, self._behaviour.reversed_activities
        if chance < doubled:
            self._account.book_cash(DIVIDEND, amount, at, symbol=event.ticker, **details)
            wrong = self._account.book_cash(DIVIDEND, amount, at, symbol=event.ticker, **details)
            self._wrong.append((wrong.id, 0.0))
        elif chance < doubled + reverses:
            wrong = self._account.book_cash(DIVIDEND, round_cents(amount * 1.1), at, symbol=event.ticker, **details)
            self._wrong.append((wrong.id, amount))
        else:
            self._account.book_cash(DIVIDEND, amount, at, symbol=event.ticker, **details)

    def _correct(self, at: datetime) -> None:
        wrong, self._wrong = self._wrong, []
        for activity_id, right in wrong:
            row = next(activity for activity in self._account.activities if activity.id == activity_id)
            self._account.cancel_activity(activity_id)
            if right > 0.0:
                symbol = str(row.body["symbol"])
                self._account.book_cash(DIVIDEND, right, at, symbol=symbol, status="correct")

    def _pay_interest(self, event: Event) -> None:
        rate, day = self._behaviour.interest_pct, self._market.session_at(event.row)
        first_of_month = event.row > 0 and self._market.session_at(event.row - 1).month != day.month
        amount = round_cents(max(self._account.cash, 0.0) * rate / 100.0 / MONTHS)
        if first_of_month and amount > 0.0:
            self._account.book_cash(INTEREST, amount, event.at, activity_sub_type="CDT", description="credit interest")

    # ------------------------------------------------------------ names that end

    def _cash_merger(self, event: Happening, row: int, at: datetime) -> None:
        held, account = self._account.held(event.ticker), self._account
        self._end(event.ticker, row, at)
        if not (held > 0.0):
            return
        amount = round_cents(held * event.cash)
        details: Json = {"activity_sub_type": "CMA", "description": "cash merger"}
        rows = self._behaviour.merger_rows or (1 if self._chance(event, Draw.MERGER) < 0.5 else 2)
        if rows == 1:
            account.book_shares(MERGER, event.ticker, -held, at, amount, details)
            return
        details["group_id"] = self._exchange.identifiers.next()
        account.book_shares(MERGER, event.ticker, -held, at, details=details)
        account.book_cash(MERGER, amount, at, symbol=event.ticker, **details)

    def _become(self, event: Happening, row: int, at: datetime, kind: str, sub_type: str) -> None:
        """Let the shares of one ticker become those of another: a rename, or a merger for stock."""
        position = self._account.positions.get(event.ticker)
        self._list(event.other)
        self._end(event.ticker, row, at)
        if kind == RENAME:
            self._market.rename(event.ticker, event.other, row)
        if position is None:
            return
        held, cost = position.quantity, position.cost
        details: Json = {
            "activity_sub_type": sub_type,
            "group_id": self._exchange.identifiers.next(),
            "description": f"{event.ticker} becomes {event.other}",
        }
        ratio = 1.0 if kind == RENAME else event.ratio
        self._account.book_shares(kind, event.ticker, -held, at, details=details)
        cash = round_cents(held * event.cash) if kind == MERGER else 0.0
        self._account.book_shares(kind, event.other, round(held * ratio, 9), at, cash, details)
        self._account.move_cost(event.other, round_cents(cost - cash))

    def _delisting(self, event: Happening, row: int, at: datetime) -> None:
        held = self._account.held(event.ticker)
        last = self._market.close_before(event.ticker, row - 1) or 0.0
        self._end(event.ticker, row, at)
        if held > 0.0:
            price = last if math.isnan(event.cash) else event.cash
            amount = round_cents(held * price)
            self._account.book_shares(
                REMOVAL, event.ticker, -held, at, amount, {"activity_sub_type": "WRM", "description": "delisted"}
            )

    def _list(self, ticker: str) -> None:
        if ticker not in self._exchange.assets:
            self._exchange.assets[ticker] = Asset(ticker)

    def _end(self, ticker: str, row: int, at: datetime) -> None:
        """Take a ticker off the exchange: its orders end, its asset is inactive."""
        for order in self._exchange.working(ticker):
            self._exchange.close_group(order, "canceled", at)
        self._exchange.assets[ticker] = Asset(ticker, tradable=False, active=False)
        self._market.end(ticker, row)


def _reduce(order: SimOrder, dividend: float) -> None:
    """Lower a plain GTC buy limit by a dividend; groups carry DNR, and stops have no reduction here."""
    plain = order.order_class == "simple" and order.time_in_force == "gtc" and order.type == "limit"
    if plain and order.side.value == "buy" and order.limit_price is not None:
        order.limit_price = round(max(order.limit_price - dividend, 0.01), 2)
