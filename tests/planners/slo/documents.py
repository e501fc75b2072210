"""A small application of measured services, as a document."""

from __future__ import annotations

from pathlib import Path

APPLICATION = """apiVersion: tonnage/v1
kind: Application
metadata: {name: shop}
spec:
  services:
    - {name: gateway, replicas: 3, requests: {cpu_cores: 0.5, memory_gib: 0.25}}
    - {name: cart, replicas: 3, requests: {cpu_cores: 1, memory_gib: 0.5}}
    - {name: search, replicas: 3, requests: {cpu_cores: 2, memory_gib: 1}}
    - {name: mail, replicas: 1, concurrency: 2, service_time: {mean_s: 0.02}, requests: {cpu_cores: 0.25}}
  calls:
    - {caller: gateway, callee: cart}
    - {caller: gateway, callee: search}
    - {caller: gateway, callee: mail, stage: 1, asynchronous: true}
  entries:
    - {service: gateway, rate_per_s: 100, slo: {latency_s: {p99: 0.2}}}
"""
PROFILE = """---
apiVersion: tonnage/v1
kind: ServiceProfile
metadata: {{name: {name}}}
spec:
  service: {name}
  curves:
    - {{quantity: p50, form: piecewise, knots: {half}, low_per_s: 5, high_per_s: 60, loads: 3}}
    - {{quantity: p99, form: piecewise, knots: {high}, low_per_s: 5, high_per_s: 60, loads: 3}}
"""
PROFILES = "".join(
    PROFILE.format(name=name, half=[[5, a / 3], [40, b / 3], [60, c / 3]], high=[[5, a], [40, b], [60, c]])
    for name, a, b, c in (("gateway", 0.01, 0.02, 0.06), ("cart", 0.04, 0.07, 0.16), ("search", 0.03, 0.08, 0.18))
)


def write(folder: Path, *changes: tuple[str, str], name: str = "app.yaml") -> Path:
    """Write the application into ``folder`` with each old text replaced by the new one."""
    text = APPLICATION + PROFILES
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / name
    path.write_text(text)
    return path
