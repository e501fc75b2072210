"""Reads AIConfigurator's kernel tables: `…/SYSTEM/…/ENGINE/VERSION/OP_perf.parquet` as installed, or merged files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from profilers.importers.experts import expert_notes, expert_tables
from profilers.importers.frames import names_device, read_table, table_files
from profilers.importers.gemm_lattice import Lattice, lattice_of
from profilers.importers.shapes import Shapes, shapes_of
from specs.base import Precision
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import Axis, LayerProfileSpec, Operator, OperatorTable

FloatArray = npt.NDArray[np.float64]

DEGREES = (1, 2, 4, 8)
KINDS = ("gemm", "context_attention", "generation_attention", "custom_allreduce", "moe")
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp8": "fp8", "fp8-block": "fp8_block", "int8": "int8_wo",
          "int4": "int4_wo", "mxfp4": "w4a16_mxfp4"}  # fmt: skip
TOKENS = (
    1,
    2,
    4,
    8,
    16,
    24,
    32,
    48,
    64,
    96,
    128,
    160,
    192,
    256,
    384,
    512,
    768,
    1024,
    1536,
    2048,
    3072,
    4096,
    6144,
    8192,
)
CHUNKS = (16, 64, 128, 256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
CONTEXTS = (0, 256, 1024, 2048, 4096, 8192)
PROMPTS_TOGETHER = 8192  # prompts of so many tokens in all are prefilled in one step; sets the batch they are read at
ENGINES = {"vllm": "vllm", "trtllm": "trtllm", "sglang": "sglang"}


@dataclass(frozen=True)
class Tables:
    """Frames by kind of one system, engine and version."""

    engine: str
    version: str
    frames: dict[str, pl.DataFrame]
    lattices: dict[str, Lattice | None] = field(default_factory=dict)

    def lattice(self, dtype: str) -> Lattice | None:
        """The GEMM table's lattice of ``dtype``, built once."""
        if dtype not in self.lattices:
            self.lattices[dtype] = lattice_of(self.frames["gemm"], dtype)
        return self.lattices[dtype]


def read(
    paths: list[Path], *, device: DeviceSpec, model: ModelSpec, engine_version: str | None = None,
    engine: str | None = None, weights: Precision | None = None, kv_cache: Precision = "bf16",
) -> LayerProfileSpec:  # fmt: skip
    """Kernel tables interpolated at the shapes of ``model`` for TP 1, 2, 4 and 8.

    ``engine`` and ``engine_version`` choose among several in the paths (default: vLLM, the newest version).
    Latencies there are milliseconds of kernels timed alone, each with its own quantisation and launch.
    """
    tables = load(paths, device, engine, engine_version)
    precision = weights or model.weights_precision
    dtype = DTYPES.get(
        "fp8-block" if model.quantization == "fp8-block" and precision == "fp8" else precision, precision
    )
    found: list[OperatorTable] = []
    for tp in DEGREES:
        if all(attention.heads % tp == 0 for attention in model.attention):
            found += _at_degree(tables, shapes_of(model, tp), model, tp, dtype, DTYPES.get(kv_cache, kv_cache))
    if "moe" in tables.frames and model.moe is not None:
        found += expert_tables(tables.frames["moe"], model, dtype, tables.engine)
    if not any(table.operator in ("qkv_proj", "gate_up_proj", "moe") for table in found):
        raise InputError(f"{paths[0]}: no GEMM table for {dtype} weights", cure="Choose another precision or files.")
    notes = expert_notes(tables.frames.get("moe"), model, dtype, found, tables.version)
    return LayerProfileSpec(
        model=model.name, device=device.name, engine=tables.engine, engine_version=tables.version,
        weights=precision, kv_cache=kv_cache, basis="database",
        source=f"AIConfigurator kernel tables, {device.name}, {tables.engine} {tables.version}{notes}",
        licence="Apache-2.0",
        tables=tuple(found),
    )  # fmt: skip


