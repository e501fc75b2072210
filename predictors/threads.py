"""Keeps boosted trees to one thread: on tables so small OpenMP's threads wait for each other longer than they work."""

from __future__ import annotations

from contextlib import AbstractContextManager


def one_thread() -> AbstractContextManager[object]:
    """Return a context in which OpenMP has one thread."""
    import sklearn.ensemble  # noqa: F401  (only libraries that are loaded can be limited)
    from threadpoolctl import threadpool_limits

    found: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="openmp")
    return found
