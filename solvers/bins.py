"""Bins that pieces of a few kinds need: first fit, the largest first, no two of a kind in one bin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
SLACK = 1e-9


def bins_needed(counts: IntArray, sizes: Sequence[float]) -> IntArray:
    """Bins of size 1 for each row of ``counts`` [rows, kinds], whose pieces are of ``sizes`` [kinds]; returns [rows].

    First fit decreasing, with pieces of one kind apart: never fewer bins than Σ counts · sizes or than the most pieces
    of a kind. Equal rows are packed once. Raises ValueError for a piece that is larger than a bin. [std; apart: ours]
    """
    if max(sizes) > 1.0 + SLACK:
        raise ValueError(f"a piece of {max(sizes):g} does not go into a bin of 1")
    rows, place = np.unique(counts, axis=0, return_inverse=True)
    order = sorted(range(len(sizes)), key=lambda kind: -sizes[kind])
    found = np.array([_first_fit(row, sizes, order) for row in rows], dtype=np.int64)
    return found[place.reshape(-1)]


def _first_fit(row: IntArray, sizes: Sequence[float], order: Sequence[int]) -> int:
    """One piece of a kind per bin, so that each kind takes the first bins with room, as many as it has pieces."""
    left: list[float] = []
    for kind in order:
        open_ = [at for at, room in enumerate(left) if room >= sizes[kind] - SLACK][: int(row[kind])]
        for at in open_:
            left[at] -= sizes[kind]
        left += [1.0 - sizes[kind]] * (int(row[kind]) - len(open_))
    return len(left)