def load(paths: list[Path], device: DeviceSpec, engine: str | None, version: str | None) -> Tables:
    """Frames of one engine, each kind at ``version`` where it has it, else at its newest; the GEMMs' names the set.

    Raises InputError where the paths hold none for the device and engine, or no GEMM of the version asked for.
    """
    known: dict[str, dict[str, dict[str, Path]]] = {}
    for path in table_files(paths):
        key = _key(path, device)
        if key is not None:
            known.setdefault(key[0], {}).setdefault(key[2], {})[key[1]] = path
    wanted = engine or ("vllm" if "vllm" in known else next(iter(sorted(known)), "vllm"))
    kinds = known.get(wanted, {})
    products = kinds.get("gemm", {})
    if not products or (version is not None and version not in products):
        have = ", ".join(f"{name} {number}" for name in sorted(known) for number in sorted(known[name].get("gemm", {})))
        raise InputError(
            f"{paths[0]}: no AIConfigurator tables of {device.name} for {wanted} {version or ''}; "
            f"found: {have or 'none'}",
            cure="Choose another --device or --engine-version, or other files.",
        )
    chosen = {kind: version if version in found else max(found, key=_numbers) for kind, found in kinds.items()}
    return Tables(wanted, str(chosen["gemm"]), {kind: read_table(kinds[kind][str(chosen[kind])]) for kind in chosen})


def _key(path: Path, device: DeviceSpec) -> tuple[str, str, str] | None:
    """(engine, version, kind) of a table of ``device``, from a merged file's name or the upstream folders."""
    merged = re.fullmatch(r"aiconfigurator_(.+)_(vllm|trtllm|sglang)-([^_]+)_(.+)_perf\.parquet", path.name)
    if merged:
        system, engine, version, kind = merged.groups()
    else:
        parts = path.parts
        engines = [i for i, part in enumerate(parts) if part in ENGINES]
        if not engines or not path.name.endswith("_perf.parquet"):
            return None
        at = engines[-1]
        systems = [part for part in parts[:at] if names_device(part, device)]
        system, engine, version, kind = (
            (systems or [""])[-1],
            parts[at],
            parts[at + 1],
            path.name[: -len("_perf.parquet")],
        )
    if kind not in KINDS or not system or not names_device(system, device):
        return None
    return engine, version, kind


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _at_degree(
    tables: Tables, shapes: Shapes, model: ModelSpec, tp: int, dtype: str, kv_dtype: str
) -> list[OperatorTable]:
    frames = tables.frames
    found = _gemms(tables, shapes, tp, dtype)
    if "generation_attention" in frames and shapes.heads:
        found += _decode(frames["generation_attention"], shapes, tp, kv_dtype)
    if "context_attention" in frames and shapes.heads:
        found += _prefill(frames["context_attention"], shapes, tp, kv_dtype)
    if "custom_allreduce" in frames and tp > 1:
        found += _all_reduce(frames["custom_allreduce"], model.hidden, tp)
    return found


def _gemms(tables: Tables, shapes: Shapes, tp: int, dtype: str) -> list[OperatorTable]:
    found: list[OperatorTable] = []
    for operator, (axis, sizes, precision) in shapes.gemms.items():
        wanted = dtype if precision is None else DTYPES[precision]
        lattice = tables.lattice(wanted)
        if lattice is None:
            continue
        counts = np.array(TOKENS, dtype=np.float64)
        latency = sum(lattice.at(n, k, counts) for n, k in sizes)
        found.append(_single(operator, axis, TOKENS, np.asarray(latency) * 1e3, tp))
    return found


def _matching(frame: pl.DataFrame, shapes: Shapes, kv_dtype: str) -> pl.DataFrame | None:
    """Rows of the model's head dimension, KV type and heads; None where the table has none."""
    rows = frame.filter((pl.col("head_dim") == shapes.head_dim) & (pl.col("kv_cache_dtype") == kv_dtype))
    rows = rows.filter(pl.col("attn_dtype") == "bfloat16") if "attn_dtype" in rows.columns else rows
    if "window_size" in rows.columns:
        rows = rows.filter(pl.col("window_size") == 0)
    rows = rows.filter(pl.col("num_key_value_heads") == shapes.kv_heads)
    heads = sorted(rows["num_heads"].unique().to_list())
    if shapes.heads in heads:
        return rows.filter(pl.col("num_heads") == shapes.heads)
    above = [count for count in heads if count > shapes.heads]
    return rows.filter(pl.col("num_heads") == above[0]) if above else None


