"""The HTTP side of the local Alpaca: one process, real sockets, one lock around the state."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

from trading_platform.alpaca_server.account import DEPOSIT, WITHDRAWAL, SimAccount
from trading_platform.alpaca_server.admin import administer
from trading_platform.alpaca_server.data_api import FREE_PLAN, DataApi, Entitlement, repeat_page
from trading_platform.alpaca_server.exchange import SimExchange
from trading_platform.alpaca_server.faults import Fault, FaultKind, FaultPlan
from trading_platform.alpaca_server.fill_models import FillModel, PaperFills
from trading_platform.alpaca_server.handler import Handler, LocalHttp
from trading_platform.alpaca_server.market import DAWN_BEFORE_OPEN, SimulatedMarket
from trading_platform.alpaca_server.matching import MatchingEngine
from trading_platform.alpaca_server.records import ApiError, Identifiers, Json, SimOrder
from trading_platform.alpaca_server.trading_api import TradingApi
from trading_platform.alpaca_server.validation import Asset
from trading_platform.core.ports import TradingCalendar
from trading_platform.core.types import MarketPanel

WINDOW_SECONDS = 60.0
BARS_FINAL = timedelta(minutes=21)  # after the close; the free plan hears of the consolidated tape 15 minutes late


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What the account starts with and which keys open it; they open nothing else."""

    cash: float = 100_000.0
    key_id: str = "PKLOCAL"
    secret_key: str = "local-secret"  # noqa: S105 - not a secret: it opens a simulator on this machine
    multiplier: int = 1
    requests_per_minute: int | None = None
    entitlement: Entitlement = FREE_PLAN
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was seen, for tests that count."""

    method: str
    path: str
    status: int


class AlpacaServer:
    """A local Alpaca on a port of its own.

    Parameters
    ----------
    panel, calendar
        Prices and sessions. The clock starts an hour before the second session (or before `start`).
    fill_model
        How orders become executions; by default as the paper broker does it.
    assets
        Flags of tickers that are not simply tradable.

    Examples
    --------
    >>> with AlpacaServer(panel, calendar) as server:  # doctest: +SKIP
    ...     client = TradingClient("PKLOCAL", "local-secret", url_override=server.url)
    ...     server.advance_to_close()
    """

    def __init__(
        self,
        panel: MarketPanel,
        calendar: TradingCalendar,
        config: ServerConfig | None = None,
        fill_model: FillModel | None = None,
        assets: Sequence[Asset] = (),
        start: date | None = None,
        port: int = 0,
    ) -> None:
        self.config = config or ServerConfig()
        identifiers = Identifiers(self.config.seed)
        self.market = SimulatedMarket(panel, calendar, start)
        self.account = SimAccount(self.config.cash, identifiers, self.config.multiplier)
        self.exchange = SimExchange(self.market, self.account, fill_model or PaperFills(), identifiers, assets)
        self.matching = MatchingEngine(self.exchange)
        self.trading = TradingApi(self.exchange, self.matching)
        self.data = DataApi(self.market, self.config.entitlement)
        self.faults = FaultPlan(self.config.seed)
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self.lock = threading.RLock()
        self._recent: deque[float] = deque()
        self._http = LocalHttp(("127.0.0.1", port), Handler, self)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Return the base address for `url_override`, without `/v2`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> AlpacaServer:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self.stop()

    def serve_forever(self) -> None:
        """Serve on this thread until interrupted."""
        self._http.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End hanging requests and give the port back."""
        self.stopping.set()
        self._http.server_close()

    # ------------------------------------------------------------ the simulated world

    @property
    def now(self) -> datetime:
        """The simulated time, UTC."""
        return self.market.now

    def advance(self, until: datetime) -> datetime:
        """Move the clock to `until`; fills happen on the way. Return the new time."""
        with self.lock:
            self.matching.advance(until)
            return self.market.now

    def advance_to_dawn(self) -> datetime:
        """Move to just after the next session's corporate actions, before its open."""
        return self.advance(self.market.next_open() - DAWN_BEFORE_OPEN)

    @property
    def at_dawn(self) -> bool:
        """True between the next session's corporate actions and its open."""
        return not self.market.is_open and self.now >= self.market.next_open() - DAWN_BEFORE_OPEN

    def advance_to_open(self) -> datetime:
        """Move to the next opening bell, with the orders of the open filled."""
        return self.advance(self.market.next_open())

    def advance_to_close(self) -> datetime:
        """Move to the next closing bell."""
        return self.advance(self.market.next_close())

    def advance_to_evening(self) -> datetime:
        """Move to when the bars of the next closing bell are final: the engine decides then."""
        return self.advance(self.market.next_evening(BARS_FINAL))

    def trade_by_hand(self, symbol: str, side: str, quantity: float) -> SimOrder:
        """Send a market order as the account's owner would from the web page."""
        with self.lock:
            wish: Json = {
                "symbol": symbol,
                "side": side,
                "type": "market",
                "time_in_force": "day",
                "qty": repr(quantity),
            }
            return self.matching.submit(wish)

    def move_cash(self, amount: float, explained: bool = True) -> None:
        """Deposit (positive) or withdraw; unexplained money leaves no activity."""
        with self.lock:
            if explained:
                self.account.book_cash(DEPOSIT if amount > 0.0 else WITHDRAWAL, amount, self.market.now)
            else:
                self.account.cash += amount

    def freeze_clock(self) -> None:
        """Let `/v2/clock` answer the present time for ever: the fault "stale clock"."""
        with self.lock:
            self.trading.accounts.frozen_clock = self.trading.accounts.clock()

    def lift_faults(self) -> None:
        """Let everything work again: faults, whims, a stopped clock."""
        with self.lock:
            self.faults.clear()
            self.exchange.whims.clear()
            self.trading.accounts.frozen_clock = None

    # ------------------------------------------------------------ one request

    def answer(self, method: str, target: str, body: bytes, fault: Fault | None) -> tuple[int, object]:
        """Answer a request that carries the right keys."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=False))
        with self.lock:
            try:
                if parts.path.startswith("/admin/"):
                    return administer(self, method, parts.path, _read_json(body))
                wish = _read_object(body)
                if fault is not None and fault.kind is FaultKind.STALE_CLOCK:
                    self.freeze_clock()
                answer = self.trading.handle(method, parts.path, query, wish)
                if answer is None and method == "GET":
                    missing = fault is not None and fault.kind is FaultKind.MISSING_PAGE
                    answer = self.data.handle(parts.path, query, skip_page=missing)
            except ApiError as error:
                return error.status, error.body
        if answer is None:
            return 404, {"code": 40410000, "message": f"endpoint not found: {method} {parts.path}"}
        status, page = answer
        if fault is not None and fault.kind is FaultKind.DUPLICATE_PAGE and isinstance(page, dict):
            page = repeat_page(page)
        return status, page

    @property
    def keys(self) -> tuple[str, str]:
        """Key and secret that open the account."""
        return self.config.key_id, self.config.secret_key

    def note(self, method: str, path: str, status: int) -> None:
        """Remember a request; status 0 = the connection was dropped."""
        self.requests.append(Request(method, path, status))

    def rate_headers(self) -> tuple[bool, dict[str, str]]:
        """Count a request; return (whether it is within the limit, the limit headers)."""
        limit, now = self.config.requests_per_minute, time.monotonic()
        with self.lock:
            while self._recent and self._recent[0] <= now - WINDOW_SECONDS:
                self._recent.popleft()
            allowed = limit is None or len(self._recent) < limit
            if allowed:
                self._recent.append(now)
            left = 199 if limit is None else max(0, limit - len(self._recent))
            wait = 0.0 if not self._recent else self._recent[0] + WINDOW_SECONDS - now
        headers = {
            "X-Ratelimit-Limit": str(limit or 200),
            "X-Ratelimit-Remaining": str(left),
            "X-Ratelimit-Reset": str(math.ceil(time.time() + wait)),
        }
        return allowed, headers


def _read_json(body: bytes) -> object:
    try:
        return json.loads(body) if body else {}
    except json.JSONDecodeError as error:
        raise ApiError(400, 40010000, "request body format is invalid") from error


def _read_object(body: bytes) -> Json:
    read = _read_json(body)
    if not isinstance(read, dict):
        raise ApiError(400, 40010000, "request body format is invalid")
    return read
