"""The search: candidates in order of cost, pruned by closed forms, decided by simulation; what failed is kept."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from planners.serving.bounds import Bound, Demand, fewest_replicas, unloaded
from planners.serving.candidates import (
    MAX_NUM_BATCHED_TOKENS,
    MAX_NUM_SEQS,
    MEMORY_FRACTIONS,
    Decision,
    Layout,
    Limits,
    Part,
    gpus,
    spare_for,
    usd_per_hour,
)
from planners.serving.decide import DONE, Check, Verdict, early_stop, judge
from planners.serving.question import OnProgress, Question
from planners.serving.serve import Workbench, serve
from predictors.serving import Run
from specs.errors import MissingHardwareError

STRESS = 1.15
"""Multiple of the load at which limits that all hold are compared."""
FULL = 0.98
"""Share of a replica's KV blocks from which more memory could have changed the run."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One decision that was simulated at the upper end of its interval, and what became of it."""

    decision: Decision
    verdict: Verdict
    done: int  # requests completed before the run ended or was stopped
    peak_running: int  # most sequences at once on one replica
    kv_full: bool
    ttft_p99_s: float | None
    tpot_p99_s: float | None
    attainment: float | None

    @property
    def holds(self) -> bool:
        """Whether every bound held."""
        return self.verdict.holds


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A layout that no number of replicas in the pool can make hold, and why."""

    layout: Layout
    constraint: str  # memory | free GPUs | unloaded latency | replicas | evidence
    reason: str
    shortfall: float = 0.0  # GiB short, replicas short, or the factor by which a bound is missed
    check: Check | None = None
    cure: str = ""


@dataclass
class Tally:
    """What the search looked at."""

    evaluated: int = 0
    pruned: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    bounds: dict[str, Bound] = field(default_factory=dict)
    failed: list[Trial] = field(default_factory=list)
    opened: dict[str, Open] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Open:
    """A layout that closed forms left open: the fewest replicas and the limits worth trying."""

    layout: Layout
    fewest: int
    limits: tuple[tuple[Limits, int], ...]  # limits and the fewest replicas under them


def open_layout(bench: Workbench, asked: Demand, layout: Layout, tally: Tally) -> Open | None:
    """The layout if memory, Little's law and the unloaded latency leave it open; else None, and noted as refused."""
    refusal = _cannot_be_placed(layout) or _does_not_fit(bench, layout) or _lacks_evidence(bench, layout)
    kept = [] if refusal else _open_limits(bench, asked, layout, tally)
    if isinstance(kept, Refusal):
        refusal, kept = kept, []
    if refusal is None:
        fewest = min(bound.replicas for _, bound in kept)
        tally.bounds[layout.label] = min((bound for _, bound in kept), key=lambda bound: bound.replicas)
        if fewest + spare_for(layout, fewest, bench.question.survive) > layout.capacity:
            refusal = _too_few(layout, fewest)
    if refusal is not None:
        tally.refusals.append(refusal)
        tally.pruned += len(MAX_NUM_SEQS) * len(MAX_NUM_BATCHED_TOKENS) * len(MEMORY_FRACTIONS)
        return None
    return Open(layout=layout, fewest=fewest, limits=tuple((limits, bound.replicas) for limits, bound in kept))


def _open_limits(
    bench: Workbench, asked: Demand, layout: Layout, tally: Tally
) -> list[tuple[Limits, Bound]] | Refusal:
    """Limits under which a replica fits and one request alone meets the SLO, each with its lower bound."""
    kept: list[tuple[Limits, Bound]] = []
    broken: list[Check] = []
    for tokens in MAX_NUM_BATCHED_TOKENS:
        limits = [Limits(seqs, tokens, fraction) for fraction in MEMORY_FRACTIONS for seqs in MAX_NUM_SEQS]
        fitting = [one for one in limits if _kv_holds_a_request(bench, layout, one)]
        checks = unloaded(bench, layout, fitting[0]) if fitting else ()
        if fitting and not checks:
            kept += [(one, fewest_replicas(bench, asked, layout, one)) for one in fitting]
        else:
            tally.pruned += len(limits)
            broken += [max(checks, key=lambda check: check.ratio)] if checks else []
    return kept or _breaks_alone(layout, broken)


def _kv_holds_a_request(bench: Workbench, layout: Layout, limits: Limits) -> bool:
    held = bench.memory(layout, limits)
    needed = bench.question.engine.max_model_len or 1
    return held.fits and bench.kv_blocks(layout, limits, "planned") * bench.question.engine.block_size_tokens >= needed


