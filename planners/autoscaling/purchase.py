"""How replicas are bought: reserved for what is always there, on demand or spot for the rest."""

from __future__ import annotations

import numpy as np

from planners.autoscaling.question import ScaledLoad
from planners.autoscaling.scoring import Stretch, price_of, run
from predictors.autoscaling.state import SingleArray
from specs.autoscaling import Purchase, ScalingSpec
from specs.policies import PolicySpec

HOURS_PER_WEEK = 168.0


def reserved(total: SingleArray, price: float, on_demand: float) -> int:
    """Replicas to reserve: the largest number that is used a share price/on_demand of the time or more (std).

    Each replica's saving is on_demand · P(n ≥ r) − price, which falls with r: the newsvendor's quantile.
    """
    if price >= on_demand:
        return 0
    counts = np.arange(1, int(total.max()) + 1)
    used = np.array([np.mean(total >= r) for r in counts])
    return int(counts[used >= price / on_demand][-1]) if (used >= price / on_demand).any() else 0


def purchase(stretch: Stretch, policy: PolicySpec, total: SingleArray) -> Purchase | None:
    """The cheapest way to buy these replicas for a week; None where no price is known.

    Spot replicas are bought above the reserved ones if the promise is kept while they are lost at the stated rate.
    """
    load, scaling = stretch.load, stretch.scaling
    on_demand = price_of(load, scaling)
    if on_demand is None:
        return None
    base = reserved(total, scaling.prices.reserved.value, on_demand) if scaling.prices.reserved else 0
    week = HOURS_PER_WEEK / stretch.hours
    above = float(np.maximum(total - base, 0).sum()) * stretch.view.tick_s / 3600.0 * week
    everything = float(total.sum()) * stretch.view.tick_s / 3600.0 * week
    spot = above if keeps_on_spot(stretch, policy, above / max(everything, 1e-9), load, scaling) else 0.0
    paid = base * HOURS_PER_WEEK * (scaling.prices.reserved.value if scaling.prices.reserved else 0.0)
    paid += (above - spot) * on_demand + spot * (scaling.prices.spot.value if scaling.prices.spot else 0.0)
    return Purchase(
        reserved=base, on_demand_hours=above - spot, spot_hours=spot, usd=paid, usd_all_on_demand=everything * on_demand
    )


def keeps_on_spot(stretch: Stretch, policy: PolicySpec, share: float, load: ScaledLoad, scaling: ScalingSpec) -> bool:
    """Whether the promise is kept while that share of the replicas is lost as spot replicas are."""
    if scaling.prices.spot is None or share <= 0.0:
        return False
    trace = run(stretch, [policy], losses=scaling.prices.losses_per_hour * share)[0]
    return max(trace.violations, trace.violations_after_loss) <= load.late_share
