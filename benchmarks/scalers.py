"""Claims of MSARS, SealOS+ and cloud-native serving beside ours: trained on some days, scored on others, five seeds."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from benchmarks.line import Line, Result
from benchmarks.reference import reference_path
from planners.autoscaling.choosing import axes, beats, breaks, choose, label
from planners.autoscaling.families import candidates
from planners.autoscaling.learning import learn
from planners.autoscaling.question import ScaledLoad
from planners.autoscaling.scoring import Stretch, score, tune
from predictors.autoscaling.capacity import service_capacity
from predictors.autoscaling.looking import DAY_S, View
from specs.autoscaling import Method, ScalingSpec, Score, StartUp
from specs.policies import PolicyKind, PolicySpec

DATA = "load_series/worldcup98_per_minute.csv.gz"
LINE = Line(
    name="scalers",
    what="learned and evolved scalers beside simple ones: tuned or trained on 5 days, scored on the 3 after, 5 seeds",
    bar="a learned or evolved policy is recommended only where it beats the best simple one on held-out days",
    data=DATA,
)
FIRST_DAY, TRAIN_DAYS, TEST_DAYS, SEEDS, TICK_S = 20, 5, 3, 5, 60.0
"""Days 20–24 of the record train, 25–27 score: before the tournament's matches, with its daily rhythm."""
SCALING = ScalingSpec(
    start_up=StartUp(schedule_s=5.0, image_s=30.0, weights_s=0.0, warm_up_s=85.0), tick_s=TICK_S, metrics_delay_s=60.0,
    metrics_window_s=60.0,
)  # fmt: skip
WORKERS, SERVICE_S, BOUND_S, LATE_SHARE, MEAN_REPLICAS = 4, 0.05, 0.4, 0.01, 8.0
"""One service whose load is scaled so that eight replicas are busy on average; p99 ≤ 0.4 s."""
SIMPLE: tuple[PolicyKind, ...] = ("static", "hpa", "keda", "predictive", "mpc")
LEARNED: tuple[Literal["td3", "ga-rl"], ...] = ("td3", "ga-rl")
GROUPS = (0.4, 0.2, 0.2, 0.2)
"""A model cut into four layer groups, one of which is the bottleneck: shares of the time of one visit."""
NOTES = (
    "Claims are the papers' abstracts: MSARS 38 % fewer violations, 8 % less resource (2409.14953); SealOS+ 78 % CPU"
    " (2505.23258); cloud-native serving: layer-level HPA relieves bottlenecks, no figure (2507.18007).",
    "Reasons for differences: neither paper's traces, baselines, reward or training budget are public; ours are one"
    " service on a simulated cluster, 3,000 decisions of TD3, three rounds of twelve generations, and baselines that"
    " are themselves tuned on the training days (the papers' may not be).",
    "The layer groups are synthetic: a pipeline of four, one of which takes twice as long as each of the others.",
    "First run: TD3 began with a random network and ended at the largest number of replicas in four of five seeds"
    " (none recommended, 65 % more than hpa); it now begins with the network that follows the load, which the evolution"
    " has from the start. The layer groups were charged wrongly (69 %); a group is now a GPU.",
)


def run() -> Result:
    """Tune, train, score; the bar is on what is recommended."""
    train, test = stretches()
    simple = [_method(found, train, test) for kind in SIMPLE if (found := _tuned(kind, train)) is not None]
    best = choose(simple, LATE_SHARE)
    rows: list[dict[str, Any]] = [_row(one.name, one.score) for one in simple]
    honest = True
    hpa = next(one for one in simple if one.policy.kind == "hpa")
    figures: dict[str, float] = {"best_simple_hours": best.score.replica_hours}
    for kind in LEARNED:
        learned = [_method(learn(kind, train, None, seed), train, test) for seed in range(SEEDS)]
        rows += [_row(f"{kind}, seed {seed}", one.score) for seed, one in enumerate(learned)]
        won = [choose([*simple, one], LATE_SHARE).policy.kind == kind for one in learned]
        honest &= all(w == beats(one.score, best.score, LATE_SHARE) for w, one in zip(won, learned, strict=True))
        figures |= _figures(kind, learned, hpa, won, test)
    figures |= layers()
    rows.append({"policy": "claims", **{name: round(value, 4) for name, value in figures.items()}})
    return Result(holds=honest, text=_text(best, figures), figures=figures, detail=tuple(rows), notes=NOTES)


