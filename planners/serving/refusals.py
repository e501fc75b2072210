"""The plan when nothing holds: which constraints conflict and the smallest change that would do, or what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from planners.serving.bounds import Demand
from planners.serving.candidates import Layout, grow
from planners.serving.compared import alternative
from planners.serving.opening import Refusal, Tally
from planners.serving.report import candidate_text, load_figures, solver
from planners.serving.search import cheapest_mixed
from planners.serving.serve import Workbench
from planners.serving.trials import Trial
from specs.plan import ServingPlan, ServingWhy, Status
from specs.stamping import stamped

GROWTH = 16
"""How much larger every pool is made when asking how many GPUs would do; the search goes by cost, so more is free."""
NEAREST = ("replicas", "unloaded latency", "free GPUs", "evidence", "memory")
"""Kinds of refusal, those that say most first."""
MOST_CONFLICTS = 8


def refused(bench: Workbench, asked: Demand, layouts: Sequence[Layout], tally: Tally, started: float) -> ServingPlan:
    """An `infeasible` plan with the conflict and its cure, or an `abstained` one with the missing measurement."""
    lacking = [one for one in tally.refusals if one.constraint == "evidence"]
    if lacking and not tally.failed:
        status = _abstained(bench, lacking, tally, started)
    else:
        status = _infeasible(bench, asked, layouts, tally, started)
    why = ServingWhy(
        failed=tuple(alternative(trial) for trial in tally.failed), candidates=candidate_text(bench.question),
        load=load_figures(bench.question),
    )  # fmt: skip
    return ServingPlan(metadata=stamped(bench.question.name, bench.question.inputs), status=status, why=why)


def _abstained(bench: Workbench, lacking: list[Refusal], tally: Tally, started: float) -> Status:
    model, require = bench.question.model.name, bench.question.require
    devices = list(dict.fromkeys(one.layout.device.name for one in lacking))
    tps = sorted({one.layout.parallel.tp for one in lacking})
    return Status(
        outcome="abstained",
        reason=f"step times of {model} on {', '.join(devices)} are not {require}, which was required",
        missing=f"tonnage profile layers {model} --tp {','.join(map(str, tps))} (on one {devices[0]})",
        conflicts=tuple(dict.fromkeys(one.reason for one in lacking))[:MOST_CONFLICTS],
        solver=solver(tally, started),
    )


def _infeasible(bench: Workbench, asked: Demand, layouts: Sequence[Layout], tally: Tally, started: float) -> Status:
    conflicts = conflicts_of(tally)
    change = smallest_change(bench, asked, layouts, tally)
    return Status(
        outcome="infeasible", reason=f"no candidate holds the SLO: {conflicts[0] if conflicts else 'none is left'}",
        conflicts=tuple(conflicts[:MOST_CONFLICTS]), smallest_change=change, solver=solver(tally, started),
    )  # fmt: skip


def conflicts_of(tally: Tally) -> list[str]:
    """One sentence per constraint that rules layouts out, the one that came closest of each kind and pool first."""
    found: dict[tuple[str, str], Refusal] = {}
    for one in tally.refusals:
        key = (one.layout.pool.name, one.constraint)
        if key not in found or one.shortfall < found[key].shortfall:
            found[key] = one
    ordered = sorted(found.values(), key=lambda one: (NEAREST.index(one.constraint), one.shortfall))
    texts = [f"{one.layout.label}: {one.reason}" for one in ordered]
    last: dict[str, Trial] = {t.decision[0].layout.label: t for t in tally.failed if len(t.decision) == 1}
    shown = [alternative(trial) for trial in last.values()]
    return [f"{one.decision}: {one.breaks}, and no more replicas fit" for one in shown] + texts


def smallest_change(bench: Workbench, asked: Demand, layouts: Sequence[Layout], tally: Tally) -> str | None:
    """More GPUs where the SLO can be held with them; else a looser SLO; else memory."""
    limited = [one for one in tally.refusals if one.constraint in ("replicas", "free GPUs")]
    if tally.failed or limited:
        more = _more_gpus(bench, asked, layouts)
        if more:
            return more
    alone = [one for one in tally.refusals if one.constraint == "unloaded latency" and one.check]
    if alone:
        closest = min(alone, key=lambda one: one.shortfall)
        assert closest.check is not None
        return (
            f"loosen {closest.check.name} from {closest.check.bound:g} s to more than {closest.check.value:.3g} s: "
            f"that is the unloaded figure of {closest.layout.label}, the fastest of the candidates"
        )
    short = [one for one in tally.refusals if one.constraint == "memory"]
    if short:
        closest = min(short, key=lambda one: one.shortfall)
        return (
            f"{closest.shortfall:.1f} GiB more per GPU on {closest.layout.label}: larger GPUs, more GPUs per node "
            "for a higher TP, or weights of a smaller precision"
        )
    return None


def _more_gpus(bench: Workbench, asked: Demand, layouts: Sequence[Layout]) -> str | None:
    """The cheapest decision if every pool had more nodes, all of them free."""
    grown = [grow(one, GROWTH) for one in layouts]
    found = cheapest_mixed(bench, asked, grown, Tally(), lambda *_: None)
    if found is None:
        return None
    part = found.decision[0]
    pool = next(p for p in bench.question.cluster.pools if p.name == part.layout.pool.name)
    return (
        f"pool {pool.name} with {part.gpus} free GPUs instead of {sum(pool.free_by_node())}: "
        f"{part.replicas + part.spare} × {part.layout.label} would hold"
    )
