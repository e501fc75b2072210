from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planners.serving.candidates import Limits, Part
from planners.serving.decide import Check, share_error, upper_mean, upper_quantile
from planners.serving.planning import every_layout
from planners.serving.question import read_question
from planners.serving.serve import Workbench
from planners.serving.trials import try_decision
from tests.planners.serving.documents import cluster, workload


def test_the_sampling_error_of_independent_shares_is_the_binomial_one() -> None:
    rng = np.random.default_rng(1)
    errors = [share_error((rng.random(20_000) < 0.01).astype(float)) for _ in range(30)]
    assert np.mean(errors) == pytest.approx(np.sqrt(0.01 * 0.99 / 20_000), rel=0.1)


def test_the_sampling_error_of_a_burst_is_larger_than_the_binomial_one() -> None:
    late = np.zeros(20_000)
    late[5_000:5_200] = 1.0  # all misses in one burst
    assert share_error(late) > 3 * np.sqrt(0.01 * 0.99 / 20_000)


@given(st.lists(st.floats(0.01, 10.0), min_size=40, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_the_upper_quantile_lies_at_or_above_the_quantile(values: list[float], level: float) -> None:
    sample = np.array(values)
    ordered = np.sort(sample)
    plain, upper = (upper_quantile(sample, ordered, level, z) for z in (0.0, 0.84))
    assert plain <= upper <= ordered[-1]
    assert (sample > plain).mean() <= 1 - level + 1e-9
    assert upper_mean(sample, 0.84) >= sample.mean() - 1e-12


def test_the_upper_quantile_covers_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    true = -np.log(0.05)  # p95 of the unit exponential
    covered = [upper_quantile(x, np.sort(x), 0.95, 0.8416) >= true for x in rng.exponential(size=(400, 2_000))]
    assert np.mean(covered) == pytest.approx(0.8, abs=0.07)


def test_ratios_of_shares_count_misses() -> None:
    assert Check(name="attainment", value=0.98, bound=0.99, at_most=False).ratio == pytest.approx(2.0)
    assert Check(name="ttft_s.p99", value=0.5, bound=1.0).ratio == 0.5


@settings(max_examples=6, deadline=None)
@given(replicas=st.integers(1, 4), seqs=st.sampled_from([16, 64, 256]))
def test_the_early_stop_never_changes_a_verdict(
    tmp_path_factory: pytest.TempPathFactory, replicas: int, seqs: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("stop")
    path = workload(folder, arrivals="{rate_per_s: 40, cv: 1.5, duration_s: 20}")
    question = read_question(
        path, cluster(folder), objective="cost", confidence=0.8, survive=None, require=None, profiles=(), seed=0
    )
    bench = Workbench(question)
    layout = next(one for one in every_layout(question) if one.pool.name == "h100")
    decision = (Part(layout=layout, limits=Limits(seqs, 2048, 0.9), replicas=replicas),)
    stopped, whole = try_decision(bench, decision), try_decision(bench, decision, stop=False)
    assert stopped.holds == whole.holds
