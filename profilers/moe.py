"""Expert popularity per layer from a router log: counts per expert, or the experts that single tokens chose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from profilers.importers.trace_files import TraceFile, open_trace, read_columns
from specs.base import Metadata
from specs.errors import InputError
from specs.experts import ExpertProfile, ExpertProfileSpec, LayerExperts
from specs.model import ModelSpec
from specs.profile import Machine
from specs.reading import nearest

COLUMNS: dict[str, tuple[str, ...]] = {
    "layer": ("layer", "layer_id", "layer_idx"),
    "expert": ("expert", "expert_id", "expert_idx", "experts", "expert_ids", "topk_ids"),
    "count": ("count", "tokens", "token_count"),
}
"""What each column may be called; the first that a file has counts."""
MOST = 100_000  # layers or experts of a model: a larger index is a mistake
HOT = 0.1
DIGITS = 4
COMMAND = "tonnage profile moe"
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Log:
    """A router log: one element per assignment of tokens to an expert; ``per_token``: experts that each row lists."""

    row: IntArray
    layer: IntArray
    expert: IntArray
    count: IntArray
    form: str
    per_token: int | None


def profile_experts(path: Path, model: ModelSpec | None = None, experts: int | None = None) -> ExpertProfile:
    """Read the router log at ``path`` (CSV, JSON lines or Parquet; gzip of the first two) and count by layer.

    Columns: `layer`, `expert` and `count`; or, without `count`, one row per token and expert, or a list of experts per
    row. The number of experts is that of ``model``, else ``experts``, else the largest index + 1. Raises `InputError`
    naming the row for what is missing, no whole number, negative, or not an expert of the model; and for a layer whose
    counts are all 0, which has no popularity.
    """
    file = open_trace(path)
    log = _read(file)
    number = _number_of_experts(path, log, model, experts)
    layers = np.unique(log.layer)
    found = tuple(_layer(path, int(layer), log, number) for layer in layers)
    per_token = model.moe.experts_per_token if model is not None and model.moe else log.per_token
    spec = ExpertProfileSpec(
        model=model.name if model else None,
        experts=number,
        experts_per_token=per_token,
        form="tokens" if log.form == "tokens" else "counts",
        source=path.name,
        sha256=file.sha256,
        machine=Machine(command=COMMAND),
        layers=found,
    )
    name = f"{model.name}-experts" if model else f"{path.name.split('.')[0]}-experts"
    return ExpertProfile(metadata=Metadata(name=name), spec=spec)


def layer_experts(layer: int, counts: Sequence[int]) -> LayerExperts:
    """Return the popularity of one layer from the tokens sent to each expert; ValueError where all are 0.

    ``effective`` is e to the entropy of the shares [std: Hill number of order 1]. ``sampling_error`` is
    ½ Σ √(2 p (1 − p) / (π n)), the expected total variation of n independent draws [ours, normal approximation]; tokens
    of one request choose alike, so it is a lower bound.
    """
    tokens = np.asarray(counts, dtype=np.int64)
    total = int(tokens.sum())
    if total == 0:
        raise ValueError(f"layer {layer}: every count is 0")
    shares = tokens / total
    chosen = shares[shares > 0]
    hottest = math.ceil(HOT * len(shares))
    return LayerExperts(
        layer=layer,
        assignments=total,
        counts=tuple(int(one) for one in tokens),
        imbalance=_rounded(shares.max() * len(shares)),
        effective=_rounded(math.exp(-float(np.sum(chosen * np.log(chosen))))),
        hot_share=_rounded(np.sort(shares)[-hottest:].sum()),
        never=int(np.sum(tokens == 0)),
        sampling_error=_rounded(float(np.sum(np.sqrt(2 * shares * (1 - shares) / (math.pi * total)))) / 2),
    )


def _layer(path: Path, layer: int, log: Log, experts: int) -> LayerExperts:
    here = log.layer == layer
    counts = np.zeros(experts, dtype=np.int64)
    np.add.at(counts, log.expert[here], log.count[here])
    if not counts.any():
        cure = "Leave the layer out, or log it while tokens pass."
        raise InputError(f"{path}: layer {layer}: every count is 0, so no expert has a share", cure=cure)
    return layer_experts(layer, counts.tolist())


def _number_of_experts(path: Path, log: Log, model: ModelSpec | None, experts: int | None) -> int:
    largest = int(log.expert.max())
    if model is not None and model.moe is None:
        raise InputError(f"{model.name} has no experts", cure="Name a mixture-of-experts model, or leave --model out.")
    stated = model.moe.experts if model is not None and model.moe else experts
    if stated is not None and largest >= stated:
        row = int(log.row[np.argmax(log.expert == largest)])
        who = model.name if model else "the model"
        cure = "Experts are counted from 0. Check --model or --experts."
        raise InputError(f"{path}: row {row}: expert {largest}, but {who} has {stated} experts", cure=cure)
    return stated or largest + 1


def _read(file: TraceFile) -> Log:
    layer, expert = (_column(file, wanted) for wanted in ("layer", "expert"))
    count = next((name for name in COLUMNS["count"] if name in file.names), None)
    frame = read_columns(file, [layer, expert, *([count] if count else [])])
    listed = frame.schema[expert] == pl.List
    if listed and count:
        raise InputError(f"{file.path}: a row lists experts and has a count", cure="Give the one or the other.")
    per_token = None
    if listed:
        lengths = frame[expert].list.len()
        _refuse(file, frame, lengths.fill_null(0) == 0, expert, "no experts where a list of them was expected")
        per_token = int(lengths[0]) if lengths.n_unique() == 1 else None
        frame = frame.explode(expert)
    ones = np.ones(frame.height, dtype=np.int64)
    return Log(
        row=frame["row"].to_numpy().astype(np.int64),
        layer=_whole(file, frame, layer, MOST),
        expert=_whole(file, frame, expert, MOST),
        count=_whole(file, frame, count, 2**53) if count else ones,
        form="counts" if count else "tokens",
        per_token=per_token,
    )


def _column(file: TraceFile, wanted: str) -> str:
    for name in COLUMNS[wanted]:
        if name in file.names:
            return name
    close = nearest(wanted, list(file.names))
    raise InputError(
        f"{file.path}: column {wanted!r} is missing; it has {', '.join(file.names[:8])}{close}",
        cure="A router log has layer,expert,count; or layer,expert per token; or a list of experts per row.",
    )


def _whole(file: TraceFile, frame: pl.DataFrame, name: str, most: float) -> IntArray:
    """Return a column of whole numbers from 0 to ``most``; raises `InputError` for the first row that is none."""
    numbers = frame[name].cast(pl.Float64, strict=False)
    broken = ~(numbers.is_finite() & (numbers >= 0) & (numbers <= most) & (numbers == numbers.floor())).fill_null(False)
    _refuse(file, frame, broken, name, f"{{found}} where a whole number from 0 to {most:.0f} was expected")
    return numbers.to_numpy().astype(np.int64)


def _refuse(file: TraceFile, frame: pl.DataFrame, broken: pl.Series, name: str, what: str) -> None:
    if not broken.any():
        return
    first = frame.filter(broken).row(0, named=True)
    cell = "nothing" if first[name] is None else repr(first[name])
    message = f"{file.path}: row {first['row']}: {name}: found {what.format(found=cell)}"
    raise InputError(message, cure="Take the row out, or log it again; nothing is counted in part.")


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
