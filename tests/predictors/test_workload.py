"""Requests of a workload and their statistics, against theory, brute force and the published traces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.workload import check_lengths, closed_loop_of, hit_tokens, requests_of, statistics
from profilers.importers.load import read_load
from specs.errors import InputError
from specs.trace import Client, Histogram, Load, RateSeries, Trace
from specs.workload import WorkloadSpec

DRAWN = {"prompt_tokens": {"uniform": [100, 300]}, "output_tokens": {"lognormal": {"mean": 211, "p99": 900}}}


def _workload(**parts: object) -> WorkloadSpec:
    return WorkloadSpec.model_validate({"model": "m", "arrivals": {"trace": "t.csv"}, **parts})


def _trace(count: int = 6, **parts: object) -> Trace:
    columns: dict[str, object] = {
        "arrival_s": np.arange(count, dtype=float), "prompt_tokens": np.arange(count) * 100 + 100,
        "output_tokens": np.full(count, 10),
    }  # fmt: skip
    return Trace(name="t.csv", sha256="", form="tonnage", **(columns | parts))  # type: ignore[arg-type]


def test_scaling_the_load_keeps_the_shape_of_bursts() -> None:
    rng = np.random.default_rng(3)
    load = Load(trace=_trace(500, arrival_s=np.cumsum(rng.gamma(0.3, 3, 500))))
    plain, twice = requests_of(_workload(), load), requests_of(_workload(), load, load_scale=2.0)
    assert statistics(twice)["rate_per_s"] == pytest.approx(2 * statistics(plain)["rate_per_s"])
    assert statistics(twice)["interarrival_cv"] == pytest.approx(statistics(plain)["interarrival_cv"])
    scaled = requests_of(_workload(arrivals={"trace": "t.csv", "scale": 2.0}), load)
    np.testing.assert_allclose(scaled.arrival_s, twice.arrival_s)


def test_lengths_scale_by_document_and_by_argument() -> None:
    workload = _workload(lengths={"from": "trace", "prompt_scale": 2.0, "output_scale": 0.001})
    requests = requests_of(workload, Load(trace=_trace(3)), prompt_scale=1.5)
    assert requests.prompt_tokens.tolist() == [300, 600, 900]
    assert requests.output_tokens.tolist() == [1, 1, 1]  # at least one token


def test_rate_arrivals_have_the_rate_and_burstiness_asked_for() -> None:
    workload = _workload(arrivals={"rate_per_s": 50, "cv": 2.0, "duration_s": 2000}, lengths=DRAWN)
    figures = statistics(requests_of(workload, Load()))
    assert figures["rate_per_s"] == pytest.approx(50, rel=0.03)
    assert figures["interarrival_cv"] == pytest.approx(2.0, rel=0.03)
    assert figures["index_of_dispersion"] == pytest.approx(4.0, rel=0.5)  # cv² of a renewal process [std]
    assert figures["output_tokens_mean"] == pytest.approx(211, rel=0.02)
    assert figures["output_tokens_p99"] == pytest.approx(900, rel=0.05)
    assert figures["prompt_tokens_mean"] == pytest.approx(200, rel=0.01)


def test_series_arrivals_follow_the_rate() -> None:
    load = Load(series=RateSeries(t_s=np.array([0.0, 100, 200]), rate_per_s=np.array([0.0, 100, 0])))
    requests = requests_of(_workload(arrivals={"series": "s.csv"}, lengths=DRAWN), load)
    assert len(requests) == pytest.approx(10_000, abs=400)
    assert np.mean((requests.arrival_s > 50) & (requests.arrival_s < 150)) == pytest.approx(0.75, abs=0.02)


def test_clients_are_merged_in_order() -> None:
    lengths = [Histogram(tokens=np.array([n]), weight=np.ones(1)) for n in (7, 9)]
    clients = tuple(
        Client(start_s=0, duration_s=500, rate_per_s=rate, cv=1.0, prompt=one, output=one)
        for rate, one in zip((2.0, 6.0), lengths, strict=True)
    )
    arrivals = {"clients": "r.parquet", "histograms": "h.parquet", "scale": 2.0}
    requests = requests_of(_workload(arrivals=arrivals), Load(clients=clients))
    assert (np.diff(requests.arrival_s) >= 0).all()
    assert len(requests) == pytest.approx(8000, rel=0.05)
    assert np.mean(requests.prompt_tokens == 9) == pytest.approx(0.75, abs=0.02)


@given(st.integers(0, 5), st.floats(0.2, 3))
@settings(max_examples=20, deadline=None)
def test_the_same_arguments_give_the_same_requests(seed: int, cv: float) -> None:
    workload = _workload(arrivals={"rate_per_s": 3, "cv": cv, "duration_s": 60, "seed": 1}, lengths=DRAWN)
    one, two, other = (requests_of(workload, Load(), seed=at) for at in (seed, seed, seed + 1))
    np.testing.assert_array_equal(one.arrival_s, two.arrival_s)
    np.testing.assert_array_equal(one.output_tokens, two.output_tokens)
    assert len(one) != len(other) or (one.arrival_s != other.arrival_s).any()


def test_closed_loop_has_no_arrivals() -> None:
    workload = _workload(arrivals={"concurrency": 4, "prompts": 10, "client_delay_s": 0.1}, lengths=DRAWN)
    assert requests_of(workload, Load()).arrival_s.tolist() == [0.0] * 10
    loop = closed_loop_of(workload)
    assert loop is not None
    assert (loop.concurrency, loop.client_delay_s) == (4, 0.1)
    assert closed_loop_of(_workload()) is None


def _brute_force_hits(rows: list[list[int]], block: int, prompts: list[int]) -> list[int]:
    seen: set[int] = set()
    hits = []
    for ids, prompt in zip(rows, prompts, strict=True):
        count = next((n for n, block_id in enumerate(ids) if block_id not in seen), len(ids))
        hits.append(min(count * block, prompt))
        seen.update(ids)
    return hits


@given(st.lists(st.lists(st.integers(0, 12), max_size=6, unique=True), min_size=1, max_size=30))
@settings(max_examples=150, deadline=None)
def test_prefix_hits_equal_an_unlimited_cache(rows: list[list[int]]) -> None:
    prompts = [max(1, 16 * len(ids) - 3) for ids in rows]
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in rows])]).astype(np.int64)
    trace = _trace(
        len(rows), prompt_tokens=np.array(prompts), hash_offsets=offsets,
        hash_ids=np.array([i for ids in rows for i in ids], dtype=np.int64), block_tokens=16,
    )  # fmt: skip
    hits = hit_tokens(trace)
    assert hits is not None
    assert hits.tolist() == _brute_force_hits(rows, 16, prompts)


def test_sessions_extend_one_another() -> None:
    trace = _trace(4, session=np.array([0, 1, 0, 0]), prompt_tokens=np.array([130, 128, 300, 64]))
    requests = requests_of(_workload(prefix_sharing={"from": "trace"}), Load(trace=trace))
    hits = hit_tokens(requests)
    assert hits is not None
    assert hits.tolist() == [0, 0, 128, 64]  # whole blocks of 64 tokens that an earlier turn had


def test_hit_ratio_leaves_a_token_to_compute() -> None:
    requests = requests_of(_workload(prefix_sharing={"hit_ratio": 1.0}), Load(trace=_trace(2)))
    assert requests.hit_tokens is not None
    assert requests.hit_tokens.tolist() == [99, 199]


def test_prefixes_without_hashes_are_refused() -> None:
    with pytest.raises(InputError, match="hash_ids or session"):
        requests_of(_workload(prefix_sharing={"from": "trace"}), Load(trace=_trace()))


CLASSES = [
    {"name": "short", "prompt_tokens_below": 300, "slo": {}},
    {"name": "long", "prompt_tokens_at_least": 500, "slo": {}},
]


def test_classes_by_length_by_name_and_by_share() -> None:
    by_length = requests_of(_workload(classes=CLASSES), Load(trace=_trace(6)))
    assert by_length.class_index is not None
    assert by_length.class_index.tolist() == [0, 0, 2, 2, 1, 1]
    named = _trace(3, class_index=np.array([1, 0, 2]), class_names=("long", "other", "short"))
    by_name = requests_of(_workload(classes=CLASSES), Load(trace=named))
    assert by_name.class_index is not None
    assert by_name.class_index.tolist() == [2, 1, 0]
    shares = [{"name": "a", "share": 0.2, "slo": {}}, {"name": "b", "share": 0.3, "slo": {}}]
    workload = _workload(arrivals={"rate_per_s": 10, "duration_s": 1000}, lengths=DRAWN, classes=shares)
    drawn = requests_of(workload, Load()).class_index
    assert drawn is not None
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), [0.2, 0.3, 0.5], atol=0.02)


def test_classes_that_the_trace_does_not_know_are_refused() -> None:
    trace = _trace(2, class_index=np.array([0, 1]), class_names=("a", "b"))
    with pytest.raises(InputError, match="its classes are a, b, the workload's short, long"):
        requests_of(_workload(classes=CLASSES), Load(trace=trace))


def test_a_request_beyond_the_models_limit_is_named() -> None:
    requests = requests_of(_workload(), Load(trace=_trace(6)))
    check_lengths(requests, 610, limit="the context of m")
    with pytest.raises(InputError) as refused:
        check_lengths(requests, 500, limit="the context of m")
    assert "request 5 has 500 prompt and 10 output tokens" in str(refused.value)
    assert "2 of 6 requests" in str(refused.value)


def test_statistics_of_poisson_and_of_one_request() -> None:
    workload = _workload(arrivals={"rate_per_s": 20, "duration_s": 6000}, lengths=DRAWN)
    figures = statistics(requests_of(workload, Load()))
    assert figures["interarrival_cv"] == pytest.approx(1.0, abs=0.02)
    assert figures["index_of_dispersion"] == pytest.approx(1.0, abs=0.45)  # 100 windows: sd of a variance is 14 %
    assert figures["window_s"] == 60
    lone = statistics(_trace(1))
    assert lone["requests"] == 1
    assert "rate_per_s" not in lone


@pytest.mark.parametrize(
    ("name", "cv", "ratio"),
    [("azure2023_code_first60pct.csv.gz", 12.8, None), ("mooncake_conversation_first70pct.parquet", None, 0.36)],
)
def test_published_traces_are_burstier_than_poisson_and_share_prefixes(
    reference_data: Callable[[str], Path], name: str, cv: float | None, ratio: float | None
) -> None:
    path = reference_data(f"llm_traces/{name}")
    workload = _workload(arrivals={"trace": name}, prefix_sharing={"from": "trace"} if ratio else "none")
    figures = statistics(requests_of(workload, read_load(workload, path.parent)))
    if cv is not None:
        assert figures["interarrival_cv"] == pytest.approx(cv, abs=0.1)
    if ratio is not None:
        assert figures["prefix_hit_ratio"] == pytest.approx(ratio, abs=0.01)
