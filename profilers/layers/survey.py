"""Measures many shapes in turn: interleaved blocks, a grid that refines itself, until sure or out of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from profilers.layers.grid import Measured, added_shapes, worst_gaps
from profilers.layers.noise import Spread, spread_of
from profilers.layers.shapes import Shape

OnProgress = Callable[[float, float, str], None]
Laps = Mapping[str, float]  # seconds by operator
Run = Callable[[Shape], Laps]

MIN_BLOCKS = 3
MAX_REPEATS = 5  # of one block
BLOCK_S = 0.02  # a block ends after so long, or after `MAX_REPEATS`
TARGET = 0.02  # standard error of the median at which a shape is settled
LARGEST_SHARE = 1 / 24  # of the budget: what one pass may take
REFINING_SHARE = 0.6  # of the budget: afterwards no points are added, so that those there get their blocks
KEEP_S = 5.0  # within a round, what was measured is handed out so often
RESERVE = 1.25  # blocks take longer than one warm pass says


class TooLargeError(Exception):
    """A shape does not fit the device's memory; it and all larger ones are left out."""


@dataclass
class Survey:
    """Everything measured so far: blocks of repeats, by shape; ``dropped`` says which shapes were left out and why."""

    blocks: dict[Shape, list[list[dict[str, float]]]] = field(default_factory=dict)
    spent_s: float = 0.0
    dropped: dict[Shape, str] = field(default_factory=dict)

    def operators(self, shape: Shape) -> tuple[str, ...]:
        """Names of what was timed at ``shape``."""
        return tuple(self.blocks[shape][0][0])

    def spread(self, shape: Shape, operator: str | None = None) -> Spread:
        """Median and noise of one operator at ``shape``, or of all operators together."""
        blocks = self.blocks[shape]
        if operator is None:
            return spread_of([[sum(laps.values()) for laps in block] for block in blocks])
        return spread_of([[laps[operator] for laps in block] for block in blocks])

    def settled(self, shape: Shape, target: float) -> bool:
        """Whether ``shape`` has its blocks and its median is sure to ``target``."""
        return len(self.blocks.get(shape, ())) >= MIN_BLOCKS and self.spread(shape).median_error <= target


def survey(
    start: Iterable[Shape],
    run: Run,
    *,
    budget_s: float,
    on_progress: OnProgress,
    found: Survey | None = None,
    on_round: Callable[[Survey], None] = lambda found: None,
    target: float = TARGET,
    clock: Callable[[], float] = time.monotonic,
) -> Survey:
    """Measure ``start`` and what refinement adds until every median is sure to ``target`` or ``budget_s`` is spent.

    Every round takes one block of every shape that is not settled, so that the blocks of a shape are spread over the
    run; the first pass of a shape is not counted. ``found``: what an interrupted survey had, whose time counts.
    ``on_round`` is called after every round, and in long ones every `KEEP_S`. Shapes that a pass shows to be too long
    for the budget, or too large for memory, are dropped with all larger ones. Shapes with fewer than `MIN_BLOCKS`
    blocks at the end are dropped.
    """
    work = _Work(found or Survey(), run, budget_s, target, clock, on_progress, on_round)
    work.warm_up([*start, *work.found.blocks])
    work.trim()
    while work.round():
        if work.spent() < REFINING_SHARE * budget_s:
            work.refine()
        work.keep()
    work.finish()
    return work.found


