"""Everything that can be asked of an Alpaca account without changing it. Reports and checks need no more than this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

from trading_platform.alpaca.answers import (
    UNREADABLE_ERRORS,
    AssetFlags,
    BrokerClock,
    EquityPoint,
    Holdings,
    Unreadable,
    as_list,
    as_object,
    parse_account,
    parse_assets,
    parse_calendar,
    parse_clock,
    parse_equity,
    parse_positions,
)
from trading_platform.alpaca.failures import AlpacaRefusalError, FailureKind
from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca.orders import is_of_shares, parse_instant, parse_order, successor_of
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.ports import BrokerAccount, BrokerOrder, BrokerPosition

T = TypeVar("T")

MAX_ORDERS = 500  # Alpaca's largest page
MAX_SUCCESSORS = 100  # edits of one order that are followed
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class ListedOrders(NamedTuple):
    """A list of orders: those of shares, those that cannot be read, and words for what is of something else: options,
    spreads and coins of the account's owner.
    """

    orders: list[BrokerOrder]
    unreadable: list[Unreadable]
    owners: tuple[str, ...]


class AlpacaReader:
    """Reads an account.

    Every method raises `FixCredentialsError` when the keys are refused, and `BrokerUnreachableError` when no usable
    answer comes.
    """

    def __init__(self, http: AlpacaHttp) -> None:
        self._http = http

    def account(self) -> BrokerAccount:
        """Return the account; None where Alpaca did not tell a number."""
        return self._http.read("account", self._http.trading.get_account, parse_account)

    def positions(self) -> list[BrokerPosition]:
        """Return all open positions in shares, manual ones included."""
        return self.holdings().positions

    def holdings(self) -> Holdings:
        """Return all open positions in shares, those that cannot be read, and what all are worth."""
        return self._http.read("positions", self._http.trading.get_all_positions, parse_positions)

    def exchange_clock(self) -> BrokerClock:
        """Return Alpaca's clock."""
        return self._http.read("clock", self._http.trading.get_clock, parse_clock)

    def sessions(self, start: date, end: date) -> list[tuple[date, str, str]]:
        """Return (session, open, close) in New York wall time for sessions in [start, end]."""
        from alpaca.trading.requests import GetCalendarRequest

        request = GetCalendarRequest(start=start, end=end)
        return self._http.read("calendar", lambda: self._http.trading.get_calendar(request), parse_calendar)

    def assets(self, tickers: Iterable[str]) -> dict[str, AssetFlags]:
        """Return the flags of `tickers` in one request; a ticker that Alpaca does not list is not tradable."""
        listed = self.listed()
        return {ticker: listed.get(ticker) or AssetFlags(ticker, False, False) for ticker in tickers}

    def asset(self, ticker: str) -> AssetFlags | None:
        """Return the flags of one ticker as they are now, None if Alpaca does not know it."""
        trading = self._http.trading
        return _unless_unknown(
            lambda: self._http.read(
                f"asset {ticker}", lambda: trading.get_asset(ticker), lambda raw: parse_assets([raw])[ticker]
            )
        )

    def listed(self) -> dict[str, AssetFlags]:
        """Return the flags of every active US equity by ticker: some ten thousand at Alpaca."""
        from alpaca.trading.enums import AssetClass, AssetStatus
        from alpaca.trading.requests import GetAssetsRequest

        request = GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY)
        return self._http.read("assets", lambda: self._http.trading.get_all_assets(request), parse_assets)

    def equity_history(self, start: datetime) -> list[EquityPoint]:
        """Return daily equity from `start` on. Alpaca's own profit figures count from a base value and are not used."""
        from alpaca.trading.requests import GetPortfolioHistoryRequest

        request = GetPortfolioHistoryRequest(start=start, timeframe="1D", cashflow_types="CSD,CSW")
        return self._http.read(
            "portfolio history", lambda: self._http.trading.get_portfolio_history(request), parse_equity
        )

    def order(self, client_order_id: str, broker_order_id: str | None = None) -> BrokerOrder | None:
        """Return an order with its legs (which Alpaca shows by its own id only), None if there is no such order."""
        trading, what = self._http.trading, f"order {client_order_id}"
        if broker_order_id is not None:
            return _unless_unknown(lambda: self._nested(broker_order_id, client_order_id))
        found = _unless_unknown(
            lambda: self._http.read(what, lambda: trading.get_order_by_client_id(client_order_id), _parse_whole)
        )
        return self._nested(found, client_order_id) if isinstance(found, str) else found

    def _nested(self, broker_order_id: str, client_order_id: str) -> BrokerOrder:
        """Return an order with its legs, or the one that has taken its place, by our name of it."""
        from alpaca.trading.requests import GetOrderByIdRequest

        request, trading = GetOrderByIdRequest(nested=True), self._http.trading
        for _ in range(MAX_SUCCESSORS):
            order, successor = self._http.read(
                f"order {broker_order_id}",
                partial(trading.get_order_by_id, broker_order_id, request),
                partial(_parse_named, client_order_id),
            )
            if successor is None:
                return order
            broker_order_id = successor
        raise BrokerUnreachableError(f"order {client_order_id}: its edits lead in a circle at Alpaca; try again later")

    def open_orders(self) -> list[BrokerOrder]:
        """Return open orders of shares, foreign ones included, flat. Alpaca does not list held stops."""
        return self.listed_orders("").orders

    def listed_orders(self, prefix: str) -> ListedOrders:
        """Return the same, and what cannot be read or is of something else; our client ids begin with `prefix`."""
        from alpaca.trading.enums import QueryOrderStatus
        from alpaca.trading.requests import GetOrdersRequest

        request = GetOrdersRequest(status=QueryOrderStatus.OPEN, limit=MAX_ORDERS, nested=False)
        raw = self._http.read("open orders", lambda: self._http.trading.get_orders(request), as_list)
        if len(raw) >= MAX_ORDERS:
            raise BrokerUnreachableError(f"the account has {MAX_ORDERS} or more open orders; cancel some of them")
        return _readable(raw, prefix)

    def own_orders(self, prefix: str) -> list[BrokerOrder]:
        """Return every order, open or not, whose client id begins with `prefix`, oldest first and without its legs.

        It reads all orders that the account has ever had, a page of 500 at a time.
        """
        from alpaca.common.enums import Sort
        from alpaca.trading.enums import QueryOrderStatus
        from alpaca.trading.requests import GetOrdersRequest

        found: dict[str, BrokerOrder] = {}
        seen: set[str] = set()
        after: datetime | None = None
        while True:
            request = GetOrdersRequest(
                status=QueryOrderStatus.ALL, limit=MAX_ORDERS, nested=False, direction=Sort.ASC, after=after
            )
            page = self._http.read("orders", partial(self._http.trading.get_orders, request), as_list)
            fresh = [raw for raw in page if str(raw.get("id")) not in seen]
            seen |= {str(raw.get("id")) for raw in fresh}
            found |= {
                o.client_order_id: o for o in _readable(fresh, prefix).orders if o.client_order_id.startswith(prefix)
            }
            if len(page) < MAX_ORDERS or not fresh:
                return sorted(found.values(), key=lambda order: order.submitted_at or LONG_AGO)
            last = parse_instant(page[-1].get("submitted_at"))
            after = None if last is None else last - timedelta(microseconds=1)  # those of one instant may be cut apart

    def client_id_of(self, broker_order_id: str) -> str | None:
        """Return the client order id of an order by Alpaca's id, None if there is no such order."""
        trading, what = self._http.trading, f"order {broker_order_id}"
        raw = _unless_unknown(
            lambda: self._http.read(what, lambda: trading.get_order_by_id(broker_order_id), as_object)
        )
        return None if raw is None else str(raw["client_order_id"])


