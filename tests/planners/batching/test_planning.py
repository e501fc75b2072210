"""What a batching plan decides, on workloads where the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from planners.batching import plan
from planners.batching.bucketing import limits_of, routed_ways, shares
from planners.batching.planning import CONTINUOUS, choose
from planners.batching.question import Asked, Question, read_question
from planners.batching.trials import attempt
from solvers.partitions import padding_waste
from specs.base import plain
from specs.batching import BatchingPlan

WORKLOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {name: mixed}
spec:
  model: llama-3.1-8b
  arrivals: {trace: trace.csv}
  lengths: {from: trace}
  slo: {attainment: 0.9, request: {ttft_s: 1.0, tpot_s: 0.05}}
"""
SPLIT = """apiVersion: tonnage/v1
kind: Deployment
metadata: {name: split}
spec:
  model: llama-3.1-8b
  device: a100-80gb
  roles: {prefill: {replicas: 1}, decode: {replicas: 1}}
  engine: {max_num_seqs: 64, max_num_batched_tokens: 8192, max_model_len: 8192}
"""
MIXED = SPLIT.replace("roles: {prefill: {replicas: 1}, decode: {replicas: 1}}", "replicas: 2").replace("split", "two")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batching")
    rng = np.random.default_rng(5)
    arrival = np.cumsum(rng.exponential(0.5, 400))
    long = rng.random(400) < 0.4
    prompt = np.where(long, rng.integers(2000, 3000, 400), rng.integers(40, 200, 400))
    output = np.where(long, rng.integers(20, 60, 400), rng.integers(100, 200, 400))
    rows = [f"{a:.3f},{p},{o}" for a, p, o in zip(arrival, prompt, output, strict=True)]
    (folder / "trace.csv").write_text("arrival_s,prompt_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    (folder / "workload.yaml").write_text(WORKLOAD)
    (folder / "split.yaml").write_text(SPLIT)
    (folder / "two.yaml").write_text(MIXED)
    return folder


def planned(folder: Path, deployment: str = "split.yaml", **asked: object) -> BatchingPlan:
    return plan(folder / "workload.yaml", folder / deployment, asked=Asked(**asked))  # type: ignore[arg-type]


def question(folder: Path, deployment: str = "split.yaml", **asked: object) -> Question:
    return read_question(folder / "workload.yaml", folder / deployment, Asked(**asked))  # type: ignore[arg-type]


def test_a_padded_back_end_is_bucketed_and_gains_load(folder: Path) -> None:
    found = planned(folder, back_end="padded")
    assert found.decision is not None
    assert found.expected is not None
    assert found.expected.load is not None
    assert found.expected.plain.load is not None
    assert found.decision.method == "bucket"
    assert not found.decision.do_not_bucket
    assert found.expected.load.value > 1.2 * found.expected.plain.load
    assert found.expected.prompt_waste.value < found.expected.plain.prompt_waste
    assert sum(bucket.share for bucket in found.decision.buckets) == pytest.approx(1.0, abs=1e-3)
    assert found.decision.buckets[-1].hi >= 2990


def test_a_ragged_back_end_is_not_bucketed_and_the_reason_has_figures(folder: Path) -> None:
    found = planned(folder, back_end="ragged", method="bucket")
    assert found.decision is not None
    assert found.expected is not None
    assert found.why is not None
    assert found.decision.do_not_bucket
    assert found.decision.method == "none"
    assert found.expected.prompt_waste.value == 0.0
    assert "pads nothing" in found.why.reason
    assert "% in vain" in found.why.reason


def test_the_same_question_gives_the_same_plan(folder: Path) -> None:
    first, second = (plain(planned(folder, method="bucket", boundaries="optimal", buckets=3)) for _ in range(2))
    for one in (first, second):
        one["metadata"].pop("created")
        one["status"]["solver"].pop("seconds")
    assert first == second


def test_the_exact_boundaries_never_waste_more_and_buckets_only_help(folder: Path) -> None:
    rows = planned(folder, back_end="padded", method="bucket", buckets=6, boundaries="optimal").why
    assert rows is not None
    wastes = [row.optimal for row in rows.boundaries]
    assert wastes == sorted(wastes, reverse=True)
    for row in rows.boundaries:
        assert row.optimal <= min(row.midpoint, row.quantile) + 1e-4


def test_every_rule_of_uellm_is_tried_where_batches_are_whole(folder: Path) -> None:
    found = planned(folder, "two.yaml", back_end="padded", method="slo-odbs")
    assert found.why is not None
    assert {one.method for one in found.why.compared} >= {"fcfs", "odbs", "slo-dbs", "slo-odbs", "s3"}
    assert found.why.exact is not None
    late = [int(text.split(" ")[0]) for text in found.why.exact.rules.values()]
    assert found.why.exact.late <= min(late)
    split = planned(folder, method="slo-odbs", back_end="padded")
    assert split.why is not None
    assert any("do not apply" in note for note in split.why.notes)


def test_fcfs_alone_compares_nothing_else(folder: Path) -> None:
    found = planned(folder, method="fcfs")
    assert found.why is not None
    assert [one.method for one in found.why.compared] == ["fcfs"]


def test_a_batch_is_limited_by_free_memory_in_both_forms(folder: Path) -> None:
    """S_max: ⌊0.9 · free / bound⌋ for prompts alone; paged: free / mean blocks, which is more in a wide bucket."""
    asked = question(folder, kv_form="smax", back_end="padded")
    uppers = np.asarray([200.0, 3000.0])
    limits = limits_of(asked, uppers)
    assert limits.smax.tolist() == [min(64, int(0.9 * asked.kv_tokens / u)) for u in uppers]
    assert (limits.paged >= limits.smax).all()
    assert (limits.used <= limits.smax).all()
    assert shares(asked, uppers).sum() == pytest.approx(1.0)


def test_a_tighter_first_token_bound_allows_smaller_batches(folder: Path) -> None:
    asked = question(folder, back_end="padded")
    uppers = np.asarray([200.0, 3000.0])
    text = (folder / "workload.yaml").read_text()
    (folder / "tight.yaml").write_text(text.replace("ttft_s: 1.0", "ttft_s: 0.3"))
    tight = read_question(folder / "tight.yaml", folder / "split.yaml", Asked(back_end="padded"))
    assert (limits_of(tight, uppers).used <= limits_of(asked, uppers).used).all()
    assert limits_of(tight, uppers).used[1] < limits_of(asked, uppers).used[1]


def test_buckets_as_routes_serve_every_request_once(folder: Path) -> None:
    asked = question(folder, "two.yaml")
    ways = routed_ways(asked)
    assert [way.routed for way in ways] == [(1, 1)]
    found = attempt(asked, ways[0])
    own = attempt(asked, CONTINUOUS)
    assert (found.run.tokens == own.run.tokens).all()
    assert np.isfinite(found.run.e2e_s).all()
    assert set(found.run.replica.tolist()) == {0, 1}
    short = asked.requests.prompt_tokens <= ways[0].uppers[0]  # type: ignore[index]
    assert (found.run.replica[short] == 0).all()


def test_the_plain_way_is_the_widest_single_bucket(folder: Path) -> None:
    asked = question(folder, back_end="padded", method="bucket", boundaries="200,3000")
    chosen = choose(asked, lambda done, total, what: None)
    prompts = asked.requests.prompt_tokens
    assert chosen.plain.way.uppers is not None
    assert chosen.plain.way.uppers.tolist() == [float(prompts.max())]
    assert padding_waste(prompts, [200.0, 3000.0]) < padding_waste(prompts, chosen.plain.way.uppers)
    assert chosen.best_load >= chosen.plain_load


def test_a_load_that_nothing_holds_is_infeasible_and_says_how_much_would_do(folder: Path) -> None:
    text = (folder / "workload.yaml").read_text()
    (folder / "heavy.yaml").write_text(text.replace("{trace: trace.csv}", "{trace: trace.csv, scale: 12}"))
    found = plan(folder / "heavy.yaml", folder / "split.yaml", asked=Asked(method="bucket", boundaries="optimal"))
    assert found.status.outcome == "infeasible"
    assert found.decision is None
    assert found.status.conflicts[0].startswith("attainment ")
    assert found.status.smallest_change is not None
    assert "× this load would hold the attainment" in found.status.smallest_change
