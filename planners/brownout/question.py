"""What a brownout plan is asked: the documents read and held against each other, and the burst drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from predictors.serving import Requests
from predictors.workload import requests_of
from profilers.importers.load import read_load
from profilers.importers.silicon import profile_for
from profilers.named import step_profile
from specs.accuracy import AccuracyTable, published_table, refuse_other_model
from specs.catalog import find_device, find_model
from specs.deployment import Deployment
from specs.device import DeviceSpec
from specs.engine import StepEvidence
from specs.errors import InputError
from specs.experts import ExpertProfile
from specs.model import ModelSpec, Moe
from specs.reading import read_document, sha256
from specs.workload import ClosedArrivals, PercentileBounds, RequestBounds, Slo, Workload, WorkloadSpec

FloatArray = npt.NDArray[np.float64]
OnProgress = Callable[[float, float, str], None]
BURST_AT = 0.3
"""Share of the trace after which the burst begins: 75 of 250 s [paper]."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Everything a brownout plan depends on; equal questions give equal plans."""

    name: str
    model: ModelSpec
    moe: Moe
    device: DeviceSpec
    deployment: Deployment
    profile: StepEvidence | None
    workload: WorkloadSpec
    requests: Requests
    popularity: FloatArray
    """[layers, experts] tokens that the router sent to each."""
    popularity_source: str
    accuracy: AccuracyTable
    burst: float
    per_layer: bool
    seed: int
    inputs: dict[str, str]

    @property
    def burst_start_s(self) -> float:
        """When the rate begins to be a multiple."""
        first, last = float(self.requests.arrival_s[0]), float(self.requests.arrival_s[-1])
        return first + BURST_AT * (last - first)

    def under(self, factor: float) -> Requests:
        """The requests with their rate multiplied from the start of the burst on; every request is kept."""
        arrival, start_s = self.requests.arrival_s, self.burst_start_s
        later = start_s + (arrival - start_s) / factor
        return replace(self.requests, arrival_s=np.where(arrival > start_s, later, arrival))

    @property
    def prefill_slo_s(self) -> float | None:
        """The tightest bound on the time to the first token."""
        return _tightest(self.workload.slo.request.ttft_s, self.workload.slo.ttft_s)

    @property
    def decode_slo_s(self) -> float | None:
        """The tightest bound on the gap between tokens, be it of each (ITL) or of their mean (TPOT)."""
        slo = self.workload.slo
        found = [_tightest(slo.request.itl_s, slo.itl_s), _tightest(slo.request.tpot_s, slo.tpot_s)]
        given = [one for one in found if one is not None]
        return min(given) if given else None

    @property
    def level(self) -> float:
        """The quantile to steer by: the highest that the SLO bounds, at least the published 0.9."""
        slo = self.workload.slo
        given = [name for part in (slo.ttft_s, slo.tpot_s, slo.itl_s) for name in part.model_dump(exclude_none=True)]
        levels = [int(name[1:]) / 100 for name in given if name.startswith("p")]
        return max([0.9, *levels, *([slo.attainment] if slo.request != RequestBounds() else [])])


def _tightest(request: float | None, percentiles: PercentileBounds) -> float | None:
    given = [*percentiles.model_dump(exclude_none=True).values(), *([request] if request is not None else [])]
    return min(given) if given else None


