"""What rules of services measure: requests and latency by OpenTelemetry's names, and the signals of autoscalers."""

from __future__ import annotations

from collections.abc import Iterator

from renderers.autoscaling_manifests import SIGNALS
from renderers.rules.burning import Bound, Rule

HISTOGRAM = "http_server_request_duration_seconds"
EDGES_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Name and bucket edges of OpenTelemetry's HTTP server metric. [std: semantic conventions, HTTP metrics]"""
SOURCES = {
    "requests": f"rate({HISTOGRAM}_count{{}}[])",
    "in-flight": "avg_over_time(vllm:num_requests_running{}[]) + avg_over_time(vllm:num_requests_waiting{}[])",
    "waiting": "avg_over_time(vllm:num_requests_waiting{}[])",
    "kv-cache": "avg_over_time(vllm:kv_cache_usage_perc{}[])",
}
"""Each signal as it was tried: a mean over the window of the metrics."""
WINDOW_S = 60.0
"""The window of a plan that says none."""


def matcher(service: str) -> str:
    """Return the matcher of one service."""
    return f'service="{service}"'


def rate(service: str, window: str = "10m") -> str:
    """Return the requests per second of a service."""
    return f"sum(rate({HISTOGRAM}_count{{{matcher(service)}}}[{window}]))"


def latency(name: str, service: str, bound_s: float, late_share: float, operation: str = "") -> Bound:
    """Return the bound on a service's latency, of one route of it where ``operation`` names one."""
    route = f',http_route=~".*{operation}.*"' if operation else ""
    return Bound(
        name=name, histogram=HISTOGRAM, matchers=matcher(service) + route, bound_s=bound_s, late_share=late_share,
        edges=EDGES_S,
    )  # fmt: skip


def signal(service: str, metric: str, window_s: float | None = None) -> Rule:
    """Return the recording rule of a signal: its mean over the window, summed over the pods of a service."""
    window = f"[{duration(window_s or WINDOW_S)}]"
    source = SOURCES[metric].replace("{}", f"{{{matcher(service)}}}").replace("[]", window)
    return {"record": SIGNALS[metric], "expr": f"sum({source})", "labels": {"service": service}}


def signals(service: str, metrics: list[str], window_s: float | None = None) -> Iterator[Rule]:
    """Yield the recording rules of a service's signals; CPU needs none."""
    yield from (signal(service, metric, window_s) for metric in dict.fromkeys(metrics) if metric != "cpu")


def duration(seconds: float) -> str:
    """Return a span as Prometheus reads it, which takes whole numbers: `60s`, `1500ms`."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{1000 * seconds:.0f}ms"
