"""Windows of counting, many targets at once: what is counted in them, what ends early, and what measuring costs."""

from __future__ import annotations

import datetime
import math
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from profilers.cgroup import Mounts
from profilers.cpi.counts import Counts, ratios
from profilers.cpi.perf_event import (
    CORE,
    Accepted,
    Group,
    Place,
    close_groups,
    descriptor_budget,
    open_groups,
    read_groups,
    switch,
)
from profilers.cpi.perf_stat import Counting
from profilers.cpi.pressure import Reading, between, read
from profilers.cpi.surveying import Watch, descriptors, leave, places, turns
from profilers.cpi.targets import VanishedError
from profilers.importers.perf_events import Gathered
from specs.cpi import CpiWindow, Overhead
from specs.errors import InputError

OnProgress = Callable[[float, float, str], None]
SLICE_S = 1.0  # between reports of progress
STEP_S = 1.0  # ours: a wall clock that is further off was set, not drifting


@dataclass(frozen=True)
class Clock:
    """The clocks of a run; intervals come from the steady one alone."""

    steady: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Schedule:
    """``windows`` windows of ``window_s``, one in every ``every_s``."""

    window_s: float = 10.0
    every_s: float = 60.0
    windows: int = 5

    def check(self, turns: int) -> None:
        """Raise `InputError` where the windows of all turns do not fit the period."""
        if not (math.isfinite(self.window_s) and self.window_s > 0 and self.windows >= 1):
            raise InputError(f"{self.windows} windows of {self.window_s:g} s", cure="Give positive numbers.")
        need = self.window_s * turns
        if need > self.every_s:
            why = f" in {turns} turns, because their counters exceed the open files allowed" if turns > 1 else ""
            raise InputError(
                f"windows of {self.window_s:g} s{why} do not fit a period of {self.every_s:g} s",
                cure=f"Use --every {math.ceil(need)}, a shorter --window or fewer targets, or raise `ulimit -n`.",
            )


