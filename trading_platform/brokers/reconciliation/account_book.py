"""Our book of a real account: the kernel's own records, moved by what the broker says has happened.

Executions, money and shares are posted through the very functions of `core.ledger` and `core.session` that the
simulation uses, so cash, realized profit, fees and round trips are the same arithmetic to the cent. Shares that the
account's owner bought by hand stand beside the book (`manual`): money that went into them has left the book like a
withdrawal, and comes back like a deposit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from trading_platform.brokers.reconciliation.implied_fills import cashed_out, sold_by_hand, transferred
from trading_platform.brokers.reconciliation.owner_shares import add_shares
from trading_platform.brokers.reconciliation.pending_entries import PendingEntries
from trading_platform.brokers.reconciliation.settlement_news import News
from trading_platform.brokers.reconciliation.two_books import (
    SHARE_TOLERANCE,
    CashFlow,
    CashKind,
    ForeignFill,
    OurPosition,
    ShareChange,
)
from trading_platform.core.compiled import plain
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import (
    Record,
    Records,
    clear_slot,
    mark_slot,
    post_buy,
    post_cash_flow,
    post_split,
    total_equity,
)
from trading_platform.core.ports import JournalOrder
from trading_platform.core.risk.rules import start_session
from trading_platform.core.round_trips import EPOCH, LoggedFill, round_trip
from trading_platform.core.session import Rules, new_fill_log, sell
from trading_platform.core.simulate import open_books
from trading_platform.core.types import ORDER_REASONS, Fill, Floats, Side

# A handful of postings a day: Python is quicker than having each function compiled by itself.
_clear, _mark, _buy = plain(clear_slot), plain(mark_slot), plain(post_buy)
_flow, _split, _equity = plain(post_cash_flow), plain(post_split), plain(total_equity)
_sell, _start = plain(sell), plain(start_session)


class AccountBook:
    """One account.

    Parameters
    ----------
    rules, cash
        Limits and costs that govern the book; dollars at the start.
    tickers, strategies
        Names of columns and strategy numbers.

    Attributes
    ----------
    record, slots
        The book: one account record (`core.ledger.ACCOUNT`) and its slots (`core.ledger.SLOT`).
    entries
        The entries among the slots that may still fill.
    manual
        Ticker -> shares that are the owner's own.
    news
        What has been booked since the last settlement.
    """

    def __init__(self, rules: Rules, cash: float, tickers: Sequence[str], strategies: Sequence[str]) -> None:
        self.tickers = tuple(tickers)
        self.strategies = tuple(strategies)
        self.manual: dict[str, float] = {}
        self.news = News()
        self._limits = rules.limits
        books = open_books(1, rules.limits.max_positions, cash)
        self._accounts = books.accounts
        self.record: Record = books.accounts[0]
        self.slots: Records = books.slots[0]
        self.entries = PendingEntries(self.slots, self.tickers, self.strategies)
        self._log = new_fill_log(1)

    # ------------------------------------------------------------ reading

    def slot_of(self, ticker: str) -> int:
        """Return the slot that holds `ticker` or has it pending, -1 if there is none."""
        return self.entries.slot_of(ticker)

    def strategy_of(self, slot: Record) -> str:
        """Return the name of the strategy that owns a slot."""
        name: str = self.strategies[slot["strategy"]]
        return name

    def quantity(self, ticker: str) -> float:
        """Return the shares of `ticker` in the book, the owner's own not counted."""
        s = self.slot_of(ticker)
        return 0.0 if s < 0 else float(self.slots[s]["quantity"])

    def positions(self) -> dict[str, OurPosition]:
        """Return open positions by ticker."""
        found = {}
        for slot in self.slots:
            if slot["quantity"] > 0.0:
                ticker = self.tickers[slot["ticker"]]
                found[ticker] = OurPosition(
                    ticker,
                    float(slot["quantity"]),
                    self.strategy_of(slot),
                    float(slot["stop"]) or None,
                    float(slot["target"]) or None,
                )
        return found

    def refill(self, account: Records, held: Records) -> None:
        """Take an account (1,) and its positions and pending entries (at most as many as there are slots)."""
        self._accounts[:] = account
        for slot in self.slots:
            _clear(slot)
        self.slots[: len(held)] = held

    # ------------------------------------------------------------ posting

    def book_fill(self, fill: Fill, order: JournalOrder | None) -> None:
        """Post an execution of one of our orders; `order` is its row, which tells a new position its stop and target.

        Shares sold beyond the book's own are the owner's.
        """
        if fill.side is Side.BUY:
            self._book_buy(fill, order)
            return
        ours = self._within(fill.ticker, fill.quantity)
        if ours > 0.0:
            self._book_sale(fill, ours)
        if fill.quantity - ours > SHARE_TOLERANCE:
            fees = 0.0 if ours > 0.0 else fill.fees
            rest = fill.quantity - ours
            self.move_manual(fill.ticker, -rest, round_cents(rest * fill.price) - fees)

    def book_foreign(self, fill: ForeignFill) -> None:
        """Post a trade that the owner made by hand: what he sells beyond his own shares is the book's."""
        if fill.side is Side.BUY:
            self.move_manual(fill.ticker, fill.quantity, -fill.amount)
            return
        ours = self._within(fill.ticker, fill.quantity)
        s = self.slot_of(fill.ticker)
        if ours > 0.0:
            kept = int(self.slots[s]["exit_reason"])
            self._book_sale(sold_by_hand(fill, ours, self.strategy_of(self.slots[s])), ours)
            if self.slots[s]["quantity"] > 0.0:
                self.slots[s]["exit_reason"] = kept  # what is left is held on
        if fill.quantity - ours > SHARE_TOLERANCE:
            rest = fill.quantity - ours
            self.move_manual(fill.ticker, -rest, round_cents(rest * fill.price))

    def book_cash(self, flow: CashFlow) -> None:
        """Post money that moved without a trade."""
        s = -1 if flow.ticker is None else self.slot_of(flow.ticker)
        is_managed = flow.ticker is None or flow.ticker not in self.manual or s >= 0
        match flow.kind:
            case CashKind.DIVIDEND | CashKind.INTEREST if is_managed:
                if s >= 0:
                    self.slots[s]["dividends"] = round_cents(self.slots[s]["dividends"] + flow.amount)
                self.record["cash"] = round_cents(self.record["cash"] + flow.amount)
                self.record["dividends"] = round_cents(self.record["dividends"] + flow.amount)
                self.news.dividends = round_cents(self.news.dividends + flow.amount)
            case CashKind.FEE | CashKind.OTHER if is_managed:
                self.book_fees(-flow.amount)
            case _:
                self._book_flow(flow.amount)

    def book_fees(self, amount: float) -> None:
        """Post account-wide fees, or a credit (negative)."""
        self.record["cash"] = round_cents(self.record["cash"] - amount)
        self.record["fees"] = round_cents(self.record["fees"] + amount)
        self.news.fees = round_cents(self.news.fees + amount)

    def book_shares(self, change: ShareChange) -> None:
        """Post shares that changed without a trade."""
        s, held = self.slot_of(change.ticker), self.quantity(change.ticker)
        if change.is_split and held > 0.0:
            after = held + change.quantity
            _split(self.slots[s], after / held)
            self.slots[s]["quantity"] = after
        else:
            self.adopt_position(change.ticker, held + change.quantity, change.change_id, change.at)

    def book_cash_out(self, change: ShareChange, flow: CashFlow) -> None:
        """Post shares that were taken for money without a trade: a write-off, a merger for cash. It is a sale."""
        s = self.slot_of(change.ticker)
        self.book_fill(cashed_out(change, flow, "" if s < 0 else self.strategy_of(self.slots[s])), None)

    def adopt_position(self, ticker: str, quantity: float, name: str, at: datetime) -> None:
        """Hold `quantity` shares where the broker says so: new ones are the owner's, lost ones left at their mark."""
        change = quantity - self.quantity(ticker)
        if change > 0.0:
            self.move_manual(ticker, change, 0.0)
            return
        ours = self._within(ticker, -change)
        if ours > 0.0:
            s = self.slot_of(ticker)
            gone = transferred(name, ticker, ours, float(self.slots[s]["price"]), self.strategy_of(self.slots[s]), at)
            self._book_sale(gone, ours)
            self._book_flow(-gone.amount)
        if -change - ours > SHARE_TOLERANCE:
            self.move_manual(ticker, change + ours, 0.0)

    def adopt_cash(self, amount: float, *, is_rounding: bool) -> None:
        """Take the broker's word for cash that nothing explains; the rounding of explained entries is a fee."""
        if is_rounding:
            self.book_fees(-amount)
        else:
            self._book_flow(amount)

    def move_manual(self, ticker: str, quantity: float, cash: float) -> None:
        """Change the owner's own shares by `quantity`, and the book's cash by `cash` dollars, a flow."""
        add_shares(self.manual, ticker, quantity)
        if cash != 0.0:
            self._book_flow(cash)

    # ------------------------------------------------------------ the close

    def start_session(self) -> None:
        """Begin a session: the day's loss counts from here."""
        _start(self.record)

    def close_session(self, prices: Floats) -> float:
        """Mark every position at `prices` (N,), NaN where unknown, and return the equity, dollars."""
        for slot in self.slots:
            if slot["quantity"] > 0.0:
                price = float(prices[slot["ticker"]])
                slot["held"] += 1
                slot["missing"] = 0 if price > 0.0 else slot["missing"] + 1
                _mark(slot, price)
        equity = float(_equity(self.record, self.slots))
        self.record["equity"] = self.record["accepted_equity"] = equity
        return equity

    def take_news(self) -> News:
        """Return what was booked since the last call, and forget it."""
        news, self.news = self.news, News()
        return news

    # ------------------------------------------------------------ inside

    def _book_buy(self, fill: Fill, order: JournalOrder | None) -> None:
        s = self.slot_of(fill.ticker)
        if s < 0:
            stop, target = (None, None) if order is None else (order.stop_price, order.target_price)
            s = self.entries.reserve(fill.ticker, fill.strategy, 0.0, fill.price, stop, target)
        elif order is not None and not self.slots[s]["quantity"] > 0.0:
            self.entries.take(order, s)  # what is saved may be an order that has ended
        slot = self.slots[s]
        slot["pending"] = max(0.0, slot["pending"] - fill.quantity)
        _buy(self.record, slot, fill.quantity, fill.price, fill.fees, (fill.session - EPOCH).days)
        self.news.add((fill, 0.0, None), s)

    def _book_sale(self, fill: Fill, quantity: float) -> None:
        s = self.slot_of(fill.ticker)
        reason = ORDER_REASONS.index(fill.reason)
        self._log.used[0] = 0
        day = (fill.session - EPOCH).days
        _sell(
            self.record, self.slots, s, quantity, fill.price, fill.fees, reason, day, 0.0, self._limits, self._log
        )  # fmt: skip
        made = LoggedFill._make(self._log.rows[0].tolist())
        trade = round_trip(made, self.tickers, self.strategies, fill.session)
        self.news.add((fill, made.realized, trade), s)

    def _book_flow(self, amount: float) -> None:
        _flow(self.record, amount)
        self.news.cash_flow = round_cents(self.news.cash_flow + amount)

    def _within(self, ticker: str, quantity: float) -> float:
        """Return how much of `quantity` the book itself holds; a remainder of float noise counts as all of it."""
        held = self.quantity(ticker)
        return held if abs(held - quantity) <= SHARE_TOLERANCE else min(held, quantity)
