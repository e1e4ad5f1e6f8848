"""RiskManager: the one door that every order must pass.

It decides with the pure rules of `trading_platform.core`, remembers what must not be forgotten, and issues the only
thing a broker accepts, an `ApprovedOrder`. It works alone in a notebook::

    risk = RiskManager(RiskConfig())
    risk.show_market(MarketView.from_panel(panel))
    risk.show_portfolio(Portfolio(cash=100_000.0))
    risk.validate_order("AAPL", "buy", 10, 190.0)     # (True, "OK") or (False, "SECTOR_LIMIT: ...")
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from risk_config import RiskConfig
from trading_platform.core import risk_rules as rules
from trading_platform.core.decide import check_order, size_entry
from trading_platform.core.errors import ApprovalError
from trading_platform.core.explain import account_checks, largest_entry, order_checks
from trading_platform.core.ledger import Record, Records, mark_slot, post_cash_flow, total_equity
from trading_platform.core.limits import limits_of
from trading_platform.core.ports import Clock, RiskStateStore
from trading_platform.core.risk_memory import (
    RiskMemory,
    RiskMemoryError,
    book_from_json,
    book_to_json,
    decode,
    encode,
    fill_record,
    record_to_dict,
)
from trading_platform.core.risk_messages import describe
from trading_platform.core.risk_rules import OK, Limits, Verdict
from trading_platform.core.simulate import open_books
from trading_platform.core.types import (
    DENIAL_CODES,
    ApprovedOrder,
    Denial,
    DenialCode,
    Explanation,
    OrderIntent,
    Portfolio,
    RiskEvent,
    RiskEventKind,
    Side,
    TradeResult,
)
from trading_platform.core.view import MarketView

CHECKED = tuple(code.value for code in DENIAL_CODES[1:])
REDUCE_ONLY = ("reduce-only",)
SHARE_NOISE = 1e-9  # shares; float noise of fractional quantities


class SystemClock:
    """The wall clock; shells below pass another."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return datetime.now(UTC)


