"""One question to a Prometheus HTTP API: bounded in time and size, retried a few times, its refusals told apart."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from specs.errors import InputError, MissingHardwareError

MAX_ANSWER_BYTES = 256 * 2**20  # a million samples are about 30 MiB of JSON
CHUNK_BYTES = 2**20
CONNECT_S = 10.0
RETRIES = 3
LONGEST_PAUSE_S = 10.0  # of what `Retry-After` may ask for
PAUSED_STATUS = (429, 502, 503)
TOO_LARGE = (
    "maximum resolution", "too many samples", "max-samples", "maxsamples", "timed out", "timeout", "deadline",
    "too large", "too long", "limit", "exceeds", "context canceled",
)  # fmt: skip
"""What Prometheus, Thanos, Mimir and VictoriaMetrics say where a smaller question would be answered."""
TOKEN, USER, PASSWORD, TENANT = (f"TONNAGE_PROMETHEUS_{name}" for name in ("TOKEN", "USER", "PASSWORD", "TENANT"))

Refusal = Literal["too-large", "rejected", "down"]


class RefusedError(Exception):
    """A question without an answer: ``why`` in words, and whether a smaller one, another one or none may have one."""

    def __init__(self, refusal: Refusal, why: str) -> None:
        super().__init__(why)
        self.refusal: Refusal = refusal
        self.why = why


@dataclass
class Endpoint:
    """A server: its URL without credentials, how long one answer may take, and how many questions were put."""

    url: str
    timeout_s: float = 60.0
    pause_s: float = 0.5
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    asked: int = 0


def endpoint(url: str, *, timeout_s: float = 60.0) -> Endpoint:
    """Return the server at ``url`` with the credentials of the environment.

    `TONNAGE_PROMETHEUS_TOKEN` is a bearer token, `…_USER` and `…_PASSWORD` a login, `…_TENANT` an organisation
    (X-Scope-OrgID). Raises `InputError` for a URL that is no http(s) URL or holds credentials.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound, parts = False, urlsplit("")
    if parts.username or parts.password:
        cure = f"Leave them out of it and set {USER} and {PASSWORD}, or {TOKEN}."
        raise InputError("the URL of Prometheus holds credentials", cure=cure)
    if not sound or parts.query or parts.fragment:
        raise InputError(f"{url!r}: not the URL of a server", cure="Give it as http://host:9090 or https://host/path.")
    return Endpoint(url.rstrip("/"), timeout_s=timeout_s, headers=_credentials(os.environ))


def ask(server: Endpoint, path: str, parameters: Mapping[str, str], *, first: bool = False) -> Any:
    """POST to ``path`` below `/api/v1/` and return the `data` of the answer.

    Retries what a server asks to repeat (429, 502, 503) and broken connections, three times. Raises `RefusedError`;
    with ``first``, where nothing is known of the server yet, `MissingHardwareError` at once where it is not there.
    """
    for attempt in range(RETRIES + 1):
        server.asked += 1
        try:
            return _answer(server, path, parameters)
        except _RepeatError as error:
            if first and error.connecting:
                raise _not_there(server, error.why) from None
            if attempt == RETRIES:
                if first:
                    raise _not_there(server, error.why) from None
                raise RefusedError("down", error.why) from None
            time.sleep(min(error.after_s or server.pause_s * 2**attempt, LONGEST_PAUSE_S))
        except RefusedError as error:
            if first:
                raise _not_there(server, error.why) from None
            raise
    raise AssertionError("unreachable")


def refuse_absent(url: str) -> None:
    """Raise what `endpoint` raises, and `MissingHardwareError` where nothing accepts a connection at ``url``."""
    server = endpoint(url)
    parts = urlsplit(server.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S).close()
    except OSError as error:
        raise _not_there(server, f"no connection: {_reason(error)}") from None


class _RepeatError(Exception):
    def __init__(self, why: str, after_s: float | None = None, *, connecting: bool = False) -> None:
        super().__init__(why)
        self.why, self.after_s, self.connecting = why, after_s, connecting


