"""Host time per step (scheduler, input preparation, sampling, detokenising) by engine, version and batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from specs.catalog import CATALOG

# From the end of one kernel to the start of the next inside a replayed CUDA graph, H100.
# [Hazy Research, "Look Ma, No Bubbles!", 2025-05-27: about 1.3 µs with graphs, 2.1 µs without]
GRAPH_GAP_S = 1.3e-6

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class HostTime:
    """What a step costs besides its kernels, for one engine and version (ours).

    ``base_s`` per step and ``per_sequence_s`` per running sequence; ``overlap``: asynchronous scheduling hides it
    behind the GPU. ``ahead``: a step is scheduled when the one before it starts. ``saved_us_per_layer``: what fusion,
    graph replay and dependent launch spare of a layer whose kernels were timed alone, ``saved_us_per_quantised_layer``
    more where each timing holds its own quantisation of activations. ``exact``: fitted on this engine at this minor
    version. ``relative_error``: half-width of the 90 % interval of a step, out of fold, where it was fitted.
    """

    base_s: float
    per_sequence_s: float
    overlap: bool = False
    ahead: bool = False
    saved_us_per_layer: float = 0.0
    saved_us_per_quantised_layer: float = 0.0
    relative_error: float | None = None
    source: str = ""
    exact: bool = True

    def seconds(self, sequences: FloatArray) -> FloatArray:
        """Host seconds for each number of running sequences."""
        return self.base_s + self.per_sequence_s * np.asarray(sequences, dtype=np.float64)


@cache
def host_time(engine: str, version: str) -> HostTime:
    """The host time of an engine at a version: the newest entry that is not newer, else the oldest."""
    entries = [entry for entry in _catalogue() if entry["engine"] == engine] or list(_catalogue())
    entries.sort(key=lambda entry: _ordered(entry["version"]))
    known = [entry for entry in entries if _ordered(entry["version"]) <= _ordered(version)]
    entry = known[-1] if known else entries[0]
    return HostTime(
        base_s=entry["base_ms"] * 1e-3, per_sequence_s=entry["per_sequence_us"] * 1e-6,
        overlap=bool(entry.get("overlap", False)), ahead=bool(entry.get("ahead", False)), source=entry["source"],
        saved_us_per_layer=entry.get("saved_us_per_layer", 0.0),
        saved_us_per_quantised_layer=entry.get("saved_us_per_quantised_layer", 0.0),
        exact=entry["engine"] == engine and _ordered(entry["version"])[:2] == _ordered(version)[:2],
    )  # fmt: skip


@cache
def _catalogue() -> tuple[dict[str, Any], ...]:
    text = (CATALOG / "host_time.yaml").read_text(encoding="utf-8")
    return tuple(yaml.load(text, Loader=yaml.CSafeLoader)["entries"])


def _ordered(version: str) -> tuple[int, ...]:
    """Numbers of a version, for comparison; suffixes such as rc3 or post1 are left out."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = ""
        for character in part:
            if not character.isdigit():
                break
            digits += character
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
