"""Cases of the horizontal pod autoscaler with the values that its documentation and its own tests give."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from predictors.autoscaling.readiness import Pod

Policies = tuple[tuple[str, float, float], ...]


class Resource(NamedTuple):
    """A resource metric (or, without requests, a metric per pod) over a list of pods."""

    name: str
    current: int
    pods: tuple[Pod, ...]
    target_percent: float
    expected: int
    cpu_target: bool = True
    tolerance: float = 0.1


class Value(NamedTuple):
    """An object or external metric: the target for the whole value, or per pod."""

    name: str
    kind: str
    current: int
    value: float
    target: float
    ready: int
    expected: int


class Several(NamedTuple):
    """Proposals of several metrics; None where a metric could not be had."""

    name: str
    current: int
    proposals: tuple[int | None, ...]
    expected: int


class Window(NamedTuple):
    """Earlier recommendations as (seconds ago, replicas), and the windows."""

    name: str
    current: int
    desired: int
    history: tuple[tuple[float, int], ...]
    up_s: float
    down_s: float
    expected: int


class Rules(NamedTuple):
    """Policies (type, value, period in seconds) of one direction and how one is selected."""

    policies: Policies
    select: str = "max"


class Limit(NamedTuple):
    """One step under the rules of both directions and the changes made before."""

    name: str
    current: int
    desired: int
    least: int
    most: int
    up: Rules | None
    down: Rules | None
    grown: tuple[int, ...]
    shrunk: tuple[int, ...]
    spread_s: float
    expected: int


class Bounded(NamedTuple):
    """Replicas outside the object's bounds: what is done before any metric is read; -1: metrics are read."""

    name: str
    current: int
    least: int
    most: int
    expected: int


def cores(*usage: int | None, requested: int | tuple[int, ...] = 1000) -> tuple[Pod, ...]:
    """Pods that use so many millicores of their request."""
    asked = requested if isinstance(requested, tuple) else (requested,) * len(usage)
    return tuple(Pod(usage=one, requested=each) for one, each in zip(usage, asked, strict=True))


def changed(pods: tuple[Pod, ...], which: tuple[int, ...], **fields: object) -> tuple[Pod, ...]:
    """The pods, those at ``which`` with other fields."""
    return tuple(replace(pod, **fields) if i in which else pod for i, pod in enumerate(pods))  # type: ignore[arg-type]


def values(*usage: int | None) -> tuple[Pod, ...]:
    """Pods with a metric of their own, in thousandths, and no requests."""
    return tuple(Pod(usage=one) for one in usage)


