"""Usage from a History, and usage that the store keeps night by night."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from profilers.history import write_history
from profilers.usage import read_usage
from profilers.usage_store import keep_usage, stored_usage
from specs.errors import InputError
from specs.history import Recorded, Samples
from specs.usage import Autoscaler, Usage
from tests.planners.rightsizing.usages import usage

TIME_S = 1.8e9 + 300.0 * np.arange(500, dtype=np.float64)


def recorded(*quantities: str) -> Recorded:
    series = tuple(
        Samples(workload="cart", namespace="shop", quantity=name, values=np.full(500, 2.0 + at))  # type: ignore[arg-type]
        for at, name in enumerate(quantities)
    )
    return Recorded(source="tests", time_s=TIME_S, step_s=300.0, series=series)


def test_a_history_gives_the_largest_replica(tmp_path: Path) -> None:
    write_history(recorded("cpu_cores_largest", "memory_bytes_largest", "replicas", "cpu_cores"), tmp_path / "h.yaml")
    (one,) = read_usage(tmp_path / "h.yaml").containers
    assert (one.label, one.largest) == ("shop/cart:cart", True)
    assert one.cpu_cores[0, 0] == 2.0
    assert one.replicas is not None


def test_without_it_the_mean_replica_counts_and_that_is_said(tmp_path: Path) -> None:
    write_history(recorded("cpu_cores", "memory_bytes", "replicas"), tmp_path / "h.yaml")
    (one,) = read_usage(tmp_path / "h.yaml").containers
    assert one.cpu_cores[0, 0] == pytest.approx(0.5)
    assert "only the mean" in one.notes[0]


def test_a_history_without_memory_is_refused(tmp_path: Path) -> None:
    write_history(recorded("cpu_cores"), tmp_path / "h.yaml")
    with pytest.raises(InputError, match="no workload has CPU and memory"):
        read_usage(tmp_path / "h.yaml")


def test_the_store_gives_back_what_was_kept_and_adds_only_what_is_new(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    whole = usage(2.0, replicas=2, autoscaler=Autoscaler(target=0.5, least=1, most=4))
    whole = dataclasses.replace(
        whole, surge_pods=2.0, away_pods=1.0, killed_s=whole.time_s[[50]], replicas=np.full(len(whole.time_s), 2.0)
    )
    early = dataclasses.replace(
        whole, time_s=whole.time_s[:100], cpu_cores=whole.cpu_cores[:, :100], memory_bytes=whole.memory_bytes[:, :100],
        replicas=np.full(100, 2.0),
    )  # fmt: skip
    assert keep_usage(url, Usage(source="tests", containers=(early,))) == 100
    assert keep_usage(url, Usage(source="tests", containers=(whole,))) == len(whole.time_s) - 100
    (found,) = stored_usage(url).containers
    assert (found.label, found.given, found.autoscaler) == (whole.label, whole.given, whole.autoscaler)
    assert found.cpu_cores[0] == pytest.approx(whole.cpu_cores.max(axis=0))
    assert found.killed_s.tolist() == whole.killed_s.tolist()
    assert (found.surge_pods, found.away_pods) == (2.0, 1.0)


def test_a_store_without_usage_says_how_it_comes_in(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    keep_usage(url, Usage(source="tests", containers=()))
    with pytest.raises(InputError, match="no usage of containers"):
        stored_usage(url)
