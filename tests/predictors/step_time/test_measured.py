"""The surface of an engine's profile is its step model, and the profile serves only the deployment that it is of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.deployment import compile_deployment, serve
from predictors.serving import ClosedLoop, Requests
from predictors.step_time.measured import measured_surface
from profilers.named import step_profile
from profilers.store import add_profile, open_store
from specs.base import Metadata
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec, Engine, Parallel
from specs.engine import EngineProfile, EngineProfileSpec, Fit, ServerFacts, StepModel, StepRange
from specs.errors import InputError
from specs.writing import to_yaml

STEPS = StepModel(
    base_s=0.01, tokens=(0, 1, 256, 512), tokens_s=(0, 0, 0.02, 0.03), per_sequence_s=2e-4, per_context_token_s=3e-7,
    per_prompt_s=1e-3, per_attended_pair_s=1e-9,
)  # fmt: skip
MODEL, DEVICE = find_model("llama-3.1-8b"), find_device("h100-sxm")
ENGINE = Engine(name="vllm", version="0.19", max_num_seqs=32, max_num_batched_tokens=512, max_model_len=4096)
DEPLOYMENT = DeploymentSpec(model="llama-3.1-8b", device="h100-sxm", engine=ENGINE)


def profile(**changes: object) -> EngineProfileSpec:
    given = {
        "model": "llama-3.1-8b", "device": "h100-sxm", "engine": "vllm", "engine_version": "0.19.1", "source": "test",
        "steps": STEPS, "range": StepRange(tokens=512, sequences=32, context_tokens=10_000),
        "fit": Fit(seen="probes", observations=100, folds=5, block_steps=16, error=0.05, bias=0, median_step_error=0.1),
    }  # fmt: skip
    return EngineProfileSpec(**{**given, **changes})


@given(st.integers(1, 1500), st.floats(1, 32), st.floats(1, 4000))
def test_the_surface_is_the_model(tokens: int, batch: float, context: float) -> None:
    surface = measured_surface(STEPS, max_num_seqs=32, max_num_batched_tokens=1500)
    expected = 0.02 * (tokens - 1) / 255 if tokens <= 256 else 0.02 + 0.01 * (tokens - 256) / 256
    assert surface.tokens_s[tokens] == pytest.approx(0.01 + expected)
    rows = [np.interp(context, surface.decode_context_grid, row) for row in surface.decode_attention_s]
    assert np.interp(batch, surface.decode_batch_grid, rows) == pytest.approx(3e-7 * batch * context)


def one_request(compiled_profile: EngineProfileSpec, prompt: int, output: int) -> tuple[float, float]:
    compiled = compile_deployment(MODEL, DEVICE, DEPLOYMENT, profile=compiled_profile)
    request = Requests(arrival_s=np.zeros(1), prompt_tokens=np.array([prompt]), output_tokens=np.array([output]))
    run = serve(compiled, request)
    return float(run.ttft_s[0]), float(run.e2e_s[0])


def test_one_request_takes_its_steps_and_its_overhead() -> None:
    ttft_s, e2e_s = one_request(profile(request_overhead_s=0.005), 256, 3)
    assert ttft_s == pytest.approx(0.005 + 0.01 + 0.02 + 2e-4 + 1e-3 + 1e-9 * 256**2 / 2, rel=1e-3)
    assert e2e_s - ttft_s == pytest.approx(2 * (0.01 + 2e-4) + 3e-7 * (256 + 257), rel=1e-2)


def test_the_overhead_slows_a_closed_loop() -> None:
    requests = Requests(arrival_s=np.zeros(8), prompt_tokens=np.full(8, 64), output_tokens=np.full(8, 4))
    spans = []
    for overhead_s in (0.0, 0.1):
        compiled = compile_deployment(MODEL, DEVICE, DEPLOYMENT, profile=profile(request_overhead_s=overhead_s))
        spans.append(serve(compiled, requests, closed_loop=ClosedLoop(concurrency=1)).span_s)
    assert spans[1] - spans[0] == pytest.approx(0.8, rel=0.01)


def test_a_measured_kv_cache_replaces_the_ledger() -> None:
    found = compile_deployment(MODEL, DEVICE, DEPLOYMENT, profile=profile(server=ServerFacts(kv_cache_tokens=8000)))
    assert found.pools[0].limits.kv_blocks == 500


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "qwen3-8b"}, "model is qwen3-8b"),
        ({"device": "l4"}, "device is l4"),
        ({"parallel": Parallel(tp=2)}, "parallel is tp=2"),
        ({"weights": "fp8"}, "weights is fp8"),
    ],
)
def test_another_deployment_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        compile_deployment(MODEL, DEVICE, DEPLOYMENT, profile=profile(**changes))


def test_another_version_widens_the_interval_and_larger_limits_are_noted() -> None:
    same, other = (
        compile_deployment(MODEL, DEVICE, DEPLOYMENT, profile=profile(engine_version=version)).step_times[0]
        for version in ("0.19.9", "0.18.0")
    )
    assert same.relative_error == 0.05 < other.relative_error
    small = profile(range=StepRange(tokens=100, sequences=4, context_tokens=100))
    notes = compile_deployment(MODEL, DEVICE, DEPLOYMENT, profile=small).step_times[0].range_notes
    assert len(notes) == 2


def test_a_profile_is_found_by_its_file_and_in_the_store(tmp_path: Path) -> None:
    document = EngineProfile(metadata=Metadata(name="x"), spec=profile())
    (tmp_path / "engine.yaml").write_text(to_yaml(document))
    assert step_profile("engine.yaml", tmp_path) == document.spec
    url = str(tmp_path / "store.db")
    identity = add_profile(open_store(url), document)
    assert step_profile(identity[:20], store=url) == document.spec
