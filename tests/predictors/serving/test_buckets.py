"""Batches before serving: against queueing theory, a plain replay of the rules, and the engine kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.queueing import kiefer_wolfowitz
from predictors.serving import EngineLimits, Pool, Requests, StepSurface, simulate
from predictors.serving.buckets import BatchPolicy, Padding, batch_times, serve_prefilled, serve_whole
from solvers.batches import ODBS_THRESHOLD, pack, serve_in_turn
from specs.errors import InfeasibleError, InputError

LIMITS = EngineLimits(max_num_seqs=64, max_num_batched_tokens=8192, kv_blocks=10_000)
ONE_QUEUE = BatchPolicy(uppers=np.asarray([4096.0]), max_batch=np.asarray([1]))


def surface(base_s: float = 0.0, token_s: float = 1e-3, row_s: float = 0.0, attention_s: float = 0.0) -> StepSurface:
    """A step of base + tokens · token_s + rows · row_s, and prefill attention quadratic at its grid points."""
    grid = np.asarray([1.0, 100.0, 200.0, 400.0, 8192.0])
    rows, none = row_s * np.arange(65.0), np.zeros(65)
    one = np.ones(1)
    return StepSurface(
        base_s + token_s * np.arange(8193.0), rows, none, one, one, np.zeros((1, 1)), grid, one,
        attention_s * grid[:, None] ** 2,
    )  # fmt: skip


def requests(n: int = 300, rate_per_s: float = 2.0, seed: int = 0) -> Requests:
    rng = np.random.default_rng(seed)
    return Requests(
        arrival_s=np.cumsum(rng.exponential(1.0 / rate_per_s, n)),
        prompt_tokens=rng.integers(1, 1000, n),
        output_tokens=rng.integers(1, 60, n),
    )


@pytest.mark.parametrize("servers", [1, 3])
def test_batches_of_one_wait_as_in_a_queue_with_so_many_servers(servers: int) -> None:
    asked = requests(rate_per_s=1.6 * servers)
    pool = Pool(surface=surface(), limits=LIMITS, replicas=servers)
    asked = replace(asked, output_tokens=np.ones(len(asked), dtype=np.int64))
    run, totals = serve_whole(asked, pool, ONE_QUEUE)
    exact = kiefer_wolfowitz(asked.arrival_s, np.asarray(asked.prompt_tokens * 1e-3, dtype=np.float64), servers)
    assert np.abs(run.queue_s - exact).max() < 1e-9
    assert totals.batches == len(asked)
    assert totals.prompt_waste == 0.0


def test_a_padded_batch_costs_its_size_times_its_longest() -> None:
    asked = Requests(
        arrival_s=np.zeros(3), prompt_tokens=np.asarray([100, 200, 400]), output_tokens=np.asarray([1, 5, 3])
    )
    pool = Pool(surface=surface(0.01, 1e-4, 1e-3, 1e-8), limits=LIMITS)
    policy = replace(ONE_QUEUE, max_batch=np.asarray([3]))
    found = {}
    cases: tuple[tuple[Padding, int, float], ...] = (
        ("none", 700, 1e4 + 4e4 + 16e4), ("longest", 1200, 3 * 16e4), ("bound", 1500, 3 * 400 * 625.0)
    )  # fmt: skip
    for padding, rows, attention in cases:
        bounded = replace(policy, padding=padding, uppers=np.asarray([500.0 if padding == "bound" else 4096.0]))
        run, totals = serve_whole(asked, pool, bounded)
        found[padding] = totals.prompt_waste
        if padding != "bound":
            assert run.ttft_s == pytest.approx(0.01 + 1e-4 * rows + 3e-3 + 1e-8 * attention)
        # four decode steps of three rows, whatever the batch's own shorter answers
        assert run.e2e_s - run.ttft_s == pytest.approx(4 * (0.01 + 3e-4 + 3e-3))
        assert totals.decode_waste == pytest.approx(1 - 9 / 15)
    assert found == pytest.approx({"none": 0.0, "longest": 1 - 700 / 1200, "bound": 1 - 700 / 1500})


def test_the_duration_of_a_batch_is_that_of_the_loop() -> None:
    pool = Pool(surface=surface(0.01, 1e-4, 1e-3, 1e-8), limits=LIMITS)
    asked = Requests(arrival_s=np.zeros(5), prompt_tokens=np.full(5, 300), output_tokens=np.full(5, 40))
    run, _ = serve_whole(asked, pool, replace(ONE_QUEUE, max_batch=np.asarray([5])))
    prefill, decode = batch_times(pool, np.asarray([5]), np.asarray([300]), np.asarray([40]))
    assert run.ttft_s[0] == pytest.approx(prefill[0])
    assert run.e2e_s[0] == pytest.approx(prefill[0] + decode[0])


@pytest.mark.parametrize("rule", ["fcfs", "odbs", "slo-odbs", "s3"])
def test_a_backlog_is_batched_as_the_rules_say(rule: str) -> None:
    """All at once on one server: the loop and `solvers.batches.pack` form the same batches."""
    rng = np.random.default_rng(3)
    n = 60
    output, deadline = rng.integers(1, 900, n), rng.uniform(50, 300, n)
    asked = Requests(arrival_s=np.zeros(n), prompt_tokens=np.ones(n, dtype=np.int64), output_tokens=output)
    key = {"fcfs": np.arange(n), "odbs": output, "slo-odbs": deadline + 0.5 * output, "s3": output}[rule]
    threshold = np.inf if rule in ("fcfs", "s3") else ODBS_THRESHOLD
    total, most = (1024.0, 20) if rule == "s3" else (np.inf, 10)
    pool = Pool(surface=surface(0.02, 1e-3), limits=LIMITS)
    policy = BatchPolicy(
        uppers=np.ones(1), max_batch=np.asarray([most]), key=key.astype(float), threshold=threshold, total=total,
        expected=output.astype(float),
    )  # fmt: skip
    run, totals = serve_whole(asked, pool, policy)
    packed = pack(key, output, most=most, threshold=threshold, total=total)
    times = batch_times(pool, packed.sizes, np.ones(len(packed)), packed.longest(output))
    plain = serve_in_turn(packed, times[0] + times[1], deadline)
    assert totals.batches == len(packed)
    assert run.e2e_s == pytest.approx(plain.finish_s)


def test_a_batch_holds_what_memory_allows() -> None:
    asked = Requests(arrival_s=np.zeros(8), prompt_tokens=np.full(8, 100), output_tokens=np.full(8, 10))
    pool = Pool(surface=surface(), limits=LIMITS)
    policy = replace(ONE_QUEUE, max_batch=np.asarray([8]), reserve=np.full(8, 20))
    sizes = {
        (paged, kv): serve_whole(asked, pool, replace(policy, paged=paged, kv_tokens=kv))[1].mean_size
        for paged in (True, False)
        for kv in (480, 960)
    }
    # 100 + 20 tokens are 120 padded, or 8 blocks of 16: 128
    assert sizes == {(True, 480): 8 / 3, (True, 960): 8 / 2, (False, 480): 4.0, (False, 960): 8.0}


def test_the_order_decides_who_waits() -> None:
    asked = requests(rate_per_s=2.4)
    pool = Pool(surface=surface(), limits=LIMITS)
    prompts = asked.prompt_tokens.astype(float)
    short = serve_whole(asked, pool, replace(ONE_QUEUE, key=prompts))[0]
    long = serve_whole(asked, pool, replace(ONE_QUEUE, key=-prompts))[0]
    first = serve_whole(asked, pool, ONE_QUEUE)[0]
    assert short.queue_s.mean() < first.queue_s.mean() < long.queue_s.mean()


def test_a_held_batch_waits_for_its_limit_or_its_time() -> None:
    asked = Requests(
        arrival_s=np.asarray([0.0, 1.0, 2.0, 30.0, 50.0]),
        prompt_tokens=np.ones(5, dtype=np.int64), output_tokens=np.ones(5, dtype=np.int64),
    )  # fmt: skip
    pool = Pool(surface=surface(), limits=LIMITS)
    run, _ = serve_whole(asked, pool, replace(ONE_QUEUE, max_batch=np.asarray([3]), hold_s=10.0))
    # three fill a batch at 2; one waits its ten seconds; after the last arrival nothing is waited for
    assert run.queue_s == pytest.approx([2.0, 1.0, 0.0, 10.0, 0.0])


def test_algorithm_1_splits_a_long_queue_and_merges_a_short_one() -> None:
    rng = np.random.default_rng(1)
    n = 400
    late = np.arange(20) * 100.0 + 2000.0
    asked = Requests(
        arrival_s=np.concatenate([np.zeros(n), late]),
        prompt_tokens=rng.integers(1, 200, n + 20), output_tokens=np.ones(n + 20, dtype=np.int64),
    )  # fmt: skip
    pool = Pool(surface=surface(), limits=LIMITS)
    policy = replace(ONE_QUEUE, max_batch=np.asarray([16]), most_queued=20)
    _, online = serve_whole(asked, pool, policy)
    _, fixed = serve_whole(asked, pool, replace(policy, most_queued=None))
    assert online.splits > 0
    assert online.merges >= 1
    assert online.prompt_waste < fixed.prompt_waste


def test_decode_after_prefill_is_the_engine_kernels() -> None:
    """Batches of one prompt in order of arrival, unpadded: the same as a prefill pool of the kernel."""
    asked = requests(n=200, rate_per_s=1.5)
    one = replace(LIMITS, max_num_seqs=1)
    pools = (Pool(surface=surface(0.001), limits=one), Pool(surface=surface(0.01, 1e-5, 1e-4), limits=LIMITS))
    ours = serve_prefilled(asked, pools, replace(ONE_QUEUE, padding="none"))[0]
    kernel = simulate(asked, pools)
    assert ours.ttft_s == pytest.approx(kernel.ttft_s)
    assert ours.e2e_s == pytest.approx(kernel.e2e_s, abs=1e-5)


def test_bounds_that_leave_a_prompt_uncovered_are_refused() -> None:
    asked = Requests(arrival_s=np.zeros(2), prompt_tokens=np.asarray([10, 900]), output_tokens=np.ones(2, np.int64))
    pool = Pool(surface=surface(), limits=LIMITS)
    with pytest.raises(InputError, match="buckets end at 800 tokens, and 1 requests have longer prompts, up to 900"):
        serve_whole(asked, pool, replace(ONE_QUEUE, uppers=np.asarray([800.0])))
    with pytest.raises(InputError, match="must lie between 1 and max_num_seqs"):
        serve_whole(asked, pool, replace(ONE_QUEUE, max_batch=np.asarray([65])))
    with pytest.raises(InfeasibleError):
        serve_whole(asked, replace(pool, limits=replace(LIMITS, kv_blocks=10)), ONE_QUEUE)


def test_the_same_question_gives_the_same_run() -> None:
    """Nothing is kept between runs."""
    asked, pool = requests(n=100), Pool(surface=surface(), limits=LIMITS)
    policy = BatchPolicy(uppers=np.asarray([300.0, 4096.0]), max_batch=np.asarray([8, 4]))
    first, second = serve_whole(asked, pool, policy)[0], serve_whole(asked, pool, policy)[0]
    assert np.array_equal(first.e2e_s, second.e2e_s)


PURE = """
import numpy as np
from tests_of_buckets import observed
np.save("pure.npy", observed())
"""


def observed() -> np.ndarray:
    """Times of a run that splits, merges, holds and orders."""
    asked = requests(n=60)
    pool = Pool(surface=surface(0.01, 1e-4, 1e-3, 1e-8), limits=LIMITS, replicas=2)
    policy = replace(
        ONE_QUEUE, max_batch=np.asarray([8]), most_queued=3, hold_s=0.2, key=asked.prompt_tokens.astype(float)
    )
    run = serve_whole(asked, pool, policy)[0]
    return np.stack([run.ttft_s, run.e2e_s])


def test_compiled_equals_pure_python(tmp_path: Path) -> None:
    """The same source, uncompiled, in a process of its own."""
    root = Path(__file__).parents[3]
    (tmp_path / "tests_of_buckets.py").write_text(Path(__file__).read_text())
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{root}{os.pathsep}{tmp_path}"}
    subprocess.run([sys.executable, "-c", PURE], check=True, env=environment, cwd=tmp_path)
    np.testing.assert_array_equal(observed(), np.load(tmp_path / "pure.npy"))
