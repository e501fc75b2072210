"""Batches by composite keys: UELLM's SLO-ODBS with its ancestors and S3's packing, and the exact cut points."""

from __future__ import annotations

import numpy as np

from planners.batching.bucketing import padding
from planners.batching.question import Question
from planners.batching.trials import Way
from predictors.serving.buckets import BatchPolicy, batch_times
from solvers.batches import ODBS_THRESHOLD, Batches, Schedule, cut_points, pack, serve_in_turn, windows
from specs.batching import ExactBatches
from specs.trace import FloatArray, IntArray

DEADLINE_WEIGHT, OUTPUT_WEIGHT = 1.0, 0.5
"""a and b of SLO-ODBS's key, in 1/s and 1/token (code)."""
ODBS_MOST = 10
"""Requests of a batch in UELLM (code)."""
S3_MOST, S3_TOTAL = 20, 1024
"""Requests and output tokens of a batch in UELLM's S3 baseline (code)."""
RULES = ("fcfs", "odbs", "slo-dbs", "slo-odbs", "s3")
EXACT_REQUESTS = 200
"""Requests of one replica on which the cut points are compared: the busiest stretch."""
EXACT_MOST = 32


def keys(question: Question) -> dict[str, FloatArray]:
    """What each rule sorts by; predicted outputs, never the true ones."""
    output = question.lengths.median
    deadline = np.where(np.isfinite(question.deadline_s), question.deadline_s, 0.0)
    return {
        "fcfs": question.requests.arrival_s,
        "odbs": output,
        "slo-dbs": deadline,
        "slo-odbs": DEADLINE_WEIGHT * deadline + OUTPUT_WEIGHT * output,
        "s3": output,
    }


def ways(question: Question) -> list[Way]:
    """Each rule with its published limits, and all but S3 with the largest batch that the engine allows."""
    largest = question.pool.limits.max_num_seqs
    found = []
    for name in RULES:
        most = S3_MOST if name == "s3" else ODBS_MOST
        found.append(_way(name, min(most, largest)))
        if name != "s3" and largest > ODBS_MOST:
            found.append(_way(name, largest))
    return found


def _way(name: str, most: int) -> Way:
    def policy(question: Question) -> BatchPolicy:
        longest = float(question.requests.prompt_tokens.max())
        return BatchPolicy(
            uppers=np.asarray([longest]), max_batch=np.asarray([most]), padding=padding(question),
            kv_tokens=question.kv_tokens, paged=question.asked.kv_form == "paged", key=keys(question)[name],
            expected=question.lengths.median, reserve=question.reserve, threshold=_threshold(name), total=_total(name),
        )  # fmt: skip

    return Way(method=name, setting=f"whole batches of up to {most}", policy=policy, rule=name, order=name)


def _threshold(name: str) -> float:
    return np.inf if name in ("fcfs", "s3") else ODBS_THRESHOLD


def _total(name: str) -> float:
    return S3_TOTAL if name == "s3" else np.inf


def exact(question: Question) -> ExactBatches | None:
    """The rules on a backlog beside the cut-point optimum, which sees the true outputs.

    Exact among batches that are consecutive by deadline, and among those consecutive by output; the better counts.
    The backlog is the busiest stretch of one replica's share, all there at once, each request with the time it was
    given. None where requests have no deadlines: there is then nothing to be late for.
    """
    slack = question.deadline_s - question.requests.arrival_s
    if not np.isfinite(slack).any():
        return None
    rows = _busiest(question)
    most = min(EXACT_MOST, question.pool.limits.max_num_seqs)
    prompt, output, due = question.requests.prompt_tokens[rows], question.requests.output_tokens[rows], slack[rows]
    by_deadline, by_output = (_best_cuts(question, key, prompt, output, due, most) for key in (due, output))
    first = (by_deadline.late, by_deadline.makespan_s) <= (by_output.late, by_output.makespan_s)
    best = by_deadline if first else by_output
    rules = {name: _served(question, name, rows, prompt, output, due) for name in RULES}
    shown = {name: f"{one.late} late, {one.makespan_s:.4g} s" for name, one in rules.items()}
    return ExactBatches(
        order="deadline" if first else "output",
        late_by_deadline=by_deadline.late,
        late_by_output=by_output.late,
        requests=len(rows),
        most=most,
        late=best.late,
        makespan_s=float(f"{best.makespan_s:.4g}"),
        rules=shown,
    )


def _best_cuts(
    question: Question, key: FloatArray, prompt: IntArray, output: IntArray, due: FloatArray, most: int
) -> Schedule:
    order = np.argsort(key, kind="stable")
    found = cut_points(order, _costs(question, prompt[order], output[order], most), due)
    assert found is not None, "a batch of one is always allowed"
    return found


def _busiest(question: Question) -> np.ndarray:
    """Rows of the shortest stretch of consecutive requests of one replica, dealt in turn."""
    own = np.arange(0, len(question.requests), question.pool.replicas)
    count = min(EXACT_REQUESTS, len(own))
    arrival_s = question.requests.arrival_s[own]
    first = int(np.argmin(arrival_s[count - 1 :] - arrival_s[: len(own) - count + 1]))
    return own[first : first + count]


def _costs(question: Question, prompt: np.ndarray, output: np.ndarray, most: int) -> FloatArray:
    """Seconds of the batch of b + 1 requests that ends at each place [most, n]; infinite before the first."""
    sizes = np.arange(1, most + 1)[:, None]
    widest = windows(prompt.astype(np.float64), most)
    longest = windows(output.astype(np.float64), most)
    grid = np.broadcast_to(sizes, widest.shape)
    prefill, decode = batch_times(question.pool, grid.ravel(), widest.ravel(), longest.ravel())
    cost = (prefill + decode).reshape(widest.shape)
    held = grid * (widest + longest)
    cost[(grid > np.arange(1, len(prompt) + 1)[None, :]) | ((held > question.kv_tokens) & (grid > 1))] = np.inf
    return np.ascontiguousarray(cost)


def _served(
    question: Question, name: str, rows: np.ndarray, prompt: np.ndarray, output: np.ndarray, due: FloatArray
) -> Schedule:
    packed: Batches = pack(
        keys(question)[name][rows] if name != "fcfs" else np.arange(len(rows)),
        question.lengths.median[rows],
        most=S3_MOST if name == "s3" else ODBS_MOST,
        threshold=_threshold(name),
        total=_total(name),
    )
    times = batch_times(question.pool, packed.sizes, packed.longest(prompt), packed.longest(output))
    return serve_in_turn(packed, times[0] + times[1], due)
