"""The cheapest set of machines that covers a load sliced into cells: an integer programme over plain arrays."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Cover:
    """``machines`` [J] of each type, ``assigned`` [I] the type that serves each cell, ``cost`` their sum."""

    machines: IntArray
    assigned: IntArray
    cost: float


def cheapest_cover(
    rate: FloatArray,
    throughput: FloatArray,
    cost: FloatArray,
    *,
    use: FloatArray | None = None,
    available: FloatArray | None = None,
) -> Cover | None:
    """Choose machines y and an assignment x of cells: min Σ c_j y_j, Σ_j x_ij = 1, Σ_i x_ij rate_i / thr_ij ≤ y_j.

    ``rate`` [I] per cell; ``throughput`` [I, J] is what one machine of type j serves of cell i alone, 0 where it
    cannot; ``cost`` [J]. ``use`` [J, K] of resources ``available`` [K] bound the machines. x is binary, y integer.
    Returns None where no choice exists. [Mélange, Griggs et al. 2024, eq. 1–4; HiGHS through scipy]
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array, vstack

    cells, types = throughput.shape
    possible = throughput > 0
    load = np.divide(rate[:, None], throughput, out=np.zeros_like(throughput), where=possible)
    cell, kind = np.divmod(np.arange(cells * types), types)
    choices = cells * types
    one_each = coo_array((np.ones(choices), (cell, np.arange(choices))), shape=(cells, choices + types))
    covered = coo_array(
        (
            np.concatenate([load.ravel(), -np.ones(types)]),
            (np.concatenate([kind, np.arange(types)]), np.arange(choices + types)),
        ),
        shape=(types, choices + types),
    )
    constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(covered, -np.inf, 0)]
    if use is not None and available is not None:
        zeros = coo_array((use.shape[1], choices))
        constraints.append(LinearConstraint(vstack([zeros.T, coo_array(use)]).T, -np.inf, available))
    upper = np.concatenate([possible.ravel().astype(np.float64), np.full(types, np.inf)])
    with _silent_stdout():
        found = milp(
            np.concatenate([np.zeros(choices), cost]),
            integrality=np.ones(choices + types),
            bounds=Bounds(0, upper),
            constraints=constraints,
        )
    if found.x is None or not found.success:
        return None
    chosen = np.rint(found.x).astype(np.int64)
    assigned = chosen[:choices].reshape(cells, types).argmax(axis=1)
    machines = chosen[choices:]
    return Cover(machines=machines, assigned=assigned, cost=float(cost @ machines))


def relaxed_cost(rate: FloatArray, throughput: FloatArray, cost: FloatArray) -> float:
    """Lower bound on the cheapest cover: every cell on its cheapest type, machines divisible; infinite if uncovered."""
    each = np.where(throughput > 0, cost[None, :] * rate[:, None] / np.where(throughput > 0, throughput, 1.0), np.inf)
    return float(each.min(axis=1).sum())


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Keep what HiGHS prints past its own log option out of the process's standard output. [HiGHS 1.8–1.12]"""
    if os.name != "posix":
        yield
        return
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # what C still holds must not come out after the descriptor is back
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
