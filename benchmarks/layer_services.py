"""Layer services against whole instances, each with its HPA, under a staircase and under bursts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.cocoserve import question
from benchmarks.line import Line, Result
from planners.modules.instances import ways as instances
from planners.modules.judging import Way, judge
from planners.modules.question import ENGINE_START_S, SERVICE_START_S, Question
from planners.modules.services import Groups, on_units
from predictors.scaling import Curve, Hpa, Replayed, replay_hpa

FloatArray = npt.NDArray[np.float64]

LINE = Line(
    name="layer-services",
    what="cloud-native layer services (arXiv 2507.18007) against whole-instance HPA: p99, tokens/s, GPU-hours",
    bar="qualitative: both under staircase and burst, what differs explained",
    data="synthetic load; llama-2-13b on A100 80 GB",
    best="lower latency and higher throughput, no figures [abs]",
)
# Fixed before the first run; the abstract names the model alone. Rates are multiples of what one instance sustains.
GROUPS = 4
MOST = 8
STAIRS = (0.5, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0, 0.5)  # 300 s each
BURST, BURST_S, BURST_EVERY_S = 3.0, 60, 600  # over a base of 0.5
SECONDS = 2700
TARGET = 0.7  # the HPA's target: requests in flight of a replica at this share of what it serves at most
STARTS_S = (10.0, ENGINE_START_S, 60.0)  # of a whole engine; a service starts in SERVICE_START_S
LOADS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
NOTES = (
    "Both scale by requests in flight per replica, with Kubernetes' formula, sync, tolerance and stabilisation."
    " Capacity and latency by load come from the engine model; scaling is a fluid queue on top, so waits of a"
    " backlog are exact and those of chance are in the engine's p99.",
    "`services` are four groups of ten layers packed on the same GPUs as an instance each; `services, network`"
    " cross 100 Gbit/s between every two groups. A GPU is paid from when it is asked for. Every crossing takes"
    " 0.05 ms of software besides (added after the first run, whose figures were within 2 %).",
    "Start-up times are assumed: an engine 10, 30 or 60 s, a service 5 s, weights from the network on top.",
    "The layers of one model are alike: no group is the bottleneck, all four grow together, and nothing is saved"
    " by scaling them apart. What layer services gain is the start: a container and a quarter of the weights"
    " instead of an engine and all of them. That decides the bursts, and hardly shows on the staircase.",
    "Neither scaler beats four static instances in the bursts: a burst of 60 s is over before or soon after a pod"
    " is ready. p99 includes the longest answers (17 s alone).",
)


def run() -> Result:
    """Both loads, the services near and far, three start-up times of an engine."""
    rows = tuple(_rows())
    by = {(str(row["load"]), str(row["method"]), float(str(row["engine_start_s"]))): row for row in rows}
    pairs = [
        (by[load, "services", start], by[load, "whole instances", start])
        for load in ("staircase", "burst")
        for start in STARTS_S
    ]
    gains = [_value(ours, "p99_s") / _value(whole, "p99_s") - 1 for ours, whole in pairs]
    hours = [_value(ours, "gpu_hours") / _value(whole, "gpu_hours") for ours, whole in pairs]
    text = (
        f"p99 {100 * min(gains):+.0f} … {100 * max(gains):+.0f} %, GPU-hours {min(hours):.2f}–{max(hours):.2f} × of "
        "whole-instance HPA, by the engine's start-up"
    )
    figures = {"p99_least": min(gains), "p99_most": max(gains), "hours_least": min(hours), "hours_most": max(hours)}
    return Result(
        holds=all(np.isfinite(value) for value in figures.values()), text=text, figures=figures, detail=rows,
        notes=NOTES,
    )  # fmt: skip


def _value(row: dict[str, object], name: str) -> float:
    return float(str(row[name]))


def _rows() -> Iterator[dict[str, object]]:
    asked = question("llama-2-13b", 1, 0.25, 0.0, 3.0)
    far = replace(asked, units=tuple(replace(unit, node=at) for at, unit in enumerate(asked.units)))
    whole = next(iter(instances(asked)))
    near_way, far_way = on_units(replace(asked, groups=GROUPS), (1,) * GROUPS, 1), _over_network(far)
    assert near_way is not None
    curves = {name: _curve(asked, way) for name, way in
              (("whole instances", whole), ("services", near_way), ("services, network", far_way))}  # fmt: skip
    unit = curves["whole instances"].per_s
    tokens = asked.output_tokens
    for load, rate in (("staircase", _staircase() * unit), ("burst", _bursts() * unit)):
        for start in STARTS_S:
            for name, curve in curves.items():
                found = replay_hpa(rate, curve, _hpa(asked, name, curve, start, near_way))
                yield {"load": load, "method": name, "engine_start_s": start} | _figures(found, rate, tokens)
        static = replay_hpa(rate, curves["whole instances"], Hpa(target=1e9, least=4, most=4, warmup_s=1.0))
        yield {"load": load, "method": "4 instances, static", "engine_start_s": 0.0} | _figures(static, rate, tokens)


def _figures(found: Replayed, rate: FloatArray, tokens: float) -> dict[str, object]:
    return {
        "p99_s": found.p99(rate), "mean_s": found.mean(rate), "tokens_per_s": float(found.served.mean()) * tokens,
        "gpu_hours": found.replica_hours(), "backlog_most": float(found.backlog.max()),
    }  # fmt: skip


def _over_network(asked: Question) -> Way:
    """The services of one GPU's worth, with every crossing over the network."""
    way = on_units(replace(asked, groups=GROUPS), (1,) * GROUPS, 1)
    assert way is not None
    near, far = asked.hop(asked.units[0], asked.units[0]), asked.hop(asked.units[0], asked.units[1])
    count = np.arange(len(way.surface.tokens_s))
    more = GROUPS * ((far.start_s - near.start_s) + (far.s_per_token - near.s_per_token) * count)
    more[0] = 0.0
    return replace(way, surface=way.surface._replace(tokens_s=way.surface.tokens_s + more))


def _curve(asked: Question, way: Way) -> Curve:
    """One replica overloaded for its capacity, then at shares of it for its latencies."""
    overload = judge(asked.scaled(5 * way.sustains_per_s / 3.0), way)
    assert overload.measures is not None
    per_s = overload.measures.requests_per_s
    mean, p99 = [], []
    for load in LOADS:
        found = judge(asked.scaled(load * per_s / 3.0), way).measures
        assert found is not None
        mean.append(found.e2e_s.mean.value)
        p99.append(found.e2e_s.p99.value)
    return Curve(per_s=per_s, load=np.array(LOADS), mean_s=np.array(mean), p99_s=np.maximum.accumulate(np.array(p99)))


def _hpa(asked: Question, name: str, curve: Curve, engine_start_s: float, services: Way) -> Hpa:
    target = TARGET * curve.per_s * float(np.interp(TARGET, curve.load, curve.mean_s))
    weights = float(asked.memory.weights.sum())
    warm = engine_start_s + asked.load_s(weights)
    if name != "whole instances":
        groups = services.detail
        assert isinstance(groups, Groups)
        warm = SERVICE_START_S + asked.load_s(weights / GROUPS)
    return Hpa(target=target, least=1, most=MOST, warmup_s=warm)


def _staircase() -> FloatArray:
    return np.repeat(np.array(STAIRS), SECONDS // len(STAIRS))


def _bursts() -> FloatArray:
    t = np.arange(SECONDS)
    return np.where(t % BURST_EVERY_S >= BURST_EVERY_S - BURST_S, BURST, 0.5)
