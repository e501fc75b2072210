"""The compiled loop: tick after tick, service after service."""

from __future__ import annotations

import math

from predictors.autoscaling import hpa
from predictors.autoscaling.cluster import loses, nodes_follow, serves, starts, stops, surviving
from predictors.autoscaling.deciding import active, held, horizon, moved, network, observe, rate_limited, reactive
from predictors.autoscaling.state import MODEL_PREDICTIVE, NETWORK, REACTIVE, FloatArray, World
from predictors.serving.compiled import entry, inlined, inner


@entry
def run_kernel(world: World, inputs: FloatArray) -> None:
    """Run every service over every tick. ``inputs`` is scratch of what a network sees."""
    for s in range(len(world.services)):
        for tick in range(world.arrivals.shape[1]):
            one_tick(world, s, tick, inputs)


@entry
def advance(world: World, s: int, first: int, last: int, inputs: FloatArray) -> None:
    """Run one service over the ticks from ``first`` to before ``last``; what it sees then is in ``inputs``."""
    for tick in range(first, last):
        one_tick(world, s, tick, inputs)
    observe(world, s, min(last, world.arrivals.shape[1] - 1), inputs)


@entry
def run_joined(world: World, inputs: FloatArray) -> None:
    """Run services that every request needs at once, as groups of layers: the weakest lets through what it can."""
    for tick in range(world.arrivals.shape[1]):
        for s in range(len(world.services)):
            prepares(world, s, tick, inputs)
        joins(world)
        for s in range(len(world.services)):
            serves(world, s, tick)


@inner
def joins(world: World) -> None:
    """What all let through together, and whose failure would leave the least."""
    least, least_after, worst = math.inf, math.inf, 0
    for s in range(len(world.services)):
        service, ready = world.services[s], world.state[s].ready
        least = min(least, ready * service.per_s)
        after = surviving(ready, service.lost, service.zones) * service.per_s
        if after < least_after:
            least_after, worst = after, s
    for s in range(len(world.services)):
        world.state[s].most_per_s = least
        world.state[s].spared = s != worst


@inner
def one_tick(world: World, s: int, tick: int, inputs: FloatArray) -> None:
    """Replicas that have started serve; the policy looks and acts; the tick's requests are served."""
    prepares(world, s, tick, inputs)
    serves(world, s, tick)


@inlined
def prepares(world: World, s: int, tick: int, inputs: FloatArray) -> None:
    """Replicas that have started serve, and the policy looks and acts."""
    service, state, due = world.services[s], world.state[s], world.due[s]
    at = tick % len(due)
    state.ready += due[at]
    state.starting -= due[at]
    due[at] = 0
    loses(world, s, tick)
    world.advised[s, tick & (world.advised.shape[1] - 1)] = -1
    world.change[s, tick & (world.change.shape[1] - 1)] = 0
    if tick % world.policies[s].sync_ticks == 0:
        decide(world, s, tick, inputs)
    if service.node_replicas > 0:
        nodes_follow(service, state)


@inlined
def decide(world: World, s: int, tick: int, inputs: FloatArray) -> None:
    """Set the replicas to what the policy wants."""
    policy, state = world.policies[s], world.state[s]
    current = state.ready + state.starting
    if policy.mode == REACTIVE:
        wanted = follow(world, s, tick, current)
    elif policy.mode == MODEL_PREDICTIVE:
        wanted = stepped(horizon(world, s, tick, current), current, policy.max_step)
    elif policy.mode == NETWORK:
        observe(world, s, tick, inputs)
        wanted = moved(policy, current, network(world.weights[s], inputs))
    else:
        wanted = min(max(state.given, policy.least), policy.most)
    apply(world, s, tick, current, wanted)


@inlined
def follow(world: World, s: int, tick: int, current: int) -> int:
    """HPA, and KEDA around it: to zero after the cooldown without load, from zero to the fewest at the first load."""
    policy, state = world.policies[s], world.state[s]
    if policy.idles:
        state.quiet = 0 if active(world, s, tick) else state.quiet + policy.sync_ticks
        if current == 0:
            return int(max(policy.least, 1)) if state.quiet == 0 else 0
        if state.quiet > policy.cooldown_ticks:
            return 0
    if current > policy.most:
        return int(policy.most)
    if current < max(policy.least, 1):
        return int(max(policy.least, 1))
    desired = reactive(world, s, tick)
    if desired == hpa.NO_ANSWER:
        return current
    steady = held(world, s, tick, current, desired)
    world.advised[s, tick & (world.advised.shape[1] - 1)] = desired
    limited = rate_limited(world, s, tick, current, steady)
    return stepped(max(limited, 1), current, policy.max_step)


@inner
def stepped(wanted: int, current: int, max_step: int) -> int:
    """``wanted``, at most ``max_step`` away (none where it is 0)."""
    if max_step <= 0:
        return wanted
    return min(max(wanted, current - max_step), current + max_step)


@inner
def apply(world: World, s: int, tick: int, current: int, wanted: int) -> None:
    """Start or stop replicas, and count changes and turns of direction."""
    state = world.state[s]
    if wanted == current:
        return
    if wanted > current:
        starts(world, s, tick, wanted - current)
    else:
        stops(world, s, tick, current - wanted)
    direction = 1 if wanted > current else -1
    state.changes += abs(wanted - current)
    state.reversals += state.direction == -direction
    state.direction = direction
    world.change[s, tick & (world.change.shape[1] - 1)] = wanted - current
