"""Answers `tonnage plan colocation`: learn interference, place the pods, compare, or say what does not fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from planners.colocation import report
from planners.colocation.confirm import broken, confirm, refused, said
from planners.colocation.pods import Pods, pods_of
from planners.colocation.problem import BEST_EFFORT_WEIGHT, Problem, build
from planners.colocation.refusals import conflicts, smallest_change
from predictors.interference import Trained, evidence_of, train
from profilers.contention import contention_rows
from solvers.packing import Placement, best_fit, pack, spread_least_allocated
from solvers.packing_bound import lower_bound
from solvers.packing_exact import Exact, exact
from specs.application import Application, ApplicationSpec
from specs.base import Metadata
from specs.cluster import Cluster, CpuPool
from specs.colocation import ColocationPlan, ColocationWhy
from specs.contention import ContentionRows
from specs.errors import InfeasibleError, InputError
from specs.plan import Status
from specs.reading import read_document, sha256
from specs.stamping import stamped

OnProgress = Callable[[float, float, str], None]
EXACT_PODS = 30
MOST_PODS, MOST_NODES = 50_000, 5_000


def plan(
    application: Path,
    cluster: Path,
    *,
    measured: Sequence[Path],
    node_weight: float = 0.1,
    store: str | None = None,
    seed: int = 0,
    on_progress: OnProgress = lambda *_: None,
) -> ColocationPlan:
    """Place the pods of ``application`` on the CPU pools of ``cluster`` by predicted interference.

    ``measured``: tables or CPI profiles (paths or ids) that interference is learnt from; the store's CPI profiles where
    empty. ``node_weight``: cores of slowdown that an emptied core is worth. Raises `InputError` for what is wrong in
    the documents.
    """
    started = time.process_time()
    asked, offered = read_document(application, Application), read_document(cluster, Cluster)
    pools = offered.spec.cpu_pools
    if not pools:
        raise InputError(f"{cluster}: has no CPU pool", cure="List nodes under `spec.cpu_pools`.")
    pods = pods_of(asked.spec, application, store=store)
    _check_size(pods, pools, application, cluster)
    rows = contention_rows(measured, store=store)
    inputs = {path.name: sha256(path) for path in (application, cluster)} | rows.inputs
    inputs |= {name: digest for one in pods for name, digest in one.inputs.items()}
    metadata = stamped(f"{asked.metadata.name}-on-{offered.metadata.name}", inputs)
    unknown = [pool for pool in pools if pool.node_type not in set(rows.node_type)]
    if unknown:
        return _abstained(metadata, unknown, rows)
    trained = train(rows, seed=seed, quick=True, on_progress=on_progress)
    problem = build(pods, pools, trained, node_weight=node_weight)
    found = _planned(metadata, pods, pools, problem, rows, trained, node_weight, seed, started, on_progress)
    return _confirmed(found, application, asked.spec, store, seed)


def _confirmed(
    found: ColocationPlan, application: Path, spec: ApplicationSpec, store: str | None, seed: int
) -> ColocationPlan:
    """Return the plan with its response times simulated, or as infeasible where a bound does not hold."""
    if found.expected is None or found.why is None:
        return found
    slowdown = {one.service: one.mean.value for one in found.expected.services}
    try:
        entries, note = confirm(application, spec, slowdown, store=store, seed=seed)
    except InfeasibleError as error:
        return _not_confirmed(found, (refused(error),), error.cure)
    late = broken(entries)
    if late:
        change = (
            "fewer neighbours (more nodes, a smaller --node-weight, more replicas), or bounds not below these times"
        )
        return _not_confirmed(found, tuple(map(said, late)), change)
    expected = found.expected.model_copy(update={"confirmed": entries})
    why = found.why.model_copy(update={"notes": (*found.why.notes, note)})
    return found.model_copy(update={"expected": expected, "why": why})


def _not_confirmed(found: ColocationPlan, conflicts: tuple[str, ...], change: str | None) -> ColocationPlan:
    status = Status(
        outcome="infeasible", conflicts=conflicts, smallest_change=change, solver=found.status.solver,
        reason=f"the placement found is not confirmed by `predict application`: {conflicts[0]}",
    )  # fmt: skip
    return ColocationPlan(metadata=found.metadata, status=status)


def _check_size(pods: Sequence[Pods], pools: Sequence[CpuPool], application: Path, cluster: Path) -> None:
    count, nodes = sum(one.replicas for one in pods), sum(pool.nodes for pool in pools)
    if count > MOST_PODS:
        raise InputError(f"{application}: {count} pods, more than {MOST_PODS:,}", cure="Plan parts of it.")
    if nodes > MOST_NODES:
        raise InputError(f"{cluster}: {nodes} nodes, more than {MOST_NODES:,}", cure="Plan a part of it.")


def _abstained(metadata: Metadata, unknown: Sequence[CpuPool], rows: ContentionRows) -> ColocationPlan:
    names = ", ".join(sorted({pool.node_type for pool in unknown}))
    status = Status(
        outcome="abstained",
        reason=f"interference was never measured on {names}; measured: {', '.join(sorted(set(rows.node_type)))}",
        missing=f"tonnage profile cpi --container … --windows 30 (on a node of {names}, with its pods side by side)",
    )
    return ColocationPlan(metadata=metadata, status=status)


def _planned(
    metadata: Metadata, pods: Sequence[Pods], pools: Sequence[CpuPool], problem: Problem, rows: ContentionRows,
    trained: Trained, node_weight: float, seed: int, started: float, on_progress: OnProgress,
) -> ColocationPlan:  # fmt: skip
    packing = problem.packing
    impossible = conflicts(packing, pods, pools, None)
    found = None if impossible else pack(packing, seed=seed, on_progress=on_progress)
    best: Exact | None = None
    if found is not None and int(packing.stock.sum()) <= EXACT_PODS:
        best = exact(packing, found)
    placed = best.placement if best is not None else (None if found is None or len(found.unplaced) else found)
    if placed is None:
        return _infeasible(metadata, pods, pools, problem, found, best, started)
    on_progress(3, 4, "bounding from below")
    bound = best.bound if best is not None else lower_bound(packing)
    proven = best is not None and best.proven
    bound = placed.cost if proven else min(bound, placed.cost)
    gap = placed.cost / bound - 1.0 if bound > 0 else None
    layout = report.Layout(pods=pods, pools=pools, problem=problem, placement=placed)
    others = [spread_least_allocated(packing), best_fit(packing)]
    return ColocationPlan(
        metadata=metadata,
        status=Status(
            outcome="optimal" if proven else "feasible", reason=_reason(placed, proven, gap, best),
            solver=_solver(placed, gap, best, started),
        ),
        valid=f"while use, loads and node types stay as measured ({rows.quantity}); after each deployment plan again",
        decision=report.decision(layout), expected=report.expected(layout, trained),
        why=ColocationWhy(
            objective=(
                f"cores lost to slowdown (latency-sensitive pods 1, best-effort {BEST_EFFORT_WEIGHT:g}) + "
                f"{node_weight:g} × cores of the nodes in use"
            ),
            lower_bound_cores=float(f"{bound:.4g}"),
            bound_basis="proven optimum" if proven else "linear programme over cells of pressure" if best is None
            else "linear programme over all patterns",
            gap=None if gap is None else round(max(gap, 0.0), 4), compared=tuple(report.compared(layout, others)),
            binding=report.binding(layout), notes=(*rows.notes, *report.notes(layout)),
        ),
        evidence=report.evidence(layout, evidence_of(rows, trained)),
    )  # fmt: skip


def _reason(placed: Placement, proven: bool, gap: float | None, best: Exact | None) -> str:
    where = f"{placed.nodes_used} nodes hold every pod"
    if proven and best is not None:
        return f"{where}; no other placement is cheaper, of {best.patterns:,} sets of pods that a node can hold"
    return where if gap is None else f"{where}; at most {max(gap, 0.0):.1%} above the cheapest placement there can be"


def _solver(placed: Placement, gap: float | None, best: Exact | None, started: float) -> dict[str, float | int | str]:
    found: dict[str, float | int | str] = {"method": placed.method if best is None or not best.proven else "exact"}
    if gap is not None:
        found["gap"] = round(max(gap, 0.0), 4)
    if best is not None:
        found |= {"patterns": best.patterns, "patterns_kept": best.kept}
    return found | {"seconds": round(time.process_time() - started, 2)}


def _infeasible(
    metadata: Metadata, pods: Sequence[Pods], pools: Sequence[CpuPool], problem: Problem, found: Placement | None,
    best: Exact | None, started: float,
) -> ColocationPlan:  # fmt: skip
    said = conflicts(problem.packing, pods, pools, found)
    proven = found is None or best is not None or not np.isfinite(lower_bound(problem.packing, rounds=1))
    note = "" if proven else " (none was found; that none exists is not proven)"
    status = Status(
        outcome="infeasible",
        reason=f"the nodes cannot hold the pods: {said[0] if said else 'affinities conflict'}{note}",
        conflicts=tuple(said),
        smallest_change=smallest_change(problem.packing, pods, pools) or "no number of nodes of one pool",
        solver={"seconds": round(time.process_time() - started, 2)},
    )  # fmt: skip
    return ColocationPlan(metadata=metadata, status=status)
