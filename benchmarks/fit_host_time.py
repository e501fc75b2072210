"""Fits host time by engine and version to published points and writes `catalog/host_time.yaml`."""

from __future__ import annotations

import time

import numpy as np
from scipy.optimize import least_squares

from benchmarks.host_fit import START, FloatArray, fit, predict
from benchmarks.points import dense_points, part_of
from benchmarks.published_points import Published, published_points
from predictors.points import predict_point
from predictors.step_time.host import HostTime
from specs.catalog import CATALOG, find_device

HEADER = """\
# Host time per step by engine and version: base + per running sequence; an entry holds up to the next newer version.
# saved: what fusion, graph replay and dependent launch spare of a layer whose kernels were timed alone (kernel tables).
# From vLLM 0.14 scheduling is asynchronous by default, which hides what grows with the batch.
# Written by `python -m benchmarks.fit_host_time`; scored out of fold by `python -m benchmarks points`.
entries:
"""
# Oldest version that each entry is taken for, and which points it rests on.
FITTED = {("vllm", "0.12.0"): "0.6", ("sglang", "0.5.1.post1"): "0.4", ("trtllm", "1.0.0rc3"): "0.17"}
ASYNCHRONOUS = ("vllm 0.18.0 gpt-oss-120b mxfp4", "0.14")


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
    """vLLM with asynchronous scheduling, from MoE points on the roofline: dense points of it are not at hand."""
    name, since = ASYNCHRONOUS
    points = [p for p in published_points() if p.line == name]

    def errors(x: FloatArray) -> FloatArray:
        return _errors(points, x)

    steps = np.array([0.1, 0.1])
    found = least_squares(errors, [1.0, 5.0], bounds=([0, 0], [6, 120]), loss="soft_l1", f_scale=0.05, diff_step=steps)
    source = f"{len(points)} closed-loop points of vllm 0.18.0, H100, gpt-oss-120b"
    return _line("vllm", since, found.x[0], found.x[1], START[2], START[3], source)


def _errors(points: list[Published], x: FloatArray) -> FloatArray:
    host = HostTime(base_s=x[0] * 1e-3, per_sequence_s=x[1] * 1e-6)
    device = find_device("h100-sxm")
    found = [predict_point(p.point, device=device, harness=p.harness, host=host).tpot_ms for p in points]
    errors: FloatArray = np.log(np.array(found) / np.array([p.point.measured_tpot_ms for p in points]))
    return errors


def _line(engine: str, since: str, base: float, each: float, saved: float, quantised: float, source: str) -> str:
    date = time.strftime("%Y-%m-%d")
    return (
        f'engine: {engine}, version: "{since}", base_ms: {base:.2f}, per_sequence_us: {each:.1f}, '
        f"saved_us_per_layer: {saved:.1f}, saved_us_per_quantised_layer: {quantised:.1f}, "
        f'source: "{source}", date: {date}'
    )


if __name__ == "__main__":
    main()
