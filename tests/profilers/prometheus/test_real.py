"""A real Prometheus, where Debian's package is installed, gives back the loads and latencies that were set up."""

from __future__ import annotations

import math
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from profilers.prometheus.client import endpoint
from profilers.prometheus.discovery import Selection
from profilers.prometheus.history import read_history
from profilers.services.profile import profile_services

BOUNDS = (0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.05, 0.1, math.inf)
LEVELS = (200.0, 500.0, 800.0)
LEVEL_S = 14.0


class Shop:
    """A service that says it answered: exponential latencies of an M/M/1 queue of 1000 requests per second."""

    def __init__(self) -> None:
        self.counts = [0] * len(BOUNDS)
        self.sum_s = 0.0
        self.random = random.Random(5)

    def serve(self, rate_per_s: float, requests: int) -> None:
        for _ in range(requests):
            latency_s = self.random.expovariate(1000.0 - rate_per_s)
            self.sum_s += latency_s
            for at, bound in enumerate(BOUNDS):
                self.counts[at] += latency_s <= bound

    def metrics(self) -> str:
        name = "http_request_duration_seconds"
        lines = [
            f'{name}_bucket{{le="{"+Inf" if math.isinf(le) else le}"}} {n}'
            for le, n in zip(BOUNDS, self.counts, strict=True)
        ]
        lines += [f"{name}_sum {self.sum_s}", f"{name}_count {self.counts[-1]}", "process_cpu_seconds_total 1"]
        return "\n".join([*lines, "process_resident_memory_bytes 1073741824", ""])


@contextmanager
def exposed(shop: Shop) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = shop.metrics().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no program `prometheus`; Debian's package of that name has it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    job = f"{{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{target}'], labels: {{namespace: lab}}}}]}}"
    (folder / "p.yml").write_text(f"global: {{scrape_interval: 1s}}\nscrape_configs: [{job}]\n")
    flags = [f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, *flags], stderr=log, stdout=log)
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.slow
def test_loads_and_latencies_come_back(tmp_path: Path) -> None:
    shop = Shop()
    with exposed(shop) as port, prometheus(tmp_path, port) as url:
        time.sleep(3.0)
        for level in LEVELS:
            began, done = time.monotonic(), 0
            while (spent := time.monotonic() - began) < LEVEL_S:
                due = int(level * spent)
                shop.serve(level, due - done)
                done = due
                time.sleep(0.02)
        server = endpoint(url, timeout_s=20)
        recorded = read_history(server, Selection(namespaces=("lab",)), end_s=time.time(), duration_s=45, step_s=1)
    found = profile_services(name="shop", recorded=recorded)
    (profile,) = found.profiles.values()
    assert (profile.spec.service, profile.spec.namespace) == ("shop", "lab")
    assert profile.spec.memory_gib is not None
    assert profile.spec.memory_gib.mean == pytest.approx(1.0)
    for level in LEVELS:
        nearest = min(profile.spec.points, key=lambda point: abs(point.rate_per_s - level))
        assert nearest.rate_per_s == pytest.approx(level, rel=0.12)
        assert nearest.latency_s["p95"] == pytest.approx(math.log(20) / (1000 - nearest.rate_per_s), rel=0.25)
