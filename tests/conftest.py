"""Fixtures that every room's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.reference import reference_folder


@pytest.fixture(scope="session")
def reference_data() -> Callable[[str], Path]:
    """Return a function from a name to the path of that reference file; skips the test where it is absent."""

    def path_of(name: str) -> Path:
        path = reference_folder() / name
        if not path.exists():
            pytest.skip(f"reference data {name} is not at {path}; set TONNAGE_REFERENCE_DATA")
        return path

    return path_of
