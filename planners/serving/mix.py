"""Mixes of pools: prompts sliced by length, each slice sent where it is cheapest, the whole confirmed by simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from planners.serving.bounds import TPOT_BOUNDS, TTFT_BOUNDS, Demand, loosest, ttft_alone_s
from planners.serving.candidates import Decision, Layout, Limits, Part
from planners.serving.opening import Tally, kv_holds_a_request, lacks_evidence
from planners.serving.question import OnProgress, Question
from planners.serving.serve import Workbench
from planners.serving.trials import Trial, price, try_decision
from solvers.covering import Cover, cheapest_cover, relaxed_cost

FloatArray = npt.NDArray[np.float64]
SLICES = 8
"""Cells of prompt length, of equal numbers of requests."""
MARGINS = tuple(float(m) for m in np.round(np.geomspace(1.0, 3.0, 14), 3))
"""Multiples of the mean load that covers are sought for, ascending: what bursts need beyond it."""
MIX_LIMITS = (Limits(256, 8192, 0.90), Limits(256, 1024, 0.90))
"""Limits tried, all parts alike; the first is what throughputs are estimated with."""


def cheapest_mix(
    bench: Workbench, asked: Demand, layouts: Sequence[Layout], best: Trial | None, tally: Tally,
    on_progress: OnProgress,
) -> Trial | None:  # fmt: skip
    """The cheapest mix of layouts that holds and costs less than ``best``; None where there is none.

    Cells are slices of prompt length, as a router sees only the prompt. Throughput of a cell on a layout is the
    steady state's, under the TPOT bound and KV. The integer programme (Mélange) is solved for several margins over
    the mean load, cheapest first, and each new mix is simulated: replicas of each pool on their own prompts.
    """
    question = bench.question
    most = np.inf if best is None else price(question, best.decision)[0]
    plain = _worth_mixing(bench, layouts, most, tally)
    if question.closed_loop is not None or question.survive is not None or len(plain) < 2:
        return None
    edges = slice_edges(question)
    rate, throughput = cells(bench, plain, edges)
    cost = np.array([price(question, (Part(layout=one, limits=MIX_LIMITS[0], replicas=1),))[0] for one in plain])
    seen: list[Decision] = []
    for count, margin in enumerate(MARGINS):
        on_progress(count, len(MARGINS), "mixes of pools")
        if relaxed_cost(rate * margin, throughput, cost) >= most:
            return None
        cover = cheapest_cover(rate * margin, throughput, cost, use=_use(question, plain), available=_free(question))
        if cover is None or cover.cost >= most - 1e-9:
            return None
        decisions = [one for one in _decisions(plain, cover, edges) if len(one) > 1 and one not in seen]
        if not decisions:
            continue
        seen += decisions
        trials = [try_decision(bench, decision) for decision in decisions]
        tally.evaluated += len(trials)
        furthest = max(trials, key=lambda trial: (trial.holds, trial.done, trial.verdict.slack))
        if furthest.holds:
            return furthest
        tally.failed.append(furthest)
    return None


def _worth_mixing(bench: Workbench, layouts: Sequence[Layout], most: float, tally: Tally) -> list[Layout]:
    """Layouts cheap enough that hold the model; those too slow for every prompt alone may serve the short ones."""
    hopeless = {one.layout.label for one in tally.refusals if one.constraint in ("memory", "free GPUs", "evidence")}
    found = []
    for one in layouts:
        part = Part(layout=one, limits=MIX_LIMITS[0], replicas=1)
        if one.parallel.pp > 1 or one.parallel.ep > 1 or one.label in hopeless or one.capacity == 0:
            continue
        cheap_enough = price(bench.question, (part,))[0] < most
        if cheap_enough and kv_holds_a_request(bench, one, MIX_LIMITS[0]) and lacks_evidence(bench, one) is None:
            found.append(one)
    return found


def slice_edges(question: Question) -> npt.NDArray[np.int64]:
    """Half-open edges [S+1] of prompt length that slice the requests into equal numbers."""
    inner = np.quantile(question.requests.prompt_tokens, np.arange(1, SLICES) / SLICES, method="higher")
    return np.unique(np.concatenate([[0], inner, [question.model.max_context_tokens + 1]])).astype(np.int64)


def cells(bench: Workbench, layouts: Sequence[Layout], edges: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Requests per second of each slice [I], and what one replica of each layout serves of it alone [I, J]."""
    requests = bench.question.requests
    at = np.searchsorted(edges, requests.prompt_tokens, side="right") - 1
    span = max(float(requests.arrival_s[-1] - requests.arrival_s[0]), 1e-9)
    bound = loosest(bench.question, TTFT_BOUNDS)
    longest = np.array([requests.prompt_tokens[at == number].max() for number in range(len(edges) - 1)])
    in_time = np.array([ttft_alone_s(bench, one, MIX_LIMITS[0], longest) <= bound for one in layouts]).T
    rate, rows = [], []
    for number in range(len(edges) - 1):
        chosen = at == number
        rate.append(float(chosen.sum()) / span)
        prompt, output = requests.prompt_tokens[chosen], requests.output_tokens[chosen]
        rows.append([steady_rate(bench, one, float(prompt.mean()), float(output.mean())) for one in layouts])
    return np.array(rate), np.array(rows) * in_time


