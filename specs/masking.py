"""Credentials taken out of text before it is printed or stored."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
_WORD = r"[\w-]{0,40}"
_NAME = rf"(?:{_WORD}(?:password|passwd|secret|api[_-]?key)|{_WORD}(?:access|api|auth|hf|id|refresh)[_-]?token|token)"
_PATTERNS = (
    # scheme://user:password@ – but not scheme://host:port/
    re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^/\s:@]{0,200}:)(?!\d+(?:[/?#]|$))[^\s?#]{1,1000}(?=@)", re.IGNORECASE),
    re.compile(rf"((?:^|[?&;\s]){_NAME}=)[^&;\s\"']+", re.IGNORECASE),  # ?password=…, API_KEY=…
    re.compile(rf"((?<![\w-])--{_NAME}[ =])(?!-)\S+", re.IGNORECASE),  # --api-key …
    re.compile(r"(\b(?:authorization:\s*basic|bearer)\s+)[\w.~+/=-]{8,}", re.IGNORECASE),
)


def mask_credentials(text: str) -> str:
    """Return ``text`` with passwords in URLs, secret parameters and options, and bearer tokens replaced by `***`.

    It knows those forms alone: a secret that stands by itself cannot be told from any other word.
    """
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def without_credentials(data: Any) -> Any:
    """Return JSON-like ``data`` with `mask_credentials` applied to every text value in it."""
    if isinstance(data, str):
        return mask_credentials(data)
    if isinstance(data, dict):
        return {key: without_credentials(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_credentials(value) for value in data]
    return data
