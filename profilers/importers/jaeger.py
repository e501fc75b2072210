"""Reads traces as Jaeger's API and user interface give them: `{"data": [{"traceID", "spans", "processes"}]}`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from profilers.importers.spans import Span, kind_of, number, peer_of

TOOL = "Jaeger"


def recognises(data: Any) -> bool:
    """Tell whether ``data`` is such an answer, or one trace of it."""
    if isinstance(data, dict) and isinstance(data.get("data"), list):
        return all(isinstance(one, dict) and "spans" in one for one in data["data"])
    return isinstance(data, dict) and "traceID" in data and "spans" in data


def read(data: Any, path: Path) -> list[Span]:
    """Return the spans of all traces. A span's parent is its first CHILD_OF reference, else its FOLLOWS_FROM."""
    traces = data.get("data", [data])
    return [_span(span, trace.get("processes") or {}, path) for trace in traces for span in trace["spans"] or []]


def _span(span: dict[str, Any], processes: dict[str, Any], path: Path) -> Span:
    tags = {tag["key"]: tag.get("value") for tag in span.get("tags") or []}
    kind = kind_of(tags.get("span.kind"))
    parent, follows = _parent(span)
    where = f"span {span['spanID']} of trace {span['traceID']}"
    process = span.get("process") or processes.get(span.get("processID", "")) or {}
    return Span(
        trace=str(span["traceID"]), identity=str(span["spanID"]), parent=parent, follows=follows, kind=kind,
        service=str(process.get("serviceName") or "unknown"), operation=str(span.get("operationName") or ""),
        start_us=number(span.get("startTime"), path, where), duration_us=number(span.get("duration"), path, where),
        peer=peer_of(kind, tags), error=tags.get("error") in (True, "true"),
    )  # fmt: skip


def _parent(span: dict[str, Any]) -> tuple[str | None, bool]:
    same = [one for one in span.get("references") or [] if one.get("traceID", span["traceID"]) == span["traceID"]]
    for kind, follows in (("CHILD_OF", False), ("FOLLOWS_FROM", True)):
        for one in same:
            if one.get("refType") == kind:
                return str(one["spanID"]), follows
    return (str(span["parentSpanID"]), False) if span.get("parentSpanID") else (None, False)
