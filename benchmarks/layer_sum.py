"""The sum of layers profiled alone against the whole forward pass of an 8-layer model; needs torch, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.line import Line, Result
from benchmarks.small_llama import SmallLlama, make
from profilers.layers.clocks import cpu_timer
from profilers.layers.passes import Passes
from profilers.layers.profile import find_target
from profilers.layers.shapes import Shape
from specs.base import Precision

MIN_ROUNDS, MAX_ROUNDS, WARM_ROUNDS = 15, 80, 3
SHAPE_S = 12.0  # of passes and sums of one shape, after which it is left alone
BAR = 0.04
PREFILLS = (16, 64, 256, 512)
DECODES = ((1, 256), (4, 256), (8, 512))
OUTSIDE = ("embedding", "norm", "lm_head", "sampler")
Call = Callable[[], float]

LINE = Line(
    name="layer-sum",
    what="sum of the operators of profiled layers against the whole forward pass of an 8-layer Llama, call by call",
    bar="median error of every shape at most 4 %",
    data="measured where it runs, one thread, CPU time, torch",
    best="−3.2…+5.3 % (a first try)",
)
NOTES = (
    "`whole_spread`: interquartile range over the median of the whole pass's CPU time. It is that of a machine that "
    "others use, whose caches and memory bandwidth are shared even where its CPU time is not.",
)


def run() -> Result:
    rows = [*compare("bf16"), *compare("fp32")]
    worst = max(abs(float(row["error"])) for row in rows)
    figures = {"worst_error": worst, "median_absolute_error": float(np.median([abs(row["error"]) for row in rows]))}
    low, high = min(row["error"] for row in rows), max(row["error"] for row in rows)
    text = f"errors {low:+.1%} … {high:+.1%} over {len(rows)} shapes"
    return Result(holds=worst <= BAR, text=text, figures=figures, detail=tuple(rows), notes=NOTES)


def compare(precision: Precision) -> list[dict[str, Any]]:
    """Measure whole passes and sums in turn; one row per shape."""
    target = find_target("cpu")
    torch = target.torch
    torch.set_num_threads(1)
    whole = make(torch, precision)
    passes = Passes(torch, whole.model, 1, "cpu", target.cache_bytes)
    passes.timer = cpu_timer(time.thread_time_ns)  # on one thread what others take of the core is no part of a pass
    pairs = {f"prefill {tokens}": _prefill(torch, whole, passes, tokens) for tokens in PREFILLS}
    pairs |= {f"decode {batch} × {length}": _decode(torch, whole, passes, batch, length) for batch, length in DECODES}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
    with torch.inference_mode():
        for round_ in range(WARM_ROUNDS + MAX_ROUNDS):
            for name, (real, summed) in pairs.items():
                if len(seconds[name]) >= MIN_ROUNDS and sum(map(sum, seconds[name])) > SHAPE_S:
                    continue
                pair = _in_turn(real, summed) if round_ % 2 else _in_turn(summed, real)[::-1]
                if round_ >= WARM_ROUNDS:
                    seconds[name].append(pair)
    return [_row(precision, name, np.array(found)) for name, found in seconds.items()]


def _in_turn(first: Call, second: Call) -> tuple[float, float]:
    """Seconds of both, each run twice in the order A B B A, so that a machine that slows down slows both alike."""
    begun, between, again, ended = first(), second(), second(), first()
    return (begun + ended) / 2, (between + again) / 2


def _row(precision: str, name: str, found: np.ndarray[Any, Any]) -> dict[str, Any]:
    ratio = found[:, 1] / found[:, 0]
    low, high = np.percentile(found[:, 0], (25, 75))
    return {
        "precision": precision, "shape": name, "whole_ms": float(np.median(found[:, 0])) * 1e3,
        "sum_ms": float(np.median(found[:, 1])) * 1e3, "error": float(np.median(ratio)) - 1.0,
        "whole_spread": float((high - low) / np.median(found[:, 0])),
    }  # fmt: skip


def layer_sum(passes: Passes, tokens: Shape, attention: Shape, sequences: int) -> float:
    """Seconds of a step: both ends once, every operator of the layer as often as the model has layers."""
    inner, attend = passes.run(tokens), passes.run(attention)
    head = passes.run(Shape("sequences", sequences))
    layer = _inner(inner) + 2 * inner["norm"] + sum(attend.values())
    return inner["embedding"] + passes.model.layers * layer + inner["norm"] + head["lm_head"]


def _inner(laps: Mapping[str, float]) -> float:
    return sum(seconds for operator, seconds in laps.items() if operator not in OUTSIDE)


def _prefill(torch: Any, whole: SmallLlama, passes: Passes, tokens: int) -> tuple[Call, Call]:
    cache, ids = whole.cache(1, tokens), torch.randint(0, whole.model.vocabulary, (1, tokens))
    shapes = Shape("tokens", tokens), Shape("prefill", tokens, 0)
    return lambda: _timed(whole, ids, cache, 0), lambda: layer_sum(passes, *shapes, 1)


def _decode(torch: Any, whole: SmallLlama, passes: Passes, batch: int, context: int) -> tuple[Call, Call]:
    cache, ids = whole.cache(batch, context), torch.randint(0, whole.model.vocabulary, (batch, 1))
    shapes = Shape("tokens", batch), Shape("decode", batch, context)
    return lambda: _timed(whole, ids, cache, context - 1), lambda: layer_sum(passes, *shapes, batch)


def _timed(whole: SmallLlama, ids: Any, cache: list[Any], start: int) -> float:
    started = time.thread_time()
    whole.forward(ids, cache, start)
    return time.thread_time() - started
