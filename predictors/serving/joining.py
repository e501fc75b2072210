"""Runs of separate groups of replicas put together as one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from predictors.serving.simulation import ReplicaTotals, Run

IntArray = npt.NDArray[np.int64]
PER_REQUEST = (
    "arrival_s", "queue_s", "ttft_s", "e2e_s", "longest_gap_s", "tokens", "status", "preemptions", "cached_tokens",
    "class_index",
)  # fmt: skip


def joined(runs: Sequence[Run], rows: Sequence[IntArray]) -> Run:
    """One run of all requests, from the runs of groups that served the requests ``rows`` each; rows cover 0 … n − 1.

    Replicas are numbered group by group. (ours)
    """
    back = np.argsort(np.concatenate(rows), kind="stable")
    first = np.concatenate([[0], np.cumsum([len(run.replicas.steps) for run in runs])])
    replica = np.concatenate([run.replica + start for run, start in zip(runs, first, strict=False)])
    totals = {
        one.name: np.concatenate([getattr(run.replicas, one.name) for run in runs]) for one in fields(ReplicaTotals)
    }
    return Run(
        **{name: np.concatenate([getattr(run, name) for run in runs])[back] for name in PER_REQUEST},
        replica=replica[back],
        replicas=ReplicaTotals(**totals),
        gap_edges_s=runs[0].gap_edges_s,
        gap_counts=np.sum([run.gap_counts for run in runs], axis=0),
        longest_queue=max(run.longest_queue for run in runs),
        steps_outside=sum(run.steps_outside for run in runs),
        stopped_early=any(run.stopped_early for run in runs),
    )
