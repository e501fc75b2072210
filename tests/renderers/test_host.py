"""The host's table shows what was told, and one spelling for what was not."""

from __future__ import annotations

import io

from rich.console import Console

from renderers.host import host_table
from specs.base import Metadata
from specs.host import (
    BandwidthAnchor,
    ComputeAnchor,
    Cpu,
    Disturbance,
    Frequency,
    GpuAnchors,
    HostMemory,
    HostProfile,
    HostProfileSpec,
    HostSystem,
    Limits,
    Noise,
)
from specs.profile import Machine

NOISE = Noise(repeats=35, blocks=7, spread=0.02, block_spread=0.31)
SPEC = HostProfileSpec(
    fingerprint="sha256:0123",
    machine=Machine(),
    system=HostSystem(),
    cpu=Cpu(architecture="x86_64", threads=2),
    memory=HostMemory(total_gib=8, available_gib=4),
    limits=Limits(cgroup="v2", cpus="0-1", cpu_cores=1.5, memory_gib=6),
    frequency=Frequency(),
    bandwidth=(
        BandwidthAnchor(
            operation="read", threads=2, array_mib=64, gb_per_s=20, low_gb_per_s=18, high_gb_per_s=22,
            best_gb_per_s=23, noise=NOISE, blocks_gb_per_s=((20.0,),),
        ),
    ),
    disturbance=Disturbance(seconds=9, others_share=0.42, steal_share=0.0),
    unknown={"frequency.driver": "no driver", "frequency.governor": "no driver", "numa": "no folder"},
)  # fmt: skip


def compute(precision: str, tflops: float, threads: int | None) -> ComputeAnchor:
    rates = {f"{name}tflops": tflops for name in ("", "low_", "high_", "best_")}
    fields = {"precision": precision, "threads": threads, "size": 1024, "library": "x", "noise": NOISE}
    return ComputeAnchor.model_validate({**fields, **rates, "blocks_tflops": ((tflops,),)})


def shown(spec: HostProfileSpec) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(host_table(HostProfile(metadata=Metadata(name="here"), spec=spec)))
    return console.export_text()


def test_what_cannot_be_told_is_said_once_per_reason() -> None:
    text = shown(SPEC)
    assert "cannot tell  frequency.driver, frequency.governor: no driver" in text
    assert "cannot tell  numa: no folder" in text
    assert "None" not in text


def test_limits_and_disturbance_are_shown() -> None:
    text = shown(SPEC)
    assert "cgroup v2: CPUs 0-1, 1.5 cores, memory 6 GiB" in text
    assert "disturbed: other processes took 42 % of the CPUs" in text
    assert "hypervisor's other guests" not in text


def test_rates_carry_their_range_best_and_spreads() -> None:
    row = next(line.split() for line in shown(SPEC).splitlines() if line.startswith("memory read"))
    assert row == ["memory", "read", "2", "20", "18–22", "23", "GB/s", "2", "%", "31", "%"]


def test_small_rates_are_in_gflops_and_those_of_a_gpu_in_tflops() -> None:
    gpu = GpuAnchors(name="NVIDIA Fake", index=0, compute=(compute("bf16", 790.0, None),))
    text = shown(SPEC.model_copy(update={"compute": (compute("fp32", 0.05, 1),), "gpus": (gpu,)}))
    rows = [line.split() for line in text.splitlines() if line.startswith("matrices")]
    assert rows[0][:6] == ["matrices", "fp32", "1", "50", "50–50", "50"]
    assert rows[0][6] == "GFLOP/s"
    assert (rows[1][1:3], rows[1][5]) == (["bf16", "790"], "TFLOP/s")
    assert "GPU 0: NVIDIA Fake" in text
