# mypy: disable-error-code="no-any-return"
# ruff: noqa: SIM110 (compiled code has no generators)
"""The compiled part of packing with interference: cost of a node, greedy placement, local search.

Pods are numbers with a class; a node holds its pods in ``slots`` [N, S] (−1 free), ``held`` [N] of them. Sums per node:
``used`` [N, R] of resources, ``batch`` [N, B] of the shared tier, ``pressure`` [N, 3], ``low`` [N] best-effort pods.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from solvers.compiled import allocating


class Kernel(NamedTuple):
    """The problem in arrays: C classes, T node types, R resources, B of the shared tier; see `solvers.packing`."""

    need: Any
    share: Any
    is_low: Any
    most: Any
    apart: Any
    together: Any
    needs: Any  # [C] some class must be on its node
    needed: Any  # [C] some class must have it on its node
    allowed: Any
    room: Any
    batch_room: Any
    weight: Any
    emits: Any
    axes: Any  # [3, G], padded
    points: Any  # [3]
    excess: Any  # [C, T, G, G, G]: slowdown − 1
    node_cost: Any
    kind: Any  # [N] type of each node


class State(NamedTuple):
    """Where everything is; changed in place."""

    slots: Any
    held: Any
    used: Any
    batch: Any
    pressure: Any
    low: Any
    where: Any  # [P] node of each pod, −1 not placed
    pod_class: Any  # [P]


@allocating
def cell(k: Kernel, d: int, value: float) -> tuple[int, float]:
    """Return the cell of axis d that holds ``value`` and how far into it, 0 … 1; flat beyond the axis."""
    n = k.points[d]
    if n < 2:
        return 0, 0.0
    at = 0
    while at < n - 2 and value > k.axes[d, at + 1]:
        at += 1
    part = (value - k.axes[d, at]) / (k.axes[d, at + 1] - k.axes[d, at])
    return at, min(max(part, 0.0), 1.0)


@allocating
def excess_at(k: Kernel, c: int, t: int, x: float, y: float, z: float) -> float:
    """Return slowdown − 1 of class c on type t under pressure (x, y, z), multilinear between the axes' points."""
    i, p = cell(k, 0, x)
    j, q = cell(k, 1, y)
    m, r = cell(k, 2, z)
    table = k.excess[c, t]
    found = 0.0
    for di in range(2):
        wi = p if di else 1.0 - p
        if wi == 0.0:
            continue
        for dj in range(2):
            wj = wi * (q if dj else 1.0 - q)
            if wj == 0.0:
                continue
            if r < 1.0:
                found += wj * (1.0 - r) * table[i + di, j + dj, m]
            if r > 0.0:
                found += wj * r * table[i + di, j + dj, m + 1]
    return found


@allocating
def node_cost(k: Kernel, s: State, n: int) -> float:
    """Return what node n costs: its price where it is used, and its pods' weighted slowdown."""
    if s.held[n] == 0:
        return 0.0
    t = k.kind[n]
    total = k.node_cost[t]
    u = s.pressure[n]
    last, last_cost = -1, 0.0
    for at in range(s.held[n]):
        c = s.pod_class[s.slots[n, at]]
        if c != last:
            e = k.emits[c]
            last_cost = k.weight[c] * excess_at(
                k, c, t, max(u[0] - e[0], 0.0), max(u[1] - e[1], 0.0), max(u[2] - e[2], 0.0)
            )
            last = c
        total += last_cost
    return total


@allocating
def fits(k: Kernel, s: State, n: int, c: int) -> bool:
    """Whether a pod of class c may join node n: labels, resources, the shared tier, spread, apart, together."""
    t = k.kind[n]
    if not k.allowed[c, t]:
        return False
    for r in range(k.need.shape[1]):
        if s.used[n, r] + k.need[c, r] > k.room[t, r] + 1e-9:
            return False
    if k.is_low[c] or s.low[n] > 0:
        for b in range(k.share.shape[1]):
            if s.batch[n, b] + k.share[c, b] > k.batch_room[t, b] + 1e-9:
                return False
    same = 0
    for at in range(s.held[n]):
        d = s.pod_class[s.slots[n, at]]
        if d == c:
            same += 1
        if k.apart[c, d]:
            return False
    return same < k.most[c] and (not k.needs[c] or _has_company(k, s, n, c))


