"""Samples of GPUs and other series."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of samples."""
    op.create_table(
        "tonnage_samples",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("series", sa.Text, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("tonnage_samples_by_series", "tonnage_samples", ["series", "number"])
