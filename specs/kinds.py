"""Which module of this room holds each kind of document that a store keeps, and plans read by their kind."""

from __future__ import annotations

import importlib
from pathlib import Path

from specs.base import Document
from specs.errors import InputError
from specs.explaining import nearest
from specs.plan import PlanDocument
from specs.reading import read_document, read_documents

PROFILE_KINDS: dict[str, str] = {
    "CpiProfile": "specs.cpi",
    "EngineProfile": "specs.engine",
    "ExpertProfile": "specs.experts",
    "GpuProfile": "specs.gpu",
    "HostProfile": "specs.host",
    "LayerProfile": "specs.profile",
    "ServiceProfile": "specs.application",
}
"""Each kind of profile and the module of its model."""

PLAN_KINDS: dict[str, str] = {
    "ApplicationPlan": "specs.application_plan",
    "AutoscalingPlan": "specs.autoscaling",
    "BatchingPlan": "specs.batching",
    "BrownoutPlan": "specs.brownout",
    "ColocationPlan": "specs.colocation",
    "ModulesPlan": "specs.modules",
    "PlacementPlan": "specs.placement",
    "RightsizingPlan": "specs.rightsizing",
    "ServingPlan": "specs.plan",
    "SloPlan": "specs.slo_plan",
    "TechniquesPlan": "specs.techniques",
}
"""Each kind of plan and the module of its model."""


def stored_kind(name: str) -> type[Document]:
    """Return the model of the profile or plan kind ``name``; raises `InputError` for a kind that no store keeps."""
    kinds = PROFILE_KINDS | PLAN_KINDS
    if name not in kinds:
        known = ", ".join(sorted(kinds))
        raise InputError(f"kind {name!r} is not kept in a store{nearest(name, list(kinds))}", cure=f"Known: {known}.")
    kind: type[Document] = getattr(importlib.import_module(kinds[name]), name)
    return kind


def read_plan(path: Path, kinds: tuple[str, ...] | None = None) -> PlanDocument:
    """Read the one plan in ``path``, whichever of ``kinds`` (all where None) it is; raises `InputError` otherwise."""
    known = kinds or tuple(PLAN_KINDS)
    found = [str(data.get("kind")) for data, _ in read_documents(path)]
    named = [name for name in found if name in known]
    if not named:
        shown = ", ".join(found) or "nothing"
        near = nearest(found[0], list(known)) if found else ""
        raise InputError(f"{path}: holds {shown}{near}", cure=f"Give a plan of kind {', '.join(sorted(known))}.")
    plan = read_document(path, stored_kind(named[0]))
    assert isinstance(plan, PlanDocument)
    return plan
