"""Result files of every tool give the run they describe: checked against its own totals and the tool's statistics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profilers.importers.results import read_measured
from specs.errors import InputError

Reference = Callable[[str], Path]
SAMPLES = "engine_samples"


def _vllm(count: int = 3, **changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "completed": count, "total_input_tokens": 60, "total_output_tokens": 12, "request_rate": 2.0, "burstiness": 4.0,
        "max_concurrency": None, "input_lens": [10, 20, 30], "output_lens": [1, 3, 8], "ttfts": [0.1, 0.2, 0.3],
        "itls": [[], [0.05, 0.15], [0.1] * 7], "start_times": [100.0, 101.0, 103.5], "errors": ["", "", ""],
        "mean_ttft_ms": 200.0, "median_ttft_ms": 200.0, "p99_ttft_ms": 298.0,
    }  # fmt: skip
    return data | changes


def _written(folder: Path, data: Any, name: str = "r.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def test_vllm_detailed_file_is_whole(tmp_path: Path) -> None:
    run = read_measured(_written(tmp_path, _vllm()))
    assert run.complete
    assert run.arrival_s is not None
    assert run.arrival_s.tolist() == [0.0, 1.0, 3.5]
    assert np.isnan(run.tpot_s[0])  # one token has no TPOT
    np.testing.assert_allclose(run.tpot_s[1:], [0.1, 0.1])
    np.testing.assert_allclose(run.e2e_s, [0.1, 0.4, 1.0])
    assert run.cv == pytest.approx(0.5)  # burstiness 4 is the shape of gamma gaps
    assert run.figures["ttft_s"]["mean"] == pytest.approx(0.2)


def test_vllm_failed_requests_are_left_out_and_counted(tmp_path: Path) -> None:
    data = _vllm(2, errors=["", "boom", ""], output_lens=[1, 0, 8])
    run = read_measured(_written(tmp_path, data))
    assert run.output_tokens.tolist() == [1, 8]
    assert any("1 requests failed" in note for note in run.notes)


def test_vllm_without_start_times_or_lists_says_so(tmp_path: Path) -> None:
    data = _vllm()
    del data["start_times"]
    assert read_measured(_written(tmp_path, data, "a.json")).arrival_s is None
    for key in ("input_lens", "output_lens", "ttfts", "itls"):
        del data[key]
    run = read_measured(_written(tmp_path, data, "b.json"))
    assert run.prompt_tokens.tolist() == [20]
    assert run.output_tokens.tolist() == [4]
    assert any("mean lengths" in note for note in run.notes)
    assert run.figures["ttft_s"] == pytest.approx({"mean": 0.2, "p50": 0.2, "p99": 0.298})


def test_cut_vllm_file_keeps_the_statistics_of_the_whole_run(reference_data: Reference) -> None:
    run = read_measured(reference_data(f"{SAMPLES}/vllm_bench_serve.json"))
    assert (run.count, len(run.ttft_s), run.complete) == (60, 20, False)
    assert run.figures["ttft_s"]["p90"] == pytest.approx(0.20907, abs=1e-5)
    assert run.figures["tpot_s"]["mean"] == pytest.approx(0.017884, abs=1e-6)
    assert any("20 of 60" in note for note in run.notes)


def test_listed_requests_agree_with_the_truth_beside_them(reference_data: Reference) -> None:
    import polars as pl

    run = read_measured(reference_data(f"{SAMPLES}/vllm_bench_serve.json"))
    truth = pl.read_csv(reference_data(f"{SAMPLES}/requests.csv")).filter(pl.col("level_rps") == 2.0).head(20)
    np.testing.assert_array_equal(run.output_tokens, truth["output_tokens"])
    np.testing.assert_allclose(run.tpot_s, truth["tpot_s"], atol=2e-6)
    assert run.arrival_s is not None
    np.testing.assert_allclose(run.arrival_s, truth["arrival_s"], atol=2e-6)


def test_guidellm_json_yaml_and_csv_agree(reference_data: Reference) -> None:
    runs = [read_measured(reference_data(f"{SAMPLES}/guidellm.{form}")) for form in ("json", "yaml", "csv")]
    for run in runs:
        assert (run.tool, run.count) == ("guidellm", 41)
        for latency, figures in runs[0].figures.items():
            assert run.figures[latency] == pytest.approx(figures)
    request = json.loads(reference_data(f"{SAMPLES}/guidellm.json").read_text())["benchmarks"][0]["requests"][
        "successful"
    ][0]
    # its time_per_output_token_ms (TTFT inside) is not TPOT; its inter_token_latency_ms is
    assert runs[0].tpot_s[0] == pytest.approx(request["inter_token_latency_ms"] / 1e3, rel=0.01)
    assert runs[0].tpot_s[0] < request["time_per_output_token_ms"] / 1e3


def test_guidellm_benchmarks_are_chosen_by_number(reference_data: Reference) -> None:
    path = reference_data(f"{SAMPLES}/guidellm.json")
    first, second = read_measured(path), read_measured(f"{path}#2")
    assert (first.count, second.count) == (41, 64)
    assert any("10 workers repeat each gap" in note for note in first.notes)
    assert any("benchmark 2 of 2" in note for note in second.notes)
    with pytest.raises(InputError, match="has 2 benchmarks, number 3"):
        read_measured(f"{path}#3")


def test_inference_perf_takes_the_servers_token_counts(reference_data: Reference) -> None:
    run = read_measured(reference_data(f"{SAMPLES}/inference_perf/per_request_lifecycle_metrics.json"))
    assert sorted(run.output_tokens.tolist()) == [62, 75, 85]  # the client's tokenizer counted 68, 97 and 104
    assert (run.count, run.complete) == (60, False)
    summary = read_measured(reference_data(f"{SAMPLES}/inference_perf/summary_lifecycle_metrics.json"))
    assert summary.figures["ttft_s"] == pytest.approx(run.figures["ttft_s"])
    assert summary.rate_per_s == run.rate_per_s == pytest.approx(1.852, abs=1e-3)


def test_csv_of_requests(tmp_path: Path, reference_data: Reference) -> None:
    text = "arrival_s,prompt_tokens,output_tokens,ttft_s,tpot_s\n5,10,1,0.1,\n6,20,11,0.2,0.05\n"
    run = read_measured(_written(tmp_path, text, "r.csv"))
    assert run.complete
    np.testing.assert_allclose(run.e2e_s, [0.1, 0.7])
    published = read_measured(reference_data("serving_runs/llmservingsim_vllm_RTXPRO6000_Llama-3.1-8B_requests.csv.gz"))
    assert (published.count, published.complete) == (300, True)
    assert published.figures["ttft_s"]["mean"] == pytest.approx(7.097, abs=1e-3)


HEAD = "arrival_s,prompt_tokens,output_tokens,ttft_s,tpot_s\n"
BAD: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "other json": ("r.json", {"a": 1}, ("not a known result file", "holds a")),
    "cut json": ("r.json", '{"completed": 3,', (":1", "JSON")),
    "empty list": ("r.json", [], ("not a known result file",)),
    "nothing completed": ("r.json", _vllm(0), ("no completed request",)),
    "lists differ": ("r.json", _vllm(input_lens=[10]), ("differ in length",)),
    "negative TTFT": ("r.json", _vllm(ttfts=[0.1, -0.2, 0.3]), ("request 2", "TTFT -0.2")),
    "no TTFT": ("r.csv", "arrival_s,prompt_tokens,output_tokens,tpot_s\n0,1,2,0.1\n", ("missing column 'ttft_s'",)),
    "nan TPOT": ("r.csv", HEAD + "0,1,5,0.1,NaN\n", ("row 1", "tpot_s", "NaN")),
    "several runs in one": ("r.csv", HEAD + "0,1,1,0.1,\n9,1,1,0.1,\n0,1,1,0.1,\n", ("row 3", "earlier")),
    "no benchmarks": ("r.json", {"benchmarks": []}, ("has 0 benchmarks",)),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_results_are_refused_with_place_and_cure(tmp_path: Path, case: str) -> None:
    name, data, parts = BAD[case]
    path = _written(tmp_path, data, name)
    with pytest.raises(InputError) as refused:
        read_measured(path)
    for part in (path.name, *parts):
        assert part in str(refused.value)
    assert refused.value.cure or "found" in str(refused.value)


def test_missing_result_file(tmp_path: Path) -> None:
    for name in ("r.json", "r.csv"):
        with pytest.raises(InputError, match="no such"):
            read_measured(tmp_path / name)
