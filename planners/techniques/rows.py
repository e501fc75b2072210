"""One row per technique: the planner is asked, and what it says is put beside the deployment as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from planners.batching import plan as plan_batching
from planners.brownout import plan as plan_brownout
from planners.serving import plan as plan_serving
from planners.techniques.deployed import Deployed, evidence_text
from predictors.deployment import evidence_of
from specs.base import Figure
from specs.batching import BatchingFound, BatchingPlan
from specs.brownout import BrownoutAlternative, BrownoutPlan
from specs.plan import Percentiles, ServingPlan
from specs.techniques import Technique

PLAIN = 0.5
"""The serving planner's confidence at which nothing is added to its figures: the others judge at the value, too."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """The documents that the planners are asked with; ``cluster``: given, or as large as the deployment needs."""

    workload: Path
    deployment: Path
    cluster: Path
    cluster_given: bool
    experts: Path | None
    accuracy: Path | None
    seed: int
    store: str | None


def as_deployed(deployed: Deployed) -> Technique:
    """The deployment as it is."""
    return Technique(
        name="as deployed", applies=True, why=deployed.breaks or "the SLO holds", holds=deployed.holds,
        load=rounded(deployed.load), gpus=per_load(deployed.gpus, deployed.load),
        ttft_p99_s=finite(deployed.measures.ttft_s.p99.value), tpot_p99_s=finite(deployed.measures.tpot_s.p99.value),
        load_ratio=1.0, cost_ratio=1.0, ttft_ratio=1.0, tpot_ratio=1.0, accuracy_loss_pct=0.0, extra_memory_gib=0.0,
        evidence=evidence_text(evidence_of(deployed.compiled)),
    )  # fmt: skip


def whole_instances(deployed: Deployed, files: Files) -> tuple[Technique, ...]:
    """More or fewer replicas of what runs now: the baseline that every technique must beat on cost."""
    fewest = deployed.fewest_replicas
    if fewest is None:
        why = "prefill and decode replicas are apart" if len(deployed.compiled.pools) > 1 else "no number of them holds"
        return (not_applicable("whole instances", why),)
    gpus = fewest * deployed.gpus_per_replica
    return (Technique(
        name="whole instances", setting=f"{fewest} × {deployed.model.name}", applies=True, holds=True,
        why="the fewest replicas that keep the SLO at this load", load=1.0, gpus=rounded(gpus),
        cost_ratio=ratio(gpus, per_load(deployed.gpus, deployed.load)), accuracy_loss_pct=0.0, extra_memory_gib=0.0,
        evidence=evidence_text(evidence_of(deployed.compiled)),
    ),)  # fmt: skip


def replanned(deployed: Deployed, files: Files) -> tuple[Technique, ...]:
    """Another parallelism and other limits on GPUs of the same kind, by the serving planner."""
    found: ServingPlan = plan_serving(
        files.workload, files.cluster, objective="gpus", confidence=PLAIN, seed=files.seed, store=files.store
    )
    if found.decision is None or found.expected is None or found.why is None:
        return (not_applicable("layout and limits", found.status.reason),)
    headroom = found.why.headroom or 1.0
    return (_row(
        deployed, "layout and limits", setting=described(found), why="planned anew on the same kind of GPU", holds=True,
        load=headroom, gpus=found.decision.gpus / headroom,
        own=(p99(found.expected.ttft_s), p99(found.expected.tpot_s)),
        load_ratio=headroom * deployed.gpus / found.decision.gpus / deployed.load if deployed.load else None,
        evidence=evidence_text(found.evidence), command="tonnage plan serving WORKLOAD --cluster CLUSTER",
    ),)  # fmt: skip


def described(found: ServingPlan) -> str:
    """The chosen layouts in a phrase."""
    assert found.decision is not None
    parts = []
    for one in found.decision.deployments:
        degrees = " ".join(f"{name} {size}" for name, size in one.parallel.model_dump().items() if size > 1) or "tp 1"
        parts.append(f"{one.replicas} × {degrees}, max-num-seqs {one.engine.max_num_seqs}")
    return " + ".join(parts)


def batching(deployed: Deployed, files: Files) -> tuple[Technique, ...]:
    """Buckets and orders of batches, by the batching planner."""
    found: BatchingPlan = plan_batching(files.workload, files.deployment, store=files.store)
    if found.decision is None or found.expected is None or found.why is None:
        return (not_applicable("batching", found.status.reason),)
    fcfs = found.expected.fcfs
    if found.decision.do_not_bucket or found.decision.method in ("none", "fcfs"):
        return (not_applicable("batching", found.why.reason),)
    load = found.expected.load.value if found.expected.load else None
    gained = ratio(load, fcfs.load)
    return (_row(
        deployed, "batching", setting=found.decision.method, why=found.why.reason,
        holds=None, load=scaled(deployed.load, gained), gpus=per_load(deployed.gpus, scaled(deployed.load, gained)),
        own=(p99(found.expected.ttft_s), p99(found.expected.tpot_s)), load_ratio=gained,
        against=(fcfs.ttft_p99_s, fcfs.tpot_p99_s), evidence=evidence_text(found.evidence),
        command="tonnage plan batching WORKLOAD --deployment D --method all",
    ),)  # fmt: skip


