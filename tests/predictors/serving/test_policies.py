"""Each policy of the engine by what it must do: batching, preemption, routers, loops, roles, speculation, patience."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.serving import (
    ClosedLoop,
    EarlyStop,
    Patience,
    Speculative,
    Transfer,
    attained,
    measure,
    simulate,
)
from specs.errors import InfeasibleError, InputError
from tests.predictors.serving.worlds import chat, pool, requests, surface, unit_surface


def test_chunked_prefill_keeps_decodes_going_and_whole_prompts_stop_them() -> None:
    """While a long prompt is computed, a decoding request gets a token per step only with chunks."""
    trace = requests([0.0, 0.5], [4, 40], [12, 1])
    chunked = simulate(trace, pool(unit_surface(), max_num_batched_tokens=11, max_num_seqs=2))
    whole = simulate(trace, pool(unit_surface(), max_num_batched_tokens=64, max_num_seqs=2, chunked_prefill=False))
    np.testing.assert_allclose(chunked.e2e_s, [12.0, 4.5])  # chunks of 10 in steps 2 to 5
    np.testing.assert_allclose(whole.e2e_s, [13.0, 1.5])
    assert chunked.longest_gap_s[0] == pytest.approx(1.0)
    assert whole.longest_gap_s[0] == pytest.approx(2.0)


def test_whole_prompts_are_batched_within_the_token_budget() -> None:
    trace = requests([0.0, 0.0, 0.0], [30, 30, 10], [2, 2, 2])
    run = simulate(trace, pool(unit_surface(), max_num_batched_tokens=64, max_num_seqs=4, chunked_prefill=False))
    np.testing.assert_allclose(run.ttft_s, [1.0, 1.0, 2.0])
    np.testing.assert_allclose(run.e2e_s, [3.0, 3.0, 3.0])


def test_preemption_sacrifices_the_youngest_and_recomputes_it() -> None:
    """Two sequences outgrow 8 blocks of 2 tokens; the second loses its KV, its tokens are kept and recomputed."""
    trace = requests([0.0, 0.0], [4, 4], [9, 9])
    run = simulate(trace, pool(unit_surface(), max_num_seqs=2, block_size_tokens=2, kv_blocks=8))
    assert run.preemptions.tolist() == [0, 1]
    assert run.tokens.tolist() == [9, 9]
    assert run.e2e_s[0] == pytest.approx(9.0)
    assert int(run.replicas.prefill_tokens[0]) > 8
    assert run.replicas.kv_blocks_max[0] == 8


@settings(max_examples=25, deadline=None)
@given(concurrency=st.integers(1, 40), seed=st.integers(0, 5))
def test_closed_loop_keeps_littles_law(concurrency: int, seed: int) -> None:
    """With no client delay the requests' time in the system fills ``concurrency`` × the span, but for the drain."""
    trace = chat(200, 5.0, seed)
    run = simulate(trace, pool(replicas=2), closed_loop=ClosedLoop(concurrency=concurrency))
    starts = np.sort(run.arrival_s)
    assert (starts[:concurrency] == 0.0).all()
    np.testing.assert_allclose(starts[concurrency:], np.sort(run.arrival_s + run.e2e_s)[: 200 - concurrency])
    last_start = starts[-1]
    inside = np.minimum(run.arrival_s + run.e2e_s, last_start) - run.arrival_s
    assert inside.sum() == pytest.approx(concurrency * last_start, rel=1e-9)


def test_closed_loop_spreads_its_start_and_waits_between_requests() -> None:
    trace = requests(np.zeros(6), [5] * 6, [2] * 6)
    loop = ClosedLoop(concurrency=2, start_spread_s=1.0, client_delay_s=0.25)
    run = simulate(trace, pool(unit_surface(), max_num_seqs=8), closed_loop=loop)
    np.testing.assert_allclose(run.arrival_s[:2], [0.0, 0.5])
    np.testing.assert_allclose(np.sort(run.arrival_s[2:]), np.sort(run.arrival_s + run.e2e_s + 0.25)[:4])


def test_round_robin_deals_requests_out_in_turn() -> None:
    run = simulate(chat(60, 30.0), pool(replicas=3), router="round-robin")
    assert run.replica.tolist() == [i % 3 for i in range(60)]


def test_a_replica_of_a_round_robin_pool_serves_as_if_alone() -> None:
    trace = chat(90, 40.0)
    together = simulate(trace, pool(replicas=3), router="round-robin")
    for r in range(3):
        own = requests(trace.arrival_s[r::3], trace.prompt_tokens[r::3], trace.output_tokens[r::3])
        np.testing.assert_allclose(together.e2e_s[r::3], simulate(own, pool()).e2e_s, rtol=1e-9)


