"""Rules of a serving plan: burning budgets of every percentile it bounds, load within headroom, replicas, limits."""

from __future__ import annotations

from collections.abc import Iterator

from renderers.rules.burning import QUANTILES, Group, Rule, alert, assumption, burning, fewer_replicas, group
from renderers.rules.engine import HISTOGRAMS, latency
from renderers.serving_pods import Group as Replicas
from renderers.serving_pods import groups as replica_groups
from specs.plan import BoundHeld, ServingPlan

LENGTHS_OFF, PREEMPTED = 0.2, 0.05
"""Shares from which lengths and preemptions count as other than planned (ours)."""


def groups(plan: ServingPlan) -> list[Group]:
    """Return a group per percentile bound, and one of assumptions; raises `InputError` as `serving_pods.groups`.

    Attainment and bounds of one class of requests are joint figures that the engine's histograms do not hold.
    """
    replicas = replica_groups(plan)
    matchers = f'service=~"{"|".join(one.name for one in replicas)}"'
    found = [
        group(plan, one.name.replace("_", "-").replace(".", "-"), _burning(one, matchers))
        for one in (plan.why.slo if plan.why else ())
    ]
    limits = (rule for one in replicas for rule in _limits(one))
    return [*found, group(plan, "assumptions", [*_load(plan, matchers), *limits])]


def _burning(one: BoundHeld, matchers: str) -> Iterator[Rule]:
    quantity, _, level = one.name.partition(".")
    if quantity in HISTOGRAMS and level in QUANTILES:
        yield from burning(latency(one.name, quantity, matchers, one.bound, 1.0 - QUANTILES[level]))
    elif quantity in HISTOGRAMS and level == "mean":
        name = HISTOGRAMS[quantity][0]
        mean = f"sum(rate({name}_sum{{{matchers}}}[30m])) / sum(rate({name}_count{{{matchers}}}[30m]))"
        summary = f"the mean {quantity} is above {one.bound:g} s"
        yield alert("TonnageMeanAbove", f"{mean} > {one.bound:g}", "ticket", summary=summary, labels={"slo": one.name})


def _load(plan: ServingPlan, matchers: str) -> Iterator[Rule]:
    why = plan.why
    rate = why.load.get("rate_per_s") if why else None
    if why is None or not isinstance(rate, int | float):
        return
    most = rate * (why.headroom or 1.0)
    arriving = f"sum(rate(vllm:request_success_total{{{matchers}}}[30m]))"
    headroom = f", {why.headroom:.3g} × the planned load" if why.headroom else ""
    summary = f"more than {most:.4g} requests per second{headroom}"
    yield assumption("load", plan.metadata.name, f"{arriving} > {most:.6g}", summary)
    for name in ("prompt", "output"):
        mean = why.load.get(f"{name}_tokens_mean")
        if isinstance(mean, int | float):
            yield _lengths(plan, matchers, name, float(mean))


def _lengths(plan: ServingPlan, matchers: str, name: str, mean: float) -> Rule:
    series = f"vllm:request_{'generation' if name == 'output' else 'prompt'}_tokens"
    found = f"sum(rate({series}_sum{{{matchers}}}[6h])) / sum(rate({series}_count{{{matchers}}}[6h]))"
    off = f"abs({found} / {mean:.6g} - 1) > {LENGTHS_OFF}"
    summary = f"{name} lengths are more than {LENGTHS_OFF:.0%} off their planned mean of {mean:.4g} tokens"
    return assumption(f"{name} lengths", plan.metadata.name, off, summary, lasts="1h")


def _limits(one: Replicas) -> Iterator[Rule]:
    limit, mine = one.deployment.engine.max_num_seqs, f'{{service="{one.name}"}}'
    yield fewer_replicas(one.name, one.replicas)
    running = f"max(vllm:num_requests_running{mine}) > {limit}"
    yield assumption("limit", one.name, running, f"more sequences at once than the planned {limit}", lasts="1m")
    preempted = f"sum(rate(vllm:num_preemptions_total{mine}[30m])) / sum(rate(vllm:request_success_total{mine}[30m]))"
    often = f"more than {PREEMPTED:.0%} of the requests are preempted: their KV does not fit"
    yield assumption("memory", one.name, f"{preempted} > {PREEMPTED}", often)
