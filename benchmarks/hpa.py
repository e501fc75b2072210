"""The horizontal pod autoscaler's arithmetic against the documented examples and the controller's own test values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.hpa_cases import BOUNDED, LIMITS, RESOURCES, SEVERAL, STABILIZED, VALUES, Rules
from benchmarks.line import Line, Result
from predictors.autoscaling import hpa, steps
from predictors.autoscaling.readiness import Pod, counted

LINE = Line(
    name="hpa",
    what="the HPA v2 controller's arithmetic: examples, tolerance, readiness, missing metrics, selectPolicy, windows",
    bar="exactly, case by case",
    data="kubernetes.io documentation and kubernetes/kubernetes pkg/controller/podautoscaler tests (Apache-2.0)",
)
NOTES = (
    "Inputs and expected values are facts of the sources named; a few (both windows at once, selectPolicy Min and"
    " Disabled upward) are worked by hand from the same rules. The arithmetic is the simulator's own, called compiled.",
)
# What the controller's own tests are run with.
TEST_INITIALIZATION_S, TEST_READINESS_DELAY_S = 120.0, 10.0


class Outcome(NamedTuple):
    """One case: what it is, what was expected and what came out."""

    case: str
    expected: int
    found: int


def run() -> Result:
    """Work every case; the bar is on all of them."""
    outcomes = tuple(all_cases())
    wrong = [one for one in outcomes if one.expected != one.found]
    return Result(
        holds=not wrong, text=f"{len(outcomes) - len(wrong)} of {len(outcomes)} cases exactly",
        figures={"cases": float(len(outcomes)), "exact": float(len(outcomes) - len(wrong))},
        detail=tuple(one._asdict() for one in outcomes),
        notes=NOTES,
    )  # fmt: skip


def all_cases() -> Iterator[Outcome]:
    """Every case in turn."""
    for case in RESOURCES:
        found = resource(case.current, list(case.pods), case.target_percent, case.cpu_target, case.tolerance)
        yield Outcome(case.name, case.expected, found)
    for value in VALUES:
        yield Outcome(value.name, value.expected, by_value(*value[1:-1]))
    for several in SEVERAL:
        yield Outcome(several.name, several.expected, steps.largest_of(several.proposals, several.current))
    for window in STABILIZED:
        found = steps.stabilized_after(
            window.current, window.desired, window.history, up_s=window.up_s, down_s=window.down_s
        )
        yield Outcome(window.name, window.expected, found)
    for limit in LIMITS:
        yield Outcome(limit.name, limit.expected, limited(*limit[1:-1]))
    for bound in BOUNDED:
        yield Outcome(bound.name, bound.expected, steps.outside_bounds(bound.current, bound.least, bound.most))


def resource(current: int, pods: list[Pod], target: float, cpu: bool, tolerance: float) -> int:
    """Replicas that a resource or pods metric proposes for these pods."""
    found = counted(
        pods,
        cpu=cpu,
        initialization_s=TEST_INITIALIZATION_S,
        readiness_delay_s=TEST_READINESS_DELAY_S,
    )
    if cpu or found.requested > 0:
        return hpa.resource_replicas(
            current, found.usage, found.requested, found.ready, found.unready, found.unready_requested, found.missing,
            found.missing_requested, target, tolerance, tolerance,
        )  # fmt: skip
    return hpa.pods_replicas(
        current, found.usage, found.ready, found.unready, found.missing, target, tolerance, tolerance
    )


def by_value(kind: str, current: int, value: float, target: float, ready: int) -> int:
    """Replicas that an object or external metric proposes, with a target for the whole or per pod."""
    if kind == "value":
        return hpa.value_replicas(current, value, target, ready, 0.1, 0.1)
    return hpa.average_replicas(current, value, target, 0.1, 0.1)


def limited(
    current: int, desired: int, least: int, most: int, up: Rules | None, down: Rules | None,
    grown: tuple[int, ...], shrunk: tuple[int, ...], spread_s: float,
) -> int:  # fmt: skip
    """Replicas after the limits of one step; earlier changes are spread evenly over ``spread_s``, newest last."""
    return steps.limited_step(
        current, desired, least, most,
        up=steps.DEFAULT_UP if up is None else up.policies, down=steps.DEFAULT_DOWN if down is None else down.policies,
        up_select="max" if up is None else up.select, down_select="max" if down is None else down.select,
        grown=_spread(grown, spread_s), shrunk=_spread(shrunk, spread_s),
    )  # fmt: skip


def _spread(changes: tuple[int, ...], spread_s: float) -> tuple[tuple[float, int], ...]:
    """Seconds ago and size of each change, as the controller's tests spread them."""
    part = spread_s / max(len(changes), 1)
    return tuple((spread_s - part * (i + 1) + part / 2, change) for i, change in enumerate(changes))
