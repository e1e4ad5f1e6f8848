"""What would refuse a sale, which last prices are believed, and how the age of an exit that waits is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from trading_platform.alpaca.answers import AssetFlags
from trading_platform.brokers.last_prices import OLDEST_PRICE, age_doubt, split_doubt
from trading_platform.brokers.reconciliation.waiting_exits import (
    WaitingExit,
    read_waits,
    sessions_late,
    waiting_row,
    waits_text,
)
from trading_platform.brokers.sale_check import SaleCheck, check_sale
from trading_platform.brokers.venue import ENTRY_LIFE
from trading_platform.core.ports import BrokerAccount, BrokerOrder
from trading_platform.core.types import OrderStatus, Side
from trading_platform.market_data.alpaca_data import LatestPrice
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.runtime.live_loop import next_moment

CALENDAR = NyseCalendar()
FREE = BrokerAccount("A1", 100.0, 100.0, 100.0, is_blocked=False)
TRADABLE = AssetFlags("AAA", tradable=True, fractionable=True)
DAY = date(2024, 7, 3)  # a half day, before a holiday
OPENED = datetime(2024, 7, 3, 13, 30, tzinfo=UTC)
NOW = OPENED + timedelta(hours=1)


def resting(limit: float | None, client: str = "mine", ticker: str = "AAA", side: Side = Side.BUY) -> BrokerOrder:
    return BrokerOrder(client, "b1", ticker, side, 3.0, 0.0, None, OrderStatus.SUBMITTED, limit, None, None)


def checked(*orders: BrokerOrder, account: BrokerAccount = FREE, asset: AssetFlags | None = TRADABLE) -> SaleCheck:
    return check_sale("AAA", 50.0, account, asset, orders, "tp-")


def test_check_sale_finds_nothing_where_nothing_stands_in_the_way() -> None:
    others = (resting(30.0, "tp-1"), resting(30.0, ticker="BBB"), resting(30.0, side=Side.SELL))
    assert checked(*others) == SaleCheck()


def test_check_sale_refuses_for_a_blocked_account_and_an_asset_that_does_not_trade() -> None:
    assert "blocked" in checked(account=BrokerAccount("A1", 1.0, 1.0, 1.0, is_blocked=True)).refusal
    assert "halted" in checked(asset=AssetFlags("AAA", tradable=False, fractionable=True)).refusal
    assert "no longer listed" in checked(asset=None).refusal


@pytest.mark.parametrize(("limit", "floor"), [(30.0, 30.01), (0.5, 0.5001), (44.98, 44.99)])
def test_check_sale_asks_for_a_limit_above_a_buy_far_below(limit: float, floor: float) -> None:
    check = checked(resting(limit), resting(0.2))
    assert check.refusal == ""
    assert check.limit_price == pytest.approx(floor)


@pytest.mark.parametrize("limit", [45.0, 50.0, 70.0, None])
def test_check_sale_refuses_beside_a_buy_that_is_near_or_at_the_market(limit: float | None) -> None:
    check = checked(resting(limit), resting(30.0))
    assert "wash trade: cancel 3 at" in check.refusal
    assert check.limit_price is None


@pytest.mark.parametrize(
    ("at", "believed"),
    [
        (NOW, True),
        (NOW - OLDEST_PRICE, True),
        (NOW - OLDEST_PRICE - timedelta(seconds=1), False),
        (OPENED - timedelta(seconds=1), False),
        (NOW - timedelta(hours=20), False),
    ],
    ids=["now", "old enough", "too old", "before the open", "yesterday"],
)
def test_last_price_is_believed_by_its_time(at: datetime, believed: bool) -> None:
    assert (age_doubt(LatestPrice(44.0, at), OPENED, NOW) == "") is believed


def test_last_price_of_the_pre_market_is_not_believed_at_the_bell() -> None:
    before = LatestPrice(44.0, OPENED - timedelta(seconds=5))
    assert "before the open" in age_doubt(before, OPENED, OPENED + timedelta(seconds=5))
    assert age_doubt(LatestPrice(44.0, OPENED), OPENED, OPENED + timedelta(seconds=5)) == ""
    assert age_doubt(None, OPENED, NOW) == "no last price"


@pytest.mark.parametrize(
    ("price", "words"),
    [(25.0, "2:1"), (25.9, "2:1"), (33.0, "3:2"), (16.9, "3:1"), (5.0, "10:1"), (500.0, "1:10"), (100.0, "1:2")],
)
def test_price_that_a_split_explains_is_doubted(price: float, words: str) -> None:
    assert f"a {words} split" in split_doubt(price, 50.0)


@pytest.mark.parametrize("price", [50.0, 44.0, 40.0, 37.0, 29.0, 60.0])
def test_price_of_an_ordinary_bad_day_is_no_split(price: float) -> None:
    assert split_doubt(price, 50.0) == ""


def test_price_without_a_last_close_is_not_judged() -> None:
    assert split_doubt(25.0, 0.0) == split_doubt(25.0, float("nan")) == ""


def test_age_of_an_exit_counts_sessions_not_days() -> None:
    due = date(2024, 7, 2)
    assert sessions_late(due, date(2024, 7, 1), CALENDAR) == 0
    assert sessions_late(due, due, CALENDAR) == 0
    assert sessions_late(due, DAY, CALENDAR) == 1
    assert sessions_late(due, date(2024, 7, 4), CALENDAR) == 1  # a holiday
    assert sessions_late(due, date(2024, 7, 8), CALENDAR) == 3


def test_row_of_an_exit_says_since_when_how_often_and_why() -> None:
    waiting = WaitingExit("AAA", date(2024, 7, 2), 3, "halted").again("wash trade")
    row = waiting_row(waiting, 10.0, date(2024, 7, 5), CALENDAR)
    assert (row.kind, row.ticker, row.stands) == ("exit_waits", "AAA", True)
    assert row.ours == "10 shares should have left at the open of 2024-07-02, 2 sessions ago"
    assert row.theirs == "tried 4 times: wash trade"
    before = waiting_row(WaitingExit("AAA", date(2024, 7, 2), 1, "halted"), 10.0, date(2024, 7, 1), CALENDAR)
    assert (before.ours, before.theirs) == ("10 shares to leave at the open of 2024-07-02", "tried 1 time: halted")


def test_waiting_exits_survive_as_text() -> None:
    waits = {"AAA": WaitingExit("AAA", DAY, 2, "halted"), "BBB": WaitingExit("BBB", DAY, 1, "pending")}
    assert read_waits(waits_text(waits)) == waits


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (OPENED - timedelta(hours=9), OPENED),
        (OPENED, OPENED + ENTRY_LIFE),
        (OPENED + ENTRY_LIFE, datetime(2024, 7, 5, 13, 30, tzinfo=UTC)),
        (datetime(2024, 7, 4, 15, 0, tzinfo=UTC), datetime(2024, 7, 5, 13, 30, tzinfo=UTC)),
    ],
    ids=["night", "bell", "entries are over", "holiday"],
)
def test_look_is_due_at_the_bell_and_when_entries_are_over(now: datetime, due: datetime) -> None:
    assert next_moment(CALENDAR, now) == due
