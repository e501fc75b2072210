"""One line of the benchmark table: what it measures, its bar, its data, and what a run of it found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a benchmark measures and the bar it must hold; ``best`` is the best known elsewhere."""

    name: str
    what: str
    bar: str
    data: str
    best: str = "–"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one run found: whether the bar holds, the figure printed last, all figures, rows for the evidence page."""

    holds: bool
    text: str
    figures: dict[str, float] = field(default_factory=dict)
    detail: tuple[dict[str, object], ...] = ()
    notes: tuple[str, ...] = ()
