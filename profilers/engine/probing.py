"""Probes a running engine: single streams over prompt lengths, then ever more requests in flight, up to the knee."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from profilers.engine.client import Stream, complete
from profilers.engine.http import Endpoint
from profilers.engine.metrics import Samples
from profilers.engine.prompts import Prompts
from profilers.engine.server import read_metrics
from specs.errors import MissingHardwareError

OnProgress = Callable[[float, float, str], None]
SINGLE_OUTPUT = 16  # tokens of a single stream
SHORTEST = 32  # tokens of the shortest prompt
REPEATS = 2  # of each prompt length
REQUESTS_PER_CLIENT = 3
ROUNDS = 7  # of repeats: as many blocks as `profile host` takes
ROUNDS_SHARE = 0.25  # of the requests and seconds that are left: otherwise there are no rounds
PAUSE_S = 1.0  # between two rounds: repeats in a row agree with each other and not with later ones
LONG = 512  # tokens of the rounds' long prompt
KNEE_GAIN = 0.10  # doubling the requests in flight that brings less than so much more throughput is beyond the knee
REQUEST_LIMIT_S = 60.0
ATTEMPTS = 3
LONGEST_WAIT_S = 10.0  # before a refused request is sent again
FAILED_SHARE = 0.25  # of a level's requests, from which no further level is begun
METRICS_EVERY_S = 0.25
METRICS_SHARE = 0.005  # of the time [ours]: reading takes 5 ms of vLLM's own process, which may share the engine's core
BUSY = (429, 503)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a probe may cost and what it sends; ``prompt_tokens`` and ``output_tokens`` are means of the levels."""

    max_requests: int
    max_seconds: float
    prompt_tokens: int
    output_tokens: int
    longest_prompt: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Level:
    """What one concurrency brought; ``span_s`` is the time from the first request to the last token."""

    concurrency: int
    streams: list[Stream]
    span_s: float

    @property
    def tokens_per_s(self) -> float:
        """Output tokens per second of whole requests."""
        return sum(one.output_tokens or 0 for one in self.streams if one.whole) / max(self.span_s, 1e-9)

    @property
    def failed(self) -> int:
        """Requests that are not whole."""
        return sum(not one.whole for one in self.streams)


@dataclass
class Probed:
    """All that was sent: single streams, levels, metrics read meanwhile, and why the probes ended.

    ``rounds``: the same two single streams, a short and a long prompt, again and again with pauses between.
    """

    singles: list[Stream] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    during: list[Samples] = field(default_factory=list)
    rounds: list[tuple[Stream, Stream]] = field(default_factory=list)
    knee: int | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Prober:
    """Sends requests to one endpoint within a budget of requests and seconds."""

    endpoint: Endpoint
    model: str
    asked: Asked
    on_progress: OnProgress
    sent: int = 0
    began_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.prompts = Prompts(self.asked.seed)

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self.asked.max_seconds - (time.monotonic() - self.began_s)

    @property
    def left(self) -> int:
        """Requests that may still be sent."""
        return self.asked.max_requests - self.sent if self.left_s > 0 else 0

    async def send(self, prompt: str, output_tokens: int, what: str) -> Stream:
        """Send one request; a busy server is asked again, a few times and as late as it says."""
        for attempt in range(ATTEMPTS):
            self.sent += 1
            stream = await complete(
                self.endpoint, self.model, prompt, output_tokens, max(0.05, min(self.left_s, REQUEST_LIMIT_S))
            )
            self.on_progress(min(self.sent, self.asked.max_requests), self.asked.max_requests, what)
            wait_s = min(stream.retry_after_s or 0.5 * 2**attempt, LONGEST_WAIT_S)
            if stream.status not in BUSY or attempt == ATTEMPTS - 1 or self.left < 1 or self.left_s <= wait_s:
                break
            await asyncio.sleep(wait_s)
        return stream


async def probe(prober: Prober) -> Probed:
    """Run all probes that the budget allows; raises `MissingHardwareError` where not even single streams come whole."""
    found = Probed()
    await _learn_lengths(prober)
    lengths = _lengths(prober.asked)
    for tokens in [*lengths] * REPEATS:
        if prober.left < 1:
            break
        what = f"prompt of {tokens} tokens"
        found.singles.append(await prober.send(prober.prompts.draw(tokens), SINGLE_OUTPUT, what))
    _refuse_broken(found.singles, prober)
    await _repeat(prober, found)
    watching = asyncio.create_task(_watch(prober, found.during))
    try:
        await _climb(prober, found)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    if prober.left >= 1:
        again = prober.prompts.draw(lengths[0])
        found.singles.append(await prober.send(again, SINGLE_OUTPUT, "the first prompt again"))
    return found


