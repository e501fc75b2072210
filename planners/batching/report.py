"""From trials to a plan: which way is kept, what it gains, and the reasons in figures."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from planners.batching.bucketing import SAFE, limits_of, shares, waste_by_rule
from planners.batching.ordering import exact
from planners.batching.question import Question
from planners.batching.trials import LOAD_MOST, Trial, attempt, found
from predictors.deployment import evidence_of
from predictors.serving import Measures, measure
from predictors.slo import bounds_of
from predictors.workload import statistics
from solvers.partitions import bucket_of, padding_waste
from specs.base import Figure
from specs.batching import (
    BatchingDecision,
    BatchingExpected,
    BatchingPlan,
    BatchingWhy,
    Bucket,
    OutputPrediction,
)
from specs.plan import Evidence, Percentiles, Status
from specs.stamping import stamped
from specs.trace import FloatArray

GIB = 2**30
LEVELS = ("mean", "p50", "p90", "p95", "p99")
BASIS = "90 %: step-time error and sampling error in quadrature"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Every way at ``load`` times the load, and the best, the plain and continuous batching at the load itself.

    ``plain`` is what the back-end does without a method; the three loads are the largest multiples that hold.
    """

    load: float
    trials: tuple[Trial, ...]
    best: Trial
    plain: Trial
    continuous: Trial
    best_load: float
    plain_load: float
    continuous_load: float

    @property
    def is_plain(self) -> bool:
        """Whether no method is worth it."""
        return self.best.way is self.plain.way


def report(question: Question, choice: Choice, started: float) -> BatchingPlan:
    """The plan document."""
    target, best = question.workload.slo.attainment, choice.best
    measures = _three(question, best)
    broken = _broken(question, best, measures[0], target)
    bucketed = question.asked.method in ("bucket", "all")
    ordered = question.asked.method in ("slo-odbs", "all") and question.whole
    return BatchingPlan(
        metadata=stamped(question.name, question.inputs),
        status=_status(question, choice, broken, started),
        valid=_valid(question),
        decision=None if broken else _decision(question, best),
        expected=_expected(measures, choice),
        why=BatchingWhy(
            reason=_reason(question, choice),
            compared_at_load=_round(choice.load),
            compared=tuple(found(one) for one in choice.trials),
            boundaries=waste_by_rule(question) if bucketed else (),
            exact=exact(question) if ordered else None,
            prediction=_prediction(question),
            deadlines=question.deadlines_text,
            bounds=question.bounds_text,
            candidates=_candidates(question),
            load={name: _round(value) for name, value in statistics(question.requests).items()},
            notes=_notes(question, choice),
        ),
        evidence=_evidence(question),
    )


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


