"""Reads traces as OpenTelemetry writes them in JSON: `{"resourceSpans": […]}`, one value or one a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from profilers.importers.spans import Span, kind_of, number, peer_of

TOOL = "OTLP"
NUMBERED = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}  # enum SpanKind of the protocol
ERROR = (2, "STATUS_CODE_ERROR")


def recognises(data: Any) -> bool:
    """Tell whether ``data`` is one export request."""
    return isinstance(data, dict) and isinstance(data.get("resourceSpans"), list)


def is_lines(data: bytes) -> bool:
    """Tell whether ``data`` has one export request a line, as the collector's file exporter writes them."""
    lines = data.split(b"\n", 2)
    return len(lines) > 1 and b'"resourceSpans"' in lines[0] and lines[0].rstrip().endswith(b"}")


def read(data: Any, path: Path) -> list[Span]:
    """Return the spans of one export request; times come in nanoseconds, as numbers or as text."""
    found = []
    for resource in data["resourceSpans"]:
        attributes = _attributes((resource.get("resource") or {}).get("attributes"))
        service = str(attributes.get("service.name") or "unknown")
        scopes = resource.get("scopeSpans") or resource.get("instrumentationLibrarySpans") or []
        found += [_span(span, service, path) for scope in scopes for span in scope.get("spans") or []]
    return found


def _span(span: dict[str, Any], service: str, path: Path) -> Span:
    where = f"span {span['spanId']} of trace {span['traceId']}"
    attributes = _attributes(span.get("attributes"))
    given = span.get("kind")
    kind = kind_of(NUMBERED.get(given, "") if isinstance(given, int) else str(given or "").removeprefix("SPAN_KIND_"))
    start = number(span.get("startTimeUnixNano"), path, where) / 1e3
    end = number(span.get("endTimeUnixNano"), path, where) / 1e3
    return Span(
        trace=str(span["traceId"]), identity=str(span["spanId"]), parent=span.get("parentSpanId") or None, kind=kind,
        service=service, operation=str(span.get("name") or ""), start_us=start, duration_us=max(end - start, 0.0),
        follows=kind == "consumer", peer=peer_of(kind, attributes),
        error=(span.get("status") or {}).get("code") in ERROR,
    )  # fmt: skip


def _attributes(listed: Any) -> dict[str, Any]:
    return {one["key"]: next(iter((one.get("value") or {}).values()), None) for one in listed or []}
