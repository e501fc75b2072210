"""An OpenAI-compatible server on 127.0.0.1 that batches as vLLM does, with known step times, or misbehaves as told."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

StepSeconds = Callable[[list[int], list[int]], float]
"""From the chunks of prompts and the contexts of decoding sequences in a step to its seconds."""
LIFE_S = 60.0


@dataclass
class Sequence:
    prompt: int
    output: int
    queue: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    computed: int = 0
    emitted: int = 0


@dataclass
class Engine:
    """Continuous batching with a token budget; one step at a time."""

    seconds: StepSeconds
    budget: int = 256
    max_running: int = 64
    running: list[Sequence] = field(default_factory=list)
    waiting: list[Sequence] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    served: int = 0

    async def run(self) -> None:
        due = time.perf_counter()
        while True:
            while self.waiting and len(self.running) < self.max_running:
                self.running.append(self.waiting.pop(0))
            if not self.running:
                self.came.clear()
                await self.came.wait()
                due = time.perf_counter()
                continue
            chunks, contexts, emitting = self.schedule()
            due += self.seconds(chunks, contexts)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self.emit(emitting)
            await asyncio.sleep(0)

    def schedule(self) -> tuple[list[int], list[int], list[Sequence]]:
        decoding = [one for one in self.running if one.computed == one.prompt]
        left, chunks, emitting = self.budget - len(decoding), [], list(decoding)
        for one in self.running:
            take = min(left, one.prompt - one.computed)
            if take > 0:
                left -= take
                one.computed += take
                chunks.append(take)
                if one.computed == one.prompt:
                    emitting.append(one)
        return chunks, [one.prompt + one.emitted for one in decoding], emitting

    def emit(self, emitting: list[Sequence]) -> None:
        for one in emitting:
            one.emitted += 1
            one.queue.put_nowait(one.emitted)
            if one.emitted == one.output:
                self.running.remove(one)
                self.served += 1


@dataclass
class Stub:
    """The server; ``fault`` takes the number of a completion and returns how it misbehaves, or None."""

    engine: Engine
    fault: Callable[[int], str | None] = lambda number: None
    models: tuple[str, ...] = ("tiny",)
    key: str | None = None
    metrics: bool = True
    metrics_s: float = 0.0  # of the loop that serves, spent on each reading
    readings: int = 0
    usage: bool = True
    max_model_len: int | None = 2048
    completions: int = 0
    seen_headers: list[str] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(LIFE_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.seen_headers.append(head)
                path = head.split(" ")[1]
                if path == "/v1/completions":
                    size = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                    await self.complete(writer, json.loads(await reader.readexactly(size)), head)
                else:
                    send(writer, *self.page(path, head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def page(self, path: str, head: str) -> tuple[int, str]:
        if self.key and f"Authorization: Bearer {self.key}" not in head:
            return 401, json.dumps({"error": f"wrong key in {head}"})
        if path == "/v1/models":
            return 200, json.dumps(
                {"data": [{"id": name, "max_model_len": self.max_model_len} for name in self.models]}
            )
        if path == "/version":
            return 200, json.dumps({"version": "0.19.1"})
        if path == "/metrics" and self.metrics:
            self.readings += 1
            time.sleep(self.metrics_s)
            return 200, self.metrics_text()
        return 404, "not found"

    def metrics_text(self) -> str:
        return "\n".join([
            "# TYPE vllm:num_requests_running gauge",
            f'vllm:num_requests_running{{engine="0"}} {len(self.engine.running)}',
            f"vllm:num_requests_waiting {len(self.engine.waiting)}",
            f'vllm:request_success_total{{finished_reason="length"}} {self.engine.served}',
            'vllm:cache_config_info{block_size="16",num_gpu_blocks="1000"} 1.0',
            "vllm:num_preemptions_total 0.0",
        ])  # fmt: skip

    async def complete(self, writer: asyncio.StreamWriter, body: dict[str, Any], head: str) -> None:
        number, self.completions = self.completions, self.completions + 1
        fault = self.fault(number)
        if fault in ("429", "500", "503"):
            return send(writer, int(fault), f"refused, {head}", "Retry-After: 0\r\n")
        if fault == "html":
            return send(writer, 200, "<html>gateway</html>", kind="text/html")
        if fault == "slow":
            await asyncio.sleep(LIFE_S)
        if fault == "not http":
            return writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        words = len(body["prompt"].split())
        one = Sequence(prompt=words + 1, output=body["max_tokens"])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.engine.waiting.append(one)
        self.engine.came.set()
        for token in range(one.output):
            await one.queue.get()
            if fault == "half" and token == one.output // 2:
                return None
            text = "data: {not json\n\n" if fault == "malformed" else event({"choices": [{"text": " x"}]})
            chunk(writer, text)
        if self.usage:
            chunk(
                writer, event({"choices": [], "usage": {"prompt_tokens": one.prompt, "completion_tokens": one.output}})
            )
        chunk(writer, "data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        return None


def event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def chunk(writer: asyncio.StreamWriter, text: str) -> None:
    data = text.encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def send(writer: asyncio.StreamWriter, status: int, text: str, extra: str = "", kind: str = "application/json") -> None:
    data = text.encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{extra}\r\n"
    writer.write(head.encode() + data)


@contextmanager
def serving(stub: Stub) -> Iterator[str]:
    """Serve ``stub`` in a thread of its own; gives its URL."""
    ready, stop, found = threading.Event(), threading.Event(), {}

    async def main() -> None:
        stub.engine.came = asyncio.Event()
        server = await asyncio.start_server(stub.answer, "127.0.0.1", 0)
        found["port"] = server.sockets[0].getsockname()[1]
        working = asyncio.create_task(stub.engine.run())
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.01)
        working.cancel()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{found['port']}"
    finally:
        stop.set()
        thread.join(10)
