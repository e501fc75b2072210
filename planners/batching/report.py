"""From trials to a plan: which way is kept, what it gains, and the reasons in figures."""

from __future__ import annotations

import importlib.metadata
import time
from datetime import UTC, datetime

import numpy as np

from planners.batching.bucketing import SAFE, limits_of, shares, waste_by_rule
from planners.batching.ordering import exact
from planners.batching.question import OnProgress, Question
from planners.batching.trials import Trial, attempt, found, largest_load
from predictors.deployment import evidence_of
from predictors.serving import Measures, measure
from predictors.slo import bounds_of
from predictors.workload import statistics
from solvers.partitions import bucket_of, padding_waste
from specs.base import Figure, Metadata
from specs.batching import (
    BatchingDecision,
    BatchingExpected,
    BatchingFound,
    BatchingPlan,
    BatchingWhy,
    Bucket,
    OutputPrediction,
)
from specs.plan import Evidence, Percentiles, Status
from specs.trace import FloatArray

GIB = 2**30
WORTH = 0.005
"""A way must attain this much more, or its goodput be this share higher, to be preferred to the plain one."""
LEVELS = ("mean", "p50", "p90", "p95", "p99")
BASIS = "90 %: step-time error and sampling error in quadrature"


def report(question: Question, trials: list[Trial], started: float, on_progress: OnProgress) -> BatchingPlan:
    """The plan document; ``trials`` begin with continuous batching."""
    target = question.workload.slo.attainment
    continuous, plain = trials[0], _plain(question, trials)
    best = _best(question, trials, plain)
    on_progress(len(trials), len(trials) + 1, "seeking the largest load that holds")
    loads = {id(one): largest_load(question, one.way, target) for one in (continuous, plain, best)}
    shown = tuple(found(one, loads.get(id(one))) for one in trials)
    measures = _three(question, best)
    broken = _broken(question, best, measures[0], target)
    reference = found(continuous, loads[id(continuous)])
    return BatchingPlan(
        metadata=_metadata(question),
        status=_status(question, best, plain, broken, loads[id(best)], len(trials), started),
        valid=_valid(question),
        decision=None if broken else _decision(question, best),
        expected=_expected(measures, best, loads[id(best)], reference),
        why=BatchingWhy(
            reason=_reason(question, best, plain, continuous),
            compared=shown,
            boundaries=waste_by_rule(question) if question.asked.method in ("bucket", "all") else (),
            exact=exact(question) if question.asked.method in ("slo-odbs", "all") else None,
            prediction=_prediction(question),
            deadlines=question.deadlines_text,
            bounds=question.bounds_text,
            candidates=_candidates(question),
            load={name: _round(value) for name, value in statistics(question.requests).items()},
            notes=_notes(question, trials, best),
        ),
        evidence=_evidence(question),
    )


def _metadata(question: Question) -> Metadata:
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ours = importlib.metadata.version("tonnage")
    return Metadata(name=question.name, created=created, tonnage=ours, inputs=question.inputs)


def _plain(question: Question, trials: list[Trial]) -> Trial:
    """What the back-end does without a method: continuous batching, or first come, first served batches."""
    if question.asked.back_end == "ragged":
        return trials[0]
    batches = [one for one in trials[1:] if one.way.method in ("batches", "fcfs")]
    return batches[0] if batches else trials[1]


def _best(question: Question, trials: list[Trial], plain: Trial) -> Trial:
    """The best way that the back-end can do; the plain one unless another is worth it."""
    possible = trials if question.asked.back_end == "ragged" else trials[1:]
    best = max(possible, key=lambda one: one.rank)
    more = best.attainment - plain.attainment
    faster = best.goodput_per_s / max(plain.goodput_per_s, 1e-12) - 1.0
    return best if more >= WORTH or (more >= 0 and faster >= WORTH) else plain


