"""A colocation plan in sentences, with the arithmetic that a reader can redo."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from specs.colocation import ColocationPlan
from specs.plan import PlanDocument

WIDTH = 100
BARS = 40


def explain(plan: PlanDocument, *, plot: bool = False) -> str:
    """Return the plan as paragraphs; ``plot`` adds the slowdown of each service as bars."""
    assert isinstance(plan, ColocationPlan)
    paragraphs = list(_paragraphs(plan))
    text = "\n\n".join("\n".join(textwrap.wrap(one, WIDTH)) for one in paragraphs)
    return f"{text}\n\n{_bars(plan)}" if plot and plan.expected is not None else text


def _paragraphs(plan: ColocationPlan) -> Iterator[str]:
    yield f"{plan.metadata.name}: {plan.status.outcome}. {plan.status.reason}."
    if plan.decision is None or plan.expected is None or plan.why is None:
        yield from (f"Conflict: {text}." for text in plan.status.conflicts)
        yield from (f"{text}." for text in (plan.status.smallest_change, plan.status.missing) if text)
        return
    cost = plan.expected.cost_cores
    price = cost.low or 0.0
    yield (
        f"The cost is {plan.why.objective}: {price:.4g} for the nodes and {cost.value - price:.4g} lost to slowdown "
        f"make {cost.value:.4g} cores. Nothing can cost less than {plan.why.lower_bound_cores:.4g} "
        f"({plan.why.bound_basis})."
    )
    for one in plan.why.compared:
        more = one.cost_cores - cost.value
        yield (
            f"{one.method.capitalize()} uses {one.nodes:.0f} nodes at a mean slowdown of {one.mean_slowdown:.3f} and "
            f"costs {one.cost_cores:.4g} cores, {more:+.4g}." + (f" It breaks: {one.breaks}." if one.breaks else "")
        )
    yield _slowdown(plan)
    yield from (_batch(plan), _risk(plan))
    yield "What it rests on: " + "; ".join(
        f"{e.quantity}, {e.basis}: {e.source}" + (f", ± {e.error:.0%}" if e.error else "") for e in plan.evidence
    ) + "."  # fmt: skip
    yield from (f"Note: {note}." for note in plan.why.notes)


def _slowdown(plan: ColocationPlan) -> str:
    assert plan.expected is not None
    worst = max(plan.expected.services, key=lambda one: one.worst.value)
    return (
        f"A slowdown of 1.10 means that the same work takes 10 % more CPU time than alone on the same node "
        f"type. Worst is "
        f"a replica of {worst.service} at {worst.worst.value:.3g}, with 90 % between {worst.worst.low:.3g} and "
        f"{worst.worst.high:.3g}."
    )


def _batch(plan: ColocationPlan) -> str:
    assert plan.expected is not None
    parts = [
        f"{one.pool}, {one.policy}: {one.cpu_cores:.4g} cores and {one.memory_gib:.4g} GiB, "
        f"{one.unused_cpu_cores:.4g} cores and {one.unused_memory_gib:.4g} GiB left unused"
        for one in plan.expected.batch
    ]
    return (
        "Batch capacity is capacity less a safety margin (40 % of CPU, 35 % of memory), less the system, less what "
        "latency-sensitive pods use, request, or the larger of both. " + "; ".join(parts) + "."
    )


def _risk(plan: ColocationPlan) -> str:
    assert plan.expected is not None
    over = plan.expected.overcommit
    return (
        f"All requests, best effort's too, are {over.cpu_ratio:.2f} of the CPU and {over.memory_ratio:.2f} of "
        f"the memory "
        f"of the nodes in use. The chance that a node's pods want more than it has is at most "
        f"{over.worst_cpu_risk:.2%} "
        f"for CPU, which then waits, and {over.worst_memory_risk:.2%} for memory, which then kills ({over.basis})."
    )


def _bars(plan: ColocationPlan) -> str:
    assert plan.expected is not None
    rows = sorted(plan.expected.services, key=lambda one: -one.worst.value)[:30]
    top = max(max(one.worst.value for one in rows) - 1.0, 1e-9)
    name = max(len(one.service) for one in rows)
    lines = [
        f"{one.service:<{name}}  {'█' * round(BARS * (one.worst.value - 1.0) / top):<{BARS}}  {one.worst.value:.2f}"
        for one in rows
    ]
    return "\n".join(["worst slowdown by service", *lines])
