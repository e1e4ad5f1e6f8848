"""Alembic's entry point. The connection comes from `database.upgrade`, or a database file from the command line.

A new version: change models.py, then write the next migration against a scratch database of the last one,
``alembic -c trading_platform/storage/migrations/alembic.ini -x db=scratch.db upgrade head`` before the change and
``... -x db=scratch.db revision --autogenerate --rev-id 0002 -m "what changed"`` after it,
and add the revision to schema.REVISIONS.
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, TypeDecorator

from trading_platform.storage.database import open_database
from trading_platform.storage.models import Base


def _plain_type(kind: str, thing: Any, _: Any) -> str | Literal[False]:
    """Write our column types as what they are in the database: a migration must not change when the code does."""
    if kind == "type" and isinstance(thing, TypeDecorator):
        return f"sa.{thing.impl_instance!r}"
    return False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=_plain_type
    )
    with context.begin_transaction():
        context.run_migrations()


_connection = context.config.attributes.get("connection")
if _connection is not None:
    _run(_connection)
else:
    with open_database(context.get_x_argument(as_dictionary=True)["db"]).begin() as _own:
        _run(_own)
