"""Asks a server what it is: its models, its version, its metrics."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from profilers.engine.client import shown
from profilers.engine.http import Endpoint, TransferError, exchange
from profilers.engine.metrics import Samples, parse_metrics
from specs.errors import InputError, MissingHardwareError
from specs.explaining import nearest

ASK_LIMIT_S = 5.0
OPENAI = "Is it an OpenAI-compatible server (vLLM, SGLang, TGI, llama.cpp)? Give its root, such as http://HOST:8000."


async def served_model(endpoint: Endpoint, wanted: str | None) -> tuple[str, int | None]:
    """Return the model that the server has, or ``wanted`` of several, and its longest context where it says so.

    Raises `MissingHardwareError` where nothing usable answers, `InputError` where ``wanted`` is not served.
    """
    status, text = await _ask(endpoint, "/v1/models")
    if status in (401, 403):
        raise MissingHardwareError(f"{endpoint.name}: HTTP {status}", cure="Set TONNAGE_API_KEY to the endpoint's key.")
    listed = _json(text).get("data") if status == 200 else None
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise MissingHardwareError(
            f"{endpoint.name}/v1/models: HTTP {status} and no list of models: {_shown(endpoint, text)}", cure=OPENAI
        )
    names = [str(one.get("id")) for one in listed]
    if wanted is None and len(names) > 1:
        raise InputError(f"{endpoint.name} serves {', '.join(names)}", cure="Choose one: --served-model NAME.")
    name = wanted or names[0]
    if name not in names:
        raise InputError(
            f"{endpoint.name} does not serve {name!r}{nearest(name, names)}", cure=f"It serves {', '.join(names)}."
        )
    longest = listed[names.index(name)].get("max_model_len")
    return name, longest if isinstance(longest, int) and longest > 0 else None


async def server_version(endpoint: Endpoint) -> str | None:
    """Return the version that vLLM or TGI tell of themselves."""
    for path in ("/version", "/info"):
        try:
            status, text = await _ask(endpoint, path)
        except MissingHardwareError:
            return None
        version = _json(text).get("version") if status == 200 else None
        if isinstance(version, str) and version:
            return version.split("+")[0]
    return None


async def read_metrics(endpoint: Endpoint) -> Samples | None:
    """Return the samples of `/metrics`; None where the server offers none."""
    try:
        status, text = await _ask(endpoint, "/metrics")
    except MissingHardwareError:
        return None
    samples = parse_metrics(text) if status == 200 else {}
    return samples or None


async def _ask(endpoint: Endpoint, path: str) -> tuple[int, str]:
    try:
        async with asyncio.timeout(ASK_LIMIT_S), exchange(endpoint, path) as response:
            return response.status, await response.text()
    except TimeoutError:
        raise MissingHardwareError(
            f"{endpoint.name}{path}: no answer within {ASK_LIMIT_S:.0f} s", cure="Is the server up and reachable?"
        ) from None
    except TransferError as error:
        cure = "Start the server, or correct the URL." if "connect" in str(error) else OPENAI
        raise MissingHardwareError(f"{endpoint.name}{path}: {error}", cure=cure) from None


def _json(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _shown(endpoint: Endpoint, text: str) -> str:
    return shown(text.replace(endpoint.key, "***") if endpoint.key else text)
