"""Which layouts closed forms leave open, under which limits and from how many replicas; why the others are refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from planners.serving.bounds import Bound, Demand, fewest_replicas, unloaded
from planners.serving.candidates import (
    MAX_NUM_BATCHED_TOKENS,
    MAX_NUM_SEQS,
    MEMORY_FRACTIONS,
    Layout,
    Limits,
    spare_for,
)
from planners.serving.decide import Check
from planners.serving.serve import Workbench
from planners.serving.trials import Trial
from specs.errors import MissingHardwareError


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A layout that no number of replicas in the pool can make hold, and why."""

    layout: Layout
    constraint: str  # memory | free GPUs | unloaded latency | replicas | evidence
    reason: str
    shortfall: float = 0.0  # GiB short, replicas short, or the factor by which a bound is missed
    check: Check | None = None
    cure: str = ""


@dataclass(frozen=True, kw_only=True)
class Open:
    """A layout that closed forms left open: the fewest replicas and the limits worth trying."""

    layout: Layout
    fewest: int
    limits: tuple[tuple[Limits, int], ...]  # limits and the fewest replicas under them


@dataclass
class Tally:
    """What the search looked at."""

    evaluated: int = 0
    pruned: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    bounds: dict[str, Bound] = field(default_factory=dict)
    failed: list[Trial] = field(default_factory=list)
    opened: dict[str, Open] = field(default_factory=dict)


def open_layout(bench: Workbench, asked: Demand, layout: Layout, tally: Tally) -> Open | None:
    """The layout if memory, Little's law and the unloaded latency leave it open; else None, and noted as refused."""
    refusal = _cannot_be_placed(layout) or _does_not_fit(bench, layout) or lacks_evidence(bench, layout)
    kept = [] if refusal else _open_limits(bench, asked, layout, tally)
    if isinstance(kept, Refusal):
        refusal, kept = kept, []
    if refusal is None:
        fewest = min(bound.replicas for _, bound in kept)
        tally.bounds[layout.label] = min((bound for _, bound in kept), key=lambda bound: bound.replicas)
        if fewest + spare_for(layout, fewest, bench.question.survive) > layout.capacity:
            refusal = _too_few(layout, fewest)
    if refusal is not None:
        tally.refusals.append(refusal)
        tally.pruned += len(MAX_NUM_SEQS) * len(MAX_NUM_BATCHED_TOKENS) * len(MEMORY_FRACTIONS)
        return None
    return Open(layout=layout, fewest=fewest, limits=tuple((limits, bound.replicas) for limits, bound in kept))


def _open_limits(bench: Workbench, asked: Demand, layout: Layout, tally: Tally) -> list[tuple[Limits, Bound]] | Refusal:
    """Limits under which a replica fits and one request alone meets the SLO, each with its lower bound."""
    kept: list[tuple[Limits, Bound]] = []
    broken: list[Check] = []
    for tokens in MAX_NUM_BATCHED_TOKENS:
        limits = [Limits(seqs, tokens, fraction) for fraction in MEMORY_FRACTIONS for seqs in MAX_NUM_SEQS]
        fitting = [one for one in limits if kv_holds_a_request(bench, layout, one)]
        checks = unloaded(bench, layout, fitting[0]) if fitting else ()
        if fitting and not checks:
            kept += [(one, fewest_replicas(bench, asked, layout, one)) for one in fitting]
        else:
            tally.pruned += len(limits)
            broken += [max(checks, key=lambda check: check.ratio)] if checks else []
    return kept or _breaks_alone(layout, broken)


def kv_holds_a_request(bench: Workbench, layout: Layout, limits: Limits) -> bool:
    """Whether the model fits, and KV at its low end one request of max_model_len, which the engine insists on."""
    held = bench.memory(layout, limits)
    needed = bench.question.engine.max_model_len or 1
    return held.fits and bench.kv_blocks(layout, limits, "planned") * bench.question.engine.block_size_tokens >= needed


def _cannot_be_placed(layout: Layout) -> Refusal | None:
    if layout.capacity > 0:
        return None
    free = layout.pool.free_by_node()
    reason = f"pool {layout.pool.name} has {sum(free)} free GPUs, at most {max(free)} on one node"
    return Refusal(layout=layout, constraint="free GPUs", reason=reason, shortfall=1.0)


def _does_not_fit(bench: Workbench, layout: Layout) -> Refusal | None:
    easiest = Limits(min(MAX_NUM_SEQS), min(MAX_NUM_BATCHED_TOKENS), max(MEMORY_FRACTIONS))
    if kv_holds_a_request(bench, layout, easiest):
        return None
    short = bench.memory(layout, easiest).shortfall_bytes / 2**30
    if short > 0:
        reason = (
            f"the model misses {short:.1f} GiB per GPU for one request of {bench.question.engine.max_model_len} tokens"
        )
    else:
        short, reason = 0.01, "at the low end of its interval the KV cache does not hold the longest request"
    return Refusal(layout=layout, constraint="memory", reason=reason, shortfall=short)


def lacks_evidence(bench: Workbench, layout: Layout) -> Refusal | None:
    """The refusal of a layout whose step times rest on weaker evidence than was required."""
    try:
        bench.step(layout)
    except MissingHardwareError as error:
        return Refusal(layout=layout, constraint="evidence", reason=error.message, cure=error.cure)
    return None


def _breaks_alone(layout: Layout, broken: list[Check]) -> Refusal:
    if not broken:
        return Refusal(layout=layout, constraint="memory", reason="the KV cache does not hold the longest request")
    check = min(broken, key=lambda one: one.ratio)
    reason = f"one request alone, without any load, has {check.text}"
    return Refusal(layout=layout, constraint="unloaded latency", reason=reason, shortfall=check.ratio, check=check)


def _too_few(layout: Layout, fewest: int) -> Refusal:
    reason = f"at least {fewest} replicas are needed, {layout.capacity} fit pool {layout.pool.name}"
    return Refusal(layout=layout, constraint="replicas", reason=reason, shortfall=float(fewest - layout.capacity))
