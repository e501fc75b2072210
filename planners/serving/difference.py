"""What the plan changes in what runs now."""

from __future__ import annotations

from pathlib import Path

from specs.base import plain
from specs.deployment import Deployment, DeploymentInPlan
from specs.reading import read_document

IGNORED = ("pool", "labels", "profile")


def difference(planned: tuple[DeploymentInPlan, ...], current: Path | None, base: Path) -> list[str]:
    """One sentence per field that the first planned deployment changes in the one at ``current``."""
    if current is None:
        return []
    running = _flat(plain(read_document(current, Deployment).spec))
    wanted = _flat({k: v for k, v in plain(planned[0]).items() if k not in IGNORED})
    changes = [
        f"{field}: {running.get(field, 'unset')} → {value}"
        for field, value in wanted.items()
        if running.get(field) != value
    ]
    if len(planned) > 1:
        changes.append(f"{len(planned) - 1} further deployments are new")
    return [f"against {current.name}: {change}" for change in changes] or [f"against {current.name}: no change"]


def _flat(data: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(data, dict):
        return {prefix.rstrip("."): data}
    found: dict[str, object] = {}
    for key, value in data.items():
        found |= _flat(value, f"{prefix}{key}.")
    return found
