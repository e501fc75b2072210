"""The deployment as it is, which every technique must beat: its largest load, its p99, and the fewest replicas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from predictors.deployment import Compiled, compile_deployment, serve
from predictors.serving import Requests
from predictors.serving.measures import Measures, measure
from predictors.slo import bounds_of, request_bounds
from predictors.workload import requests_of
from profilers.importers.load import read_load
from profilers.importers.silicon import profile_for
from profilers.named import step_profile
from specs.catalog import find_device, find_model
from specs.deployment import Deployment
from specs.errors import InputError
from specs.model import ModelSpec
from specs.plan import Evidence
from specs.reading import read_document, sha256
from specs.workload import ClosedArrivals, Workload

LARGEST = 16.0
RELATIVE_STEP = 0.02
"""The largest load is found to this much."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """The question, compiled, and what it gives at this load; ``load``: the largest multiple that holds, 0 for none."""

    name: str
    workload: Workload
    deployment: Deployment
    model: ModelSpec
    compiled: Compiled
    requests: Callable[[float], Requests]
    inputs: dict[str, str]
    measures: Measures
    holds: bool
    breaks: str | None
    load: float
    fewest_replicas: int | None

    @property
    def gpus(self) -> int:
        """GPUs of the deployment."""
        return self.deployment.spec.gpus

    @property
    def gpus_per_replica(self) -> float:
        """GPUs of one of its replicas."""
        return self.gpus / max(self.deployment.spec.replicas, 1)


def read_deployed(workload: Path, deployment: Path, *, seed: int, store: str | None) -> Deployed:
    """Read the documents, serve the workload, find the largest load and the fewest replicas.

    Raises `InputError` for what is wrong in them, and for a closed loop, which has no load to multiply.
    """
    asked, served = read_document(workload, Workload), read_document(deployment, Deployment)
    if isinstance(asked.spec.arrivals, ClosedArrivals):
        raise InputError(
            f"{workload}: spec.arrivals: a closed loop sends no more than is answered: its load cannot be multiplied",
            cure="Give a trace, a rate or a rate series.",
        )
    model, device = find_model(served.spec.model, deployment.parent), find_device(served.spec.device, deployment.parent)
    profile = step_profile(served.spec.profile, deployment.parent, store) if served.spec.profile else None
    compiled = compile_deployment(
        model, device, served.spec, profile=profile or profile_for(model, device, served.spec)
    )
    load = read_load(asked.spec, workload.parent)

    def requests(scale: float) -> Requests:
        return requests_of(asked.spec, load, seed=seed, load_scale=scale)

    own = Served(workload=asked, compiled=compiled, requests=requests, seed=seed)
    now, breaks = own.at(1.0)
    return Deployed(
        name=f"{asked.metadata.name}-on-{served.metadata.name}", workload=asked, deployment=served, model=model,
        compiled=compiled, requests=requests,
        inputs={path.name: sha256(path) for path in (workload, deployment)} | load.inputs, measures=now,
        holds=breaks is None, breaks=breaks, load=own.largest_load(), fewest_replicas=own.fewest_replicas(),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Served:
    """A compiled deployment under multiples of its load."""

    workload: Workload
    compiled: Compiled
    requests: Callable[[float], Requests]
    seed: int

    def at(self, load: float, replicas: int | None = None) -> tuple[Measures, str | None]:
        """What comes out at that multiple, and which bound breaks by most (None: all hold)."""
        pools = tuple(pool if replicas is None else replace(pool, replicas=replicas) for pool in self.compiled.pools)
        asked = self.requests(load)
        run = serve(replace(self.compiled, pools=pools), asked, seed=self.seed)
        bounds = request_bounds(self.workload.spec)
        measures = measure(run, bounds, prompt_tokens=asked.prompt_tokens, resamples=0)
        broken = [one for one in bounds_of(self.workload.spec.slo, measures) if not one.holds]
        if not broken:
            return measures, None
        first = broken[0]
        sign = "<" if first.name == "attainment" else ">"
        return measures, f"{first.name} {first.found:.3g} {sign} {first.bound:g}"

    def largest_load(self) -> float:
        """Bisect for the largest multiple of the load that holds; 0 where a sixty-fourth does not. [ours]"""
        low, high = 1.0 / 64.0, LARGEST
        if self.at(low)[1] is not None:
            return 0.0
        if self.at(high)[1] is None:
            return high
        low, high = (1.0, high) if self.at(1.0)[1] is None else (low, 1.0)
        while high / low > 1 + RELATIVE_STEP:
            middle = float(np.sqrt(low * high))
            low, high = (middle, high) if self.at(middle)[1] is None else (low, middle)
        return low

    def fewest_replicas(self) -> int | None:
        """The fewest replicas that hold this load, None where `LARGEST` times as many do not; mixed roles only."""
        if len(self.compiled.pools) > 1:
            return None
        given = self.compiled.pools[0].replicas
        low, high = 0, given
        while self.at(1.0, high)[1] is not None:
            low, high = high, high * 2
            if high > LARGEST * given:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.at(1.0, middle)[1] is None else (middle, high)
        return high


def evidence_text(entries: tuple[Evidence, ...]) -> str:
    """The weakest evidence of the step time, in a phrase."""
    steps = [one for one in entries if one.quantity == "step_time"]
    return " · ".join(
        dict.fromkeys(f"step time {one.basis}" + (f", ± {one.error:.0%}" if one.error else "") for one in steps)
    )
