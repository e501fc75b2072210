"""Autoscaling and SLO plans by hand, for what is written of them."""

from __future__ import annotations

from specs.autoscaling import (
    AutoscalingDecision,
    AutoscalingExpected,
    AutoscalingPlan,
    AutoscalingWhy,
    Axes,
    LayerPolicy,
    LoadFigure,
    Method,
    ScaledService,
    Score,
)
from specs.base import Figure, Metadata
from specs.plan import Status
from specs.policies import DOWN, UP, PolicySpec, ScalingRule, ScheduleWindow, Trigger
from specs.promises import Bound, Promise
from specs.slo_plan import CriticalPath, EntryExpected, ServiceBudget, SloDecision, SloExpected, SloPlan, SloWhy

SHA = "sha256:" + "0" * 64
STATUS = Status(outcome="feasible", reason="tests")
NIGHT = ScheduleWindow(start="22:00", end="06:00", replicas=4, days=(4, 5))
HPA = PolicySpec(kind="hpa", min_replicas=2, max_replicas=9, triggers=(Trigger(metric="cpu", target=70),))
KEDA = PolicySpec(
    kind="keda", min_replicas=0, max_replicas=9, triggers=(Trigger(metric="requests", target=17.5),),
    activation_per_s=0.5, schedule=(NIGHT,),
)  # fmt: skip
STATIC = PolicySpec(kind="static", min_replicas=3, max_replicas=3)
AXES = Axes(infrastructure="any", architecture="any", scaling="any", objective="any", behaviour="any")
PROMISE = Promise(
    bounds=(Bound(quantity="latency_s", of="gateway", level="p99", bound_s=1.2),), part_s=0.16, late_share=0.00417
)
FIGURES = {"bound_s": 0.4, "late_share_allowed": 0.004, "highest_per_s": 120.0, "first_served_request_after_s": 158.0}


def method(service: str, policy: PolicySpec, violations: float, usd: float, verdict: str = "") -> Method:
    """One policy that ran."""
    score = Score(
        violations=violations, replica_hours=10 * usd, usd=usd, changes_per_hour=1.0, reversals_per_hour=0.5
    )  # fmt: skip
    return Method(
        name=policy.kind, service=service, policy=policy, score=score, axes=AXES, pareto=True, verdict=verdict
    )


def autoscaling(**policies: PolicySpec) -> AutoscalingPlan:
    """A plan of these policies by service; gateway by an HPA, cart by KEDA, payment static by default."""
    given = policies or {"gateway": HPA, "cart": KEDA, "payment": STATIC}
    services = tuple(
        ScaledService(service=name, policy=policy, needed_at_peak=6, spare_replicas=1, head_room_replicas=2)
        for name, policy in given.items()
    )
    compared = [method(n, p, 0.001 * at, 20.0 / at) for n in given for at, p in ((1, STATIC), (2, KEDA), (4, HPA))]
    drawn = LoadFigure(
        service=next(iter(given)), at_s=(0.0, 60.0, 120.0), rate_per_s=(1.0, 4.0, 2.0), replicas=(2.0, 3.0, 3.0),
        quantiles_per_s={"p50": (1.5, 3.5, 2.5), "p90": (2.0, 4.0, 3.0), "p95": (2.5, 4.5, 3.5)}, ahead_s=1200.0,
        forecast_by="calibrated blend",
    )  # fmt: skip
    return AutoscalingPlan(
        metadata=Metadata(name="shop-autoscaling"),
        status=STATUS,
        decision=AutoscalingDecision(services=services),
        expected=AutoscalingExpected(scores={}, hours=72.0, over_time=(drawn,)),
        why=AutoscalingWhy(
            compared=tuple(compared), reasons=dict.fromkeys(given, "cheapest"),
            slo=dict.fromkeys(given, PROMISE),
            load=dict.fromkeys(given, FIGURES),
        ),
    )  # fmt: skip


LAYER = PolicySpec(
    kind="hpa", min_replicas=1, max_replicas=8, triggers=(Trigger(metric="in-flight", target=12.5),),
    metrics_window_s=30.0, max_step=4,
    up=UP.model_copy(update={"policies": (ScalingRule(type="Pods", value=4, period_s=15),)}),
    down=DOWN.model_copy(update={"policies": (ScalingRule(type="Pods", value=4, period_s=15),)}),
)  # fmt: skip


def layered() -> AutoscalingPlan:
    """A model whose two groups of layers are scaled apart, beside its whole replicas."""
    plan = autoscaling(chat=HPA)
    assert plan.why is not None
    layers = tuple(
        LayerPolicy(
            service=f"chat-layers-{first}-{first + 19}", first_layer=first, last_layer=first + 19, policy=LAYER,
            gpus=0.5, sustains_per_s=8.0, start_up_s=26.0, replicas_mean=3.5, needed_at_peak=6,
        )
        for first in (0, 20)
    )  # fmt: skip
    services = tuple(
        ScaledService(
            service=one.service, part_of="chat", first_layer=one.first_layer, last_layer=one.last_layer, gpus=one.gpus,
            policy=LAYER, needed_at_peak=6, spare_replicas=1,
        )
        for one in layers
    )  # fmt: skip
    best = method("chat", LAYER, 0.0005, 3.0, "recommended").model_copy(
        update={"name": "hpa by layers", "layers": layers}
    )
    promise = Promise(bounds=(Bound(quantity="ttft_s", bound_s=1.0),), part_s=1.0, late_share=0.01)
    why = plan.why.model_copy(update={"compared": (*plan.why.compared, best), "slo": {"chat": promise}})
    return plan.model_copy(update={"decision": AutoscalingDecision(services=services), "why": why})


def slo(name: str = "checkout") -> SloPlan:
    """A plan of two services on one path, and of one that nobody waits for."""
    first = ServiceBudget(
        service=name, level="p99", budget_s=0.1, latency_s=0.09, replicas=4, replicas_exact=2.4, current_replicas=3,
        rate_per_s=60.0, cpu_cores=2.0, memory_gib=1.0, cost=2.0, marginal=0.02, critical=True,
    )  # fmt: skip
    second = first.model_copy(update={"service": "cart", "budget_s": 0.05, "replicas": 2, "marginal": 0.01})
    alone = ServiceBudget(service="mail", level="p99", replicas=1, rate_per_s=6.0, cost=0.25)
    entry = EntryExpected(
        entry="checkout/order", level="p99", bound_s=0.15, composed_s=0.14, holds=True,
        simulated_s=Figure(value=0.12, low=0.11, high=0.13),
    )  # fmt: skip
    path = CriticalPath(entry="checkout/order p99", services=(name, "cart"), latency_s=0.14, bound_s=0.15)
    return SloPlan(
        metadata=Metadata(name="orders-slo"),
        status=STATUS,
        decision=SloDecision(
            method="exact", compose="sum", services=(first, second, alone), replicas=7, cost=4.25, unit="cores"
        ),
        expected=SloExpected(entries=(entry,), bottleneck="cart"),
        why=SloWhy(
            lower_bound=4.0, continuous_cost=4.0, gap=0.0, whole_lower_bound=4.0, whole_gap=0.06,
            relax_first=(name,), critical_paths=(path,),
        ),
    )  # fmt: skip
