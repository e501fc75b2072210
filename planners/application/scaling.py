"""From the lowest to the highest forecast: how few replicas the SLO allows, and the CPU use that is held between."""

from __future__ import annotations

import math

import numpy as np

from planners.application.answer import Answer
from planners.application.question import Question
from planners.application.splitting import name_of, split, tightened
from planners.application.whole import slowed
from specs.application_plan import ScalingRange
from specs.slo_plan import ServiceBudget, SloPlan

LOADS = 4  # below the plan's at which the split is made, the lowest among them
REQUESTS = 30_000  # that confirm each of them: only how many replicas are needed is read off
TOLERANCE = 0.1  # within which a HorizontalPodAutoscaler leaves its replicas alone


def ranges(question: Question, answer: Answer) -> dict[str, ScalingRange]:
    """Return the range of each service that may be scaled; nothing where the load is not a forecast.

    The SLO is split at four loads below the plan's, evenly by their roots, each with the network, neighbours and caches
    of the answer. An autoscaler runs ⌈λ / (c u)⌉ replicas at load λ, where c is what one replica can do: u is the least
    use at which the split's own replicas, not rounded up, keep the SLO at any of these loads, less the autoscaler's
    tolerance, and never above the plan's use at its highest load. [ours; the controller's rule is std]
    """
    low, high = question.load.lowest_per_s, question.load.rate_per_s
    if low is None or not 0.0 < low < high:
        return {}
    loads = np.linspace(math.sqrt(low), math.sqrt(high), LOADS + 1)[:-1] ** 2
    plans = [_split_at(question, answer, rate) for rate in loads.tolist()]
    found = {}
    for name, most in answer.replicas.items():
        if most > 1 and name not in question.llm and all(plans):
            at = [_at(one, name) for one in [*plans, answer.slo] if one is not None]
            found[name] = _range(answer, name, at, low)
    return {name: one for name, one in found.items() if one.least < one.most}


def _split_at(question: Question, answer: Answer, rate_per_s: float) -> SloPlan | None:
    network = [answer.reserved_s[name_of(entry)] for entry in answer.spec.entries]
    spec = tightened(slowed(answer.spec, answer.where.slowdown), network, answer.factor)
    assert spec is not None
    scale = question.load.scale * rate_per_s / question.load.rate_per_s
    found = split(question, spec, scale=scale, requests=REQUESTS)
    return found if found.decision is not None else None


def _at(plan: SloPlan, name: str) -> ServiceBudget:
    assert plan.decision is not None
    return next(each for each in plan.decision.services if each.service == name)


def _range(answer: Answer, name: str, at: list[ServiceBudget], low_per_s: float) -> ScalingRange:
    real = next(one for one in answer.whole.estimate.services if one.service == name)
    most = answer.replicas[name]
    each = real.limit_per_s / most
    exact = [one.rate_per_s / (each * one.replicas_exact) for one in at if one.replicas > 1 and one.replicas_exact]
    use = min([real.utilisation, *(one / (1.0 + TOLERANCE) for one in exact)])
    return ScalingRange(
        least=min([most, *(one.replicas for one in at)]), most=most, least_rate_per_s=low_per_s,
        cpu_utilisation=max(math.floor(100.0 * use) / 100.0, 0.01),
    )  # fmt: skip
