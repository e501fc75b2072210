"""What containers used, from whichever source: a table, a History document, or a running Prometheus."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from profilers.history import read_history_file
from profilers.importers.usage_tables import read_usage_table
from specs.errors import InputError
from specs.history import Recorded, Samples
from specs.reading import sha256
from specs.usage import ContainerUsage, Usage

TABLES = (".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz", ".ndjson")


def read_usage(path: Path) -> Usage:
    """Read a table of usage (CSV, JSON lines, Parquet) or a `History` (YAML); raises `InputError`."""
    if path.name.lower().endswith(TABLES):
        return read_usage_table(path)
    recorded = read_history_file(path)
    return usage_of(recorded, path.name, {path.name: f"sha256:{sha256(path).removeprefix('sha256:')}"})


def usage_of(recorded: Recorded, source: str, inputs: dict[str, str]) -> Usage:
    """Turn a history into usage: by workload, the replica that used most where that is known."""
    by: dict[tuple[str | None, str], dict[str, Samples]] = {}
    for one in recorded.series:
        by.setdefault((one.namespace, one.workload), {})[one.quantity] = one
    found = [_workload(name, series, recorded) for name, series in sorted(by.items(), key=str)]
    kept = tuple(one for one in found if one is not None)
    if not kept:
        raise InputError(f"{source}: no workload has CPU and memory", cure="Read it again with CPU and memory metrics.")
    missing = tuple(f"{one.quantity}: {one.why}" for one in recorded.missing)
    left = len(found) - len(kept)
    return Usage(
        source=source, containers=kept, inputs=inputs,
        missing=(*missing, *([f"{left} workloads lack CPU or memory"] if left else [])),
    )  # fmt: skip


def _workload(name: tuple[str | None, str], series: dict[str, Samples], recorded: Recorded) -> ContainerUsage | None:
    largest = "cpu_cores_largest" in series and "memory_bytes_largest" in series
    ending = "_largest" if largest else ""
    cpu, memory = series.get(f"cpu_cores{ending}"), series.get(f"memory_bytes{ending}")
    if cpu is None or memory is None:
        return None
    replicas = series["replicas"].values if "replicas" in series else None
    each = 1.0 if largest or replicas is None else np.where(replicas > 0, replicas, np.nan)
    return ContainerUsage(
        namespace=name[0], workload=name[1], container=name[1], time_s=recorded.time_s, step_s=recorded.step_s,
        cpu_cores=(cpu.values / each)[np.newaxis], memory_bytes=(memory.values / each)[np.newaxis], largest=largest,
        replicas=replicas,
        notes=() if largest else ("of all replicas together only the mean is known",),
    )  # fmt: skip