def test_least_loaded_avoids_the_busy_replica() -> None:
    """A long request holds replica 0; short ones all go to the other, round-robin sends half behind it."""
    trace = requests(np.arange(9) * 5.0, [10] * 9, [100, *([2] * 8)])
    busy = pool(unit_surface(), replicas=2, max_num_seqs=1)
    assert simulate(trace, busy, router="least-loaded").queue_s.max() == 0.0
    assert simulate(trace, busy, router="round-robin").queue_s.max() > 50.0


def test_single_queue_never_waits_while_a_replica_idles() -> None:
    trace = chat(400, 30.0)
    one = pool(replicas=4, max_num_seqs=1)
    run = simulate(trace, one, router="single-queue")
    start = trace.arrival_s + run.queue_s
    for i in np.flatnonzero(run.queue_s > 1e-9):
        busy = (start < trace.arrival_s[i]) & (trace.arrival_s + run.e2e_s > trace.arrival_s[i])
        assert busy.sum() == 4
    assert (np.diff(start) >= -1e-9).all()


def test_more_load_never_lowers_p99() -> None:
    trace = chat(1500, 1.0)
    p99 = []
    for factor in (20.0, 50.0, 80.0, 110.0, 140.0, 200.0, 300.0):
        run = simulate(replace(trace, arrival_s=trace.arrival_s / factor), pool(kv_blocks=4000))
        p99.append([np.quantile(run.ttft_s, 0.99), np.quantile(run.e2e_s, 0.99)])
    assert (np.diff(p99, axis=0) > -1e-3).all()
    assert p99[-1][0] > 10 * p99[0][0]


def test_more_replicas_never_hurt_in_the_large() -> None:
    trace = chat(1500, 40.0)
    p99 = [np.quantile(simulate(trace, pool(replicas=n)).ttft_s, 0.99) for n in (1, 2, 3, 4, 6)]
    assert (np.diff(p99) <= 1e-3).all()


def test_disaggregation_puts_the_transfer_before_the_second_token() -> None:
    """Prefill ends at 1; 20 tokens × 0.1 s arrive at 3; the second token at 4, the third at 5."""
    transfer = Transfer(s_per_token=0.1)
    run = simulate(requests([0.0], [20], [3]), (pool(unit_surface()), pool(unit_surface())), transfer=transfer)
    np.testing.assert_allclose([run.ttft_s[0], run.longest_gap_s[0], run.e2e_s[0]], [1.0, 3.0, 5.0])
    assert run.replicas.prefill_tokens.tolist() == [20, 0]
    assert run.replicas.decode_tokens.tolist() == [0, 2]


def test_disaggregated_decodes_are_undisturbed_by_prompts() -> None:
    trace = chat(400, 20.0)
    mixed = measure(simulate(trace, pool()), prompt_tokens=trace.prompt_tokens, resamples=0)
    apart = measure(simulate(trace, (pool(), pool())), prompt_tokens=trace.prompt_tokens, resamples=0)
    assert apart.itl_s.p99.value < 0.8 * mixed.itl_s.p99.value


def test_kv_in_transfer_is_held_at_the_prefill_replica() -> None:
    """Room for one prompt only: the second waits until the first's KV has left."""
    tight = pool(unit_surface(), kv_blocks=3, block_size_tokens=16)
    run = simulate(
        requests([0.0, 0.0], [40, 40], [2, 2]), (tight, pool(unit_surface())), transfer=Transfer(latency_s=5.0)
    )
    np.testing.assert_allclose(run.queue_s, [0.0, 6.0])


@pytest.mark.parametrize(("draft", "acceptance"), [(1, 0.8), (3, 0.6), (4, 0.9)])
def test_speculation_emits_the_expected_tokens_per_step(draft: int, acceptance: float) -> None:
    """Mean tokens per step (1 − a^(k+1))/(1 − a) (Leviathan et al. 2023, eq. 1)."""
    trace = requests(np.zeros(40), [16] * 40, [2001] * 40)
    run = simulate(
        trace, pool(unit_surface(), max_num_seqs=40), speculative=Speculative(draft_tokens=draft, acceptance=acceptance)
    )
    expected = (1 - acceptance ** (draft + 1)) / (1 - acceptance)
    assert run.tokens.tolist() == [2001] * 40
    assert np.mean(2000 / (run.e2e_s - run.ttft_s)) == pytest.approx(expected, rel=0.01)


def test_speculation_without_acceptance_changes_nothing() -> None:
    trace = chat(100, 10.0)
    roomy = pool(unit_surface(), max_num_batched_tokens=5000)  # draft tokens count in the budget
    never = simulate(trace, roomy, speculative=Speculative(draft_tokens=2, acceptance=0.0))
    np.testing.assert_allclose(never.e2e_s, simulate(trace, roomy).e2e_s)


