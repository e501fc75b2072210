"""Which module of this room holds each kind of document that a store keeps."""

from __future__ import annotations

import importlib

from specs.base import Document
from specs.errors import InputError
from specs.explaining import nearest

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
    "ServingPlan": "specs.plan",
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
