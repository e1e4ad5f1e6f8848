"""What a fill met: the price that it was decided at, and how much of the ticker is traded in a session."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = ("decision_price", "dollar_volume")


def upgrade() -> None:
    with op.batch_alter_table("fills") as table:
        for name in COLUMNS:
            table.add_column(sa.Column(name, sa.Float(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("fills") as table:
        for name in COLUMNS:
            table.drop_column(name)