def steady_rate(bench: Workbench, layout: Layout, prompt: float, output: float) -> float:
    """Requests per second that one replica serves of one size in a steady state within the TPOT bound. [ours]

    With B sequences decoding, a step takes s and emits B tokens; to replace what ends it also prefills B·prompt/output
    tokens, so rate = B / (output · s). The largest rate over B with s within the bound and B contexts in KV.
    """
    limits = MIX_LIMITS[0]
    surface = bench.surface(layout, "planned")
    batch = np.arange(1, limits.max_num_seqs + 1, dtype=np.float64)
    tokens = batch * (1 + prompt / output)
    context = prompt + output / 2
    kv = bench.kv_blocks(layout, limits, "planned") * bench.question.engine.block_size_tokens
    allowed = (tokens <= limits.max_num_batched_tokens) & (batch * context <= kv)
    if not allowed.any():
        return 0.0
    batch, tokens = batch[allowed], tokens[allowed]
    column = int(
        np.clip(np.searchsorted(surface.decode_context_grid, context), 0, len(surface.decode_context_grid) - 1)
    )
    decode = np.interp(batch, surface.decode_batch_grid, surface.decode_attention_s[:, column])
    prefill = float(np.interp(prompt, surface.prefill_chunk_grid, surface.prefill_attention_s[:, 0]))
    gpu = surface.tokens_s[np.rint(tokens).astype(int)] + surface.sequences_s[batch.astype(int)]
    gpu = gpu + decode + batch / output * prefill
    host = surface.host_s[batch.astype(int)]
    step = np.maximum(gpu, host) if surface.overlap else gpu + host
    bound = loosest(bench.question, TPOT_BOUNDS)
    rates = np.where(step <= bound, batch / (output * step), 0.0)
    return float(rates.max())


def _use(question: Question, layouts: Sequence[Layout]) -> FloatArray:
    pools = [pool.name for pool in question.cluster.pools]
    use = np.zeros((len(layouts), len(pools)))
    for row, one in enumerate(layouts):
        use[row, pools.index(one.pool.name)] = one.gpus
    return use


def _free(question: Question) -> FloatArray:
    return np.array([sum(pool.free_by_node()) for pool in question.cluster.pools], dtype=np.float64)


def _decisions(layouts: Sequence[Layout], cover: Cover, edges: npt.NDArray[np.int64]) -> list[Decision]:
    """The cover as decisions, one per set of limits; neighbouring slices of one layout become one range."""
    found = []
    for limits in MIX_LIMITS:
        parts = []
        for number, layout in enumerate(layouts):
            slices = np.flatnonzero(cover.assigned == number)
            if len(slices) and cover.machines[number]:
                ranges = _ranges([(int(edges[i]), int(edges[i + 1])) for i in slices])
                parts.append(Part(layout=layout, limits=limits, replicas=int(cover.machines[number]), prompts=ranges))
        found.append(tuple(parts))
    return found


def _ranges(slices: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for low, high in slices:
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return tuple(joined)
