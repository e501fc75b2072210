"""Layer services: the model cut into groups of layers, each a service with replicas and an autoscaler of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planners.modules.judging import Judged, Way
from planners.modules.layouts import sustained
from planners.modules.question import DETECT_S, ENGINE_START_S, GIB, SERVICE_START_S, Question
from predictors.layered import Hop
from predictors.serving import StepSurface
from predictors.step_time.slices import Part, added, decode_s, with_hops
from predictors.workload import statistics
from solvers.allocation import marginal_allocation
from solvers.queues import mmc_wait_mean
from specs.modules import LayerPipeline, LayerService

FloatArray = npt.NDArray[np.float64]
KV_ROOM = 0.25
"""Share of each GPU that packing leaves for KV. [ours]"""


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Groups of layers as (first, last), replicas of each, and the GPU group (unit) of every replica."""

    spans: tuple[tuple[int, int], ...]
    replicas: tuple[int, ...]
    units: tuple[tuple[int, ...], ...]  # by group, the unit of each replica
    kv_tokens: float
    part_s: tuple[float, ...]  # seconds of one decode step of a replica's share


def ways(question: Question) -> Iterator[Way]:
    """From the deployed number of units up, the replicas that sustain most on them by marginal allocation."""
    fewest = question.deployment.replicas * question.deployment.parallel.pp
    for count in range(fewest, len(question.units) + 1):
        best: Way | None = None
        for replicas in allocations(question, count):
            way = on_units(question, replicas, count)
            if way is not None and (best is None or way.sustains_per_s > best.sustains_per_s):
                best = way
        if best is not None:
            yield best


def spans(question: Question) -> tuple[tuple[int, int], ...]:
    """The layers cut evenly."""
    edges = np.linspace(0, question.model.layers, question.groups + 1).round().astype(int)
    return tuple((int(a), int(b) - 1) for a, b in itertools.pairwise(edges))


def allocations(question: Question, units: int) -> list[tuple[int, ...]]:
    """One replica of each group, then one more at a time where wait and service fall most; all that memory may hold.

    min Σ_g Wq_g(r_g) + s_g(B / r_g) over Σ r_g: each term is convex in r_g, so marginal allocation is optimal for every
    total. [ours, after arXiv 2507.18007, which gives no equations; queue M/M/c, std]
    """
    batch = float(min(64, question.deployment.engine.max_num_seqs))
    services = {
        (group, count): _group_s(question, span, count, batch)
        for group, span in enumerate(spans(question))
        for count in range(1, units + 2)
    }
    alone = sum(services[group, 1] for group in range(question.groups))
    tokens_per_s = statistics(question.requests).get("rate_per_s", 0.0) * question.output_tokens
    visits = min(tokens_per_s / batch, 0.95 / alone * question.groups)

    def seconds(group: int, count: int) -> float:
        return mmc_wait_mean(visits, 1.0 / services[group, 1], count) + services[group, count]

    start = [1] * question.groups
    grants = marginal_allocation(seconds, start, question.groups * (units - 1), most=[units] * question.groups)
    found = [tuple(start)]
    for grant in grants:
        last = list(found[-1])
        last[grant.part] += 1
        found.append(tuple(last))
    return found


def _group_s(question: Question, span: tuple[int, int], copies: int, batch: float) -> float:
    return decode_s(_group_surface(question, span, copies), batch, question.context)


def _group_surface(question: Question, span: tuple[int, int], copies: int) -> StepSurface:
    cut = question.cut
    kinds = cut.kind[span[0] : span[1] + 1]
    parts = [Part(surface=cut.layers[kind], count=kinds.count(kind), copies=copies) for kind in dict.fromkeys(kinds)]
    if span[1] == question.model.layers - 1:
        parts.append(Part(surface=cut.head, copies=copies))
    return added(parts, cut.whole.surface, question.prompt_tokens)


def _weights(question: Question, span: tuple[int, int]) -> float:
    return float(question.memory.weights[span[0] : span[1] + 1].sum())


