"""What an allocation adds up to at each entry, by the composition that was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from planners.slo.curves import Curve
from planners.slo.graph import problem_calls, visits_waited
from planners.slo.question import Question, rank
from predictors.application.stations import SHARES
from solvers.budgets.feasible import latencies, longest_path
from solvers.budgets.problem import Calls, Costs, FloatArray, Problem
from solvers.budgets.stations import Stations, costs_of, stations
from solvers.budgets.tails import PROBABILITIES, end_to_end, quantile, union_bound_share

HORIZON = 2.5  # times the bound: beyond it only that a latency is too long matters
_SCORES = np.array([NormalDist().inv_cdf(share) for share in PROBABILITIES.tolist()])
_ROOT = (np.ones(1), np.zeros(1))


@dataclass
class Composer:
    """The curves of the services that are waited for, at every percentile asked; service 0 is the root."""

    question: Question
    curves: tuple[Curve, ...]
    share: float  # the percentile that budgets are at, as a share
    of_entrance: tuple[float, ...]  # the percentile of services that each entrance asks for
    stations: Stations
    costs: Costs
    fixed: FloatArray
    seen: FloatArray  # [entrances, services]: part of each service's load that an entrance's requests wait behind
    at_share: dict[float, Stations] = field(default_factory=dict)

    def values(self, rate_per_s: FloatArray) -> FloatArray:
        """Latency at each entrance's percentile with these loads per replica (root first), corrections included."""
        question = self.question
        parts = []
        for e in range(len(question.entrances)):
            rates = rate_per_s * self.seen[e]
            composed = self._tail(e, rates) if question.compose == "convolve" else self._sum(e, rates)
            parts.append(composed * question.correction[e])
        return np.array(parts)

    def reference(self, rate_per_s: FloatArray) -> FloatArray:
        """The budgets' own sum at each entrance, by which the solver's bounds are set."""
        own = _read(self.stations, rate_per_s)
        return np.array([self._latency(e, own) for e in range(len(self.question.entrances))])

    def _sum(self, e: int, rate_per_s: FloatArray) -> float:
        share = self.of_entrance[e]
        if share not in self.at_share:
            self.at_share[share] = _stations(self.question, self.curves, share)
        return self._latency(e, _read(self.at_share[share], rate_per_s))

    def _latency(self, e: int, own_s: FloatArray) -> float:
        calls, bound = self.calls_of(e)
        return float(latencies(Problem(calls, self.costs, bound), own_s)[0])

    @property
    def least(self) -> FloatArray:
        """The loads per replica at which latencies are least: those of the lowest knots."""
        return self.stations.rate_per_s[self.stations.at[:-1]]

    def path(self, e: int) -> dict[int, float]:
        """The services on the longest path of entrance ``e`` at their least latencies, and how often each counts."""
        calls, bound = self.calls_of(e)
        return longest_path(Problem(calls, self.costs, bound), self.costs.lowest_s)

    def calls_of(self, e: int) -> tuple[Calls, float]:
        """The calls below entrance ``e`` alone."""
        one = self.question.entrances[e]
        return problem_calls(self.question.graph, self.question.among, (one,), (one.bound_s,))

    def _tail(self, e: int, rate_per_s: FloatArray) -> float:
        one = self.question.entrances[e]
        rows = [np.zeros(len(PROBABILITIES))]
        rows += [_quantiles(curve, rate) for curve, rate in zip(self.curves, rate_per_s[1:].tolist(), strict=True)]
        calls, bound = self.calls_of(e)
        found = end_to_end(calls, np.array(rows), HORIZON * bound)
        value = quantile(found[0], SHARES[one.level], HORIZON * bound)
        return value if np.isfinite(value) else HORIZON * bound


def composer(question: Question) -> Composer:
    """Prepare the curves of ``question`` at the percentile of the budgets: the strictest that an entrance asks for."""
    among = question.among.services.tolist()
    curves = tuple(curve for curve in (question.curves[i] for i in among) if curve is not None)
    levels = [SHARES[one.level] for one in question.entrances]
    if question.compose == "union-bound":
        visits = visits_waited(question.graph, question.among, question.entrances)
        levels = [union_bound_share(q, max(v, 1.0)) for q, v in zip(levels, visits.tolist(), strict=True)]
    share = max(levels)
    found = _stations(question, curves, share)
    costs, fixed = costs_of(found)
    return Composer(question, curves, share, tuple(levels), found, costs, fixed, _seen(question), {share: found})


def _seen(question: Question) -> FloatArray:
    """At shared services the requests of an entry wait behind those of its own and higher priorities only.

    Serving the entries in order of priority, each seeing the load up to its own, is Erms' (code; cumulative load).
    """
    graph, among = question.graph, question.among.services
    found = np.ones((len(question.entrances), len(among) + 1))
    for e, one in enumerate(question.entrances):
        before = [rank(entry.priority) <= rank(one.priority) for entry in question.application.spec.entries]
        mine = (graph.rate_per_s * np.array(before)) @ graph.visits[:, among]
        found[e, 1:] = mine / np.maximum(graph.load_per_s[among], 1e-300)
    return found


def _stations(question: Question, curves: tuple[Curve, ...], share: float) -> Stations:
    among = question.among.services
    load, price = question.graph.load_per_s[among], question.price[among]
    knots = [_ROOT, *((curve.rate_per_s, curve.at(share)) for curve in curves)]
    return stations(knots, [0.0, *load.tolist()], [0.0, *price.tolist()])


def _read(given: Stations, rate_per_s: FloatArray) -> FloatArray:
    found = np.zeros(len(rate_per_s))
    for i in range(1, len(rate_per_s)):
        knots = slice(int(given.at[i]), int(given.at[i + 1]))
        found[i] = np.interp(rate_per_s[i], given.rate_per_s[knots], given.latency_s[knots])
    return found


def _quantiles(curve: Curve, rate_per_s: float) -> FloatArray:
    """Latency of one service at `PROBABILITIES` under this load per replica: lognormal between the known scores."""
    logs = np.array([np.interp(rate_per_s, curve.rate_per_s, column) for column in np.log(curve.latency_s).T])
    slopes = np.diff(logs) / np.diff(curve.scores)
    k = np.clip(np.searchsorted(curve.scores, _SCORES) - 1, 0, len(slopes) - 1)
    return np.asarray(np.exp(logs[k] + slopes[k] * (_SCORES - curve.scores[k])), dtype=np.float64)
