"""The base of every document: frozen pydantic models with `apiVersion`, `kind` and `metadata`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

API_VERSION: Literal["tonnage/v1"] = "tonnage/v1"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["fp32", "fp16", "bf16", "fp8", "int8", "int4", "mxfp4", "fp4"]

# Bytes per element of each storage precision; group scales are counted by the memory predictor. [std]
BYTES_PER_ELEMENT: dict[str, float] = {
    "fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "mxfp4": 0.5, "fp4": 0.5,
}  # fmt: skip


class Spec(BaseModel):
    """A frozen part of a document; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, protected_namespaces=())


class Metadata(Spec):
    """Name and labels of a document; plans add when, by what and from which inputs they were made."""

    name: str = Field(min_length=1)
    labels: dict[str, str] = Field(default_factory=dict)
    created: str | None = None
    tonnage: str | None = None
    inputs: dict[str, str] = Field(default_factory=dict)


class Document(Spec):
    """Anything with `apiVersion`, `kind` and `metadata`."""

    apiVersion: Literal["tonnage/v1"] = API_VERSION  # noqa: N815 (the document's own spelling)
    kind: str
    metadata: Metadata


class Figure(Spec):
    """One stated number with its interval and the basis of that interval."""

    value: float
    low: float | None = None
    high: float | None = None
    basis: str | None = None


class Sourced(Spec):
    """One number with where it comes from and when it was read."""

    value: float
    source: str
    date: str


def plain(spec: BaseModel) -> dict[str, Any]:
    """Return ``spec`` as JSON-like data without the fields that were left unset."""
    return spec.model_dump(mode="json", exclude_none=True, by_alias=True)
