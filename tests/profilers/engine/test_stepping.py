"""Steps found in the times of tokens are those that a scheduler took, for any arrivals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.engine.client import Stream
from profilers.engine.stepping import as_windows, find_steps
from profilers.engine.steps import knots
from tests.profilers.engine.conftest import known_s
from tests.profilers.engine.stub import Engine, Sequence

LONGEST = 300  # tokens of a prompt; with a larger budget every step ends in a token
REQUESTS = st.lists(
    st.tuples(st.floats(0, 0.5), st.integers(1, LONGEST), st.integers(2, 12)), min_size=1, max_size=12
)  # sent_s, prompt, output


class Queue:
    """Takes the tokens that the stub's scheduler emits."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def put_nowait(self, token: int) -> None:
        self.tokens.append(token)


def served(
    requests: list[tuple[float, int, int]], budget: int
) -> tuple[list[Stream], list[tuple[float, list[int], list[int]]]]:
    """Serve ``requests`` in simulated time; returns their streams and each step's (seconds, chunks, contexts)."""
    engine, now, steps = Engine(known_s, budget=budget), 0.0, []
    coming = sorted(requests)
    sequences = [Sequence(prompt, output, queue=Queue()) for _, prompt, output in coming]  # type: ignore[arg-type]
    times: list[list[float]] = [[] for _ in coming]
    began = 0
    while began < len(coming) or engine.running:
        if not engine.running:
            now = max(now, coming[began][0])
        while began < len(coming) and coming[began][0] <= now:
            engine.running.append(sequences[began])
            began += 1
        chunks, contexts, emitting = engine.schedule()
        steps.append((known_s(chunks, contexts), chunks, contexts))
        now += known_s(chunks, contexts)
        engine.emit(emitting)
        for at, one in enumerate(sequences):
            if any(one is other for other in emitting):
                times[at].append(now)
    streams = [
        Stream(asked_tokens=output, sent_s=sent, token_s=tuple(at), prompt_tokens=prompt, output_tokens=output,
               end_s=at[-1], status=200)
        for (sent, prompt, output), at in zip(coming, times, strict=True)
    ]  # fmt: skip
    return streams, steps


@settings(max_examples=150, deadline=None)
@given(REQUESTS, st.integers(LONGEST + 12, 600))
def test_the_steps_of_any_arrivals_are_found(requests: list[tuple[float, int, int]], budget: int) -> None:
    streams, truth = served(requests, budget)
    found = find_steps(streams, budget)
    windows = as_windows(found, knots(budget))
    assert windows.steps.sum() == len(truth)
    assert sum(sum(chunk for chunk, _ in step.chunks) for step in found) == sum(sum(chunks) for _, chunks, _ in truth)
    assert windows.context_tokens.sum() == sum(sum(contexts) for _, _, contexts in truth)
    assert windows.seconds.sum() == pytest.approx(sum(seconds for seconds, _, _ in truth))


@settings(max_examples=100, deadline=None)
@given(REQUESTS, st.integers(LONGEST + 12, 600))
def test_every_chunk_lies_in_its_step(requests: list[tuple[float, int, int]], budget: int) -> None:
    streams, truth = served(requests, budget)
    found = [step for step in find_steps(streams, budget) if not step.extra]
    known = {round(end, 9): (chunks, contexts) for end, chunks, contexts in _ends(streams, truth)}
    for step in found:
        chunks, contexts = known[round(step.end_s, 9)]
        assert sorted(chunk for chunk, _ in step.chunks) == sorted(chunks)
        assert sorted(step.contexts) == sorted(contexts)


@given(st.lists(st.tuples(st.integers(1, 900), st.integers(2, 5)), min_size=1, max_size=6), st.integers(16, 300))
def test_the_steps_of_long_prompts_are_counted(lone: list[tuple[int, int]], budget: int) -> None:
    streams, truth = served([(10.0 * at, prompt, output) for at, (prompt, output) in enumerate(lone)], budget)
    found = find_steps(streams, budget)
    assert as_windows(found, knots(budget)).steps.sum() == len(truth)
    chunks = [chunk for step in found for chunk, _ in step.chunks]
    assert chunks == [chunk for _, chunks, _ in truth for chunk in chunks]


def _ends(
    streams: list[Stream], truth: list[tuple[float, list[int], list[int]]]
) -> list[tuple[float, list[int], list[int]]]:
    """Return each step with its end: its predecessor's, or the arrival that ended an idle time, and its length."""
    found, now, sent = [], 0.0, sorted(one.sent_s for one in streams)
    busy = {at for one in streams for at in one.token_s[:-1]}
    for seconds, chunks, contexts in truth:
        if not contexts and now not in busy and not _working(streams, now):
            now = max(now, min(at for at in sent if at >= now))
        now += seconds
        found.append((now, chunks, contexts))
    return found


def _working(streams: list[Stream], now: float) -> bool:
    return any(one.sent_s <= now and one.token_s[-1] > now for one in streams)


def test_a_stream_that_broke_takes_its_time_out_of_the_fit() -> None:
    streams, truth = served([(0.0, 50, 10), (0.02, 30, 10), (5.0, 40, 10)], 256)
    broken = replace(streams[1], failure="the stream ended half-way")
    found = find_steps([streams[0], broken, streams[2]], 256)
    assert all(step.end_s <= broken.sent_s + 1e-9 or step.start_s >= broken.end_s - 1e-9 for step in found)
    assert 0 < len(found) < len(truth)


def test_late_events_of_one_step_are_one_step() -> None:
    streams, truth = served([(0.0, 50, 12), (0.0, 30, 12), (0.0, 70, 12)], 256)
    rng = np.random.default_rng(3)
    late = [
        replace(one, token_s=tuple(np.array(one.token_s) + rng.uniform(0, 2e-3, len(one.token_s)))) for one in streams
    ]
    assert as_windows(find_steps(late, 256), knots(256)).steps.sum() == len(truth)
