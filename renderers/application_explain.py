"""An application's plan in sentences, step by step, and how busy its services are as bars."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.application_plan import count, rate, seconds, stated
from renderers.plain import WIDEST, refused
from specs.application_plan import ApplicationPlan


def explain(plan: ApplicationPlan, *, plot: bool = False) -> str:
    """Tell the plan in sentences, step by step; ``plot`` draws how busy each service is as bars."""
    if plan.decision is None or plan.why is None or plan.expected is None:
        return "\n".join(refused(plan, WIDEST))
    lines: list[str] = []
    for text in _sentences(plan):
        lines += [*textwrap.wrap(text, WIDEST), ""]
    return "\n".join(lines + (_bars(plan) if plot else []))


def _sentences(plan: ApplicationPlan) -> Iterator[str]:
    decision, why, expected = plan.decision, plan.why, plan.expected
    if decision is None or why is None or expected is None:
        return
    yield f"Planned for {rate(why.load.rate_per_s)} requests per second: {why.load.basis}."
    for cache in decision.caches:
        yield (
            f"A read of {cache.service} takes {seconds(cache.read_s)} instead of {seconds(cache.uncached_s)}: of "
            f"{rate(cache.reads_per_s)} reads per second {rate(cache.database_reads_per_s)} reach {cache.database}, "
            f"and {cache.disk_share:.1%} of all its disk."
        )
    for one in expected.entries:
        taken = why.reserved_network_s.get(one.entry, 0.0)
        yield (
            f"{one.entry} must answer within {seconds(one.bound_s)} ({one.level}). {seconds(taken)} were kept for the "
            f"network before the rest was split; simulated whole it takes {seconds(one.simulated_s.value)}, standard "
            f"error {seconds(one.standard_error_s)}; its longest way spends {seconds(one.network_s)} on the network."
        )
    on_nodes = [one for one in decision.services if one.nodes]
    for service in sorted(on_nodes, key=lambda each: -each.utilisation)[:1]:
        yield (
            f"{service.service} is the busiest on nodes: {rate(service.visits_per_s)} visits per second over "
            f"{rate(service.limit_per_s)} that {count(service.replicas, 'replica')} can do is "
            f"{service.utilisation:.0%}."
        )
    yield (
        f"As the load rises this gives way first, at {rate(expected.fails_first.rate_per_s)} requests per second: "
        f"{expected.fails_first.what}."
    )
    for gpu in decision.gpus:
        yield (
            f"{gpu.service} is served by {count(gpu.gpus, 'GPU')}: {gpu.reason}. Whole answers take "
            f"{stated(gpu.e2e_s)}, the first token {stated(gpu.ttft_s)}; the upper ends are planned with."
        )
    yield plan.status.reason[0].upper() + plan.status.reason[1:] + "."
    if why.proven:
        yield f"Proven: {'; '.join(why.proven)}."
    if why.unproven:
        yield f"Not proven: {'; '.join(why.unproven)}."
    yield from (note[0].upper() + note[1:] + "." for note in why.notes)


def _bars(plan: ApplicationPlan) -> list[str]:
    assert plan.decision is not None
    rows = sorted(plan.decision.services, key=lambda one: -one.utilisation)[:20]
    wide = min(max(len(one.service) for one in rows), 26)
    return [
        f"{one.service[:wide]:{wide}} {'█' * max(round(50 * min(one.utilisation, 1.0)), 1)} {one.utilisation:.0%}"
        for one in rows
    ]
