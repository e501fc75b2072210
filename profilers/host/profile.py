"""The profile of a host: what it says of itself, and its anchors on one core, on all cores and on its GPUs."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from profilers.anchors.blas import PRECISIONS, SIZE, Library, compute_anchor, loaded_library, multiply_task, one_thread
from profilers.anchors.crew import Crew, crew
from profilers.anchors.memory import BYTES, array_mib, bandwidth_anchor, bandwidth_tasks
from profilers.anchors.repeats import Blocks, OnProgress, Task, interleave
from profilers.anchors.torch_rates import CPU_PRODUCT_SIZE, NOT_INSTALLED, Torch, cpu_task, load_torch
from profilers.host.cpu import last_level_mib, physical_cores
from profilers.host.disturbance import disturbance, moment
from profilers.host.frequency import NO_DRIVER, clock_mhz
from profilers.host.gpus import gpu_anchors
from profilers.host.limits import usable_cpus
from profilers.host.reading import ROOT, HostReading, host_fingerprint, read_host, this_machine
from specs.base import Metadata
from specs.host import BandwidthAnchor, ComputeAnchor, Disturbance, Frequency, HostProfile, HostProfileSpec, Unknown

COMMAND = "tonnage profile host"
BUDGET_S = 20.0  # after which no new block starts
LOAD_S = 0.5  # a core multiplies for so long before its clock is read
NO_BLAS = "no BLAS whose threads can be set is loaded by numpy (OpenBLAS, MKL and BLIS can)"


class Measured(NamedTuple):
    """The anchors of the CPU and what disturbed them."""

    bandwidth: tuple[BandwidthAnchor, ...]
    compute: tuple[ComputeAnchor, ...]
    disturbance: Disturbance


def profile_host(on_progress: OnProgress, *, root: Path = ROOT) -> HostProfile:
    """Read and measure this host and, by torch where it is installed, its GPUs.

    Takes about `BUDGET_S` seconds, uses every core that this process may run on, and raises `MissingHardwareError`
    where torch is installed but broken.
    """
    host = read_host(root)
    torch = load_torch()
    unknown = dict(host.unknown)
    cpus = usable_cpus(host.limits, physical_cores(root))
    frequency = loaded_clocks(host.frequency, root, cpus, unknown)
    measured = measure(host, cpus, torch, unknown, on_progress)
    gpus = gpu_anchors(torch, root, unknown, on_progress)
    machine = this_machine(COMMAND, packages=("numpy", "numba", "psutil", "torch"))
    noise = [one.noise for one in measured.bandwidth] + [one.noise for one in measured.compute]
    of_anchors = {"repeats": noise[0].repeats, "noise": round(statistics.median(one.spread for one in noise), 4)}
    spec = HostProfileSpec(
        fingerprint=host_fingerprint(host),
        machine=machine.model_copy(update=of_anchors),
        gpus=gpus,
        **{**host._asdict(), "frequency": frequency, "unknown": unknown},
        **measured._asdict(),
    )
    return HostProfile(metadata=Metadata(name=_name(host), created=machine.date), spec=spec)


def measure(
    host: HostReading, cpus: Sequence[int], torch: Torch | None, unknown: Unknown, on_progress: OnProgress
) -> Measured:
    """Return the anchors of one and of all ``cpus``, interleaved, and what else happened meanwhile."""
    library = loaded_library()
    if library is None:
        unknown["compute.fp32"] = NO_BLAS
    if torch is None:
        unknown["compute.bf16"] = NOT_INSTALLED
    size_mib = array_mib(last_level_mib(host.cpu.caches), _free_mib(host))
    before = moment()
    with ExitStack() as stack:
        crews = [stack.enter_context(crew(chosen)) for chosen in _crews(cpus)]
        if library is not None:
            stack.enter_context(one_thread(library))
        rates = interleave(_tasks(crews, size_mib, library, torch), budget_s=BUDGET_S, on_progress=on_progress)
    disturbed = disturbance(before, moment(), os.sysconf("SC_CLK_TCK"))
    bandwidth, compute = _anchors(rates, size_mib, library, torch)
    return Measured(bandwidth, compute, disturbed)


def _anchors(
    rates: Mapping[tuple[Any, int], Blocks], size_mib: float, library: Library | None, torch: Torch | None
) -> tuple[tuple[BandwidthAnchor, ...], tuple[ComputeAnchor, ...]]:
    makers = dict.fromkeys(PRECISIONS, (SIZE, library.name)) if library else {}
    by_torch = {"bf16": (CPU_PRODUCT_SIZE, f"torch {torch.__version__}")} if torch else {}
    made: dict[Any, tuple[int, str]] = {**makers, **by_torch}
    bandwidth = [
        bandwidth_anchor(what, threads, size_mib, blocks) for (what, threads), blocks in rates.items() if what in BYTES
    ]
    compute = [
        compute_anchor(what, threads, *made[what], blocks) for (what, threads), blocks in rates.items() if what in made
    ]
    return tuple(bandwidth), tuple(compute)


def loaded_clocks(frequency: Frequency, root: Path, cpus: Sequence[int], unknown: Unknown) -> Frequency:
    """Add the clocks at idle, with one core at work and with all; notes in ``unknown`` where the kernel tells none."""
    idle = clock_mhz(root, cpus)
    library = loaded_library()
    if idle is None or library is None:
        for name in ("idle_mhz", "one_core_mhz", "all_cores_mhz"):
            unknown[f"frequency.{name}"] = NO_DRIVER if idle is None else NO_BLAS
        return frequency
    with one_thread(library):
        one, several = (_busy_clock(root, chosen) for chosen in (cpus[:1], cpus))
    return frequency.model_copy(update={"idle_mhz": idle, "one_core_mhz": one, "all_cores_mhz": several})


def _busy_clock(root: Path, cpus: Sequence[int]) -> float | None:
    with crew(cpus) as workers, ThreadPoolExecutor(1) as beside:
        task = multiply_task(workers, "fp32")
        until = time.monotonic() + LOAD_S

        def work() -> None:
            while time.monotonic() < until:
                task.run()

        working = beside.submit(work)
        time.sleep(LOAD_S * 0.8)
        clock = clock_mhz(root, cpus)
        working.result()
    return clock


def _crews(cpus: Sequence[int]) -> list[Sequence[int]]:
    return [cpus[:1], cpus] if len(cpus) > 1 else [cpus]


def _tasks(
    crews: Sequence[Crew], size_mib: float, library: Library | None, torch: Torch | None
) -> dict[tuple[Any, int], Task]:
    found: dict[tuple[Any, int], Task] = {}
    for one in crews:
        threads = len(one.workers)
        found |= {(operation, threads): task for operation, task in bandwidth_tasks(one, size_mib).items()}
        if library is not None:
            found |= {(precision, threads): multiply_task(one, precision) for precision in PRECISIONS}
        if torch is not None:
            found["bf16", threads] = cpu_task(torch, threads)
    return found


def _name(host: HostReading) -> str:
    words = re.findall(r"[a-z0-9]+", (host.cpu.model or host.cpu.architecture).lower())
    return "-".join([*words, f"{host.cpu.cores or host.cpu.threads}c"])


def _free_mib(host: HostReading) -> float:
    free = host.memory.available_gib
    return 1024 * min(free, host.limits.memory_gib or free)
