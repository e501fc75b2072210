"""Replays a measured run through a deployment and compares the two, figure by figure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from predictors.deployment import Compiled, serve
from predictors.serving import ClosedLoop, Requests, Run
from predictors.serving.arrivals import gamma_arrivals
from predictors.serving.measures import Distribution, Measures, measure
from specs.check import Checked, CheckedLatency
from specs.measured import STATISTICS, Measured

LATENCIES = ("ttft_s", "tpot_s", "e2e_s")
LEAST_FACTOR = 0.1
"""Step times are never taken below this share of the expected, however wide their interval."""
OnProgress = Callable[[float, float, str], None]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A measured run beside its replay: one comparison per latency, and what to know about it."""

    latencies: dict[str, CheckedLatency]
    notes: tuple[str, ...]


def replay(compiled: Compiled, measured: Measured, *, seed: int = 0, on_progress: OnProgress | None = None) -> Replay:
    """Serve what ``measured`` sent on ``compiled``, at the expected step time and at both ends of its interval."""
    requests, loop, how = requests_of_measured(measured, seed)
    error = max(time.relative_error for time in compiled.step_times)
    found: list[tuple[Run, Measures]] = []
    for number, factor in enumerate((1.0, max(LEAST_FACTOR, 1.0 - error), 1.0 + error)):
        if on_progress:
            on_progress(number, 3, f"replaying with step times × {factor:.2f}")
        found.append(_replay(compiled, requests, loop, factor, seed))
    latencies = {name: _latency(name, measured, found) for name in LATENCIES}
    return Replay(latencies=latencies, notes=(how, *range_notes(compiled, found[0][0])))


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
    compared = {}
    for statistic in STATISTICS:
        at = value[statistic]
        below = math.hypot(max(0.0, at - fast[statistic]), at - low[statistic])
        above = math.hypot(max(0.0, slow[statistic] - at), high[statistic] - at)
        compared[statistic] = checked(
            at, measured.figures.get(name, {}).get(statistic), max(0.0, at - below), at + above
        )
    return CheckedLatency(**compared)


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


def checked(predicted: float | None, measured: float | None, low: float | None, high: float | None) -> Checked:
    """Compare one figure; a prediction that is not finite is none."""
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


def range_notes(compiled: Compiled, run: Run) -> tuple[str, ...]:
    """Say where steps went beyond what was measured."""
    notes = [note for time in compiled.step_times for note in time.range_notes]
    if run.steps_outside:
        share = run.steps_outside / max(1, int(run.replicas.steps.sum()))
        notes.append(f"{share:.1%} of the steps lie beyond the step-time tables, which go on linearly")
    return tuple(notes)
