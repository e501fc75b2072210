"""What a placement is asked: models, the cluster's free GPUs in order, and what each workload needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from predictors.serving import Requests
from predictors.workload import check_lengths, requests_of, statistics
from profilers.importers.load import read_load
from specs.base import Precision
from specs.catalog import find_device, find_model
from specs.cluster import Cluster, ClusterSpec, Pool
from specs.deployment import DeploymentSpec, Engine, PrecisionSpec
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.placement import PlacementObjective, Resource, Variant
from specs.reading import nearest, read_document, sha256
from specs.trace import Load
from specs.workload import ClosedArrivals, Workload, WorkloadSpec

OnProgress = Callable[[float, float, str], None]
MARGIN = 1.2
"""max_model_len is planned this much above the longest request. [ours]"""
BUSY_Z = 2.33
"""Requests in flight are planned at the 99th percentile of a Poisson count around Little's mean. [std]"""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A model with the requests it must serve (None: only a batch of fixed lengths was given)."""

    name: str
    model: ModelSpec
    workload: WorkloadSpec | None
    load: Load | None
    requests: Requests | None
    prompt_tokens: float
    output_tokens: float
    batch: int | None  # None: follows from the workload's rate
    rate_per_s: float

    @property
    def longest(self) -> int:
        """Tokens of the longest request."""
        if self.requests is None:
            return int(self.prompt_tokens + self.output_tokens)
        return int((self.requests.prompt_tokens + self.requests.output_tokens).max())


@dataclass(frozen=True, kw_only=True)
class GpuClass:
    """The free GPUs of one pool, node by node, fullest nodes first: (node, index on it) in the order of use."""

    pool: Pool
    device: DeviceSpec
    gpus: tuple[tuple[int, int], ...]

    @property
    def usd_per_hour(self) -> float | None:
        """Price of one GPU."""
        return self.pool.usd_per_gpu_hour.value if self.pool.usd_per_gpu_hour else None