def _parse_whole(raw: Any) -> BrokerOrder | str:
    """Return an order, or its id at Alpaca where this form of it tells nothing of its legs or of its successor."""
    told = as_object(raw)
    if str(told.get("order_class") or "simple") in ("simple", "") and successor_of(told) is None:
        return parse_order(told)
    return str(told["id"])


def _parse_named(client_order_id: str, raw: Any) -> tuple[BrokerOrder, str | None]:
    """Return an order under our name of it, whatever name its editor gave it, and its successor's id."""
    return parse_order({**raw, "client_order_id": client_order_id}), successor_of(raw)


def _readable(raw: Iterable[Any], prefix: str) -> ListedOrders:
    """Return the orders in a list by what can be done with them. What nobody can read and is not ours is the owner's,
    unless it says that it is in a ticker, in which we might trade as well.
    """
    found: list[BrokerOrder] = []
    unreadable: list[Unreadable] = []
    owners: list[str] = []
    for entry in raw:
        fields = entry if isinstance(entry, Mapping) else {}
        name, ticker = str(fields.get("client_order_id")), fields.get("symbol") or None
        try:
            if is_of_shares(entry):
                found.append(parse_order(entry))
            else:
                kind = "mleg" if fields.get("order_class") == "mleg" else fields.get("asset_class")
                owners.append(f"order {name} of another kind ({kind})")
        except UNREADABLE_ERRORS as error:
            words = f"order {name} cannot be read: {type(error).__name__}: {error}"
            if ticker is None and not (prefix and name.startswith(prefix)):
                owners.append(words)
            else:
                unreadable.append(Unreadable(words, None if ticker is None else str(ticker)))
    return ListedOrders(found, unreadable, tuple(owners))


def _unless_unknown(read: Callable[[], T]) -> T | None:
    """Return what `read` returns, None where Alpaca does not know what was asked for."""
    try:
        return read()
    except AlpacaRefusalError as error:
        if error.failure.kind is FailureKind.NOT_FOUND:
            return None
        raise
