"""The exit code of each outcome that a plan can have."""

from __future__ import annotations

INFEASIBLE = 3
MISSING = 4
OUTCOME_CODES = {"optimal": 0, "feasible": 0, "infeasible": INFEASIBLE, "abstained": MISSING}
