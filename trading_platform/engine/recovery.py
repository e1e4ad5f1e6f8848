"""Start-up and crash recovery, which are one path: put back what the last commit left."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Protocol

import numpy as np

from trading_platform.brokers.venue import Broker, PendingOrder
from trading_platform.core.ledger import Record
from trading_platform.core.session import Rules
from trading_platform.core.shadow import ShadowBook
from trading_platform.core.simulate import Books
from trading_platform.core.types import Floats, Side
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.storage.repository import Repository


class HaltMemory(Protocol):
    """The part of RiskManager that remembers a drawdown halt."""

    @property
    def books(self) -> Books:
        """The risk book; its shadow rows are the shadow's."""
        ...

    @property
    def account(self) -> Record:
        """The account record."""
        ...

    @property
    def halted(self) -> bool:
        """True during a drawdown halt."""
        ...

    @property
    def halt_session(self) -> str | None:
        """Session of the halt, ISO."""
        ...

    def restore_halt_book(self) -> None:
        """Put the book as it was at the halt into `books`."""
        ...


def restore_broker(broker: Broker, repository: Repository) -> date | None:
    """Continue the broker's book and its waiting orders; return the session they stand at, None when new."""
    saved = repository.load_book()
    if saved is None:
        return None
    waiting = [
        PendingOrder(str(row["client_order_id"]), str(row["ticker"]), Side(row["side"]), float(row["quantity"]))
        for row in repository.open_orders()
    ]
    broker.restore(saved, waiting)
    return saved.session


def rebuild_shadow(
    memory: HaltMemory, shadow: ShadowBook, prepared: EngineMarket, repository: Repository, rules: Rules
) -> None:
    """Recompute the shadow of a halted book from the halt on, with the allocations decided since."""
    if not memory.halted or memory.halt_session is None:
        return
    halt = date.fromisoformat(memory.halt_session)
    account = memory.account.copy()
    memory.restore_halt_book()
    weights = [weights_row(prepared, weights) for _, weights in repository.allocations_from(halt)]
    shadow.rebuild(prepared.market, prepared.signals, prepared.sessions.index(halt), weights, rules)
    memory.books.accounts[0] = account


def held_weights(prepared: EngineMarket, repository: Repository, session: date) -> Floats | None:
    """Return the weights decided at `session`, (K,), which a model sees at the next one; None if there are none."""
    decided = repository.allocations_from(session)
    return weights_row(prepared, decided[0][1]) if decided else None


def weights_row(prepared: EngineMarket, allocation: Mapping[str, float]) -> Floats:
    """Return an allocation in the order of the kernel's strategies, (K,); one that was not there then had nothing."""
    return np.array([allocation.get(name, 0.0) for name in prepared.strategies])
