"""What is asked of right-sizing: the method, how sure, which risks; and the constants with their sources."""

from __future__ import annotations

from dataclasses import dataclass

from specs.rightsizing import Method

DAY_S = 86_400.0
GIB = 2**30

CPU_FLOOR_CORES = 0.01  # krr, code
MEMORY_FLOOR_BYTES = 100e6  # krr, code
MARGIN = 1.15  # VPA recommender and krr, code
OUT_OF_MEMORY_BYTES = 100 * 2**20  # VPA recommender, code
OUT_OF_MEMORY_RATIO = 1.2  # VPA recommender, code
LEAST_SAMPLES = 100  # krr, code
WARM_UP_S = 600.0  # how long after its start a container is taken to warm up (ours)
WARM_UP_RATIO = 1.5  # above its steady 95th percentile by so much, a start is a warm-up (ours)
SURGE = 0.25  # Kubernetes' default maxSurge of a rollout
MOST_TARGET = 0.9  # an autoscaler's target above this leaves no room for a burst (ours)
SEVERITY_CORES = (0.5, 0.25, 0.1)  # krr, code
SEVERITY_BYTES = (500e6, 250e6, 100e6)  # krr, code


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``share``: quantile of CPU use that the request covers. ``survive``: with one replica lost as well.

    ``shadow_days``: the last days are held back and the recommendation of the days before is scored on them.
    """

    method: Method = "percentile"
    share: float = 0.95
    survive: bool = False
    least_days: float = 1.0
    shadow_days: float = 0.0
    usd_per_core_hour: float | None = None
    usd_per_gib_hour: float | None = None
    seed: int = 0