@dataclass(frozen=True, kw_only=True)
class Question:
    """Everything a placement depends on."""

    name: str
    served: tuple[Served, ...]
    cluster: ClusterSpec
    classes: tuple[GpuClass, ...]
    objective: PlacementObjective
    variant: Variant
    least: Resource
    micro_batches: int
    most_gpus: int
    crossing_ms: float
    confidence: float
    weights: Precision | None
    seed: int
    current: Path | None
    inputs: dict[str, str]
    notes: tuple[str, ...]

    def deployment(self, served: Served, device: DeviceSpec, batch: int = 1) -> DeploymentSpec:
        """One engine of a model on one GPU of ``device``, with limits that hold ``batch`` sequences."""
        length = min(-(-int(served.longest * MARGIN) // 1024) * 1024, served.model.max_context_tokens)
        seqs = max(256, 1 << (batch - 1).bit_length())
        engine = Engine(max_model_len=length, max_num_seqs=seqs, max_num_batched_tokens=max(8192, seqs))
        return DeploymentSpec(
            model=served.model.name, device=device.name, engine=engine, precision=PrecisionSpec(weights=self.weights)
        )


def read_question(
    models: Sequence[str], cluster: Path, *, workloads: Sequence[Path], objective: PlacementObjective,
    variant: Variant, least: Resource, batch: int, prompt_tokens: int, output_tokens: int, micro_batches: int,
    most_gpus: int, crossing_ms: float, confidence: float, weights: Precision | None, current: Path | None, seed: int,
) -> Question:  # fmt: skip
    """Read the documents; raises `InputError` for what is wrong in them, or does not belong together."""
    offered = read_document(cluster, Cluster)
    documents = [(path, read_document(path, Workload)) for path in workloads]
    found = [find_model(name) for name in models]
    _check_pairs(found, documents)
    served = tuple(
        _served(model, documents, batch=batch, prompt_tokens=prompt_tokens, output_tokens=output_tokens, seed=seed)
        for model in found
    )
    if least == "cost":
        _check_prices(offered.spec, cluster)
    if current is not None and not current.is_file():
        raise InputError(f"{current}: no such file", cure="Name the device map that is used now, in JSON.")
    inputs = {path.name: sha256(path) for path in (cluster, *workloads, *([current] if current else []))}
    for one in served:
        inputs |= one.load.inputs if one.load else {}
    return Question(
        name=f"{'+'.join(one.name for one in served)}-on-{offered.metadata.name}", served=served,
        cluster=offered.spec, classes=tuple(_classes(offered.spec, cluster.parent)), objective=objective,
        variant=variant, least=least, micro_batches=micro_batches, most_gpus=most_gpus,
        crossing_ms=crossing_ms, confidence=confidence, weights=weights, seed=seed,
        current=current, inputs=inputs, notes=tuple(link_notes(offered.spec, cluster.parent)),
    )  # fmt: skip


def link_notes(cluster: ClusterSpec, base: Path) -> list[str]:
    """What was assumed of links that the documents leave out."""
    notes = []
    if "network_gbps" not in cluster.model_fields_set and (len(cluster.pools) > 1 or cluster.pools[0].nodes > 1):
        notes.append(
            f"the cluster names no network: {cluster.network_gbps:g} Gbit/s between nodes is assumed "
            "(give network_gbps; 0 means nodes cannot reach each other)"
        )
    devices = [find_device(pool.device, base) for pool in cluster.pools if pool.gpus_per_node > 1]
    by_pcie = {one.name: one.links.pcie_gb_per_s for one in devices if one.links.nvlink_gb_per_s == 0}
    if by_pcie:
        rates = ", ".join(f"{name} ({rate:g} GB/s)" for name, rate in by_pcie.items())
        notes.append(
            f"no NVLink on {rates}: GPUs of a node are taken to talk over PCIe, each on a full link of its own"
        )
    return notes


def _check_pairs(models: list[ModelSpec], documents: list[tuple[Path, Workload]]) -> None:
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"model {name} is given twice", cure="Name each model once; its load decides its copies.")
    for path, document in documents:
        asked = find_model(document.spec.model, path.parent).name
        if asked not in names:
            raise InputError(
                f"{path}: spec.model: is a workload of {asked}{nearest(asked, names)}; placed are {', '.join(names)}",
                cure="Give workloads of the models that are placed.",
            )
    given = [find_model(document.spec.model, path.parent).name for path, document in documents]
    missing = [name for name in names if name not in given]
    if len(names) > 1 and missing:
        raise InputError(
            f"{missing[0]} has no workload: models can share a GPU only where the load of each is known",
            cure="Give one --workload per model.",
        )


def _served(
    model: ModelSpec, documents: list[tuple[Path, Workload]], *, batch: int, prompt_tokens: int, output_tokens: int,
    seed: int,
) -> Served:  # fmt: skip
    for path, document in documents:
        if find_model(document.spec.model, path.parent).name != model.name:
            continue
        load = read_load(document.spec, path.parent)
        requests = requests_of(document.spec, load, seed=seed)
        check_lengths(requests, model.max_context_tokens, limit=f"{model.name}'s context")
        closed = document.spec.arrivals
        return Served(
            name=document.metadata.name, model=model, workload=document.spec, load=load, requests=requests,
            prompt_tokens=float(requests.prompt_tokens.mean()), output_tokens=float(requests.output_tokens.mean()),
            batch=closed.concurrency if isinstance(closed, ClosedArrivals) else None,
            rate_per_s=float(statistics(requests).get("rate_per_s", 0.0)),
        )  # fmt: skip
    if prompt_tokens + output_tokens > model.max_context_tokens:
        raise InputError(
            f"{prompt_tokens} prompt and {output_tokens} output tokens exceed the {model.max_context_tokens} of "
            f"{model.name}",
            cure="Give shorter lengths.",
        )
    return Served(
        name=model.name, model=model, workload=None, load=None, requests=None, prompt_tokens=float(prompt_tokens),
        output_tokens=float(output_tokens), batch=batch, rate_per_s=0.0,
    )  # fmt: skip


def _check_prices(cluster: ClusterSpec, path: Path) -> None:
    for pool in cluster.pools:
        if pool.usd_per_gpu_hour is None:
            raise InputError(
                f"{path}: pool {pool.name!r}: usd_per_gpu_hour is missing, and cost is to be least",
                cure="Give `usd_per_gpu_hour: {value: …, source: …, date: …}`, or plan with --least gpus.",
            )


def _classes(cluster: ClusterSpec, base: Path) -> list[GpuClass]:
    found = []
    for pool in cluster.pools:
        nodes = sorted(enumerate(pool.free_by_node()), key=lambda one: (-one[1], one[0]))
        gpus = tuple(
            (node, pool.gpus_per_node - free + index) for node, free in nodes for index in range(free)
        )  # the taken GPUs of a node come first
        found.append(GpuClass(pool=pool, device=find_device(pool.device, base), gpus=gpus))
    if not any(one.gpus for one in found):
        raise InputError("the cluster has no free GPU", cure="Lower taken_gpus, or add a pool.")
    return found


def in_flight(rate_per_s: float, request_s: float) -> int:
    """Requests in flight, at the 99th percentile of a Poisson count around Little's mean [std]."""
    mean = rate_per_s * request_s
    return max(1, int(np.ceil(mean + BUSY_Z * np.sqrt(mean))))