@allocating
def _has_company(k: Kernel, s: State, n: int, c: int) -> bool:
    for d in range(k.together.shape[1]):
        if k.together[c, d]:
            found = False
            for at in range(s.held[n]):
                found = found or s.pod_class[s.slots[n, at]] == d
            if not found:
                return False
    return True


@allocating
def may_leave(k: Kernel, s: State, pod: int) -> bool:
    """Whether no other pod of its node needs this one there."""
    n, c = s.where[pod], s.pod_class[pod]
    if not k.needed[c]:
        return True
    for at in range(s.held[n]):
        other = s.slots[n, at]
        if other != pod and k.together[s.pod_class[other], c]:
            for at2 in range(s.held[n]):
                twin = s.slots[n, at2]
                if twin != pod and s.pod_class[twin] == c:
                    return True
            return False
    return True


@allocating
def join(k: Kernel, s: State, pod: int, n: int) -> None:
    """Put a pod on a node, beside its like."""
    c = s.pod_class[pod]
    at = s.held[n]
    while at > 0 and s.pod_class[s.slots[n, at - 1]] > c:
        s.slots[n, at] = s.slots[n, at - 1]
        at -= 1
    s.slots[n, at] = pod
    s.held[n] += 1
    s.used[n] += k.need[c]
    s.batch[n] += k.share[c]
    s.pressure[n] += k.emits[c]
    s.low[n] += 1 if k.is_low[c] else 0
    s.where[pod] = n


@allocating
def leave(k: Kernel, s: State, pod: int) -> None:
    """Take a pod off its node."""
    n, c = s.where[pod], s.pod_class[pod]
    at = 0
    while s.slots[n, at] != pod:
        at += 1
    for later in range(at, s.held[n] - 1):
        s.slots[n, later] = s.slots[n, later + 1]
    s.held[n] -= 1
    s.slots[n, s.held[n]] = -1
    s.used[n] -= k.need[c]
    s.batch[n] -= k.share[c]
    s.pressure[n] -= k.emits[c]
    s.low[n] -= 1 if k.is_low[c] else 0
    if s.held[n] == 0:
        s.used[n, :] = 0.0
        s.batch[n, :] = 0.0
        s.pressure[n, :] = 0.0
    s.where[pod] = -1


@allocating
def joining_cost(k: Kernel, s: State, pod: int, n: int) -> float:
    """Return by how much the cost grows when the pod joins node n."""
    before = node_cost(k, s, n)
    join(k, s, pod, n)
    after = node_cost(k, s, n)
    leave(k, s, pod)
    return after - before


@allocating
def cheapest_node(k: Kernel, s: State, pod: int, avoid: int, may_open: bool) -> tuple[int, float]:
    """Return the node that the pod joins at least cost and that cost; −1 where it fits nowhere."""
    best, best_cost = -1, math.inf
    opened = np.zeros(k.room.shape[0], dtype=np.bool_)
    c = s.pod_class[pod]
    for n in range(len(s.held)):
        if n == avoid:
            continue
        if s.held[n] == 0:
            if opened[k.kind[n]] or not may_open:
                continue
            opened[k.kind[n]] = True
        if not fits(k, s, n, c):
            continue
        cost = joining_cost(k, s, pod, n)
        if cost < best_cost - 1e-12:
            best, best_cost = n, cost
    return best, best_cost


@allocating
def greedy(k: Kernel, s: State, order: Any) -> int:
    """Place the pods one after the other, each where the cost grows least; return how many fit nowhere."""
    left = 0
    for pod in order:
        n, _ = cheapest_node(k, s, pod, -1, True)
        if n < 0:
            left += 1
        else:
            join(k, s, pod, n)
    return left


