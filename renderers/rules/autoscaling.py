"""Rules of an autoscaling plan: signals its policies ask, burning budgets, and load, replicas and start-up times."""

from __future__ import annotations

import re
from collections.abc import Iterator

from renderers.autoscaling_manifests import deployable
from renderers.rules import engine
from renderers.rules.burning import QUANTILES, Bound, Group, Rule, assumption, burning, group
from renderers.rules.services import latency, matcher, rate, signals
from specs.autoscaling import AutoscalingPlan, ScaledService

PROMISE = re.compile(r"(?P<what>\S+) (?P<level>p\d+) ≤ (?P<bound>[\d.e-]+)( s)?(?=[:,])")
"""A promise as `why.slo` tells it: of an entry's service (`gateway p99 ≤ 1.2 s`) or of an engine (`ttft_s p99 ≤ 1`)."""


def groups(plan: AutoscalingPlan) -> list[Group]:
    """Return signals, promises and assumptions; raises `InputError` as `deployable` does.

    A service's own part of a promise leaves its calls out, which no common histogram does: the whole promise burns.
    """
    services = deployable(plan)
    asked = (
        rule for one in services for rule in signals(one.service, [trigger.metric for trigger in one.policy.triggers])
    )
    told = plan.why.slo if plan.why else {}
    bounds = {bound.name: bound for service, text in told.items() for bound in _promises(service, text)}
    loads = plan.why.load if plan.why else {}
    return [
        group(plan, "signals", asked),
        *(group(plan, bound.name, burning(bound)) for bound in bounds.values()),
        *(group(plan, f"{one.service}-assumptions", _assumptions(one, loads.get(one.service, {}))) for one in services),
    ]


def _promises(service: str, told: str) -> Iterator[Bound]:
    for found in PROMISE.finditer(told):
        what, level, bound_s = found["what"], found["level"], float(found["bound"])
        if level in QUANTILES and what in engine.HISTOGRAMS:
            name = f"{service}-{what.removesuffix('_s')}-{level}"
            yield engine.latency(name, what, matcher(service), bound_s, 1.0 - QUANTILES[level])
        elif level in QUANTILES:
            yield latency(f"{what}-{level}", what, bound_s, 1.0 - QUANTILES[level])


def _assumptions(one: ScaledService, figures: dict[str, float]) -> Iterator[Rule]:
    name, policy = one.service, one.policy
    deployed = f'kube_deployment_spec_replicas{{deployment="{name}"}}'
    if "highest_per_s" in figures:
        most = figures["highest_per_s"]
        yield assumption("load", name, f"{rate(name)} > {most:.6g}", f"more than the {most:.4g}/s it was tried on")
    if policy.kind == "static":
        fixed = policy.min_replicas
        yield assumption("replicas", name, f"{deployed} != {fixed}", f"not the {fixed} planned replicas")
    else:
        least, most_replicas, peak = policy.min_replicas, policy.max_replicas, one.needed_at_peak
        yield assumption("most", name, f"{deployed} >= {most_replicas}", f"at its limit of {most_replicas} replicas")
        yield assumption("fewest", name, f"{deployed} < {least}", f"below the fewest planned replicas, {least}")
        highest = f"max_over_time({deployed}[1h])"
        yield assumption("peak", name, f"{highest} > {peak}", f"more replicas than the {peak} that the peak needs")
    if "first_served_request_after_s" in figures:
        planned = figures["first_served_request_after_s"]
        pods = f'{{pod=~"{name}-[a-z0-9]+-[a-z0-9]+"}}'
        started = f"kube_pod_status_ready_time{pods} - on (namespace, pod) kube_pod_created{pods}"
        slower = f"replicas start slower than the {planned:.0f} s of the plan"
        yield assumption("start-up", name, f"max({started}) > {planned:.6g}", slower)
