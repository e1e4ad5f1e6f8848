"""Who trades a run on a database server: a lease with an epoch that only rises, checked in every transaction.

A lock of a session would end with its connection, unseen: a restart of the server, a pooler or a network that went
silent would let a second engine in while the first one goes on. A lease is a row. Whoever takes it raises the epoch;
each commit of the holder's engine locks the row against a taker and looks whether the epoch is still its own, so one
that was taken over can write nothing any more, and an order whose intent cannot be written is not sent. Time is the
server's, whatever the hosts' clocks say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, event, text

from trading_platform.core.errors import OperatorNeededError

# A live engine beats at every look and at least every minute; a failover of some minutes must not cost it the run.
LEASE_SECONDS = 300
NOW = "timezone('utc', clock_timestamp())"
FIRST = text(f"INSERT INTO leases VALUES (:run, 0, '', {NOW}) ON CONFLICT DO NOTHING")  # noqa: S608 - our own words
LOCKED = text(f"SELECT epoch, owner, until > {NOW} AS runs FROM leases WHERE run_id = :run FOR UPDATE")  # noqa: S608
LOOK = text(f"SELECT epoch, owner, until > {NOW} AS runs FROM leases WHERE run_id = :run")  # noqa: S608
LOOK_AT_ALL = text(f"SELECT run_id, epoch, owner, until > {NOW} AS runs FROM leases")  # noqa: S608
TAKE = text(
    f"UPDATE leases SET epoch = :epoch, owner = :owner, until = {NOW} + :seconds * interval '1 second' "  # noqa: S608
    "WHERE run_id = :run"
)
RENEW = text(
    f"UPDATE leases SET until = {NOW} + :seconds * interval '1 second' "  # noqa: S608
    "WHERE run_id = :run AND owner = :owner AND epoch = :epoch"
)
GIVE_BACK = text(f"UPDATE leases SET until = {NOW} WHERE run_id = :run AND owner = :owner AND epoch = :epoch")  # noqa: S608
FENCE = text("SELECT 1 FROM leases WHERE run_id = :run AND owner = :owner AND epoch = :epoch FOR SHARE")

_held: set[str] = set()  # owners in this process: of one that is not among them nothing is left but its row


class LeaseRow(NamedTuple):
    """What the row says: `runs` is False once its time is over."""

    epoch: int
    owner: str
    runs: bool


@dataclass(slots=True)
class Lease:
    """One engine's hold on a run. `epoch` is 0 while it has none."""

    engine: Engine
    run_id: int
    owner: str
    epoch: int = 0

    def take(self, connection: Connection, found: LeaseRow) -> None:
        """Take the lease that `lock_lease` has found free, in the same transaction."""
        self.epoch = found.epoch + 1
        connection.execute(TAKE, {**self._mine(), "seconds": LEASE_SECONDS})

    def guard(self) -> None:
        """Let nothing be committed through the engine any more unless the lease is still ours."""
        _held.add(self.owner)
        event.listen(self.engine, "commit", self._check)

    def renew(self, connection: Connection) -> None:
        """Prolong the lease.

        Raises
        ------
        OperatorNeededError
            Another engine has taken it.
        """
        if connection.execute(RENEW, {**self._mine(), "seconds": LEASE_SECONDS}).rowcount != 1:
            raise self._lost()

    def give_back(self, connection: Connection) -> None:
        """Let the next one take it at once."""
        connection.execute(GIVE_BACK, self._mine())

    def let_go(self) -> None:
        """Stop checking; the row may stay as it is, where it cannot be written."""
        _held.discard(self.owner)
        if event.contains(self.engine, "commit", self._check):
            event.remove(self.engine, "commit", self._check)

    def _check(self, connection: Connection) -> None:
        if connection.execute(FENCE, self._mine()).first() is None:
            raise self._lost()

    def _mine(self) -> dict[str, Any]:
        return {"run": self.run_id, "owner": self.owner, "epoch": self.epoch}

    def _lost(self) -> OperatorNeededError:
        return OperatorNeededError(
            f"run {self.run_id} was taken over by another engine (lease {self.epoch} is no more); this one stops, "
            "nothing was written or sent"
        )


def lock_lease(connection: Connection, run_id: int) -> LeaseRow:
    """Return the lease of a run, locked until the transaction ends."""
    connection.execute(FIRST, {"run": run_id})
    return LeaseRow(*connection.execute(LOCKED, {"run": run_id}).one())


def find_lease(connection: Connection, run_id: int) -> LeaseRow | None:
    """Return the lease of a run, None if it was never taken."""
    row = connection.execute(LOOK, {"run": run_id}).first()
    return None if row is None else LeaseRow(*row)


def find_leases(connection: Connection) -> dict[int, LeaseRow]:
    """Return the lease of every run that was ever taken."""
    return {int(row[0]): LeaseRow(*row[1:]) for row in connection.execute(LOOK_AT_ALL)}


def is_ours(owner: str) -> bool:
    """Return whether an engine of this very process holds leases as `owner`."""
    return owner in _held
