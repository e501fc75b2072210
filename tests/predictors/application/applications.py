"""Small applications for the tests."""

from __future__ import annotations

from typing import Literal

from predictors.application import Network, network_of
from specs.application import ApplicationSpec, Call, Entry, Quantity, Service, ServiceProfileSpec, ServiceTime
from specs.application import LatencyCurveSpec as Curve

Distribution = Literal["exponential", "lognormal", "deterministic"]


def service(
    name: str, mean_s: float = 0.01, servers: int = 1, replicas: int = 1, cv: float = 1.0,
    distribution: Distribution = "exponential",
) -> Service:  # fmt: skip
    time = ServiceTime(mean_s=mean_s, cv=cv, distribution=distribution)
    return Service(name=name, replicas=replicas, concurrency=servers, service_time=time)


def application(*services: Service, calls: tuple[Call, ...] = (), rate_per_s: float = 10.0) -> ApplicationSpec:
    """Entered at the first service."""
    return ApplicationSpec(
        services=services, calls=calls, entries=(Entry(service=services[0].name, rate_per_s=rate_per_s),)
    )


def network(*services: Service, calls: tuple[Call, ...] = (), rate_per_s: float = 10.0) -> Network:
    return network_of(application(*services, calls=calls, rate_per_s=rate_per_s), {})


def curve(quantity: Quantity, *knots: tuple[float, float]) -> Curve:
    return Curve(
        quantity=quantity, form="piecewise", knots=knots, low_per_s=knots[0][0], high_per_s=knots[-1][0],
        loads=len(knots),
    )  # fmt: skip


def profile(name: str, *curves: Curve) -> ServiceProfileSpec:
    return ServiceProfileSpec(service=name, curves=curves)
