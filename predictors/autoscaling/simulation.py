"""One simulation from policies and loads to what happened: the arrays laid out, the kernel run, the totals kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from predictors.autoscaling import hpa, state
from predictors.autoscaling.capacity import Capacity, row_of, table_rows
from predictors.autoscaling.kernel import run_joined, run_kernel
from predictors.autoscaling.state import FloatArray, SingleArray, World
from specs.autoscaling import ScalingSpec, StartUp
from specs.policies import Direction, PolicySpec, Trigger

MODES = {"mpc": state.MODEL_PREDICTIVE, "td3": state.NETWORK, "ga-rl": state.NETWORK}
METRICS = {
    "cpu": (state.CPU, state.UTILIZATION), "kv-cache": (state.KV_CACHE, state.POD_AVERAGE),
    "requests": (state.REQUESTS, state.AVERAGE), "in-flight": (state.IN_FLIGHT, state.AVERAGE),
    "waiting": (state.WAITING, state.AVERAGE),
}  # fmt: skip
SELECTS = {"max": hpa.MOST, "min": hpa.LEAST, "disabled": hpa.DISABLED}
LEVEL_LIMITS = (0.25, 4.0)
"""How far the recent load may move the forecast of a receding horizon."""
NO_WEIGHTS: FloatArray = np.zeros(state.WEIGHTS)


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """One service under one policy. Arrays [ticks]: requests in each tick; replicas that a schedule or a forecast asks
    for; the forecast of the rate at its quantile and its median, per second.

    The loss of ``lost`` replicas or, above 1, of one of ``zones`` must be survived: what is late then is counted too.
    """

    capacity: Capacity
    policy: PolicySpec
    arrivals: FloatArray
    planned: FloatArray | None = None
    ahead: FloatArray | None = None
    base: FloatArray | None = None
    lost: int = 0
    zones: int = 0
    losses_per_hour: float = 0.0
    start: int | None = None
    start_up: StartUp | None = None  # else the Scaling document's
    per_s: float | None = None  # of one replica, where the capacity's tables count wholes of several services


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What happened to one service; arrays [ticks]."""

    ready: SingleArray
    total: SingleArray
    late: SingleArray
    requests: float
    violated: float
    violated_after: float
    replica_hours: float
    node_hours: float
    changes: int
    reversals: int
    longest_breach_s: float
    hours: float
    dimmed: float = 0.0

    @property
    def violations(self) -> float:
        """Share of the requests above the bound."""
        return self.violated / self.requests if self.requests > 0 else 0.0

    @property
    def dimmed_share(self) -> float:
        """Share of the requests that were answered without their optional work."""
        return self.dimmed / self.requests if self.requests > 0 else 0.0

    @property
    def violations_after_loss(self) -> float:
        """The same if the failure that must be survived happened at any moment, before anything replaces it."""
        return self.violated_after / self.requests if self.requests > 0 else 0.0


def simulate(services: tuple[Scaled, ...], scaling: ScalingSpec, *, seed: int = 0) -> tuple[Trace, ...]:
    """Run every service, each alone with its own nodes, over its arrivals; all have as many ticks. Ours."""
    world = world_of(services, scaling, seed=seed)
    run_kernel(world, np.zeros(state.INPUTS))
    return tuple(_collect(world, s, scaling.tick_s) for s in range(len(services)))


def simulate_joined(services: tuple[Scaled, ...], scaling: ScalingSpec, *, seed: int = 0) -> tuple[Trace, ...]:
    """Run services that every request needs at once: in each tick all let through what the weakest can.

    They share arrivals, backlog and requests in flight, so that each trace has the violations of the whole; those after
    a loss are the sum over the traces, each tick counting the worst of them. Ours.
    """
    world = world_of(services, scaling, seed=seed)
    run_joined(world, np.zeros(state.INPUTS))
    return tuple(_collect(world, s, scaling.tick_s) for s in range(len(services)))


