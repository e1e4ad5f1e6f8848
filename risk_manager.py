"""RiskManager: the one door that every order must pass.

It decides by the pure rules of `core`, remembers, and issues what brokers accept, `ApprovedOrder`. In a notebook::

    risk = RiskManager(RiskConfig())
    risk.show_market(MarketView.from_panel(panel))
    risk.show_portfolio(Portfolio(cash=100_000.0))
    risk.validate_order("AAPL", "buy", 10, 190.0)     # (True, "OK") or (False, "SECTOR_LIMIT: ...")
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from risk_config import RiskConfig, risk_config_of
from trading_platform.core.errors import ApprovalError
from trading_platform.core.intents import judged_form, order_id
from trading_platform.core.ledger import SHARE_NOISE, Record, Records
from trading_platform.core.ports import Clock, RiskStateStore
from trading_platform.core.risk.approvals import Approvals
from trading_platform.core.risk.book import RiskBook
from trading_platform.core.risk.denial_codes import DENIAL_CODES, DenialCode
from trading_platform.core.risk.entry_check import account_refusal, judge_entry
from trading_platform.core.risk.explain import explain_entry, sensible_dollars
from trading_platform.core.risk.halts import Halts
from trading_platform.core.risk.limits import Limits, limits_of
from trading_platform.core.risk.memory import RiskMemory, book_from_json, encode, fill_record, record_to_dict, remember
from trading_platform.core.risk.messages import deny
from trading_platform.core.risk.plain_forms import side_of, trade_result_of
from trading_platform.core.risk.report import risk_report
from trading_platform.core.risk.rules import is_for_operator
from trading_platform.core.simulate import Books
from trading_platform.core.types import (
    ApprovedOrder,
    Denial,
    Explanation,
    Ints,
    OrderIntent,
    Portfolio,
    RiskEvent,
    Side,
    TradeResult,
)
from trading_platform.core.view import MarketView
from trading_platform.machine.clocks import WallClock

CHECKED = tuple(code.value for code in DENIAL_CODES[1:])
REDUCE_ONLY = ("reduce-only",)


class RiskManager:
    """Checks, sizes and approves orders; keeps peak equity, halts, streaks and pauses durably.

    Parameters
    ----------
    config
        Limits, also as a mapping of settings; the conservative defaults when None.
    store
        Durable memory. Without one nothing survives the process (notebooks, replays of a shared kernel).
    clock
        Source of time for approvals and records.
    capital
        Equity in dollars before anything has been shown; None = the first reading begins the account.
    attended
        False where no operator can resume (replays): what only they could end is `abandoned`, and goes flat.

    Notes
    -----
    `account` and `slots` are this manager's own copy of the book, filled by `show_portfolio` or `mirror`. Approved
    entries count in it as pending until the book is shown again. Nothing here is safe for use by several threads.
    """

    def __init__(
        self,
        config: RiskConfig | Mapping[str, object] | None = None,
        *,
        store: RiskStateStore | None = None,
        clock: Clock | None = None,
        capital: float | None = None,
        attended: bool = True,
    ) -> None:
        self.config = risk_config_of(config)
        self.limits: Limits = limits_of(self.config.to_dict())
        self._book = RiskBook(self.limits, 0.0 if capital is None else capital)
        self._fingerprint = self.config.fingerprint
        self._lifetime = timedelta(seconds=self.config.approval_seconds)
        self._clock: Clock = WallClock() if clock is None else clock
        self._store = store
        self._approvals = Approvals()
        self._quarantine: dict[str, str] = {}
        self._unreconciled: str | None = None
        self._halts = Halts(self._book)
        self._attended = attended
        self._kept: str | None = None  # memory of a newer version: left as it is until an operator resumes
        if store is not None:
            self._load(store)

    # ------------------------------------------------------------ what it is shown

    @property
    def books(self) -> Books:
        """The book in the kernel's form; another object once more positions were shown than are allowed."""
        return self._book.books

    @property
    def account(self) -> Record:
        """The account record that the rules read (`core.ledger.ACCOUNT`)."""
        return self._book.account

    @property
    def slots(self) -> Records:
        """Positions and pending entries that the rules read (`core.ledger.SLOT`)."""
        return self._book.slots

    def show_market(self, view: MarketView) -> None:
        """Take the market that the next checks are made against; its session begins, and a pause that waited."""
        self._book.show_market(view)
        if self._halts.market_begins(view.session):
            self._approvals.clear()
        if not math.isfinite(self.account["pause_until"]):
            self.account["pause_until"] = view.clock + self.limits.pause_seconds

    def mirror(self, account: Record, slots: Records, lots: Records, stopped: Ints) -> None:
        """Copy cash, positions, lots and stop-outs of a broker's book, numbered as the market shown; memory stays."""
        self._book.mirror(account, slots, lots, stopped)
        self._book.count(self._approvals.entries(self._clock.now()))

    def show_portfolio(self, portfolio: Portfolio) -> list[RiskEvent]:
        """Take cash, holdings and open orders as they are at the broker, and read the equity; return what changed.

        A `read_equity` that follows within 1 % replaces this reading: both are of one moment and confirm nothing.
        Holdings that the market lacks, or that cannot be measured, keep new risk out; selling them stays possible.
        """
        equity = self._book.place(portfolio)
        self._approvals.book_shown(portfolio)
        self._book.count(self._approvals.entries(self._clock.now()))
        return self._halts.preview(equity, portfolio.cash_flow, self._clock.now())

    def quarantine(self, reasons: Mapping[str, str], unreconciled: str | None = None) -> None:
        """Refuse new risk in the tickers given (ticker -> why), or in all when `unreconciled` says why."""
        self._quarantine = dict(reasons)
        self._unreconciled = unreconciled

    def show_selling(self, selling: Mapping[str, float]) -> None:
        """Take the broker's word for shares (by ticker) that exits still at work will sell; not those of stops."""
        self._approvals.sells_shown(selling)

    # ------------------------------------------------------------ the face

    def can_trade(self) -> tuple[bool, str]:
        """Return (True, "OK") if new risk may be taken now, else (False, code and numbers)."""
        code, message = self._entry_refusal()
        return code == DenialCode.OK, message

    def validate_order(self, ticker: str, side: str, qty: float, price: float) -> tuple[bool, str]:
        """Return (True, "OK") if the order may leave, else (False, code and numbers).

        Parameters
        ----------
        ticker, side, qty
            "buy" or "sell" of `qty` shares. An order that only reduces a position always passes.
        price
            Worst price in dollars a share that a buy may pay; caps are checked at it. Ignored for sells.
        """
        side = side_of(side)
        denial = self._judge(ticker, side, qty, price, reduces=self._is_reduction(ticker, side, qty))
        return (True, "OK") if denial is None else (False, denial.message)

    def calculate_position_size(self, ticker: str, signal_strength: float, account_value: float) -> float:
        """Return the notional in dollars that a new position should have; 0 when none could pass or data are unknown.

        `signal_strength` of a whole slot (the position cap), at most what Kelly, volatility and correlation allow,
        within every cap of the smaller of `account_value` and the equity read; for a ticker that is held, what
        it may grow by. A new position that is not worth its slot gets nothing.
        """
        view = self._book.view
        if view is None or ticker not in view.columns or ticker in self._quarantine:
            return 0.0
        if self._entry_refusal()[0] != DenialCode.OK:
            return 0.0
        equity = min(float(account_value), float(self.account["equity"]))
        strength = float(signal_strength)
        return sensible_dollars(self._book, view, ticker, strength, equity)

    def update_state(self, trade_result: TradeResult | Mapping[str, object]) -> RiskEvent | None:
        """Count a closed round trip in the loss streak and the Kelly statistics; return the pause that it starts.

        A mapping has the keys ticker, pnl, cost. Raises ValueError if one is missing or no sensible amount of dollars.
        """
        return self._halts.count_trade(trade_result_of(trade_result), self.config.pause_hours, self._clock.now())

    def explain(self, ticker: str, side: str, qty: float, price: float) -> Explanation:
        """Return every rule's view of an order, the binding rule, and the largest quantity that would pass."""
        side = side_of(side)
        closable, view = self._closable(ticker, side), self._book.view
        denial = self._judge(ticker, side, qty, price, reduces=self._is_reduction(ticker, side, qty))
        if view is None or ticker not in view.columns or side != Side.BUY or closable > 0.0:
            code = DenialCode.OK if denial is None else denial.code
            return Explanation(denial is None, "OK" if denial is None else denial.message, code, closable, ())
        closed = self._entry_refusal()[0] != DenialCode.OK or ticker in self._quarantine
        return explain_entry(self._book, view, ticker, qty, price, denial, closed=closed)

    # ------------------------------------------------------------ approvals

    def approve(
        self, intent: OrderIntent, attempt: int = 0, decided: OrderIntent | None = None
    ) -> ApprovedOrder | Denial:
        """Return the approval that a broker needs, or the denial with its code and numbers.

        `attempt` counts genuine repeats of one decision, so that each has its own client order id. Approving one that
        was not sent again replaces its first approval; approving one that was sent is refused. `decided` is the entry
        in shares and prices of the market shown, where `intent` has those after a split or dividend of the next open.
        """
        client_order_id = order_id(intent, attempt)
        self._book.discount(self._approvals.void(client_order_id))
        if self._approvals.is_spent(client_order_id):
            words = f"{client_order_id} was sent already; a repeat is another attempt"
            return deny(DenialCode.INVALID_ORDER, intent.ticker, words, intent.quantity, 0.0)
        judged = judged_form(intent, decided)
        worst = math.nan if judged.limit_price is None else judged.limit_price
        reduce_only = self._is_reduction(intent.ticker, intent.side, intent.quantity)
        denial = self._judge(judged.ticker, judged.side, judged.quantity, worst, reduces=reduce_only)
        if denial is not None:
            return denial
        now = self._clock.now()
        serial = f"{client_order_id}|{self._fingerprint}|{now.isoformat()}"
        order = ApprovedOrder(
            intent=intent,
            approval_id=hashlib.sha256(serial.encode()).hexdigest()[:16],
            client_order_id=client_order_id,
            config_fingerprint=self._fingerprint,
            approved_at=now,
            expires_at=now + self._lifetime,
            checked=REDUCE_ONLY if reduce_only else CHECKED,
        )
        self._approvals.add(order, reduce_only=reduce_only)
        if not reduce_only:
            self._book.count([order])
        return order

    def take_back(self, order: ApprovedOrder) -> None:
        """Take back an approval that is not sent now; `approve` gives another when it is."""
        self._book.discount(self._approvals.void(order.client_order_id))

    def consume(self, order: ApprovedOrder) -> None:
        """Spend an approval; brokers call this before anything leaves.

        Raises
        ------
        ApprovalError
            Not issued here, altered since, expired, spent before, or new risk while trading has been halted since.
        """
        self._approvals.check(order, self._clock.now())
        if not self._approvals.is_reduce_only(order):
            code, message = self._entry_refusal()
            if code != DenialCode.OK:
                raise ApprovalError(f"order {order.client_order_id}: {message} (since it was approved)")
        self._approvals.spend(order)

    # ------------------------------------------------------------ the life of the account

    def start_session(self, session: date | None = None) -> None:
        """Begin an exchange session: the day's loss counts from the previous close; day orders of before are gone.

        A session that had begun before a restart does not begin again, nor does an earlier one: its loss stays.
        """
        self._approvals.clear()
        self._halts.start_session(session)

    def read_equity(
        self, equity: float, shadow_equity: float, session: date, cash_flow: float = 0.0
    ) -> list[RiskEvent]:
        """Take an equity reading in dollars; update the daily loss and the drawdown halt; return what changed.

        `shadow_equity` is that of the halted book's shadow (NaN when not halted). `cash_flow` is the deposit or
        withdrawal that the reading contains for the first time. While halted, one reading a session counts towards
        the release.
        """
        return self._halts.read(equity, shadow_equity, session, cash_flow, self._clock.now())

    @property
    def halted(self) -> bool:
        """True during a drawdown halt."""
        return bool(self.account["halted"])

    @property
    def abandoned(self) -> bool:
        """True if only an operator could end the drawdown halt and there is none: the account goes flat for good."""
        return not self._attended and bool(is_for_operator(self.account, self.limits))

    @property
    def halt_session(self) -> str | None:
        """Session of the drawdown halt in force, ISO."""
        return self._halts.standing.halt_session

    @property
    def halt_book(self) -> str | None:
        """The book at the drawdown halt in force, JSON."""
        return self._halts.standing.halt_book

    def halt(self, reason: str, actor: str) -> RiskEvent:
        """Stop new risk until `resume`; closing positions stays possible. Halting again changes the reason only."""
        return self._halts.halt(reason, actor, self._clock.now())

    def resume(self, reason: str, actor: str) -> RiskEvent:
        """End a manual halt, a drawdown halt, a pause and a fault of the risk memory, on an operator's word.

        What the next reading settles by itself stays: an unknown equity and the day's loss.
        """
        event = self._halts.resume(reason, actor)
        self._kept = None
        return event

    def obey(self, kind: str, reason: str, actor: str) -> RiskEvent:
        """Carry out an operator's word: `resume` ends what is halted, everything else halts."""
        return self.resume(reason, actor) if kind == "resume" else self.halt(f"{kind}: {reason}", actor)

    # ------------------------------------------------------------ memory

    def save(self) -> None:
        """Store the memory durably; call before orders leave. A newer version's is not overwritten before `resume`."""
        if self._store is not None:
            self._store.save(encode(self.memory()) if self._kept is None else self._kept)

    def memory(self) -> RiskMemory:
        """Return everything that must survive a restart."""
        clock = 0.0 if self._book.view is None else float(self._book.view.clock)
        return RiskMemory(
            saved_at=self._clock.now().isoformat(),
            clock=clock if math.isfinite(clock) else 0.0,
            config_fingerprint=self._fingerprint,
            account=record_to_dict(self.account),
            **asdict(self._halts.standing),
        )

    def _load(self, store: RiskStateStore) -> None:
        found = remember(store, self._clock.now())
        self._kept = found.untouchable
        if found.memory is not None:
            fill_record(self.account, found.memory.account)
            self._halts.standing = found.memory.standing()
        if found.fault is not None:
            self._halts.standing.fail(found.fault, self._clock.now(), found.evidence)

    def restore_halt_book(self) -> None:
        """Put the book as it was at the halt into `books`, from which the shadow is recomputed."""
        if self.halt_book is not None:
            book_from_json(self.halt_book, self.books)

    # ------------------------------------------------------------ report

    def get_risk_report(self) -> dict[str, Any]:
        """Return the state of every rule as JSON-ready numbers (percent where the key says so, null where unknown)."""
        memory = self.memory()
        return risk_report(memory, self._book, self.limits, self._entry_refusal(), self._quarantine, self._unreconciled)

    # ------------------------------------------------------------ inside

    def _entry_refusal(self) -> tuple[DenialCode, str]:
        """Return whether new risk may be taken at all."""
        return self._refusal() or account_refusal(self._book, self.config.max_price_age_sessions)

    def _refusal(self) -> tuple[DenialCode, str] | None:
        """Return what only people can mend, or None."""
        if (halt := self._halts.reason()) is not None:
            return halt
        why = self._unreconciled
        return None if why is None else (DenialCode.RECONCILIATION, f"RECONCILIATION: {why}")

    def _judge(self, ticker: str, side: str, qty: float, price: float, *, reduces: bool) -> Denial | None:
        """Return why the order may not leave, or None if it may; `reduces` is `_is_reduction` of it."""
        if side not in (Side.BUY, Side.SELL) or not 0.0 <= qty < math.inf or (qty == 0.0 and side == Side.SELL):
            words = f"{side} {qty:g} {ticker}: side must be buy or sell, quantity positive and finite"
            return deny(DenialCode.INVALID_ORDER, "", words, qty, 0.0)
        if reduces:
            return None
        if 0.0 < qty <= SHARE_NOISE:
            return deny(DenialCode.BELOW_MINIMUM, ticker, f"{qty:g} shares are no order", qty, SHARE_NOISE)
        if side == Side.SELL and not self.config.allow_short:
            held = self._closable(ticker, side)
            words = f"sell {qty:g} > {held:g} shares held and not yet being sold"
            return deny(DenialCode.SHORT_NOT_ALLOWED, ticker, words, qty, held, held)
        if (refusal := self._refusal()) is not None:
            return Denial(refusal[0], ticker, math.nan, math.nan, refusal[1])
        if ticker in self._quarantine:
            return deny(DenialCode.TICKER_QUARANTINED, ticker, self._quarantine[ticker])
        return judge_entry(self._book, ticker, float(qty), float(price), self.config.max_price_age_sessions)

    def _is_reduction(self, ticker: str, side: str, qty: float) -> bool:
        return SHARE_NOISE < qty <= self._closable(ticker, side) + SHARE_NOISE

    def _closable(self, ticker: str, side: str) -> float:
        """Return the shares that an order of `side` may close: those held, less those promised to other orders."""
        held = self._book.closable(ticker, side)
        return max(0.0, held - self._approvals.promised(ticker, side)) if held > 0.0 else 0.0
