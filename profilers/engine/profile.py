"""The profile of an endpoint: its probes turned into steps and a fitted step model."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from profilers.engine.client import Stream
from profilers.engine.document import Labels, engine_document
from profilers.engine.fitting import fit_steps
from profilers.engine.http import Endpoint, endpoint_of
from profilers.engine.metrics import facts_of
from profilers.engine.probing import Asked, Level, OnProgress, Probed, Prober, probe
from profilers.engine.results import BUDGET_NOTE, BUDGET_TOKENS
from profilers.engine.server import read_metrics, served_model, server_version
from profilers.engine.stepping import as_windows, find_steps
from profilers.engine.steps import knots
from specs.engine import ConcurrencyLevel, EngineProfile, Latency, ServerFacts
from specs.errors import InputError
from specs.profile import Repeats
from specs.trace import FloatArray

DRIFTED = 0.10  # of the first single stream's gaps, between the beginning and the end of the probes


def reach_endpoint(url: str, *, key: str | None, served: str | None) -> None:
    """Ask the server at ``url`` for its models, within seconds; raises what `profile_endpoint` raises."""
    asyncio.run(served_model(endpoint_of(url, key), served))


def profile_endpoint(
    url: str, asked: Asked, labels: Labels, *, key: str | None, served: str | None, on_progress: OnProgress
) -> EngineProfile:
    """Probe the OpenAI-compatible server at ``url`` and fit its steps.

    ``key`` goes into requests alone; ``served``: the model's name there, where it has several. Raises `InputError` for
    a bad URL or name, `MissingHardwareError` where the server cannot be reached or does not stream whole answers.
    """
    return asyncio.run(_profile(endpoint_of(url, key), asked, labels, served, on_progress))


async def _profile(
    endpoint: Endpoint, asked: Asked, labels: Labels, served: str | None, on_progress: OnProgress
) -> EngineProfile:
    name, longest = await served_model(endpoint, served)
    version = labels.engine_version or await server_version(endpoint)
    before = await read_metrics(endpoint) or {}
    prober = Prober(endpoint, name, _within(asked, longest), on_progress)
    found = await probe(prober)
    after = await read_metrics(endpoint) or {}
    facts = facts_of(before, after, found.during, prober.sent)
    facts = facts.model_copy(update={"version": version, "served_model": name, "max_model_len": longest})
    engine = labels.engine or facts.kind or "unknown"
    told = replace(labels, model=labels.model or name, engine=engine, engine_version=version)
    return _of_probes(endpoint, found, facts, told, asked)


def _within(asked: Asked, longest: int | None) -> Asked:
    """Keep prompts and outputs below the server's longest context."""
    if longest is None:
        return asked
    most = max(1, longest // 2 - 1)
    return replace(
        asked, longest_prompt=min(asked.longest_prompt, most), prompt_tokens=min(asked.prompt_tokens, most // 2),
        output_tokens=min(asked.output_tokens, most // 2),
    )  # fmt: skip


def _of_probes(endpoint: Endpoint, found: Probed, facts: ServerFacts, labels: Labels, asked: Asked) -> EngineProfile:
    budget = labels.max_num_batched_tokens or BUDGET_TOKENS
    notes = [*found.notes, *_notes(found, facts, labels)]
    runs = [[one] for one in found.singles] + [level.streams for level in found.levels]
    steps = [find_steps(streams, budget) for streams in runs]
    every = [step for run in steps for step in run]
    if not every:
        raise InputError(
            f"{endpoint.name}: no single steps can be told: its events carry several tokens each",
            cure="Turn speculative decoding and stream batching off, or profile a result file: --results FILE.",
        )
    tokens = max(max(step.tokens, *step.extra, 1) for step in every)
    grid = knots(tokens)
    extents = (
        tokens,
        max(len(step.contexts) + len(step.finishing) for step in every),
        max(1, *(sum(step.contexts) for step in every)),
    )
    fitted = fit_steps(as_windows(every, grid), grid, "probes")
    return engine_document(
        labels, fitted, extents, f"probes of {endpoint.name}", server=facts, notes=notes,
        levels=tuple(map(_level, found.levels)), knee=found.knee, noise=_spread(found.singles),
        url=endpoint.name, probed={name: float(value) for name, value in asdict(asked).items()},
        repeats=_repeats(found.rounds),
    )  # fmt: skip


def _repeats(rounds: Sequence[tuple[Stream, Stream]]) -> tuple[Repeats, ...]:
    """Return tokens per second of one stream, a block per round, and of a long prompt, one figure per round."""
    if not rounds or not all(one.whole and one.one_by_one for pair in rounds for one in pair):
        return ()
    gaps = [[gap for gap in np.diff(short.token_s).tolist() if gap > 0] for short, _ in rounds]
    if not all(gaps):
        return ()
    decoded = tuple(tuple(float(f"{1 / gap:.5g}") for gap in block) for block in gaps)
    prompts = tuple((float(f"{(long.prompt_tokens or 1) / long.ttft_s:.5g}"),) for _, long in rounds)
    tokens = statistics.median(long.prompt_tokens or 0 for _, long in rounds)
    return (
        Repeats(name="decode, one stream", unit="tokens/s", blocks=decoded),
        Repeats(name=f"prompt of about {50 * round(tokens / 50):g} tokens", unit="tokens/s", blocks=prompts),
    )


def _notes(found: Probed, facts: ServerFacts, labels: Labels) -> list[str]:
    notes = []
    if labels.max_num_batched_tokens is None:
        notes.append(BUDGET_NOTE)
    if facts.other_requests:
        notes.append(
            f"others sent {facts.other_requests:.0f} requests meanwhile: the step model holds their load as well"
        )
    if facts.preemptions:
        notes.append(f"the engine preempted {facts.preemptions:.0f} sequences during the probes")
    streams = [*found.singles, *(one for level in found.levels for one in level.streams)]
    merged = sum(one.whole and not one.one_by_one for one in streams)
    if merged:
        notes.append(f"{merged} requests had several tokens in one event and are left out of the fit")
    first, last = (_gap(one) for one in (found.singles[0], found.singles[-1]))
    if first and last and abs(last / first - 1) > DRIFTED:
        notes.append(
            f"the same single stream took {last / first - 1:+.0%} at the end: the machine drifts, probe it again"
        )
    return notes


def _gap(stream: Stream) -> float | None:
    return float(np.median(np.diff(stream.token_s))) if stream.whole and len(stream.token_s) > 1 else None


def _spread(singles: Sequence[Stream]) -> float | None:
    """Return the median over single streams of the relative interquartile range of their gaps."""
    spreads = []
    for one in singles:
        if one.whole and len(one.token_s) > 3:
            low, middle, high = np.quantile(np.diff(one.token_s), (0.25, 0.5, 0.75))
            spreads.append(float((high - low) / middle))
    return round(statistics.median(spreads), 4) if spreads else None


def _level(level: Level) -> ConcurrencyLevel:
    whole = [one for one in level.streams if one.whole]
    gaps = np.concatenate([np.diff(one.token_s) for one in whole] or [np.zeros(0)])
    return ConcurrencyLevel(
        concurrency=level.concurrency, requests=len(level.streams), failed=level.failed,
        prompt_tokens=round(statistics.fmean(one.prompt_tokens or 0 for one in whole), 1) if whole else 1,
        output_tokens=round(statistics.fmean(one.output_tokens or 0 for one in whole), 1) if whole else 1,
        ttft_s=_latency(np.array([one.ttft_s for one in whole])), itl_s=_latency(gaps) if len(gaps) else None,
        tokens_per_s=round(level.tokens_per_s, 3),
    )  # fmt: skip


def _latency(values: FloatArray) -> Latency:
    if not len(values):
        return Latency(mean=0, p50=0, p90=0, p99=0)
    p50, p90, p99 = np.quantile(values, (0.5, 0.9, 0.99))
    return Latency(**{name: float(f"{value:.5g}") for name, value in
                      (("mean", values.mean()), ("p50", p50), ("p90", p90), ("p99", p99))})  # fmt: skip
