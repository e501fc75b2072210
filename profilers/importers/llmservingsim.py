"""Reads LLMServingSim's tables: `GPU/MODEL/VARIANT/tpN/{dense,per_sequence,attention,moe}.csv`, or merged files."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import yaml

from profilers.importers.frames import names_device, names_model, pick, read_table, require_columns, table, table_files
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec, Machine, Operator, OperatorTable

# Their layer names, and the operator each belongs to; several names of one operator are added up.
OPERATORS: dict[str, Operator] = {
    "qkv_proj": "qkv_proj", "o_proj": "o_proj", "gate_up_proj": "gate_up_proj", "down_proj": "down_proj",
    "layernorm": "norm", "rotary_emb": "rope", "qk_norm": "rope", "act_fn": "activation", "embedding": "embedding",
    "gate": "router",
}  # fmt: skip
KINDS = {
    "dense": ("layer", "tokens", "time_us"),
    "per_sequence": ("layer", "sequences", "time_us"),
    "attention": ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us"),
    "moe": ("tokens", "activated_experts", "time_us"),
}


def read(
    paths: list[Path], *, device: DeviceSpec, model: ModelSpec, engine_version: str | None = None
) -> LayerProfileSpec:
    """Tables of ``model`` on ``device``; key columns gpu, model and tp select rows of merged files.

    Their times are microseconds of kernels, without launch gaps. ``engine_version``: else from meta.yaml.
    """
    frames = _frames(paths, device, model)
    if "dense" not in frames:
        raise InputError(f"{paths[0]}: no dense table of LLMServingSim found", cure="Give its folder, or dense.csv.")
    tables: list[OperatorTable] = []
    for tp in sorted(frames["dense"]["tp"].unique().to_list()):
        mine = {kind: frame.filter(pl.col("tp") == tp) for kind, frame in frames.items()}
        tables += _dense(mine["dense"], tp)
        tables += _sequences(mine["per_sequence"], tp) if "per_sequence" in mine else []
        tables += _attention(mine["attention"], tp) if "attention" in mine else []
        tables += _experts(mine["moe"], model, tp) if "moe" in mine and len(mine["moe"]) else []
    meta = _meta(paths, model)
    return LayerProfileSpec(
        model=model.name, device=device.name, engine="vllm",
        engine_version=engine_version or str(meta.get("vllm_version", "0.19.0")),
        weights="bf16", kv_cache="bf16", basis="measured", timing="kernels",
        source=f"LLMServingSim tables of {device.name}, {model.name}",
        licence="MIT", machine=Machine(gpu=meta.get("gpu"), repeats=meta.get("measurement_iterations"),
                                       date=str(meta["profiled_at"])[:10] if "profiled_at" in meta else None),
        tables=tuple(tables),
    )  # fmt: skip


def _frames(paths: list[Path], device: DeviceSpec, model: ModelSpec) -> dict[str, pl.DataFrame]:
    found: dict[str, list[pl.DataFrame]] = {}
    refused: InputError | None = None
    for path in table_files(paths):
        kind = next((kind for kind in KINDS if path.name.split(".")[0].endswith(kind)), None)
        if kind is None or "skew" in path.name or not _of_model(path, model):
            continue
        try:
            found.setdefault(kind, []).append(_rows(path, kind, device, model))
        except InputError as error:
            refused = refused or error
    found = {kind: parts for kind, parts in found.items() if parts}
    if refused is not None and "dense" not in found:
        raise refused
    return {kind: pl.concat(parts) for kind, parts in found.items()}


def _rows(path: Path, kind: str, device: DeviceSpec, model: ModelSpec) -> pl.DataFrame:
    frame = read_table(path)
    require_columns(frame, path, KINDS[kind])
    frame = pick(pick(frame, "gpu", device, names_device, path), "model", model, names_model, path)
    if "tp" not in frame.columns:
        frame = frame.with_columns(tp=pl.lit(_tp_of(path)).cast(pl.Int64))
    return frame.select("tp", *KINDS[kind])


def _of_model(path: Path, model: ModelSpec) -> bool:
    """Folders of the upstream layout name the model two levels above tpN; merged files name it in a column."""
    if not re.fullmatch(r"tp\d+", path.parent.name):
        return True
    return names_model(path.parent.parent.parent.name, model)


def _tp_of(path: Path) -> int:
    found = re.fullmatch(r"tp(\d+)", path.parent.name)
    return int(found.group(1)) if found else 1


def _dense(frame: pl.DataFrame, tp: int) -> list[OperatorTable]:
    named = frame.filter(pl.col("layer").is_in(list(OPERATORS)))
    named = named.with_columns(operator=pl.col("layer").replace_strict(OPERATORS, default=None))
    # Several layers of one operator are added, each interpolated at the union of their token counts.
    summed = named.group_by("operator", "tokens").agg(
        pl.col("time_us").sum(), pl.col("layer").n_unique().alias("parts")
    )
    full = summed.group_by("operator").agg(pl.col("parts").max().alias("all"))
    summed = summed.join(full, on="operator").filter(pl.col("parts") == pl.col("all"))
    return [
        table(operator, summed.filter(pl.col("operator") == operator), {"tokens": "tokens"}, "time_us", tp=tp)
        for operator in sorted(set(OPERATORS.values()))
        if operator in summed["operator"].to_list()
    ]


def _sequences(frame: pl.DataFrame, tp: int) -> list[OperatorTable]:
    return [
        table(
            name, frame.filter(pl.col("layer") == name), {"sequences": "sequences"}, "time_us", tp=tp, calls_per_layer=0
        )
        for name in ("lm_head", "sampler")
        if name in frame["layer"].to_list()
    ]  # fmt: skip


def _attention(frame: pl.DataFrame, tp: int) -> list[OperatorTable]:
    """Split mixed batches: what a prefill costs alone is taken off, the median of the rest is the decodes' own time.

    In a mixed batch one variable-length kernel serves both, and decodes lose the tiling of a decode-only batch; the
    remainder hardly depends on the chunk above 128 tokens (2.8 % median residual on RTX PRO 6000).
    """
    prefill = frame.filter(pl.col("n_decode") == 0)
    decode = frame.filter(pl.col("prefill_chunk") == 0)
    alone = prefill.select("prefill_chunk", "kv_prefill", pl.col("time_us").alias("prefill_us"))
    mixed = frame.filter((pl.col("n_decode") > 0) & (pl.col("prefill_chunk") >= 128) & (pl.col("kv_prefill") <= 2048))
    mixed = mixed.join(alone, on=["prefill_chunk", "kv_prefill"])
    mixed = mixed.with_columns(time_us=(pl.col("time_us") - pl.col("prefill_us")).clip(lower_bound=0.0))
    chunks = {"chunk_tokens": "prefill_chunk", "context_tokens": "kv_prefill"}
    batches = {"batch": "n_decode", "context_tokens": "kv_decode"}
    found = [
        table("prefill_attention", prefill, chunks, "time_us", tp=tp),  # type: ignore[arg-type]
        table("decode_attention", decode, batches, "time_us", tp=tp),  # type: ignore[arg-type]
    ]
    if len(mixed):
        found.append(table("mixed_decode_attention", mixed, batches, "time_us", tp=tp))  # type: ignore[arg-type]
    return found


def _experts(frame: pl.DataFrame, model: ModelSpec, tp: int) -> list[OperatorTable]:
    """Time at the number of experts that so many tokens touch, under uniform routing, by interpolation."""
    moe = model.moe
    if moe is None:
        raise InputError(f"the tables hold experts, {model.name} has none", cure="Check --model.")
    rows: list[tuple[int, float]] = []
    for tokens, part in frame.sort("activated_experts").group_by("tokens", maintain_order=True):
        count = int(tokens[0])
        touched = moe.experts * (1 - (1 - moe.experts_per_token / moe.experts) ** count)
        experts, times = part["activated_experts"].to_list(), part["time_us"].to_list()
        rows.append((count, _interpolate(touched, experts, times)))
    merged = pl.DataFrame(rows, schema=["tokens", "time_us"], orient="row")
    return [table("moe", merged, {"tokens": "tokens"}, "time_us", tp=tp)]


def _interpolate(x: float, xs: list[float], ys: list[float]) -> float:
    if x <= xs[0]:
        return float(ys[0])
    for left, right, low, high in zip(xs, xs[1:], ys, ys[1:], strict=False):
        if x <= right:
            return float(low + (high - low) * (x - left) / (right - left))
    return float(ys[-1])


def _meta(paths: list[Path], model: ModelSpec) -> dict[str, object]:
    for root in paths:
        for path in sorted(root.rglob("*meta.yaml")) if root.is_dir() else sorted(root.parent.glob("*meta.yaml")):
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
            if isinstance(data, dict) and names_model(str(data.get("model", "")), model):
                return data
    return {}