async def _repeat(prober: Prober, found: Probed) -> None:
    """Send the rounds that a later look for drift is held to, where they take little of the budget."""
    needed_s = ROUNDS * (PAUSE_S + 2 * max(one.end_s - one.sent_s for one in found.singles))
    if ROUNDS_SHARE * prober.left < 2 * ROUNDS or needed_s > ROUNDS_SHARE * prober.left_s:
        return
    lengths = (SHORTEST, min(LONG, prober.asked.longest_prompt))
    for _ in range(ROUNDS):
        await asyncio.sleep(PAUSE_S)
        short, long = [
            await prober.send(prober.prompts.draw(tokens), SINGLE_OUTPUT, "repeats, for later looks for drift")
            for tokens in lengths
        ]
        found.rounds.append((short, long))


async def _learn_lengths(prober: Prober) -> None:
    """Send two short prompts: warms the engine up, and tells how many tokens words become."""
    words = (SHORTEST, 2 * SHORTEST)
    tokens = []
    for count in words:
        stream = await prober.send(prober.prompts.draw(count), 2, "first request")
        if not stream.whole:
            raise unusable(prober.endpoint, stream)
        tokens.append(stream.prompt_tokens or 0)
    prober.prompts.learn(words, (tokens[0], tokens[1]))


def unusable(endpoint: Endpoint, stream: Stream) -> MissingHardwareError:
    """Return the error that says why ``endpoint`` cannot be probed, and the cure."""
    cures = {
        401: "Set TONNAGE_API_KEY to the endpoint's key.", 403: "Set TONNAGE_API_KEY to a key that may use the model.",
        404: "Give the server's root, such as http://HOST:8000, and --served-model as /v1/models lists it.",
        429: "The server refuses more requests: probe it when it is idle.",
    }  # fmt: skip
    failure = stream.failure or ""
    cure = cures.get(stream.status or 0, "Is it an OpenAI-compatible server, running and idle? See its log.")
    if "cannot connect" in failure:
        cure = "Start the server, or correct the URL."
    return MissingHardwareError(f"{endpoint.name}: {failure}", cure=cure)


def _refuse_broken(singles: list[Stream], prober: Prober) -> None:
    broken = [one for one in singles if not one.whole]
    if singles and len(broken) * 2 > len(singles):
        raise unusable(prober.endpoint, broken[0])


def _lengths(asked: Asked) -> list[int]:
    """Return prompt lengths, each four times the one before, up to the longest."""
    lengths = [SHORTEST]
    while lengths[-1] * 4 <= asked.longest_prompt:
        lengths.append(lengths[-1] * 4)
    return sorted({*lengths, max(SHORTEST, asked.longest_prompt)})


async def _climb(prober: Prober, found: Probed) -> None:
    """Double the requests in flight until it brings little, or the budget ends."""
    concurrency = 1
    while True:
        wanted = max(4, REQUESTS_PER_CLIENT * concurrency)
        count = min(wanted, prober.left - 1)
        if count < min(wanted, 2 * concurrency):
            found.notes.append(
                f"ended before {concurrency} requests in flight: --max-requests or --max-seconds is spent"
            )
            return
        level = await _level(prober, concurrency, count)
        found.levels.append(level)
        if level.failed > FAILED_SHARE * count:
            failure = next(one.failure for one in level.streams if not one.whole)
            found.notes.append(f"{level.failed} of {count} requests failed at {concurrency} in flight: {failure}")
            return
        if prober.left_s <= 0:  # requests that were cut short say nothing of the knee
            found.notes.append(f"ended amid {concurrency} requests in flight: --max-seconds is spent")
            return
        if len(found.levels) > 1 and level.tokens_per_s < (1 + KNEE_GAIN) * found.levels[-2].tokens_per_s:
            found.knee = found.levels[-2].concurrency
            return
        concurrency *= 2


async def _level(prober: Prober, concurrency: int, count: int) -> Level:
    asked = prober.asked
    waiting = [(prober.prompts.length(asked.prompt_tokens), prober.prompts.length(asked.output_tokens))
               for _ in range(count)]  # fmt: skip
    streams: list[Stream] = []

    async def client() -> None:
        while waiting and prober.left_s > 0:
            prompt, output = waiting.pop()
            what = f"{concurrency} in flight"
            streams.append(await prober.send(prober.prompts.draw(prompt), max(2, output), what))

    began_s = time.monotonic()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    return Level(concurrency=concurrency, streams=streams, span_s=time.monotonic() - began_s)


async def _watch(prober: Prober, during: list[Samples]) -> None:
    """Read the metrics now and then while requests run, delaying them little; a server without them is asked once."""
    asked_s = time.monotonic()
    while (samples := await read_metrics(prober.endpoint)) is not None:
        took_s = time.monotonic() - asked_s
        during.append({name: samples[name] for name in samples if "running" in name or "num_" in name or "queue" in name
                       or "processing" in name or "deferred" in name or "batch" in name})  # fmt: skip
        await asyncio.sleep(max(METRICS_EVERY_S, took_s / METRICS_SHARE))
        asked_s = time.monotonic()
