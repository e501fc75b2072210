"""`tonnage plan autoscaling`: every policy tuned on one part of the load, scored on another, and one recommended."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from planners.autoscaling.capacities import services_of
from planners.autoscaling.choosing import axes, choose, label, on_front, verdict
from planners.autoscaling.families import candidates, spare, with_brownout
from planners.autoscaling.learning import learn
from planners.autoscaling.question import (
    TRAIN_SHARE,
    Asked,
    OnProgress,
    Question,
    ScaledLoad,
    even_ticks,
    read,
)
from planners.autoscaling.reinforcing import available, require
from planners.autoscaling.report import Tried, abstained, over_quota, report
from planners.autoscaling.scoring import Stretch, score, tune
from predictors.autoscaling.capacity import replicas_needed
from predictors.autoscaling.looking import DAY_S, View, find_season
from specs.autoscaling import AutoscalingPlan, Method, PolicyKind, PolicySpec
from specs.errors import MissingHardwareError
from specs.reading import sha256

Asking = Literal["hpa", "keda", "predictive", "mpc", "td3", "ga-rl", "static", "all"]
SIMPLE: tuple[PolicyKind, ...] = ("static", "hpa", "keda", "predictive", "mpc")
ASKED: dict[str, tuple[PolicyKind, ...]] = {
    "static": ("static",), "hpa": ("static", "hpa"), "keda": ("static", "hpa", "keda"),
    "predictive": ("static", "hpa", "keda", "predictive"), "mpc": ("static", "hpa", "keda", "mpc"),
    "td3": (*SIMPLE, "td3"), "ga-rl": (*SIMPLE, "ga-rl"), "all": (*SIMPLE, "td3", "ga-rl"),
}  # fmt: skip
"""What runs beside the policy that was asked for: the simple ones that it must beat."""


def plan(
    document: Path, *, load: Path | None = None, scaling: Path | None = None, deployment: Path | None = None,
    cluster: Path | None = None, policy: Asking = "all", training: Path | None = None, seed: int = 0,
    on_progress: OnProgress | None = None,
) -> AutoscalingPlan:  # fmt: skip
    """Choose a scaling policy for every service of a Workload or an Application, tried on its own load.

    The first 70 % of the load (whole days where there are days) tunes each policy, the rest scores it. ``training``:
    folder in which training is kept, so that it goes on where it was interrupted. Infeasible and abstained plans are
    returned, not raised; raises `InputError` for wrong documents. [ours; MSARS (2409.14953), SealOS+ (2505.23258)]
    """
    started = time.process_time()
    progress = on_progress or (lambda done, total, what: None)
    if policy in ("td3", "ga-rl"):
        require()
    asked = read(document, load, scaling)
    rate, step_s, notes = even_ticks(asked.series, asked.scaling.tick_s)
    try:
        services = services_of(asked, rate, deployment, cluster)
    except MissingHardwareError as error:
        return abstained(asked, error, started)
    question = _question(asked, services, step_s, (*asked.notes, *notes), deployment, cluster, seed)
    short = [(one, need) for one in services if (need := needed_at_peak(question, one)) > _most(question, one)]
    if short:
        return over_quota(question, short, started)
    tried = []
    for at, one in enumerate(services):
        on_step = partial(progress, at, len(services))
        tried.append(try_service(question, one, policy, training, on_step))
    return report(question, tried, started)


def _question(
    asked: Asked, services: list[ScaledLoad], step_s: float, notes: tuple[str, ...], deployment: Path | None,
    cluster: Path | None, seed: int,
) -> Question:  # fmt: skip
    tick_s, ticks = asked.scaling.tick_s, len(services[0].rate_per_s)
    season = find_season(services[0].rate_per_s, tick_s)
    more = {path.name: sha256(path) for path in (deployment, cluster) if path is not None}
    return Question(
        name=f"{asked.name}-autoscaling", services=tuple(services), scaling=asked.scaling,
        start_s=float(asked.series.t_s[0]), step_s=step_s, ticks=ticks, split=split_at(ticks, tick_s, season),
        season_ticks=round(season / tick_s) if season else 0, inputs=asked.inputs | more, notes=notes, seed=seed,
    )  # fmt: skip


def split_at(ticks: int, tick_s: float, season_s: float | None) -> int:
    """The first tick of the part that is scored: 70 % of the load, on a whole day where it has three days or more."""
    at = round(TRAIN_SHARE * ticks)
    day = round(DAY_S / tick_s)
    if season_s is None or ticks < 3 * day:
        return at
    return max(round(at / day), 1) * day


def needed_at_peak(question: Question, load: ScaledLoad) -> int:
    """Replicas that the highest rate needs in equilibrium, the spare included."""
    most = int(load.capacity.rows[-1])
    needed = int(replicas_needed(load.capacity, np.array([load.rate_per_s.max()]), load.late_share, most)[0])
    return needed + spare(needed, question.scaling)


def _most(question: Question, load: ScaledLoad) -> int:
    return question.scaling.quota or int(load.capacity.rows[-1]) + spare(1, question.scaling)


def try_service(
    question: Question, load: ScaledLoad, policy: Asking, training: Path | None, on_step: Callable[[str], None]
) -> Tried:
    """Tune every policy on the first part of the service's load and score it on the second."""
    season_s = question.season_ticks * question.scaling.tick_s or None
    view = View(rate_per_s=load.rate_per_s, start_s=question.start_s, tick_s=question.scaling.tick_s, season_s=season_s)
    train = Stretch(load=load, view=view, scaling=question.scaling, first=0, last=question.split, seed=question.seed)
    test = Stretch(
        load=load, view=view, scaling=question.scaling, first=question.split, last=question.ticks, seed=question.seed
    )
    methods, notes = [], []
    if question.scaling.current is not None:
        methods.append(
            _method(f"{label(question.scaling.current)} (today's)", load, train, test, question.scaling.current)
        )
    for kind in ASKED[policy]:
        on_step(f"{load.name}: {kind}")
        found, note = _tuned(kind, load, view, train, training, policy, on_step)
        notes += [note] if note else []
        if found is not None:
            methods.append(_method(label(found), load, train, test, found))
        if kind == "keda" and question.scaling.brownout is not None:
            dimming = tune(train, with_brownout(candidates(kind, load, view, question.scaling, question.split)))
            methods += [_method(label(dimming), load, train, test, dimming)] if dimming else []
    best = choose(methods, load.late_share)
    front = on_front(methods)
    told = tuple(
        one.model_copy(update={"pareto": at in front, "verdict": verdict(one, best, load.late_share)})
        for at, one in enumerate(methods)
    )
    _, trace = score(test, best.policy)
    return Tried(
        load=load, view=view, stretch=test, methods=told, best=told[methods.index(best)], trace=trace,
        needed=needed_at_peak(question, load), notes=tuple(notes),
    )  # fmt: skip


def _tuned(
    kind: PolicyKind,
    load: ScaledLoad,
    view: View,
    train: Stretch,
    training: Path | None,
    policy: Asking,
    on_step: Callable[[str], None],
) -> tuple[PolicySpec | None, str | None]:
    """The tuned policy of one kind, or why there is none."""
    if kind == "td3" or kind == "ga-rl":
        if policy == "all" and not available():
            return None, f"{kind} was left out: the extra `torch` is not installed"
        return learn(kind, train, training, train.seed, on_step), None
    found = tune(train, candidates(kind, load, view, train.scaling, train.last))
    return found, None if found else f"{load.name}: {kind} needs a season, and two of them in the load"


def _method(name: str, load: ScaledLoad, train: Stretch, test: Stretch, policy: PolicySpec) -> Method:
    return Method(
        name=name, service=load.name, policy=policy, score=score(test, policy)[0], trained=score(train, policy)[0],
        axes=axes(policy, llm=load.llm),
    )  # fmt: skip
