"""`tonnage plan autoscaling`: every policy tuned on one part of the load, scored on another, and one recommended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from planners.autoscaling import layers
from planners.autoscaling.capacities import services_of
from planners.autoscaling.choosing import LAYERED, axes, choose, label, on_front, verdict
from planners.autoscaling.cutting import Planned, cut_load, read_cut, with_start_up
from planners.autoscaling.families import as_ruled, candidates, spare, with_brownout
from planners.autoscaling.forecasting import forecast_band
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
from planners.autoscaling.refusing import abstained, over_quota
from planners.autoscaling.reinforcing import available, require
from planners.autoscaling.report import Tried, report
from planners.autoscaling.scoring import Stretch, score, tune
from predictors.autoscaling.capacity import replicas_needed
from predictors.autoscaling.looking import DAY_S, View, find_season
from predictors.autoscaling.state import FloatArray, SingleArray
from specs.autoscaling import AutoscalingPlan, Method
from specs.errors import InputError, MissingHardwareError
from specs.policies import PolicyKind, PolicySpec
from specs.reading import sha256
from specs.workload import WorkloadSpec

Asking = Literal["hpa", "keda", "predictive", "mpc", "td3", "ga-rl", "static", "all"]
SIMPLE: tuple[PolicyKind, ...] = ("static", "vpa", "hpa", "keda", "predictive", "mpc")
ASKED: dict[str, tuple[PolicyKind, ...]] = {
    "static": ("static",), "hpa": ("static", "hpa"), "keda": ("static", "hpa", "keda"),
    "predictive": ("static", "hpa", "keda", "predictive"), "mpc": ("static", "hpa", "keda", "mpc"),
    "td3": (*SIMPLE, "td3"), "ga-rl": (*SIMPLE, "ga-rl"), "all": (*SIMPLE, "td3", "ga-rl"),
}  # fmt: skip
"""What runs beside the policy that was asked for: the simple ones that it must beat."""


def plan(
    document: Path, *, load: Path | None = None, scaling: Path | None = None, deployment: Path | None = None,
    cluster: Path | None = None, modules: Path | None = None, policy: Asking = "all", training: Path | None = None,
    seed: int = 0, on_progress: OnProgress | None = None,
) -> AutoscalingPlan:  # fmt: skip
    """Choose a scaling policy for every service of a Workload or an Application, tried on its own load.

    The first 70 % of the load (whole days where there are days) tunes each policy, the rest scores it. ``training``:
    folder in which training is kept, so that it goes on where it was interrupted. ``modules``: a plan of `plan
    modules`, whose layer services are tried beside whole instances. Infeasible and abstained plans are returned, not
    raised; raises `InputError` for wrong documents. [ours; MSARS (2409.14953), SealOS+ (2505.23258), layers 2507.18007]
    """
    started = time.process_time()
    progress = on_progress or (lambda done, total, what: None)
    if policy in ("td3", "ga-rl"):
        require()
    if training is not None and training.exists() and not training.is_dir():
        raise InputError(f"{training}: is a file, a folder was expected", cure="Name the folder that keeps trainings.")
    asked, planned = _read(document, load, scaling, deployment, modules)
    rate, step_s, notes = even_ticks(asked.series, asked.scaling.tick_s)
    try:
        services = _services(asked, planned, rate, deployment, cluster)
    except MissingHardwareError as error:
        return abstained(asked, error, started)
    question = _question(asked, services, step_s, (*asked.notes, *notes), deployment, cluster, seed)
    short = [(one, need) for one in services if (need := needed_at_peak(question, one)) > _most(question, one)]
    if short:
        return over_quota(question, short, started)
    progress(0, len(services) + 1, "forecasting the load")
    question = replace(question, band=forecast_band(rate, asked.scaling.tick_s, _starts_in(question)))
    tried = []
    for at, one in enumerate(services):
        on_step = partial(progress, at, len(services))
        tried.append(try_service(question, one, policy, training, on_step))
    return report(question, tried, started)


def _read(
    document: Path, load: Path | None, scaling: Path | None, deployment: Path | None, modules: Path | None
) -> tuple[Asked, Planned | None]:
    asked = read(document, load, scaling)
    if modules is None:
        return asked, None
    if deployment is not None:
        cure = "Leave --deployment out: the plan of modules says what a whole instance is."
        raise InputError("--deployment and --modules both say what one replica is", cure=cure)
    if not isinstance(asked.document, WorkloadSpec):
        cure = "Give the Workload of the model that was cut."
        raise InputError(f"{document}: --modules is for a Workload, not for an Application", cure=cure)
    planned = read_cut(modules)
    return with_start_up(asked, planned, scaling is not None), planned


def _services(
    asked: Asked, planned: Planned | None, rate: FloatArray, deployment: Path | None, cluster: Path | None
) -> list[ScaledLoad]:
    if planned is None:
        return services_of(asked, rate, deployment, cluster)
    assert isinstance(asked.document, WorkloadSpec)
    return [cut_load(asked, asked.document, planned, rate, cluster)]


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


def _starts_in(question: Question) -> float:
    """Seconds until a replica that is asked for serves, on a new node where nodes come and go."""
    nodes = question.scaling.nodes
    return question.scaling.start_up.cold_s + (nodes.provision_s if nodes else 0.0)


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
        today = as_ruled(question.scaling.current, question.scaling)
        methods.append(_method(f"{label(today)} (today's)", load, train, test, today))
    for kind in ASKED[policy]:
        on_step(f"{load.name}: {kind}")
        found, note = _tuned(kind, load, view, train, training, policy, on_step)
        notes += [note] if note else []
        if found is not None:
            methods.append(_method(label(found), load, train, test, found))
        if kind == "hpa" and load.cut is not None:
            on_step(f"{load.name}: {LAYERED}")
            methods.append(layers.method(train, test))
        if kind == "keda" and question.scaling.brownout is not None:
            dimming = tune(train, with_brownout(candidates(kind, load, view, question.scaling, question.split)))
            methods += [_method(label(dimming), load, train, test, dimming)] if dimming else []
    best = choose(methods, load.late_share)
    front = on_front(methods)
    told = tuple(
        one.model_copy(update={"pareto": at in front, "verdict": verdict(one, best, load.late_share)})
        for at, one in enumerate(methods)
    )
    total = _paid(test, best)
    return Tried(
        load=load, view=view, stretch=test, methods=told, best=told[methods.index(best)], total=total,
        needed=needed_at_peak(question, load), notes=tuple(notes),
    )  # fmt: skip


def _paid(test: Stretch, best: Method) -> SingleArray:
    """Replicas in each tick, or GPUs where layers are scaled apart."""
    if not best.layers:
        return score(test, best.policy)[1].total
    return layers.run(test, tuple(one.policy for one in best.layers)).gpus.astype(np.float32)


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
    if found is None and kind == "vpa":
        return None, f"{load.name}: vpa was left out: a GPU cannot be resized"
    return found, None if found else f"{load.name}: {kind} needs a season, and two of them in the load"


def _method(name: str, load: ScaledLoad, train: Stretch, test: Stretch, policy: PolicySpec) -> Method:
    return Method(
        name=name, service=load.name, policy=policy, score=score(test, policy)[0], trained=score(train, policy)[0],
        axes=axes(policy, llm=load.llm),
    )  # fmt: skip
