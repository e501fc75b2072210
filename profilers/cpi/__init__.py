"""Cycles per instruction of processes, cgroups and containers, with what else holds them up in the same windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from profilers.cgroup import PROC, read_mounts
from profilers.cpi.document import profile_of, recorded_profile
from profilers.cpi.sampling import Clock, OnProgress, Schedule, sample
from profilers.cpi.surveying import missing_counters, survey
from profilers.cpi.targets import resolve
from profilers.importers.perf_stat import Recording, read_perf_stat
from profilers.importers.perfspect import is_perfspect, read_perfspect
from specs.cpi import CpiProfile, CpiTarget, MissingFigure
from specs.errors import InputError, MissingHardwareError

__all__ = ["Clock", "Schedule", "profile_cpi", "recorded_cpi"]
OnMissing = Callable[[Sequence[MissingFigure]], None]


def profile_cpi(
    *,
    pids: Sequence[int] = (),
    cgroups: Sequence[str] = (),
    containers: Sequence[str] = (),
    schedule: Schedule = Schedule(),  # noqa: B008 (frozen)
    on_missing: OnMissing = lambda missing: None,
    on_progress: OnProgress = lambda done, total, what: None,
    clock: Clock = Clock(),  # noqa: B008 (frozen)
) -> CpiProfile:
    """Measure the named targets over the windows of ``schedule`` and return their profile.

    ``on_missing`` gets, before the first window, the hardware counters that cannot be counted. A CPI is given only
    where cycles and instructions were counted. Raises `InputError` where a target is not there or the windows do not
    fit, `MissingHardwareError` where every target went away before a window was whole.
    """
    schedule.check(turns=1)
    targets = resolve(pids, cgroups, containers)
    mounts = read_mounts(PROC)
    watches = survey(targets, mounts)
    if missing := missing_counters(watches):
        on_missing(missing)
    sampled = sample(watches, mounts, schedule, clock=clock, on_progress=on_progress)
    if not any(tally.windows for tally in sampled.tallies):
        told = "; ".join(f"{tally.watch.target.name}: {tally.notes[0]}" for tally in sampled.tallies[:3])
        raise MissingHardwareError(
            f"no window was measured to its end: {told}", cure="Measure targets that stay, or use a shorter --window."
        )
    return profile_of(sampled, schedule)


def recorded_cpi(paths: Sequence[Path]) -> CpiProfile:
    """Read recorded outputs of `perf stat` or summaries of PerfSpect; raises `InputError` with file and line."""
    recordings: list[Recording] = []
    targets: list[CpiTarget] = []
    for path in paths:
        if is_perfspect(path):
            targets += read_perfspect(path)
        else:
            recordings += read_perf_stat(path)
    if recordings and targets:
        raise InputError("outputs of perf stat and of PerfSpect together", cure="Read them one by one.")
    return recorded_profile(f"cpi-{paths[0].stem}", recordings, targets)
