"""What is given back when memory runs short, cheapest first; and how much copies help a step at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from planners.modules.cocoserve import Step, undo
from planners.modules.layouts import Layout, at_home, changed, kv_tokens, surface_of, sustained, weight_of
from planners.modules.question import GIB, Question
from predictors.serving import StepSurface
from predictors.step_time.slices import decode_s, prefill_s
from solvers.allocation import marginal_allocation
from specs.modules import ModuleAction, Release

SHRINK = 0.25
"""A shrunk batch gives back this share of the KV. [ours]"""


def release(question: Question, layout: Layout, steps: tuple[Step, ...]) -> tuple[Release, ...]:
    """What is given back under memory pressure: KV to a neighbour, copies, a smaller batch, offloading. [ours]"""
    tokens, surface = kv_tokens(question, layout), surface_of(question, layout)
    rate = sustained(question, surface, tokens)
    rungs: list[tuple[str, float, float]] = []
    for step in _kv_moves(question, layout, rate):
        rungs.append((
            f"migrate the KV of layers {step.action.first_layer}–{step.action.last_layer} to {step.action.target}",
            step.action.gib, 1 - step.rate / rate,
        ))  # fmt: skip
    for step in reversed(steps):
        one = step.action
        before = at_home(question, layout.home, layout.hosts)
        for other in steps:
            if other is not step:
                before = _again(before, other)
        lost = 1 - sustained(question, surface_of(question, before), kv_tokens(question, before)) / rate
        rungs.append(
            (f"undo step {one.order}: {one.op} of {one.module} {one.first_layer}–{one.last_layer}", one.gib, lost)
        )
    freed = SHRINK * tokens * float(question.kv.sum()) / GIB
    lost = 1 - sustained(question, surface, (1 - SHRINK) * tokens) / rate
    rungs.append((f"shrink the batch by {SHRINK:.0%} of its KV", freed, lost))
    pcie_s = freed * GIB / (question.device.links.pcie_gb_per_s * 1e9)
    rungs.append((f"offload that KV to the host instead, {pcie_s:.2g} s over PCIe each way", freed, lost))
    return tuple(
        Release(order=at + 1, what=what, frees_gib=round(gib, 3), loses=round(max(loss, 0.0), 4))
        for at, (what, gib, loss) in enumerate(rungs)
    )


def _kv_moves(question: Question, layout: Layout, rate: float) -> list[Step]:
    """The KV of a quarter of the layers moved to the host with most room, if its loss is known."""
    _, used = weight_of(question, layout)
    rooms = [unit.room - float(held) for unit, held in zip(layout.hosts, used, strict=True)]
    if not rooms or max(rooms) <= 0:
        return []
    host, last = int(np.argmax(rooms)), max(1, question.model.layers // 4)
    new = changed(layout, 1, last, kv=host)
    tokens = min(kv_tokens(question, new), kv_tokens(question, layout))
    moved = float(question.kv[1 : last + 1].sum()) * tokens
    if tokens <= 0:
        return []
    copy_s = question.copy_s(moved, layout.home[0], layout.hosts[host])
    after = sustained(question, surface_of(question, new), tokens)
    action = ModuleAction(
        order=0, op="migrate", module="kv", first_layer=1, last_layer=last, source=layout.home[0].name,
        target=layout.hosts[host].name, gib=round(moved / GIB, 3), copy_ms=round(copy_s * 1e3, 2),
        downtime_ms=round(copy_s * 1e3, 2), gain=round(after / rate - 1, 4), undo=undo("migrate", copy_s),
    )  # fmt: skip
    return [Step(action=action, layout=new, rate=after, host=host)]


def _again(layout: Layout, step: Step) -> Layout:
    one = step.action
    name = {"layers": "copies", "feed-forward": "feed_forward", "attention": "attention", "kv": "kv"}[one.module]
    value: object = frozenset({step.host})
    if one.op == "migrate":
        name, value = ("kv" if one.module == "kv" else "main"), step.host
    return changed(layout, one.first_layer, one.last_layer, **{name: value})


def figures(question: Question, layout: Layout) -> dict[str, float | str]:
    """How much copies help a decode step and a step of prompts, now, as planned, and at best for as many copies.

    The bound gives copies out one by one without hops, which is optimal as each layer's time is convex in them.
    """
    start = at_home(question, layout.home, layout.hosts)
    batch = min(max(1.0, kv_tokens(question, start) / (question.prompt_tokens + question.output_tokens)),
                question.deployment.engine.max_num_seqs)  # fmt: skip
    found: dict[str, float | str] = {"batch": round(batch, 1)}
    extra = sum(len(one.copies | one.attention | one.feed_forward) for one in layout.layers)  # as if all were whole
    for name, seconds in _steps(question, batch).items():
        now, then = (seconds(surface_of(question, one)) for one in (start, layout))
        found[f"{name}_step_ms"] = round(now * 1e3, 3)
        found[f"{name}_step_after_ms"] = round(then * 1e3, 3)
        found[f"{name}_step_bound_ms"] = round(_bound_s(question, start, extra, seconds) * 1e3, 3)
    return found


def _steps(question: Question, batch: float) -> dict[str, Callable[[StepSurface], float]]:
    """A decode step of a full batch, and a step of four prompts."""
    return {
        "decode": lambda surface: decode_s(surface, batch, question.context),
        "prompts": lambda surface: prefill_s(surface, question.prompt_tokens, 4.0),
    }


def _bound_s(question: Question, start: Layout, extra: int, seconds: Callable[[StepSurface], float]) -> float:
    """The step with ``extra`` layer copies placed freely and without hops."""
    hosts = tuple(replace(start.home[0], name=f"ideal {n}") for n in range(8))
    by_copies = [
        seconds(surface_of(question, changed(replace(start, hosts=hosts), 0, question.model.layers - 1,
                                             copies=frozenset(range(n)))))
        for n in range(9)
    ]  # fmt: skip
    layers = question.model.layers
    grants = marginal_allocation(lambda _, n: by_copies[n] / layers, [0] * layers, extra, most=[8] * layers)
    return float(by_copies[0] - sum(one.gain for one in grants))
