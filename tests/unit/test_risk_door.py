"""The door: orders that reduce always pass, entries need a live approval of this very manager, spent once."""

from __future__ import annotations

import math
from datetime import date

import pytest

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.risk_world import (
    STOCKS,
    Stock,
    StoryClock,
    StoryStore,
    buy,
    code_of,
    desk,
    holding,
    sell,
    story_view,
)
from trading_platform.core.errors import ApprovalError
from trading_platform.core.intents import order_id
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.simulate import open_books
from trading_platform.core.types import ApprovedOrder, Denial, Holding, Portfolio, Side

NAN = math.nan
DAY = date(2024, 6, 3)
BOOK = (holding("T00", 4_000.0), holding("T01", 2_000.0))


def approved(risk: RiskManager, attempt: int = 0, quantity: float = 10.0, ticker: str = "T00") -> ApprovedOrder:
    order = risk.approve(buy(ticker, quantity), attempt)
    assert isinstance(order, ApprovedOrder), order
    return order


def denied(risk: RiskManager, quantity: float = 10.0, ticker: str = "T00") -> Denial:
    denial = risk.approve(buy(ticker, quantity))
    assert isinstance(denial, Denial), denial
    return denial


# ---------------------------------------------------------------- reduce-only


def operator_halt(risk: RiskManager) -> None:
    risk.halt("stop", "ann")


def drawdown_halt(risk: RiskManager) -> None:
    risk.read_equity(89_000.0, NAN, DAY)
    risk.read_equity(89_000.0, NAN, DAY)
    assert risk.halted


def unknown_equity(risk: RiskManager) -> None:
    risk.read_equity(NAN, NAN, DAY)


def no_market_for_it(risk: RiskManager) -> None:
    risk.show_market(story_view({"Z": Stock()}))


def no_vix(risk: RiskManager) -> None:
    risk.show_market(story_view(STOCKS, NAN))


def unreconciled(risk: RiskManager) -> None:
    risk.quarantine({"T00": "a fill that is not ours"}, "cash differs by $5.00")


STATES = [operator_halt, drawdown_halt, unknown_equity, no_market_for_it, no_vix, unreconciled]
NEW_RISK = ["MANUAL_HALT", "DRAWDOWN_HALT", "EQUITY_UNKNOWN", "PRICE_UNKNOWN", "VIX_UNKNOWN", "RECONCILIATION"]


@pytest.mark.parametrize(("break_it", "code"), list(zip(STATES, NEW_RISK, strict=True)))
def test_sells_up_to_the_shares_held_pass_in_every_state(break_it: object, code: str) -> None:
    risk = desk(94_000.0, BOOK)
    break_it(risk)  # type: ignore[operator] # one of STATES
    assert code_of(risk.validate_order("T00", "buy", 1.0, 100.0)) == code
    assert risk.validate_order("T00", "sell", 40.0, NAN) == (True, "OK")
    assert risk.validate_order("T00", "sell", 0.5, 0.0) == (True, "OK")
    assert code_of(risk.validate_order("T00", "sell", 41.0, 100.0)) == "SHORT_NOT_ALLOWED"
    order = risk.approve(sell("T00", 40.0))
    assert isinstance(order, ApprovedOrder)
    risk.consume(order)


def test_a_portfolio_shown_before_any_market_can_be_sold() -> None:
    risk = RiskManager()
    risk.show_portfolio(Portfolio(94_000.0, BOOK))
    assert risk.validate_order("T00", "sell", 40.0, NAN) == (True, "OK")
    assert code_of(risk.validate_order("T00", "buy", 1.0, 100.0)) == "VIX_UNKNOWN"
    risk.show_market(story_view(STOCKS))
    assert risk.validate_order("T00", "buy", 1.0, 100.0) == (True, "OK")
    assert code_of(risk.validate_order("T00", "buy", 11.0, 100.0)) == "POSITION_LIMIT"


def test_a_holding_outside_the_market_can_be_sold_and_keeps_new_risk_out() -> None:
    risk = desk(94_000.0, (*BOOK, Holding("ZZZ", 5.0, 100.0)))
    assert risk.can_trade() == (False, "PRICE_UNKNOWN: ZZZ is held but not in the market shown; add it")
    assert risk.validate_order("ZZZ", "sell", 5.0, NAN) == (True, "OK")
    assert code_of(risk.validate_order("ZZZ", "sell", 6.0, NAN)) == "SHORT_NOT_ALLOWED"
    assert risk.get_risk_report()["positions_count"] == 3


