"""What one replica of each service sustains: from the Scaling document, a service's profile, or the engine model."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from planners.autoscaling.question import DEFAULT_ATTAINMENT, Asked, ScaledLoad, visits
from predictors.autoscaling.capacity import service_capacity
from predictors.autoscaling.engine import Lengths, engine_capacity
from predictors.autoscaling.state import FloatArray
from predictors.deployment import compile_deployment
from predictors.workload import requests_of
from profilers.importers.load import read_load
from profilers.importers.silicon import profile_for
from profilers.named import step_profile
from specs.application import ApplicationSpec, Service, ServiceProfile, ServiceProfileSpec
from specs.autoscaling import ScalingSpec, ServiceCapacity
from specs.catalog import find_device, find_model
from specs.cluster import Cluster
from specs.deployment import Deployment, DeploymentSpec
from specs.device import DeviceSpec
from specs.engine import StepEvidence
from specs.errors import InputError, MissingHardwareError
from specs.model import ModelSpec
from specs.promises import Bound, Quantity
from specs.reading import read_document
from specs.workload import DrawnLengths, RateArrivals, Slo, TraceLengths, Workload, WorkloadSpec

ENGINE_BOUNDS: tuple[Quantity, ...] = ("ttft_s", "tpot_s", "e2e_s", "itl_s")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
LARGEST = 400
"""Replicas up to which tables are made where no quota says less."""
SAMPLED_S = 600.0


def services_of(asked: Asked, rate: FloatArray, deployment: Path | None, cluster: Path | None) -> list[ScaledLoad]:
    """Every service with its load, bound and capacity; raises `MissingHardwareError` for one that nobody measured."""
    if isinstance(asked.document, WorkloadSpec):
        if deployment is None:
            cure = "Give --deployment FILE: the Deployment whose replicas come and go."
            raise InputError("autoscaling a Workload needs to know what one replica is", cure=cure)
        return [language_model(asked, asked.name, asked.document, asked.folder, deployment, rate, cluster)]
    return of_application(asked, asked.document, rate, cluster)


def of_application(asked: Asked, spec: ApplicationSpec, rate: FloatArray, cluster: Path | None) -> list[ScaledLoad]:
    """Services that requests reach, each with its part of the entry's bound and of what may be above it (ours).

    The bound is shared by time without load; the share that may be late is divided by the visits of a request, so
    that by the union bound no more requests are late than the entry allows.
    """
    given = {one.service: one for one in asked.scaling.services}
    unknown = sorted(set(given) - {service.name for service in spec.services})
    if unknown:
        raise InputError(f"the Scaling document describes {unknown[0]!r}, which is no service of {asked.name}")
    per_request = visits(spec)
    replicas = {}
    missing = []
    for service in spec.services:
        if per_request[service.name] <= 0.0 or service.workload:
            continue
        found = given.get(service.name) or profiled(service, asked.folder)
        if found is None:
            missing.append(service.name)
        else:
            replicas[service.name] = found
    if missing:
        cure = "Measure them: `tonnage profile services --load-test FILE`; or say workers and service_s in --scaling."
        raise MissingHardwareError(f"nothing says what a replica sustains: {', '.join(missing)}", cure=cure)
    bound, late, promised = entry_bound(spec, asked.scaling)
    late /= max(sum(visited for visited in per_request.values()), 1.0)
    alone = {name: max(per_request[name], 1.0) * (one.fixed_s + one.service_s) for name, one in replicas.items()}
    whole = sum(alone.values())
    loads = []
    for service in spec.services:
        if service.name in replicas:
            one = replicas[service.name]
            mine = one.bound_s or bound * alone[service.name] / whole / max(per_request[service.name], 1.0)
            loads.append(_service(service, one, mine, late, promised, rate, per_request[service.name], asked.scaling))
        elif service.workload and service.deployment and per_request[service.name] > 0.0:
            at = asked.folder / service.workload
            workload = read_document(at, Workload).spec
            own = asked.folder / service.deployment
            visited = per_request[service.name]
            model = language_model(asked, service.name, workload, at.parent, own, rate * visited, cluster)
            loads.append(replace(model, visits=visited))
    if not loads:
        raise InputError(f"{asked.name}: no request reaches a service", cure="Give entries and calls.")
    return loads


def _service(
    service: Service, one: ServiceCapacity, bound_s: float, late: float, promised: Bound, entering: FloatArray,
    visited: float, scaling: ScalingSpec,
) -> ScaledLoad:  # fmt: skip
    if bound_s <= one.fixed_s + one.service_s:
        alone = one.fixed_s + one.service_s
        cure = "Loosen the SLO, or give the service a bound of its own (bound_s in the Scaling document)."
        raise InputError(
            f"{service.name}: its bound of {bound_s:.3g} s is not above its {alone:.3g} s alone", cure=cure
        )
    rate = entering * visited
    capacity = service_capacity(
        workers=one.workers, service_s=one.service_s, fixed_s=one.fixed_s, bound_s=bound_s,
        most=max(scaling.quota or 0, largest(rate, one.workers / one.service_s)), busy_share=one.cpu_share,
        basis="measured" if service.profile else "assumed", source=one.source,
    )  # fmt: skip
    price = service.usd_per_replica_hour
    return ScaledLoad(
        name=service.name, rate_per_s=rate, bound_s=bound_s, late_share=late, capacity=capacity, promised=(promised,),
        visits=visited, usd_per_hour=price.value if price else None,
    )  # fmt: skip


def largest(rate: FloatArray, per_s: float) -> int:
    """Replicas up to which tables are made: three times what the highest rate keeps busy."""
    return int(min(max(3.0 * float(rate.max()) / per_s + 8.0, 16.0), LARGEST))


def entry_bound(spec: ApplicationSpec, scaling: ScalingSpec) -> tuple[float, float, Bound]:
    """The tightest bound of an entry in seconds, the share that may be above it, and what it is on."""
    found = []
    for entry in spec.entries:
        for level, bound in (entry.slo.latency_s if entry.slo else {}).items():
            if level in QUANTILES:
                found.append((bound, 1.0 - QUANTILES[level], entry.service, level))
    if not found:
        cure = "Say what is promised: entries: [{service: …, slo: {latency_s: {p99: 0.5}}}]."
        raise InputError("no entry of the application has a percentile bound on its latency", cure=cure)
    bound, late, service, level = min(found)
    promised = Bound.model_validate({"quantity": "latency_s", "of": service, "level": level, "bound_s": bound})
    return bound, (1.0 - scaling.attainment if scaling.attainment is not None else late), promised


def profiled(service: Service, folder: Path) -> ServiceCapacity | None:
    """Workers and service time of one replica, read off the M/G/c curve of the service's profile."""
    if service.profile is None:
        return None
    spec: ServiceProfileSpec = read_document(folder / service.profile, ServiceProfile).spec
    curve = next((one for one in spec.curves if one.form == "mgc"), None)
    if curve is None:
        return None
    replicas = max(round(spec.replicas.mean) if spec.replicas else service.replicas or 1, 1)
    servers, capacity = int(curve.parameters["servers"]), curve.parameters["capacity_per_s"]
    workers = max(round(servers / replicas), 1)
    return ServiceCapacity(
        service=service.name, workers=workers, service_s=workers * replicas / capacity,
        fixed_s=max(curve.parameters["base_s"], 0.0),
        source=f"M/G/c curve of {service.profile}, {curve.loads} loads of {replicas} replicas",
    )  # fmt: skip


