"""A surface adds its operators up, falls back in the open, and refuses evidence of something else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.serving import check_surface
from predictors.step_time import available_evidence, datasheet_step_time, step_time
from predictors.step_time.host import GRAPH_GAP_S, HostTime, host_time
from predictors.step_time.operators import step_operators
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec, Engine, Parallel, PrecisionSpec, Role, Roles
from specs.errors import InputError, MissingHardwareError
from specs.profile import Axis, LayerProfileSpec, Operator, OperatorTable

MODEL = find_model("llama-3.1-8b")
DEVICE = find_device("h100-sxm")
NO_HOST = HostTime(base_s=0.0, per_sequence_s=0.0)
TOKEN_OPERATORS: tuple[Operator, ...] = (
    "qkv_proj", "o_proj", "gate_up_proj", "down_proj", "norm", "rope", "activation", "embedding",
)  # fmt: skip


def _deployment(**changes: object) -> DeploymentSpec:
    engine = Engine(max_num_seqs=64, max_num_batched_tokens=2048, max_model_len=4096)
    plain = DeploymentSpec(model=MODEL.name, device=DEVICE.name, engine=engine)
    return plain.model_copy(update=changes)


def _line(operator: Operator, axis: Axis, per_us: float, **more: float) -> OperatorTable:
    points = tuple((float(x),) for x in (1, 64, 512, 4096))
    return OperatorTable(
        operator=operator, axes=(axis,), points=points, latency_us=tuple(10.0 + per_us * p[0] for p in points), **more
    )


def _plane(operator: Operator, axes: tuple[Axis, Axis]) -> OperatorTable:
    points = tuple((a, c) for a in (1.0, 64.0, 2048.0) for c in (0.0, 1024.0, 4096.0))
    latency = tuple(5.0 + 0.1 * a + 1e-3 * a * c for a, c in points)
    return OperatorTable(operator=operator, axes=axes, points=points, latency_us=latency)


def _profile(**changes: object) -> LayerProfileSpec:
    tables = [_line(operator, "tokens", 0.5) for operator in TOKEN_OPERATORS]
    tables += [_line(name, "sequences", 1.0, calls_per_layer=0) for name in ("lm_head", "sampler")]
    tables += [
        _plane("decode_attention", ("batch", "context_tokens")),
        _plane("prefill_attention", ("chunk_tokens", "context_tokens")),
    ]
    plain = LayerProfileSpec(
        model=MODEL.name, device=DEVICE.name, engine="vllm", engine_version="0.19", source="test", tables=tuple(tables)
    )
    return plain.model_copy(update=changes)


def test_a_step_is_the_sum_of_its_tables() -> None:
    surface = step_time(MODEL, DEVICE, _deployment(), profile=_profile(), host=NO_HOST).surface
    calls = 32 * (4 + 2 + 2) + 2  # four products, two norms, rope and activation a layer; final norm, embedding
    assert surface.tokens_s[64] == pytest.approx(calls * (10 + 0.5 * 64) * 1e-6, rel=1e-9)
    assert surface.sequences_s[32] == pytest.approx(2 * (10 + 32) * 1e-6, rel=1e-9)
    row = int(np.searchsorted(surface.decode_batch_grid, 64))
    column = int(np.searchsorted(surface.decode_context_grid, 4096))
    assert surface.decode_attention_s[row, column] == pytest.approx(32 * (5 + 6.4 + 262.144) * 1e-6, rel=1e-9)


def test_bare_kernel_durations_get_their_gaps() -> None:
    alone = step_time(MODEL, DEVICE, _deployment(), profile=_profile(), host=NO_HOST).surface
    bare = step_time(MODEL, DEVICE, _deployment(), profile=_profile(timing="kernels"), host=NO_HOST).surface
    kernels = step_operators(MODEL, Parallel(), "bf16").kernels
    assert bare.tokens_s[64] - alone.tokens_s[64] == pytest.approx(kernels * GRAPH_GAP_S, rel=1e-6)


def test_batches_are_padded_to_the_captured_graphs() -> None:
    surface = step_time(MODEL, DEVICE, _deployment(), profile=_profile(), host=NO_HOST).surface
    assert surface.tokens_s[57] == surface.tokens_s[64]
    assert surface.tokens_s[65] > surface.tokens_s[64]


@settings(max_examples=20, deadline=None)
@given(
    tp=st.sampled_from([1, 2, 4, 8]), pp=st.sampled_from([1, 2]), weights=st.sampled_from(["bf16", "fp8", "int4"]),
    name=st.sampled_from(["h100-sxm", "a100-80gb", "l40s", "mi300x"]),
)  # fmt: skip
def test_every_surface_is_usable_and_monotone(tp: int, pp: int, weights: str, name: str) -> None:
    deployment = _deployment(parallel=Parallel(tp=tp, pp=pp), precision=PrecisionSpec(weights=weights), device=name)
    surface = step_time(MODEL, find_device(name), deployment).surface
    check_surface(surface, max_num_seqs=64, max_num_batched_tokens=2048)
    assert (np.diff(surface.tokens_s) >= 0).all()
    assert (np.diff(surface.decode_attention_s, axis=0) >= 0).all()
    assert (np.diff(surface.decode_attention_s, axis=1) >= 0).all()
    assert (np.diff(surface.prefill_attention_s, axis=0) >= -1e-9).all()


def test_the_datasheet_is_a_floor() -> None:
    floor = datasheet_step_time(MODEL, DEVICE, _deployment()).surface
    known = step_time(MODEL, DEVICE, _deployment(), host=NO_HOST).surface
    assert (floor.tokens_s <= known.tokens_s).all()
    assert (floor.decode_attention_s <= known.decode_attention_s).all()


def test_what_a_profile_lacks_falls_to_the_roofline_and_is_said() -> None:
    found = step_time(MODEL, DEVICE, _deployment(parallel=Parallel(tp=2)), profile=_profile())
    plain = step_time(MODEL, DEVICE, _deployment(parallel=Parallel(tp=2)))
    assert found.tier == "calibrated"
    assert found.surface.tokens_s[64] == plain.surface.tokens_s[64]
    assert any("tp 2 was not measured" in note for note in found.range_notes)
    assert any(entry.basis == "calibrated" for entry in found.evidence)


def test_beyond_the_measured_range_is_said() -> None:
    engine = Engine(max_num_batched_tokens=8192, max_model_len=4096)
    found = step_time(MODEL, DEVICE, _deployment(engine=engine), profile=_profile())
    assert any("above 4096 tokens" in note for note in found.range_notes)


def test_another_engine_version_widens_the_interval_and_is_said() -> None:
    same = step_time(MODEL, DEVICE, _deployment(), profile=_profile())
    other = step_time(MODEL, DEVICE, _deployment(), profile=_profile(engine_version="0.12"))
    assert other.relative_error > same.relative_error
    assert any("deployed is vllm 0.19" in (entry.note or "") for entry in other.evidence)


def test_a_profile_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="layer profile is of other"):
        step_time(MODEL, DEVICE, _deployment(), profile=_profile(model="other"))


def test_weaker_evidence_than_required_is_refused_with_a_cure() -> None:
    with pytest.raises(MissingHardwareError, match="tonnage profile"):
        step_time(MODEL, DEVICE, _deployment(), require="measured")
    assert step_time(MODEL, DEVICE, _deployment(), profile=_profile(), require="measured").tier == "measured"


def test_evidence_at_hand_is_listed_strongest_first() -> None:
    assert available_evidence(MODEL, DEVICE, _deployment(), profile=_profile()) == ("measured", "calibrated")
    assert available_evidence(MODEL, find_device("v100"), _deployment()) == ("datasheet",)


def test_roles_take_their_own_parallelism() -> None:
    split = Roles(prefill=Role(parallel=Parallel(tp=1)), decode=Role(parallel=Parallel(tp=4)))
    prefill = step_time(MODEL, DEVICE, _deployment(roles=split), role="prefill").surface
    decode = step_time(MODEL, DEVICE, _deployment(roles=split), role="decode").surface
    assert decode.tokens_s[64] < prefill.tokens_s[64]
    with pytest.raises(InputError, match="no decode role"):
        step_time(MODEL, DEVICE, _deployment(), role="decode")


@pytest.mark.parametrize(
    ("version", "like"), [("0.12.0", "0.10"), ("0.19", "0.18.0"), ("0.5.1", "0.6"), ("1.0.0rc3", "0.20")]
)
def test_host_time_is_of_the_newest_entry_that_is_not_newer(version: str, like: str) -> None:
    assert host_time("vllm", version).base_s == host_time("vllm", like).base_s


def test_asynchronous_scheduling_hides_what_grows_with_the_batch() -> None:
    old, new = host_time("vllm", "0.12"), host_time("vllm", "0.19")
    assert new.seconds(np.array([128.0])) < old.seconds(np.array([128.0]))
