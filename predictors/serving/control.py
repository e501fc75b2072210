"""Runs the kernel from pause to pause, so that a controller can look at the latencies and change the step times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from predictors.serving import state
from predictors.serving.kernel import run_kernel
from predictors.serving.state import World
from specs.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Levels = tuple[int, int]
"""Which dense time of the family holds: in steps that prefill, and in steps that only decode."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What clients saw from ``start_s`` to ``end_s`` while ``levels`` held.

    ``ttft_s``: of the requests that got their first token then; ``prefill_s``: what of it was not spent in the queue.
    ``gap_counts``: inter-token gaps that ended then with a step of decodes alone, by the buckets of `Run.gap_edges_s`;
    ``mixed_gap_counts``: with a step that also prefilled.
    """

    start_s: float
    end_s: float
    levels: Levels
    ttft_s: FloatArray
    prefill_s: FloatArray
    gap_counts: IntArray
    mixed_gap_counts: IntArray


@dataclass(frozen=True, kw_only=True)
class Control:
    """A family of dense times and the rule that chooses among them (ours).

    ``family``: as `StepSurface.tokens_s`, one array per level. ``decide`` is asked at every ``period_s`` for the next
    period's levels, with all windows so far; they hold for steps that start from then on. ``windows`` collects them.
    """

    family: tuple[FloatArray, ...]
    decide: Callable[[list[Window]], Levels]
    period_s: float
    start: Levels = (0, 0)
    windows: list[Window] = field(default_factory=list)


def run_controlled(world: World, control: Control) -> None:
    """Serve all requests of ``world``, asking ``control`` at the end of every period; raises InputError for a family
    that is too short for the steps.
    """
    world, starts = _with_family(world, control.family)
    levels, now = control.start, float(world.sequences["arrival_s"].min())
    while True:
        _set_levels(world, starts, levels)
        before = world.gaps.copy(), world.mixed_gaps.copy()
        world.options["pause_s"] = now + control.period_s
        run_kernel(world)
        control.windows.append(_window(world, before, now, now + control.period_s, levels))
        now += control.period_s
        if bool(world.options["stopped"]) or (world.sequences["status"] != state.PENDING).all():
            return
        levels = control.decide(control.windows)


def _with_family(world: World, family: tuple[FloatArray, ...]) -> tuple[World, IntArray]:
    """The world with the family behind its tables, and where each of its members starts."""
    least = int(world.replicas["sequences_at"].min() - world.replicas["tokens_at"].min())
    if any(len(one) < least for one in family):
        raise InputError(
            f"step-time family: a member holds fewer than {least} times", cure="Compile it for the engine."
        )
    sizes = [len(one) for one in family]
    starts = len(world.tables) + np.cumsum([0, *sizes[:-1]])
    return world._replace(tables=np.concatenate([world.tables, *family])), starts.astype(np.int64)


def _set_levels(world: World, starts: IntArray, levels: Levels) -> None:
    world.replicas["tokens_at"], world.replicas["decode_tokens_at"] = starts[levels[0]], starts[levels[1]]


def _window(
    world: World, before: tuple[FloatArray, FloatArray], start_s: float, end_s: float, levels: Levels
) -> Window:
    seq = world.sequences
    first = seq["first_s"]
    chosen = (first >= start_s) & (first < end_s)
    return Window(
        start_s=start_s,
        end_s=end_s,
        levels=levels,
        ttft_s=(first - seq["arrival_s"])[chosen],
        prefill_s=(first - seq["started_s"])[chosen],
        gap_counts=(world.gaps - before[0]).astype(np.int64),
        mixed_gap_counts=(world.mixed_gaps - before[1]).astype(np.int64),
    )
