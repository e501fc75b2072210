"""Puts an engine's fitted steps and what is known of it into the document."""

from __future__ import annotations

from dataclasses import dataclass, field

from profilers.engine.fitting import Fitted
from profilers.host.reading import this_machine
from specs.base import Metadata, Precision
from specs.deployment import Parallel
from specs.engine import ConcurrencyLevel, EngineProfile, EngineProfileSpec, ServerFacts, StepRange
from specs.profile import Repeats

COMMAND = "tonnage profile engine"
Extents = tuple[int, int, int]
"""The most tokens, sequences and context tokens of one step."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What the operator says of the engine; ``model`` and ``device`` are the names that Deployments use."""

    model: str | None = None
    device: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    parallel: Parallel = field(default_factory=Parallel)
    weights: Precision | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_tokens: int | None = None


def engine_document(
    labels: Labels,
    fitted: Fitted,
    extents: Extents,
    source: str,
    *,
    server: ServerFacts,
    notes: list[str],
    levels: tuple[ConcurrencyLevel, ...] = (),
    knee: int | None = None,
    noise: float | None = None,
    inputs: dict[str, str] | None = None,
    url: str | None = None,
    probed: dict[str, float] | None = None,
    repeats: tuple[Repeats, ...] = (),
) -> EngineProfile:
    """Return the profile of the engine that ``labels`` name; ``noise``: relative spread of one stream's gaps."""
    machine = this_machine(COMMAND, packages=()).model_copy(update={"noise": noise})
    engine, model = labels.engine or "unknown", labels.model or "unknown"
    overhead_s = fitted.request_overhead_s
    spec = EngineProfileSpec(
        model=model, device=labels.device, engine=engine, engine_version=labels.engine_version,
        parallel=labels.parallel, weights=labels.weights, max_num_batched_tokens=labels.max_num_batched_tokens,
        source=source, machine=machine, server=server, steps=fitted.model, fit=fitted.fit, levels=levels, knee=knee,
        range=StepRange(tokens=extents[0], sequences=extents[1], context_tokens=extents[2]), notes=tuple(notes),
        url=url, probed=probed or {}, repeats=repeats,
        request_overhead_s=None if overhead_s is None else float(f"{overhead_s:.4g}"),
    )  # fmt: skip
    name = f"{model.replace('/', '-')}-on-{labels.device or engine}"
    return EngineProfile(metadata=Metadata(name=name, created=machine.date, inputs=inputs or {}), spec=spec)
