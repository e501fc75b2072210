"""Engine steps as arrays, whichever way they were seen: the input of the fit."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from specs.trace import FloatArray


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Sums over windows of engine steps; float64 arrays of one length [n].

    A window is a single step (``steps`` 1), or the decoding of one request. ``seconds``: its length. ``tokens``
    [n, knots]: what `token_share` gives, summed over its steps. ``sequences``: tokens emitted. ``context_tokens``:
    context tokens of decoding sequences. ``prompts``: chunks of prompts. ``pairs``: Σ new × (before + new / 2).
    ``idle``: 1 where the window begins at an idle engine and so holds the request's overhead.
    """

    seconds: FloatArray
    steps: FloatArray
    tokens: FloatArray
    sequences: FloatArray
    context_tokens: FloatArray
    prompts: FloatArray
    pairs: FloatArray
    idle: FloatArray

    def __len__(self) -> int:
        return len(self.seconds)

    def at(self, chosen: object) -> Steps:
        """Return the chosen windows."""
        return Steps(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})


def knots(most_tokens: float) -> FloatArray:
    """Return the points between which a step's time is linear in its tokens: powers of two beyond ``most_tokens``."""
    top = max(2, int(np.ceil(np.log2(max(2.0, most_tokens)))))
    return np.concatenate([[0.0], 2.0 ** np.arange(top + 1)])


def token_share(tokens: FloatArray, grid: FloatArray) -> FloatArray:
    """Return [n, len(grid) − 1]: which part of each interval of ``grid`` so many tokens cover, from 0 to 1."""
    low, high = grid[:-1], grid[1:]
    covered: FloatArray = np.clip((np.asarray(tokens, dtype=np.float64)[:, None] - low) / (high - low), 0.0, 1.0)
    return covered


def joined(parts: list[Steps]) -> Steps:
    """Return the windows of all ``parts``, in order."""
    return Steps(**{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Steps)})