UNREADY: dict[str, object] = {"ready": False}
HOT: dict[str, object] = {"age_s": 30.0, "changed_s": 30.0}
THREE, FIVE = cores(300, 500, 700), cores(100, 300, 500, 250, 250)
SIX_OF_SEVEN = (*FIVE, *cores(None, None))
RESOURCES = (
    Resource("documented: 200m of a target of 100m doubles", 1, cores(200, requested=100), 100, 2),
    Resource("documented: 50m of a target of 100m halves", 2, cores(50, 50, requested=100), 100, 1),
    Resource("documented: within 10 % nothing is done", 4, cores(*[105] * 4, requested=100), 100, 4),
    Resource("blog: 50 pods at 90 % with a target of 75 %", 50, cores(*[90] * 50, requested=100), 75, 60),
    Resource("scale up", 3, THREE, 30, 5),
    Resource("scale up, an unready pod: less", 3, changed(THREE, (0,), **UNREADY), 30, 4),
    Resource("scale up, a pod still starting: less", 3, changed(THREE, (0,), **HOT), 30, 4),
    Resource("scale up, two unready pods: not at all", 3, changed(cores(400, 500, 700), (1, 2), **UNREADY), 30, 3),
    Resource("scale up, two unready and starting: not at all", 3,
             changed(cores(400, 500, 700), (1, 2), **UNREADY, **HOT), 30, 3),
    Resource("scale up ignores failed pods", 2,
             (*cores(500, 700), *changed(cores(None, None), (0, 1), phase="Failed", ready=False)), 30, 4),
    Resource("scale up ignores pods being deleted", 2,
             (*cores(500, 700), *changed(cores(None, None), (0, 1), deleted=True, ready=False)), 30, 4),
    Resource("scale down", 5, FIVE, 50, 3),
    Resource("scale down leaves unready pods out", 5, changed(FIVE, (3, 4), **UNREADY), 50, 2),
    Resource("scale down leaves unscheduled pods out", 5,
             changed(cores(100, None, None, None, None), (1, 2, 3, 4), phase="Pending", ready=False), 50, 1),
    Resource("scale down leaves starting pods out", 5, changed(FIVE, (3, 4), **HOT), 50, 2),
    Resource("scale down ignores failed pods", 5, changed(SIX_OF_SEVEN, (5, 6), phase="Failed", ready=False), 50, 3),
    Resource("scale down ignores pods being deleted", 5, changed(SIX_OF_SEVEN, (5, 6), deleted=True, ready=False),
             50, 3),
    Resource("tolerance", 3, cores(1010, 1030, 1020, requested=(900, 1000, 1100)), 100, 3),
    Resource("superfluous metrics", 4, cores(4000, 9500, 3000, 7000), 100, 24),
    Resource("missing metrics count as full on the way down", 4, cores(400, 95, None, None), 100, 3),
    Resource("missing, nothing to do", 2, cores(1000, None), 100, 2),
    Resource("missing, up: the missing pod takes the growth", 2, cores(1900, None), 100, 2),
    Resource("missing, down: the missing pod takes the shrinking", 2, cores(600, None), 100, 2),
    Resource("missing and unready: no change", 3, changed(cores(100, 450, None), (0,), **UNREADY), 50, 3),
    Resource("missing and starting: no change", 3, changed(cores(100, 450, None), (0,), **HOT), 50, 3),
    Resource("missing and unready: up", 3, changed(cores(100, 2000, None), (0,), **UNREADY), 50, 4),
    Resource("missing, unready and starting: up", 3, changed(cores(100, 2000, None), (0,), **UNREADY, **HOT), 50, 4),
    Resource("missing and unready: down", 4, changed(cores(100, 100, 100, None), (0,), **UNREADY), 50, 3),
    Resource("rolling update with a surge", 2, cores(100, 100, None), 50, 2),
    Resource("no metrics at all: no answer", 4, cores(None, None, None, None), 100, -1),
    Resource("no request: no answer", 1, cores(200, requested=0), 100, -1),
    Resource("to zero where the load is zero", 3, cores(0, 0, 0, requested=(900, 1000, 1100)), 90, 0),
    Resource("ten pods, just outside the tolerance", 10,
             cores(*[150] * 10, requested=(400, 200, 310, 290, 302, 298, 301, 299, 300, 300)), 56, 9),
    Resource("metric per pod: up", 3, values(20000, 10000, 30000), 15000, 4, cpu_target=False),
    Resource("metric per pod: readiness does not matter", 3,
             changed(values(50000, 10000, 30000), (2,), **UNREADY, **HOT), 15000, 6, cpu_target=False),
    Resource("metric per pod: two unready, all count", 3,
             changed(values(50000, 15000, 30000), (0, 2), **UNREADY, **HOT), 15000, 7, cpu_target=False),
    Resource("metric per pod: down", 5, values(*[12000] * 5), 20000, 3, cpu_target=False),
    Resource("metric per pod: tolerance", 3, values(20000, 21000, 21000), 20000, 3, cpu_target=False),
    Resource("metric per pod: one pod", 1, values(8600), 4400, 2, cpu_target=False),
)  # fmt: skip
VALUES = (
    Value("object: up", "value", 3, 20000, 15000, 3, 4),
    Value("object per pod: up", "average", 3, 20000, 5000, 3, 4),
    Value("object: only ready pods are multiplied", "value", 3, 50000, 10000, 1, 5),
    Value("external: only ready pods are multiplied", "value", 3, 8600, 4400, 1, 2),
    Value("external per pod: up", "average", 3, 8600, 2150, 3, 4),
    Value("object per pod: down", "average", 5, 6000, 2000, 5, 3),
    Value("object: down", "value", 5, 12000, 20000, 5, 3),
    Value("external: down", "value", 5, 8600, 14334, 5, 3),
    Value("external per pod: down", "average", 5, 8600, 2867, 5, 3),
    Value("object: tolerance", "value", 3, 20666, 20000, 3, 3),
    Value("object per pod: tolerance", "average", 4, 20166, 5000, 4, 4),
    Value("external: tolerance", "value", 3, 8600, 8888, 3, 3),
    Value("external per pod: tolerance", "average", 3, 8600, 2900, 3, 3),
    Value("from zero: by the ratio alone", "value", 0, 20000, 15000, 0, 2),
)
SEVERAL = (
    Several("documented: the largest of several metrics", 3, (4, 6, 2), 6),
    Several("documented: a metric fails, the rest would shrink: nothing", 5, (3, None), -1),
    Several("documented: a metric fails, the rest would grow: grow", 5, (None, 8), 8),
    Several("all metrics fail: nothing", 5, (None, None), -1),
)
FIVE_MINUTES = 300.0
STABILIZED = (
    Window("no history", 5, 5, (), 0, FIVE_MINUTES, 5),
    Window("down is held by the highest of the window", 5, 3, ((120, 4), (60, 5)), 0, FIVE_MINUTES, 5),
    Window("lower recommendations do not hold it", 5, 3, ((120, 1), (60, 2)), 0, FIVE_MINUTES, 3),
    Window("older than the window: do not hold it", 5, 3, ((600, 10), (540, 9)), 0, FIVE_MINUTES, 3),
    Window("old and new mixed", 5, 3, ((600, 10), (60, 4), (120, 5), (540, 9)), 0, FIVE_MINUTES, 5),
    Window("down, no history", 100, 5, (), 0, FIVE_MINUTES, 5),
    Window("up, held by the lowest of the window", 2, 100, ((60, 5), (10, 40)), 240, FIVE_MINUTES, 5),
    Window("up, an old low one does not hold it", 2, 100, ((600, 3),), 240, FIVE_MINUTES, 100),
    Window("up and down windows leave the middle", 10, 4, ((30, 6), (20, 12)), FIVE_MINUTES, FIVE_MINUTES, 10),
)
PODS20, TEN = (("Pods", 20.0, 60.0),), (("Percent", 10.0, 60.0),)
DOCUMENTED_DOWN = (("Pods", 4.0, 60.0), ("Percent", 10.0, 60.0))


