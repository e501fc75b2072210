"""The brownout plan of what was found: decision, expected figures with their intervals, reasons, evidence."""

from __future__ import annotations

import time

import numpy as np

from planners.brownout.choosing import FULL_SERVICE, Burst, Found, largest_burst
from planners.brownout.layers import LayerThresholds, Phase, by_layer, row_of, step_tokens
from planners.brownout.question import OnProgress, Question
from planners.brownout.trials import Bench, Setting, Trial, salc_of, try_setting
from predictors.brownout import level_of
from predictors.deployment import evidence_of
from predictors.serving.measures import Estimate
from predictors.slo import Bound
from predictors.workload import statistics
from solvers.brownout import united_experts
from specs.accuracy import FULL
from specs.base import Figure
from specs.brownout import (
    BrownoutAlternative,
    BrownoutDecision,
    BrownoutExpected,
    BrownoutPlan,
    BrownoutSettings,
    BrownoutWhy,
    ExpertAccesses,
    LayerGain,
    PhaseThresholds,
    Salc,
)
from specs.deployment import DeploymentInPlan
from specs.plan import BoundHeld, Evidence, Percentiles, Status
from specs.stamping import stamped

BASIS = "90 %: step times at the ends of their interval"
LEVELS = ("mean", "p50", "p90", "p95", "p99")
LEAST_FACTOR = 0.2
"""Step times are never taken below this share of the expected."""


def report(bench: Bench, found: Found, started: float, on_progress: OnProgress) -> BrownoutPlan:
    """The plan where some setting holds; ``started`` is the process time at which planning began."""
    best, question = found.best, bench.question
    assert best is not None
    on_progress(1, 3, "largest burst")
    steered = [trial for trial in found.others if trial.setting.mode == "salc"]
    bursts = {trial.setting: largest_burst(bench, trial.setting) for trial in (found.full, best, *steered)}
    on_progress(2, 3, "expected figures")
    layers = by_layer(bench, best) if best.setting.way is not None else ()
    return BrownoutPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(
            outcome="feasible" if best.setting.way else "optimal", reason=reason(found), solver=solver(found, started)
        ),
        valid=valid(question, bursts[best.setting]),
        decision=BrownoutDecision(
            deployment=deployed(question), brownout=settings(bench, best, layers), burst=question.burst
        ),
        expected=expected(bench, best, bursts[best.setting]),
        why=reasons(bench, found, bursts, layers),
        evidence=evidence(bench, best),
    )  # fmt: skip


def refused(bench: Bench, found: Found, started: float) -> BrownoutPlan:
    """The plan where no setting holds: what breaks in each, and the largest burst that would hold."""
    settings = [FULL_SERVICE] + [
        Setting(mode=mode, way=way, thresholds=(0.0, 0.0) if mode == "fixed thresholds" else (1.0, 1.0))
        for way, brownout in bench.ways.items() if way is not None and not isinstance(brownout, Exception)
        for mode in ("salc", "fixed thresholds")
    ]  # fmt: skip
    bursts = {setting: largest_burst(bench, setting) for setting in settings}
    most = max(bursts, key=lambda one: bursts[one].holds)
    change = (
        f"a burst of at most {bursts[most].holds:.2f} × holds, with {named(most)}"
        if bursts[most].holds
        else "not even the rate before the burst holds: more replicas, or a looser SLO (see `tonnage plan serving`)"
    )
    broken = [f"{named(one.setting)}: {broken_text(one)}" for one in (found.full, *found.others)]
    status = Status(
        outcome="infeasible", reason=f"no brownout setting keeps the SLO at {bench.question.burst:g} × the rate",
        conflicts=(*broken, *found.refused), smallest_change=change, solver=solver(found, started),
    )  # fmt: skip
    why = BrownoutWhy(
        compared=tuple(alternative(one) for one in (found.full, *found.others)), load=load(bench.question),
        notes=notes(bench, found),
    )  # fmt: skip
    return BrownoutPlan(
        metadata=stamped(bench.question.name, bench.question.inputs),
        status=status,
        why=why,
        evidence=evidence(bench, found.full),
    )


def abstained(question: Question, started: float) -> BrownoutPlan:
    """The plan where step times were measured whole: what of them the experts take is not known."""
    status = Status(
        outcome="abstained",
        reason="the engine profile holds whole steps; what the experts take of them is not measured",
        missing=f"tonnage profile layers {question.model.name} (on one {question.device.name})",
        solver={"seconds": round(time.process_time() - started, 2)},
    )
    return BrownoutPlan(metadata=stamped(question.name, question.inputs), status=status)


def named(setting: Setting) -> str:
    """A setting in a phrase."""
    if setting.way is None:
        return setting.mode
    if setting.mode == "salc":
        return f"way {setting.way} under SALC"
    return f"way {setting.way} at {setting.thresholds[0]:g} (prefill) and {setting.thresholds[1]:g} (decode)"


def broken_text(trial: Trial) -> str:
    """The bound that breaks by most, as `ttft_s.p99 1.62 > 1`; `holds` where none does."""
    if trial.holds:
        return "holds"
    worst = trial.worst
    return f"{worst.name} {worst.found:.3g} {'<' if worst.name == 'attainment' else '>'} {worst.bound:g}"