def _three(question: Question, best: Trial) -> tuple[Measures, Measures, Measures]:
    error = max(one.relative_error for one in question.compiled.step_times)
    factors = (1.0, 1.0 - min(error, 0.9), 1.0 + error)
    runs = [best.run, *(attempt(question, best.way, factor).run for factor in factors[1:])]
    found = [
        measure(
            run, question.bounds, prompt_tokens=question.requests.prompt_tokens, seed=question.asked.seed,
            resamples=200 if number == 0 else 0,
        )
        for number, run in enumerate(runs)
    ]  # fmt: skip
    return found[0], found[1], found[2]


def _broken(question: Question, best: Trial, measures: Measures, target: float) -> tuple[str, ...]:
    """Bounds of the SLO that the best way breaks."""
    broken = [
        f"{one.name} {one.found:.4g} > {one.bound:g}"
        for one in bounds_of(question.workload.slo, measures)
        if one.name != "attainment" and not one.holds
    ]
    if best.attainment < target:
        broken.insert(0, f"attainment {best.attainment:.4f} < {target:g}")
    return tuple(broken)


def _status(
    question: Question, best: Trial, plain: Trial, broken: tuple[str, ...], load: float, count: int, started: float
) -> Status:
    solver: dict[str, float | int | str] = {"simulated": count, "seconds": round(time.process_time() - started, 2)}
    if not broken:
        return Status(outcome="optimal", reason=_headline(question, best, plain), solver=solver)
    change = f"{load:.2f} × this load would hold the attainment" if load > 0 else "no share of this load holds it"
    late = _impossible(question)
    if late:
        change += f"; {late} requests cannot meet their bounds even alone"
    return Status(
        outcome="infeasible", reason=f"no way of batching keeps the SLO; the best is {_named(best)}",
        solver=solver, conflicts=broken, smallest_change=change,
    )  # fmt: skip


def _impossible(question: Question) -> int:
    """Requests whose deadline is earlier than an idle engine could answer them."""
    from predictors.serving.buckets import batch_times

    ones = np.ones(len(question.requests), dtype=np.int64)
    prefill, decode = batch_times(question.pool, ones, question.requests.prompt_tokens, question.requests.output_tokens)
    slack = question.deadline_s - question.requests.arrival_s
    alone = prefill + decode if question.whole else prefill
    return int((slack < alone).sum()) if question.own_deadlines or np.isfinite(question.bounds[:, 2]).any() else 0


def _headline(question: Question, best: Trial, plain: Trial) -> str:
    if best is plain:
        return f"do not bucket: {_named(plain)} is as good as any other way on a {question.asked.back_end} back-end"
    return (
        f"{_named(best)} attains {best.attainment:.1%} against {plain.attainment:.1%} with {_named(plain)}, "
        f"on a {question.asked.back_end} back-end"
    )


def _named(trial: Trial) -> str:
    return f"{trial.way.method} ({trial.way.setting})"


def _decision(question: Question, best: Trial) -> BatchingDecision:
    policy, limits = best.way.policy, question.pool.limits
    bucketed = best.way.method == "bucket"
    return BatchingDecision(
        method="none" if policy is None else best.way.method,
        do_not_bucket=not bucketed,
        back_end=question.asked.back_end,
        boundaries=best.way.rule if bucketed else None,
        order=best.way.order,
        max_batch=limits.max_num_seqs if policy is None else int(policy.max_batch.max()),
        hold_s=0.0 if policy is None else policy.hold_s,
        kv_form=None if policy is None else question.asked.kv_form,
        memory_reserve=None if policy is None or policy.paged else round(1.0 - SAFE, 4),
        split_above=None if policy is None else policy.most_queued,
        buckets=() if policy is None else _buckets(question, best, policy.uppers),
        reserve_quantile=None if policy is None else question.asked.quantile,
        reserve_margin_tokens=None if policy is None else question.asked.margin_tokens,
    )


