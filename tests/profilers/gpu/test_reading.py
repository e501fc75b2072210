"""Every figure is read where the driver tells it, and named with the reason where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from profilers.gpu import profile_gpus
from specs.gpu import GpuReading
from tests.profilers.gpu.conftest import Machine


def readings() -> tuple[GpuReading, ...]:
    return profile_gpus(None, lambda samples: None, lambda done, total, what: None).spec.gpus


def test_everything_is_told_of_a_healthy_gpu(machine: Machine) -> None:
    machine(f"gpus=2,pid={os.getpid()}")
    gpu, _ = readings()
    assert (gpu.name, gpu.uuid, gpu.compute_capability) == ("NVIDIA Fake", "GPU-0-0", "9.0")
    assert gpu.memory is not None
    assert (gpu.memory.total_gib, gpu.memory.used_gib, gpu.memory.free_gib, gpu.memory.reserved_gib) == (80, 20, 59, 1)
    assert (gpu.busy_share, gpu.memory_busy_share) == (0.37, 0.12)
    assert (gpu.clocks.sm_mhz, gpu.clocks.max_sm_mhz, gpu.clocks.memory_mhz) == (1755, 1980, 2619)
    assert (gpu.power.draw_w, gpu.power.limit_w, gpu.power.temperature_c) == (312.5, 700, 54)
    assert (gpu.pcie.generation, gpu.pcie.max_generation, gpu.pcie.width) == (1, 5, 16)
    assert gpu.throttle_reasons == ("software_power_cap", "hardware_thermal", "bit_11")
    assert gpu.mig is None
    assert gpu.unknown == {}


def test_processes_have_their_name_and_memory_where_they_are_told(machine: Machine) -> None:
    machine(f"pid={os.getpid()}")
    mine, elsewhere = readings()[0].processes
    assert (mine.pid, mine.name) == (os.getpid(), Path("/proc/self/comm").read_text().strip())
    assert (mine.memory_gib, mine.kind, mine.gpu_instance) == (18.0, "compute", None)
    assert (elsewhere.pid, elsewhere.name, elsewhere.memory_gib) == (4000000, None, None)


def test_nvlinks_are_counted_by_what_they_lead_to(machine: Machine) -> None:
    machine("gpus=2")
    first, second = readings()
    assert [(peer.kind, peer.gpu, peer.links, peer.version) for peer in first.nvlink] == [
        ("gpu", 1, 2, 4),
        ("switch", None, 2, 4),
    ]
    assert second.nvlink[0].gpu == 0
    assert second.nvlink[0].bus_id == first.pcie.bus_id


def test_a_gpu_without_nvlink_has_no_peers_and_no_gap(machine: Machine) -> None:
    machine("nvlink=0")
    (gpu,) = readings()
    assert gpu.nvlink == ()
    assert gpu.unknown == {}


@pytest.mark.parametrize(
    ("fault", "reason"), [("lost", "off the bus"), ("gone", "off the bus"), ("denied", "may not read")]
)
def test_a_gpu_that_is_not_to_be_had_leaves_the_others(machine: Machine, fault: str, reason: str) -> None:
    machine(f"gpus=3,{fault}=1")
    first, bad, last = readings()
    assert bad == GpuReading(index=1, unknown={"gpu": bad.unknown["gpu"]})
    assert reason in bad.unknown["gpu"]
    assert first.unknown == last.unknown == {}


def test_mig_hides_some_figures_and_shows_its_instances(machine: Machine) -> None:
    machine("gpus=2,mig=1")
    plain, sliced = readings()
    assert (plain.mig, sliced.mig) == ("disabled", "enabled")
    assert set(sliced.unknown) == {"busy_share", "memory_busy_share", "power.temperature_c"}
    assert all("while MIG is on" in reason for reason in sliced.unknown.values())
    assert [(one.index, one.uuid, one.gpu_instance, one.multiprocessors) for one in sliced.mig_instances] == [
        (0, "MIG-1-1", 7, 16),
        (2, "MIG-1-3", 9, 16),
    ]
    assert all(one.memory is not None and one.memory.total_gib == 10 for one in sliced.mig_instances)


def test_an_old_driver_is_asked_the_old_way(machine: Machine, old_library: Path) -> None:
    machine("gpus=2", at=old_library)
    gpu = readings()[0]
    assert gpu.memory is not None
    assert (gpu.memory.used_gib, gpu.memory.reserved_gib) == (21, None)
    assert "older and lacks it; it is part of what is used" in gpu.unknown["memory.reserved_gib"]
    assert gpu.throttle_reasons[0] == "software_power_cap"
    assert len(gpu.processes) == 2
    assert [peer.kind for peer in gpu.nvlink] == ["unknown", "unknown"]
    assert set(gpu.unknown) == {"memory.reserved_gib", "nvlink.kind"}


def test_another_version_of_a_structure_is_stepped_around(machine: Machine) -> None:
    machine("wrong_version=1")
    (gpu,) = readings()
    assert gpu.memory is not None
    assert gpu.memory.used_gib == 21
    assert set(gpu.unknown) == {"memory.reserved_gib"}


def test_processes_that_may_not_be_listed_are_said_to_be_hidden(machine: Machine) -> None:
    machine("hide_processes=1")
    (gpu,) = readings()
    assert gpu.processes == ()
    assert gpu.unknown == {"processes.compute": "this user may not read it"}
