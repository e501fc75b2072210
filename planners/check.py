"""Checks a prediction against what was measured: a deployment's replay, a plan's stated intervals, published points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from predictors.deployment import Compiled, compile_deployment, evidence_of
from predictors.point_rows import asked_of
from predictors.points import Point, PointPrediction, predict_point
from predictors.replay import LATENCIES, Replay, checked, replay
from profilers.importers.evidence import evidence_in
from profilers.importers.point_tables import read_points
from profilers.importers.results import read_measured
from profilers.importers.silicon import profile_for
from profilers.named import step_profile
from specs.base import Metadata
from specs.catalog import find_device, find_model
from specs.check import Checked, CheckedLatency, CheckedPoint, CheckReport
from specs.deployment import Deployment, DeploymentSpec
from specs.errors import InfeasibleError, InputError
from specs.measured import STATISTICS, Measured
from specs.plan import Evidence, Percentiles, ServingPlan
from specs.points import PointRow
from specs.profile import LayerProfileSpec
from specs.reading import read_document, read_documents, sha256

FEW_REQUESTS = 200
LOAD_DIFFERS = 0.1
REFUSALS_SHOWN = 5
OnProgress = Callable[[float, float, str], None]


def check_measured(
    document: Path | None,
    measured: Path | None,
    *,
    store: str | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> CheckReport:
    """Hold a Deployment's replay, or a ServingPlan's stated intervals, against the measured run.

    A plan is violated where a measured figure lies above its interval. ``store``: URL of the store that holds the
    profiles named by id. Raises `InputError`.
    """
    if document is None or measured is None:
        raise InputError(
            "check needs a document and what was measured",
            cure="`tonnage check DEPLOYMENT --measured FILE`, or `tonnage check --points FILE.csv --device D`.",
        )
    kind = next((data.get("kind") for data, _ in read_documents(document)), None)
    run = read_measured(measured)
    if kind == "ServingPlan":
        return _check_plan(document, run, store, seed, on_progress)
    return _check_deployment(document, run, store, seed, on_progress)


def _check_deployment(
    path: Path, measured: Measured, store: str | None, seed: int, on_progress: OnProgress | None
) -> CheckReport:
    deployment = read_document(path, Deployment)
    compiled = _compiled(deployment.spec, path.parent, store)
    found = replay(compiled, measured, seed=seed, on_progress=on_progress)
    return CheckReport(
        metadata=Metadata(
            name=deployment.metadata.name, inputs={path.name: sha256(path), measured.name: measured.sha256}
        ),
        subject="deployment",
        verdict=_deployment_verdict(found.latencies),
        measured_by=measured.tool,
        requests=measured.count,
        notes=(*found.notes, *measured.notes, *_few(measured)),
        evidence=evidence_of(compiled),
        **found.latencies,
    )


def _compiled(spec: DeploymentSpec, base: Path, store: str | None) -> Compiled:
    """Compile a deployment whose paths count from the folder ``base``."""
    model, device = find_model(spec.model, base), find_device(spec.device, base)
    profile = step_profile(spec.profile, base, store) if spec.profile else None
    return compile_deployment(model, device, spec, profile=profile or profile_for(model, device, spec))


def _every(latencies: dict[str, CheckedLatency]) -> list[tuple[str, Checked]]:
    return [
        (f"{name.removesuffix('_s').upper()} {statistic}", getattr(latency, statistic))
        for name, latency in latencies.items()
        for statistic in STATISTICS
    ]


def _deployment_verdict(latencies: dict[str, CheckedLatency]) -> str:
    compared = [(name, one) for name, one in _every(latencies) if one.error is not None]
    if not compared:
        return "nothing to compare: the run gives none of the predicted figures"
    errors = [abs(one.error or 0.0) for _, one in compared]
    worst = compared[int(np.argmax(errors))][0]
    inside = sum(one.inside is True for _, one in compared)
    return (
        f"{len(compared)} figures: mean error {np.mean(errors):.1%}, worst {max(errors):.1%} ({worst}); "
        f"{inside} lie inside their 90 % interval"
    )


def _few(measured: Measured) -> tuple[str, ...]:
    if measured.count >= FEW_REQUESTS:
        return ()
    return (f"{measured.count} requests: a p99 of fewer than {FEW_REQUESTS} rests on the one or two slowest",)


def _check_plan(
    path: Path, measured: Measured, store: str | None, seed: int, on_progress: OnProgress | None
) -> CheckReport:
    plan = read_document(path, ServingPlan)
    if plan.decision is None or plan.expected is None:
        raise InputError(
            f"{path}: the plan is {plan.status.outcome}: it decides nothing that could be checked",
            cure="Check a plan whose status is optimal or feasible.",
        )
    expected = plan.expected
    latencies = {name: _stated(getattr(expected, name), measured.figures.get(name, {})) for name in LATENCIES}
    verdict, violated = _plan_verdict(latencies)
    one = plan.decision.deployments[0] if len(plan.decision.deployments) == 1 else None
    found = replay(_compiled(one, path.parent, store), measured, seed=seed, on_progress=on_progress) if one else None
    return CheckReport(
        metadata=Metadata(name=plan.metadata.name, inputs={path.name: sha256(path), measured.name: measured.sha256}),
        subject="plan",
        verdict=verdict,
        violated=violated,
        measured_by=measured.tool,
        requests=measured.count,
        notes=(*measured.notes, *_few(measured), *_load_note(plan, measured), *_recalibrated(plan, found)),
        evidence=plan.evidence,
        **latencies,
    )


def _stated(stated: Percentiles, figures: dict[str, float]) -> CheckedLatency:
    compared = {}
    for statistic in STATISTICS:
        figure = getattr(stated, statistic)
        low, high = (figure.low, figure.high) if figure else (None, None)
        compared[statistic] = checked(figure.value if figure else None, figures.get(statistic), low, high)
    return CheckedLatency(**compared)


def _plan_verdict(latencies: dict[str, CheckedLatency]) -> tuple[str, bool]:
    compared = [(name, one) for name, one in _every(latencies) if one.inside is not None]
    if not compared:
        raise InputError(
            "the plan and the run have no figure in common",
            cure="Measure TTFT and TPOT with `tonnage export benchmark`.",
        )
    above = [(name, one) for name, one in compared if (one.measured or 0.0) > (one.high or 0.0)]
    below = [name for name, one in compared if (one.measured or 0.0) < (one.low or 0.0)]
    if above:
        name, worst = max(above, key=lambda item: (item[1].measured or 0.0) / (item[1].high or 1.0))
        return (
            f"the plan broke: {len(above)} of {len(compared)} figures lie above their interval; most {name}, measured "
            f"{worst.measured:.3g} s, stated at most {worst.high:.3g} s",
            True,
        )
    if below:
        return (
            f"the plan held: no figure lies above its interval; {len(below)} of {len(compared)} are faster than stated "
            f"({', '.join(below[:3])})",
            False,
        )
    return f"the plan held: all {len(compared)} figures lie inside their interval", False


def _load_note(plan: ServingPlan, measured: Measured) -> tuple[str, ...]:
    """Say so where the run's load was not the planned one, for the intervals are of the planned one."""
    planned = plan.why.load.get("rate_per_s") if plan.why else None
    sent = measured.rate_per_s
    if measured.arrival_s is not None and measured.complete and measured.arrival_s[-1] > 0:
        sent = (len(measured.arrival_s) - 1) / float(measured.arrival_s[-1])
    if not isinstance(planned, int | float) or not sent or abs(sent / planned - 1) <= LOAD_DIFFERS:
        return ()
    return (f"the run sent {sent:.3g} requests per second, the plan is for {planned:.3g}",)


