"""One decision simulated at the upper end of its interval, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planners.serving.candidates import Decision, gpus, usd_per_hour
from planners.serving.decide import DONE, Verdict, early_stop, judge
from planners.serving.question import Question
from planners.serving.serve import Workbench, serve
from predictors.serving import Run

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
    share = (
        [c.value for c in judge(question, run, sampling=False).checks if c.name.endswith("attainment")] if whole else []
    )
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
