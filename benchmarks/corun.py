"""Slowdown of real programs in mixes that were never trained on: trees against an additive model and the mean."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.corun_programs import BEYOND_L2, BYTES_PER_UNIT, PROGRAMS, Run, build, run_mix
from benchmarks.line import Line, Result
from predictors.interference.features import table_of
from predictors.interference.learners import fit
from specs.contention import ContentionRows
from specs.errors import MissingHardwareError
from specs.trace import FloatArray, IntArray

SEED = 6
REPEATS = 3
FOLDS = 5
BAR = 0.85
RIDGE = 0.1
MOST_NOISE = 0.10
"""Repeats of the same mix further apart than this say that others used the machine: no model is judged by them."""
LINE = Line(
    name="corun",
    what="slowdown of four real programs on two cores, pairs and triples held out with their placement",
    bar="1 − MAPE ≥ 85 % on mixes never trained on",
    data="run times measured on this machine by the benchmark",
    best="an additive model and the mean, in the same run",
)
NOTES = (
    "A streamer (64 MiB), a cache walker (6 MiB), arithmetic, and a server that naps between requests; on one "
    "or two cores, every multiset of up to three in every placement. Slowdown is the time per unit of work over "
    "that alone in "
    "the same repeat, which for the server is its response time. No hardware counters are used.",
    "Trained on the programs alone and four fifths of the mixes; neighbours are known by what they do alone: CPU on "
    "the same core, bytes touched on the same core, lines beyond the private cache on any core.",
    "The additive model adds, to 1, one number per neighbour, its program and whether it shares the core (ridge); the "
    "mean is that of the program over the mixes trained on. `noise`: mean distance of one repeat from the "
    "median of all.",
)
Mix = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Measured:
    """One row per program, mix and repeat: ``mix`` numbers the mixes, those of one program first."""

    mixes: tuple[Mix, ...]
    mix: IntArray
    member: IntArray
    repeat: IntArray
    slowdown: FloatArray
    alone: dict[str, Run]


def run() -> Result:
    """Measure, hold out every mix once, and compare."""
    found = measure()
    truth, noise = _medians(found)
    if noise > MOST_NOISE:
        raise MissingHardwareError(
            f"repeats of the same mix lie {noise:.0%} apart, more than {MOST_NOISE:.0%}: others use this machine",
            cure="Run it alone.",
        )
    predicted = held_out(found)
    pairs = np.array([len(found.mixes[m]) for m, _ in truth])
    values = np.array(list(truth.values()))
    rows = []
    for size, label in ((2, "pairs"), (3, "triples")):
        at = pairs == size
        rows.append({"held out": label, "programs": int(at.sum())} | {
            name: _accuracy(guess[at], values[at]) for name, guess in predicted.items()
        })  # fmt: skip
    every = {name: _accuracy(guess, values) for name, guess in predicted.items()}
    worst = min(float(str(row["trees"])) for row in rows)
    text = ", ".join(f"{name} {100 * value:.1f} %" for name, value in every.items())
    return Result(
        holds=worst >= BAR,
        text=f"{text}; pairs {100 * float(str(rows[0]['trees'])):.1f} %, triples "
        f"{100 * float(str(rows[1]['trees'])):.1f} %",
        figures={**every, "noise": noise, "mixes": float(len(found.mixes) - len(PROGRAMS)),
                 "mean_slowdown": float(values.mean()), "largest_slowdown": float(values.max())},
        detail=tuple(rows), notes=NOTES,
    )  # fmt: skip


def mixes(cpus: Sequence[int]) -> tuple[Mix, ...]:
    """Return every multiset of one to three programs in every placement on two cores, as one core is like the other."""
    found: dict[Mix, None] = {}
    for size in (1, 2, 3):
        for names in itertools.combinations_with_replacement(PROGRAMS, size):
            for cores in itertools.product(range(2), repeat=size):
                placed = tuple(sorted(zip(names, cores, strict=True)))
                other = tuple(sorted((name, 1 - core) for name, core in placed))
                found.setdefault(min(placed, other))
    return tuple(tuple((name, cpus[core]) for name, core in mix) for mix in found)


def measure() -> Measured:
    """Run every mix once per repeat, in a new order each time."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise MissingHardwareError("two CPUs are needed to share", cure="Run it where this process may use two.")
    every = mixes(cpus)
    generator = np.random.default_rng(SEED)
    runs: dict[tuple[int, int], list[Run]] = {}
    with tempfile.TemporaryDirectory() as folder:
        binary = build(Path(folder))
        for repeat in range(REPEATS):
            for number in generator.permutation(len(every)):
                runs[int(number), repeat] = run_mix(binary, every[int(number)])
    alone = {every[n][0][0]: n for n in range(len(every)) if len(every[n]) == 1}
    keys = [(n, m, r) for n in range(len(every)) for m in range(len(every[n])) for r in range(REPEATS)]
    slow = [runs[n, r][m].unit_s / runs[alone[every[n][m][0]], r][0].unit_s for n, m, r in keys]
    at = np.array(keys, dtype=np.int64)
    usual = {name: _median_run([runs[n, r][0] for r in range(REPEATS)]) for name, n in alone.items()}
    return Measured(every, at[:, 0], at[:, 1], at[:, 2], np.array(slow), usual)


