"""History of many workloads in few questions: cut to what a server allows, cut smaller where it refuses, and joined."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from profilers.prometheus.client import Endpoint, RefusedError, ask
from profilers.prometheus.discovery import Discovered, Selection, discover
from profilers.prometheus.families import pod_workload, workload_of
from profilers.prometheus.questions import Question
from specs.errors import InputError, MissingHardwareError
from specs.history import HistoryQuantity, MissingPart, Query, Recorded, Samples
from specs.trace import FloatArray

OnProgress = Callable[[float, float, str], None]
Named = tuple[str | None, str]

MOST_POINTS = 10_000  # per series; servers allow 11,000 (Prometheus, web/api/v1: "exceeded maximum resolution")
MOST_SAMPLES = 1_000_000  # expected in one answer (ours): about 30 MiB of JSON, and 300 MiB once read
MOST_RAW = 20_000_000  # series × points before they are summed; servers stop at 50 million (query.max-samples)
LEAST_POINTS = 32  # a range is cut no shorter because of its size
MOST_FAILURES = 24  # in a row: more than it takes to find one bad workload among thousands
MOST_SUSPECTS = 8  # workloads that are asked for one by one; more are halved
MOST_BROKEN = 3  # ranges in a row that failed because the server did not answer at all


@dataclass(frozen=True)
class Part:
    """Points ``first`` to ``last`` of the grid of one question, for the workloads in ``only`` (none: all good ones)."""

    question: Question
    first: int
    last: int
    only: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        """How many points of time."""
        return self.last - self.first + 1


@dataclass
class Reading:
    """What has been read so far, by series, and what could not be."""

    time_s: FloatArray
    step_s: float
    values: dict[tuple[Named, HistoryQuantity, str], FloatArray] = field(default_factory=dict)
    missing: list[MissingPart] = field(default_factory=list)
    bad: dict[str, set[str]] = field(default_factory=dict)  # workloads refused by themselves, by quantity
    failures: int = 0
    broken: int = 0
    clashes: int = 0


def read_history(
    server: Endpoint,
    selection: Selection,
    *,
    end_s: float,
    duration_s: float,
    step_s: float,
    on_progress: OnProgress = lambda done, total, what: None,
) -> Recorded:
    """Read usage, load and latency of every selected workload in the ``duration_s`` before ``end_s``.

    Times are seconds since 1970; the grid lies on multiples of ``step_s``. What a server refuses is asked again in
    smaller parts; what it refuses then is named in ``missing`` and the rest is kept. Raises `InputError` for a range
    without two points or where nothing known is found, `MissingHardwareError` where the server is not there.
    """
    time_s = grid(end_s, duration_s, step_s)
    found = discover(server, selection, float(time_s[-1]))
    reading = Reading(time_s, step_s)
    rate_s = max(step_s, 4.0 * found.scrape_s)
    stack = [part for question in reversed(found.questions) for part in reversed(_parts(question, found, len(time_s)))]
    planned = float(sum(part.points for part in stack))
    while stack:
        part = stack.pop()
        on_progress(planned - sum(p.points for p in stack if not p.only) - part.points, planned, part.question.quantity)
        stack += reversed(_ask(server, part, found, selection, reading, rate_s))
        if reading.failures >= MOST_FAILURES or reading.broken >= MOST_BROKEN:
            _give_up(stack, reading)
            break
    if not reading.values:
        why = reading.missing[0].why if reading.missing else "every series is empty"
        raise MissingHardwareError(f"{server.url}: gave no samples: {why}", cure="Check the server's log and limits.")
    return _recorded(server, found, reading, rate_s)


def grid(end_s: float, duration_s: float, step_s: float) -> FloatArray:
    """Return the times to ask for: multiples of ``step_s`` up to ``end_s``; raises `InputError` for fewer than two."""
    if not (0.0 < step_s < math.inf and 0.0 < duration_s < math.inf):
        raise InputError("the range and the step must be above zero", cure="Give them as 14d and 5m.")
    last = math.floor(end_s / step_s)
    count = math.floor(duration_s / step_s) + 1
    if count < 2:
        raise InputError("the step is longer than the range", cure="Make --step shorter, or --range longer.")
    return (last - count + 1 + np.arange(count, dtype=np.float64)) * step_s


def parse_matrix(answer: Any) -> list[tuple[dict[str, str], FloatArray, FloatArray]]:
    """Return labels, times and values of each series of a range query's `data`.

    Raises `RefusedError` for anything else.
    """
    try:
        if answer["resultType"] != "matrix":
            raise RefusedError("rejected", f"the answer is a {answer['resultType']}, not a matrix")
        return [(dict(row["metric"]), *_columns(row["values"])) for row in answer["result"]]
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError("rejected", f"the answer breaks the API's form: {type(error).__name__}") from None


def _columns(values: list[list[Any]]) -> tuple[FloatArray, FloatArray]:
    times = np.fromiter((one[0] for one in values), dtype=np.float64, count=len(values))
    return times, np.array([one[1] for one in values], dtype=np.float64)


def _parts(question: Question, found: Discovered, count: int) -> list[Part]:
    series = max(len(found.workloads[question.family.metric]) * question.series_per_workload, 1)
    points = min(MOST_POINTS, MOST_SAMPLES // series, MOST_RAW // max(question.raw * question.series_per_workload, 1))
    points = max(points, LEAST_POINTS)
    pieces = math.ceil(count / points)
    bounds = [round(count * piece / pieces) for piece in range(pieces + 1)]
    return [Part(question, first, last - 1) for first, last in pairwise(bounds)]


def _ask(
    server: Endpoint, part: Part, found: Discovered, selection: Selection, reading: Reading, rate_s: float
) -> list[Part]:
    """Put one part; return what to put instead, in order, where the server wants less at once."""
    quantity = part.question.quantity
    bad = reading.bad.setdefault(quantity, set())
    only = [name for name in part.only if name not in bad]
    if part.only and not only:
        return []
    query = part.question.promql(rate_s, only, () if only else bad)
    bounds = {"start": f"{reading.time_s[part.first]:.3f}", "end": f"{reading.time_s[part.last]:.3f}"}
    parameters = {"query": query, "step": f"{reading.step_s:g}", "timeout": f"{server.timeout_s:g}s", **bounds}
    try:
        series = parse_matrix(ask(server, "query_range", parameters))
    except RefusedError as error:
        return _smaller(part, error, found, reading)
    reading.failures = reading.broken = 0
    for labels, times, values in series:
        _keep(part, labels, times, values, selection, reading)
    return []


def _smaller(part: Part, error: RefusedError, found: Discovered, reading: Reading) -> list[Part]:
    reading.failures += 1
    reading.broken += error.refusal == "down"
    if error.refusal == "too-large" and part.points > LEAST_POINTS:
        middle = (part.first + part.last) // 2
        return [
            Part(part.question, part.first, middle, part.only),
            Part(part.question, middle + 1, part.last, part.only),
        ]
    bad = reading.bad[part.question.quantity]
    everyone = sorted({name for _, name in found.workloads[part.question.family.metric]} - bad)
    names = [name for name in part.only if name not in bad] or everyone
    if error.refusal != "down" and len(names) > 1:
        suspects = _suspects(names, error.why, reading)
        innocent = [name for name in names if name not in suspects]
        halves = [innocent, *([one] for one in suspects)] if suspects else [names[: len(names) // 2]]
        halves += [] if suspects else [names[len(names) // 2 :]]
        return [Part(part.question, part.first, part.last, tuple(half)) for half in halves]
    if error.refusal == "rejected":
        bad.update(names)
    _miss(reading, part, error.why, tuple(names) if error.refusal != "down" else part.only)
    return []


def _suspects(names: list[str], why: str, reading: Reading) -> list[str]:
    """Return the few of ``names`` that a refusal names, or that were refused for another quantity.

    A refusal of many is tried without these before it is halved, which takes as many questions as there are halvings.
    """
    known = {name for bad in reading.bad.values() for name in bad}
    words = set(re.split(r"[^\w.:-]+", why))
    told = {pod_workload(word) for word in words} | words
    found = [name for name in names if name in told] or [name for name in names if name in known]
    return found if len(found) <= MOST_SUSPECTS and len(found) < len(names) else []


def _miss(reading: Reading, part: Part, why: str, workloads: tuple[str, ...]) -> None:
    rejected = bool(workloads) and reading.bad[part.question.quantity].issuperset(workloads)
    last = len(reading.time_s) - 1 if rejected else part.last  # it is not asked for again
    quantity, first_s, last_s = part.question.quantity, float(reading.time_s[part.first]), float(reading.time_s[last])
    reading.missing.append(MissingPart(quantity=quantity, why=why, workloads=workloads, from_s=first_s, to_s=last_s))


def _give_up(stack: list[Part], reading: Reading) -> None:
    """Name what was not asked for any more, one entry per quantity."""
    left: dict[str, list[Part]] = {}
    for part in stack:
        left.setdefault(part.question.quantity, []).append(part)
    why = "not asked for: the server had failed too often in a row"
    for quantity, parts in left.items():
        first_s = float(reading.time_s[min(part.first for part in parts)])
        last_s = float(reading.time_s[max(part.last for part in parts)])
        reading.missing.append(MissingPart(quantity=quantity, why=why, from_s=first_s, to_s=last_s))


def _keep(
    part: Part, labels: dict[str, str], times: FloatArray, values: FloatArray, selection: Selection, reading: Reading
) -> None:
    """Put one series on the grid. Of series with the same labels the first has its say, the others fill its gaps."""
    question = part.question
    named = _named(question, labels)
    if named is None or not selection.wants(named[1]) or (part.only and named[1] not in part.only):
        return
    at = np.rint((times - reading.time_s[0]) / reading.step_s).astype(np.int64)
    inside = (at >= part.first) & (at <= part.last) & np.isfinite(values)
    values = values * (question.family.scale if question.quantity == "latency_sum_s_per_s" else 1.0)
    key = (named, question.quantity, _bound(labels.get("le", ""), question.family.scale))
    row = reading.values.setdefault(key, np.full(len(reading.time_s), np.nan))
    fresh = np.isnan(row[at[inside]])
    reading.clashes += not fresh.all()
    row[at[inside][fresh]] = values[inside][fresh]


def _named(question: Question, labels: dict[str, str]) -> Named | None:
    if labels.get("workload"):
        return labels.get(question.namespace) or None, labels["workload"]
    kept = (question.by, question.namespace)
    return workload_of({name: value for name, value in labels.items() if name in kept})


def _bound(le: str, scale: float) -> str:
    try:
        return le if le in ("", "+Inf") else f"{float(le) * scale:g}"
    except ValueError:
        return le


def _recorded(server: Endpoint, found: Discovered, reading: Reading, rate_s: float) -> Recorded:
    clash = f"{reading.clashes} series came twice: the first was taken, the other filled its gaps"
    series = tuple(
        Samples(workload=name, namespace=namespace, quantity=quantity, values=values, labels={"le": le} if le else {})
        for ((namespace, name), quantity, le), values in sorted(reading.values.items(), key=lambda one: str(one[0]))
        if np.isfinite(values).any()
    )
    return Recorded(
        source=server.url, time_s=reading.time_s, step_s=reading.step_s, window_s=rate_s, series=series,
        queries_put=server.asked,
        queries=tuple(Query(quantity=one.quantity, promql=one.promql(rate_s)) for one in found.questions),
        missing=tuple(reading.missing), notes=(clash,) if reading.clashes else (),
    )  # fmt: skip