def _cannot_be_placed(layout: Layout) -> Refusal | None:
    if layout.capacity > 0:
        return None
    free = layout.pool.free_by_node()
    reason = f"pool {layout.pool.name} has {sum(free)} free GPUs, at most {max(free)} on one node"
    return Refusal(layout=layout, constraint="free GPUs", reason=reason, shortfall=1.0)


def _does_not_fit(bench: Workbench, layout: Layout) -> Refusal | None:
    easiest = Limits(min(MAX_NUM_SEQS), min(MAX_NUM_BATCHED_TOKENS), max(MEMORY_FRACTIONS))
    if _kv_holds_a_request(bench, layout, easiest):
        return None
    short = bench.memory(layout, easiest).shortfall_bytes / 2**30
    if short > 0:
        reason = f"the model misses {short:.1f} GiB per GPU for one request of {bench.question.engine.max_model_len} tokens"
    else:
        short, reason = 0.01, "at the low end of its interval the KV cache does not hold the longest request"
    return Refusal(layout=layout, constraint="memory", reason=reason, shortfall=short)


def _lacks_evidence(bench: Workbench, layout: Layout) -> Refusal | None:
    try:
        bench.step(layout)
    except MissingHardwareError as error:
        return Refusal(layout=layout, constraint="evidence", reason=error.message, cure=error.cure)
    return None


def _breaks_alone(layout: Layout, broken: list[Check]) -> Refusal:
    if not broken:
        return Refusal(layout=layout, constraint="memory", reason="the KV cache does not hold the longest request")
    check = min(broken, key=lambda one: one.ratio)
    reason = f"one request alone, without any load, has {check.text}"
    return Refusal(layout=layout, constraint="unloaded latency", reason=reason, shortfall=check.ratio, check=check)


def _too_few(layout: Layout, fewest: int) -> Refusal:
    reason = f"at least {fewest} replicas are needed, {layout.capacity} fit pool {layout.pool.name}"
    return Refusal(layout=layout, constraint="replicas", reason=reason, shortfall=float(fewest - layout.capacity))


def price(question: Question, decision: Decision) -> tuple[float, float]:
    """What is kept least, and what breaks its ties."""
    cost, count = usd_per_hour(decision), gpus(decision)
    dear = np.inf if cost is None else cost
    return (dear, float(count)) if question.objective == "cost" else (float(count), dear)


def try_decision(bench: Workbench, decision: Decision, *, stop: bool = True, question: Question | None = None) -> Trial:
    """Simulate a decision at the plan's upper end and judge it; with ``stop`` a failing run is cut short."""
    asked = question or bench.question
    run = serve(bench, decision, "planned", question=asked, early_stop=early_stop(asked) if stop else None)
    return trial_of(asked, decision, run)


def trial_of(question: Question, decision: Decision, run: Run) -> Trial:
    """What a run says about its decision."""
    verdict = judge(question, run)
    whole = not run.stopped_early
    tpot = run.tpot_s[~np.isnan(run.tpot_s)]
    share = [c.value for c in judge(question, run, sampling=False).checks if c.name.endswith("attainment")] if whole else []
    full = run.replicas.kv_blocks_max >= FULL * run.replicas.kv_blocks
    return Trial(
        decision=decision, verdict=verdict, done=int((run.status == DONE).sum()),
        peak_running=_peak_running(run) if whole else 0,
        kv_full=bool(full.any() or run.replicas.preemptions.sum()),
        ttft_p99_s=float(np.quantile(run.ttft_s, 0.99)) if whole else None,
        tpot_p99_s=float(np.quantile(tpot, 0.99)) if whole and len(tpot) else None,
        attainment=min(share) if share else None,
    )  # fmt: skip


def _peak_running(run: Run) -> int:
    """Most sequences at once on one replica, between their first scheduling and their end."""
    most = 0
    for replica in range(len(run.replicas.steps)):
        own = (run.replica == replica) & np.isfinite(run.queue_s) & np.isfinite(run.e2e_s)
        if own.any():
            start, end = (run.arrival_s + run.queue_s)[own], (run.arrival_s + run.e2e_s)[own]
            times = np.concatenate([end, start])
            change = np.concatenate([-np.ones(len(end), dtype=int), np.ones(len(start), dtype=int)])
            most = max(most, int(np.cumsum(change[np.argsort(times, kind="stable")]).max()))
    return most


