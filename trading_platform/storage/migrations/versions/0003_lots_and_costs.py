"""Strategies' parts of positions and orders, interest, every cost by its cause, and why money is not invested."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RUN_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COSTS = ("spread", "slippage", "impact")


def _cents(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def upgrade() -> None:
    with op.batch_alter_table("orders") as table:
        table.add_column(sa.Column("parts", sa.Text(), nullable=True))
    with op.batch_alter_table("fills") as table:
        for name in COSTS:
            table.add_column(_cents(name))
    with op.batch_alter_table("trades") as table:
        table.add_column(_cents("market_costs"))
    with op.batch_alter_table("equity") as table:
        for name in ("interest", "commission", *COSTS):
            table.add_column(_cents(name))
        table.add_column(sa.Column("cash_rate", sa.Float(), nullable=True))
        for name in ("no_signal", "slots", "caps", "size", "halts"):
            table.add_column(sa.Column(f"unused_{name}", sa.BigInteger(), nullable=True))
    op.create_table(
        "lots",
        sa.Column("run_id", RUN_ID, nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("ticker", sa.String(length=64), nullable=False),
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.Float(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("stop_price", sa.Float(), nullable=True),
        sa.Column("target_price", sa.Float(), nullable=True),
        sa.Column("dividends", sa.BigInteger(), nullable=False),
        sa.Column("entry_session", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_lots_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", "session", "ticker", "strategy", name=op.f("pk_lots")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("lots")
    with op.batch_alter_table("equity") as table:
        for name in ("no_signal", "slots", "caps", "size", "halts"):
            table.drop_column(f"unused_{name}")
        for name in ("cash_rate", "interest", "commission", *COSTS):
            table.drop_column(name)
    with op.batch_alter_table("trades") as table:
        table.drop_column("market_costs")
    with op.batch_alter_table("fills") as table:
        for name in COSTS:
            table.drop_column(name)
    with op.batch_alter_table("orders") as table:
        table.drop_column("parts")
