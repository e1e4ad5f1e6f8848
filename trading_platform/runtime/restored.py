"""A restored database is an older copy: what its engine sent since is written down again before the first look.

Else the account would hold shares that nobody knows: they would pass for the owner's, and lose their stops. `restore`
leaves word of it; a copy put back by hand is found out by the mark beside the database (`storage.order_mark`). Orders
of our form that appear otherwise are those of a second engine.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import date, datetime

from sqlalchemy import Engine

from trading_platform.alpaca.orders import root_id
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.brokers.bare_stops import is_bare_stop
from trading_platform.brokers.reconciliation.adoption import lost_orders
from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.intents import read_order_id
from trading_platform.core.ports import JournalOrder
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.runtime.position_owner import owner_of
from trading_platform.storage.adopted_orders import write_adopted
from trading_platform.storage.operator_requests import note_older_copy, note_taken_up, restored_at
from trading_platform.storage.order_journal import DatabaseJournal

log = logging.getLogger("trading_platform.runtime.restored")


def notice_older_copy(
    database: Engine, run_id: int, journal: DatabaseJournal, reader: AlpacaReader, prefix: str, now: datetime
) -> None:
    """Find out whether the database is an older copy that was put back without `restore`, and leave that word for it.

    Beside the database stands the id of the newest order that it wrote down: one that lacks this order is a copy. Where
    nothing stands, as on another machine, only the account can tell: an order of our form that is younger than all that
    is written down is of a copy's own engine or of another one, and that is for a human to say.

    Raises
    ------
    OperatorNeededError
        The second; the message has the cure of both.
    BrokerUnreachableError
        Alpaca does not tell its orders; the next start tries again.
    """
    newest = journal.newest_order()
    if newest is None or not journal.mark.is_kept:
        return
    marked = journal.mark.read()
    if marked is None:
        if restored_at(database, run_id) is None:
            _refuse_younger(journal, reader, prefix, newest.decided_at)
        journal.mark.put(newest.client_order_id)
    elif journal.find_order(marked) is None:
        log.warning("the database is an older copy: it lacks order %s, which it once wrote down", marked)
        note_older_copy(database, run_id, f"put back by hand: lacks {marked}", now)


def _refuse_younger(journal: DatabaseJournal, reader: AlpacaReader, prefix: str, since: datetime) -> None:
    unknown = [
        order.client_order_id
        for order in reader.own_orders(prefix)
        if read_order_id(order.client_order_id) is not None
        and order.submitted_at is not None
        and order.submitted_at > since
        and journal.find_order(order.client_order_id) is None
        and journal.find_order(root_id(order.client_order_id)) is None
    ]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise OperatorNeededError(
            f"the account has orders of this engine ({unknown[0]}{more}) younger than all that this database knows: is "
            "it a copy, put it in its place by `restore FILE`, which takes them up; does another engine trade the "
            "account, stop that one first"
        )


def take_up_lost_orders(
    database: Engine, run_id: int, journal: DatabaseJournal, reader: AlpacaReader, prepared: EngineMarket, prefix: str
) -> None:
    """Write down what a restored run lacks; nothing where no copy was put back since the last start.

    Raises
    ------
    BrokerUnreachableError
        Alpaca does not tell its orders; the next start tries again.
    """
    until = restored_at(database, run_id)
    if until is None:
        return
    rows = _write_down(
        database, run_id, journal, reader, prepared, prefix, lambda key: journal.find_order(key) is not None, until
    )
    roots = sorted({root_id(row.client_order_id) for row in rows})
    names = ", ".join(roots[:3]) + (f" and {len(roots) - 3} more" if len(roots) > 3 else "")
    words = f"{len(roots)} orders sent after the copy was taken are taken up{': ' if roots else ''}{names}"
    note_taken_up(database, run_id, words)
    if (newest := journal.newest_order()) is not None:
        journal.mark.put(newest.client_order_id)
    log.warning("the database was restored: %s", words)


def take_up_bare_stops(
    database: Engine,
    run_id: int,
    journal: DatabaseJournal,
    reader: AlpacaReader,
    prepared: EngineMarket,
    prefix: str,
    now: datetime,
) -> None:
    """Write down the stops that left while no database could be written (`brokers.bare_stops`).

    Raises
    ------
    BrokerUnreachableError
        Alpaca does not tell its orders; the next start tries again.
    """

    def is_known(key: str) -> bool:
        return not is_bare_stop(key) or journal.find_order(key) is not None

    rows = _write_down(database, run_id, journal, reader, prepared, prefix, is_known, now)
    if rows:
        log.warning("written down now: %s", ", ".join(row.client_order_id for row in rows))


def _write_down(
    database: Engine,
    run_id: int,
    journal: DatabaseJournal,
    reader: AlpacaReader,
    prepared: EngineMarket,
    prefix: str,
    is_known: Callable[[str], bool],
    until: datetime,
) -> list[JournalOrder]:
    owners = functools.cache(functools.partial(owner_of, prepared))
    rows = lost_orders(reader, prefix, lambda ticker, decided: owners(ticker, decided).strategy, is_known, until)
    write_adopted(
        database, run_id, [(row, _session(row)) for row in rows if journal.find_order(row.client_order_id) is None]
    )
    return rows


def _session(row: JournalOrder) -> date:
    name = read_order_id(root_id(row.client_order_id))
    return row.decided_at.date() if name is None else name.session
