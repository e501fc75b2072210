"""One answer to the question of `plan application`, from its caches to its simulation."""

from __future__ import annotations

from dataclasses import dataclass

from planners.application.nodes import Placed
from planners.application.whole import Whole
from specs.application import ApplicationSpec
from specs.application_plan import CachePlanned
from specs.slo_plan import SloPlan


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One allocation with its placement and simulation."""

    slo: SloPlan
    spec: ApplicationSpec  # with its caches
    caches: list[CachePlanned]
    replicas: dict[str, int]
    where: Placed
    whole: Whole
    reserved_s: dict[str, float]
    factor: float
