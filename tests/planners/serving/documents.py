"""Small documents that plan within a second: a made-up load of an 8B model, and pools with made-up prices."""

from __future__ import annotations

from pathlib import Path

WORKLOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {{name: small}}
spec:
  model: llama-3.1-8b
  arrivals: {arrivals}
  lengths:
    prompt_tokens: {{lognormal: {{mean: 700, p99: 3000}}}}
    output_tokens: {{lognormal: {{mean: 120, p99: 500}}}}
  slo: {slo}
{more}"""
PRICE = "usd_per_gpu_hour: {{value: {usd}, source: made up, date: 2026-11-01}}"
SLO = "{attainment: 0.98, request: {ttft_s: 1.0, tpot_s: 0.05}, ttft_s: {p99: 1.0}, tpot_s: {p99: 0.05}}"
ARRIVALS = "{rate_per_s: 12, cv: 1.5, duration_s: 40}"


def workload(folder: Path, *, arrivals: str = ARRIVALS, slo: str = SLO, more: str = "") -> Path:
    """Write a workload; its lengths are drawn from the seed of the plan."""
    path = folder / "workload.yaml"
    path.write_text(WORKLOAD.format(arrivals=arrivals, slo=slo, more=more))
    return path


def pool(name: str, device: str, usd: float | None, *, nodes: int = 2, gpus: int = 4, taken: str = "0") -> str:
    """One pool as a flow mapping."""
    price = "" if usd is None else ", " + PRICE.format(usd=usd)
    return f"{{name: {name}, device: {device}, nodes: {nodes}, gpus_per_node: {gpus}, taken_gpus: {taken}{price}}}"


def cluster(folder: Path, *pools: str) -> Path:
    """Write a cluster; by default an H100 and an L40S pool."""
    given = pools or (pool("h100", "h100-sxm", 2.5), pool("l40s", "l40s", 0.9))
    path = folder / "cluster.yaml"
    lines = "\n".join(f"    - {one}" for one in given)
    path.write_text(f"apiVersion: tonnage/v1\nkind: Cluster\nmetadata: {{name: here}}\nspec:\n  pools:\n{lines}\n")
    return path
