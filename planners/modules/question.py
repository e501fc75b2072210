"""What is asked of a plan by modules: the deployment, its GPUs and those with room, the load, what is assumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from predictors.layered import Hop, hop_between
from predictors.memory.budget import ledger
from predictors.memory.layers import LayerMemory, free_for_layers, kv_by_layer, layer_memory
from predictors.serving import ClosedLoop, Requests
from predictors.step_time.error import upper_end
from predictors.step_time.slices import Slices, slices
from predictors.workload import check_lengths, closed_loop_of, requests_of
from profilers.importers.load import read_load
from profilers.named import step_profile
from specs.catalog import find_device, find_model
from specs.cluster import Cluster, ClusterSpec, Pool
from specs.deployment import Deployment, DeploymentSpec, Roles
from specs.device import DeviceSpec
from specs.errors import InfeasibleError, InputError
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec
from specs.reading import read_document, sha256
from specs.trace import Load
from specs.workload import Workload, WorkloadSpec

FloatArray = npt.NDArray[np.float64]
OnProgress = Callable[[float, float, str], None]
GIB = 2**30

DETECT_S = 15.0
"""From a step in load to the decision: one sync of the Kubernetes HPA [docs]; the same for every method [ours]."""
ENGINE_START_S = 30.0
"""A whole engine: process, profiling run and CUDA graphs, weights apart. [assumed]"""
SERVICE_START_S = 5.0
"""A layer service: a container whose image is there, and a CUDA context, weights apart. [assumed]"""
COPY_START_S = 0.05
"""Allocating memory for a copy and switching the route. [assumed]"""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """As many GPUs of one node as the TP degree asks; bytes are of one GPU, since TP ranks are alike."""

    name: str
    node: int
    room: float  # bytes for layers and KV
    total: float  # bytes of the GPU
    idle: bool = False  # taken by others, who leave the room idle
    slowdown: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Question:
    """Everything the plan depends on."""

    name: str
    model: ModelSpec
    device: DeviceSpec
    deployment: DeploymentSpec
    pool: Pool
    network_gbps: float
    workload: WorkloadSpec
    requests: Requests
    closed_loop: ClosedLoop | None
    load: Load
    cut: Slices
    memory: LayerMemory
    kv: FloatArray  # bytes of KV per token of context in each layer [L]
    units: tuple[Unit, ...]  # free ones, in the order of use
    idle: tuple[Unit, ...]  # those of others, roomiest first
    horizon_s: float
    hop_ms: float
    confidence: float
    step: float
    groups: int
    seed: int
    inputs: dict[str, str]
    notes: tuple[str, ...]

    @property
    def prompt_tokens(self) -> float:
        """Mean prompt."""
        return float(self.requests.prompt_tokens.mean())

    @property
    def output_tokens(self) -> float:
        """Mean answer."""
        return float(self.requests.output_tokens.mean())

    @property
    def upper(self) -> float:
        """What step times are multiplied with at their upper end for the confidence."""
        return upper_end(self.cut.whole.relative_error, self.confidence)

    @property
    def context(self) -> float:
        """Mean context of a decoding sequence."""
        return self.prompt_tokens + self.output_tokens / 2

    @property
    def everywhere(self) -> float:
        """Bytes of one layer and its share of what every device holds."""
        return self.memory.everywhere

    def link_gb_per_s(self, a: Unit, b: Unit) -> float:
        """Sustained bandwidth between two units, GB/s; 0 where nodes cannot reach each other."""
        if a.node != b.node and self.network_gbps <= 0:
            return 0.0
        hop = self.hop(a, b)
        return 2.0 * self.model.hidden / hop.s_per_token / 1e9

    def hop(self, a: Unit, b: Unit) -> Hop:
        """Crossing of hidden states between two units."""
        software_s = self.hop_ms / 1e3
        if a.node == b.node:
            return hop_between(self.model, self.device, software_s=software_s)
        return hop_between(self.model, self.device, network_gbps=self.network_gbps, software_s=software_s)

    def copy_s(self, size: float, a: Unit, b: Unit) -> float:
        """Seconds to copy ``size`` bytes between two units, its start included; infinite without a link."""
        rate = self.link_gb_per_s(a, b)
        return np.inf if rate <= 0 else COPY_START_S + size / (rate * 1e9)

    def load_s(self, size: float) -> float:
        """Seconds to load ``size`` bytes of weights from the network (a model store)."""
        rate = max(self.network_gbps / 8, 1e-3)
        return size / (rate * 1e9)

    def scaled(self, factor: float) -> Question:
        """The same question at a multiple of the load."""
        requests = requests_of(self.workload, self.load, seed=self.seed, load_scale=factor)
        closed = self.closed_loop
        if closed is not None:
            closed = replace(closed, concurrency=max(1, round(closed.concurrency * factor)))
        return replace(self, requests=requests, closed_loop=closed)


def read_question(
    deployment: Path,
    cluster: Path,
    workload: Path,
    *,
    horizon_s: float,
    step: float,
    groups: int,
    hop_ms: float,
    confidence: float,
    seed: int,
) -> Question:  # fmt: skip
    """Read the documents; raises `InputError` for what is wrong in them, `InfeasibleError` where nothing fits."""
    deployed, offered, asked = (
        read_document(deployment, Deployment), read_document(cluster, Cluster), read_document(workload, Workload)
    )  # fmt: skip
    spec = deployed.spec
    model, device = find_model(spec.model, deployment.parent), find_device(spec.device, deployment.parent)
    _check(spec, asked, model, workload)
    pool = _pool(spec, offered.spec, device, cluster)
    load = read_load(asked.spec, workload.parent)
    requests = requests_of(asked.spec, load, seed=seed)
    longest = int((requests.prompt_tokens + requests.output_tokens).max())
    spec = _with_length(spec, longest, model)
    check_lengths(requests, spec.engine.max_model_len or model.max_context_tokens, limit="the engine's max_model_len")
    profile = step_profile(spec.profile, deployment.parent) if spec.profile else None
    if profile is not None and not isinstance(profile, LayerProfileSpec):
        raise InputError(
            f"{deployment}: spec.profile: whole steps of a running engine do not tell one layer from another",
            cure="Give a LayerProfile (`tonnage profile layers`), or none.",
        )
    room = free_for_layers(model, device, spec) - layer_memory(model, spec).everywhere
    units, idle = _units(spec, pool, device, room), _idle(spec, pool, model, device)
    need = spec.parallel.pp * spec.replicas
    if len(units) < need:
        raise InfeasibleError(
            f"{cluster}: pool {pool.name} has {len(units)} free groups of {spec.parallel.tp} GPUs on one node; the "
            f"deployment takes {need}",
            cure="Free more GPUs, or deploy fewer replicas.",
        )
    inputs = {path.name: sha256(path) for path in (deployment, cluster, workload)} | load.inputs
    return Question(
        name=f"{deployed.metadata.name}-on-{offered.metadata.name}", model=model, device=device, deployment=spec,
        pool=pool, network_gbps=offered.spec.network_gbps, workload=asked.spec, requests=requests,
        closed_loop=closed_loop_of(asked.spec), load=load, cut=slices(model, device, spec, profile=profile),
        memory=layer_memory(model, spec), kv=kv_by_layer(model, spec, longest) / longest, units=units, idle=idle,
        horizon_s=horizon_s, hop_ms=hop_ms, confidence=confidence, step=step,
        groups=min(groups, model.layers), seed=seed, inputs=inputs,
        notes=tuple(_notes(offered.spec, pool, device)),
    )  # fmt: skip


def _check(spec: DeploymentSpec, asked: Workload, model: ModelSpec, workload: Path) -> None:
    if isinstance(spec.roles, Roles):
        raise InputError("roles: modules are planned for mixed replicas", cure="Give a deployment without roles.")
    if spec.parallel.ep > 1 or spec.parallel.dp > 1:
        raise InputError("parallel: modules are planned for tp and pp alone", cure="Set ep and dp to 1.")
    if find_model(asked.spec.model, workload.parent).name != model.name:
        raise InputError(
            f"{workload}: spec.model: is {asked.spec.model}, deployed is {model.name}",
            cure="Give the workload of the deployed model.",
        )
    slo = asked.spec.slo
    parts = (slo.request, slo.ttft_s, slo.tpot_s, slo.e2e_s, slo.itl_s)
    if not any(part.model_dump(exclude_none=True) for part in parts):
        raise InputError(
            f"{workload}: spec.slo: no bound is given, so methods cannot be compared at equal attainment",
            cure="Give for example `slo: {ttft_s: {p99: 1.0}, tpot_s: {p99: 0.05}}`.",
        )


def _pool(spec: DeploymentSpec, cluster: ClusterSpec, device: DeviceSpec, path: Path) -> Pool:
    for pool in cluster.pools:
        named = spec.pool is None or pool.name == spec.pool
        if named and find_device(pool.device, path.parent).name == device.name:
            return pool
    raise InputError(
        f"{path}: no pool{f' {spec.pool!r}' if spec.pool else ''} has {device.name}, on which the deployment runs",
        cure="Give a cluster with the deployment's device.",
    )


def _with_length(spec: DeploymentSpec, longest: int, model: ModelSpec) -> DeploymentSpec:
    if spec.engine.max_model_len is not None:
        return spec
    length = min(-(-longest // 1024) * 1024, model.max_context_tokens)
    return spec.model_copy(update={"engine": spec.engine.model_copy(update={"max_model_len": length})})


def _units(spec: DeploymentSpec, pool: Pool, device: DeviceSpec, room: float) -> tuple[Unit, ...]:
    """Whole free GPUs, grouped by the TP degree within their node."""
    tp, total = spec.parallel.tp, device.memory_gib * GIB
    found = []
    for node, free in enumerate(pool.free_by_node()):
        taken = pool.gpus_per_node - free
        for first in range(taken, pool.gpus_per_node - tp + 1, tp):
            found.append(Unit(name=_unit_name(pool.name, node, first, tp), node=node, room=room, total=total))
    return tuple(found)


def _idle(spec: DeploymentSpec, pool: Pool, model: ModelSpec, device: DeviceSpec) -> tuple[Unit, ...]:
    """Room on taken GPUs, less what another process needs besides weights and KV; roomiest first."""
    tp, total = spec.parallel.tp, device.memory_gib * GIB
    book = ledger(model, device, spec.model_copy(update={"parallel": spec.parallel.model_copy(update={"pp": 1})}))
    besides = book.used_bytes - max(0.0, book.kv_bytes) - sum(book.weights.values())
    slowdown = 1.0 / max(1.0 - pool.taken_busy, 1e-3)
    by_node: dict[int, list[tuple[int, float]]] = {}
    for node, gpu, gib in pool.idle_by_gpu():
        by_node.setdefault(node, []).append((gpu, gib))
    found = []
    for node, gpus in by_node.items():
        for at in range(0, len(gpus) - tp + 1, tp):
            room = min(gib for _, gib in gpus[at : at + tp]) * GIB - besides - model_everywhere(model, spec)
            if room > 0:
                name = _unit_name(pool.name, node, gpus[at][0], tp)
                found.append(Unit(name=name, node=node, room=room, total=total, idle=True, slowdown=slowdown))
    return tuple(sorted(found, key=lambda one: -one.room))


def model_everywhere(model: ModelSpec, spec: DeploymentSpec) -> float:
    """Bytes that every device with a layer holds."""
    return layer_memory(model, spec).everywhere


def _unit_name(pool: str, node: int, first: int, tp: int) -> str:
    gpus = f"GPU {first}" if tp == 1 else f"GPUs {first}–{first + tp - 1}"
    return f"{pool} node {node} {gpus}"


def _notes(cluster: ClusterSpec, pool: Pool, device: DeviceSpec) -> list[str]:
    notes = []
    if "network_gbps" not in cluster.model_fields_set:
        notes.append(
            f"the cluster names no network: {cluster.network_gbps:g} Gbit/s is assumed for copies between nodes and "
            "for weights that an instance loads"
        )
    if device.links.nvlink_gb_per_s == 0:
        notes.append(
            f"{device.name} has no NVLink: copies within a node go over PCIe, {device.links.pcie_gb_per_s:g} GB/s"
        )
    if not any(gib for _, _, gib in pool.idle_by_gpu()):
        notes.append(
            f"pool {pool.name} names no idle memory (taken_gpus, idle_gib): copies have only free GPUs to go to"
        )
    return notes
