"""Interpolators reproduce what was measured, stay monotone, and refuse tables of another shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from predictors.step_time.tables import ProfileTables, curve_of, grid_of, isotonic
from specs.errors import InputError
from specs.profile import LayerProfileSpec, OperatorTable

LATENCIES = st.lists(st.floats(0.1, 1e4), min_size=2, max_size=30)


@given(values=LATENCIES)
def test_pooling_agrees_with_scipy(values: list[float]) -> None:
    expected = isotonic_regression(np.array(values)).x
    assert isotonic(np.array(values)) == pytest.approx(expected, rel=1e-9)


@given(values=LATENCIES, x=st.lists(st.floats(0, 1e5), min_size=2, max_size=20))
def test_a_curve_never_falls_inside_or_beyond_its_points(values: list[float], x: list[float]) -> None:
    points = tuple((float(i + 1),) for i in range(len(values)))
    curve = curve_of(OperatorTable(operator="norm", axes=("tokens",), points=points, latency_us=tuple(values)))
    seconds = curve(np.sort(x))
    assert (np.diff(seconds) >= -1e-12 * seconds.max()).all()


def test_a_curve_passes_through_monotone_points() -> None:
    table = OperatorTable(
        operator="o_proj", axes=("tokens",), points=((1,), (8,), (64,)), latency_us=(10.0, 12.0, 40.0)
    )
    assert curve_of(table)(np.array([1.0, 8.0, 64.0, 36.0])) == pytest.approx([10e-6, 12e-6, 40e-6, 26e-6])


def test_a_grid_is_bilinear_and_grows_along_both_axes() -> None:
    points = tuple((b, c) for b in (1.0, 4.0) for c in (100.0, 200.0))
    table = OperatorTable(
        operator="decode_attention", axes=("batch", "context_tokens"), points=points, latency_us=(10, 20, 40, 80)
    )
    values = grid_of(table)(np.array([1.0, 2.5, 4.0]), np.array([100.0, 150.0, 200.0]))
    assert values[:, 1] == pytest.approx([15e-6, 37.5e-6, 60e-6])
    assert (np.diff(values, axis=0) >= 0).all()
    assert (np.diff(values, axis=1) >= 0).all()


def test_tables_are_found_by_operator_and_degree() -> None:
    table = OperatorTable(operator="norm", tp=2, axes=("tokens",), points=((1,), (2,)), latency_us=(1, 2))
    profile = LayerProfileSpec(
        model="m", device="d", engine="vllm", engine_version="0.19", source="test", tables=(table,)
    )
    tables = ProfileTables(profile)
    assert tables.degrees == (2,)
    assert tables.curve("norm", 1) is None
    assert tables.curve("norm", 2) is not None
    assert tables.extent("norm", 2) == 2


def test_a_table_with_the_wrong_axes_is_refused() -> None:
    table = OperatorTable(operator="norm", axes=("tokens",), points=((1,), (2,)), latency_us=(1, 2))
    with pytest.raises(InputError, match="2 expected"):
        grid_of(table)
