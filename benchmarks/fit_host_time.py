"""Fits host time by engine and version to published points and writes `catalog/host_time.yaml`."""

from __future__ import annotations

import time

import numpy as np
from scipy.optimize import least_squares

from benchmarks.host_fit import START, FloatArray, database, fit, predict
from benchmarks.points import dense_points, part_of
from benchmarks.published_points import Published, published_points
from predictors.points import predict_point
from predictors.step_time.host import HostTime
from specs.catalog import CATALOG, find_device

HEADER = """\
# Host time per step by engine and version: base + per running sequence; an entry holds up to the next newer version.
# saved: what fusion, graph replay and dependent launch spare of a layer whose kernels were timed alone (kernel tables).
# From vLLM 0.14 scheduling is asynchronous by default, one step ahead, which hides what grows with the batch.
# Written by `python -m benchmarks.fit_host_time`; scored out of fold by `python -m benchmarks points`.
entries:
"""
# Oldest version that each entry is taken for, and which points it rests on.
FITTED = {("vllm", "0.12.0"): "0.6", ("sglang", "0.5.1.post1"): "0.4", ("trtllm", "1.0.0rc3"): "0.17"}
RESIDUAL = 0.05  # typical relative error of a point's TPOT, as in the fits of `host_fit`
TABLE_BIAS = 0.1  # a kernel table's bias on one model, one standard deviation [the spread of `points` over models]
ASYNCHRONOUS = (("vllm 0.18.0 gpt-oss-120b mxfp4", "vllm 0.18.0 minimax-m2.5 fp8"), "0.14")


def main() -> None:
    """Fit every entry and write the catalogue's file."""
    lines = [_entry(*key, since) for key, since in FITTED.items()]
    lines.append(_asynchronous())
    (CATALOG / "host_time.yaml").write_text(HEADER + "".join(f"  - {{{line}}}\n" for line in sorted(lines)))


def _entry(engine: str, version: str, since: str) -> str:
    points = [p for p in dense_points() if (p.point.engine, p.point.engine_version) == (engine, version)]
    main_part = [p for p in points if part_of(p, predict(p, START)) == "main"]
    base, each, saved, quantised = fit(main_part)
    models = " and ".join(sorted({p.point.model.name for p in main_part}))
    source = f"{len(main_part)} closed-loop points of {engine} {version}, H100, {models}"
    return _line(engine, since, base, each, saved, quantised, source)


def _asynchronous() -> str:
    """vLLM with asynchronous scheduling, from MoE points on the kernel tables: dense points of it are not at hand.

    Work that grows with the batch is hidden behind the GPU there, so only a base is fitted. A table's own bias on a
    model would pass for host time, so each model's kernel time has a factor of its own, held loosely at 1; host time is
    what is left over concurrency. TPOT is linear in both.
    """
    names, since = ASYNCHRONOUS
    points = [p for p in published_points() if p.line in names and part_of(p, predict(p, START)) == "moe"]
    model = np.array([names.index(p.line) for p in points])
    measured = np.array([p.point.measured_tpot_ms for p in points])
    small, large = _tpot_ms(points, 0.3), _tpot_ms(points, 1.3)
    per_ms, kernels = large - small, small - 0.3 * (large - small)

    def cost(x: FloatArray) -> FloatArray:
        predicted = np.exp(x[1:])[model] * kernels + x[0] * per_ms
        errors: FloatArray = np.r_[np.log(predicted / measured), RESIDUAL * x[1:] / TABLE_BIAS]
        return errors

    found = least_squares(cost, [1.0, 0.0, 0.0], bounds=([0, -1, -1], [6, 1, 1]), loss="soft_l1", f_scale=RESIDUAL)
    source = f"{len(points)} closed-loop points of vllm 0.18.0, H100, gpt-oss-120b and minimax-m2.5"
    return _line("vllm", since, found.x[0], 0.0, START[2], START[3], source) + ", ahead: true"


def _tpot_ms(points: list[Published], base_ms: float) -> FloatArray:
    host = HostTime(
        base_s=base_ms * 1e-3, per_sequence_s=0.0, ahead=True,
        saved_us_per_layer=float(START[2]), saved_us_per_quantised_layer=float(START[3]),
    )  # fmt: skip
    device = find_device("h100-sxm")
    return np.array(
        [predict_point(p.point, device=device, evidence=database, harness=p.harness, host=host).tpot_ms for p in points]
    )


def _line(engine: str, since: str, base: float, each: float, saved: float, quantised: float, source: str) -> str:
    date = time.strftime("%Y-%m-%d")
    return (
        f'engine: {engine}, version: "{since}", base_ms: {base:.2f}, per_sequence_us: {each:.1f}, '
        f"saved_us_per_layer: {saved:.1f}, saved_us_per_quantised_layer: {quantised:.1f}, "
        f'source: "{source}", date: {date}'
    )


if __name__ == "__main__":
    main()