def test_positions_follow_their_tickers_when_the_market_changes_columns() -> None:
    risk = desk(94_000.0, BOOK)
    fewer = {"T00": STOCKS["T00"], "T05": STOCKS["T05"]}
    risk.show_market(story_view(fewer))
    assert code_of(risk.can_trade()) == "PRICE_UNKNOWN"
    assert risk.validate_order("T01", "sell", 20.0, NAN) == (True, "OK")
    more = {"A00": STOCKS["T09"], **STOCKS}
    risk.show_market(story_view(more))
    assert risk.can_trade() == (True, "OK")
    held = {row["ticker"]: row["quantity"] for row in risk.get_risk_report()["positions"]}
    assert held == {"T00": 40.0, "T01": 20.0}
    assert code_of(risk.validate_order("T01", "buy", 31.0, 100.0)) == "POSITION_LIMIT"


def test_shares_already_being_sold_cannot_be_sold_again() -> None:
    risk = desk(94_000.0, BOOK)
    first = risk.approve(sell("T00", 30.0))
    assert isinstance(first, ApprovedOrder)
    assert code_of(risk.validate_order("T00", "sell", 11.0, NAN)) == "SHORT_NOT_ALLOWED"
    assert risk.validate_order("T00", "sell", 10.0, NAN) == (True, "OK")
    risk.consume(first)
    assert code_of(risk.validate_order("T00", "sell", 11.0, NAN)) == "SHORT_NOT_ALLOWED"
    risk.show_portfolio(Portfolio(97_000.0, (holding("T00", 1_000.0),)))  # filled
    assert risk.validate_order("T00", "sell", 10.0, NAN) == (True, "OK")
    risk.show_portfolio(Portfolio(97_000.0, (holding("T00", 1_000.0, selling=4.0),)))  # another one is working
    assert code_of(risk.validate_order("T00", "sell", 7.0, NAN)) == "SHORT_NOT_ALLOWED"
    assert risk.validate_order("T00", "sell", 6.0, NAN) == (True, "OK")


def test_a_new_session_frees_the_shares_of_orders_that_expired() -> None:
    risk = desk(94_000.0, BOOK)
    order = risk.approve(sell("T00", 40.0))
    assert isinstance(order, ApprovedOrder)
    risk.consume(order)
    risk.start_session(DAY)
    assert risk.validate_order("T00", "sell", 40.0, NAN) == (True, "OK")


def test_an_approved_sell_that_was_never_sent_frees_its_shares_when_approved_again() -> None:
    risk = desk(94_000.0, BOOK)
    assert isinstance(risk.approve(sell("T00", 40.0)), ApprovedOrder)
    again = risk.approve(sell("T00", 40.0))
    assert isinstance(again, ApprovedOrder)
    risk.consume(again)


def test_a_short_counts_its_size_and_can_be_bought_back_in_every_state() -> None:
    risk = desk(106_000.0, (Holding("T00", -40.0, 100.0), holding("T01", 2_000.0)))
    assert risk.get_risk_report()["exposure_pct"] == pytest.approx(100.0 * 6_000.0 / 104_000.0)
    operator_halt(risk)
    assert risk.validate_order("T00", "buy", 40.0, NAN) == (True, "OK")
    assert code_of(risk.validate_order("T00", "buy", 41.0, 100.0)) == "MANUAL_HALT"
    assert code_of(risk.validate_order("T00", "sell", 1.0, 100.0)) == "SHORT_NOT_ALLOWED"
    order = risk.approve(buy("T00", 40.0, None))
    assert isinstance(order, ApprovedOrder)
    assert order.checked == ("reduce-only",)


def test_shorts_go_through_every_rule_where_they_are_allowed() -> None:
    risk = desk(config=RiskConfig(allow_short=True))
    assert risk.validate_order("T00", "sell", 50.0, 100.0) == (True, "OK")
    assert code_of(risk.validate_order("T00", "sell", 51.0, 100.0)) == "POSITION_LIMIT"
    operator_halt(risk)
    assert code_of(risk.validate_order("T00", "sell", 50.0, 100.0)) == "MANUAL_HALT"


def test_mirror_takes_a_brokers_book() -> None:
    risk = desk()
    books = open_books(1, 10, 2, 12, 50_000.0)
    slot = books.slots[0][3]
    slot["ticker"], slot["quantity"], slot["price"], slot["value"] = 5, 7.0, 100.0, 700.0
    risk.mirror(books.accounts[0], books.slots[0], books.lots[0], books.stopped[0])
    assert risk.account["cash"] == 50_000.0
    assert risk.account["accepted_equity"] == 100_000.0  # readings are not the broker's business
    assert risk.validate_order("T05", "sell", 7.0, NAN) == (True, "OK")
    assert code_of(risk.validate_order("T05", "sell", 8.0, NAN)) == "SHORT_NOT_ALLOWED"


