"""Writes the page of the 70B example: a plan over a real trace, its explanation, and a check with one replica less.

The trace is a reference measurement and not part of the project: `TONNAGE_REFERENCE_DATA` names its folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import yaml

from benchmarks.reference import reference_path
from docs.examples import ROOT, Example, run

PAGE = ROOT / "docs" / "example-70b.md"
TRACE = "llm_traces/azure2023_conv_first60pct.csv.gz"
WORKLOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {name: conversation}
spec:
  model: llama-3.1-70b
  arrivals: {trace: conversation.csv.gz}
  lengths: {from: trace}
  slo: {attainment: 0.99, request: {ttft_s: 2.0, tpot_s: 0.06}, ttft_s: {p99: 2.0}, tpot_s: {p99: 0.06}}
"""
HEAD = """# Example: Llama-3.1-70B on three offers

The trace: 12,340 requests of the Azure 2023 conversation service (the first 60 % of its time). The offers: H100, A100
and L40S pools with placeholder prices. This page is written by `python -m docs.example_70b`; the trace is not part of
the project.

```yaml
{workload}```

```yaml
{cluster}```
"""
CHECK = """## The answer checked

The plan's own record of what it simulated and rejected is `why.failed` of the plan. Here `tonnage predict serving`
simulates the answer, {replicas} replicas, and then one less, over the same trace. The plan holds the SLO at the upper
end of the step times for its confidence of 80 %; the intervals below are those of 90 %, so that a bound may hold "not
surely".
"""


def main() -> int:
    """Plan, explain and check in a new folder, and write the page."""
    folder = Path(tempfile.mkdtemp(prefix="tonnage-70b-"))
    os.symlink(reference_path(TRACE), folder / "conversation.csv.gz")
    cluster = (ROOT / "sample_workloads" / "cluster.yaml").read_text(encoding="utf-8")
    (folder / "workload.yaml").write_text(WORKLOAD)
    (folder / "cluster.yaml").write_text(cluster)
    with chdir(folder):
        parts = [HEAD.format(workload=WORKLOAD, cluster=cluster), "## The plan\n"]
        parts.append(_shown("tonnage plan serving workload.yaml --cluster cluster.yaml -w plan.yaml"))
        parts += ["## The explanation\n", _shown("tonnage explain plan.yaml"), *_checked()]
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    return 0


def _shown(command: str) -> str:
    _, printed = run(Example(PAGE, command, ()))
    return "\n".join(["```text", f"$ {command}", *printed, "```", ""])


def _checked() -> list[str]:
    """Return the predictions with the planned replicas and with one less, for a plan of one deployment."""
    planned = yaml.safe_load(Path("plan.yaml").read_text())["decision"]["deployments"]
    assert len(planned) == 1, "the page is written for a plan of one deployment"
    replicas = planned[0]["replicas"]
    parts = [CHECK.format(replicas=replicas)]
    for name, count in (("answer", replicas), ("one-less", replicas - 1)):
        document = {
            "apiVersion": "tonnage/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {**{k: v for k, v in planned[0].items() if k != "labels"}, "replicas": count},
        }
        Path(f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        parts.append(_shown(f"tonnage predict serving {name}.yaml workload.yaml"))
    return parts


if __name__ == "__main__":
    sys.exit(main())