def language_model(
    asked: Asked, name: str, workload: WorkloadSpec, folder: Path, deployment: Path, rate: FloatArray,
    cluster: Path | None,
) -> ScaledLoad:  # fmt: skip
    """A service whose replica is a Deployment, run on the engine model with the workload's lengths."""
    spec = read_document(deployment, Deployment).spec
    if spec.roles != "mixed":
        raise InputError(f"{deployment}: separate prefill and decode roles are not autoscaled", cure="Use mixed roles.")
    return engine_load(asked, name, workload, folder, (spec, deployment.parent), rate, cluster)


def step_evidence(spec: DeploymentSpec, model: ModelSpec, device: DeviceSpec, base: Path) -> StepEvidence | None:
    """What the step times of a deployment rest on: the profile that it names, else an installed one."""
    return step_profile(spec.profile, base) if spec.profile else profile_for(model, device, spec)


def engine_load(
    asked: Asked, name: str, workload: WorkloadSpec, folder: Path, deployed: tuple[DeploymentSpec, Path],
    rate: FloatArray, cluster: Path | None,
) -> ScaledLoad:  # fmt: skip
    """The service of one deployment, given with the folder that its references are relative to."""
    spec, base = deployed
    model, device = find_model(spec.model, base), find_device(spec.device, base)
    profile = step_evidence(spec, model, device, base)
    one = compile_deployment(model, device, spec.model_copy(update={"replicas": 1}), profile=profile)
    bounds, bound_s, late, promised = model_bounds(workload.slo, asked.scaling)
    most = max(asked.scaling.quota or 0, LARGEST)
    capacity = engine_capacity(
        one.pools[0], lengths_of(workload, folder), bounds, bound_s=bound_s, most=most,
        basis=one.step_times[0].evidence[0].basis, source=one.step_times[0].evidence[0].source,
        error=max(time.relative_error for time in one.step_times),
    )  # fmt: skip
    gpus = spec.gpus // spec.replicas
    return ScaledLoad(
        name=name, rate_per_s=rate, bound_s=bound_s, late_share=late, capacity=capacity, promised=promised, gpus=gpus,
        usd_per_hour=gpu_price(cluster, spec.device, gpus), llm=True,
    )  # fmt: skip


