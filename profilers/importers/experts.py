"""Reads AIConfigurator's tables of routed experts: which rows are the model's, and under which loads."""

from __future__ import annotations

import polars as pl

from specs.model import ModelSpec
from specs.profile import OperatorTable

# SGLang 0.5.6's table holds ten calls: 10.1 times vLLM's same Triton kernel in the median of 2,106 equal rows, and ten
# times what the weights take to stream. Newer versions are taken as they are.
CALLS = {("sglang", "0.5.6.post2"): 10.0}


def expert_tables(frame: pl.DataFrame, model: ModelSpec, dtype: str, engine: str) -> list[OperatorTable]:
    """Latency of a layer's routed experts by tokens, for each TP and EP split, keyed by all ranks and by EP.

    Rows are those of the model's shape at ``dtype``, under the most skewed loads measured; none where it has none.
    """
    moe = model.moe
    assert moe is not None
    calls = CALLS.get((engine, _version(frame)), 1.0)
    rows = frame.filter(
        (pl.col("moe_dtype") == dtype) & (pl.col("hidden_size") == model.hidden)
        & (pl.col("topk") == moe.experts_per_token) & (pl.col("inter_size") == moe.intermediate)
        & (pl.col("num_experts") == moe.experts)
    )  # fmt: skip
    if "kernel_source" in rows.columns and moe.gated:
        rows = rows.filter(~pl.col("kernel_source").str.ends_with("nongated"))
    return [
        _table(part, int(str(split)), int(str(ep)), moe.experts, calls)
        for (split, ep), part in rows.group_by("moe_tp_size", "moe_ep_size", maintain_order=True)
    ]


def _table(rows: pl.DataFrame, split: int, ep: int, experts: int, calls: float) -> OperatorTable:
    counted = _skewed(rows, experts if ep > 1 else 0)
    return OperatorTable(
        operator="moe", tp=split * ep, ep=ep, axes=("tokens",),
        points=tuple((float(count),) for count in counted["num_tokens"]),
        latency_us=tuple(round(float(latency) * 1e3 / calls, 3) for latency in counted["latency"]),
    )  # fmt: skip


def _skewed(rows: pl.DataFrame, experts: int) -> pl.DataFrame:
    """Latency by num_tokens under the most skewed loads.

    While a batch routes fewer rows than the ``experts`` of an EP group (0: no group), the lower latency of all loads:
    the power law there puts whole batches on one rank (a token then costs as without EP), and balanced loads touch as
    many experts as can be; random routing lies below both.
    """
    few = pl.col("num_tokens") * pl.col("topk") <= experts
    kept = rows.filter(few | (pl.col("distribution") == _loads(rows)))
    return kept.group_by("num_tokens").agg(pl.col("latency").min()).sort("num_tokens")


def _loads(rows: pl.DataFrame) -> str:
    """The most skewed distribution of tokens over experts: a power law before balanced loads."""
    return str(rows["distribution"].max())


def expert_notes(
    frame: pl.DataFrame | None, model: ModelSpec, dtype: str, found: list[OperatorTable], version: str
) -> str:
    """What the source's line says of experts: their loads and, if other than ``version``, theirs; or that none are."""
    if model.moe is None:
        return ""
    if frame is None or not any(table.operator == "moe" for table in found):
        return f"; no table of {dtype} experts of this shape"
    own = _version(frame)
    of = "" if own in ("", version) else f" of {own}"
    return f"; experts{of} under {_loads(frame.filter(pl.col('moe_dtype') == dtype))} loads"


def _version(frame: pl.DataFrame) -> str:
    return str(frame["version"][0]) if "version" in frame.columns and len(frame) else ""
