"""The test of change against enumeration, scipy, and simulated runs with and without a change."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from solvers.change import AGREEMENT, changes, holm, rank_tail


def run(
    generator: np.random.Generator, blocks: int = 7, *, scale: float = 1.0, noise: float = 0.006
) -> list[list[float]]:
    levels = scale * np.exp(noise * generator.standard_normal(blocks))
    return [list(level * np.exp(0.01 * generator.standard_normal(5))) for level in levels]


@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 3), (4, 3), (5, 4)])
def test_ranks_follow_the_enumeration_of_every_order(first: int, second: int) -> None:
    found = np.zeros(first * second + 1)
    for chosen in itertools.combinations(range(first + second), second):
        others = [i for i in range(first + second) if i not in chosen]
        found[sum(a > b for a in chosen for b in others)] += 1
    tail = np.cumsum(found[::-1])[::-1] / found.sum()
    assert rank_tail(first, second) == pytest.approx(tail)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_without_a_minimum_effect_p_is_scipys(seed: int) -> None:
    generator = np.random.default_rng(seed)
    before, after = generator.uniform(1, 1.02, 7), generator.uniform(1, 1.02, 8)
    found = changes([([[x] for x in before], [[x] for x in after])], effect=0.0)[0]
    assert found.test == "ranks"
    assert found.p == pytest.approx(stats.mannwhitneyu(before, after, method="exact").pvalue)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 4))
def test_few_blocks_are_tested_by_student(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    before, after = generator.uniform(1, 1.02, count), generator.uniform(1, 1.02, 3)
    found = changes([([[x] for x in before], [[x] for x in after])], effect=0.0)[0]
    assert found.test == "student"
    assert found.p == pytest.approx(stats.ttest_ind(np.log(before), np.log(after), equal_var=True).pvalue)


def test_holm_rejects_step_by_step() -> None:
    assert holm([0.04, 0.001, 0.02, 0.013], 0.05) == [True, True, True, True]
    assert holm([0.04, 0.001, 0.03, 0.3], 0.05) == [False, True, False, False]
    assert holm([0.02, 1.0, 1.0], 0.05, tests=1) == [True, False, False]
    assert holm([], 0.05) == []


def test_false_alarms_of_a_family_stay_below_the_level() -> None:
    """Twelve metrics whose true change is the minimum effect itself: the worst case that may not raise an alarm."""
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(300):
        family = [(run(generator, noise=0.004), run(generator, noise=0.004, scale=1.03)) for _ in range(12)]
        alarms += any(one.outcome == "moved" for one in changes(family))
    assert alarms <= stats.binom.isf(0.001, 300, 0.01)


@pytest.mark.parametrize(("before", "after", "metrics"), [(7, 7, 10), (3, 7, 10), (7, 7, 24)])
def test_a_tenth_slower_is_found_where_blocks_agree(before: int, after: int, metrics: int) -> None:
    generator = np.random.default_rng(2)
    found = usable = 0
    for _ in range(200):
        family = [(run(generator, before), run(generator, after)) for _ in range(metrics - 1)]
        slower = changes([(run(generator, before), run(generator, after, scale=1 / 1.1)), *family])[0]
        usable += slower.outcome != "too-noisy"
        found += slower.outcome == "moved"
    assert usable > 120
    assert found >= 0.95 * usable


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 2.0))
def test_disagreeing_blocks_are_too_noisy_whatever_the_change(seed: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    wild = [*run(generator, 6), [1.1] * 5]
    found = changes([(run(generator, noise=0.001), wild), (wild, run(generator, noise=0.001, scale=scale))])
    assert [one.outcome for one in found] == ["too-noisy", "too-noisy"]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 9), st.integers(3, 9), st.integers(1, 20))
def test_the_smallest_detectable_change_is_detected_and_a_smaller_one_is_not(
    seed: int, first: int, second: int, metrics: int
) -> None:
    generator = np.random.default_rng(seed)
    before, after = run(generator, first, noise=0.003), run(generator, second, noise=0.003)
    plain = changes([(before, after)] * metrics)[0]
    assume(plain.disagreement <= AGREEMENT)
    if plain.test == "student":  # its estimate is the mean, not the Hodges–Lehmann one
        centre = np.mean([math.log(np.median(b)) for b in after]) - np.mean([math.log(np.median(b)) for b in before])
        centred = [[rate / math.exp(centre) for rate in block] for block in after]
    else:
        centred = [[rate / (1 + plain.change) for rate in block] for block in after]
    for factor, expected in ((1.001, "moved"), (0.99, "steady")):
        scale = (1 + plain.smallest) * factor
        scaled = [[rate * scale for rate in block] for block in centred]
        lowered = [[rate / scale for rate in block] for block in centred]
        outcomes = {changes([(before, side)] * metrics)[0].outcome for side in (scaled, lowered)}
        assert ("moved" in outcomes) == (expected == "moved")


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_before_and_after_may_be_exchanged(seed: int) -> None:
    generator = np.random.default_rng(seed)
    one, other = run(generator), run(generator, 9, scale=1.05)
    there, back = changes([(one, other)])[0], changes([(other, one)])[0]
    assert there.p == pytest.approx(back.p)
    assert (1 + there.change) * (1 + back.change) == pytest.approx(1)
    assert there.smallest == pytest.approx(back.smallest)


def test_too_few_blocks_tell_nothing() -> None:
    found = changes([([[1.0], [1.0]], [[2.0]] * 7)])[0]
    assert (found.outcome, found.test, found.smallest) == ("too-noisy", "none", math.inf)


def test_equal_blocks_show_a_plain_change() -> None:
    assert changes([([[1.0]] * 3, [[0.9]] * 3)])[0].outcome == "moved"
    assert changes([([[1.0]] * 7, [[1.0]] * 7)])[0].outcome == "steady"


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="finite and above 0"):
        changes([([[1.0]] * 3, [[rate]] * 3)])
