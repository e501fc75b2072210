"""Writes `catalog/efficiency.yaml`: the roofline's coefficients and their out-of-fold errors; no fit sees an H100.

`python -m benchmarks.fit_efficiency` fits and writes the file again.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np
import yaml

from benchmarks.attention_tables import decode_tables, h100_tables, prefill_tables
from benchmarks.fit_experts import experts_left_out, fit_experts
from benchmarks.fit_gemms import fit_gemm, log_ratio
from benchmarks.fit_operators import (
    PREFILL_DEVICES,
    all_reduce_log_ratio,
    decode_log_ratio,
    fit_decode,
    fit_links,
    fit_prefill,
    fit_streams,
    half_width,
    left_out,
    point_to_point_us,
    prefill_log_ratio,
    stream_log_ratio,
)
from benchmarks.message_tables import all_reduce_tables, h100_all_reduce_tables, stream_tables
from benchmarks.operator_tables import Gemms, gemm_tables, thinned
from benchmarks.unseen_device import measured_anchors
from predictors.step_time.roofline.coefficients import GemmCoefficients
from specs.catalog import CATALOG

_HEADER = """\
# What GPU kernels have in common on every device: the coefficients of the calibrated roofline
# (predictors/step_time/roofline). Written by `python -m benchmarks.fit_efficiency`.
# No table of an H100 entered a fit but those of experts: it stays an unseen device for every dense model, and the
# errors count it as one more device left out.
# relative_error: half-width of the interval that held 90 % of the times of devices left out, each weighing the same.
# datasheet: 1.5 times calibrated [assumed], for devices of a kind that was never measured.
"""
_UNMEASURED = 1.5
UNSEEN = "h100-sxm"


def part(source: str, fitted: object, calibrated: float, anchored: float | None = None) -> dict[str, Any]:
    """One operator's entry of the file."""
    errors = {"calibrated": calibrated, "anchored": anchored or calibrated, "datasheet": _UNMEASURED * calibrated}
    return {
        "source": source,
        "date": date.today().isoformat(),
        "coefficients": _shortened(asdict(fitted)),  # type: ignore[call-overload]
        "relative_error": {name: _short(value) for name, value in errors.items()},
    }


def gemm_part(tables: list[Gemms]) -> tuple[dict[str, Any], GemmCoefficients]:
    """Matrix products: five devices in the fit, each of the six left out in turn for the error."""
    plain, anchored = [], []
    for table in tables:
        fitted = fit_gemm([other for other in tables if other.device not in (table.device, UNSEEN)])
        plain.append(log_ratio(thinned(table), fitted))
        anchored.append(log_ratio(thinned(table), fitted, measured_anchors(table, fitted)[0]))
    fitted = fit_gemm([table for table in tables if table.device != UNSEEN])
    source = "Vidur MLP tables (A40, A100), LLMServingSim layer tables (A6000, RTX 3090, RTX PRO 6000)"
    return part(source, fitted, half_width(plain), half_width(anchored)), fitted


def all_parts() -> dict[str, Any]:
    """Every operator's entry, matrix products first: the others rest on their rates."""
    gemm, rates = gemm_part(gemm_tables())
    prefill = prefill_part(rates)
    return {
        "gemm": gemm,
        "prefill_attention": prefill,
        "decode_attention": decode_part(rates, prefill["coefficients"]["tensor_share"]),
        "elementwise": elementwise_part(rates),
        "links": links_part(),
        "experts": experts_part(rates),
    }


def prefill_part(rates: GemmCoefficients) -> dict[str, Any]:
    """Prefill attention: RTX PRO 6000 and A6000 in the fit."""
    tables = [table for table in prefill_tables() if table.device in PREFILL_DEVICES]
    fitted = fit_prefill(tables, rates)
    pooled = left_out(tables, lambda t: fit_prefill(t, rates), lambda t, c: prefill_log_ratio(t, c, rates))
    pooled.append(np.concatenate([prefill_log_ratio(t, fitted, rates) for t in h100_tables("context")]))
    return part("LLMServingSim attention tables (RTX PRO 6000, vLLM 0.19; A6000)", fitted, half_width(pooled))


def decode_part(rates: GemmCoefficients, tensor_share: float) -> dict[str, Any]:
    """Decode attention: RTX PRO 6000 and A100 in the fit."""
    tables = decode_tables()
    fitted = fit_decode(tables, rates, tensor_share)
    pooled = left_out(tables, lambda t: fit_decode(t, rates, tensor_share), lambda t, c: decode_log_ratio(t, c, rates))
    pooled.append(np.concatenate([decode_log_ratio(t, fitted, rates) for t in h100_tables("generation")]))
    source = "LLMServingSim attention table (RTX PRO 6000, vLLM 0.19), Vidur attention table (A100)"
    return part(source, fitted, half_width(pooled))


def elementwise_part(rates: GemmCoefficients) -> dict[str, Any]:
    """Streaming operators: A40, A100 and RTX PRO 6000 in the fit."""
    tables = stream_tables()
    pooled = left_out(tables, lambda t: fit_streams(t, rates), lambda t, c: stream_log_ratio(t, c, rates))
    source = "Vidur MLP tables (A40, A100), LLMServingSim dense table (RTX PRO 6000, vLLM 0.19)"
    return part(source, fit_streams(tables, rates), half_width(pooled))


def links_part() -> dict[str, Any]:
    """Messages: one machine in the fit, another generation and another library for the error."""
    tables = all_reduce_tables()
    fitted = fit_links(tables, point_to_point_us())
    error = half_width([all_reduce_log_ratio(t, fitted) for t in h100_all_reduce_tables()])
    source = (
        "Vidur NCCL tables (DGX A100 all-reduce of 2 MB and more; A100 NVLink pair, smallest send); "
        "start_us_per_doubling and pcie_share assumed; error on H100"
    )
    return part(source, fitted, error)


def experts_part(rates: GemmCoefficients) -> dict[str, Any]:
    """Routed experts by kernel: tables of H100, the only ones that many tokens fill, each model left out in turn."""
    error = half_width([np.concatenate(errors) for errors in experts_left_out(rates).values()])
    source = (
        "AIConfigurator MoE tables (H100: vLLM 0.14, TensorRT-LLM 1.2.0rc5), LLMServingSim MoE table (RTX PRO 6000, "
        "vLLM 0.19); error by models left out, each kernel weighing the same"
    )
    found = part(source, fit_experts(rates), error)
    found["coefficients"] = found["coefficients"]["kernels"]
    return found


def _shortened(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _shortened(v) if isinstance(v, dict) else _short(v) for name, v in values.items()}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> None:
    """Fit everything and write the file."""
    text = yaml.safe_dump(all_parts(), sort_keys=False, allow_unicode=True, width=120)
    (CATALOG / "efficiency.yaml").write_text(_HEADER + text, encoding="utf-8")


if __name__ == "__main__":
    main()
