"""A restored database is an older copy: what its engine sent since is written down again before the first look.

Else the account would hold shares that nobody knows: they would pass for the owner's, and lose their stops. Only
`restore` leaves word of it; orders of our form that appear otherwise are those of a second engine.
"""

from __future__ import annotations

import functools
import logging
from datetime import date

from sqlalchemy import Engine

from trading_platform.alpaca.orders import root_id
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.brokers.reconciliation.adoption import lost_orders
from trading_platform.core.intents import read_order_id
from trading_platform.core.ports import JournalOrder
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.runtime.position_owner import owner_of
from trading_platform.storage.adopted_orders import write_adopted
from trading_platform.storage.operator_requests import note_taken_up, restored_at
from trading_platform.storage.order_journal import DatabaseJournal

log = logging.getLogger("trading_platform.runtime.restored")


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
    owners = functools.cache(functools.partial(owner_of, prepared))
    rows = lost_orders(
        reader,
        prefix,
        lambda ticker, decided: owners(ticker, decided).strategy,
        lambda key: journal.find_order(key) is not None,
        until,
    )
    write_adopted(
        database, run_id, [(row, _session(row)) for row in rows if journal.find_order(row.client_order_id) is None]
    )
    roots = sorted({root_id(row.client_order_id) for row in rows})
    names = ", ".join(roots[:3]) + (f" and {len(roots) - 3} more" if len(roots) > 3 else "")
    words = f"{len(roots)} orders sent after the copy was taken are taken up{': ' if roots else ''}{names}"
    note_taken_up(database, run_id, words)
    log.warning("the database was restored: %s", words)


def _session(row: JournalOrder) -> date:
    name = read_order_id(root_id(row.client_order_id))
    return row.decided_at.date() if name is None else name.session
