"""What others used of the CPUs is what was busy less what this process used."""

from __future__ import annotations

import time

import pytest

from profilers.host.disturbance import Moment, disturbance, moment


def test_shares_are_of_all_cpu_time() -> None:
    before = Moment(100.0, 5.0, (1000, 0, 100, 5000, 0, 0, 0, 10))
    after = Moment(110.0, 9.0, (1900, 0, 200, 5900, 50, 0, 0, 60))  # 2000 ticks: 900 + 100 busy, 50 stolen
    found = disturbance(before, after, 100.0)
    assert (found.seconds, found.steal_share) == (10.0, 0.025)
    assert found.others_share == pytest.approx((1000 - 400) / 2000)


def test_a_counter_that_is_not_there_is_not_made_up() -> None:
    found = disturbance(Moment(1.0, 0.0, ()), Moment(2.0, 1.0, ()), 100.0)
    assert (found.others_share, found.steal_share) == (None, None)


def test_a_process_alone_is_not_disturbed_by_itself() -> None:
    before = Moment(0.0, 0.0, (0,) * 8)
    after = Moment(1.0, 2.0, (199, 0, 0, 0, 0, 0, 0, 0))
    assert disturbance(before, after, 100.0).others_share == 0.0


def test_the_counters_of_this_machine_move_forward() -> None:
    first = moment()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    second = moment()
    assert second.own_s > first.own_s
    assert sum(second.ticks) >= sum(first.ticks)
