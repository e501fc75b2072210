"""A lower bound on packing with interference, by a linear programme over cells of pressure that are refined."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from solvers.packing import FloatArray, IntArray, Packing

ROUNDS = 20
GAIN = 5e-4
IDLE = 8
"""Refining ends after so many rounds in a row that each raise the bound by less than this share of it."""
MOST_VARIABLES = 30_000


@dataclass(frozen=True)
class Cell:
    """Nodes of type ``kind`` whose total pressure lies between ``low`` and ``high`` [K]."""

    kind: int
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class _Programme:
    """A linear programme in sparse form; ``node`` and ``pods`` are the columns of each cell, the latter by class."""

    cost: FloatArray
    entries: tuple[IntArray, IntArray, FloatArray]
    limits: FloatArray
    counted: tuple[IntArray, IntArray]
    node: list[int]
    pods: list[tuple[IntArray, int]]


def lower_bound(packing: Packing, *, rounds: int = ROUNDS) -> float:
    """Return a cost below which no placement lies; infinity where capacities alone rule every placement out.

    Each node's total pressure lies in one cell. Within a cell a pod costs at least its excess at the lower corner less
    what it emits itself. Nodes y and pods x are continuous per type and cell: min Σ price y + Σ w excess x under
    Σ x = pods, resources and pressure of the pods in a cell within y times the room and the cell's corners, Σ y within
    the nodes. Every placement is a solution of this programme at no higher price, since excess rises with pressure;
    apart, together and the shared tier on nodes without best effort are left out, which only lowers it. Cells that the
    solution uses are halved, which only raises it, and the programme is solved again. [ours]
    """
    cells = _first_cells(packing)
    best, idle = 0.0, 0
    for _ in range(rounds):
        programme = _programme(packing, cells)
        value, x = _solve(packing, programme)
        if not np.isfinite(value):
            return value
        idle = idle + 1 if value < best + GAIN * max(best, 1e-9) else 0
        best = max(best, value)
        if x is None or idle == IDLE or len(programme.cost) > MOST_VARIABLES:
            break
        cells = _refined(packing, cells, programme, x)
    return best


def _solve(packing: Packing, programme: _Programme) -> tuple[float, FloatArray | None]:
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    rows, columns, values = programme.entries
    upper = coo_array((values, (rows, columns)), shape=(len(programme.limits), len(programme.cost))).tocsr()
    pods, at = programme.counted
    equal = coo_array((np.ones(len(at)), (pods, at)), shape=(len(packing.stock), len(programme.cost))).tocsr()
    found = linprog(  # type: ignore[call-overload]
        programme.cost,
        A_ub=upper,
        b_ub=programme.limits,
        A_eq=equal,
        b_eq=packing.stock.astype(np.float64),
        method="highs-ipm",
    )
    if found.status == 2:
        return float("inf"), None
    return (float(found.fun), np.asarray(found.x)) if found.status == 0 else (0.0, None)


def _first_cells(packing: Packing) -> list[Cell]:
    """Return cells that cover every pressure which a node of each type can reach."""
    axes = len(packing.axes)
    per_axis = {1: 8, 2: 3, 3: 2}[axes]
    cells = []
    for t in range(len(packing.nodes)):
        edges = [np.linspace(0.0, top, per_axis + 1) for top in _reach(packing, t)]
        for at in product(range(per_axis), repeat=axes):
            low, high = ([edges[d][i + more] for d, i in enumerate(at)] for more in (0, 1))
            cells.append(Cell(t, np.array(low), np.array(high)))
    return cells


def _reach(packing: Packing, t: int) -> FloatArray:
    """Return a pressure [K] that no node of a type exceeds: that of all pods, or the most per resource of each tier."""
    everything = packing.stock @ packing.emits
    low = packing.is_low
    own = _densest(packing.emits[~low], packing.need[~low], packing.room[t])
    batch = np.hstack([packing.share[low], packing.need[low]])
    best_effort = _densest(packing.emits[low], batch, np.concatenate([packing.batch_room[t], packing.room[t]]))
    return np.maximum(np.minimum(everything, own + best_effort), 1e-9) * (1 + 1e-9)


def _densest(emits: FloatArray, need: FloatArray, room: FloatArray) -> FloatArray:
    """Return the most pressure [K] that fits into ``room`` [R]: the least over resources of room times density."""
    if len(emits) == 0:
        return np.zeros(emits.shape[1])
    demand, emitted = need[:, :, None], emits[:, None, :]
    density = np.divide(emitted, demand, out=np.full(np.broadcast(emitted, demand).shape, np.inf), where=demand > 0)
    most = np.where(emitted > 0, density, 0.0).max(axis=0)  # [R, K]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nan_to_num(most * room[:, None], nan=0.0, posinf=np.inf).min(axis=0))


def _refined(packing: Packing, cells: list[Cell], programme: _Programme, x: FloatArray) -> list[Cell]:
    """Halve each cell that is used, along the axis on which its pods' cost rises most."""
    found = []
    for cell, node, pods in zip(cells, programme.node, programme.pods, strict=True):
        if x[node] <= 1e-7:
            found.append(cell)
            continue
        d = _steepest(packing, cell, pods[0], x[pods[1] : pods[1] + len(pods[0])])
        middle = (cell.low[d] + cell.high[d]) / 2
        below, above = cell.high.copy(), cell.low.copy()
        below[d] = above[d] = middle
        found += [Cell(cell.kind, cell.low, below), Cell(cell.kind, above, cell.high)]
    return found


