"""The collar on the eve of an ex-date: an entry in tomorrow's prices is judged as what was decided in today's."""

from __future__ import annotations

import pytest

from tests.risk_world import buy, desk
from trading_platform.core.errors import ApprovalError
from trading_platform.core.types import ApprovedOrder, Denial, OrderIntent


def after(quantity: float, limit: float) -> OrderIntent:
    """Return an entry of the eve as it is after the ex-date; today's price is 100 dollars."""
    return buy(quantity=quantity, limit=limit)


@pytest.mark.parametrize(("quantity", "limit"), [(10.0, 70.0), (20.0, 50.0), (2.5, 400.0)])
def test_entry_in_prices_after_an_ex_date_is_judged_in_those_before_it(quantity: float, limit: float) -> None:
    sent = after(quantity, limit)
    verdict = desk().approve(sent, decided=buy(quantity=10.0, limit=100.0))
    assert isinstance(verdict, ApprovedOrder)
    assert verdict.intent == sent


@pytest.mark.parametrize("limit", [70.0, 400.0])
def test_entry_far_from_the_market_without_an_ex_date_is_refused(limit: float) -> None:
    verdict = desk().approve(after(10.0, limit))
    assert isinstance(verdict, Denial)
    assert verdict.code == "PRICE_OFF_MARKET"


def test_entry_that_was_decided_off_the_market_is_refused_after_an_ex_date_too() -> None:
    verdict = desk().approve(after(10.0, 91.0), decided=buy(quantity=10.0, limit=130.0))
    assert isinstance(verdict, Denial)
    assert verdict.code == "PRICE_OFF_MARKET"


@pytest.mark.parametrize(
    ("sent", "decided"),
    [(after(20.0, 70.0), buy(quantity=10.0)), (buy("T01", 10.0, 70.0), buy(quantity=10.0))],
    ids=["costs more", "another ticker"],
)
def test_order_that_is_more_than_what_was_decided_is_no_form_of_it(sent: OrderIntent, decided: OrderIntent) -> None:
    with pytest.raises(ApprovalError, match="which was decided"):
        desk().approve(sent, decided=decided)