def rules(pods: float, pods_s: float, percent: float, percent_s: float, select: str = "max") -> Rules:
    """Rules of a pods and a percent policy; a value of nought leaves the policy out."""
    both = (("Pods", pods, pods_s), ("Percent", percent, percent_s))
    return Rules(tuple(one for one in both if one[1] > 0), select)


def up(name: str, current: int, desired: int, expected: int, rule: Rules | None = None, *,
       most: int = 1000, grown: tuple[int, ...] = (), shrunk: tuple[int, ...] = ()) -> Limit:  # fmt: skip
    """A case of growing."""
    return Limit(f"up: {name}", current, desired, 1, most, rule, None, grown, shrunk, 120.0, expected)


def down(name: str, current: int, desired: int, expected: int, rule: Rules | None = None, *,
         least: int = 1, grown: tuple[int, ...] = (), shrunk: tuple[int, ...] = ()) -> Limit:  # fmt: skip
    """A case of shrinking."""
    return Limit(f"down: {name}", current, desired, least, 1000, None, rule, grown, shrunk, 120.0, expected)


LIMITS = (
    up("within range", 5, 7, 7, most=8),
    up("the maximum is less than the limit", 20, 1000, 10, most=10),
    up("more than the maximum", 100, 1000, 150, most=150),
    up("1 percent, rounded up", 3, 1000, 4, rules(0, 0, 1, 60), most=2000),
    up("default: the double", 10, 50, 20),
    up("default: at least four more", 1, 50, 5),
    up("pods policy larger", 10, 500, 110, rules(100, 60, 100, 60)),
    up("percent policy larger", 10, 500, 20, rules(2, 60, 100, 60)),
    up("selectPolicy Min", 10, 500, 12, rules(2, 60, 100, 60, "min")),
    up("selectPolicy Disabled", 10, 500, 10, rules(2, 60, 100, 60, "disabled")),
    up("large pods policy", 10, 50, 50, rules(100, 60, 0, 0)),
    up("pods policy", 10, 50, 40, rules(30, 60, 0, 0)),
    up("percent policy", 10, 50, 30, rules(0, 0, 200, 60)),
    up("documented: 900 % a minute, from 1", 1, 1000, 10, rules(0, 0, 900, 60)),
    up("documented: 900 % a minute, from 10", 10, 1000, 100, rules(0, 0, 900, 60)),
    up("documented: one pod at a time", 5, 1000, 6, rules(1, 60, 0, 0)),
    up("700 percent", 3, 300, 24, rules(0, 0, 700, 60)),
    up("700 percent, maximum 20", 3, 300, 20, rules(0, 0, 700, 60), most=20),
    up("maximum, pods policy and earlier growth", 100, 500, 200, rules(300, 60, 0, 0), most=200, grown=(1, 5, 9)),
    up("maximum, percent policy and earlier growth", 100, 500, 200, rules(0, 0, 10000, 60), most=200, grown=(1, 5, 9)),
    up("much grown already: not at all", 100, 500, 100, rules(5, 120, 0, 0), grown=(1, 5, 9)),
    up("pods policy and earlier growth", 100, 500, 235, rules(150, 120, 0, 0), grown=(1, 5, 9)),
    up("percent policy and earlier growth", 100, 500, 255, rules(0, 0, 200, 120), grown=(1, 5, 9)),
    up("percent policy, grown and shrunk before", 6, 24, 16, rules(0, 0, 300, 300), grown=(4,), shrunk=(2,)),
    up("changes older than the period do not count", 100, 200, 200, rules(1000, 60, 0, 0), grown=(8, 12, 9, 11)),
    up("two periods", 100, 200, 200, rules(1000, 30, 100, 60), grown=(8, 12, 9, 11)),
    down("below the minimum", 3, 1, 2, least=2),
    down("to zero where the minimum is zero", 1, 0, 0, least=0),
    down("20 pods a minute", 1000, 3, 980, Rules(PODS20), least=3),
    down("percent and pods: the larger change", 100, 2, 80, rules(20, 60, 1, 60)),
    down("pods policy larger", 100, 2, 98, rules(2, 60, 1, 60)),
    down("large pods policy ends at the minimum", 10, 0, 1, rules(100, 60, 0, 0)),
    down("100 percent ends at the minimum", 10, 2, 5, rules(0, 0, 100, 60), least=5),
    down("pods policy", 10, 2, 5, rules(5, 60, 0, 0)),
    down("percent policy", 10, 5, 5, rules(0, 0, 50, 60)),
    down("documented: 10 % or 4 pods, at 80", 80, 10, 72, Rules(DOCUMENTED_DOWN)),
    down("documented: 10 % or 4 pods, at 72 (7.2 is 8)", 72, 10, 64, Rules(DOCUMENTED_DOWN)),
    down("documented: 10 % or 4 pods, at 40", 40, 10, 36, Rules(DOCUMENTED_DOWN)),
    down("documented: selectPolicy Min", 80, 10, 76, Rules(DOCUMENTED_DOWN, "min")),
    down("documented: selectPolicy Disabled", 80, 10, 80, Rules(DOCUMENTED_DOWN, "disabled")),
    down("10 percent", 100, 1, 90, Rules(TEN)),
    down("default and earlier changes", 10, 5, 5, shrunk=(1, 5, 9)),
    down("pods policy and earlier shrinking to the minimum", 100, 0, 1, rules(115, 120, 0, 0), shrunk=(1, 5, 9)),
    down("the same, minimum 5", 100, 0, 5, rules(130, 120, 0, 0), least=5, shrunk=(1, 5, 9)),
    down("100 percent and earlier shrinking", 100, 2, 5, rules(0, 0, 100, 120), least=5, shrunk=(1, 5, 9)),
    down("much shrunk already: not at all", 100, 2, 100, rules(5, 120, 0, 0), shrunk=(1, 5, 9)),
    down("percent policy and earlier shrinking", 100, 0, 56, rules(0, 0, 50, 120), shrunk=(2, 4, 6)),
    down("percent policy, grown and shrunk before", 10, 1, 6, rules(0, 0, 50, 180), grown=(2,), shrunk=(4,)),
    down("earlier shrinking forbids more", 100, 0, 100, rules(0, 0, 10, 120), shrunk=(10, 10, 10)),
    down("1000 percent and earlier shrinking", 10, 5, 5, rules(0, 0, 1000, 120), shrunk=(10, 10, 10)),
    down("changes older than the period do not count", 100, 5, 5, rules(1000, 60, 0, 0), shrunk=(8, 12, 9, 11)),
    down("two periods", 100, 5, 5, rules(1000, 30, 100, 60), shrunk=(8, 12, 9, 11)),
)
BOUNDED = (
    Bounded("zero replicas and a minimum above: scaling is off", 0, 3, 5, 0),
    Bounded("too few replicas", 2, 3, 5, 3),
    Bounded("too many replicas", 10, 3, 5, 5),
    Bounded("within the bounds: metrics decide", 4, 3, 5, -1),
)