def _steepest(packing: Packing, cell: Cell, classes: IntArray, pods: FloatArray) -> int:
    here = _corner_costs(packing, cell.kind, cell.low, classes) @ pods
    rises = []
    for d in range(len(cell.low)):
        moved = cell.low.copy()
        moved[d] = cell.high[d]
        rises.append(float(_corner_costs(packing, cell.kind, moved, classes) @ pods - here))
    widths = (cell.high - cell.low) / np.maximum(cell.high, 1e-12)
    return int(np.argmax(rises)) if max(rises) > 0 else int(np.argmax(widths))


def _corner_costs(packing: Packing, kind: int, corner: FloatArray, classes: IntArray) -> FloatArray:
    """Return weight times excess of each class when the total pressure is ``corner``: multilinear, flat beyond."""
    at, part = [], []
    for d, axis in enumerate(packing.axes):
        value = np.clip(corner[d] - packing.emits[classes, d], axis[0], axis[-1])
        cell = np.clip(np.searchsorted(axis, value, side="right") - 1, 0, max(len(axis) - 2, 0))
        at.append(cell)
        part.append((value - axis[cell]) / (axis[cell + 1] - axis[cell]) if len(axis) > 1 else np.zeros(len(classes)))
    total = np.zeros(len(classes))
    for upper in product((0, 1), repeat=len(packing.axes)):
        share = np.prod([p if up else 1 - p for p, up in zip(part, upper, strict=True)], axis=0)
        where = tuple(np.minimum(i + up, len(axis) - 1) for i, up, axis in zip(at, upper, packing.axes, strict=True))
        total += share * packing.excess[(classes, kind, *where)]
    return packing.weight[classes] * total


def _programme(packing: Packing, cells: list[Cell]) -> _Programme:
    """Write the programme: per cell one column of nodes and one per class, one row per resource and pressure."""
    batch = np.where(packing.is_low[:, None], packing.share, 0.0)
    demands = np.hstack([packing.need, batch, packing.emits, -packing.emits])
    spread = packing.most < packing.stock
    cost, rows, columns, values = [], [], [], []
    limits, counted, node, pods = [packing.nodes.astype(np.float64)], [], [], []
    column, row = 0, len(packing.nodes)
    for cell in cells:
        classes = np.flatnonzero(packing.allowed[:, cell.kind])
        room = np.concatenate([packing.room[cell.kind], packing.batch_room[cell.kind], cell.high, -cell.low])
        tight = classes[spread[classes]]
        own = column + 1 + np.arange(len(classes))
        at = np.argwhere(demands[classes] != 0)
        rows += [np.array([cell.kind]), row + np.arange(len(room)), row + at[:, 1]]
        columns += [np.array([column]), np.full(len(room), column), own[at[:, 0]]]
        values += [np.ones(1), -room, demands[classes][at[:, 0], at[:, 1]]]
        row += len(room)
        rows += [row + np.arange(len(tight))] * 2
        columns += [own[np.searchsorted(classes, tight)], np.full(len(tight), column)]
        values += [np.ones(len(tight)), -packing.most[tight].astype(np.float64)]
        row += len(tight)
        limits.append(np.zeros(len(room) + len(tight)))
        cost += [packing.node_cost[cell.kind : cell.kind + 1], _corner_costs(packing, cell.kind, cell.low, classes)]
        counted.append((classes, own))
        node.append(column)
        pods.append((classes, column + 1))
        column += 1 + len(classes)
    return _Programme(
        np.concatenate(cost), (np.concatenate(rows), np.concatenate(columns), np.concatenate(values)),
        np.concatenate(limits),
        (np.concatenate([one[0] for one in counted]), np.concatenate([one[1] for one in counted])), node, pods,
    )  # fmt: skip
