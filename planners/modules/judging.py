"""One way to serve, simulated by the engine model on the load and held against the SLO."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from planners.modules.question import Question
from predictors.deployment import Compiled, serve
from predictors.layered import compile_layered
from predictors.serving import StepSurface
from predictors.serving.measures import Measures, measure
from predictors.slo import Bound, bounds_of, request_bounds
from specs.errors import InfeasibleError
from specs.modules import Method


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to serve: equal replicas with one step time and so many tokens of KV each, and what is paid for."""

    method: Method
    label: str
    surface: StepSurface
    kv_tokens: float
    replicas: int
    gpus: int
    share: float
    sustains_per_s: float
    detail: object = field(default=None)  # what the method needs to write its decision

    def usd_per_hour(self, question: Question) -> float | None:
        """Whole GPUs and shares of idle memory at the price of a whole GPU."""
        price = question.pool.usd_per_gpu_hour
        return None if price is None else price.value * self.share


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A way with what the simulation found; ``measures`` None where a request does not fit its KV."""

    way: Way
    compiled: Compiled
    measures: Measures | None
    breaks: str | None

    @property
    def holds(self) -> bool:
        """Whether every bound of the SLO is kept."""
        return self.breaks is None


def judge(question: Question, way: Way) -> Judged:
    """Serve the load at the upper end of the step time and name the bound that is missed most."""
    compiled = compile_layered(
        question.deployment, way.surface, max(way.kv_tokens, 0.0), question.cut, replicas=way.replicas
    )
    try:
        run = serve(
            compiled,
            question.requests,
            closed_loop=question.closed_loop,
            time_factor=question.upper,
            seed=question.seed,
        )
    except InfeasibleError as error:
        return Judged(way=way, compiled=compiled, measures=None, breaks=error.message)
    found = measure(
        run, request_bounds(question.workload), prompt_tokens=question.requests.prompt_tokens, resamples=0,
        seed=question.seed,
    )  # fmt: skip
    missed = [one for one in bounds_of(question.workload.slo, found) if not one.holds]
    if not missed:
        return Judged(way=way, compiled=compiled, measures=found, breaks=None)
    worst = max(missed, key=_factor)
    sign = "<" if worst.name == "attainment" else ">"
    return Judged(
        way=way, compiled=compiled, measures=found, breaks=f"{worst.name} {worst.found:.3g} {sign} {worst.bound:g}"
    )


def _factor(one: Bound) -> float:
    """By how much a bound is missed: attainment has to be above it, latencies below."""
    return one.bound / max(one.found, 1e-9) if one.name == "attainment" else one.found / max(one.bound, 1e-9)


def cheapest(question: Question, ways: Iterable[Way]) -> Judged | None:
    """The cheapest way that holds (ways come in order of cost), else the one that attains most; None without a way."""
    best: Judged | None = None
    for way in ways:
        found = judge(question, way)
        if found.holds:
            return found
        if best is None or _attained(found) > _attained(best):
            best = found
    return best


def _attained(judged: Judged) -> tuple[float, float]:
    if judged.measures is None:
        return (-1.0, 0.0)
    return (judged.measures.attainment.value, -judged.measures.e2e_s.mean.value)
