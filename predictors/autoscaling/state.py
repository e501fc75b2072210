"""The state of one simulated cluster: flat records per service and policy, and the arrays beside them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
SingleArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Record = Any
"""One element of a record array: ``record.field`` reads and writes in place, compiled or not."""
Records = Any

# What a policy decides by.
REACTIVE, MODEL_PREDICTIVE, NETWORK, GIVEN = 0, 1, 2, 3
# Metrics, and rows of the running sums that their windows are taken from.
CPU, REQUESTS, IN_FLIGHT, KV_CACHE, WAITING, READY = 0, 1, 2, 3, 4, 5
METRICS = 6
# How a trigger's target is meant.
UTILIZATION, POD_AVERAGE, AVERAGE = 0, 1, 2
TRIGGERS = 3
POLICIES = 3
MILLI = 1000.0
"""Metrics are integers of thousandths, as in the controller."""

RHO_STEPS = 50
RHO_STEP = 0.02
HIGHEST_RHO = 0.98
SLACK_STEPS = 9
"""Capacity tables: utilisation 0, 0.02, … 0.98, and the share of the bound that is left after waiting, 0 … 1."""

HIDDEN = 8
INPUTS = 6
WEIGHTS = INPUTS * HIDDEN + HIDDEN + HIDDEN + 1
"""A network of one hidden layer decides the change: its weights in one row."""


def _layout(integers: str, floats: str = "") -> np.dtype[Any]:
    fields = [(name, "i8") for name in integers.split()] + [(name, "f8") for name in floats.split()]
    return np.dtype(fields, align=True)


SERVICE = _layout(
    "table warm_ticks cold_ticks delay_ticks window_ticks node_replicas node_idle_ticks zones lost",
    "per_s busy_share bound_s patience_s dim_share loss_per_tick tick_s whole_per_s",
)
"""One service. ``per_s``: requests per second that one replica sustains; ``busy_share``: CPU of its request that a
replica uses at that rate; ``warm_ticks``: from the decision to the first served request on a node that has the image,
``cold_ticks``: on a new node; ``lost``: replicas, and ``zones`` > 1: one zone's share, whose loss must be survived at
any moment; ``dim_share``: of a request's time, that brownout leaves out; ``whole_per_s``: of what the tables count,
where that is more than this service (0: its replicas)."""

POLICY = _layout(
    "mode least most brownout triggers sync_ticks up_ticks down_ticks up_select down_select up_policies down_policies "
    "cooldown_ticks max_step horizon_stages stage_ticks lead_ticks planned idles",
    "up_tolerance down_tolerance activation switch violation_cost level_low level_high",
)
"""One policy. ``up_ticks``, ``down_ticks``: stabilisation windows; ``planned``: a schedule or forecast counts;
``idles``: without load nothing is kept."""

STATE = _layout(
    "ready starting nodes node_idle quiet known changes reversals direction step_at recovering given spared",
    "backlog replica_s node_s requests violated violated_after dimmed lost_requests slow_s recovery_s breach_s "
    "most_per_s",
)
"""One service as it stands, and what was counted so far. ``backlog``: requests waiting beyond the queue's own;
``most_per_s``: what others let through; ``spared``: the failure that must be survived is another's in this tick."""


class World(NamedTuple):
    """Every array of one run; the first axis is the service where not said otherwise."""

    services: Records
    policies: Records
    state: Records
    metric_of: IntArray  # [services, triggers]
    kind_of: IntArray
    target_of: FloatArray
    rule_types: IntArray  # [services, 2, policies]: up, down
    rule_values: FloatArray
    rule_ticks: IntArray
    arrivals: FloatArray  # [services, ticks], requests
    planned: FloatArray  # replicas that a schedule or a forecast asks for
    ahead: FloatArray  # forecast of the rate, per second, at its quantile
    base: FloatArray  # forecast of the rate, median
    chance: FloatArray  # uniform draws, for losses
    weights: FloatArray  # [services, WEIGHTS]
    tails: FloatArray  # [tables, rows, RHO_STEPS, SLACK_STEPS]: share above the bound
    in_flight: FloatArray  # [tables, rows, RHO_STEPS]: requests in the replicas
    kv: FloatArray  # [tables, RHO_STEPS]: use of the KV cache
    row_of: IntArray  # [replicas]: row of the tables
    due: IntArray  # [services, ring]: replicas that become ready
    sums: FloatArray  # [services, METRICS, ring]: running sums, of the ticks that metrics can look back at
    advised: IntArray  # [services, ring]: recommendations before stabilisation, -1 where none
    change: IntArray  # [services, ring]: change of the replicas
    ready: SingleArray  # [services, ticks]
    total: SingleArray  # [services, ticks]
    late: SingleArray  # [services, ticks]: share of the arrivals above the bound
    values: FloatArray  # [3, replicas]: scratch of the receding horizon