class _Work:
    """The state of one survey: which shapes are warm, what a pass of each costs."""

    def __init__(
        self, found: Survey, run: Run, budget_s: float, target: float, clock: Callable[[], float], tell: OnProgress,
        on_kept: Callable[[Survey], None],
    ) -> None:  # fmt: skip
        self.found, self.run, self.budget_s, self.target, self.clock, self.tell = (
            found, run, budget_s, target, clock, tell,
        )  # fmt: skip
        self.cost_s: dict[Shape, float] = {}
        self.on_kept, self.kept_s = on_kept, clock()
        self.started = clock() - found.spent_s

    def spent(self) -> float:
        return self.clock() - self.started

    def warm_up(self, shapes: Iterable[Shape]) -> None:
        """Run every shape once, small ones first, as long as a pass fits the budget."""
        for shape in sorted(set(shapes)):
            if self._beyond(shape):
                continue
            self._say("warming up", shape)
            try:
                self.cost_s[shape] = self._pass_s(shape)
            except TooLargeError as error:
                self._drop(shape, str(error))
                continue
            if self.cost_s[shape] > LARGEST_SHARE * self.budget_s:
                self._drop(shape, f"one pass takes {self.cost_s[shape]:.3g} s")

    def _pass_s(self, shape: Shape) -> float:
        """Seconds of one pass; the first of its family runs twice, because it loads kernels for all."""
        if not any(one.family == shape.family for one in self.cost_s):
            self.run(shape)
        if shape in self.found.blocks:  # measured before an interruption
            return self.found.spread(shape).median_s
        started = self.clock()
        self.run(shape)
        return self.clock() - started

    def _beyond(self, shape: Shape) -> bool:
        larger = next((one for one in self.found.dropped if one.within(shape)), None)
        if larger is not None and shape not in self.found.dropped:
            self.found.dropped[shape] = "larger than one that was left out"
        return larger is not None

    def _drop(self, shape: Shape, why: str) -> None:
        self.cost_s.pop(shape, None)
        self.found.blocks.pop(shape, None)
        self.found.dropped[shape] = why

    def trim(self) -> None:
        """Drop the most expensive shapes until three blocks of each leave time to refine and to grow sure."""
        left_s = REFINING_SHARE * (self.budget_s - self.spent())
        for shape in sorted(self.cost_s, key=lambda one: self.cost_s[one], reverse=True):
            if self._needed_s(self.cost_s) <= left_s:
                return
            family = [one for one in self.cost_s if (one.family, one.kind) == (shape.family, shape.kind)]
            missing = len(self.found.blocks.get(shape, ())) < MIN_BLOCKS
            if missing and len(family) > 2:  # a line needs two points
                self._drop(shape, "three blocks of it do not fit the budget")

    def _needed_s(self, shapes: Iterable[Shape]) -> float:
        missing = {shape: MIN_BLOCKS - len(self.found.blocks.get(shape, ())) for shape in shapes}
        return RESERVE * sum(max(n, 0) * max(self.cost_s[shape], BLOCK_S) for shape, n in missing.items())

    def round(self) -> bool:
        """Take one block of every shape that is not settled; False where there is none or no time is left."""
        due = [shape for shape in self.cost_s if not self.found.settled(shape, self.target)]
        if not due or self.spent() >= self.budget_s:
            return False
        for shape in due:
            if self.spent() >= self.budget_s:
                break
            self._say("measuring", shape)
            self.found.blocks.setdefault(shape, []).append(self._block(shape))
            if self.clock() - self.kept_s > KEEP_S:
                self.keep()
        return True

    def keep(self) -> None:
        """Hand out what was measured so far."""
        self.found.spent_s, self.kept_s = self.spent(), self.clock()
        self.on_kept(self.found)

    def _block(self, shape: Shape) -> list[dict[str, float]]:
        started, block = self.clock(), [dict(self.run(shape))]
        while len(block) < MAX_REPEATS and self.clock() - started < BLOCK_S:
            block.append(dict(self.run(shape)))
        return block

    def refine(self) -> None:
        """Add the points that the worst gaps ask for, as far as their blocks fit the budget."""
        ready = {shape: self.found.spread(shape) for shape, blocks in self.found.blocks.items() if len(blocks) > 1}
        points = {shape: Measured(one.median_s, one.median_error) for shape, one in ready.items()}
        for gap in worst_gaps(points):
            shapes = [one for one in added_shapes(gap, points) if one not in self.cost_s]
            above = [min((self.cost_s[p] for p in self.cost_s if s.within(p)), default=0.0) for s in shapes]
            ahead_s = RESERVE * (MIN_BLOCKS + 1) * sum(max(cost, BLOCK_S) for cost in above)
            if self.spent() + self._needed_s(self.cost_s) + ahead_s < self.budget_s:
                self.warm_up(shapes)

    def finish(self) -> None:
        """Drop what did not get its blocks."""
        for shape in [one for one in self.cost_s if len(self.found.blocks.get(one, ())) < MIN_BLOCKS]:
            self._drop(shape, f"fewer than {MIN_BLOCKS} blocks when the budget was spent")
        self.found.spent_s = self.spent()

    def _say(self, what: str, shape: Shape) -> None:
        at = " × ".join(map(str, shape.coordinates))
        self.tell(min(self.spent(), self.budget_s), self.budget_s, f"{what} {shape.family} {at}")