def _buckets(question: Question, best: Trial, uppers: FloatArray) -> tuple[Bucket, ...]:
    limits, share = limits_of(question, uppers), shares(question, uppers)
    assert best.way.policy is not None
    prompts = question.requests.prompt_tokens
    at = bucket_of(prompts, uppers)
    book = question.compiled.ledgers[0]
    per_token = book.bytes_per_block / book.block_tokens
    found, low = [], 0
    for b, high in enumerate(uppers):
        rows = at == b
        reserve = int(question.reserve[rows].max(initial=0)) if question.whole else 0
        size = int(best.way.policy.max_batch[b])
        found.append(
            Bucket(
                lo=low, hi=int(high), share=_round(float(share[b])), max_batch=size,
                max_batch_paged=int(limits.paged[b]), max_batch_smax=int(limits.smax[b]),
                kv_gib=_round(size * _held(question, rows, high, reserve) * per_token / GIB),
                est_wait_s=_round(float(np.nanmean(best.run.queue_s[rows]))) if rows.any() else 0.0,
                waste=_round(padding_waste(prompts[rows], [high])) if rows.any() else 0.0,
            )
        )  # fmt: skip
        low = int(high)
    return tuple(found)


def _held(question: Question, rows: np.ndarray, high: float, reserve: int) -> float:
    """Tokens of KV of one request of a bucket: the mean where paged, else the bucket's bound and longest reserve."""
    if question.asked.kv_form == "smax" or not rows.any():
        return float(high) + reserve
    extra = question.reserve[rows] if question.whole else 0
    return float((question.requests.prompt_tokens[rows] + extra).mean())


def _expected(
    measures: tuple[Measures, Measures, Measures], best: Trial, load: float, fcfs: BatchingFound
) -> BatchingExpected:
    own = found(best)
    return BatchingExpected(
        ttft_s=_percentiles(measures, "ttft_s"),
        tpot_s=_percentiles(measures, "tpot_s"),
        e2e_s=_percentiles(measures, "e2e_s"),
        attainment=_figure([best.attainment, *(one.attainment.value for one in measures[1:])], most=1.0),
        tokens_per_s=_figure([one.tokens_per_s for one in measures]),
        goodput_per_s=_figure([best.goodput_per_s, *(one.goodput_per_s for one in measures[1:])]),
        prompt_waste=Figure(value=own.prompt_waste),
        decode_waste=Figure(value=own.decode_waste),
        load=Figure(value=_round(load), basis="bisection to 1 %, at the expected step times"),
        fcfs=fcfs,
    )


def _percentiles(measures: tuple[Measures, Measures, Measures], name: str) -> Percentiles:
    figures = {}
    for level in LEVELS:
        own, fast, slow = (getattr(getattr(one, name), level) for one in measures)
        if np.isfinite(own.value):
            below = np.hypot(max(own.value - fast.value, 0.0), own.value - own.low)
            above = np.hypot(max(slow.value - own.value, 0.0), own.high - own.value)
            low, high = max(own.value - float(below), 0.0), own.value + float(above)
            figures[level] = Figure(value=_round(own.value), low=_round(low), high=_round(high), basis=BASIS)
    return Percentiles(**figures)


def _figure(values: list[float], most: float = np.inf) -> Figure:
    return Figure(value=_round(values[0]), low=_round(min(values)), high=_round(min(max(values), most)))


def _reason(question: Question, best: Trial, plain: Trial, continuous: Trial) -> str:
    prompts = question.requests.prompt_tokens
    alone = padding_waste(prompts, [float(prompts.max())])
    if question.asked.back_end == "ragged":
        others = [one for one in (best,) if one is not continuous]
        text = (
            f"a ragged back-end ({question.compiled.deployment.engine.name} as it is today) pads nothing: 0 % of its "
            f"prompt tokens are padding, where one padded queue would compute {alone:.0%} in vain"
        )
        return text + (f"; {_named(others[0])} wins by its order, not by its buckets" if others else "")
    own = best.totals.prompt_waste if best.totals else 0.0
    before = plain.totals.prompt_waste if plain.totals else 0.0
    text = (
        f"padding takes {before:.1%} of the prompt tokens computed by {_named(plain)} and {own:.1%} by {_named(best)}; "
        f"a ragged engine on the same GPUs pads nothing and attains {continuous.attainment:.1%}"
    )
    return text + (", more than any padded way" if continuous.rank > best.rank else "")


