"""One brownout setting replayed under the burst: whether the SLO holds, at which thresholds, at which loss."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from planners.brownout.question import Question
from predictors.brownout import Brownout, Salc, compile_brownout, draw_routing, serve_at, serve_controlled
from predictors.deployment import Compiled, compile_deployment
from predictors.serving import Requests, Run
from predictors.serving.measures import Measures, measure
from predictors.slo import Bound, bounds_of, request_bounds
from solvers.aimd import Aimd
from specs.brownout import Mode
from specs.engine import EngineProfileSpec
from specs.errors import InfeasibleError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the engine would be given: fixed thresholds, or SALC that starts from them."""

    mode: Mode
    way: int | None
    thresholds: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A setting under the burst; ``thresholds`` [seconds, 2] (prefill, decode), one row where they are fixed."""

    setting: Setting
    run: Run
    measures: Measures
    bounds: tuple[Bound, ...]
    thresholds: FloatArray
    loss_pct: float
    burst_thresholds: tuple[float, float]
    burst_loss_pct: float
    extra_gib: float

    @property
    def holds(self) -> bool:
        """Whether every bound of the SLO holds."""
        return all(bound.holds for bound in self.bounds)

    @property
    def worst(self) -> Bound:
        """The bound that is used most."""
        return max(self.bounds, key=used)


def used(bound: Bound) -> float:
    """How much of a bound is used: 1 at the bound, more beyond; of attainment, the share of misses."""
    if bound.name == "attainment":
        return (1 - bound.found) / max(1 - bound.bound, 1e-9)
    return bound.found / bound.bound if np.isfinite(bound.found) else 0.0


@dataclass(frozen=True)
class Bench:
    """Compiled step times of one question; what is asked twice is compiled once."""

    question: Question
    compiled: Compiled
    drawn: tuple[IntArray, ...]
    ways: dict[int | None, Brownout | InfeasibleError] = field(default_factory=dict)

    def brownout(self, way: int | None) -> Brownout:
        """United experts of ``way`` on the deployment; raises InfeasibleError where they do not fit."""
        if way not in self.ways:
            self.ways[way] = self._compile(way)
        found = self.ways[way]
        if isinstance(found, InfeasibleError):
            raise found
        return found

    def fits(self, way: int | None) -> bool:
        """Whether united experts of ``way`` leave room for the KV cache."""
        try:
            self.brownout(way)
        except InfeasibleError:
            return False
        return True

    def _compile(self, way: int | None) -> Brownout | InfeasibleError:
        question, profile = self.question, self.question.profile
        assert not isinstance(profile, EngineProfileSpec)
        try:
            return compile_brownout(self.compiled, question.model, question.device, self.drawn, way, profile=profile)
        except InfeasibleError as error:
            return error


def bench_of(question: Question) -> Bench:
    """Compile the deployment and draw the routing; raises InfeasibleError where the model does not fit."""
    compiled = compile_deployment(
        question.model, question.device, question.deployment.spec, profile=question.profile
    )  # fmt: skip
    drawn = draw_routing(question.popularity, question.moe.experts_per_token, seed=question.seed)
    return Bench(question, compiled, drawn)


def salc_of(question: Question) -> Salc:
    """SALC with the published constants and the workload's bounds."""
    prefill, decode = question.prefill_slo_s, question.decode_slo_s
    return Salc(
        prefill=None if prefill is None else Aimd(slo_s=prefill),
        decode=None if decode is None else Aimd(slo_s=decode),
        level=question.level,
    )


def try_setting(bench: Bench, setting: Setting, factor: float | None = None, *, time_factor: float = 1.0) -> Trial:
    """Replay ``setting`` with the rate multiplied by ``factor`` (None: the question's burst)."""
    question = bench.question
    requests = question.under(question.burst if factor is None else factor)
    brownout = bench.brownout(setting.way)
    if setting.mode == "salc":
        run, thresholds = serve_controlled(
            bench.compiled, brownout, requests, salc_of(question), time_factor=time_factor, seed=question.seed
        )
    else:
        run = serve_at(
            bench.compiled, brownout, requests, setting.thresholds, time_factor=time_factor, seed=question.seed
        )
        thresholds = np.asarray([setting.thresholds])
    return _trial(bench, setting, requests, run, thresholds)


def _trial(bench: Bench, setting: Setting, requests: Requests, run: Run, thresholds: FloatArray) -> Trial:
    question = bench.question
    measures = measure(
        run, request_bounds(question.workload), prompt_tokens=requests.prompt_tokens, resamples=0
    )  # fmt: skip
    losses = losses_of(question, setting.way, requests, thresholds)
    burst = in_burst(question, requests, thresholds)
    return Trial(
        setting=setting, run=run, measures=measures, bounds=bounds_of(question.workload.slo, measures),
        thresholds=thresholds, loss_pct=float(losses.mean()),
        burst_thresholds=(float(thresholds[burst, 0].mean()), float(thresholds[burst, 1].mean())),
        burst_loss_pct=float(losses[burst].mean()), extra_gib=bench.brownout(setting.way).extra_gib,
    )  # fmt: skip


def losses_of(question: Question, way: int | None, requests: Requests, thresholds: FloatArray) -> FloatArray:
    """Loss of each row of thresholds: the table's for each phase, weighed by the tokens of prompts and answers [ours].

    A table knows one threshold for both phases; the weights stand in for what nobody has measured.
    """
    prompts = float(requests.prompt_tokens.sum())
    share = prompts / (prompts + float(requests.output_tokens.sum()))
    table = question.accuracy.spec
    lost = [[table.loss(way, one) if one < 1.0 else 0.0 for one in pair] for pair in thresholds]
    losses: FloatArray = np.asarray(lost) @ np.asarray([share, 1.0 - share])
    return losses


def in_burst(question: Question, requests: Requests, thresholds: FloatArray) -> npt.NDArray[np.bool_]:
    """Which rows (seconds from the first arrival) lie in the burst; fixed thresholds have one row that does."""
    if len(thresholds) == 1:
        return np.ones(1, dtype=bool)
    seconds = np.arange(len(thresholds)) + float(requests.arrival_s[0])
    chosen = (seconds >= question.burst_start_s) & (seconds <= float(requests.arrival_s[-1]))
    return chosen if chosen.any() else np.ones(len(thresholds), dtype=bool)
