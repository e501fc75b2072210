"""Evidence in a folder: written profiles before tables, the deployed version before others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from profilers.importers.evidence import evidence_in
from specs.base import Metadata, Precision
from specs.catalog import find_device, find_model
from specs.errors import InputError
from specs.profile import LayerProfile, LayerProfileSpec, OperatorTable
from specs.writing import to_yaml

MODEL, DEVICE = find_model("llama-3.1-8b"), find_device("h100-sxm")
WRITTEN: tuple[tuple[str, Precision], ...] = (("0.14", "bf16"), ("0.19", "bf16"), ("0.19", "fp8"))
WANTED: tuple[tuple[str, Precision], ...] = (("0.19", "bf16"), ("9", "fp8"), ("0.19", "int8"))


def _profile(folder: Path, version: str, weights: Precision) -> None:
    table = OperatorTable(operator="qkv_proj", axes=("tokens",), points=((1.0,), (8.0,)), latency_us=(5.0, 6.0))
    spec = LayerProfileSpec(
        model=MODEL.name, device=DEVICE.name, engine="vllm", engine_version=version, weights=weights,
        source="test", tables=(table,),
    )  # fmt: skip
    document = LayerProfile(metadata=Metadata(name="p"), spec=spec)
    (folder / f"{version}-{weights}.yaml").write_text(to_yaml(document))


def test_the_deployed_version_comes_first_and_precision_must_agree(tmp_path: Path) -> None:
    for version, weights in WRITTEN:
        _profile(tmp_path, version, weights)
    find = evidence_in(tmp_path, DEVICE)
    exact, other, missing = (find(MODEL, "vllm", version, weights, "bf16") for version, weights in WANTED)
    assert exact is not None
    assert (exact.engine_version, exact.weights) == ("0.19", "bf16")
    assert other is not None
    assert (other.engine_version, other.weights) == ("0.19", "fp8")
    assert missing is None
    assert find(MODEL, "sglang", "0.19", "bf16", "bf16") is None


def test_tables_are_found_by_engine(reference_data: Callable[[str], Path]) -> None:
    folder = reference_data("op_profiles/aiconfigurator_h100_sxm_vllm-0.14.0_gemm_perf.parquet").parent
    find = evidence_in(folder, DEVICE)
    for engine, version in (("vllm", "0.14.0"), ("trtllm", "1.2.0rc5"), ("sglang", "0.5.6.post2")):
        found = find(MODEL, engine, "1", "bf16", "bf16")
        assert found is not None
        assert (found.engine, found.engine_version, found.basis) == (engine, version, "database")
    assert evidence_in(folder, find_device("l4"))(MODEL, "vllm", "0.14.0", "bf16", "bf16") is None


def test_a_folder_without_evidence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither layer profiles nor tables"):
        evidence_in(tmp_path, DEVICE)
    with pytest.raises(InputError, match="no folder of evidence"):
        evidence_in(tmp_path / "nope", DEVICE)
