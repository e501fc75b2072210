"""Interference: how much containers slow each other, learnt from what was measured, and who disturbs whom."""

from predictors.interference.estimate import Trained, estimate_interference, evidence_of, slowdown_figure, train
from predictors.interference.surfaces import Surfaces, surfaces

__all__ = ["Surfaces", "Trained", "estimate_interference", "evidence_of", "slowdown_figure", "surfaces", "train"]
