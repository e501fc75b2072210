"""What `tonnage predict serving` found: what one deployment does under one workload."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Document, Spec
from specs.deployment import DeploymentSpec
from specs.plan import Evidence, ServingExpected


class BoundFound(Spec):
    """One bound of the SLO beside what was predicted: seconds, or for attainment a share.

    ``holds``: the figure itself keeps the bound; ``surely``: the unfavourable end of its 90 % interval does too.
    """

    name: str
    bound: float
    value: float
    low: float
    high: float
    holds: bool
    surely: bool


class ServingEstimate(Document):
    """A prediction of serving: figures with intervals, the SLO's bounds, the load, and what it all rests on."""

    kind: Literal["ServingEstimate"] = "ServingEstimate"
    deployment: DeploymentSpec
    gpus: int
    expected: ServingExpected
    bounds: tuple[BoundFound, ...] = ()
    load: dict[str, float] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