def _median_run(runs: list[Run]) -> Run:
    return Run(float(np.median([one.unit_s for one in runs])), float(np.median([one.cpu_share for one in runs])))


def _medians(found: Measured) -> tuple[dict[tuple[int, int], float], float]:
    """Return the median slowdown of each program of each mix of several, and the mean distance of a repeat from it."""
    truth: dict[tuple[int, int], float] = {}
    apart = []
    for m in range(len(found.mixes)):
        for j in range(len(found.mixes[m])):
            values = found.slowdown[(found.mix == m) & (found.member == j)]
            if len(found.mixes[m]) > 1:
                truth[m, j] = float(np.median(values))
                apart.append(np.abs(values / np.median(values) - 1).mean())
    return truth, float(np.mean(apart))


def contention(found: Measured) -> ContentionRows:
    """Return the rows as the predictor takes them."""
    app, others = [], []
    for m, j in zip(found.mix, found.member, strict=True):
        mix = found.mixes[m]
        app.append(mix[j][0])
        mates = [(name, core == mix[j][1]) for k, (name, core) in enumerate(mix) if k != j]
        others.append((
            sum(found.alone[name].cpu_share for name, same in mates if same),
            sum(_bytes_per_s(found, name) / 64 * BEYOND_L2[name] for name, _ in mates),
            sum(_bytes_per_s(found, name) / 1e9 for name, same in mates if same),
        ))  # fmt: skip
    cores, lines, same = np.array(others, dtype=np.float64).T
    rows = len(app)
    return ContentionRows(
        quantity="slowdown", app=np.array(app), node_type=np.full(rows, "here"), value=found.slowdown, own={},
        others={"cpu_cores": cores, "llc_misses_per_s": lines, "memory_gb_per_s": same},
        node=np.zeros(rows, dtype=np.int64), window=np.arange(rows), inputs={"corun": "measured here"},
    )  # fmt: skip


def _bytes_per_s(found: Measured, name: str) -> float:
    one = found.alone[name]
    return BYTES_PER_UNIT[name] * one.cpu_share / one.unit_s


def held_out(found: Measured) -> dict[str, FloatArray]:
    """Return each model's slowdown of every program of every mix, by models that never saw that mix."""
    table = table_of(contention(found))
    several = [m for m in range(len(found.mixes)) if len(found.mixes[m]) > 1]
    fold_of = dict(zip(np.random.default_rng(SEED).permutation(several).tolist(), itertools.cycle(range(FOLDS))))
    keys = [(m, j) for m in several for j in range(len(found.mixes[m]))]
    first = {(int(m), int(j)): i for i, (m, j) in reversed(list(enumerate(zip(found.mix, found.member, strict=True))))}
    guesses = {name: np.empty(len(keys)) for name in ("trees", "additive", "mean")}
    for fold in range(FOLDS):
        train = np.array([i for i, m in enumerate(found.mix) if fold_of.get(int(m)) != fold])
        test = [k for k, (m, _) in enumerate(keys) if fold_of[m] == fold]
        rows = np.array([first[keys[k]] for k in test])
        guesses["trees"][test] = np.exp(fit(table, train, "boosted trees", seed=SEED).log_value(rows))
        guesses["additive"][test] = _additive(found, train, rows)
        by_program = {app: found.slowdown[train[table.app[train] == app]].mean() for app in range(len(table.apps))}
        guesses["mean"][test] = [by_program[int(app)] for app in table.app[rows]]
    return guesses


def _additive(found: Measured, train: IntArray, rows: IntArray) -> FloatArray:
    design = _neighbours(found)
    weights = np.linalg.solve(
        design[train].T @ design[train] + RIDGE * np.eye(design.shape[1]),
        design[train].T @ (found.slowdown[train] - 1.0),
    )
    return np.asarray(1.0 + design[rows] @ weights)


def _neighbours(found: Measured) -> FloatArray:
    """Return how often each (program, neighbour, same core or not) occurs in each row."""
    n = len(PROGRAMS)
    design = np.zeros((len(found.mix), n * n * 2))
    for row, (m, j) in enumerate(zip(found.mix, found.member, strict=True)):
        mix = found.mixes[m]
        for k, (name, core) in enumerate(mix):
            if k != j:
                pair = PROGRAMS.index(mix[j][0]) * n + PROGRAMS.index(name)
                design[row, 2 * pair + (core == mix[j][1])] += 1.0
    return design


def _accuracy(guess: FloatArray, truth: FloatArray) -> float:
    return float(1.0 - np.abs(guess / truth - 1.0).mean())
