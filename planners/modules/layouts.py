"""One instance cut into modules: where each lies and in how many copies, what it holds, and how long a step takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from planners.modules.question import Question, Unit
from predictors.memory.sharding import ranks
from predictors.serving import StepSurface
from predictors.step_time.slices import Part, added, decode_s, prefill_s, with_hops
from specs.deployment import Parallel
from specs.workload import WorkloadSpec

FloatArray = npt.NDArray[np.float64]
HOME = -1


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Where one layer lies: ``main`` (HOME or a host) and further copies, whole or of its feed-forward or attention.

    ``kv``: the host that computes its attention over a KV cache of its own, None where it stays with the layer.
    """

    main: int = HOME
    copies: frozenset[int] = frozenset()
    feed_forward: frozenset[int] = frozenset()
    attention: frozenset[int] = frozenset()
    kv: int | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All layers of one instance, its home stages, and the hosts [H] beside them."""

    layers: tuple[Layer, ...]
    home: tuple[Unit, ...]
    hosts: tuple[Unit, ...]
    stage: tuple[int, ...] = field(default=())  # home stage of each layer


def at_home(question: Question, home: tuple[Unit, ...], hosts: tuple[Unit, ...]) -> Layout:
    """The instance as it is deployed: layers spread evenly over its pipeline stages."""
    sizes = [rank.layers for rank in ranks(question.model, Parallel(pp=len(home)))]
    stage = tuple(np.repeat(np.arange(len(home)), sizes).tolist())
    return Layout(layers=(Layer(),) * question.model.layers, home=home, hosts=hosts, stage=stage)


def changed(layout: Layout, first: int, last: int, **update: object) -> Layout:
    """The layout with fields of layers ``first`` to ``last`` replaced; frozen sets are added to."""
    layers = list(layout.layers)
    for index in range(first, last + 1):
        now = layers[index]
        new = {
            name: getattr(now, name) | value if isinstance(value, frozenset) else value
            for name, value in update.items()
        }
        layers[index] = replace(now, **new)  # type: ignore[arg-type]
    return replace(layout, layers=tuple(layers))


def weight_of(question: Question, layout: Layout) -> tuple[FloatArray, FloatArray]:
    """Bytes of weights on each home stage and on each host."""
    home, hosts = np.zeros(len(layout.home)), np.zeros(len(layout.hosts))
    memory, last = question.memory, len(layout.layers) - 1
    for index, one in enumerate(layout.layers):
        around = (memory.first if index == 0 else 0.0) + (memory.last if index == last else 0.0)
        whole = float(memory.layers[index])
        if one.main == HOME:
            home[layout.stage[index]] += whole + around
        else:
            hosts[one.main] += whole
            home[layout.stage[index]] += around
        for host in one.copies:
            hosts[host] += whole
        for host in one.feed_forward:
            hosts[host] += float(memory.feed_forward[index])
        for host in one.attention:
            hosts[host] += float(memory.attention[index])
    return home, hosts


def kv_tokens(question: Question, layout: Layout) -> float:
    """Tokens in flight that the tightest device holds; negative where weights alone do not fit.

    A layer's copies share its sequences, and so its KV.
    """
    home_weight, host_weight = weight_of(question, layout)
    home, hosts = np.zeros(len(layout.home)), np.zeros(len(layout.hosts))
    for index, one in enumerate(layout.layers):
        per = float(question.kv[index])
        if one.kv is not None:
            hosts[one.kv] += per
            continue
        places = 1 + len(one.copies) + len(one.attention)
        if one.main == HOME:
            home[layout.stage[index]] += per / places
        else:
            hosts[one.main] += per / places
        for host in one.copies | one.attention:
            hosts[host] += per / places
    rooms = np.array([unit.room for unit in (*layout.home, *layout.hosts)])
    left = rooms - np.concatenate([home_weight, host_weight])
    need = np.concatenate([home, hosts])
    if (left < 0).any():
        return float(left.min())
    return float(np.min(np.divide(left, need, out=np.full_like(left, np.inf), where=need > 0)))


def surface_of(question: Question, layout: Layout) -> StepSurface:
    """The engine's step time: parts with their copies, and a hop wherever the devices change.

    Copies run beside each other, the fullest and slowest counts; hops are paid by the sub-batch that crosses.
    """
    cut = question.cut
    counts: dict[tuple[int, Layer], int] = {}
    for index, one in enumerate(layout.layers):
        counts[cut.kind[index], one] = counts.get((cut.kind[index], one), 0) + 1
    parts = [Part(surface=cut.head)]
    for (kind, one), count in counts.items():
        parts += _parts(question, layout, cut.layers[kind], one, count)
    like = cut.whole.surface
    total = added(parts, like, question.prompt_tokens)
    start, per_token = _hops(question, layout)
    total = with_hops(total, start, per_token)
    if len(layout.home) == 1:
        return total
    sizes = np.bincount(layout.stage, minlength=len(layout.home))
    return total._replace(stages=len(layout.home), stage_share=float(sizes.max() / sizes.sum()))


def _parts(question: Question, layout: Layout, surface: StepSurface, one: Layer, count: int) -> list[Part]:
    """``count`` equal layers, whole or divided where only one half of them has copies."""

    def slowest(hosts: frozenset[int]) -> float:
        mine = 1.0 if one.main == HOME else layout.hosts[one.main].slowdown
        return max([mine, *(layout.hosts[host].slowdown for host in hosts)])

    if not one.feed_forward and not one.attention and one.kv is None:
        return [Part(surface=surface, count=count, copies=1 + len(one.copies), slowdown=slowest(one.copies))]
    attention, feed_forward = divided(question, surface)
    near, inside = one.copies | one.attention, one.copies | one.feed_forward
    slow = slowest(near) if one.kv is None else layout.hosts[one.kv].slowdown
    return [
        Part(surface=attention, count=count, copies=1 + len(near), slowdown=slow),
        Part(surface=feed_forward, count=count, copies=1 + len(inside), slowdown=slowest(inside)),
    ]


def divided(question: Question, surface: StepSurface) -> tuple[StepSurface, StepSurface]:
    """A layer's surface as attention with its projections, and the feed-forward block.

    Token-wise time is divided by weights: both read them in decode and multiply by them in prefill. [ours]
    """
    memory = question.memory
    share = float(memory.feed_forward.sum() / (memory.feed_forward.sum() + memory.attention.sum()))
    attention = surface._replace(tokens_s=surface.tokens_s * (1 - share))
    feed_forward = surface._replace(
        tokens_s=surface.tokens_s * share, decode_attention_s=np.zeros_like(surface.decode_attention_s),
        prefill_attention_s=np.zeros_like(surface.prefill_attention_s),
    )  # fmt: skip
    return attention, feed_forward


def _hops(question: Question, layout: Layout) -> tuple[float, float]:
    """Seconds per step and per token of all crossings."""
    start = per_token = 0.0
    base = layout.home[0]

    def add(unit: Unit, times: float, share: float) -> None:
        nonlocal start, per_token
        hop = question.hop(base, unit)
        start += times * hop.start_s
        per_token += times * share * hop.s_per_token

    for before, after in zip(layout.home, layout.home[1:], strict=False):
        hop = question.hop(before, after)
        start, per_token = start + hop.start_s, per_token + hop.s_per_token
    previous = Layer()
    for one in (*layout.layers, Layer()):
        whole = {one.main} | one.copies
        was = {previous.main} | previous.copies
        if whole != was:  # the sub-batches are scattered or gathered; the slowest link counts once
            far = [host for host in whole | was if host != HOME and (host in whole) != (host in was)]
            if far:
                unit = max((layout.hosts[host] for host in far), key=lambda u: question.hop(base, u).start_s)
                add(unit, 1.0, 1.0 / max(len(whole), len(was)))
        for hosts in (one.feed_forward, one.attention):
            if hosts:
                add(layout.hosts[min(hosts)], 2.0, 1.0 / (1 + len(hosts)))
        if one.kv is not None:
            add(layout.hosts[one.kv], 2.0, 1.0)
        previous = one
    return start, per_token


def tpot_bound(workload: WorkloadSpec) -> float:
    """The tightest bound on the time per token, of a percentile or of single requests; infinite without one."""
    slo = workload.slo
    bounds = [slo.request.tpot_s, *(getattr(slo.tpot_s, name) for name in ("mean", "p50", "p90", "p95", "p99"))]
    return min((bound for bound in bounds if bound is not None), default=np.inf)


def sustained(question: Question, surface: StepSurface, tokens: float) -> float:
    """Requests per second that one instance keeps up with at full KV and within the bound on TPOT, by a closed form.

    B sequences in flight, each step decoding all and prefilling what has left: B / ((1 + B) prefill + N · step(B)),
    B as large as KV, max_num_seqs and the TPOT bound allow. [ours]
    """
    prompt, output = question.prompt_tokens, question.output_tokens
    most = int(min(tokens / (prompt + output), question.deployment.engine.max_num_seqs))
    if most < 1:
        return 0.0
    prefill = prefill_s(surface, prompt)
    bound = tpot_bound(question.workload)

    def token_s(batch: int) -> float:
        gpu, host = decode_s(surface, batch, question.context), float(surface.host_s[batch])
        step = max(gpu, host) if surface.overlap else gpu + host
        return step + batch * prefill / output

    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if token_s(middle) <= bound else (low, middle - 1)
    in_flight = low * (1.0 / surface.stage_share if surface.stages > 1 else 1.0)
    return in_flight / (prefill + output * token_s(low))
