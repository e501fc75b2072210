"""CoCoServe: modules replicated or migrated into room beside the instances, one reversible step after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from planners.modules.instances import react_s as instance_react_s
from planners.modules.judging import Way
from planners.modules.layouts import (
    HOME,
    Layout,
    at_home,
    changed,
    kv_tokens,
    surface_of,
    sustained,
    weight_of,
)
from planners.modules.question import DETECT_S, GIB, Question, Unit
from predictors.step_time.slices import decode_s
from specs.errors import InfeasibleError
from specs.modules import Module, ModuleAction

MOST_STEPS = 24
LEAST_GAIN = 0.005
"""Steps that gain less of the sustained rate are not worth a route of their own. [ours]"""
EVERY: frozenset[Module] = frozenset({"layers", "attention", "feed-forward", "kv"})
STARTS: tuple[frozenset[Module], ...] = (EVERY, frozenset({"layers"}), frozenset({"attention"}))
"""The densest first step can bar a better end (attention before whole layers), so ladders with fewer kinds compete."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One action, the layout after it, and the requests per second that it then sustains."""

    action: ModuleAction
    layout: Layout
    rate: float
    host: int


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The instance as it is, and every step in order; what was refused because a copy outlasts the horizon."""

    start: Layout
    rate: float
    steps: tuple[Step, ...]
    too_slow: str | None = None


@dataclass(frozen=True, kw_only=True)
class Climbed:
    """A ladder and how many of its steps are taken."""

    ladder: Ladder
    count: int


def ways(question: Question) -> Iterator[Way]:
    """Instances and copies in order of cost: for each number of instances its ladder, cheapest first."""
    found: list[Way] = []
    parallel = question.deployment.parallel
    most = len(question.units) // parallel.pp
    for replicas in range(question.deployment.replicas, most + 1):
        for at, ladder in enumerate(climbs(question, replicas)):
            first = 0 if at == 0 else 1  # without a step all ladders are the same
            found += [_way(question, replicas, ladder, count) for count in range(first, len(ladder.steps) + 1)]
    yield from sorted(found, key=lambda way: (way.share, way.replicas))


def climbs(question: Question, replicas: int) -> list[Ladder]:
    """One ladder for every set of modules in `STARTS`, those that are alike left out."""
    found: list[Ladder] = []
    for allowed in STARTS:
        ladder = climb(question, replicas, allowed)
        if all(ladder.steps != other.steps for other in found):
            found.append(ladder)
    return found


def climb(question: Question, replicas: int, allowed: frozenset[Module] = EVERY) -> Ladder:
    """Greedy by gain of the sustained rate per GiB, hosts with idle memory before free GPUs.

    A copy is taken when its seconds are at most horizon × gain [ours]. With several instances each
    has an equal share of the hosts, and does the same steps.
    """
    stages = question.deployment.parallel.pp
    home = question.units[:stages]
    layout = at_home(question, home, _hosts(question, replicas))
    start, steps, slow = layout, list[Step](), list[str]()
    first = rate = sustained(question, surface_of(question, layout), kv_tokens(question, layout))
    while len(steps) < MOST_STEPS:
        step = _best(question, layout, rate, len(steps) + 1, slow, allowed)
        if step is None:
            break
        steps.append(step)
        layout, rate = step.layout, step.rate
    return Ladder(start=start, rate=first, steps=tuple(steps), too_slow=slow[0] if slow and not steps else None)


def _hosts(question: Question, replicas: int) -> tuple[Unit, ...]:
    """The hosts of one instance: of every ``replicas`` like hosts one, with the room of the tightest."""
    found = []
    spare = question.units[replicas * question.deployment.parallel.pp :]
    for units in (question.idle, spare):
        for at in range(0, len(units) - replicas + 1, replicas):
            group = units[at : at + replicas]
            tight = min(group, key=lambda one: one.room)
            found.append(replace(tight, slowdown=max(one.slowdown for one in group)))
    return tuple(found)


def _best(
    question: Question, layout: Layout, rate: float, order: int, slow: list[str], allowed: frozenset[Module]
) -> Step | None:
    """The step with the most gain per GiB among those that gain more than their copy costs; idle hosts first."""
    for idle in (True, False):
        found: list[tuple[float, Step]] = []
        for host, unit in enumerate(layout.hosts):
            if unit.idle is not idle:
                continue
            for module, op, first, last in _proposals(question, layout, host):
                if module not in allowed:
                    continue
                step = _tried(question, layout, rate, order, host, module, op, first, last, slow)
                if step is not None:
                    found.append((step.action.gain / max(step.action.gib, 1e-6), step))
        if found:
            densest = max(density for density, _ in found)
            return max((one for density, one in found if density >= 0.9 * densest), key=lambda one: one.action.gain)
    return None


def _proposals(question: Question, layout: Layout, host: int) -> Iterator[tuple[Module, str, int, int]]:
    """Runs of layers that continue where the fewest copies are, in three lengths, for every kind of module."""
    _, used = weight_of(question, layout)
    free = layout.hosts[host].room - float(used[host])
    memory, count = question.memory, question.model.layers
    plain = [
        index
        for index, one in enumerate(layout.layers)
        if one.main == HOME and one.kv is None and not one.feed_forward and not one.attention
    ]
    open_ = [index for index in plain if host not in layout.layers[index].copies]
    if not open_:
        return
    fewest = min(len(layout.layers[index].copies) for index in open_)
    first = next(index for index in open_ if len(layout.layers[index].copies) == fewest)
    last = first
    while last + 1 in open_ and len(layout.layers[last + 1].copies) == fewest:
        last += 1
    sizes: dict[tuple[Module, str], float] = {
        ("layers", "replicate"): float(memory.layers[first]),
        ("feed-forward", "replicate"): float(memory.feed_forward[first]),
        ("attention", "replicate"): float(memory.attention[first]),
        ("layers", "migrate"): float(memory.layers[first]),
        ("kv", "migrate"): 0.0,
    }
    for (module, op), size in sizes.items():
        if op == "migrate" and (fewest or first == 0):  # the first layer keeps the embedding company
            continue
        fit = int(0.9 * free / size) if size else count
        most = min(last - first + 1, fit)
        for length in sorted({most, most // 2, most // 4} - {0}):
            yield module, op, first, first + length - 1


def _tried(
    question: Question, layout: Layout, rate: float, order: int, host: int, module: Module, op: str, first: int,
    last: int, slow: list[str],
) -> Step | None:  # fmt: skip
    unit = layout.hosts[host]
    update: dict[str, object] = {
        ("layers", "replicate"): {"copies": frozenset({host})},
        ("feed-forward", "replicate"): {"feed_forward": frozenset({host})},
        ("attention", "replicate"): {"attention": frozenset({host})},
        ("layers", "migrate"): {"main": host},
        ("kv", "migrate"): {"kv": host},
    }[module, op]  # type: ignore[assignment]
    new = changed(layout, first, last, **update)
    tokens = kv_tokens(question, new)
    if tokens <= 0:
        return None
    weights, moved_kv = _moved(question, layout, module, op, first, last)
    copy_s = question.copy_s(weights + moved_kv, layout.home[0], unit)
    if copy_s > question.horizon_s:
        slow.append(
            f"copying {last - first + 1} layers ({(weights + moved_kv) / GIB:.1f} GiB) to {unit.name} takes "
            f"{copy_s:.3g} s, longer than the horizon of {question.horizon_s:g} s"
        )
        return None
    surface = surface_of(question, new)
    after = sustained(question, surface, tokens)
    gain = after / rate - 1 if rate > 0 else np.inf
    if gain < LEAST_GAIN or copy_s > question.horizon_s * gain:
        return None
    pause = decode_s(surface, 1, question.context) + (
        question.copy_s(moved_kv, layout.home[0], unit) if op == "migrate" else 0.0
    )
    action = ModuleAction(
        order=order, op=op, module=module, first_layer=first, last_layer=last, source=layout.home[0].name,
        target=unit.name, gib=round((weights + moved_kv) / GIB, 3), copy_ms=round(copy_s * 1e3, 2),
        downtime_ms=round(pause * 1e3, 2), gain=round(gain, 4), undo=undo(op, copy_s),
    )  # fmt: skip
    return Step(action=action, layout=new, rate=after, host=host)


def undo(op: str, copy_s: float) -> str:
    """How a step is taken back."""
    if op == "replicate":
        return "route the sequences of the copy home as they end, then free it: nothing is copied"
    return f"copy back, {copy_s * 1e3:.3g} ms"


def _moved(
    question: Question, layout: Layout, module: Module, op: str, first: int, last: int
) -> tuple[float, float]:  # fmt: skip
    """Bytes of weights and of running sequences' KV that cross; a replica starts with new sequences and moves none."""
    memory, kv = question.memory, float(question.kv[first : last + 1].sum())
    weights = {
        "layers": memory.layers, "feed-forward": memory.feed_forward, "attention": memory.attention,
        "kv": np.zeros_like(memory.layers),
    }[module][first : last + 1].sum()  # fmt: skip
    in_use = kv * max(kv_tokens(question, layout), 0.0) if op == "migrate" else 0.0
    return float(weights), in_use


