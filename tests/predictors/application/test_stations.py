"""A service as a station: its own time, curves at its load, points, self times, and what is refused."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from predictors.application import Delay, Queue, Station
from predictors.application.closed_form import delay_mean
from predictors.application.stations import sigma_of, station
from specs.application import LatencyCurveSpec, LoadPoint, Resources, Service, ServiceProfileSpec, Usage
from specs.errors import InfeasibleError, InputError
from tests.predictors.application.applications import curve, profile, service

BARE = Service(name="a")


def delay(found: Station) -> Delay:
    assert isinstance(found, Delay)
    return found


def quantile(one: Delay, share: float) -> float:
    return math.exp(float(np.interp(NormalDist().inv_cdf(share), one.scores, one.log_s)))


def test_a_service_time_makes_a_queue_of_all_replicas() -> None:
    found = station(service("a", 0.02, servers=4, cv=0.5, distribution="lognormal"), None, 1.0, 3)
    assert isinstance(found, Queue)
    assert (found.servers, found.mean_s, found.cv) == (12, 0.02, 0.5)
    assert found.capacity_per_s == pytest.approx(600.0)


def test_the_documents_own_time_goes_before_the_profile() -> None:
    assert isinstance(station(service("a"), profile("a", curve("p99", (1.0, 0.1), (2.0, 0.2))), 1.0, 1), Queue)


def test_cores_stand_for_a_concurrency_that_is_not_given() -> None:
    one = service("a").model_copy(update={"concurrency": None, "limits": Resources(cpu_cores=2.5)})
    found = station(one, None, 1.0, 2)
    assert isinstance(found, Queue)
    assert found.servers == 4
    assert found.evidence.note is not None
    with pytest.raises(InputError, match="how many visits a replica works on"):
        station(one.model_copy(update={"limits": None}), None, 1.0, 2)


def test_curves_are_read_at_the_load_of_a_replica() -> None:
    curves = (curve("p50", (10.0, 0.1), (30.0, 0.3)), curve("p99", (10.0, 0.2), (30.0, 0.6)))
    found = delay(station(BARE, profile("a", *curves), 40.0, 2))
    assert quantile(found, 0.5) == pytest.approx(0.2)
    assert quantile(found, 0.99) == pytest.approx(0.4)
    assert found.limit_per_s == pytest.approx(60.0)


def test_a_profile_of_several_replicas_is_scaled() -> None:
    two = Usage(mean=2, p50=2, p95=2, p99=2, high=2, samples=5)
    measured = profile("a", curve("p99", (10.0, 0.1), (30.0, 0.3))).model_copy(update={"replicas": two})
    assert quantile(delay(station(BARE, measured, 20.0, 2)), 0.99) == pytest.approx(0.2, rel=0.002)
    assert quantile(delay(station(BARE, measured, 20.0, 4)), 0.99) == pytest.approx(0.1, rel=0.002)


def test_the_mean_and_a_quantile_make_the_lognormal_with_both() -> None:
    found = delay(
        station(BARE, profile("a", curve("mean", (1.0, 0.1), (9.0, 0.1)), curve("p99", (1.0, 0.4), (9.0, 0.4))), 2.0, 1)
    )
    sigma = found.log_s[1] - found.log_s[0]
    assert delay_mean(found) == pytest.approx(0.1, rel=1e-4)
    assert math.exp(found.log_s[0] + sigma * NormalDist().inv_cdf(0.99)) == pytest.approx(0.4)
    assert sigma == pytest.approx(sigma_of(0.1, 0.4))


@pytest.mark.parametrize("quantity", ["mean", "p99"])
def test_one_figure_alone_is_taken_as_exponential_and_says_so(quantity: str) -> None:
    only = curve("mean", (1.0, 0.1), (9.0, 0.1)) if quantity == "mean" else curve("p99", (1.0, 0.1), (9.0, 0.1))
    found = delay(station(BARE, profile("a", only), 2.0, 1))
    mean = 0.1 if quantity == "mean" else 0.1 / math.log(100.0)
    assert delay_mean(found) == pytest.approx(mean, rel=0.01)
    assert found.evidence.note is not None
    assert "exponential assumed" in found.evidence.note


def test_points_without_curves_are_a_table() -> None:
    points = tuple(LoadPoint(rate_per_s=r, latency_s={"p50": 0.01 * r, "p99": 0.03 * r}) for r in (1.0, 2.0, 4.0))
    found = delay(station(BARE, ServiceProfileSpec(service="a", points=points), 3.0, 1))
    assert quantile(found, 0.99) == pytest.approx(0.09)


def test_self_times_make_a_queue_with_their_spread() -> None:
    seen = ServiceProfileSpec(service="a", self_time_s={"mean": 0.01, "p99": 0.04})
    found = station(Service(name="a", concurrency=3), seen, 1.0, 2)
    assert isinstance(found, Queue)
    assert found.servers == 6
    assert found.cv == pytest.approx(math.sqrt(math.expm1(sigma_of(0.01, 0.04) ** 2)))
    assert found.evidence.basis == "measured"


def test_a_load_beyond_the_measured_range_names_the_replicas_it_needs() -> None:
    measured = profile("a", curve("p99", (10.0, 0.1), (30.0, 0.3)))
    with pytest.raises(InfeasibleError, match="measured up to 60 per second with 2 replicas") as caught:
        station(BARE, measured, 100.0, 2)
    assert "Run 4 replicas" in caught.value.cure
    assert station(BARE, measured, 100.0, 4)


def test_a_capacity_below_the_measured_range_is_the_limit() -> None:
    mgc = LatencyCurveSpec(
        quantity="mean", form="mgc", low_per_s=1.0, high_per_s=12.0, loads=5,
        parameters={"base_s": 0.01, "scale_s": 0.1, "capacity_per_s": 10.0, "servers": 1.0},
    )  # fmt: skip
    with pytest.raises(InfeasibleError, match="capacity of 10 per second"):
        station(BARE, profile("a", mgc), 11.0, 1)
    assert delay_mean(delay(station(BARE, profile("a", mgc), 5.0, 1))) == pytest.approx(0.21, rel=0.01)


@pytest.mark.parametrize(
    "measured",
    [
        profile("a", curve("p99", (1.0, 0.2), (2.0, 0.1))),
        profile("a", curve("p99", (2.0, 0.1), (1.0, 0.2))),
        ServiceProfileSpec(
            service="a", points=tuple(LoadPoint(rate_per_s=r, latency_s={"p99": 0.1 / r}) for r in (1.0, 2.0))
        ),
        profile(
            "a",
            LatencyCurveSpec(
                quantity="mean", form="mgc", low_per_s=1.0, high_per_s=2.0, loads=2,
                parameters={"base_s": 0.01, "scale_s": -0.1, "capacity_per_s": 10.0, "servers": 1.0},
            ),
        ),
    ],
    ids=["latency falls", "loads fall", "points fall", "negative scale"],
)  # fmt: skip
def test_a_negative_slope_is_refused(measured: ServiceProfileSpec) -> None:
    with pytest.raises(InputError, match="negative slope"):
        station(BARE, measured, 1.5, 1)


def test_a_service_that_nothing_is_known_of_is_refused() -> None:
    with pytest.raises(InputError, match="neither service_time nor profile"):
        station(BARE, None, 1.0, 1)
    with pytest.raises(InputError, match="without curves or self times"):
        station(BARE, ServiceProfileSpec(service="a"), 1.0, 1)
