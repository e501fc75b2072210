"""Why the pods do not fit: which pod, which resource, and the fewest nodes more that would hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from planners.colocation.pods import Pods
from solvers.packing import Packing, Placement, best_fit, pack
from specs.cluster import CpuPool

RESOURCES = ("CPU", "memory", "pods per node")
UNITS = ("cores", "GiB", "pods")
SHOWN = 8
MOST_NODES = 4096


def conflicts(
    packing: Packing, pods: Sequence[Pods], pools: Sequence[CpuPool], placed: Placement | None
) -> list[str]:  # fmt: skip
    """Return what conflicts: pods that no node can hold, then sums that exceed all nodes, then the pods left over."""
    found = [text for c, one in enumerate(pods) for text in _too_large(packing, c, one, pools)]
    found = found or list(_sums(packing))
    if not found and placed is not None:
        found = [_left_over(packing, placed, int(pod), pods) for pod in _first_of_each(packing, placed)]
    return found[:SHOWN]


def _too_large(packing: Packing, c: int, one: Pods, pools: Sequence[CpuPool]) -> Iterator[str]:
    """Yield why one pod alone fits on no empty node."""
    allowed = np.flatnonzero(packing.allowed[c])
    if len(allowed) == 0:
        yield f"pod {one.service}: no pool has the labels {dict(one.affinity.node_labels)}"
        return
    demand = packing.share[c] if packing.is_low[c] else packing.need[c, :2]
    room = (packing.batch_room if packing.is_low[c] else packing.room)[allowed, :2]
    if (demand <= room + 1e-9).all(axis=1).any():
        return
    of = "batch " if packing.is_low[c] else ""
    for r in range(2):
        if demand[r] > room[:, r].max():
            pool = pools[allowed[room[:, r].argmax()]].name
            yield (
                f"pod {one.service}: {of}{RESOURCES[r]} {demand[r]:.4g} {UNITS[r]} asked, the largest node ({pool}) "
                f"has {room[:, r].max():.4g}"
            )
    if (demand <= room.max(axis=0)).all():
        yield f"pod {one.service}: no node has both {demand[0]:.4g} cores and {demand[1]:.4g} GiB"


def _sums(packing: Packing) -> Iterator[str]:
    for r, (name, unit) in enumerate(zip(RESOURCES, UNITS, strict=True)):
        asked, there = float(packing.stock @ packing.need[:, r]), float(packing.nodes @ packing.room[:, r])
        if asked > there + 1e-9:
            yield f"{name}: all pods ask for {asked:.4g} {unit}, all nodes have {there:.4g}"


def _first_of_each(packing: Packing, placed: Placement) -> np.ndarray:
    _, first = np.unique(packing.pod_class[placed.unplaced], return_index=True)
    return placed.unplaced[first]


def _left_over(packing: Packing, placed: Placement, pod: int, pods: Sequence[Pods]) -> str:
    """Return what a pod lacks on how many nodes, the nearest ones first named by resource."""
    c = int(packing.pod_class[pod])
    left = int((packing.pod_class[placed.unplaced] == c).sum())
    counts: dict[str, int] = {}
    for n, t in enumerate(packing.kind):
        why = _blocked(packing, placed, c, n, int(t))
        counts[why] = counts.get(why, 0) + 1
    said = ", ".join(
        f"{why} on {n} of {len(packing.kind)} nodes" for why, n in sorted(counts.items(), key=lambda e: -e[1])
    )
    return f"pod {pods[c].service} ({left} of {pods[c].replicas} replicas left over): {said}"


def _blocked(packing: Packing, placed: Placement, c: int, n: int, t: int) -> str:
    here = packing.pod_class[placed.where == n]
    if not packing.allowed[c, t]:
        return "labels do not match"
    lack = packing.need[here].sum(axis=0) + packing.need[c] > packing.room[t] + 1e-9
    if lack.any():
        return f"{RESOURCES[int(lack.argmax())]} lacks"
    if packing.apart[c, here].any():
        return "a service to stay apart from is there"
    if (here == c).sum() >= packing.most[c]:
        return "the spread is reached"
    if not np.isin(np.flatnonzero(packing.together[c]), here).all():
        return "the service to be with is not there"
    return "batch capacity lacks"


def smallest_change(packing: Packing, pods: Sequence[Pods], pools: Sequence[CpuPool]) -> str | None:
    """Return the fewest nodes more of one pool (fewest cores where pools differ) that hold every pod; None: none do."""
    if any(True for c, one in enumerate(pods) for _ in _too_large(packing, c, one, pools)):
        return "a node that holds the pods above, or smaller requests: more nodes of these pools do not help"
    best: tuple[float, str] | None = None
    for t, pool in enumerate(pools):
        more = _more_nodes(packing, t)
        if more is not None and (best is None or more * pool.cpu_cores < best[0]):
            best = (
                more * pool.cpu_cores,
                f"{more} more node{'s' * (more != 1)} of pool {pool.name} would hold every pod",
            )
    return best[1] if best else None


def _more_nodes(packing: Packing, t: int) -> int | None:
    """Return by doubling and halving how many nodes more of type t a simple placement needs."""

    def holds(more: int) -> bool:
        nodes = packing.nodes.copy()
        nodes[t] += more
        larger = replace(packing, nodes=nodes)
        if not len(best_fit(larger).unplaced):
            return True
        return int(packing.stock.sum()) <= 60 and not len(pack(larger, effort=0.1).unplaced)

    high = 1
    while not holds(high):
        high *= 2
        if high > min(MOST_NODES, 2 * int(packing.stock.sum())):
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
