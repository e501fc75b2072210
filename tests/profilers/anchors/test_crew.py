"""A crew pins its members, starts them together, and waits for the last."""

from __future__ import annotations

import os
import threading

import pytest

from profilers.anchors.crew import crew


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin threads")
def test_every_member_has_its_cpu_and_the_caller_keeps_its_own() -> None:
    mine = os.sched_getaffinity(0)
    cpus = sorted(mine)[:2]
    found: dict[int, set[int]] = {}
    with crew(cpus) as members:
        members.all(lambda worker: found.update({worker: os.sched_getaffinity(0)}))
    assert found == {number: {cpu} for number, cpu in enumerate(cpus)}
    assert os.sched_getaffinity(0) == mine


def test_members_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=20)
    cpu = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    with crew([cpu, cpu]) as members:
        assert members.all(lambda worker: meeting.wait()) > 0


def test_what_a_member_raises_comes_out() -> None:
    def fail(worker: int) -> None:
        raise ZeroDivisionError

    with crew([0]) as members, pytest.raises(ZeroDivisionError):
        members.all(fail)
