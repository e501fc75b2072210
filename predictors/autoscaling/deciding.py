"""What a policy decides at one tick: pure steps from the metrics, the schedule and the forecast to replicas."""

from __future__ import annotations

import math

from predictors.autoscaling import hpa
from predictors.autoscaling.cluster import late_share, surviving, windowed, within
from predictors.autoscaling.state import (
    AVERAGE,
    CPU,
    HIDDEN,
    HIGHEST_RHO,
    INPUTS,
    MILLI,
    POD_AVERAGE,
    READY,
    REQUESTS,
    TRIGGERS,
    FloatArray,
    Record,
    World,
)
from predictors.serving.compiled import entry, inner


@inner
def reactive(world: World, s: int, tick: int) -> int:
    """Replicas that triggers and the schedule lead to, before windows and limits; NO_ANSWER where nothing is known."""
    policy, state = world.policies[s], world.state[s]
    current = state.ready + state.starting
    most, unknown = hpa.NO_ANSWER, 0
    for i in range(TRIGGERS):
        if i < policy.triggers:
            found = triggered(world, s, tick, i, current)
            unknown += found == hpa.NO_ANSWER
            most = max(most, found)
    if policy.planned:
        wanted = world.planned[s, tick]
        most = max(most, hpa.average_replicas(current, wanted, 1.0, policy.up_tolerance, policy.down_tolerance))
    return hpa.NO_ANSWER if unknown > 0 and most < current else most


@inner
def triggered(world: World, s: int, tick: int, i: int, current: int) -> int:
    """Replicas that one trigger proposes."""
    service, policy, state = world.services[s], world.policies[s], world.state[s]
    sums, metric, kind = world.sums[s], world.metric_of[s, i], world.kind_of[s, i]
    value = windowed(sums, metric, tick, service.delay_ticks, service.window_ticks)
    if math.isnan(value):
        return hpa.NO_ANSWER
    target, up, down = world.target_of[s, i], policy.up_tolerance, policy.down_tolerance
    if kind == AVERAGE:
        return hpa.average_replicas(current, math.floor(value * MILLI), target * MILLI, up, down)
    known = windowed(sums, READY, tick, service.delay_ticks, service.window_ticks)
    ready = min(state.ready, math.ceil(known))
    unready = state.ready + state.starting - ready
    if kind == POD_AVERAGE:
        usage = math.floor(value * MILLI) * ready
        return hpa.pods_replicas(current, usage, ready, 0, 0, target * MILLI, up, down)
    usage, asked = math.floor(value * MILLI) * ready, MILLI * ready
    return hpa.resource_replicas(current, usage, asked, ready, unready, MILLI * unready, 0, 0.0, target, up, down)


@inner
def held(world: World, s: int, tick: int, current: int, desired: int) -> int:
    """``desired`` after the stabilisation windows."""
    policy, advised = world.policies[s], world.advised[s]
    lowest, highest, mask = desired, desired, len(advised) - 1
    for i in range(max(tick - policy.up_ticks + 1, 0), tick):
        if advised[i & mask] >= 0:
            lowest = min(lowest, advised[i & mask])
    for i in range(max(tick - policy.down_ticks + 1, 0), tick):
        highest = max(highest, advised[i & mask])
    return min(max(current, lowest), highest)


@inner
def rate_limited(world: World, s: int, tick: int, current: int, desired: int) -> int:
    """``desired`` after the policies of its direction and the object's bounds."""
    policy = world.policies[s]
    if desired == current:
        return current
    up = 0 if desired > current else 1
    count = policy.up_policies if up == 0 else policy.down_policies
    select = policy.up_select if up == 0 else policy.down_select
    limit = current
    if select != hpa.DISABLED:
        limit = -1
        for i in range(count):
            found = policy_limit(world, s, tick, current, up, i)
            higher = (select == hpa.MOST) == (up == 0)
            limit = found if limit < 0 and i == 0 else (max(limit, found) if higher else min(limit, found))
    if up == 0:
        return hpa.limited(current, desired, policy.least, policy.most, max(limit, current), 0)
    return hpa.limited(current, desired, policy.least, policy.most, current, min(limit, current))


