"""From pods, pools and what was learnt of interference to the packing problem, and what that rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planners.colocation.batch import CPU_RECLAIM, MEMORY_RECLAIM
from planners.colocation.pods import Pods
from predictors.interference import Surfaces, Trained, surfaces
from solvers.packing import FloatArray, IntArray, Packing
from specs.cluster import CpuPool
from specs.errors import InputError

BEST_EFFORT_WEIGHT = 0.2
"""A best-effort core slowed counts this much of a latency-sensitive one. [ours]"""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The packing, and which services were never measured beside others."""

    packing: Packing
    unmeasured: tuple[str, ...]
    reach: FloatArray  # [K] largest pressure that was measured
    notes: tuple[str, ...]


def build(pods: Sequence[Pods], pools: Sequence[CpuPool], trained: Trained, *, node_weight: float) -> Problem:
    """Return the problem of placing ``pods`` on ``pools``; its cost is in cores, see `solvers.packing`."""
    app = np.array([_measured_as(one, trained) for one in pods], dtype=np.int64)
    emits, notes = emissions(pods, app, trained)
    known = _surfaces(pods, pools, app, trained)
    low = np.array([one.is_best_effort for one in pods])
    requested = np.array([[one.cpu_cores, one.memory_gib] for one in pods])
    used = np.array([[one.used_cpu_cores, one.used_memory_gib] for one in pods])
    count = np.array([one.replicas for one in pods], dtype=np.int64)
    apart, together = _affinities(pods)
    packing = Packing(
        need=np.column_stack([np.where(low[:, None], 0.0, requested), np.ones(len(pods))]),
        share=np.where(low[:, None], requested, used), is_low=low,
        most=np.array([one.affinity.most_per_node or one.replicas for one in pods], dtype=np.int64),
        apart=apart, together=together,
        allowed=np.array([[one.affinity.node_labels.items() <= pool.labels.items() for pool in pools] for one in pods]),
        room=np.array([_room(pool) for pool in pools]), batch_room=np.array([_batch_room(pool) for pool in pools]),
        weight=np.where(low, BEST_EFFORT_WEIGHT, 1.0) * used[:, 0], emits=emits, axes=known.axes,
        excess=known.slowdown - 1.0, stock=count, nodes=np.array([pool.nodes for pool in pools], dtype=np.int64),
        node_cost=np.array([node_weight * pool.cpu_cores for pool in pools]),
    )  # fmt: skip
    unmeasured = tuple(one.service for one, at in zip(pods, app, strict=True) if at < 0)
    return Problem(packing=packing, unmeasured=unmeasured, reach=known.reach, notes=tuple(notes))


def _room(pool: CpuPool) -> tuple[float, float, float]:
    return pool.cpu_cores - pool.system_cpu_cores, pool.memory_gib - pool.system_memory_gib, float(pool.most_pods)


def _batch_room(pool: CpuPool) -> tuple[float, float]:
    """What latency-sensitive use and best-effort requests share on a node with best-effort pods (policy `usage`)."""
    cpu = pool.cpu_cores * CPU_RECLAIM - pool.system_cpu_cores
    return max(cpu, 0.0), max(pool.memory_gib * MEMORY_RECLAIM - pool.system_memory_gib, 0.0)


def _measured_as(one: Pods, trained: Trained) -> int:
    apps = trained.table.apps
    names = (one.service, f"{one.namespace}/{one.service}")
    return next((apps.index(name) for name in names if name in apps), -1)


def emissions(pods: Sequence[Pods], app: IntArray, trained: Trained) -> tuple[FloatArray, list[str]]:
    """Return the pressure [C, K] that one pod puts on its neighbours, and what was assumed of it.

    CPU is what the pod uses. Other intensities are the application's own per core where measured, else the median per
    core over all applications.
    """
    table, habits = trained.table, trained.fitted.known.habits
    used = np.array([one.used_cpu_cores for one in pods])
    found, notes = np.zeros((len(pods), len(table.pressures))), []
    for k, name in enumerate(table.pressures):
        if name == "cpu_cores":
            found[:, k] = used
            continue
        per_core = _per_core(trained, name)
        own = np.full(len(pods), np.nan)
        if name in table.own_names and "cpu_cores" in table.own_names:
            at = habits[:, 1 + table.own_names.index(name)]
            cores = habits[:, 1 + table.own_names.index("cpu_cores")]
            ratio = np.divide(at, cores, out=np.full(len(at), np.nan), where=cores > 0)
            own[app >= 0] = ratio[app[app >= 0]]
        assumed = [one.service for one, value in zip(pods, own, strict=True) if np.isnan(value)]
        if assumed:
            notes.append(
                f"{name} of {', '.join(assumed[:4])}{' …' if len(assumed) > 4 else ''} is assumed: the median per core"
            )
        found[:, k] = np.where(np.isnan(own), per_core, own) * used
    return found, notes


def _per_core(trained: Trained, name: str) -> float:
    """Return the median over rows of an intensity per core of the neighbours."""
    table = trained.table
    if "cpu_cores" not in table.pressures:
        raise InputError(
            f"the rows have other_{name} but not other_cpu_cores, so what a pod adds per core cannot be told",
            cure="Add other_cpu_cores, or cpu_cores with node and window.",
        )
    cores = table.pressure[:, table.pressures.index("cpu_cores")]
    some = cores > 0
    return float(np.median(table.pressure[some, table.pressures.index(name)] / cores[some]))


def _surfaces(pods: Sequence[Pods], pools: Sequence[CpuPool], app: IntArray, trained: Trained) -> Surfaces:
    table = trained.table
    types = np.array([table.node_types.index(pool.node_type) for pool in pools], dtype=np.int64)
    figures = np.array([np.median(table.figures[table.node_type == t], axis=0) for t in types])
    by_cores = "cpu_cores" in table.own_names and np.array_equal(
        table.load, table.own[:, table.own_names.index("cpu_cores")], equal_nan=True
    )
    load = np.array([one.used_cpu_cores if by_cores else np.nan for one in pods])
    return surfaces(trained.fitted, app, load, types, figures)


def _affinities(pods: Sequence[Pods]) -> tuple[np.ndarray, np.ndarray]:
    names = [one.service for one in pods]
    apart = np.zeros((len(names), len(names)), dtype=np.bool_)
    together = np.zeros_like(apart)
    for c, one in enumerate(pods):
        for other in one.affinity.apart_from:
            apart[c, names.index(other)] = apart[names.index(other), c] = True
        for other in one.affinity.together_with:
            if other != one.service:
                together[c, names.index(other)] = True
    return apart, together
