"""How often each expert of a mixture-of-experts model is chosen, layer by layer, as a router log tells it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from specs.base import Count, Document, NonNegative, Share, Spec
from specs.profile import Machine


class LayerExperts(Spec):
    """Popularity of the experts of one layer.

    ``counts``: tokens sent to each expert, by its index. ``imbalance``: the largest count over the mean.
    ``effective``: the number of equally popular experts with the same entropy. ``hot_share``: share of the tokens that
    go to the hottest tenth of the experts (rounded up). ``sampling_error``: what a log of this length leaves open, as
    expected half of the summed absolute differences between the measured and the true shares.
    """

    layer: int = Field(ge=0)
    assignments: Count  # summed counts
    counts: tuple[int, ...] = Field(min_length=1)
    imbalance: NonNegative
    effective: NonNegative
    hot_share: Share
    never: int = 0  # experts that were not chosen at all
    sampling_error: NonNegative

    @model_validator(mode="after")
    def _adds_up(self) -> LayerExperts:
        if min(self.counts) < 0 or sum(self.counts) != self.assignments:
            raise ValueError(f"layer {self.layer}: counts are negative or do not add up to {self.assignments}")
        return self


class ExpertProfileSpec(Spec):
    """Expert popularity of one model under one load; every layer has the same number of experts."""

    model: str | None = None
    experts: Count
    experts_per_token: Count | None = None
    form: Literal["counts", "tokens"]  # one row per expert with its count, or rows of single tokens
    source: str  # the file's name
    sha256: str
    machine: Machine = Machine()
    layers: tuple[LayerExperts, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_number_of_experts(self) -> ExpertProfileSpec:
        if any(len(one.counts) != self.experts for one in self.layers):
            raise ValueError(f"every layer needs {self.experts} counts")
        return self


class ExpertProfile(Document):
    """An expert profile document."""

    kind: Literal["ExpertProfile"] = "ExpertProfile"
    spec: ExpertProfileSpec
