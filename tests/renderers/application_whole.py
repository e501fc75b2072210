"""An application's plan by hand, with caches, rules, a range and a language model."""

from __future__ import annotations

from specs.application import Affinity, Resources
from specs.application_plan import (
    ApplicationDecision,
    ApplicationPlan,
    CachePlanned,
    GpusPlanned,
    NodePlanned,
    ScalingRange,
    ServicePlanned,
)
from specs.base import Figure, Metadata
from specs.plan import Percentiles, Status
from tests.renderers import serving_plan

RULES = Affinity(apart_from=("store",), node_labels={"disk": "nvme"}, most_per_node=1)
RANGE = ScalingRange(least=1, most=3, cpu_utilisation=0.55, least_rate_per_s=40.0)
STATED = Percentiles(p50=Figure(value=1.0, low=0.9, high=1.1), p99=Figure(value=3.0, low=2.5, high=3.5))
CACHE = CachePlanned(
    service="items", database="store", reads_per_s=100.0, process_gib=0.6, store_gib=0.25, buffer_gib=0.5,
    process_share=0.5, store_share=0.1, buffer_share=0.2, disk_share=0.2, read_s=0.002, uncached_s=0.008,
    database_reads_per_s=40.0,
)  # fmt: skip


def service(name: str, replicas: int, nodes: dict[str, int], **more: object) -> ServicePlanned:
    """One service; what is not given is as of one that asks for a core and a GiB."""
    asked = Resources(cpu_cores=1.0, memory_gib=1.0)
    return ServicePlanned.model_validate(
        {
            "service": name, "replicas": replicas, "nodes": nodes, "budget_s": 0.01, "visits_per_s": 100.0,
            "utilisation": 0.5, "limit_per_s": 200.0, "cpu_cores": float(replicas), "memory_gib": float(replicas),
            "requests": asked, **more,
        }
    )  # fmt: skip


def plan(**changes: object) -> ApplicationPlan:
    """Three services on two nodes, and a model on GPUs."""
    items = service("items", 3, {"disks-1": 1, "disks-2": 1, "disks-3": 1}, affinity=RULES, scaling=RANGE, spare=1)
    beside = Affinity(together_with=("store",))
    front = service("front", 2, {"plain-1": 2}, limits=Resources(memory_gib=2.0), affinity=beside)
    store = service("store", 1, {"plain-1": 1}, namespace="data", requests=Resources(cpu_cores=2.0, memory_gib=4.5))
    model = service("model", serving_plan.DEPLOYMENT.replicas, {}, requests=None)
    gpus = GpusPlanned(
        service="model", workload="chat.yaml", gpus=serving_plan.DEPLOYMENT.gpus, usd_per_hour=5.0, outcome="optimal",
        reason="tests", rate_per_s=4.0, deployments=(serving_plan.DEPLOYMENT,), ttft_s=STATED, e2e_s=STATED,
    )  # fmt: skip
    nodes = [NodePlanned(node=name, pool=name[:-2], replicas=1, cpu_share=0.5, memory_share=0.5)
             for name in ("disks-1", "disks-2", "disks-3", "plain-1")]  # fmt: skip
    given = {
        "services": (items, front, store, model), "nodes": tuple(nodes), "caches": (CACHE,), "gpus": (gpus,),
        "replicas": 8, "usd_per_hour": 7.0, "cpu_cores": 7.0, "memory_gib": 9.5, **changes,
    }  # fmt: skip
    return ApplicationPlan(
        metadata=Metadata(name="small-whole"), status=Status(outcome="feasible", reason="tests"),
        decision=ApplicationDecision.model_validate(given),
    )  # fmt: skip
