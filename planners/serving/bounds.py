"""Closed forms that prune: memory, Little's law, work in a burst, and the unloaded latency."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from planners.serving.candidates import Layout, Limits, Part
from planners.serving.decide import LEVELS, Check
from planners.serving.question import Question
from planners.serving.serve import Workbench
from predictors.serving import Requests, StepSurface, simulate
from specs.workload import PercentileBounds, Slo

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
WINDOWS = 256
"""Window edges between which bursts are looked for."""
APART_S = 1e5


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a question's requests demand of any layout, heaviest requests that may miss left out.

    ``work_tokens_per_s``: scheduled tokens; ``burst_tokens_per_s``: prompt tokens of the heaviest window;
    ``steps_in_flight`` and ``kv_tokens_steps``: sequences, and KV tokens, held per second of decode step (Little).
    Rates are over the arrivals' span and the time that the bounds allow after it; 0 where nothing bounds that.
    """

    work_tokens_per_s: float
    burst_tokens_per_s: float
    steps_in_flight: float
    kv_tokens_steps: float


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The fewest replicas that closed forms allow, and the replicas behind each form."""

    replicas: int
    little_kv: float
    little_seqs: float
    burst: float
    work: float


def demand(question: Question) -> Demand:
    """Sum the requests up once; of a closed loop nothing bounds the span, so all is 0. [ours, Little's law std]"""
    if question.closed_loop is not None:
        return Demand(work_tokens_per_s=0.0, burst_tokens_per_s=0.0, steps_in_flight=0.0, kv_tokens_steps=0.0)
    requests = _uncached(question.requests)
    span, miss = _allowed_span(question), _miss_share(question, TTFT_BOUNDS) + _miss_share(question, TPOT_BOUNDS)
    steps = requests.output_tokens - 1
    held = question.requests.prompt_tokens + requests.output_tokens / 2
    shared = question.requests.prefix_id is not None  # shared blocks are held once: nothing is certain
    return Demand(
        work_tokens_per_s=_lightest(requests.prompt_tokens + steps, miss) / span,
        burst_tokens_per_s=_burst(question, requests),
        steps_in_flight=_lightest(steps, miss) / span,
        kv_tokens_steps=0.0 if shared else _lightest(steps * held, miss) / span,
    )


def fewest_replicas(bench: Workbench, asked: Demand, layout: Layout, limits: Limits) -> Bound:
    """A lower bound on the replicas that can hold the SLO; below it no simulation is needed. [ours]

    With step times at the plan's upper end. Little's law: a request holds its KV and its sequence slot for at least
    its output times the fastest decode step. Work: a scheduled token costs at least the cheapest step's time per token.
    """
    surface = bench.surface(layout, "planned")
    token_s, decode_s = cheapest_token_s(surface, limits), fastest_decode_s(surface)
    tokens = bench.kv_blocks(layout, limits, "planned") * bench.question.engine.block_size_tokens
    little_kv = asked.kv_tokens_steps * decode_s / max(tokens, 1)
    little_seqs = asked.steps_in_flight * decode_s / limits.max_num_seqs
    burst, work = asked.burst_tokens_per_s * token_s, asked.work_tokens_per_s * token_s
    replicas = int(np.ceil(max(little_kv, little_seqs, burst, work, 1.0) - 1e-9))
    return Bound(replicas=replicas, little_kv=little_kv, little_seqs=little_seqs, burst=burst, work=work)


def cheapest_token_s(surface: StepSurface, limits: Limits) -> float:
    """Seconds per scheduled token of the step that is cheapest per token, of a pipeline's slowest stage."""
    largest = limits.max_num_batched_tokens
    counts = np.arange(1, largest + 1)
    step = surface.tokens_s[1 : largest + 1] + _host_floor(surface)
    return float((step / counts).min()) * surface.stage_share


def fastest_decode_s(surface: StepSurface) -> float:
    """The shortest step that gives a sequence its next token."""
    attention = float(surface.decode_attention_s[0, 0])
    gpu = float(surface.tokens_s[1]) + float(surface.sequences_s[1]) + attention
    host = float(surface.host_s[1:].min())
    return max(gpu, host) if surface.overlap else gpu + host


def _host_floor(surface: StepSurface) -> float:
    return 0.0 if surface.overlap else float(surface.host_s[1:].min())


def _lightest(weights: FloatArray | IntArray, miss: float) -> float:
    """Sum of ``weights`` [n] without the heaviest share ``miss``: what must be served in time whichever may miss."""
    kept = max(int(np.floor(len(weights) * (1 - min(miss, 1.0)))), 0)
    return float(np.sort(weights)[:kept].sum())


def _uncached(requests: Requests) -> Requests:
    """The requests with only the prompt tokens that must be computed; of hashed prefixes only the last block."""
    if requests.prefix_id is not None:
        prompt = np.minimum(requests.prompt_tokens, requests.prefix_block_tokens)
        return replace(requests, prompt_tokens=prompt)
    if requests.hit_tokens is None:
        return requests
    return replace(requests, prompt_tokens=np.maximum(requests.prompt_tokens - requests.hit_tokens, 1))


TTFT_BOUNDS = ("ttft_s", "e2e_s")
TPOT_BOUNDS = ("tpot_s", "e2e_s")


def _miss_share(question: Question, metrics: tuple[str, ...]) -> float:
    """The share of requests that may miss every bound on these metrics, at most; of the laxest class."""
    found = []
    for slo in question.slos:
        shares = [1 - LEVELS[level] for metric in metrics for level in _percentiles(getattr(slo, metric))]
        if any(getattr(slo.request, metric) for metric in metrics):
            shares.append(1 - slo.attainment)
        found.append(min(shares, default=1.0))
    return max(found)


def loosest(question: Question, metrics: tuple[str, ...]) -> float:
    """The loosest bound that a request which may not miss keeps; infinite where a class has none."""
    found = []
    for slo in question.slos:
        own = [bound for metric in metrics for bound in _percentiles(getattr(slo, metric)).values()]
        own += [b for metric in metrics if (b := getattr(slo.request, metric)) is not None]
        found.append(max(own, default=np.inf))
    return max(found)


def _percentiles(bounds: PercentileBounds) -> dict[str, float]:
    given: dict[str, float] = bounds.model_dump(exclude_none=True, exclude={"mean"})
    return given


def _allowed_span(question: Question) -> float:
    """Span of the arrivals and of what the bounds allow after the last; infinite where nothing bounds it."""
    requests = question.requests
    first, each = loosest(question, TTFT_BOUNDS), loosest(question, TPOT_BOUNDS)
    return float(requests.arrival_s[-1] - requests.arrival_s[0]) + first + each * float(requests.output_tokens.max())


def _burst(question: Question, requests: Requests) -> float:
    """Prompt tokens per second of the heaviest window: they must be computed when its last TTFT bound ends."""
    bound, miss = loosest(question, TTFT_BOUNDS), _miss_share(question, TTFT_BOUNDS)
    if not np.isfinite(bound):
        return 0.0
    kept = np.sort(np.argsort(requests.prompt_tokens, kind="stable")[: int(len(requests) * (1 - miss))])
    if len(kept) == 0:
        return 0.0
    arrival_s, prompt = requests.arrival_s[kept], requests.prompt_tokens[kept]
    edges = np.unique(np.linspace(0, len(kept), WINDOWS).astype(int))
    tokens = np.concatenate([[0], np.cumsum(prompt)])[edges].astype(np.float64)
    start, end = arrival_s[np.minimum(edges, len(kept) - 1)], arrival_s[np.maximum(edges - 1, 0)]
    spans = np.maximum(end[None, :] - start[:, None], 0.0) + bound
    needed = np.where(edges[None, :] > edges[:, None], (tokens[None, :] - tokens[:, None]) / spans, 0.0)
    return float(needed.max())


def unloaded(bench: Workbench, layout: Layout, limits: Limits) -> tuple[Check, ...]:
    """Bounds that one request alone already breaks: no number of replicas can hold them.

    Of each class the request whose prompt has the rank of a percentile is served alone: TTFT grows with the prompt,
    and no step is shorter than the fastest decode step. Nothing is ruled out where prefixes are known by hash.
    """
    question = bench.question
    if question.requests.prefix_id is not None:
        return ()
    prompt = _uncached(question.requests).prompt_tokens
    index = question.requests.class_index
    classes = np.zeros(len(prompt), dtype=np.int64) if index is None else index
    wanted = []
    for number, (slo, name) in enumerate(zip(question.slos, question.class_names, strict=True)):
        own = np.sort(prompt[classes == number])
        if len(own):
            wanted += [(f"{name}." if name else "", *one) for one in _wanted(slo, own)]
    prompts = np.unique([tokens for _, _, tokens, _ in wanted])
    alone_s = ttft_alone_s(bench, layout, limits, prompts) if wanted else np.empty(0)
    seconds = dict(zip(prompts.tolist(), alone_s, strict=True))
    checks = [Check(name=f"{p}{name}", value=float(seconds[tokens]), bound=bound) for p, name, tokens, bound in wanted]
    checks += _too_slow_steps(question, fastest_decode_s(bench.surface(layout, "planned")))
    checks += _too_long(question, classes, fastest_decode_s(bench.surface(layout, "planned")))
    return tuple(check for check in checks if not check.holds)


def _wanted(slo: Slo, prompts: IntArray) -> list[tuple[str, int, float]]:
    """Name, prompt tokens and bound of each TTFT that must be held at a rank of the sorted ``prompts``."""
    found = []
    for level, bound in _percentiles(slo.ttft_s).items():
        found.append((f"ttft_s.{level}", int(prompts[int(np.ceil(LEVELS[level] * len(prompts))) - 1]), bound))
    if slo.request.ttft_s is not None:
        rank = max(int(np.ceil(slo.attainment * len(prompts) - 1e-9)) - 1, 0)
        found.append(("request.ttft_s", int(prompts[rank]), slo.request.ttft_s))
    return found


def ttft_alone_s(bench: Workbench, layout: Layout, limits: Limits, prompts: IntArray) -> FloatArray:
    """TTFT of requests with these prompts [n], so far apart that none waits for another."""
    requests = Requests(
        arrival_s=np.arange(len(prompts), dtype=np.float64) * APART_S, prompt_tokens=prompts,
        output_tokens=np.ones(len(prompts), dtype=np.int64),
    )  # fmt: skip
    return simulate(requests, bench.pool(Part(layout=layout, limits=limits, replicas=1), "planned")).ttft_s


def _too_long(question: Question, classes: IntArray, fastest_s: float) -> list[Check]:
    """End-to-end bounds against output tokens times the fastest step."""
    checks = []
    for number, (slo, name) in enumerate(zip(question.slos, question.class_names, strict=True)):
        own = np.sort(question.requests.output_tokens[classes == number])
        levels = {f"e2e_s.{level}": (LEVELS[level], b) for level, b in _percentiles(slo.e2e_s).items()}
        if slo.request.e2e_s is not None:
            levels["request.e2e_s"] = (slo.attainment, slo.request.e2e_s)
        for label, (level, bound) in levels.items() if len(own) else ():
            tokens = float(own[max(int(np.ceil(level * len(own) - 1e-9)) - 1, 0)])
            checks.append(Check(name=f"{name}.{label}" if name else label, value=tokens * fastest_s, bound=bound))
    return checks


def _too_slow_steps(question: Question, fastest_s: float) -> list[Check]:
    checks = []
    for slo, name in zip(question.slos, question.class_names, strict=True):
        prefix = f"{name}." if name else ""
        given = [(f"{prefix}tpot_s.{level}", bound) for level, bound in _percentiles(slo.tpot_s).items()]
        given += [(f"{prefix}request.tpot_s", slo.request.tpot_s)] if slo.request.tpot_s is not None else []
        checks += [Check(name=one, value=fastest_s, bound=bound) for one, bound in given]
    return checks
