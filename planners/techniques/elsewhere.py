"""Rows of the techniques that reach beyond the deployment: copies of modules, layer services, other kinds of GPUs."""

from __future__ import annotations

from planners.modules import plan as plan_modules
from planners.placement import plan as plan_placement
from planners.techniques.deployed import Deployed, evidence_text
from planners.techniques.rows import PLAIN, Files, not_applicable, optional, p99, per_load, ratio, rounded
from specs.cluster import Cluster
from specs.modules import MethodResult, ModulesPlan
from specs.placement import PlacementPlan
from specs.reading import read_document
from specs.techniques import Technique

MODULES = {"cocoserve": "module copies", "layer-services": "layer services"}
"""The methods of the modules planner by what they are called here; its third is the baseline of both."""


def modules(deployed: Deployed, files: Files) -> tuple[Technique, ...]:
    """Copies of modules and layer services, against whole instances at equal attainment, by the modules planner."""
    found: ModulesPlan = plan_modules(
        files.deployment, files.cluster, files.workload, confidence=PLAIN, seed=files.seed
    )
    results = {one.method: one for one in found.why.compared} if found.why else {}
    whole = results.get("whole-instance")
    rows = []
    for method, name in MODULES.items():
        one = next((result for key, result in results.items() if key == method), None)
        if one is None or not one.holds:
            rows.append(not_applicable(name, one.breaks or found.status.reason if one else found.status.reason))
        else:
            rows.append(_module_row(deployed, name, one, whole, evidence_text(found.evidence)))
    return tuple(rows)


def _module_row(
    deployed: Deployed, name: str, one: MethodResult, whole: MethodResult | None, evidence: str
) -> Technique:
    base = None if whole is None or not whole.holds else whole
    against = f"{base.gpu_share:.3g} of whole instances" if base else "whole instances do not hold"
    return Technique(
        name=name, setting=one.decision, applies=True, holds=True, load=1.0, gpus=rounded(one.gpu_share),
        why=f"{one.gpu_share:.3g} GPUs at equal attainment, {against}", ttft_p99_s=optional(one.ttft_p99_s),
        tpot_p99_s=optional(one.tpot_p99_s), cost_ratio=ratio(one.gpu_share, per_load(deployed.gpus, deployed.load)),
        ttft_ratio=ratio(one.ttft_p99_s, base.ttft_p99_s if base else None),
        tpot_ratio=ratio(one.tpot_p99_s, base.tpot_p99_s if base else None), accuracy_loss_pct=0.0,
        extra_memory_gib=0.0, evidence=evidence,
        command="tonnage plan modules DEPLOYMENT --cluster CLUSTER --workload WORKLOAD --method all",
    )  # fmt: skip


def placement(deployed: Deployed, files: Files) -> tuple[Technique, ...]:
    """Layers on GPUs of several kinds, by the placement planner, where the cluster has several kinds."""
    kinds = {pool.device for pool in read_document(files.cluster, Cluster).spec.pools}
    if len(kinds) < 2:
        why = "it puts layers on GPUs of several kinds, and only one is at hand"
        cure = "" if files.cluster_given else "; give --cluster"
        return (not_applicable("placement", why + cure),)
    found: PlacementPlan = plan_placement(
        [deployed.deployment.spec.model], files.cluster, workloads=(files.workload,), seed=files.seed
    )
    if found.decision is None or found.expected is None:
        return (not_applicable("placement", found.status.reason),)
    served = next(iter(found.expected.serving.values()), None)
    holds = all(found.expected.holds.values()) if found.expected.holds else None
    first, token = (p99(served.ttft_s), p99(served.tpot_s)) if served else (None, None)
    return (
        Technique(
            name="placement", setting=f"{found.decision.gpus} GPUs, {found.decision.crossings} links crossed",
            applies=True, why=found.status.reason, holds=holds, load=1.0 if holds else None,
            gpus=float(found.decision.gpus) if holds else None, ttft_p99_s=first, tpot_p99_s=token,
            cost_ratio=ratio(float(found.decision.gpus), per_load(deployed.gpus, deployed.load)) if holds else None,
            ttft_ratio=ratio(first, deployed.measures.ttft_s.p99.value),
            tpot_ratio=ratio(token, deployed.measures.tpot_s.p99.value), accuracy_loss_pct=0.0, extra_memory_gib=0.0,
            evidence=evidence_text(found.evidence),
            command="tonnage plan placement MODEL --cluster CLUSTER --workload WORKLOAD",
        ),
    )  # fmt: skip