def test_mirror_before_a_market_is_a_mistake() -> None:
    books = open_books(1, 10, 2, 12, 50_000.0)
    with pytest.raises(ValueError, match="show_market"):
        RiskManager().mirror(books.accounts[0], books.slots[0], books.lots[0], books.stopped[0])


# ---------------------------------------------------------------- approvals


def test_an_approval_carries_what_was_checked() -> None:
    clock = StoryClock()
    risk = desk(clock=clock, config=RiskConfig(approval_seconds=60.0))
    order = approved(risk)
    assert order.client_order_id == "tp-20240603-T00-buy-entry-0"
    assert order.config_fingerprint == risk.config.fingerprint
    assert order.approved_at == clock.now()
    assert (order.expires_at - order.approved_at).total_seconds() == 60.0
    assert "POSITION_LIMIT" in order.checked
    assert len(order.checked) == len(DenialCode) - 1
    assert len(order.approval_id) == 16
    sold = desk(94_000.0, BOOK).approve(sell("T00", 1.0))
    assert isinstance(sold, ApprovedOrder)
    assert sold.checked == ("reduce-only",)


def test_client_order_ids_tell_decisions_and_attempts_apart() -> None:
    ids = {
        order_id(intent, attempt)
        for intent in (buy("T00"), buy("T01"), sell("T00"), buy("T00")._replace(decided_session=date(2024, 6, 4)))
        for attempt in (0, 1)
    }
    assert len(ids) == 8
    assert order_id(buy("T00", 10.0)) == order_id(buy("T00", 11.0))  # the same decision, whatever its size came to


def test_an_approval_is_spent_once() -> None:
    risk = desk()
    order = approved(risk)
    risk.consume(order)
    with pytest.raises(ApprovalError, match="spent"):
        risk.consume(order)


def test_a_forged_approval_is_refused_and_leaves_the_real_one() -> None:
    risk = desk()
    order = approved(risk)
    forged = order._replace(intent=order.intent._replace(quantity=1_000.0))
    copied = order._replace()
    for fake in (forged, copied, order._replace(client_order_id="tp-x")):
        with pytest.raises(ApprovalError, match="forged"):
            risk.consume(fake)
    risk.consume(order)


def test_an_approval_cannot_be_altered_in_place() -> None:
    order = approved(desk())
    for part, name in ((order, "expires_at"), (order, "intent"), (order.intent, "quantity")):
        for write in (setattr, object.__setattr__):
            with pytest.raises(AttributeError):
                write(part, name, None)


def test_an_approval_lasts_to_its_last_instant() -> None:
    clock = StoryClock()
    risk = desk(clock=clock, config=RiskConfig(approval_seconds=60.0))
    first, second = approved(risk), approved(risk, ticker="T01")
    clock.forward(seconds=60.0)
    risk.consume(first)
    clock.forward(microseconds=1.0)
    with pytest.raises(ApprovalError, match="void"):
        risk.consume(second)


def test_an_approval_of_the_future_is_void() -> None:
    clock = StoryClock()
    risk = desk(clock=clock)
    order = approved(risk)
    clock.forward(seconds=-1.0)
    with pytest.raises(ApprovalError, match="void"):
        risk.consume(order)


def test_another_manager_takes_nothing() -> None:
    clock = StoryClock()
    with pytest.raises(ApprovalError, match="forged"):
        desk(clock=clock).consume(approved(desk(clock=clock)))


def test_nothing_approved_survives_a_restart() -> None:
    store = StoryStore()
    risk = desk(store=store)
    order = approved(risk)
    risk.save()
    with pytest.raises(ApprovalError, match="forged"):
        desk(store=store).consume(order)


def test_nothing_approved_survives_its_session() -> None:
    risk = desk()
    order = approved(risk)
    risk.start_session(DAY)
    with pytest.raises(ApprovalError, match="spent"):
        risk.consume(order)


@pytest.mark.parametrize("break_it", [operator_halt, drawdown_halt, unknown_equity, no_vix, unreconciled])
def test_a_halt_since_the_approval_voids_it(break_it: object) -> None:
    risk = desk()
    order = approved(risk)
    break_it(risk)  # type: ignore[operator] # one of STATES
    with pytest.raises(ApprovalError, match="since it was approved"):
        risk.consume(order)


def test_approving_an_unsent_order_again_replaces_the_first_approval() -> None:
    risk = desk()
    first = approved(risk, quantity=30.0)
    second = approved(risk, quantity=40.0)  # would break the cap of 50 shares if the first still counted
    with pytest.raises(ApprovalError):
        risk.consume(first)
    risk.consume(second)


def test_an_order_that_was_sent_is_not_approved_again_but_as_another_attempt() -> None:
    risk = desk()
    risk.consume(approved(risk))
    denial = denied(risk)
    assert denial.code is DenialCode.INVALID_ORDER
    assert "sent already" in denial.message
    assert isinstance(risk.approve(buy(), 1), ApprovedOrder)


