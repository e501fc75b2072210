"""Which brownout setting carries the burst at the least loss, and the largest burst that it carries."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from planners.brownout.question import OnProgress
from planners.brownout.trials import Bench, Setting, Trial, try_setting

FULL_SERVICE = Setting(mode="full service", way=None)
FIXED_STEPS = 10
"""Fixed thresholds are tried in steps of a tenth, as the published table has them."""
LARGEST_BURST = 16.0
RELATIVE_STEP = 0.03
"""The largest burst is found to this much."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Every trial that counts, full service first, and the best of those that hold (None: none does)."""

    full: Trial
    others: tuple[Trial, ...]
    best: Trial | None
    refused: tuple[str, ...]
    simulated: int


@dataclass(frozen=True, kw_only=True)
class Burst:
    """The largest multiple of the rate that was seen to hold, the mean loss in it, and the smallest seen to break."""

    holds: float
    breaks: float | None
    loss_pct: float = 0.0


@dataclass
class Counted:
    """How many replays were made."""

    number: int = 0
    trials: list[Trial] = field(default_factory=list)


def search(bench: Bench, ways: tuple[int, ...], on_progress: OnProgress) -> Found:
    """Replay full service, and SALC and fixed thresholds for every way; the least loss among those that hold wins.

    Equal losses go to the smaller memory. Where full service holds, nothing is browned out.
    """
    counted, refused = Counted(), []
    full = _counted(bench, FULL_SERVICE, counted)
    for number, way in enumerate(ways):
        on_progress(number, len(ways), f"united experts of way {way}")
        if not bench.fits(way):
            error = bench.ways[way]
            refused.append(str(getattr(error, "message", error)))
            continue
        counted.trials.append(_counted(bench, Setting(mode="salc", way=way), counted))
        fixed = least_loss_fixed(bench, way, counted)
        counted.trials += [fixed] if fixed else []
    held = [trial for trial in counted.trials if trial.holds]
    best = full if full.holds else min(held, key=lambda one: (round(one.loss_pct, 4), one.extra_gib), default=None)
    return Found(
        full=full, others=tuple(counted.trials), best=best, refused=tuple(refused), simulated=counted.number
    )  # fmt: skip


def least_loss_fixed(bench: Bench, way: int, counted: Counted) -> Trial | None:
    """The pair of fixed thresholds that holds at the least loss, along the frontier of pairs that hold.

    Serving less never takes longer, so the largest decode threshold that holds grows as the prefill threshold falls:
    the frontier is walked in as many steps as there are thresholds, not their square. None where none holds.
    """
    best: Trial | None = None
    decode = 0
    for prefill in range(FIXED_STEPS, -1, -1):
        while decode <= FIXED_STEPS:
            pair = (prefill / FIXED_STEPS, decode / FIXED_STEPS)
            trial = _counted(bench, Setting(mode="fixed thresholds", way=way, thresholds=pair), counted)
            if not trial.holds:
                break
            best = trial if best is None or trial.loss_pct < best.loss_pct else best
            decode += 1
        if decode > FIXED_STEPS:
            break
    return best


def _counted(bench: Bench, setting: Setting, counted: Counted) -> Trial:
    counted.number += 1
    return try_setting(bench, setting)


def largest_burst(bench: Bench, setting: Setting) -> Burst:
    """Bisect for the largest multiple of the rate, from the start of the burst on, under which the SLO holds. [ours]"""
    found = Burst(holds=0.0, breaks=None)
    factor = 1.0
    while True:
        trial = try_setting(bench, setting, factor)
        if trial.holds:
            found = replace(found, holds=factor, loss_pct=trial.burst_loss_pct)
        else:
            found = replace(found, breaks=factor)
        if found.holds == 0.0 or (found.breaks is None and found.holds >= LARGEST_BURST):
            return found
        if found.breaks is None:
            factor = min(found.holds * 1.5, LARGEST_BURST)
        elif found.breaks / found.holds <= 1 + RELATIVE_STEP:
            return found
        else:
            factor = float(np.sqrt(found.holds * found.breaks))
