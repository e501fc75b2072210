"""The decision table: which method fits an infrastructure, an architecture and an objective."""

from __future__ import annotations

from functools import cache

import yaml

from specs.base import Spec
from specs.catalog import CATALOG


class MethodEntry(Spec):
    """One row: the axes of the survey (arXiv 2507.17128; classes ours), the command for it, and the paper behind it."""

    infrastructure: str
    architecture: str
    objective: str
    method: str
    model: str
    command: str
    paper: str


@cache
def method_table() -> tuple[MethodEntry, ...]:
    """Every row of the catalogue."""
    rows = yaml.safe_load((CATALOG / "methods.yaml").read_text(encoding="utf-8"))
    return tuple(MethodEntry.model_validate(row) for row in rows)