class RiskManager:
    """Checks, sizes and approves orders; keeps peak equity, halts, streaks and pauses durably.

    Parameters
    ----------
    config
        Limits; the conservative defaults when None.
    store
        Durable memory. Without one nothing survives the process (notebooks, replays of a shared kernel).
    clock
        Source of time for approvals and records.
    capital
        Equity in dollars before anything has been shown.

    Notes
    -----
    `account` and `slots` are this manager's own copy of the book, filled by `show_portfolio` or `mirror`.
    """

    def __init__(
        self,
        config: RiskConfig | None = None,
        *,
        store: RiskStateStore | None = None,
        clock: Clock | None = None,
        capital: float = 100_000.0,
    ) -> None:
        self.config = RiskConfig() if config is None else config
        self.limits: Limits = limits_of(self.config.to_dict())
        self.books = open_books(1, self.config.max_positions, capital)
        self._fingerprint = self.config.fingerprint
        self._lifetime = timedelta(seconds=self.config.approval_seconds)
        self._clock: Clock = SystemClock() if clock is None else clock
        self._store = store
        self._view: MarketView | None = None
        self._issued: dict[str, ApprovedOrder] = {}
        self._selling: dict[str, float] = {}
        self._quarantine: dict[str, str] = {}
        self._unreconciled: str | None = None
        self._fault: str | None = None
        self._manual_halt: str | None = None
        self._manual_halt_since: str | None = None
        self._halted_since: str | None = None
        self.halt_session: str | None = None
        self.halt_book: str | None = None
        if store is not None:
            self._load(store)

    # ------------------------------------------------------------ what it is shown

    @property
    def account(self) -> Record:
        """The account record that the rules read (`core.ledger.ACCOUNT`)."""
        return self.books.accounts[0]

    @property
    def slots(self) -> Records:
        """Positions and pending entries that the rules read (`core.ledger.SLOT`)."""
        slots: Records = self.books.slots[0]
        return slots

    def show_market(self, view: MarketView) -> None:
        """Take the market that the next checks are made against."""
        self._view = view

    def mirror(self, account: Record, slots: Records) -> None:
        """Copy cash and positions of a broker's book; risk memory stays."""
        self.account["cash"] = account["cash"]
        if len(slots) != len(self.slots):
            self._resize(len(slots))
        self.slots[:] = slots

    def show_portfolio(self, portfolio: Portfolio) -> None:
        """Take cash and holdings as they are at the broker, pending entries included, and mark the equity.

        Raises
        ------
        ValueError
            A holding's ticker is not in the market shown before.
        """
        view = self._require_view()
        if len(portfolio.holdings) != len(self.slots):
            self._resize(max(len(portfolio.holdings), self.config.max_positions))
        self.slots[:] = open_books(1, len(self.slots), 0.0).slots[0]
        for slot, holding in zip(self.slots, portfolio.holdings, strict=False):
            if holding.ticker not in view.columns:
                raise ValueError(f"holding {holding.ticker!r} is not in the market shown; add it to the universe")
            slot["ticker"] = view.columns[holding.ticker]
            slot["quantity"], slot["pending"] = holding.quantity, holding.pending
            slot["limit_price"] = holding.limit_price
            mark_slot(slot, holding.price)
            if not holding.price > 0.0:
                slot["value"] = math.nan  # an unknown price makes equity unknown, which refuses new risk
        self.account["cash"] = portfolio.cash
        rules.accept_equity(self.account, total_equity(self.account, self.slots), self.limits)

    def quarantine(self, reasons: Mapping[str, str], unreconciled: str | None = None) -> None:
        """Refuse new risk in the tickers given (ticker -> why), or in all when `unreconciled` says why."""
        self._quarantine = dict(reasons)
        self._unreconciled = unreconciled

    # ------------------------------------------------------------ the face

    def can_trade(self) -> tuple[bool, str]:
        """Return (True, "OK") if new risk may be taken now, else (False, code and numbers)."""
        verdict, message = self._gate()
        return verdict == DenialCode.OK, message

    def validate_order(self, ticker: str, side: str, qty: float, price: float) -> tuple[bool, str]:
        """Return (True, "OK") if the order may leave, else (False, code and numbers).

        Parameters
        ----------
        ticker, side, qty
            "buy" or "sell" of `qty` shares.
        price
            Worst price in dollars a share that a buy may pay; caps are checked at it. Ignored for sells.
        """
        denial = self._judge(ticker, side, qty, price)
        return (True, "OK") if denial is None else (False, denial.message)

    def calculate_position_size(self, ticker: str, signal_strength: float, account_value: float) -> float:
        """Return the notional in dollars that a new position should have; 0 when no size is sensible.

        Fractional Kelly from shrunken trade statistics or the volatility budget, whichever is smaller, times
        `signal_strength` in [0, 1], the VIX scale and the correlation discount, within every cap.
        """
        view = self._view
        if view is None or ticker not in view.columns or not account_value > 0.0 or not signal_strength > 0.0:
            return 0.0
        column = view.columns[ticker]
        dollars = size_entry(
            self.account, self.slots, view.market, view.t, column, signal_strength, account_value, self.limits
        )
        return float(dollars) if dollars > 0.0 else 0.0

    def update_state(self, trade_result: TradeResult) -> RiskEvent | None:
        """Count a closed round trip in the loss streak and the Kelly statistics; return the pause that it starts."""
        if not math.isfinite(trade_result.pnl) or not math.isfinite(trade_result.cost):
            raise ValueError(
                f"trade result of {trade_result.ticker} has pnl {trade_result.pnl}, cost {trade_result.cost}"
            )
        clock = 0.0 if self._view is None else self._view.clock
        if not rules.record_trade(self.account, trade_result.pnl, trade_result.cost, clock, self.limits):
            return None
        streak, hours = self.limits.loss_streak, self.config.pause_hours
        message = f"{streak} losing trades in a row, entries pause {hours:g} exchange hours"
        return RiskEvent(RiskEventKind.PAUSE, DenialCode.LOSS_STREAK_PAUSE, streak, streak, message)

    def explain(self, ticker: str, side: str, qty: float, price: float) -> Explanation:
        """Return every rule's view of an order, the binding rule, and the largest quantity that would pass."""
        denial = self._judge(ticker, side, qty, price)
        view = self._view
        if view is None or ticker not in view.columns or side != Side.BUY:
            held = self._held(ticker)
            code = DenialCode.OK if denial is None else denial.code
            return Explanation(denial is None, "OK" if denial is None else denial.message, code, held, ())
        column = view.columns[ticker]
        checks = account_checks(self.account, view, self.limits)
        checks += order_checks(self.account, self.slots, view, column, qty, price, self.limits)
        largest, binding = largest_entry(self.account, self.slots, view, column, price, self.limits)
        gate, _ = self._gate()
        if gate != DenialCode.OK or ticker in self._quarantine:
            largest = 0.0
        message = "OK" if denial is None else denial.message
        return Explanation(denial is None, message, binding if denial is None else denial.code, largest, tuple(checks))

    # ------------------------------------------------------------ approvals

    def approve(self, intent: OrderIntent, attempt: int = 0) -> ApprovedOrder | Denial:
        """Return the approval that a broker needs, or the denial with its code and numbers.

        `attempt` counts genuine repeats of one decision, so that each has its own client order id.
        """
        worst = math.nan if intent.limit_price is None else intent.limit_price
        denial = self._judge(intent.ticker, intent.side, intent.quantity, worst)
        if denial is not None:
            return denial
        now = self._clock.now()
        client_order_id = order_id(intent, attempt)
        order = ApprovedOrder(
            intent=intent,
            approval_id=hashlib.sha256(f"{client_order_id}|{self._fingerprint}|{now.isoformat()}".encode()).hexdigest()[
                :16
            ],
            client_order_id=client_order_id,
            config_fingerprint=self._fingerprint,
            approved_at=now,
            expires_at=now + self._lifetime,
            checked=CHECKED if intent.side == Side.BUY else REDUCE_ONLY,
        )
        self._issued[order.approval_id] = order
        if intent.side == Side.SELL:
            self._selling[intent.ticker] = self._selling.get(intent.ticker, 0.0) + intent.quantity
        return order

    def consume(self, order: ApprovedOrder) -> None:
        """Spend an approval; brokers call this before anything leaves.

        Raises
        ------
        ApprovalError
            Not issued here, altered since, expired, or spent before.
        """
        issued = self._issued.pop(order.approval_id, None)
        if issued is None or issued is not order:
            raise ApprovalError(
                f"order {order.client_order_id}: approval {order.approval_id} is forged, altered or spent"
            )
        if not self._clock.now() <= order.expires_at:
            raise ApprovalError(f"order {order.client_order_id}: approval expired at {order.expires_at}")

    # ------------------------------------------------------------ the life of the account

    def start_session(self) -> None:
        """Begin an exchange session: the day's loss counts from the previous close; day orders of before are gone."""
        rules.start_session(self.account)
        self._selling.clear()
        self._issued.clear()

    def read_equity(
        self, equity: float, shadow_equity: float, session: date, cash_flow: float = 0.0
    ) -> list[RiskEvent]:
        """Take an equity reading in dollars; update the daily loss and the drawdown halt; return what changed.

        `shadow_equity` is that of the halted book's shadow (NaN when not halted). `cash_flow` is the deposit or
        withdrawal that the reading contains for the first time.
        """
        events: list[RiskEvent] = []
        if cash_flow != 0.0:
            post_cash_flow(self.account, cash_flow)
            events.append(self._event(RiskEventKind.CASH_FLOW, DenialCode.OK, cash_flow, 0.0, "cash flow"))
        if not rules.accept_equity(self.account, equity, self.limits):
            code = DenialCode.EQUITY_UNKNOWN
            message = f"equity reading {equity:,.2f} is not believed until a second one confirms it"
            return [
                *events,
                self._event(RiskEventKind.EQUITY_SUSPECT, code, equity, self.account["accepted_equity"], message),
            ]
        if rules.update_daily_loss(self.account, self.limits):
            loss = rules.daily_loss_of(self.account)
            message = f"lost {loss:.2%} since the previous close, limit {self.limits.max_daily_loss:.2%}"
            events.append(
                self._event(
                    RiskEventKind.DAILY_LOSS, DenialCode.DAILY_LOSS_LIMIT, loss, self.limits.max_daily_loss, message
                )
            )
        was = rules.drawdown_of(self.account["accepted_equity"], self.account["peak_equity"])
        match rules.update_drawdown(self.account, shadow_equity, self.limits):
            case rules.FIRST_BREACH:
                events.append(self._drawdown_event(RiskEventKind.BREACH, was, "first reading beyond the limit"))
            case rules.HALTED:
                self._halted_since = session.isoformat()
                self.halt_session = session.isoformat()
                self.halt_book = book_to_json(self.books.accounts, self.books.slots)
                events.append(self._drawdown_event(RiskEventKind.HALT, was, "halted until recovery"))
            case rules.RELEASED:
                self._forget_halt()
                events.append(self._drawdown_event(RiskEventKind.RELEASE, was, "recovered; reference peak rebased"))
        return events

    @property
    def halted(self) -> bool:
        """True during a drawdown halt."""
        return bool(self.account["halted"])

    def halt(self, reason: str, actor: str) -> RiskEvent:
        """Stop new risk until `resume`; closing positions stays possible."""
        self._manual_halt = reason
        self._manual_halt_since = self._clock.now().isoformat()
        return self._event(RiskEventKind.MANUAL_HALT, DenialCode.MANUAL_HALT, math.nan, math.nan, reason, actor)

    def resume(self, reason: str, actor: str) -> RiskEvent:
        """End a manual halt, a drawdown halt, a pause and a fault of the risk memory, on an operator's word."""
        if not reason.strip():
            raise ValueError("resume needs a reason")
        self._manual_halt = self._manual_halt_since = self._fault = None
        self.account["suspect_equity"] = 0.0
        self.account["pause_until"] = 0.0
        self.account["loss_streak"] = 0
        if self.halted or not rules.drawdown_of(self.account["accepted_equity"], self.account["peak_equity"]) <= (
            self.limits.max_drawdown
        ):
            rules.release(self.account, self.limits)
        self._forget_halt()
        return self._event(RiskEventKind.RESUME, DenialCode.OK, math.nan, math.nan, reason, actor)

    # ------------------------------------------------------------ memory

    def save(self) -> None:
        """Store the memory durably; call before orders leave."""
        if self._store is not None:
            self._store.save(encode(self.memory()))

    def memory(self) -> RiskMemory:
        """Return everything that must survive a restart."""
        return RiskMemory(
            saved_at=self._clock.now().isoformat(),
            clock=0.0 if self._view is None else float(self._view.clock),
            config_fingerprint=self._fingerprint,
            account=record_to_dict(self.account),
            manual_halt=self._manual_halt,
            manual_halt_since=self._manual_halt_since,
            fault=self._fault,
            halted_since=self._halted_since,
            halt_session=self.halt_session,
            halt_book=self.halt_book,
        )

    def _load(self, store: RiskStateStore) -> None:
        envelope = store.load()
        if envelope is None:
            if store.has_trades():
                self._fault = "risk memory is missing although this account has traded; look, then resume"
            return
        try:
            memory = decode(envelope, self._clock.now())
        except RiskMemoryError as error:
            self._fault = str(error)
            return
        fill_record(self.account, memory.account)
        self._manual_halt, self._manual_halt_since = memory.manual_halt, memory.manual_halt_since
        self._fault, self._halted_since = memory.fault, memory.halted_since
        self.halt_session, self.halt_book = memory.halt_session, memory.halt_book

    def restore_halt_book(self) -> None:
        """Put the book as it was at the halt into `books`, from which the shadow is recomputed."""
        if self.halt_book is not None:
            book_from_json(self.halt_book, self.books.accounts, self.books.slots)

    # ------------------------------------------------------------ report

    def get_risk_report(self) -> dict[str, Any]:
        """Return the state of every rule as JSON-ready numbers (percent where the key says so, null where unknown)."""
        from trading_platform.core.risk_report import risk_report  # only reports need it

        return risk_report(self)

    # ------------------------------------------------------------ inside

    def _gate(self) -> tuple[DenialCode, str]:
        if self._fault is not None:
            return DenialCode.RISK_STATE_INVALID, f"RISK_STATE_INVALID: {self._fault}"
        if self._manual_halt is not None:
            return DenialCode.MANUAL_HALT, f"MANUAL_HALT: {self._manual_halt} (since {self._manual_halt_since})"
        if self._unreconciled is not None:
            return DenialCode.RECONCILIATION, f"RECONCILIATION: {self._unreconciled}"
        view = self._view
        if view is None:
            return DenialCode.VIX_UNKNOWN, "VIX_UNKNOWN: no market has been shown"
        market = view.market
        verdict = rules.entry_gate(self.account, view.clock, market.vix[view.t], market.vix_age[view.t], self.limits)
        return DENIAL_CODES[verdict.code], describe(verdict, self.limits)

    def _judge(self, ticker: str, side: str, qty: float, price: float) -> Denial | None:
        """Return why the order may not leave, or None if it may."""
        if side not in (Side.BUY, Side.SELL) or not 0.0 < qty < math.inf:
            message = f"INVALID_ORDER: {side} {qty:g} {ticker}: side must be buy or sell, quantity positive and finite"
            return Denial(DenialCode.INVALID_ORDER, ticker, qty, 0.0, message)
        held = self._held(ticker)
        if side == Side.SELL and qty <= held + SHARE_NOISE:
            return None
        if side == Side.SELL and not self.config.allow_short:
            message = f"SHORT_NOT_ALLOWED: {ticker} sell {qty:g} > {held:g} shares held and not yet being sold"
            return Denial(DenialCode.SHORT_NOT_ALLOWED, ticker, qty, held, message, held)
        code, message = self._gate()
        if code != DenialCode.OK:
            return Denial(code, ticker, math.nan, math.nan, message)
        view = self._require_view()
        if ticker in self._quarantine:
            message = f"TICKER_QUARANTINED: {ticker} {self._quarantine[ticker]}"
            return Denial(DenialCode.TICKER_QUARANTINED, ticker, math.nan, math.nan, message)
        if ticker not in view.columns:
            return Denial(
                DenialCode.PRICE_UNKNOWN, ticker, math.nan, 0.0, f"PRICE_UNKNOWN: {ticker} is not in the market shown"
            )
        column = view.columns[ticker]
        verdict = check_order(self.account, self.slots, view.market, view.t, column, qty, price, self.limits)
        return None if verdict.code == OK else self._denial(verdict, ticker, column, price)

    def _denial(self, verdict: Verdict, ticker: str, column: int, price: float) -> Denial:
        view = self._require_view()
        other = ""
        if DENIAL_CODES[verdict.code] in (DenialCode.CORRELATION_LIMIT, DenialCode.CORRELATION_UNKNOWN):
            measures = rules.measure_entry(self.slots, view.market, view.t, column, self.limits)
            other = view.tickers[measures.correlated]
        largest, _ = largest_entry(self.account, self.slots, view, column, price, self.limits)
        message = describe(verdict, self.limits, ticker, other)
        return Denial(
            DENIAL_CODES[verdict.code], ticker, float(verdict.observed), float(verdict.limit), message, float(largest)
        )

    def _held(self, ticker: str) -> float:
        """Return the shares of `ticker` that may still be sold."""
        column = -1 if self._view is None else self._view.columns.get(ticker, -1)
        if column < 0:
            return 0.0
        held = float(self.slots["quantity"][self.slots["ticker"] == column].sum())
        return max(0.0, held - self._selling.get(ticker, 0.0))

    def _resize(self, n_slots: int) -> None:
        """Make room for more positions than are allowed: an account may hold them before we see it."""
        account = self.books.accounts.copy()
        self.books = open_books(1, n_slots, 0.0)
        self.books.accounts[:] = account

    def _require_view(self) -> MarketView:
        if self._view is None:
            raise ValueError("show_market() first: without a market nothing can be checked")
        return self._view

    def _forget_halt(self) -> None:
        self._halted_since = self.halt_session = self.halt_book = None

    def _drawdown_event(self, kind: RiskEventKind, drawdown: float, words: str) -> RiskEvent:
        message = f"drawdown {drawdown:.2%} of peak equity, limit {self.limits.max_drawdown:.2%}: {words}"
        return self._event(kind, DenialCode.DRAWDOWN_HALT, drawdown, self.limits.max_drawdown, message)

    @staticmethod
    def _event(
        kind: RiskEventKind, code: DenialCode, observed: float, limit: float, message: str, actor: str = "engine"
    ) -> RiskEvent:
        return RiskEvent(kind, code, float(observed), float(limit), message, actor)


def order_id(intent: OrderIntent, attempt: int = 0) -> str:
    """Return the client order id of a decision: the same decision always has the same id, whoever recomputes it."""
    day = intent.decided_session.strftime("%Y%m%d")
    return f"tp-{day}-{intent.ticker}-{intent.side}-{intent.reason}-{attempt}"
