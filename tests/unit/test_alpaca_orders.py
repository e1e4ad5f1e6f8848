"""What an intent becomes on Alpaca's wire, and what an answer means to us."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from trading_platform.alpaca.orders import (
    STATUSES,
    OrderFormError,
    is_whole,
    order_form,
    parse_instant,
    parse_order,
    root_id,
    tick,
    to_request,
)
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import OrderIntent, OrderStatus, Side


def intent(side: Side = Side.BUY, quantity: float = 10.0, **prices: float | None) -> OrderIntent:
    return OrderIntent(
        ticker="AAA",
        side=side,
        quantity=quantity,
        limit_price=prices.get("limit"),
        stop_price=prices.get("stop"),
        target_price=prices.get("target"),
        strategy="momentum",
        reason=OrderReason.ENTRY,
        strength=1.0,
        decided_session=date(2024, 1, 2),
    )


FORMS = [
    # intent                                                      class      type      tif    rests
    (intent(limit=101.0, stop=95.0, target=111.0), ("bracket", "limit", "day", True)),
    (intent(limit=101.0, stop=95.0), ("oto", "limit", "day", True)),
    (intent(limit=101.0, target=111.0), ("oto", "limit", "day", False)),
    (intent(limit=101.0), ("simple", "limit", "day", False)),
    (intent(), ("simple", "market", "day", False)),
    (intent(quantity=1.5, limit=101.0, stop=95.0, target=111.0), ("simple", "limit", "day", False)),
    (intent(stop=95.0, target=111.0), ("bracket", "market", "day", True)),
    (intent(limit=101.0, stop=100.995), ("simple", "limit", "day", False)),  # rounds to 101.00: not a cent below
    (intent(limit=101.0, stop=95.0, target=101.001), ("oto", "limit", "day", True)),
    (intent(Side.SELL), ("simple", "market", "day", False)),
    (intent(Side.SELL, quantity=0.25), ("simple", "market", "day", False)),
    (intent(Side.SELL, limit=99.0), ("simple", "limit", "day", False)),
    (intent(Side.SELL, stop=95.0, target=111.0), ("oco", "limit", "gtc", True)),
    (intent(Side.SELL, stop=95.0), ("simple", "stop", "gtc", True)),
    (intent(Side.SELL, target=111.0), ("simple", "limit", "gtc", False)),
]


@pytest.mark.parametrize(("wish", "expected"), FORMS)
def test_order_form_follows_the_table(wish: OrderIntent, expected: tuple[str, str, str, bool]) -> None:
    form = order_form(wish)
    assert (
        form.order_class,
        form.type,
        form.time_in_force,
        form.stop_leg is not None or form.type == "stop",
    ) == expected
    to_request(form, "tp-1")  # alpaca-py's own model agrees


@pytest.mark.parametrize(
    ("wish", "fractionable", "words"),
    [
        (intent(quantity=0.0), True, "quantity 0.0 is not a positive number"),
        (intent(quantity=float("nan")), True, "not a positive number"),
        (intent(quantity=float("inf")), True, "not a positive number"),
        (intent(quantity=-1.0), True, "not a positive number"),
        (intent(quantity=1e-12), True, "less than Alpaca's smallest"),
        (intent(quantity=1.5), False, "not fractionable"),
        (intent(limit=0.0), True, "price 0.0 is not a positive number"),
        (intent(limit=float("nan")), True, "not a positive number"),
        (intent(limit=0.00001), True, "smallest tick"),
        (intent(Side.SELL, quantity=1.5, stop=95.0), True, "no stops of fractional positions"),
        (intent(Side.SELL, stop=111.0, target=111.0), True, "stop 111.00 is not below target 111.00"),
    ],
)
def test_order_form_refuses_what_alpaca_cannot_take(wish: OrderIntent, fractionable: bool, words: str) -> None:
    with pytest.raises(OrderFormError, match=words):
        order_form(wish, fractionable)


@pytest.mark.parametrize(
    ("price", "rounding", "expected"),
    [
        (101.239, ROUND_FLOOR, "101.23"),
        (101.231, ROUND_CEILING, "101.24"),
        (101.34000000000001, ROUND_CEILING, "101.34"),
        (101.33999999999999, ROUND_FLOOR, "101.34"),
        (1.0, ROUND_FLOOR, "1.00"),
        (0.99999, ROUND_FLOOR, "0.9999"),
        (0.12341, ROUND_CEILING, "0.1235"),
    ],
)
def test_tick_rounds_to_what_alpaca_accepts(price: float, rounding: str, expected: str) -> None:
    assert tick(price, rounding) == Decimal(expected)


@given(st.floats(0.0002, 1e5), st.sampled_from([Side.BUY, Side.SELL]))
def test_limit_never_worse_than_approved(price: float, side: Side) -> None:
    limit = order_form(intent(side, limit=price)).limit_price
    assert limit is not None
    event(f"{side} {'below' if price < 1 else 'above'} a dollar, {'exact' if float(limit) == price else 'rounded'}")
    worse = float(limit) - price if side is Side.BUY else price - float(limit)
    assert worse <= 1e-9
    assert -worse <= (0.01 if price >= 1 else 0.0001)
    assert limit == limit.quantize(Decimal("0.01") if limit >= 1 else Decimal("0.0001"))


@given(st.floats(2e-9, 1e6))
def test_quantity_never_exceeds_the_approved(quantity: float) -> None:
    sent = order_form(intent(quantity=quantity)).quantity
    assert float(sent) <= quantity + 1e-9
    assert sent == sent.quantize(Decimal("1e-9"))


def test_float_noise_of_a_whole_number_is_whole() -> None:
    assert [is_whole(q) for q in (1.0, 3.0000000001, 0.5, 1.5, float("nan"))] == [True, True, *[False] * 3]


def test_client_order_id_must_fit() -> None:
    with pytest.raises(OrderFormError, match="129 characters"):
        to_request(order_form(intent()), "x" * 129)
    with pytest.raises(OrderFormError, match="0 characters"):
        to_request(order_form(intent()), "")


def raw(**fields: Any) -> dict[str, Any]:
    plain = {
        "id": "5a",
        "client_order_id": "tp-1",
        "symbol": "AAA",
        "side": "buy",
        "type": "limit",
        "qty": "10",
        "filled_qty": "0",
        "filled_avg_price": None,
        "status": "new",
        "limit_price": "101",
        "stop_price": None,
        "submitted_at": "2024-01-02T14:30:00.123456789Z",
        "order_class": "simple",
        "legs": None,
        "time_in_force": "day",
    }
    return {**plain, **fields}


@pytest.mark.parametrize(
    ("word", "filled", "expected"),
    [
        ("new", "0", OrderStatus.SUBMITTED),
        ("new", "3", OrderStatus.PARTIALLY_FILLED),
        ("pending_cancel", "3", OrderStatus.PARTIALLY_FILLED),
        ("held", "0", OrderStatus.SUBMITTED),
        ("partially_filled", "3", OrderStatus.PARTIALLY_FILLED),
        ("filled", "10", OrderStatus.FILLED),
        ("canceled", "3", OrderStatus.CANCELED),
        ("replaced", "0", OrderStatus.CANCELED),
        ("expired", "0", OrderStatus.EXPIRED),
        ("rejected", "0", OrderStatus.REJECTED),
        ("done_for_day", "0", OrderStatus.EXPIRED),
        ("a word of next year", "0", OrderStatus.UNCERTAIN),
    ],
)
def test_status_words_are_understood(word: str, filled: str, expected: OrderStatus) -> None:
    assert parse_order(raw(status=word, filled_qty=filled)).status is expected


def test_done_for_day_ends_a_day_order_only() -> None:
    assert parse_order(raw(status="done_for_day", time_in_force="gtc")).status is OrderStatus.SUBMITTED


def test_every_status_of_alpaca_py_is_known() -> None:
    from alpaca.trading.enums import OrderStatus as Theirs

    assert {status.value for status in Theirs} == set(STATUSES)


def test_legs_are_named_after_their_parent() -> None:
    legs = [
        raw(id="l1", client_order_id="random-1", side="sell", type="limit", status="new"),
        raw(id="l2", client_order_id="random-2", side="sell", type="stop", status="replaced"),
        raw(id="l3", client_order_id="random-3", side="sell", type="stop", status="held", stop_price="94.5"),
    ]
    order = parse_order(raw(order_class="bracket", legs=legs))
    assert order.reason is OrderReason.NONE
    assert [(leg.client_order_id, leg.broker_order_id, leg.parent_id, leg.reason) for leg in order.legs] == [
        ("tp-1-target", "l1", "tp-1", OrderReason.TAKE_PROFIT),
        ("tp-1-stop", "l3", "tp-1", OrderReason.STOP_LOSS),
    ]
    assert [root_id(leg.client_order_id) for leg in order.legs] == ["tp-1", "tp-1"]


def test_first_half_of_an_oco_is_the_target() -> None:
    assert parse_order(raw(order_class="oco", side="sell")).reason is OrderReason.TAKE_PROFIT
    assert parse_order(raw(type="stop", side="sell")).reason is OrderReason.STOP_LOSS


def test_order_in_dollars_counts_what_is_filled() -> None:
    assert parse_order(raw(qty=None, notional="100", filled_qty="0.5")).quantity == 0.5


@pytest.mark.parametrize(
    "broken", [{"qty": "ten"}, {"qty": "NaN"}, {"side": "hold"}, {"type": "whim"}, {"id": None, "status": None}]
)
def test_unreadable_order_is_an_error(broken: dict[str, Any]) -> None:
    fields = raw(**broken)
    if broken.get("id", "") is None:
        del fields["id"]
    with pytest.raises((ValueError, KeyError)):
        parse_order(fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02T14:30:00.123456789Z", datetime(2024, 1, 2, 14, 30, 0, 123456, tzinfo=UTC)),
        ("2024-01-02T09:30:00.5-05:00", datetime(2024, 1, 2, 14, 30, 0, 500000, tzinfo=UTC)),
        ("2024-01-02T14:30:00Z", datetime(2024, 1, 2, 14, 30, tzinfo=UTC)),
        (None, None),
        ("", None),
    ],
)
def test_instants_keep_microseconds(text: str | None, expected: datetime | None) -> None:
    assert parse_instant(text) == expected


def test_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        parse_instant("2024-01-02T14:30:00")
