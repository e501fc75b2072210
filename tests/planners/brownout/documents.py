"""A small burst on one A100: documents that plan within a second or two; the routing is made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from profilers.moe import layer_experts
from specs.base import plain
from specs.experts import ExpertProfile

SLO = "{ttft_s: {p90: 0.5}, itl_s: {p90: 0.018}}"
WORKLOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {{name: burst}}
spec:
  model: {model}
  arrivals: {arrivals}
  lengths:
    prompt_tokens: {{lognormal: {{mean: 300, p99: 1500}}}}
    output_tokens: {{lognormal: {{mean: 120, p99: 500}}}}
  slo: {slo}
"""
DEPLOYMENT = """apiVersion: tonnage/v1
kind: Deployment
metadata: {{name: here}}
spec:
  model: {model}
  device: {device}
  engine: {{max_num_seqs: 128, max_num_batched_tokens: 2048, max_model_len: 4096}}
"""
MODEL = "qwen1.5-moe-a2.7b"


def workload(
    folder: Path, *, slo: str = SLO, arrivals: str = "{rate_per_s: 9, duration_s: 60}", model: str = MODEL
) -> Path:
    path = folder / "workload.yaml"
    path.write_text(WORKLOAD.format(model=model, arrivals=arrivals, slo=slo))
    return path


def deployment(folder: Path, *, device: str = "a100-80gb", model: str = MODEL) -> Path:
    path = folder / "deployment.yaml"
    path.write_text(DEPLOYMENT.format(model=model, device=device))
    return path


def experts(folder: Path, *, layers: int = 24, number: int = 60, model: str = MODEL, skew: float = 0.6) -> Path:
    """Zipf popularity, shuffled by layer."""
    rng = np.random.default_rng(0)
    shares = 1.0 / np.arange(1, number + 1) ** skew
    rows = [rng.multinomial(20_000, rng.permutation(shares / shares.sum())) for _ in range(layers)]
    spec = {
        "model": model, "experts": number, "experts_per_token": 4, "form": "counts", "source": "synthetic, made up",
        "sha256": "sha256:0", "layers": [plain(layer_experts(n, row.tolist())) for n, row in enumerate(rows)],
    }  # fmt: skip
    document = {"apiVersion": "tonnage/v1", "kind": "ExpertProfile", "metadata": {"name": "made-up"}, "spec": spec}
    ExpertProfile.model_validate(document)
    path = folder / "experts.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
