"""The bridge and the attribution: whole cents in, the same cents out, whoever earned them."""

from __future__ import annotations

from datetime import date

from hypothesis import event, given
from hypothesis import strategies as st

from trading_platform.reporting.bridge import UNATTRIBUTED, Bridge, attribute, day_profits
from trading_platform.reporting.facts import FillLine, Holding, RoundTrip

DAY = date(2024, 3, 5)


def held(ticker: str, strategy: str | None, cost: int, value: int | None, dividends: int = 0) -> Holding:
    price = None if value is None else value / 1000
    return Holding(ticker, strategy, 10, cost / 1000, price, cost, value, None, None, dividends, DAY)


def fill(ticker: str, strategy: str, side: str, amount: int, fees: int, realized: int) -> FillLine:
    return FillLine(ticker, side, 10, amount / 1000, amount, fees, realized, strategy, "entry")


def trip(ticker: str, strategy: str, pnl: int, dividends: int) -> RoundTrip:
    return RoundTrip(ticker, strategy, DAY, DAY, 10, pnl, dividends, 0.1, "signal_exit")


def test_residual_is_what_the_parts_leave_over() -> None:
    bridge = Bridge(100_000, realized=500, unrealized_change=-200, fees=30, dividends=40, cash_flow=1_000, end=101_310)
    assert bridge.profit == 310
    assert bridge.residual == 0
    assert bridge._replace(end=101_311).residual == 1


def test_shares_name_who_earned_what() -> None:
    before = [held("AAA", "momentum", 10_000, 10_500), held("BBB", "breakout", 5_000, 4_000, dividends=20)]
    after = [held("AAA", "momentum", 10_000, 10_900, dividends=35), held("CCC", "momentum", 8_000, 7_990)]
    fills = [fill("BBB", "breakout", "sell", 4_100, 12, -900), fill("CCC", "momentum", "buy", 8_000, 10, 0)]
    closed = [trip("BBB", "breakout", -912 + 20, dividends=20)]
    bridge = Bridge(50_000, -900, (900 - 10) - (500 - 1_000), 22, 35, 0, 50_000 - 900 + 1_390 - 22 + 35)
    shares = attribute(bridge, before, after, fills, closed)
    assert bridge.residual == 0
    assert {s.name: s.pnl for s in shares.tickers} == {"AAA": 435, "BBB": 88, "CCC": -20}
    assert {s.name: s.pnl for s in shares.strategies} == {"momentum": 415, "breakout": 88}
    assert [s.name for s in shares.tickers] == ["AAA", "BBB", "CCC"]


def test_same_ticker_closed_and_reopened_belongs_to_both_strategies() -> None:
    before = [held("AAA", "momentum", 10_000, 10_500)]
    after = [held("AAA", "breakout", 10_600, 10_650)]
    fills = [fill("AAA", "momentum", "sell", 10_550, 5, 550), fill("AAA", "breakout", "buy", 10_600, 5, 0)]
    bridge = Bridge(10_500, 550, 50 - 500, 10, 0, 0, 10_590)
    shares = attribute(bridge, before, after, fills, [trip("AAA", "momentum", 545, 0)])
    assert {s.name: s.pnl for s in shares.strategies} == {"momentum": 45, "breakout": 45}
    assert {s.name: s.pnl for s in shares.tickers} == {"AAA": 90}


def test_account_fees_and_unbooked_parts_are_the_accounts_own() -> None:
    bridge = Bridge(10_000, 0, 0, fees=7, dividends=0, cash_flow=0, end=9_990)
    (share,) = attribute(bridge, [], [], [], []).tickers
    assert (share.name, share.fees, share.unrealized, share.pnl) == (UNATTRIBUTED, 7, -3, -10)


def test_holdings_without_a_strategy_go_to_the_account() -> None:
    bridge = Bridge(10_000, 0, 100, 0, 0, 0, 10_100)
    shares = attribute(bridge, [], [held("AAA", None, 1_000, 1_100)], [], [])
    assert [(s.name, s.pnl) for s in shares.strategies] == [(UNATTRIBUTED, 100)]
    assert [(s.name, s.pnl) for s in shares.tickers] == [("AAA", 100)]


def test_day_profit_of_a_ticker_counts_marks_sales_and_fees() -> None:
    before, after = [held("AAA", "m", 10_000, 10_500)], [held("AAA", "m", 5_000, 5_600)]
    fills = [fill("AAA", "m", "sell", 5_400, 9, 400)]
    assert day_profits(before, after, fills) == {"AAA": 600 - 500 + 400 - 9}


CENTS = st.integers(-10_000_000, 10_000_000)
NAMES = st.sampled_from(["AAA", "BBB", "CCC"])
STRATEGIES = st.sampled_from(["momentum", "breakout", None])
HOLDINGS = st.lists(st.builds(held, NAMES, STRATEGIES, CENTS, st.none() | CENTS, CENTS), max_size=5)
FILLS = st.lists(
    st.builds(fill, NAMES, st.sampled_from(["momentum", "breakout"]), st.just("sell"), CENTS, CENTS, CENTS), max_size=5
)
TRIPS = st.lists(st.builds(trip, NAMES, st.sampled_from(["momentum", "breakout"]), CENTS, CENTS), max_size=3)


@given(st.builds(Bridge, *[CENTS] * 7), HOLDINGS, HOLDINGS, FILLS, TRIPS)
def test_shares_sum_to_the_profit_whatever_the_books_say(
    bridge: Bridge, before: list[Holding], after: list[Holding], fills: list[FillLine], closed: list[RoundTrip]
) -> None:
    shares = attribute(bridge, before, after, fills, closed)
    for part in (shares.strategies, shares.tickers):
        assert sum(share.pnl for share in part) == bridge.profit
        event(f"account share: {any(share.name == UNATTRIBUTED for share in part)}")
        assert len({share.name for share in part}) == len(part)
