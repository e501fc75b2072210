"""Traces cut into visits: one service at work for one caller, from its first span to the calls it makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from profilers.importers.spans import Span


@dataclass(frozen=True, kw_only=True)
class VisitCall:
    """One call of a visit, in µs from the visit's start and within it; ``waited``: the visit did not go on without."""

    callee: str
    start_us: float
    end_us: float
    waited: bool = True


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One service at work for one caller; ``entry``: nobody in the trace called it."""

    trace: str
    service: str
    operation: str
    duration_us: float
    calls: tuple[VisitCall, ...]
    entry: bool

    @property
    def self_us(self) -> float:
        """Its duration without the time in which it waited for others."""
        busy, until = 0.0, 0.0
        for call in sorted((c for c in self.calls if c.waited), key=lambda c: c.start_us):
            busy += max(call.end_us - max(call.start_us, until), 0.0)
            until = max(until, call.end_us)
        return max(self.duration_us - busy, 0.0)


@dataclass
class Cut:
    """The visits of all traces, and what was left out of which traces."""

    visits: list[Visit] = field(default_factory=list)
    traces: int = 0
    notes: list[str] = field(default_factory=list)


def cut_visits(spans: Iterable[Span]) -> Cut:
    """Cut the traces that ``spans`` (in any order) make into visits.

    Left out and named: spans given twice, traces whose spans are their own ancestors, and spans whose caller is not in
    the trace, with all below them: who called them is not known.
    """
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace, []).append(span)
    cut = Cut(traces=len(traces))
    trouble: Counter[str] = Counter()
    for one in traces.values():
        cut.visits += _trace(one, trouble)
    cut.notes += [f"{count} {what}" for what, count in trouble.items()]
    return cut


def _trace(given: list[Span], trouble: Counter[str]) -> list[Visit]:
    spans = {span.identity: span for span in reversed(given)}
    if len(spans) < len(given):
        trouble["spans given twice: the first of each was taken"] += len(given) - len(spans)
    children: dict[str, list[Span]] = {}
    roots = []
    for span in spans.values():
        if span.parent is None:
            roots.append(span)
        elif span.parent not in spans:
            trouble["spans without their caller in the trace, left out with what is below them"] += 1
        else:
            children.setdefault(span.parent, []).append(span)
    reached: set[str] = set()
    visits = [visit for root in roots for visit in _below(root, children, reached)]
    if _in_circles(spans, reached):
        trouble["traces with spans that are their own ancestors; those spans were left out"] += 1
    return visits


def _in_circles(spans: dict[str, Span], reached: set[str]) -> bool:
    """Return whether a span that no root reaches leads up to itself; each is followed once."""
    settled = set(reached)
    for start in spans:
        path: set[str] = set()
        at: str | None = start
        while at in spans and at not in settled:
            if at in path:
                return True
            path.add(at)
            at = spans[at].parent
        settled |= path
    return False


def _below(root: Span, children: dict[str, list[Span]], reached: set[str]) -> list[Visit]:
    visits, heads = [], [(root, True)]
    while heads:
        head, entry = heads.pop()
        calls: list[VisitCall] = []
        inside = [head]
        while inside:
            span = inside.pop()
            reached.add(span.identity)
            below = children.get(span.identity, [])
            if span is not head and not below and span.peer and span.peer != span.service:
                calls.append(_call(span.peer, span, head))
            for child in below:
                if child.service == span.service and child.kind not in ("server", "consumer"):
                    inside.append(child)
                else:
                    calls.append(_call(child.service, _seen_by_caller(span, child, head, below), head, child.follows))
                    heads.append((child, False))
        ordered = tuple(sorted(calls, key=lambda call: (call.start_us, call.callee)))
        visits.append(_visit(head, ordered, entry))
    return visits


def _visit(head: Span, calls: tuple[VisitCall, ...], entry: bool) -> Visit:
    return Visit(
        trace=head.trace, service=head.service, operation=head.operation, duration_us=head.duration_us,
        calls=calls, entry=entry,
    )  # fmt: skip


def _seen_by_caller(span: Span, child: Span, head: Span, below: list[Span]) -> Span:
    """The caller's own span of one call, where there is one: it was timed by the caller's clock."""
    only = len(below) == 1 and span is not head and span.kind in (None, "client", "producer")
    return span if only and child.duration_us <= span.duration_us else child


def _call(callee: str, span: Span, head: Span, follows: bool = False) -> VisitCall:
    """``span`` in µs of ``head``; a call that ends after the visit was not waited for, a skewed clock is moved back."""
    start, end = span.start_us - head.start_us, span.end_us - head.start_us
    inside = span.duration_us <= head.duration_us
    waited = not follows and inside
    if waited and (start < 0.0 or end > head.duration_us):
        shift = -start if start < 0.0 else head.duration_us - end
        if end > head.duration_us and 0.0 <= start < head.duration_us:
            waited = False
        else:
            start, end = start + shift, end + shift
    return VisitCall(callee=callee, start_us=max(start, 0.0), end_us=max(end, 0.0), waited=waited)
