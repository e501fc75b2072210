from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from planners.serving import plan
from planners.serving.candidates import Limits, Part
from planners.serving.mix import MIX_LIMITS, cells, slice_edges, steady_rate
from planners.serving.planning import every_layout
from planners.serving.question import Question, read_question
from planners.serving.serve import Workbench, join, select, serve, served_by
from tests.planners.serving.documents import cluster, pool, workload

TTFT_BETWEEN = "{ttft_s: {p99: 0.32}, tpot_s: {p99: 0.06}}"


@pytest.fixture
def question(tmp_path: Path) -> Question:
    return read_question(
        workload(tmp_path), cluster(tmp_path), objective="cost", confidence=0.8, survive=None, require=None,
        profiles=(), seed=0,
    )  # fmt: skip


def test_slices_hold_every_request_once(question: Question) -> None:
    edges = slice_edges(question)
    parts = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    layout = every_layout(question)[0]
    chosen = [
        served_by(Part(layout=layout, limits=MIX_LIMITS[0], replicas=1, prompts=(one,)), question.requests)
        for one in parts
    ]
    assert (np.sum(chosen, axis=0) == 1).all()
    sizes = np.sum(chosen, axis=1)
    assert sizes.max() <= 2 * sizes.min()


def test_a_mix_of_equal_pools_serves_each_request_as_its_own_pool_would(question: Question) -> None:
    bench, layout = Workbench(question), every_layout(question)[0]
    middle = int(np.median(question.requests.prompt_tokens))
    limits = Limits(64, 2048, 0.9)
    halves = tuple(
        Part(layout=layout, limits=limits, replicas=1, prompts=(one,)) for one in ((0, middle), (middle, 10**6))
    )
    joined = serve(bench, halves)
    assert np.array_equal(joined.arrival_s, question.requests.arrival_s)
    for half in halves:
        chosen = served_by(half, question.requests)
        alone = serve(bench, (Part(layout=layout, limits=limits, replicas=1),), question=_only(question, chosen))
        assert np.array_equal(joined.e2e_s[chosen], alone.e2e_s)
    assert join([(np.ones(3, dtype=bool), joined)]) is joined


def _only(question: Question, chosen: np.ndarray) -> Question:
    from dataclasses import replace

    return replace(question, requests=select(question.requests, chosen))


def test_longer_answers_and_prompts_are_served_at_lower_rates(question: Question) -> None:
    bench, layout = Workbench(question), every_layout(question)[0]
    rates = [steady_rate(bench, layout, *size) for size in ((200.0, 100.0), (200.0, 400.0), (2000.0, 400.0))]
    assert rates[0] > rates[1] > rates[2] > 0


def test_a_steady_rate_is_what_the_simulator_carries(question: Question, tmp_path: Path) -> None:
    """At 60 % of the closed form a replica keeps up; at 160 % its queue grows without end."""
    bench = Workbench(question)
    layout = next(one for one in every_layout(question) if one.label == "h100 tp 1")
    rate = steady_rate(bench, layout, 700.0, 120.0)
    delays = []
    for share in (0.6, 1.6):
        arrivals = f"{{rate_per_s: {share * rate}, duration_s: 60}}"
        path = workload(tmp_path, arrivals=arrivals)
        path.write_text(path.read_text().replace("{lognormal: {mean: 700, p99: 3000}}", "{constant: 700}"))
        path.write_text(path.read_text().replace("{lognormal: {mean: 120, p99: 500}}", "{constant: 120}"))
        asked = read_question(
            path, cluster(tmp_path), objective="cost", confidence=0.8, survive=None, require=None, profiles=(), seed=0
        )
        run = serve(bench, (Part(layout=layout, limits=Limits(256, 8192, 0.9), replicas=1),), "planned", question=asked)
        delays.append(float(np.quantile(run.ttft_s, 0.9)))
    assert delays[0] < 1.0 < delays[1]


def test_a_pool_too_slow_for_long_prompts_serves_none_of_them(question: Question, tmp_path: Path) -> None:
    asked = read_question(
        workload(tmp_path, slo=TTFT_BETWEEN), cluster(tmp_path), objective="cost", confidence=0.8, survive=None,
        require=None, profiles=(), seed=0,
    )  # fmt: skip
    slow = next(one for one in every_layout(asked) if one.label == "l40s tp 1")
    _, throughput = cells(Workbench(asked), [slow], slice_edges(asked))
    assert throughput[0, 0] > 0
    assert throughput[-1, 0] == 0


def test_pools_that_cannot_serve_alone_serve_together(tmp_path: Path) -> None:
    """L40S alone breaks TTFT on long prompts, and one H100 carries only part of the load."""
    where = cluster(
        tmp_path, pool("h100", "h100-sxm", 2.5, nodes=1, gpus=1), pool("l40s", "l40s", 0.9, nodes=16, gpus=1)
    )
    path = workload(tmp_path, arrivals="{rate_per_s: 70, cv: 1.0, duration_s: 30}", slo=TTFT_BETWEEN)
    made = plan(path, where)
    assert made.decision is not None, made.status
    pools = {one.pool: one for one in made.decision.deployments}
    assert set(pools) == {"h100", "l40s"}
    assert all("prompt_tokens" in one.labels for one in pools.values())
