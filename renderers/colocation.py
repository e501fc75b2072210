"""The table of a colocation plan: nodes and their pods first, then slowdowns, batch capacity and reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from renderers.plain import LABEL, columns, title, wrapped
from specs.base import Figure
from specs.colocation import ColocationPlan, PlacedNode

NODES, SERVICES = 16, 16


def colocation_table(plan: ColocationPlan, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = columns(width)
    parts = _decided(plan, width) if plan.decision else _refused(plan, width)
    return "\n".join([title(plan, width), "", *parts])


def _decided(plan: ColocationPlan, width: int) -> Iterator[str]:
    assert plan.decision is not None
    assert plan.expected is not None
    assert plan.why is not None
    pods = sum(one.replicas for one in plan.decision.services)
    cost = f" · {plan.decision.usd_per_hour:.2f} USD/h" if plan.decision.usd_per_hour is not None else ""
    yield f"  {pods} pods on {plan.decision.nodes_used} nodes, {plan.decision.nodes_free:.0f} free{cost}"
    yield ""
    for node in plan.decision.nodes[:NODES]:
        yield from _node(node, width)
    if len(plan.decision.nodes) > NODES:
        pools = Counter(node.pool for node in plan.decision.nodes)
        said = ", ".join(f"{count} of {pool}" for pool, count in pools.items())
        yield f"  … and {len(plan.decision.nodes) - NODES} more nodes in the plan ({said})"
    yield ""
    yield from _slowdowns(plan, width)
    yield from _confirmed(plan)
    yield ""
    yield from _compared(plan)
    yield ""
    yield from _why(plan, width)


def _node(node: PlacedNode, width: int) -> list[str]:
    pods = ", ".join(f"{count} {service}" if count > 1 else service for service, count in node.pods.items())
    batch = f" + {node.batch_cpu_cores:.3g} batch" if node.batch_cpu_cores else ""
    label = f"  {node.node:<{LABEL}}{node.requested_cpu_cores:>6.3g}{batch} cores  "
    return wrapped(f"{label:<{LABEL + 28}}", pods, width)


def _slowdowns(plan: ColocationPlan, width: int) -> Iterator[str]:
    assert plan.expected is not None
    found = sorted(plan.expected.services, key=lambda one: (one.qos == "BE", -one.worst.value))
    name = min(max([len(one.service) for one in found[:SERVICES]] + [7]), 30)
    yield f"  {'slowdown':<{name}}  {'class':<5} {'mean':>6}  {'worst':>6}   90 % interval of the worst"
    for one in found[:SERVICES]:
        interval = f"{one.worst.low:.2f} – {one.worst.high:.2f}"
        label = f"  {one.service[:name]:<{name}}  {one.qos:<5}"
        yield f"{label} {one.mean.value:>6.2f}  {one.worst.value:>6.2f}   {interval}"
    if len(found) > SERVICES:
        yield f"  … and {len(found) - SERVICES} more services in the plan"
    mean, p99 = plan.expected.slowdown, plan.expected.p99_slowdown
    yield from wrapped(
        f"  {'all':<{name}}  ", f"mean {_figure(mean)}, p99 {_figure(p99)} over latency-sensitive pods", width
    )


def _figure(figure: Figure) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} – {figure.high:.2f})"


def _confirmed(plan: ColocationPlan) -> Iterator[str]:
    """Yield the simulated response times of each entry, in milliseconds, without neighbours and with them."""
    assert plan.expected is not None
    entries = plan.expected.confirmed
    if not entries:
        return
    name = min(max([len(one.entry) for one in entries[:SERVICES]] + [13]), 30)
    yield ""
    yield f"  {'response, ms':<{name}}  {'':<4}{'alone':>10}{'placed':>10}{'bound':>10}"
    for one in entries[:SERVICES]:
        for quantity, after in one.after_s.items():
            bound = f"{1e3 * one.bounds_s[quantity]:>10.4g}" if quantity in one.bounds_s else f"{'–':>10}"
            times = f"{1e3 * one.before_s[quantity]:>10.4g}{1e3 * after:>10.4g}"
            yield f"  {one.entry[:name]:<{name}}  {quantity:<4}{times}{bound}"
    if len(entries) > SERVICES:
        yield f"  … and {len(entries) - SERVICES} more entries in the plan"


def _compared(plan: ColocationPlan) -> Iterator[str]:
    assert plan.why is not None
    assert plan.expected is not None
    assert plan.decision is not None
    yield f"  {'placement':<34}{'nodes':>6}{'mean':>8}{'p99':>8}{'cost, cores':>13}"
    mine = plan.expected
    yield (
        f"  {'this plan':<34}{plan.decision.nodes_used:>6}{mine.slowdown.value:>8.2f}{mine.p99_slowdown.value:>8.2f}"
        f"{mine.cost_cores.value:>13.3g}"
    )
    for one in plan.why.compared:
        breaks = f"  {one.breaks}" if one.breaks else ""
        figures = f"{one.nodes:>6.0f}{one.mean_slowdown:>8.2f}{one.p99_slowdown:>8.2f}{one.cost_cores:>13.3g}"
        yield f"  {one.method:<34}{figures}{breaks}"


def _why(plan: ColocationPlan, width: int) -> Iterator[str]:
    assert plan.why is not None
    assert plan.expected is not None
    gap = "" if plan.why.gap is None else f", the plan at most {plan.why.gap:.1%} above"
    over = plan.expected.overcommit
    rows = [
        ("cost", plan.why.objective),
        ("bound", f"{plan.why.lower_bound_cores:.4g} cores ({plan.why.bound_basis}){gap}"),
        ("bound by", plan.why.binding or ""),
        ("batch", _batch(plan)),
        (
            "overcommit",
            f"CPU {over.cpu_ratio:.2f}, memory {over.memory_ratio:.2f} of the nodes in use; chance that a node's pods "
            f"want more than it has: CPU {over.worst_cpu_risk:.1%}, memory {over.worst_memory_risk:.1%} at most "
            f"({over.worst_node}; {over.basis})",
        ),
        (
            "evidence",
            " · ".join(f"{e.quantity}: {e.basis}" + (f", ± {e.error:.0%}" if e.error else "") for e in plan.evidence),
        ),
        *(("note", note) for note in plan.why.notes),
        ("valid", plan.valid or ""),
    ]
    for label, text in rows:
        if text:
            yield from wrapped(f"  {label:{LABEL}}", text, width)


def _batch(plan: ColocationPlan) -> str:
    assert plan.expected is not None
    parts = []
    for policy in ("usage", "request", "maxUsageRequest"):
        mine = [one for one in plan.expected.batch if one.policy == policy]
        cores, unused = sum(one.cpu_cores for one in mine), sum(one.unused_cpu_cores for one in mine)
        memory = sum(one.memory_gib for one in mine)
        parts.append(f"{policy} {cores:.3g} cores, {memory:.3g} GiB ({unused:.3g} cores left unused)")
    return "for best effort, over all nodes, by Koordinator's policies: " + "; ".join(parts)


def _refused(plan: ColocationPlan, width: int) -> Iterator[str]:
    status = plan.status
    yield from wrapped("  ", status.reason, width)
    yield ""
    rows = [("conflict", text) for text in status.conflicts]
    rows += [("would do", status.smallest_change or ""), ("missing", status.missing or "")]
    for label, text in rows:
        if text:
            yield from wrapped(f"  {label:{LABEL}}", text, width)
