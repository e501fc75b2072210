"""What `tonnage predict interference` says: scores, importance, interval, slowdown under pressure, and alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from predictors.interference.detection import DETECTION, alarms
from predictors.interference.features import Table, feature_names, table_of, unnamed
from predictors.interference.learners import Fitted, fit
from predictors.interference.scores import (
    ACCURACY_IS,
    COVERAGE,
    LEAST_ROWS,
    Held,
    OnProgress,
    chosen,
    importance,
    interval,
    rounded,
    scores,
)
from specs.base import Figure, Metadata
from specs.contention import ContentionRows
from specs.errors import InputError
from specs.interference import InterferenceEstimate, Score, Sensitivity
from specs.plan import Evidence

STANDS_IN = {
    "cpu_delay": "run-queue delay over CPU time",
    "cpu_stall": "PSI of the CPU",
    "latency_s": "latency",
    "slowdown": "measured slowdown",
}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The best learner trained on every row, with the factor that 90 % of values held out lie within."""

    table: Table
    fitted: Fitted
    factor: float
    factor_new: float  # of an application that was not trained on, only measured alone
    held: float | None
    scores: tuple[Score, ...]
    cross: Held  # of the trees, whose features tell the importance


def train(
    rows: ContentionRows, *, seed: int, quick: bool = False, on_progress: OnProgress = lambda *_: None
) -> Trained:  # fmt: skip
    """Train on ``rows`` and score what was trained; raises `InputError` for too few rows.

    ``quick``: score what may be chosen alone, and learn from the neighbours' sums alone, which is what planning needs.
    """
    if len(rows) < LEAST_ROWS:
        raise InputError(
            f"{', '.join(rows.inputs) or 'the rows'}: {len(rows)} rows, at least {LEAST_ROWS} are needed to learn from",
            cure="Measure more windows: `tonnage profile cpi --windows 30 …`.",
        )
    table = unnamed(table_of(rows)) if quick else table_of(rows)
    if float(table.pressure.max(initial=0.0)) <= 0:
        raise InputError(
            f"{', '.join(rows.inputs)}: no row has a neighbour, so nothing can be learnt of interference",
            cure="Measure containers that run side by side: name several in one `tonnage profile cpi`.",
        )
    found = list(scores(table, seed=seed, quick=quick, on_progress=on_progress))
    held = {(one.learner, one.split): cross for one, cross in found}
    if ("boosted trees", "rows") not in held:
        raise InputError("all rows lie in one window, so none can be held out", cure="Measure more windows.")
    learner = chosen([one for one, _ in found])
    factor, share = interval(held[learner, "rows"])
    new = held.get((learner, "application"))
    fitted = fit(table, np.arange(len(table)), learner, seed=seed)
    return Trained(
        table=fitted.table, fitted=fitted, factor=factor, held=share,
        factor_new=max(interval(new)[0], factor) if new else 2 * factor, scores=tuple(one for one, _ in found),
        cross=held["boosted trees", "rows"],
    )  # fmt: skip


def estimate_interference(
    name: str, rows: ContentionRows, *, observed: ContentionRows | None = None, seed: int = 0,
    on_progress: OnProgress = lambda *_: None,
) -> InterferenceEstimate:  # fmt: skip
    """Learn interference from ``rows`` and look for it in ``observed`` (``rows`` where None)."""
    if observed is not None and observed.quantity != rows.quantity:
        raise InputError(
            f"{', '.join(observed.inputs)}: measures {observed.quantity}, the baseline {rows.quantity}",
            cure="Give windows of the same quantity.",
        )
    trained = train(rows, seed=seed, on_progress=on_progress)
    watched = rows if observed is None else observed
    table = trained.table
    return InterferenceEstimate(
        metadata=Metadata(name=name, inputs=rows.inputs | watched.inputs), quantity=rows.quantity, rows=len(rows),
        applications=len(table.apps), node_types=len(table.node_types), features=feature_names(table),
        learner=trained.fitted.learner, scores=trained.scores, accuracy_is=ACCURACY_IS,
        importance=tuple(importance(table, trained.cross, seed=seed)), interval=rounded(trained.factor),
        interval_share=COVERAGE, interval_held=trained.held, sensitivities=tuple(sensitivities(trained)),
        watched=len(watched) if (watched.window >= 0).all() else 0, alarms=tuple(alarms(watched, rows)),
        detection=DETECTION, notes=tuple(_notes(rows, watched, trained)), evidence=(evidence_of(rows, trained),),
    )  # fmt: skip


def sensitivities(trained: Trained) -> Iterator[Sensitivity]:
    """Yield the slowdown of every application on every node type it was measured on, at p50 and p90 of the pressure."""
    table, fitted = trained.table, trained.fitted
    for app, node_type in np.unique(np.column_stack([table.app, table.node_type]), axis=0):
        mine = (table.app == app) & (table.node_type == node_type)
        here = table.node_type == node_type
        at = np.vstack([np.zeros(table.pressure.shape[1]), np.quantile(table.pressure[here], [0.5, 0.9], axis=0)])
        load = np.full(3, fitted.known.habits[app, 0])
        figures = np.tile(np.median(table.figures[here], axis=0), (3, 1))
        logs = fitted.log_ratio(np.full(3, app), np.full(3, node_type), load, at, figures)
        typical, heavy = (slowdown_figure(float(np.exp(logs[i] - logs[0])), trained.factor) for i in (1, 2))
        yield Sensitivity(
            app=table.apps[app], node_type=table.node_types[node_type], rows=int(mine.sum()),
            alone=rounded(float(np.exp(fitted.known.base[app, node_type]))), typical=typical, heavy=heavy,
        )  # fmt: skip


def slowdown_figure(slowdown: float, factor: float) -> Figure:
    """A slowdown with its 90 % interval, which does not go below 1."""
    low, high = max(slowdown / factor, min(1.0, slowdown)), slowdown * factor
    basis = "90 % of values held out, conformal"
    return Figure(value=rounded(slowdown), low=rounded(low), high=rounded(high), basis=basis)


def evidence_of(rows: ContentionRows, trained: Trained) -> Evidence:
    """What predictions rest on."""
    stands_in = STANDS_IN.get(rows.quantity)
    note = f"no CPI: {stands_in}" if stands_in and rows.quantity.startswith("cpu_") else None
    return Evidence(
        quantity="slowdown", basis="measured", source=f"{len(rows)} rows of {', '.join(rows.inputs)}",
        error=rounded(trained.factor - 1.0), note=note,
    )  # fmt: skip


def _notes(rows: ContentionRows, watched: ContentionRows, trained: Trained) -> Iterator[str]:
    yield from dict.fromkeys((*rows.notes, *watched.notes))
    by_rows = {one.learner: one.accuracy for one in trained.scores if one.split == "rows"}
    best = max(by_rows, key=lambda learner: by_rows[learner])
    if best != trained.fitted.learner:
        yield f"on these rows {best} is more accurate than what is used: few rows, or little interference in them"
    if len(trained.table.apps) == 1:
        yield "one application only: nothing says how well a new one is predicted"
    if len(trained.table.node_types) == 1:
        yield "one node type only: the predictions hold for it alone"
    if not (watched.window >= 0).all():
        yield "rows have no node and window, so no alarm can be told"
