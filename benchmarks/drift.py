"""Whether a look for drift cries wolf and whether it sees: resampled blocks of real measurements on this machine."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.line import Line, Result
from profilers.anchors.blas import loaded_library, multiply_task, one_thread
from profilers.anchors.crew import crew
from profilers.anchors.memory import bandwidth_tasks
from profilers.anchors.repeats import BLOCKS, REPEATS_PER_BLOCK, Task
from solvers.change import AGREEMENT, Change, changes

SEED = 20
ROUNDS = 63  # blocks of each figure: nine times what one profile takes
PAIRS = 500
SLOWER = 1.1  # times longer
MOST_ALARMS, FEWEST_FOUND = 0.01, 0.95
ARRAY_MIB = 64.0
PROBE_STEPS = 200_000  # operations that wait for each other, under a millisecond: what neighbours disturb least
PROBE_REPEATS = 25

LINE = Line(
    name="drift",
    what=f"false alarms and a 10 % slowdown over {PAIRS} resampled pairs of {BLOCKS} blocks, all figures together",
    bar="family-wise false alarms ≤ 1 %; 10 % slower found ≥ 95 % where blocks agree within 3 %, else too-noisy",
    data="blocks measured on this machine by the benchmark",
)
NOTES = (
    "Memory and matrices are figures of `profile host` on one core. The chains are operations that wait for each "
    "other, in 25 repeats of less than a millisecond: they agree even on a machine that others use.",
    "Resampled pairs are drawn without replacement from all blocks, which spreads them over the run. Runs one after "
    "the other are seven rounds in a row each, with what the machine did between them.",
    "Without the limit on noise: the same test were blocks that disagree not set aside. Between runs one after the "
    "other the machine itself changes, which no test of blocks can tell from drift; hence the limit.",
)
Rates = NDArray[np.float64]
Pool = dict[str, Rates]
Pair = tuple[Rates, Rates]
Family = list[Pair]


def run() -> Result:
    pool, seconds = measure()
    generator = np.random.default_rng(SEED)
    apart = [resampled(pool, generator) for _ in range(PAIRS)]
    in_a_row = [windows(pool, generator) for _ in range(PAIRS)]
    seen = {name: [slowed(pairs, at) for pairs in (*apart, *in_a_row)] for at, name in enumerate(pool)}
    every = [one for of_figure in seen.values() for one in of_figure]
    agreeing = _agreeing(every)
    figures = {
        "false_alarms": false_alarms(apart), "false_alarms_in_a_row": false_alarms(in_a_row),
        "false_alarms_without_limit": false_alarms(apart, math.inf),
        "false_alarms_in_a_row_without_limit": false_alarms(in_a_row, math.inf),
        "agreeing_share": len(agreeing) / len(every), "called_where_blocks_disagree": float(_called_anyway(every)),
        "measured_s": seconds,
    }  # fmt: skip
    if agreeing:
        figures |= {"found": _found(agreeing), "smallest": _smallest(agreeing)}
    return Result(
        holds=_holds(figures),
        text=_text(figures, len(agreeing)),
        figures=figures,
        detail=tuple(_row(name, pool[name], found) for name, found in seen.items()),
        notes=NOTES,
    )


def measure() -> tuple[Pool, float]:
    """Return, per figure, rates as (rounds, repeats), every round one block of each figure; and the seconds taken."""
    library = loaded_library()
    if library is None:
        raise AssertionError("numpy's BLAS is not known here")
    started = time.monotonic()
    with crew([0]) as one, one_thread(library):
        tasks = {f"memory {name}": task for name, task in bandwidth_tasks(one, ARRAY_MIB).items()}
        tasks |= {"matrices fp64": multiply_task(one, "fp64"), "matrices fp32": multiply_task(one, "fp32")}
        blocks: dict[str, list[list[float]]] = {name: [] for name in (*tasks, *PROBES)}
        for round_ in range(-1, ROUNDS):  # the first one warms up
            for name, rates in blocks.items():
                block = _block(tasks[name]) if name in tasks else one.workers[0].submit(_probed, PROBES[name]).result()
                rates += [block] if round_ >= 0 else []
    return {name: np.array(rates) for name, rates in blocks.items()}, time.monotonic() - started


def _block(task: Task) -> list[float]:
    return [task.amount / task.run() for _ in range(REPEATS_PER_BLOCK)]


def _probed(probe: Callable[[int], float]) -> list[float]:
    """Return a block of rates of short repeats: most of them fit between two turns of other processes."""
    rates = []
    for _ in range(PROBE_REPEATS):
        started = time.perf_counter()
        probe(PROBE_STEPS)
        rates.append(PROBE_STEPS / max(time.perf_counter() - started, 1e-9))
    return rates


@numba.njit(nogil=True)
def _products(steps: int) -> float:
    x = 1.0
    for _ in range(steps):
        x = x * 0.999999 + 1e-6
    return x


@numba.njit(nogil=True)
def _sums(steps: int) -> float:
    x = 1.0
    for _ in range(steps):
        x = x + 1e-6
    return x


PROBES: dict[str, Callable[[int], float]] = {"chain of products": _products, "chain of sums": _sums}


def resampled(pool: Pool, generator: np.random.Generator) -> Family:
    """Draw two sets of blocks for every figure, the same rounds for all of them, none twice."""
    rounds = generator.permutation(ROUNDS)[: 2 * BLOCKS]
    return [(rates[rounds[:BLOCKS]], rates[rounds[BLOCKS:]]) for rates in pool.values()]


def windows(pool: Pool, generator: np.random.Generator) -> Family:
    """Draw two runs of rounds in a row that do not overlap."""
    first = int(generator.integers(0, ROUNDS - 2 * BLOCKS + 1))
    second = int(generator.integers(first + BLOCKS, ROUNDS - BLOCKS + 1))
    return [(rates[first : first + BLOCKS], rates[second : second + BLOCKS]) for rates in pool.values()]


def false_alarms(families: Sequence[Family], agreement: float = AGREEMENT) -> float:
    """Return the share of families in which any figure moved; blocks may disagree by ``agreement``."""
    found = [_changes(family, agreement) for family in families]
    return sum(any(one.outcome == "moved" for one in family) for family in found) / len(families)


def slowed(family: Family, figure: int) -> Change:
    """Return what is found of a figure whose second set is slower while all others are as they are."""
    return _changes([(old, new / SLOWER if at == figure else new) for at, (old, new) in enumerate(family)])[figure]


def _changes(family: Family, agreement: float = AGREEMENT) -> list[Change]:
    return changes([(old.tolist(), new.tolist()) for old, new in family], agreement=agreement)


def _agreeing(found: Sequence[Change]) -> list[Change]:
    return [one for one in found if one.disagreement <= AGREEMENT]


def _found(agreeing: Sequence[Change]) -> float:
    return sum(one.outcome == "moved" for one in agreeing) / len(agreeing)


def _smallest(agreeing: Sequence[Change]) -> float:
    return float(np.median([one.smallest for one in agreeing]))


def _called_anyway(found: Sequence[Change]) -> int:
    return sum(one.outcome != "too-noisy" for one in found if one.disagreement > AGREEMENT)


def _holds(figures: dict[str, float]) -> bool:
    quiet = figures["false_alarms"] <= MOST_ALARMS and figures["called_where_blocks_disagree"] == 0
    return quiet and figures.get("found", 0.0) >= FEWEST_FOUND


def _text(figures: dict[str, float], agreeing: int) -> str:
    alarms, in_a_row = 100 * figures["false_alarms"], 100 * figures["false_alarms_in_a_row"]
    unlimited = [100 * figures[f"false_alarms{kind}_without_limit"] for kind in ("", "_in_a_row")]
    seen = "no blocks agreed within 3 %, so nothing could be found"
    if agreeing:
        seen = f"10 % slower found in {100 * figures['found']:.1f} % of {agreeing} pairs that agree"
        seen += f"; smallest change {100 * figures['smallest']:.1f} %"
    beside = f"without the limit on noise {unlimited[0]:.1f} and {unlimited[1]:.1f} %"
    return f"false alarms {alarms:.1f} % of {PAIRS} pairs, {in_a_row:.1f} % of runs in a row ({beside}); {seen}"


def _row(name: str, rates: Rates, found: Sequence[Change]) -> dict[str, object]:
    agreeing, medians = _agreeing(found), np.median(rates, axis=1)
    low, high = np.percentile(medians, (5, 95)) / np.median(medians) - 1
    return {
        "figure": name,
        "blocks, 5–95 %": f"{100 * low:+.1f} … {100 * high:+.1f} %",
        "pairs that agree": f"{100 * len(agreeing) / len(found):.1f} %",
        "10 % slower found": f"{100 * _found(agreeing):.1f} %" if agreeing else "too-noisy",
        "smallest change": f"{100 * _smallest(agreeing):.1f} %" if agreeing else "–",
        "called where blocks disagree": _called_anyway(found),
    }


if __name__ == "__main__":
    result = run()
    print(f"{LINE.name}: {result.text}  [{'holds' if result.holds else 'MISSES'}: {LINE.bar}]")
    sys.exit(not result.holds)
