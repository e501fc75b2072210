"""Whether measured rates changed by more than their noise: rank intervals over blocks, several metrics at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Blocks = Sequence[Sequence[float]]
FloatArray = NDArray[np.float64]

FALSE_ALARMS = 0.01  # of a whole family of metrics, when nothing changed [ours]
MINIMUM_EFFECT = 0.03  # a smaller change is none worth a word: as large as blocks may disagree [ours]
AGREEMENT = 0.03  # blocks whose medians lie further apart cannot tell a change of 10 % [ours]
DETECTABLE = 0.10  # a pair that would not show a change of this size cannot be called steady [ours]
FEWEST_BLOCKS = 3  # on either side: two have no spread worth the name
RESOLUTION = 1e-4  # relative standard deviation below which blocks count as equal: rates keep four figures


@dataclass(frozen=True, kw_only=True)
class Change:
    """What two sets of blocks say of one metric.

    ``change``: after / before − 1, the Hodges–Lehmann estimate. ``p``: probability of such a difference where the true
    change is at most the minimum effect, before the correction for the family. ``smallest``: the smallest change of
    either sign that this pair could have shown; infinite where none. ``disagreement``: the range of block medians over
    their median, of the worse side. ``test``: `ranks`, `student` where blocks are too few for ranks, `none` where they
    are too few for anything.
    """

    outcome: Literal["steady", "moved", "too-noisy"]
    change: float
    p: float
    smallest: float
    disagreement: float
    test: Literal["ranks", "student", "none"]


def changes(
    pairs: Sequence[tuple[Blocks, Blocks]],
    *,
    false_alarms: float = FALSE_ALARMS,
    effect: float = MINIMUM_EFFECT,
    agreement: float = AGREEMENT,
) -> list[Change]:
    """Return one `Change` per pair (blocks before, blocks after), each block a list of repeats above 0.

    A block's median is one observation: repeats in a row agree with each other and not with later ones. The hypothesis
    is |ln(after / before)| ≤ ln(1 + ``effect``), tested by the exact Wilcoxon–Mann–Whitney distribution [std: Mann and
    Whitney, 1947], or, where the blocks are too few for ranks to reach the level that the family needs, by Student's t
    on logarithms with the variance of both sides [std: Student, 1908]. ``false_alarms`` bounds the probability of any
    false `moved` among all pairs, by Holm's step-down [std: Holm, 1979] over those that can be tested.

    A pair whose blocks disagree by more than ``agreement`` on either side is `too-noisy` whatever its difference; so
    is one that did not move where a change of ``DETECTABLE`` would have gone unseen.

    Raises ValueError for a side without blocks, an empty block or a rate that is not a finite number above 0.
    """
    medians = [(_log_medians(before), _log_medians(after)) for before, after in pairs]
    disagreements = [max(map(_disagreement, both)) for both in medians]
    usable = [
        spread <= agreement and min(map(len, both)) >= FEWEST_BLOCKS
        for both, spread in zip(medians, disagreements, strict=True)
    ]
    level = false_alarms / max(1, sum(usable))
    tested = [_compared(*both, math.log1p(effect), level) for both in medians]
    moved = holm([one.p if can else 1.0 for one, can in zip(tested, usable, strict=True)], false_alarms, sum(usable))
    return [
        Change(
            outcome=_outcome(can, far, one.smallest),
            change=math.expm1(one.shift),
            p=one.p,
            smallest=math.expm1(one.smallest) if math.isfinite(one.smallest) else math.inf,
            disagreement=spread,
            test=one.test,
        )
        for one, can, far, spread in zip(tested, usable, moved, disagreements, strict=True)
    ]


def _outcome(usable: bool, moved: bool, smallest: float) -> Literal["steady", "moved", "too-noisy"]:
    if usable and moved:
        return "moved"
    return "steady" if usable and smallest <= math.log1p(DETECTABLE) else "too-noisy"


def holm(p_values: Sequence[float], level: float, tests: int | None = None) -> list[bool]:
    """Return which hypotheses Holm's step-down rejects so that any false rejection has probability ≤ ``level`` [std].

    ``tests``: how many of ``p_values`` were tested at all, the others being 1; all of them by default.
    """
    left = len(p_values) if tests is None else tests
    rejected = [False] * len(p_values)
    for position in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        if left < 1 or p_values[position] > level / left:
            break
        rejected[position] = True
        left -= 1
    return rejected


@functools.cache
def rank_tail(first: int, second: int) -> tuple[float, ...]:
    """Return P(U ≥ u) for u = 0 … first·second: U counts the pairs in which the second sample is larger [std].

    Exact, for samples of one continuous distribution; by Mann and Whitney's recursion on the counts.
    """
    counts = np.array(_rank_counts(first, second), dtype=float)
    tail = np.cumsum(counts[::-1])[::-1] / math.comb(first + second, first)
    return tuple(float(p) for p in tail)


def _rank_counts(first: int, second: int) -> tuple[int, ...]:
    """Number of orders with each U: the Gaussian binomial, multiplied out factor by factor."""
    counts = [1] + [0] * (first * second)
    for i in range(1, second + 1):
        top = first + i
        for u in range(len(counts) - 1, top - 1, -1):  # times (1 − q^top)
            counts[u] -= counts[u - top]
        for u in range(i, len(counts)):  # over (1 − q^i)
            counts[u] += counts[u - i]
    return tuple(counts)


@dataclass(frozen=True)
class _Compared:
    shift: float  # of logarithms
    p: float
    smallest: float  # of logarithms
    test: Literal["ranks", "student", "none"]


def _compared(before: FloatArray, after: FloatArray, effect: float, level: float) -> _Compared:
    """Test one pair of logarithms of block medians; ``level`` is that of the family's first step."""
    differences = np.sort(np.subtract.outer(after, before), axis=None)[::-1]
    shift = float(np.median(differences))
    if min(len(before), len(after)) < FEWEST_BLOCKS:
        return _Compared(shift, 1.0, math.inf, "none")
    tail = rank_tail(len(before), len(after))
    if 2.0 * tail[-1] > level:
        return _student(before, after, shift, effect, level)
    up, down = (int(np.sum(sign * differences > effect)) for sign in (1, -1))
    needed = next(u for u, p in enumerate(tail) if 2.0 * p <= level)  # so many pairs must lie beyond the effect
    reach = max(shift - differences[needed - 1], differences[-needed] - shift)
    return _Compared(shift, min(1.0, 2.0 * tail[max(up, down)]), effect + float(reach), "ranks")


