"""Counts how many measured values lie inside the stated 90 % interval: step times, points and the replayed run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from benchmarks.host_fit import h100_profile
from benchmarks.line import Line, Result
from benchmarks.points import Scored, calibrated, database_folds, has_harness_queue
from benchmarks.reference import reference_path
from benchmarks.replay import figures, measured, replay, statistics, step_times
from predictors.step_time.estimate import step_time
from predictors.step_time.host import HostTime
from profilers.importers import llmservingsim
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec, Engine, Parallel, PrecisionSpec
from specs.errors import InputError
from specs.profile import LayerProfileSpec

FloatArray = npt.NDArray[np.float64]

LINE = Line(
    name="coverage",
    what="measured values inside the stated 90 % interval, out of fold: step times, points, replay",
    bar="85–95 %",
    data="op_profiles/llmservingsim_RTXPRO6000_*, op_profiles/aiconfigurator_h100_*, the points, the replayed run",
)
NOMINAL = 0.9
NO_HOST = HostTime(base_s=0.0, per_sequence_s=0.0)
DECODES = ((1, 512), (8, 1024), (32, 1024), (64, 2048), (128, 1024), (256, 512))
PROMPTS = (128, 512, 1024, 2048, 4096)
Case = tuple[str, float]  # what may share its error (model on device), and log of measured over predicted


def step_cases() -> Iterator[Case]:
    """Steps added up from measured kernels against the calibrated roofline; RTX PRO 6000 and H100."""
    for name, degrees in (("llama-3.1-8b", (1, 2)), ("qwen3-32b", (1, 2)), ("qwen3-30b-a3b", (1,))):
        for tp in degrees:
            for ratio in _ratios(name, "rtx-pro-6000", _rtx_profile(name), tp, 2048):
                yield f"{name} rtx-pro-6000", ratio
    for name in ("llama-3.1-8b", "qwen3-32b", "llama-3.1-70b"):
        for tp in (1, 2, 4, 8):
            for ratio in _ratios(name, "h100-sxm", h100_profile(find_model(name), "vllm", "bf16", "bf16"), tp, 8192):
                yield f"{name} h100-sxm", ratio


@lru_cache(maxsize=4)
def _rtx_profile(name: str) -> LayerProfileSpec:
    kinds = ("dense", "per_sequence", "attention", "moe")
    paths = [reference_path(f"op_profiles/llmservingsim_RTXPRO6000_{kind}.parquet") for kind in kinds]
    return llmservingsim.read(paths, device=find_device("rtx-pro-6000"), model=find_model(name))


def _ratios(name: str, device_name: str, profile: LayerProfileSpec, tp: int, budget: int) -> Iterator[float]:
    model, device = find_model(name), find_device(device_name)
    deployment = DeploymentSpec(
        model=name, device=device_name, parallel=Parallel(tp=tp), precision=PrecisionSpec(weights="bf16"),
        engine=Engine(max_num_batched_tokens=budget, max_model_len=8192),
    )  # fmt: skip
    known = step_time(model, device, deployment, profile=profile, host=NO_HOST).surface
    guess = step_time(model, device, deployment, host=NO_HOST).surface
    for batch, context in DECODES:
        i, j = np.searchsorted(known.decode_batch_grid, batch), np.searchsorted(known.decode_context_grid, context)
        times = [s.tokens_s[batch] + s.sequences_s[batch] + s.decode_attention_s[i, j] for s in (known, guess)]
        yield float(np.log(times[0] / times[1]))
    for tokens in PROMPTS:
        if tokens <= budget:
            i = np.searchsorted(known.prefill_chunk_grid, tokens)
            times = [s.tokens_s[tokens] + s.sequences_s[1] + s.prefill_attention_s[i, 0] for s in (known, guess)]
            yield float(np.log(times[0] / times[1]))


def inside_out_of_fold(cases: Sequence[Case]) -> tuple[float, float]:
    """(share inside, median half-width): each fold's half-width is the 90 % quantile of the other folds' errors."""
    names, errors = np.array([name for name, _ in cases]), np.abs([error for _, error in cases])
    inside, widths = [], []
    for name in sorted(set(names)):
        width = float(np.quantile(errors[names != name], NOMINAL, method="higher"))
        inside += list(errors[names == name] <= width)
        widths.append(width)
    return float(np.mean(inside)), float(np.expm1(np.median(widths)))


def _point_cases(
    scored: Sequence[Scored], error: Callable[[Scored], float], key: Callable[[Scored], str]
) -> list[Case]:
    return [(key(one), float(np.log1p(error(one)))) for one in scored if one.part == "main"]


def _replay_inside(width: float) -> list[bool]:
    """Which of the fifteen figures lie between those of runs with step times shorter and longer by the half-width."""
    step = step_times()["measured"]
    short, long = figures(replay(step, factor=1 / (1 + width))), figures(replay(step, factor=1 + width))
    _, truth = measured()
    return [
        bool(low <= value <= high)
        for name in ("ttft", "tpot", "e2e")
        for low, value, high in zip(short[name], statistics(truth[name]), long[name], strict=True)
    ]


def run() -> Result:
    """Coverage of each kind of value, and of all of them together."""
    found: dict[str, tuple[float, int, float]] = {}
    steps = list(step_cases())
    found["step_time"] = (*_counted(steps),)
    for tier, scored in (("database", database_folds()), ("calibrated", calibrated())):
        plain = [one for one in scored if not has_harness_queue(one)]
        found[f"tpot_{tier}"] = _counted(
            _point_cases(scored, lambda one: one.tpot_error, lambda one: one.published.group)
        )
        found[f"ttft_{tier}"] = _counted(
            _point_cases(plain, lambda one: one.ttft_error, lambda one: one.published.group)
        )
    width = step_times()["measured"].relative_error
    held = _replay_inside(width)
    found["replay"] = (float(np.mean(held)), len(held), width)
    total = sum(share * count for share, count, _ in found.values()) / sum(count for _, count, _ in found.values())
    detail = tuple(
        {"of": name, "inside": round(share, 3), "values": count, "half_width": round(width, 3)}
        for name, (share, count, width) in found.items()
    )
    text = f"{total:.1%} of all values; " + ", ".join(f"{name} {share:.0%}" for name, (share, _, _) in found.items())
    return Result(
        holds=0.85 <= total <= 0.95,
        text=text,
        figures={"all": total} | {n: s for n, (s, _, _) in found.items()},
        detail=detail,
    )


def _counted(cases: Sequence[Case]) -> tuple[float, int, float]:
    if not cases:
        raise InputError("coverage: no values to count", cure="Set TONNAGE_REFERENCE_DATA.")
    share, width = inside_out_of_fold(cases)
    return share, len(cases), width
