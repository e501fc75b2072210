"""Stores in a temporary folder, and documents to put into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from profilers.store import Store, open_store
from specs.base import Metadata
from specs.plan import Evidence, ServingPlan, Status
from specs.profile import LayerProfile, LayerProfileSpec, Machine, OperatorTable


def layer_profile(name: str = "lab", latency_us: tuple[float, ...] = (5.0, 7.5), **machine: str) -> LayerProfile:
    points = tuple((float(i + 1),) for i in range(len(latency_us)))
    table = OperatorTable(operator="o_proj", axes=("tokens",), points=points, latency_us=latency_us)
    spec = LayerProfileSpec(
        model="llama-3.1-8b", device="h100-sxm", engine="vllm", engine_version="0.19", source="a test",
        machine=Machine.model_validate(machine), tables=(table,),
    )  # fmt: skip
    return LayerProfile(metadata=Metadata(name=name), spec=spec)


def serving_plan(name: str = "chat", *profiles: str, inputs: dict[str, str] | None = None) -> ServingPlan:
    evidence = tuple(Evidence(quantity="step_time", basis="measured", source="a test", profile=one) for one in profiles)
    return ServingPlan(
        metadata=Metadata(name=name, inputs=inputs or {}),
        status=Status(outcome="optimal", reason="a test"),
        evidence=evidence,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Store:
    return open_store(str(path))
