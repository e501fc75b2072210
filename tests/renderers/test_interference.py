"""An interference estimate as a table: alarms first, then sensitivities, scores and evidence."""

from __future__ import annotations

import pytest

from predictors.interference import estimate_interference
from renderers.interference import interference_table
from specs.interference import InterferenceEstimate
from tests.predictors.interference.worlds import rows


@pytest.fixture(scope="module")
def estimate() -> InterferenceEstimate:
    return estimate_interference("rows", rows(windows=25))


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits(estimate: InterferenceEstimate, width: int) -> None:
    assert max(map(len, interference_table(estimate, width).split("\n"))) <= width


def test_the_accuracy_is_defined_where_it_is_shown(estimate: InterferenceEstimate) -> None:
    text = interference_table(estimate, 100)
    assert "accuracy: 1 − mean |predicted / measured − 1| over rows held out" in text
    assert "boosted trees" in text
    assert "application mean" in text
    assert "evidence  slowdown: measured" in text
