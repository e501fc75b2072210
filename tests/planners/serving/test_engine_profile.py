"""A plan rests on a running engine's steps for the layout that ran, and on other evidence elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from planners.serving import plan
from planners.serving.candidates import Layout
from planners.serving.planning import every_layout
from planners.serving.question import read_question
from planners.serving.serve import Workbench
from specs.base import Metadata
from specs.deployment import Parallel
from specs.engine import EngineProfile, EngineProfileSpec, Fit, StepModel, StepRange
from specs.errors import InputError
from specs.writing import to_yaml
from tests.planners.serving.documents import cluster, pool, workload
from tests.predictors.step_time.test_anchored import gpu, profiled


def engine_profile(folder: Path) -> Path:
    """An engine whose steps are far faster than any H100's, so that a plan that heeds it takes it."""
    spec = EngineProfileSpec(
        model="llama-3.1-8b", device="h100-sxm", engine="vllm", engine_version="0.19", source="made up",
        parallel=Parallel(tp=2), range=StepRange(tokens=8192, sequences=256, context_tokens=10**6),
        steps=StepModel(base_s=0.0005, tokens=(0, 1, 8192), tokens_s=(0, 0, 0.02)),
        fit=Fit(seen="probes", observations=100, folds=5, block_steps=16, error=0.02, bias=0, median_step_error=0.1),
    )  # fmt: skip
    path = folder / "engine.yaml"
    path.write_text(to_yaml(EngineProfile(metadata=Metadata(name="made-up"), spec=spec)))
    return path


def test_only_the_layout_that_ran_rests_on_it(tmp_path: Path) -> None:
    question = read_question(
        workload(tmp_path), cluster(tmp_path, pool("h100", "h100-sxm", 2.5)), objective="cost", confidence=0.8,
        survive=None, require=None, profiles=(engine_profile(tmp_path),), seed=0,
    )  # fmt: skip
    bench = Workbench(question)
    layouts: list[Layout] = every_layout(question)
    tiers = {layout.parallel: bench.step(layout).tier for layout in layouts}
    assert {parallel for parallel, tier in tiers.items() if tier == "measured"} == {Parallel(tp=2)}
    assert len(tiers) > 1


def test_the_plan_names_the_profile_in_its_evidence_and_inputs(tmp_path: Path) -> None:
    given = engine_profile(tmp_path)
    made = plan(workload(tmp_path, arrivals="{rate_per_s: 60, cv: 1, duration_s: 20}"),
                cluster(tmp_path, pool("h100", "h100-sxm", 2.5)), require="measured", profiles=(given,))  # fmt: skip
    assert made.decision is not None, made.status
    assert {one.parallel for one in made.decision.deployments} == {Parallel(tp=2)}
    assert ("measured", "made up") in {(one.basis, one.source) for one in made.evidence}
    assert "engine.yaml" in made.metadata.inputs


def test_measured_rates_stand_behind_every_other_profile(tmp_path: Path) -> None:
    document = profiled(gpu("NVIDIA H100 80GB HBM3", 640.0, 2900.0))
    (tmp_path / "host.yaml").write_text(to_yaml(document))
    question = read_question(
        workload(tmp_path), cluster(tmp_path, pool("h100", "h100-sxm", 2.5)), objective="cost", confidence=0.8,
        survive=None, require=None, profiles=(tmp_path / "host.yaml", engine_profile(tmp_path)), seed=0,
    )  # fmt: skip
    bench = Workbench(question)
    sources = {layout.parallel: bench.step(layout).evidence[0].source for layout in every_layout(question)}
    assert sources[Parallel(tp=2)] == "made up"
    assert "two measured rates of h100-sxm" in sources[Parallel(tp=1)]


def test_rates_of_a_device_that_is_not_offered_are_refused(tmp_path: Path) -> None:
    (tmp_path / "host.yaml").write_text(to_yaml(profiled(gpu("NVIDIA L4", 50.0, 250.0))))
    with pytest.raises(InputError, match="measured none of h100-sxm"):
        plan(workload(tmp_path), cluster(tmp_path, pool("h100", "h100-sxm", 2.5)), profiles=(tmp_path / "host.yaml",))
