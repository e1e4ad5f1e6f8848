"""No change of a stored envelope, byte by byte or bit by bit, is taken for memory."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.risk_world import desk, holding
from trading_platform.core.ledger import ACCOUNT
from trading_platform.core.risk.memory import (
    RiskMemory,
    RiskMemoryError,
    clock_fault,
    decode,
    encode,
    fill_record,
    record_to_dict,
)
from trading_platform.core.simulate import open_books
from trading_platform.core.types import TradeResult


def memory() -> RiskMemory:
    """Return the memory of an account with a halt, a streak and a reason in it."""
    risk = desk(99_000.0, [holding("T00", 1_000.0)])
    risk.update_state(TradeResult("T00", -1.0, 1_000.0))
    for _ in range(2):
        risk.read_equity(85_000.0, math.nan, date(2024, 6, 3))
    risk.halt("look at it: \u00e4", "ann")
    return risk.memory()


MEMORY = memory()
ENVELOPE = encode(MEMORY).encode()


@given(st.integers(0, len(ENVELOPE) - 1), st.integers(1, 255))
def test_no_flipped_bits_are_taken_for_memory(place: int, mask: int) -> None:
    broken = bytearray(ENVELOPE)
    broken[place] ^= mask
    try:
        found = decode(broken.decode("latin-1"))
    except RiskMemoryError:
        event("refused")
        return
    event("the same memory, spelled differently")
    assert found == MEMORY


def test_no_single_bit_makes_another_memory() -> None:
    for place in range(len(ENVELOPE)):
        for bit in range(8):
            broken = bytearray(ENVELOPE)
            broken[place] ^= 1 << bit
            try:
                assert decode(broken.decode("latin-1")) == MEMORY
            except RiskMemoryError:
                continue


@given(st.integers(0, len(ENVELOPE) - 1))
def test_no_shortened_envelope_is_taken_for_memory(length: int) -> None:
    with pytest.raises(RiskMemoryError):
        decode(ENVELOPE[:length].decode())


@given(st.text())
def test_no_text_is_taken_for_memory(text: str) -> None:
    with pytest.raises(RiskMemoryError):
        decode(text)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FLOATS, min_size=len(ACCOUNT.names or ()), max_size=len(ACCOUNT.names or ())))
def test_every_number_comes_back_to_the_last_bit(values: list[float]) -> None:
    first, second = open_books(1, 1, 1, 1, 1.0).accounts, open_books(1, 1, 1, 1, 1.0).accounts
    for name, value in zip(ACCOUNT.names or (), values, strict=True):
        whole = ACCOUNT.fields is not None and ACCOUNT.fields[name][0].kind == "i"
        first[0][name] = int(value) % 1_000 if whole else value
    fields = {**{f: getattr(MEMORY, f) for f in RiskMemory.__slots__}, "account": record_to_dict(first[0])}
    fill_record(second[0], decode(encode(RiskMemory(**fields))).account)
    assert first.tobytes() == second.tobytes()


@given(st.datetimes(timezones=st.just(UTC)))
def test_memory_of_the_future_is_a_fault_and_of_the_past_is_none(now: datetime) -> None:
    fault = clock_fault(MEMORY, now)
    assert (fault is not None) == (datetime.fromisoformat(MEMORY.saved_at) > now)