def _prediction(question: Question) -> OutputPrediction:
    lengths, rows = question.lengths, question.lengths.scored
    actual, aside = question.requests.output_tokens[rows], question.reserve[rows]
    over, under = aside - actual, actual - aside
    short = under > 0
    coverage = float((~short).mean())
    lacking = float(under[short].mean()) if short.any() else 0.0
    spare = float(np.maximum(over, 0).mean())
    share = spare / max(float((question.requests.prompt_tokens[rows] + aside).mean()), 1.0)
    cost = (
        f"{1.0 - coverage:.1%} of the answers outrun what is set aside, by {lacking:.0f} tokens on average: with a "
        f"hard cap they are cut, without one their batch runs on and its KV may overflow; {spare:.0f} tokens a request "
        f"are set aside in vain, {share:.0%} of its KV, and batches are smaller by as much"
    )
    return OutputPrediction(
        kind=lengths.kind, features=lengths.features, quantile=lengths.quantile,
        margin_tokens=question.asked.margin_tokens, class_accuracy=_round(lengths.class_accuracy),
        coverage=_round(coverage), pinball=_round(lengths.pinball), pinball_constant=_round(lengths.pinball_constant),
        over_tokens=_round(spare), under_tokens=_round(lacking), cost=cost,
    )  # fmt: skip


def _candidates(question: Question) -> str:
    asked = question.asked
    parts = ["continuous batching"]
    if asked.method in ("bucket", "all"):
        parts.append(f"up to {asked.buckets} buckets by {asked.boundaries} boundaries, orders fcfs sjf ljf edf")
    if asked.method in ("slo-odbs", "all"):
        parts.append("fcfs, odbs, slo-dbs, slo-odbs and s3 batches" if question.whole else "no whole batches")
    return "; ".join(parts)


def _notes(question: Question, trials: list[Trial], best: Trial) -> tuple[str, ...]:
    notes = [note for one in question.compiled.step_times for note in one.range_notes]
    if not question.whole:
        notes.append("decode is apart and batches continuously; prefill batches do not wait for room in its KV cache")
        if question.asked.method in ("slo-odbs", "all"):
            notes.append("slo-odbs, odbs, slo-dbs and s3 serve batches whole: they do not apply to separate roles")
    elif any(one.totals for one in trials):
        notes.append("batches are served whole, as padded back-ends do: answered together when the longest ends")
    if question.requests.prefix_id is not None or question.requests.hit_tokens is not None:
        notes.append("shared prefixes count for continuous batching alone: a padded prefill computes every prompt")
    if best.run.steps_outside:
        notes.append(f"{best.run.steps_outside} steps lay beyond what the step times were measured on")
    if len(question.requests) < 200:
        notes.append(f"percentiles rest on {len(question.requests)} requests; 200 or more would carry a p99")
    return tuple(dict.fromkeys(notes))


def _evidence(question: Question) -> tuple[Evidence, ...]:
    lengths = question.lengths
    own = Evidence(
        quantity="output_tokens", basis="calibrated",
        source=f"{lengths.kind} on the workload's first 60 %, scored on the rest",
        note=f"class named for {lengths.class_accuracy:.0%}",
    )  # fmt: skip
    return (*evidence_of(question.compiled), own)


def _valid(question: Question) -> str:
    return f"while prompts and answers stay as they are, and the engine {question.asked.back_end}"


def _round(value: float) -> float:
    """Four significant digits: more would claim what no prediction has."""
    return float(f"{value:.4g}")
