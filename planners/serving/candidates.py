"""The candidate set: which layouts a cluster can hold, how many replicas of each, and under which engine limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from specs.catalog import find_device
from specs.cluster import Pool
from specs.deployment import Parallel
from specs.device import DeviceSpec
from specs.model import ModelSpec

TP_DEGREES = (1, 2, 4, 8)
PP_DEGREES = (2, 4)
MAX_NUM_SEQS = (256, 128, 64, 32)
MAX_NUM_BATCHED_TOKENS = (8192, 2048, 1024, 512)
MEMORY_FRACTIONS = (0.90, 0.95)
RoleName = Literal["mixed", "prefill", "decode"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way to place a replica in a pool; ``capacity`` replicas fit the pool's free GPUs."""

    pool: Pool
    device: DeviceSpec
    parallel: Parallel
    capacity: int

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.parallel.gpus

    @property
    def usd_per_hour(self) -> float | None:
        """Price of one replica."""
        price = self.pool.usd_per_gpu_hour
        return None if price is None else price.value * self.gpus

    @property
    def label(self) -> str:
        """For example ``h100 tp 4``, ``l40s tp 4 pp 2``."""
        degrees = [f"{name} {n}" for name, n in (("pp", self.parallel.pp), ("ep", self.parallel.ep)) if n > 1]
        return " ".join([self.pool.name, f"tp {self.parallel.tp}", *degrees])


class Limits(NamedTuple):
    """Engine limits that a plan chooses."""

    max_num_seqs: int
    max_num_batched_tokens: int
    memory: float


@dataclass(frozen=True, kw_only=True)
class Part:
    """Equal replicas in one pool and role.

    ``spare`` replicas are deployed beside ``replicas`` and not counted on (they may be lost). ``prompts``: half-open
    ranges of prompt tokens that this part serves; None: all.
    """

    layout: Layout
    limits: Limits
    replicas: int
    spare: int = 0
    role: RoleName = "mixed"
    prompts: tuple[tuple[int, int], ...] | None = None

    @property
    def gpus(self) -> int:
        """GPUs with the spare replicas."""
        return (self.replicas + self.spare) * self.layout.gpus

    @property
    def usd_per_hour(self) -> float | None:
        """Price with the spare replicas."""
        price = self.layout.usd_per_hour
        return None if price is None else price * (self.replicas + self.spare)


Decision = tuple[Part, ...]
"""One part: mixed replicas. Two in the roles prefill and decode. Several mixed: one router over several pools."""


def gpus(decision: Decision) -> int:
    """All GPUs of a decision."""
    return sum(part.gpus for part in decision)


def usd_per_hour(decision: Decision) -> float | None:
    """Price of a decision; None where a pool has no price."""
    prices = [part.usd_per_hour for part in decision]
    known = [price for price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None


def describe(decision: Decision) -> str:
    """For example ``3 × h100 tp 4``."""
    texts = []
    for part in decision:
        role = "" if part.role == "mixed" else f" {part.role}"
        served = "" if part.prompts is None else f" (prompts {prompt_ranges(part)})"
        texts.append(f"{part.replicas + part.spare} × {part.layout.label}{role}{served}")
    return " + ".join(texts)


def prompt_ranges(part: Part) -> str:
    """The prompt tokens that a part of a mix serves, inclusive: ``0–374, 3072–131072``."""
    return ", ".join(f"{low}–{high - 1}" for low, high in part.prompts or ())


def layouts(pool: Pool, model: ModelSpec, device: DeviceSpec) -> list[Layout]:
    """Layouts of ``model`` in ``pool``: TP that divides the heads within a node, PP over slow links, EP for experts.

    Layouts for which no replica fits the free GPUs are kept with capacity 0, so that their exclusion can be told.
    """
    found = []
    for tp in TP_DEGREES:
        if tp > pool.gpus_per_node or any(attention.heads % tp for attention in model.attention):
            continue
        for parallel in _parallels(tp, pool, model, device):
            capacity = capacity_of(pool, parallel)
            found.append(Layout(pool=pool, device=device, parallel=parallel, capacity=capacity))
    return found


def _parallels(tp: int, pool: Pool, model: ModelSpec, device: DeviceSpec) -> list[Parallel]:
    found = [Parallel(tp=tp)]
    if model.moe is not None and tp > 1 and model.moe.experts % tp == 0:
        found.append(Parallel(tp=tp, ep=tp))
    slow_links = device.links.nvlink_gb_per_s == 0 or tp == pool.gpus_per_node
    found += [Parallel(tp=tp, pp=pp) for pp in PP_DEGREES if slow_links and model.layers % pp == 0]
    return found


def capacity_of(pool: Pool, parallel: Parallel) -> int:
    """Replicas that fit: TP groups stay within a node, pipeline stages may lie on several. [ours]"""
    return sum(free // parallel.tp for free in pool.free_by_node()) // parallel.pp


def stranded_gpus(pool: Pool, parallel: Parallel) -> int:
    """Free GPUs that no whole TP group can use."""
    return sum(free % parallel.tp for free in pool.free_by_node())


def lost_with_a_node(layout: Layout, replicas: int) -> int:
    """Replicas that the worst node takes with it, when replicas are spread as evenly as the free GPUs allow. [ours]"""
    groups = [free // layout.parallel.tp for free in layout.pool.free_by_node()]
    needed = replicas * layout.parallel.pp
    most = next((m for m in range(1, max(groups, default=0) + 1) if sum(min(g, m) for g in groups) >= needed), None)
    return replicas if most is None else min(most, replicas)


def spare_for(layout: Layout, replicas: int, survive: str | None) -> int:
    """Replicas to deploy beside ``replicas`` so that so many remain after the loss."""
    if survive is None:
        return 0
    if survive == "replica":
        return 1
    spare = 1
    while replicas + spare - lost_with_a_node(layout, replicas + spare) < replicas and spare <= layout.capacity:
        spare += 1
    return spare


def grow(layout: Layout, factor: int) -> Layout:
    """The layout in a pool with that many times its free GPUs, for asking how many more would do."""
    pool = layout.pool.model_copy(update={"nodes": layout.pool.nodes * factor, "taken_gpus": 0})
    return replace(layout, pool=pool, capacity=capacity_of(pool, layout.parallel))


def device_of(pool: Pool, base: Path) -> DeviceSpec:
    """The pool's device, from the catalogue or a document beside the cluster's."""
    return find_device(pool.device, base)
