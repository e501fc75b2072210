"""The kernel against a hand-computed timeline, a second engine, its own pure Python form, and conservation laws."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.serving import (
    ClosedLoop,
    Patience,
    Requests,
    Run,
    Speculative,
    Transfer,
    simulate,
    simulation,
)
from predictors.serving.kernel import run_kernel
from predictors.serving.state import World
from tests.predictors.serving.plain_engine import serve_plainly
from tests.predictors.serving.worlds import chat, pool, requests, surface, unit_surface


def test_three_requests_by_hand() -> None:
    """One second a step, 10 tokens a step, 2 sequences; block 4.

    t=0: A's prompt of 6 and the first 4 of B's 8. t=1: A decodes, B's last 4; t=2: both decode; A's third token ends
    it at t=3. C, arrived at 0.5, finds a place at t=3; B, with 4 tokens, ends at t=5.
    """
    run = simulate(
        requests([0.0, 0.0, 0.5], [6, 8, 3], [3, 4, 2]),
        pool(unit_surface(), max_num_seqs=2, max_num_batched_tokens=10, block_size_tokens=4),
    )
    np.testing.assert_allclose(run.queue_s, [0.0, 0.0, 2.5])
    np.testing.assert_allclose(run.ttft_s, [1.0, 2.0, 3.5])
    np.testing.assert_allclose(run.e2e_s, [3.0, 5.0, 4.5])
    np.testing.assert_allclose(run.tpot_s, [1.0, 1.0, 1.0])
    assert run.replicas.steps.tolist() == [5]
    assert run.replicas.kv_blocks_max.tolist() == [5]


traces = st.lists(st.tuples(st.floats(0.0, 0.05), st.integers(1, 90), st.integers(1, 40)), min_size=1, max_size=25).map(
    lambda rows: requests(np.cumsum([r[0] for r in rows]), [r[1] for r in rows], [r[2] for r in rows])
)


@settings(max_examples=150, deadline=None)
@given(
    trace=traces,
    max_seqs=st.integers(1, 12),
    budget=st.integers(12, 120),
    block=st.sampled_from([1, 4, 16]),
    room=st.integers(0, 40),
    overlap=st.booleans(),
    ahead=st.booleans(),
)
def test_equals_a_plain_engine(
    trace: Requests, max_seqs: int, budget: int, block: int, room: int, overlap: bool, ahead: bool
) -> None:
    """Same token times as the list-based scheduler, with little KV (so with preemption), any budget and block size."""
    longest = int((trace.prompt_tokens + trace.output_tokens).max())
    tight = pool(
        surface(overlap=overlap, ahead=ahead),
        max_num_seqs=max_seqs,
        max_num_batched_tokens=budget,
        block_size_tokens=block,
        kv_blocks=-(-longest // block) + room * 16 // block,
    )
    run, plain = simulate(trace, tight), serve_plainly(trace, tight)
    first = [s.times[0] - s.arrival_s for s in plain]
    last = [s.times[-1] - s.arrival_s for s in plain]
    np.testing.assert_allclose(run.queue_s, [(s.started_s or 0.0) - s.arrival_s for s in plain], atol=1e-9)
    np.testing.assert_allclose(run.ttft_s, first, rtol=1e-9)
    np.testing.assert_allclose(run.e2e_s, last, rtol=1e-9)
    np.testing.assert_allclose(run.longest_gap_s, [max(np.diff(s.times), default=0.0) for s in plain], atol=1e-9)
    assert run.preemptions.tolist() == [s.preemptions for s in plain]
    assert int(run.gap_counts.sum()) == sum(s.output - 1 for s in plain)


def test_gap_histogram_holds_every_gap_within_its_width() -> None:
    trace = chat(60, 8.0)
    run, plain = simulate(trace, pool()), serve_plainly(trace, pool())
    gaps = np.sort(np.concatenate([np.diff(s.times) for s in plain]))
    counted = np.repeat(run.gap_edges_s[:-1], run.gap_counts)
    assert len(counted) == len(gaps)
    assert (counted <= gaps * (1 + 1e-9)).all()
    assert (gaps <= counted * 1.0182).all()


FEATURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "whole prompts": {"limits": {"chunked_prefill": False, "max_num_batched_tokens": 4096}},
    "little KV": {"limits": {"kv_blocks": 300}},
    "round-robin": {"replicas": 3, "router": "round-robin"},
    "single queue": {"replicas": 3, "router": "single-queue"},
    "ahead": {"surface": {"ahead": True}, "limits": {"kv_blocks": 400, "max_num_seqs": 20}},
    "ahead, disaggregated": {"surface": {"ahead": True}, "decode": {}, "patience": Patience(abort_s=3.0)},
    "pipeline": {"surface": {"stages": 3, "stage_share": 0.4}, "limits": {"kv_blocks": 400}},
    "closed loop": {"closed_loop": ClosedLoop(concurrency=24, start_spread_s=1.0, client_delay_s=0.01)},
    "speculative": {"speculative": Speculative(draft_tokens=3, acceptance=0.7), "limits": {"kv_blocks": 300}},
    "impatient": {"patience": Patience(max_waiting=20, queue_timeout_s=2.0, abort_s=4.0), "limits": {"kv_blocks": 300}},
    "impatient whole": {
        "patience": Patience(queue_timeout_s=1.0, abort_s=2.5),
        "limits": {"chunked_prefill": False, "max_num_batched_tokens": 4096, "kv_blocks": 400},
    },
    "disaggregated": {"decode": {}, "transfer": Transfer(latency_s=0.002, s_per_token=1e-5)},
    "disaggregated, little KV": {
        "decode": {"kv_blocks": 300},
        "limits": {"kv_blocks": 300},
        "transfer": Transfer(s_per_token=1e-4),
        "patience": Patience(abort_s=5.0),
    },
    "disaggregated, whole prompts": {
        "decode": {"chunked_prefill": False, "max_num_batched_tokens": 4096, "kv_blocks": 300},
        "transfer": Transfer(s_per_token=1e-4),
        "closed_loop": ClosedLoop(concurrency=40),
    },
    "prefix cache": {"hashes": True, "replicas": 2, "router": "prefix-aware", "limits": {"kv_blocks": 400}},
    "prefix cache, pipeline": {"hashes": True, "surface": {"stages": 2}, "limits": {"kv_blocks": 400}},
    "prefix cache, disaggregated": {"hashes": True, "decode": {}, "patience": Patience(abort_s=3.0)},
}


def _simulate(feature: dict[str, Any], n: int = 150, rate_per_s: float = 25.0) -> tuple[Requests, Any, Run]:
    trace = chat(n, rate_per_s)
    limits = dict(feature.get("limits", {}))
    if feature.get("hashes"):
        counts = trace.prompt_tokens // 64
        starts = np.concatenate([[0], np.cumsum(counts)])
        ids = np.concatenate([100 * (i % 9) + np.arange(c) for i, c in enumerate(counts)])
        trace = replace(trace, prefix_start=starts, prefix_id=ids, prefix_block_tokens=64)
        limits["prefix_caching"] = True
    mixed = pool(surface(**feature.get("surface", {})), replicas=feature.get("replicas", 1), **limits)
    pools = (mixed, pool(replicas=2, **feature["decode"])) if "decode" in feature else mixed
    options = {k: feature[k] for k in ("router", "closed_loop", "speculative", "patience", "transfer") if k in feature}
    return trace, pools, simulate(trace, pools, **options)


@pytest.mark.parametrize("name", FEATURES)
def test_nothing_is_lost_and_all_is_given_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request ends once, tokens balance, and at the end no list, bucket or block is held."""
    worlds: list[World] = []

    def kept(world: World) -> None:
        run_kernel(world)
        worlds.append(world)

    monkeypatch.setattr(simulation, "run_kernel", kept)
    trace, _, run = _simulate(FEATURES[name])
    world, rep = worlds[0], worlds[0].replicas
    done = run.status == 1
    assert (run.status > 0).all()
    assert (run.tokens[done] == trace.output_tokens[done]).all()
    assert (run.tokens <= trace.output_tokens).all()
    assert (rep["free"] + rep["evictable"] == rep["total"]).all()
    assert (rep["kv_max"] <= rep["total"]).all()
    assert (rep["kv_max"] > 0).all()
    assert (rep["running"] == 0).all()
    assert (rep["waiting"] == 0).all()
    assert (world.lanes["decoding"] == 0).all()
    assert (world.lanes["context"] == 0).all()
    assert (world.lanes["run_head"] == -1).all()
    assert (world.lanes["partial"] == -1).all()
    assert (world.cached["users"] == 0).all()
    if name not in ("impatient", "impatient whole") and "abort" not in str(FEATURES[name]):
        assert done.all()
        assert int(run.gap_counts.sum()) <= int((trace.output_tokens - 1).sum())
    assert (np.diff([run.queue_s, run.ttft_s, run.e2e_s], axis=0)[:, done] >= 0).all()


