"""Load tests of locust and k6, and windows, become the loads and latencies that they report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from profilers.importers.load_tests import read_load_test
from profilers.services.curves import fit_curves
from specs.application import LoadPoint
from specs.errors import InputError

STATS = (
    "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,"
    "Max Response Time,Average Content Size,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%\n"
    "GET,/,5000,3,12,14.5,2,90,100,50.5,0.03,12,14,16,18,25,31,40,55,80,90,90\n"
    ",Aggregated,5000,3,12,14.5,2,90,100,50.5,0.03,12,14,16,18,25,31,40,55,80,90,90\n"
)
HISTORY = (
    "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%,"
    "Total Request Count,Total Failure Count,Total Median Response Time,Total Average Response Time,"
    "Total Min Response Time,Total Max Response Time,Total Average Content Size\n"
)


def history(levels: dict[int, tuple[float, float]]) -> str:
    """Thirty seconds per level of users: requests per second and mean; the first ten still show the level before."""
    rows, now, count, total, before = [], 1000, 0.0, 0.0, (1.0, 500.0)
    for users, (rate, mean_ms) in levels.items():
        for second in range(30):
            count, total = count + rate, total + rate * mean_ms
            shown, p95 = (rate, 3 * mean_ms) if second >= 10 else (before[0], 3 * before[1])
            q = ",".join(["N/A" if not count else f"{p95:g}"] * 11)
            rows.append(f"{now},{users},,Aggregated,{shown:g},0,{q},{count:g},0,1,{total / count:.10g},1,9,1")
            now += 1
        before = (rate, mean_ms)
    return HISTORY + "\n".join(rows) + "\n"


def read(tmp_path: Path, name: str, text: str) -> tuple[list[LoadPoint], list[str]]:
    path = tmp_path / name
    path.write_text(text)
    return read_load_test(path)


def test_locust_statistics_are_one_load_in_seconds(tmp_path: Path) -> None:
    (found,), _ = read(tmp_path, "run_stats.csv", STATS)
    assert found.rate_per_s == 50.5
    assert found.latency_s == {"mean": 0.0145, "p50": 0.012, "p90": 0.025, "p95": 0.031, "p99": 0.055}
    assert (found.requests, found.failures) == (5000, 3)


def test_locust_history_is_one_load_per_level_of_users_once_it_has_settled(tmp_path: Path) -> None:
    levels = {10: (50.0, 10.0), 20: (90.0, 15.0), 40: (120.0, 40.0)}
    found, _ = read(tmp_path, "run_stats_history.csv", history(levels))
    assert [one.concurrency for one in found] == [10, 20, 40]
    for one, (rate, mean_ms) in zip(found, levels.values(), strict=True):
        assert one.rate_per_s == pytest.approx(rate)
        assert one.latency_s["p95"] == pytest.approx(3 * mean_ms / 1e3)
        assert one.latency_s["mean"] == pytest.approx(mean_ms / 1e3, rel=1e-6)


def test_locust_json_pools_its_endpoints(tmp_path: Path) -> None:
    one = {"num_requests": 90, "num_failures": 1, "total_response_time": 900, "start_time": 100.0,
           "last_request_timestamp": 110.0, "response_times": {"10": 90}}  # fmt: skip
    two = {**one, "num_requests": 10, "total_response_time": 1000, "response_times": {"100": 10}}
    (found,), _ = read(tmp_path, "run.json", json.dumps([one, two]))
    assert found.rate_per_s == 10.0
    assert found.latency_s == {"mean": 0.019, "p50": 0.01, "p90": 0.01, "p95": 0.1, "p99": 0.1}


@pytest.mark.parametrize("nested", [False, True])
def test_k6_summary_is_one_load(tmp_path: Path, nested: bool) -> None:
    durations = {"avg": 12.0, "med": 10.0, "p(90)": 20.0, "p(95)": 30.0}
    requests = {"count": 3000, "rate": 100.0}
    metrics = {"http_req_duration": durations, "http_reqs": requests, "http_req_failed": {"value": 0.01}}
    summary = {"metrics": {key: {"values": value} if nested else value for key, value in metrics.items()}}
    (found,), _ = read(tmp_path, "summary.json", json.dumps(summary))
    assert found.rate_per_s == 100.0
    assert found.latency_s == {"mean": 0.012, "p50": 0.01, "p90": 0.02, "p95": 0.03}
    assert found.failures == pytest.approx(30)


def k6_samples(rates: list[int]) -> list[tuple[float, float]]:
    """Ten seconds at each rate, latencies 1 to 100 ms times the window's number."""
    rng = np.random.default_rng(3)
    return [
        (1000.0 + 10.0 * window + 10.0 * at / (10 * rate), float(rng.permutation(100)[at % 100] + 1) * (window + 1))
        for window, rate in enumerate(rates)
        for at in range(10 * rate)
    ]


def test_k6_samples_are_told_in_windows_of_ten_seconds(tmp_path: Path) -> None:
    samples = k6_samples([20, 40, 60, 80])
    lines = ['{"type":"Metric","metric":"http_req_duration","data":{}}']
    for at, value in samples:
        time = np.datetime64(round(at * 1e6), "us")
        lines.append(
            json.dumps({"type": "Point", "metric": "http_req_duration", "data": {"time": f"{time}Z", "value": value}})
        )
    found, notes = read(tmp_path, "run.json", "\n".join(lines) + '\n{"type": "Poi')
    assert [one.rate_per_s for one in found] == [40.0, 60.0]
    assert any("cut off" in note for note in notes)
    assert any("not whole" in note for note in notes)
    table = "\n".join(f"http_req_duration,{at},{value},GET" for at, value in samples)
    tabled, _ = read(tmp_path, "run.csv", f"metric_name,timestamp,metric_value,method\n{table}\n")
    assert [one.latency_s for one in tabled] == [one.latency_s for one in found]


def test_cilantro_windows_are_read(reference_data: Callable[[str], Path]) -> None:
    found, notes = read_load_test(reference_data("microservices/cilantro_hotelres_propfair.csv.gz"))
    assert len(found) == 1408
    second = next(one for one in found if one.requests == 36320)
    assert second.rate_per_s == pytest.approx(36320 / 30.5486, rel=1e-4)
    assert second.latency_s == pytest.approx({"mean": 5.832738, "p99": 6.597877})
    curves, _ = fit_curves(found)
    assert {curve.quantity for curve in curves} == {"mean", "p99"}
    assert any("different allocations" in note for note in notes)


def test_windows_with_our_names_are_taken_as_they_stand(tmp_path: Path) -> None:
    found, _ = read(tmp_path, "loads.csv", "rate_per_s,p95_s\n20,0.2\n10,0.1\n0,\n")
    assert [(one.rate_per_s, one.latency_s) for one in found] == [(10, {"p95": 0.1}), (20, {"p95": 0.2})]


def test_a_row_that_is_cut_off_at_the_end_is_left_out_and_named(tmp_path: Path) -> None:
    found, notes = read(tmp_path, "run_stats_history.csv", history({10: (50.0, 10.0)})[:-25])
    assert len(found) == 1
    assert any("last row is cut off" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "why"),
    [("a,b\n1,2\n", "not a known load test"), ("", "no row"),
     ('{"metrics": {}}', "neither k6"), ("{", "ends in the middle"),
     ("rate_per_s,p95_s\nten,1\n", "expected a number, found 'ten'"), ("rate_per_s,p95_s\n1\n2,3\n", ":2: has fewer"),
     (STATS.replace("50.5", "0"), "no load with finished requests")],
)  # fmt: skip
def test_what_is_no_load_test_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read(tmp_path, "run.csv", text)
