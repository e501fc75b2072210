"""AIBrix's APA and KPA deciding on the KV use of a simulated fleet, with the settings of its published runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from predictors.autoscaling.knative import Kpa, Limits, apa
from predictors.autoscaling.pods import PodModel, advance, fleet, follow, kv_use

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
TARGET, MOST = 0.5, 10
"""KV use of each pod, and the maximum, as published with the runs (benchmarks/autoscaling of vllm-project/aibrix)."""
APA_WINDOW_S, KPA_STABLE_S, KPA_PANIC_S, KPA_DELAY_S = 30.0, 60.0, 10.0, 180.0
RECONCILE_S, MOST_RUNNING = 10.0, 8
"""The controller looks every 10 s; the cluster had eight GPUs: no run ever has more pods."""
CREATED_S, LOADED_S, READY_S = 3.0, 52.0, 90.0
"""A pod runs 3 s after the decision. It is sent requests 90 s later, when its readiness probe begins [code]; its engine
answers the controller before that: the next decision comes 57 s after Running, and those are 10 s apart."""


Samples = list[tuple[float, float]]
"""Times and sums of the KV use over all pods. The controller of these runs keeps none while a pod does not answer, as
one that is loading does not [code: `GetMetricsFromPods` fails as a whole]."""
Decide = Callable[[float, int, Samples], int | None]


def mean_since(samples: Samples, since_s: float) -> float | None:
    """Mean of the samples after that time; None where there is none: then nothing is decided."""
    found = [value for at, value in samples if at > since_s]
    return float(np.mean(found)) if found else None


def simulate_apa(
    model: PodModel, arrival_s: Array, prompt: Counts, output: Counts, *, first: int,
    until_s: float, seed: int,
) -> float:  # fmt: skip
    """Mean pods under APA: 10 % up and 20 % down tolerance, metric averaged over 30 s."""
    limits = Limits(most=MOST)

    def decide(now: float, ready: int, samples: Samples) -> int | None:
        use = mean_since(samples, now - APA_WINDOW_S)
        return None if use is None else apa(ready, use / ready, TARGET, limits)

    return _run(model, arrival_s, prompt, output, decide, first, until_s, seed)


def simulate_kpa(
    model: PodModel, arrival_s: Array, prompt: Counts, output: Counts, *, first: int,
    until_s: float, seed: int,
) -> float:  # fmt: skip
    """Mean pods under KPA: stable window 60 s, panic window 10 s, scale-down delayed by 3 min."""
    scaler = Kpa(target=TARGET, limits=Limits(most=MOST), stable_window_s=KPA_STABLE_S, down_delay_s=KPA_DELAY_S)
    scaler.recent = [(0.0, first)]

    def decide(now: float, ready: int, samples: Samples) -> int | None:
        stable, panic = mean_since(samples, now - KPA_STABLE_S), mean_since(samples, now - KPA_PANIC_S)
        return None if stable is None or panic is None else scaler.step(now, ready, stable, panic)

    return _run(model, arrival_s, prompt, output, decide, first, until_s, seed)


def _run(
    model: PodModel, arrival_s: Array, prompt: Counts, output: Counts, decide: Decide, first: int,
    until_s: float, seed: int,
) -> float:  # fmt: skip
    """Every 10 s: the fleet has advanced, the metric is taken if every pod answers, the policy decides."""
    world = fleet(model, arrival_s, prompt, output, MOST + 1, seed)
    order: list[int] = []
    follow(world, order, first, 0.0, 0.0)
    samples: Samples = []
    counts = []
    for at in np.arange(RECONCILE_S, until_s, RECONCILE_S):
        now = float(at)
        advance(world, now)
        counts.append(len(order))
        ready = int(np.sum(world.ready_s <= now))
        if int(np.sum(world.ready_s <= now + READY_S - LOADED_S)) == len(order):
            samples.append((now, float(kv_use(world, now).sum())))
        wanted = decide(now, max(ready, 1), samples)
        if wanted is not None:
            follow(world, order, min(wanted, MOST_RUNNING), now, CREATED_S + READY_S)
    return float(np.mean(counts))
