"""What a command speaks of, names and notes of runs, and which process on which start of a machine holds one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("name", sa.String(length=64), nullable=True))
    op.add_column("runs", sa.Column("tag", sa.String(length=64), nullable=True))
    op.add_column("runs", sa.Column("note", sa.Text(), nullable=True))
    op.add_column("commands", sa.Column("subject", sa.String(length=64), nullable=True))
    op.add_column("heartbeats", sa.Column("boot", sa.String(length=64), nullable=True))
    op.add_column("heartbeats", sa.Column("process_start", sa.String(length=64), nullable=True))


def downgrade() -> None:
    for table, column in (
        ("heartbeats", "process_start"),
        ("heartbeats", "boot"),
        ("commands", "subject"),
        ("runs", "note"),
        ("runs", "tag"),
        ("runs", "name"),
    ):
        with op.batch_alter_table(table) as batch:
            batch.drop_column(column)
