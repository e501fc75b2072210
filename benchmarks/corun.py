"""Slowdown of real programs in mixes that were never trained on: trees against an additive model and the mean."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.corun_programs import BEYOND_L2, BYTES_PER_UNIT, PROGRAMS, Run, ahead, build, run_mix
from benchmarks.line import Line, Result
from predictors.interference.features import table_of
from predictors.interference.learners import CANDIDATES, fit
from predictors.interference.scores import chosen, scores
from specs.contention import ContentionRows
from specs.errors import MissingHardwareError
from specs.interference import Learner
from specs.trace import FloatArray, IntArray

SEED = 6
REPEATS = 3
ALONE = 3  # how often a repeat runs each program alone, as every slowdown of it is over their median
FOLDS = 5
BAR = 0.85
RIDGE = 0.1
MOST_NOISE = 0.10
"""Medians of repeats usually off by more than this say that others used the machine: no model is judged by them."""
MEDIAN_ERROR = np.pi / 2
"""Standard error of a median of n normal values in mean absolute deviations, over √n. [std]"""
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
    "that alone, which for the server is its response time. No hardware counters are used.",
    "Measured in three repeats of all mixes in a new order, ahead of other work on the machine where the system "
    "allows; a program alone is the median of three runs in each repeat, and of all repeats. What is trained on and "
    "predicted is the median of the repeats. A window in which others had more than 5 % of a core that the "
    "mix keeps busy is run again.",
    "Trained on the programs alone and four fifths of the mixes; programs are known by what they do alone: CPU, bytes "
    "touched, lines beyond the private cache; neighbours on the same core by CPU, bytes and name, on any by lines. "
    "`ours` is the learner that mixes held out of those trained on prefer.",
    "The additive model adds, to 1, one number per neighbour, its program and whether it shares the core (ridge); the "
    "mean is that of the program over the mixes trained on. `noise`: mean distance of one repeat from the median of "
    "all; `median_error`: what their median is then usually off by. "
    "The cache walker refills its 6 MiB after each turn on a shared core, which "
    "depends on what else uses the last-level cache, other machines on the host included.",
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
    truth, apart = _medians(found)
    noise = float(np.mean(apart))
    error = float(np.median(apart.mean(axis=1))) * MEDIAN_ERROR / REPEATS**0.5
    if error > MOST_NOISE:
        raise MissingHardwareError(
            f"medians of repeats are usually off by {error:.0%}, more than {MOST_NOISE:.0%}: others use this machine",
            cure="Run it alone.",
        )
    predicted = held_out(_condensed(found, truth))
    pairs = np.array([len(found.mixes[m]) for m, _ in truth])
    values = np.array(list(truth.values()))
    rows = []
    for size, label in ((2, "pairs"), (3, "triples")):
        at = pairs == size
        rows.append({"held out": label, "programs": int(at.sum())} | {
            name: _accuracy(guess[at], values[at]) for name, guess in predicted.items()
        })  # fmt: skip
    every = {name: _accuracy(guess, values) for name, guess in predicted.items()}
    worst = min(float(str(row["ours"])) for row in rows)
    text = ", ".join(f"{name} {100 * value:.1f} %" for name, value in every.items())
    return Result(
        holds=worst >= BAR,
        text=f"{text}; pairs {100 * float(str(rows[0]['ours'])):.1f} %, triples "
        f"{100 * float(str(rows[1]['ours'])):.1f} %",
        figures={**every, "noise": noise, "median_error": error, "mixes": float(len(found.mixes) - len(PROGRAMS)),
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
    with tempfile.TemporaryDirectory() as folder, ahead():
        binary = build(Path(folder))
        for repeat in range(REPEATS):
            for number, found in _in_turn(binary, every, generator):
                runs[number, repeat] = found
    alone = {every[n][0][0]: n for n in range(len(every)) if len(every[n]) == 1}
    keys = [(n, m, r) for n in range(len(every)) for m in range(len(every[n])) for r in range(REPEATS)]
    usual = {name: _median_run([runs[n, r][0] for r in range(REPEATS)]) for name, n in alone.items()}
    slow = [runs[n, r][m].unit_s / usual[every[n][m][0]].unit_s for n, m, r in keys]
    at = np.array(keys, dtype=np.int64)
    return Measured(every, at[:, 0], at[:, 1], at[:, 2], np.array(slow), usual)


def _in_turn(
    binary: Path, every: tuple[Mix, ...], generator: np.random.Generator
) -> Iterator[tuple[int, list[Run]]]:  # fmt: skip
    """Run every mix once, and each program alone several times, in a new order; yield the mix and its runs."""
    times = [ALONE if len(mix) == 1 else 1 for mix in every]
    found: dict[int, list[list[Run]]] = {}
    for number in generator.permutation(np.repeat(np.arange(len(every)), times)):
        found.setdefault(int(number), []).append(run_mix(binary, every[int(number)]))
    for number, several in found.items():
        yield number, several[0] if len(several) == 1 else [_median_run([one[0] for one in several])]


def _median_run(runs: list[Run]) -> Run:
    return Run(float(np.median([one.unit_s for one in runs])), float(np.median([one.cpu_share for one in runs])))


def _medians(found: Measured) -> tuple[dict[tuple[int, int], float], FloatArray]:
    """Return the median slowdown of each program of each mix of several, and the distances of repeats from it."""
    truth: dict[tuple[int, int], float] = {}
    apart = []
    for m in range(len(found.mixes)):
        for j in range(len(found.mixes[m])):
            values = found.slowdown[(found.mix == m) & (found.member == j)]
            if len(found.mixes[m]) > 1:
                truth[m, j] = float(np.median(values))
                apart.append(np.abs(values / np.median(values) - 1))
    return truth, np.array(apart)


def _condensed(found: Measured, truth: dict[tuple[int, int], float]) -> Measured:
    """Return one row per program and mix: the median of its repeats, 1 alone."""
    kept = found.repeat == 0
    keys = zip(found.mix[kept].tolist(), found.member[kept].tolist(), strict=True)
    values = np.array([truth.get(key, 1.0) for key in keys])
    return Measured(found.mixes, found.mix[kept], found.member[kept], found.repeat[kept], values, found.alone)


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
    names = ("cpu_cores", "llc_misses_per_s", "memory_gb_per_s")
    alone = {name: (one.cpu_share, _bytes_per_s(found, name) / 64 * BEYOND_L2[name], _bytes_per_s(found, name) / 1e9)
             for name, one in found.alone.items()}  # fmt: skip
    own = np.array([alone[name] for name in app], dtype=np.float64)
    rows = len(app)
    return ContentionRows(
        quantity="slowdown", app=np.array(app), node_type=np.full(rows, "here"), value=found.slowdown,
        own=dict(zip(names, own.T, strict=True)),
        others=dict(zip(names, np.array(others, dtype=np.float64).T, strict=True)),
        beside={name: _beside(found, name) for name in PROGRAMS}, node_figures={"node_cores": np.ones(rows)},
        node=np.zeros(rows, dtype=np.int64), window=found.mix, inputs={"corun": "measured here"},
    )  # fmt: skip


def _beside(found: Measured, neighbour: str) -> FloatArray:
    """Return the CPU that one program has of each row's core as its neighbour, as it has alone."""
    count = []
    for m, j in zip(found.mix, found.member, strict=True):
        mix = found.mixes[m]
        count.append(sum(name == neighbour and core == mix[j][1] for k, (name, core) in enumerate(mix) if k != j))
    return np.array(count) * found.alone[neighbour].cpu_share


