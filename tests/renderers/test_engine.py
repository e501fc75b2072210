"""The table of an engine's profile shows steps that its model gives, its error and its notes."""

from __future__ import annotations

import io

from rich.console import Console

from renderers.engine import engine_table
from specs.base import Metadata
from specs.engine import ConcurrencyLevel, EngineProfile, EngineProfileSpec, Fit, Latency, StepModel, StepRange

OF_CONTEXT = ("decoding", "at", "512", "tokens", "of", "context")
SPENT = Latency(mean=0.25, p50=0.2, p90=1.5, p99=2.0)
PROFILE = EngineProfile(
    metadata=Metadata(name="tiny-on-vllm"),
    spec=EngineProfileSpec(
        model="tiny", engine="vllm", source="probes of http://h:1", notes=("the machine drifts",), knee=4,
        steps=StepModel(base_s=0.01, tokens=(0, 1, 129), tokens_s=(0, 0, 0.128), per_context_token_s=1e-6),
        range=StepRange(tokens=128, sequences=4, context_tokens=100),
        fit=Fit(seen="probes", observations=99, folds=5, block_steps=16, error=0.071, bias=0.01, median_step_error=0.1),
        levels=(ConcurrencyLevel(concurrency=4, requests=12, failed=1, prompt_tokens=9, output_tokens=9, ttft_s=SPENT,
                                 itl_s=None, tokens_per_s=321.4),),
    ),
)  # fmt: skip


def shown() -> list[list[str]]:
    console = Console(width=100, file=io.StringIO())
    with console.capture() as capture:
        console.print(engine_table(PROFILE))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 100
    return [line.split() for line in text.splitlines()]


def test_steps_error_levels_and_notes_are_shown() -> None:
    rows = shown()
    assert ["1", *OF_CONTEXT, "10.5"] in rows
    assert ["4", *OF_CONTEXT, "15.0"] in rows
    assert ["prompt", "of", "128", "tokens", "137.0"] in rows
    assert ["4", "12", "1", "250.0", "1500", "-", "-", "321"] in rows
    assert ["note:", "the", "machine", "drifts"] in rows
    assert any(row[:1] == ["error"] and "7.1" in row for row in rows)
