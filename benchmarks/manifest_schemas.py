"""Manifests held against real schemas: Kubernetes' own strictly, and those of three custom resources."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

Manifest = dict[str, Any]
KUBERNETES = "1.31"
TOLERANCE_FROM = "1.33"
"""The version whose autoscalers have a tolerance of their own."""
SCHEMAS = Path(__file__).parents[1] / "tests" / "renderers" / "schemas"
CUSTOM = ("ScaledObject", "VerticalPodAutoscaler", "LeaderWorkerSet")


def documents(text: str) -> list[Manifest]:
    """Return the objects of a YAML stream."""
    return [one for one in yaml.safe_load_all(text) if one]


def validate(manifest: Manifest) -> None:
    """Raise where ``manifest`` is not valid; a partial Deployment is completed first, as a merge would."""
    if manifest["kind"] in CUSTOM:
        jsonschema.validate(manifest, _schema(manifest["kind"]))
    for one in _of_kubernetes(manifest):
        version = TOLERANCE_FROM if "tolerance" in str(one) else KUBERNETES
        kubernetes_validate.validate(one, version, strict=True)
    _rules(manifest)


@cache
def _schema(kind: str) -> dict[str, Any]:
    path = SCHEMAS / f"{kind.lower()}.yaml"
    schema: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def _of_kubernetes(manifest: Manifest) -> list[Manifest]:
    """The object, or the parts of a custom resource, that Kubernetes' own schemas describe."""
    kind, spec = manifest["kind"], manifest.get("spec", {})
    if kind == "Deployment":
        return [_completed(manifest)]
    if kind == "LeaderWorkerSet":
        template = spec["leaderWorkerTemplate"]
        return [_deployment(template[name]) for name in ("leaderTemplate", "workerTemplate") if name in template]
    if kind == "ScaledObject":
        behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        target = {"scaleTargetRef": spec["scaleTargetRef"], "maxReplicas": spec["maxReplicaCount"]}
        return [{
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": manifest["metadata"],
            "spec": {**target, "behavior": behaviour},
        }]  # fmt: skip
    return [] if kind in CUSTOM else [manifest]


def _deployment(template: Manifest) -> Manifest:
    labels = template["metadata"]["labels"]
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pods"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }  # fmt: skip


def _completed(deployment: Manifest) -> Manifest:
    """What is left to the Deployment that runs: selector, labels, images."""
    whole = copy.deepcopy(deployment)
    labels = {"app": whole["metadata"]["name"]}
    template = whole["spec"].setdefault("template", {})
    whole["spec"].setdefault("selector", {"matchLabels": labels})
    template.setdefault("metadata", {"labels": labels})
    for container in template.setdefault("spec", {}).setdefault("containers", [{"name": "app"}]):
        container.setdefault("image", "app:1")
    return whole


def _rules(manifest: Manifest) -> None:
    """What the schemas cannot say: bounds in order, and rules that autoscalers and selectors are refused for."""
    spec = manifest.get("spec", {})
    if manifest["kind"] == "HorizontalPodAutoscaler":
        assert 1 <= spec["minReplicas"] <= spec["maxReplicas"]
        _behaviour(spec.get("behavior", {}))
    if manifest["kind"] == "ScaledObject":
        assert 0 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
        assert spec["triggers"]
        _behaviour(spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])
        for trigger in spec["triggers"]:
            if trigger["type"] == "cron":
                assert trigger["metadata"]["start"] != trigger["metadata"]["end"]
    if manifest["kind"] == "Deployment" and "selector" in spec:
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
    if manifest["kind"] == "LeaderWorkerSet":
        assert spec["leaderWorkerTemplate"]["size"] >= 1


def _behaviour(behaviour: dict[str, Any]) -> None:
    for one in behaviour.values():
        assert 0 <= one["stabilizationWindowSeconds"] <= 3600
        assert one["selectPolicy"] in ("Max", "Min", "Disabled")
        assert one["policies"]
        for rule in one["policies"]:
            assert rule["type"] in ("Pods", "Percent")
            assert rule["value"] > 0
            assert 0 < rule["periodSeconds"] <= 1800
