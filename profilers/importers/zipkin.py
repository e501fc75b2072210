"""Reads traces as Zipkin's API v2 gives them: a list of spans, or a list of such lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from profilers.importers.spans import Span, kind_of, number, peer_of

TOOL = "Zipkin"
SHARED = "/server"  # added to the id of a server span that shares its client's


def recognises(data: Any) -> bool:
    """Tell whether ``data`` is a list of spans or of traces."""
    first = data[0] if isinstance(data, list) and data else None
    first = first[0] if isinstance(first, list) and first else first
    return isinstance(first, dict) and "traceId" in first and "id" in first


def read(data: Any, path: Path) -> list[Span]:
    """Return the spans. A server span that shares its client's id (B3 propagation) becomes that client's child."""
    rows = [row for part in data for row in (part if isinstance(part, list) else [part])]
    spans = [_span(row, path) for row in rows]
    servers = {(span.trace, span.identity.removesuffix(SHARED)): span for span in spans if _is_shared(span)}
    return [_below_server(span, servers) for span in spans]


def _span(row: dict[str, Any], path: Path) -> Span:
    where = f"span {row['id']} of trace {row['traceId']}"
    tags, kind = row.get("tags") or {}, kind_of(row.get("kind"))
    shared, identity = bool(row.get("shared")), str(row["id"])
    remote = (row.get("remoteEndpoint") or {}).get("serviceName") if kind in ("client", "producer") else None
    return Span(
        trace=str(row["traceId"]), identity=identity + SHARED if shared else identity,
        parent=identity if shared else (str(row["parentId"]) if row.get("parentId") else None), kind=kind,
        service=str((row.get("localEndpoint") or {}).get("serviceName") or "unknown"),
        operation=str(row.get("name") or ""), start_us=number(row.get("timestamp", 0), path, where),
        duration_us=number(row.get("duration", 0), path, where), follows=kind == "consumer",
        peer=peer_of(kind, tags) or remote, error="error" in tags,
    )  # fmt: skip


def _is_shared(span: Span) -> bool:
    return span.identity.endswith(SHARED)


def _below_server(span: Span, servers: dict[tuple[str, str], Span]) -> Span:
    server = servers.get((span.trace, span.parent or ""))
    if server is None or server is span or _is_shared(span) or server.service != span.service:
        return span
    return replace(span, parent=server.identity)
