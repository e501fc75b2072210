"""The main path of a techniques plan: the deployment as it is, every planner in turn, one table."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from planners.techniques.deployed import Deployed, read_deployed
from planners.techniques.elsewhere import modules, placement
from planners.techniques.rows import (
    Files,
    as_deployed,
    batching,
    brownout,
    not_applicable,
    replanned,
    whole_instances,
)
from predictors.deployment import evidence_of
from specs.base import Figure
from specs.cluster import Cluster, ClusterSpec, Pool
from specs.errors import TonnageError
from specs.plan import Status
from specs.reading import sha256
from specs.stamping import stamped
from specs.techniques import Technique, TechniquesDecision, TechniquesExpected, TechniquesPlan, TechniquesWhy
from specs.writing import to_yaml

OnProgress = Callable[[float, float, str], None]
Row = Callable[[Deployed, Files], tuple[Technique, ...]]
ROWS: dict[str, Row] = {
    "whole instances": whole_instances,
    "layout and limits": replanned,
    "batching": batching,
    "brownout": brownout,
    "modules": modules,
    "placement": placement,
}
"""Every technique and how its rows are made."""
ROOM = 8
"""Without a cluster, so many times the deployment's GPUs are taken to be there."""
NODE = 8


def plan(
    workload: Path,
    deployment: Path,
    *,
    experts: Path | None = None,
    accuracy: Path | None = None,
    cluster: Path | None = None,
    seed: int = 0,
    store: str | None = None,
    on_progress: OnProgress | None = None,
) -> TechniquesPlan:
    """Ask every planner what its technique would gain for this workload on this deployment, at equal SLO.

    Load, cost and p99 are ratios to the deployment as it is; each planner's own baseline stands in for it where its
    figures are of another kind (a burst, a padded back-end). A planner that refuses gives the reason why its technique
    does not apply. Without ``cluster``, nodes of the same device are taken to be there. Raises `InputError` for what is
    wrong in workload or deployment, `InfeasibleError` where the model does not fit it. [ours]
    """
    started, progress = time.process_time(), on_progress or (lambda done, total, what: None)
    progress(0, len(ROWS) + 1, "as deployed")
    deployed = read_deployed(workload, deployment, seed=seed, store=store)
    with tempfile.TemporaryDirectory() as folder:
        files = Files(
            workload=workload, deployment=deployment, cluster=cluster or _same_device(deployed, deployment, folder),
            cluster_given=cluster is not None, experts=experts, accuracy=accuracy, seed=seed, store=store,
        )  # fmt: skip
        rows = [as_deployed(deployed)]
        for number, (name, row) in enumerate(ROWS.items(), start=1):
            progress(number, len(ROWS) + 1, name)
            rows += _attempt(name, row, deployed, files)
    given = [path for path in (experts, accuracy, cluster) if path is not None]
    inputs = deployed.inputs | {path.name: sha256(path) for path in given if path.exists()}
    return _report(deployed, tuple(rows), inputs, started)


def _attempt(name: str, row: Row, deployed: Deployed, files: Files) -> tuple[Technique, ...]:
    """A technique's rows, or the planner's refusal as the reason why there is none."""
    try:
        return row(deployed, files)
    except TonnageError as error:
        return (not_applicable(name, error.message),)


def _same_device(deployed: Deployed, deployment: Path, folder: str) -> Path:
    """A cluster of the deployment's own device, with room to plan in; no price is known, so GPUs are counted."""
    spec = deployed.deployment.spec
    device = (
        str((deployment.parent / spec.device).resolve()) if spec.device.endswith((".yaml", ".yml")) else spec.device
    )
    pool = Pool(name="same", device=device, nodes=max(1, ROOM * spec.gpus // NODE), gpus_per_node=NODE)
    document = Cluster(metadata=deployed.deployment.metadata, spec=ClusterSpec(pools=(pool,)))
    path = Path(folder) / "cluster.yaml"
    path.write_text(to_yaml(document), encoding="utf-8")
    return path


def _report(
    deployed: Deployed, rows: tuple[Technique, ...], inputs: dict[str, str], started: float
) -> TechniquesPlan:  # fmt: skip
    best = choose(rows)
    solver: dict[str, float | int | str] = {
        "method": "each technique's own planner", "techniques": len(rows) - 1,
        "seconds": round(time.process_time() - started, 2),
    }  # fmt: skip
    why = TechniquesWhy(compared=rows, notes=NOTES)
    evidence = evidence_of(deployed.compiled)
    metadata = stamped(deployed.name, inputs)
    if best is None:
        broken = [f"{one.name}: {one.why}" for one in rows]
        status = Status(
            outcome="infeasible", reason="no technique keeps the SLO at this load", conflicts=tuple(broken),
            smallest_change=smallest_change(rows), solver=solver,
        )  # fmt: skip
        return TechniquesPlan(metadata=metadata, status=status, why=why, evidence=evidence)
    return TechniquesPlan(
        metadata=metadata,
        status=Status(outcome="feasible", reason=reason(rows, best), solver=solver),
        valid="while workload, deployment and the assumptions of each technique's own plan stay as they are",
        decision=TechniquesDecision(technique=best.name, setting=best.setting, command=best.command),
        expected=TechniquesExpected(
            load=_figure(best.load), gpus=_figure(best.gpus), ttft_p99_s=_figure(best.ttft_p99_s),
            tpot_p99_s=_figure(best.tpot_p99_s), accuracy_loss_pct=_figure(best.accuracy_loss_pct),
        ),
        why=why, evidence=evidence,
    )  # fmt: skip


NOTES = (
    "GPUs are those that this load takes: GPUs used over the largest load that they hold",
    "brownout is held to a burst from 30 % of the workload on; its load is full service's times the ratio of the two, "
    "and its accuracy is what is lost in the largest burst",
)


def choose(rows: tuple[Technique, ...]) -> Technique | None:
    """The technique of least cost for this load whose SLO holds; equal ones (2 %) as listed.

    What loses accuracy is chosen only where nothing else holds: that price is the operator's to accept.
    """
    held = [one for one in rows if one.applies and one.holds and one.gpus is not None]
    if not held:
        return None
    kept = [one for one in held if not one.accuracy_loss_pct] or held
    least = min(one.gpus or 0.0 for one in kept)
    return next(one for one in kept if (one.gpus or 0.0) <= 1.02 * least)


def smallest_change(rows: tuple[Technique, ...]) -> str | None:
    """The largest load that any technique still holds."""
    known = [one for one in rows if one.load]
    if not known:
        return None
    most = max(known, key=lambda one: one.load or 0.0)
    return f"{most.load:.2f} × this load holds, with {most.name}"


def reason(rows: tuple[Technique, ...], best: Technique) -> str:
    """The outcome in one sentence, with what a loss of accuracy would buy."""
    if best is rows[0]:
        text = "as deployed is as cheap as anything that loses no accuracy"
    else:
        text = f"{best.name} carries this load with {best.gpus:.3g} GPUs"
        text += f", {best.cost_ratio:.0%} of what it takes now" if best.cost_ratio is not None else ""
    cheaper = [
        one for one in rows
        if one.holds and one.accuracy_loss_pct and one.gpus is not None and one.gpus < (best.gpus or 0.0)
    ]  # fmt: skip
    for one in cheaper:
        text += f"; {one.name} would do with {one.gpus:.3g} GPUs at {one.accuracy_loss_pct:.2f} % of accuracy"
    return text


def _figure(value: float | None) -> Figure | None:
    return None if value is None else Figure(value=value)
