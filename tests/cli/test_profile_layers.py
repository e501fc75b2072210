"""`tonnage profile layers`: what it refuses and how; with torch, a profile that a prediction rests on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from profilers.layers import profile as layers
from specs.profile import LayerProfile
from specs.reading import read_document
from tests.cli.conftest import Tonnage

TINY = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 256, "vocab_size": 512, "max_position_embeddings": 512,
    "torch_dtype": "float32", "tie_word_embeddings": False,
}  # fmt: skip
DEVICE = """apiVersion: tonnage/v1
kind: Device
metadata: {name: cpu}
spec:
  name: cpu
  architecture: cpu
  sm_count: 1
  boost_clock_mhz: 3000
  l2_cache_mib: 32
  power_limit_w: 100
  memory_gib: 16
  memory_bandwidth_gb_per_s: 15
  peak_tflops: {bf16: 0.2, fp16: 0.1, fp32: 0.1}
  links: {pcie_gb_per_s: 10}
  accuracy_claim: false
"""
DEPLOYMENT = """apiVersion: tonnage/v1
kind: Deployment
metadata: {name: one-cpu}
spec:
  model: tiny/config.json
  device: cpu.yaml
  profile: layers.yaml
  engine: {max_num_seqs: 8, max_num_batched_tokens: 256, max_model_len: 512, cuda_graphs: false}
"""
LOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {name: trickle}
spec:
  model: tiny/config.json
  arrivals: {rate_per_s: 1.0, duration_s: 60}
  lengths: {prompt_tokens: {uniform: [64, 128]}, output_tokens: {uniform: [16, 32]}}
  slo: {attainment: 0.9, ttft_s: {p99: 5.0}}
"""


@pytest.fixture(autouse=True)
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONNAGE_STORE", str(folder / "store.db"))
    (folder / "tiny").mkdir()
    (folder / "tiny" / "config.json").write_text(json.dumps(TINY))
    for name, text in (("cpu", DEVICE), ("dep", DEPLOYMENT), ("load", LOAD)):
        (folder / f"{name}.yaml").write_text(text)


def test_without_torch_it_says_how_to_install_it(tonnage: Tonnage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profilers.devices.find_spec", lambda name: None)
    result = tonnage("profile", "layers", "tiny/config.json", "--device", "cpu")
    assert result.exit_code == 4
    assert "pip install 'tonnage[torch]'" in result.stderr


def test_without_a_driver_it_names_the_cpu(tonnage: Tonnage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profilers.devices.find_spec", lambda name: object())
    monkeypatch.setattr("profilers.devices.CUDA_LIBRARY", "libno-such-driver.so.1")
    result = tonnage("profile", "layers", "tiny/config.json")
    assert result.exit_code == 4
    assert "no NVIDIA driver: libno-such-driver.so.1 is not found" in result.stderr
    assert "use --device cpu" in result.stderr


@pytest.mark.extras
def test_without_a_gpu_it_names_the_cpu(tonnage: Tonnage, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("profilers.devices.refuse_absent", lambda device: None)
    monkeypatch.setattr(layers, "cuda_devices", lambda torch, unknown: [])
    result = tonnage("profile", "layers", "tiny/config.json")
    assert result.exit_code == 4
    assert "use --device cpu" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tiny/config.json", "--tp", "3"), "--tp: 3 does not divide the 4 attention heads"),
        (("tiny/config.json", "--budget", "soon"), "--budget: found 'soon'"),
        (("llama-3.1-70b-fp8",), "only bf16, fp16 and fp32 layers are measured"),
    ],
)
def test_what_cannot_be_measured_is_the_askers_to_change(
    tonnage: Tonnage, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("profilers.devices.refuse_absent", lambda device: None)  # told with torch and without
    result = tonnage("profile", "layers", *arguments, "--device", "cpu")
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.extras
def test_a_prediction_rests_on_the_profile(tonnage: Tonnage, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("profilers.layers.document.REFUSED_ERROR", 10.0)  # whatever else runs beside this test
    result = tonnage("profile", "layers", "tiny/config.json", "--device", "cpu", "--budget", "4s", "-w", "layers.yaml")
    assert result.exit_code == 0, result.stderr
    assert not list(folder.glob("*.partial.json"))
    spec = read_document(folder / "layers.yaml", LayerProfile).spec
    assert (spec.device, spec.engine, spec.basis) == ("cpu", "torch", "measured")
    assert spec.noise is not None
    assert {phase.phase for phase in spec.memory} >= {"weights", "tokens", "decode"}
    predicted = tonnage("predict", "serving", "dep.yaml", "load.yaml", "-o", "json")
    assert predicted.exit_code == 0, predicted.stderr
    evidence = {one["quantity"]: one["basis"] for one in json.loads(predicted.stdout)["evidence"]}
    assert evidence["step_time"] == "measured"
