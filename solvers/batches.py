"""Requests packed into batches that are served one after another: greedy rules, and the exact optimum by cut points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solvers.compiled import compiled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ODBS_OVERHEAD = 1.2
"""L_2 of UELLM's composite, as its code has it (code)."""
ODBS_THRESHOLD = 15_000.0
"""Largest (output − longest output of the batch) · (size + 1) · L_2 with which a request may join (code)."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """An order of the requests [n] and where each batch ends in it [batches], exclusive, ascending."""

    order: IntArray
    ends: IntArray

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.ends)

    @property
    def starts(self) -> IntArray:
        """Where each batch begins in the order."""
        return np.concatenate([np.zeros(1, dtype=np.int64), self.ends[:-1]])

    @property
    def sizes(self) -> IntArray:
        """Requests of each batch."""
        return self.ends - self.starts

    def longest(self, tokens: npt.ArrayLike) -> FloatArray:
        """Largest value of ``tokens`` (given by request) in each batch."""
        return np.asarray(np.maximum.reduceat(np.asarray(tokens)[self.order], self.starts), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """``batches``, when each request is finished [n, by request], how many finish after their deadline."""

    batches: Batches
    finish_s: FloatArray
    late: int

    @property
    def makespan_s(self) -> float:
        """When the last batch is finished."""
        return float(self.finish_s.max())


def pack(
    key: npt.ArrayLike,
    output: npt.ArrayLike,
    *,
    most: int,
    threshold: float = np.inf,
    total: float = np.inf,
) -> Batches:
    """Go through the requests by ascending ``key`` and open a batch where the current one takes no more.

    A batch takes at most ``most`` requests, one request more only if (its output − the longest of the batch) ·
    (size + 1) · 1.2 is within ``threshold``, and at most ``total`` output tokens (a single longer one is a batch of
    its own). UELLM's rules by their keys: arrival is FCFS, output is ODBS, deadline is SLO-DBS, a · deadline + b ·
    output is SLO-ODBS; output with a total is S3's packing. (code)
    """
    order = np.argsort(np.asarray(key, dtype=np.float64), kind="stable")
    values = np.asarray(output, dtype=np.float64)[order]
    ends: list[int] = []
    size, longest, held = 0, 0.0, 0.0
    for at, tokens in enumerate(values):
        full = size >= most or held + tokens > total
        if size and (full or (tokens - longest) * (size + 1) * ODBS_OVERHEAD > threshold):
            ends.append(at)
            size, longest, held = 0, 0.0, 0.0
        size, longest, held = size + 1, max(longest, tokens), held + tokens
    return Batches(order=order, ends=np.asarray([*ends, len(values)], dtype=np.int64))


def serve_in_turn(
    batches: Batches, duration_s: FloatArray, deadline_s: FloatArray, release_s: FloatArray | None = None
) -> Schedule:
    """Serve the batches in their order on one server, each when its last request is there; ``duration_s`` [batches]."""
    released = np.zeros(len(batches.order)) if release_s is None else release_s
    ready = np.maximum.reduceat(released[batches.order], batches.starts)
    now, ends = 0.0, np.empty(len(batches))
    for at, (begin, length) in enumerate(zip(ready, duration_s, strict=True)):
        now = max(now, float(begin)) + float(length)
        ends[at] = now
    finish = np.empty(len(batches.order))
    finish[batches.order] = np.repeat(ends, batches.sizes)
    return Schedule(batches=batches, finish_s=finish, late=int((finish > deadline_s).sum()))


def windows(values: FloatArray, most: int) -> FloatArray:
    """Largest value of the last b + 1 entries up to j, [most, n]; entries before the first do not count."""
    found = np.empty((most, len(values)))
    found[0] = values
    for b in range(1, most):
        found[b] = found[b - 1]
        found[b, b:] = np.maximum(found[b - 1, b:], values[: len(values) - b])
    return found


def cut_points(
    order: IntArray, cost_s: FloatArray, deadline_s: FloatArray, release_s: FloatArray | None = None
) -> Schedule | None:
    """The exact best batches among those that are consecutive in ``order``: fewest late, then earliest end.

    ``cost_s`` [B, n]: duration of the batch of b + 1 requests that ends at place j of the order, infinite where it
    may not be. D[j, v] is the earliest time at which the first j are served with v of them late: D[j, v] =
    min_b max(D[j − b, u], release) + cost, with v − u of the batch late; later starts never help, so one time per
    (j, v) is enough. O(n² B) time. None where no batches are allowed. With deadlines ascending in ``order`` it bounds
    from below what any rule achieves that serves by deadline; with outputs ascending and no deadlines it is the least
    makespan of all partitions, where cost rises in size and longest output (exchange). (ours, after the cut-point
    formulation for UELLM)
    """
    n = len(order)
    due = deadline_s[order]
    ready = np.zeros(n) if release_s is None else release_s[order]
    best = np.full((n + 1, n + 1), np.inf)
    best[0, 0] = 0.0
    size, late = np.zeros((n + 1, n + 1), dtype=np.int64), np.zeros((n + 1, n + 1), dtype=np.int64)
    _fill(cost_s, due, windows(ready, len(cost_s)), best, size, late)
    reachable = np.flatnonzero(np.isfinite(best[n]))
    if len(reachable) == 0:
        return None
    ends, j, v = [], n, int(reachable[0])
    while j > 0:
        ends.append(j)
        j, v = j - int(size[j, v]), v - int(late[j, v])
    batches = Batches(order=order, ends=np.asarray(ends[::-1], dtype=np.int64))
    lengths = cost_s[batches.sizes - 1, batches.ends - 1]
    return serve_in_turn(batches, lengths, deadline_s, release_s)


@compiled
def _fill(
    cost: FloatArray, due: FloatArray, ready: FloatArray, best: FloatArray, size: IntArray, late: IntArray
) -> None:
    """Fill D row by row: of each batch that ends at j, from each number of late before it."""
    for j in range(1, len(due) + 1):
        for b in range(1, min(len(cost), j) + 1):
            if cost[b - 1, j - 1] == np.inf:
                continue
            for u in range(j - b + 1):
                if best[j - b, u] == np.inf:
                    continue
                end = max(best[j - b, u], ready[b - 1, j - 1]) + cost[b - 1, j - 1]
                missed = 0
                for i in range(j - b, j):
                    if due[i] < end:
                        missed += 1
                if end < best[j, u + missed]:
                    best[j, u + missed] = end
                    size[j, u + missed] = b
                    late[j, u + missed] = missed
