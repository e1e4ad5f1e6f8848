"""Our book of a real account: the kernel's own records, moved by what the broker says has happened.

Executions, money and shares are posted through the very functions of `core.ledger`, `core.booking` and `core.session`
that the simulation uses, so cash, realized profit, fees and round trips are the same arithmetic to the cent. How an
execution is divided among strategies: `executions`.

Shares that the account's owner bought by hand stand beside the book (`manual`): money that went into them has left the
book like a withdrawal, and comes back like a deposit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime

from trading_platform.brokers.reconciliation.day_entries import (
    AdoptedCash,
    AdoptedShares,
    CashOut,
    Day,
    Entry,
    Evening,
    FillEntry,
    ManualMove,
    Morning,
    copied,
)
from trading_platform.brokers.reconciliation.event_market import event_market, forget_levels, give_spin_off_prices
from trading_platform.brokers.reconciliation.executions import Executions, Opens
from trading_platform.brokers.reconciliation.implied_fills import (
    bought_back,
    cashed_out,
    sold_by_hand,
    transferred,
)
from trading_platform.brokers.reconciliation.owner_shares import add_shares
from trading_platform.brokers.reconciliation.pending_entries import PendingEntries
from trading_platform.brokers.reconciliation.settlement_news import Booked, News
from trading_platform.brokers.reconciliation.taken_back import BookedAction, go_back, may_go_back
from trading_platform.brokers.reconciliation.two_books import (
    SHARE_TOLERANCE,
    CashFlow,
    CashKind,
    Exchange,
    ExchangeKind,
    ForeignFill,
    OurPosition,
    ShareChange,
    UndoneAction,
    back_of,
)
from trading_platform.core.booking import drop_buys, tidy_slot
from trading_platform.core.compiled import plain
from trading_platform.core.corporate_events import become, spin_off
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import (
    SHARE_NOISE,
    Record,
    Records,
    owns,
    post_cash_flow,
    post_dividend,
    post_split,
    settle_levels,
    total_equity,
)
from trading_platform.core.plan import Book
from trading_platform.core.ports import JournalOrder
from trading_platform.core.risk.rules import start_session
from trading_platform.core.round_trips import EPOCH, account_flows
from trading_platform.core.session import Rules, mark_position
from trading_platform.core.simulate import open_books
from trading_platform.core.types import Fill, Floats, Flows, Side

# A handful of postings a day: Python is quicker than having each function compiled by itself.
_flow, _split, _equity, _dividend = plain(post_cash_flow), plain(post_split), plain(total_equity), plain(post_dividend)
_tidy, _drop_buys, _owns, _settle_levels = plain(tidy_slot), plain(drop_buys), plain(owns), plain(settle_levels)
_become, _spin_off, _start, _mark = plain(become), plain(spin_off), plain(start_session), plain(mark_position)


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
    book, record, slots, lots
        The book in the kernel's form, and views of its parts (`core.ledger`).
    entries
        The orders that may still fill, as the lots have them.
    manual
        Ticker -> shares that are the owner's own.
    day
        The entries since then, and the book before them.
    actions
        Corporate actions in the book that the broker may still cancel, by their ids.
    evening
        The last settlement, kept for whoever compares it with what the kernel would have made; None before the first.
    """

    def __init__(self, rules: Rules, cash: float, tickers: Sequence[str], strategies: Sequence[str]) -> None:
        self.tickers = tuple(tickers)
        self.strategies = tuple(strategies)
        self.manual: dict[str, float] = {}
        self._limits, self._exits = rules.limits, rules.exits
        books = open_books(1, rules.limits.max_positions, len(self.strategies), len(self.tickers), cash)
        self.book = Book(books.accounts, books.slots[0], books.lots[0], books.stopped[0])
        self.record: Record = books.accounts[0]
        self.slots: Records = self.book.slots
        self.lots: Records = self.book.lots
        self.entries = PendingEntries(self.book, self.tickers, self.strategies)
        self.day = Day(opening=self.book.accounts.copy())
        self.actions: dict[str, BookedAction] = {}
        self.evening: Evening | None = None
        self._booked: tuple[Entry, ...] = ()
        self._executions = Executions(self.book, self.entries, self._limits, self.tickers, self.strategies)
        self._log = new_fill_log(2 * len(self.strategies))  # of corporate actions, which are no executions

    # ------------------------------------------------------------ reading

    @property
    def news(self) -> News:
        """What has been booked since the last settlement."""
        return self._executions.news

    @news.setter
    def news(self, news: News) -> None:
        self._executions.news = news

    @property
    def share_step(self) -> float:
        """What quantities are multiples of, shares."""
        return float(self._limits.share_step)

    def slot_of(self, ticker: str) -> int:
        """Return the slot that holds `ticker` or has it pending, -1 if there is none."""
        return self.entries.slot_of(ticker)

    def strategy_of(self, slot: Record) -> str:
        """Return the name of the strategy with the largest part of a slot."""
        name: str = self.strategies[slot["strategy"]]
        return name

    def quantity(self, ticker: str) -> float:
        """Return the shares of `ticker` in the book, the owner's own not counted."""
        s = self.slot_of(ticker)
        return 0.0 if s < 0 else float(self.slots[s]["quantity"])

    def positions(self) -> dict[str, OurPosition]:
        """Return open positions by ticker; their stop and target are those for what stays after the next open."""
        found = {}
        for s, slot in enumerate(self.slots):
            if slot["quantity"] > 0.0:
                ticker, (stop, target) = self.tickers[slot["ticker"]], self._levels(s)
                held, leaving = float(slot["quantity"]), float(slot["selling"])
                found[ticker] = OurPosition(ticker, held, self.strategy_of(slot), stop, target, leaving)
        return found

    def marks(self) -> dict[str, float]:
        """Return the last price of every position, dollars a share."""
        held = [slot for slot in self.slots if slot["quantity"] > 0.0 and slot["price"] > 0.0]
        return {self.tickers[slot["ticker"]]: float(slot["price"]) for slot in held}

    def _levels(self, s: int) -> tuple[float | None, float | None]:
        """Return stop and target of slot `s` without the lots that leave; those of all lots if all do."""
        slot, lots = self.slots[s].copy(), self.lots[s]
        staying = [
            k for k in range(len(lots)) if _owns(slot, k) and lots[k]["quantity"] + lots[k]["delta"] > SHARE_NOISE
        ]
        if staying:
            slot["owners"] = sum(1 << k for k in staying)
            _settle_levels(slot, lots)
        return float(slot["stop"]) or None, float(slot["target"]) or None

    # ------------------------------------------------------------ posting

    def book_fill(self, fill: Fill, order: JournalOrder | None) -> None:
        """Post an execution of one of our orders; `order` is its row, which says whose it is where the lots do not.

        Shares sold beyond the book's own are the owner's.
        """
        self._enter(FillEntry(fill, order))

    def book_foreign(self, fill: ForeignFill) -> None:
        """Post a trade that the owner made by hand: what he sells beyond his own shares is the book's."""
        self._enter(fill)

    def book_cash(self, flow: CashFlow) -> None:
        """Post money that moved without a trade."""
        self._enter(flow)

    def book_shares(self, change: ShareChange) -> None:
        """Post shares that changed without a trade."""
        self._enter(change)

    def book_cash_out(self, change: ShareChange, flow: CashFlow) -> None:
        """Post shares that were taken for money without a trade: a write-off, a merger for cash. It is a sale."""
        self._enter(CashOut(change, flow))

    def book_exchange(self, exchange: Exchange) -> None:
        """Post shares that became others: a rename, a merger for shares, a spin-off."""
        self._enter(exchange)

    def book_undone(self, undone: UndoneAction) -> None:
        """Post that a corporate action was cancelled after it was booked: what it moved goes back."""
        self._enter(undone)

    def undoable(self) -> dict[str, UndoneAction | None]:
        """Return what would take back each corporate action in the book, by its id; None where it is too late for it.

        It is too late when shares that the action brought were sold since, or others have taken the place.
        """
        columns = {ticker: i for i, ticker in enumerate(self.tickers)}
        return {
            name: action.back if may_go_back(action, self.book, columns) else None
            for name, action in self.actions.items()
        }

    def forget_actions(self, booked: Collection[str]) -> None:
        """Forget corporate actions that history does not tell any more; `booked` are the ids that it may."""
        self.actions = {name: action for name, action in self.actions.items() if name in booked}

    def adopt_position(self, ticker: str, quantity: float, name: str, at: datetime) -> None:
        """Hold `quantity` shares where the broker says so: new ones are the owner's, lost ones left at their mark."""
        self._enter(AdoptedShares(ticker, quantity - self.quantity(ticker), name, at))

    def adopt_cash(self, amount: float, *, is_rounding: bool) -> None:
        """Take the broker's word for cash that nothing explains; the rounding of explained entries is a fee."""
        self._enter(AdoptedCash(amount, is_rounding))

    def move_manual(self, ticker: str, quantity: float, cash: float) -> None:
        """Change the owner's own shares by `quantity`, and the book's cash by `cash` dollars, a flow."""
        self._enter(ManualMove(ticker, quantity, cash))

    # ------------------------------------------------------------ the close

    def rebook(self, opens: Opens) -> None:
        """Book a session once more from the book before it, now that its opening prices are known.

        Strategies sell to each other at the open, before anything else trades in the slot, and what an order lost
        against the open is known.
        """
        entries = self.day.entries
        if self.day.morning is not None:
            self._restore(self.day.morning)
        _start(self.record)
        self._executions.opens = opens
        for entry in entries:
            self._post(entry)
        for s in range(len(self.slots)):
            self._executions.cross_at_open(s)
            if self.slots[s]["pending"] > 0.0 and not opens.prices[self.slots[s]["ticker"]] > 0.0:
                _drop_buys(self.slots, self.lots, s)  # without an open nothing was bought, of each other neither
                _tidy(self.slots, self.lots, s)
        self._executions.opens = None
        self._booked = tuple(entries)
        self.day = Day(opening=self.day.opening)

    def close_session(self, session: date, prices: Floats) -> float:
        """Mark every position at `prices` (N,), NaN where unknown, and return the equity, dollars."""
        for slot in self.slots:
            if slot["quantity"] > 0.0:
                _mark(slot, float(prices[slot["ticker"]]))
        equity = float(_equity(self.record, self.slots))
        self.record["equity"] = self.record["accepted_equity"] = equity
        self.record["day"] = (session - EPOCH).days
        self.evening = Evening(session, copied(self.book), self._booked)
        return equity

    def take_news(self) -> tuple[News, Flows]:
        """Return what was booked since the last call, and what moved the account's money; forget it."""
        news, self.news = self.news, News()
        flows = account_flows(self.day.opening[0], self.record)
        self.day = Day(opening=self.book.accounts.copy())
        return news, flows

    # ------------------------------------------------------------ entries

    def _enter(self, entry: Entry) -> None:
        if self.day.morning is None:
            self.day.morning = Morning(copied(self.book), dict(self.manual), self.news.copy())
        self.day.entries.append(entry)
        self._post(entry)

    def _restore(self, morning: Morning) -> None:
        for mine, part in zip(self.book, morning.book, strict=True):
            mine[:] = part
        self.manual, self.news = dict(morning.manual), morning.news.copy()

    def _post(self, entry: Entry) -> None:
        match entry:
            case FillEntry(fill, order):
                self._post_fill(fill, order)
            case ForeignFill():
                self._post_foreign(entry)
            case CashFlow():
                self._post_cash(entry)
            case ShareChange():
                self._post_shares(entry)
            case Exchange():
                before, is_ours = copied(self.book), self.quantity(entry.ticker) > 0.0
                self._post_exchange(entry)
                if is_ours:
                    self._keep_action(back_of(entry), before)
            case CashOut():
                self._post_cash_out(entry)
            case UndoneAction():
                self._post_undone(entry)
            case AdoptedShares():
                self._post_adopted(entry)
            case AdoptedCash(amount, is_rounding):
                if is_rounding:
                    self._post_fees(-amount)
                else:
                    _flow(self.record, amount)
            case ManualMove(ticker, quantity, cash):
                self._move(ticker, quantity, cash)

    def _post_fill(self, fill: Fill, order: JournalOrder | None) -> None:
        if fill.side is Side.BUY:
            self._executions.buy(fill, order)
            return
        ours = self._within(fill.ticker, fill.quantity)
        if ours > 0.0:
            self._executions.sell(fill, ours, order)
        if fill.quantity - ours > SHARE_TOLERANCE:
            fees = 0.0 if ours > 0.0 else fill.fees
            rest = fill.quantity - ours
            self._move(fill.ticker, -rest, round_cents(rest * fill.price) - fees)

    def _post_foreign(self, fill: ForeignFill) -> None:
        if fill.side is Side.BUY:
            self._move(fill.ticker, fill.quantity, -fill.amount)
            return
        ours = self._within(fill.ticker, fill.quantity)
        if ours > 0.0:
            strategy = self.strategy_of(self.slots[self.slot_of(fill.ticker)])
            self._executions.sell(sold_by_hand(fill, ours, strategy), ours, None)
        if fill.quantity - ours > SHARE_TOLERANCE:
            rest = fill.quantity - ours
            self._move(fill.ticker, -rest, round_cents(rest * fill.price))

    def _post_cash(self, flow: CashFlow) -> None:
        s = -1 if flow.ticker is None else self.slot_of(flow.ticker)
        is_managed = flow.ticker is None or flow.ticker not in self.manual or s >= 0
        match flow.kind:
            case CashKind.DIVIDEND if is_managed and s >= 0 and self.slots[s]["quantity"] > 0.0:
                _dividend(self.record, self.slots[s], self.lots[s], flow.amount / self.slots[s]["quantity"])
            case CashKind.DIVIDEND | CashKind.INTEREST if is_managed:
                name = "interest" if flow.kind is CashKind.INTEREST else "dividends"
                self.record["cash"] = round_cents(self.record["cash"] + flow.amount)
                self.record[name] = round_cents(self.record[name] + flow.amount)
            case CashKind.FEE | CashKind.OTHER if is_managed:
                self._post_fees(-flow.amount)
            case _:
                _flow(self.record, flow.amount)

    def _post_fees(self, amount: float) -> None:
        """Post account-wide fees, or a credit (negative)."""
        self.record["cash"] = round_cents(self.record["cash"] - amount)
        self.record["fees"] = round_cents(self.record["fees"] + amount)

    def _post_shares(self, change: ShareChange) -> None:
        s, held = self.slot_of(change.ticker), self.quantity(change.ticker)
        if change.is_split and held > 0.0:
            after = held + change.quantity
            _split(self.slots[s], self.lots[s], after / held)
            self._count_exactly(s, after)
        else:
            self._post_adopted(AdoptedShares(change.ticker, change.quantity, change.change_id, change.at))

    def _post_exchange(self, exchange: Exchange) -> None:
        """Let the kernel's own functions move lots, basis, stops and statistics, and count as the broker does."""
        s, other = self.slot_of(exchange.ticker), self.entries.column_of(exchange.other)
        if s < 0 or not self.slots[s]["quantity"] > 0.0:
            self._move(exchange.ticker, -exchange.gone, exchange.cash)
            self._move(exchange.other, exchange.came, 0.0)
            return
        held = self.quantity(exchange.other)
        limits = self._limits._replace(share_step=SHARE_NOISE)  # fractions are paid out by the broker, not by us
        opens = self._executions.opens
        market = event_market(len(self.tickers), exchange.at, None if opens is None else opens.prices)
        self._log.used[0] = 0
        if exchange.kind is ExchangeKind.SPIN_OFF:
            is_priced = give_spin_off_prices(market, self.slots[s], other)
            ratio = exchange.came / float(self.slots[s]["quantity"])
            _spin_off(self.record, self.slots, self.lots, s, other, ratio, market, 0, limits, self._exits, self._log)
            if not is_priced and held == 0.0:
                forget_levels(self.slots, self.lots, self.slot_of(exchange.other))
            self.record["cash"] = round_cents(self.record["cash"] + exchange.cash)
        else:
            _drop_buys(self.slots, self.lots, s)
            held_before = float(self.slots[s]["quantity"])
            ratio, paid = exchange.came / held_before, exchange.cash / held_before
            _become(self.record, self.slots, self.lots, s, other, ratio, paid, market, 0, limits, self._log)
        home = self.slot_of(exchange.other)
        if home >= 0:
            self._count_exactly(home, held + exchange.came)

    def _post_cash_out(self, out: CashOut) -> None:
        s, before, told = self.slot_of(out.change.ticker), copied(self.book), list(self.news.fills)
        self._post_fill(cashed_out(out.change, out.flow, "" if s < 0 else self.strategy_of(self.slots[s])), None)
        sales = tuple(booked for booked in self.news.fills if booked not in told)
        self._keep_action(back_of(out.change, out.flow), before, sales)

    def _keep_action(self, back: UndoneAction, before: Book, sales: tuple[Booked, ...] = ()) -> None:
        """Remember a corporate action, should the broker cancel it."""
        self.actions[back.action_id] = BookedAction(back, before, copied(self.book), sales)

    def _post_undone(self, undone: UndoneAction) -> None:
        """Take a corporate action back; sales that it told are told back, or are not told at all if nobody heard."""
        action = self.actions[undone.action_id]
        go_back(action, self.book, {ticker: i for i, ticker in enumerate(self.tickers)})
        for booked in action.sales:
            if booked not in self.news.fills:
                fill, realized, _ = booked
                s = self.slot_of(fill.ticker)
                self.news.add((bought_back(fill, undone.at), -realized, None), s)
        self.news.drop(action.sales)

    def _count_exactly(self, s: int, quantity: float) -> None:
        """Let the shares of slot `s`, and the sum over its lots, be the broker's number, without float noise."""
        self.slots[s]["quantity"] = quantity
        held = [k for k in range(len(self.strategies)) if self.lots[s, k]["quantity"] > 0.0]
        for k in held[:-1]:
            quantity -= float(self.lots[s, k]["quantity"])
        self.lots[s, held[-1]]["quantity"] = quantity

    def _post_adopted(self, adopted: AdoptedShares) -> None:
        ticker, change = adopted.ticker, adopted.change
        if change > 0.0:
            self._move(ticker, change, 0.0)
            return
        ours = self._within(ticker, -change)
        if ours > 0.0:
            slot = self.slots[self.slot_of(ticker)]
            gone = transferred(adopted.name, ticker, ours, float(slot["price"]), self.strategy_of(slot), adopted.at)
            self._executions.sell(gone, ours, None)
            _flow(self.record, -gone.amount)
        if -change - ours > SHARE_TOLERANCE:
            self._move(ticker, change + ours, 0.0)

    def _move(self, ticker: str, quantity: float, cash: float) -> None:
        add_shares(self.manual, ticker, quantity)
        if cash != 0.0:
            _flow(self.record, cash)

    def _within(self, ticker: str, quantity: float) -> float:
        """Return how much of `quantity` the book itself holds; a remainder of float noise counts as all of it."""
        held = self.quantity(ticker)
        return held if abs(held - quantity) <= SHARE_TOLERANCE else min(held, quantity)
