"""Profiles, and plans with the profiles they rest on."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables of profiles and plans."""
    op.create_table(
        "tonnage_profiles",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("measured", sa.Text),
        sa.Column("machine", sa.Text),
        sa.Column("added", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tonnage_plans",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("created", sa.Text),
        sa.Column("added", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tonnage_plan_profiles",
        sa.Column("plan_id", sa.Text, sa.ForeignKey("tonnage_plans.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("profile_id", sa.Text, primary_key=True),
    )
    op.create_index("tonnage_plan_profiles_by_profile", "tonnage_plan_profiles", ["profile_id"])
