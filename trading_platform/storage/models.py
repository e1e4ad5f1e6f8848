"""Tables of the platform (SQLAlchemy 2, typed).

A *run* is one account's life: a replay, a local paper account, or one Alpaca account. Every row belongs to a run.
Money columns are whole cents in the database and dollars in Python; instants are UTC; a session is a date.

The tie-out that the report relies on, exact in integer cents for every session s of a run::

    equity.equity        = equity.cash + sum(positions.value)                        over positions of session s
    change of equity     = realized_pnl + change of unrealized - fees + dividends + interest + cash_flow
    a position           = sum(lots) where lots has rows of it, else all of it is its strategy's
    fills: a buy takes amount + fees out of cash, a sell brings amount - fees
    realized_pnl of a sell = amount - (cost basis of the shares sold); cost basis excludes fees
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from trading_platform.storage.types import Cents, UtcDateTime

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
# SQLite never looks at the length of a text, so PostgreSQL must not either.
ShortText, LongName = (String(length).with_variant(Text(), "postgresql") for length in (64, 128))
RowId = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER PRIMARY KEY counts up by itself in SQLite


class Base(DeclarativeBase):
    """Declarative base with stable constraint names, which migrations need."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime, str: ShortText}  # noqa: RUF012 - SQLAlchemy reads a plain dict


