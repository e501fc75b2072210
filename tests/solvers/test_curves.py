"""Monotone fits against brute force, and the properties that surfaces rely on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from solvers.curves import Curve, isotonic, left_out_errors, monotone_curve, monotone_grid, soft_maximum

positive = st.floats(0.01, 100.0)
samples = st.lists(positive, min_size=1, max_size=12)


@given(samples, st.data())
def test_isotonic_is_the_max_min_of_means(values: list[float], data: st.DataObject) -> None:
    weights = np.array(data.draw(st.lists(positive, min_size=len(values), max_size=len(values))))
    y = np.array(values)

    def mean(j: int, k: int) -> float:
        return float(np.average(y[j : k + 1], weights=weights[j : k + 1]))

    n = len(values)
    brute = [max(min(mean(j, k) for k in range(i, n)) for j in range(i + 1)) for i in range(n)]
    assert isotonic(y, weights) == pytest.approx(brute)


def test_isotonic_is_the_least_squares_optimum() -> None:
    y = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    steps = lsq_linear(np.tril(np.ones((6, 6))), y, bounds=([-np.inf] + [0.0] * 5, np.inf))
    assert isotonic(y) == pytest.approx(np.cumsum(steps.x), abs=1e-4)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=15), st.lists(st.floats(0, 300), min_size=2))
def test_a_curve_never_decreases(points: list[tuple[float, float]], at: list[float]) -> None:
    curve = monotone_curve(*zip(*points, strict=True))
    values = curve(np.sort(at))
    assert np.all(np.diff(values) >= -1e-9 * values.max())
    assert values.min() >= min(y for _, y in points) * (1 - 1e-12)


def test_a_curve_through_monotone_points_returns_them_and_follows_the_last_slope() -> None:
    curve = monotone_curve([4.0, 1.0, 2.0], [8.0, 2.0, 4.0])
    assert curve([0.0, 1.0, 3.0, 4.0, 10.0]) == pytest.approx([2.0, 2.0, 6.0, 8.0, 20.0])
    assert Curve(np.array([3.0]), np.array([7.0]))([1.0, 9.0]) == pytest.approx([7.0, 7.0])


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), positive), min_size=1, max_size=25))
def test_a_grid_never_decreases_along_either_axis(points: list[tuple[int, int, float]]) -> None:
    grid = monotone_grid(*zip(*points, strict=True))
    values = grid(np.linspace(0, 8, 9), np.linspace(0, 8, 9))
    slack = 1e-9 * values.max()
    assert np.all(np.diff(values, axis=0) >= -slack)
    assert np.all(np.diff(values, axis=1) >= -slack)


def test_a_grid_is_exact_on_a_bilinear_surface() -> None:
    rows, columns = np.meshgrid([1.0, 2.0, 4.0], [1.0, 3.0, 9.0], indexing="ij")
    grid = monotone_grid(rows.ravel(), columns.ravel(), (rows * columns).ravel())
    at_rows, at_columns = np.array([1.5, 3.0, 6.0]), np.array([2.0, 6.0, 18.0])
    assert grid(at_rows, at_columns) == pytest.approx(np.outer(at_rows, at_columns))


def test_left_out_errors_are_those_of_a_hand_calculation() -> None:
    assert left_out_errors([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0]) == pytest.approx([0.0, 0.0])
    assert left_out_errors([1, 2, 3], [1.0, 4.0, 9.0]) == pytest.approx([5.0 / 4.0 - 1.0])
    assert left_out_errors([1, 2], [1.0, 2.0]).size == 0


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(1, 40))
def test_a_soft_maximum_lies_between_maximum_and_sum(a: float, b: float, sharpness: float) -> None:
    value = float(soft_maximum(a, b, sharpness))
    assert max(a, b) <= value * (1 + 1e-12)
    assert value <= (a + b) * (1 + 1e-12)
    assert value == pytest.approx(float(soft_maximum(b, a, sharpness)))


def test_soft_maximum_of_3_and_4_is_5_at_sharpness_2() -> None:
    assert float(soft_maximum(3.0, 4.0, 2.0)) == pytest.approx(5.0)