def reason(found: Found) -> str:
    """The outcome in one sentence."""
    best = found.best
    assert best is not None
    if best.setting.way is None:
        return "full service holds every bound in the burst; there is nothing to brown out"
    return (
        f"{named(best.setting)} holds every bound in the burst at {best.loss_pct:.2f} % mean accuracy loss; "
        f"full service breaks {broken_text(found.full)}"
    )


def solver(found: Found, started: float) -> dict[str, float | int | str]:
    """The solver's own figures; ``seconds`` is CPU time."""
    return {
        "method": "replay of every way under SALC and along the frontier of fixed thresholds",
        "simulated": found.simulated, "seconds": round(time.process_time() - started, 2),
    }  # fmt: skip


def valid(question: Question, burst: Burst) -> str:
    """Under which assumptions the plan stands."""
    return (
        f"while the rate stays within {burst.holds:.2f} × from {question.burst_start_s:.0f} s on, experts are chosen "
        f"as in {question.popularity_source}, and the united experts lose what the accuracy table says"
    )


def deployed(question: Question) -> DeploymentInPlan:
    """The deployment as it is."""
    return DeploymentInPlan(**question.deployment.spec.model_dump())


def settings(bench: Bench, best: Trial, layers: tuple[LayerThresholds, ...]) -> BrownoutSettings | None:
    """What the engine is given, None where full service holds."""
    way = best.setting.way
    if way is None:
        return None
    question = bench.question
    prefill, decode = best.setting.thresholds
    given = {one.phase: one.thresholds for one in layers} if question.per_layer else {}
    return BrownoutSettings(
        mode=best.setting.mode, way=way, united_experts_per_layer=united_experts(question.moe.experts, way),
        threshold_init=PhaseThresholds(prefill=prefill, decode=decode),
        salc=salc_document(question) if best.setting.mode == "salc" else None,
        prefill_per_layer=given.get("prefill", ()), decode_per_layer=given.get("decode", ()),
    )  # fmt: skip


def salc_document(question: Question) -> Salc:
    """SALC's constants and bounds."""
    salc = salc_of(question)
    return Salc(
        level=salc.level, window_s=salc.window_s, check_s=salc.check_s, prefill_slo_s=question.prefill_slo_s,
        decode_slo_s=question.decode_slo_s,
    )  # fmt: skip


def expected(bench: Bench, best: Trial, burst: Burst) -> BrownoutExpected:
    """The figures of the best setting, with those at both ends of the step times' interval."""
    error = max(one.relative_error for one in bench.compiled.step_times)
    ends = [
        try_setting(bench, best.setting, time_factor=factor) for factor in (max(1 - error, LEAST_FACTOR), 1 + error)
    ]  # fmt: skip
    three = (best, *ends)
    lowest = best.thresholds.min(axis=0)
    return BrownoutExpected(
        ttft_s=percentiles(three, "ttft_s"), tpot_s=percentiles(three, "tpot_s"), itl_s=percentiles(three, "itl_s"),
        attainment=figure(*(one.measures.attainment.value for one in three)),
        requests_per_s=figure(*(one.measures.requests_per_s for one in three)),
        accuracy_loss_pct=figure(*(one.loss_pct for one in three)),
        burst_accuracy_loss_pct=figure(*(one.burst_loss_pct for one in three)),
        mean_threshold=phases(best.burst_thresholds), lowest_threshold=phases((float(lowest[0]), float(lowest[1]))),
        accesses=tuple(accesses(bench, best, phase) for phase in ("prefill", "decode")),
        largest_burst=Figure(value=rounded(burst.holds), high=None if burst.breaks is None else rounded(burst.breaks)),
        largest_burst_per_s=Figure(value=rounded(burst.holds * mean_rate(bench.question))),
        extra_memory_gib=rounded(best.extra_gib),
    )  # fmt: skip


def mean_rate(question: Question) -> float:
    """Requests per second without the burst."""
    span = float(question.requests.arrival_s[-1] - question.requests.arrival_s[0])
    return (len(question.requests) - 1) / span if span > 0 else 0.0


def accesses(bench: Bench, trial: Trial, phase: Phase) -> ExpertAccesses:
    """Experts read by a typical step of the burst, at its mean threshold."""
    tokens = step_tokens(trial, phase)
    reached = bench.brownout(trial.setting.way).accessed[row_of(tokens)]
    level = level_of(trial.burst_thresholds[phase == "decode"])
    return ExpertAccesses(
        phase=phase, tokens=tokens, full_service=rounded(float(reached[-1].mean())),
        planned=rounded(float(reached[level].mean())),
    )  # fmt: skip


def phases(pair: tuple[float, float]) -> PhaseThresholds:
    """(prefill, decode) as the document has it."""
    return PhaseThresholds(prefill=rounded(pair[0]), decode=rounded(pair[1]))


