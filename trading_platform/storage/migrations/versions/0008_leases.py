"""Leases with an epoch, for runs on a database server; there, text as long as it comes and seeds of any size."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_leases_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_leases")),
    )
    if op.get_bind().dialect.name == "postgresql":
        # SQLite never looked at these lengths: an account with a long name must not end an engine elsewhere
        for table, columns in _strings().items():
            for name in columns:
                op.alter_column(table, name, type_=sa.Text())
        op.alter_column("runs", "seed", type_=sa.BigInteger())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("runs", "seed", type_=sa.Integer())
    op.drop_table("leases")


def _strings() -> dict[str, list[str]]:
    looked = sa.inspect(op.get_bind())
    return {
        table: [
            column["name"]
            for column in looked.get_columns(table)
            if isinstance(column["type"], sa.String) and not isinstance(column["type"], sa.Text)
        ]
        for table in looked.get_table_names()
        if table != "alembic_version"
    }
