"""Reads the reference tables of routed experts into plain arrays, one table per kernel, device and model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.reference import reference_path
from predictors.step_time.roofline.experts import Kernels, experts_touched
from specs.base import Precision

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel of `catalog/efficiency.yaml` and where its tables are."""

    name: str
    file: str
    dtype: str
    kernels: Kernels
    precision: Precision
    block_scaled: bool = False


_VLLM, _TRTLLM = "vllm-0.14.0", "trtllm-1.2.0rc5"
KERNELS = (
    Kernel(name="triton-bf16", file=_VLLM, dtype="bfloat16", kernels="triton", precision="bf16"),
    Kernel(name="triton-fp8", file=_VLLM, dtype="fp8", kernels="triton", precision="fp8"),
    Kernel(name="triton-fp8-block", file=_VLLM, dtype="fp8_block", kernels="triton", precision="fp8",
           block_scaled=True),
    Kernel(name="marlin", file=_VLLM, dtype="int4_wo", kernels="triton", precision="int4"),
    Kernel(name="cutlass-bf16", file=_TRTLLM, dtype="bfloat16", kernels="cutlass", precision="bf16"),
    Kernel(name="cutlass-fp8", file=_TRTLLM, dtype="fp8", kernels="cutlass", precision="fp8"),
    Kernel(name="cutlass-fp8-block", file=_TRTLLM, dtype="fp8_block", kernels="cutlass", precision="fp8",
           block_scaled=True),
    Kernel(name="openai-mxfp4", file=_TRTLLM, dtype="w4a16_mxfp4", kernels="cutlass", precision="mxfp4"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExpertTable:
    """Timed layers of experts of one kernel, device and model: rows routed to the GPU, experts touched, seconds."""

    device: str
    model: str
    rows: FloatArray
    touched: FloatArray
    hidden: int
    intermediate: FloatArray  # of one expert on one TP rank
    seconds: FloatArray


@lru_cache(maxsize=16)
def h100_tables(kernel: Kernel) -> tuple[ExpertTable, ...]:
    """AIConfigurator's tables of gated experts on H100 under skewed routing (power laws 1.01 and 1.2), without EP.

    The experts touched are those of uniform routing: the tables do not tell. SGLang's table is left out: its times are
    ten times what vLLM's same kernel takes, and what its weights take to stream.
    """
    frame = pl.read_parquet(reference_path(f"op_profiles/aiconfigurator_h100_sxm_{kernel.file}_moe_perf.parquet"))
    frame = frame.filter(
        (pl.col("moe_dtype") == kernel.dtype) & (pl.col("moe_ep_size") == 1) & (pl.col("distribution") != "balanced")
        & ~pl.col("kernel_source").str.ends_with("nongated") & (pl.col("inter_size") % pl.col("moe_tp_size") == 0)
    )  # fmt: skip
    shape = ["hidden_size", "inter_size", "topk", "num_experts"]
    return tuple(_table(key, part) for key, part in frame.group_by(shape, maintain_order=True))


def _table(key: tuple[object, ...], part: pl.DataFrame) -> ExpertTable:
    hidden, _, top_k, experts = (int(str(number)) for number in key)
    tokens = part["num_tokens"].to_numpy().astype(np.float64)
    return ExpertTable(
        device="h100-sxm", model="-".join(map(str, key)), rows=tokens * top_k,
        touched=experts_touched(tokens, experts, top_k), hidden=hidden,
        intermediate=(part["inter_size"] // part["moe_tp_size"]).to_numpy().astype(np.float64),
        seconds=part["latency"].to_numpy() * 1e-3,
    )  # fmt: skip


def pro_table() -> ExpertTable:
    """vLLM's fused experts of Qwen3-30B-A3B on RTX PRO 6000, where the experts touched were set."""
    frame = pl.read_parquet(reference_path("op_profiles/llmservingsim_RTXPRO6000_moe.parquet"))
    frame = frame.filter(pl.col("tp") == 1)
    return ExpertTable(
        device="rtx-pro-6000", model="qwen3-30b-a3b", rows=frame["tokens"].to_numpy() * 8.0,
        touched=frame["activated_experts"].to_numpy().astype(np.float64), hidden=2048,
        intermediate=np.full(frame.height, 768.0), seconds=frame["time_us"].to_numpy() * 1e-6,
    )  # fmt: skip
