"""Rows of corporate actions put together: what became of which shares."""

from __future__ import annotations

from typing import Any

import pytest

from trading_platform.brokers.reconciliation.corporate_rows import corporate_actions
from trading_platform.brokers.reconciliation.two_books import (
    CashFlow,
    CashKind,
    Exchange,
    ExchangeKind,
    HalfAction,
    ShareChange,
)


def row(kind: str, name: str, symbol: str, qty: float, cash: float = 0.0, group: str | None = "g") -> dict[str, Any]:
    words = {"description": f"{kind} of OLD", "date": "2024-01-02", "group_id": group}
    return {"activity_type": kind, "id": name, "symbol": symbol, "qty": str(qty), "net_amount": str(cash), **words}


def told(*rows: dict[str, Any]) -> list[object]:
    return list(corporate_actions(rows))


@pytest.mark.parametrize("group", ["g", None])
def test_two_rows_of_a_name_change_are_a_rename(group: str | None) -> None:
    (found,) = told(row("NC", "b", "NEW", 10.0, group=group), row("NC", "a", "OLD", -10.0, group=group))
    assert isinstance(found, Exchange)
    assert (found.kind, found.ticker, found.gone, found.other, found.came) == (
        ExchangeKind.RENAME,
        "OLD",
        10.0,
        "NEW",
        10.0,
    )
    assert found.exchange_id == "a/shares"  # whichever row was entered first


def test_two_renames_of_a_day_without_groups_are_kept_apart() -> None:
    rows = [
        row("NC", "a", "A", -10.0, group=None),
        row("NC", "b", "X", 10.0, group=None),
        row("NC", "c", "B", -4.0, group=None),
        row("NC", "d", "Y", 4.0, group=None),
    ]
    assert [(e.ticker, e.other) for e in told(*rows) if isinstance(e, Exchange)] == [("A", "X"), ("B", "Y")]


def test_change_of_the_number_behind_a_ticker_moves_nothing() -> None:
    assert told(row("NC", "a", "OLD", -10.0), row("NC", "b", "OLD", 10.0)) == []


def test_merger_for_shares_and_money_is_one_exchange() -> None:
    (found,) = told(row("MA", "a", "OLD", -10.0), row("MA", "b", "NEW", 5.0, 20.0))
    assert isinstance(found, Exchange)
    assert (found.kind, found.gone, found.came, found.cash) == (ExchangeKind.MERGER, 10.0, 5.0, 20.0)


@pytest.mark.parametrize(
    "rows",
    [
        [row("MA", "a", "OLD", -10.0, 520.0, None)],
        [row("MA", "b", "OLD", -10.0), row("MA", "a", "OLD", 0.0, 520.0)],
        [row("MA", "b", "OLD", -10.0, group=None), row("MA", "a", "OLD", 10.0, 520.0, None)],
    ],
    ids=["one row", "two rows", "two rows, shares named twice"],
)
def test_merger_for_money_is_a_sale_in_two_halves_of_one_name(rows: list[dict[str, Any]]) -> None:
    flow, change = told(*rows)
    assert isinstance(flow, CashFlow)
    assert isinstance(change, ShareChange)
    assert (flow.flow_id, flow.kind, flow.amount) == ("a", CashKind.OTHER, 520.0)
    assert (change.change_id, change.quantity, change.is_split) == ("a/shares", -10.0, False)


def test_worthless_shares_are_sold_for_nothing() -> None:
    flow, change = told(row("REORG", "a", "OLD", -10.0, 0.0, None))
    assert isinstance(flow, CashFlow)
    assert isinstance(change, ShareChange)
    assert (flow.amount, change.quantity) == (0.0, -10.0)


@pytest.mark.parametrize("half", [row("NC", "a", "OLD", -10.0), row("MA", "a", "NEW", 5.0, 20.0)])
def test_half_of_an_action_waits_for_the_other(half: dict[str, Any]) -> None:
    (found,) = told(half)
    assert isinstance(found, HalfAction)
    assert found.moved == ((half["symbol"], float(half["qty"])),)
    assert found.cash == float(half["net_amount"])


def test_spin_off_names_its_parent_in_words() -> None:
    (found,) = told(row("SPIN", "a", "NEW", 3.0, group=None))
    assert isinstance(found, Exchange)
    assert (found.kind, found.ticker, found.gone, found.came) == (ExchangeKind.SPIN_OFF, "", 0.0, 3.0)
    assert "OLD" in found.named
    assert "NEW" not in found.named
