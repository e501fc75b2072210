"""A prediction of serving with its intervals: one deployment simulated at the ends of what its step times may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from predictors.deployment import Compiled, compile_deployment, evidence_of, serve
from predictors.serving import Requests
from predictors.serving.measures import Distribution, Measures, measure
from predictors.slo import Bound, bounds_of, request_bounds
from predictors.workload import closed_loop_of, statistics
from specs.base import Figure, Metadata
from specs.deployment import DeploymentSpec
from specs.device import DeviceSpec
from specs.engine import StepEvidence
from specs.model import ModelSpec
from specs.plan import Percentiles, ServingExpected
from specs.prediction import BoundFound, ServingEstimate
from specs.workload import WorkloadSpec

OnProgress = Callable[[float, float, str], None]
BASIS = "90 %: step-time error and sampling error in quadrature"
PERCENTILES = ("mean", "p50", "p90", "p95", "p99")


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Measures at the expected step time and at both ends of its 90 % interval."""

    expected: Measures
    fast: Measures
    slow: Measures


def estimate_serving(
    metadata: Metadata,
    model: ModelSpec,
    device: DeviceSpec,
    deployment: DeploymentSpec,
    workload: WorkloadSpec,
    requests: Requests,
    *,
    profile: StepEvidence | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> ServingEstimate:
    """Return what ``deployment`` does under ``requests`` of ``workload``, each figure with its 90 % interval.

    Raises `InputError` for requests that are too long, `InfeasibleError` where the model does not fit. [ours]
    """
    compiled = compile_deployment(model, device, deployment, profile=profile)
    outlook = outlook_of(compiled, workload, requests, seed, on_progress or (lambda done, total, what: None))
    return ServingEstimate(
        metadata=metadata,
        deployment=deployment,
        gpus=deployment.gpus,
        expected=expected_of(outlook),
        bounds=bounds_found(workload, outlook),
        load={name: _round(value) for name, value in statistics(requests).items()},
        notes=_notes(compiled, outlook.expected),
        evidence=evidence_of(compiled),
    )


def outlook_of(
    compiled: Compiled, workload: WorkloadSpec, requests: Requests, seed: int, on_progress: OnProgress
) -> Outlook:
    """Serve the requests at the expected step time and at both ends of its interval."""
    error = max(time.relative_error for time in compiled.step_times)
    found = []
    for number, factor in enumerate((1.0, 1.0 - min(error, 0.9), 1.0 + error)):
        on_progress(number, 3, f"simulating with step times × {factor:.2f}")
        run = serve(compiled, requests, closed_loop=closed_loop_of(workload), time_factor=factor, seed=seed)
        bounds = request_bounds(workload)
        found.append(measure(run, bounds, prompt_tokens=requests.prompt_tokens, seed=seed))
    return Outlook(expected=found[0], fast=found[1], slow=found[2])


def expected_of(outlook: Outlook) -> ServingExpected:
    """The figures of an outlook, each with its interval."""

    def of(name: str) -> Figure:
        return _plain_figure(outlook, name)

    return ServingExpected(
        ttft_s=_percentiles(outlook, "ttft_s"),
        tpot_s=_percentiles(outlook, "tpot_s"),
        e2e_s=_percentiles(outlook, "e2e_s"),
        itl_s=_percentiles(outlook, "itl_s"),
        queue_s=_percentiles(outlook, "queue_s"),
        attainment=_attainment(outlook),
        goodput_per_s=of("goodput_per_s"),
        requests_per_s=of("requests_per_s"),
        tokens_per_s=of("tokens_per_s"),
        kv_cache_utilization=of("kv_cache_utilization"),
        compute_utilization=of("compute_utilization"),
        preemptions=of("preemptions"),
    )


def _attainment(outlook: Outlook) -> Figure:
    value, fast, slow = (one.attainment.value for one in _three(outlook))
    sampled = outlook.expected.attainment
    return _figure(value, fast, slow, sampled.low, sampled.high, most=1.0)


def _three(outlook: Outlook) -> tuple[Measures, Measures, Measures]:
    return outlook.expected, outlook.fast, outlook.slow


def _plain_figure(outlook: Outlook, name: str) -> Figure:
    values = [float(getattr(one, name)) for one in _three(outlook)]
    return Figure(value=_round(values[0]), low=_round(min(values)), high=_round(max(values)))


def _percentiles(outlook: Outlook, name: str) -> Percentiles:
    """Percentiles of one latency; None where it is not defined (TPOT of single tokens)."""
    spread: list[Distribution] = [getattr(one, name) for one in _three(outlook)]
    figures = {}
    for statistic in PERCENTILES:
        value, fast, slow = (getattr(one, statistic) for one in spread)
        if math.isfinite(value.value):
            figures[statistic] = _figure(value.value, fast.value, slow.value, value.low, value.high)
    return Percentiles(**figures)


def _figure(value: float, fast: float, slow: float, low: float, high: float, most: float = math.inf) -> Figure:
    """Join step-time error (``fast``, ``slow``) and sampling error (``low``, ``high``) in quadrature. [ours]"""
    ends = [end for end in (fast, slow) if math.isfinite(end)]
    below = math.hypot(max(0.0, value - min([value, *ends])), value - low)
    above = math.hypot(max(0.0, max([value, *ends]) - value), high - value)
    low, high = max(0.0, value - below), min(most, value + above)
    return Figure(value=_round(value), low=_round(low), high=_round(high), basis=BASIS)


def _round(value: float) -> float:
    """Keep five digits: more than any prediction is worth."""
    return float(f"{value:.5g}")


def bounds_found(workload: WorkloadSpec, outlook: Outlook) -> tuple[BoundFound, ...]:
    """Return the bounds of the workload's own SLO; those of classes bind single requests, through the attainment."""
    expected = expected_of(outlook)
    return tuple(_bound_found(bound, expected) for bound in bounds_of(workload.slo, outlook.expected))


def _bound_found(bound: Bound, expected: ServingExpected) -> BoundFound:
    figure = expected.attainment
    if bound.name != "attainment":
        latency, statistic = bound.name.split(".")
        figure = getattr(getattr(expected, latency), statistic) or Figure(value=0.0)
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    surely = low >= bound.bound if bound.name == "attainment" else high <= bound.bound
    return BoundFound(
        name=bound.name, bound=bound.bound, value=figure.value, low=low, high=high, holds=bound.holds, surely=surely
    )


def _notes(compiled: Compiled, measures: Measures) -> tuple[str, ...]:
    notes = [note for time in compiled.step_times for note in time.range_notes]
    if measures.ttft_s.p99.few:
        notes.append(f"p99 rests on {measures.ttft_s.count} requests; 200 or more would carry it")
    lost = {"rejected": measures.rejected, "timed out": measures.timed_out, "aborted": measures.aborted}
    notes += [f"{count} requests were {what}" for what, count in lost.items() if count]
    return tuple(dict.fromkeys(notes))
