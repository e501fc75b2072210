"""What the cluster does in one tick: replicas start, are lost, serve, and leave; metrics are taken."""

from __future__ import annotations

import math

from predictors.autoscaling.state import (
    CPU,
    HIGHEST_RHO,
    IN_FLIGHT,
    KV_CACHE,
    READY,
    REQUESTS,
    RHO_STEP,
    RHO_STEPS,
    SLACK_STEPS,
    WAITING,
    FloatArray,
    IntArray,
    Record,
    World,
)
from predictors.serving.compiled import entry, inlined, inner

DIM_ABOVE = 0.9
"""Use of capacity from which brownout leaves optional work out, for a whole tick (ours; Klein et al. steer a share)."""
BREACH = 0.05
"""Share of a tick's requests above the bound from which the service counts as breached (for the time to recover)."""


@entry
def late_share(tails: FloatArray, row: int, rho: float, slack: float) -> float:
    """Share of requests above the bound at utilisation ``rho``, ``slack`` of the bound being left; bilinear."""
    if slack <= 0.0:
        return 1.0
    at = min(max(rho, 0.0), HIGHEST_RHO) / RHO_STEP
    i = min(int(at), RHO_STEPS - 2)
    x = at - i
    left = min(slack, 1.0) * (SLACK_STEPS - 1)
    j = min(int(left), SLACK_STEPS - 2)
    y = left - j
    low = tails[row, i, j] * (1.0 - x) + tails[row, i + 1, j] * x
    high = tails[row, i, j + 1] * (1.0 - x) + tails[row, i + 1, j + 1] * x
    return float(low * (1.0 - y) + high * y)


@inner
def between(table: FloatArray, rho: float) -> float:
    """A row of a table at utilisation ``rho``; linear."""
    at = min(max(rho, 0.0), HIGHEST_RHO) / RHO_STEP
    i = min(int(at), RHO_STEPS - 2)
    x = at - i
    return float(table[i] * (1.0 - x) + table[i + 1] * x)


