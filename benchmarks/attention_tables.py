"""Reads the reference attention tables into plain arrays: prefill by chunk and context, decode by batch and context."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.operator_tables import AICONFIGURATOR
from benchmarks.reference import reference_path

FloatArray = npt.NDArray[np.float64]
HEAD_DIM = 128
_PRO_HEADS = {
    "meta-llama/Llama-3.1-8B": (32, 8),
    "Qwen/Qwen3-32B": (64, 8),
    "Qwen/Qwen3-30B-A3B-Instruct-2507": (32, 4),
}
_H100_HEADS = ((8, 2), (16, 4), (32, 8), (64, 8), (8, 1))


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Timed attention of one head configuration; ``first`` is the chunk (prefill) or the batch (decode), in tokens or
    sequences.
    """

    device: str
    source: str
    heads: int
    kv_heads: int
    first: FloatArray
    context: FloatArray
    seconds: FloatArray


def prefill_tables() -> list[Attention]:
    """RTX PRO 6000 (vLLM 0.19), A6000 (LLMServingSim v0; its cache size includes the chunk), A100 (Vidur, an early
    FlashAttention).
    """
    pro = _pro(pl.col("n_decode") == 0, pl.col("prefill_chunk") > 0, first="prefill_chunk", context="kv_prefill")
    frame = pl.read_parquet(reference_path("op_profiles/llmservingsim_v0_A6000_attention.parquet")).filter(
        pl.col("is_prefill")
    )
    frame = frame.filter(pl.col("model") == "meta-llama/Llama-3.1-8B")
    time = "time_stats.attn_prefill.median"
    a6000 = [
        _attention(
            "a6000",
            "llmservingsim-v0",
            (32 // tp, 8 // tp),
            part,
            "prefill_chunk_size",
            "kv_cache_size",
            time,
            1e-3,
            whole=True,
        )
        for (tp,), part in frame.group_by("tp", maintain_order=True)
        if isinstance(tp, int)
    ]
    return [*pro, *a6000, _vidur(prefill=True)]


def decode_tables() -> list[Attention]:
    """RTX PRO 6000 and A100; the A6000 table is left out: its times imply several times the memory bandwidth of the
    board.
    """
    return [
        *_pro(pl.col("n_decode") > 0, pl.col("prefill_chunk") == 0, first="n_decode", context="kv_decode"),
        _vidur(prefill=False),
    ]


def h100_tables(kind: str) -> Iterator[Attention]:
    """AIConfigurator's H100 tables, ``context`` (one prompt, no cache) or ``generation``, at 16 bits; no fit sees
    them.
    """
    for engine in AICONFIGURATOR:
        frame = pl.read_parquet(
            reference_path(f"op_profiles/aiconfigurator_h100_sxm_{engine}_{kind}_attention_perf.parquet")
        )
        plain = (
            (pl.col("kv_cache_dtype") == "bfloat16")
            & (pl.col("attn_dtype") == "bfloat16")
            & (pl.col("head_dim") == HEAD_DIM)
        )
        frame = frame.filter(plain & (pl.col("window_size") == 0 if "window_size" in frame.columns else pl.lit(True)))
        for heads, kv_heads in _H100_HEADS:
            part = frame.filter((pl.col("num_heads") == heads) & (pl.col("num_key_value_heads") == kv_heads))
            if kind == "context":
                part = part.filter((pl.col("batch_size") == 1) & (pl.col("isl") >= 256)).with_columns(
                    pl.lit(0).alias("step")
                )
            else:
                part = part.filter((pl.col("step") >= 127) & (pl.col("step") < 32768))
            first = "isl" if kind == "context" else "batch_size"
            yield _attention("h100-sxm", engine, (heads, kv_heads), part, first, "step", "latency", 1e-3)


def _pro(*conditions: pl.Expr, first: str, context: str) -> list[Attention]:
    frame = pl.read_parquet(reference_path("op_profiles/llmservingsim_RTXPRO6000_attention.parquet")).filter(
        *conditions
    )
    tables = []
    for (model, tp), part in frame.group_by("model", "tp", maintain_order=True):
        assert isinstance(model, str)
        assert isinstance(tp, int)
        heads, kv_heads = _PRO_HEADS[model]
        tables.append(
            _attention(
                "rtx-pro-6000", "llmservingsim", (heads // tp, kv_heads // tp), part, first, context, "time_us", 1e-6
            )
        )
    return tables


def _vidur(*, prefill: bool) -> Attention:
    frame = pl.read_parquet(reference_path("op_profiles/vidur_attention_a100_legacy.parquet")).filter(
        pl.col("is_prefill") == prefill
    )
    first, time = ("prefill_chunk_size", "attn_prefill.median") if prefill else ("batch_size", "attn_decode.median")
    return _attention("a100-80gb", "vidur", (32, 4), frame, first, "kv_cache_size", time, 1e-3)


def _attention(
    device: str,
    source: str,
    heads: tuple[int, int],
    frame: pl.DataFrame,
    first: str,
    context: str,
    time: str,
    unit_s: float,
    *,
    whole: bool = False,
) -> Attention:
    new = frame[first].to_numpy().astype(np.float64)
    return Attention(
        device=device, source=source, heads=heads[0], kv_heads=heads[1], first=new,
        context=frame[context].to_numpy().astype(np.float64) - (new if whole else 0.0),
        seconds=frame[time].to_numpy() * unit_s,
    )  # fmt: skip
