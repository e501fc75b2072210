"""Where profiles and samples are kept as they are measured: the store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output import say
from specs.base import Document, plain

if TYPE_CHECKING:
    from profilers.store import Store
    from specs.gpu import GpuSample
    from specs.plan import PlanDocument


def keeper(store: str | None, *, quiet: bool) -> Callable[[Document], None]:
    """Open the store at ``store`` now and return what puts a profile into it and says so.

    Raises `InputError` or `MissingHardwareError` where the store cannot be opened: before work that would be lost.
    """
    from profilers.store import add_profile, open_store

    opened = open_store(store)

    def keep(profile: Document) -> None:
        say(f"stored {add_profile(opened, profile)[:19]}… in {opened.name}", quiet=quiet)

    return keep


def plan_keeper(store: str | None, profiles: Sequence[Path], *, quiet: bool) -> Callable[[PlanDocument], None]:
    """Open the store now and return what puts a plan into its index with the ids of ``profiles``, and says so.

    A plan is indexed where ``store`` is named, or where it rests on profiles and the user's own store is there; one
    that decided nothing is not. Raises as `keeper` does.
    """
    if store is None and not profiles:
        return lambda plan: None
    from profilers.named import profile_id
    from profilers.store import add_plan, open_store, store_of

    opened = open_store(store) if store is not None else store_of(None)
    if opened is None:
        return lambda plan: None

    def keep(plan: PlanDocument) -> None:
        if plan.status.outcome in ("optimal", "feasible"):
            ids = [profile_id(profile, store) for profile in profiles]
            identity = add_plan(opened, plan, ids)
            say(f"indexed {identity[:19]}… in {opened.name}, resting on {len(ids)} profiles", quiet=quiet)

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
