"""Sends one streamed completion and times its tokens; a failure is a result like any other."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from typing import Any

from profilers.engine.http import Endpoint, Response, TransferError, exchange
from profilers.engine.sse import Events, EventsError
from specs.masking import MASK

SHOWN_CHARACTERS = 120
Failure = str


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One request: times on the steady clock, seconds; one entry of ``token_s`` per event that carried tokens.

    ``failure`` says why it is not whole, None where it is; ``status`` is the HTTP status, None without an answer.
    ``retry_after_s``: what a refusing server asked for.
    """

    asked_tokens: int
    sent_s: float
    token_s: tuple[float, ...] = ()
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    end_s: float = 0.0
    failure: Failure | None = None
    status: int | None = None
    retry_after_s: float | None = None

    @property
    def whole(self) -> bool:
        """Whether every token came."""
        return self.failure is None

    @property
    def ttft_s(self) -> float:
        """Seconds from sending to the first token."""
        return self.token_s[0] - self.sent_s

    @property
    def one_by_one(self) -> bool:
        """Whether each event carried one token, so that gaps between events are gaps between tokens."""
        return self.output_tokens == len(self.token_s)


async def complete(endpoint: Endpoint, model: str, prompt: str, output_tokens: int, limit_s: float) -> Stream:
    """Ask for ``output_tokens`` tokens after ``prompt`` and time what comes, for at most ``limit_s`` seconds."""
    body = {
        "model": model, "prompt": prompt, "max_tokens": output_tokens, "stream": True, "temperature": 0,
        "stream_options": {"include_usage": True}, "ignore_eos": True, "cache_prompt": False,
    }  # fmt: skip
    started = Stream(asked_tokens=output_tokens, sent_s=time.monotonic())
    try:
        async with (
            asyncio.timeout(limit_s),
            exchange(endpoint, "/v1/completions", json.dumps(body).encode()) as response,
        ):
            found = await _read(response, started)
    except TimeoutError:
        found = replace(started, failure=f"no end after {limit_s:.3g} s")
    except (TransferError, EventsError) as error:
        found = replace(started, failure=str(error))
    return replace(found, end_s=time.monotonic(), failure=_without_key(found.failure, endpoint.key))


def _without_key(text: Failure | None, key: str | None) -> Failure | None:
    """Servers quote what they were sent; a key must not come back through a message."""
    return text.replace(key, MASK) if text and key else text


async def _read(response: Response, started: Stream) -> Stream:
    if response.status != 200:
        text = await response.text()
        wait = response.headers.get("retry-after", "")
        return replace(
            started, status=response.status, failure=f"HTTP {response.status}: {shown(text)}",
            retry_after_s=float(wait) if wait.isdecimal() else None,
        )  # fmt: skip
    kind = response.headers.get("content-type", "")
    if "text/event-stream" not in kind:
        text = await response.text()
        return replace(started, status=200, failure=f"{kind or 'no type'} in place of an event stream: {shown(text)}")
    return await _tokens(response, started)


async def _tokens(response: Response, started: Stream) -> Stream:
    events, times, done = Events(), [], False
    usage: dict[str, Any] = {}
    async for piece in response.body:
        now = time.monotonic()
        for data in events.feed(piece):
            done = data.strip() == "[DONE]"
            if done:
                break
            message = _message(data)
            usage = message.get("usage") or usage
            times += [now for choice in message.get("choices") or () if _carries(choice)]
        if done:
            break
    found = replace(
        started, status=200, token_s=tuple(times), prompt_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
    )  # fmt: skip
    return replace(found, failure=_lack(found, done))


def _message(data: str) -> dict[str, Any]:
    try:
        message = json.loads(data)
    except ValueError:
        raise EventsError(f"an event is not JSON: {shown(data)}") from None
    if not isinstance(message, dict):
        raise EventsError(f"an event is no JSON object: {shown(data)}")
    if message.get("error"):
        raise EventsError(f"the server says: {shown(json.dumps(message['error']))}")
    choices = message.get("choices")
    if choices is not None and not (isinstance(choices, list) and all(isinstance(one, dict) for one in choices)):
        raise EventsError(f"an event's choices are no list of objects: {shown(data)}")
    return {**message, "usage": message.get("usage") if isinstance(message.get("usage"), dict) else None}


def _carries(choice: dict[str, Any]) -> bool:
    """Whether this event carries a token: text, or an empty text that no finish explains (half a character)."""
    return bool(choice.get("text")) or not choice.get("finish_reason")


def _lack(found: Stream, done: bool) -> Failure | None:
    """Say what a stream that ended lacks."""
    if not done:
        return f"the stream ended half-way, after {len(found.token_s)} of {found.asked_tokens} tokens"
    if not found.token_s:
        return "the stream held no token"
    if not isinstance(found.prompt_tokens, int) or not isinstance(found.output_tokens, int):
        return "the server does not count tokens (no usage in the stream)"
    return None


def shown(text: str) -> str:
    """Return the start of what a server sent, on one line."""
    line = " ".join(text.split())
    return line[:SHOWN_CHARACTERS] + ("…" if len(line) > SHOWN_CHARACTERS else "")