def test_a_step_scheduled_ahead_knows_neither_late_arrivals_nor_freed_places() -> None:
    """Unit steps: what comes in the third step starts in the fifth; a place freed by a step is used one step later."""
    trace = requests([0.0, 2.5], [1, 1], [10, 2])
    assert simulate(trace, pool(unit_surface())).ttft_s.tolist() == [1.0, 1.5]
    assert simulate(trace, pool(unit_surface(ahead=True))).ttft_s.tolist() == [1.0, 2.5]
    queued = requests([0.0, 0.0, 0.0], [1, 1, 1], [10, 3, 1])
    assert simulate(queued, pool(unit_surface(), max_num_seqs=2)).ttft_s.tolist() == [1.0, 1.0, 4.0]
    assert simulate(queued, pool(unit_surface(ahead=True), max_num_seqs=2)).ttft_s.tolist() == [1.0, 1.0, 5.0]
    alone = requests([0.0, 0.0], [1, 1], [3, 1])
    assert simulate(alone, pool(unit_surface(ahead=True), max_num_seqs=1)).ttft_s.tolist() == [1.0, 4.0]


def test_host_time_is_added_or_overlapped() -> None:
    host = np.full(301, 0.25)
    trace = requests([0.0], [8], [4])
    synchronous = simulate(trace, pool(unit_surface(host_s=host)))
    asynchronous = simulate(trace, pool(unit_surface(host_s=host, overlap=True)))
    assert (synchronous.e2e_s[0], asynchronous.e2e_s[0]) == (pytest.approx(5.0), pytest.approx(4.0))


def test_steps_outside_a_graph_cost_more() -> None:
    eager = unit_surface(eager_s=0.5, graph_max_sequences=1)
    run = simulate(requests([0.0, 0.0], [8, 8], [3, 5]), pool(eager))
    np.testing.assert_allclose(run.e2e_s, [4.5, 6.5])  # prefill and two decodes of two eager, two of one replayed


def test_pipeline_stages_work_on_different_batches_at_once() -> None:
    """Two batches in flight: same latency of a step, twice the steps per second."""
    trace = requests([0.0, 0.1], [8, 8], [10, 10])
    two = unit_surface(stages=2, stage_share=0.5)
    run = simulate(trace, pool(two))
    np.testing.assert_allclose(run.e2e_s, [10.0, 10.4])
    one = simulate(trace, pool(unit_surface()))
    assert one.e2e_s[1] == pytest.approx(10.9)


def test_admission_limit_rejects_and_the_rest_is_served() -> None:
    trace = requests(np.arange(10) * 0.01, [4] * 10, [50] * 10)
    run = simulate(trace, pool(unit_surface(), max_num_seqs=2), patience=Patience(max_waiting=3))
    assert run.status.tolist() == [1] * 1 + [1] * 3 + [2] * 6
    assert np.isnan(run.ttft_s[4:]).all()
    assert (run.e2e_s[4:] == 0.0).all()


def test_queue_timeout_counts_waiting_only() -> None:
    trace = requests([0.0, 0.0, 1.0], [4, 4, 4], [10, 1, 10])
    run = simulate(trace, pool(unit_surface(), max_num_seqs=1), patience=Patience(queue_timeout_s=9.5))
    assert run.status.tolist() == [1, 3, 1]
    np.testing.assert_allclose(run.e2e_s, [10.0, 9.5, 19.0])


def test_a_client_that_leaves_frees_its_place_and_keeps_what_it_got() -> None:
    trace = requests([0.0, 0.0], [4, 4], [100, 3])
    run = simulate(trace, pool(unit_surface(), max_num_seqs=1), patience=Patience(abort_s=20.5))
    assert run.status.tolist() == [4, 4]
    assert run.tokens.tolist() == [20, 0]
    later = requests([0.0, 5.0], [4, 4], [100, 3])
    run = simulate(later, pool(unit_surface(), max_num_seqs=1), patience=Patience(abort_s=20.5))
    assert run.status.tolist() == [4, 1]
    assert run.queue_s[1] == pytest.approx(16.0)


