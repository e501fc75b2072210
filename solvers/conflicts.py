"""Which services may stand on which nodes, how many on one, and beside which others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Of S services on N nodes, as Kubernetes' required affinities have them.

    ``allowed`` [S, N]. ``most`` [S]: replicas on one node. ``apart`` [S, S], symmetric, false on the diagonal: never on
    one node. ``together`` [S, S]: a replica of the row needs one of the column on its node.
    """

    allowed: BoolArray
    most: IntArray
    apart: BoolArray
    together: BoolArray

    @cached_property
    def apart_pairs(self) -> list[list[int]]:
        """Pairs that are never on one node, each once."""
        found: list[list[int]] = np.argwhere(np.triu(self.apart, 1)).tolist()
        return found

    @cached_property
    def together_pairs(self) -> list[list[int]]:
        """Pairs of which the first needs the second."""
        found: list[list[int]] = np.argwhere(self.together).tolist()
        return found

    def open_to(self, service: int, count: FloatArray) -> BoolArray:
        """Return which nodes [N] take one more replica of ``service`` beside ``count`` [S, N] that are there."""
        free = self.allowed[service] & (count[service] < self.most[service])
        free &= ~(count[self.apart[service]] > 0.0).any(axis=0)
        return np.asarray(free & (count[self.together[service]] > 0.0).all(axis=0))


def broken(rules: Rules | None, count: FloatArray) -> FloatArray:
    """Return how many replicas of each of P placements ``count`` [P, S, N] stand against a rule; [P]."""
    if rules is None:
        return np.zeros(len(count))
    found = np.maximum(count - rules.most[:, None], 0.0).sum(axis=(1, 2)) + (count * ~rules.allowed).sum(axis=(1, 2))
    for one, other in rules.apart_pairs:
        found += np.minimum(count[:, one], count[:, other]).sum(axis=1)
    for one, other in rules.together_pairs:
        found += (count[:, one] * (count[:, other] == 0.0)).sum(axis=1)
    return np.asarray(found)