def world_of(services: tuple[Scaled, ...], scaling: ScalingSpec, *, seed: int = 0) -> World:
    """The arrays of one run, before its first tick."""
    most = max(one.policy.max_replicas for one in services)
    ticks, count = len(services[0].arrivals), len(services)
    tables = list({id(one.capacity): one.capacity for one in services}.values())
    rows = table_rows(max(most, *(int(one.rows[-1]) for one in tables)))
    number = {id(one): at for at, one in enumerate(tables)}
    records = np.zeros(count, dtype=state.SERVICE)
    policies = np.zeros(count, dtype=state.POLICY)
    standing = np.zeros(count, dtype=state.STATE)
    for s, one in enumerate(services):
        _service(records[s], one, scaling, number[id(one.capacity)])
        _policy(policies[s], one, scaling, int(records[s]["warm_ticks"]))
        _start(standing[s], one, scaling)
    ring = int(records["cold_ticks"].max() + records["warm_ticks"].max()) + 2
    triggers, rules = _triggers(services), _rules(services, scaling.tick_s)
    lost = any(one.losses_per_hour > 0 for one in services)
    draws = np.random.default_rng(seed).random((count, ticks)) if lost else np.ones((count, 1))
    empty = np.zeros((count, 1))
    return World(
        services=records, policies=policies, state=standing, metric_of=triggers[0], kind_of=triggers[1],
        target_of=triggers[2], rule_types=rules[0], rule_values=rules[1], rule_ticks=rules[2],
        arrivals=np.stack([one.arrivals for one in services]), planned=_stacked(services, "planned", empty),
        ahead=_stacked(services, "ahead", empty), base=_stacked(services, "base", empty), chance=draws,
        weights=np.stack([np.asarray(one.policy.weights or NO_WEIGHTS, dtype=np.float64) for one in services]),
        tails=np.stack([_padded(one.tails, one, rows) for one in tables]),
        in_flight=np.stack([_padded(one.in_flight, one, rows) for one in tables]),
        kv=np.stack([one.kv for one in tables]), row_of=row_of(rows, most), due=np.zeros((count, ring), dtype=np.int64),
        sums=np.zeros((count, state.METRICS, _ring(records["delay_ticks"], records["window_ticks"]))),
        advised=np.full((count, _ring(policies["up_ticks"], policies["down_ticks"])), -1, dtype=np.int64),
        change=np.zeros((count, _ring(rules[2].max())), dtype=np.int64),
        **{name: np.zeros((count, ticks), dtype=np.float32) for name in ("ready", "total", "late")},
        values=np.zeros((3, most + 1)),
    )  # fmt: skip


def _ring(*parts: Any) -> int:
    """A power of two that is more than the largest sum of the parts."""
    return 1 << int(np.max(sum(parts)) + 2).bit_length()


def _padded(table: FloatArray, capacity: Capacity, rows: state.IntArray) -> FloatArray:
    """The table with a row for every row of all tables: that of the largest number of replicas that is not more."""
    at = np.maximum(np.searchsorted(capacity.rows, rows, side="right") - 1, 0)
    return np.ascontiguousarray(table[at])


def _stacked(services: tuple[Scaled, ...], name: str, empty: FloatArray) -> FloatArray:
    found = [getattr(one, name) for one in services]
    if all(one is None for one in found):
        return empty
    ticks = len(services[0].arrivals)
    return np.stack([np.zeros(ticks) if one is None else one for one in found])


def _ticks(seconds: float, tick_s: float) -> int:
    return math.ceil(seconds / tick_s - 1e-9)


def _service(record: Any, one: Scaled, scaling: ScalingSpec, table: int) -> None:
    """Fill one service's record. The metrics are at least one tick old: the tick that is running is not known."""
    tick_s, start = scaling.tick_s, one.start_up or scaling.start_up
    nodes = scaling.nodes
    record["table"] = table
    record["warm_ticks"] = max(_ticks(start.warm_s if nodes else start.cold_s, tick_s), 1)
    record["cold_ticks"] = max(_ticks((nodes.provision_s if nodes else 0.0) + start.cold_s, tick_s), 1)
    record["delay_ticks"] = _ticks(scaling.metrics_delay_s, tick_s)
    record["window_ticks"] = max(_ticks(one.policy.metrics_window_s or scaling.metrics_window_s, tick_s), 1)
    record["node_replicas"] = nodes.replicas_per_node if nodes else 0
    record["node_idle_ticks"] = _ticks(nodes.idle_s, tick_s) if nodes else 0
    record["zones"], record["lost"] = one.zones, one.lost
    record["per_s"], record["bound_s"] = one.per_s or one.capacity.per_s, one.capacity.bound_s
    record["whole_per_s"] = one.capacity.per_s if one.per_s else 0.0
    record["busy_share"], record["patience_s"] = one.capacity.busy_share, scaling.patience_s
    record["tick_s"] = tick_s
    record["dim_share"] = scaling.brownout.work_share if scaling.brownout else 0.0
    record["loss_per_tick"] = 1.0 - math.exp(-one.losses_per_hour * tick_s / 3600.0)