class Run(Base):
    """One account's life. `key` identifies the same replay, so that an interrupted one can be found and continued."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    key: Mapped[str] = mapped_column(index=True)
    mode: Mapped[str]  # one of `newest_run.MODES`
    source: Mapped[str] = mapped_column(Text)  # where bars come from, for people
    account: Mapped[str | None]  # the broker's account number, where there is one
    status: Mapped[str]  # running | finished | interrupted
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    capital: Mapped[float] = mapped_column(Cents)
    first_session: Mapped[date | None]  # first session traded
    last_session: Mapped[date | None]  # last session whose close is booked
    config_fingerprint: Mapped[str]
    config: Mapped[str] = mapped_column(Text)  # JSON of every setting, secrets excluded
    data_hash: Mapped[str]
    seed: Mapped[int | None] = mapped_column(RowId)
    code_version: Mapped[str]
    strategies: Mapped[str] = mapped_column(Text)  # JSON list of names, in kernel order
    sectors: Mapped[str] = mapped_column(Text)  # JSON object ticker -> sector
    name: Mapped[str | None]  # [account] name, as of the last start
    tag: Mapped[str | None]  # an operator's word for it
    note: Mapped[str | None] = mapped_column(Text)


class Order(Base):
    """An order's whole life, from the intent that is written before anything is sent."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("run_id", "client_order_id"),
        Index(None, "run_id", "status"),
        Index(None, "run_id", "decided_session"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    client_order_id: Mapped[str] = mapped_column(LongName)
    broker_order_id: Mapped[str | None]
    approval_id: Mapped[str]
    config_fingerprint: Mapped[str]
    ticker: Mapped[str]
    side: Mapped[str]  # core.types.Side
    quantity: Mapped[float] = mapped_column(Float)
    filled_quantity: Mapped[float] = mapped_column(Float)
    limit_price: Mapped[float | None] = mapped_column(Float)
    stop_price: Mapped[float | None] = mapped_column(Float)
    target_price: Mapped[float | None] = mapped_column(Float)
    strategy: Mapped[str]
    reason: Mapped[str]  # core.types.OrderReason
    strength: Mapped[float] = mapped_column(Float)
    status: Mapped[str]  # core.types.OrderStatus
    message: Mapped[str | None] = mapped_column(Text)
    decided_session: Mapped[date]
    decided_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    parts: Mapped[str | None] = mapped_column(Text)  # JSON list of the strategies' parts (core.types.LotOrder)


class FillRow(Base):
    """One strategy's part of an execution. Spread, slippage and impact are in the price already."""

    __tablename__ = "fills"
    __table_args__ = (UniqueConstraint("run_id", "broker_fill_id"), Index(None, "run_id", "session"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    client_order_id: Mapped[str] = mapped_column(LongName)
    broker_fill_id: Mapped[str] = mapped_column(LongName)
    session: Mapped[date]
    filled_at: Mapped[datetime]
    ticker: Mapped[str]
    side: Mapped[str]
    quantity: Mapped[float] = mapped_column(Float)
    price: Mapped[float] = mapped_column(Float)
    amount: Mapped[float] = mapped_column(Cents)
    fees: Mapped[float] = mapped_column(Cents)
    realized_pnl: Mapped[float] = mapped_column(Cents)  # sells: amount minus cost basis sold; buys: 0
    strategy: Mapped[str]
    reason: Mapped[str]
    spread: Mapped[float] = mapped_column(Cents, default=0.0, server_default="0")
    slippage: Mapped[float] = mapped_column(Cents, default=0.0, server_default="0")
    impact: Mapped[float] = mapped_column(Cents, default=0.0, server_default="0")
    # at a broker: the close at which it was decided, and the ticker's median dollar volume of the sessions before
    decision_price: Mapped[float | None] = mapped_column(Float)
    dollar_volume: Mapped[float | None] = mapped_column(Float)


class Trade(Base):
    """A closed round trip (partial exits are one trade). pnl = proceeds - cost - fees + dividends."""

    __tablename__ = "trades"
    __table_args__ = (Index(None, "run_id", "exit_session"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    ticker: Mapped[str]
    strategy: Mapped[str]
    entry_session: Mapped[date]
    exit_session: Mapped[date]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime]
    quantity: Mapped[float] = mapped_column(Float)  # shares bought
    entry_price: Mapped[float] = mapped_column(Float)
    exit_price: Mapped[float] = mapped_column(Float)
    cost: Mapped[float] = mapped_column(Cents)
    proceeds: Mapped[float] = mapped_column(Cents)
    fees: Mapped[float] = mapped_column(Cents)
    dividends: Mapped[float] = mapped_column(Cents)
    pnl: Mapped[float] = mapped_column(Cents)
    return_fraction: Mapped[float] = mapped_column(Float)  # pnl / cost
    exit_reason: Mapped[str]
    market_costs: Mapped[float] = mapped_column(
        Cents, default=0.0, server_default="0"
    )  # spread, slippage and impact, in the prices


class EquityRow(Base):
    """The account at a session's close, with the day's flows."""

    __tablename__ = "equity"
    __table_args__ = ({"sqlite_with_rowid": False},)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    as_of: Mapped[datetime]
    cash: Mapped[float] = mapped_column(Cents)
    positions_value: Mapped[float] = mapped_column(Cents)
    equity: Mapped[float] = mapped_column(Cents)
    previous_equity: Mapped[float] = mapped_column(Cents)  # at the previous close, before today's cash flow
    realized_pnl: Mapped[float] = mapped_column(Cents)  # the day's, gross of fees
    unrealized_pnl: Mapped[float] = mapped_column(Cents)  # the level: value - cost basis of open positions
    fees: Mapped[float] = mapped_column(Cents)
    dividends: Mapped[float] = mapped_column(Cents)
    cash_flow: Mapped[float] = mapped_column(Cents)  # deposits positive
    peak_equity: Mapped[float] = mapped_column(Cents)
    drawdown: Mapped[float] = mapped_column(Float)  # fraction of the reference peak
    lifetime_drawdown: Mapped[float] = mapped_column(Float)
    gross_exposure: Mapped[float] = mapped_column(Float)  # fraction of equity
    n_positions: Mapped[int]
    halted: Mapped[bool]
    vix: Mapped[float | None] = mapped_column(Float)
    benchmark_close: Mapped[float | None] = mapped_column(Float)  # SPY
    universe_return: Mapped[float | None] = mapped_column(Float)  # the day's equal-weight return of the universe
    interest: Mapped[float] = mapped_column(Cents, default=0.0, server_default="0")  # of cash
    commission: Mapped[float] = mapped_column(
        Cents, default=0.0, server_default="0"
    )  # part of the fees; the rest is regulatory
    spread: Mapped[float] = mapped_column(Cents, default=0.0, server_default="0")  # the day's costs in prices
    slippage: Mapped[float] = mapped_column(Cents, default=0.0, server_default="0")
    impact: Mapped[float] = mapped_column(Cents, default=0.0, server_default="0")
    cash_rate: Mapped[float | None] = mapped_column(Float)  # percent a year, as known at the close
    # what is not invested after the decision at this close, by cause; None where nothing was decided
    unused_no_signal: Mapped[float | None] = mapped_column(Cents)
    unused_slots: Mapped[float | None] = mapped_column(Cents)
    unused_caps: Mapped[float | None] = mapped_column(Cents)
    unused_size: Mapped[float | None] = mapped_column(Cents)
    unused_halts: Mapped[float | None] = mapped_column(Cents)


class PositionRow(Base):
    """An open position at a session's close. value = quantity x price to the cent; cost excludes fees."""

    __tablename__ = "positions"
    __table_args__ = ({"sqlite_with_rowid": False},)  # the primary key is the table: half the work of an insert

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    ticker: Mapped[str] = mapped_column(primary_key=True)
    strategy: Mapped[str]
    quantity: Mapped[float] = mapped_column(Float)
    entry_price: Mapped[float] = mapped_column(Float)
    price: Mapped[float] = mapped_column(Float)
    cost: Mapped[float] = mapped_column(Cents)
    value: Mapped[float] = mapped_column(Cents)
    stop_price: Mapped[float | None] = mapped_column(Float)
    target_price: Mapped[float | None] = mapped_column(Float)
    dividends: Mapped[float] = mapped_column(Cents, default=0.0)  # received since entry; the report attributes them
    entry_session: Mapped[date]


class LotRow(Base):
    """A strategy's part of a position that several strategies share, at a session's close."""

    __tablename__ = "lots"
    __table_args__ = ({"sqlite_with_rowid": False},)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    ticker: Mapped[str] = mapped_column(primary_key=True)
    strategy: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[float] = mapped_column(Float)
    cost: Mapped[float] = mapped_column(Cents)
    value: Mapped[float] = mapped_column(Cents)
    stop_price: Mapped[float | None] = mapped_column(Float)
    target_price: Mapped[float | None] = mapped_column(Float)
    dividends: Mapped[float] = mapped_column(Cents)
    entry_session: Mapped[date]


class SignalRow(Base):
    """A candidate that was looked at, with the verdict."""

    __tablename__ = "signals"
    __table_args__ = (Index(None, "run_id", "session"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    session: Mapped[date]
    ticker: Mapped[str]
    strategy: Mapped[str]
    strength: Mapped[float] = mapped_column(Float)  # as weighted by the allocation
    verdict: Mapped[str]  # approved | denied
    code: Mapped[str]  # core.types.DenialCode
    observed: Mapped[float | None] = mapped_column(Float)
    limit: Mapped[float | None] = mapped_column(Float)
    quantity: Mapped[float] = mapped_column(Float)  # denied: the largest that would have passed, 0 = none
    client_order_id: Mapped[str | None] = mapped_column(LongName)


class RiskEvent(Base):
    """Halts, releases, rebases, pauses, operator commands: everything that changed what may be traded, and why."""

    __tablename__ = "risk_events"
    __table_args__ = (Index(None, "run_id", "session"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    at: Mapped[datetime]
    session: Mapped[date]
    kind: Mapped[str]  # core.types.RiskEventKind
    code: Mapped[str]  # core.types.DenialCode
    observed: Mapped[float | None] = mapped_column(Float)
    limit: Mapped[float | None] = mapped_column(Float)
    message: Mapped[str] = mapped_column(Text)
    actor: Mapped[str]  # engine | the operator's login name


class RiskStateRow(Base):
    """RiskManager's memory: canonical JSON with its checksum."""

    __tablename__ = "risk_states"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    version: Mapped[int]
    saved_at: Mapped[datetime]
    payload: Mapped[str] = mapped_column(Text)
    checksum: Mapped[str]


class Allocation(Base):
    """The capital split of a session and why: model or fallback, observation, what moved it."""

    __tablename__ = "rl_allocations"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    as_of: Mapped[datetime]
    weights: Mapped[str] = mapped_column(Text)  # JSON object strategy -> weight, sums to 1
    source: Mapped[str]  # model | rules | equal_weight | fixed
    reason: Mapped[str] = mapped_column(Text)
    model_id: Mapped[str | None]
    observation: Mapped[str | None] = mapped_column(Text)  # JSON list, stored when a model was asked
    influences: Mapped[str | None] = mapped_column(Text)  # JSON object observation group -> share


class RegimeRow(Base):
    """Filtered regime probabilities of a session."""

    __tablename__ = "regimes"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    regime: Mapped[str]  # core.types.Regime
    bull: Mapped[float | None] = mapped_column(Float)
    bear: Mapped[float | None] = mapped_column(Float)
    consolidation: Mapped[float | None] = mapped_column(Float)


class PaperBook(Base):
    """The paper broker's book after a session: exact floats as JSON, so that a restart continues to the cent."""

    __tablename__ = "paper_books"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    session: Mapped[date]
    saved_at: Mapped[datetime]
    account: Mapped[str] = mapped_column(Text)
    slots: Mapped[str] = mapped_column(Text)
    checksum: Mapped[str]


class DataWarning(Base):
    """Suspicious but possible market data, counted once per run and kind."""

    __tablename__ = "data_warnings"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    message: Mapped[str] = mapped_column(Text)


class Difference(Base):
    """A difference between our book and the broker's, found by reconciliation."""

    __tablename__ = "differences"
    __table_args__ = (Index(None, "run_id", "resolved_at"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    found_at: Mapped[datetime]
    session: Mapped[date]
    kind: Mapped[str]
    ticker: Mapped[str | None]
    ours: Mapped[str] = mapped_column(Text)
    theirs: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    resolved_at: Mapped[datetime | None]


class Alert(Base):
    """A state that the owner is told of (core.alert_states), and when its beginning and its end were told."""

    __tablename__ = "alerts"
    __table_args__ = (Index(None, "run_id", "over_told_at"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    kind: Mapped[str]  # core.alert_states.AlertKind
    subject: Mapped[str]
    since: Mapped[datetime]
    words: Mapped[str] = mapped_column(Text)
    told_at: Mapped[datetime | None]
    over_at: Mapped[datetime | None]
    over_told_at: Mapped[datetime | None]


class ReplayCheck(Base):
    """A session of an account at a broker beside the same session in the kernel (engine.evening_check).

    `start` is the book that the kernel decided at the close before, `live` what the account had become at this one;
    both are kept until the comparison is made.
    """

    __tablename__ = "replay_checks"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    state: Mapped[str]  # storage.replay_checks.CheckState
    start: Mapped[str | None] = mapped_column(Text)  # JSON
    live: Mapped[str | None] = mapped_column(Text)  # JSON
    tries: Mapped[int]
    checked_at: Mapped[datetime | None]
    live_equity: Mapped[float | None] = mapped_column(Cents)
    replay_equity: Mapped[float | None] = mapped_column(Cents)
    unexplained: Mapped[float | None] = mapped_column(Cents)  # sum of the sizes of what has no cause
    causes: Mapped[str] = mapped_column(Text)  # JSON object cause -> cents, the account less the replay
    items: Mapped[str] = mapped_column(Text)  # JSON list of [cause, ticker, cents, words]
    message: Mapped[str] = mapped_column(Text)  # why it could not be compared


class Command(Base):
    """An operator's wish, written by the command line and obeyed by the engine, now or when it is started next.

    `subject` is what it speaks of: a strategy (pause, unpause) or one ticker (flatten); None is the whole account.
    """

    __tablename__ = "commands"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    requested_at: Mapped[datetime]
    kind: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str] = mapped_column(Text)
    handled_at: Mapped[datetime | None]
    result: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None]


class DeskAudit(Base):
    """What somebody did or tried at the desk: who, from where, what about which run, why, and what became of it."""

    __tablename__ = "desk_audit"
    __table_args__ = (Index(None, "run_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    origin: Mapped[str]  # the address that the request came from
    action: Mapped[str]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"))
    subject: Mapped[str | None]
    reason: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)


class Heartbeat(Base):
    """Proof of life of the engine that holds a run, for people; what keeps others off is `storage.runs.RunLock`."""

    __tablename__ = "heartbeats"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    at: Mapped[datetime]
    pid: Mapped[int]
    host: Mapped[str]
    owner: Mapped[str]  # random token of the process
    note: Mapped[str] = mapped_column(Text)
    boot: Mapped[str | None]  # id of the machine's start, and when the process began: a process number comes again
    process_start: Mapped[str | None]


class LeaseRow(Base):
    """On a database server: who may write for a run (`storage.leases`). `epoch` rises with every new holder."""

    __tablename__ = "leases"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    owner: Mapped[str]  # random token, as in heartbeats
    until: Mapped[datetime]  # by the server's clock