def read_question(
    workload: Path,
    deployment: Path,
    experts: Path,
    accuracy: Path | None,
    *,
    burst: float,
    per_layer: bool,
    seed: int,
    store: str | None = None,
) -> Question:
    """Read the documents and draw the requests; raises `InputError` for what is wrong in them or does not fit."""
    asked, served = read_document(workload, Workload), read_document(deployment, Deployment)
    if not burst >= 1.0:
        raise InputError(
            f"--burst is {burst:g}, expected at least 1", cure="Give the multiple of the rate in the burst."
        )
    model, device = find_model(served.spec.model, deployment.parent), find_device(served.spec.device, deployment.parent)
    moe = _experts_of(model, deployment)
    _check_served(served, deployment)
    _check_asked(asked.spec, model, workload)
    popularity = read_document(experts, ExpertProfile)
    _check_popularity(popularity, model, moe, experts)
    table = _accuracy(accuracy, model)
    profile = step_profile(served.spec.profile, deployment.parent, store) if served.spec.profile else None
    load = read_load(asked.spec, workload.parent)
    files = [path for path in (workload, deployment, experts, accuracy) if path is not None]
    return Question(
        name=f"{asked.metadata.name}-on-{served.metadata.name}", model=model, moe=moe, device=device,
        deployment=served, profile=profile or profile_for(model, device, served.spec), workload=asked.spec,
        requests=requests_of(asked.spec, load, seed=seed),
        popularity=np.asarray([one.counts for one in popularity.spec.layers], dtype=np.float64),
        popularity_source=popularity.spec.source, accuracy=table, burst=burst, per_layer=per_layer, seed=seed,
        inputs={path.name: sha256(path) for path in files} | load.inputs,
    )  # fmt: skip


def _experts_of(model: ModelSpec, where: Path) -> Moe:
    if model.moe is None:
        raise InputError(
            f"{where}: spec.model: {model.name} is dense: every token passes all of its weights, so there are no "
            "experts to unite and nothing to brown out",
            cure="Plan brownout for a mixture-of-experts model (`tonnage catalog models` shows their experts).",
        )
    return model.moe


def _check_served(served: Deployment, where: Path) -> None:
    if served.spec.roles != "mixed":
        raise InputError(
            f"{where}: spec.roles: prefill and decode replicas are apart; brownout is planned for mixed ones",
            cure="Plan it for `roles: mixed`.",
        )


def _check_asked(asked: WorkloadSpec, model: ModelSpec, where: Path) -> None:
    if isinstance(asked.arrivals, ClosedArrivals):
        raise InputError(
            f"{where}: spec.arrivals: a closed loop sends no more than is answered, so it has no burst",
            cure="Give a trace, a rate or a rate series.",
        )
    own = {model.name.lower(), *(alias.lower() for alias in model.aliases)}
    if asked.model.lower() not in own:
        raise InputError(
            f"{where}: spec.model: the workload is of {asked.model}, the deployment serves {model.name}",
            cure="Name the same model in both.",
        )
    _check_slo(asked.slo, where)


def _check_slo(slo: Slo, where: Path) -> None:
    first = _tightest(slo.request.ttft_s, slo.ttft_s)
    gaps = [_tightest(slo.request.itl_s, slo.itl_s), _tightest(slo.request.tpot_s, slo.tpot_s)]
    if first is None and gaps == [None, None]:
        raise InputError(
            f"{where}: spec.slo: no bound on ttft_s, tpot_s or itl_s is given, so there is nothing to steer by",
            cure="Give for example `slo: {ttft_s: {p90: 1.0}, itl_s: {p90: 0.05}}`.",
        )


def _check_popularity(found: ExpertProfile, model: ModelSpec, moe: Moe, where: Path) -> None:
    spec = found.spec
    names = {model.name.lower(), *(alias.lower() for alias in model.aliases)}
    cure = f"Profile the router of {model.name}: `tonnage profile moe LOG --model {model.name} -w {where.name}`."
    if spec.model is not None and spec.model.lower() not in names:
        raise InputError(f"{where}: spec.model: experts of {spec.model}, planned is {model.name}", cure=cure)
    if spec.experts != moe.experts:
        raise InputError(f"{where}: spec.experts: {spec.experts} experts, {model.name} has {moe.experts}", cure=cure)
    if len(spec.layers) != moe.layers:
        layers = f"{len(spec.layers)} layer{'s' * (len(spec.layers) != 1)}"
        raise InputError(f"{where}: spec.layers: {layers}, {model.name} has {moe.layers} with experts", cure=cure)


def _accuracy(path: Path | None, model: ModelSpec) -> AccuracyTable:
    if path is not None:
        table = read_document(path, AccuracyTable)
        refuse_other_model(table, model, str(path))
        return table
    published = published_table(model)
    if published is None:
        raise InputError(
            f"no accuracy losses of {model.name} under brownout are published",
            cure="Measure them and give the table: --accuracy TABLE (an AccuracyTable document).",
        )
    return published