def stretches(first_day: int = FIRST_DAY) -> tuple[Stretch, Stretch]:
    """The days that train and the days that score, of one service."""
    with gzip.open(reference_path(DATA), "rt") as file:
        counts = np.array([float(line.rsplit(",", 1)[1]) for line in file.readlines()[1:]])
    day = round(DAY_S / TICK_S)
    part = counts[first_day * day : (first_day + TRAIN_DAYS + TEST_DAYS) * day]
    rate = part / part.mean() * MEAN_REPLICAS * 0.6 * WORKERS / SERVICE_S
    capacity = service_capacity(workers=WORKERS, service_s=SERVICE_S, bound_s=BOUND_S, most=120)
    load = ScaledLoad(name="web", rate_per_s=rate, bound_s=BOUND_S, late_share=LATE_SHARE, capacity=capacity)
    view = View(rate_per_s=rate, start_s=0.0, tick_s=TICK_S, season_s=DAY_S)
    train = Stretch(load=load, view=view, scaling=SCALING, first=0, last=TRAIN_DAYS * day)
    return train, replace(train, first=TRAIN_DAYS * day, last=len(rate))


def _tuned(kind: PolicyKind, train: Stretch) -> PolicySpec | None:
    return tune(train, candidates(kind, train.load, train.view, SCALING, train.last))


def _method(policy: PolicySpec, train: Stretch, test: Stretch) -> Method:
    return Method(
        name=label(policy), service="web", policy=policy, score=score(test, policy)[0], trained=score(train, policy)[0],
        axes=axes(policy, llm=False),
    )  # fmt: skip


def _row(name: str, found: Score) -> dict[str, Any]:
    return {
        "policy": name, "late": found.violations, "replica_hours": found.replica_hours,
        "recovers_s": -1.0 if found.recovers_s is None else found.recovers_s,
        "turns_per_hour": found.reversals_per_hour, "keeps_promise": not breaks(found, LATE_SHARE),
    }  # fmt: skip


def _figures(kind: str, learned: list[Method], hpa: Method, won: list[bool], test: Stretch) -> dict[str, float]:
    late = float(np.mean([one.score.violations for one in learned]))
    hours = float(np.mean([one.score.replica_hours for one in learned]))
    needed = float(test.view.rate_per_s[test.first : test.last].mean()) / test.load.capacity.per_s
    busy = needed / (hours / test.hours)
    return {
        f"{kind}_violations_below_hpa": 1.0 - late / max(hpa.score.violations, 1e-9),
        f"{kind}_hours_below_hpa": 1.0 - hours / hpa.score.replica_hours,
        f"{kind}_use_of_capacity": busy, f"{kind}_recommended_of_{SEEDS}": float(sum(won)),
    }  # fmt: skip


def layers() -> dict[str, float]:
    """One HPA over whole pipelines against one for each layer group, same promise: share of the GPUs that it saves.

    Each group has a GPU of its own; a whole pipeline is copied as often as its slowest group needs.
    """
    train, test = stretches()
    hours = []
    for share in GROUPS:
        capacity = service_capacity(workers=WORKERS, service_s=SERVICE_S * share, bound_s=BOUND_S * share, most=120)
        load = replace(train.load, capacity=capacity, bound_s=BOUND_S * share, late_share=LATE_SHARE / len(GROUPS))
        own = replace(train, load=load)
        policy = tune(own, candidates("hpa", load, own.view, SCALING, own.last))
        assert policy is not None
        hours.append(score(replace(test, load=load), policy)[0].replica_hours)
    return {"layer_hpa_gpus_below_whole": 1.0 - sum(hours) / (len(GROUPS) * max(hours))}


def _text(best: Method, figures: dict[str, float]) -> str:
    parts = [
        f"{kind}: late {-figures[f'{kind}_violations_below_hpa']:+.0%} and resource"
        f" {-figures[f'{kind}_hours_below_hpa']:+.0%} against hpa, recommended for"
        f" {figures[f'{kind}_recommended_of_{SEEDS}']:.0f} of {SEEDS} seeds"
        for kind in LEARNED
    ]
    return f"best simple: {best.name}; {'; '.join(parts)}"
