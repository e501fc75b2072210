"""An autoscaling plan as Kubernetes objects: what was tried on the load is what is deployed, or there is an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from renderers.manifests import (
    APP_LABEL,
    Manifest,
    decided,
    disruption_budget,
    dns_label,
    metadata,
    quantity,
    rendered,
    target,
)
from specs.autoscaling import AutoscalingPlan, ScaledService
from specs.errors import InputError
from specs.policies import Direction, PolicySpec, Trigger

SIGNALS = {
    "requests": "tonnage_requests_per_s",
    "in-flight": "tonnage_in_flight",
    "waiting": "tonnage_waiting",
    "kv-cache": "tonnage_kv_cache_share",
}
"""Series of every metric but CPU, by service, summed over its pods; `export prometheus` records them."""
DEPLOYED = ("static", "hpa", "keda")
DEFAULT_TOLERANCE, CONTROLLER_SYNC_S = 0.1, 15.0
LONGEST_WINDOW_S, LONGEST_PERIOD_S = 3600.0, 1800.0


def patches(plan: AutoscalingPlan, sha256: str) -> str:
    """Return autoscalers, replicas of static services, and a disruption budget per service.

    Raises `InputError` for a policy that no Kubernetes object runs, or that Kubernetes would run otherwise than tried.
    """
    services = deployable(plan)
    return rendered(_head(services), (one for service in services for one in _manifests(service, sha256)))


def deployable(plan: AutoscalingPlan) -> tuple[ScaledService, ...]:
    """Return the services; raises `InputError` where there is none, a name is wrong, or a policy is not an object's."""
    services: tuple[ScaledService, ...] = decided(plan).services
    for one in services:
        dns_label(one.service, "service")
    others = [one for one in services if one.policy.kind not in DEPLOYED]
    if others:
        told = ", ".join(f"{one.service} ({one.policy.kind})" for one in others)
        raise InputError(
            f"no Kubernetes object runs the policy of {told}: it needs a controller of its own",
            cure=" ".join(["Plan again with --policy hpa, keda or static.", *(_instead(plan, one) for one in others)]),
        )
    return services


def _instead(plan: AutoscalingPlan, service: ScaledService) -> str:
    compared = plan.why.compared if plan.why else ()
    mine = [one for one in compared if one.service == service.service and one.policy.kind in DEPLOYED]
    keeping = [one for one in mine if one.verdict != "breaks it"]
    if not keeping:
        return f"None of them keeps the promise of {service.service}."
    best = min(keeping, key=lambda one: one.score.cost)
    paid = f"{best.score.cost:.4g} {best.score.cost_unit}"
    return f"For {service.service}, {best.name} keeps the promise for {paid} of the scored load."


def _head(services: tuple[ScaledService, ...]) -> Iterator[str]:
    kinds = {one.policy.kind for one in services}
    metrics = {trigger.metric for one in services if one.policy.kind == "hpa" for trigger in one.policy.triggers}
    yield f"Each service is a Deployment of its name, whose pods have the label `{APP_LABEL}` of that value."
    if "keda" in kinds:
        scaled = ", ".join(one.service for one in services if one.policy.kind == "keda")
        yield f"Replicas of {scaled} are set by a ScaledObject: `tonnage export keda`."
    if metrics - {"cpu"}:
        yield "Metrics named tonnage_… are recorded by `tonnage export prometheus`; a metrics adapter must serve them."
    whole = {one.whole for one in services if one.part_of}
    if whole:
        told = ", ".join(sorted(whole))
        yield f"The layers of {told} are Deployments that share GPUs (time slicing or MPS), one autoscaler each."
    for one in services:
        if one.policy.kind == "hpa" and one.policy.sync_s != CONTROLLER_SYNC_S:
            yield f"{one.service} was tried with --horizontal-pod-autoscaler-sync-period={one.policy.sync_s:g}s."
    if any(one.policy.brownout for one in services):
        yield "Where the annotation tonnage/brownout is true, the service itself must leave optional work out."


def _manifests(one: ScaledService, sha256: str) -> Iterator[Manifest]:
    if one.policy.kind == "hpa":
        yield _horizontal(one, sha256)
    elif one.policy.kind == "static":
        yield {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": annotated(one, sha256),
            "spec": {"replicas": one.policy.min_replicas},
        }  # fmt: skip
    yield disruption_budget(one.service, sha256, may_miss=one.spare_replicas)


