"""Where profiles and samples are kept as they are measured: the store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cli.output import say
from specs.base import Document, plain

if TYPE_CHECKING:
    from profilers.store import Store
    from specs.gpu import GpuSample


def keeper(store: str | None, *, quiet: bool) -> Callable[[Document], None]:
    """Open the store at ``store`` now and return what puts a profile into it and says so.

    Raises `InputError` or `MissingHardwareError` where the store cannot be opened: before work that would be lost.
    """
    from profilers.store import add_profile, open_store

    opened = open_store(store)

    def keep(profile: Document) -> None:
        say(f"stored {add_profile(opened, profile)[:19]}… in {opened.name}", quiet=quiet)

    return keep


def sample_keeper(store: str | None) -> Callable[[Sequence[GpuSample]], None]:
    """Return what puts a round of GPU samples into the store at ``store``, which the first round opens.

    Each GPU is a series, named by its UUID; the store keeps the newest of each. Raises as `keeper` does.
    """

    @functools.cache
    def opened() -> Store:
        from profilers.store import open_store

        return open_store(store)

    def keep(samples: Sequence[GpuSample]) -> None:
        from profilers.store import add_samples

        add_samples(opened(), [(f"gpu {one.uuid}", one.time_s, plain(one)) for one in samples])

    return keep
