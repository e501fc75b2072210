"""A threshold for each layer: the same expert time as one threshold for all, spent where it loses least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from planners.brownout.trials import Bench, Trial
from predictors.brownout import THRESHOLDS, TOKENS, level_of
from solvers.multiple_choice import choose

FloatArray = npt.NDArray[np.float64]
Phase = Literal["prefill", "decode"]


@dataclass(frozen=True, kw_only=True)
class LayerThresholds:
    """Thresholds by layer, and the losses of one threshold for all, of these, and of any choice at least; percent."""

    phase: Phase
    thresholds: tuple[float, ...]
    uniform_loss_pct: float
    loss_pct: float
    bound_pct: float


def by_layer(bench: Bench, trial: Trial) -> tuple[LayerThresholds, ...]:
    """Thresholds by layer for both phases, at the mean thresholds of ``trial`` in the burst.

    A published table knows no layers: each layer is taken to lose an equal part of it [ours].
    """
    return tuple(_of_phase(bench, trial, phase) for phase in ("prefill", "decode"))


def step_tokens(trial: Trial, phase: Phase) -> int:
    """Scheduled tokens of a typical step: the mean decoding batch of a replica; or the mean prompt on top of it."""
    replicas = len(trial.run.replicas.steps)
    batch = max(trial.measures.mean_running / replicas, 1.0)
    if phase == "decode":
        return round(batch)
    prompts = float(trial.run.replicas.prefill_tokens.sum()) / max(len(trial.run.ttft_s), 1)
    return round(batch + prompts)


def row_of(tokens: int) -> int:
    """Index of the nearest of `TOKENS`, on a scale of ratios."""
    return int(np.abs(np.log(np.asarray(TOKENS)) - np.log(tokens)).argmin())


def _of_phase(bench: Bench, trial: Trial, phase: Phase) -> LayerThresholds:
    way = trial.setting.way
    table = bench.question.accuracy.spec
    level = level_of(trial.burst_thresholds[phase == "decode"])
    cost = bench.brownout(way).layer_s[row_of(step_tokens(trial, phase))].T
    losses = np.asarray([table.loss(way, threshold) for threshold in THRESHOLDS]) / len(cost)
    budget = float(cost[:, level].sum()) * (1 + 1e-12)
    found = choose(np.tile(losses, (len(cost), 1)), cost, budget)
    assert found is not None, "one threshold for all is a choice within the budget"
    uniform = float(losses[level] * len(cost))
    options = found.options if found.loss <= uniform else (level,) * len(cost)
    return LayerThresholds(
        phase=phase, thresholds=tuple(THRESHOLDS[option] for option in options), uniform_loss_pct=uniform,
        loss_pct=min(found.loss, uniform), bound_pct=max(min(found.bound, uniform), 0.0),
    )  # fmt: skip
