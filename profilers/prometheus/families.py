"""Which metrics tell what of a workload, and which of their labels name it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["cpu", "memory", "histogram"]

HASH = "[bcdfghjklmnpqrstvwxz2456789]"
"""Letters of the suffixes that Kubernetes gives to pods (k8s.io/apimachinery/pkg/util/rand)."""
POD_SUFFIX = f"(-{HASH}{{6,10}})?(-{HASH}{{5}}|-[0-9]+)"
"""Deployment: two hashes; DaemonSet and Job: one; StatefulSet: a number."""
_POD = re.compile(f"(.+?){POD_SUFFIX}")
BY_LABELS = ("destination_workload", "pod", "service", "app", "job")
"""Labels that name a workload, best first; of a pod's name the suffix is cut."""


@dataclass(frozen=True)
class Family:
    """One metric: ``metric`` (for a histogram without `_bucket`), its matchers, and what turns it into our unit."""

    metric: str
    kind: Kind
    matchers: str = ""
    scale: float = 1.0

    @property
    def sample(self) -> str:
        """Name of the series by which it is discovered."""
        return f"{self.metric}_count" if self.kind == "histogram" else self.metric


_CONTAINER = 'container!="",container!="POD"'
FAMILIES = (
    Family("container_cpu_usage_seconds_total", "cpu", _CONTAINER),  # cAdvisor
    Family("process_cpu_seconds_total", "cpu"),  # Prometheus client libraries
    Family("container_memory_working_set_bytes", "memory", _CONTAINER),
    Family("process_resident_memory_bytes", "memory"),
    Family("istio_request_duration_milliseconds", "histogram", 'reporter="destination"', 1e-3),
    Family("http_server_request_duration_seconds", "histogram"),  # OpenTelemetry semantic conventions
    Family("http_server_requests_seconds", "histogram"),  # Micrometer
    Family("http_request_duration_seconds", "histogram"),  # Prometheus client libraries
    Family("grpc_server_handling_seconds", "histogram"),  # go-grpc-prometheus
    Family("request_duration_seconds", "histogram"),
)
"""Of each kind the first that a server has is taken."""


def workload_of(labels: Mapping[str, str]) -> tuple[str | None, str] | None:
    """Return namespace and workload that ``labels`` name, or None where none of them names one."""
    by = next((name for name in BY_LABELS if labels.get(name)), None)
    if by is None:
        return None
    namespace = labels.get("destination_workload_namespace" if by == "destination_workload" else "namespace")
    return namespace or None, pod_workload(labels[by]) if by == "pod" else labels[by]


def pod_workload(pod: str) -> str:
    """Return the name of a pod without the suffix that its controller gave it."""
    found = _POD.fullmatch(pod)
    return found.group(1) if found else pod