def annotated(one: ScaledService, sha256: str) -> dict[str, Any]:
    """Return the metadata of an object that scales a service: what the plan says of its replicas, as annotations."""
    known = {
        "metrics_window_s": one.policy.metrics_window_s, "part_of": one.part_of, "first_layer": one.first_layer,
        "last_layer": one.last_layer, "gpus": one.gpus,
    }  # fmt: skip
    told = {
        name: value if isinstance(value, str) else quantity(value) for name, value in known.items() if value is not None
    }
    return metadata(
        one.service, sha256, needed_at_peak=str(one.needed_at_peak), spare_replicas=str(one.spare_replicas),
        head_room_replicas=str(one.head_room_replicas), brownout=str(one.policy.brownout).lower(), **told,
    )  # fmt: skip


def _horizontal(one: ScaledService, sha256: str) -> Manifest:
    policy = one.policy
    if policy.min_replicas < 1:
        cure = "Plan with --policy keda, or without allow_zero."
        raise InputError(f"{one.service}: a HorizontalPodAutoscaler keeps at least one replica", cure=cure)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": annotated(one, sha256),
        "spec": {
            "scaleTargetRef": target(one.service),
            "minReplicas": policy.min_replicas,
            "maxReplicas": policy.max_replicas,
            "metrics": [_metric(one, trigger) for trigger in policy.triggers],
            "behavior": behaviour(one.service, policy),
        },
    }


def _metric(one: ScaledService, trigger: Trigger) -> dict[str, Any]:
    """Return one metric; layers that are scaled apart follow that of their model, which all requests pass."""
    if trigger.metric == "cpu":
        aim = {"type": "Utilization", "averageUtilization": percent(one.service, trigger)}
        return {"type": "Resource", "resource": {"name": "cpu", "target": aim}}
    metric = {"name": SIGNALS[trigger.metric], "selector": {"matchLabels": {"service": one.whole}}}
    aim = {"type": "AverageValue", "averageValue": quantity(trigger.target)}
    return {"type": "External", "external": {"metric": metric, "target": aim}}


def percent(service: str, trigger: Trigger) -> int:
    """Return a CPU target in whole percent; raises `InputError` for a part of one, which Kubernetes does not take."""
    if trigger.target != int(trigger.target):
        cure = "Kubernetes takes whole percent: plan with such a target."
        raise InputError(f"{service}: a CPU target of {trigger.target:g} %", cure=cure)
    return int(trigger.target)


def behaviour(service: str, policy: PolicySpec) -> dict[str, Any]:
    """Return both directions of scaling as an autoscaler's `behavior`, with the largest step built in."""
    return {
        "scaleUp": _direction(service, policy.up, policy, up=True),
        "scaleDown": _direction(service, policy.down, policy, up=False),
    }


def _direction(service: str, one: Direction, policy: PolicySpec, *, up: bool) -> dict[str, Any]:
    whole = [one.stabilization_window_s, *(x for rule in one.policies for x in (rule.value, rule.period_s))]
    longest = max(rule.period_s for rule in one.policies)
    if any(x != int(x) for x in whole) or whole[0] > LONGEST_WINDOW_S or longest > LONGEST_PERIOD_S:
        cure = "Windows of at most 3600 s, periods of at most 1800 s, all in whole numbers."
        raise InputError(f"{service}: Kubernetes does not take these windows and rules of scaling", cure=cure)
    rules = [
        {"type": rule.type, "value": int(rule.value), "periodSeconds": int(rule.period_s)} for rule in one.policies
    ]
    tolerance = {} if one.tolerance == DEFAULT_TOLERANCE else {"tolerance": quantity(one.tolerance)}
    return {
        "stabilizationWindowSeconds": int(one.stabilization_window_s),
        "selectPolicy": one.select_policy.capitalize(),
        "policies": rules if _keeps_step(one, policy) else _stepped(service, one, policy, up=up),
        **tolerance,
    }


def _keeps_step(one: Direction, policy: PolicySpec) -> bool:
    """Whether the direction's own rules are the largest step, or there is none."""
    return policy.max_step is None or [(rule.type, rule.value) for rule in one.policies] == [("Pods", policy.max_step)]


def _stepped(service: str, one: Direction, policy: PolicySpec, *, up: bool) -> list[dict[str, Any]]:
    """At most ``max_step`` pods per look is one rule where the direction's own rules always allow as much."""
    step = policy.max_step
    assert step is not None
    allowed = [
        rule for rule in one.policies
        if rule.period_s <= policy.sync_s
        and ((rule.type == "Pods" and rule.value >= step) or (rule.type == "Percent" and rule.value >= 100 and not up))
    ]  # fmt: skip
    if (
        one.select_policy == "disabled"
        or (one.select_policy == "max" and not allowed)
        or (one.select_policy == "min" and len(allowed) < len(one.policies))
    ):
        cure = "Plan without max_step, or with one that the rules of scaling always allow."
        raise InputError(f"{service}: no rule of Kubernetes is the step of {step} beside its other rules", cure=cure)
    return [{"type": "Pods", "value": step, "periodSeconds": int(policy.sync_s)}]
