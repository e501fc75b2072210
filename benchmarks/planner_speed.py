"""CPU time of the largest problems that single planners are asked: lengths, layers on GPUs, and call graphs to read."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.line import Line, Result
from profilers.applications import read_application
from solvers.chain_partition import Chain, best_splits
from solvers.partitions import least_waste
from specs.errors import InputError

LINE = Line(
    name="planner-speed",
    what="a million distinct lengths into 8 buckets / 80 layers on 16 GPUs of 4 classes / a million calls refused and"
    " 100,000 read, CPU seconds, compiled",
    bar="≤ 3 s / ≤ 2 s / ≤ 5 s",
    data="drawn",
)
BARS = {"partition": 3.0, "placement": 2.0, "refused": 5.0, "read": 5.0}
HEAD = """apiVersion: tonnage/v1
kind: Application
metadata: {name: drawn}
spec:
  services:
    - {name: a, service_time: {mean_s: 0.01}}
    - {name: b, service_time: {mean_s: 0.01}}
  entries:
    - {service: a, rate_per_s: 1}
  calls:
"""


def run() -> Result:
    """Compile on small problems, then time the large ones."""
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(6.0, 1.5, 1_000_000)
    least_waste(lengths[:10], 2)
    best_splits(_chain(rng, 8))
    large = _chain(rng, 80)
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "partition": _seconds(lambda: least_waste(lengths, 8)),
            "placement": _seconds(lambda: best_splits(large)),
            "refused": _seconds(lambda: _refused(_written(Path(folder), 1_000_000))),
            "read": _seconds(lambda: read_application(_written(Path(folder), 100_000))),
        }
    return Result(
        holds=all(found[name] <= bar for name, bar in BARS.items()),
        text=f"{found['partition']:.1f} s / {found['placement']:.2f} s / {found['refused']:.1f}, {found['read']:.1f} s",
        figures={f"{name}_cpu_s": seconds for name, seconds in found.items()},
        detail=tuple({"problem": name, "cpu_s": found[name], "bar": bar} for name, bar in BARS.items()),
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _chain(rng: np.random.Generator, layers: int) -> Chain:
    return Chain(
        cost=rng.uniform(1, 3, (4, layers)), size=np.ones((4, layers)), capacity=np.array([6.0, 10.0, 16.0, 26.0]),
        available=np.full(4, 4), between=rng.uniform(0, 1, (4, 4)), within=rng.uniform(0, 0.1, (4, 4)), most=16,
    )  # fmt: skip


def _written(folder: Path, calls: int) -> Path:
    path = folder / f"{calls}.yaml"
    path.write_text(HEAD + "".join(f"    - {{caller: a, callee: b, stage: {i % 7}}}\n" for i in range(calls)))
    return path


def _refused(path: Path) -> None:
    try:
        read_application(path)
    except InputError:
        return
    raise AssertionError("a million calls were read, above the limit")
