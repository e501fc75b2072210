"""How many requests replicas sustain and how late they answer: tables that the simulator looks up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.autoscaling.state import HIGHEST_RHO, RHO_STEPS, SLACK_STEPS, FloatArray, IntArray

RHO: FloatArray = np.linspace(0.0, HIGHEST_RHO, RHO_STEPS)
SLACK: FloatArray = np.linspace(0.0, 1.0, SLACK_STEPS)
MOST_WORKERS = 512
"""Workers beyond which a pool is treated as if it had so many: its tail hardly changes any more."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """One kind of replica. ``rows``: the numbers of replicas that the tables have rows for.

    ``per_s``: requests per second that one replica sustains; ``tails`` [rows, RHO, SLACK]: share of requests above the
    bound; ``in_flight`` [rows, RHO]: requests in the replicas; ``kv`` [RHO]: use of the KV cache; ``busy_share``: CPU
    that a replica uses at its limit, of its request; ``basis`` and ``source``: what that rests on; ``error``: of
    ``per_s``, the half-width of its 90 % interval.
    """

    per_s: float
    bound_s: float
    rows: IntArray
    tails: FloatArray
    in_flight: FloatArray
    kv: FloatArray
    busy_share: float = 1.0
    basis: str = "assumed"
    source: str = ""
    error: float | None = None


def table_rows(most: int) -> IntArray:
    """Numbers of replicas with a row of their own: every one up to 16, then steps of about 10 %."""
    rows = [1]
    while rows[-1] < most:
        rows.append(max(rows[-1] + 1, round(rows[-1] * 1.1) if rows[-1] >= 16 else rows[-1] + 1))
    return np.array(rows, dtype=np.int64)


def row_of(rows: IntArray, most: int) -> IntArray:
    """The row for every number of replicas 0 … most: the largest that is not more (so never too good)."""
    return np.maximum(np.searchsorted(rows, np.arange(most + 1), side="right") - 1, 0).astype(np.int64)


def service_capacity(
    *, workers: int, service_s: float, bound_s: float, most: int, fixed_s: float = 0.0, busy_share: float = 1.0,
    basis: str = "assumed", source: str = "", error: float | None = None,
) -> Capacity:  # fmt: skip
    """A service whose replica works on ``workers`` requests at once, each ``service_s`` on average after ``fixed_s``.

    n replicas behind one balancer are M/M/(n · workers) (std): the share above the bound is the tail of wait + service.
    """
    rows = table_rows(most)
    tails, flying = np.empty((len(rows), RHO_STEPS, SLACK_STEPS)), np.empty((len(rows), RHO_STEPS))
    for at, replicas in enumerate(rows):
        servers = min(int(replicas) * workers, MOST_WORKERS)
        waits = erlang_c(servers, RHO)
        left = np.maximum(SLACK * bound_s - fixed_s, 0.0)
        tails[at] = response_tail(waits[:, None], servers, RHO[:, None], left[None, :] / service_s)
        flying[at] = RHO * int(replicas) * workers + waits * RHO / (1.0 - RHO)
    return Capacity(
        per_s=workers / service_s, bound_s=bound_s, rows=rows, tails=tails, in_flight=flying, kv=np.zeros(RHO_STEPS),
        busy_share=busy_share, basis=basis, source=source, error=error,
    )  # fmt: skip


def erlang_c(servers: int, rho: FloatArray) -> FloatArray:
    """Erlang's C at utilisations ``rho`` < 1 [any shape], by the recursion of B (std; as `solvers.queues`)."""
    offered, blocked = rho * servers, np.ones_like(rho)
    for c in range(1, servers + 1):
        blocked = offered * blocked / (c + offered * blocked)
    return np.asarray(blocked / (1.0 - rho * (1.0 - blocked)))


def response_tail(waits: FloatArray, servers: int, rho: FloatArray, at: FloatArray) -> FloatArray:
    """P(wait + service > t) of M/M/c, t in service times (std; as `solvers.queues.mmc_response_tail`)."""
    spare = servers * (1.0 - rho)
    apart = np.where(np.abs(spare - 1.0) < 1e-6, 1e-6, spare - 1.0)
    served = np.exp(-at)
    both = served + waits * (served - np.exp(-spare * at)) / apart
    return np.clip(np.where(at <= 0.0, 1.0, both), 0.0, 1.0)


def replicas_needed(capacity: Capacity, rate_per_s: FloatArray, late: float, most: int) -> IntArray:
    """Fewest replicas at which the share above the bound is at most ``late``, for each rate; ``most + 1`` if none."""
    index = row_of(capacity.rows, most)
    needed = np.full(np.shape(rate_per_s), most + 1, dtype=np.int64)
    for replicas in range(most, 0, -1):
        held = highest_rate(capacity, int(index[replicas]), late) * replicas
        needed[np.asarray(rate_per_s) <= held] = replicas
    return np.where(np.asarray(rate_per_s) <= 0.0, 0, needed)


def highest_rate(capacity: Capacity, row: int, late: float) -> float:
    """Requests per second and replica up to which at most ``late`` of them are above the bound."""
    shares = np.maximum.accumulate(capacity.tails[row, :, -1])
    if shares[0] > late:
        return 0.0
    return float(np.interp(late, shares, RHO) if shares[-1] > late else HIGHEST_RHO) * capacity.per_s
