"""What the decision still carries: the headroom over load and lengths, and what ± 20 % of each would do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planners.serving.candidates import Decision
from planners.serving.serve import Workbench
from planners.serving.trials import Trial, try_decision
from specs.plan import AtLoad, WhatIf

STEP = 0.20
LARGEST = 8.0
"""Multiples of the load beyond which headroom is not looked for."""
RELATIVE_STEP = 0.02
"""Headroom is found to this much."""


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """The largest multiple that was seen to hold, and the smallest that was seen to break; None: none broke."""

    holds: float
    breaks: float | None
    what_breaks: str | None


def quantities(bench: Workbench) -> list[tuple[str, str]]:
    """What is varied, by its name for the reader and as `Question.scaled` calls it."""
    load = "rate" if bench.question.closed_loop is None else "concurrency"
    return [(load, "load"), ("prompt length", "prompt"), ("output length", "output")]


def scaled_trial(bench: Workbench, decision: Decision, quantity: str, factor: float, *, stop: bool = True) -> Trial:
    """The decision under requests with one quantity (load, prompt, output) multiplied."""
    asked = bench.question.scaled(**{quantity: factor})
    return try_decision(bench, decision, question=asked, stop=stop)


def headroom(bench: Workbench, decision: Decision, quantity: str = "load", *, largest: float = LARGEST) -> Headroom:
    """Bisect for the largest multiple of a quantity under which the decision still holds. [ours]"""
    holds, breaks, what = 1.0, None, None
    factor = min(1.25, largest)
    while breaks is None or breaks / holds > 1 + RELATIVE_STEP:
        trial = scaled_trial(bench, decision, quantity, factor)
        if trial.holds:
            holds = factor
        else:
            breaks, what = factor, trial.verdict.worst.name
        if breaks is None and holds >= largest:
            break
        factor = min(holds * 1.5, largest) if breaks is None else float(np.sqrt(holds * breaks))
    return Headroom(holds=holds, breaks=breaks, what_breaks=what)


def what_if(bench: Workbench, decision: Decision) -> list[WhatIf]:
    """Rate, prompt and output length 20 % up and down, one at a time, with what breaks."""
    found = []
    for name, quantity in quantities(bench):
        for factor in (1 - STEP, 1 + STEP):
            trial = scaled_trial(bench, decision, quantity, factor, stop=False)
            found.append(
                WhatIf(
                    change=f"{name} {factor - 1:+.0%}",
                    holds=trial.holds,
                    breaks=None if trial.holds else trial.verdict.worst.text,
                    ttft_p99_s=_rounded(trial.ttft_p99_s),
                    tpot_p99_s=_rounded(trial.tpot_p99_s),
                    attainment=_rounded(trial.attainment),
                )
            )
    return found


def against_load(bench: Workbench, decision: Decision, load: Headroom) -> list[AtLoad]:
    """Return p99 and attainment at parts and multiples of the load, up to just beyond the one that breaks."""
    last = [load.breaks, 1.1 * load.breaks] if load.breaks else [load.holds]
    factors = sorted({0.25, 0.5, 0.75, 1.0, round(load.holds, 3), *(round(one, 3) for one in last)})
    found = []
    for factor in factors:
        trial = scaled_trial(bench, decision, "load", factor, stop=False)
        found.append(_at(factor, trial))
    return found


def _at(factor: float, trial: Trial) -> AtLoad:
    """What was held against the bounds: with the sampling error on top, where there is such a bound."""
    held = {check.name: check.value for check in trial.verdict.checks}
    return AtLoad(
        factor=factor, holds=trial.holds, ttft_p99_s=_rounded(held.get("ttft_s.p99", trial.ttft_p99_s)),
        tpot_p99_s=_rounded(held.get("tpot_s.p99", trial.tpot_p99_s)),
        attainment=_rounded(held.get("attainment", trial.attainment)),
        breaks=None if trial.holds else trial.verdict.worst.name,
    )  # fmt: skip


def first_to_break(bench: Workbench, decision: Decision, load: Headroom) -> tuple[str, float | None]:
    """Which of rate, prompt length and output length breaks the decision at the smallest multiple."""
    found = {
        name: load if quantity == "load" else headroom(bench, decision, quantity, largest=2.0)
        for name, quantity in quantities(bench)
    }
    name = min(found, key=lambda key: found[key].breaks or np.inf)
    return name, found[name].breaks


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
