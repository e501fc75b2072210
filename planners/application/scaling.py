"""From the lowest to the highest forecast: how few replicas the SLO allows, and the CPU use that is held between."""

from __future__ import annotations

import math

import numpy as np

from planners.application.answer import Answer
from planners.application.question import Question
from planners.application.splitting import name_of, split, tightened
from planners.application.whole import slowed
from specs.application_plan import ScalingRange
from specs.slo_plan import SloPlan

LOADS = 4  # at which the split is made, the lowest and the highest among them
TOLERANCE = 0.1  # within which a HorizontalPodAutoscaler leaves its replicas alone


def ranges(question: Question, answer: Answer) -> dict[str, ScalingRange]:
    """Return the range of each service that may be scaled; nothing where the load is not a forecast.

    The SLO is split at four loads, each with the network, neighbours and caches of the answer. An autoscaler runs
    ceil(λ / (c u)) replicas at load λ, where c is what one replica can do: u is the highest use at which these are as
    many as the SLO needs at each of the loads, less the autoscaler's tolerance. [ours; the controller's rule is std]
    """
    low, high = question.load.lowest_per_s, question.load.rate_per_s
    if low is None or not 0.0 < low < high:
        return {}
    plans = [(rate, _split_at(question, answer, rate)) for rate in np.geomspace(low, high, LOADS)[:-1].tolist()]
    if any(one is None for _, one in plans):
        return {}
    found = {}
    for name, most in answer.replicas.items():
        if most > 1 and name not in question.llm:
            at = [_at(one, name) for _, one in plans if one is not None]
            found[name] = _range(answer, name, at, low)
    return {name: one for name, one in found.items() if one.least < one.most}


def _split_at(question: Question, answer: Answer, rate_per_s: float) -> SloPlan | None:
    network = [answer.reserved_s[name_of(entry)] for entry in answer.spec.entries]
    spec = tightened(slowed(answer.spec, answer.where.slowdown), network, answer.factor)
    assert spec is not None
    found = split(question, spec, scale=question.load.scale * rate_per_s / question.load.rate_per_s)
    return found if found.decision is not None else None


def _at(plan: SloPlan, name: str) -> tuple[float, int]:
    """The service's visits per second and its replicas."""
    assert plan.decision is not None
    one = next(each for each in plan.decision.services if each.service == name)
    return one.rate_per_s, one.replicas


def _range(answer: Answer, name: str, at: list[tuple[float, int]], low_per_s: float) -> ScalingRange:
    real = next(one for one in answer.whole.estimate.services if one.service == name)
    most = answer.replicas[name]
    each = real.limit_per_s / most
    needed = [*at, (real.visits_per_s, most)]
    use = min((rate / (each * (n - 1)) for rate, n in needed if n > 1), default=1.0)
    least = min(min(n for _, n in at), most)
    percent = math.floor(100.0 * min(use / (1.0 + TOLERANCE), 1.0)) / 100.0
    return ScalingRange(least=least, most=most, cpu_utilisation=max(percent, 0.01), least_rate_per_s=low_per_s)
