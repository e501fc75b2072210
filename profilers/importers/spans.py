"""Spans of distributed traces in one form for all tools, and which module reads which file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from specs.errors import InputError

SpanKind = Literal["server", "client", "producer", "consumer", "internal"]
KINDS: tuple[SpanKind, ...] = ("server", "client", "producer", "consumer", "internal")
PEERS = ("peer.service", "db.system", "db.system.name", "messaging.system")
"""Attributes that name what a client span called, best first (OpenTelemetry semantic conventions)."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span. Times in µs since 1970; ``follows``: its parent did not wait for it; ``peer``: whom it called."""

    trace: str
    identity: str
    parent: str | None
    service: str
    operation: str
    start_us: float
    duration_us: float
    kind: SpanKind | None = None
    follows: bool = False
    peer: str | None = None
    error: bool = False

    @property
    def end_us(self) -> float:
        """When it ended."""
        return self.start_us + self.duration_us


@dataclass(frozen=True, kw_only=True)
class SpanFile:
    """The spans of one or several files, and what the readers left out."""

    spans: tuple[Span, ...]
    notes: tuple[str, ...] = field(default=())


def read_spans(paths: list[Path]) -> SpanFile:
    """Read trace files of Jaeger, Zipkin or OTLP (JSON, plain or gzipped); the form is told from what a file holds.

    Raises `InputError` for a file that is cut off, of another form, or without a span.
    """
    spans: list[Span] = []
    notes: list[str] = []
    for path in paths:
        found = _read(path, notes)
        if not found:
            raise InputError(f"{path}: holds no span", cure="Export traces that have finished.")
        spans += found
    return SpanFile(spans=tuple(spans), notes=tuple(notes))


def kind_of(name: object) -> SpanKind | None:
    """Return the kind that a tool spells in any case, or None."""
    lower = str(name or "").lower()
    return next((kind for kind in KINDS if kind == lower), None)


def peer_of(kind: SpanKind | None, attributes: dict[str, Any]) -> str | None:
    """Return whom a client or producer span called, where its attributes say so."""
    if kind not in ("client", "producer"):
        return None
    return next((str(attributes[key]) for key in PEERS if attributes.get(key)), None)


def number(value: object, path: Path, where: str) -> float:
    """Return a time of a span as a number ≥ 0; raises `InputError` naming the span where it is none."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = -1.0
    if not 0.0 <= found < 1e20:
        raise InputError(f"{path}: {where}: expected a time, found {value!r}", cure="Export the traces again.")
    return found


def _read(path: Path, notes: list[str]) -> list[Span]:
    from profilers.importers import jaeger, otlp, zipkin
    from profilers.importers.json_files import json_lines, parse_json, read_bytes

    data = read_bytes(path)
    if otlp.is_lines(data):
        return [span for value in json_lines(data, path, notes) for span in otlp.read(value, path)]
    value = parse_json(data, path)
    for module in (jaeger, otlp, zipkin):
        if module.recognises(value):
            try:
                found: list[Span] = module.read(value, path)
            except (AttributeError, KeyError, TypeError) as error:
                what = f"breaks the form of {module.TOOL}: {type(error).__name__}: {error}"
                raise InputError(f"{path}: {what}", cure="Export the traces again.") from None
            return found
    keys = ", ".join(list(value)[:6]) if isinstance(value, dict) else type(value).__name__
    raise InputError(f"{path}: not a known trace file (it holds {keys})", cure="Known: Jaeger, Zipkin, OTLP JSON.")