def test_approved_entries_count_until_the_book_is_shown() -> None:
    risk = desk()
    first = approved(risk, quantity=30.0)
    assert code_of(risk.validate_order("T00", "buy", 21.0, 100.0)) == "POSITION_LIMIT"
    assert risk.validate_order("T00", "buy", 20.0, 100.0) == (True, "OK")
    risk.consume(first)
    assert code_of(risk.validate_order("T00", "buy", 21.0, 100.0)) == "POSITION_LIMIT"
    risk.show_portfolio(Portfolio(100_000.0))  # the broker says that nothing is pending
    assert risk.validate_order("T00", "buy", 50.0, 100.0) == (True, "OK")


def test_approved_entries_that_were_not_sent_count_in_a_book_shown_since() -> None:
    clock = StoryClock()
    risk = desk(clock=clock)
    approved(risk, quantity=30.0)
    for _ in range(2):
        risk.show_portfolio(Portfolio(100_000.0))
        assert code_of(risk.validate_order("T00", "buy", 21.0, 100.0)) == "POSITION_LIMIT"
    clock.forward(days=2)
    risk.show_portfolio(Portfolio(100_000.0))
    assert risk.validate_order("T00", "buy", 50.0, 100.0) == (True, "OK")


def test_ten_approvals_fill_the_book() -> None:
    risk = desk()
    for i in range(10):
        approved(risk, ticker=f"T{i:02d}", quantity=1.0)
    assert denied(risk, 1.0, "T10").code is DenialCode.MAX_POSITIONS


def test_two_approvals_for_one_ticker_count_at_both_their_prices() -> None:
    risk = desk(config=RiskConfig(price_collar_pct=100.0))
    assert isinstance(risk.approve(buy("T00", 10.0, 100.0)), ApprovedOrder)
    assert isinstance(risk.approve(buy("T00", 10.0, 200.0), 1), ApprovedOrder)
    report = risk.get_risk_report()
    assert report["positions"] == [
        {"ticker": "T00", "quantity": 0.0, "pending": 20.0, "price": 100.0, "value": 3_000.0, "pct": 3.0}
    ]


def test_a_denial_is_a_value_with_numbers_and_the_largest_order_that_passes() -> None:
    denial = denied(desk(), 51.0)
    assert denial == Denial(
        DenialCode.POSITION_LIMIT, "T00", 0.051, 0.05, "POSITION_LIMIT: T00 position 5.10% > 5.00% of equity", 50.0
    )
    short = desk(94_000.0, BOOK).approve(sell("T00", 41.0))
    assert isinstance(short, Denial)
    assert (short.code, short.observed, short.limit, short.largest_quantity) == ("SHORT_NOT_ALLOWED", 41.0, 40.0, 40.0)
    assert short.message == "SHORT_NOT_ALLOWED: T00 sell 41 > 40 shares held and not yet being sold"


def test_an_entry_without_a_worst_price_is_refused() -> None:
    denial = desk().approve(buy("T00", 10.0, None))
    assert isinstance(denial, Denial)
    assert denial.code is DenialCode.INVALID_ORDER


def test_quarantine_keeps_new_risk_out_of_its_ticker_only() -> None:
    risk = desk()
    risk.quarantine({"T00": "asset is not tradable"})
    assert risk.validate_order("T00", "buy", 1.0, 100.0) == (False, "TICKER_QUARANTINED: T00 asset is not tradable")
    assert risk.calculate_position_size("T00", 1.0, 1e5) == 0.0
    assert risk.explain("T00", "buy", 1.0, 100.0).largest_quantity == 0.0
    assert risk.validate_order("T01", "buy", 1.0, 100.0) == (True, "OK")
    risk.quarantine({})
    assert risk.validate_order("T00", "buy", 1.0, 100.0) == (True, "OK")


def test_sides_may_be_words() -> None:
    assert desk().validate_order("T00", Side.BUY, 1.0, 100.0) == desk().validate_order("T00", "buy", 1.0, 100.0)


def test_entry_approved_in_a_ticker_that_leaves_the_market_keeps_new_risk_out() -> None:
    risk = desk()
    order = approved(risk)
    others = {ticker: stock for ticker, stock in STOCKS.items() if ticker != "T00"}
    risk.show_market(story_view(others))
    risk.show_portfolio(Portfolio(100_000.0))
    assert risk.can_trade()[1].startswith("PRICE_UNKNOWN: T00 was approved")
    assert denied(risk, ticker="T01").code == DenialCode.PRICE_UNKNOWN
    risk.show_market(story_view(STOCKS))
    risk.show_portfolio(Portfolio(100_000.0))
    assert risk.can_trade() == (True, "OK")
    risk.consume(order)
