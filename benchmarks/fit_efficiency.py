"""Writes `catalog/efficiency.yaml`: the roofline's coefficients and their out-of-fold errors; no table of an H100 is
read.

`python -m benchmarks.fit_efficiency` fits and writes the file again.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np
import yaml

from benchmarks.attention_tables import decode_tables, prefill_tables
from benchmarks.fit_gemms import fit_gemm, log_ratio
from benchmarks.fit_operators import (
    PREFILL_DEVICES,
    all_reduce_log_ratio,
    decode_log_ratio,
    experts_left_out,
    fit_decode,
    fit_experts,
    fit_links,
    fit_prefill,
    fit_streams,
    half_width,
    left_out,
    point_to_point_us,
    prefill_log_ratio,
    stream_log_ratio,
)
from benchmarks.message_tables import all_reduce_tables, stream_tables
from benchmarks.operator_tables import Gemms, gemm_tables, thinned
from benchmarks.unseen_device import measured_anchors
from predictors.step_time.roofline.coefficients import GemmCoefficients
from specs.catalog import CATALOG

_HEADER = """\
# What GPU kernels have in common on every device: the coefficients of the calibrated roofline
(predictors/step_time/roofline). # Written by `python -m benchmarks.fit_efficiency`. No table of an H100 was read, so
that the H100 stays an unseen device. # relative_error: half-width of the interval that held 90 % of the times of
devices left out of the fit, each weighing the same. # datasheet: 1.5 times calibrated [assumed], for devices of a
kind that was never measured.
"""
_UNMEASURED = 1.5


def part(source: str, fitted: object, calibrated: float, anchored: float | None = None) -> dict[str, Any]:
    """One operator's entry of the file."""
    errors = {"calibrated": calibrated, "anchored": anchored or calibrated, "datasheet": _UNMEASURED * calibrated}
    return {
        "source": source,
        "date": date.today().isoformat(),
        "coefficients": {name: _short(value) for name, value in asdict(fitted).items()},  # type: ignore[call-overload]
        "relative_error": {name: _short(value) for name, value in errors.items()},
    }


def gemm_part(tables: list[Gemms]) -> tuple[dict[str, Any], GemmCoefficients]:
    """Matrix products: all five devices in the fit, each left out in turn for the error."""
    plain, anchored = [], []
    for table in tables:
        fitted = fit_gemm([other for other in tables if other.device != table.device])
        plain.append(log_ratio(thinned(table), fitted))
        anchored.append(log_ratio(thinned(table), fitted, measured_anchors(table, fitted)[0]))
    fitted = fit_gemm(tables)
    source = "Vidur MLP tables (A40, A100), LLMServingSim layer tables (A6000, RTX 3090, RTX PRO 6000)"
    return part(source, fitted, half_width(plain), half_width(anchored)), fitted


def all_parts() -> dict[str, Any]:
    """Every operator's entry, matrix products first: the others rest on their rates."""
    gemm, rates = gemm_part([table for table in gemm_tables() if table.device != "h100-sxm"])
    prefill = [table for table in prefill_tables() if table.device in PREFILL_DEVICES]
    decode, streams = decode_tables(), stream_tables()
    prefill_out = left_out(prefill, lambda t: fit_prefill(t, rates), lambda t, c: prefill_log_ratio(t, c, rates))
    decode_out = left_out(decode, lambda t: fit_decode(t, rates), lambda t, c: decode_log_ratio(t, c, rates))
    streams_out = left_out(streams, lambda t: fit_streams(t, rates), lambda t, c: stream_log_ratio(t, c, rates))
    experts_error = 2.0 * float(np.hypot(half_width(experts_left_out(rates)), gemm["relative_error"]["calibrated"]))
    return {
        "gemm": gemm,
        "prefill_attention": part(
            "LLMServingSim attention tables (RTX PRO 6000, vLLM 0.19; A6000)",
            fit_prefill(prefill, rates), half_width(prefill_out),
        ),
        "decode_attention": part(
            "LLMServingSim attention table (RTX PRO 6000, vLLM 0.19), Vidur attention table (A100)",
            fit_decode(decode, rates), half_width(decode_out),
        ),
        "elementwise": part(
            "Vidur MLP tables (A40, A100), LLMServingSim dense table (RTX PRO 6000, vLLM 0.19)",
            fit_streams(streams, rates), half_width(streams_out),
        ),
        "links": links_part(),
        "experts": part(
            "LLMServingSim MoE table (RTX PRO 6000, vLLM 0.19); error: twice that of token counts left out and of "
            "matrix products together, since one device was measured",
            fit_experts(rates), experts_error,
        ),
    }  # fmt: skip


def links_part() -> dict[str, Any]:
    """Messages: the number of GPUs is left out in turn, since one machine was measured."""
    tables = all_reduce_tables()
    large = [
        all_reduce_log_ratio(t, fit_links([o for o in tables if o is not t], point_to_point_us()))[t.bytes_ >= 2e6]
        for t in tables
    ]
    source = (
        "Vidur NCCL tables (DGX A100 all-reduce of 2 MB and more; A100 NVLink pair, smallest send); "
        "start_us_per_doubling and pcie_share assumed; error: twice that of the numbers of GPUs left out, since one machine was measured"
    )
    return part(source, fit_links(tables, point_to_point_us()), 2.0 * half_width(large))


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> None:
    """Fit everything and write the file."""
    text = yaml.safe_dump(all_parts(), sort_keys=False, allow_unicode=True, width=120)
    (CATALOG / "efficiency.yaml").write_text(_HEADER + text, encoding="utf-8")


if __name__ == "__main__":
    main()
