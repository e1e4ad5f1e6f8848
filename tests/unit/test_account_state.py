"""What Alpaca says of the account's own state, and what of it keeps new risk out."""

from __future__ import annotations

import pytest

from trading_platform.alpaca.account_state import account_trouble
from trading_platform.alpaca.answers import parse_account
from trading_platform.brokers.reconciliation.difference_words import cash_words, difference_rows
from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind

FINE: dict[str, object] = {
    "id": "x",
    "status": "ACTIVE",
    "trading_blocked": False,
    "account_blocked": False,
    "transfers_blocked": True,
    "trade_suspended_by_user": False,
    "equity": "100000",
    "cash": "5",
    "maintenance_margin": "0",
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"trading_blocked": True}, "trading_blocked"),
        ({"account_blocked": True}, "account_blocked"),
        ({"trade_suspended_by_user": True}, "trade_suspended_by_user"),
        ({"status": "ACCOUNT_CLOSED"}, "its status is ACCOUNT_CLOSED"),
        ({"status": "active"}, ""),
        ({"maintenance_margin": "100000.01"}, "margin call"),
        ({"maintenance_margin": "100000.00"}, ""),
        ({"maintenance_margin": None}, ""),
        ({"maintenance_margin": "5", "equity": None}, ""),
    ],
)
def test_the_state_of_an_account_is_told_in_words(changed: dict[str, object], words: str) -> None:
    trouble = account_trouble({**FINE, **changed})
    assert (words in trouble) if words else trouble == ""


def test_everything_that_is_wrong_is_named() -> None:
    trouble = account_trouble({**FINE, "trading_blocked": True, "status": "INACTIVE"})
    assert "trading_blocked" in trouble
    assert "INACTIVE" in trouble
    assert parse_account({**FINE, "trading_blocked": True}).trouble


def test_the_words_of_a_margin_call_do_not_move_with_prices() -> None:
    poor = {**FINE, "maintenance_margin": "200000"}
    assert account_trouble(poor) == account_trouble({**poor, "equity": "99000"})


def test_a_blocked_account_takes_no_new_risk_and_is_shown_until_it_is_not() -> None:
    found = [Difference(DifferenceKind.ACCOUNT_STATE, None, "may trade", "trading is blocked (trading_blocked)")]
    assert cash_words(found) == "Alpaca's account: trading is blocked (trading_blocked)"
    (row,) = difference_rows(found, ())
    assert (row.kind, row.action, row.stands) == ("account_state", "no new risk", True)