@inner
def policy_limit(world: World, s: int, tick: int, current: int, down: int, i: int) -> int:
    """The limit of one policy: from the replicas at the start of its period."""
    ticks: int = world.rule_ticks[s, down, i]
    value: float = world.rule_values[s, down, i]
    change = world.change[s]
    start = current - within(change, tick, ticks, True) + within(change, tick, ticks, False)
    if world.rule_types[s, down, i] == hpa.PODS:
        return int(start + int(value) if down == 0 else max(start - int(value), 0))
    if down == 0:
        return math.ceil(start * (1.0 + value / 100.0))
    return int(max(start * (1.0 - value / 100.0), 0.0))


@inner
def active(world: World, s: int, tick: int) -> bool:
    """Whether there is load above the activation threshold, or a schedule that asks for replicas."""
    service, policy = world.services[s], world.policies[s]
    rate = windowed(world.sums[s], REQUESTS, tick, service.delay_ticks, service.window_ticks)
    scheduled = policy.planned and world.planned[s, tick] > 0.0
    return bool(scheduled or (not math.isnan(rate) and rate > policy.activation) or world.state[s].backlog > 0.0)


@inner
def level(world: World, s: int, tick: int) -> float:
    """How far the load of late stands above its median forecast, within the policy's limits."""
    service, policy = world.services[s], world.policies[s]
    rate = windowed(world.sums[s], REQUESTS, tick, service.delay_ticks, service.window_ticks)
    first = max(tick - service.delay_ticks - service.window_ticks, 0)
    expected, count = 0.0, 0
    for i in range(first, max(tick - service.delay_ticks, first)):
        expected += world.base[s, i]
        count += 1
    if math.isnan(rate) or expected <= 0.0:
        return 1.0
    return float(min(max(rate / (expected / count), policy.level_low), policy.level_high))


@inner
def forecast(world: World, s: int, tick: int, ahead: int, scale: float) -> float:
    """The rate forecast for ``ahead`` ticks from now: the seasonal quantile times the level of late."""
    at = min(tick + ahead, world.ahead.shape[1] - 1)
    return float(world.ahead[s, at] * scale)


@inner
def stage_cost(world: World, s: int, replicas: int, rate: float, hours: float) -> float:
    """Replica-hours of one stage, and what its requests above the bound are worth, by the queueing model."""
    service, policy = world.services[s], world.policies[s]
    serving = surviving(replicas, service.lost, service.zones)
    capacity = serving * service.per_s
    late = 1.0
    if rate < HIGHEST_RHO * capacity:
        row = world.row_of[min(serving, len(world.row_of) - 1)]
        late = late_share(world.tails[service.table], row, rate / capacity, 1.0)
    return float(replicas * hours + policy.violation_cost * rate * hours * late)


@inner
def highest_worth(world: World, s: int, tick: int, current: int, scale: float) -> int:
    """A number of replicas beyond which none is late at any rate of the horizon, so that more only cost."""
    service, policy = world.services[s], world.policies[s]
    rate = 0.0
    for stage in range(policy.horizon_stages):
        rate = max(rate, forecast(world, s, tick, stage * policy.stage_ticks, scale))
    busy = math.ceil(1.5 * rate / service.per_s) + 4 + service.lost
    if service.zones > 1:
        busy += busy // (service.zones - 1) + 1
    return int(min(max(busy, current, policy.least), policy.most))


