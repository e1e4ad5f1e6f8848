"""The one reading of the kernel's fill log: its fields in their order, and the round trip's result to the cent."""

from __future__ import annotations

from datetime import date

from trading_platform.core.fill_log import PROTECTIVE
from trading_platform.core.ledger import FILL
from trading_platform.core.order_reasons import ORDER_REASONS, OrderReason
from trading_platform.core.round_trips import LoggedFill, round_trip

EXIT = ORDER_REASONS.index(OrderReason.STOP_LOSS)
LAST = LoggedFill(
    day=19_000,
    book=0,
    slot=2,
    ticker=1,
    strategy=0,
    side=-1,
    reason=EXIT,
    quantity=4.0,
    price=9.0,
    amount=36.0,
    fees=0.01,
    commission=0.0,
    spread=0.02,
    slippage=0.03,
    impact=0.04,
    realized=-14.01,
    kind=PROTECTIVE,
    closed=1,
    trade_cost=100.0,
    trade_proceeds=90.0,
    trade_fees=0.02,
    trade_market_costs=0.31,
    trade_dividends=0.5,
    trade_quantity=10.0,
    entry_day=18_990,
)


def test_fields_are_those_of_the_log_in_its_order() -> None:
    assert LoggedFill._fields == FILL.names


def test_a_round_trip_counts_fees_and_dividends() -> None:
    trade = round_trip(LAST, ("A", "B"), ("momentum",), date(2022, 1, 8))
    assert trade is not None
    assert (trade.ticker, trade.strategy, trade.reason) == ("B", "momentum", OrderReason.STOP_LOSS)
    assert (trade.pnl, trade.exit_price, trade.quantity) == (-9.52, 9.0, 10.0)
    assert trade.entry_session == date(2021, 12, 29)
    assert (trade.fees, trade.dividends, trade.market_costs) == (0.02, 0.5, 0.31)  # the last is in the prices paid


def test_a_partial_sale_ends_nothing() -> None:
    assert round_trip(LAST._replace(closed=0), ("A", "B"), ("momentum",), date(2022, 1, 8)) is None
