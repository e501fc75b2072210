"""The page of documents, from their pydantic models and the comments beside their fields."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from specs.accuracy import AccuracyTable
from specs.application import Application, ServiceProfile
from specs.application_estimate import ApplicationEstimate
from specs.application_plan import ApplicationPlan
from specs.autoscaling import AutoscalingPlan, Scaling
from specs.base import Document
from specs.batching import BatchingPlan
from specs.brownout import BrownoutPlan
from specs.check import CheckReport
from specs.cluster import Cluster
from specs.colocation import ColocationPlan
from specs.cpi import CpiProfile
from specs.deployment import Deployment
from specs.device import Device
from specs.drift import DriftReport
from specs.engine import EngineProfile
from specs.estimate import MemoryEstimate
from specs.experts import ExpertProfile
from specs.gpu import GpuProfile
from specs.host import HostProfile
from specs.interference import InterferenceEstimate
from specs.learned_model import LearnedModel
from specs.load import LoadForecast, LoadForecasts
from specs.model import Model
from specs.modules import ModulesPlan
from specs.placement import PlacementPlan
from specs.plan import ServingPlan
from specs.prediction import ServingEstimate
from specs.profile import LayerProfile
from specs.rightsizing import RightsizingPlan
from specs.slo_plan import SloPlan
from specs.techniques import TechniquesPlan
from specs.workload import Workload

KINDS: tuple[type[Document], ...] = (
    Workload,
    Cluster,
    Deployment,
    ServingPlan,
    BatchingPlan,
    MemoryEstimate,
    ServingEstimate,
    CheckReport,
    LayerProfile,
    HostProfile,
    GpuProfile,
    EngineProfile,
    CpiProfile,
    ExpertProfile,
    DriftReport,
    Device,
    Model,
    Application,
    ServiceProfile,
    ApplicationEstimate,
    PlacementPlan,
    ModulesPlan,
    RightsizingPlan,
    LoadForecast,
    LoadForecasts,
    BrownoutPlan,
    TechniquesPlan,
    AccuracyTable,
    SloPlan,
    LearnedModel,
    Scaling,
    AutoscalingPlan,
    InterferenceEstimate,
    ColocationPlan,
    ApplicationPlan,
)
UNITS = {
    "_s": "seconds", "_ms": "milliseconds", "_us": "microseconds", "_gib": "GiB", "_mib": "MiB", "_bytes": "bytes",
    "_per_s": "per second", "_usd_per_hour": "USD per hour", "_tokens": "tokens", "_mhz": "MHz", "_w": "W",
    "_gb_per_s": "GB/s", "_gbps": "Gbit/s", "_tflops": "TFLOP/s", "usd_per_gpu_hour": "USD per GPU and hour",
}  # fmt: skip
HEAD = """# Documents

YAML with `apiVersion: tonnage/v1` and `kind`. Units are in the field's name; a bare number without a unit in its name
is a count or a ratio. Unknown fields are errors. References to other files are relative to the document that
makes them.
"""


def documents_page() -> str:
    """Return the page: one section per kind, one table per part, each part once."""
    told: set[type[BaseModel]] = set()
    parts = [HEAD]
    for kind in KINDS:
        parts += [f"## {kind.__name__}", "", inspect.getdoc(kind) or "", ""]
        for part in _parts(kind):
            if part not in told and part is not kind:
                told.add(part)
                parts += [f"### {part.__name__}", "", inspect.getdoc(part) or "", "", *_table(part), ""]
    return "\n".join(parts)


def _parts(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield ``model`` and, depth first, every model below it."""
    yield model
    for field in model.model_fields.values():
        for below in _models_in(field.annotation):
            yield from _parts(below)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _table(model: type[BaseModel]) -> list[str]:
    comments = _comments(model)
    rows = [_row(name, field, comments.get(name, "")) for name, field in model.model_fields.items()]
    return ["| field | type | default | |", "|---|---|---|---|", *rows]


def _row(name: str, field: FieldInfo, comment: str) -> str:
    default = "required" if field.is_required() else _default(field)
    unit = next((u for suffix, u in sorted(UNITS.items(), key=lambda e: -len(e[0])) if name.endswith(suffix)), "")
    note = "; ".join(part for part in (unit, comment.replace("|", "\\|")) if part)
    return f"| `{field.alias or name}` | {_type(field.annotation)} | {default} | {note} |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its own defaults"
    return "" if value is None or value in ({}, ()) else f"`{value}`"


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " \\| ".join(f"`{value}`" for value in arguments)
    if origin in (tuple, list):
        return "list of " + _type(arguments[0])
    if origin is dict:
        return f"mapping to {_type(arguments[1])}"
    if arguments:
        return " \\| ".join(_type(argument) for argument in arguments if argument is not type(None))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    names = {int: "integer", float: "number", str: "text", bool: "true/false", Any: "any"}
    return names.get(annotation, str(annotation))


def _comments(model: type[BaseModel]) -> dict[str, str]:
    """Return the comment at the end of each field's line in the source."""
    lines = inspect.getsource(model).splitlines()
    found = (re.match(r"\s+(\w+): .*?\s{2}# (?!noqa|type:)(.*)$", line) for line in lines)
    return {match[1]: match[2] for match in found if match}
