"""A real Prometheus with eight days of container metrics, written by promtool, gives back what was put in."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from profilers.prometheus.client import endpoint
from profilers.prometheus.containers import read_containers
from profilers.prometheus.discovery import Selection
from specs.errors import MissingHardwareError

STEP_S, HOURS = 60, 3
PODS = {"cart-7d9c5b8f6-x2x4v": 0.25, "cart-7d9c5b8f6-z9z8w": 0.5}


def openmetrics(start_s: int) -> str:
    """CPU counters rising by 0.25 and 0.5 cores, memory of 1 GiB, requests, limits, a kill and an autoscaler."""
    times = range(start_s, start_s + HOURS * 3600, STEP_S)
    lines = ["# TYPE container_cpu_usage_seconds counter"]
    for pod, cores in PODS.items():
        label = f'namespace="shop",pod="{pod}",container="app"'
        lines += [f"container_cpu_usage_seconds_total{{{label}}} {cores * (t - start_s)} {t}" for t in times]
    pods = [f'namespace="shop",pod="{pod}",container="app"' for pod in PODS]
    scaler = 'namespace="shop",horizontalpodautoscaler="carts"'
    info = f'{scaler},scaletargetref_kind="Deployment",scaletargetref_name="cart"'
    requests = (("cpu", 1.0), ("memory", 2.0**31))
    gauges = {
        "container_memory_working_set_bytes": [(pod, 2.0**30) for pod in pods],
        "kube_pod_container_resource_requests": [
            (f'{pod},resource="{kind}"', value) for pod in pods for kind, value in requests
        ],
        "kube_deployment_spec_strategy_rollingupdate_max_surge": [('namespace="shop",deployment="cart"', 2.0)],
        "kube_horizontalpodautoscaler_info": [(info, 1.0)],
        "kube_horizontalpodautoscaler_spec_target_metric": [
            (f'{scaler},metric_name="cpu",metric_target_type="utilization"', 60.0)
        ],
        "kube_horizontalpodautoscaler_spec_max_replicas": [(scaler, 7.0)],
    }
    for name, series in gauges.items():
        lines.append(f"# TYPE {name} gauge")
        lines += [f"{name}{{{label}}} {value} {t}" for label, value in series for t in times]
    pod = next(iter(PODS))
    killed = f'namespace="shop",pod="{pod}",container="app",reason="OOMKilled"'
    lines.append("# TYPE kube_pod_container_status_last_terminated_reason gauge")
    lines += [f"kube_pod_container_status_last_terminated_reason{{{killed}}} 1 {t}" for t in list(times)[90:]]
    return "\n".join([*lines, "# EOF", ""])


@contextmanager
def filled_prometheus(folder: Path, text: str) -> Iterator[str]:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("no program `prometheus`; Debian's package of that name has it")
    (folder / "m.txt").write_text(text)
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "m.txt"), str(folder / "data")]
    subprocess.run(blocks, check=True, capture_output=True, timeout=60)
    (folder / "p.yml").write_text("global: {scrape_interval: 15s}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = [f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
    process = subprocess.Popen(["prometheus", *flags], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _ready(f"http://{address}")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def _ready(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("prometheus did not start")


def test_containers_come_back_with_what_is_set(tmp_path: Path) -> None:
    start_s = int(time.time()) // 7200 * 7200 - 6 * 3600
    with filled_prometheus(tmp_path, openmetrics(start_s)) as url:
        end_s = start_s + (HOURS * 3600) - STEP_S
        found = read_containers(endpoint(url), Selection(), end_s=end_s, duration_s=9000, step_s=300)
        none = Selection(namespaces=("elsewhere",))
        with pytest.raises(MissingHardwareError, match="no usage of containers"):
            read_containers(endpoint(url), none, end_s=end_s, duration_s=9000, step_s=300)
    (one,) = found.containers
    assert found.missing == ()
    assert (one.label, one.largest) == ("shop/cart:app", True)
    assert one.cpu_cores[0, -1] == pytest.approx(0.5, rel=1e-3)
    assert np.nanmin(one.cpu_cores) == pytest.approx(0.5, rel=0.05)
    assert one.memory_bytes[0, -1] == 2.0**30
    assert one.replicas is not None
    assert one.replicas[-1] == 2.0
    assert (one.given.cpu_request_cores, one.given.memory_request_bytes) == (1.0, 2.0**31)
    assert one.autoscaler is not None
    assert (one.autoscaler.target, one.autoscaler.most) == (0.6, 7)
    assert one.surge_pods == 2.0
    assert len(one.killed_s) == 1