def _way(question: Question, replicas: int, ladder: Ladder, count: int) -> Way:
    layout = ladder.steps[count - 1].layout if count else ladder.start
    surface, tokens = surface_of(question, layout), kv_tokens(question, layout)
    parallel = question.deployment.parallel
    gpus = replicas * parallel.pp * parallel.tp
    used = {step.host for step in ladder.steps[:count]}
    extra = sum(_share(question, layout, host, tokens) for host in used)
    whole = sum(1 for host in used if not layout.hosts[host].idle)
    label = f"{replicas} instance{'s' * (replicas != 1)}" + (f" + {count} step{'s' * (count != 1)}" if count else "")
    return Way(
        method="cocoserve", label=label, surface=surface, kv_tokens=tokens, replicas=replicas,
        gpus=gpus + replicas * whole * parallel.tp, share=gpus + replicas * extra * parallel.tp,
        sustains_per_s=replicas * sustained(question, surface, tokens), detail=Climbed(ladder=ladder, count=count),
    )  # fmt: skip


def _share(question: Question, layout: Layout, host: int, tokens: float) -> float:
    """Share of a GPU that a host gives: all of a free one, of an idle one what its memory holds of the whole."""
    unit = layout.hosts[host]
    if not unit.idle:
        return 1.0
    weights = float(weight_of(question, layout)[1][host])
    per_token = sum(
        float(question.kv[index]) / (1 + len(one.copies) + len(one.attention))
        for index, one in enumerate(layout.layers)
        if host in one.copies | one.attention or one.main == host or one.kv == host
    )
    return min(weights + per_token * tokens, unit.room) / unit.total


