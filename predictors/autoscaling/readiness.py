"""Which pods' samples the horizontal pod autoscaler counts: ready, unready, missing or ignored ones."""

from __future__ import annotations

from dataclasses import dataclass

CPU_INITIALIZATION_S = 300.0
INITIAL_READINESS_DELAY_S = 30.0
"""The controller manager's defaults: `--horizontal-pod-autoscaler-cpu-initialization-period` and
`--horizontal-pod-autoscaler-initial-readiness-delay`."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What the controller sees of one pod. ``usage`` and ``requested`` are integers, such as millicores.

    ``age_s``: since it started; ``changed_s``: how long ago its readiness last changed; ``sampled_s``: how old the
    sample is, taken over ``window_s``.
    """

    usage: int | None = None
    requested: int = 0
    phase: str = "Running"
    ready: bool = True
    deleted: bool = False
    age_s: float = 3600.0
    changed_s: float = 3600.0
    sampled_s: float = 0.0
    window_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Sums over the pods whose sample counts, and the numbers of the others with their requests."""

    usage: float
    requested: float
    ready: int
    unready: int
    unready_requested: float
    missing: int
    missing_requested: float


def counted(
    pods: list[Pod], *, cpu: bool, initialization_s: float = CPU_INITIALIZATION_S,
    readiness_delay_s: float = INITIAL_READINESS_DELAY_S,
) -> Counted:  # fmt: skip
    """Sort the pods as the controller does [code: `groupPods`]; deleted and failed ones are ignored."""
    alive = [pod for pod in pods if not pod.deleted and pod.phase != "Failed"]
    groups: dict[str, list[Pod]] = {"ready": [], "unready": [], "missing": []}
    for pod in alive:
        groups[_group(pod, cpu, initialization_s, readiness_delay_s)].append(pod)
    ready, unready, missing = groups["ready"], groups["unready"], groups["missing"]
    return Counted(
        usage=float(sum(pod.usage or 0 for pod in ready)), requested=float(sum(pod.requested for pod in ready)),
        ready=len(ready), unready=len(unready), unready_requested=float(sum(pod.requested for pod in unready)),
        missing=len(missing), missing_requested=float(sum(pod.requested for pod in missing)),
    )  # fmt: skip


def _group(pod: Pod, cpu: bool, initialization_s: float, readiness_delay_s: float) -> str:
    if pod.phase == "Pending":
        return "unready"
    if pod.usage is None:
        return "missing"
    return "unready" if cpu and _cpu_unready(pod, initialization_s, readiness_delay_s) else "ready"


def _cpu_unready(pod: Pod, initialization_s: float, readiness_delay_s: float) -> bool:
    """A young pod counts once ready for a whole window of samples; an old one, if it ever was ready."""
    if pod.age_s < initialization_s:
        return not pod.ready or pod.sampled_s > pod.changed_s - pod.window_s
    return not pod.ready and pod.changed_s > pod.age_s - readiness_delay_s
