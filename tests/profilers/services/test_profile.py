"""Histories, traces and load tests come together into profiles and an application that can be read back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.history import gaps, read_history_file, write_history
from profilers.services.observed import histogram_quantile, load_points
from profilers.services.profile import profile_services
from specs.application import Application, ApplicationSpec, Call, Service, ServiceProfile, cycles
from specs.errors import InputError
from specs.history import MissingPart, Recorded, Samples
from specs.reading import read_document
from specs.writing import to_yaml
from tests.profilers.services.test_graph import JAEGER

BOUNDS = np.array([0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.032, 0.064, 0.128, math.inf])
STEP_S = 15.0
LEVELS = np.array([100.0, 300, 500, 600, 700, 800, 850, 900])
SERVICE_PER_S = 1000.0


def queue_history(workload: str = "cart", levels: np.ndarray = LEVELS) -> Recorded:
    """A workload that is an M/M/1 queue, ten minutes at each level: histograms by the exact tail."""
    rate = np.repeat(levels, 40)
    spare = SERVICE_PER_S - rate
    buckets = rate * (1.0 - np.exp(-BOUNDS[:-1, None] * spare))

    def one(quantity: str, values: np.ndarray, **labels: str) -> Samples:
        return Samples(workload=workload, namespace="shop", quantity=quantity, values=values, labels=labels)  # type: ignore[arg-type]

    series = [one("latency_bucket_per_s", row, le=f"{le:g}") for le, row in zip(BOUNDS, [*buckets, rate], strict=False)]
    series += [one("requests_per_s", rate), one("latency_sum_s_per_s", rate / spare), one("cpu_cores", rate / 1000)]
    series += [one("replicas", np.full(rate.size, 2.0)), one("memory_bytes", np.full(rate.size, 2.0**30))]
    time_s = 1.8e9 + STEP_S * np.arange(rate.size, dtype=np.float64)
    missing = (MissingPart(quantity="cpu_cores", why="too many samples", workloads=("mail",)),)
    return Recorded(source="http://prometheus", time_s=time_s, step_s=STEP_S, series=tuple(series), missing=missing)


def traces(folder: Path) -> Path:
    path = folder / "traces.json"
    path.write_text(json.dumps(JAEGER))
    return path


def test_latency_at_an_unseen_load_is_predicted_from_histograms() -> None:
    found = profile_services(name="shop", recorded=queue_history())
    (profile,) = found.profiles.values()
    (curve,) = [one for one in profile.spec.curves if one.quantity == "p95"]
    assert curve.error is not None
    assert curve.error < 0.15
    points, overall, _ = load_points(list(queue_history().series), STEP_S)
    assert [one.rate_per_s for one in points if one.rate_per_s == pytest.approx(500.0)]
    for one in points:
        assert one.latency_s["p95"] == pytest.approx(math.log(20.0) / (1000.0 - one.rate_per_s), rel=0.15)
        assert one.latency_s["mean"] == pytest.approx(1.0 / (1000.0 - one.rate_per_s), rel=1e-6)
    assert overall["mean"] > 1.0 / 900.0


def test_moments_between_two_loads_do_not_count() -> None:
    recorded = queue_history(levels=np.array([100.0, 900.0]))
    mixed = [replace_at(one, 40, 0.5) for one in recorded.series]
    points, _, _ = load_points(mixed, STEP_S)
    assert {round(one.rate_per_s) for one in points} == {100, 900}


def replace_at(one: Samples, at: int, share: float) -> Samples:
    values = one.values.copy()
    values[at] = share * values[at - 1] + (1.0 - share) * values[at + 1]
    return Samples(workload=one.workload, namespace=None, quantity=one.quantity, values=values, labels=one.labels)


def test_services_of_all_sources_are_one_where_their_names_agree(tmp_path: Path) -> None:
    test = tmp_path / "loads.csv"
    test.write_text("rate_per_s,p95_s\n10,0.1\n20,0.2\n30,0.4\n")
    found = profile_services(name="shop", recorded=queue_history(), traces=[traces(tmp_path)], load_tests=[str(test)])
    assert [one.name for one in found.application.spec.services] == ["cart", "front"]
    cart, front = found.profiles.values()
    assert (cart.spec.namespace, cart.spec.visits_per_request) == ("shop", 1.0)
    assert cart.spec.memory_gib is not None
    assert cart.spec.memory_gib.mean == 1.0
    assert cart.spec.self_time_s["mean"] == pytest.approx(50e-6)
    assert [(one.quantity, one.loads) for one in front.spec.curves] == [("p95", 3)]
    assert found.application.spec.services[0].replicas == 2
    assert any("too many samples" in note for note in found.application.spec.notes)


def test_every_document_reads_back_as_it_was_written(tmp_path: Path) -> None:
    found = profile_services(name="shop", recorded=queue_history(), traces=[traces(tmp_path)], folder="parts")
    (tmp_path / "parts").mkdir()
    for path, profile in found.profiles.items():
        (tmp_path / path).write_text(to_yaml(profile))
        assert read_document(tmp_path / path, ServiceProfile) == profile
    (tmp_path / "app.yaml").write_text(to_yaml(found.application))
    application = read_document(tmp_path / "app.yaml", Application)
    assert application == found.application
    assert all((tmp_path / str(service.profile)).is_file() for service in application.spec.services)


def test_a_load_test_of_no_certain_service_asks_for_one(tmp_path: Path) -> None:
    test = tmp_path / "loads.csv"
    test.write_text("rate_per_s,p95_s\n10,0.1\n20,0.2\n")
    both = Recorded(
        source="x", time_s=queue_history().time_s, step_s=STEP_S,
        series=queue_history().series + queue_history("mail").series,
    )  # fmt: skip
    with pytest.raises(InputError, match="which service"):
        profile_services(name="shop", recorded=both, load_tests=[str(test)])
    found = profile_services(name="shop", recorded=both, load_tests=[f"mail={test}"])
    assert found.profiles["application-services/mail.yaml"].spec.points[0].source == "loads.csv"
    with pytest.raises(InputError, match="nothing to profile"):
        profile_services(name="shop")


def test_a_history_reads_back_from_its_files(tmp_path: Path) -> None:
    recorded = queue_history()
    recorded.series[0].values[5:8] = np.nan
    document = write_history(recorded, tmp_path / "h.yaml")
    assert document.spec.series[0].gaps == gaps(recorded.series[0].values, recorded.time_s)
    again = read_history_file(tmp_path / "h.yaml")
    for one, other in zip(recorded.series, again.series, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert (again.missing, again.step_s) == (recorded.missing, STEP_S)
    with pytest.raises(InputError, match="exists already"):
        write_history(recorded, tmp_path / "h.yaml")
    (tmp_path / "h.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="sha256 differs"):
        read_history_file(tmp_path / "h.yaml")


def test_gaps_are_named_by_their_ends() -> None:
    values = np.array([math.nan, 1.0, math.nan, math.nan, 2.0, math.nan])
    assert [(g.from_s, g.to_s) for g in gaps(values, np.arange(6.0))] == [(0, 0), (2, 3), (5, 5)]


@given(st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_that_holds_it(q: float) -> None:
    counts = 1.0 - np.exp(-BOUNDS * 300.0)
    found = histogram_quantile(BOUNDS, counts, q)
    true = -math.log(1.0 - q) / 300.0
    at = int(np.searchsorted(BOUNDS, true))
    assert (BOUNDS[at - 1] if at else 0.0) <= found <= BOUNDS[at]


def test_a_quantile_beyond_the_last_bound_is_not_invented() -> None:
    bounds = np.array([0.1, math.inf])
    assert histogram_quantile(bounds, np.array([0.5, 1.0]), 0.95) == math.inf
    assert math.isnan(histogram_quantile(bounds, np.zeros(2), 0.95))


def test_circles_among_services_are_found() -> None:
    pairs = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "d"), ("e", "a")]
    calls = tuple(Call(caller=a, callee=b) for a, b in pairs)
    assert cycles(calls) == (("a", "b", "c"), ("d",))
    assert cycles(calls[1:2]) == ()


def test_names_that_no_service_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not listed: cart"):
        ApplicationSpec(services=(Service(name="front"),), calls=(Call(caller="front", callee="cart"),))
    with pytest.raises(ValueError, match="twice: front"):
        ApplicationSpec(services=(Service(name="front"), Service(name="front")))
    path = tmp_path / "app.yaml"
    path.write_text(
        "apiVersion: tonnage/v1\nkind: Application\nmetadata: {name: a}\n"
        "spec:\n  services: [{name: front}]\n  entries: [{service: x}]\n"
    )
    with pytest.raises(InputError, match=r"app.yaml:4: .*not listed: x"):
        read_document(path, Application)
