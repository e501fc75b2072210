"""Reads the reference operator tables into plain arrays: matrix products, attention, streaming operators, messages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.reference import reference_path

FloatArray = npt.NDArray[np.float64]
AICONFIGURATOR = ("vllm-0.14.0", "trtllm-1.2.0rc5", "sglang-0.5.6.post2")

# (hidden, MLP, heads, KV heads, head size) of the models whose tables give no shapes; their config.json, 2026-11-23.
_SHAPES = {
    "meta-llama/Llama-3.1-8B": (4096, 14336, 32, 8, 128),
    "meta-llama/Llama-3.1-70B": (8192, 28672, 64, 8, 128),
    "meta-llama/Llama-2-7b-hf": (4096, 11008, 32, 32, 128),
    "Qwen/Qwen3-32B": (5120, 25600, 64, 8, 128),
}
_ON_H100 = (("meta-llama/Llama-3.1-8B", (1, 2, 4)), ("meta-llama/Llama-2-7b-hf", (1, 2, 4)),
            ("meta-llama/Llama-3.1-70B", (2, 4, 8)), ("Qwen/Qwen3-32B", (2, 4, 8)))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Gemms:
    """Timed 16-bit products of one device and source; ``group`` numbers the (model, TP, tokens) whose projections add
    up to a layer's.
    """

    device: str
    source: str
    group: npt.NDArray[np.int64]
    m: FloatArray
    n: npt.NDArray[np.int64]
    k: npt.NDArray[np.int64]
    seconds: FloatArray


def gemm_tables() -> list[Gemms]:
    """Every table of projection products at m ≤ 4096, the three engines on H100 apart."""
    tables = [_vidur("a40", "a40"), _vidur("a100", "a100-80gb"), _llmservingsim_v0("A6000", "a6000")]
    tables += [_llmservingsim_v0("RTX3090", "rtx-3090"), _llmservingsim("rtx-pro-6000")]
    return tables + [_aiconfigurator(engine) for engine in AICONFIGURATOR]


def thinned(table: Gemms, points: int = 40) -> Gemms:
    """The groups of about ``points`` token counts, evenly spaced on a log axis, as a fit should weigh them."""
    counts = np.unique(table.m)
    targets = np.geomspace(1, counts.max(), points)
    kept = np.unique(counts[np.abs(np.log(counts[None, :] / targets[:, None])).argmin(axis=1)])
    return selected(table, np.isin(table.m, kept))


def selected(table: Gemms, mask: npt.NDArray[np.bool_]) -> Gemms:
    """The rows of ``table`` where ``mask`` holds, groups renumbered."""
    group = np.unique(table.group[mask], return_inverse=True)[1]
    return Gemms(
        device=table.device, source=table.source, group=group,
        m=table.m[mask], n=table.n[mask], k=table.k[mask], seconds=table.seconds[mask],
    )  # fmt: skip


def group_sums(table: Gemms, seconds: FloatArray) -> FloatArray:
    """Sum of ``seconds`` over the projections of each group."""
    return np.asarray(np.bincount(table.group, weights=seconds), dtype=np.float64)


def _table(device: str, source: str, frame: pl.DataFrame) -> Gemms:
    frame = frame.filter(pl.col("m") <= 4096, pl.col("seconds") > 0)
    frame = (
        frame.group_by("model", "tp", "m", "op", "n", "k")
        .agg(pl.col("seconds").median())
        .sort("model", "tp", "m", "op")
    )
    group = frame.select(pl.struct("model", "tp", "m").rank("dense"))["model"].to_numpy().astype(np.int64) - 1
    return Gemms(
        device=device, source=source, group=group, m=frame["m"].to_numpy().astype(np.float64),
        n=frame["n"].to_numpy().astype(np.int64), k=frame["k"].to_numpy().astype(np.int64),
        seconds=frame["seconds"].to_numpy(),
    )  # fmt: skip


def _rows(frame: pl.DataFrame, op: str, n: pl.Expr, k: pl.Expr, seconds: pl.Expr) -> pl.DataFrame:
    return frame.select(
        "model",
        "tp",
        "m",
        pl.lit(op).alias("op"),
        n.cast(pl.Int64).alias("n"),
        k.cast(pl.Int64).alias("k"),
        seconds.alias("seconds"),
    )


def _vidur(gpu: str, device: str) -> Gemms:
    """Vidur's MLP-side profile, kernel medians in ms."""
    frame = pl.read_parquet(reference_path(f"op_profiles/vidur_mlp_{gpu}.parquet")).rename(
        {"num_tokens": "m", "num_tensor_parallel_workers": "tp"}
    )
    h, f, tp, heads, kv = (pl.col(c) for c in ("n_embd", "n_expanded_embd", "tp", "n_head", "n_kv_head"))
    size = h // heads
    qkv = (heads // tp + 2 * pl.max_horizontal(kv // tp, pl.lit(1))) * size
    up = pl.when(pl.col("use_gated_mlp")).then(2 * f // tp).otherwise(f // tp)
    shapes = (
        ("attn_pre_proj", qkv, h),
        ("attn_post_proj", h, heads * size // tp),
        ("mlp_up_proj", up, h),
        ("mlp_down_proj", h, f // tp),
    )
    parts = [_rows(frame, op, n, k, pl.col(f"{op}.median") * 1e-3) for op, n, k in shapes]
    return _table(device, "vidur", pl.concat(parts).drop_nulls())


def _projections(model: str, tp: int, fused: bool) -> list[tuple[str, int, int]]:
    """(layer, n, k) of one decoder layer's products on one rank; q, k, v and gate, up apart where not ``fused``."""
    h, f, heads, kv, size = _SHAPES[model]
    ends = [("o_proj", h, heads * size // tp), ("down_proj", h, f // tp)]
    if fused:
        return [("qkv_proj", (heads + 2 * kv) * size // tp, h), ("gate_up_proj", 2 * f // tp, h), *ends]
    kv_rows = kv * size // tp
    starts = [("q_proj", heads * size // tp, h), ("k_proj", kv_rows, h), ("v_proj", kv_rows, h)]
    return [*starts, ("gate_proj", f // tp, h), ("up_proj", f // tp, h), *ends]


def _llmservingsim_v0(gpu: str, device: str) -> Gemms:
    """LLMServingSim's older layer tables (ns), Llama-3.1-8B at TP 1 and 2."""
    model = "meta-llama/Llama-3.1-8B"
    frame = pl.read_parquet(reference_path(f"op_profiles/llmservingsim_v0_{gpu}_layers.parquet")).filter(
        pl.col("model") == model
    )
    frame = frame.with_columns(pl.col("input").alias("m"), (pl.col("latency(ns)") * 1e-9).alias("seconds"))
    return _table(device, "llmservingsim-v0", _pick(frame, "layer_name", model, (1, 2), fused=False))


def _llmservingsim(device: str) -> Gemms:
    """LLMServingSim's tables of vLLM 0.19 (µs) on RTX PRO 6000, its two dense models."""
    frame = pl.read_parquet(reference_path("op_profiles/llmservingsim_RTXPRO6000_dense.parquet"))
    frame = frame.with_columns(pl.col("tokens").alias("m"), (pl.col("time_us") * 1e-6).alias("seconds"))
    models = ("meta-llama/Llama-3.1-8B", "Qwen/Qwen3-32B")
    parts = [_pick(frame.filter(pl.col("model") == model), "layer", model, (1, 2), fused=True) for model in models]
    return _table(device, "llmservingsim", pl.concat(parts))


def _pick(frame: pl.DataFrame, column: str, model: str, tps: tuple[int, ...], *, fused: bool) -> pl.DataFrame:
    parts = [
        _rows(
            frame.filter((pl.col(column) == layer) & (pl.col("tp") == tp)),
            layer,
            pl.lit(n),
            pl.lit(k),
            pl.col("seconds"),
        )
        for tp in tps
        for layer, n, k in _projections(model, tp, fused)
    ]
    return pl.concat(parts)


def _aiconfigurator(engine: str) -> Gemms:
    """AIConfigurator's H100 grid (ms), its times interpolated in log n and log k to the shapes of four models."""
    frame = pl.read_parquet(reference_path(f"op_profiles/aiconfigurator_h100_sxm_{engine}_gemm_perf.parquet"))
    frame = frame.filter((pl.col("gemm_dtype") == "bfloat16") & (pl.col("m") > 0) & (pl.col("m") <= 4096))
    parts = []
    for (m,), grid in frame.group_by("m"):
        for model, tps in _ON_H100:
            for tp in tps:
                parts += _interpolated(grid, int(m), model, tp)
    return _table(
        "h100-sxm", engine, pl.DataFrame(parts, schema=["model", "tp", "m", "op", "n", "k", "seconds"], orient="row")
    )


def _interpolated(grid: pl.DataFrame, m: int, model: str, tp: int) -> list[tuple[str, int, int, str, int, int, float]]:
    """One layer's products at ``m`` tokens, or nothing where a shape lies outside the grid."""
    ns, ks, times = _rectangle(grid)
    rows = []
    for layer, n, k in _projections(model, tp, fused=True):
        if not (ns[0] <= n <= ns[-1] and ks[0] <= k <= ks[-1]):
            return []
        along_k = [np.interp(np.log(k), np.log(ks), row) for row in times]
        rows.append((model, tp, m, layer, n, k, float(np.exp(np.interp(np.log(n), np.log(ns), along_k)))))
    return rows


def _rectangle(grid: pl.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The largest complete rectangle of log times over n, k ≥ 512: widest n first."""
    inside = grid.filter((pl.col("n") >= 512) & (pl.col("k") >= 512) & (pl.col("k") <= 16384))
    wide = (
        inside.group_by("n", "k").agg(pl.col("latency").median()).pivot(on="k", index="n", values="latency").sort("n")
    )
    columns = sorted((c for c in wide.columns if c != "n"), key=int)
    complete = wide.drop_nulls(columns)
    return (
        complete["n"].to_numpy().astype(float),
        np.array(columns, dtype=float),
        np.log(complete.select(columns).to_numpy() * 1e-3),
    )