@inner
def surviving(ready: int, lost: int, zones: int) -> int:
    """Replicas that are left at the moment of the failure that must be survived."""
    left = ready - lost
    if zones > 1:
        left -= -(-ready // zones)
    return max(left, 0)


@inner
def starts(world: World, s: int, tick: int, count: int) -> None:
    """Start ``count`` replicas: on free places at once, on new nodes once those are there."""
    service, state, due = world.services[s], world.state[s], world.due[s]
    free = count
    if service.node_replicas > 0:
        free = min(count, max(state.nodes * service.node_replicas - state.ready - state.starting, 0))
        more = -(-(count - free) // service.node_replicas)
        state.nodes += more
        if count > free:
            due[(tick + service.cold_ticks) % len(due)] += count - free
    if free > 0:
        due[(tick + service.warm_ticks) % len(due)] += free
    state.starting += count


@inner
def stops(world: World, s: int, tick: int, count: int) -> None:
    """Take ``count`` replicas away: those that are not ready first, the latest of them first, as a ReplicaSet does."""
    state, due = world.state[s], world.due[s]
    for back in range(len(due) - 1, 0, -1):
        at = (tick + back) % len(due)
        gone = min(due[at], count)
        due[at] -= gone
        state.starting -= gone
        count -= gone
        if count == 0:
            return
    state.ready = max(state.ready - count, 0)


@inner
def nodes_follow(service: Record, state: Record) -> None:
    """Release nodes that have not been needed for the idle time."""
    needed = -(-(state.ready + state.starting) // service.node_replicas)
    state.node_idle = state.node_idle + 1 if needed < state.nodes else 0
    if state.node_idle > service.node_idle_ticks:
        state.nodes, state.node_idle = needed, 0


@inlined
def loses(world: World, s: int, tick: int) -> None:
    """Spot replicas are taken away by chance, at most one in a tick; its replacement starts at once."""
    service, state = world.services[s], world.state[s]
    if service.loss_per_tick <= 0.0 or state.ready == 0:
        return
    if world.chance[s, tick] < 1.0 - math.pow(1.0 - service.loss_per_tick, state.ready):
        state.ready -= 1
        world.due[s, (tick + service.warm_ticks) % world.due.shape[1]] += 1
        state.starting += 1


@inlined
def serves(world: World, s: int, tick: int) -> None:
    """Serve one tick's arrivals: a fluid backlog over a queue in equilibrium, and what that leaves above the bound."""
    service, state = world.services[s], world.state[s]
    arrivals = world.arrivals[s, tick]
    serving = state.ready
    capacity = min(serving * service.per_s, state.most_per_s)
    before = state.backlog
    if world.policies[s].brownout and before + arrivals > DIM_ABOVE * capacity * service.tick_s:
        capacity /= 1.0 - service.dim_share
        state.dimmed += arrivals
    served = min(before + arrivals, capacity * service.tick_s)
    after = before + arrivals - served
    most = max(capacity, arrivals / service.tick_s) * service.patience_s
    state.lost_requests += max(after - most, 0.0)
    state.backlog = min(after, most)
    row = row_for(world, s, serving, capacity)
    rho = served / (capacity * service.tick_s) if capacity > 0.0 else 1.0
    late = 1.0 if arrivals > 0.0 else 0.0
    if capacity > 0.0:
        waited = 0.5 * (before + state.backlog) / capacity
        slack = 1.0 - waited / service.bound_s
        late = late_share(world.tails[service.table], row, rho, slack)
    if (service.lost > 0 or service.zones > 1) and not state.spared:
        left = surviving(serving, service.lost, service.zones)
        state.violated_after += arrivals * max(late, late_alone(world, s, left, arrivals / service.tick_s))
    counts(world, s, tick, arrivals, late, serving, rho, row)


@inner
def late_alone(world: World, s: int, replicas: int, rate: float) -> float:
    """Share above the bound in equilibrium with so many replicas; all where they cannot keep up."""
    service = world.services[s]
    capacity = replicas * service.per_s
    if rate >= capacity:
        return 1.0 if rate > 0.0 else 0.0
    row = row_for(world, s, replicas, capacity)
    return late_share(world.tails[service.table], row, rate / capacity, 1.0)


@inner
def row_for(world: World, s: int, replicas: int, capacity: float) -> int:
    """Row of the tables: for the replicas, or for as many wholes as the capacity makes."""
    whole: float = world.services[s].whole_per_s
    count = replicas if whole <= 0.0 else int(capacity / whole + 1e-9)
    return int(world.row_of[min(count, len(world.row_of) - 1)])


@inlined
def counts(world: World, s: int, tick: int, arrivals: float, late: float, serving: int, rho: float, row: int) -> None:
    """Keep what happened: totals, the series for plots, and the running sums behind the metrics."""
    service, state = world.services[s], world.state[s]
    state.requests += arrivals
    state.violated += arrivals * late
    state.replica_s += (state.ready + state.starting) * service.tick_s
    state.node_s += state.nodes * service.tick_s
    world.ready[s, tick] = state.ready
    world.total[s, tick] = state.ready + state.starting
    world.late[s, tick] = late
    recovers(state, arrivals * late > BREACH * arrivals, service.tick_s)
    sums = world.sums[s]
    flying = between(world.in_flight[service.table, row], rho) if serving > 0 else 0.0
    add(sums, CPU, tick, rho * service.busy_share if serving > 0 else 0.0)
    add(sums, REQUESTS, tick, arrivals / service.tick_s)
    add(sums, IN_FLIGHT, tick, flying + state.backlog)
    add(sums, KV_CACHE, tick, between(world.kv[service.table], rho) if serving > 0 else 0.0)
    add(sums, WAITING, tick, state.backlog)
    add(sums, READY, tick, float(serving))


@inner
def add(sums: FloatArray, metric: int, tick: int, value: float) -> None:
    """Continue one running sum; it is kept in a ring, whose length is a power of two."""
    mask = sums.shape[1] - 1
    sums[metric, (tick + 1) & mask] = sums[metric, tick & mask] + value


@inner
def recovers(state: Record, breached: bool, tick_s: float) -> None:
    """Measure stretches above the bound: the longest is the time to recover."""
    state.breach_s = state.breach_s + tick_s if breached else 0.0
    state.recovery_s = max(state.recovery_s, state.breach_s)
    state.slow_s += tick_s if breached else 0.0


@inner
def windowed(sums: FloatArray, metric: int, tick: int, delay: int, window: int) -> float:
    """Mean of a metric over the window that ends ``delay`` ticks ago; NaN where there is none yet."""
    last = tick - delay
    first = max(last - window, 0)
    mask = sums.shape[1] - 1
    return (sums[metric, last & mask] - sums[metric, first & mask]) / (last - first) if last > first else math.nan


@inner
def within(change: IntArray, tick: int, ticks: int, up: bool) -> int:
    """Replicas added (or taken away) in the last ``ticks`` before ``tick``."""
    total, mask = 0, len(change) - 1
    for i in range(max(tick - ticks, 0), tick):
        if (change[i & mask] > 0) == up:
            total += abs(change[i & mask])
    return total
