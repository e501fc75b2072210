"""Counts of one window under one set of names, whichever way they were counted."""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST_COUNTED_SHARE = 0.01  # ours: below it a scaled count is mostly extrapolation and no CPI is given


@dataclass(frozen=True)
class Counts:
    """Counts by name, scaled for multiplexing: cycles, instructions, llc_misses, stalled_cycles, task_clock_s, …

    ``counted_share``: part of the target's CPU time in which they counted, where known. ``user_only``: without the
    kernel's time.
    """

    values: dict[str, float] = field(default_factory=dict)
    counted_share: float | None = None
    user_only: bool = False

    @property
    def trusted(self) -> bool:
        """Whether the counters counted long enough to stand for the window."""
        return self.counted_share is None or self.counted_share >= LEAST_COUNTED_SHARE


def ratios(counts: Counts) -> dict[str, float]:
    """Return `cpi`, `llc_mpki` and `stalled_share` as far as their counts are there; no counts, no ratio."""
    values = counts.values if counts.trusted else {}
    cycles, instructions = values.get("cycles", 0.0), values.get("instructions", 0.0)
    found: dict[str, float] = {}
    if cycles > 0 and instructions > 0:
        found["cpi"] = cycles / instructions
    if instructions > 0 and "llc_misses" in values:
        found["llc_mpki"] = 1000 * values["llc_misses"] / instructions
    if cycles > 0 and "stalled_cycles" in values:
        found["stalled_share"] = values["stalled_cycles"] / cycles
    return found
