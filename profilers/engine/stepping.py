"""Finds the engine's steps in the times at which tokens came: all sequences of a step get theirs at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from profilers.engine.client import Stream
from profilers.engine.steps import Steps, token_share
from specs.trace import FloatArray

APART = 0.5  # events further apart than this share of a typical gap belong to different steps [assumed]


@dataclass
class Step:
    """One step, or several of one prompt that nothing tells apart: its span, who decoded, which chunks it took.

    ``extra`` holds the tokens of further steps in the same span; ``chunks`` are (new tokens, tokens before).
    """

    start_s: float
    end_s: float
    idle: bool
    contexts: list[int] = field(default_factory=list)
    finishing: list[int] = field(default_factory=list)
    chunks: list[tuple[int, int]] = field(default_factory=list)
    extra: list[int] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens scheduled in the step proper: one per decoding sequence, and the chunks but those of ``extra``."""
        return len(self.contexts) + sum(new for new, _ in self.chunks) - sum(self.extra)


def find_steps(streams: Sequence[Stream], budget_tokens: int) -> list[Step]:
    """Return the steps in which ``streams`` of one engine ran, in order of time. [ours]

    ``budget_tokens``: the most tokens of a step; prompts are put back into steps as vLLM schedules them: first come
    first served, the remainder of the budget after one token for each decoding sequence. Spans in which a request ran
    whose tokens are not all known are left out.
    """
    known = [one.whole and one.one_by_one for one in streams]
    steps = _spans(streams, _clusters(streams))
    _place_chunks(steps, streams, budget_tokens)
    unknown = [(one.sent_s, one.end_s) for one, good in zip(streams, known, strict=True) if not good]
    return [step for step in steps if not any(step.start_s < end and step.end_s > start for start, end in unknown)]


def as_windows(steps: Sequence[Step], grid: FloatArray) -> Steps:
    """Return ``steps`` as the arrays of the fit."""
    shares = [token_share(np.array([step.tokens, *step.extra]), grid).sum(axis=0) for step in steps]

    def column(values: list[float]) -> FloatArray:
        return np.array(values, dtype=np.float64)

    return Steps(
        seconds=column([step.end_s - step.start_s for step in steps]),
        steps=column([1 + len(step.extra) for step in steps]),
        tokens=np.array(shares, dtype=np.float64).reshape(len(steps), len(grid) - 1),
        sequences=column([len(step.contexts) + len(step.finishing) for step in steps]),
        context_tokens=column([sum(step.contexts) for step in steps]),
        prompts=column([len(step.chunks) for step in steps]),
        pairs=column([sum(new * (before + new / 2) for new, before in step.chunks) for step in steps]),
        idle=column([step.idle for step in steps]),
    )


def _clusters(streams: Sequence[Stream]) -> list[list[tuple[float, int, int]]]:
    """Group (time, stream, number of the token) into steps: a stream has one token in each, and they come together."""
    events = sorted(
        (at, stream, number) for stream, one in enumerate(streams) for number, at in enumerate(one.token_s)
    )  # fmt: skip
    gaps = np.concatenate([np.diff(one.token_s) for one in streams if len(one.token_s) > 1] or [np.zeros(1)])
    apart_s = APART * float(np.median(gaps))
    clusters: list[list[tuple[float, int, int]]] = []
    members: set[int] = set()
    for event in events:
        if not clusters or event[1] in members or event[0] - clusters[-1][0][0] > apart_s:
            clusters.append([])
            members = set()
        clusters[-1].append(event)
        members.add(event[1])
    return clusters


def _spans(streams: Sequence[Stream], clusters: list[list[tuple[float, int, int]]]) -> list[Step]:
    steps: list[Step] = []
    last_s = -np.inf
    for cluster in clusters:
        finishing = [stream for _, stream, number in cluster if number == 0]
        contexts = [(streams[stream].prompt_tokens or 0) + number for _, stream, number in cluster if number]
        sent_s = min((streams[stream].sent_s for stream in finishing), default=last_s)
        idle = not contexts and sent_s > last_s
        start_s = sent_s if idle else last_s
        steps.append(Step(start_s=start_s, end_s=cluster[0][0], idle=idle, contexts=contexts, finishing=finishing))
        last_s = cluster[0][0]
    return [step for step in steps if step.end_s > step.start_s > -np.inf]


def _place_chunks(steps: list[Step], streams: Sequence[Stream], budget: int) -> None:
    """Put prompts into the steps that computed them, first come first served within the budget."""
    prompts = _Prompts([one.prompt_tokens or 0 for one in streams])
    ends = {stream: at for at, step in enumerate(steps) for stream in step.finishing}
    order = sorted(ends, key=lambda stream: streams[stream].sent_s)
    for at, step in enumerate(steps):
        here = [one for one in order if ends[one] == at or (ends[one] > at and streams[one].sent_s <= step.start_s)]
        room = max(0, budget - len(step.contexts))
        while prompts.needed(step.finishing) > room:
            step.extra.append(prompts.compute(step, here, budget))  # a step that no token ends
        room -= prompts.compute(step, step.finishing, room)
        came = [one for one in order if ends[one] > at and streams[one].sent_s <= _last_start_s(step)]
        prompts.compute(step, came, room)


def _last_start_s(step: Step) -> float:
    """When the step that the tokens ended began: behind those of ``extra``, in proportion to their tokens."""
    hidden = sum(step.extra)
    return step.start_s + (step.end_s - step.start_s) * hidden / max(1, hidden + step.tokens)


@dataclass
class _Prompts:
    """How many tokens of each prompt are left to compute."""

    left: list[int]

    def __post_init__(self) -> None:
        self.whole = list(self.left)

    def needed(self, chosen: Sequence[int]) -> int:
        return sum(self.left[one] for one in chosen)

    def compute(self, step: Step, chosen: Sequence[int], room: int) -> int:
        """Compute chunks of the ``chosen`` prompts within ``room`` tokens; returns how many tokens they hold.

        The end of a prompt is computed only in the step that its first token ends.
        """
        free = room
        for one in chosen:
            take = min(free, self.left[one])
            if take and (one in step.finishing or take < self.left[one]):
                step.chunks.append((take, self.whole[one] - self.left[one]))
                self.left[one] -= take
                free -= take
        return room - free