@dataclass
class Tally:
    """What was found of one target so far."""

    watch: Watch
    windows: list[CpiWindow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    vanished: bool = False
    user_only: bool = False
    refused_by_perf: dict[str, str] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Keep a note once."""
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class Sampled:
    """Every target's tally in the order given, and what measuring cost."""

    tallies: tuple[Tally, ...]
    overhead: Overhead
    notes: tuple[str, ...] = ()


@dataclass
class _Open:
    """Counters and first readings of one target within a window."""

    before: Reading
    groups: list[Group] = field(default_factory=list)


def sample(
    watches: Sequence[Watch], mounts: Mounts, schedule: Schedule, *, clock: Clock, on_progress: OnProgress
) -> Sampled:
    """Measure every target in each window; a target that goes away ends with the windows it had.

    Raises `InputError` where the windows do not fit the period.
    """
    split = turns(watches, descriptor_budget())
    schedule.check(len(split))
    run = _Run({id(watch): Tally(watch) for watch in watches}, mounts, schedule, clock, on_progress)
    used_s, most = _cpu_seconds(), max(sum(map(descriptors, turn)) for turn in split)
    for window in range(schedule.windows):
        for place, turn in enumerate(split):
            tallies = [run.tallies[id(watch)] for watch in turn if not run.tallies[id(watch)].vanished]
            run.wait_until(window * schedule.every_s + place * schedule.window_s, window)
            if tallies:
                run.window(tallies, window)
        if all(tally.vanished for tally in run.tallies.values()):
            break
    wall_s, cpu_s = clock.steady() - run.start_s, _cpu_seconds() - used_s
    overhead = Overhead(
        cpu_s=cpu_s, wall_s=wall_s, cpu_share=cpu_s / wall_s, file_descriptors=most, turns=len(split)
    )  # fmt: skip
    return Sampled(tuple(run.tallies.values()), overhead, run.stepped())


class _Run:
    """One run over all windows: where it began, by both clocks."""

    def __init__(
        self, tallies: dict[int, Tally], mounts: Mounts, schedule: Schedule, clock: Clock, on_progress: OnProgress
    ) -> None:
        self.tallies, self._mounts, self._schedule, self._clock = tallies, mounts, schedule, clock
        self._report = on_progress
        self.start_s, self._wall_s = clock.steady(), clock.wall()

    def stepped(self) -> tuple[str, ...]:
        """Return a note where the wall clock was set during the run; the windows' times follow its start."""
        off_s = self._clock.wall() - self._wall_s - (self._clock.steady() - self.start_s)
        told = f"the wall clock was set by {off_s:+.0f} s meanwhile; times are counted on from the start of the run"
        return (told,) if abs(off_s) > STEP_S else ()

    def wait_until(self, at_s: float, window: int) -> None:
        """Sleep until ``at_s`` after the start, by the steady clock, in slices of a second."""
        total = (self._schedule.windows - 1) * self._schedule.every_s + self._schedule.window_s
        while (left := self.start_s + at_s - self._clock.steady()) > 0:
            self._report(self._clock.steady() - self.start_s, total, f"window {window + 1} of {self._schedule.windows}")
            self._clock.sleep(min(left, SLICE_S))

    def window(self, tallies: Sequence[Tally], window: int) -> None:
        """Measure one window of ``tallies`` and add it to each that lasted through it."""
        opened: dict[int, _Open] = {}
        by_perf = [tally.watch.target for tally in tallies if tally.watch.by_perf]
        counting: Counting | None = None
        try:
            for tally in tallies:
                self._open(tally, opened)
            groups = [group for one in opened.values() for group in one.groups]
            began_s = self._clock.steady()
            counting = Counting(by_perf, self._mounts, self._schedule.window_s) if by_perf else None
            switch(groups, on=True)
            self.wait_until(began_s - self.start_s + self._schedule.window_s, window)
            switch(groups, on=False)
            told = counting.finish() if counting else {}
            for tally in tallies:
                if id(tally) in opened:
                    self._close(tally, opened[id(tally)], began_s, told.get(tally.watch.target.name))
        finally:
            if counting:
                counting.stop()
            for one in opened.values():
                close_groups(one.groups)

    def _open(self, tally: Tally, opened: dict[int, _Open]) -> None:
        watch = tally.watch
        try:
            one = opened[id(tally)] = _Open(read(watch.target, self._clock.steady))
        except VanishedError as gone:
            self._lost(tally, gone)
            return
        taken: list[Place] = []
        try:
            if watch.counted.events:
                taken = list(places(watch.target))
                one.groups = open_groups(watch.counted, taken)
        except OSError as error:
            tally.note(f"counters could not be opened in a window: {error.strerror}")
        finally:
            leave(taken)

    def _close(self, tally: Tally, one: _Open, began_s: float, by_perf: Gathered | None) -> None:
        try:
            after = read(tally.watch.target, self._clock.steady)
            figures = between(one.before, after)
        except VanishedError as gone:
            self._lost(tally, gone)
            return
        counts = _counts(tally, one, by_perf)
        if tally.watch.has_cpi and (counts is None or not counts.trusted):
            _fewer_counters(tally)
        window_s, counts_told = after.at_s - one.before.at_s, counted(counts, tally.watch.has_cpi)
        started = utc(self._wall_s + began_s - self.start_s)
        tally.windows.append(CpiWindow(started=started, window_s=window_s, **figures, **counts_told))

    def _lost(self, tally: Tally, gone: VanishedError) -> None:
        tally.vanished = True
        tally.note(f"{gone}; {len(tally.windows)} of {self._schedule.windows} windows were measured before")


def _counts(tally: Tally, one: _Open, by_perf: Gathered | None) -> Counts | None:
    """Return the counts of a window, either way, and keep in ``tally`` what they leave out."""
    if not tally.watch.by_perf:
        tally.user_only = tally.watch.counted.user_only
        return read_groups(one.groups)
    if by_perf is None:
        return None
    tally.user_only |= by_perf.counts.user_only
    tally.refused_by_perf.update(by_perf.refused)
    return by_perf.counts


def utc(wall_s: float) -> str:
    """Return seconds since 1970 as UTC, ISO 8601 to the millisecond."""
    told = datetime.datetime.fromtimestamp(wall_s, datetime.UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


def counted(counts: Counts | None, hardware: bool = True) -> dict[str, float]:
    """Return counts, their share and their ratios by the names of `CpiWindow`; untrusted counts are left out.

    Software counters (not ``hardware``) always count, so that their share is not told.
    """
    if counts is None:
        return {"counted_share": 0.0}
    share = {} if counts.counted_share is None or not hardware else {"counted_share": counts.counted_share}
    return counts.values | share | ratios(counts) if counts.trusted else share


def _fewer_counters(tally: Tally) -> None:
    """Where the counters never got on the CPU together, count cycles and instructions alone from now on."""
    events = tuple(event for event in tally.watch.counted.events if event.name in CORE)
    if tally.watch.by_perf or len(events) == len(tally.watch.counted.events):
        tally.note("the counters were never on the CPU in a window: another user (the NMI watchdog?) holds them")
        return
    tally.note("the counters did not fit the PMU together: from then on cycles and instructions alone were counted")
    tally.watch = replace(tally.watch, counted=Accepted(events, (), tally.watch.counted.user_only))


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
