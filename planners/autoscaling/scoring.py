"""What one policy does to a load: simulated, with and without the failure that it must survive, and after a step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from planners.autoscaling.question import ScaledLoad
from predictors.autoscaling.cluster import BREACH
from predictors.autoscaling.looking import View, scaled
from predictors.autoscaling.simulation import Scaled, Trace, simulate
from predictors.autoscaling.state import FloatArray, SingleArray
from specs.autoscaling import ScalingSpec, Score
from specs.policies import PolicySpec

STEP_BEFORE_S, STEP_AFTER_S = 3600.0, 3600.0
STEP_QUANTILE = 0.95


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Part of a service's load, from one tick to before another, on which policies are tried."""

    load: ScaledLoad
    view: View
    scaling: ScalingSpec
    first: int
    last: int
    seed: int = 0

    @property
    def hours(self) -> float:
        """How long the stretch is."""
        return (self.last - self.first) * self.view.tick_s / 3600.0


def failure(scaling: ScalingSpec) -> tuple[int, int]:
    """Replicas that are lost, and the zones of which one is lost (0: none)."""
    return (1 if scaling.survive == "replica" else 0), (scaling.zones if scaling.survive == "zone" else 0)


def run(stretch: Stretch, policies: list[PolicySpec], *, losses: float = 0.0) -> list[Trace]:
    """Simulate every policy over the stretch; ``losses``: per hour and replica, as spot replicas are lost."""
    lost, zones = failure(stretch.scaling)
    services = tuple(
        scaled(
            policy, stretch.load.capacity, stretch.view, first=stretch.first, last=stretch.last, lost=lost,
            zones=zones, losses_per_hour=losses,
        )
        for policy in policies
    )  # fmt: skip
    alike: dict[tuple[bool, bool], list[int]] = {}
    for at, one in enumerate(services):
        alike.setdefault((one.planned is None, one.ahead is None), []).append(at)
    found: dict[int, Trace] = {}
    for members in alike.values():
        for at, trace in zip(
            members, simulate(tuple(services[at] for at in members), stretch.scaling, seed=stretch.seed), strict=True
        ):
            found[at] = trace
    return [found[at] for at in range(len(policies))]


def tune(stretch: Stretch, policies: list[PolicySpec]) -> PolicySpec | None:
    """The cheapest of ``policies`` that keeps the promise over the stretch, else the one that comes nearest."""
    if not policies:
        return None
    traces = run(stretch, policies)
    late = [max(trace.violations, trace.violations_after_loss) for trace in traces]
    most_dimmed = stretch.scaling.brownout.most_dimmed if stretch.scaling.brownout else 1.0
    dimmed = [trace.dimmed_share <= most_dimmed for trace in traces]
    return policies[pick(late, [trace.replica_hours for trace in traces], dimmed, stretch.load.late_share)]


def pick(late: list[float], hours: list[float], allowed: list[bool], late_share: float) -> int:
    """The index of the cheapest that is allowed and keeps the promise, else of the one that comes nearest."""
    keeping = [i for i, share in enumerate(late) if share <= late_share and allowed[i]]
    if keeping:
        return min(keeping, key=lambda i: (hours[i], late[i], i))
    return min(range(len(late)), key=lambda i: (late[i], hours[i], i))


def score(stretch: Stretch, policy: PolicySpec) -> tuple[Score, Trace]:
    """The scores of one policy over the stretch, and what happened there."""
    trace = run(stretch, [policy])[0]
    after = trace.violations_after_loss if stretch.scaling.survive != "nothing" else None
    load, hours = stretch.load, trace.hours
    price = price_of(load, stretch.scaling)
    most_dimmed = stretch.scaling.brownout.most_dimmed if stretch.scaling.brownout else 1.0
    found = Score(
        violations=trace.violations, violations_after_loss=after, dimmed=trace.dimmed_share,
        over_dimmed=trace.dimmed_share > most_dimmed, replica_hours=trace.replica_hours,
        node_hours=trace.node_hours if stretch.scaling.nodes else None,
        gpu_hours=trace.replica_hours * load.gpus if load.gpus else None,
        usd=trace.replica_hours * price if price is not None else None, changes_per_hour=trace.changes / hours,
        reversals_per_hour=trace.reversals / hours, recovers_s=recovery(stretch, policy),
        longest_breach_s=trace.longest_breach_s, replicas_mean=float(trace.total.mean()),
        replicas_most=float(trace.total.max()),
    )  # fmt: skip
    return found, trace


def price_of(load: ScaledLoad, scaling: ScalingSpec) -> float | None:
    """USD per replica and hour on demand: of the Scaling document, else of the service or its GPUs."""
    given = scaling.prices.on_demand
    return given.value if given is not None else load.usd_per_hour


def recovery(stretch: Stretch, policy: PolicySpec) -> float | None:
    """Seconds from a step of the load, mean to its 95 % quantile, until requests are answered in time for good.

    The forecast does not know of the step. None where an hour after it is not enough; 0 where nobody noticed.
    """
    tick_s = stretch.view.tick_s
    step, before = stepped(stretch)
    one = scaled(policy, stretch.load.capacity, _steady(stretch.view, float(step[0]), len(step)))
    found = Scaled(
        capacity=one.capacity, policy=policy, arrivals=step * tick_s, planned=one.planned, ahead=one.ahead,
        base=one.base,
    )  # fmt: skip
    late = simulate((found,), stretch.scaling)[0].late[before:]
    return recovered(late, stretch.load.late_share, tick_s)


def stepped(stretch: Stretch) -> tuple[FloatArray, int]:
    """Rates that stand at the stretch's mean and step to its 95 % quantile, and the ticks before the step."""
    tick_s = stretch.view.tick_s
    rates = stretch.view.rate_per_s[stretch.first : stretch.last]
    low, high = float(rates.mean()), float(np.quantile(rates, STEP_QUANTILE))
    before, after = round(STEP_BEFORE_S / tick_s), round(STEP_AFTER_S / tick_s)
    return np.concatenate([np.full(before, low), np.full(after, max(high, 1.2 * low))]), before


def recovered(late: SingleArray, late_share: float, tick_s: float) -> float | None:
    """Seconds until no tick is breached any more; None where the last one still is, 0 where none was."""
    breached = np.flatnonzero(late > max(BREACH, late_share))
    if len(breached) == 0:
        return 0.0
    return None if breached[-1] == len(late) - 1 else float((breached[-1] + 1) * tick_s)


def _steady(view: View, rate: float, ticks: int) -> View:
    """A view whose forecast stays at one rate."""
    return View(rate_per_s=np.full(ticks, rate), start_s=12 * 3600.0, tick_s=view.tick_s, season_s=None)


def rise(rates: FloatArray, tick_s: float, within_s: float) -> float:
    """The largest rise of the rate within so many seconds, per second."""
    ticks = max(math.ceil(within_s / tick_s), 1)
    return float(np.max(rates[ticks:] - rates[:-ticks])) if len(rates) > ticks else 0.0
