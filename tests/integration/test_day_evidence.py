"""What the database says of a day's orders beside their money: which entries an operator's halt has withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from alpaca_world import FIRST
from sqlalchemy import Engine, insert
from test_order_journal_database import NOW, approved, new_run

from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import OrderStatus, Side
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.day_evidence import day_evidence
from trading_platform.storage.order_journal import DatabaseJournal

HOUR = timedelta(hours=1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Yield a run with an entry that was decided at NOW and cancelled two hours later."""
    engine = open_database(tmp_path / "d.db")
    migrate(engine)
    new_run(engine)
    journal = DatabaseJournal(engine, 1, lambda: NOW + 2 * HOUR)
    journal.record_intent(approved("tp-a"))
    journal.close("tp-a", OrderStatus.CANCELED, "canceled")
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("kind", "subject", "handled", "is_withdrawn"),
    [
        ("halt", None, NOW + HOUR, True),
        ("flatten", None, NOW + HOUR, True),
        ("halt", None, NOW - HOUR, False),  # said before it was decided
        ("halt", None, NOW + 3 * HOUR, False),  # said when it was over
        ("halt", None, None, False),
        ("flatten", "BBB", NOW + HOUR, False),
        ("flatten", "AAA", NOW + HOUR, True),
        ("pause", "momentum", NOW + HOUR, True),
        ("pause", "breakout", NOW + HOUR, False),
        ("resume", None, NOW + HOUR, False),
    ],
)
def test_an_entry_is_withdrawn_by_a_halt_that_was_obeyed_while_it_waited(
    engine: Engine, kind: str, subject: str | None, handled: datetime | None, is_withdrawn: bool
) -> None:
    row = {"run_id": 1, "requested_at": NOW, "kind": kind, "actor": "ann", "reason": "r", "subject": subject}
    with engine.begin() as connection:
        connection.execute(insert(m.Command).values(**row, handled_at=handled, result=None))
    assert day_evidence(engine, 1, FIRST).withdrawn == (frozenset({"AAA"}) if is_withdrawn else frozenset())


def test_a_ticker_that_was_closed_stays_so_for_its_day_when_the_word_is_taken_back(engine: Engine) -> None:
    """Seen: `flatten DDD`, a day later `resume`, and the sale between them was told as one without a cause."""
    journal = DatabaseJournal(engine, 1, lambda: NOW)
    for name, ticker, reason in (("tp-b", "BBB", OrderReason.FLATTEN), ("tp-c", "CCC", OrderReason.SIGNAL_EXIT)):
        journal.record_intent(approved(name, ticker=ticker, side=Side.SELL, limit_price=None, reason=reason))
    found = day_evidence(engine, 1, FIRST)
    assert [found.is_closed(ticker) for ticker in ("AAA", "BBB", "CCC")] == [False, True, False]
