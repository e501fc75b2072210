"""A run that is paused and goes on is the run that never paused, and a controller changes what its steps take."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.serving import ClosedLoop, Control, Run, Window, simulate
from specs.errors import InputError
from tests.predictors.serving.worlds import chat, pool, requests, surface, unit_surface


def same(one: Run, other: Run) -> None:
    for name in ("ttft_s", "e2e_s", "longest_gap_s", "tokens", "status", "gap_counts"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_allclose(one.replicas.busy_s, other.replicas.busy_s, rtol=1e-12)


@pytest.mark.parametrize("period_s", [0.05, 1.0, 7.3])
@pytest.mark.parametrize("replicas", [1, 3])
def test_pauses_change_nothing(period_s: float, replicas: int) -> None:
    step, asked = surface(), chat(300, 8.0)
    control = Control(family=(step.tokens_s,), decide=lambda _: (0, 0), period_s=period_s)
    same(
        simulate(asked, pool(step, replicas=replicas)), simulate(asked, pool(step, replicas=replicas), control=control)
    )
    assert sum(len(window.ttft_s) for window in control.windows) == len(asked)


def test_pauses_change_nothing_where_lanes_depend_on_each_other() -> None:
    step, asked = surface(), chat(200, 8.0)
    loop = ClosedLoop(concurrency=20)
    control = Control(family=(step.tokens_s,), decide=lambda _: (0, 0), period_s=0.5)
    same(simulate(asked, pool(step), closed_loop=loop), simulate(asked, pool(step), closed_loop=loop, control=control))


def test_a_level_holds_for_the_steps_that_start_in_its_period() -> None:
    """Steps of a second, of half a second from the second period on."""
    step = unit_surface()

    def decide(windows: list[Window]) -> tuple[int, int]:
        return (1, 1)

    control = Control(family=(step.tokens_s, step.tokens_s / 2), decide=decide, period_s=4.5)
    run = simulate(requests([0.0], [10], [9]), pool(step), control=control)
    assert run.e2e_s[0] == pytest.approx(5 * 1.0 + 4 * 0.5)
    assert [window.levels for window in control.windows] == [(0, 0), (1, 1)]
    assert [int(window.gap_counts.sum()) for window in control.windows] == [3, 5]


def test_prefill_and_decode_have_levels_of_their_own() -> None:
    step = unit_surface()
    family = (step.tokens_s, step.tokens_s / 4)
    for start, ttft_s, e2e_s in (((0, 1), 1.0, 1.0 + 3 * 0.25), ((1, 0), 0.25, 0.25 + 3.0)):
        control = Control(family=family, decide=lambda windows: windows[-1].levels, period_s=100.0, start=start)
        run = simulate(requests([0.0], [10], [4]), pool(step), control=control)
        assert (run.ttft_s[0], run.e2e_s[0]) == pytest.approx((ttft_s, e2e_s))


def test_a_family_that_is_too_short_is_refused() -> None:
    step = unit_surface()
    control = Control(family=(step.tokens_s[:100],), decide=lambda _: (0, 0), period_s=1.0)
    with pytest.raises(InputError, match="family"):
        simulate(requests([0.0], [10], [4]), pool(step), control=control)
