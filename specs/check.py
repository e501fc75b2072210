"""What `tonnage check` found: predicted against measured, and whether a stated interval held."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Document, Spec
from specs.plan import Evidence


class Checked(Spec):
    """One figure: predicted with its 90 % interval, measured, and the relative error of the prediction.

    ``error`` is predicted / measured − 1; with ``measured`` it is None where the run does not give the figure.
    ``inside`` says whether the measured figure lies in the interval.
    """

    predicted: float | None = None
    measured: float | None = None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    inside: bool | None = None


class CheckedLatency(Spec):
    """Mean and percentiles of one latency, in seconds."""

    mean: Checked = Checked()
    p50: Checked = Checked()
    p90: Checked = Checked()
    p95: Checked = Checked()
    p99: Checked = Checked()


class CheckedPoint(Spec):
    """One published closed-loop point: its own columns, and both latencies in seconds."""

    row: int
    columns: dict[str, str | int | float] = Field(default_factory=dict)
    ttft_s: Checked
    tpot_s: Checked


class CheckReport(Document):
    """A prediction held against a measurement; ``mape`` and ``points`` belong to tables of points alone."""

    kind: Literal["CheckReport"] = "CheckReport"
    subject: Literal["deployment", "plan", "points"]
    verdict: str
    violated: bool = False
    measured_by: str
    requests: int
    ttft_s: CheckedLatency | None = None
    tpot_s: CheckedLatency | None = None
    e2e_s: CheckedLatency | None = None
    mape: dict[str, float] = Field(default_factory=dict)
    points: tuple[CheckedPoint, ...] = ()
    notes: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