@inner
def horizon(world: World, s: int, tick: int, current: int) -> int:
    """Receding horizon: the replicas that are cheapest over the coming stages, each start costing its warm-up.

    Backwards over the stages, V_k(n) = cost_k(n) + min_m [switch · max(m − n, 0) + V_{k+1}(m)]; stages before a start
    could take effect bound how far the number may fall.
    """
    service, policy = world.services[s], world.policies[s]
    values = world.values
    hours = policy.stage_ticks * service.tick_s / 3600.0
    scale = level(world, s, tick)
    most = highest_worth(world, s, tick, current, scale)
    for n in range(policy.least, most + 1):
        values[0, n] = 0.0
    blind = -(-service.warm_ticks // policy.stage_ticks)
    for stage in range(policy.horizon_stages - 1, blind - 1, -1):
        rate = forecast(world, s, tick, stage * policy.stage_ticks, scale)
        back_up(world, s, most, rate, hours)
    best = cheapest(values, policy.least, most, current, policy.switch)
    for stage in range(blind):
        rate = forecast(world, s, tick, stage * policy.stage_ticks, scale)
        if best < current:
            best = max(best, needed(world, s, rate, hours, best, current))
    return best


@inner
def back_up(world: World, s: int, most: int, rate: float, hours: float) -> None:
    """One stage of the recursion, in place: values[0] becomes that of the stage before."""
    policy, values = world.policies[s], world.values
    low = math.inf
    for n in range(policy.least, most + 1):
        low = min(low, values[0, n])
        values[1, n] = low
    rising = math.inf
    for n in range(most, policy.least - 1, -1):
        rising = min(rising + policy.switch, values[0, n])
        values[2, n] = min(values[1, n], rising)
    for n in range(policy.least, most + 1):
        values[0, n] = values[2, n] + stage_cost(world, s, n, rate, hours)


@inner
def cheapest(values: FloatArray, least: int, most: int, current: int, switch: float) -> int:
    """The number to go to: least value and switching cost from ``current``."""
    best, cost = least, math.inf
    for n in range(least, most + 1):
        found = values[0, n] + switch * max(n - current, 0)
        if found < cost:
            best, cost = n, found
    return best


@inner
def needed(world: World, s: int, rate: float, hours: float, least: int, most: int) -> int:
    """The number between two that is cheapest at this rate alone."""
    best, cost = least, math.inf
    for n in range(least, most + 1):
        found = stage_cost(world, s, n, rate, hours)
        if found < cost:
            best, cost = n, found
    return best


@entry
def observe(world: World, s: int, tick: int, out: FloatArray) -> None:
    """What a learned policy sees [INPUTS], ours after MSARS: load, forecast, lateness, use, replicas, starts."""
    service, policy, state = world.services[s], world.policies[s], world.state[s]
    total = max(state.ready + state.starting, 1)
    rate = windowed(world.sums[s], REQUESTS, tick, service.delay_ticks, service.window_ticks)
    busy = windowed(world.sums[s], CPU, tick, service.delay_ticks, service.window_ticks)
    coming = forecast(world, s, tick, policy.lead_ticks, level(world, s, tick))
    out[0] = 0.0 if math.isnan(rate) else min(rate / (total * service.per_s), 3.0)
    out[1] = min(coming / (total * service.per_s), 3.0)
    out[2] = world.late[s, max(tick - 1, 0)]
    out[3] = 0.0 if math.isnan(busy) else busy
    out[4] = total / policy.most
    out[5] = state.starting / total


@entry
def network(weights: FloatArray, inputs: FloatArray) -> float:
    """The output in −1 … 1 of one hidden layer of hyperbolic tangents."""
    hidden, out = INPUTS * HIDDEN, 0.0
    for h in range(HIDDEN):
        total = weights[hidden + h]
        for i in range(INPUTS):
            total += weights[h * INPUTS + i] * inputs[i]
        out += weights[hidden + HIDDEN + h] * math.tanh(total)
    return math.tanh(out + weights[hidden + 2 * HIDDEN])


@entry
def moved(policy: Record, current: int, action: float) -> int:
    """Replicas after an action in −1 … 1: a whole change of at most the policy's step, within its bounds."""
    return int(min(max(current + round(action * policy.max_step), policy.least), policy.most))