def _recalibrated(plan: ServingPlan, found: Replay | None) -> tuple[str, ...]:
    """What the decision would have done under the run's own arrivals, and the headroom if steps are that much slower.

    Capacity is taken as inverse to step time, and step time as TPOT's mean has it. [ours]
    """
    if found is None:
        return ("the plan mixes deployments: they are not replayed under the run's arrivals",)
    tpot = found.latencies["tpot_s"].mean
    notes = [f"the decision, {found.notes[0]}: {_deployment_verdict(found.latencies)}"]
    headroom = plan.why.headroom if plan.why else None
    if headroom and tpot.predicted and tpot.measured:
        factor = tpot.measured / tpot.predicted
        notes.append(
            f"recalibrated on this run (step times × {factor:.2f}), headroom is about {headroom / factor:.2f} × the "
            "planned load"
        )
    return tuple(notes)


def check_points(
    path: Path, device: str | None, *, evidence: Path | None = None, on_progress: OnProgress | None = None
) -> CheckReport:
    """Hold predicted TTFT and TPOT against a CSV of published closed-loop points on ``device``.

    ``evidence``: a folder of kernel tables or layer profiles; without it the calibrated roofline predicts. A point
    whose model does not fit is left without prediction, and a note says so. Raises `InputError`.
    """
    rows = read_points(path)
    if device is None:
        raise InputError("check --points needs --device", cure="`tonnage catalog devices` lists them.")
    gpu = find_device(device)
    finder = evidence_in(evidence, gpu) if evidence else None

    def profile_of(point: Point) -> LayerProfileSpec | None:
        return (
            finder(point.model, point.engine, point.engine_version, point.precision, point.kv_precision)
            if finder
            else None
        )

    points: list[CheckedPoint] = []
    entries: Counter[str] = Counter()
    refusals: list[str] = []
    for number, row in enumerate(rows):
        point, harness = asked_of(row, path.parent)
        try:
            found: PointPrediction | None = predict_point(point, device=gpu, evidence=profile_of, harness=harness)
        except (InfeasibleError, InputError) as refused:
            refusals.append(f"row {row.row}: {refused.message}")
            found = None
        entries.update([found.tier] if found else [])
        points.append(_checked_point(row, found))
        if on_progress:
            on_progress(number + 1, len(rows), "predicting points")
    mape = {name: _mape([getattr(point, f"{name}_s") for point in points]) for name in ("ttft", "tpot")}
    return CheckReport(
        metadata=Metadata(name=path.stem, inputs={path.name: sha256(path)}),
        subject="points",
        verdict=_points_verdict(mape, points),
        measured_by=path.name,
        requests=len(points),
        mape={name: value for name, value in mape.items() if value is not None},
        points=tuple(points),
        notes=_left_out(refusals),
        evidence=tuple(
            Evidence(quantity="step_time", basis=tier, source=str(evidence or "roofline"), note=f"{count} points")
            for tier, count in sorted(entries.items())
        ),
    )


