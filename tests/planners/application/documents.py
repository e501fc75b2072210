"""A small application with caches and its nodes, as documents."""

from __future__ import annotations

from pathlib import Path

APPLICATION = """apiVersion: tonnage/v1
kind: Application
metadata: {name: small}
spec:
  cache_memory_gib: 2
  services:
    - name: front
      concurrency: 4
      service_time: {mean_s: 0.004}
      requests: {cpu_cores: 2, memory_gib: 1}
      slowdown: 0.2
    - name: items
      concurrency: 4
      service_time: {mean_s: 0.003}
      requests: {cpu_cores: 2, memory_gib: 1}
      reads: {database: store, item_kib: 8, popularity: {items: 400000, zipf: 0.9}}
    - {name: store, concurrency: 8, service_time: {mean_s: 0.008}, requests: {cpu_cores: 4, memory_gib: 4}}
  calls:
    - {caller: front, callee: items}
    - {caller: items, callee: store}
  entries:
    - {service: front, rate_per_s: 600, slo: {latency_s: {p99: 0.1}}}
"""
CLUSTER = """apiVersion: tonnage/v1
kind: Cluster
metadata: {name: nodes}
spec:
  call_s: {value: 0.001, source: measured by hand, date: 2026-11-01}
  cpu_pools:
    - name: small
      node_type: s
      nodes: 6
      cpu_cores: 8
      memory_gib: 16
      usd_per_node_hour: {value: 0.3, source: a list, date: 2026-11-01}
    - name: large
      node_type: l
      nodes: 2
      cpu_cores: 16
      memory_gib: 64
      usd_per_node_hour: {value: 0.7, source: a list, date: 2026-11-01}
"""


def write(folder: Path, *changes: tuple[str, str]) -> tuple[Path, Path]:
    """Write both documents into ``folder`` with each old text replaced by the new one."""
    paths = folder / "app.yaml", folder / "nodes.yaml"
    for path, text in zip(paths, (APPLICATION, CLUSTER), strict=True):
        for old, new in changes:
            assert old in APPLICATION + CLUSTER, old
            text = text.replace(old, new, 1)
        path.write_text(text)
    return paths
