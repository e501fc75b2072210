"""A small HTTP/1.1 client over asyncio: one request per connection, the body as it comes, every wait limited."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from specs.errors import InputError
from specs.masking import mask_credentials

MAX_HEAD_BYTES = 2**16
MAX_BODY_BYTES = 2**26  # /metrics of a large server is below 1 MB
READ_BYTES = 2**16


class TransferError(Exception):
    """The connection, or what came over it, broke; the text says how. Never leaves this package."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where requests go: ``base`` is the path before `/v1` and `/metrics`; ``key`` is sent, never shown."""

    host: str
    port: int
    base: str
    secure: bool
    key: str | None

    def __repr__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """The URL without credentials."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{shown}:{self.port}{self.base}"


@dataclass(frozen=True, kw_only=True)
class Response:
    """Status, headers (lower case) and the body, piece by piece."""

    status: int
    headers: dict[str, str]
    body: AsyncIterator[bytes]

    async def text(self) -> str:
        """Return the whole body; raises `TransferError` where it is larger than `MAX_BODY_BYTES`."""
        parts = bytearray()
        async for piece in self.body:
            parts += piece
            if len(parts) > MAX_BODY_BYTES:
                raise TransferError(f"the answer is larger than {MAX_BODY_BYTES >> 20} MiB")
        return parts.decode("utf-8", "replace")


def endpoint_of(url: str, key: str | None) -> Endpoint:
    """Return the endpoint at ``url``, with or without a trailing `/v1`; raises `InputError` where it is none."""
    try:
        parts: SplitResult = urlsplit(url if "//" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise InputError(f"{mask_credentials(url)}: not a URL: {error}", cure="Give http://HOST:PORT.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{mask_credentials(url)}: not an http or https URL", cure="Give http://HOST:PORT.")
    if parts.username or parts.password:
        raise InputError("the URL holds a user or password", cure="Put the key into TONNAGE_API_KEY instead.")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise InputError("TONNAGE_API_KEY holds characters that no header may hold", cure="Set it anew.")
    secure = parts.scheme == "https"
    base = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return Endpoint(
        host=parts.hostname, port=port or (443 if secure else 80), base=base, secure=secure, key=key
    )  # fmt: skip


@asynccontextmanager
async def exchange(endpoint: Endpoint, path: str, body: bytes | None = None) -> AsyncIterator[Response]:
    """Send a GET, or a POST of JSON, and give the response; raises `TransferError`.

    Whoever calls sets the limit of the wait (`asyncio.timeout`); leaving closes the connection.
    """
    reader, writer = await _connect(endpoint)
    try:
        writer.write(_head(endpoint, path, body) + (body or b""))
        await writer.drain()
        yield await _response(reader)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, EOFError) as error:
        raise TransferError(_said(error)) from None
    finally:
        writer.transport.abort()


async def _connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context() if endpoint.secure else None
    try:
        return await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context, limit=MAX_HEAD_BYTES)
    except ssl.SSLError as error:
        raise TransferError(f"TLS failed: {error.reason}") from None
    except OSError as error:
        raise TransferError(f"cannot connect: {_said(error)}") from None


def _said(error: Exception) -> str:
    if isinstance(error, asyncio.IncompleteReadError | EOFError):
        return "the connection was closed half-way"
    if isinstance(error, OSError) and (error.errno or 0) > 0:  # asyncio's own text is about its calls
        return os.strerror(error.errno or 0)
    return str(getattr(error, "strerror", None) or error)


def _head(endpoint: Endpoint, path: str, body: bytes | None) -> bytes:
    lines = [f"{'GET' if body is None else 'POST'} {endpoint.base}{path} HTTP/1.1", f"Host: {endpoint.host}"]
    lines += ["Connection: close", "Accept: */*", "User-Agent: tonnage"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    if endpoint.key:
        lines.append(f"Authorization: Bearer {endpoint.key}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def _response(reader: asyncio.StreamReader) -> Response:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *fields = head.split("\r\n")
    words = status_line.split(" ", 2)
    if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdecimal():
        raise TransferError("the answer is not HTTP/1.1")
    headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Response(status=int(words[1]), headers=headers, body=_body(reader, headers))


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        async for piece in _chunks(reader):
            yield piece
        return
    length = headers.get("content-length", "")
    left = int(length) if length.isdecimal() else None
    while left is None or left > 0:
        piece = await reader.read(READ_BYTES if left is None else min(left, READ_BYTES))
        if not piece:
            if left:
                raise TransferError("the connection was closed half-way")
            return
        left = None if left is None else left - len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size_line = await reader.readuntil(b"\r\n")
        try:
            size = int(size_line.split(b";")[0], 16)
        except ValueError:
            raise TransferError("the answer's chunks are malformed") from None
        if not 0 <= size <= MAX_BODY_BYTES:
            raise TransferError("the answer's chunks are malformed")
        if size == 0:
            return
        yield await reader.readexactly(size)
        await reader.readexactly(2)
