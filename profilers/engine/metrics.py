"""Reads Prometheus' text form, and what vLLM, SGLang, TGI and llama.cpp say in it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from specs.engine import ServerFacts

Kind = Literal["vllm", "sglang", "tgi", "llama.cpp"]
_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
PREFIXES: dict[str, Kind] = {"vllm:": "vllm", "sglang:": "sglang", "tgi_": "tgi", "llamacpp:": "llama.cpp"}
RUNNING = {
    "vllm": "vllm:num_requests_running", "sglang": "sglang:num_running_reqs", "tgi": "tgi_batch_current_size",
    "llama.cpp": "llamacpp:requests_processing",
}  # fmt: skip
WAITING = {
    "vllm": "vllm:num_requests_waiting", "sglang": "sglang:num_queue_reqs", "tgi": "tgi_queue_size",
    "llama.cpp": "llamacpp:requests_deferred",
}  # fmt: skip
SERVED = {"vllm": "vllm:request_success_total", "sglang": "sglang:num_requests_total", "tgi": "tgi_request_success"}
PREEMPTED = {"vllm": "vllm:num_preemptions_total"}


@dataclass(frozen=True)
class Sample:
    """One sample: its labels and value."""

    labels: dict[str, str]
    value: float


Samples = dict[str, list[Sample]]


def parse_metrics(text: str) -> Samples:
    """Return the samples of each name; lines that are none are left out [std: Prometheus text format 0.0.4]."""
    found: Samples = {}
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line.strip()) if line and not line.startswith("#") else None
        if match is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        found.setdefault(match[1], []).append(Sample(dict(_LABEL.findall(match[2] or "")), value))
    return found


def kind_of(samples: Samples) -> Kind | None:
    """Return which server writes these metrics."""
    return next((kind for prefix, kind in PREFIXES.items() if any(name.startswith(prefix) for name in samples)), None)


def total(samples: Samples, name: str | None) -> float | None:
    """Return the sum of all finite samples of ``name``, None where there is none."""
    values = [one.value for one in samples.get(name or "", []) if math.isfinite(one.value)]
    return sum(values) if values else None


def grown(before: Samples, after: Samples, name: str | None) -> float | None:
    """Return by how much the counter ``name`` grew; None where it is absent or was reset meanwhile."""
    first, last = total(before, name), total(after, name)
    return last - first if first is not None and last is not None and last >= first else None


def facts_of(before: Samples, after: Samples, during: list[Samples], sent: int) -> ServerFacts:
    """Return what the metrics say of the server before, while and after ``sent`` requests ran on it."""
    kind = kind_of(after)
    if kind is None:
        return ServerFacts()
    tokens, block = _kv_cache(after, kind)
    served = grown(before, after, SERVED.get(kind))
    return ServerFacts(
        kind=kind, kv_cache_tokens=tokens, block_size_tokens=block,
        preemptions=grown(before, after, PREEMPTED.get(kind)), prefix_hit_ratio=_hit_ratio(before, after, kind),
        most_running=_most(during, RUNNING[kind]), most_waiting=_most(during, WAITING[kind]),
        other_requests=None if served is None else max(0.0, served - sent),
    )  # fmt: skip


def _most(during: list[Samples], name: str) -> float | None:
    values = [value for samples in during if (value := total(samples, name)) is not None]
    return max(values) if values else None


def _kv_cache(samples: Samples, kind: Kind) -> tuple[int | None, int | None]:
    """Return the tokens that the KV cache holds and the tokens of a block."""
    if kind == "sglang":
        tokens = total(samples, "sglang:max_total_num_tokens")
        return (int(tokens) if tokens else None), None
    for one in samples.get("vllm:cache_config_info", []):
        blocks, block = one.labels.get("num_gpu_blocks", ""), one.labels.get("block_size", "")
        if blocks.isdecimal() and block.isdecimal() and int(blocks) * int(block) > 0:
            return int(blocks) * int(block), int(block)
    return None, None


def _hit_ratio(before: Samples, after: Samples, kind: Kind) -> float | None:
    if kind == "sglang":
        return total(after, "sglang:cache_hit_rate")
    hits = grown(before, after, "vllm:prefix_cache_hits_total")
    queries = grown(before, after, "vllm:prefix_cache_queries_total")
    return hits / queries if hits is not None and queries else None
