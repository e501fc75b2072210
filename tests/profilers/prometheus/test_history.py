"""Histories come whole from a server with limits; what it refuses is asked smaller, what it never gives is named."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks.prometheus_stub import Answer, Stub, html, name, serving, value
from profilers.prometheus import history
from profilers.prometheus.client import PASSWORD, TOKEN, USER, endpoint
from profilers.prometheus.discovery import Selection
from profilers.prometheus.families import pod_workload
from profilers.prometheus.history import read_history
from specs.errors import InputError, MissingHardwareError
from specs.history import Recorded

DAY_S = 86400.0
END_S = 1_800_000_000.0


def read(
    stub: Stub, *, days: float = 1.0, step_s: float = 300.0, timeout_s: float = 5.0, **chosen: tuple[str, ...]
) -> Recorded:
    with serving(stub) as url:
        server = endpoint(url, timeout_s=timeout_s)
        server.pause_s = 0.01
        return read_history(server, Selection(**chosen), end_s=END_S, duration_s=days * DAY_S, step_s=step_s)


def cpu(recorded: Recorded, workload: str) -> np.ndarray:
    (one,) = [s for s in recorded.series if (s.workload, s.quantity) == (workload, "cpu_cores")]
    return one.values


def test_every_sample_is_what_the_server_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_SAMPLES", 1000)
    recorded = read(Stub(workloads=5))
    for number in range(5):
        expected = [value("sum", number, t) for t in recorded.time_s]
        np.testing.assert_allclose(cpu(recorded, name(number)), expected)
    assert {one.quantity for one in recorded.series} == {"cpu_cores", "cpu_cores_largest", "replicas"}
    assert not recorded.missing


def test_ranges_are_cut_to_the_points_and_samples_that_a_server_allows() -> None:
    stub = Stub(workloads=40, max_points=500, max_samples=6000)
    recorded = read(stub, days=3.0, step_s=120.0)
    assert np.isfinite(cpu(recorded, name(39))).all()
    assert not recorded.missing


def test_hundreds_of_workloads_take_few_questions() -> None:
    stub = Stub(workloads=500)
    recorded = read(stub, days=0.5, step_s=75.0, timeout_s=60.0)
    assert stub.samples >= 500 * 3 * len(recorded.time_s)
    assert len(stub.asked) <= 20 * stub.samples / 1e6


def test_one_bad_workload_does_not_stop_the_others() -> None:
    stub = Stub(workloads=64, bad=frozenset({name(37)}))
    recorded = read(stub)
    found = {one.workload for one in recorded.series}
    assert found == {name(number) for number in range(64) if number != 37}
    assert {part.workloads for part in recorded.missing} == {(name(37),)}
    assert all("duplicate series" in part.why for part in recorded.missing)


@pytest.mark.parametrize(("names", "most"), [(False, 2 * 9 + 2 * 3 + 6), (True, 3 * 3 + 4)])
def test_a_bad_workload_is_found_once_for_all_quantities(names: bool, most: int) -> None:
    """Halving 500 takes nine refusals and nine answers; a name that is told or known takes one and two."""
    stub = Stub(workloads=500, bad=frozenset({name(37)}), names_the_bad=names)
    recorded = read(stub, days=0.1)
    assert len({one.workload for one in recorded.series}) == 499
    assert {part.workloads for part in recorded.missing} == {(name(37),)}
    assert len(stub.asked) <= most


def test_what_takes_too_long_is_asked_in_shorter_ranges() -> None:
    stub = Stub(workloads=40, slow_samples=3000)
    recorded = read(stub)
    assert not recorded.missing
    assert np.isfinite(cpu(recorded, name(39))).all()


def test_namespaces_labels_and_exclusions_choose() -> None:
    stub = Stub(workloads=8)
    recorded = read(stub, namespaces=("odd",), labels=("team=shop",), exclude=("w00[5-9]",))
    assert {one.workload for one in recorded.series} == {name(1), name(3)}
    assert all('team="shop"' in one["query"] for one in stub.asked if "container_cpu" in one["query"])


def test_gaps_nan_and_duplicate_series_are_kept_apart() -> None:
    stub = Stub(workloads=1, hole=(END_S - 3600, END_S - 1800), nan_at=END_S - 7200, twice=True)
    recorded = read(stub)
    values = cpu(recorded, name(0))
    absent = recorded.time_s[np.isnan(values)]
    assert absent.tolist() == [END_S - 7200, *np.arange(END_S - 3600, END_S - 1799, 300)]
    assert any("came twice" in note for note in recorded.notes)


def fails(kind: str, times: int) -> Stub:
    """A server that answers ``times`` range queries wrongly, after it has said what it has."""
    left = [times]

    def misbehave(path: str, parameters: dict[str, str]) -> Answer | None:
        if path.endswith("query_range") and left[0] > 0:
            left[0] -= 1
            answers = {
                "429": (429, "application/json", b'{"status":"error","error":"slow down"}', {"Retry-After": "0.01"}),
                "503": (503, "text/plain", b"no healthy upstream", {}),
                "html": html(),
                "cut": (200, "application/json", b'{"status":"success","data":{"resu', {}),
                "timeout": (503, "application/json", b'{"status":"error","error":"query timed out in x"}', {}),
            }
            return answers[kind]
        return None

    return Stub(workloads=3, misbehave=misbehave)


@pytest.mark.parametrize("kind", ["429", "503", "timeout"])
def test_what_a_server_asks_to_repeat_is_repeated(kind: str) -> None:
    recorded = read(fails(kind, 2))
    assert not recorded.missing
    assert all(np.isfinite(one.values).all() for one in recorded.series)


@pytest.mark.parametrize("kind", ["html", "cut"])
def test_a_wrong_answer_costs_its_part_alone_and_is_named(kind: str) -> None:
    recorded = read(fails(kind, 1))
    assert {one.quantity for one in recorded.series} == {"cpu_cores_largest", "replicas"}
    assert [part.quantity for part in recorded.missing] == ["cpu_cores"]
    assert "not an answer of the API" in recorded.missing[0].why


@pytest.mark.parametrize("kind", ["503", "html", "timeout"])
def test_a_server_that_never_recovers_ends_it(kind: str) -> None:
    began = time.monotonic()
    with pytest.raises(MissingHardwareError, match="gave no samples"):
        read(fails(kind, 10**6))
    assert time.monotonic() - began < 30


def test_an_answer_that_drips_is_cut_off() -> None:
    def drip(path: str, parameters: dict[str, str]) -> Answer | None:
        return (200, "application/json", b" " * 400, {"X-Drip": "1"}) if path.endswith("query_range") else None

    began = time.monotonic()
    with pytest.raises(MissingHardwareError, match="no answer within"):
        read(Stub(workloads=1, misbehave=drip), days=0.05, timeout_s=0.2)
    assert time.monotonic() - began < 20


def test_what_is_no_prometheus_is_told_at_once() -> None:
    with pytest.raises(MissingHardwareError, match=r"text/html.*Login"):
        read(Stub(misbehave=lambda path, parameters: html()))
    with pytest.raises(MissingHardwareError, match="no connection"):
        read_history(endpoint("http://127.0.0.1:9"), Selection(), end_s=END_S, duration_s=3600, step_s=60)


def test_credentials_come_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "hush-hush")
    stub = Stub(workloads=1)
    recorded = read(stub)
    assert all(one["Authorization"] == "Bearer hush-hush" for one in stub.headers)
    assert "hush" not in repr(recorded)
    assert "hush" not in repr(endpoint("http://host"))
    monkeypatch.delenv(TOKEN)
    monkeypatch.setenv(USER, "me")
    monkeypatch.setenv(PASSWORD, "pw")
    stub = Stub(workloads=1)
    read(stub)
    assert stub.headers[0]["Authorization"] == "Basic bWU6cHc="
    with pytest.raises(InputError, match="holds credentials") as caught:
        endpoint("http://me:secret@host")
    assert "secret" not in str(caught.value)


def test_a_server_that_refuses_access_says_what_to_set() -> None:
    refused: Answer = (401, "text/plain", b"", {})
    with pytest.raises(MissingHardwareError, match=TOKEN):
        read(Stub(misbehave=lambda path, parameters: refused))


@pytest.mark.parametrize("url", ["host:9090", "ftp://host", "http://", "http://host?x=1", "http://host:99999"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="not the URL"):
        endpoint(url)


@pytest.mark.parametrize(
    ("given", "workload"),
    [
        ("cart-6d4cf56db6-x7k9z", "cart"), ("my-cart-0", "my-cart"), ("agent-x7k9z", "agent"), ("cart", "cart"),
        ("api-gateway-7c9f8d5b4-2xkqz", "api-gateway"),
    ],
)  # fmt: skip
def test_a_pod_names_its_workload(given: str, workload: str) -> None:
    assert pod_workload(given) == workload
