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


STEADY = ("r0.5_b", "r1_a", "r2_s1a", "r2_s1b", "r2_s1c", "r2_s2b", "r2_s3b", "r3_a", "r4_a", "r6_a")
"""Runs of the samples while the machine was not visibly slowed down by others."""


@pytest.fixture
def runs(reference_data: Callable[[str], Path], tmp_path: Path) -> dict[str, Path]:
    lines = (reference_data("engine_samples") / "requests_all_runs.csv").read_text().splitlines()
    paths = {run: tmp_path / f"{run}.csv" for run in STEADY}
    for run, path in paths.items():
        path.write_text("\n".join([lines[0], *(line for line in lines if f",{run}," in line)]) + "\n")
    return paths


def mean_errors(profiles: dict[str, EngineProfile], runs: dict[str, Path], model: Path) -> list[float]:
    """Mean absolute errors of TTFT mean and p90, TPOT mean and p90: the table of how-to/profile-engine."""
    errors = []
    for run, profile in profiles.items():
        found = check_measured(deployment(runs[run].parent, model, profile), runs[run])
        assert found.ttft_s is not None
        assert found.tpot_s is not None
        assert {one.basis for one in found.evidence if one.quantity in ("step_time", "kv_cache")} == {"measured"}
        errors.append([one.error for held in (found.ttft_s, found.tpot_s) for one in (held.mean, held.p90)])
    return list(np.abs(np.array(errors, dtype=float)).mean(axis=0))


def test_a_calibration_predicts_real_runs_about_as_far_as_the_machine_drifts(
    reference_data: Callable[[str], Path], runs: dict[str, Path]
) -> None:
    samples = reference_data("engine_samples")
    profile = profiled(samples / "steps_calibration.csv")
    found = mean_errors(dict.fromkeys(runs, profile), runs, samples / "model_tiny")
    assert found == pytest.approx([0.08, 0.11, 0.09, 0.09], abs=0.006)


def test_requests_of_other_runs_predict_a_run_as_well(
    reference_data: Callable[[str], Path], runs: dict[str, Path]
) -> None:
    others = {run: profiled(*(path for other, path in runs.items() if other != run)) for run in runs}
    found = mean_errors(others, runs, reference_data("engine_samples") / "model_tiny")
    assert found == pytest.approx([0.07, 0.10, 0.08, 0.11], abs=0.006)


def test_the_log_of_vllm_is_read(reference_data: Callable[[str], Path]) -> None:
    spec = profiled(reference_data("engine_samples") / "vllm_iterations.log").spec
    assert (spec.fit.seen, spec.fit.observations, spec.range.tokens) == ("step log", 836, 512)
