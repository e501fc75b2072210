"""Reads inference-perf's reports: per-request life cycles, or the summary of a run or stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from profilers.importers.listed import listed, numbers
from specs.measured import Measured, Statistics

TOOL = "inference-perf"
NAMES = {"mean": "mean", "p50": "median", "p90": "p90", "p95": "p95", "p99": "p99"}
FIGURES = {"ttft_s": "time_to_first_token", "tpot_s": "time_per_output_token", "e2e_s": "request_latency"}


def recognises(data: Any) -> bool:
    """Tell whether ``data`` is a list of request life cycles, or a life-cycle summary."""
    if isinstance(data, list):
        return bool(data) and isinstance(data[0], dict) and {"start_time", "end_time", "info"} <= data[0].keys()
    return isinstance(data, dict) and "load_summary" in data and "successes" in data


def read(data: Any, *, name: str, sha256: str, part: int, folder: Path) -> Measured:
    """Return the run. Output tokens are those the server counted where it did, else the client's.

    The tool's own TPOT divides by the client's count of tokens, which differs where its tokenizer splits otherwise;
    where requests are listed it is (last token − first)/(n − 1) of the server's count. [ours]
    """
    if isinstance(data, dict):
        return _summary(data, name, sha256)
    good = [entry for entry in data if not entry.get("error")]
    rows = [row for row in map(_row, good) if row is not None]
    failed = len(data) - len(rows)
    notes = [f"{failed} requests failed or have no token times and are left out"] if failed else []
    count, figures, rate = _whole_run(folder, len(data))
    return listed(
        rows, name=name, tool=TOOL, sha256=sha256, count=max(count - failed, len(rows)), timed=True,
        figures=figures, notes=notes, rate_per_s=rate or _rate(rows),
    )  # fmt: skip


def _row(entry: dict[str, Any]) -> tuple[float, ...] | None:
    info = entry.get("info") or {}
    response = info.get("response_metrics") or {}
    times = response.get("output_token_times") or response.get("chunk_times") or info.get("output_token_times") or []
    usage = response.get("server_usage") or {}
    prompt = usage.get("prompt_tokens") or info.get("input_tokens")
    output = usage.get("completion_tokens") or response.get("output_tokens") or info.get("output_tokens")
    if not times or not prompt or not output:
        return None
    start = entry["start_time"]
    return (start, prompt, output, times[0] - start, times[-1] - start)


def _whole_run(folder: Path, listed_count: int) -> tuple[int, dict[str, Statistics], float | None]:
    """Count, statistics and rate of the run from the summary beside the file, where the list was cut."""
    path = folder / "summary_lifecycle_metrics.json"
    if not path.is_file():
        return listed_count, {}, None
    successes = json.loads(path.read_text(encoding="utf-8")).get("successes", {})
    count = int(successes.get("count", listed_count))
    if count <= listed_count:
        return listed_count, {}, None
    return count, _figures(successes), (successes.get("throughput") or {}).get("requests_per_sec")


def _figures(successes: dict[str, Any]) -> dict[str, Statistics]:
    latency = successes.get("latency") or {}
    return {ours: numbers(latency.get(theirs) or {}, NAMES, 1.0) for ours, theirs in FIGURES.items()}


def _summary(data: dict[str, Any], name: str, sha256: str) -> Measured:
    from dataclasses import replace

    import numpy as np

    successes = data["successes"]
    rate = (successes.get("throughput") or {}).get("requests_per_sec")
    notes = ("only statistics are given: every request gets the mean lengths, arrivals are Poisson at the mean rate",)
    measured = listed(
        [], name=name, tool=TOOL, sha256=sha256, count=int(successes.get("count", 0)), timed=False,
        figures=_figures(successes), notes=notes, rate_per_s=rate,
    )  # fmt: skip
    prompt = max(1, round((successes.get("prompt_tokens") or {}).get("mean") or 1))
    output = max(1, round((successes.get("output_tokens") or successes.get("output_len") or {}).get("mean") or 1))
    return replace(measured, prompt_tokens=np.array([prompt]), output_tokens=np.array([output]))


def _rate(rows: list[tuple[float, ...]]) -> float | None:
    starts = sorted(row[0] for row in rows)
    span_s = starts[-1] - starts[0] if starts else 0.0
    return (len(starts) - 1) / span_s if span_s > 0 else None
