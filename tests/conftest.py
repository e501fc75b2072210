"""Fixtures that every room's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from benchmarks.reference import reference_folder

# The same examples in every run: what a commit passed, the next run of it passes.
settings.register_profile("repeatable", derandomize=True, deadline=None)  # no timed tests
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def reference_data() -> Callable[[str], Path]:
    """Return a function from a name to the path of that reference file; skips the test where it is absent."""

    def path_of(name: str) -> Path:
        path = reference_folder() / name
        if not path.exists():
            pytest.skip(f"reference data {name} is not at {path}; set TONNAGE_REFERENCE_DATA")
        return path

    return path_of
