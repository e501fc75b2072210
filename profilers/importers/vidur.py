"""Reads Vidur's profiles: `DEVICE/MODEL/{mlp,attention}.csv`, `NODE/all_reduce.csv`, or merged files."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from profilers.importers.frames import (
    device_of,
    model_of,
    names_device,
    names_model,
    pick,
    read_table,
    require_columns,
    table,
    table_files,
)
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import Axis, LayerProfileSpec, Operator, OperatorTable

OPERATORS: dict[str, Operator] = {
    "attn_pre_proj": "qkv_proj", "attn_post_proj": "o_proj", "mlp_up_proj": "gate_up_proj",
    "mlp_down_proj": "down_proj", "mlp_act": "activation", "attn_rope": "rope", "input_layernorm": "norm",
    "emb": "embedding",
}  # fmt: skip
DENSE = ("num_tokens", "num_tensor_parallel_workers", "mlp_up_proj.median", "attn_pre_proj.median")
ATTENTION = ("batch_size", "prefill_chunk_size", "kv_cache_size", "num_tensor_parallel_workers", "attn_decode.median")
NETWORK = ("all_reduce.median", "num_workers", "size")
PAIRWISE_NVLINK_GB_PER_S = 100.0  # NVLink bridges between two boards stay below, per direction
VLLM_OF_ITS_TIME = "0.4"  # the vLLM of 2024 that Vidur's authors forked for profiling


def read(
    paths: list[Path], *, device: DeviceSpec, model: ModelSpec, engine_version: str | None = None
) -> LayerProfileSpec:
    """Tables of ``model`` on ``device``, 16 bits; times there are milliseconds of kernels (medians are taken).

    Attention is taken where its heads and width are the model's; without it the profile is partial (basis database).
    Raises InputError where no file has its projections.
    """
    tables: list[OperatorTable] = []
    refused: InputError | None = None
    for path in table_files(paths):
        try:
            tables += _tables(path, device, model)
        except InputError as error:
            refused = refused or error
    if not any(one.operator == "gate_up_proj" for one in tables):
        raise refused or InputError(f"{paths[0]}: no Vidur profile of {model.name} found", cure="Give its mlp.csv.")
    whole = any(one.operator == "decode_attention" for one in tables)
    return LayerProfileSpec(
        model=model.name, device=device.name, engine="vllm", engine_version=engine_version or VLLM_OF_ITS_TIME,
        basis="measured" if whole else "database", timing="kernels", licence="MIT",
        source=f"Vidur profiles of {device.name}, {model.name}",
        tables=tuple(tables),
    )  # fmt: skip


def _tables(path: Path, device: DeviceSpec, model: ModelSpec) -> list[OperatorTable]:
    """The operator tables of one file; empty where it is none of Vidur's three kinds."""
    frame = read_table(path)
    if set(NETWORK) <= set(frame.columns):
        return _all_reduce(frame, model) if device_of(path, device) and _same_links(path, device) else []
    if set(ATTENTION) <= set(frame.columns):
        return _attention(frame, model) if device_of(path, device) else []
    if "mlp_up_proj.median" not in frame.columns:
        return []
    require_columns(frame, path, DENSE)
    if "model" not in frame.columns and not model_of(path, model):
        return []
    frame = pick(pick(frame, "gpu", device, names_device, path), "model", model, names_model, path)
    return _dense(frame)


def _same_links(path: Path, device: DeviceSpec) -> bool:
    """Measurements of GPUs linked in pairs say nothing of a device that NVLink switches connect."""
    switched = device.links.nvlink_gb_per_s > PAIRWISE_NVLINK_GB_PER_S
    return ("pairwise" in path.as_posix()) != switched


def _dense(frame: pl.DataFrame) -> list[OperatorTable]:
    found: list[OperatorTable] = []
    for degree, part in sorted(frame.group_by("num_tensor_parallel_workers"), key=lambda item: item[0]):
        tp = int(str(degree[0]))
        for name, operator in OPERATORS.items():
            column = f"{name}.median"
            if column in part.columns and part[column].is_not_null().any():
                known = part.filter(pl.col(column).is_not_null()).with_columns(us=pl.col(column) * 1e3)
                found.append(table(operator, known, {"tokens": "num_tokens"}, "us", tp=tp))
    return found


def _attention(frame: pl.DataFrame, model: ModelSpec) -> list[OperatorTable]:
    kind = model.attention[0]
    mine = frame.filter(
        (pl.col("n_q_head") == kind.heads) & (pl.col("n_kv_head") == kind.kv_heads) & (pl.col("n_embd") == model.hidden)
    )
    found: list[OperatorTable] = []
    for degree, part in sorted(mine.group_by("num_tensor_parallel_workers"), key=lambda item: item[0]):
        tp = int(str(degree[0]))
        decode = part.filter(~pl.col("is_prefill")).with_columns(us=pl.col("attn_decode.median") * 1e3)
        prefill = part.filter(pl.col("is_prefill") & (pl.col("batch_size") == 1))
        prefill = prefill.with_columns(us=pl.col("attn_prefill.median") * 1e3)
        batches: dict[Axis, str] = {"batch": "batch_size", "context_tokens": "kv_cache_size"}
        chunks: dict[Axis, str] = {"chunk_tokens": "prefill_chunk_size", "context_tokens": "kv_cache_size"}
        found += [table("decode_attention", decode, batches, "us", tp=tp)] if len(decode) else []
        found += [table("prefill_attention", prefill, chunks, "us", tp=tp)] if len(prefill) else []
    return found


def _all_reduce(frame: pl.DataFrame, model: ModelSpec) -> list[OperatorTable]:
    """Sizes are bytes of the 16-bit tensor; of several placements on a node the fullest is taken."""
    found: list[OperatorTable] = []
    for degree, part in sorted(frame.group_by("num_workers"), key=lambda item: item[0]):
        workers = int(str(degree[0]))
        whole = part.filter(pl.col("devices_per_node") == part["devices_per_node"].max())
        tokens = (pl.col("size") / (2.0 * model.hidden)).round(3)
        known = whole.with_columns(us=pl.col("all_reduce.median") * 1e3, tokens=tokens).filter(pl.col("tokens") >= 0.5)
        if workers in (2, 4, 8) and len(known) > 1:
            found.append(table("all_reduce", known, {"tokens": "tokens"}, "us", tp=workers))
    return found
