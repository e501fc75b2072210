"""Usage of every container, what it is given, its autoscaler and its kills, in few questions to Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from profilers.prometheus.client import Endpoint, RefusedError, ask
from profilers.prometheus.discovery import Selection
from profilers.prometheus.families import POD_SUFFIX
from profilers.prometheus.history import grid, parse_matrix
from specs.errors import MissingHardwareError
from specs.trace import FloatArray
from specs.usage import Autoscaler, ContainerUsage, Given, Usage

OnProgress = Callable[[float, float, str], None]
Key = tuple[str, str, str]
RANGE_POINTS = 2_000  # per question at first; halved where a server refuses
LEAST_POINTS = 32
PEOPLE = 'container!="",container!="POD"'
BY = "namespace, workload, container"
# kube-state-metrics; each is optional.
GIVEN = {
    "cpu_request_cores": ("kube_pod_container_resource_requests", 'resource="cpu"'),
    "cpu_limit_cores": ("kube_pod_container_resource_limits", 'resource="cpu"'),
    "memory_request_bytes": ("kube_pod_container_resource_requests", 'resource="memory"'),
    "memory_limit_bytes": ("kube_pod_container_resource_limits", 'resource="memory"'),
}


@dataclass
class _Read:
    time_s: FloatArray
    step_s: float
    values: dict[str, dict[Key, FloatArray]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def read_containers(
    server: Endpoint, selection: Selection, *, end_s: float, duration_s: float, step_s: float,
    on_progress: OnProgress = lambda done, total, what: None,
) -> Usage:  # fmt: skip
    """Read the ``duration_s`` before ``end_s`` on a grid of ``step_s``, of the replica that used most at each moment.

    What the server refuses is asked for in smaller ranges, then named in `missing`. Raises `MissingHardwareError`
    where it is not there or has no container metrics.
    """
    read = _Read(grid(end_s, duration_s, step_s), step_s)
    ask(server, "query", {"query": "vector(1)", "time": f"{end_s:.3f}"}, first=True)
    questions = _ranges(selection, max(step_s, 120.0))
    for number, (quantity, query) in enumerate(questions.items()):
        on_progress(number, len(questions) + 1, quantity)
        _range(server, quantity, query, read)
    on_progress(len(questions), len(questions) + 1, "requests, limits and autoscalers")
    if not read.values.get("cpu") or not read.values.get("memory"):
        why = read.missing[0] if read.missing else "it has no container_* metrics for the workloads asked for"
        raise MissingHardwareError(f"{server.url}: gave no usage of containers: {why}", cure="Check the selection.")
    given = {name: _instant(server, _per_container(*what, selection), end_s, read) for name, what in GIVEN.items()}
    scalers, surges = _scalers(server, selection, end_s, read), _instant(server, _surge(selection), end_s, read)
    found = [
        _container(key, read, given, scalers, surges) for key in sorted(read.values["cpu"]) if selection.wants(key[1])
    ]
    return Usage(source=server.url, containers=tuple(one for one in found if one), missing=tuple(read.missing))


def _ranges(selection: Selection, rate_s: float) -> dict[str, str]:
    inside = ",".join(part for part in (PEOPLE, selection.matchers()) if part)
    pods = "namespace, pod, container"
    cpu = f"sum by ({pods}) (rate(container_cpu_usage_seconds_total{{{inside}}}[{rate_s:g}s]))"
    memory = f"max by ({pods}) (container_memory_working_set_bytes{{{inside}}})"
    return {
        "cpu": f"max by ({BY}) ({_workload(cpu)})",
        "memory": f"max by ({BY}) ({_workload(memory)})",
        "replicas": f"count by ({BY}) ({_workload(cpu)})",
        "restarts": f"sum by ({BY}) ({_workload(_killed(selection))})",
    }


def _killed(selection: Selection) -> str:
    inside = ",".join(part for part in ('reason="OOMKilled"', selection.matchers()) if part)
    return f"max by (namespace, pod, container) (kube_pod_container_status_last_terminated_reason{{{inside}}})"


def _workload(expression: str) -> str:
    whole = f'label_replace({expression}, "workload", "$1", "pod", "(.+)")'
    return f'label_replace({whole}, "workload", "$1", "pod", "(.+?){POD_SUFFIX}")'


def _per_container(metric: str, matcher: str, selection: Selection) -> str:
    inside = ",".join(part for part in (matcher, selection.matchers()) if part)
    return f"max by ({BY}) ({_workload(f'max by (namespace, pod, container) ({metric}{{{inside}}})')})"


def _surge(selection: Selection) -> str:
    """Replicas that a rollout of each Deployment adds; budgets of disruption name no workload that could be joined."""
    metric = f"kube_deployment_spec_strategy_rollingupdate_max_surge{{{selection.matchers()}}}"
    return f'max by (namespace, workload) (label_replace({metric}, "workload", "$1", "deployment", "(.+)"))'


def _range(server: Endpoint, quantity: str, query: str, read: _Read) -> None:
    pieces = math.ceil(len(read.time_s) / RANGE_POINTS)
    bounds = [round(len(read.time_s) * piece / pieces) for piece in range(pieces + 1)]
    stack = [(first, last - 1) for first, last in reversed(list(pairwise(bounds)))]
    while stack:
        first, last = stack.pop()
        asked = {"query": query, "start": f"{read.time_s[first]:.3f}", "end": f"{read.time_s[last]:.3f}",
                 "step": f"{read.step_s:g}", "timeout": f"{server.timeout_s:g}s"}  # fmt: skip
        try:
            for labels, times, values in parse_matrix(ask(server, "query_range", asked)):
                _keep(read, quantity, labels, times, values)
        except RefusedError as error:
            if error.refusal == "too-large" and last - first + 1 > LEAST_POINTS:
                stack += [((first + last) // 2 + 1, last), (first, (first + last) // 2)]
                continue
            read.missing.append(f"{quantity}: {error.why}")
            return


def _keep(read: _Read, quantity: str, labels: dict[str, str], times: FloatArray, values: FloatArray) -> None:
    key = (labels.get("namespace", ""), labels.get("workload", ""), labels.get("container", ""))
    row = read.values.setdefault(quantity, {}).setdefault(key, np.full(len(read.time_s), np.nan))
    at = np.rint((times - read.time_s[0]) / read.step_s).astype(np.int64)
    inside = (at >= 0) & (at < len(row)) & np.isfinite(values)
    row[at[inside]] = values[inside]


def _instant(server: Endpoint, query: str, at_s: float, read: _Read) -> dict[Any, float]:
    try:
        answer = ask(server, "query", {"query": query, "time": f"{at_s:.3f}"})
        rows = [(row["metric"], float(row["value"][1])) for row in answer["result"]]
    except RefusedError as error:
        read.missing.append(f"what is set now: {error.why}")
        return {}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        read.missing.append(f"what is set now: the answer breaks the API's form: {type(error).__name__}")
        return {}
    return {_key(labels): value for labels, value in rows if math.isfinite(value)}


def _key(labels: dict[str, str]) -> Any:
    if "container" in labels:
        return labels.get("namespace", ""), labels.get("workload", ""), labels["container"]
    return labels.get("namespace", ""), labels.get("scaletargetref_name", labels.get("workload", ""))


def _scalers(server: Endpoint, selection: Selection, at_s: float, read: _Read) -> dict[Any, Autoscaler]:
    """Autoscalers by namespace and workload, joined to their targets by kube-state-metrics' info series."""
    info = "kube_horizontalpodautoscaler_info"
    by = "namespace, horizontalpodautoscaler"

    def joined(metric: str, matcher: str = "") -> dict[Any, float]:
        inside = ",".join(part for part in (matcher, selection.matchers()) if part)
        series = f"max by ({by}) ({metric}{{{inside}}})"
        return _instant(
            server, f"{series} * on ({by}) group_left(scaletargetref_name) max by ({by}, scaletargetref_name) ({info})",
            at_s, read,
        )  # fmt: skip

    target = joined(
        "kube_horizontalpodautoscaler_spec_target_metric", 'metric_name="cpu",metric_target_type="utilization"'
    )
    least = joined("kube_horizontalpodautoscaler_spec_min_replicas")
    most = joined("kube_horizontalpodautoscaler_spec_max_replicas")
    return {
        key: Autoscaler(
            target=target[key] / 100.0 if key in target else None,
            least=int(least[key]) if key in least else None, most=int(most[key]) if key in most else None,
        )
        for key in {*target, *least, *most}
    }  # fmt: skip


