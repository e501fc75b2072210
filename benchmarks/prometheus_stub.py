"""A small server with Prometheus' API that enforces its limits, answers by arithmetic, and misbehaves on order."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

MAX_POINTS = 11_000
MAX_SAMPLES = 50_000_000
Answer = tuple[int, str, bytes, dict[str, str]]
Misbehave = Callable[[str, dict[str, str]], Answer | None]


@dataclass
class Stub:
    """Workloads `w000…` in namespaces `even` and `odd`, each of one pod; CPU of number n is n + 1 + hour of day."""

    workloads: int = 4
    histogram: bool = False
    bad: frozenset[str] = frozenset()
    max_points: int = MAX_POINTS
    max_samples: int = MAX_SAMPLES
    slow_samples: int = MAX_SAMPLES  # more than these take longer than the server allows
    names_the_bad: bool = False  # the refusal of a bad workload says which it is
    misbehave: Misbehave = lambda path, parameters: None
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    samples: int = 0
    hole: tuple[float, float] = (math.inf, math.inf)
    nan_at: float = math.inf
    twice: bool = False

    def chosen(self, query: str) -> list[int]:
        """Numbers of the workloads that the query's matchers leave."""
        found = range(self.workloads)
        return [n for n in found if _matches(query, "pod", pod(n)) and _matches(query, "namespace", namespace(n))]

    def answer(self, path: str, parameters: dict[str, str]) -> Answer:
        """Answer one question as Prometheus would, or refuse it as its limits say."""
        query = parameters["query"]
        if path.endswith("/query"):
            return _json(200, {"status": "success", "data": self._instant(query)})
        start, end, step = (float(parameters[name]) for name in ("start", "end", "step"))
        points = int((end - start) / step) + 1
        if points > self.max_points:
            return _error(400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries.")
        numbers = self.chosen(query)
        if len(numbers) * points > self.max_samples:
            return _error(
                422, "execution", "query processing would load too many samples into memory in query execution"
            )
        if len(numbers) * points > self.slow_samples:
            return _error(503, "timeout", "query timed out in expression evaluation")
        if bad := [n for n in numbers if name(n) in self.bad]:
            which = f' {{pod="{pod(bad[0])}"}} on the right hand-side' if self.names_the_bad else ""
            return _error(422, "execution", f"found duplicate series for the match group{which}")
        times = [start + step * i for i in range(points)]
        kept = [t for t in times if not self.hole[0] <= t <= self.hole[1]]
        series = [row for n in numbers for row in self._series(query, n, kept)]
        self.samples += sum(len(row["values"]) for row in series)
        return _json(200, {"status": "success", "data": {"resultType": "matrix", "result": series}})

    def _series(self, query: str, number: int, times: list[float]) -> Iterator[dict[str, Any]]:
        labels = {"namespace": namespace(number), "workload": name(number)}
        if "_bucket" in query:
            for le, share in (("0.01", 0.5), ("0.1", 0.9), ("+Inf", 1.0)):
                yield {"metric": {**labels, "le": le}, "values": [[t, str(share * 10.0)] for t in times]}
            return
        values = [[t, "NaN" if t == self.nan_at else str(value(query, number, t))] for t in times]
        for _ in range(2 if self.twice else 1):
            yield {"metric": labels, "values": values}

    def _instant(self, query: str) -> dict[str, Any]:
        if "count_over_time" in query:
            return {"resultType": "vector", "result": [{"metric": {}, "value": [0, "30"]}]}
        if "istio" in query:
            return {"resultType": "vector", "result": []}
        metrics = ["container_cpu_usage_seconds_total"]
        metrics += ["http_request_duration_seconds_count"] if self.histogram else []
        rows = [
            {"metric": {"__name__": metric, "namespace": namespace(n), "pod": pod(n)}, "value": [0, "1"]}
            for metric in metrics
            for n in self.chosen(query)
        ]
        return {"resultType": "vector", "result": rows}


def name(number: int) -> str:
    return f"w{number:03d}"


def pod(number: int) -> str:
    return f"{name(number)}-6d4cf56db6-x7k9z"


def namespace(number: int) -> str:
    return "odd" if number % 2 else "even"


def value(query: str, number: int, at_s: float) -> float:
    if query.startswith("count"):
        return 1.0
    if "_sum" in query:
        return 0.25
    return 10.0 if "_count" in query else number + 1.0 + at_s % 86400 / 3600


def _matches(query: str, label: str, text: str) -> bool:
    for operator, pattern in re.findall(rf'\b{label}(=~|!~)"((?:[^"\\]|\\.)*)"', query):
        found = re.fullmatch(pattern.replace("\\\\", "\\"), text) is not None
        if found != (operator == "=~"):
            return False
    return True


def _json(status: int, data: Any, headers: dict[str, str] | None = None) -> Answer:
    return status, "application/json", json.dumps(data).encode(), headers or {}


def _error(status: int, kind: str, message: str) -> Answer:
    return _json(status, {"status": "error", "errorType": kind, "error": message})


def html(status: int = 200) -> Answer:
    return status, "text/html", b"<html><title>Login</title></html>", {}


@contextmanager
def serving(stub: Stub) -> Iterator[str]:
    """Serve ``stub`` on a free port and give its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            parameters = {key: values[0] for key, values in parse_qs(body).items()}
            stub.asked.append(parameters)
            stub.headers.append(dict(self.headers.items()))
            status, kind, data, headers = stub.misbehave(self.path, parameters) or stub.answer(self.path, parameters)
            self.send_response(status)
            for key, text in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
                self.send_header(key, text)
            self.end_headers()
            if headers.get("X-Drip"):
                self._drip(data)
            else:
                self.wfile.write(data)

        def _drip(self, data: bytes) -> None:
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
