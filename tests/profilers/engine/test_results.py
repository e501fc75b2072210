"""Steps fitted to result files and logs predict runs that the fit has not seen; files that cannot serve are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from planners.check import check_measured
from predictors.serving import EngineLimits, Pool, Requests, simulate
from predictors.step_time.measured import measured_surface
from profilers.engine import Labels, profile_results
from profilers.engine.fitting import predicted_s
from profilers.engine.stepping import Step, as_windows
from specs.engine import EngineProfile, StepModel
from specs.errors import InputError
from specs.writing import to_yaml

TINY = Labels(
    model="model_tiny", engine="vllm", engine_version="0.32.0", max_num_batched_tokens=512, kv_cache_tokens=131072
)  # fmt: skip
HEAD = "arrival_s,prompt_tokens,output_tokens,ttft_s,tpot_s\n"


def profiled(*paths: Path, labels: Labels = TINY) -> EngineProfile:
    return profile_results(paths, labels, lambda done, total, what: None)


def test_requests_of_a_known_engine_give_its_steps_back(tmp_path: Path) -> None:
    truth = StepModel(
        base_s=0.01, tokens=(0, 1, 512), tokens_s=(0, 0, 0.03), per_sequence_s=2e-4, per_context_token_s=3e-7
    )  # fmt: skip
    rng = np.random.default_rng(0)
    count = 400
    requests = Requests(
        arrival_s=np.cumsum(rng.exponential(0.25, count)), prompt_tokens=rng.integers(20, 500, count),
        output_tokens=rng.integers(8, 60, count),
    )  # fmt: skip
    limits = EngineLimits(max_num_seqs=32, max_num_batched_tokens=512, kv_blocks=10_000)
    surface = measured_surface(truth, max_num_seqs=32, max_num_batched_tokens=512)
    run = simulate(requests, Pool(surface=surface, limits=limits))
    columns = (requests.arrival_s, requests.prompt_tokens, requests.output_tokens, run.ttft_s, run.tpot_s)
    rows = zip(*columns, strict=True)
    (tmp_path / "run.csv").write_text(HEAD + "".join(",".join(map(str, row)) + "\n" for row in rows))
    found = profiled(tmp_path / "run.csv").spec
    for chunks, contexts in (([], [200]), ([], [200] * 6), ([256], []), ([256], [200] * 3)):
        step = Step(0, 1, False, contexts=contexts, finishing=[0] * len(chunks), chunks=[(new, 0) for new in chunks])
        known, fitted = (
            predicted_s(one, 0.0, as_windows([step], np.array(one.tokens)))[0] for one in (truth, found.steps)
        )  # fmt: skip
        assert fitted == pytest.approx(known, rel=0.08)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("few.csv", HEAD + "0,10,5,0.1,0.01\n", "12 are needed"),
        ("steps.csv", "context_requests,context_tokens,generation_requests,elapsed_ms\n1,5,0,-3\n", "step 1: negative"),
        ("steps.csv", "context_requests,context_tokens,generation_requests,elapsed_ms\n1,5,0,x\n", "step 1: negative"),
        ("run.json", '{"completed": 3}', "not a known result file"),
        ("other.csv", "a,b\n1,2\n", "missing column"),
    ],
)
def test_files_that_cannot_serve_are_refused(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=told):
        profiled(tmp_path / name)


def test_the_model_must_be_named_and_files_be_of_one_kind(tmp_path: Path) -> None:
    (tmp_path / "steps.csv").write_text("context_requests,context_tokens,generation_requests,elapsed_ms\n1,5,0,3\n")
    (tmp_path / "run.csv").write_text(HEAD + "0,10,5,0.1,0.01\n")
    with pytest.raises(InputError, match="needs --model"):
        profiled(tmp_path / "run.csv", labels=Labels())
    with pytest.raises(InputError, match="cannot be fitted together"):
        profiled(tmp_path / "run.csv", tmp_path / "steps.csv")


def test_a_list_that_was_cut_is_refused(reference_data: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="lists 20 of its 60 requests"):
        profiled(reference_data("engine_samples") / "vllm_bench_serve.json")


def deployment(folder: Path, model: Path, profile: EngineProfile) -> Path:
    (folder / "engine.yaml").write_text(to_yaml(profile))
    (folder / "deployment.yaml").write_text(
        "apiVersion: tonnage/v1\nkind: Deployment\nmetadata: {name: tiny}\nspec:\n"
        f"  model: {model}\n  device: l4\n  profile: engine.yaml\n"
        "  engine: {name: vllm, version: '0.32', max_num_seqs: 16, max_num_batched_tokens: 512, "
        "block_size_tokens: 128, max_model_len: 2048}\n"
    )
    return folder / "deployment.yaml"


def test_a_calibration_predicts_real_runs_about_as_far_as_the_machine_drifts(
    reference_data: Callable[[str], Path], tmp_path: Path
) -> None:
    samples = reference_data("engine_samples")
    profile = profiled(samples / "steps_calibration.csv")
    document = deployment(tmp_path, samples / "model_tiny", profile)
    lines = (samples / "requests_all_runs.csv").read_text().splitlines()
    errors = []
    for run in ("r1_a", "r2_s1a", "r2_s2b", "r3_a", "r4_a"):
        chosen = [line for line in lines if f",{run}," in line]
        (tmp_path / f"{run}.csv").write_text("\n".join([lines[0], *chosen]) + "\n")
        found = check_measured(document, tmp_path / f"{run}.csv")
        assert found.ttft_s is not None
        assert found.tpot_s is not None
        errors.append([found.ttft_s.mean.error, found.tpot_s.mean.error])
    assert np.abs(np.array(errors, dtype=float)).mean(axis=0) == pytest.approx([0.07, 0.08], abs=0.04)
    assert {entry.basis for entry in found.evidence if entry.quantity in ("step_time", "kv_cache")} == {"measured"}


def test_the_log_of_vllm_is_read(reference_data: Callable[[str], Path]) -> None:
    spec = profiled(reference_data("engine_samples") / "vllm_iterations.log").spec
    assert (spec.fit.seen, spec.fit.observations, spec.range.tokens) == ("step log", 836, 512)
