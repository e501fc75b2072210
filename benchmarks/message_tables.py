"""Reads the reference tables of streaming operators and messages into plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.reference import reference_path

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Timed operators that only stream memory: bytes read and written, seconds."""

    device: str
    operator: str
    moved_bytes: FloatArray
    seconds: FloatArray


@dataclass(frozen=True, kw_only=True)
class Messages:
    """Timed messages: GPUs that take part, bytes per GPU, seconds."""

    device: str
    participants: int
    bytes_: FloatArray
    seconds: FloatArray


def stream_tables() -> list[Streams]:
    """Vidur's addition (A40, A100; its norm and activation are early kernels) and vLLM's norm and activation (RTX PRO
    6000).
    """
    return [_vidur_stream("a40", "a40"), _vidur_stream("a100", "a100-80gb"), *_pro_streams()]


def all_reduce_tables() -> list[Messages]:
    """Vidur's NCCL all-reduce within one DGX A100, 2 to 8 GPUs."""
    frame = pl.read_parquet(reference_path("op_profiles/vidur_net_a100_dgx_all_reduce.parquet"))
    frame = frame.filter(pl.col("num_workers") == pl.col("devices_per_node"))
    return [_messages(frame.filter(pl.col("num_workers") == p), p, "all_reduce.median", 1e-3) for p in (2, 4, 8)]


def send_table() -> Messages:
    """Vidur's NCCL send between two A100 of one NVLink pair."""
    frame = pl.read_parquet(reference_path("op_profiles/vidur_net_a100_pairwise_nvlink_send_recv.parquet"))
    return _messages(frame.filter(pl.col("devices_per_node") == 2), 2, "send_recv.median", 1e-3)


def h100_all_reduce_tables() -> list[Messages]:
    """vLLM's all-reduce inside a CUDA graph on H100; no fit sees it."""
    frame = pl.read_parquet(
        reference_path("op_profiles/aiconfigurator_h100_sxm_vllm-0.14.0_custom_allreduce_perf.parquet")
    )
    frame = frame.filter((pl.col("backend") == "vllm_graph") & (pl.col("message_size") >= 8192)).rename(
        {"message_size": "size"}
    )
    parts = ((p, frame.filter(pl.col("num_gpus") == p)) for p in (2, 4, 8))
    return [_messages(part, p, "latency", 1e-3, device="h100-sxm") for p, part in parts]


def _messages(
    frame: pl.DataFrame, participants: int, time: str, unit_s: float, *, device: str = "a100-80gb"
) -> Messages:
    return Messages(
        device=device,
        participants=participants,
        bytes_=frame["size"].to_numpy().astype(np.float64),
        seconds=frame[time].to_numpy() * unit_s,
    )


def _vidur_stream(gpu: str, device: str) -> Streams:
    frame = pl.read_parquet(reference_path(f"op_profiles/vidur_mlp_{gpu}.parquet")).filter(
        pl.col("num_tensor_parallel_workers") == 1, pl.col("num_tokens") <= 4096, pl.col("use_gated_mlp")
    )
    hidden = frame["num_tokens"].to_numpy() * frame["n_embd"].to_numpy() * 2.0
    return Streams(device=device, operator="add", moved_bytes=3 * hidden, seconds=frame["add.median"].to_numpy() * 1e-3)


def _pro_streams() -> list[Streams]:
    frame = pl.read_parquet(reference_path("op_profiles/llmservingsim_RTXPRO6000_dense.parquet")).filter(
        pl.col("tp") == 1
    )
    tables = []
    for model, hidden, wide in (("meta-llama/Llama-3.1-8B", 4096, 14336), ("Qwen/Qwen3-32B", 5120, 25600)):
        for op, bytes_per_token in (
            ("layernorm", 4 * 2.0 * hidden),
            ("act_fn", 3 * 2.0 * wide),
        ):  # the fused norm adds the residual
            part = frame.filter((pl.col("model") == model) & (pl.col("layer") == op))
            moved = part["tokens"].to_numpy() * bytes_per_token
            tables.append(
                Streams(
                    device="rtx-pro-6000", operator=op, moved_bytes=moved, seconds=part["time_us"].to_numpy() * 1e-6
                )
            )
    return tables
