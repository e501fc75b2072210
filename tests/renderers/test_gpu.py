"""The GPUs' table shows each GPU, what is wrong with it, and what a watch saw."""

from __future__ import annotations

import io

from rich.console import Console

from renderers.gpu import gpu_table
from specs.base import Metadata
from specs.gpu import GpuMemoryReading, GpuProcess, GpuProfile, GpuProfileSpec, GpuReading, GpuWatch, Watched
from specs.profile import Machine

LOST = GpuReading(index=1, unknown={"gpu": "the GPU has fallen off the bus"})
READING = GpuReading(
    index=0,
    name="NVIDIA Fake",
    memory=GpuMemoryReading(total_gib=80, used_gib=20, free_gib=60),
    processes=(GpuProcess(pid=7, kind="compute"),),
    unknown={"busy_share": "this GPU does not support it while MIG is on"},
)


def shown(*gpus: GpuReading, watch: tuple[GpuWatch, ...] = ()) -> str:
    spec = GpuProfileSpec(fingerprint="sha256:0", machine=Machine(), gpus=gpus, watch=watch)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(gpu_table(GpuProfile(metadata=Metadata(name="gpus"), spec=spec)))
    return console.export_text()


def test_a_lost_gpu_is_one_line_and_the_others_are_whole() -> None:
    text = shown(READING, LOST)
    assert "GPU 1: cannot tell: the GPU has fallen off the bus" in text
    assert "20.00 of 80.00 GiB used" in text
    assert "7 cannot tell (compute): cannot tell" in text
    assert "cannot tell  busy_share: this GPU does not support it while MIG is on" in text
    assert "None" not in text


def test_a_machine_without_gpus_says_none() -> None:
    assert shown().strip() == "0 GPUs, driver cannot tell, CUDA up to cannot tell"


def test_a_watch_shows_figures_reasons_and_failures() -> None:
    figure = Watched(mean=312.5, low=80, high=700, p50=300, p95=690)
    watch = GpuWatch(
        index=0, samples=60, failed=2, failure="the driver did not answer in its time", seconds=62,
        figures={"power_w": figure}, throttled_share={"software_power_cap": 0.25},
    )  # fmt: skip
    text = shown(READING, watch=(watch,))
    row = next(line.split() for line in text.splitlines() if "power" in line and "312.5" in line)
    assert row == ["0", "62", "60", "power", "312.5", "300", "690", "80", "700", "W"]
    assert "GPU 0 held down by: software_power_cap 25 % of the samples" in text
    assert "GPU 0: 2 readings failed: the driver did not answer in its time" in text