def on_units(question: Question, replicas: tuple[int, ...], units: int) -> Way | None:
    """The services packed on ``units`` and timed; None where they do not fit."""
    cuts, tp = spans(question), question.deployment.parallel.tp
    batch = float(min(64, question.deployment.engine.max_num_seqs))
    surfaces = [_group_surface(question, span, count) for span, count in zip(cuts, replicas, strict=True)]
    part_s = tuple(decode_s(surface, batch, question.context) for surface in surfaces)
    placed = _packed(question, cuts, replicas, part_s, units)
    if placed is None:
        return None
    tokens = _kv_tokens(question, cuts, replicas, placed, units)
    if tokens <= 0:
        return None
    total = surfaces[0]
    for more in surfaces[1:]:
        total = total._replace(
            tokens_s=total.tokens_s + more.tokens_s, sequences_s=total.sequences_s + more.sequences_s,
            decode_attention_s=total.decode_attention_s + more.decode_attention_s,
            prefill_attention_s=total.prefill_attention_s + more.prefill_attention_s,
        )  # fmt: skip
    surface = _piped(question, _hopped(question, total, placed), part_s, placed, units)
    label = f"{question.groups} services × {'/'.join(map(str, replicas))} on {units * tp} GPUs"
    return Way(
        method="layer-services", label=label, surface=surface, kv_tokens=tokens, replicas=1, gpus=units * tp,
        share=float(units * tp), sustains_per_s=sustained(question, surface, tokens),
        detail=Groups(spans=cuts, replicas=replicas, units=placed, kv_tokens=tokens, part_s=part_s),
    )  # fmt: skip


def _packed(
    question: Question, cuts: Sequence[tuple[int, int]], replicas: Sequence[int], part_s: Sequence[float], units: int
) -> tuple[tuple[int, ...], ...] | None:
    """Replicas on units, the longest work first, each where least work is and its weights fit; none twice on one."""
    room = np.array([question.units[unit].room for unit in range(units)]) * (1 - KV_ROOM)
    work, placed = np.zeros(units), [list[int]() for _ in cuts]
    order = sorted(((part_s[group], group) for group, count in enumerate(replicas) for _ in range(count)), reverse=True)
    for seconds, group in order:
        size = _weights(question, cuts[group])
        open_ = [unit for unit in range(units) if room[unit] >= size and unit not in placed[group]]
        if not open_:
            return None
        unit = min(open_, key=lambda one: (work[one], one))
        room[unit] -= size
        work[unit] += seconds
        placed[group].append(unit)
    return tuple(tuple(one) for one in placed)


def _kv_tokens(
    question: Question, cuts: Sequence[tuple[int, int]], replicas: Sequence[int], placed: Sequence[Sequence[int]],
    units: int,
) -> float:  # fmt: skip
    """Tokens in flight; a replica keeps the KV of its share of the sequences."""
    left = np.array([question.units[unit].room for unit in range(units)])
    need = np.zeros(units)
    for span, count, where in zip(cuts, replicas, placed, strict=True):
        for unit in where:
            left[unit] -= _weights(question, span)
            need[unit] += float(question.kv[span[0] : span[1] + 1].sum()) / count
    return float(np.min(np.divide(left, need, out=np.full(units, np.inf), where=need > 0)))


def _hopped(question: Question, surface: StepSurface, placed: Sequence[Sequence[int]]) -> StepSurface:
    """A hop into each group: over the network where the services span nodes, else over the node's links."""
    hop, crossings = _hop(question, placed), len(placed)
    return with_hops(surface, crossings * hop.start_s, crossings * hop.s_per_token)


def _hop(question: Question, placed: Sequence[Sequence[int]]) -> Hop:
    used = sorted({unit for where in placed for unit in where})
    first = question.units[used[0]]
    far = next((question.units[unit] for unit in used if question.units[unit].node != first.node), None)
    return question.hop(first, far or first)


def _piped(
    question: Question, surface: StepSurface, part_s: Sequence[float], placed: Sequence[Sequence[int]], units: int
) -> StepSurface:
    """As many batches in flight as groups can work at once; the busiest unit sets the pace."""
    used = {unit for where in placed for unit in where}
    stages = min(len(placed), len(used))
    if stages == 1:
        return surface
    work = np.zeros(units)
    for seconds, where in zip(part_s, placed, strict=True):
        for unit in where:
            work[unit] += seconds
    share = float(work.max() / sum(part_s))
    return surface._replace(stages=stages, stage_share=min(1.0, max(share, 1.0 / stages)))