def gpu_price(cluster: Path | None, device: str, gpus: int) -> float | None:
    """USD per replica and hour of the cluster's first pool with that device."""
    pools = read_document(cluster, Cluster).spec.pools if cluster else ()
    prices = [pool.usd_per_gpu_hour.value for pool in pools if pool.device == device and pool.usd_per_gpu_hour]
    return prices[0] * gpus if prices else None


def lengths_of(workload: WorkloadSpec, folder: Path) -> Lengths:
    """The lengths of the workload's requests: of its trace, or drawn as it says."""
    load = read_load(workload, folder)
    if isinstance(workload.lengths, DrawnLengths) and not isinstance(workload.lengths, TraceLengths):
        drawn = workload.model_copy(update={"arrivals": RateArrivals(rate_per_s=5.0, duration_s=SAMPLED_S)})
        found = requests_of(drawn, load)
    else:
        found = requests_of(workload, load)
    return Lengths(prompt_tokens=found.prompt_tokens, output_tokens=found.output_tokens)


def model_bounds(slo: Slo, scaling: ScalingSpec) -> tuple[FloatArray, float, float, tuple[Bound, ...]]:
    """Bounds of one request [4], what of them waiting uses up, the share that may miss them, and what is promised.

    A percentile bound stands for a bound that all but that share of requests must meet.
    """
    late, shown = [], []
    bounds = np.full(4, np.inf)
    for at, name in enumerate(ENGINE_BOUNDS):
        request = getattr(slo.request, name)
        if request is not None:
            bounds[at] = request
            late.append(1.0 - slo.attainment)
            shown.append(Bound(quantity=name, bound_s=request))
        for level, q in QUANTILES.items():
            bound = getattr(getattr(slo, name), level)
            if bound is not None and bound < bounds[at]:
                bounds[at] = bound
                late.append(1.0 - q)
                shown.append(Bound.model_validate({"quantity": name, "level": level, "bound_s": bound}))
    if not shown:
        raise InputError("the workload's SLO bounds nothing", cure="Give slo: {ttft_s: {p99: 1.0}} or request bounds.")
    waits = [bound for bound in (bounds[0], bounds[2]) if math.isfinite(bound)]
    share = 1.0 - scaling.attainment if scaling.attainment is not None else min(late, default=1.0 - DEFAULT_ATTAINMENT)
    return bounds, min(waits, default=10.0), share, tuple(shown)
