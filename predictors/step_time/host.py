"""Host time per step (scheduler, input preparation, sampling, detokenising) by engine, version and batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from predictors.step_time.operators import Dense, Experts, Message, Stream
from specs.catalog import CATALOG

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class HostTime:
    """What a step costs besides its kernels, for one engine and version (ours).

    ``base_s`` per step and ``per_sequence_s`` per running sequence; ``overlap``: asynchronous scheduling hides it
    behind the GPU. ``fused_us``: microseconds that fusion and graph replay take off each call of an operator timed
    alone; never below ``fused_floor`` of it. ``exact``: fitted on this very engine version.
    """

    base_s: float
    per_sequence_s: float
    overlap: bool = False
    fused_us: dict[str, float] | None = None
    fused_floor: float = 0.5
    relative_error: float = 0.0
    source: str = ""
    exact: bool = True

    def seconds(self, sequences: FloatArray) -> FloatArray:
        """Host seconds for each number of running sequences."""
        return self.base_s + self.per_sequence_s * np.asarray(sequences, dtype=np.float64)

    def fused_s(self, operator: Dense | Stream | Experts | Message) -> float:
        """Seconds per call to take off an operator that was timed alone."""
        return (self.fused_us or {}).get(operator.name, 0.0) * 1e-6


@cache
def host_time(engine: str, version: str) -> HostTime:
    """The host time of an engine at a version: the newest entry that is not newer, else the oldest."""
    entries = [entry for entry in _catalogue() if entry["engine"] == engine] or list(_catalogue())
    entries.sort(key=lambda entry: _ordered(entry["version"]))
    known = [entry for entry in entries if _ordered(entry["version"]) <= _ordered(version)]
    entry = known[-1] if known else entries[0]
    return HostTime(
        base_s=entry["base_ms"] * 1e-3, per_sequence_s=entry["per_sequence_us"] * 1e-6,
        overlap=bool(entry.get("overlap", False)), source=entry["source"],
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
