"""Layer services under an autoscaler each, scaled together: their settings, what they do to a load, and their GPUs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from planners.autoscaling.choosing import LAYERED, axes
from planners.autoscaling.families import SHARES_OF_LIMIT, WINDOWS_S, as_ruled, direction, lowest, most_replicas, spare
from planners.autoscaling.question import Cut, LayerGroup, ScaledLoad
from planners.autoscaling.scoring import Stretch, failure, pick, price_of, recovered, stepped
from predictors.autoscaling.capacity import replicas_needed
from predictors.autoscaling.looking import coarse
from predictors.autoscaling.simulation import Scaled, Trace, simulate_joined
from predictors.autoscaling.state import FloatArray
from solvers.bins import bins_needed
from specs.autoscaling import LayerPolicy, Method, Nodes, ScalingSpec, Score
from specs.policies import PolicySpec, Trigger

Policies = tuple[PolicySpec, ...]


@dataclass(frozen=True, kw_only=True)
class Together:
    """What happened to all groups: the trace of each, and the GPUs that are paid for [ticks]."""

    traces: tuple[Trace, ...]
    gpus: FloatArray
    tick_s: float

    @property
    def violations(self) -> float:
        """Share of the requests above the bound; the groups serve the same ones."""
        return self.traces[0].violations

    @property
    def violations_after_loss(self) -> float:
        """The same with the worst group's failure at any moment, each tick being counted in one trace."""
        return sum(one.violated_after for one in self.traces) / max(self.traces[0].requests, 1e-9)

    @property
    def gpu_hours(self) -> float:
        """GPU-hours that are paid for."""
        return float(self.gpus.sum()) * self.tick_s / 3600.0


def whole_cut(load: ScaledLoad) -> ScaledLoad:
    """The load as the cut serves it, which is then what a replica is."""
    assert load.cut is not None
    return replace(load, capacity=load.cut.capacity)


def group_count(group: LayerGroup, cuts: float, scaling: ScalingSpec) -> int:
    """Replicas of a group in so many whole cuts, with the spare."""
    count = max(math.ceil(cuts / group.share - 1e-9), 1)
    return count + spare(count, scaling)


def candidates(stretch: Stretch) -> Iterator[Policies]:
    """Settings that are tried: all groups at one share of the limit, one window, and the fewest of one number of cuts.

    A group's target is requests in flight per replica, in proportion to what a replica sustains: all groups see the
    same requests, so they grow together, each as far as it must. [ours, after arXiv 2507.18007]
    """
    load, scaling = whole_cut(stretch.load), stretch.scaling
    assert load.cut is not None
    rates = stretch.view.rate_per_s[: stretch.last]
    most = most_replicas(load, scaling, float(rates.max()))
    quiet = np.quantile(coarse(rates, max(round(60.0 / stretch.view.tick_s), 1)), (0.25, 0.5))
    fewest = sorted({0, *(int(n) for n in replicas_needed(load.capacity, quiet, load.late_share, most))})
    middle = len(load.capacity.in_flight[0]) - 1
    for share in SHARES_OF_LIMIT:
        flying = float(load.capacity.in_flight[0, round(share * middle)])
        for window_s in WINDOWS_S:
            for cuts in fewest:
                yield tuple(_policy(one, flying, window_s, (cuts, most), scaling) for one in load.cut.groups)


def _policy(
    group: LayerGroup, flying: float, window_s: float, cuts: tuple[int, int], scaling: ScalingSpec
) -> PolicySpec:
    target = max(float(f"{flying * group.share:.3g}"), 0.1)
    most = scaling.quota or group_count(group, cuts[1], scaling)
    least = lowest(scaling) if cuts[0] == 0 else group_count(group, cuts[0], scaling)
    policy = PolicySpec(
        kind="hpa", min_replicas=min(least, most), max_replicas=most, down=direction(window_s),
        triggers=(Trigger(metric="in-flight", target=target),),
    )  # fmt: skip
    return as_ruled(policy, scaling)


