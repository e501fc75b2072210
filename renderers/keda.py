"""An autoscaling plan as KEDA ScaledObjects: triggers, schedule and behaviour as they were tried on the load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from renderers.autoscaling_manifests import SIGNALS, annotated, behaviour, deployable, percent
from renderers.manifests import Manifest, quantity, rendered, target
from specs.autoscaling import AutoscalingPlan, ScaledService
from specs.errors import InputError
from specs.policies import PolicySpec, ScheduleWindow, Trigger

PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"
NOON, MIDNIGHT = 720, 1440


def scaled_objects(plan: AutoscalingPlan, sha256: str, prometheus: str = PROMETHEUS) -> str:
    """Return one ScaledObject per service whose policy is KEDA's; ``prometheus``: address of the server it asks.

    Raises `InputError` where no service is scaled so, since an autoscaler of `export kubernetes` has the target then.
    """
    services = deployable(plan)
    scaled = [one for one in services if one.policy.kind == "keda"]
    if not scaled:
        told = ", ".join(f"{one.service} ({one.policy.kind})" for one in services)
        raise InputError(
            f"{plan.metadata.name}: KEDA scales none of {told}, and a ScaledObject beside a "
            "HorizontalPodAutoscaler on one target would undo what it does",
            cure="`tonnage export kubernetes` has their objects; `plan autoscaling --policy keda` plans for KEDA.",
        )
    return rendered(_head(plan, services, scaled), (_object(one, sha256, prometheus) for one in scaled))


def _head(plan: AutoscalingPlan, services: tuple[ScaledService, ...], scaled: list[ScaledService]) -> Iterator[str]:
    if any(trigger.metric != "cpu" for one in scaled for trigger in one.policy.triggers):
        yield "Series named tonnage_… are recorded by the rules of `tonnage export prometheus`."
    others = [one.service for one in services if one.policy.kind != "keda"]
    if others:
        yield f"Replicas of {', '.join(others)} are set by `tonnage export kubernetes`."
    todays = {one.service for one in (plan.why.compared if plan.why else ()) if one.name == "hpa (today's)"}
    for one in scaled:
        if one.service in todays:
            yield f"Delete today's HorizontalPodAutoscaler of {one.service} first: KEDA makes its own, two would fight."


def _object(one: ScaledService, sha256: str, prometheus: str) -> Manifest:
    policy = one.policy
    triggers = [_trigger(one.service, trigger, policy, prometheus) for trigger in policy.triggers]
    if 0 in (policy.min_replicas, policy.idle_replicas) and all(trigger.metric == "cpu" for trigger in policy.triggers):
        cure = "Plan with a trigger on requests, or without allow_zero."
        raise InputError(f"{one.service}: CPU alone does not wake a service that has no replicas", cure=cure)
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": annotated(one, sha256),
        "spec": {
            "scaleTargetRef": target(one.service),
            **({} if policy.idle_replicas is None else {"idleReplicaCount": policy.idle_replicas}),
            "minReplicaCount": policy.min_replicas,
            "maxReplicaCount": policy.max_replicas,
            "pollingInterval": seconds(one.service, policy.polling_s),
            "cooldownPeriod": seconds(one.service, policy.cooldown_s),
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behaviour(one.service, policy)}},
            "triggers": [*triggers, *(cron for window in policy.schedule for cron in _crons(window))],
        },
    }


def seconds(service: str, value: float) -> int:
    """Return whole seconds; raises `InputError` for a part of one."""
    if value != int(value):
        raise InputError(f"{service}: {value:g} s", cure="KEDA takes whole seconds: plan with such an interval.")
    return int(value)


def _trigger(service: str, trigger: Trigger, policy: PolicySpec, prometheus: str) -> dict[str, Any]:
    if trigger.metric == "cpu":
        metadata = {"value": str(percent(service, trigger))}
        return {"type": "cpu", "metricType": "Utilization", "metadata": metadata}
    woken_at = {"activationThreshold": quantity(policy.activation_per_s)} if trigger.metric == "requests" else {}
    metadata = {
        "serverAddress": prometheus,
        "query": f'{SIGNALS[trigger.metric]}{{service="{service}"}}',
        "threshold": quantity(trigger.target),
        **woken_at,
    }
    return {"type": "prometheus", "metricType": "AverageValue", "metadata": metadata}


def _crons(window: ScheduleWindow) -> Iterator[dict[str, Any]]:
    """Yield the window as cron triggers, which may not end when they begin.

    As it was tried, the days of a window are those of every minute in it: one past midnight on some days is two.
    """
    begin, end = _minutes(window.start), _minutes(window.end)
    if begin == end:
        pieces = [(0, NOON), (NOON, MIDNIGHT)]
    elif begin < end or len(set(window.days)) == 7:
        pieces = [(begin, end)]
    else:
        pieces = [(begin, MIDNIGHT), *([(0, end)] if end else [])]
    for first, last in pieces:
        next_day = int(last <= first or last == MIDNIGHT)
        metadata = {
            "timezone": window.timezone,
            "start": _at(first, window.days, later=0),
            "end": _at(last, window.days, later=next_day),
            "desiredReplicas": str(window.replicas),
        }
        yield {"type": "cron", "metadata": metadata}


def _at(minute: int, days: tuple[int, ...], later: int) -> str:
    """Cron counts days from Sunday = 0, the plan from Monday = 0."""
    counted = sorted({(day + 1 + later) % 7 for day in days})
    on = "*" if len(counted) == 7 else ",".join(str(day) for day in counted)
    return f"{minute % 60} {minute // 60 % 24} * * {on}"


def _minutes(time: str) -> int:
    hour, _, minute = time.partition(":")
    return 60 * int(hour) + int(minute)
