"""The KV cache against the arithmetic that published capacities obey."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.memory import kv_bytes_per_token, weight_bytes
from predictors.memory.kv_cache import BlockLayout, block_layout
from predictors.memory.sharding import ranks
from specs.catalog import find_model
from specs.deployment import Engine, Parallel, PrecisionSpec


def layout_of(name: str, tp: int = 1, precision: str = "bf16") -> BlockLayout:
    model = find_model(name)
    return block_layout(model, Engine(), precision, tp, ranks(model, Parallel(tp=tp))[0])


@pytest.mark.parametrize(
    ("name", "precision", "tp", "expected"),
    [
        ("opt-13b", "fp16", 1, 819_200),
        ("llama-3.1-8b", "bf16", 1, 131_072),
        ("llama-3.1-8b", "fp8", 1, 65_536),
        ("llama-3.1-8b", "bf16", 8, 16_384),
        ("llama-3.1-8b", "bf16", 16, 16_384),  # 8 KV heads are replicated on 16 ranks
        ("deepseek-v2-lite", "bf16", 1, 27 * 576 * 2),
        ("deepseek-v2-lite", "bf16", 4, 27 * 576 * 2),  # the latent is replicated
    ],
)
def test_bytes_of_a_token(name: str, precision: str, tp: int, expected: int) -> None:
    assert kv_bytes_per_token(find_model(name), precision, tp) == expected


def test_opt_13b_capacity_identity() -> None:
    """66,144 tokens on one 80 GB GPU and 163,008 on two leave the weights of OPT-13B (DistServe's published table)."""
    token = kv_bytes_per_token(find_model("opt-13b"), "fp16", 1)
    usable = (163_008 - 66_144) * token
    weights = usable - 66_144 * token
    assert usable == pytest.approx(79.35e9, rel=1e-3)
    assert weight_bytes(find_model("opt-13b"), PrecisionSpec(activations="fp16"), Parallel()) == pytest.approx(
        weights, rel=0.03
    )


@pytest.mark.parametrize("name", ["opt-13b", "opt-66b", "opt-175b"])
def test_published_capacities_follow_from_bytes_per_token(reference_data: Callable[[str], Path], name: str) -> None:
    """Capacity · bytes per token = GPUs · usable - weights, with one usable figure and one weight figure per model."""
    with reference_data("op_profiles/distserve_max_num_tokens.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == f"facebook/{name}"]
    model = find_model(name)
    token = kv_bytes_per_token(model, "fp16", 1)
    capacities = {(int(row["tp"]), int(row["pp"])): int(row["max_num_tokens"]) for row in rows}
    few, many = min(capacities, key=lambda cut: cut[0] * cut[1]), max(capacities, key=lambda cut: cut[0] * cut[1])
    usable = (capacities[many] - capacities[few]) * token / (many[0] * many[1] - few[0] * few[1])
    weights = few[0] * few[1] * usable - capacities[few] * token
    assert weight_bytes(model, PrecisionSpec(activations="fp16"), Parallel()) == pytest.approx(weights, rel=0.03)
    for (tp, pp), tokens in capacities.items():
        assert tokens == pytest.approx((tp * pp * usable - weights) / token, abs=150)


@pytest.mark.parametrize(
    ("name", "blocks", "tokens", "concurrency"),
    [  # as vLLM 0.19 printed them for 8192 tokens per request (llm-d-planner accuracy runs, 2026-04-22)
        ("llama-3.1-8b", 29_751, 476_016, 58.11),
        ("gemma-2-2b", 83_770, 670_160, 81.73),
        ("gemma-3-27b", 15_997, 36_560, 4.46),
        ("gemma-3-4b", 204_817, 468_144, 57.05),
        ("gpt-oss-20b", 323_972, 2_591_776, 316.07),
        ("deepseek-v2-lite", 94_097, 1_505_552, 183.78),
    ],
)
def test_tokens_and_concurrency_of_a_number_of_blocks(name: str, blocks: int, tokens: int, concurrency: float) -> None:
    layout = layout_of(name)
    assert layout.tokens(blocks) == tokens
    assert round(blocks / layout.blocks_per_request(8192, 8192), 2) == concurrency


@given(st.integers(1, 131_072), st.integers(1, 131_072), st.sampled_from(["llama-3.1-8b", "gemma-3-4b", "gpt-oss-20b"]))
def test_longer_requests_never_need_fewer_blocks(one: int, other: int, name: str) -> None:
    layout = layout_of(name)
    assert layout.blocks_per_request(min(one, other), 8192) <= layout.blocks_per_request(max(one, other), 8192)


@given(st.integers(1024, 100_000))
def test_a_window_bounds_what_its_layers_hold(tokens: int) -> None:
    """Beyond its window (1024) and a chunk (8192), only the full layers of gemma-3-4b grow."""
    layout = layout_of("gemma-3-4b")
    full = -(-tokens // 16)
    assert layout.blocks_per_request(tokens, 8192) <= full + 6 * ((1024 - 1 + 8192 + 15) // 16 + 1)
