"""Rules of any plan: budgets that burn, by several windows; assumptions that fail; and the file they stand in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from renderers.manifests import PLAN
from specs.plan import PlanDocument
from specs.writing import data_to_yaml

Rule = dict[str, Any]
Group = dict[str, Any]
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
BURNS = (
    ("page", (("1h", "5m", 14.4), ("6h", "30m", 6.0))),
    ("ticket", (("1d", "2h", 3.0), ("3d", "6h", 1.0))),
)
"""Severity; long window, short window and burn rate of each condition. [std: Google SRE workbook, ch. 5, table 5-8]"""
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One latency bound: its name, the histogram and matchers that measure it, the bound, and the share above it.

    ``edges``: the histogram's bucket edges in rising order, seconds.
    """

    name: str
    histogram: str
    matchers: str
    bound_s: float
    late_share: float
    edges: Sequence[float]


def rules_file(plan: PlanDocument, groups: Iterable[Group], sha256: str) -> str:
    """Return the rules as Prometheus loads them; each alert carries the plan's sha256."""
    found = [group for group in groups if group["rules"]]
    for group in found:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["annotations"]["plan"] = sha256
    head = f"# {plan.metadata.name}: rules of the plan, {PLAN} {sha256}\n"
    return head + "".join(f"# {line}\n" for line in NOTES) + data_to_yaml({"groups": found})


NOTES = (
    "Series are told by the label `service`, as a ServiceMonitor sets it; kube_… are of kube-state-metrics.",
    "A route is taken for an operation where its name has the operation's in it.",
    "Between two edges of a histogram the share of requests within a bound is a straight line (ours).",
)


def group(plan: PlanDocument, name: str, rules: Iterable[Rule]) -> Group:
    """Return a group of rules named after the plan."""
    return {"name": f"tonnage-{plan.metadata.name}-{name}", "rules": list(rules)}


def burning(bound: Bound) -> Iterator[Rule]:
    """Yield the late share in every window, and an alert for each severity: all windows of a condition must agree."""
    for window in WINDOWS:
        yield {"record": _series(window), "expr": late(bound, window), "labels": {"slo": bound.name}}
    for severity, conditions in BURNS:
        met = [
            f"({_above(bound, long, rate)} and {_above(bound, short, rate)})"
            for long, short, rate in conditions
            if rate * bound.late_share < 1.0
        ]
        if met:
            yield alert(
                "TonnageBudgetBurns", " or ".join(met), severity, labels={"slo": bound.name},
                summary=f"{bound.name}: more than {bound.late_share:.3%} of the requests take over {bound.bound_s:g} s",
            )  # fmt: skip


def late(bound: Bound, window: str) -> str:
    """Return the share of requests in ``window`` that took longer than the bound."""
    count = f"sum(rate({bound.histogram}_count{{{bound.matchers}}}[{window}]))"
    return f"1 - ({_within(bound, window)}) / {count}"


def _within(bound: Bound, window: str) -> str:
    """Return the rate of requests within the bound, on a straight line between the edges on either side of it."""
    low = max((edge for edge in bound.edges if edge <= bound.bound_s), default=None)
    high = min((edge for edge in bound.edges if edge >= bound.bound_s), default=None)
    if low == high or low is None or high is None:
        known = low if low is not None else high
        return _bucket(bound, known if known is not None else bound.bound_s, window)
    share = (bound.bound_s - low) / (high - low)
    return f"{1 - share:.6g} * {_bucket(bound, low, window)} + {share:.6g} * {_bucket(bound, high, window)}"


def _bucket(bound: Bound, edge: float, window: str) -> str:
    value = f'le="{edge:g}"' if edge != int(edge) else f'le=~"{edge:g}(\\\\.0)?"'
    return f"sum(rate({bound.histogram}_bucket{{{bound.matchers},{value}}}[{window}]))"


def _series(window: str) -> str:
    return f"tonnage:late:share{window}"


def _above(bound: Bound, window: str, rate: float) -> str:
    return f'{_series(window)}{{slo="{bound.name}"}} > {rate:g} * {bound.late_share:.6g}'


def alert(
    name: str, expr: str, severity: str, *, summary: str, lasts: str = "2m", labels: dict[str, str] | None = None
) -> Rule:
    """Return an alerting rule."""
    return {
        "alert": name, "expr": expr, "for": lasts, "labels": {"severity": severity, **(labels or {})},
        "annotations": {"summary": summary},
    }  # fmt: skip


def assumption(about: str, service: str, expr: str, summary: str, lasts: str = "10m") -> Rule:
    """Return the alert of an assumption that the plan rests on: when it fires, plan again."""
    labels = {"service": service, "assumption": about}
    return alert("TonnagePlanOutdated", expr, "ticket", summary=f"{service}: {summary}", lasts=lasts, labels=labels)


def fewer_replicas(service: str, planned: int) -> Rule:
    """Return the alert of a Deployment with fewer replicas available than planned."""
    found = f'kube_deployment_status_replicas_available{{deployment="{service}"}}'
    return assumption("replicas", service, f"{found} < {planned}", f"fewer than the {planned} planned replicas")
