"""Usage of containers in the store: added night by night, beyond what a Prometheus keeps, and read back whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from profilers.store import add_samples, listing, open_store, samples_of
from specs.errors import InputError
from specs.trace import FloatArray
from specs.usage import Autoscaler, ContainerUsage, Given, Usage

PREFIX = "container "
MOST_KEPT = 20_000  # of each container: ten weeks of five minutes
GIVEN = ("cpu_request_cores", "cpu_limit_cores", "memory_request_bytes", "memory_limit_bytes")


def keep_usage(url: str | None, usage: Usage) -> int:
    """Add what is newer than the store has, per container, in one transaction; return how many moments were new.

    Raises `InputError` or `MissingHardwareError` where the store cannot be opened.
    """
    store = open_store(url)
    known = {one.series: one.last_s for one in listing(store).samples}
    rows = [row for one in usage.containers for row in _rows(one, known.get(_series(one), -math.inf))]
    add_samples(store, rows, keep=MOST_KEPT)
    return len(rows)


def stored_usage(url: str | None) -> Usage:
    """Return the usage of every container that the store has; raises `InputError` where it has none."""
    store = open_store(url, create=False)
    names = [one.series for one in listing(store).samples if one.series.startswith(PREFIX)]
    if not names:
        cure = "`tonnage plan rightsizing --prometheus URL --store URL` adds it."
        raise InputError(f"store {store.name}: has no usage of containers", cure=cure)
    return Usage(source=f"store {store.name}", containers=tuple(_container(n, samples_of(store, n)) for n in names))


def _series(usage: ContainerUsage) -> str:
    return f"{PREFIX}{usage.label}"


def _rows(usage: ContainerUsage, after_s: float) -> list[tuple[str, float, dict[str, Any]]]:
    rows = []
    for at, time_s in enumerate(usage.time_s):
        if time_s > after_s and np.isfinite(usage.cpu_cores[:, at]).any():
            rows.append((_series(usage), float(time_s), _figures(usage, at)))
    return rows


def _figures(usage: ContainerUsage, at: int) -> dict[str, Any]:
    """One moment: the replica that used most, how many there were, kills, and what was set."""
    time_s, step_s = usage.time_s[at], usage.step_s
    found: dict[str, Any] = {
        "cpu_cores": _most(usage.cpu_cores[:, at]), "memory_bytes": _most(usage.memory_bytes[:, at]),
        "replicas": None if usage.replicas is None else _known(usage.replicas[at]),
        "killed": int(((usage.killed_s > time_s - step_s) & (usage.killed_s <= time_s)).sum()),
        "started": int(((usage.started_s > time_s - step_s) & (usage.started_s <= time_s)).sum()),
        "surge_pods": usage.surge_pods, "away_pods": usage.away_pods, "step_s": step_s,
        **{name: getattr(usage.given, name) for name in GIVEN},
    }  # fmt: skip
    if usage.autoscaler is not None:
        found["autoscaler"] = [usage.autoscaler.target, usage.autoscaler.least, usage.autoscaler.most]
    return {name: value for name, value in found.items() if value not in (None, 0)}


def _most(values: FloatArray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else None


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _container(series: str, samples: list[tuple[float, dict[str, Any]]]) -> ContainerUsage:
    whole, _, container = series.removeprefix(PREFIX).rpartition(":")
    namespace, _, workload = whole.rpartition("/")
    last = samples[-1][1]
    step_s = float(last["step_s"])
    at = np.rint((np.array([time_s for time_s, _ in samples]) - samples[0][0]) / step_s).astype(np.int64)
    time_s: FloatArray = samples[0][0] + step_s * np.arange(int(at[-1]) + 1, dtype=np.float64)

    def laid(name: str) -> FloatArray:
        row = np.full(len(time_s), np.nan)
        row[at] = [figures.get(name, math.nan) for _, figures in samples]
        return row

    scaler = last.get("autoscaler")
    replicas = laid("replicas")
    return ContainerUsage(
        namespace=namespace or None, workload=workload, container=container, time_s=time_s, step_s=step_s,
        cpu_cores=laid("cpu_cores")[np.newaxis], memory_bytes=laid("memory_bytes")[np.newaxis], largest=True,
        replicas=replicas if np.isfinite(replicas).any() else None,
        given=Given(**{name: last.get(name) for name in GIVEN}),
        autoscaler=Autoscaler(target=scaler[0], least=scaler[1], most=scaler[2]) if scaler else None,
        surge_pods=last.get("surge_pods"), away_pods=last.get("away_pods"),
        killed_s=time_s[laid("killed") > 0], started_s=time_s[laid("started") > 0],
    )  # fmt: skip
