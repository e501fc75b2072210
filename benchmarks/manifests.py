"""Manifests of plans of every kind: each object held against its schema, each decided field looked for in them."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from benchmarks.line import Line, Result
from benchmarks.manifest_fields import Decision, missing
from benchmarks.manifest_schemas import Manifest, documents, validate
from specs.errors import InputError

LINE = Line(
    name="manifests",
    what="manifests of the sample plans against real schemas, and every decided field looked for in them",
    bar="100 % valid, every field that the plan decides is present",
    data="sample_workloads",
)
SAMPLES = Path(__file__).parents[1] / "sample_workloads"
SHOP = """apiVersion: tonnage/v1
kind: Application
metadata: {name: shop}
spec:
  services: [{name: gateway}, {name: cart}, {name: payment}]
  calls: [{caller: gateway, callee: cart}, {caller: cart, callee: payment, calls_per_request: 0.4, stage: 1}]
  entries: [{service: gateway, slo: {latency_s: {p99: 1.2}}}]
"""
"""The services that scaling.yaml describes."""
PLANS = {
    "serving": ("serving", "chat.yaml", "--cluster", "cluster.yaml"),
    "slo": ("slo", "orders.yaml"),
    "rightsizing": ("rightsizing", "usage.csv.gz"),
    "colocation": ("colocation", "pods.yaml", "--cluster", "nodes.yaml", "--measured", "contention.csv"),
    "application": ("application", "exchange.yaml", "--cluster", "exchange_nodes.yaml"),
    "application scaled": (
        "application", "exchange.yaml", "--cluster", "exchange_nodes.yaml", "--load", "exchange_load.csv",
    ),
    "application with a model": ("application", "assistant.yaml", "--cluster", "assistant_nodes.yaml"),
    **{
        f"autoscaling {policy}": (
            "autoscaling", "scaled.yaml", "--load", "orders.csv", "--scaling", "scaling.yaml", "--policy", policy,
        )
        for policy in ("hpa", "keda", "static")
    },
    "autoscaling idle": (
        "autoscaling", "scaled.yaml", "--load", "office_hours.csv", "--scaling", "office_scaling.yaml", "--policy",
        "keda",
    ),
    "autoscaling layers": (
        "autoscaling", "chat_13b.yaml", "--modules", "cut.yaml", "--load", "chat_days.csv", "--scaling",
        "layer_scaling.yaml", "--policy", "hpa",
    ),
}  # fmt: skip
CUT = (
    "modules", "llama_13b.yaml", "--cluster", "shared.yaml", "--workload", "chat_13b.yaml", "--method",
    "layer-services",
)  # fmt: skip
"""The plan that cuts a model into the layer services of `autoscaling layers`."""
EXPORTS = {
    "serving": (("kubernetes",), ("llm-d",), ("llm-d", "--gpus-per-node", "2")),
    "slo": (("kubernetes",),),
    "rightsizing": (("kubernetes",), ("vpa",)),
    "colocation": (("kubernetes",),),
    "application": (("kubernetes",),),
    "application scaled": (("kubernetes",),),
    "application with a model": (("kubernetes",),),
    "autoscaling hpa": (("kubernetes",),),
    "autoscaling keda": (("kubernetes",), ("keda",)),
    "autoscaling static": (("kubernetes",),),
    "autoscaling idle": (("kubernetes",), ("keda",)),
    "autoscaling layers": (("kubernetes",),),
}
RULES = ("serving", "slo", "autoscaling hpa", "autoscaling keda", "autoscaling idle", "autoscaling layers")
NOTES = (
    "Plans are made by the command line on the sample workloads, whose loads and prices are illustrations. A partial"
    " Deployment is completed (selector, labels, image) before its schema is asked, as a merge would.",
    "Schemas: Kubernetes 1.31 by kubernetes-validate, strict; ScaledObject, VerticalPodAutoscaler and LeaderWorkerSet"
    " from their CRDs, unknown fields refused; pod templates and behaviour within them by Kubernetes' own.",
    "A field counts as present where its value is found in its object, not where some text is. Fields that no manifest"
    " can set (a sum, a price, how replicas are bought) are listed with the reason in benchmarks/manifest_fields.py; a"
    " field that is in neither list counts as missing.",
    "Of autoscaling, plans of one policy are exported. The plan of all policies recommends a receding horizon or a"
    " forecast for some services of this sample, which no Kubernetes object runs: its export is refused with the"
    " cheapest policy that can be deployed.",
    "`autoscaling idle` keeps nothing at night (idleReplicaCount beside minReplicaCount) and changes one replica at a"
    " time (one rule of both directions); `autoscaling layers` has one autoscaler for each group of a model's layers.",
    "llm-d is exported twice: with the nodes of 8 GPUs as planned, and of 2, so that a replica spans nodes.",
)


def run() -> Result:
    """Make each plan, export it every way, validate every object, and walk the decision field by field."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_row(name, Path(folder)) for name in PLANS]
    objects, invalid = sum(row["objects"] for row in rows), sum(row["invalid"] for row in rows)
    fields, lost = sum(row["fields"] for row in rows), sum(row["missing"] for row in rows)
    return Result(
        holds=invalid == 0 and lost == 0 and objects > 0 and fields > 0,
        text=f"{objects - invalid} of {objects} objects valid, {fields - lost} of {fields} decided fields present",
        figures={"objects": objects, "invalid": invalid, "fields": fields, "missing": lost},
        detail=tuple(rows),
        notes=NOTES,
    )