def _status(question: Question, choice: Choice, broken: tuple[str, ...], started: float) -> Status:
    solver: dict[str, float | int | str] = {
        "simulated": len(choice.trials), "seconds": round(time.process_time() - started, 2)
    }  # fmt: skip
    if not broken:
        return Status(outcome="optimal", reason=_headline(question, choice), solver=solver)
    load = choice.best_load
    change = f"{load:.2f} × this load would hold the attainment" if load > 0 else "no share of this load holds it"
    late = _impossible(question)
    if late:
        change += f"; {late} requests cannot meet their deadline even alone on an idle engine"
    return Status(
        outcome="infeasible", reason=f"no way of batching keeps the SLO; the best is {_named(choice.best)}",
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


def _headline(question: Question, choice: Choice) -> str:
    back_end = question.asked.back_end
    if choice.is_plain and choice.plain_load >= LOAD_MOST:
        return f"do not bucket: {_named(choice.plain)} holds {LOAD_MOST:g} × this load already, the most that is tried"
    if choice.is_plain:
        return (
            f"do not bucket: no other way holds more than the {choice.plain_load:.2f} × this load that "
            f"{_named(choice.plain)} holds on a {back_end} back-end"
        )
    return (
        f"{_named(choice.best)} holds {choice.best_load:.2f} × this load, {_named(choice.plain)} "
        f"{choice.plain_load:.2f} ×, on a {back_end} back-end"
    )


def _named(trial: Trial) -> str:
    return f"{trial.way.method} ({trial.way.setting})"


def _decision(question: Question, best: Trial) -> BatchingDecision:
    policy, limits = best.policy, question.pool.limits
    bucketed = best.way.method == "bucket"
    uppers = best.way.uppers if bucketed or policy is None else policy.uppers
    return BatchingDecision(
        method="none" if policy is None and not bucketed else best.way.method,
        do_not_bucket=not bucketed,
        back_end=question.asked.back_end,
        boundaries=best.way.rule if bucketed else None,
        order=best.way.order,
        replicas=best.way.routed or None,
        max_batch=limits.max_num_seqs if policy is None else int(policy.max_batch.max()),
        hold_s=0.0 if policy is None else policy.hold_s,
        kv_form=None if policy is None else question.asked.kv_form,
        memory_reserve=None if policy is None or policy.paged else round(1.0 - SAFE, 4),
        split_above=None if policy is None else policy.most_queued,
        buckets=() if uppers is None else _buckets(question, best, uppers),
        reserve_quantile=None if policy is None else question.asked.quantile,
        reserve_margin_tokens=None if policy is None else question.asked.margin_tokens,
    )


def _buckets(question: Question, best: Trial, uppers: FloatArray) -> tuple[Bucket, ...]:
    limits, share = limits_of(question, uppers), shares(question, uppers)
    prompts = question.requests.prompt_tokens
    at = bucket_of(prompts, uppers)
    book = question.compiled.ledgers[0]
    per_token = book.bytes_per_block / book.block_tokens
    found, low = [], 0
    for b, high in enumerate(uppers):
        rows = at == b
        reserve = int(question.reserve[rows].max(initial=0)) if question.whole else 0
        size = question.pool.limits.max_num_seqs if best.policy is None else int(best.policy.max_batch[b])
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


def _expected(measures: tuple[Measures, Measures, Measures], choice: Choice) -> BatchingExpected:
    best, own = choice.best, found(choice.best)
    return BatchingExpected(
        ttft_s=_percentiles(measures, "ttft_s"),
        tpot_s=_percentiles(measures, "tpot_s"),
        e2e_s=_percentiles(measures, "e2e_s"),
        attainment=_figure([best.attainment, *(one.attainment.value for one in measures[1:])], most=1.0),
        tokens_per_s=_figure([one.tokens_per_s for one in measures]),
        goodput_per_s=_figure([best.goodput_per_s, *(one.goodput_per_s for one in measures[1:])]),
        prompt_waste=Figure(value=own.prompt_waste),
        decode_waste=Figure(value=own.decode_waste),
        load=Figure(value=_round(choice.best_load), basis="bisection to 2 %, at the expected step times"),
        plain=found(choice.plain, choice.plain_load),
        fcfs=found(choice.continuous, choice.continuous_load),
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


def _reason(question: Question, choice: Choice) -> str:
    prompts = question.requests.prompt_tokens
    alone = padding_waste(prompts, [float(prompts.max())])
    if question.asked.back_end == "ragged":
        text = (
            f"a ragged back-end ({question.compiled.deployment.engine.name} as it is today) pads nothing: 0 % of its "
            f"prompt tokens are padding, where one padded queue could compute up to {alone:.0%} in vain"
        )
        others = [one for one in choice.trials if one.way.method == "bucket"]
        if not others:
            return text
        top = max(others, key=lambda one: one.rank)
        if not choice.is_plain:
            return text + f"; {_named(choice.best)} wins by who waits for whom, not by padding"
        return text + (
            f"; at {choice.load:.2f} × the load the best buckets ({top.way.setting}) attain {top.attainment:.1%}, "
            f"continuous batching {choice.trials[0].attainment:.1%}"
        )
    before = choice.trials[1].totals
    waste = before.prompt_waste if before else 0.0
    text = f"at {choice.load:.2f} × the load padding takes {waste:.1%} of the prompt tokens that one queue computes"
    if not choice.is_plain:
        same = next(one for one in choice.trials if one.way.setting == choice.best.way.setting)
        text += f", {same.totals.prompt_waste if same.totals else 0.0:.1%} with {_named(choice.best)}"
    return text + (
        f"; a ragged engine on the same GPUs pads nothing and holds {choice.continuous_load:.2f} × this load"
        f"{', more than any padded way' if choice.continuous_load > choice.best_load else ''}"
    )


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


def _notes(question: Question, choice: Choice) -> tuple[str, ...]:
    notes = [note for one in question.compiled.step_times for note in one.range_notes]
    if not question.whole:
        notes.append("decode is apart and batches continuously; prefill batches do not wait for room in its KV cache")
        if question.asked.method in ("slo-odbs", "all"):
            notes.append("slo-odbs, odbs, slo-dbs and s3 serve batches whole: they do not apply to separate roles")
    elif any(one.totals for one in choice.trials):
        notes.append("batches are served whole, as padded back-ends do: answered together when the longest ends")
    if question.requests.prefix_id is not None or question.requests.hit_tokens is not None:
        notes.append("shared prefixes count for continuous batching alone: a padded prefill computes every prompt")
    if choice.best.run.steps_outside:
        notes.append(f"{choice.best.run.steps_outside} steps lay beyond what the step times were measured on")
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
