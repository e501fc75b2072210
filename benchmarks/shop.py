"""One small service of a shop: queues for its own work, calls others, counts what it did, and writes spans.

Run as `python -m benchmarks.shop SETUP NAME FOLDER`: SETUP is a JSON file of every service (`port`, `work_s`, `calls`).
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BOUNDS_S = tuple(0.001 * 1.15**i for i in range(52))  # up to 1.2 s, each 15 % above the one before
METRIC = "http_request_duration_seconds"
TRACED = 0.1  # share of the requests that enter
TRACE, PARENT = "X-Trace", "X-Parent"


class Shop:
    """The service ``name`` of ``setup``: one worker, whose work lasts exponentially long with mean `work_s`."""

    def __init__(self, setup: dict[str, Any], name: str, folder: Path) -> None:
        self.setup, self.name, self.mine = setup, name, setup[name]
        self.random, self.worker, self.lock = random.Random(name), threading.Lock(), threading.Lock()
        self.counts, self.sum_s, self.total = [0] * len(BOUNDS_S), 0.0, 0
        self.spans = (folder / f"{name}.spans").open("w", buffering=1)
        self.exact = (folder / f"{name}.latencies").open("w", buffering=1)
        self.pool = ThreadPoolExecutor(64)
        self.kept = threading.local()

    def visit(self, trace: str, parent: str) -> None:
        """Answer one request: the own work first, then the calls, stage by stage."""
        began, span = time.time(), uuid.uuid4().hex[:16]
        started = time.perf_counter()
        with self.lock:
            length_s = self.random.expovariate(1.0 / self.mine["work_s"])
        with self.worker:
            time.sleep(length_s)
        for stage in self.mine["calls"]:
            if len(stage) == 1:
                self._call(stage[0], trace, span)
            else:
                list(self.pool.map(lambda callee: self._call(callee, trace, span), stage))
        self._count(time.perf_counter() - started, began, trace, span, parent)

    def _call(self, callee: str, trace: str, span: str) -> None:
        connections = self.kept.__dict__
        if callee not in connections:
            connections[callee] = http.client.HTTPConnection("127.0.0.1", self.setup[callee]["port"], timeout=30)
        connections[callee].request("GET", "/", headers={TRACE: trace, PARENT: span})
        connections[callee].getresponse().read()

    def _count(self, latency_s: float, began: float, trace: str, span: str, parent: str) -> None:
        with self.lock:
            self.total += 1
            self.sum_s += latency_s
            for at in range(len(BOUNDS_S) - 1, -1, -1):
                if latency_s > BOUNDS_S[at]:
                    break
                self.counts[at] += 1
            self.exact.write(f"{began:.6f},{latency_s:.6f}\n")
            if trace:
                row = {"traceID": trace, "spanID": span, "parentSpanID": parent, "service": self.name,
                       "startTime": int(began * 1e6), "duration": int(latency_s * 1e6)}  # fmt: skip
                self.spans.write(json.dumps(row) + "\n")

    def metrics(self) -> str:
        """Return the counters as Prometheus scrapes them."""
        with self.lock:
            lines = [f'{METRIC}_bucket{{le="{bound:.6g}"}} {n}' for bound, n in zip(BOUNDS_S, self.counts, strict=True)]
            lines += [f'{METRIC}_bucket{{le="+Inf"}} {self.total}', f"{METRIC}_count {self.total}"]
            lines += [f"{METRIC}_sum {self.sum_s}", f"process_cpu_seconds_total {time.process_time()}"]
        return "\n".join([*lines, ""])


def serve(shop: Shop) -> None:
    """Serve until the process is ended."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            """Answer a visit, or a scrape."""
            if self.path == "/metrics":
                text = shop.metrics()
            else:
                trace = self.headers.get(TRACE)
                if trace is None:  # it enters here
                    trace = uuid.uuid4().hex if random.random() < TRACED else ""
                shop.visit(trace, self.headers.get(PARENT) or "")
                text = "ok"
            data = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(ConnectionError):  # a client that has left
                self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: every request is written down elsewhere."""

    ThreadingHTTPServer.request_queue_size = 256
    ThreadingHTTPServer(("127.0.0.1", shop.mine["port"]), Handler).serve_forever()


if __name__ == "__main__":
    setup_file, own_name, out = sys.argv[1:4]
    serve(Shop(json.loads(Path(setup_file).read_text()), own_name, Path(out)))
