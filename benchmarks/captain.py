"""Autothrottle's captain on its noisy load: throttle and allocation at four targets, against its own code's figures."""

from __future__ import annotations

import gzip

import numpy as np
import numpy.typing as npt

from benchmarks.line import Line, Result
from benchmarks.reference import reference_path
from predictors.autoscaling.captain import run_captain

DATA = "load_series/autothrottle_noisy.csv.gz"
LINE = Line(
    name="captain",
    what="Autothrottle's captain: share of throttled periods and mean allocation at targets .02, .06, .10, .20",
    bar="within 5 %",
    data=DATA,
)
MEAN_CORES, SIGMA, PERIODS_PER_S, SEEDS = 1.6, 0.4, 10, 200
"""The noisy load scaled to a mean of 1.6 cores; log-normal noise of mean 1 in each period of 100 ms; 200 seeds."""
KNOWN = {0.02: (0.019, 3.66), 0.06: (0.046, 3.10), 0.10: (0.067, 2.97), 0.20: (0.113, 2.71)}
"""Target: (share of throttled periods, mean cores), from a run of the authors' own code."""
NOTES = (
    "Settings fixed before the first run: noise of mean 1 (so that the mean use is 1.6 cores), 'last 50' read as"
    " periods, backlog carried, first limit 1 core, the margin begins at 3 as in the code; the mean of 20 seeds, later"
    " of 200 (the bar lay within the sampling error of 20: 5.0 ± 0.6 %).",
    "The captain's own code checks for a roll-back in every period, not only once a second, and its first look only"
    " remembers the counters: decisions fall one period later. The first run, without that, was 5.1 % off at worst;"
    " the known figures are of one seed and rounded to the third decimal (1.1 % of .046).",
)
Array = npt.NDArray[np.float64]


def run() -> Result:
    """Steer at each target over 200 seeds; the bar is on the largest relative difference of a mean."""
    load = load_per_s()
    rows = [_row(load, target, *known) for target, known in KNOWN.items()]
    worst = max(max(abs(float(row["throttle_error"])), abs(float(row["cores_error"]))) for row in rows)
    return Result(
        holds=worst <= 0.05, text=f"{100 * worst:.1f} % largest difference, of four targets, throttle and allocation",
        figures={"worst": worst}, detail=tuple(dict(row) for row in rows), notes=NOTES,
    )  # fmt: skip


def load_per_s() -> Array:
    """The load in cores for each second."""
    with gzip.open(reference_path(DATA), "rt") as file:
        rates = np.array([float(line.split(",")[1]) for line in file.readlines()[1:]])
    return np.asarray(rates / rates.mean() * MEAN_CORES)


def _row(load: Array, target: float, throttle: float, cores: float) -> dict[str, float]:
    found = np.array([_one(load, target, seed) for seed in range(SEEDS)])
    mean, spread = found.mean(axis=0), found.std(axis=0)
    return {
        "target": target, "throttle": mean[0], "known_throttle": throttle, "throttle_error": mean[0] / throttle - 1.0,
        "cores": mean[1], "known_cores": cores, "cores_error": mean[1] / cores - 1.0, "used_cores": mean[2],
        "throttle_sd": spread[0], "cores_sd": spread[1],
    }  # fmt: skip


def _one(load: Array, target: float, seed: int) -> tuple[float, float, float]:
    noise = np.random.default_rng(seed).lognormal(-(SIGMA**2) / 2.0, SIGMA, len(load) * PERIODS_PER_S)
    found = run_captain(np.repeat(load, PERIODS_PER_S) * noise, target)
    return found.throttled, found.limit_cores, found.used_cores
