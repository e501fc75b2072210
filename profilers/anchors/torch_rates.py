"""The two anchors by torch, where it is installed: on a CUDA device, and for 16-bit matrices on a CPU."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from typing import Any

from profilers.anchors.memory import BYTES, Operation
from profilers.anchors.repeats import Task
from specs.errors import MissingHardwareError
from specs.host import AnchorPrecision, Unknown

# Matrices of a GPU: 16 bits, 0.5 GiB each for streaming, so that no L2 cache holds one (the largest is 126 MiB, NVIDIA
# B200, 2025); 8192 for products, where large kernels have reached their rate.
STREAM_ROWS = 16384
PRODUCT_SIZE = 8192
CPU_PRODUCT_SIZE = 2048
NEEDED_GIB = 3.0  # three streaming matrices, the products beside them
SHORTEST_S = 0.01  # a repeat on a GPU lasts at least so long: events resolve about half a microsecond (CUDA)
NOT_INSTALLED = "torch is not installed; install it, then measure again"
Torch = Any


def load_torch() -> Torch | None:
    """Return torch, imported, or None where it is not installed; raises `MissingHardwareError` where it is broken."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError) as error:
        cure = "Install a torch that fits this Python, or remove it: all else is measured without it."
        raise MissingHardwareError(f"torch is installed but does not load: {error}", cure=cure) from None


def cuda_devices(torch: Torch | None, unknown: Unknown) -> list[str]:
    """Return `cuda:0`, `cuda:1` … as far as torch can use them; refuses ROCm by name in ``unknown``."""
    if torch is None:
        return []
    if getattr(torch.version, "hip", None):
        unknown["gpus"] = f"ROCm is not supported (torch {torch.__version__} is built for HIP); NVIDIA GPUs are"
        return []
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def cpu_task(torch: Torch, threads: int) -> Task:
    """Return the task in which a CPU multiplies two bf16 matrices on ``threads`` threads."""
    left = torch.ones((CPU_PRODUCT_SIZE, CPU_PRODUCT_SIZE), dtype=torch.bfloat16)

    def run() -> float:
        torch.set_num_threads(threads)
        started = time.perf_counter()
        torch.mm(left, left)
        return time.perf_counter() - started

    what = f"bf16 matrices, {threads} thread{'s' * (threads > 1)}"
    return Task(what=what, amount=2.0 * CPU_PRODUCT_SIZE**3, run=run)


def stream_tasks(torch: Torch, device: str, rows: int = STREAM_ROWS) -> dict[Operation, Task]:
    """Return read (a matrix times a vector: how decode streams weights), copy and triad on ``device``."""
    first, second, third = (torch.ones((rows, rows), dtype=torch.bfloat16, device=device) for _ in range(3))
    vector = torch.ones(rows, dtype=torch.bfloat16, device=device)
    calls: dict[Operation, Callable[[], object]] = {
        "read": lambda: torch.mv(first, vector),
        "copy": lambda: third.copy_(first),
        "triad": lambda: torch.add(first, second, alpha=3, out=third),
    }
    moved = {operation: BYTES[operation] / 8 * first.element_size() * rows * rows for operation in calls}
    return {
        operation: timed_task(torch, device, f"{device} {operation}", moved[operation], call)
        for operation, call in calls.items()
    }


def product_tasks(torch: Torch, device: str, unknown: Unknown, size: int = PRODUCT_SIZE) -> dict[AnchorPrecision, Task]:
    """Return one task per precision that ``device`` multiplies; notes in ``unknown`` why the others cannot be told."""
    found: dict[AnchorPrecision, Task] = {}
    for precision, product in _products(torch, device, size).items():
        try:
            call = product()
            call()
            _finish(torch, device)
        except (RuntimeError, NotImplementedError, AttributeError, TypeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            unknown[f"{device}.compute.{precision}"] = f"torch {torch.__version__} refuses it here: {reason}"
            continue
        found[precision] = timed_task(torch, device, f"{device} {precision} matrices", 2.0 * size**3, call)
    return found


def free_gib(torch: Torch, device: str) -> float:
    """Return the free memory of a CUDA device in GiB."""
    return float(torch.cuda.mem_get_info(device)[0]) / 2**30


def _products(torch: Torch, device: str, size: int) -> Mapping[AnchorPrecision, Callable[[], Callable[[], object]]]:
    """Return, per precision, what makes the matrices and returns the call that multiplies them.

    Their entries are random, as weights are: equal ones flip fewer bits, draw less power, and leave the clocks higher.
    """

    def plain(kind: Any, tf32: bool = False) -> Callable[[], object]:
        left = torch.randn((size, size), device=device).to(kind)

        def call() -> object:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            return torch.mm(left, left)

        return call

    def fp8() -> Callable[[], object]:
        left = torch.randn((size, size), device=device).to(torch.float8_e4m3fn)
        one = torch.ones((), device=device)
        return lambda: torch._scaled_mm(left, left.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)

    def int8() -> Callable[[], object]:
        left = torch.randint(-64, 64, (size, size), dtype=torch.int8, device=device)
        return lambda: torch._int_mm(left, left.t())

    return {
        "fp32": lambda: plain(torch.float32),
        "tf32": lambda: plain(torch.float32, tf32=True),
        "fp16": lambda: plain(torch.float16),
        "bf16": lambda: plain(torch.bfloat16),
        "fp8": fp8,
        "int8": int8,
    }


def timed_task(torch: Torch, device: str, what: str, amount: float, call: Callable[[], object]) -> Task:
    """Return a task of so many calls that they last `SHORTEST_S`; ``amount`` is of one call."""
    call()
    once_s = _timed(torch, device, call, 1)
    calls = max(1, int(SHORTEST_S / max(once_s, 1e-7)) + 1)
    return Task(what=what, amount=amount * calls, run=lambda: _timed(torch, device, call, calls))


def _timed(torch: Torch, device: str, call: Callable[[], object], calls: int) -> float:
    """Return the seconds that ``calls`` calls take: by events of the device's own clock where it has one."""
    if not device.startswith("cuda"):
        started = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - started
    with torch.cuda.device(device):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(calls):
            call()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last)) / 1000.0


def _finish(torch: Torch, device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
