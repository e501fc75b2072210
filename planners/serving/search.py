"""The search: candidates in order of cost, pruned by closed forms, decided by simulation; what failed is kept."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import replace

from planners.serving.bounds import Demand
from planners.serving.candidates import MAX_NUM_SEQS, Layout, Limits, Part, spare_for
from planners.serving.opening import Open, Refusal, Tally, open_layout
from planners.serving.question import OnProgress, Question
from planners.serving.serve import Workbench
from planners.serving.trials import Trial, price, try_decision

PATIENCE = 8
"""Failed counts of replicas above the bound after which it is asked whether any count would do."""
STRESS = 1.15
"""Multiple of the load at which limits that all hold are compared."""


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
    for popped in itertools.count():
        if not queue:
            break
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
        on_progress(popped, popped + len(queue) + 1, f"{replicas} × {one.layout.label}")
        trial = best_limits(bench, one, replicas, tally)
        if trial.holds:
            best = trial if best is None or trial.verdict.slack > best.verdict.slack else best
            continue
        tally.failed.append(trial)
        if replicas - one.fewest == PATIENCE and _never_holds(bench, one, tally):
            continue
        if replicas + 1 + spare_for(one.layout, replicas + 1, question.survive) <= one.layout.capacity:
            heapq.heappush(queue, (_price_of(question, one.layout, replicas + 1), number, replicas + 1, one))
    return best


def _never_holds(bench: Workbench, one: Open, tally: Tally) -> bool:
    """Whether even all replicas that fit break a bound; the layout is then refused, as fewer would not do better."""
    layout, replicas = one.layout, one.layout.capacity
    while replicas + spare_for(layout, replicas, bench.question.survive) > layout.capacity:
        replicas -= 1
    trial = best_limits(bench, one, replicas, tally)
    if not trial.holds:
        reason = f"even {replicas} replicas break {trial.verdict.worst.text}"
        tally.refusals.append(Refusal(layout=layout, constraint="replicas", reason=reason, shortfall=float(replicas)))
    return not trial.holds


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
    trials: dict[Limits, Trial] = {}
    for limits, fewest in one.limits:
        if fewest <= part.replicas and not _same_as_tried(limits, trials):
            decision = (replace(part, limits=limits),)
            trials[limits] = try_decision(bench, decision, question=asked)
            tally.evaluated += 1
    ranked = sorted(trials.values(), key=_carries, reverse=True)
    for trial in ranked:
        unstressed = try_decision(bench, trial.decision)
        if unstressed.holds:
            return tighten(bench, unstressed, trial.peak_running)
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