def cheapest_mixed(
    bench: Workbench, asked: Demand, layouts: Iterable[Layout], tally: Tally, on_progress: OnProgress
) -> Trial | None:
    """The cheapest mixed decision that holds; among equals in cost the one with most slack.

    Candidates come in order of cost. Every cheaper (layout, replicas) at or above its closed-form bound is simulated
    under every limit and has failed; a layout is compiled only when one replica of it is cheap enough to matter.
    """
    question, best = bench.question, None
    queue: list[tuple[tuple[float, float], int, int, Layout | Open]] = []
    for number, layout in enumerate(layouts):
        heapq.heappush(queue, (_price_of(question, layout, 1), number, 1, layout))
    while queue:
        cost, number, replicas, one = heapq.heappop(queue)
        if best is not None and cost > price(question, best.decision):
            break
        if isinstance(one, Layout):
            opened = open_layout(bench, asked, one, tally)
            if opened is not None:
                at = _price_of(question, one, opened.fewest)
                tally.opened[one.label] = opened
                heapq.heappush(queue, (at, number, opened.fewest, opened))
            continue
        on_progress(tally.evaluated, 0, f"{replicas} × {one.layout.label}")
        trial = best_limits(bench, one, replicas, tally)
        if trial.holds:
            best = trial if best is None or trial.verdict.slack > best.verdict.slack else best
            continue
        tally.failed.append(trial)
        if replicas + 1 + spare_for(one.layout, replicas + 1, question.survive) <= one.layout.capacity:
            heapq.heappush(queue, (_price_of(question, one.layout, replicas + 1), number, replicas + 1, one))
    return best


def _price_of(question: Question, layout: Layout, replicas: int) -> tuple[float, float]:
    spare = spare_for(layout, replicas, question.survive)
    return price(question, (Part(layout=layout, limits=Limits(1, 1, 0.9), replicas=replicas, spare=spare),))


def best_limits(bench: Workbench, one: Open, replicas: int, tally: Tally) -> Trial:
    """The trial with most slack over all limits, or, where none holds, the one that got furthest.

    Limits that cannot change the run are not simulated again: a smaller max_num_seqs that was never reached,
    a larger memory fraction where KV never filled.
    """
    spare = spare_for(one.layout, replicas, bench.question.survive)
    trials: dict[Limits, Trial] = {}
    for limits, fewest in one.limits:
        if fewest > replicas or _same_as_tried(limits, trials):
            tally.pruned += 1
            continue
        part = Part(layout=one.layout, limits=limits, replicas=replicas, spare=spare)
        trials[limits] = try_decision(bench, (part,))
        tally.evaluated += 1
    holding = [trial for trial in trials.values() if trial.holds]
    if holding:
        return max(holding, key=_preference)
    return max(trials.values(), key=lambda trial: (trial.done, trial.verdict.slack))


def _same_as_tried(limits: Limits, trials: dict[Limits, Trial]) -> bool:
    for tried, trial in trials.items():
        if tried.max_num_batched_tokens != limits.max_num_batched_tokens or trial.kv_full:
            continue
        if limits.max_num_seqs == tried.max_num_seqs and limits.memory > tried.memory:
            return True
        unreached = not trial.verdict.stopped and trial.peak_running <= limits.max_num_seqs < tried.max_num_seqs
        if unreached and limits.memory == tried.memory:
            return True
    return False


def _preference(trial: Trial) -> tuple[float, float, float]:
    limits = trial.decision[0].limits
    return round(trial.verdict.slack, 2), -limits.memory, -limits.max_num_batched_tokens


def sturdiest(bench: Workbench, one: Open, best: Trial, tally: Tally) -> Trial:
    """The answer under the limits that carry most: those with most slack when the load is `STRESS` times as high.

    Every limit under which the answer holds keeps the SLO; which of them to deploy is decided here.
    """
    part = best.decision[0]
    asked = bench.question.scaled(load=STRESS)
    holding, trials = [], {}
    for limits, fewest in one.limits:
        if fewest <= part.replicas and not _same_as_tried(limits, trials):
            decision = (replace(part, limits=limits),)
            trials[limits] = try_decision(bench, decision, question=asked)
            tally.evaluated += 1
    ranked = sorted(trials.values(), key=_carries, reverse=True)
    for trial in ranked:
        holding = try_decision(bench, trial.decision)
        if holding.holds:
            return tighten(bench, holding, trial.peak_running)
    return best


def _carries(trial: Trial) -> tuple[bool, float, float, int]:
    limits = trial.decision[0].limits
    return not trial.verdict.stopped, round(trial.verdict.slack, 2), -limits.memory, trial.done


def tighten(bench: Workbench, trial: Trial, peak_running: int) -> Trial:
    """The same decision with the smallest max_num_seqs of the set that not even the stressed run reached."""
    part = trial.decision[0]
    enough = [seqs for seqs in MAX_NUM_SEQS if max(peak_running, trial.peak_running) <= seqs < part.limits.max_num_seqs]
    if not enough or peak_running == 0:
        return trial
    other = try_decision(bench, (replace(part, limits=part.limits._replace(max_num_seqs=min(enough))),))
    return other if other.holds else trial