def _student(before: FloatArray, after: FloatArray, shift: float, effect: float, level: float) -> _Compared:
    from scipy.special import stdtr, stdtrit  # a third of a second that few comparisons need

    freedom = len(before) + len(after) - 2
    squares = sum(float(np.sum((side - np.mean(side)) ** 2)) for side in (before, after))
    error = max(math.sqrt(squares / freedom), RESOLUTION) * math.sqrt(1 / len(before) + 1 / len(after))
    beyond = abs(float(np.mean(after) - np.mean(before))) - effect
    p = min(1.0, 2.0 * float(stdtr(freedom, -beyond / error)))
    return _Compared(shift, p, effect - float(stdtrit(freedom, level / 2.0)) * error, "student")


def _log_medians(blocks: Blocks) -> FloatArray:
    if not len(blocks):
        raise ValueError("no blocks")
    medians = np.array([np.median(block) if len(block) else math.nan for block in blocks], dtype=float)
    if not (np.isfinite(medians).all() and (medians > 0).all()):
        raise ValueError("every block needs at least one rate, finite and above 0")
    logarithms: FloatArray = np.log(medians)
    return logarithms


def _disagreement(log_medians: FloatArray) -> float:
    medians = np.exp(log_medians)
    return float(np.ptp(medians) / np.median(medians))
