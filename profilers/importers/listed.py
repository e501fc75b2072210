"""What the importers of benchmark results share: statistics of listed requests, and fields checked on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from specs.errors import InputError
from specs.measured import STATISTICS, Measured, Statistics
from specs.trace import FloatArray


def statistics_of(values: FloatArray) -> Statistics:
    """Mean and percentiles (linear between order statistics) of the defined values; empty where none is. [std]"""
    defined = values[np.isfinite(values)]
    if defined.size == 0:
        return {}
    percentiles = np.quantile(defined, (0.5, 0.9, 0.95, 0.99))
    return dict(zip(STATISTICS, (float(defined.mean()), *map(float, percentiles)), strict=True))


def figures_of(ttft_s: FloatArray, tpot_s: FloatArray, e2e_s: FloatArray) -> dict[str, Statistics]:
    """Statistics of the three latencies."""
    return {"ttft_s": statistics_of(ttft_s), "tpot_s": statistics_of(tpot_s), "e2e_s": statistics_of(e2e_s)}


def numbers(source: Mapping[str, Any], names: Mapping[str, str], scale: float) -> Statistics:
    """Pick statistics out of ``source`` (``names``: ours to theirs), each times ``scale``; absent ones are left out."""
    found = {ours: source.get(theirs) for ours, theirs in names.items()}
    return {name: float(value) * scale for name, value in found.items() if isinstance(value, int | float)}


def listed(
    rows: Sequence[Sequence[float]], *, name: str, tool: str, sha256: str, count: int, timed: bool,
    figures: Mapping[str, Statistics], notes: Sequence[str], rate_per_s: float | None, cv: float = 1.0,
    concurrency: int | None = None,
) -> Measured:  # fmt: skip
    """Put rows of (arrival or 0, prompt, output, TTFT, end-to-end; seconds) into one `Measured`.

    ``timed``: the arrivals are real. ``figures`` are the tool's own; those it lacks are taken from the rows. Raises
    `InputError` where there is neither a row nor a figure, or where a row breaks sense.
    """
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 5)
    if count < 1 or (table.size == 0 and not any(figures.values())):
        raise InputError(f"{name}: holds no completed request", cure="Run the benchmark again.")
    wrong = ~np.isfinite(table).all(axis=1) | (table[:, 1:3] < 1).any(axis=1) | (table[:, 3:] <= 0).any(axis=1)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(
            f"{name}: request {at + 1}: prompt {table[at, 1]:g}, output {table[at, 2]:g}, TTFT {table[at, 3]:g} s, "
            f"end-to-end {table[at, 4]:g} s",
            cure="Lengths are 1 or more and times above zero: is this a whole result file?",
        )
    table = table[np.argsort(table[:, 0], kind="stable")]
    arrival_s, prompt, output, ttft_s, e2e_s = table.T
    tpot_s = np.where(output > 1, (e2e_s - ttft_s) / np.maximum(output - 1, 1), np.nan)
    own = figures_of(ttft_s, tpot_s, e2e_s)
    whole = len(table) == count
    merged = {figure: own[figure] if whole or not figures.get(figure) else dict(figures[figure]) for figure in own}
    if not whole:
        notes = (*notes, f"the file lists {len(table)} of {count} requests; figures are those of the whole run")
    return Measured(
        name=name, tool=tool, sha256=sha256, count=count, prompt_tokens=prompt.astype(np.int64),
        output_tokens=output.astype(np.int64), ttft_s=ttft_s, tpot_s=tpot_s, e2e_s=e2e_s,
        arrival_s=arrival_s - arrival_s[0] if timed and len(table) else None, figures=merged,
        rate_per_s=rate_per_s, cv=cv, concurrency=concurrency, notes=tuple(notes),
    )  # fmt: skip
