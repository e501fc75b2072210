"""Reads the result file of `vllm bench serve --save-result`, with or without `--save-detailed`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from profilers.importers.listed import listed, numbers
from specs.errors import InputError
from specs.measured import Measured

TOOL = "vllm bench serve"
SUFFIXES = {"ttft_s": "ttft_ms", "tpot_s": "tpot_ms", "e2e_s": "e2el_ms"}


def recognises(data: Any) -> bool:
    """Tell whether ``data`` is such a file."""
    return isinstance(data, dict) and "completed" in data and "total_output_tokens" in data


def read(data: Any, *, name: str, sha256: str, part: int, folder: Path) -> Measured:
    """Return the run; TPOT is (latency − TTFT)/(output − 1), latency the TTFT and all gaps where it is not listed.

    Requests with an error are left out, and a note counts them. Files without start times (older versions) say
    only the rate asked for. Raises `InputError` where lists disagree in length.
    """
    rows, timed, failed = _rows(data, name)
    notes = [f"{failed} requests failed and are left out"] if failed else []
    count = int(data["completed"])
    if not rows and data.get("total_input_tokens"):
        notes.append("only totals are given: every request gets the mean lengths")
    figures = {
        figure: numbers(data, _names(suffix), 1e-3) for figure, suffix in SUFFIXES.items()
    }  # fmt: skip
    rate = _rate(data, count)
    measured = listed(
        rows, name=name, tool=TOOL, sha256=sha256, count=count, timed=timed, figures=figures, notes=notes,
        rate_per_s=rate, cv=_cv(data), concurrency=data.get("max_concurrency"),
    )  # fmt: skip
    return measured if rows else _with_means(measured, data, count)


def _rows(data: Any, name: str) -> tuple[list[tuple[float, ...]], bool, int]:
    lists = [data.get(key) for key in ("input_lens", "output_lens", "ttfts")]
    if not all(isinstance(values, list) for values in lists):
        return [], False, 0
    starts = data.get("start_times")
    timed = isinstance(starts, list)
    latencies = _latencies(data, name)
    errors = data.get("errors") or [""] * len(lists[0])
    columns = [starts if timed else [0.0] * len(lists[0]), *lists, latencies, errors]
    if len({len(column) for column in columns}) != 1:
        raise InputError(
            f"{name}: its lists differ in length ({', '.join(str(len(column)) for column in columns)})",
            cure="Use the file as the tool wrote it.",
        )
    kept = [row[:5] for row in zip(*columns, strict=True) if not row[5] and row[2] > 0]
    return kept, timed, len(lists[0]) - len(kept)


def _latencies(data: Any, name: str) -> list[float]:
    if isinstance(data.get("latencies"), list):
        return list(data["latencies"])
    if not isinstance(data.get("itls"), list):
        raise InputError(f"{name}: has neither latencies nor itls", cure="Run with --save-detailed.")
    return [ttft + sum(gaps) for ttft, gaps in zip(data["ttfts"], data["itls"], strict=False)]


def _names(suffix: str) -> dict[str, str]:
    return {"mean": f"mean_{suffix}", "p50": f"median_{suffix}"} | {
        f"p{q}": f"p{q}_{suffix}" for q in (90, 95, 99)
    }  # fmt: skip


def _rate(data: Any, count: int) -> float | None:
    asked = data.get("request_rate")
    try:
        rate = float(asked) if asked is not None else math.inf
    except ValueError:
        rate = math.inf
    return rate if math.isfinite(rate) and rate > 0 else None


def _cv(data: Any) -> float:
    burstiness = data.get("burstiness") or 1.0  # the shape of its gamma gaps
    return float(1 / math.sqrt(burstiness))


def _with_means(measured: Measured, data: Any, count: int) -> Measured:
    from dataclasses import replace

    import numpy as np

    prompt = max(1, round(data.get("total_input_tokens", 0) / count))
    output = max(1, round(data.get("total_output_tokens", 0) / count))
    return replace(measured, prompt_tokens=np.array([prompt]), output_tokens=np.array([output]))
