"""The multiple-choice knapsack: one option from each row, least summed loss within a summed budget."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The option of each row, its summed loss and cost, and a lower bound on the loss of any choice in the budget."""

    options: tuple[int, ...]
    loss: float
    cost: float
    bound: float

    @property
    def gap(self) -> float:
        """What of the loss is not proved to be needed."""
        return max(self.loss - self.bound, 0.0)


def choose(loss: npt.ArrayLike, cost: npt.ArrayLike, budget: float) -> Choice | None:
    """Choose one option of each row by a Lagrange multiplier on the cost; None where the cheapest exceeds the budget.

    ``loss`` and ``cost`` [rows, options]. For each price of cost the rows part, and each takes its least loss + price ×
    cost; the price is bisected, and what budget is left is spent greedily [std: Everett 1963; the bound is the
    Lagrangian dual's].
    """
    losses, costs = np.asarray(loss, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    if _total(costs, costs.argmin(axis=1)) > budget:
        return None
    low, high = 0.0, 1.0
    picked = _cheapest_at(losses, costs, 0.0)
    bound = _dual(losses, costs, 0.0, budget)
    if _total(costs, picked) > budget:
        while _total(costs, _cheapest_at(losses, costs, high)) > budget:
            high *= 4.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2.0
            bound = max(bound, _dual(losses, costs, middle, budget))
            low, high = (
                (low, middle) if _total(costs, _cheapest_at(losses, costs, middle)) <= budget else (middle, high)
            )
        picked = _spend_rest(losses, costs, _cheapest_at(losses, costs, high), budget)
    options = tuple(int(option) for option in picked)
    return Choice(options=options, loss=_total(losses, picked), cost=_total(costs, picked), bound=bound)


def choose_exactly(loss: npt.ArrayLike, cost: npt.ArrayLike, budget: float) -> Choice | None:
    """As `choose`, by trying every combination: the oracle, for a handful of rows."""
    losses, costs = np.asarray(loss, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    found: Choice | None = None
    for options in product(range(losses.shape[1]), repeat=len(losses)):
        picked = np.asarray(options)
        total, spent = _total(losses, picked), _total(costs, picked)
        if spent <= budget and (found is None or total < found.loss):
            found = Choice(options=options, loss=total, cost=spent, bound=total)
    return found


def _cheapest_at(losses: FloatArray, costs: FloatArray, price: float) -> npt.NDArray[np.int64]:
    """Each row's option of least priced loss; among equals the cheaper, so that a higher price never costs more."""
    priced = losses + price * costs
    best = priced.min(axis=1, keepdims=True)
    tied = np.isclose(priced, best, rtol=1e-12, atol=1e-15)
    picked: npt.NDArray[np.int64] = np.where(tied, costs, np.inf).argmin(axis=1)
    return picked


def _dual(losses: FloatArray, costs: FloatArray, price: float, budget: float) -> float:
    return float((losses + price * costs).min(axis=1).sum() - price * budget)


def _total(values: FloatArray, picked: npt.NDArray[np.intp] | npt.NDArray[np.int64]) -> float:
    return float(values[np.arange(len(values)), picked].sum())


def _spend_rest(
    losses: FloatArray, costs: FloatArray, picked: npt.NDArray[np.int64], budget: float
) -> npt.NDArray[np.int64]:
    """Better one row at a time, the largest gain that still fits first."""
    rows = np.arange(len(losses))
    while True:
        room = budget - _total(costs, picked)
        gain = losses[rows, picked][:, None] - losses
        gain = np.where(costs - costs[rows, picked][:, None] <= room, gain, 0.0)
        row, option = np.unravel_index(int(gain.argmax()), gain.shape)
        if gain[row, option] <= 0.0:
            return picked
        picked = picked.copy()
        picked[row] = option
