"""Vector bin packing with interference: pods onto unlike nodes, where each pod's cost grows with its neighbours.

    min  Σ_n price_n [n is used]  +  Σ_p weight_p · excess_p(Σ emissions of the other pods on its node)

under capacities, a second tier of capacity for best-effort pods, spread, and what must or must not share a node. [ours;
vector bin packing is std]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
OnProgress = Callable[[float, float, str], None]
PROPOSALS_PER_POD = 600
MOST_PROPOSALS = 5_000_000
LEAST_PROPOSALS = 300_000
HOT, COLD = 0.5, 1e-3
"""Temperatures at the beginning and the end, in mean costs of a pod."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """C classes of pods and T types of nodes.

    ``need`` [C, R] against ``room`` [T, R]; ``share`` [C, B] against ``batch_room`` [T, B] on nodes that hold a class
    with ``is_low`` (best effort). ``most`` [C] pods of a class on one node; ``apart`` [C, C] symmetric; ``together``
    [C, C]: the row's class needs one of each column's on its node; ``allowed`` [C, T]. ``emits`` [C, K ≤ 3] pressure of
    one pod, ``axes`` K arrays, ``excess`` [C, T, *axes] slowdown − 1 under the neighbours' pressure, rising along every
    axis and flat beyond it. ``stock`` [C] pods, ``nodes`` [T], ``node_cost`` [T], ``weight`` [C]. The first two
    resources are CPU and memory, the last counts pods.
    """

    need: FloatArray
    share: FloatArray
    is_low: BoolArray
    most: IntArray
    apart: BoolArray
    together: BoolArray
    allowed: BoolArray
    room: FloatArray
    batch_room: FloatArray
    weight: FloatArray
    emits: FloatArray
    axes: tuple[FloatArray, ...]
    excess: FloatArray
    stock: IntArray
    nodes: IntArray
    node_cost: FloatArray

    @property
    def pod_class(self) -> IntArray:
        """The class of each pod, in order of classes."""
        return np.repeat(np.arange(len(self.stock)), self.stock)

    @property
    def kind(self) -> IntArray:
        """The type of each node, in order of types."""
        return np.repeat(np.arange(len(self.nodes)), self.nodes)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """``where`` [P]: node of each pod, −1 where it fitted nowhere; ``cost``, and the parts of it.

    ``excess`` [P]: slowdown − 1 of each pod, NaN where not placed.
    """

    where: IntArray
    cost: float
    excess: FloatArray
    method: str

    @property
    def unplaced(self) -> IntArray:
        """Pods that fitted nowhere."""
        return np.flatnonzero(self.where < 0)

    @property
    def nodes_used(self) -> int:
        """How many nodes hold a pod."""
        return len(np.unique(self.where[self.where >= 0]))


def kernel_of(packing: Packing) -> object:
    """Return the problem as the compiled functions take it: three axes, of one point where there are fewer."""
    from solvers.packing_kernel import Kernel

    missing = 3 - len(packing.axes)
    axes = (*packing.axes, *(np.zeros(1) for _ in range(missing)))
    points = np.array([len(one) for one in axes], dtype=np.int64)
    padded = np.zeros((3, int(points.max())))
    for d, one in enumerate(axes):
        padded[d, : len(one)] = one
    emits = np.hstack([packing.emits, np.zeros((len(packing.emits), missing))])
    excess = packing.excess.reshape(*packing.excess.shape[:2], *points)
    return Kernel(
        need=packing.need, share=packing.share, is_low=packing.is_low, most=packing.most, apart=packing.apart,
        together=packing.together, needs=packing.together.any(axis=1), needed=packing.together.any(axis=0),
        allowed=packing.allowed, room=packing.room, batch_room=packing.batch_room, weight=packing.weight,
        emits=np.ascontiguousarray(emits), axes=padded, points=points, excess=np.ascontiguousarray(excess),
        node_cost=packing.node_cost, kind=packing.kind,
    )  # fmt: skip


def pack(
    packing: Packing,
    *,
    seed: int = 0,
    effort: float = 1.0,
    on_progress: OnProgress = lambda *_: None,
) -> Placement:
    """Place greedily by growth of the cost, then search: annealed moves and swaps, emptied nodes, and again cold.

    The same problem, seed and ``effort`` (share of the usual proposals) give the same placement. About 3 CPU-s per
    million proposals.
    """
    from solvers import packing_kernel as compiled

    kernel, state = kernel_of(packing), _empty(packing)
    order = _order(packing)
    on_progress(0, 4, "placing greedily")
    left = compiled.greedy(kernel, state, order)  # type: ignore[arg-type]
    if left:
        _repair(packing, kernel, state, seed)
    _start_spread(packing, kernel, state)
    pods = max(len(order), 1)
    scale = compiled.total_cost(kernel, state) / pods  # type: ignore[arg-type]
    proposals = int(effort * min(max(PROPOSALS_PER_POD * pods, LEAST_PROPOSALS), MOST_PROPOSALS))
    best = _copy(state), compiled.total_cost(kernel, state)  # type: ignore[arg-type]
    for step, (hot, share) in enumerate(((HOT, 0.7), (HOT / 10, 0.3))):
        on_progress(1 + step, 4, "moving and swapping pods")
        if scale > 0:
            compiled.anneal(kernel, state, int(share * proposals), hot * scale, COLD * scale, seed + step)  # type: ignore[arg-type]
        while compiled.close_nodes(kernel, state):  # type: ignore[arg-type]
            pass
        cost = compiled.total_cost(kernel, state)  # type: ignore[arg-type]
        if cost < best[1] - 1e-12:
            best = _copy(state), cost
    return _placement(packing, kernel, best[0], "greedy and local search")


def spread_least_allocated(packing: Packing) -> Placement:
    """Place each pod on the node with least requested, the larger pods first: the scheduler's default scoring. [std]"""
    return _simple(packing, "least-allocated spreading")