def _bytes_per_s(found: Measured, name: str) -> float:
    one = found.alone[name]
    return BYTES_PER_UNIT[name] * one.cpu_share / one.unit_s


def held_out(found: Measured) -> dict[str, FloatArray]:
    """Return each model's slowdown of every program of every mix, by models that never saw that mix.

    ``ours`` is the learner that cross-validation within the mixes trained on prefers, as `tonnage` chooses it.
    """
    table = table_of(contention(found))
    several = [m for m in range(len(found.mixes)) if len(found.mixes[m]) > 1]
    fold_of = dict(zip(np.random.default_rng(SEED).permutation(several).tolist(), itertools.cycle(range(FOLDS))))
    keys = [(m, j) for m in several for j in range(len(found.mixes[m]))]
    first = {(int(m), int(j)): i for i, (m, j) in reversed(list(enumerate(zip(found.mix, found.member, strict=True))))}
    guesses = {name: np.empty(len(keys)) for name in ("ours", *CANDIDATES, "additive", "mean")}
    for fold in range(FOLDS):
        train = np.array([i for i, m in enumerate(found.mix) if fold_of.get(int(m)) != fold])
        test = [k for k, (m, _) in enumerate(keys) if fold_of[m] == fold]
        rows = np.array([first[keys[k]] for k in test])
        for name in CANDIDATES:
            guesses[name][test] = np.exp(fit(table, train, name, seed=SEED).log_value(rows))
        guesses["ours"][test] = guesses[_preferred(contention(found), train)][test]
        guesses["additive"][test] = _additive(found, train, rows)
        by_program = {app: found.slowdown[train[table.app[train] == app]].mean() for app in range(len(table.apps))}
        guesses["mean"][test] = [by_program[int(app)] for app in table.app[rows]]
    return guesses


def _preferred(rows: ContentionRows, train: IntArray) -> Learner:
    """Return the learner that windows held out of ``train`` prefer; a window is a mix."""
    kept = replace(
        rows, app=rows.app[train], node_type=rows.node_type[train], value=rows.value[train], node=rows.node[train],
        window=rows.window[train], beside={name: one[train] for name, one in (rows.beside or {}).items()},
        own={name: one[train] for name, one in rows.own.items()},
        others={name: one[train] for name, one in rows.others.items()},
        node_figures={name: one[train] for name, one in rows.node_figures.items()},
    )  # fmt: skip
    within = scores(table_of(kept), seed=SEED, quick=True, on_progress=lambda *_: None)
    return chosen([one for one, _ in itertools.islice(within, len(CANDIDATES))])


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