@allocating
def spread(k: Kernel, s: State, order: Any) -> int:
    """Place each pod on the node with least requested of its first two resources: the scheduler's default [std]."""
    left = 0
    for pod in order:
        best, best_share = -1, math.inf
        c = s.pod_class[pod]
        for n in range(len(s.held)):
            if not fits(k, s, n, c):
                continue
            room = k.room[k.kind[n]]
            share = (s.used[n, 0] + k.need[c, 0]) / room[0] + (s.used[n, 1] + k.need[c, 1]) / room[1]
            if share < best_share - 1e-12:
                best, best_share = n, share
        if best < 0:
            left += 1
        else:
            join(k, s, pod, best)
    return left


@allocating
def fullest(k: Kernel, s: State, order: Any) -> int:
    """Place each pod on the node that is fullest and still holds it: best fit, blind to interference [std]."""
    left = 0
    for pod in order:
        best, best_share = -1, -1.0
        c = s.pod_class[pod]
        for n in range(len(s.held)):
            if not fits(k, s, n, c):
                continue
            room = k.room[k.kind[n]]
            share = s.used[n, 0] / room[0] + s.used[n, 1] / room[1]
            if s.held[n] == 0:
                share = -0.5
            if share > best_share + 1e-12:
                best, best_share = n, share
        if best < 0:
            left += 1
        else:
            join(k, s, pod, best)
    return left


@allocating
def anneal(k: Kernel, s: State, proposals: int, hot: float, cold: float, seed: int) -> int:
    """Move and swap pods at random, uphill with a chance that falls with the temperature; return how many were kept."""
    np.random.seed(seed)
    pods, nodes, kept = len(s.where), len(s.held), 0
    if nodes < 2:
        return 0
    costs = np.empty(nodes)
    for n in range(nodes):
        costs[n] = node_cost(k, s, n)
    for step in range(proposals):
        heat = hot * (cold / hot) ** (step / proposals)
        pod = np.random.randint(pods)
        if np.random.random() < 0.5:
            kept += try_move(k, s, costs, pod, np.random.randint(nodes), heat)
        else:
            kept += try_swap(k, s, costs, pod, np.random.randint(pods), heat)
    return kept


@allocating
def accepted(change: float, heat: float) -> bool:
    """Whether a change of the cost is taken at this temperature [Metropolis et al. 1953]."""
    return change <= 0.0 or np.random.random() < math.exp(-change / heat)


@allocating
def try_move(k: Kernel, s: State, costs: Any, pod: int, n: int, heat: float) -> int:
    """Move a pod to node n where that is allowed and accepted; return 1 if so. ``costs`` [N] is kept true."""
    source = s.where[pod]
    if source < 0 or n == source or not fits(k, s, n, s.pod_class[pod]) or not may_leave(k, s, pod):
        return 0
    leave(k, s, pod)
    join(k, s, pod, n)
    left, joined = node_cost(k, s, source), node_cost(k, s, n)
    if accepted(left + joined - costs[source] - costs[n], heat):
        costs[source], costs[n] = left, joined
        return 1
    leave(k, s, pod)
    join(k, s, pod, source)
    return 0


@allocating
def try_swap(k: Kernel, s: State, costs: Any, one: int, two: int, heat: float) -> int:
    """Exchange two pods of different nodes and classes where that is allowed and accepted; return 1 if so."""
    a, b = s.where[one], s.where[two]
    if a < 0 or b < 0 or a == b or s.pod_class[one] == s.pod_class[two]:
        return 0
    if not may_leave(k, s, one) or not may_leave(k, s, two):
        return 0
    leave(k, s, one)
    leave(k, s, two)
    if fits(k, s, b, s.pod_class[one]) and fits(k, s, a, s.pod_class[two]):
        join(k, s, one, b)
        join(k, s, two, a)
        cost_a, cost_b = node_cost(k, s, a), node_cost(k, s, b)
        if accepted(cost_a + cost_b - costs[a] - costs[b], heat):
            costs[a], costs[b] = cost_a, cost_b
            return 1
        leave(k, s, one)
        leave(k, s, two)
    join(k, s, one, a)
    join(k, s, two, b)
    return 0


