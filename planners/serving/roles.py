"""Separate prefill and decode replicas: pairs that cost less than the best mixed decision, decided by simulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from planners.serving.bounds import Demand, cheapest_token_s, fastest_decode_s
from planners.serving.candidates import Decision, Layout, Limits, Part, spare_for
from planners.serving.opening import Tally, kv_holds_a_request
from planners.serving.question import OnProgress
from planners.serving.serve import Workbench
from planners.serving.trials import Trial, price, try_decision

ROLE_LIMITS = (Limits(256, 8192, 0.90), Limits(128, 2048, 0.90))
"""Limits tried; both roles share them, as a deployment has one engine."""
MOST_REPLICAS = 16
"""Replicas per role beyond which pairs are not looked for."""
MOST_PAIRS = 100
"""Pairs that are simulated, the cheapest first."""


def cheapest_roles(
    bench: Workbench, asked: Demand, layouts: Sequence[Layout], best: Trial | None, tally: Tally,
    on_progress: OnProgress,
) -> Trial | None:  # fmt: skip
    """The cheapest decision with separate roles in one pool that holds and costs less than ``best``; else None.

    Closed forms prune: prefill replicas carry the heaviest window's prompts, decode replicas Little's KV and slots.
    """
    question = bench.question
    if question.closed_loop is not None or not layouts:
        return None
    most = (np.inf, np.inf) if best is None else price(question, best.decision)
    pairs = sorted(_pairs(bench, asked, layouts, most, tally), key=lambda pair: pair[0])[:MOST_PAIRS]
    for count, (_, decision) in enumerate(pairs):
        on_progress(count, len(pairs), "separate prefill and decode")
        for limits in ROLE_LIMITS:
            trial = try_decision(bench, tuple(replace(part, limits=limits) for part in decision))
            tally.evaluated += 1
            if trial.holds:
                return trial
        tally.failed.append(trial)
    return None


def _pairs(
    bench: Workbench, asked: Demand, layouts: Sequence[Layout], most: tuple[float, float], tally: Tally
) -> Iterator[tuple[tuple[float, float], Decision]]:
    plain = [one for one in layouts if one.parallel.pp == one.parallel.ep == 1 and one.label in tally.opened]
    for prefill in plain:
        for decode in plain:
            if prefill.pool.name == decode.pool.name:
                yield from _counts(bench, asked, prefill, decode, most, tally)


def _counts(
    bench: Workbench, asked: Demand, prefill: Layout, decode: Layout, most: tuple[float, float], tally: Tally
) -> Iterator[tuple[tuple[float, float], Decision]]:
    limits = ROLE_LIMITS[0]
    if not kv_holds_a_request(bench, prefill, limits) or not kv_holds_a_request(bench, decode, limits):
        return
    fewest = (_prefill_at_least(bench, asked, prefill, limits), _decode_at_least(bench, asked, decode, limits))
    free = sum(prefill.pool.free_by_node())
    for p in range(fewest[0], MOST_REPLICAS + 1):
        for d in range(fewest[1], MOST_REPLICAS + 1):
            decision = tuple(
                Part(layout=one, limits=limits, replicas=n, spare=spare_for(one, n, bench.question.survive), role=role)  # type: ignore[arg-type]
                for one, n, role in ((prefill, p, "prefill"), (decode, d, "decode"))
            )
            cost = price(bench.question, decision)
            if cost >= most or sum(part.gpus for part in decision) > free:
                tally.pruned += 1
                break
            yield cost, decision


def _prefill_at_least(bench: Workbench, asked: Demand, layout: Layout, limits: Limits) -> int:
    token_s = cheapest_token_s(bench.surface(layout, "planned"), limits)
    return max(int(np.ceil(asked.burst_tokens_per_s * token_s - 1e-9)), 1)


def _decode_at_least(bench: Workbench, asked: Demand, layout: Layout, limits: Limits) -> int:
    decode_s = fastest_decode_s(bench.surface(layout, "planned"))
    tokens = bench.kv_blocks(layout, limits, "planned") * bench.question.engine.block_size_tokens
    needed = max(asked.kv_tokens_steps * decode_s / tokens, asked.steps_in_flight * decode_s / limits.max_num_seqs)
    return max(int(np.ceil(needed - 1e-9)), 1)
