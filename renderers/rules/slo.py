"""Rules of an SLO plan: burning budgets of every entry, and the load and the replicas it gave each service."""

from __future__ import annotations

from collections.abc import Iterator

from renderers.manifests import decided
from renderers.rules.burning import QUANTILES, Group, Rule, assumption, burning, fewer_replicas, group
from renderers.rules.services import latency, rate
from specs.slo_plan import EntryExpected, ServiceBudget, SloPlan


def groups(plan: SloPlan) -> list[Group]:
    """Return a group per entry, and one of assumptions; raises `InputError` for a plan without a decision."""
    services: tuple[ServiceBudget, ...] = decided(plan).services
    entries = plan.expected.entries if plan.expected else ()
    found = [group(plan, _name(one), _burning(one)) for one in entries if one.level in QUANTILES]
    return [*found, group(plan, "assumptions", (rule for one in services for rule in _assumptions(one)))]


def _name(one: EntryExpected) -> str:
    return f"{one.entry.replace('/', '-')}-{one.level}"


def _burning(one: EntryExpected) -> Iterator[Rule]:
    service, _, operation = one.entry.partition("/")
    yield from burning(latency(_name(one), service, one.bound_s, 1.0 - QUANTILES[one.level], operation))


def _assumptions(one: ServiceBudget) -> Iterator[Rule]:
    name, most = one.service, one.rate_per_s
    yield assumption("load", name, f"{rate(name)} > {most:.6g}", f"more than the {most:.4g}/s that were planned")
    yield fewer_replicas(name, one.replicas)