def _row(name: str, folder: Path) -> dict[str, Any]:
    plan = _planned(name, folder)
    decision: Decision = yaml.safe_load(plan.read_text(encoding="utf-8"))
    found = [one for words in EXPORTS[name] for one in documents(_tonnage("export", words[0], str(plan), *words[1:]))]
    wrong = [fault for one in found if (fault := _fault(one))]
    fields, lost = missing(decision, found)
    return {
        "plan": name, "objects": len(found), "invalid": len(wrong), "fields": fields, "missing": len(lost),
        "kinds": ", ".join(sorted({str(one["kind"]) for one in found})), "rules": _rules(name, plan),
        "faults": "; ".join([*wrong, *lost]),
    }  # fmt: skip


def _planned(name: str, folder: Path) -> Path:
    for file in SAMPLES.iterdir():
        if file.is_file() and not (folder / file.name).exists():
            (folder / file.name).symlink_to(file)
    (folder / "scaled.yaml").write_text(SHOP, encoding="utf-8")
    if "cut.yaml" in PLANS[name]:
        _plan(CUT, folder, folder / "cut.yaml")
    return _plan(PLANS[name], folder, folder / f"{name.replace(' ', '-')}.yaml")


def _plan(words: tuple[str, ...], folder: Path, path: Path) -> Path:
    kind, document, *options = words
    given = [str(folder / one) if "." in one else one for one in options]
    _tonnage("plan", kind, str(folder / document), *given, "-w", str(path), "--quiet")
    return path


def _tonnage(*words: str) -> str:
    """What a command prints; raises `InputError` where it fails."""
    done = subprocess.run([sys.executable, "-m", "tonnage", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"tonnage {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _fault(manifest: Manifest) -> str | None:
    refused = (jsonschema.ValidationError, kubernetes_validate.ValidationError, AssertionError)
    try:
        validate(manifest)
    except refused as error:
        return f"{manifest['kind']} {manifest['metadata']['name']}: {error}"
    return None if _has_sha(manifest) else f"{manifest['kind']} {manifest['metadata']['name']}: no sha of the plan"


def _has_sha(manifest: Manifest) -> bool:
    annotation = manifest["metadata"].get("annotations", {}).get("tonnage/plan", "")
    return re.fullmatch(r"sha256:[0-9a-f]{64}", annotation) is not None


def _rules(name: str, plan: Path) -> int:
    if name not in RULES:
        return 0
    return sum(1 for _ in _each_rule(yaml.safe_load(_tonnage("export", "prometheus", str(plan)))))


def _each_rule(rules: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in rules["groups"]:
        yield from group["rules"]
