"""What `profile host` measured on a GPU takes the place of the datasheet's rates in the roofline."""

from __future__ import annotations

from pathlib import Path

import pytest

from predictors.step_time import step_time
from predictors.step_time.anchored import anchors_of, measures
from predictors.step_time.roofline import coefficients, gemm_s, memory_gb_per_s
from profilers.anchors.repeats import summary
from profilers.named import step_profile
from profilers.store import add_profile, open_store
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec, Engine
from specs.errors import InputError
from specs.host import BandwidthAnchor, ComputeAnchor, GpuAnchors, HostProfile
from specs.writing import to_yaml
from tests.profilers.hosts import host_profile

H100, B200 = find_device("h100-sxm"), find_device("b200")
MODEL = find_model("llama-3.1-8b")
ENGINE = Engine(max_num_seqs=64, max_num_batched_tokens=2048, max_model_len=4096)
NAME = "NVIDIA H100 80GB HBM3"


def gpu(name: str, tflops: float, gb_per_s: float, index: int = 0) -> GpuAnchors:
    read = summary(((gb_per_s,) * 3,), "gb_per_s", 1)
    product = summary(((tflops,) * 3,), "tflops", 1)
    return GpuAnchors(
        name=name, index=index, bandwidth=(BandwidthAnchor(operation="read", array_mib=512, **read),),
        compute=(ComputeAnchor(precision="bf16", size=8192, library="torch", **product),),
    )  # fmt: skip


def profiled(*gpus: GpuAnchors) -> HostProfile:
    host = host_profile()
    return host.model_copy(update={"spec": host.spec.model_copy(update={"gpus": gpus})})


def deployment(device: str) -> DeploymentSpec:
    return DeploymentSpec(model=MODEL.name, device=device, engine=ENGINE)


def test_the_roofline_takes_the_times_that_were_measured() -> None:
    anchors = anchors_of(profiled(gpu(NAME, 640.0, 2900.0)).spec, H100)
    launch_s = coefficients().gemm.launch_us * 1e-6
    large = float(gemm_s(H100, [8192], 8192, 8192, precision="bf16", anchors=anchors)[0])
    assert large - launch_s == pytest.approx(2 * 8192**3 / 640e12, rel=1e-3)
    thin = float(gemm_s(H100, [1], 16384, 16384, precision="bf16", anchors=anchors)[0])
    assert thin - launch_s == pytest.approx(2 * 16384**2 / 2900e9, rel=1e-3)


def test_slower_hardware_makes_slower_steps_and_the_evidence_says_on_what_it_rests() -> None:
    plain = step_time(MODEL, H100, deployment("h100-sxm"))
    rate = memory_gb_per_s(H100, coefficients().gemm)
    same, half = (
        step_time(MODEL, H100, deployment("h100-sxm"), profile=profiled(gpu(NAME, 700.0, one)).spec)
        for one in (rate, rate / 2)
    )
    assert same.surface.tokens_s[8] == pytest.approx(plain.surface.tokens_s[8], rel=0.02)
    assert half.surface.tokens_s[8] == pytest.approx(2 * same.surface.tokens_s[8], rel=0.1)
    (entry,) = (one for one in half.evidence if one.quantity == "step_time")
    assert "two measured rates of h100-sxm" in entry.source
    assert "2026-11-01" in entry.source
    assert (entry.basis, half.tier) == ("calibrated", "calibrated")


def test_of_several_gpus_the_median_counts_and_of_other_names_none() -> None:
    several = (gpu(NAME, 640.0, rate, i) for i, rate in enumerate((2900.0, 1000.0, 3000.0)))
    spec = profiled(*several, gpu("NVIDIA L4", 50.0, 250.0, 3)).spec
    assert anchors_of(spec, H100).gb_per_s == pytest.approx(2900.0, rel=0.02)
    assert measures(spec, find_device("l4"))
    assert not measures(spec, B200)


@pytest.mark.parametrize(
    ("gpus", "told"),
    [
        ((), "it measured no GPU, the deployment is on h100-sxm"),
        ((gpu("NVIDIA L4", 50.0, 250.0),), "it measured l4"),
        ((gpu(NAME, 1, 1).model_copy(update={"compute": ()}),), "lacks the anchor `matrices bf16"),
        ((gpu(NAME, 1, 1).model_copy(update={"bandwidth": ()}),), "lacks the anchor `memory read"),
    ],
)
def test_a_profile_of_something_else_is_refused(gpus: tuple[GpuAnchors, ...], told: str) -> None:
    with pytest.raises(InputError, match=told):
        step_time(MODEL, H100, deployment("h100-sxm"), profile=profiled(*gpus).spec)


def test_it_is_found_by_file_and_by_id(tmp_path: Path) -> None:
    document = profiled(gpu(NAME, 640.0, 2900.0))
    (tmp_path / "host.yaml").write_text(to_yaml(document))
    assert step_profile("host.yaml", tmp_path) == document.spec
    url = str(tmp_path / "store.db")
    assert step_profile(add_profile(open_store(url), document)[:20], store=url) == document.spec
