"""The HTTP side of the local Alpaca: one process, real sockets, one lock around the state."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

from trading_platform.alpaca_server.absurd import distorted
from trading_platform.alpaca_server.account import DEPOSIT, WITHDRAWAL, SimAccount
from trading_platform.alpaca_server.admin import administer
from trading_platform.alpaca_server.behaviour import EXACT, Behaviour
from trading_platform.alpaca_server.data_api import FREE_PLAN, DataApi, Entitlement, repeat_page
from trading_platform.alpaca_server.draws import Draw, uniform
from trading_platform.alpaca_server.exchange import SimExchange
from trading_platform.alpaca_server.faults import Fault, FaultKind, FaultPlan
from trading_platform.alpaca_server.fill_models import FillModel, PaperFills, RealisticFills
from trading_platform.alpaca_server.foreign import ForeignDesk
from trading_platform.alpaca_server.handler import Handler, LocalHttp
from trading_platform.alpaca_server.market import DAWN_BEFORE_OPEN, SimulatedMarket
from trading_platform.alpaca_server.matching import MatchingEngine
from trading_platform.alpaca_server.records import ApiError, Identifiers, Json, SimOrder
from trading_platform.alpaca_server.request_limit import RequestLimit
from trading_platform.alpaca_server.scenario import UNRECORDED, Deed, due
from trading_platform.alpaca_server.stream import TradeUpdates
from trading_platform.alpaca_server.trading_api import TradingApi
from trading_platform.alpaca_server.validation import Asset
from trading_platform.core.ports import TradingCalendar
from trading_platform.core.types import MarketPanel
from trading_platform.machine.clocks import NEW_YORK

MAINTENANCE = (clock_time(9, 0), clock_time(11, 30))  # New York, second Saturday of a month: status.alpaca.markets
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
    behaviour: Behaviour = EXACT


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
    scenario
        Admin requests to come, carried out as the clock passes their times.
    record
        A file that takes down the admin requests that come, as a scenario; None: nowhere.

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
        scenario: Sequence[Deed] = (),
        record: Path | None = None,
    ) -> None:
        self.config = config or ServerConfig()
        self.lock = threading.RLock()
        habits, seed = self.config.behaviour, self.config.seed
        identifiers = Identifiers(seed)
        self.market = SimulatedMarket(panel, calendar, start, habits, seed)
        self.account = SimAccount(self.config.cash, identifiers, self.config.multiplier)
        model = fill_model or (RealisticFills() if habits.limits_rest else PaperFills())
        self.exchange = SimExchange(self.market, self.account, model, identifiers, assets)
        self.matching = MatchingEngine(self.exchange)
        self.foreign = ForeignDesk(self.exchange)
        self.trading = TradingApi(self.exchange, self.matching, self.foreign)
        self.data = DataApi(self.market, self.config.entitlement)
        self.updates = TradeUpdates(self.keys, lambda: self.market.now, identifiers.named, self._stream_draw)
        self.exchange.tell = self.updates.hear
        self.behave(habits)
        self._scenario = scenario
        self._record = record
        self.faults = FaultPlan(self.config.seed)
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self._limit = RequestLimit()
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
        self.updates.disconnect()
        self._http.server_close()

    # ------------------------------------------------------------ habits

    @property
    def behaviour(self) -> Behaviour:
        """The habits in force."""
        return self.market.behaviour

    def behave(self, behaviour: Behaviour) -> None:
        """Put other habits in force, from now on."""
        with self.lock:
            self.market.behaviour = behaviour
            self.account.lateness = self._lateness
            self.account.fees_by_day = behaviour.fees_by_day

    def _lateness(self, count: int) -> timedelta:
        """Return how late activity number `count` appears: half of them at once, the others up to the most."""
        most = self.behaviour.late_activities
        if most == 0.0:
            return timedelta()
        draw = uniform(self.market.seed, self.market.now.date(), "activity", Draw.LATE, count)
        return timedelta(minutes=max(0.0, 2.0 * draw - 1.0) * most)

    def _stream_draw(self, count: int) -> tuple[float, float]:
        draw = uniform(self.market.seed, self.market.now.date(), "stream", Draw.STREAM, count)
        return draw, self.behaviour.stream_faults

    @property
    def is_away(self) -> bool:
        """True in the hours of maintenance."""
        local = self.market.now.astimezone(NEW_YORK)
        second_saturday = local.weekday() == 5 and 8 <= local.day <= 14
        return self.behaviour.maintenance and second_saturday and MAINTENANCE[0] <= local.time() < MAINTENANCE[1]

    # ------------------------------------------------------------ the simulated world

    @property
    def dawn_before_open(self) -> timedelta:
        """How long before the open corporate events are booked."""
        return DAWN_BEFORE_OPEN

    @property
    def now(self) -> datetime:
        """The simulated time, UTC."""
        return self.market.now

    def advance(self, until: datetime) -> datetime:
        """Move the clock to `until`; fills, and the deeds of a scenario, happen on the way. Return the new time."""
        with self.lock:
            ripe, self._scenario = due(self._scenario, until)
            for deed in ripe:
                self.matching.advance(deed.at)
                administer(self, deed.method, deed.path, deed.body)
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
                    return self._administer(method, parts.path, _read_json(body))
                if self.is_away:
                    return 503, {"code": 50310000, "message": "scheduled maintenance"}
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
        return status, page if fault is None else distorted(fault, page)

    def _administer(self, method: str, path: str, wish: object) -> tuple[int, object]:
        at, answer = self.market.now, administer(self, method, path, wish)
        if self._record is not None and method != "GET" and path not in UNRECORDED:
            with self._record.open("a") as lines:
                lines.write(Deed(at, method, path, wish).line() + "\n")
        return answer

    def stream(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve the stream of trade updates to one client."""
        self.updates.serve(handler)

    @property
    def keys(self) -> tuple[str, str]:
        """Key and secret that open the account."""
        return self.config.key_id, self.config.secret_key

    def note(self, method: str, path: str, status: int) -> None:
        """Remember a request; status 0 = the connection was dropped."""
        self.requests.append(Request(method, path, status))

    def rate_headers(self, path: str) -> tuple[bool, dict[str, str]]:
        """Count a request; return (whether it is within the limit of its host, the limit headers)."""
        limit = self.config.requests_per_minute or self.behaviour.requests_per_minute
        return self._limit.count(path, limit or None)


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
