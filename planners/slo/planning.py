"""`plan slo` from its documents to its plan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from planners.slo.compose import Composer, composer
from planners.slo.confirm import Confirmation, confirm
from planners.slo.question import Compose, OnProgress, Question, read_question
from planners.slo.refusals import abstained, infeasible, unconfirmed
from planners.slo.report import Answer, cost_of_rest, report
from planners.slo.solve import SOLVERS, Method, Solved, Solver, replicas_of, solve, updated
from solvers.budgets.problem import NoSplitError, Split
from specs.application import Application, ServiceProfileSpec
from specs.learned_model import LearnedModel
from specs.slo_plan import MethodCost, SloPlan

ATTEMPTS = 5
MARGIN = 0.5  # of a standard error kept when the bounds are tightened after a confirmation that failed
BASELINES = ("equal", "proportional")


def plan(
    application: Path,
    *,
    method: Method | str = "exact",
    slo: tuple[str, ...] = (),
    compose: Compose = "sum",
    traces: tuple[Path, ...] = (),
    scale: float = 1.0,
    current: Path | None = None,
    learned: LearnedModel | None = None,
    store: str | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
    documents: tuple[Application, Mapping[str, ServiceProfileSpec]] | None = None,
    requests: int | None = None,
) -> SloPlan:
    """Split the SLO of ``application`` into budgets and size its services so that they cost least.

    ``method``: one of `SOLVERS`; ``all``, which takes the cheapest of them; or ``gcn``, the graph network
    ``learned`` (trained anew where None), which never wins by default.
    ``compose``: how percentiles add up. ``traces`` tell how the end-to-end tail follows
    from the sum of the services' own.
    ``documents``: the application and profiles to plan instead of those in the file, by a planner that changed them.
    ``requests``: how many the confirmation simulates, by a planner that confirms the whole itself; None: as many as
    `predict application` does. ``scale`` multiplies the load. ``current``: what runs now, or an earlier plan that
    ``gradient`` starts from. Every
    answer is simulated before it is called feasible; where the simulation exceeds a bound, the bounds are tightened
    and the split is made again, up to four times. Raises `InputError` for wrong documents. [ours; after LSRAM, Parslo,
    Erms and MSARS as `solvers.budgets` says]
    """
    started = time.process_time()
    progress = on_progress or (lambda done, total, what: None)
    question = read_question(
        application, slo=slo, scale=scale, compose=compose, traces=traces, current=current, store=store, seed=seed,
        documents=documents,
    )  # fmt: skip
    missing = [i for i, curve in enumerate(question.curves) if curve is None]
    if missing:
        return abstained(question, missing, started)
    ready = composer(question)
    solvers = _solvers(question, ready, str(method), learned)
    factors = np.ones(len(question.entrances))
    confirmed: Confirmation | None = None
    for attempt in range(ATTEMPTS):
        progress(attempt, ATTEMPTS, "splitting the SLO")
        try:
            chosen = _cheapest(ready, solvers, factors.tolist())
        except NoSplitError as error:
            return infeasible(question, ready, error, confirmed, factors.tolist(), started)
        replicas = replicas_of(ready, chosen)
        confirmed = confirm(question, replicas, scale, progress, requests)
        if all(confirmed.holds):
            rest = cost_of_rest(question, replicas)
            compared = _compared(ready, chosen, solvers, factors.tolist(), rest)
            answer = Answer(chosen, replicas, confirmed, compared, tuple(factors.tolist()))
            return report(question, ready, answer, started)
        bounds = np.array([one.bound_s for one in question.entrances])
        over = (confirmed.simulated_s + MARGIN * confirmed.standard_error_s) / bounds
        factors *= np.where(over > 1.0, np.minimum(1.0 / over, 0.995), 1.0)
    assert confirmed is not None
    return unconfirmed(question, confirmed, ATTEMPTS, started)


def _solvers(question: Question, ready: Composer, method: str, learned: LearnedModel | None) -> dict[str, Solver]:
    if method == "gcn":
        from planners.slo.learned import solver_of, train

        return {"gcn": solver_of(learned or train(question.seed), question.seed)}
    if method == "all":
        return dict(SOLVERS)
    if method == "gradient" and question.earlier is not None:
        return {"gradient": updated(*_earlier(question, ready))}
    return {method: SOLVERS[method]}


def _earlier(question: Question, ready: Composer) -> tuple[Split, float]:
    """The budgets of the earlier plan, and the largest relative change of a service's load since."""
    assert question.earlier is not None
    assert question.earlier.decision is not None
    old = {one.service: one for one in question.earlier.decision.services}
    budgets, changes = [0.0], [0.0]
    for place, i in enumerate(question.among.services.tolist()):
        name, load = question.graph.names[i], float(question.graph.load_per_s[i])
        before = old.get(name)
        known = before.budget_s if before is not None else None
        budgets.append(float(ready.costs.highest_s[place + 1]) if known is None else known)
        changes.append(1.0 if before is None else abs(load / max(before.rate_per_s, 1e-12) - 1.0))
    return Split(np.array(budgets), np.nan, np.zeros(len(budgets))), max(changes)


def _cheapest(ready: Composer, solvers: dict[str, Solver], factors: list[float]) -> Solved:
    """The answer of least whole cost; the first named of equals, so that ``exact`` goes before others."""
    found = [solve(ready, solver, name, factors) for name, solver in solvers.items()]
    return min(found, key=lambda one: one.whole.cost)


def _compared(
    ready: Composer, chosen: Solved, solvers: dict[str, Solver], factors: list[float], rest: float
) -> tuple[MethodCost, ...]:
    """Every method asked for and the simple baselines, under the same bounds; costs of one replica's price."""
    names = list(dict.fromkeys(["exact", *solvers, *BASELINES]))
    fixed = float(ready.fixed.sum()) + rest
    found: list[MethodCost] = []
    lower = np.nan
    for name in names:
        one = chosen if name == chosen.method else solve(ready, {**SOLVERS, **solvers}[name], name, factors)
        lower = one.split.lower + fixed if name == "exact" else lower
        cost = one.split.cost + fixed
        found.append(
            MethodCost(
                method=name, cost=cost, over=cost / lower, whole_cost=one.whole.cost + rest, cpu_s=round(one.cpu_s, 4)
            )
        )
    return tuple(found)