def _checked_point(row: PointRow, found: PointPrediction | None) -> CheckedPoint:
    if found is None:
        figures = {"ttft_s": checked(None, row.ttft_s, None, None), "tpot_s": checked(None, row.tpot_s, None, None)}
    else:
        ttft_s, tpot_s = (
            (value / 1e3, low / 1e3, high / 1e3)
            for value, (low, high) in ((found.ttft_ms, found.ttft_interval_ms), (found.tpot_ms, found.tpot_interval_ms))
        )
        figures = {
            "ttft_s": checked(ttft_s[0], row.ttft_s, *ttft_s[1:]),
            "tpot_s": checked(tpot_s[0], row.tpot_s, *tpot_s[1:]),
        }
    return CheckedPoint(row=row.row, columns=row.columns, **figures)


def _left_out(refusals: list[str]) -> tuple[str, ...]:
    more = len(refusals) - REFUSALS_SHOWN
    shown = [f"without prediction, {refusal}" for refusal in refusals[:REFUSALS_SHOWN]]
    return (*shown, f"without prediction, {more} more points") if more > 0 else tuple(shown)


def _mape(figures: list[Checked]) -> float | None:
    errors = [abs(one.error) for one in figures if one.error is not None]
    return float(np.mean(errors)) if errors else None


def _points_verdict(mape: dict[str, float | None], points: list[CheckedPoint]) -> str:
    parts = [f"{name.upper()} {value:.1%}" for name, value in mape.items() if value is not None]
    if not parts:
        return "nothing to compare: no point has both a prediction and a measurement"
    return f"mean absolute error over {len(points)} points: {', '.join(parts)}"