def best_fit(packing: Packing) -> Placement:
    """Place each pod on the fullest node that holds it, the larger pods first. [std]"""
    return _simple(packing, "best fit, blind to interference")


def _simple(packing: Packing, method: str) -> Placement:
    from solvers import packing_kernel as compiled

    kernel, state = kernel_of(packing), _empty(packing)
    rule = compiled.spread if method.startswith("least") else compiled.fullest
    rule(kernel, state, _order(packing))  # type: ignore[arg-type]
    return _placement(packing, kernel, state, method)


def evaluate(packing: Packing, where: IntArray, method: str) -> Placement:
    """Return the placement ``where`` judged by ``packing``, which may be another than the one that chose it."""
    from solvers import packing_kernel as compiled

    kernel, state = kernel_of(packing), _empty(packing)
    for pod in np.flatnonzero(where >= 0):
        compiled.join(kernel, state, int(pod), int(where[pod]))  # type: ignore[arg-type]
    return _placement(packing, kernel, state, method)


def _empty(packing: Packing) -> object:
    from solvers.packing_kernel import State

    nodes, pods = int(packing.nodes.sum()), int(packing.stock.sum())
    return State(
        slots=np.full((nodes, _slots(packing)), -1, dtype=np.int64), held=np.zeros(nodes, dtype=np.int64),
        used=np.zeros((nodes, packing.need.shape[1])), batch=np.zeros((nodes, packing.share.shape[1])),
        pressure=np.zeros((nodes, 3)), low=np.zeros(nodes, dtype=np.int64),
        where=np.full(pods, -1, dtype=np.int64), pod_class=packing.pod_class,
    )  # fmt: skip


def _slots(packing: Packing) -> int:
    """Return how many pods a node can hold at most, with room for one that is tried."""
    return int(min(packing.room[:, -1].max(), packing.stock.sum())) + 2


def _copy(state: object) -> object:
    from solvers.packing_kernel import State

    return State(*(field.copy() for field in state))  # type: ignore[attr-defined]


def _order(packing: Packing) -> IntArray:
    """Return the pods in the order of placing: those that others must be with, then latency-sensitive, then large."""
    largest = np.max(packing.need / np.maximum(packing.room.max(axis=0), 1e-12), axis=1)
    size = np.maximum(largest, np.max(packing.share / np.maximum(packing.batch_room.max(axis=0), 1e-12), axis=1))
    rank = np.lexsort((-size, packing.is_low, _depth(packing)))
    place = np.empty(len(rank), dtype=np.int64)
    place[rank] = np.arange(len(rank))
    return np.argsort(place[packing.pod_class], kind="stable")


def _depth(packing: Packing) -> IntArray:
    """Return how many others must be placed before each class, in the longest chain of `together`."""
    depth = np.zeros(len(packing.stock), dtype=np.int64)
    for _ in range(len(depth)):
        deeper = np.where(packing.together, depth[None, :] + 1, 0).max(axis=1, initial=0)
        if (deeper <= depth).all():
            break
        depth = np.maximum(depth, deeper)
    return depth


def _repair(packing: Packing, kernel: object, state: object, seed: int) -> None:
    """Place anew by best fit, which leaves fewest pods over, where the greedy rule left some."""
    from solvers import packing_kernel as compiled

    other = _empty(packing)
    if compiled.fullest(kernel, other, _order(packing)) >= (state.where < 0).sum():  # type: ignore[arg-type, attr-defined]
        return
    for mine, theirs in zip(state, other, strict=True):  # type: ignore[call-overload]
        mine[...] = theirs


def _start_spread(packing: Packing, kernel: object, state: object) -> None:
    """Begin with the scheduler's spreading where it places as many pods at a lower cost."""
    from solvers import packing_kernel as compiled

    other = _empty(packing)
    left = compiled.spread(kernel, other, _order(packing))  # type: ignore[arg-type]
    mine, theirs = compiled.total_cost(kernel, state), compiled.total_cost(kernel, other)  # type: ignore[arg-type]
    if left > (state.where < 0).sum() or theirs >= mine:  # type: ignore[attr-defined]
        return
    for field, new in zip(state, other, strict=True):  # type: ignore[call-overload]
        field[...] = new


def _placement(packing: Packing, kernel: object, state: object, method: str) -> Placement:
    from solvers import packing_kernel as compiled

    where: IntArray = state.where  # type: ignore[attr-defined]
    excess = np.full(len(where), np.nan)
    for pod in np.flatnonzero(where >= 0):
        n, c = where[pod], packing.pod_class[pod]
        x, y, z = np.maximum(state.pressure[n] - kernel.emits[c], 0.0)  # type: ignore[attr-defined]
        excess[pod] = compiled.excess_at(kernel, c, kernel.kind[n], x, y, z)  # type: ignore[arg-type, attr-defined]
    cost = float(compiled.total_cost(kernel, state))  # type: ignore[arg-type]
    return Placement(where=where.copy(), cost=cost, excess=excess, method=method)
