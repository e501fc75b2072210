"""The sample shop, and its plan made once."""

from __future__ import annotations

import functools
from pathlib import Path

from planners.colocation import plan
from predictors.interference import Trained, train
from profilers.contention import contention_rows
from specs.colocation import ColocationPlan

SAMPLES = Path(__file__).resolve().parents[3] / "sample_workloads"
SHOP, NODES, ROWS = SAMPLES / "pods.yaml", SAMPLES / "nodes.yaml", SAMPLES / "contention.csv"


@functools.cache
def shop_plan() -> ColocationPlan:
    """The plan of the sample."""
    return plan(SHOP, NODES, measured=(ROWS,))


@functools.cache
def trained() -> Trained:
    """What is learnt of the sample's rows, once for all plans of other shops and nodes."""
    return train(contention_rows([ROWS]), seed=0, quick=True)