def test_prefix_blocks_are_computed_once_and_evicted_oldest_first() -> None:
    """Same 64-token prefix: the second request computes only what lies beyond it; a stranger in between evicts it."""
    starts, shared, other = np.array([0, 4, 8]), np.arange(4), np.arange(4, 8)
    limits = {"prefix_caching": True, "kv_blocks": 8, "block_size_tokens": 16}
    again = requests([0.0, 10.0], [70, 70], [2, 2], prefix_start=starts, prefix_id=np.tile(shared, 2),
                     prefix_block_tokens=16)  # fmt: skip
    run = simulate(again, pool(unit_surface(), **limits))
    assert run.cached_tokens.tolist() == [0, 64]
    assert int(run.replicas.prefill_tokens[0]) == 70 + 6
    starts = np.array([0, 4, 8, 12])
    between = requests([0.0, 10.0, 20.0], [70, 70, 70], [2, 2, 2], prefix_start=starts,
                       prefix_id=np.concatenate([shared, other, shared]), prefix_block_tokens=16)  # fmt: skip
    run = simulate(between, pool(unit_surface(), **limits))
    assert run.cached_tokens.tolist()[:2] == [0, 0]
    assert 0 < run.cached_tokens[2] < 64  # the end of the prefix went first
    roomy = simulate(between, pool(unit_surface(), **(limits | {"kv_blocks": 40})))
    assert roomy.cached_tokens.tolist() == [0, 0, 64]


def test_running_requests_share_the_blocks_of_their_prefix() -> None:
    ids = np.tile(np.arange(8), 5)
    trace = requests([0.0, 5.0, 5.0, 5.0, 5.0], [130] * 5, [60] * 5, prefix_start=np.arange(6) * 8, prefix_id=ids,
                     prefix_block_tokens=16)  # fmt: skip
    cached = simulate(trace, pool(unit_surface(), prefix_caching=True))
    plain = simulate(trace, pool(unit_surface()))
    assert int(plain.replicas.kv_blocks_max[0]) - int(cached.replicas.kv_blocks_max[0]) == 4 * 8


def test_prefix_aware_router_finds_the_replica_that_knows_the_prompt() -> None:
    rng = np.random.default_rng(0)
    family = rng.integers(0, 12, 300)
    ids = np.concatenate([f * 10 + np.arange(10) for f in family])
    trace = requests(np.cumsum(rng.exponential(0.05, 300)), [170] * 300, [20] * 300, prefix_start=np.arange(301) * 10,
                     prefix_id=ids, prefix_block_tokens=16)  # fmt: skip
    small = pool(replicas=3, prefix_caching=True, kv_blocks=60)
    aware = simulate(trace, small, router="prefix-aware")
    blind = simulate(trace, small, router="round-robin")
    assert aware.cached_tokens.sum() > 1.2 * blind.cached_tokens.sum()
    assert len(np.unique(aware.replica)) == 3


def test_given_hits_are_not_computed() -> None:
    trace = requests([0.0, 5.0], [100, 100], [2, 2], hit_tokens=np.array([60, 100]))
    run = simulate(trace, pool(unit_surface()))
    assert run.cached_tokens.tolist() == [60, 99]  # the last token is always computed
    assert int(run.replicas.prefill_tokens[0]) == 41


@settings(max_examples=30, deadline=None)
@given(allowed=st.integers(0, 200), ttft=st.floats(0.01, 3.0))
def test_early_stop_agrees_with_the_full_run(allowed: int, ttft: float) -> None:
    trace, step = chat(300, 30.0), pool()
    bounds = np.array([[ttft, 0.03, np.inf, np.inf]])
    full = simulate(trace, step)
    lost = int((~attained(full, bounds)).sum()) > allowed
    stop = EarlyStop(request_bounds=bounds[:, :3], allowed_misses=allowed)
    assert simulate(trace, step, early_stop=stop).stopped_early == lost


def test_steps_beyond_the_surface_are_counted() -> None:
    run = simulate(
        requests([0.0], [4000], [5]), pool(surface(decode_context_grid=np.array([1.0, 9.0, 90.0, 900, 990])))
    )
    assert run.steps_outside == 4


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"max_model_len": 50}, InputError, "max_model_len"),
        ({"kv_blocks": 5}, InfeasibleError, "KV blocks"),
        ({"max_num_batched_tokens": 32}, InputError, "max_num_batched_tokens"),
        ({"chunked_prefill": False, "max_num_batched_tokens": 99}, InputError, "chunked"),
        ({"max_num_seqs": 300, "max_num_batched_tokens": 400}, InputError, "surface"),
    ],
)
def test_impossible_limits_are_refused_by_name(changes: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        simulate(requests([0.0, 1.0], [10, 90], [5, 20]), pool(**changes))


@pytest.mark.parametrize(
    ("arrival", "prompt", "output", "words"),
    [
        ([], [], [], "no request"),
        ([1.0, 0.5], [5, 5], [5, 5], "request 1: arrival_s"),
        ([0.0, np.nan], [5, 5], [5, 5], "request 1: arrival_s"),
        ([0.0], [0], [5], "prompt_tokens"),
        ([0.0], [5], [0], "output_tokens"),
    ],
)
def test_wrong_traces_are_refused(arrival: list[float], prompt: list[int], output: list[int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        simulate(requests(arrival, prompt, output), pool())
