"""Metadata of a plan: its name, when and by which version it was made, and from which inputs."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from specs.base import Metadata


def stamped(name: str, inputs: dict[str, str]) -> Metadata:
    """Return the metadata of a plan made now; ``inputs`` maps names to sha256."""
    try:
        ours = version("tonnage")
    except PackageNotFoundError:
        ours = "unknown"
    return Metadata(
        name=name, created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), tonnage=ours, inputs=inputs
    )  # fmt: skip