def percentiles(three: tuple[Trial, ...], metric: str) -> Percentiles:
    """One latency at its value and at both ends."""
    found = {}
    for level in LEVELS:
        own: list[Estimate] = [getattr(getattr(one.measures, metric), level) for one in three]
        if np.isfinite(own[0].value):
            found[level] = figure(*(one.value for one in own))
    return Percentiles(**found)


def figure(value: float, fast: float, slow: float) -> Figure:
    """A figure with what it is at the ends of the step times' interval."""
    ends = [one for one in (value, fast, slow) if np.isfinite(one)]
    return Figure(value=rounded(value), low=rounded(min(ends)), high=rounded(max(ends)), basis=BASIS)


def reasons(
    bench: Bench, found: Found, bursts: dict[Setting, Burst], layers: tuple[LayerThresholds, ...]
) -> BrownoutWhy:
    """The binding bound, every bound, what was compared, and what to know."""
    best = found.best
    assert best is not None
    tried = [found.full, *found.others, *full_brownout(bench)]
    return BrownoutWhy(
        binding=best.worst.name, slo=tuple(held(one) for one in best.bounds),
        compared=tuple(alternative(one, bursts.get(one.setting)) for one in tried),
        per_layer=tuple(gain(one) for one in layers), load=load(bench.question), notes=notes(bench, found),
    )  # fmt: skip


def held(bound: Bound) -> BoundHeld:
    """A bound as the plan shows it."""
    return BoundHeld(name=bound.name, bound=bound.bound, planned=rounded(bound.found), holds=bound.holds)


def gain(layers: LayerThresholds) -> LayerGain:
    """What thresholds by layer spare, as the plan shows it."""
    return LayerGain(
        phase=layers.phase, uniform_loss_pct=rounded(layers.uniform_loss_pct),
        per_layer_loss_pct=rounded(layers.loss_pct), bound_pct=rounded(layers.bound_pct),
    )  # fmt: skip


def full_brownout(bench: Bench) -> list[Trial]:
    """The simple baseline that drops what is not served, under SALC, where the table knows its losses."""
    if FULL not in bench.question.accuracy.spec.rows[0].loss_pct:
        return []
    trial = try_setting(bench, Setting(mode="salc", way=None))
    return [trial]


def alternative(trial: Trial, burst: Burst | None = None) -> BrownoutAlternative:
    """A trial as the plan shows it."""
    setting, measures = trial.setting, trial.measures
    mode = "full brownout" if setting.mode == "salc" and setting.way is None else setting.mode
    return BrownoutAlternative(
        mode=mode, way=setting.way, thresholds=phases(trial.burst_thresholds),
        breaks=None if trial.holds else broken_text(trial), attainment=rounded(measures.attainment.value),
        ttft_p99_s=rounded(measures.ttft_s.p99.value), tpot_p99_s=rounded_or_none(measures.tpot_s.p99.value),
        itl_p99_s=rounded_or_none(measures.itl_s.p99.value),
        accuracy_loss_pct=rounded(trial.loss_pct), extra_memory_gib=rounded(trial.extra_gib),
        largest_burst=None if burst is None else rounded(burst.holds),
        largest_burst_loss_pct=None if burst is None else rounded(burst.loss_pct),
    )  # fmt: skip


def load(question: Question) -> dict[str, float | str]:
    """The statistics of the requests before the burst is put on them."""
    found: dict[str, float | str] = {name: rounded(value) for name, value in statistics(question.requests).items()}
    return found | {"burst_from_s": rounded(question.burst_start_s)}


def notes(bench: Bench, found: Found) -> tuple[str, ...]:
    """What does not fit, where the accuracy table is odd, and what the figures take for granted."""
    question = bench.question
    odd = question.accuracy.spec.not_monotone()
    told = [f"the accuracy table is not monotone and is used as it is ({'; '.join(odd)})"] if odd else []
    told += found.refused
    told.append(f"the rate is {question.burst:g} × from {question.burst_start_s:.0f} s on; every request is kept")
    told.append(
        "a loss is the table's at the prefill and at the decode threshold, weighed by the tokens of each [ours]"
    )
    if found.best is not None and found.best.measures.ttft_s.p99.few:
        told.append(f"p99 rests on {found.best.measures.ttft_s.count} requests; 200 or more would carry it")
    return tuple(told)


def evidence(bench: Bench, best: Trial) -> tuple[Evidence, ...]:
    """What step times, memory, routing and losses rest on."""
    question, table = bench.question, bench.question.accuracy.spec
    own = (
        Evidence(
            quantity="expert_accesses", source=question.popularity_source,
            basis="assumed" if "synthetic" in question.popularity_source.lower() else "measured",
            note="routing drawn independently token by token from these shares",
        ),
        Evidence(
            quantity="expert_time", basis="calibrated",
            source="roofline of the experts that a batch reaches, as a share of the evidence on all experts",
            note="nobody has timed united experts on this device",
        ),
        Evidence(
            quantity="accuracy_loss", basis="database", source=f"{table.source}, {table.date}", note=table.measure
        ),
    )  # fmt: skip
    return (*evidence_of(bench.compiled), *own)


def rounded_or_none(value: float) -> float | None:
    """Four digits, None for what is not defined."""
    return rounded(value) if np.isfinite(value) else None


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