def react_s(question: Question, now: Way, then: Way) -> float:
    """Seconds until the replicas that the step needs serve: sync, container, the largest group's weights."""
    before, after = now.detail, then.detail
    assert isinstance(before, Groups)
    assert isinstance(after, Groups)
    grown = [at for at, (a, b) in enumerate(zip(before.replicas, after.replicas, strict=True)) if b > a]
    if not grown:
        return 0.0
    largest = max(_weights(question, after.spans[at]) for at in grown)
    return DETECT_S + SERVICE_START_S + question.load_s(largest * question.deployment.parallel.tp)


def services_of(question: Question, judged: Judged) -> tuple[LayerService, ...]:
    """Each group with the HPA that follows: its target is the running sequences per replica at the planned load.

    Sequences and not GPU use, because a decoding GPU is busy at any load and so tells no load. [ours]
    """
    groups = judged.way.detail
    assert isinstance(groups, Groups)
    assert judged.measures is not None
    running = max(judged.measures.mean_running, 1.0)
    busiest = max(groups.part_s)
    peak = statistics(question.requests).get("peak_to_mean", 1.0)
    parts, loads = _shared(question, groups)
    found = []
    for at, (span, count) in enumerate(zip(groups.spans, groups.replicas, strict=True)):
        weights = _weights(question, span)
        warm = SERVICE_START_S + question.load_s(weights * question.deployment.parallel.tp)
        found.append(LayerService(
            name=f"layers-{span[0]}-{span[1]}", first_layer=span[0], last_layer=span[1], replicas=count,
            gib_per_replica=round(weights / GIB, 3),
            utilization=round(min(1.0, judged.measures.compute_utilization * groups.part_s[at] / busiest), 4),
            hpa_metric="running sequences per replica", hpa_target=round(running / count, 2),
            hpa_min=max(1, math.ceil(count / max(peak, 1.0))), hpa_max=math.ceil(count * question.step),
            warmup_s=round(warm, 1), step_s=float(f"{groups.part_s[at]:.6g}"), gpus=float(f"{parts[at]:.6g}"),
            sustains_per_s=float(f"{judged.way.sustains_per_s / (count * loads[at]):.6g}"),
        ))  # fmt: skip
    return tuple(found)


def _shared(question: Question, groups: Groups) -> tuple[list[float], list[float]]:
    """By group: GPUs of one replica, its part of the work on those it shares; and its load as a share of the busiest's.

    The busiest unit sets the pace, so a group on a less busy one keeps up with more. [ours]
    """
    work: dict[int, float] = {}
    for seconds, where in zip(groups.part_s, groups.units, strict=True):
        for unit in where:
            work[unit] = work.get(unit, 0.0) + seconds
    busiest, tp = max(work.values()), question.deployment.parallel.tp
    parts, loads = [], []
    for seconds, where in zip(groups.part_s, groups.units, strict=True):
        parts.append(tp * float(np.mean([seconds / work[unit] for unit in where])))
        loads.append(max(work[unit] for unit in where) / busiest)
    return parts, loads


def pipeline_of(question: Question, judged: Judged) -> LayerPipeline:
    """How the services work together, and how long a whole instance would take to start instead."""
    groups, surface = judged.way.detail, judged.way.surface
    assert isinstance(groups, Groups)
    hop = _hop(question, groups.units)
    weights = float(question.memory.weights.sum()) * question.deployment.parallel.tp
    figures = {
        "sustains_per_s": judged.way.sustains_per_s, "stage_share": float(surface.stage_share),
        "kv_tokens": groups.kv_tokens, "hop_start_s": hop.start_s, "hop_s_per_token": hop.s_per_token,
        "instance_warmup_s": ENGINE_START_S + question.load_s(weights),
    }  # fmt: skip
    return LayerPipeline(stages=int(surface.stages), **{name: float(f"{value:.6g}") for name, value in figures.items()})
