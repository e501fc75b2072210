"""The LayerProfile that a survey becomes: operator tables, noise and memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from profilers.layers.shapes import AXES, Shape
from profilers.layers.survey import Survey
from specs.base import Metadata, Precision
from specs.errors import MissingHardwareError
from specs.model import ModelSpec
from specs.profile import (
    LayerNoise,
    LayerProfile,
    LayerProfileSpec,
    Machine,
    Operator,
    OperatorTable,
    PhaseMemory,
    Repeats,
)

DIGITS = 5
REFUSED_ERROR = 0.15  # a median less sure than this is no measurement: step times are said to err by 6 %
NOISY_ERROR = 0.05  # 1.645 standard errors of it are wider than the 6 % that measured step times are said to err
MEASURED_ERROR = 0.06  # half-width of a step time from measured operators, see `predictors/step_time/error.py`
NORMAL_90 = 1.645  # half-width of a 90 % interval in standard errors [std]
CALLS_OUTSIDE: tuple[str, ...] = ("lm_head", "sampler", "embedding")


def document(
    model: ModelSpec,
    found: Survey,
    *,
    tp: int,
    device: str,
    machine: Machine,
    target: float,
    memory: Sequence[PhaseMemory] = (),
    timing_by_events: bool = False,
    left_out: Sequence[str] = (),
    measured_as: str | None = None,
    repeats: tuple[Repeats, ...] = (),
) -> LayerProfile:
    """Return the profile of ``found``; raises `MissingHardwareError` where it is too noisy or nothing is left."""
    noise = noise_of(found, target)
    refuse_noise(noise)
    precision: Precision = model.weights_precision
    version = machine.versions.get("torch", "unknown")
    error = round(MEASURED_ERROR + NORMAL_90 * noise.median_error, 4) if noise.noisy else None
    spec = LayerProfileSpec(
        model=model.name, device=device, engine="torch", engine_version=version, weights=precision,
        kv_cache=precision, timing="kernels" if timing_by_events else "alone", error=error,
        source=f"measured on this device with torch {version}, random weights",
        machine=machine.model_copy(update={"noise": noise.block_spread, "repeats": round(noise.blocks)}),
        noise=noise, memory=tuple(memory), left_out=(*left_out, *dropped(found)), tables=tuple(tables(found, tp)),
        measured_as=measured_as, repeats=repeats,
    )  # fmt: skip
    return LayerProfile(metadata=Metadata(name=f"{model.name}-on-{device}-tp{tp}"), spec=spec)


def tables(found: Survey, tp: int) -> list[OperatorTable]:
    """Return one table per operator and kind of layer, its points in order."""
    points: dict[tuple[str, int], list[Shape]] = defaultdict(list)
    for shape in sorted(found.blocks):
        for operator in found.operators(shape):
            points[(operator, shape.kind)].append(shape)
    return [_table(found, operator, kind, shapes, tp) for (operator, kind), shapes in points.items()]


def _table(found: Survey, operator: str, kind: int, shapes: list[Shape], tp: int) -> OperatorTable:
    spreads = [found.spread(shape, operator) for shape in shapes]
    name: Operator = operator  # type: ignore[assignment]  # named by `blocks` and `attention`, checked by pydantic
    return OperatorTable(
        operator=name, tp=tp, axes=AXES[shapes[0].family], layer_kind=kind,
        points=tuple(tuple(float(x) for x in shape.coordinates) for shape in shapes),
        latency_us=tuple(float(f"{one.median_s * 1e6:.{DIGITS}g}") for one in spreads),
        spread=tuple(round(one.spread, 4) for one in spreads),
        calls_per_layer=0.0 if operator in CALLS_OUTSIDE else 2.0 if operator == "norm" else 1.0,
    )  # fmt: skip


def noise_of(found: Survey, target: float) -> LayerNoise:
    """Return the noise of a survey, the median over its shapes."""
    if not found.blocks:
        raise MissingHardwareError(
            "no shape could be measured within the budget: " + "; ".join(dropped(found)),
            cure="Give more time (--budget), or measure a smaller model or one shard of it (--tp).",
        )
    spreads = [found.spread(shape) for shape in found.blocks]
    blocks = float(np.median([len(one) for one in found.blocks.values()]))
    spread, block_spread, error = (
        round(float(np.median([getattr(one, name) for one in spreads])), 4)
        for name in ("spread", "block_spread", "median_error")
    )
    return LayerNoise(
        points=len(spreads), blocks=blocks, spread=spread, block_spread=block_spread, median_error=error,
        target=target, noisy=error > NOISY_ERROR,
    )  # fmt: skip


def refuse_noise(noise: LayerNoise) -> None:
    """Raise `MissingHardwareError` where the medians are so unsure that no prediction should rest on them."""
    if noise.median_error > REFUSED_ERROR:
        raise MissingHardwareError(
            f"too noisy to keep: the medians are sure to {noise.median_error:.0%} only (blocks lie "
            f"{noise.block_spread:.0%} apart), at most {REFUSED_ERROR:.0%} is accepted",
            cure="Stop what else runs on this machine, or give more time (--budget).",
        )


def dropped(found: Survey) -> list[str]:
    """Say per family and reason which shapes were left out, from the smallest on."""
    smallest: dict[tuple[str, str], Shape] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for shape in sorted(found.dropped):
        why = found.dropped[shape]
        key = (shape.family, "one pass takes too long" if why.startswith("one pass takes") else why)
        smallest.setdefault(key, shape)
        counts[key] += 1
    return [
        f"{family}: {counts[(family, why)]} shapes from {' × '.join(map(str, shape.coordinates))}: {why}"
        for (family, why), shape in smallest.items()
    ]
