"""Rules of an autoscaling plan: signals its policies ask, burning budgets, and load, replicas and start-up times."""

from __future__ import annotations

from collections.abc import Iterator

from renderers.autoscaling_manifests import deployable
from renderers.rules import engine
from renderers.rules.burning import QUANTILES, Bound, Group, Rule, assumption, burning, group
from renderers.rules.services import latency, matcher, rate, signals
from specs.autoscaling import AutoscalingPlan, ScaledService
from specs.errors import InputError
from specs.promises import Promise


def groups(plan: AutoscalingPlan) -> list[Group]:
    """Return signals, promises and assumptions; raises `InputError` as `deployable` does.

    A service's own part of a promise leaves its calls out, which no common histogram does: the whole promise burns.
    """
    services = deployable(plan)
    promised = plan.why.slo if plan.why else {}
    bounds = {bound.name: bound for service, promise in promised.items() for bound in _bounds(service, promise)}
    return [
        group(plan, "signals", _asked(services)),
        *(group(plan, bound.name, burning(bound)) for bound in bounds.values()),
        *(group(plan, f"{one.service}-assumptions", _assumptions(one, _figures(plan, one))) for one in services),
    ]


def _figures(plan: AutoscalingPlan, one: ScaledService) -> dict[str, float]:
    """The load of a service, or of the model whose layers it has, and how fast its own replicas start."""
    why = plan.why
    if why is None:
        return {}
    layers = [each for method in why.compared for each in method.layers if each.service == one.service]
    own = {"first_served_request_after_s": layers[0].start_up_s} if layers else {}
    return why.load.get(one.whole, {}) | own


def _asked(services: tuple[ScaledService, ...]) -> list[Rule]:
    """Every signal once: the layers of a model ask the same ones."""
    found = [
        rule for one in services
        for rule in signals(one.whole, [each.metric for each in one.policy.triggers], one.policy.metrics_window_s)
    ]  # fmt: skip
    return list({(rule["record"], rule["labels"]["service"]): rule for rule in found}.values())


def _bounds(service: str, promise: Promise) -> Iterator[Bound]:
    """The bounds of a promise that a histogram shows; raises `InputError` for one that is only told in words."""
    if promise.words is not None:
        raise InputError(
            f"{service}: the plan tells its promise in words only ({promise.words!r}): an earlier version wrote it",
            cure="Plan again: `tonnage plan autoscaling` writes each bound as a field.",
        )
    for one in promise.bounds:
        late = 1.0 - QUANTILES[one.level] if one.level else promise.late_share or 0.0
        if one.quantity == "latency_s":
            yield latency(f"{one.of}-{one.level}", one.of or service, one.bound_s, late)
        else:
            name = f"{service}-{one.quantity.removesuffix('_s')}-{one.level or 'request'}"
            yield engine.latency(name, one.quantity, matcher(service), one.bound_s, late)


def _assumptions(one: ScaledService, figures: dict[str, float]) -> Iterator[Rule]:
    name, policy = one.service, one.policy
    deployed = f'kube_deployment_spec_replicas{{deployment="{name}"}}'
    if "highest_per_s" in figures and not one.first_layer:
        most = figures["highest_per_s"]
        tried = f"more than the {most:.4g}/s it was tried on"
        yield assumption("load", one.whole, f"{rate(one.whole)} > {most:.6g}", tried)
    if policy.kind == "static":
        fixed = policy.min_replicas
        yield assumption("replicas", name, f"{deployed} != {fixed}", f"not the {fixed} planned replicas")
    else:
        least, most_replicas, peak = policy.min_replicas, policy.max_replicas, one.needed_at_peak
        yield assumption("most", name, f"{deployed} >= {most_replicas}", f"at its limit of {most_replicas} replicas")
        idle = f" and {deployed} > 0" if policy.idle_replicas == 0 else ""
        yield assumption("fewest", name, f"{deployed} < {least}{idle}", f"below the fewest planned replicas, {least}")
        highest = f"max_over_time({deployed}[1h])"
        yield assumption("peak", name, f"{highest} > {peak}", f"more replicas than the {peak} that the peak needs")
    if "first_served_request_after_s" in figures:
        planned = figures["first_served_request_after_s"]
        pods = f'{{pod=~"{name}-[a-z0-9]+-[a-z0-9]+"}}'
        started = f"kube_pod_status_ready_time{pods} - on (namespace, pod) kube_pod_created{pods}"
        slower = f"replicas start slower than the {planned:.0f} s of the plan"
        yield assumption("start-up", name, f"max({started}) > {planned:.6g}", slower)
