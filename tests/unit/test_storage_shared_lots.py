"""Which lots are stored: those of positions that are not all the first owner's, with values that add up."""

from __future__ import annotations

import numpy as np

from trading_platform.core.ledger import LOT, SLOT
from trading_platform.storage.closes import shared_lots


def slot_with(owners: dict[int, float], first: int, price: float = 33.333) -> tuple[np.ndarray, np.ndarray]:
    """One slot whose lots hold `owners`' shares; 0 shares are an owner that is only buying yet."""
    slots, lots = np.zeros(1, dtype=SLOT), np.zeros((1, 3), dtype=LOT)
    shares = sum(owners.values())
    slots[0]["ticker"], slots[0]["strategy"], slots[0]["price"] = 4, first, price
    slots[0]["quantity"], slots[0]["value"] = shares, round(shares * price, 2)
    slots[0]["owners"] = sum(1 << k for k in owners)
    for k, quantity in owners.items():
        lots[0, k]["quantity"] = quantity
    return slots, lots


def test_shared_position_is_stored_as_lots_whose_values_add_up() -> None:
    slots, lots = slot_with({0: 7.0, 2: 11.0}, first=2)
    found = shared_lots(slots, lots)
    assert found["k"].tolist() == [0, 2]
    assert round(float(found["value"].sum()), 2) == slots[0]["value"]


def test_position_of_one_owner_is_not_stored_twice() -> None:
    assert len(shared_lots(*slot_with({1: 7.0}, first=1))) == 0


def test_owner_that_is_only_buying_does_not_take_anothers_shares() -> None:
    found = shared_lots(*slot_with({0: 7.0, 2: 0.0}, first=2))
    assert found["k"].tolist() == [0]
    assert len(shared_lots(*slot_with({0: 7.0, 2: 0.0}, first=0))) == 0


def test_slot_without_shares_has_no_lots() -> None:
    assert len(shared_lots(*slot_with({0: 0.0, 2: 0.0}, first=2))) == 0