def _container(
    key: Key, read: _Read, given: dict[str, dict[Any, float]], scalers: dict[Any, Autoscaler], surges: dict[Any, float]
) -> ContainerUsage | None:
    memory = read.values["memory"].get(key)
    if memory is None:
        return None
    namespace, workload, container = key
    replicas = read.values.get("replicas", {}).get(key)
    killed = read.values.get("restarts", {}).get(key)
    return ContainerUsage(
        namespace=namespace or None, workload=workload, container=container, time_s=read.time_s, step_s=read.step_s,
        cpu_cores=read.values["cpu"][key][np.newaxis], memory_bytes=memory[np.newaxis],
        largest=bool(replicas is not None and np.nanmax(replicas) > 1), replicas=replicas,
        given=Given(**{name: values.get(key) for name, values in given.items()}),
        autoscaler=scalers.get((namespace, workload)), surge_pods=surges.get((namespace, workload)),
        killed_s=_rises(killed, read.time_s),
        started_s=_rises(replicas, read.time_s),
    )  # fmt: skip


def _rises(values: FloatArray | None, time_s: FloatArray) -> FloatArray:
    """When ``values`` went up, absent counted as 0; the first moment of the history apart."""
    if values is None:
        return np.empty(0)
    risen = np.diff(np.nan_to_num(values)) > 0
    return time_s[1:][risen]
