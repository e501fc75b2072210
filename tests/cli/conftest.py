"""A folder with good documents, and the command line run in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app

TRACE = "arrival_s,prompt_tokens,output_tokens\n" + "".join(
    f"{0.4 * i:.1f},{200 + 37 * (i % 9)},{20 + 11 * (i % 7)}\n" for i in range(240)
)
WORKLOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {name: chat}
spec:
  model: llama-3.1-8b
  arrivals: {trace: trace.csv}
  lengths: {from: trace}
  slo: {attainment: 0.95, ttft_s: {p99: 1.0}, tpot_s: {p99: 0.05}}
"""
CLUSTER = """apiVersion: tonnage/v1
kind: Cluster
metadata: {name: lab}
spec:
  pools:
    - name: h100
      device: h100-sxm
      nodes: 1
      gpus_per_node: 2
      usd_per_gpu_hour: {value: 2.5, source: a test, date: 2026-11-01}
"""
DEPLOYMENT = """apiVersion: tonnage/v1
kind: Deployment
metadata: {name: one}
spec:
  model: llama-3.1-8b
  device: h100-sxm
  parallel: {tp: 1}
"""
Tonnage = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # where the store is that nobody names
    for name, text in (("trace.csv", TRACE), ("workload.yaml", WORKLOAD), ("cluster.yaml", CLUSTER)):
        (tmp_path / name).write_text(text)
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    return tmp_path


@pytest.fixture
def tonnage(folder: Path) -> Tonnage:
    """Run the command line in the folder of good documents; an error of ours is raised, not swallowed."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments), prog_name="tonnage")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