def react_s(question: Question, now: Way, then: Way) -> float:
    """Seconds until the copies that the step needs serve: one sync, then copies one after another."""
    if then.replicas > now.replicas:
        return instance_react_s(question, now, then) + _copies_s(then, 0)
    before = climbed(now)[1]
    if climbed(then)[1] <= before:
        return 0.0
    return DETECT_S + _copies_s(then, before)


def climbed(way: Way) -> tuple[Ladder, int]:
    """The ladder of a way, and how many of its steps it takes."""
    assert isinstance(way.detail, Climbed)
    return way.detail.ladder, way.detail.count


def _copies_s(way: Way, before: int) -> float:
    ladder, count = climbed(way)
    return sum(step.action.copy_ms for step in ladder.steps[before:count]) / 1e3


def refuse_slow_copies(question: Question) -> None:
    """Raise `InfeasibleError` where not even one layer can be copied within the horizon."""
    hosts = _hosts(question, question.deployment.replicas)
    if not hosts:
        return
    size = float(question.memory.layers.min())
    fastest = min(question.copy_s(size, question.units[0], host) for host in hosts)
    if fastest > question.horizon_s:
        raise InfeasibleError(
            f"a copy of one layer ({size / GIB:.2f} GiB) takes {fastest:.3g} s at best, longer than the horizon of "
            f"{question.horizon_s:g} s",
            cure="Plan for a longer --horizon, or give the cluster faster links.",
        )