def brownout(deployed: Deployed, files: Files) -> tuple[Technique, ...]:
    """United experts and SALC, by the brownout planner: how much larger a burst is carried than with full service."""
    if files.experts is None and deployed.model.moe is not None:
        why = "it needs --experts PROFILE, which `tonnage profile moe` makes of a router's log"
        return (not_applicable("brownout", why),)
    if deployed.model.moe is None:
        return (not_applicable("brownout", f"{deployed.model.name} is dense: it has no experts to unite"),)
    assert files.experts is not None
    found: BrownoutPlan = plan_brownout(
        files.workload, files.deployment, files.experts, files.accuracy, burst=1.0, seed=files.seed, store=files.store
    )
    if found.why is None or not found.why.compared:
        return (not_applicable("brownout", found.status.reason),)
    full, *others = found.why.compared
    best = max(others, key=lambda one: one.largest_burst or 0.0, default=None)
    if best is None or not best.largest_burst:
        return (not_applicable("brownout", found.status.smallest_change or found.status.reason),)
    return (_brownout_row(deployed, found, full, best),)


def _brownout_row(
    deployed: Deployed, found: BrownoutPlan, full: BrownoutAlternative, best: BrownoutAlternative
) -> Technique:
    gained = ratio(best.largest_burst, full.largest_burst)
    return _row(
        deployed, "brownout", setting=f"way {best.way} under SALC" if best.mode == "salc" else best.mode,
        why=f"it carries a burst of {best.largest_burst:.3g} ×, full service {full.largest_burst or 0:.3g} ×",
        holds=best.breaks is None, load=scaled(deployed.load, gained),
        gpus=per_load(deployed.gpus, scaled(deployed.load, gained)), own=(best.ttft_p99_s, best.tpot_p99_s),
        load_ratio=gained,
        against=(full.ttft_p99_s, full.tpot_p99_s), accuracy_loss_pct=best.largest_burst_loss_pct,
        extra_memory_gib=best.extra_memory_gib,
        evidence=evidence_text(found.evidence),
        command="tonnage plan brownout WORKLOAD --deployment D --experts PROFILE",
    )  # fmt: skip


def not_applicable(name: str, why: str) -> Technique:
    """A technique that has nothing to give here, with the reason."""
    return Technique(name=name, applies=False, why=why)


def _row(
    deployed: Deployed,
    name: str,
    *,
    setting: str,
    why: str,
    holds: bool | None,
    load: float | None,
    gpus: float | None,
    own: tuple[float | None, float | None],
    load_ratio: float | None,
    evidence: str,
    command: str,
    against: tuple[float | None, float | None] | None = None,
    accuracy_loss_pct: float | None = 0.0,
    extra_memory_gib: float | None = 0.0,
) -> Technique:
    """A row; ratios of p99 are against the planner's own baseline where it has one, else the deployment."""
    base = against or (deployed.measures.ttft_s.p99.value, deployed.measures.tpot_s.p99.value)
    return Technique(
        name=name, setting=setting, applies=True, why=why, holds=holds, load=optional(load), gpus=optional(gpus),
        ttft_p99_s=optional(own[0]), tpot_p99_s=optional(own[1]), load_ratio=optional(load_ratio),
        cost_ratio=ratio(gpus, per_load(deployed.gpus, deployed.load)), ttft_ratio=ratio(own[0], base[0]),
        tpot_ratio=ratio(own[1], base[1]), accuracy_loss_pct=accuracy_loss_pct, extra_memory_gib=extra_memory_gib,
        evidence=evidence, command=command,
    )  # fmt: skip


def p99(found: Percentiles) -> float | None:
    """The value of a p99, where there is one."""
    figure: Figure | None = found.p99
    return None if figure is None else figure.value


def scaled(load: float, gained: float | None) -> float | None:
    """The largest load after a gain; None where the gain or the load is not known."""
    return load * gained if gained is not None and load else None


def per_load(gpus: float, load: float | None) -> float | None:
    """GPUs that this load takes, where ``gpus`` hold ``load`` times as much."""
    return rounded(gpus / load) if load else None


def ratio(value: float | None, base: float | None) -> float | None:
    """A ratio, None where either is missing."""
    if value is None or not base or not math.isfinite(value) or not math.isfinite(base):
        return None
    return rounded(value / base)


def optional(value: float | None) -> float | None:
    """Four digits of what is known."""
    return None if value is None else rounded(value)


def finite(value: float) -> float | None:
    """Four digits of what is defined."""
    return rounded(value) if math.isfinite(value) else None


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


__all__ = [
    "BatchingFound", "Files", "as_deployed", "batching", "brownout", "not_applicable", "replanned", "whole_instances",
]  # fmt: skip
