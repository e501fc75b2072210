"""A serving plan by hand, for what is drawn from it."""

from __future__ import annotations

from specs.base import Figure, Metadata
from specs.deployment import DeploymentInPlan, Engine, Parallel, Role, Roles
from specs.plan import (
    Alternative,
    BoundHeld,
    Evidence,
    Percentiles,
    ServingDecision,
    ServingExpected,
    ServingPlan,
    ServingWhy,
    Status,
    WhatIf,
)

ENGINE = Engine(max_num_seqs=192, max_num_batched_tokens=2048, gpu_memory_utilization=0.92, max_model_len=16384)
DEPLOYMENT = DeploymentInPlan(
    model="llama-3.1-70b",
    device="h100-sxm",
    pool="h100",
    replicas=3,
    parallel=Parallel(tp=4),
    engine=ENGINE,
    labels={"published": "meta-llama/Llama-3.1-70B"},
)


def figures(scale: float) -> Percentiles:
    """Percentiles whose p99 is ``scale`` within ± 20 %."""
    shares = {"mean": 0.4, "p50": 0.3, "p90": 0.7, "p95": 0.8, "p99": 1.0}
    return Percentiles(
        **{n: Figure(value=s * scale, low=0.8 * s * scale, high=1.2 * s * scale) for n, s in shares.items()}
    )


def plan(*deployments: DeploymentInPlan) -> ServingPlan:
    """A plan of these deployments (three H100 replicas by default)."""
    return ServingPlan(
        metadata=Metadata(name="chat-on-eu-west"),
        status=Status(
            outcome="optimal",
            reason="3 × h100 tp 4 holds every bound",
            solver={"evaluated": 214, "pruned": 1980, "seconds": 1.9},
        ),
        valid="until 2027-01-30",
        decision=ServingDecision(deployments=deployments or (DEPLOYMENT,), gpus=12, usd_per_hour=30.0),
        expected=ServingExpected(
            ttft_s=figures(0.83),
            tpot_s=figures(0.044),
            e2e_s=figures(20.0),
            attainment=Figure(value=0.994, low=0.99, high=0.997),
            usd_per_million_output_tokens=Figure(value=4.0),
            usd_per_million_tokens=Figure(value=0.61),
        ),
        why=ServingWhy(
            binding="ttft_s.p99",
            confidence=0.8,
            headroom=1.18,
            headroom_high=1.2,
            slo=(
                BoundHeld(name="ttft_s.p99", bound=1.0, planned=0.93, holds=True),
                BoundHeld(name="tpot_s.p99", bound=0.05, planned=0.047, holds=True),
                BoundHeld(name="attainment", bound=0.99, planned=0.991, holds=True),
            ),
            next_cheaper=Alternative(
                decision="2 × h100 tp 4", gpus=8, usd_per_hour=20.0, breaks="ttft_s.p99 1.62 > 1", ttft_p99_s=1.62
            ),
            pareto=(
                Alternative(decision="2 × h100 tp 4", gpus=8, usd_per_hour=20.0, breaks="x", ttft_p99_s=1.62),
                Alternative(decision="3 × h100 tp 4", gpus=12, usd_per_hour=30.0, ttft_p99_s=0.9),
                Alternative(decision="4 × h100 tp 4", gpus=16, usd_per_hour=40.0, ttft_p99_s=0.6),
            ),
            what_if=(
                WhatIf(change="rate +20%", holds=False, breaks="ttft_s.p99 1.4 > 1"),
                WhatIf(change="rate -20%", holds=True),
            ),
            failed=(Alternative(decision="2 × h100 tp 4", gpus=8, usd_per_hour=20.0, breaks="ttft_s.p99 1.62 > 1"),),
            bounds={"replicas_at_least": 2.0, "by_mean_work": 1.4, "breaks_first": "rate breaks it first, at 1.19 ×"},
            load={
                "requests": 12000.0,
                "duration_s": 2000.0,
                "rate_per_s": 6.0,
                "interarrival_cv": 2.0,
                "window_s": 60.0,
                "peak_to_mean": 2.3,
                "index_of_dispersion": 9.0,
                "binding_burst_from_s": 300.0,
                "binding_burst_rate_to_mean": 2.3,
                **{
                    f"{n}_tokens_{q}": v
                    for n in ("prompt", "output")
                    for q, v in (("mean", 800.0), ("p90", 1200.0), ("p99", 2000.0))
                },
            },
        ),
        evidence=(
            Evidence(quantity="step_time", basis="database", source="tables", error=0.08),
            Evidence(quantity="memory", basis="calibrated", source="runs", error=0.004),
        ),
    )


def disaggregated() -> ServingPlan:
    """A plan with separate prefill and decode replicas."""
    roles = Roles(prefill=Role(replicas=2, parallel=Parallel(tp=2)), decode=Role(replicas=1, parallel=Parallel(tp=4)))
    return plan(DEPLOYMENT.model_copy(update={"roles": roles}))


def infeasible() -> ServingPlan:
    """A plan that found nothing."""
    return ServingPlan(
        metadata=Metadata(name="chat-on-small"),
        status=Status(
            outcome="infeasible",
            reason="no candidate holds the SLO",
            conflicts=("a100 tp 4: too few",),
            smallest_change="pool a100 with 24 free GPUs instead of 5",
        ),
    )
