"""One-dimensional partitions: lengths cut into buckets so that padding each to its bucket's longest wastes least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solvers.compiled import compiled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Buckets by their ascending inclusive upper bounds [k], and the waste when each length is padded to its bound."""

    uppers: FloatArray
    waste: float

    def __len__(self) -> int:
        """Number of buckets."""
        return len(self.uppers)


def padding_waste(lengths: npt.ArrayLike, uppers: npt.ArrayLike) -> float:
    """Share of the padded tokens that is padding: 1 − Σ s / Σ_b U_b n_b (BucketServe eq. 3, 2nd).

    ``uppers`` ascend and are inclusive; ValueError where a length exceeds the last.
    """
    s, bounds = np.asarray(lengths, dtype=np.float64), np.asarray(uppers, dtype=np.float64)
    at = bucket_of(s, bounds)
    return 1.0 - float(s.sum()) / float(bounds[at].sum())


def bucket_of(lengths: npt.ArrayLike, uppers: npt.ArrayLike) -> IntArray:
    """Bucket of each length [n]: the first whose upper bound reaches it; ValueError where none does."""
    at = np.searchsorted(np.asarray(uppers), np.asarray(lengths), side="left")
    if at.size and int(at.max()) >= len(np.asarray(uppers)):
        longest = np.max(np.asarray(lengths))
        raise ValueError(f"length {longest:g} is above the last bound {np.asarray(uppers)[-1]:g}")
    return np.asarray(at, dtype=np.int64)


def midpoints(lengths: npt.ArrayLike, buckets: int, top: float) -> Partition:
    """Halve the fullest bucket at its midpoint until there are so many, beginning with (0, top].

    The rule of BucketServe's algorithm 1 applied until k buckets stand (2nd), without its thresholds on the queue.
    Ends early where the fullest bucket is no wider than one token. ValueError where a length exceeds ``top``.
    """
    s = np.sort(np.asarray(lengths, dtype=np.float64))
    edges = [0.0, float(top)]
    while len(edges) <= buckets:
        counts = np.diff(np.searchsorted(s, edges, side="right"))
        wide = np.diff(edges) > 1.0
        if not wide.any():
            break
        fullest = int(np.argmax(np.where(wide, counts, -1)))
        edges.insert(fullest + 1, float(np.floor((edges[fullest] + edges[fullest + 1]) / 2.0)))
    uppers = np.asarray(edges[1:])
    return Partition(uppers=uppers, waste=padding_waste(s, uppers))


def quantiles(lengths: npt.ArrayLike, buckets: int) -> Partition:
    """Buckets of equal counts: bounds at the i/k quantiles, equal bounds merged (std)."""
    s = np.sort(np.asarray(lengths, dtype=np.float64))
    at = np.ceil(np.arange(1, buckets + 1) / buckets * len(s)).astype(np.int64) - 1
    uppers = np.unique(s[np.maximum(at, 0)])
    return Partition(uppers=uppers, waste=padding_waste(s, uppers))


def least_waste(lengths: npt.ArrayLike, buckets: int) -> tuple[Partition, ...]:
    """The exact best partition into at most 1, 2, … ``buckets`` buckets; as many entries.

    Over the m distinct lengths s_1 < … < s_m with cumulated counts N: D_k[j] = min_{i<j} D_{k−1}[i] + s_j (N_j − N_i).
    The lines D[i] − x N_i have falling slopes and are asked at rising x, so the lower envelope is walked once:
    O(k m) after sorting. ValueError for no lengths or fewer than one bucket. (ours; the recursion is std)
    """
    s, counts = np.unique(np.asarray(lengths, dtype=np.float64), return_counts=True)
    if len(s) == 0 or buckets < 1:
        raise ValueError("least_waste needs at least one length and one bucket")
    cumulated = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    most = min(buckets, len(s))
    cost = np.full((most + 1, len(s) + 1), np.inf)
    cost[0, 0] = 0.0
    cut = np.zeros((most + 1, len(s) + 1), dtype=np.int64)
    envelope = np.zeros(len(s) + 1, dtype=np.int64)
    for k in range(1, most + 1):
        _next_row(s, cumulated, cost[k - 1], cost[k], cut[k], envelope)
    useful = float(s @ counts)
    best = [_traced(s, cost, cut, k, useful) for k in range(1, most + 1)]
    return (*best, *[best[-1]] * (buckets - most))


def _traced(s: FloatArray, cost: FloatArray, cut: IntArray, k: int, useful: float) -> Partition:
    bounds, j = [], len(s)
    for row in range(k, 0, -1):
        bounds.append(s[j - 1])
        j = int(cut[row, j])
    return Partition(uppers=np.asarray(bounds[::-1]), waste=1.0 - useful / float(cost[k, -1]))


@compiled
def _next_row(
    s: FloatArray, cumulated: FloatArray, before: FloatArray, after: FloatArray, cut: IntArray, envelope: IntArray
) -> None:
    """Fill D_k from D_{k−1}: push line i = j − 1 onto the envelope, then ask it at s_j."""
    head, tail = 0, 0
    for j in range(1, len(s) + 1):
        i = j - 1
        if before[i] < np.inf:
            while tail - head >= 2:
                a, b = envelope[tail - 2], envelope[tail - 1]
                # b is never lowest when i overtakes a no later than b does
                ahead = (before[b] - before[a]) * (cumulated[i] - cumulated[b])
                if (before[i] - before[b]) * (cumulated[b] - cumulated[a]) > ahead:
                    break
                tail -= 1
            envelope[tail] = i
            tail += 1
        if tail == head:
            continue
        x = s[j - 1]
        while tail - head >= 2:
            a, b = envelope[head], envelope[head + 1]
            if before[b] - x * cumulated[b] > before[a] - x * cumulated[a]:
                break
            head += 1
        best = envelope[head]
        after[j] = before[best] + x * (cumulated[j] - cumulated[best])
        cut[j] = best
