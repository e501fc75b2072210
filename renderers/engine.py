"""The table of `tonnage profile engine`: what the endpoint is, its step model with examples, and latency by load."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from specs.engine import ConcurrencyLevel, EngineProfile, EngineProfileSpec, StepModel

EXAMPLE_CONTEXT = 512  # tokens of each decoding sequence in the examples


def engine_table(profile: EngineProfile) -> Group:
    """Return the engine, its fit and error, example steps, the levels of concurrency, and the notes."""
    spec = profile.spec
    facts = Table(box=None, pad_edge=False, show_header=False, padding=(0, 3, 0, 0))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(spec):
        facts.add_row(name, value)
    parts: list[RenderableType] = [Text(profile.metadata.name, style="bold"), Text(), facts, Text(), _steps(spec)]
    if spec.levels:
        parts += [Text(), _levels(spec)]
    return Group(*parts, *(Text(f"note: {note}", style="yellow") for note in spec.notes))


def _facts(spec: EngineProfileSpec) -> Iterator[tuple[str, str]]:
    server, fit = spec.server, spec.fit
    yield "engine", f"{spec.engine} {spec.engine_version or '(version not told)'}, {spec.source}"
    yield "model", f"{spec.model}{f' on {spec.device}' if spec.device else ''}"
    if server.kv_cache_tokens:
        yield "KV cache", f"{server.kv_cache_tokens:,} tokens"
    what = "steps" if fit.seen != "requests" else "spans of requests"
    yield "fitted to", f"{fit.observations} {what}, tokens ≤ {spec.range.tokens}, sequences ≤ {spec.range.sequences}"
    over = f"means of {fit.block_steps} steps" if fit.block_steps > 1 else "means over one request"
    yield "error", f"90 % of {over} within ± {100 * fit.error:.1f} %, out of fold (bias {100 * fit.bias:+.1f} %)"
    if spec.request_overhead_s is not None:
        yield "overhead", f"{1e3 * spec.request_overhead_s:.1f} ms per request before its first step"
    if spec.levels:
        yield "knee", f"{spec.knee} in flight" if spec.knee else "not reached"


def _steps(spec: EngineProfileSpec) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("step")
    table.add_column("ms", justify="right")
    batch = 1
    while batch <= spec.range.sequences:
        table.add_row(f"{batch} decoding at {EXAMPLE_CONTEXT} tokens of context", _ms(_decode_s(spec.steps, batch)))
        batch *= 4
    chunk = 128
    while chunk <= spec.range.tokens:
        table.add_row(f"prompt of {chunk} tokens", _ms(_prefill_s(spec.steps, chunk)))
        chunk *= 4
    return table


def _decode_s(model: StepModel, batch: int) -> float:
    spent_s = batch * (model.per_sequence_s + EXAMPLE_CONTEXT * model.per_context_token_s)
    return model.base_s + _curve_s(model, batch) + spent_s


def _prefill_s(model: StepModel, chunk: int) -> float:
    spent_s = model.per_sequence_s + model.per_prompt_s + chunk**2 / 2 * model.per_attended_pair_s
    return model.base_s + _curve_s(model, chunk) + spent_s


def _curve_s(model: StepModel, tokens: int) -> float:
    """The token curve inside its range."""
    points = list(zip(model.tokens, model.tokens_s, strict=True))
    for (low, low_s), (high, high_s) in pairwise(points):
        if tokens <= high:
            return low_s + (tokens - low) / (high - low) * (high_s - low_s)
    return model.tokens_s[-1]


def _levels(spec: EngineProfileSpec) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in ("in flight", "requests", "failed", "TTFT mean", "p90", "gap mean", "p90 ms", "tokens/s"):
        table.add_column(column, justify="right")
    for level in spec.levels:
        table.add_row(*_level(level))
    return table


def _level(one: ConcurrencyLevel) -> tuple[str, ...]:
    gaps = (_ms(one.itl_s.mean), _ms(one.itl_s.p90)) if one.itl_s else ("-", "-")
    counts = (str(one.concurrency), str(one.requests), str(one.failed))
    return (*counts, _ms(one.ttft_s.mean), _ms(one.ttft_s.p90), *gaps, f"{one.tokens_per_s:.0f}")


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}" if seconds < 1 else f"{1e3 * seconds:.0f}"
