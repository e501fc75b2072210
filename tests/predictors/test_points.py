"""A closed loop of one client is its unloaded request; more clients cost each other, and KV limits are flagged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictors.points import DEFAULT_HARNESS, Harness, Point, PoolShape, deployment_of, predict_point, predict_points
from predictors.step_time import step_time
from specs.catalog import find_device, find_model
from specs.errors import InputError

DEVICE = find_device("h100-sxm")
POINT = Point(model=find_model("llama-3.1-8b"), precision="bf16", tp=1, isl=1024, osl=128, concurrency=8)
EXACT = Harness(length_spread=(1.0, 1.0), prompts_per_concurrency=4)


def test_one_client_meets_no_other() -> None:
    alone = replace(POINT, concurrency=1)
    found = predict_point(alone, device=DEVICE, harness=EXACT)
    surface = step_time(alone.model, DEVICE, deployment_of(alone, DEVICE, EXACT)).surface
    row = int(np.searchsorted(surface.prefill_chunk_grid, 1024))
    first = surface.tokens_s[1024] + surface.sequences_s[1] + surface.host_s[1] + surface.prefill_attention_s[row, 0]
    assert found.ttft_ms == pytest.approx(first * 1e3, rel=1e-6)
    assert found.unloaded_ttft_ms == pytest.approx(found.ttft_ms, rel=1e-6)
    step = surface.tokens_s[1] + surface.sequences_s[1] + surface.host_s[1]
    lengths = 1024 + np.arange(1, 128)
    attention = np.interp(lengths, surface.decode_context_grid, surface.decode_attention_s[0])
    assert found.tpot_ms == pytest.approx((step + attention.mean()) * 1e3, rel=0.01)


def test_more_clients_cost_each_other_and_tensor_parallelism_pays() -> None:
    points = [replace(POINT, concurrency=c) for c in (1, 8, 64)]
    few, some, many = predict_points(points, device=DEVICE)
    assert few.tpot_ms < some.tpot_ms < many.tpot_ms
    assert few.ttft_ms < many.ttft_ms
    wide = predict_point(replace(POINT, tp=4), device=DEVICE, harness=DEFAULT_HARNESS["vllm"])
    assert wide.tpot_ms < some.tpot_ms


def test_intervals_hold_the_prediction_and_widen_near_the_kv_limit() -> None:
    small = find_device("l4")
    near = predict_point(replace(POINT, concurrency=128, isl=2048), device=small, harness=EXACT)
    far = predict_point(POINT, device=DEVICE, harness=EXACT)
    assert near.near_kv_limit
    assert not far.near_kv_limit
    for found in (near, far):
        assert found.ttft_interval_ms[0] < found.ttft_ms < found.ttft_interval_ms[1]
    assert near.ttft_interval_ms[1] / near.ttft_ms > far.ttft_interval_ms[1] / far.ttft_ms


def test_the_server_adds_to_ttft_and_not_to_tpot() -> None:
    served = replace(EXACT, api_s=5e-3, api_s_per_token=2e-6)
    bare, found = (predict_point(POINT, device=DEVICE, harness=harness) for harness in (EXACT, served))
    assert found.ttft_ms - bare.ttft_ms == pytest.approx(5.0 + 2e-3 * 1024)
    assert found.tpot_ms == bare.tpot_ms


def test_prefill_first_holds_decodes_back() -> None:
    mixed = predict_point(replace(POINT, concurrency=32), device=DEVICE, harness=EXACT)
    first = predict_point(replace(POINT, concurrency=32), device=DEVICE, harness=replace(EXACT, prefill_first=True))
    assert first.ttft_ms != mixed.ttft_ms


def test_one_slot_fewer_than_clients_makes_ttft_grow_with_the_output() -> None:
    short = [replace(POINT, osl=osl) for osl in (128, 512)]
    free = predict_points(short, device=DEVICE, harness=lambda _: EXACT)
    held = predict_points(short, device=DEVICE, harness=lambda _: replace(EXACT, slots_short=1))
    grown = held[1].ttft_ms - held[0].ttft_ms
    assert abs(free[1].ttft_ms - free[0].ttft_ms) < 0.2 * grown
    assert grown == pytest.approx((512 - 128) * held[1].tpot_ms / 8, rel=0.4)


def test_disaggregated_points_are_served_by_two_pools() -> None:
    split = replace(POINT, prefill=PoolShape(workers=1, tp=1), decode=PoolShape(workers=1, tp=2))
    found = predict_point(split, device=DEVICE, harness=EXACT)
    assert split.gpus == 3
    assert found.tpot_ms < predict_point(POINT, device=DEVICE, harness=EXACT).tpot_ms


def test_tensorrt_serves_fp8_weights_with_fp8_kv() -> None:
    assert replace(POINT, engine="trtllm", precision="fp8").kv_precision == "fp8"
    assert replace(POINT, engine="vllm", precision="fp8").kv_precision == "bf16"
    assert replace(POINT, engine="trtllm", precision="fp8", kv_cache="bf16").kv_precision == "bf16"


def test_a_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="does not fit"):
        predict_point(replace(POINT, model=find_model("llama-3.1-70b")), device=DEVICE, harness=EXACT)


def test_published_points_are_met_within_the_bar(reference_data: Callable[[str], Path]) -> None:
    from benchmarks.published_points import FILE, published_points
    from predictors.step_time.host import HostTime

    reference_data(FILE)
    host = HostTime(base_s=0.98e-3, per_sequence_s=0.0)  # from the replayed run, not from these points
    points = [p for p in published_points() if p.line == "vllm 0.12.0 qwen3-32b bf16" and p.point.concurrency <= 64]
    found = [predict_point(p.point, device=DEVICE, harness=p.harness, host=host) for p in points]
    tpot = [abs(f.tpot_ms / p.point.measured_tpot_ms - 1) for f, p in zip(found, points, strict=True)]
    ttft = [abs(f.ttft_ms / p.point.measured_ttft_ms - 1) for f, p in zip(found, points, strict=True)]
    assert np.mean(tpot) < 0.15
    assert np.median(ttft) < 0.35
