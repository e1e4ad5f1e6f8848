"""Stand-ins for tests of the Alpaca side: hand-written markets, a journal in memory, a timer that does not wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from trading_platform.alpaca.http import AlpacaAccess, AlpacaHttp
from trading_platform.alpaca.orders import root_id
from trading_platform.alpaca.rate_limit import Timer
from trading_platform.alpaca_server.fill_models import ExactFills, FillModel
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.alpaca_server.validation import Asset
from trading_platform.brokers.alpaca_broker import AlpacaBroker
from trading_platform.brokers.reconciliation.bookkeeper import Journal
from trading_platform.configuration.environment import Secret
from trading_platform.core.errors import ApprovalError
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, JournalOrder
from trading_platform.core.types import ApprovedOrder, Fill, Floats, MarketPanel, OrderIntent, OrderStatus, Side
from trading_platform.market_data.calendar import NyseCalendar

CALENDAR = NyseCalendar()
FIRST = date(2024, 1, 2)  # a Tuesday; 15 January is a holiday
KEY, SECRET = "PKTEST0123456789", "s3cr3t/of+the=test"
Bar = tuple[float, float, float, float]


def market(bars: Mapping[str, Sequence[Bar | None]], volume: float = 1e6, **extra: Floats) -> MarketPanel:
    """Return a panel of (open, high, low, close) bars on the sessions from FIRST on; None = no bar."""
    tickers = tuple(sorted(bars))
    n = len(bars[tickers[0]])
    sessions = CALENDAR.sessions_between(FIRST, FIRST + timedelta(days=2 * n + 10))[:n]
    grid = np.full((4, n, len(tickers)), np.nan)
    for column, ticker in enumerate(tickers):
        for row, bar in enumerate(bars[ticker]):
            grid[:, row, column] = np.nan if bar is None else bar
    traded = ~np.isnan(grid[0])
    return MarketPanel(
        sessions=sessions,
        tickers=tickers,
        open=grid[0],
        high=grid[1],
        low=grid[2],
        close=grid[3],
        volume=np.where(traded, volume, np.nan),
        vix=extra.pop("vix", np.full(n, 15.0)),
        benchmark=np.full(n, 400.0),
        sectors=("Unknown",) * len(tickers),
        source="test",
        data_hash="test",
        split_ratio=extra.pop("split_ratio", None),
        dividend=extra.pop("dividend", None),
    )


def flat(price: float, n: int = 8) -> list[Bar | None]:
    """Return `n` bars that stand at `price`."""
    return [(price, price, price, price)] * n


class FakeTimer:
    """Time that passes only by sleeping; `slept` adds up."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def timer(self) -> Timer:
        return Timer(monotonic=lambda: self.now, wall=lambda: self.now, sleep=self.sleep)


@dataclass(slots=True)
class ServerClock:
    """Our clock, taken from the simulated market."""

    server: AlpacaServer

    def now(self) -> datetime:
        return self.server.now


class Register:
    """Issues approvals like the risk manager, and takes each once."""

    def __init__(self) -> None:
        self.issued: dict[str, ApprovedOrder] = {}
        self.spent: list[str] = []
        self.n_issued = 0

    def approve(self, intent: OrderIntent, now: datetime, attempt: int = 0, key: str | None = None) -> ApprovedOrder:
        client_order_id = (
            key or f"tp-{intent.decided_session:%Y%m%d}-{intent.ticker}-{intent.side}-{intent.reason}-{attempt}"
        )
        order = ApprovedOrder(
            intent, f"approval-{self.n_issued}", client_order_id, "fingerprint", now, now + timedelta(days=5), ()
        )
        self.issued[order.approval_id] = order
        self.n_issued += 1
        return order

    def consume(self, order: ApprovedOrder) -> None:
        if self.issued.pop(order.approval_id, None) is not order:
            raise ApprovalError(f"order {order.client_order_id}: no such approval")
        self.spent.append(order.approval_id)


