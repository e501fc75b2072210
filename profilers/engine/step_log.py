"""Reads the steps that an engine logged: a CSV of them, or vLLM's log with `--enable-logging-iteration-details`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from profilers.engine.steps import Steps, knots, token_share
from profilers.importers.trace_files import open_trace, read_columns
from specs.errors import InputError
from specs.reading import nearest, read_text
from specs.trace import FloatArray

COLUMNS = ("context_requests", "context_tokens", "generation_requests", "elapsed_ms")
SHARE = "kv_usage_pct"
_LINE = re.compile(
    r"Iteration\(\d+\): (?P<context_requests>\d+) context requests, (?P<context_tokens>\d+) context tokens, "
    r"(?P<generation_requests>\d+) generation requests, \d+ generation tokens, iteration elapsed time: "
    r"(?P<elapsed_ms>[\d.]+) ms(?:, \w+ KV cache usage: (?P<kv_usage_pct>[\d.]+)%)?"
)  # vLLM 0.32, loggers.py


def is_step_log(path: Path) -> bool:
    """Tell whether ``path`` holds logged steps: by its columns, or by the first megabyte of its text."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(2**20).decode("utf-8", "replace")
    head = start.partition("\n")[0].strip().split(",")
    return set(COLUMNS) <= set(head) or _LINE.search(start) is not None


def read_step_log(path: Path, kv_cache_tokens: int | None) -> tuple[Steps, FloatArray, tuple[int, int, int]]:
    """Return the steps, the grid of their tokens, and the most tokens, sequences and context tokens in one.

    ``kv_cache_tokens`` turns the share of the KV cache in use into context; without it context is not told apart.
    Chunks are taken to begin their prompts and to be of equal length, because the log tells no more. Raises
    `InputError`.
    """
    table = _table(path)
    chunks, new, decoding, elapsed_ms, share = (table[:, column] for column in range(5))
    bad = ~np.isfinite(elapsed_ms) | (elapsed_ms <= 0) | (chunks < 0) | (new < 0) | (decoding < 0)
    if bad.any():
        raise InputError(
            f"{path}: step {int(np.argmax(bad)) + 1}: negative, missing or not finite", cure="Correct or drop the row."
        )
    held = np.nan_to_num(share) / 100 * (kv_cache_tokens or 0)
    context = np.where(decoding > 0, held * decoding / np.maximum(decoding + chunks, 1), 0.0)
    grid = knots(float((new + decoding).max()))
    steps = Steps(
        seconds=elapsed_ms * 1e-3, steps=np.ones(len(new)), tokens=token_share(new + decoding, grid),
        sequences=decoding + chunks, context_tokens=context, prompts=chunks,
        pairs=np.where(chunks > 0, new**2 / np.maximum(2 * chunks, 1), 0.0), idle=np.zeros(len(new)),
    )  # fmt: skip
    extents = (int((new + decoding).max()), int((decoding + chunks).max()), max(1, int(context.max())))
    return steps, grid, extents


def _table(path: Path) -> FloatArray:
    """Return [steps, 5] in the order of COLUMNS and the KV share, NaN where that is not given."""
    if path.suffix != ".csv":
        found = [one.groupdict() for one in _LINE.finditer(read_text(path))]
        rows = [[float(one[name] or "nan") for name in (*COLUMNS, SHARE)] for one in found]
        return np.array(rows, dtype=np.float64).reshape(-1, 5)
    import polars as pl

    file = open_trace(path)
    for name in COLUMNS:
        if name not in file.names:
            raise InputError(f"{path}: missing column {name!r}{nearest(name, list(file.names))}", cure="Add it.")
    names = [*COLUMNS, SHARE] if SHARE in file.names else list(COLUMNS)
    frame = read_columns(file, names).select(pl.col(names).cast(pl.Float64, strict=False))
    values: FloatArray = frame.to_numpy()
    return values if len(names) == 5 else np.column_stack([values, np.full(len(values), np.nan)])