def _decode(frame: pl.DataFrame, shapes: Shapes, tp: int, kv_dtype: str) -> list[OperatorTable]:
    rows = _matching(frame, shapes, kv_dtype)
    if rows is None or rows.is_empty():
        return []
    rows = rows.with_columns(context=pl.col("step") + pl.col("isl")).sort("batch_size", "context")
    rows = rows.group_by("batch_size", "context").agg(pl.col("latency").median()).sort("batch_size", "context")
    points = tuple((float(b), float(c)) for b, c in rows.select("batch_size", "context").rows())
    return [_double("decode_attention", ("batch", "context_tokens"), points, rows["latency"].to_numpy() * 1e3, tp)]


def _prefill(frame: pl.DataFrame, shapes: Shapes, tp: int, kv_dtype: str) -> list[OperatorTable]:
    """Chunk c after context q from whole prompts: T(c + q) − T(q), as its share of the causal triangle.

    T is read, per prompt, at the batch of equal prompts that fills a step: short prompts do not each pay a launch.
    """
    rows = _matching(frame, shapes, kv_dtype)
    if rows is None or rows.is_empty():
        return []
    alone = _per_prompt(rows.filter(pl.col("batch_size") == 1), rows)
    lengths, seconds = alone
    points: list[tuple[float, float]] = []
    latency: list[float] = []
    for chunk in CHUNKS:
        for context in CONTEXTS:
            whole = np.interp(chunk + context, lengths, seconds) * _beyond(chunk + context, lengths[-1])
            before = np.interp(context, lengths, seconds) if context else 0.0
            points.append((float(chunk), float(context)))
            latency.append(float(max(whole - before, np.interp(chunk, lengths, seconds))) * 1e3)
    return [_double("prefill_attention", ("chunk_tokens", "context_tokens"), tuple(points), np.array(latency), tp)]


def _beyond(length: float, last: float) -> float:
    return float((length / last) ** 2) if length > last else 1.0


def _per_prompt(alone: pl.DataFrame, rows: pl.DataFrame) -> tuple[FloatArray, FloatArray]:
    lengths = np.array(sorted(alone["isl"].unique().to_list()), dtype=np.float64)
    latency = []
    for length in lengths:
        mine = rows.filter(pl.col("isl") == int(length)).sort("batch_size")
        sizes = mine["batch_size"].to_numpy()
        fitting = sizes[sizes <= max(1, PROMPTS_TOGETHER // int(length))].max()
        together = mine.filter(pl.col("batch_size") == fitting)["latency"].to_numpy()
        latency.append(float(np.median(together)) / fitting)
    return lengths, np.maximum.accumulate(np.array(latency))


def _all_reduce(frame: pl.DataFrame, hidden: int, tp: int) -> list[OperatorTable]:
    """Messages are counted in elements of 16 bits; of several implementations the graph-captured one is taken."""
    rows = frame.filter(pl.col("num_gpus") == tp)
    if "kernel_source" in rows.columns and rows["kernel_source"].n_unique() > 1:
        rows = rows.filter(pl.col("kernel_source").str.contains("graph"))
    if rows.is_empty():
        return []
    rows = rows.sort("message_size")
    sizes, latency = rows["message_size"].to_numpy().astype(float), np.maximum.accumulate(rows["latency"].to_numpy())
    moved = np.array(TOKENS, dtype=np.float64) * hidden
    return [_single("all_reduce", "tokens", TOKENS, np.interp(moved, sizes, latency) * 1e3, tp)]


def _single(operator: Operator, axis: Axis, counts: tuple[int, ...], latency_us: FloatArray, tp: int) -> OperatorTable:
    return OperatorTable(
        operator=operator, tp=tp, axes=(axis,), points=tuple((float(count),) for count in counts),
        latency_us=tuple(round(float(value), 3) for value in latency_us),
        calls_per_layer=0.0 if axis == "sequences" else 1.0,
    )  # fmt: skip


def _double(
    operator: Operator, axes: tuple[Axis, ...], points: tuple[tuple[float, ...], ...], latency_us: FloatArray, tp: int
) -> OperatorTable:
    latency = tuple(round(float(value), 3) for value in latency_us)
    return OperatorTable(operator=operator, tp=tp, axes=axes, points=points, latency_us=latency)
