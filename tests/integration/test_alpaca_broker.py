"""The broker against the local server: every fault leads to the right end state, and never to a second order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest
from alpaca_world import KEY, SECRET, MemoryJournal, World, fills_since, flat, make_server, make_world, market, utc

from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.records import Whim
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.alpaca_server.validation import Asset
from trading_platform.configuration.environment import Secret
from trading_platform.core.errors import ApprovalError, BrokerUnreachableError, FixCredentialsError
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import JournalOrder
from trading_platform.core.types import OrderStatus, Side

ORDERS = "/v2/orders"
ENTRY: dict[str, Any] = {"limit_price": 101.0, "stop_price": 95.0, "target_price": 111.0}
SINCE = utc("2024-01-01")


@pytest.fixture
def world() -> Iterator[World]:
    panel = market({"AAA": flat(100.0, 12), "BBB": flat(50.0, 12)})
    with make_server(panel, assets=[Asset("BBB", fractionable=False)]) as server:
        yield make_world(server)


def fault(kind: FaultKind, **fields: object) -> Fault:
    return Fault(kind, **{"method": "POST", "path": ORDERS, **fields})  # type: ignore[arg-type]


# ------------------------------------------------------------ the plain life of an order


def test_entry_goes_out_as_a_bracket_after_its_intent_is_written(world: World) -> None:
    order = world.place(**ENTRY)
    assert order.status is OrderStatus.SUBMITTED
    (sent, target, stop) = world.server.exchange.orders.values()
    assert (sent.order_class, sent.time_in_force, sent.limit_price) == ("bracket", "day", 101.0)
    assert (target.limit_price, stop.stop_price) == (111.0, 95.0)
    rows = world.memory.rows
    assert rows[order.client_order_id].broker_order_id == sent.id
    assert rows[order.client_order_id + "-stop"].broker_order_id == stop.id
    assert world.memory.approvals[order.client_order_id + "-target"] == "approval-0"
    assert world.register.spent == ["approval-0"]


def test_intent_is_written_before_anything_is_sent(world: World) -> None:
    seen = []

    def look(step: str) -> None:
        row = world.memory.rows.get("tp-x")
        seen.append((step, None if row is None else row.status.value, len(world.server.exchange.orders)))

    world.restart(look)
    world.place(key="tp-x")
    assert seen == [
        ("before_intent", None, 0),
        ("after_intent", "intent", 0),
        ("before_post", "intent", 0),
        ("after_post", "intent", 1),
        ("after_response", "intent", 1),
        ("after_commit", "submitted", 1),
    ]


def test_nothing_leaves_without_a_valid_approval(world: World) -> None:
    order = world.approve()
    with pytest.raises(ApprovalError):
        world.broker.place_order(order._replace(intent=order.intent._replace(quantity=99.0)))
    assert (world.memory.rows, world.server.requests) == ({}, [])
    good = world.approve()
    world.broker.place_order(good)
    with pytest.raises(ApprovalError):
        world.broker.place_order(good)
    assert len(world.server.exchange.orders) == 1


def test_order_with_a_foreign_id_is_refused_before_its_approval_is_spent(world: World) -> None:
    with pytest.raises(ApprovalError, match="not ours to touch"):
        world.place(key="someone-1")
    assert (world.register.spent, world.memory.rows, world.server.requests) == ([], {}, [])


def test_fills_come_with_strategy_reason_and_identifier(world: World) -> None:
    world.place(**ENTRY)
    world.server.advance_to_open()
    (fill,) = fills_since(world.broker, SINCE)
    assert (fill.strategy, fill.reason, fill.quantity, fill.price, fill.amount) == (
        "momentum",
        OrderReason.ENTRY,
        10.0,
        100.0,
        1000.0,
    )
    assert fill.session == date(2024, 1, 3)
    assert "::" in fill.fill_id
    assert fills_since(world.broker, world.server.now) == []


def test_fill_of_a_leg_names_leg_and_reason() -> None:
    bars = [*flat(100.0, 2), (100.0, 100.0, 90.0, 92.0), *flat(92.0, 3)]
    with make_server(market({"AAA": bars})) as server:
        world = make_world(server)
        server.advance_to_close()
        entry = world.place(**ENTRY)
        server.advance_to_close()
        bought, sold = fills_since(world.broker, SINCE)
        assert (bought.client_order_id, sold.client_order_id) == (
            entry.client_order_id,
            entry.client_order_id + "-stop",
        )
        assert (sold.reason, sold.side, sold.price, sold.strategy) == (
            OrderReason.STOP_LOSS,
            Side.SELL,
            95.0,
            "momentum",
        )
        assert fills_since(world.broker, SINCE) == [bought, sold]  # also when the leg is closed in the journal


def test_exit_takes_the_resting_stop_off_first(world: World) -> None:
    world.place(**ENTRY)
    world.server.advance_to_open()
    order = world.place(side=Side.SELL)
    assert order.status is OrderStatus.FILLED
    assert world.server.account.positions == {}
    statuses = {row.client_order_id.rpartition("-")[2]: row.status for row in world.memory.rows.values()}
    assert (statuses["stop"], statuses["target"]) == (OrderStatus.CANCELED, OrderStatus.CANCELED)


def test_exit_waits_no_longer_for_shares_that_are_not_released(world: World) -> None:
    world.place(**ENTRY)
    world.server.advance_to_open()
    world.server.faults.add(fault(FaultKind.STATUS_BEFORE, method="DELETE", path=ORDERS, times=None))
    order = world.place(side=Side.SELL)
    assert (order.status, order.message) == (OrderStatus.REJECTED, "not sent: a resting order still holds the shares")
    assert world.counts("POST", ORDERS) == 1


def test_protection_goes_out_as_gtc_oco_and_is_seen_as_target_and_stop(world: World) -> None:
    world.place(**ENTRY)
    world.server.advance_to_close()
    world.broker.sync()
    order = world.place(side=Side.SELL, stop_price=95.0, target_price=111.0, reason=OrderReason.STOP_LOSS)
    sent = world.server.exchange.find_client(order.client_order_id)
    assert (sent.order_class, sent.time_in_force) == ("oco", "gtc")
    assert order.reason is OrderReason.TAKE_PROFIT
    assert [leg.reason for leg in order.legs] == [OrderReason.STOP_LOSS]


@pytest.mark.parametrize(("quantity", "rests"), [(10.0, True), (2.5, False)])
def test_fractional_positions_are_watched_by_the_engine(world: World, quantity: float, rests: bool) -> None:
    order = world.place(quantity=quantity, **ENTRY)
    assert bool(order.legs) is rests
    assert order.status is OrderStatus.SUBMITTED


def test_what_alpaca_cannot_take_is_rejected_without_being_sent(world: World) -> None:
    world.broker.assets(["AAA", "BBB"])
    order = world.place(ticker="BBB", quantity=1.5)
    assert (order.status, "not fractionable" in order.message) == (OrderStatus.REJECTED, True)
    assert world.counts("POST", ORDERS) == 0
    assert world.memory.rows[order.client_order_id].status is OrderStatus.REJECTED


def test_assets_tell_what_may_be_traded(world: World) -> None:
    flags = world.broker.assets(["AAA", "BBB", "ZZZ"])
    assert {t: (f.tradable, f.fractionable) for t, f in flags.items()} == {
        "AAA": (True, True),
        "BBB": (True, False),
        "ZZZ": (False, False),
    }
    assert len(world.server.requests) == 1


def test_cancelling_is_ours_alone(world: World) -> None:
    foreign = world.server.trade_by_hand("AAA", "buy", 1.0)
    order = world.place(limit_price=1.0)
    with pytest.raises(ApprovalError, match="not ours to touch"):
        world.broker.cancel_order(foreign.client_order_id)
    world.broker.cancel_order(order.client_order_id)
    world.broker.cancel_order(order.client_order_id)  # a no-op by now
    world.broker.cancel_order("tp-never-heard-of")
    assert (foreign.status, world.memory.rows[order.client_order_id].status) == ("accepted", OrderStatus.CANCELED)


def test_cancellation_survives_a_passing_fault(world: World) -> None:
    order = world.place(limit_price=1.0)
    world.server.faults.add(fault(FaultKind.DROP_AFTER, method="DELETE", path=ORDERS))
    world.broker.cancel_order(order.client_order_id)
    assert world.memory.rows[order.client_order_id].status is OrderStatus.CANCELED


def test_cancellation_that_nobody_answers_is_said_so(world: World) -> None:
    order = world.place(limit_price=1.0)
    world.server.faults.add(fault(FaultKind.STATUS_BEFORE, method="DELETE", path=ORDERS, times=None))
    with pytest.raises(BrokerUnreachableError, match="may still be open"):
        world.broker.cancel_order(order.client_order_id)


def test_open_orders_include_foreign_ones(world: World) -> None:
    world.server.trade_by_hand("AAA", "buy", 1.0)
    own = world.place(ticker="BBB")
    assert [o.client_order_id.startswith("tp-") for o in world.broker.open_orders()] == [True, False]
    assert world.broker.find_order(own.client_order_id) == own
    assert world.broker.find_order("tp-unknown") is None
    assert world.broker.find_order(own.client_order_id + "-stop") is None


def test_account_clock_calendar_and_equity_are_read(world: World) -> None:
    world.place()
    world.server.advance_to_close()
    account = world.broker.account()
    assert (account.equity, account.cash, account.is_blocked) == (100_000.0, 99_000.0, False)
    clock = world.broker.reader.exchange_clock()
    assert (clock.timestamp, clock.is_open, clock.next_open) == (world.server.now, False, world.server.market.opens[2])
    assert world.broker.reader.sessions(date(2024, 1, 1), date(2024, 1, 3)) == [
        (date(2024, 1, 2), "09:30", "16:00"),
        (date(2024, 1, 3), "09:30", "16:00"),
    ]
    world.server.advance_to_dawn()
    world.server.move_cash(500.0)
    world.server.advance_to_close()
    assert [(p.equity, p.cash_flow) for p in world.broker.reader.equity_history(SINCE)] == [
        (1e5, 0.0),
        (100_500.0, 500.0),
    ]


# ------------------------------------------------------------ what may go wrong with a POST

REACHED = [  # the order is there, and we did not hear of it
    fault(FaultKind.STATUS_AFTER, status=504),
    fault(FaultKind.STATUS_AFTER, status=500),
    fault(FaultKind.STATUS_AFTER, status=429),
    fault(FaultKind.DROP_AFTER),
    fault(FaultKind.GARBAGE_AFTER),
    fault(FaultKind.EMPTY_AFTER),
    fault(FaultKind.LATENCY, seconds=0.7),
]
NOT_REACHED = [  # the order is not there, and we do not know that either
    fault(FaultKind.STATUS_BEFORE, status=500),
    fault(FaultKind.STATUS_BEFORE, status=502),
    fault(FaultKind.STATUS_BEFORE, status=504),
    fault(FaultKind.STATUS_BEFORE, status=429),
    fault(FaultKind.HTML),
    fault(FaultKind.DROP_BEFORE),
    fault(FaultKind.HANG, seconds=1.0),
]


def label(struck: Fault) -> str:
    return f"{struck.kind}-{struck.status}"


@pytest.mark.parametrize("struck", [*REACHED, *NOT_REACHED], ids=label)
@pytest.mark.parametrize("form", ["simple", "bracket"])
def test_passing_fault_ends_in_one_order(world: World, struck: Fault, form: str) -> None:
    world.server.faults.add(replace(struck, struck=0))
    order = world.place(**(ENTRY if form == "bracket" else {}))
    assert order.status is OrderStatus.SUBMITTED
    roots = [o for o in world.server.exchange.orders.values() if o.parent is None]
    assert [o.client_order_id for o in roots] == [order.client_order_id]
    assert len(order.legs) == (2 if form == "bracket" else 0)
    assert world.memory.rows[order.client_order_id].broker_order_id == roots[0].id
    assert world.counts("POST", ORDERS) == (1 if struck in REACHED else 2)


@pytest.mark.parametrize("struck", [*REACHED[:6], *NOT_REACHED], ids=label)
def test_lasting_fault_ends_uncertain_and_is_settled_later(world: World, struck: Fault) -> None:
    """Nobody answers at all: neither the POST nor the question what became of it."""
    world.server.faults.add(replace(struck, struck=0, times=None, method=None))
    order = world.place()
    assert order.status is OrderStatus.UNCERTAIN
    assert world.memory.rows[order.client_order_id].status is OrderStatus.UNCERTAIN
    world.server.faults.clear()
    reached = len(world.server.exchange.orders)
    assert reached == (1 if struck in REACHED else 0)
    found, missing = world.broker.sync()
    assert [o.client_order_id for o in found] == [order.client_order_id] * reached
    assert missing == frozenset([order.client_order_id] * (1 - reached))
    expected = OrderStatus.SUBMITTED if reached else OrderStatus.UNCERTAIN  # `reconcile` closes what never arrived
    assert world.memory.rows[order.client_order_id].status is expected


def test_order_that_is_refused_for_ever_is_sent_three_times_under_one_id(world: World) -> None:
    world.server.faults.add(fault(FaultKind.STATUS_BEFORE, status=503, times=None))
    assert world.place().status is OrderStatus.UNCERTAIN
    assert world.counts("POST", ORDERS) == 3
    assert world.server.exchange.orders == {}


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, 40310000, "insufficient buying power"),
        (422, 42210000, "asset AAA is not tradable"),
        (400, 40010000, "request body format is invalid"),
        (404, 40410000, "no such endpoint"),
    ],
)
def test_definitive_refusal_is_a_rejection_and_not_repeated(world: World, status: int, code: int, message: str) -> None:
    world.server.faults.add(fault(FaultKind.STATUS_BEFORE, status=status, code=code, message=message))
    order = world.place()
    assert (order.status, message in order.message) == (OrderStatus.REJECTED, True)
    assert message in world.memory.messages[order.client_order_id]
    assert [(r.method, r.status) for r in world.server.requests] == [("POST", status)]


def test_real_refusal_of_the_server_is_a_rejection(world: World) -> None:
    order = world.place(quantity=1e6)
    assert (order.status, "insufficient buying power" in order.message) == (OrderStatus.REJECTED, True)


def test_revoked_keys_stop_everything_with_one_message(world: World) -> None:
    world.server.faults.add(
        fault(FaultKind.STATUS_BEFORE, status=401, code=40110000, message="request is not authorized")
    )
    with pytest.raises(FixCredentialsError, match="replace ALPACA_API_KEY") as refused:
        world.place(key="tp-x")
    assert world.memory.rows["tp-x"].status is OrderStatus.REJECTED
    assert KEY not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_duplicate_id_of_the_same_order_is_already_there(world: World) -> None:
    """A restart decides the same again and sends it under the same id."""
    first = world.place(key="tp-x", limit_price=50.0)
    world.memory.rows.clear()
    again = world.place(key="tp-x", limit_price=50.0)
    assert (again.status, again.broker_order_id) == (OrderStatus.SUBMITTED, first.broker_order_id)
    assert len(world.server.exchange.orders) == 1


def test_duplicate_id_of_another_order_is_a_rejection(world: World) -> None:
    world.place(key="tp-x", quantity=1.0)
    world.memory.rows.clear()
    other = world.place(key="tp-x", quantity=2.0)
    assert (other.status, "taken by another order (buy 1 AAA)" in other.message) == (OrderStatus.REJECTED, True)


def test_expired_approval_is_not_sent_again(world: World) -> None:
    struck = fault(FaultKind.STATUS_BEFORE, status=503, times=None)
    world.server.faults.add(struck)
    order = world.approve(key="tp-x")
    late = order._replace(expires_at=world.server.now - timedelta(seconds=1))
    world.register.issued[late.approval_id] = late
    assert world.broker.place_order(late).status is OrderStatus.REJECTED
    assert world.counts("POST", ORDERS) == 0


@pytest.mark.parametrize(
    ("kind", "expected", "filled"),
    [
        ("reject", OrderStatus.REJECTED, 0.0),
        ("cancel", OrderStatus.CANCELED, 0.0),
        ("partial", OrderStatus.PARTIALLY_FILLED, 5.0),
    ],
)
def test_what_the_venue_does_afterwards_is_found_by_sync(
    world: World, kind: str, expected: OrderStatus, filled: float
) -> None:
    world.server.exchange.whims.append(Whim(kind, times=1))
    order = world.place(**ENTRY)
    assert order.status is OrderStatus.SUBMITTED
    world.server.advance_to_open()
    world.broker.sync()
    row = world.memory.rows[order.client_order_id]
    assert (row.status, row.filled_quantity) == (expected, filled)
    assert sum(fill.quantity for fill in fills_since(world.broker, SINCE)) == filled


def test_sync_writes_news_only(world: World) -> None:
    world.place(**ENTRY)
    before = dict(world.memory.rows)
    world.broker.sync()
    assert world.memory.rows == before
    world.server.advance_to_open()
    world.broker.sync()
    changed = {key for key in before if world.memory.rows[key] != before[key]}
    assert changed == {"tp-20240103-AAA-buy-entry-0"}


# ------------------------------------------------------------ killed at every step


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the broker runs after it."""