@dataclass(slots=True)
class MemoryJournal:
    """The order journal without a database; survives a "crash" of the broker that uses it."""

    rows: dict[str, JournalOrder] = field(default_factory=dict)
    approvals: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def record_intent(self, order: ApprovedOrder) -> None:
        intent = order.intent
        self.approvals[order.client_order_id] = order.approval_id
        self.rows[order.client_order_id] = JournalOrder(
            order.client_order_id,
            None,
            intent.ticker,
            intent.side,
            intent.quantity,
            0.0,
            OrderStatus.INTENT,
            intent.strategy,
            intent.reason,
            order.approved_at,
            intent.stop_price,
            intent.target_price,
            intent.limit_price,
            intent.parts,
        )

    def record_order(self, order: BrokerOrder) -> None:
        for seen in (order, *order.legs):
            known = self.rows.get(seen.client_order_id)
            if known is None:
                parent = self.rows[root_id(seen.client_order_id)]
                self.approvals[seen.client_order_id] = self.approvals[parent.client_order_id]
                key = seen.client_order_id
                known = replace(
                    parent,
                    client_order_id=key,
                    side=seen.side,
                    stop_price=None,
                    target_price=None,
                    parts=(),
                    limit_price=seen.limit_price,
                )
            self.messages[seen.client_order_id] = seen.message
            self.rows[seen.client_order_id] = replace(
                known,
                broker_order_id=seen.broker_order_id or known.broker_order_id,
                reason=known.reason if seen.reason is OrderReason.NONE else seen.reason,
                quantity=seen.quantity,
                filled_quantity=seen.filled_quantity,
                status=seen.status,
            )

    def close(self, client_order_id: str, status: OrderStatus, message: str) -> None:
        self.rows[client_order_id] = replace(self.rows[client_order_id], status=status)
        self.messages[client_order_id] = message

    def find_order(self, client_order_id: str) -> JournalOrder | None:
        return self.rows.get(client_order_id)

    def find_broker_order(self, broker_order_id: str) -> JournalOrder | None:
        return next((row for row in self.rows.values() if row.broker_order_id == broker_order_id), None)

    def open_orders(self) -> list[JournalOrder]:
        return [row for row in self.rows.values() if row.status.is_open]


@dataclass(slots=True)
class World:
    """A running server, and a broker that talks to it; `memory` is its journal until a test gives it another."""

    server: AlpacaServer
    http: AlpacaHttp
    broker: AlpacaBroker
    memory: MemoryJournal
    register: Register
    timer: FakeTimer
    journal: Journal

    def intent(
        self, ticker: str = "AAA", side: Side = Side.BUY, quantity: float = 10.0, **fields: object
    ) -> OrderIntent:
        values: dict[str, object] = {
            "limit_price": None,
            "stop_price": None,
            "target_price": None,
            "strategy": "momentum",
            "reason": OrderReason.ENTRY if side is Side.BUY else OrderReason.SIGNAL_EXIT,
            "strength": 1.0,
            "decided_session": self.server.now.date(),
        }
        return OrderIntent(ticker, side, quantity, **{**values, **fields})  # type: ignore[arg-type]

    def approve(self, attempt: int = 0, key: str | None = None, **fields: object) -> ApprovedOrder:
        return self.register.approve(self.intent(**fields), self.server.now, attempt, key)  # type: ignore[arg-type]

    def place(self, attempt: int = 0, key: str | None = None, **fields: object) -> BrokerOrder:
        return self.broker.place_order(self.approve(attempt, key, **fields))

    def restart(self, checkpoint: Callable[[str], None] = lambda step: None) -> None:
        """Replace the broker by a fresh one with the same journal, as after a crash."""
        self.http = make_http(self.server, self.timer)
        self.broker = make_broker(self.http, self.register, self.journal, self.server, self.timer, checkpoint)

    def counts(self, method: str, path: str) -> int:
        return sum(r.method == method and r.path.startswith(path) for r in self.server.requests)


def make_http(server: AlpacaServer, timer: FakeTimer, **changes: object) -> AlpacaHttp:
    access = AlpacaAccess(
        Secret(KEY),
        Secret(SECRET),
        trading_url=server.url,
        data_url=server.url,
        timeout=(1.0, 0.5),
        requests_per_minute=1e9,
    )
    return AlpacaHttp(replace(access, **changes), timer.timer())  # type: ignore[arg-type]


def make_broker(
    http: AlpacaHttp,
    register: Register,
    journal: Journal,
    server: AlpacaServer,
    timer: FakeTimer,
    checkpoint: Callable[[str], None] = lambda step: None,
) -> AlpacaBroker:
    return AlpacaBroker(http, register, journal, ServerClock(server), timer.sleep, checkpoint=checkpoint)


def make_server(
    panel: MarketPanel, fill_model: FillModel | None = None, assets: Sequence[Asset] = (), **config: object
) -> AlpacaServer:
    settings = ServerConfig(key_id=KEY, secret_key=SECRET, **config)  # type: ignore[arg-type]
    return AlpacaServer(panel, CALENDAR, settings, fill_model or ExactFills(), assets)


def make_world(server: AlpacaServer) -> World:
    timer, register, memory = FakeTimer(), Register(), MemoryJournal()
    http = make_http(server, timer)
    return World(server, http, make_broker(http, register, memory, server, timer), memory, register, timer, memory)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fills_since(broker: AlpacaBroker, instant: datetime) -> list[Fill]:
    """Return executions of our orders after `instant`, oldest first, once what is open was looked at."""
    broker.sync()
    return sorted(broker.history_since(instant).fills, key=lambda fill: fill.filled_at)
