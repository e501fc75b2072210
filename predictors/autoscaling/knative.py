"""Knative's pod autoscaler and AIBrix's APA as pure steps: one value of the metric in, pods out.

After `pkg/controller/podautoscaler` of vllm-project/aibrix [code], itself after Knative's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds and rates that both policies share; the rates are factors per decision."""

    least: int = 1
    most: int = 10
    up_rate: float = 2.0
    down_rate: float = 2.0


def apa(pods: int, use_per_pod: float, target: float, limits: Limits, *, up: float = 0.1, down: float = 0.2) -> int:
    """AIBrix's APA: in proportion to the use, nothing within the two tolerances, at most doubled or halved."""
    ratio = use_per_pod / target
    wanted = math.ceil(pods * ratio)
    if ratio > 1.0 + up:
        found = min(wanted, math.ceil(limits.up_rate * pods))
    elif ratio < 1.0 - down:
        found = max(wanted, math.floor(pods / limits.down_rate))
    else:
        found = pods
    return min(max(found, limits.least), limits.most)


@dataclass
class Kpa:
    """Knative's autoscaler with its memory: panic mode and delayed scale-down."""

    target: float
    limits: Limits
    panic_threshold: float = 2.0
    stable_window_s: float = 60.0
    down_delay_s: float = 180.0
    panic_since_s: float | None = None
    panic_pods: int = 0
    recent: list[tuple[float, int]] = field(default_factory=list)

    def step(self, now_s: float, ready: int, stable: float, panic: float) -> int:
        """Pods for the sums of the metric over all pods, averaged over the stable and the panic window."""
        base = max(1, ready)
        lowest, highest = math.floor(base / self.limits.down_rate), math.ceil(self.limits.up_rate * base)
        by_panic = math.ceil(panic / self.target)
        wanted = min(max(math.ceil(stable / self.target), lowest), highest)
        urgent = min(max(by_panic, lowest), highest)
        wanted = self._panics(now_s, by_panic / base >= self.panic_threshold, wanted, urgent)
        self.recent = [(at, pods) for at, pods in self.recent if at > now_s - self.down_delay_s] + [(now_s, wanted)]
        held = max(pods for _, pods in self.recent)
        return min(max(held, self.limits.least), self.limits.most)

    def _panics(self, now_s: float, over: bool, wanted: int, urgent: int) -> int:
        """Panic mode: only growth, until the stable window has passed without cause."""
        if over:
            self.panic_since_s = now_s
        elif self.panic_since_s is not None and self.panic_since_s + self.stable_window_s < now_s:
            self.panic_since_s, self.panic_pods = None, 0
        if self.panic_since_s is None:
            return wanted
        self.panic_pods = max(self.panic_pods, wanted, urgent)
        return self.panic_pods
