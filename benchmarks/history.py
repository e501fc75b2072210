"""Fourteen days of 500 workloads from a server that enforces Prometheus' limits, beside one question per workload."""

from __future__ import annotations

import http.client
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np

from benchmarks.line import Line, Result
from benchmarks.prometheus_stub import Answer, Stub, name, serving, value
from profilers.history import write_history
from profilers.prometheus.client import endpoint
from profilers.prometheus.discovery import Selection
from profilers.prometheus.history import read_history
from specs.history import Recorded

WORKLOADS, DAYS, STEP_S, END_S = 500, 14.0, 300.0, 1_800_000_000.0
BAD = name(137)
SLOW_SAMPLES = 800_000  # the stub's time-out: fewer than we ask for at once, so that ranges must be cut
DOWN = (END_S - 5 * 86400, END_S - 4 * 86400)  # ranges that begin here are never answered
KRR_QUERIES, KRR_PER_WORKLOAD = 3506, 7
MOST_PER_MILLION = 20.0

LINE = Line(
    name="history",
    what=f"{WORKLOADS} workloads × {DAYS:g} days every {STEP_S:g} s into a History, from a stub that enforces 11,000 "
    "points, 50 M samples and time-outs; then with one bad workload, and with ranges that the server never answers",
    bar="≤ 20 queries per million samples; 499 of 500 beside a bad one; what is missing is named, the rest is exact",
    data="synthetic, by a stub of Prometheus' API in the same process",
    best="krr: 3,506 queries for 500 workloads (measured elsewhere)",
)


def run() -> Result:
    """Read the same workloads three times, and ask the same stub one question per workload as often as krr does."""
    rows = [_whole(), _with_a_bad_one(), _with_silence(), _one_by_one()]
    figures = {
        "queries": float(str(rows[0]["queries"])), "samples": float(str(rows[0]["samples"])),
        "queries_per_million": float(str(rows[0]["queries per million"])), "seconds": float(str(rows[0]["seconds"])),
        "queries_with_a_bad_one": float(str(rows[1]["queries"])), "one_by_one_seconds": float(str(rows[3]["seconds"])),
    }  # fmt: skip
    holds = all(bool(row["right"]) for row in rows) and all(
        float(str(row["queries per million"])) <= MOST_PER_MILLION for row in rows[:2]
    )
    text = (
        f"{figures['queries']:.0f} queries for {figures['samples'] / 1e6:.1f} M samples "
        f"({figures['queries_per_million']:.1f} per million), {figures['seconds']:.1f} s; with a bad workload "
        f"{figures['queries_with_a_bad_one']:.0f} queries and 499 workloads; {KRR_QUERIES} queries one by one "
        f"{figures['one_by_one_seconds']:.1f} s"
    )
    return Result(holds=holds, text=text, figures=figures, detail=tuple(rows), notes=NOTES)


NOTES = (
    "Seconds hold the stub's own work, which makes every sample in Python in the same process.",
    "One by one: as many questions as krr puts for 500 workloads, each for one workload and answered by one aggregate, "
    "one after another on fresh connections. It brings no history: every other question needs another round.",
    "The server that never answers does so for ranges that begin within one day; each is named for each quantity.",
)


def _read(stub: Stub, folder: Path) -> tuple[Recorded, float]:
    with serving(stub) as url:
        server = endpoint(url, timeout_s=60.0)
        server.pause_s = 0.01
        began = time.monotonic()
        recorded = read_history(server, Selection(), end_s=END_S, duration_s=DAYS * 86400, step_s=STEP_S)
        write_history(recorded, folder / "history.yaml", force=True)
        return recorded, time.monotonic() - began


def _row(what: str, stub: Stub, recorded: Recorded, seconds: float, right: bool) -> dict[str, object]:
    samples = int(sum(np.isfinite(one.values).sum() for one in recorded.series))
    return {
        "what": what, "workloads": len({one.workload for one in recorded.series}), "samples": samples,
        "queries": len(stub.asked), "queries per million": round(len(stub.asked) / samples * 1e6, 2),
        "seconds": round(seconds, 1), "missing": len(recorded.missing), "right": right,
    }  # fmt: skip


def _exact(recorded: Recorded, known: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None) -> bool:
    """Whether every tenth workload's CPU is what the stub computes, wherever a sample is known to be."""
    for one in recorded.series:
        number = int(one.workload[1:])
        if one.quantity == "cpu_cores" and number % 10 == 0:
            wanted = np.array([value("sum", number, at) for at in recorded.time_s])
            here = np.isfinite(one.values)
            if not np.allclose(one.values[here], wanted[here]) or (known is not None and (here != known).any()):
                return False
    return True


def _whole() -> dict[str, object]:
    stub = Stub(workloads=WORKLOADS, slow_samples=SLOW_SAMPLES)
    with tempfile.TemporaryDirectory() as folder:
        recorded, seconds = _read(stub, Path(folder))
    every = np.ones(len(recorded.time_s), dtype=bool)
    return _row("all good", stub, recorded, seconds, _exact(recorded, every) and not recorded.missing)


def _with_a_bad_one() -> dict[str, object]:
    stub = Stub(workloads=WORKLOADS, slow_samples=SLOW_SAMPLES, bad=frozenset({BAD}))
    with tempfile.TemporaryDirectory() as folder:
        recorded, seconds = _read(stub, Path(folder))
    named = {part.workloads for part in recorded.missing} == {(BAD,)}
    others = len({one.workload for one in recorded.series}) == WORKLOADS - 1
    every = np.ones(len(recorded.time_s), dtype=bool)
    return _row("one bad workload", stub, recorded, seconds, named and others and _exact(recorded, every))


def _with_silence() -> dict[str, object]:
    """A range that is never answered is named; all others are kept."""

    def silent(path: str, parameters: dict[str, str]) -> Answer | None:
        begins = float(parameters.get("start", "0"))
        return (503, "text/plain", b"no healthy upstream", {}) if DOWN[0] <= begins < DOWN[1] else None

    stub = Stub(workloads=WORKLOADS, slow_samples=SLOW_SAMPLES, misbehave=silent)
    with tempfile.TemporaryDirectory() as folder:
        recorded, seconds = _read(stub, Path(folder))
    lost = np.zeros(len(recorded.time_s), dtype=bool)
    for part in recorded.missing:
        if part.quantity == "cpu_cores":
            lost |= (recorded.time_s >= (part.from_s or 0)) & (recorded.time_s <= (part.to_s or 0))
    right = bool(lost.any()) and _exact(recorded, ~lost)
    return _row("a range never answered", stub, recorded, seconds, right)


def _one_by_one() -> dict[str, object]:
    stub = Stub(workloads=WORKLOADS)
    with serving(stub) as url:
        host = urlsplit(url).netloc
        began = time.monotonic()
        for number in range(KRR_QUERIES):
            of_one = f'container_cpu_usage_seconds_total{{pod=~"{name(number // KRR_PER_WORKLOAD % WORKLOADS)}.*"}}'
            query = f"quantile_over_time(0.95, max(rate({of_one}[75s]))[14d:75s])"
            connection = http.client.HTTPConnection(host, timeout=60)
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/api/v1/query", urlencode({"query": query}), form)
            connection.getresponse().read()
            connection.close()
        seconds = time.monotonic() - began
    return {
        "what": "one question per workload", "workloads": WORKLOADS, "samples": KRR_QUERIES, "queries": KRR_QUERIES,
        "queries per million": 1e6, "seconds": round(seconds, 1), "missing": 0, "right": len(stub.asked) == KRR_QUERIES,
    }  # fmt: skip
