"""The anchors of the GPUs of a host, where torch can reach them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from profilers.anchors.blas import compute_anchor
from profilers.anchors.memory import BYTES, bandwidth_anchor
from profilers.anchors.repeats import OnProgress, Task, interleave
from profilers.anchors.torch_rates import (
    NEEDED_GIB,
    NOT_INSTALLED,
    PRODUCT_SIZE,
    STREAM_ROWS,
    Torch,
    cuda_devices,
    free_gib,
    product_tasks,
    stream_tasks,
)
from specs.host import BandwidthAnchor, ComputeAnchor, GpuAnchors, Unknown

BUDGET_S = 15.0  # of one GPU, after which no new block starts


def gpu_anchors(torch: Torch | None, root: Path, unknown: Unknown, on_progress: OnProgress) -> tuple[GpuAnchors, ...]:
    """Return the anchors of every GPU that torch reaches; notes in ``unknown`` why one has none."""
    if torch is None:
        if (root / "dev/nvidia0").exists():
            unknown["gpus"] = NOT_INSTALLED
        return ()
    found = []
    for index, device in enumerate(cuda_devices(torch, unknown)):
        free = free_gib(torch, device)
        if free < NEEDED_GIB:
            unknown[f"gpus.{index}"] = f"{free:.1f} GiB of its memory are free and {NEEDED_GIB:g} are needed"
            continue
        bandwidth, compute = one_device(torch, device, unknown, on_progress)
        name = torch.cuda.get_device_name(device)
        found.append(GpuAnchors(name=name, index=index, bandwidth=bandwidth, compute=compute))
        torch.cuda.empty_cache()
    return tuple(found)


def one_device(
    torch: Torch,
    device: str,
    unknown: Unknown,
    on_progress: OnProgress,
    *,
    rows: int = STREAM_ROWS,
    size: int = PRODUCT_SIZE,
    budget_s: float = BUDGET_S,
) -> tuple[tuple[BandwidthAnchor, ...], tuple[ComputeAnchor, ...]]:
    """Return the anchors of one torch device: streaming over matrices of ``rows``², products of ``size``²."""
    streams, products = stream_tasks(torch, device, rows), product_tasks(torch, device, unknown, size)
    rates = interleave({**_keyed(streams), **_keyed(products)}, budget_s=budget_s, on_progress=on_progress)
    mib, library = rows**2 * 2 / 2**20, f"torch {torch.__version__}"
    bandwidth = tuple(bandwidth_anchor(operation, None, mib, rates[operation]) for operation in BYTES)
    compute = tuple(compute_anchor(precision, None, size, library, rates[precision]) for precision in products)
    return bandwidth, compute


def _keyed(tasks: Mapping[Any, Task]) -> dict[Any, Task]:
    """Return the tasks under keys of any kind: operations and precisions share no name."""
    return dict(tasks)
