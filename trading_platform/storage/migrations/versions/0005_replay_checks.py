"""Each session of an account at a broker beside the same session in the kernel, with the causes of what differs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "replay_checks",
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("start", sa.Text(), nullable=True),
        sa.Column("live", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("checked_at", sa.DateTime(), nullable=True),
        sa.Column("live_equity", sa.BigInteger(), nullable=True),
        sa.Column("replay_equity", sa.BigInteger(), nullable=True),
        sa.Column("unexplained", sa.BigInteger(), nullable=True),
        sa.Column("causes", sa.Text(), nullable=False),
        sa.Column("items", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_replay_checks_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", "session", name=op.f("pk_replay_checks")),
    )


def downgrade() -> None:
    op.drop_table("replay_checks")
