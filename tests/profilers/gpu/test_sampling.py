"""A watch keeps its pace, its memory and its head: late rounds, lost GPUs, Ctrl-C, a store that fails."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.gpu import watch_seconds
from profilers.gpu.nvml import session
from profilers.gpu.sampling import RING, Tally, watch
from specs.errors import InputError
from specs.gpu import GpuSample, GpuWatch
from tests.profilers.gpu.conftest import Machine

START_S = 1_700_000_000.0


class Time:
    """A clock that moves by what is slept, and by ``slow_s`` at every look: a machine that is busy."""

    def __init__(self, slow_s: float = 0.0, interrupt_at_s: float = math.inf) -> None:
        self.now_s, self.slow_s, self.interrupt_at_s = 0.0, slow_s, interrupt_at_s

    def clock(self) -> float:
        self.now_s += self.slow_s
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.interrupt_at_s:
            raise KeyboardInterrupt


def watched(seconds: float, time: Time) -> tuple[tuple[GpuWatch, ...], list[GpuSample]]:
    samples: list[GpuSample] = []

    def keep(some: Sequence[GpuSample]) -> None:
        samples.extend(some)

    with session() as handles:
        found = watch(
            handles, seconds, keep, lambda done, total, what: None,
            clock=time.clock, sleep=time.sleep, started_s=START_S,
        )  # fmt: skip
    return found, samples


def test_every_gpu_is_sampled_at_a_steady_pace(machine: Machine) -> None:
    machine("gpus=2")
    found, samples = watched(5.0, Time())
    assert [one.time_s - START_S for one in samples if one.uuid == "GPU-1-0"] == [0, 1, 2, 3, 4]
    assert [(one.samples, one.failed, one.seconds) for one in found] == [(5, 0, 5.0)] * 2
    power = found[0].figures["power_w"]
    assert (power.mean, power.low, power.high, power.p50, power.p95) == (312.5,) * 5
    assert found[0].throttled_share == {"bit_11": 1.0, "hardware_thermal": 1.0, "software_power_cap": 1.0}


def test_a_late_round_is_not_made_up_for(machine: Machine) -> None:
    machine()
    _, samples = watched(20.0, Time(slow_s=0.8))
    times = [one.time_s for one in samples]
    assert times == sorted(times)
    assert min(np.diff(times)) >= 1.0
    assert 5 <= len(times) <= 10


def test_ctrl_c_ends_a_watch_and_keeps_what_was_seen(machine: Machine) -> None:
    machine()
    found, samples = watched(math.inf, Time(interrupt_at_s=7.0))
    assert len(samples) == found[0].samples == 7
    assert found[0].seconds == 7.0


def test_a_gpu_that_is_lost_midway_leaves_the_others_watched(machine: Machine) -> None:
    machine("gpus=2,lost_after=3")
    (lost, well), _ = watched(10.0, Time())
    assert (lost.samples, lost.failed, well.samples, well.failed) == (3, 7, 10, 0)
    assert "off the bus" in str(lost.failure)


def test_a_gpu_that_was_lost_before_is_counted_as_failing(machine: Machine) -> None:
    machine("gpus=2,gone=0")
    (gone, well), samples = watched(3.0, Time())
    assert (gone.samples, gone.failed, gone.uuid, well.samples) == (0, 3, None, 3)
    assert len(samples) == 3


def test_what_mig_hides_is_left_out_of_the_samples(machine: Machine) -> None:
    machine("mig=0")
    (found,), samples = watched(2.0, Time())
    assert samples[0].busy_share is None
    assert set(found.figures) == {"memory_used_gib", "power_w", "sm_mhz"}


def test_a_store_that_fails_ends_the_watch(machine: Machine) -> None:
    machine()

    def full(some: Sequence[GpuSample]) -> None:
        raise InputError("the disk is full")

    time = Time()
    with session() as handles, pytest.raises(InputError, match="full"):
        watch(handles, 9.0, full, lambda done, total, what: None, clock=time.clock, sleep=time.sleep)


def test_memory_does_not_grow_with_the_length_of_a_watch() -> None:
    tally = Tally()
    for value in range(3 * RING):
        tally.add(float(value))
    assert len(tally.newest) == RING
    seen = tally.watched()
    assert (tally.count, seen.low, seen.high, seen.mean) == (3 * RING, 0, 3 * RING - 1, (3 * RING - 1) / 2)
    assert seen.p50 == pytest.approx(2 * RING + (RING - 1) / 2)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=RING))
def test_a_tally_agrees_with_numpy(values: list[float]) -> None:
    tally = Tally()
    for value in values:
        tally.add(value)
    seen = tally.watched()
    assert (seen.low, seen.high) == (min(values), max(values))
    assert seen.mean == pytest.approx(np.mean(values))
    assert seen.p95 == pytest.approx(np.percentile(values, 95))
    assert seen.low <= seen.mean <= seen.high


@pytest.mark.parametrize(("asked", "seconds"), [("60", 60.0), ("0.5", 0.5), ("forever", math.inf)])
def test_a_watch_is_asked_for_in_seconds_or_forever(asked: str, seconds: float) -> None:
    assert watch_seconds(asked) == seconds


@pytest.mark.parametrize("asked", ["0", "-1", "nan", "inf", "soon", ""])
def test_any_other_watch_is_refused(asked: str) -> None:
    with pytest.raises(InputError, match="expected seconds above 0, or `forever`"):
        watch_seconds(asked)
