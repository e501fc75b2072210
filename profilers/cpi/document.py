"""From windows to a CpiProfile: summaries, what is missing, and the machine they hold for."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Sequence

from profilers.cpi.causes import OTHER_FIGURES
from profilers.cpi.pressure import limit_cores
from profilers.cpi.sampling import Sampled, Schedule, Tally, counted
from profilers.cpi.surveying import Watch, missing_counters
from profilers.host.reading import host_fingerprint, read_host, this_machine
from profilers.importers.perf_stat import Recording
from specs.base import Metadata
from specs.cpi import CpiProfile, CpiProfileSpec, CpiTarget, CpiWindow, MissingFigure, Source, Spread
from specs.profile import Machine

NOT_SUMMED = ("started", "window_s", "counted_share")


def profile_of(sampled: Sampled, schedule: Schedule) -> CpiProfile:
    """Return the document of measured windows."""
    watches = [tally.watch for tally in sampled.tallies]
    targets = tuple(map(_target, sampled.tallies))
    host = read_host()
    spec = CpiProfileSpec(
        source=source_of(watches), cpu=host.cpu.model, cpus=os.cpu_count(), fingerprint=host_fingerprint(host),
        machine=_machine(schedule, targets), window_s=schedule.window_s, every_s=schedule.every_s, targets=targets,
        missing=(*missing_counters(watches), *_refused_by_perf(sampled.tallies), *_missing_others(targets)),
        overhead=sampled.overhead, notes=sampled.notes,
    )  # fmt: skip
    return CpiProfile(metadata=Metadata(name=f"cpi-{targets[0].name.strip('/') or 'machine'}"), spec=spec)


def source_of(watches: Sequence[Watch]) -> Source:
    """Return how hardware counters were counted."""
    if any(watch.by_perf for watch in watches):
        return "perf stat"
    return "perf_event_open" if any(watch.has_cpi for watch in watches) else "none"


def summary(windows: Iterable[CpiWindow]) -> dict[str, Spread]:
    """Return mean, standard deviation (n−1) and range of every figure over the windows that have it."""
    values: dict[str, list[float]] = {}
    for window in windows:
        for name, value in window.model_dump(exclude=set(NOT_SUMMED), exclude_none=True).items():
            values.setdefault(name, []).append(value)
    return {name: spread(values[name]) for name in CpiWindow.model_fields if name in values}


def spread(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation (n−1) and range of at least one value."""
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Spread(mean=statistics.fmean(values), sd=sd, low=min(values), high=max(values), windows=len(values))


def recorded_profile(name: str, recordings: Sequence[Recording], targets: Sequence[CpiTarget]) -> CpiProfile:
    """Return the document of recorded outputs of perf, and of summaries that have no windows."""
    groups: dict[str, list[Recording]] = {}
    for one in recordings:
        groups.setdefault(one.name, []).append(one)
    found = (*(_recorded(group) for group in groups.values()), *targets)
    source: Source = "perf stat" if recordings else "perfspect"
    spec = CpiProfileSpec(source=source, targets=found, missing=_missing_recorded(recordings))
    return CpiProfile(metadata=Metadata(name=name), spec=spec)


def _target(tally: Tally) -> CpiTarget:
    target, notes = tally.watch.target, list(tally.notes)
    if target.pid is not None:
        notes.append(f"throttling and pressure are those of its cgroup {target.cgroup.path}")
    return CpiTarget(
        name=target.name, target=target.kind, cgroup=target.cgroup.path, limit_cores=limit_cores(target.cgroup),
        user_only=tally.user_only, vanished=tally.vanished, summary=summary(tally.windows),
        windows=tuple(tally.windows), notes=tuple(notes),
    )  # fmt: skip


def _recorded(group: Sequence[Recording]) -> CpiTarget:
    windows = tuple(CpiWindow(window_s=one.window_s or None, **counted(one.gathered.counts)) for one in group)
    scopes = {one.scope for one in group if one.scope}
    user_only = any(one.gathered.counts.user_only for one in group)
    return CpiTarget(
        name=group[0].name, target="recorded", user_only=user_only, windows=windows, summary=summary(windows),
        notes=tuple(f"perf counted: {scope}" for scope in sorted(scopes)),
    )  # fmt: skip


def _missing_recorded(recordings: Sequence[Recording]) -> tuple[MissingFigure, ...]:
    cure = "See why with `tonnage profile cpi` on the machine that recorded it."
    return _perf_says([(one.name, one.gathered.refused) for one in recordings], cure)


def _refused_by_perf(tallies: Sequence[Tally]) -> tuple[MissingFigure, ...]:
    cure = "See `perf list` for what this CPU counts; the other counters stand."
    return _perf_says([(tally.watch.target.name, tally.refused_by_perf) for tally in tallies], cure)


def _perf_says(refused: Iterable[tuple[str, dict[str, str]]], cure: str) -> tuple[MissingFigure, ...]:
    names: dict[tuple[str, str], list[str]] = {}
    for name, reasons in refused:
        for quantity, why in reasons.items():
            names.setdefault((quantity, why), []).append(name)
    return tuple(
        MissingFigure(quantity=quantity, cause=f"perf says {why}", cure=cure, targets=tuple(dict.fromkeys(whom)))
        for (quantity, why), whom in names.items()
    )


def _missing_others(targets: Sequence[CpiTarget]) -> Iterable[MissingFigure]:
    """Name the figures besides counters that a target with windows has not."""
    measured = [target for target in targets if target.windows]
    for quantity, (cause, cure) in OTHER_FIGURES.items():
        whom = tuple(target.name for target in measured if quantity not in target.summary)
        if whom:
            told = whom if len(whom) < len(measured) else ()
            yield MissingFigure(quantity=quantity, cause=cause, cure=cure, targets=told)


def _machine(schedule: Schedule, targets: Sequence[CpiTarget]) -> Machine:
    """Return where this was measured, with the typical spread of the CPI between windows as its noise."""
    spreads = [target.summary["cpi"] for target in targets if "cpi" in target.summary]
    noises = [one.sd / one.mean for one in spreads if one.sd is not None]
    noise = statistics.median(noises) if noises else None
    return this_machine("profile cpi").model_copy(update={"repeats": schedule.windows, "noise": noise})
