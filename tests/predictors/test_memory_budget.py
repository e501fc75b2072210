"""The ledger: what the KV cache gets, what moves it, what does not fit, and what is said to be assumed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.memory import MemoryLedger, largest_model_len, ledger
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec, Engine, Parallel, PrecisionSpec, Role, Roles
from specs.errors import InputError

H100 = find_device("h100-sxm")
GIB = 2**30


def deploy(parallel: Parallel | None = None, **engine: Any) -> DeploymentSpec:
    settings_ = {"max_num_seqs": 1024, "max_num_batched_tokens": 8192, "max_model_len": 8192, **engine}
    return DeploymentSpec(model="m", device="d", parallel=parallel or Parallel(), engine=Engine(**settings_))


def book_of(name: str, deployment: DeploymentSpec, device: str = "h100-sxm") -> MemoryLedger:
    return ledger(find_model(name), find_device(device), deployment)


def test_the_budget_is_a_share_of_the_total_and_the_cache_takes_the_rest() -> None:
    book = book_of("llama-3.1-8b", deploy(gpu_memory_utilization=0.95))
    inside = sum(book.item(name).bytes for name in ("weights", "activations", "non-torch"))
    assert book.requested_bytes == pytest.approx(0.95 * 79.19 * GIB)
    assert book.kv_bytes == pytest.approx(book.requested_bytes - inside)
    assert book.used_bytes == pytest.approx(sum(item.bytes for item in book.items))
    assert book.kv_bytes_low < book.kv_bytes < book.kv_bytes_high


def test_graphs_leave_the_cache_alone_up_to_0_20_and_shrink_it_from_0_21() -> None:
    before, after = (book_of("llama-3.1-8b", deploy(version=version)) for version in ("0.20.2", "0.21.0"))
    graphs = after.item("CUDA graphs").bytes
    assert graphs > 0
    assert before.kv_bytes - after.kv_bytes == pytest.approx(graphs)
    eager = book_of("llama-3.1-8b", deploy(version="0.21.0", cuda_graphs=False))
    assert eager.item("CUDA graphs").bytes == 0
    assert eager.kv_bytes == pytest.approx(before.kv_bytes)


@given(st.integers(9, 15), st.integers(9, 15), st.sampled_from(["llama-3.1-8b", "qwen3-30b-a3b", "gemma-3-27b"]))
@settings(max_examples=40)
def test_a_larger_batch_never_leaves_more_cache(one: int, other: int, name: str) -> None:
    small, large = sorted((2**one, 2**other))
    caches = [book_of(name, deploy(max_num_batched_tokens=tokens)).kv_bytes for tokens in (small, large)]
    assert caches[0] >= caches[1]


@given(st.sampled_from(["llama-3.1-70b", "mixtral-8x7b", "deepseek-v3", "gpt-oss-120b"]), st.integers(1, 1024))
@settings(max_examples=30)
def test_more_ranks_never_need_more_memory_each_beside_what_they_talk_through(name: str, seqs: int) -> None:
    needs = []
    for tp in (1, 2, 4, 8):
        book = book_of(name, deploy(Parallel(tp=tp), max_num_seqs=seqs))
        needs.append(book.item("weights").bytes + book.item("activations").bytes)
    assert needs == sorted(needs, reverse=True)


def test_the_rank_that_samples_is_the_tightest() -> None:
    book = book_of("llama-3.1-8b", deploy(Parallel(pp=4)))
    assert book.rank == 3


def test_what_does_not_fit_is_a_result_with_its_shortfall() -> None:
    book = book_of("llama-3.1-70b", deploy())
    assert not book.fits
    assert book.kv_blocks == 0
    assert book.max_concurrency == 0
    assert book.shortfall_bytes == pytest.approx(8192 * 327_680 - book.kv_bytes)
    assert "8192 tokens" in book.reason
    assert largest_model_len(find_model("llama-3.1-70b"), H100, deploy()) == 0


def test_a_budget_of_the_whole_device_leaves_no_room_for_the_context() -> None:
    book = book_of("llama-3.1-8b", deploy(gpu_memory_utilization=1.0))
    assert not book.fits
    assert "CUDA context" in book.reason


@pytest.mark.parametrize(("name", "share"), [("llama-3.1-8b", 0.3), ("gemma-3-27b", 0.78), ("gpt-oss-20b", 0.24)])
def test_the_longest_request_fits_and_one_token_more_does_not(name: str, share: float) -> None:
    model = find_model(name)
    longest = largest_model_len(model, H100, deploy(gpu_memory_utilization=share))
    assert 0 < longest < model.max_context_tokens
    assert ledger(model, H100, deploy(gpu_memory_utilization=share, max_model_len=longest)).fits
    assert not ledger(model, H100, deploy(gpu_memory_utilization=share, max_model_len=longest + 1)).fits


def test_a_length_beyond_the_model_is_refused() -> None:
    with pytest.raises(InputError, match="max_model_len 8192 exceeds the 2048 tokens of phi-2"):
        book_of("phi-2", deploy())


def test_what_no_measurement_varied_is_assumed_and_widens_its_item_alone() -> None:
    known = book_of("llama-3.1-8b", deploy())
    assert [entry.basis for entry in known.evidence] == ["calibrated"]
    changed = book_of("llama-3.1-8b", deploy(max_num_seqs=256))
    assert {item.name for item in changed.items if item.basis == "assumed"} == {
        "activations",
        "CUDA graphs",
        "KV cache",
    }
    assert changed.item("activations").high - changed.item("activations").bytes > 0.05 * GIB
    assert "max_num_seqs 256" in (changed.evidence[-1].note or "")
    other = book_of("llama-3.1-8b", deploy(version="0.24.1"), device="l40s")
    assert "version 0.24" in (other.evidence[-1].note or "")
    assert "device l40s" in (other.evidence[-1].note or "")


def test_each_role_has_the_memory_of_its_own_parallelism() -> None:
    roles = Roles(prefill=Role(parallel=Parallel(tp=4)), decode=Role(parallel=Parallel(tp=8)))
    spec = deploy().model_copy(update={"roles": roles})
    model = find_model("llama-3.1-70b")
    for role, tp in (("prefill", 4), ("decode", 8)):
        alone = ledger(model, H100, deploy(Parallel(tp=tp)))
        assert ledger(model, H100, spec, role=role).kv_bytes == alone.kv_bytes


def test_fp8_cache_holds_twice_the_tokens() -> None:
    spec = deploy()
    halved = spec.model_copy(update={"precision": PrecisionSpec(kv_cache="fp8")})
    model = find_model("llama-3.1-8b")
    assert ledger(model, H100, halved).kv_blocks // 2 == ledger(model, H100, spec).kv_blocks