def _policy(record: Any, one: Scaled, scaling: ScalingSpec, warm_ticks: int) -> None:
    policy, tick_s = one.policy, scaling.tick_s
    record["mode"] = MODES.get(policy.kind, state.REACTIVE)
    record["brownout"] = policy.brownout and scaling.brownout is not None
    record["least"], record["most"] = policy.min_replicas, policy.max_replicas
    record["idles"] = policy.min_replicas == 0 or policy.idle_replicas == 0
    record["triggers"], record["planned"] = len(policy.triggers), one.planned is not None
    record["sync_ticks"] = max(_ticks(policy.sync_s, tick_s), 1)
    for name, direction in (("up", policy.up), ("down", policy.down)):
        record[f"{name}_ticks"] = _ticks(direction.stabilization_window_s, tick_s)
        record[f"{name}_select"] = SELECTS[direction.select_policy]
        record[f"{name}_policies"] = len(direction.policies)
        record[f"{name}_tolerance"] = direction.tolerance
    record["cooldown_ticks"], record["activation"] = _ticks(policy.cooldown_s, tick_s), policy.activation_per_s
    record["max_step"] = policy.max_step or scaling.max_step or (2**31 if policy.kind in ("td3", "ga-rl") else 0)
    record["lead_ticks"] = warm_ticks + _ticks(policy.sync_s, tick_s)
    record["level_low"], record["level_high"] = LEVEL_LIMITS
    if policy.horizon is not None:
        record["horizon_stages"] = policy.horizon.stages
        record["stage_ticks"] = max(_ticks(policy.horizon.stage_s, tick_s), 1)
        record["violation_cost"] = policy.horizon.replica_hours_per_1000_late * 3.6
        record["switch"] = warm_ticks * tick_s / 3600.0


def _start(record: Any, one: Scaled, scaling: ScalingSpec) -> None:
    """Begin with what the first tick needs on average, within the policy's bounds."""
    rate = float(one.arrivals[:4].mean()) / scaling.tick_s
    record["most_per_s"] = math.inf
    wanted = math.ceil(rate / (0.7 * (one.per_s or one.capacity.per_s))) if one.start is None else one.start
    record["ready"] = min(max(wanted, one.policy.min_replicas), one.policy.max_replicas)
    if scaling.nodes:
        record["nodes"] = -(-int(record["ready"]) // scaling.nodes.replicas_per_node)


def _triggers(services: tuple[Scaled, ...]) -> tuple[state.IntArray, state.IntArray, FloatArray]:
    shape = (len(services), state.TRIGGERS)
    metric, kind, target = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64), np.ones(shape)
    for s, one in enumerate(services):
        for i, trigger in enumerate(one.policy.triggers):
            metric[s, i], kind[s, i] = METRICS[trigger.metric]
            target[s, i] = trigger.target
    return metric, kind, target


def _rules(services: tuple[Scaled, ...], tick_s: float) -> tuple[state.IntArray, FloatArray, state.IntArray]:
    shape = (len(services), 2, state.POLICIES)
    types, values, ticks = np.zeros(shape, dtype=np.int64), np.zeros(shape), np.ones(shape, dtype=np.int64)
    for s, one in enumerate(services):
        for side, direction in enumerate((one.policy.up, one.policy.down)):
            _fill_rules(direction, types[s, side], values[s, side], ticks[s, side], tick_s)
    return types, values, ticks


def _fill_rules(
    direction: Direction, types: state.IntArray, values: FloatArray, ticks: state.IntArray, tick_s: float
) -> None:
    """A change ``period_s`` ago no longer counts, so a period of one tick looks back at no earlier tick."""
    for i, rule in enumerate(direction.policies):
        types[i] = hpa.PODS if rule.type == "Pods" else hpa.PERCENT
        values[i], ticks[i] = rule.value, _ticks(rule.period_s, tick_s) - 1


def _collect(world: World, s: int, tick_s: float) -> Trace:
    now = world.state[s]
    return Trace(
        ready=world.ready[s], total=world.total[s], late=world.late[s], requests=float(now["requests"]),
        violated=float(now["violated"]), violated_after=float(now["violated_after"]),
        replica_hours=float(now["replica_s"]) / 3600.0,
        node_hours=float(now["node_s"]) / 3600.0, changes=int(now["changes"]), reversals=int(now["reversals"]),
        longest_breach_s=float(now["recovery_s"]), dimmed=float(now["dimmed"]),
        hours=world.arrivals.shape[1] * tick_s / 3600.0,
    )  # fmt: skip


def static(replicas: int) -> PolicySpec:
    """A policy that keeps one number of replicas."""
    return PolicySpec(kind="static", min_replicas=replicas, max_replicas=max(replicas, 1))


def triggered(metric: str, target: float) -> Trigger:
    """A trigger by name."""
    return Trigger(metric=metric, target=target)
