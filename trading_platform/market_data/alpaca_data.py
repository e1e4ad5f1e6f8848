"""Daily bars and latest prices from Alpaca, through a local cache, with the rules of the data plans.

The free plan serves the consolidated tape (SIP) only 15 minutes later, and IEX in real time. So history ends with the
newest session that closed 16 minutes ago or more. Where SIP is refused altogether, IEX stands in, with a warning: its
volume is about 2 % of the tape's and its prices differ a little; the two are never mixed in one cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trading_platform.alpaca.failures import AlpacaRefusalError, FailureKind
from trading_platform.alpaca.http import AlpacaHttp, access_from
from trading_platform.alpaca.orders import parse_instant
from trading_platform.configuration.environment import is_loopback
from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import MarketPanel
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.cache import PRICES, BarCache, CachedHistory, TickerBars, joined, last_finished
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.panel import Beside, build_panel
from trading_platform.market_data.universe import load_universe
from trading_platform.market_data.vix import AlpacaVix, LocalVix, VixService, VixSource, YahooVix, cboe, fred
from trading_platform.market_data.yahoo import BENCHMARK, index_closes

if TYPE_CHECKING:
    from trading_platform.configuration.environment import Settings
    from trading_platform.configuration.trading_config import TradingConfig

FIRST_DAY = date(2016, 1, 4)  # Alpaca's consolidated history begins in 2016
SIP_DELAY_MINUTES = 16.0
SYMBOLS_AT_ONCE = 100
POINTS_A_PAGE = 10_000
MAX_PAGES = 10_000
ANSWERS = 3  # that are asked for before a bar whose price is another in each counts as unknown
NO_DAYS: frozenset[date] = frozenset()
SIP, IEX = "sip", "iex"
IEX_WARNING = "feed: IEX only, since the data plan refuses SIP; volumes are about 2 % of the market's"


@dataclass(frozen=True, slots=True)
class LatestPrice:
    """The last trade of a ticker, dollars a share."""

    price: float
    at: datetime


class AlpacaMarketData:
    """Daily bars from Alpaca; implements `core.ports.MarketData`.

    Parameters
    ----------
    http
        The tamed clients.
    cache_dir
        Where bars and VIX are kept, None for nowhere.
    calendar
        Sessions of the exchange.
    vix
        Where VIX comes from, None for nowhere.
    sectors
        Ticker -> sector.
    default_tickers
        What `history(None)` means.
    now
        The clock.
    feed
        The feed to begin with, "sip" or "iex".
    points_a_page, symbols_at_once
        How much is asked for with one request.
    with_benchmark
        True makes the benchmark a column of the panels as well.
    """

    def __init__(
        self,
        http: AlpacaHttp,
        *,
        cache_dir: Path | None,
        calendar: NyseCalendar,
        vix: VixService | None = None,
        sectors: Mapping[str, str] | None = None,
        default_tickers: Sequence[str] = (),
        now: Callable[[], datetime] = utc_now,
        feed: str = SIP,
        points_a_page: int = POINTS_A_PAGE,
        symbols_at_once: int = SYMBOLS_AT_ONCE,
        with_benchmark: bool = False,
    ) -> None:
        self._http = http
        self._cache_dir = cache_dir
        self._calendar = calendar
        self._vix = vix
        self._sectors = dict(sectors or {})
        self._default_tickers = tuple(default_tickers)
        self._now = now
        self._feed = feed
        self._unsettled: set[str] = set()  # what the reading in hand could not be told twice alike
        self._points_a_page = points_a_page
        self._symbols_at_once = symbols_at_once
        self._with_benchmark = with_benchmark

    @property
    def name(self) -> str:
        """Short name for people."""
        return f"alpaca:{self._feed}"

    def history(
        self, tickers: Sequence[str] | None = None, start: date | None = None, end: date | None = None
    ) -> MarketPanel:
        """Return completed bars of `tickers` for sessions in [start, end], adjusted for splits and dividends.

        Raises
        ------
        MarketDataError
            The data fail a check.
        BrokerUnreachableError, FixCredentialsError
            No answer; keys refused.
        """
        names = sorted({*(self._default_tickers if tickers is None else tickers), BENCHMARK})
        newest = last_finished(self._calendar, self._now(), SIP_DELAY_MINUTES)
        last = newest if end is None else min(end, newest)
        first = max(start or FIRST_DAY, FIRST_DAY)
        if first > last:
            raise MarketDataError(f"{self.name} has sessions from {FIRST_DAY} to {newest}, none from {first} to {last}")
        self._unsettled.clear()
        try:
            found = self._cached(self._feed).read(names, first, last)
        except AlpacaRefusalError as error:
            if self._feed == IEX or error.failure.kind is not FailureKind.FORBIDDEN:
                raise MarketDataError(str(error)) from error
            self._feed = IEX
            found = self._cached(IEX).read(names, first, last)
        vix = None if self._vix is None else self._vix.history(first, last)
        bars = joined(found, self.name)
        panel = build_panel(
            bars,
            source=self.name,
            calendar=self._calendar,
            beside=Beside(vix=vix, sectors=self._sectors),
            with_benchmark=self._with_benchmark,
        )
        notices = [] if self._vix is None else self._vix.notices
        absent = [name for name in names if name not in bars.names]
        if absent:
            notices = [*notices, f"no bars: {', '.join(absent)}"]
        notices = [*notices, *sorted(self._unsettled)]
        if self._feed == IEX:
            notices = [*notices, IEX_WARNING]
        return replace(panel, warnings=(*panel.warnings, *notices))

    def latest_prices(self, tickers: Iterable[str]) -> dict[str, LatestPrice]:
        """Return the last trade of each ticker; one without a price is absent. One request for a hundred tickers."""
        names, found = sorted(set(tickers)), dict[str, LatestPrice]()
        for place in range(0, len(names), self._symbols_at_once):
            query = {"symbols": ",".join(names[place : place + self._symbols_at_once])}
            found |= self._http.read(
                "latest trades", partial(self._http.data.get, "/stocks/trades/latest", query), _parse_latest
            )
        return found

    def _cached(self, feed: str) -> CachedHistory:
        folder = None if self._cache_dir is None else BarCache(self._cache_dir / f"alpaca-{feed}")
        return CachedHistory(folder, self._calendar, partial(self._fetch, feed))

    # ------------------------------------------------------------ fetching

    def _fetch(self, feed: str, tickers: Sequence[str], start: date, end: date) -> dict[str, TickerBars]:
        """Return all bars of `tickers`. What looks incomplete, or contradicts itself, is asked for again.

        Volumes grow in the evening by late prints: the newer one counts. A price that is another at each answer is no
        price: that bar is left out, and told; the next reading asks for it anew.
        """
        found, disputed = self._ask(feed, tickers, start, end)
        sessions = self._calendar.sessions_between(start, end)
        doubtful = {name: NO_DAYS for name in tickers if len(found.get(name, ())) < len(sessions)} | disputed
        for _ in range(ANSWERS - 1):
            if not doubtful:
                break
            again, disputed = self._ask(feed, sorted(doubtful), start, end)
            doubtful = disputed
            for name, bars in again.items():
                found[name], days = _compared(found.get(name), bars)
                if days:
                    doubtful = {**doubtful, name: days | doubtful.get(name, NO_DAYS)}
        for name, days in doubtful.items():
            found[name] = found[name].without(days)
            self._unsettled |= {f"{name} {day}: another price at each of {ANSWERS} answers, unknown" for day in days}
        return found

    def _ask(
        self, feed: str, tickers: Sequence[str], start: date, end: date
    ) -> tuple[dict[str, TickerBars], dict[str, frozenset[date]]]:
        """Return bars by ticker, the newest answer winning, and the days on whose prices pages disagree."""
        rows: dict[str, dict[date, tuple[float, ...]]] = {}
        disputed: dict[str, frozenset[date]] = {}
        for place in range(0, len(tickers), self._symbols_at_once):
            self._pages(feed, tickers[place : place + self._symbols_at_once], start, end, rows, disputed)
        return {name: _to_bars(series) for name, series in rows.items()}, disputed

    def _pages(
        self,
        feed: str,
        tickers: Sequence[str],
        start: date,
        end: date,
        rows: dict[str, dict[date, tuple[float, ...]]],
        disputed: dict[str, frozenset[date]],
    ) -> None:
        query = self._query(feed, tickers, start, end)
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = self._http.read("bars", partial(self._http.data.get, "/stocks/bars", dict(query)), _parse_page)
            for name, day, values in page.bars:
                series = rows.setdefault(name, {})
                if series.get(day, values)[PRICES] != values[PRICES]:
                    disputed[name] = disputed.get(name, NO_DAYS) | {day}
                series[day] = values
            if page.token is None:
                return
            if page.token in seen:
                raise MarketDataError(f"{self.name}: Alpaca repeats the same page for ever; try again later")
            seen.add(page.token)
            query["page_token"] = page.token
        raise MarketDataError(f"{self.name}: more than {MAX_PAGES} pages; ask for fewer tickers or sessions")

    def _query(self, feed: str, tickers: Sequence[str], start: date, end: date) -> dict[str, Any]:
        from alpaca.data.enums import Adjustment, DataFeed
        from alpaca.data.requests import StockBarsRequest
        from alpaca.data.timeframe import TimeFrame

        day_after = datetime(end.year, end.month, end.day, tzinfo=UTC) + timedelta(days=1)
        request = StockBarsRequest(
            symbol_or_symbols=list(tickers),
            timeframe=TimeFrame.Day,
            start=datetime(start.year, start.month, start.day, tzinfo=UTC),
            end=min(day_after, self._now() - timedelta(minutes=SIP_DELAY_MINUTES)),
            limit=self._points_a_page,
            adjustment=Adjustment.ALL,
            feed=DataFeed(feed),
        )
        fields: dict[str, Any] = request.to_request_fields()
        return fields


def open_alpaca_data(
    config: TradingConfig,
    settings: Settings,
    calendar: NyseCalendar,
    now: Callable[[], datetime] = utc_now,
    *,
    with_benchmark: bool = False,
) -> AlpacaMarketData:
    """Return the provider that configuration and settings describe.

    What a local server says is kept nowhere: it is simulated, and must never be taken for the market's later.

    Raises
    ------
    FixConfigError
        There are no keys.
    """
    http = AlpacaHttp(access_from(settings, live=None))
    universe = load_universe(Path(config.universe.file) if config.universe.file else None)
    cache_dir: Path | None
    sources: list[VixSource]
    if is_loopback(http.access.data_url):
        cache_dir, sources, vix_file = None, [LocalVix(asker(http))], None
    else:
        cache_dir, vix_file = settings.cache_dir, settings.cache_dir / "vix.csv"
        sources = [AlpacaVix(asker(http), calendar), cboe(), fred(), YahooVix(index_closes)]
    return AlpacaMarketData(
        http,
        cache_dir=cache_dir,
        calendar=calendar,
        vix=VixService(sources, vix_file, calendar, now),
        sectors=universe.sectors,
        default_tickers=universe.tickers,
        now=now,
        with_benchmark=with_benchmark,
    )


def asker(http: AlpacaHttp) -> Callable[[str, str, dict[str, Any], str], Any]:
    """Return how `AlpacaVix` asks the data host."""

    def ask(what: str, path: str, query: dict[str, Any], version: str) -> Any:
        return http.read(what, lambda: http.data.get(path, query, api_version=version), lambda raw: raw)

    return ask


@dataclass(frozen=True, slots=True)
class _Page:
    bars: list[tuple[str, date, tuple[float, ...]]]
    token: str | None


def _parse_page(raw: Any) -> _Page:
    token = raw["next_page_token"]
    bars = [
        (str(name), _session(bar["t"]), tuple(float(bar[key]) for key in ("o", "h", "l", "c", "v")))
        for name, series in (raw["bars"] or {}).items()
        for bar in series
    ]
    return _Page(bars, None if token is None else str(token))


def _session(text: object) -> date:
    """Return the session of a daily bar, which is stamped with its midnight in New York (04:00 or 05:00 UTC)."""
    instant = parse_instant(text)
    if instant is None:
        raise ValueError("a bar without a time")
    return instant.date()


def _parse_latest(raw: Any) -> dict[str, LatestPrice]:
    found = {}
    for name, trade in raw["trades"].items():
        at, price = parse_instant(trade["t"]), float(trade["p"])
        if at is not None and price > 0.0:
            found[str(name)] = LatestPrice(price, at)
    return found


def _to_bars(series: Mapping[date, tuple[float, ...]]) -> TickerBars:
    days = sorted(series)
    return TickerBars(np.array(days, dtype="datetime64[D]"), np.array([series[day] for day in days]).reshape(-1, 5))


def _compared(first: TickerBars | None, second: TickerBars) -> tuple[TickerBars, frozenset[date]]:
    """Return the union of two answers, the second winning, and the days whose prices they do not agree on."""
    if first is None:
        return second, NO_DAYS
    both, ours, theirs = np.intersect1d(first.sessions, second.sessions, return_indices=True)
    differ = np.any(first.values[ours, PRICES] != second.values[theirs, PRICES], axis=1)
    return first.merged(second), frozenset(both[differ].astype("datetime64[D]").tolist())