@allocating
def close_nodes(k: Kernel, s: State) -> int:
    """Empty each used node, those with fewest pods first, where its pods are cheaper elsewhere; return how many."""
    closed = 0
    order = np.argsort(s.held)
    moved = np.empty(s.slots.shape[1], dtype=np.int64)
    for n in order:
        count = s.held[n]
        if count == 0:
            continue
        moved[:count] = s.slots[n, :count]
        gain = node_cost(k, s, n)
        paid, done = 0.0, 0
        for at in range(count - 1, -1, -1):
            pod = moved[at]
            if not may_leave(k, s, pod):
                break
            leave(k, s, pod)
            m, cost = cheapest_node(k, s, pod, n, False)
            if m < 0 or paid + cost >= gain:
                join(k, s, pod, n)
                break
            join(k, s, pod, m)
            paid += cost
            done += 1
        if done == count:
            closed += 1
            continue
        for at in range(count - done, count):
            leave(k, s, moved[at])
            join(k, s, moved[at], n)
    return closed


@allocating
def total_cost(k: Kernel, s: State) -> float:
    """Return the cost of all nodes."""
    total = 0.0
    for n in range(len(s.held)):
        total += node_cost(k, s, n)
    return total


@allocating
def patterns(k: Kernel, t: int, stock: Any, found: Any, cost: Any) -> int:
    """Write every set of pods that a node of type t can hold into ``found`` [limit, C] and its cost; return how many.

    ``stock`` [C] is how many pods of each class there are. Returns −1 where more than the limit exist. Sets in which a
    pod lacks one that it must be with are left out; the empty set is left out.
    """
    classes, limit, count = len(stock), found.shape[0], 0
    a = np.zeros(classes, dtype=np.int64)
    used, batch = np.zeros(k.need.shape[1]), np.zeros(k.share.shape[1])
    while True:
        c = 0
        while c < classes:
            if a[c] < min(stock[c], k.most[c]) and _may_add(k, t, used, c):
                a[c] += 1
                break
            a[c] = 0
            c += 1
            _sum(k, a, used)
        if c == classes:
            return count
        _sum(k, a, used)
        if not _whole(k, t, a, batch):
            continue
        if count == limit:
            return -1
        found[count] = a
        cost[count] = pattern_cost(k, t, a)
        count += 1


@allocating
def _sum(k: Kernel, a: Any, used: Any) -> None:
    used[:] = 0.0
    for c in range(len(a)):
        if a[c] > 0:
            used += a[c] * k.need[c]


@allocating
def _may_add(k: Kernel, t: int, used: Any, c: int) -> bool:
    if not k.allowed[c, t]:
        return False
    for r in range(len(used)):
        if used[r] + k.need[c, r] > k.room[t, r] + 1e-9:
            return False
    return True


@allocating
def _whole(k: Kernel, t: int, a: Any, batch: Any) -> bool:
    """Whether a set keeps the shared tier, what must be apart and what must be together."""
    low = False
    batch[:] = 0.0
    for c in range(len(a)):
        if a[c] > 0:
            low = low or k.is_low[c]
            batch += a[c] * k.share[c]
    if low:
        for b in range(len(batch)):
            if batch[b] > k.batch_room[t, b] + 1e-9:
                return False
    for c in range(len(a)):
        if a[c] > 0:
            for d in range(len(a)):
                if a[d] > 0 and k.apart[c, d] and (c != d or a[c] > 1):
                    return False
                if a[d] == 0 and k.together[c, d]:
                    return False
    return True


@allocating
def pattern_cost(k: Kernel, t: int, a: Any) -> float:
    """Return what a node of type t with ``a`` [C] pods costs."""
    u = np.zeros(3)
    for c in range(len(a)):
        u += a[c] * k.emits[c]
    total = k.node_cost[t]
    for c in range(len(a)):
        if a[c] > 0:
            e = k.emits[c]
            total += (
                a[c]
                * k.weight[c]
                * excess_at(k, c, t, max(u[0] - e[0], 0.0), max(u[1] - e[1], 0.0), max(u[2] - e[2], 0.0))
            )
    return total
