"""AIBrix's APA and KPA and the HPA deciding on the KV use of a simulated fleet, with the settings of its runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictors.autoscaling.hpa import MOST as MOST_OF
from predictors.autoscaling.hpa import NO_ANSWER, PERCENT, PODS, limited, pods_replicas, stabilized, up_limit
from predictors.autoscaling.knative import Kpa, Limits, apa
from predictors.autoscaling.pods import PodModel, advance, fleet, follow, kv_use
from specs.policies import PolicySpec

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


HPA = PolicySpec(kind="hpa", min_replicas=1, max_replicas=MOST)
"""Kubernetes' defaults: the object that AIBrix makes sets no behaviour [code: `makeHPA`]. Its metric is per pod."""


@dataclass(frozen=True)
class Look:
    """What a controller sees: pods there are, those that answer it, those that are ready, and the sum of the KV use."""

    now_s: float
    pods: int
    answering: int
    ready: int
    use: float


Samples = list[tuple[float, float]]
"""Times and sums of the KV use over all pods. AIBrix's controller keeps none while a pod does not answer, as one that
is loading does not [code: `GetMetricsFromPods` fails as a whole]."""
Decide = Callable[[Look], int | None]


def mean_since(samples: Samples, since_s: float) -> float | None:
    """Mean of the samples after that time; None where there is none: then nothing is decided."""
    found = [value for at, value in samples if at > since_s]
    return float(np.mean(found)) if found else None


def _seen(samples: Samples, look: Look) -> None:
    if look.answering == look.pods:
        samples.append((look.now_s, look.use))


def simulate_apa(
    model: PodModel, arrival_s: Array, prompt: Counts, output: Counts, *, first: int,
    until_s: float, seed: int,
) -> float:  # fmt: skip
    """Mean pods under APA: 10 % up and 20 % down tolerance, metric averaged over 30 s."""
    limits, samples = Limits(most=MOST), Samples()

    def decide(look: Look) -> int | None:
        _seen(samples, look)
        use = mean_since(samples, look.now_s - APA_WINDOW_S)
        return None if use is None else apa(look.ready, use / look.ready, TARGET, limits)

    return _run(model, arrival_s, prompt, output, decide, first, until_s, seed)


def simulate_kpa(
    model: PodModel, arrival_s: Array, prompt: Counts, output: Counts, *, first: int,
    until_s: float, seed: int,
) -> float:  # fmt: skip
    """Mean pods under KPA: stable window 60 s, panic window 10 s, scale-down delayed by 3 min."""
    scaler = Kpa(target=TARGET, limits=Limits(most=MOST), stable_window_s=KPA_STABLE_S, down_delay_s=KPA_DELAY_S)
    scaler.recent = [(0.0, first)]
    samples = Samples()

    def decide(look: Look) -> int | None:
        _seen(samples, look)
        now = look.now_s
        stable, panic = mean_since(samples, now - KPA_STABLE_S), mean_since(samples, now - KPA_PANIC_S)
        return None if stable is None or panic is None else scaler.step(now, look.ready, stable, panic)

    return _run(model, arrival_s, prompt, output, decide, first, until_s, seed)


def simulate_hpa(
    model: PodModel, arrival_s: Array, prompt: Counts, output: Counts, *, first: int,
    until_s: float, seed: int,
) -> float:  # fmt: skip
    """Mean pods under Kubernetes' HPA; pods that do not answer count as missing, its metric as new as can be."""
    advised = [(0.0, first)]
    windows_s = (HPA.up.stabilization_window_s, HPA.down.stabilization_window_s)
    kinds = np.array([PODS if rule.type == "Pods" else PERCENT for rule in HPA.up.policies])
    unchanged = np.zeros(len(kinds), dtype=np.int64)  # within a period, which is one look
    rules = (kinds, np.array([rule.value for rule in HPA.up.policies]), unchanged, unchanged)

    def decide(look: Look) -> int:
        wanted = pods_replicas(
            look.pods, 1000.0 * look.use, look.answering, 0, look.pods - look.answering, 1000.0 * TARGET,
            HPA.up.tolerance, HPA.down.tolerance,
        )  # fmt: skip
        advice = look.pods if wanted == NO_ANSWER else wanted
        at_s, proposed = (np.array(column) for column in zip(*advised, strict=True))
        held = stabilized(look.pods, advice, look.now_s, at_s, proposed, len(advised), *windows_s)
        advised.append((look.now_s, advice))
        return int(
            limited(look.pods, held, HPA.min_replicas, HPA.max_replicas, up_limit(look.pods, MOST_OF, *rules), 0)
        )

    return _run(model, arrival_s, prompt, output, decide, first, until_s, seed, every_s=HPA.sync_s)


def _run(
    model: PodModel, arrival_s: Array, prompt: Counts, output: Counts, decide: Decide, first: int,
    until_s: float, seed: int, every_s: float = RECONCILE_S,
) -> float:  # fmt: skip
    """Every so many seconds the fleet has advanced, the controller looks, the policy decides."""
    world = fleet(model, arrival_s, prompt, output, MOST + 1, seed)
    order: list[int] = []
    follow(world, order, first, 0.0, 0.0)
    counts = []
    for at in np.arange(every_s, until_s, every_s):
        now = float(at)
        advance(world, now)
        counts.append(len(order))
        answering = int(np.sum(world.ready_s <= now + READY_S - LOADED_S))
        ready = max(int(np.sum(world.ready_s <= now)), 1)
        wanted = decide(Look(now, len(order), answering, ready, float(kv_use(world, now).sum())))
        if wanted is not None:
            follow(world, order, min(wanted, MOST_RUNNING), now, CREATED_S + READY_S)
    return float(np.mean(counts))
