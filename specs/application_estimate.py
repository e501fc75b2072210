"""What an application would do under an allocation and a load: latencies with errors, utilisation, the ceiling."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.application import Quantity
from specs.base import Document, Spec
from specs.plan import Evidence


class Simulated(Spec):
    """A simulated figure and its standard error: what another seed would change, not what the profiles get wrong."""

    value: float
    standard_error: float | None = None


class ServiceFound(Spec):
    """One service. ``latency_s``: wait and own work of one visit, calls to others left out.

    ``utilisation``: its load over ``limit_per_s``, the most that its replicas do (capacity) or that its profile was
    measured at (measured range). ``closed_form_mean_s``: the same mean by M/G/c, or of the profile's curve.
    """

    service: str
    replicas: int
    visits_per_s: float
    visits_per_request: float
    utilisation: float
    limit_per_s: float
    limited_by: Literal["capacity", "measured range"]
    latency_s: dict[Quantity, Simulated]
    wait_mean_s: float | None = None
    closed_form_mean_s: float | None = None


class EntryFound(Spec):
    """One entry: response times end to end, and the closed-form bounds that the mean must lie between."""

    service: str
    operation: str | None = None
    rate_per_s: float
    latency_s: dict[Quantity, Simulated]
    mean_at_least_s: float
    mean_at_most_s: float


class ApplicationBound(Spec):
    """One bound of an entry's SLO. ``surely``: it holds by 1.645 standard errors (95 %, one-sided)."""

    name: str  # such as checkout.p99
    bound_s: float
    value_s: float
    standard_error_s: float | None = None
    holds: bool
    surely: bool


class ApplicationEstimate(Document):
    """The answer of `tonnage predict application`.

    ``ceiling_per_s``: the requests per second, in today's mix, at which the ``bottleneck`` reaches its limit.
    """

    kind: Literal["ApplicationEstimate"] = "ApplicationEstimate"
    rate_per_s: float
    latency_s: dict[Quantity, Simulated]  # of all requests
    entries: tuple[EntryFound, ...]
    bounds: tuple[ApplicationBound, ...] = ()
    bottleneck: str
    ceiling_per_s: float
    ceiling_reason: str
    services: tuple[ServiceFound, ...]
    simulation: dict[str, float | int] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
