"""Bins: against every way to pack small cases, and by what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.bins import bins_needed


def fewest(pieces: list[tuple[int, float]], bins: list[tuple[frozenset[int], float]], best: int) -> int:
    """The optimum by trying every bin for every piece."""
    if len(bins) >= best:
        return best
    if not pieces:
        return len(bins)
    (kind, size), rest = pieces[0], pieces[1:]
    for at, (kinds, room) in enumerate(bins):
        if room >= size - 1e-9 and kind not in kinds:
            filled = [*bins[:at], (kinds | {kind}, room - size), *bins[at + 1 :]]
            best = min(best, fewest(rest, filled, best))
    return min(best, fewest(rest, [*bins, (frozenset({kind}), 1.0 - size)], best))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.2, 0.25, 0.4, 0.5, 0.6, 1.0])), min_size=1, max_size=3))
def test_no_fewer_than_the_optimum_and_hardly_more(kinds: list[tuple[int, float]]) -> None:
    sizes = [size for _, size in kinds]
    found = int(bins_needed(np.array([[count for count, _ in kinds]]), sizes)[0])
    pieces = sorted(
        ((kind, size) for kind, (count, size) in enumerate(kinds) for _ in range(count)), key=lambda x: -x[1]
    )
    optimum = fewest(pieces, [], len(pieces) + 1) if pieces else 0
    assert optimum <= found <= optimum + 1


def test_equal_parts_fill_their_bins_and_one_kind_stays_apart() -> None:
    counts = np.array([[1, 1, 1, 1], [2, 2, 2, 2], [3, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert bins_needed(counts, [0.5] * 4).tolist() == [2, 4, 3, 0, 2]
    assert bins_needed(np.array([[4, 4]]), [0.25, 0.75]).tolist() == [4]


def test_a_piece_larger_than_a_bin_is_refused() -> None:
    with pytest.raises(ValueError, match="does not go into a bin"):
        bins_needed(np.array([[1]]), [1.5])
