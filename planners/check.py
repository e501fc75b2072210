"""Checks a prediction against what was measured: a deployment's replay, a plan's stated intervals, published points."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from predictors.deployment import Compiled, compile_deployment, evidence_of, serve
from predictors.serving import ClosedLoop, Requests, Run
from predictors.serving.arrivals import gamma_arrivals
from predictors.serving.measures import Distribution, Measures, measure
from profilers.importers.results import read_measured
from specs.base import Metadata
from specs.catalog import find_device, find_model
from specs.check import Checked, CheckedLatency, CheckReport
from specs.deployment import Deployment
from specs.errors import InputError
from specs.measured import STATISTICS, Measured
from specs.plan import Percentiles, ServingPlan
from specs.profile import LayerProfile
from specs.reading import read_document, read_documents, sha256

LATENCIES = ("ttft_s", "tpot_s", "e2e_s")
FEW_REQUESTS = 200
LOAD_DIFFERS = 0.1
OnProgress = Callable[[float, float, str], None]


def check_measured(
    document: Path | None, measured: Path | None, *, seed: int = 0, on_progress: OnProgress | None = None
) -> CheckReport:
    """Hold a Deployment's replay, or a ServingPlan's stated intervals, against the measured run.

    A plan is violated where a measured figure lies above its interval. Raises `InputError`.
    """
    if document is None or measured is None:
        raise InputError(
            "check needs a document and what was measured",
            cure="`tonnage check DEPLOYMENT --measured FILE`, or `tonnage check --points FILE.csv --device D`.",
        )
    kind = next((data.get("kind") for data, _ in read_documents(document)), None)
    run = read_measured(measured)
    if kind == "ServingPlan":
        return _check_plan(document, run)
    return _check_deployment(document, run, seed, on_progress or (lambda done, total, what: None))


def requests_of_measured(measured: Measured, seed: int = 0) -> tuple[Requests, ClosedLoop | None, str]:
    """Return the requests that the measured run sent, its closed loop, and a sentence that says how they were made.

    Listed requests are replayed as they came. Where the list was cut, or has no times, the run's number of requests
    is drawn: lengths from those listed, gamma arrivals at the rate and burstiness asked for.
    """
    if measured.complete and measured.arrival_s is not None:
        requests = Requests(
            arrival_s=measured.arrival_s, prompt_tokens=measured.prompt_tokens, output_tokens=measured.output_tokens
        )
        return requests, None, f"replayed the {measured.count} requests as they arrived"
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(measured.prompt_tokens), measured.count)
    arrival_s, loop, how = np.zeros(measured.count), None, "all at once"
    if measured.concurrency is not None:
        loop, how = ClosedLoop(concurrency=measured.concurrency), f"with {measured.concurrency} in flight"
    elif measured.rate_per_s is not None:
        rate = measured.rate_per_s
        unit = gamma_arrivals(1.0, cv=measured.cv, duration_s=measured.count * 2.0 + 100, seed=seed)
        arrival_s, how = unit[: measured.count] / rate, f"at {rate:.3g} per second"
    requests = Requests(
        arrival_s=arrival_s[: measured.count],
        prompt_tokens=measured.prompt_tokens[drawn[: len(arrival_s)]],
        output_tokens=measured.output_tokens[drawn[: len(arrival_s)]],
    )
    return requests, loop, f"the list is not whole: drew {len(requests)} requests {how}"


def _check_deployment(path: Path, measured: Measured, seed: int, on_progress: OnProgress) -> CheckReport:
    deployment = read_document(path, Deployment)
    spec, base = deployment.spec, path.parent
    profile = read_document(base / spec.profile, LayerProfile).spec if spec.profile else None
    on_progress(0, 4, "compiling step times")
    compiled = compile_deployment(find_model(spec.model, base), find_device(spec.device, base), spec, profile=profile)
    requests, loop, how = requests_of_measured(measured, seed)
    error = max(time.relative_error for time in compiled.step_times)
    factors = (1.0, 1.0 - error, 1.0 + error)
    found: list[tuple[Run, Measures]] = []
    for number, factor in enumerate(factors):
        on_progress(1 + number, 4, f"replaying with step times × {factor:.2f}")
        found.append(_replay(compiled, requests, loop, factor, seed))
    latencies = {name: _latency(name, measured, found) for name in LATENCIES}
    on_progress(4, 4, "done")
    return CheckReport(
        metadata=Metadata(
            name=deployment.metadata.name, inputs={path.name: sha256(path), measured.name: measured.sha256}
        ),
        subject="deployment",
        verdict=_deployment_verdict(latencies),
        measured_by=measured.tool,
        requests=measured.count,
        notes=(how, *measured.notes, *_few(measured), *_range_notes(compiled, found[0][0])),
        evidence=evidence_of(compiled),
        **latencies,
    )


def _replay(
    compiled: Compiled, requests: Requests, loop: ClosedLoop | None, factor: float, seed: int
) -> tuple[Run, Measures]:
    run = serve(compiled, requests, closed_loop=loop, time_factor=factor, seed=seed)
    return run, measure(run, prompt_tokens=requests.prompt_tokens, seed=seed)


def _latency(name: str, measured: Measured, found: list[tuple[Run, Measures]]) -> CheckedLatency:
    """Compare one latency; the interval joins step-time error and sampling error in quadrature. [ours]"""
    if name == "tpot_s" and measured.tpot_by_tokens:
        rows = [_by_tokens(run) for run, _ in found]
        spans = [(row, row, row) for row in rows]
    else:
        spans = [_figures(getattr(measures, name)) for _, measures in found]
    (value, low, high), (fast, _, _), (slow, _, _) = spans
    checked = {}
    for statistic in STATISTICS:
        at = value[statistic]
        below = math.hypot(max(0.0, at - fast[statistic]), at - low[statistic])
        above = math.hypot(max(0.0, slow[statistic] - at), high[statistic] - at)
        checked[statistic] = _checked(
            at, measured.figures.get(name, {}).get(statistic), max(0.0, at - below), at + above
        )
    return CheckedLatency(**checked)


def _figures(found: Distribution) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    values, lows, highs = (
        {name: getattr(getattr(found, name), part) for name in STATISTICS} for part in ("value", "low", "high")
    )
    return values, lows, highs


def _by_tokens(run: Run) -> dict[str, float]:
    """Statistics of TPOT over tokens instead of requests, as guidellm gives them."""
    defined = np.isfinite(run.tpot_s)
    values = np.repeat(run.tpot_s[defined], run.tokens[defined])
    return {"mean": float(values.mean())} | {f"p{q}": float(np.quantile(values, q / 100)) for q in (50, 90, 95, 99)}


def _checked(predicted: float | None, measured: float | None, low: float | None, high: float | None) -> Checked:
    if predicted is not None and not math.isfinite(predicted):
        predicted = low = high = None
    known = predicted is not None and measured is not None and measured > 0
    inside = low <= measured <= high if low is not None and high is not None and measured is not None else None
    return Checked(
        predicted=predicted,
        measured=measured,
        error=predicted / measured - 1 if known and predicted is not None and measured is not None else None,
        low=low,
        high=high,
        inside=inside,
    )


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


def _range_notes(compiled: Compiled, run: Run) -> tuple[str, ...]:
    notes = [note for time in compiled.step_times for note in time.range_notes]
    if run.steps_outside:
        share = run.steps_outside / max(1, int(run.replicas.steps.sum()))
        notes.append(f"{share:.1%} of the steps lie beyond the step-time tables, which go on linearly")
    return tuple(notes)


def _check_plan(path: Path, measured: Measured) -> CheckReport:
    plan = read_document(path, ServingPlan)
    if plan.decision is None or plan.expected is None:
        raise InputError(
            f"{path}: the plan is {plan.status.outcome}: it decides nothing that could be checked",
            cure="Check a plan whose status is optimal or feasible.",
        )
    expected = plan.expected
    latencies = {name: _stated(getattr(expected, name), measured.figures.get(name, {})) for name in LATENCIES}
    verdict, violated = _plan_verdict(latencies)
    return CheckReport(
        metadata=Metadata(name=plan.metadata.name, inputs={path.name: sha256(path), measured.name: measured.sha256}),
        subject="plan",
        verdict=verdict,
        violated=violated,
        measured_by=measured.tool,
        requests=measured.count,
        notes=(*measured.notes, *_few(measured), *_load_note(plan, measured)),
        evidence=plan.evidence,
        **latencies,
    )


def _stated(stated: Percentiles, figures: dict[str, float]) -> CheckedLatency:
    checked = {}
    for statistic in STATISTICS:
        figure = getattr(stated, statistic)
        low, high = (figure.low, figure.high) if figure else (None, None)
        checked[statistic] = _checked(figure.value if figure else None, figures.get(statistic), low, high)
    return CheckedLatency(**checked)


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


def check_points(
    path: Path, device: str | None, *, evidence: Path | None = None, on_progress: OnProgress | None = None
) -> CheckReport:
    """Hold predicted TTFT and TPOT against a CSV of published closed-loop points; `mape` is over all of them."""
    raise NotImplementedError
