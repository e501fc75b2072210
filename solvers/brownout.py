"""Brownout of a mixture-of-experts layer: which experts a batch still reaches under a threshold, and through which
united experts the rest is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ROUNDING = 1e-9
"""Share of the tokens by which a prefix may miss the threshold: what floating point loses."""


class Grouping(Enum):
    """How experts are put together into united ones; a grouping by likeness has room here, none is public [paper]."""

    INDEX = "index"


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Where one layer's tokens go: (expert, tokens) served as they are, (group, experts, tokens) by united experts.

    Of full brownout, ``dropped`` tokens are served by none.
    """

    original: tuple[tuple[int, int], ...]
    united: tuple[tuple[int, tuple[int, ...], int], ...]
    dropped: int = 0

    @property
    def accesses(self) -> int:
        """Experts whose weights are read."""
        return len(self.original) + len(self.united)


def assign(counts: npt.ArrayLike, threshold: float, way: int | None, grouping: Grouping = Grouping.INDEX) -> Assignment:
    """Assign one layer's tokens by Algorithm 1 of BrownoutServe (arXiv 2507.17133) [paper; line 10 as the code has it].

    ``counts`` [experts]: tokens routed to each; ``threshold`` in [0, 1]: the most popular experts, in the shortest
    prefix that reaches this share of the tokens, are served as they are. The others of one group of ``way`` (by index
    ⌊expert / way⌋) share a united expert; one that is alone in its group goes to itself. ``way`` None drops them (full
    brownout). Threshold 1 serves everybody. Raises ValueError outside these.
    """
    tokens = _checked(np.asarray(counts)[None, :], threshold, way)[0]
    kept = _original(tokens[None, :], threshold)[0]
    rest = [int(expert) for expert in np.flatnonzero((tokens > 0) & ~kept)]
    original = [(int(expert), int(tokens[expert])) for expert in np.flatnonzero(kept)]
    if way is None:
        return Assignment(original=tuple(original), united=(), dropped=int(sum(tokens[expert] for expert in rest)))
    groups: dict[int, list[int]] = {}
    for expert in rest:
        groups.setdefault(group_of(expert, way, grouping), []).append(expert)
    alone = [(members[0], int(tokens[members[0]])) for members in groups.values() if len(members) == 1]
    united = [
        (group, tuple(members), int(tokens[members].sum())) for group, members in groups.items() if len(members) > 1
    ]
    return Assignment(original=tuple(sorted(original + alone)), united=tuple(united))


def group_of(expert: int, way: int, grouping: Grouping = Grouping.INDEX) -> int:
    """The united expert that stands in for ``expert``."""
    assert grouping is Grouping.INDEX
    return expert // way


def united_experts(experts: int, way: int) -> int:
    """United experts of one layer, each of the size of one expert [paper: ⌈m/k⌉]."""
    return -(-experts // way)


def accesses(counts: npt.ArrayLike, threshold: float, way: int | None) -> tuple[IntArray, IntArray]:
    """As `assign`, for many layers or batches at once: experts served as they are, and united ones, each [rows].

    ``counts`` [rows, experts].
    """
    tokens = _checked(np.asarray(counts), threshold, way)
    kept = _original(tokens, threshold)
    rest = (tokens > 0) & ~kept
    original: IntArray = kept.sum(axis=1)
    if way is None:
        return original, np.zeros_like(original)
    padded = np.pad(rest, ((0, 0), (0, -rest.shape[1] % way)))
    members = padded.reshape(len(rest), -1, way).sum(axis=2)
    united: IntArray = (members > 1).sum(axis=1)
    return original + (members == 1).sum(axis=1), united


def _original(tokens: IntArray, threshold: float) -> npt.NDArray[np.bool_]:
    """The shortest prefix of the experts by popularity that reaches the threshold; equal ones by index."""
    order = np.argsort(-tokens, axis=1, kind="stable")
    total = tokens.sum(axis=1, keepdims=True)
    before = np.cumsum(np.take_along_axis(tokens, order, axis=1), axis=1) - np.take_along_axis(tokens, order, axis=1)
    chosen = before < threshold * total - ROUNDING * total
    kept = np.zeros(tokens.shape, dtype=bool)
    np.put_along_axis(kept, order, chosen, axis=1)
    return kept & (tokens > 0)


def _checked(counts: npt.NDArray[np.generic], threshold: float, way: int | None) -> IntArray:
    tokens = counts.astype(np.int64)
    if tokens.ndim != 2 or tokens.shape[1] == 0 or (tokens < 0).any():
        raise ValueError("counts must be rows of one count of at least 0 for each expert")
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"threshold is {threshold}, expected 0 to 1")
    if way is not None and way < 1:
        raise ValueError(f"way is {way}, expected at least 1")
    return tokens


def route(popularity: npt.ArrayLike, top_k: int, tokens: int, rng: np.random.Generator) -> IntArray:
    """Draw how many of ``tokens`` tokens each expert gets, every token choosing ``top_k`` different experts; [experts].

    Systematic sampling with unequal chances [std: Madow 1949]: an expert is chosen with chance top_k × its share, at
    most 1, exactly. ``popularity`` [experts] need not add up to 1.
    """
    chance = inclusion(popularity, top_k)
    order = rng.permutation(len(chance))
    edges = np.cumsum(chance[order])
    points = rng.random(tokens)[:, None] + np.arange(top_k)[None, :]
    chosen = order[np.minimum(np.searchsorted(edges, points.ravel(), side="right"), len(chance) - 1)]
    return np.bincount(chosen, minlength=len(chance)).astype(np.int64)


def inclusion(popularity: npt.ArrayLike, top_k: int) -> FloatArray:
    """Chance that a token reaches each expert: proportional to popularity, at most 1, ``top_k`` in sum; [experts]."""
    share = np.asarray(popularity, dtype=np.float64)
    if top_k > len(share) or not np.isfinite(share).all() or (share < 0).any() or not share.sum() > 0:
        raise ValueError("popularity must be finite, at least 0 and not all 0, over top_k experts or more")
    share = np.maximum(share / share.sum(), 1e-12)
    certain = np.zeros(len(share), dtype=bool)
    while True:
        left = top_k - certain.sum()
        chance = np.where(certain, 1.0, left * share / max(share[~certain].sum(), 1e-300))
        if not (chance > 1.0).any():
            return chance
        certain |= chance >= 1.0