OBSERVED = ("queue_s", "ttft_s", "e2e_s", "tokens", "status", "replica", "preemptions", "longest_gap_s")


def _observe(n: int = 40) -> dict[str, np.ndarray]:
    runs = {name: _simulate(feature, n=n)[2] for name, feature in FEATURES.items()}
    return {f"{name}: {field}": getattr(run, field) for name, run in runs.items() for field in OBSERVED}


def test_compiled_equals_pure_python(tmp_path: Path) -> None:
    """The same source, uncompiled, in a process of its own."""
    root = Path(__file__).parents[3]
    code = (
        "import sys, types; own = types.ModuleType('tests'); own.__path__ = ['tests']; sys.modules['tests'] = own;"
        "from tests.predictors.serving import test_kernel as t; t.np.savez(sys.argv[1], **t._observe())"
    )  # an installed package may ship a folder `tests` of its own, which would be found instead
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code, tmp_path / "pure.npz"], check=True, env=environment, cwd=root)
    pure = np.load(tmp_path / "pure.npz")
    for name, values in _observe().items():
        np.testing.assert_array_equal(values, pure[name], err_msg=name)


def test_same_inputs_same_run() -> None:
    runs = [_simulate(FEATURES["speculative"])[2] for _ in range(2)]
    np.testing.assert_array_equal(runs[0].e2e_s, runs[1].e2e_s)
