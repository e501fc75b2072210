"""Fields of a Hugging Face config.json, read with messages that name file, line and field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specs.errors import InputError
from specs.reading import read_text


@dataclass(frozen=True)
class ConfigFile:
    """The language model's part of a config.json (``fields``) beside the whole file (``whole``) and its text."""

    path: Path
    text: str
    whole: Mapping[str, Any]
    fields: Mapping[str, Any]

    def count(self, *names: str, default: int | None = None) -> int:
        """Return the first of the fields ``names`` that is set, a positive whole number; ``default`` where none is."""
        name = next((name for name in names if self.fields.get(name) is not None), None)
        if name is None:
            return self._missing(names[0], default)
        value = self.fields[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, f"expected a positive whole number, found {value!r}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Return the true/false field ``name``; ``default`` where it is absent or null."""
        value = self.fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, f"expected true or false, found {value!r}")
        return value

    def optional(self, name: str) -> int | None:
        """Return the whole number ``name``, or None where it is absent, null or zero."""
        return self.count(name) if self.fields.get(name) else None

    def share(self, name: str) -> float:
        """Return the number ``name``, 1 where it is absent or null."""
        value = self.fields.get(name)
        if value is None:
            return 1.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise self.wrong(name, f"expected a positive number, found {value!r}")
        return float(value)

    def words(self, name: str) -> tuple[str, ...]:
        """Return the list of texts ``name``, empty where it is absent or null."""
        value = self.fields.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, f"expected a list of texts, found {value!r}")
        return tuple(value)

    def counts(self, name: str) -> tuple[int, ...]:
        """Return the list of whole numbers, none negative, called ``name``; empty where it is absent or null."""
        value = self.fields.get(name) or []
        if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
            raise self.wrong(name, f"expected a list of whole numbers, found {value!r}")
        return tuple(value)

    def section(self, name: str) -> ConfigFile:
        """Return the same file seen through its mapping ``name``, empty where that is absent or null."""
        value = self.fields.get(name) or self.whole.get(name) or {}
        if not isinstance(value, dict):
            raise self.wrong(name, f"expected a mapping, found {value!r}")
        return ConfigFile(self.path, self.text, self.whole, value)

    @property
    def architecture(self) -> str:
        """The first of the file's `architectures`, empty where there is none."""
        named = self.whole.get("architectures")
        return named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""

    def wrong(self, name: str, what: str, cure: str = "") -> InputError:
        """Return the error that names this file, the line of the field ``name``, and ``what`` is wrong."""
        return InputError(f"{self.path}:{self._line(name)}: {name}: {what}", cure=cure)

    def _missing(self, name: str, default: int | None) -> int:
        if default is None:
            raise self.wrong(name, "missing", cure="Is this the config.json of the model itself, not of an adapter?")
        return default

    def _line(self, name: str) -> int:
        found = self.text.find(f'"{name}"')
        return self.text.count("\n", 0, found) + 1 if found >= 0 else 1


def load(path: Path) -> ConfigFile:
    """Read the JSON file ``path``; raises `InputError` where it is missing, not JSON or not a mapping."""
    text = read_text(path)
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply to be a model's configuration") from None
    if not isinstance(whole, dict):
        raise InputError(f"{path}:1: expected a mapping, found a {type(whole).__name__}")
    named = next((name for name in ("text_config", "llm_config") if isinstance(whole.get(name), dict)), None)
    return ConfigFile(path, text, whole, {**whole, **whole[named]} if named else whole)
