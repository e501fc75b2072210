"""Where a grid of measured points needs one more, judged by how far lines between its points miss those left out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from profilers.layers.shapes import Family, Shape

TOLERANCE = 0.03  # of the interpolated time, half of what step times from measured operators are said to err
# Left out, a point is judged over an interval twice as long. A line's error grows with the square of its length where
# the curve is smooth (4), and in proportion at a kink, as between reading weights and computing (2): the worse. [std]
LEFT_OUT = 2.0
NOISE_MARGIN = 3.0  # a miss must be so many standard errors of the point that misses


@dataclass(frozen=True)
class Measured:
    """Seconds of a shape and the relative standard error of that median."""

    seconds: float
    error: float


@dataclass(frozen=True)
class Gap:
    """An interval of one axis (0: first, 1: second) of a family, the value to add, and the error expected there."""

    family: Family
    kind: int
    axis: int
    value: int
    error: float
    width: float  # ratio of the interval's ends


def worst_gaps(points: Mapping[Shape, Measured], tolerance: float = TOLERANCE) -> list[Gap]:
    """Return, per family and kind, the interval where interpolation errs most, if by more than ``tolerance``."""
    groups: dict[tuple[Family, int], dict[Shape, Measured]] = defaultdict(dict)
    for shape, measured in points.items():
        groups[(shape.family, shape.kind)][shape] = measured
    worst = (max(_gaps(group), key=lambda gap: (gap.error, gap.width), default=None) for group in groups.values())
    return [gap for gap in worst if gap is not None and gap.error > tolerance]


def _gaps(points: Mapping[Shape, Measured]) -> Iterable[Gap]:
    for axis in (0, 1):
        expected: dict[tuple[int, int], list[float]] = defaultdict(list)
        for line in _lines(points, axis):
            for interval, error in _errors(line):
                expected[interval].append(error)
        one = next(iter(points))
        for (low, high), errors in expected.items():
            value = middle(low, high)
            if low < value < high:
                yield Gap(one.family, one.kind, axis, value, sum(errors) / len(errors), high / max(low, 1))


def _lines(points: Mapping[Shape, Measured], axis: int) -> list[list[tuple[int, Measured]]]:
    """Points that differ along ``axis`` alone, in order."""
    lines: dict[int, list[tuple[int, Measured]]] = defaultdict(list)
    for shape, measured in points.items():
        at = (shape.first, shape.second)
        lines[at[1 - axis]].append((at[axis], measured))
    return [sorted(line, key=lambda point: point[0]) for line in lines.values()]


def _errors(line: list[tuple[int, Measured]]) -> list[tuple[tuple[int, int], float]]:
    """Expected relative error of each interval of a line: from the misses of its two ends, each left out."""
    missed = [0.0] * len(line)
    for i in range(1, len(line) - 1):
        (x0, left), (x1, here), (x2, right) = line[i - 1 : i + 2]
        predicted = left.seconds + (x1 - x0) / (x2 - x0) * (right.seconds - left.seconds)
        miss = abs(predicted - here.seconds) / here.seconds
        missed[i] = miss / LEFT_OUT if miss > NOISE_MARGIN * here.error else 0.0
    return [((line[i][0], line[i + 1][0]), max(missed[i], missed[i + 1])) for i in range(len(line) - 1)]


def middle(low: int, high: int) -> int:
    """Return the value between two of an axis: their geometric mean, or half where the axis starts at zero."""
    return round(math.sqrt(low * high)) if low > 0 else high // 2


def added_shapes(gap: Gap, points: Iterable[Shape]) -> list[Shape]:
    """Return the shapes that a new axis value brings: one for every value of the other axis beside it."""
    group = [shape for shape in points if (shape.family, shape.kind) == (gap.family, gap.kind)]
    # Only where a larger point of the same line was measured: what was too large stays left out.
    made = {
        replace(shape, second=gap.value) if gap.axis else replace(shape, first=gap.value)
        for shape in group
        if (shape.first, shape.second)[gap.axis] > gap.value
    }
    return sorted(made.difference(group))
