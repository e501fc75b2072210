"""Reads traces of requests: the columns of known forms are recognised, others are mapped by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from profilers.importers.cells import Cells, Unit
from profilers.importers.trace_files import TraceFile, open_trace, read_columns
from specs.errors import InputError
from specs.reading import nearest
from specs.trace import FloatArray, IntArray, Trace

MOONCAKE_BLOCK_TOKENS = 512
"""Prompt tokens per prefix hash in the published Mooncake traces."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """Column names of one published form, with the unit of its arrival column."""

    name: str
    arrival: str
    unit: Unit
    prompt: str
    output: str


FORMS = (
    Form(name="tonnage", arrival="arrival_s", unit="s", prompt="prompt_tokens", output="output_tokens"),
    Form(name="azure", arrival="TIMESTAMP", unit="datetime", prompt="ContextTokens", output="GeneratedTokens"),
    Form(name="seconds", arrival="t_s", unit="s", prompt="input_tokens", output="output_tokens"),
    Form(name="mooncake", arrival="timestamp", unit="ms", prompt="input_length", output="output_length"),
    Form(name="sharegpt-replay", arrival="arrival_time_ns", unit="ns", prompt="input_toks", output="output_toks"),
    Form(name="sharegpt-run", arrival="arrival_time", unit="s", prompt="input_toks", output="output_toks"),
    Form(name="servegen", arrival="timestamp", unit="s", prompt="input_tokens", output="output_tokens"),
    Form(name="burstgpt", arrival="Timestamp", unit="s", prompt="Request tokens", output="Response tokens"),
    Form(name="vidur", arrival="arrived_at", unit="s", prompt="num_prefill_tokens", output="num_decode_tokens"),
)
"""Published forms, tried in this order: Azure LLM inference traces (2023, 2024), Mooncake, the ShareGPT replays of
LLMServingSim, ServeGen's generated requests, BurstGPT, Vidur's replays. [std]"""
ARRIVAL_KEYS: dict[str, Unit] = {
    "arrival_s": "s", "arrival_ms": "ms", "arrival_us": "us", "arrival_ns": "ns", "arrival_at": "datetime",
}  # fmt: skip
OPTIONAL = {
    "session": ("session", "session_id", "conversation_id", "Session ID"),
    "class": ("class", "request_class"),
    "hash_ids": ("hash_ids", "prefix_hashes"),
    "deadline_s": ("deadline_s",),
}
"""Columns that a trace may have, by the names they go under."""
KEYS = (*ARRIVAL_KEYS, "prompt_tokens", "output_tokens", *OPTIONAL)


def read_trace(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    block_tokens: int = MOONCAKE_BLOCK_TOKENS,
    sort: bool = False,
) -> Trace:
    """Read the trace at ``path`` (CSV, CSV.GZ, JSONL, JSONL.GZ, Parquet).

    ``columns`` maps our names (`arrival_s|_ms|_us|_ns|_at`, `prompt_tokens`, `output_tokens`, `session`, `class`,
    `hash_ids`, `deadline_s`) to the file's. ``block_tokens`` is the size of one hashed prefix block. ``sort`` puts an
    unsorted trace in order of arrival, else it is refused. Raises `InputError` naming file, row, column, value, cure.
    """
    file = open_trace(path)
    form, optional = recognise(file, columns or {})
    frame = read_columns(file, [form.arrival, form.prompt, form.output, *optional.values()])
    cells = Cells(file=file, frame=frame)
    arrival_s = cells.times(form.arrival, form.unit)
    deadline_s = _deadlines(cells, form, optional.get("deadline_s"), arrival_s)
    prompt_tokens, output_tokens = cells.tokens(form.prompt), cells.tokens(form.output)
    order = cells.order(arrival_s, form.arrival, sort=sort)
    extra = _extra(cells, optional, prompt_tokens, block_tokens, order)
    notes = () if order is None else ("rows were put in order of arrival",)
    if deadline_s is not None:
        extra["deadline_s"] = (deadline_s if order is None else deadline_s[order]) - arrival_s.min()
    if order is not None:
        arrival_s, prompt_tokens, output_tokens = arrival_s[order], prompt_tokens[order], output_tokens[order]
    return Trace(
        name=file.path.name, sha256=file.sha256, form=form.name, arrival_s=arrival_s - arrival_s[0],
        prompt_tokens=prompt_tokens, output_tokens=output_tokens, notes=notes, **extra,
    )  # fmt: skip


def recognise(file: TraceFile, columns: Mapping[str, str]) -> tuple[Form, dict[str, str]]:
    """Return the form whose columns the file has (after ``columns``), and the optional columns found."""
    _check_mapping(file, columns)
    candidates = [_mapped(form, columns) for form in FORMS]
    for form in candidates:
        if {form.arrival, form.prompt, form.output} <= set(file.names):
            optional = {key: _optional(file, columns, key) for key in OPTIONAL}
            return form, {key: name for key, name in optional.items() if name is not None}
    raise _unrecognised(file, candidates)


def _optional(file: TraceFile, columns: Mapping[str, str], key: str) -> str | None:
    names = (columns[key],) if key in columns else OPTIONAL[key]
    return next((name for name in names if name in file.names), None)


def _mapped(form: Form, columns: Mapping[str, str]) -> Form:
    arrival, unit = form.arrival, form.unit
    for key, key_unit in ARRIVAL_KEYS.items():
        if key in columns:
            arrival, unit = columns[key], key_unit
    prompt = columns.get("prompt_tokens", form.prompt)
    output = columns.get("output_tokens", form.output)
    name = form.name if (arrival, prompt, output) == (form.arrival, form.prompt, form.output) else "mapped"
    return Form(name=name, arrival=arrival, unit=unit, prompt=prompt, output=output)


def _check_mapping(file: TraceFile, columns: Mapping[str, str]) -> None:
    for key, name in columns.items():
        if key not in KEYS:
            raise InputError(
                f"columns: {key!r} is unknown{nearest(key, list(KEYS))}", cure=f"Known: {', '.join(KEYS)}."
            )
        if name not in file.names:
            found = ", ".join(file.names)
            hint = nearest(name, list(file.names))
            raise InputError(f"{file.path}: columns maps {key} to {name!r}, which is not there{hint}; found {found}")
    given = [key for key in ARRIVAL_KEYS if key in columns]
    if len(given) > 1:
        raise InputError(f"columns: both {given[0]} and {given[1]} are given", cure="Keep one.")


def _unrecognised(file: TraceFile, candidates: list[Form]) -> InputError:
    wanted = [(form.arrival, form.prompt, form.output) for form in candidates]
    best = max(wanted, key=lambda names: sum(name in file.names for name in names))
    others = [name for name in file.names if name not in best]
    missing = [f"{name!r}{nearest(name, others)}" for name in best if name not in file.names]
    found = ", ".join(file.names[:12])
    return InputError(
        f"{file.path}: missing column {', '.join(missing)}; found {found}",
        cure="Map them in the workload: arrivals: {trace: …, columns: {arrival_s: …, prompt_tokens: …, "
        "output_tokens: …}}.",
    )


def _extra(
    cells: Cells, optional: Mapping[str, str], prompt_tokens: IntArray, block_tokens: int, order: IntArray | None
) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    rows = slice(None) if order is None else order
    if "session" in optional:
        extra["session"] = cells.codes(optional["session"])[0][rows]
    if "class" in optional:
        codes, names = cells.codes(optional["class"])
        extra |= {"class_index": codes[rows], "class_names": names}
    if "hash_ids" in optional:
        offsets, ids = cells.blocks(optional["hash_ids"], prompt_tokens, block_tokens)
        if order is not None:
            offsets, ids = _reorder(offsets, ids, order)
        extra |= {"hash_offsets": offsets, "hash_ids": ids, "block_tokens": block_tokens}
    return extra


def _deadlines(cells: Cells, form: Form, column: str | None, arrival_s: FloatArray) -> FloatArray | None:
    """When each answer must be complete, on the clock of the arrivals; one that is past on arrival is refused."""
    if column is None:
        return None
    if form.unit != "s":
        raise InputError(
            f"{cells.file.path}: {column} needs arrivals in seconds, {form.arrival} is in {form.unit}",
            cure="Give arrival_s, or leave the deadlines out: the SLO then sets them.",
        )
    deadline_s = cells.times(column, "s")
    cells.refuse(deadline_s <= arrival_s, column, f"a time after {form.arrival}: this deadline is past on arrival")
    return deadline_s


def _reorder(offsets: IntArray, ids: IntArray, order: IntArray) -> tuple[IntArray, IntArray]:
    lengths = np.diff(offsets)[order]
    moved = np.concatenate([[0], np.cumsum(lengths)])
    within = np.arange(moved[-1]) - np.repeat(moved[:-1], lengths)
    return moved, ids[np.repeat(offsets[:-1][order], lengths) + within]