def _answer(server: Endpoint, path: str, parameters: Mapping[str, str]) -> Any:
    status, headers, body = _exchange(server, path, parameters)
    if status in (301, 302, 303, 307, 308):
        raise RefusedError("down", f"it redirects to {headers.get('Location', 'elsewhere')[:200]}; give that URL")
    if status in (401, 403):
        raise RefusedError("down", f"it refuses access (HTTP {status}); set {TOKEN}, or {USER} and {PASSWORD}")
    data = _json(body)
    if isinstance(data, dict) and data.get("status") == "success" and status == 200:
        return data.get("data")
    why = f"HTTP {status}: {_message(data, body, headers)}"
    if (any(words in why.lower() for words in TOO_LARGE) and status != 429) or status in (413, 504):
        raise RefusedError("too-large", why)
    if status in PAUSED_STATUS:
        raise _RepeatError(why, _seconds(headers.get("Retry-After")))
    if (isinstance(data, dict) and "status" in data) or status >= 500:
        raise RefusedError("rejected", why)
    raise RefusedError("down", f"{why}; is that the URL of a Prometheus?")


def _exchange(server: Endpoint, path: str, parameters: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
    """One request and its whole answer; a timer closes the connection where all of it takes too long."""
    parts = urlsplit(server.url)
    assert parts.hostname
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    with closing(kind(parts.hostname, parts.port, timeout=min(server.timeout_s, CONNECT_S))) as connection:
        try:
            connection.connect()
        except (OSError, ssl.SSLError) as error:
            raise _RepeatError(f"no connection: {_reason(error)}", connecting=True) from None
        assert connection.sock is not None
        connection.sock.settimeout(server.timeout_s)
        late = threading.Event()
        timer = threading.Timer(server.timeout_s, _close, (connection.sock, late))
        timer.daemon = True
        timer.start()
        try:
            body = urlencode(parameters)
            kind_of_body = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
            connection.request("POST", f"{parts.path}/api/v1/{path}", body, {**kind_of_body, **server.headers})
            response = connection.getresponse()
            return response.status, dict(response.headers.items()), _read(response)
        except (OSError, http.client.HTTPException) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise RefusedError("too-large", f"no answer within {server.timeout_s:g} s (timeout)") from None
            raise _RepeatError(f"the connection broke: {_reason(error)}") from None
        finally:
            timer.cancel()


def _close(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _read(response: http.client.HTTPResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := response.read(CHUNK_BYTES):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise RefusedError("too-large", f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB")
        parts.append(chunk)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(parts)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _message(data: Any, body: bytes, headers: Mapping[str, str]) -> str:
    if isinstance(data, dict) and data.get("error"):
        return " ".join(str(data["error"]).split())[:300]
    kind = headers.get("Content-Type", "no content type").split(";")[0]
    start = " ".join(body[:80].decode("utf-8", "replace").split())
    return f"not an answer of the API but {kind}: {start!r}"


def _seconds(text: str | None) -> float | None:
    try:
        return max(float(text), 0.0) if text else None
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _not_there(server: Endpoint, why: str) -> MissingHardwareError:
    cure = "Check the URL and that the server runs; credentials come from the environment."
    return MissingHardwareError(f"{server.url}: {why}", cure=cure)


def _credentials(environment: Mapping[str, str]) -> dict[str, str]:
    headers = {"X-Scope-OrgID": environment[TENANT]} if environment.get(TENANT) else {}
    if environment.get(TOKEN):
        headers["Authorization"] = f"Bearer {environment[TOKEN]}"
    elif environment.get(USER):
        login = f"{environment[USER]}:{environment.get(PASSWORD, '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    if any("\n" in value or "\r" in value for value in headers.values()):
        raise InputError(f"{TOKEN}, {USER}, {PASSWORD} or {TENANT} holds a line break", cure="Set it without one.")
    return headers
