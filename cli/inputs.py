"""What several commands read: a deployment with the device, model and profile that it names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from specs.deployment import Deployment
    from specs.device import DeviceSpec
    from specs.engine import StepEvidence
    from specs.model import ModelSpec


@dataclass(frozen=True)
class Served:
    """A deployment and everything that it names."""

    deployment: Deployment
    model: ModelSpec
    device: DeviceSpec
    profile: StepEvidence | None


def read_served(path: Path, store: str | None = None) -> Served:
    """Read the Deployment at ``path`` and what it refers to, relative to its folder; raises `InputError`."""
    from profilers.importers.silicon import profile_for
    from profilers.named import step_profile
    from specs.catalog import find_device, find_model
    from specs.deployment import Deployment
    from specs.reading import read_document

    deployment, base = read_document(path, Deployment), path.parent
    spec = deployment.spec
    model, device = find_model(spec.model, base), find_device(spec.device, base)
    profile = step_profile(spec.profile, base, store) if spec.profile else None
    return Served(deployment, model, device, profile or profile_for(model, device, spec))
