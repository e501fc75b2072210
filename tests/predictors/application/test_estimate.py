"""From an application to its estimate: the bottleneck, the ceiling, bounds, closed forms and what it rests on."""

from __future__ import annotations

import pytest

from predictors.application.estimate import estimate_application
from specs.application import ApplicationSlo, ApplicationSpec, Call, Entry, Service
from specs.application_estimate import ApplicationEstimate
from specs.base import Metadata
from specs.errors import InputError
from tests.predictors.application.applications import curve, profile, service

SPEC = ApplicationSpec(
    services=(service("a", 0.01, 2), service("b", 0.02, 2), service("c", 0.02, 2), Service(name="d")),
    calls=(
        Call(caller="a", callee="b"),
        Call(caller="a", callee="c"),
        Call(caller="a", callee="d", stage=1, calls_per_request=0.5),
    ),
    entries=(
        Entry(service="a", operation="get", rate_per_s=40.0, slo=ApplicationSlo(latency_s={"mean": 1.0, "p99": 0.01})),
    ),
)
PROFILES = {"d": profile("d", curve("p50", (1.0, 0.01), (60.0, 0.02)), curve("p99", (1.0, 0.05), (60.0, 0.1)))}


def estimate(**how: object) -> ApplicationEstimate:
    return estimate_application(Metadata(name="test"), SPEC, PROFILES, requests=20_000, **how)  # type: ignore[arg-type]


def test_the_bottleneck_is_the_service_nearest_its_limit() -> None:
    found = estimate()
    assert found.bottleneck == "b"
    assert found.ceiling_per_s == pytest.approx(100.0)
    assert {one.service: round(one.utilisation, 3) for one in found.services} == {
        "a": 0.2, "b": 0.4, "c": 0.4, "d": 0.333,
    }  # fmt: skip
    more = estimate(replicas={"b": 2, "c": 2})
    assert more.bottleneck == "d"
    assert more.ceiling_per_s == pytest.approx(120.0)
    assert "beyond that nothing is known" in more.ceiling_reason


def test_bounds_hold_or_break() -> None:
    found = {one.name: (one.holds, one.surely) for one in estimate().bounds}
    assert found == {"a/get.mean": (True, True), "a/get.p99": (False, False)}


def test_the_simulated_mean_lies_between_its_closed_form_bounds() -> None:
    (entry,) = estimate().entries
    assert entry.mean_at_least_s < entry.latency_s["mean"].value < entry.mean_at_most_s


def test_the_simulated_means_are_those_of_the_closed_form() -> None:
    for one in estimate().services:
        assert one.latency_s["mean"].value == pytest.approx(one.closed_form_mean_s, rel=0.03)


def test_the_load_is_scaled() -> None:
    assert estimate(scale=2.0).rate_per_s == pytest.approx(80.0)
    assert estimate(scale=2.0).latency_s["p99"].value > estimate().latency_s["p99"].value


def test_what_it_rests_on_is_said_once_per_source() -> None:
    found = estimate()
    assert [(e.quantity, e.basis) for e in found.evidence] == [
        ("service times of 3 services", "assumed"),
        ("d latency", "measured"),
    ]
    assert any("counts those twice" in note for note in found.notes)
    assert found.simulation["requests"] == 20_000


def test_replicas_of_an_unknown_service_are_refused() -> None:
    with pytest.raises(InputError, match="replicas of bb: no such service"):
        estimate(replicas={"bb": 2})


def test_a_precision_that_was_not_reached_is_said_with_what_would_reach_it() -> None:
    few = estimate_application(Metadata(name="test"), SPEC, PROFILES, requests=400)
    said = next(note for note in few.notes if "± 2% wanted" in note)
    assert int(said.rpartition("--requests ")[2].split()[0]) > 400
    assert not any("wanted" in note for note in estimate().notes)


def test_a_run_that_was_bounded_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictors.application.simulation.MOST_VISITS", 20_000)
    bounded = estimate_application(Metadata(name="test"), SPEC, PROFILES)
    assert bounded.simulation["visits"] <= 20_000
    assert any("bounded" in note for note in bounded.notes)
