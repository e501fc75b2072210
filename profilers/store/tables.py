"""The tables of a store: profiles, plans, which plan rests on which profile, and samples."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, MetaData, Table, Text

VERSION_TABLE = "tonnage_schema"
SCHEMAS = ("0001", "0002")
"""Every revision of the schema, oldest first; the last one is the schema of these tables."""

METADATA = MetaData()

# `number` orders by arrival, because clocks step back. `document` is JSON; `id` is the sha256 of its canonical form.
PROFILES = Table(
    "tonnage_profiles",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("measured", Text),
    Column("machine", Text),
    Column("added", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("document", Text, nullable=False),
    sqlite_autoincrement=True,
)

PLANS = Table(
    "tonnage_plans",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("created", Text),
    Column("added", Text, nullable=False),
    Column("document", Text, nullable=False),
    sqlite_autoincrement=True,
)

# A plan may rest on a profile that is in another store, so `profile_id` refers to nothing here.
PLAN_PROFILES = Table(
    "tonnage_plan_profiles",
    METADATA,
    Column("plan_id", Text, ForeignKey("tonnage_plans.id", ondelete="CASCADE"), primary_key=True),
    Column("profile_id", Text, primary_key=True),
    Index("tonnage_plan_profiles_by_profile", "profile_id"),
)

SAMPLES = Table(
    "tonnage_samples",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("series", Text, nullable=False),
    Column("at_s", Double, nullable=False),
    Column("figures", Text, nullable=False),
    Index("tonnage_samples_by_series", "series", "number"),
    sqlite_autoincrement=True,
)
