"""The starter documents of `tonnage init serving`: a workload, a cluster and a small synthetic trace."""

from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).resolve().parent.parent / "sample_workloads"
STARTERS = {
    "workload.yaml": "starter_workload.yaml", "cluster.yaml": "starter_cluster.yaml", "trace.csv": "chat.csv",
}  # fmt: skip


def starter_files() -> dict[str, str]:
    """Return the text of each starter file by the name it is written under; together they plan without an edit."""
    return {name: (SAMPLES / sample).read_text(encoding="utf-8") for name, sample in STARTERS.items()}