STEPS = ["before_intent", "after_intent", "before_post", "after_post", "after_response", "after_commit"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("struck", [None, fault(FaultKind.STATUS_AFTER, status=504), fault(FaultKind.DROP_BEFORE)])
def test_killed_at_a_step_then_restarted_knows_its_orders(world: World, step: str, struck: Fault | None) -> None:
    def kill(reached: str) -> None:
        if reached == step:
            raise Killed

    if struck is not None:
        world.server.faults.add(replace(struck, struck=0))
    world.restart(kill)
    with pytest.raises(Killed):
        world.place(key="tp-x", **ENTRY)
    world.server.advance_to_open()
    world.restart()
    found, missing = world.broker.sync()
    roots = [o for o in world.server.exchange.orders.values() if o.parent is None]
    known = {row.client_order_id: row for row in world.memory.rows.values()}
    assert len(roots) <= 1
    for order in roots:  # every order at the broker has its approval here, and its fill is found
        assert known["tp-x"].broker_order_id == order.id
        assert world.memory.approvals["tp-x"]
        assert known["tp-x"].status is OrderStatus.FILLED
        assert known["tp-x-stop"].broker_order_id == order.legs[1].id
        assert [fill.quantity for fill in fills_since(world.broker, SINCE)] == [10.0]
        assert [o.client_order_id for o in found] == ["tp-x"]
    if not roots and known:
        assert missing == {"tp-x"}
        assert fills_since(world.broker, SINCE) == []
    assert (known == {}) == (step == "before_intent")


def test_fill_of_a_leg_is_found_even_if_its_group_was_never_written_down() -> None:
    """Killed between POST and commit; entry and stop both fill before the restart."""

    def kill(reached: str) -> None:
        if reached == "after_post":
            raise Killed

    bars = [*flat(100.0, 1), (100.0, 100.0, 90.0, 92.0), *flat(92.0, 3)]
    with make_server(market({"AAA": bars})) as server:
        world = make_world(server)
        world.restart(kill)
        with pytest.raises(Killed):
            world.place(key="tp-x", **ENTRY)
        server.advance_to_close()
        world.restart()
        theirs = world.broker.book_since(SINCE)  # reads only
        assert [fill.client_order_id for fill in theirs.history.fills] == ["tp-x", "tp-x-stop"]
        assert (theirs.history.foreign, len(world.memory.rows)) == ((), 1)
        fills = fills_since(world.broker, SINCE)
        assert [(fill.client_order_id, fill.reason) for fill in fills] == [
            ("tp-x", OrderReason.ENTRY),
            ("tp-x-stop", OrderReason.STOP_LOSS),
        ]


# ------------------------------------------------------------ reading the other side's book


def test_book_is_read_with_orders_positions_and_history(world: World) -> None:
    world.place(**ENTRY)
    world.server.advance_to_open()
    world.server.trade_by_hand("BBB", "buy", 3.0)
    world.server.move_cash(1_000.0)
    theirs = world.broker.book_since(SINCE)
    assert theirs.cash == 100_000.0 - 1_000.0 - 150.0 + 1_000.0
    assert {ticker: p.quantity for ticker, p in theirs.positions.items()} == {"AAA": 10.0, "BBB": 3.0}
    assert [(o.client_order_id, len(o.legs)) for o in theirs.orders] == [("tp-20240103-AAA-buy-entry-0", 2)]
    assert [f.ticker for f in theirs.history.fills] == ["AAA"]
    assert [f.ticker for f in theirs.history.foreign] == ["BBB"]
    assert [c.amount for c in theirs.history.cash] == [1_000.0]


def test_history_of_many_pages_is_read_once_each(world: World) -> None:
    for n in range(205):
        world.server.move_cash(float(n + 1))
    history = world.broker.history_since(SINCE)
    assert [flow.amount for flow in history.cash] == [float(n + 1) for n in range(205)]
    assert world.counts("GET", "/v2/account/activities") == 3


@dataclass(slots=True)
class RestlessJournal(MemoryJournal):
    """A journal during whose every reading the account changes."""

    server: AlpacaServer | None = None

    def open_orders(self) -> list[JournalOrder]:
        assert self.server is not None
        self.server.move_cash(1.0)
        return super(RestlessJournal, self).open_orders()


def test_account_that_never_stands_still_is_not_believed(world: World) -> None:
    world.journal = RestlessJournal(server=world.server)
    world.restart()
    with pytest.raises(BrokerUnreachableError, match="changes with every look"):
        world.broker.book_since(SINCE)


def test_wrong_keys_are_named_by_every_read(world: World) -> None:
    world.http.access = replace(world.http.access, secret_key=Secret("nonsense"))
    for read in (
        world.broker.account,
        world.broker.positions,
        world.broker.reader.exchange_clock,
        world.broker.open_orders,
    ):
        with pytest.raises(FixCredentialsError):
            read()


def test_approvals_are_spent_once_whatever_happened(world: World) -> None:
    for kind in (FaultKind.DROP_AFTER, FaultKind.DROP_BEFORE, FaultKind.HTML):
        world.server.faults.add(fault(kind))
        world.place(key=f"tp-{kind}")
    assert world.register.spent == ["approval-0", "approval-1", "approval-2"]
    assert [o.client_order_id for o in world.server.exchange.orders.values()] == [
        "tp-drop_after",
        "tp-drop_before",
        "tp-html",
    ]
