"""History and prices from the local Alpaca: pages, cache, splits, feeds, faults, the number of requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alpaca_world import CALENDAR, KEY, SECRET, FakeTimer, flat, make_http, make_server, market

from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca_server.data_api import Entitlement
from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.prints import Misprint
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.configuration.environment import Secret, load_settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import BrokerUnreachableError, FixConfigError, FixCredentialsError, MarketDataError
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.alpaca_data import IEX_WARNING, AlpacaMarketData, asker, open_alpaca_data
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.market_data.vix import AlpacaVix, VixService

N = 40
START = date(2024, 1, 2)


def panel_of(n_tickers: int = 4) -> MarketPanel:
    """Return a market with SPY among its tickers, so that the server can serve the benchmark."""
    names = {
        f"T{n:03d}": [(p, p + 1, p - 1, p + 0.5) for p in np.linspace(50 + n, 60 + n, N)] for n in range(n_tickers)
    }
    return market({"SPY": flat(400.0, N), **names}, vix=np.linspace(12.0, 20.0, N))


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with make_server(panel_of()) as running:
        running.advance(running.market.closes[N - 1])
        running.advance(running.now + timedelta(hours=1))
        yield running


def source(
    server: AlpacaServer,
    cache_dir: Path | None = None,
    with_vix: bool = False,
    http: AlpacaHttp | None = None,
    **options: Any,
) -> AlpacaMarketData:
    http = http or make_http(server, FakeTimer())
    vix = None
    if with_vix:
        vix = VixService([AlpacaVix(asker(http), CALENDAR)], None, CALENDAR, lambda: server.now)
    names = [name for name in server.market.tickers if name != "SPY"]
    return AlpacaMarketData(
        http,
        cache_dir=cache_dir,
        calendar=CALENDAR,
        vix=vix,
        sectors={"T000": "Energy"},
        default_tickers=names,
        now=lambda: server.now,
        **options,
    )


def bar_requests(server: AlpacaServer) -> int:
    return sum(request.path.startswith("/v2/stocks/bars") for request in server.requests)


def test_history_equals_the_servers_panel(server: AlpacaServer) -> None:
    panel = source(server).history(None, START)
    truth = server.market.panel
    columns = [truth.tickers.index(name) for name in panel.tickers]
    assert panel.tickers == ("T000", "T001", "T002", "T003")
    assert panel.sessions.tolist() == truth.sessions.tolist()
    for ours, theirs in ((panel.open, truth.open), (panel.close, truth.close), (panel.volume, truth.volume)):
        assert np.array_equal(ours, theirs[:, columns])
    assert panel.benchmark.tolist() == [400.0] * N
    assert panel.sectors == ("Energy", "Unknown", "Unknown", "Unknown")
    assert (panel.source, bar_requests(server)) == ("alpaca:sip", 1)


def test_many_pages_are_joined(server: AlpacaServer) -> None:
    panel = source(server, points_a_page=7).history(None, START)
    assert np.isfinite(panel.close).all()
    assert bar_requests(server) == -(-5 * N // 7)


def test_second_start_asks_nothing_and_a_new_session_asks_once(server: AlpacaServer, tmp_path: Path) -> None:
    earlier = server.market.session_at(N - 2)
    first = source(server, tmp_path).history(None, START, earlier)
    again = source(server, tmp_path).history(None, START, earlier)
    assert (first.data_hash, bar_requests(server)) == (again.data_hash, 1)
    newer = source(server, tmp_path).history(None, START)
    assert (newer.n_sessions, bar_requests(server)) == (N, 2)


def test_cached_and_fresh_history_are_the_same(server: AlpacaServer, tmp_path: Path) -> None:
    for last in (10, 20, N - 1):
        cached = source(server, tmp_path).history(None, START, server.market.session_at(last))
    assert cached.data_hash == source(server).history(None, START).data_hash


def test_split_moves_cached_history(tmp_path: Path) -> None:
    split = np.ones((8, 2))
    split[5, 0] = 2.0
    bars = {"AAA": [*flat(100.0, 5), *flat(50.0, 3)], "SPY": flat(400.0)}
    with make_server(market(bars, split_ratio=split)) as server:
        server.advance(server.market.closes[4] + timedelta(hours=1))
        before = source(server, tmp_path).history(["AAA"], START)
        assert before.close[:, 0].tolist() == [100.0] * 5
        server.advance(server.market.closes[6] + timedelta(hours=1))
        after = source(server, tmp_path).history(["AAA"], START)
        assert after.close[:, 0].tolist() == [50.0] * 7
        assert after.volume[0, 0] == 2 * before.volume[0, 0]
        assert after.data_hash == source(server).history(["AAA"], START).data_hash


def test_running_session_is_not_history() -> None:
    with make_server(panel_of()) as young:
        young.advance(young.market.opens[10] + timedelta(hours=2))
        assert source(young).history(None, START).n_sessions == 10
        young.advance(young.market.closes[10] + timedelta(minutes=15))
        assert source(young).history(None, START).n_sessions == 10
        young.advance(young.market.closes[10] + timedelta(minutes=16))
        assert source(young).history(None, START).n_sessions == 11


def test_refused_sip_falls_back_to_iex_with_a_warning(server: AlpacaServer) -> None:
    words = "subscription does not permit querying recent SIP data"
    refusal = Fault(FaultKind.STATUS_BEFORE, path="feed=sip", status=403, code=40310000, message=words, times=None)
    server.faults.add(refusal)
    provider = source(server)
    panel = provider.history(None, START)
    assert (provider.name, panel.source) == ("alpaca:iex", "alpaca:iex")
    assert IEX_WARNING in panel.warnings
    assert panel.volume[0, 0] == 0.02 * server.market.panel.volume[0, 1]
    provider.history(None, START)
    assert sum(request.status == 403 for request in server.requests) == 1


def test_feeds_have_caches_of_their_own(server: AlpacaServer, tmp_path: Path) -> None:
    source(server, tmp_path).history(None, START)
    assert (
        source(server, tmp_path, feed="iex").history(None, START).volume[0, 0]
        == 0.02 * server.market.panel.volume[0, 1]
    )
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["alpaca-iex", "alpaca-sip"]


def test_refusal_that_is_not_about_the_feed_is_an_error(server: AlpacaServer) -> None:
    server.faults.add(Fault(FaultKind.STATUS_BEFORE, path="bars", status=422, message="invalid symbol", times=None))
    with pytest.raises(MarketDataError, match="invalid symbol"):
        source(server).history(None, START)


def test_wrong_keys_are_named(server: AlpacaServer) -> None:
    provider = source(server, http=make_http(server, FakeTimer(), secret_key=Secret("nonsense"), live=None))
    with pytest.raises(FixCredentialsError, match="may have been revoked") as refused:
        provider.history(None, START)
    assert KEY not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_service_that_is_down_is_unreachable(server: AlpacaServer) -> None:
    server.faults.add(Fault(FaultKind.HTML, times=None))
    with pytest.raises(BrokerUnreachableError, match="bars: no usable answer"):
        source(server).history(None, START)


PASSING = [
    Fault(FaultKind.STATUS_BEFORE, path="bars", status=429, skip=3),
    Fault(FaultKind.HTML, path="bars", skip=3),
    Fault(FaultKind.DROP_AFTER, path="bars", skip=3),
    Fault(FaultKind.GARBAGE_AFTER, path="bars", skip=3),
    Fault(FaultKind.DUPLICATE_PAGE, path="bars", skip=3),
    Fault(FaultKind.MISSING_PAGE, path="bars", skip=3),
    Fault(FaultKind.MISSING_PAGE, path="bars"),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault.kind}-{fault.skip}")
def test_fault_in_the_middle_of_the_pages_changes_nothing(server: AlpacaServer, fault: Fault) -> None:
    truth = source(server, points_a_page=23).history(None, START).data_hash
    fault.struck = 0
    server.faults.add(fault)
    assert source(server, points_a_page=23).history(None, START).data_hash == truth
    assert fault.struck == 1


def test_page_that_is_always_missing_leaves_a_gap_that_is_told(server: AlpacaServer) -> None:
    server.faults.add(Fault(FaultKind.MISSING_PAGE, path="symbols=T001", times=None))
    panel = source(server, points_a_page=N, symbols_at_once=1).history(None, START)
    assert panel.tickers == ("T000", "T002", "T003")
    assert "no bars: T001" in panel.warnings


def test_halted_ticker_keeps_its_gap() -> None:
    bars = {"AAA": [*flat(100.0, 3), None, *flat(100.0, 4)], "SPY": flat(400.0)}
    with make_server(market(bars)) as halted:
        halted.advance(halted.market.closes[7] + timedelta(hours=1))
        panel = source(halted).history(["AAA"], START)
        assert np.flatnonzero(np.isnan(panel.close[:, 0])).tolist() == [3]
        assert bar_requests(halted) == 2  # asked once more, to be sure


def test_vix_of_the_last_sessions_comes_from_alpaca(server: AlpacaServer) -> None:
    since = server.market.session_at(N - 4)
    panel = source(server, with_vix=True).history(None, since)
    assert panel.vix.tolist() == server.market.panel.vix[-4:].tolist()


def test_plan_without_indices_leaves_vix_unknown_and_says_so() -> None:
    with make_server(panel_of(), entitlement=Entitlement(indices=False)) as server:
        server.advance(server.market.closes[N - 1] + timedelta(hours=1))
        panel = source(server, with_vix=True).history(None, server.market.session_at(N - 4))
        assert np.isnan(panel.vix).all()
        assert any("VIX: Alpaca was passed over" in warning for warning in panel.warnings)


def test_latest_prices_are_the_running_ones(server: AlpacaServer) -> None:
    provider = source(server)
    prices = provider.latest_prices(["T000", "T001", "GONE"])
    assert {name: latest.price for name, latest in prices.items()} == {
        "T000": server.market.price("T000"),
        "T001": server.market.price("T001"),
    }
    assert prices["T000"].at == server.market.closes[N - 1]


def test_range_without_sessions_is_an_error(server: AlpacaServer) -> None:
    with pytest.raises(MarketDataError, match="none from 2024-06-03"):
        source(server).history(None, date(2024, 6, 3))


def test_five_hundred_tickers_need_few_requests(tmp_path: Path) -> None:
    panel = SyntheticMarketData(7, n_tickers=500, n_sessions=60, calendar=CALENDAR).history()
    with make_server(panel) as server:
        server.advance(server.market.closes[57] + timedelta(hours=1))
        names = list(panel.tickers)
        first = server.market.session_at(0)
        source(server, tmp_path).history(names, first)
        assert bar_requests(server) <= 14  # SPY is missing from this market and asked for twice
        server.advance(server.market.closes[58] + timedelta(hours=1))
        before = bar_requests(server)
        provider = source(server, tmp_path)
        provider.history(names, first)
        provider.latest_prices(names)
        assert bar_requests(server) - before <= 8
        assert sum("trades/latest" in request.path for request in server.requests) == 5


def test_provider_needs_keys(tmp_path: Path) -> None:
    settings = load_settings({"TRADING_CACHE_DIR": str(tmp_path)}, None)
    with pytest.raises(FixConfigError, match=r"needs ALPACA_API_KEY and ALPACA_SECRET_KEY.*yahoo"):
        open_alpaca_data(TradingConfig(), settings, CALENDAR)


def test_provider_is_built_from_settings(server: AlpacaServer, tmp_path: Path) -> None:
    environment = {
        "ALPACA_API_KEY": KEY,
        "ALPACA_SECRET_KEY": SECRET,
        "ALPACA_BASE_URL": server.url,
        "TRADING_CACHE_DIR": str(tmp_path),
    }
    provider = open_alpaca_data(TradingConfig(), load_settings(environment, None), CALENDAR)
    assert set(provider.latest_prices(["T000"])) == {"T000"}


# ---------------------------------------------------------------- evenings


def young(running: AlpacaServer, misprint: dict[str, object] | None = None) -> MarketPanel:
    """Return the history of a server of which one ticker is younger than the window, so that it is asked for twice."""
    if misprint is not None:
        running.faults.add(Fault(FaultKind.REWRITE, path="bars", fields=misprint))
    return source(running).history(None, START)


@pytest.fixture
def evening() -> Iterator[AlpacaServer]:
    bars = {"OLD": flat(50.0, N), "NEW": [*[None] * 20, *flat(30.0, N - 20)], "SPY": flat(400.0, N)}
    with make_server(market(bars)) as running:
        running.advance(running.market.closes[N - 1])
        running.advance(running.now + timedelta(minutes=20))
        yield running


def test_volume_that_has_grown_between_two_answers_is_the_newer_one(evening: AlpacaServer) -> None:
    panel = young(evening, {"v": 123.0})
    column = panel.tickers.index("NEW")
    assert panel.volume[-1, column] == 1e6  # OLD, which was not asked for again, keeps what it was told
    assert panel.volume[-1, 1 - column] == 123.0
    assert panel.close[-1].tolist() == [30.0, 50.0]


def test_price_that_changes_between_two_answers_and_stays_is_the_newer_one(evening: AlpacaServer) -> None:
    panel = young(evening, {"l": 3.0})
    assert panel.low[-1, panel.tickers.index("NEW")] == 30.0
    assert bar_requests(evening) == 3


def test_price_that_is_another_at_each_answer_is_one_ticker_s_unknown_day(evening: AlpacaServer) -> None:
    for low in (3.0, 4.0, 5.0):
        evening.faults.add(Fault(FaultKind.REWRITE, path="bars", fields={"l": low}))
    panel = source(evening).history(None, START)
    assert panel.tickers == ("OLD",)  # of NEW each bar was another each time
    assert np.isfinite(panel.close).all()
    assert sum("another price at each of 3 answers" in text for text in panel.warnings) == N - 20


def test_listing_younger_than_the_window_is_no_trouble(evening: AlpacaServer) -> None:
    panel = young(evening)
    assert int(np.isfinite(panel.close[:, panel.tickers.index("NEW")]).sum()) == N - 20


@pytest.mark.parametrize(("field", "value"), [("low", 3.0), ("high", 300.0)])
def test_absurd_tick_leaves_the_session_settled_and_is_corrected_in_the_cache(
    evening: AlpacaServer, tmp_path: Path, field: str, value: float
) -> None:
    last = evening.market.session_at(N - 3)
    evening.data.prints.misprints.append(Misprint("OLD", last, {field: value}, None))
    first = source(evening, tmp_path).history(None, START, last)
    column = first.tickers.index("OLD")
    assert first.close[-1, column] == 50.0
    assert any("OLD" in text and last.isoformat() in text for text in first.warnings)
    evening.data.prints.misprints.clear()
    after = source(evening, tmp_path).history(None, START)
    row = first.n_sessions - 1
    assert (after.low[row, column], after.high[row, column]) == (50.0, 50.0)


@pytest.mark.parametrize("values", [{"low": 60.0}, {"close": 0.0}, {"open": -1.0}], ids=["low", "close", "open"])
def test_bar_that_cannot_be_is_one_ticker_s_unknown_day(evening: AlpacaServer, values: dict[str, float]) -> None:
    last = evening.market.session_at(N - 1)
    evening.data.prints.misprints.append(Misprint("OLD", last, values, None))
    panel = source(evening).history(None, START)
    assert panel.session(panel.n_sessions - 1) == last
    assert np.isnan(panel.close[-1, panel.tickers.index("OLD")])
    assert panel.close[-1, panel.tickers.index("NEW")] == 30.0


def test_split_that_the_source_adjusts_late_reaches_the_cache(tmp_path: Path) -> None:
    bars = {"AAA": [*flat(100.0, 5), *flat(50.0, 7)], "SPY": flat(400.0, 12)}
    split = np.ones((12, 2))
    with make_server(market(bars, split_ratio=split)) as running:  # nothing is known of the split
        running.advance(running.market.closes[6] + timedelta(hours=1))
        before = source(running, tmp_path).history(["AAA"], START)
        assert before.close[:, 0].tolist() == [100.0] * 5 + [50.0] * 2
    split[5, 0] = 2.0
    with make_server(market(bars, split_ratio=split)) as running:  # two sessions later it is
        running.advance(running.market.closes[8] + timedelta(hours=1))
        after = source(running, tmp_path).history(["AAA"], START)
        assert after.close[:, 0].tolist() == [50.0] * 9
