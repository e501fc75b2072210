"""What the decision was compared with: simple baselines, the best of each pool and layout, the Pareto front."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from planners.serving.bounds import Demand, fewest_replicas
from planners.serving.candidates import Decision, Layout, Limits, Part, describe, gpus, usd_per_hour
from planners.serving.decide import Check
from planners.serving.opening import Open, Tally, open_layout
from planners.serving.serve import Workbench
from planners.serving.trials import Trial, price, try_decision
from specs.plan import Alternative

DEAREST = 3.0
"""Other pools are searched up to this multiple of the decision's cost."""
BEYOND = 2
"""Replicas beyond the decision that the Pareto front looks at."""


def alternative(trial: Trial, note: str = "") -> Alternative:
    """A trial as the plan shows it; latencies at the upper end of the interval."""
    cost = usd_per_hour(trial.decision)
    return Alternative(
        decision=describe(trial.decision) + (f" ({note})" if note else ""), gpus=gpus(trial.decision),
        usd_per_hour=cost if cost is None else round(cost, 4), breaks=breaks(trial),
        ttft_p99_s=_rounded(trial.ttft_p99_s), tpot_p99_s=_rounded(trial.tpot_p99_s),
        attainment=_rounded(trial.attainment),
    )  # fmt: skip


def breaks(trial: Trial) -> str | None:
    """Which bound breaks most, with figures; None where the trial holds."""
    if trial.holds:
        return None
    broken = [check for check in trial.verdict.checks if not check.holds]
    worst: Check = max(broken, key=lambda check: check.ratio) if broken else trial.verdict.worst
    return worst.text


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def next_cheaper(bench: Workbench, best: Trial, tally: Tally) -> Trial | None:
    """The dearest decision below the answer's price, simulated to its end so that its figures can be shown."""
    cost = price(bench.question, best.decision)
    below = [trial for trial in tally.failed if price(bench.question, trial.decision) < cost]
    if not below:
        return None
    nearest = max(below, key=lambda trial: (price(bench.question, trial.decision), trial.done))
    return try_decision(bench, nearest.decision, stop=False)


def baselines(bench: Workbench, asked: Demand, best: Trial, layouts: Iterable[Layout]) -> list[tuple[str, Trial]]:
    """One replica fewer, and what simpler rules would choose: mean rate over throughput, one whole node. [ours]"""
    part = best.decision[0]
    found = []
    if len(best.decision) == 1 and part.replicas > 1:
        fewer = (replace(part, replicas=part.replicas - 1),)
        found.append(("one replica fewer", try_decision(bench, fewer, stop=False)))
    found.append(("mean-rate sizing", _mean_rate(bench, asked, part)))
    whole = [one for one in layouts if one.gpus == one.pool.gpus_per_node == one.parallel.tp and one.capacity]
    for layout in [one for one in whole if one.pool.name == part.layout.pool.name][:1]:
        opened = open_layout(bench, asked, layout, Tally())
        if opened is not None:
            found.append(("one whole node", _one(bench, opened)))
    return found


def _mean_rate(bench: Workbench, asked: Demand, part: Part) -> Trial:
    """As many replicas as the mean demand keeps busy, by the closed forms that see no burst."""
    bound = fewest_replicas(bench, asked, part.layout, part.limits)
    replicas = int(np.ceil(max(bound.little_kv, bound.little_seqs, bound.work, 1e-9)))
    decision = (Part(layout=part.layout, limits=part.limits, replicas=replicas),)
    return try_decision(bench, decision, stop=False)


def _one(bench: Workbench, opened: Open) -> Trial:
    limits = Limits(*opened.limits[0][0])
    return try_decision(bench, (Part(layout=opened.layout, limits=limits, replicas=1),), stop=False)


def other_pools(bench: Workbench, asked: Demand, best: Trial, tally: Tally, layouts: Iterable[Layout]) -> list[Trial]:
    """The cheapest decision of each pool besides the answer's layout, under the answer's token budget.

    For comparison only: pipelines and expert parallelism are left out, and what costs more than `DEAREST` times.
    """
    plain = [one for one in layouts if one.parallel.pp == one.parallel.ep == 1 and one != best.decision[0].layout]
    found = []
    for name in dict.fromkeys(one.pool.name for one in plain):
        trial = _cheapest(bench, asked, best, tally, [one for one in plain if one.pool.name == name])
        found += [trial] if trial is not None else []
    return found


def _cheapest(bench: Workbench, asked: Demand, best: Trial, tally: Tally, layouts: list[Layout]) -> Trial | None:
    question, limits = bench.question, best.decision[0].limits
    most = price(question, best.decision)[0] * DEAREST
    failed = {one.label: 0 for one in layouts}
    for trial in tally.failed:
        label = trial.decision[0].layout.label
        failed[label] = max(failed.get(label, 0), trial.decision[0].replicas)
    steps = []
    for layout in layouts:
        opened = open_layout(bench, asked, layout, Tally())
        roomy = (
            [one for one, _ in opened.limits if one.max_num_batched_tokens == limits.max_num_batched_tokens]
            if opened
            else []
        )
        if opened is None or not roomy:
            continue
        for replicas in range(max(opened.fewest, failed[layout.label] + 1), layout.capacity + 1):
            decision = (Part(layout=layout, limits=roomy[0], replicas=replicas),)
            if price(question, decision)[0] <= most:
                steps.append((price(question, decision), layout.label, decision))
    for _, _, decision in sorted(steps, key=lambda step: step[:2]):
        trial = try_decision(bench, decision)
        if trial.holds:
            return trial
    return None


def beyond(bench: Workbench, best: Trial) -> list[Trial]:
    """The decision with one and two more replicas: what the next money buys."""
    if len(best.decision) > 1:
        return []
    part: Part = best.decision[0]
    found = []
    for extra in range(1, BEYOND + 1):
        if part.replicas + part.spare + extra <= part.layout.capacity:
            more: Decision = (
                Part(layout=part.layout, limits=part.limits, replicas=part.replicas + extra, spare=part.spare),
            )
            found.append(try_decision(bench, more, stop=False))
    return found


def pareto(bench: Workbench, trials: Iterable[Trial]) -> list[Trial]:
    """Of the trials that ran to their end, those that no other beats in both cost and p99 TTFT, cheapest first."""
    known = [trial for trial in trials if trial.ttft_p99_s is not None]
    known.sort(key=lambda trial: (price(bench.question, trial.decision), trial.ttft_p99_s))
    front: list[Trial] = []
    for trial in known:
        assert trial.ttft_p99_s is not None
        if not front or trial.ttft_p99_s < (front[-1].ttft_p99_s or 0.0):
            front.append(trial)
    return front
