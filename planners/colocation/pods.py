"""The pods to place: what each service requests and uses, its class, and what it puts on its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from profilers.store import find
from specs.application import Affinity, ApplicationSpec, Service, ServiceProfile
from specs.colocation import PodClass
from specs.errors import InputError
from specs.explaining import nearest
from specs.reading import sha256

CLASSES: dict[str | None, PodClass] = {"guaranteed": "LSR", "burstable": "LS", "best-effort": "BE", None: "LS"}
"""Koordinator's class of each Kubernetes quality of service; a service that says nothing is latency-sensitive."""
SPREAD_ASSUMED = 0.3
"""Standard deviation over mean of what a pod uses, where no profile says. [assumed]"""
P95_SIGMAS = 1.645
REQUESTS = "Give `requests: {cpu_cores: …, memory_gib: …}`, or a `profile` made by `tonnage profile services`."


@dataclass(frozen=True, kw_only=True)
class Pods:
    """The replicas of one service; figures are of one of them. ``spread``: standard deviations of what is used."""

    service: str
    namespace: str | None
    replicas: int
    qos: PodClass
    cpu_cores: float
    memory_gib: float
    used_cpu_cores: float
    used_memory_gib: float
    spread_cpu_cores: float
    spread_memory_gib: float
    affinity: Affinity
    measured: bool
    notes: tuple[str, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def is_best_effort(self) -> bool:
        """Whether it runs on batch capacity."""
        return self.qos == "BE"


def pods_of(application: ApplicationSpec, path: Path, *, store: str | None = None) -> list[Pods]:
    """Return the pods of every service; raises `InputError` where a service has neither requests nor a profile."""
    names = [service.name for service in application.services]
    found = []
    for service in application.services:
        _check_names(service, names, path)
        profile = find(service.profile, ServiceProfile, base=path.parent, store=store) if service.profile else None
        found.append(_pods(service, profile, path))
    return found


def _check_names(service: Service, names: list[str], path: Path) -> None:
    affinity = service.affinity or Affinity()
    for part, others in (("together_with", affinity.together_with), ("apart_from", affinity.apart_from)):
        for other in others:
            if other not in names:
                raise InputError(
                    f"{path}: service {service.name!r}: affinity.{part}: no service {other!r}{nearest(other, names)}"
                )
    both = set(affinity.together_with) & set(affinity.apart_from)
    if both:
        raise InputError(f"{path}: service {service.name!r}: both together with and apart from {sorted(both)[0]!r}")


def _pods(service: Service, profile: ServiceProfile | None, path: Path) -> Pods:
    used = dict(_used(profile)) if profile else {}
    asked = {
        "cpu_cores": service.requests.cpu_cores if service.requests else None,
        "memory_gib": service.requests.memory_gib if service.requests else None,
    }
    notes, requests = [], {}
    for name, value in asked.items():
        if value is None and name not in used:
            raise InputError(f"{path}: service {service.name!r}: nothing says its {name}", cure=REQUESTS)
        if value is None:
            notes.append(f"{service.name}: requests no {name}; the p95 of its use is planned")
        requests[name] = value if value is not None else used[name][2]
    mean = {name: used[name][0] if name in used else value for name, value in requests.items()}
    spread = {name: used[name][1] if name in used else SPREAD_ASSUMED * mean[name] for name in requests}
    return Pods(
        service=service.name, namespace=service.namespace, replicas=service.replicas or 1, qos=CLASSES[service.qos],
        cpu_cores=requests["cpu_cores"], memory_gib=requests["memory_gib"], used_cpu_cores=mean["cpu_cores"],
        used_memory_gib=mean["memory_gib"], spread_cpu_cores=spread["cpu_cores"],
        spread_memory_gib=spread["memory_gib"], affinity=service.affinity or Affinity(), measured=bool(used),
        notes=tuple(notes), inputs=_input(service, path),
    )  # fmt: skip


def _used(profile: ServiceProfile) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Yield mean, standard deviation and p95 of what one replica uses; the deviation from the p95 of all together."""
    spec = profile.spec
    replicas = max(spec.replicas.mean, 1.0) if spec.replicas else 1.0
    for name, usage in (("cpu_cores", spec.cpu_cores), ("memory_gib", spec.memory_gib)):
        if usage is not None:
            spread = max(usage.p95 - usage.mean, 0.0) / P95_SIGMAS
            yield name, (usage.mean / replicas, spread / replicas, usage.p95 / replicas)


def _input(service: Service, path: Path) -> dict[str, str]:
    if service.profile is None:
        return {}
    file = path.parent / service.profile
    return {file.name: sha256(file)} if file.exists() else {f"profile of {service.name}": service.profile}
