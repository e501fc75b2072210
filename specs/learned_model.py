"""A trained model as a document: what it was trained on, how well it did, and its parameters."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from specs.base import Document, Spec
from specs.errors import InputError


class Weights(Spec):
    """One array of parameters: its shape and its float32 values, little-endian, in base64."""

    shape: tuple[int, ...]
    float32: str


class LearnedModelSpec(Spec):
    """``task`` names what it predicts; ``data`` is a digest of what it was trained on, ``scores`` its errors."""

    task: str
    seed: int
    data: str
    scores: dict[str, float] = Field(default_factory=dict)
    weights: tuple[Weights, ...]


class LearnedModel(Document):
    """A trained model; an input like any other."""

    kind: Literal["LearnedModel"] = "LearnedModel"
    spec: LearnedModelSpec


def packed(arrays: Sequence[npt.NDArray[np.float64]]) -> tuple[Weights, ...]:
    """Return the arrays as a document holds them."""
    return tuple(
        Weights(
            shape=tuple(np.shape(one)),
            float32=base64.b64encode(np.ascontiguousarray(one, dtype="<f4").tobytes()).decode("ascii"),
        )
        for one in arrays
    )


def unpacked(weights: Sequence[Weights]) -> list[npt.NDArray[np.float64]]:
    """Return the arrays of a document; raises `InputError` where values do not fill a shape."""
    found = []
    for one in weights:
        try:
            values = np.frombuffer(base64.b64decode(one.float32, validate=True), dtype="<f4")
            found.append(values.reshape(one.shape).astype(np.float64))
        except ValueError as error:
            raise InputError(f"spec.weights: {error}", cure="Train the model again.") from None
    return found