def run(stretch: Stretch, policies: Policies, *, arrivals: FloatArray | None = None) -> Together:
    """Simulate all groups together over the stretch, or over other ``arrivals`` per tick."""
    cut = stretch.load.cut
    assert cut is not None
    lost, zones = failure(stretch.scaling)
    if arrivals is None:
        arrivals = stretch.view.rate_per_s[stretch.first : stretch.last] * stretch.view.tick_s
    services = tuple(
        Scaled(
            capacity=cut.capacity,
            policy=policy,
            arrivals=arrivals,
            lost=lost,
            zones=zones,
            start_up=group.start_up,
            per_s=group.share * cut.capacity.per_s,
        )
        for group, policy in zip(cut.groups, policies, strict=True)
    )
    traces = simulate_joined(services, _smaller(stretch, cut), seed=stretch.seed)
    counts = np.stack([one.total for one in traces], axis=1).astype(np.int64)
    bins = bins_needed(counts, [one.gpus / cut.gpus_per_unit for one in cut.groups])
    return Together(traces=traces, gpus=bins.astype(np.float64) * cut.gpus_per_unit, tick_s=stretch.view.tick_s)


def _smaller(stretch: Stretch, cut: Cut) -> ScalingSpec:
    """Nodes of whole replicas hold as many more of the groups' as these are smaller, by the largest of them."""
    nodes = stretch.scaling.nodes
    if nodes is None:
        return stretch.scaling
    times = max(int(stretch.load.gpus / max(one.gpus for one in cut.groups)), 1)
    smaller = Nodes(
        replicas_per_node=nodes.replicas_per_node * times, provision_s=nodes.provision_s, idle_s=nodes.idle_s
    )
    return stretch.scaling.model_copy(update={"nodes": smaller})


def tune(stretch: Stretch) -> Policies:
    """The cheapest settings in GPU-hours that keep the promise over the stretch, else those that come nearest."""
    tried = list(candidates(stretch))
    found = [run(stretch, policies) for policies in tried]
    late = [max(one.violations, one.violations_after_loss) for one in found]
    return tried[pick(late, [one.gpu_hours for one in found], [True] * len(found), stretch.load.late_share)]


def score(stretch: Stretch, policies: Policies) -> tuple[Score, Together]:
    """The scores of all groups together over the stretch, and what happened there."""
    found = run(stretch, policies)
    traces, load, hours = found.traces, stretch.load, found.traces[0].hours
    price = price_of(load, stretch.scaling)
    total = np.sum([one.total for one in traces], axis=0)
    replica_hours = sum(one.replica_hours for one in traces)
    return Score(
        violations=found.violations,
        violations_after_loss=found.violations_after_loss if stretch.scaling.survive != "nothing" else None,
        replica_hours=replica_hours, gpu_hours=found.gpu_hours,
        usd=None if price is None else found.gpu_hours * price / load.gpus,
        changes_per_hour=sum(one.changes for one in traces) / hours,
        reversals_per_hour=max(one.reversals for one in traces) / hours, recovers_s=_recovery(stretch, policies),
        longest_breach_s=traces[0].longest_breach_s, replicas_mean=float(total.mean()),
        replicas_most=float(total.max()),
    ), found  # fmt: skip


def _recovery(stretch: Stretch, policies: Policies) -> float | None:
    rates, before = stepped(stretch)
    late = run(stretch, policies, arrivals=rates * stretch.view.tick_s).traces[0].late[before:]
    return recovered(late, stretch.load.late_share, stretch.view.tick_s)


def method(train: Stretch, test: Stretch) -> Method:
    """The tuned autoscalers of all groups as one method beside the others."""
    load = train.load
    assert load.cut is not None
    policies = tune(train)
    found, together = score(test, policies)
    most = int(load.cut.capacity.rows[-1])
    peak = np.array([load.rate_per_s.max()])
    cuts = int(replicas_needed(load.cut.capacity, peak, load.late_share, most)[0])
    layers = tuple(
        LayerPolicy(
            service=group.name, first_layer=group.first_layer, last_layer=group.last_layer, policy=policy,
            gpus=group.gpus, sustains_per_s=float(f"{group.share * load.cut.capacity.per_s:.6g}"),
            start_up_s=group.start_up.cold_s, replicas_mean=float(f"{trace.total.mean():.6g}"),
            needed_at_peak=group_count(group, min(cuts, most), train.scaling),
        )
        for group, policy, trace in zip(load.cut.groups, policies, together.traces, strict=True)
    )  # fmt: skip
    return Method(
        name=LAYERED, service=load.name, policy=policies[0], score=found, trained=score(train, policies)[0],
        axes=axes(policies[0], llm=True, layered=True), layers=layers,
    )  # fmt: skip
