"""YAML text to plain data with the line of every field; refuses what a document never holds.

The parser's events are read one by one, without recursion and without expanding aliases, so that a hostile file costs
no more than its own length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from specs.errors import InputError

MAX_DEPTH = 64  # the deepest document of ours nests 12 levels
MAX_ALIASED_VALUES = 100_000  # values that aliases may add to a document
PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
}

Path = tuple[str | int, ...]
Lines = dict[Path, int]


@dataclass
class _Open:
    """A mapping or sequence whose end has not been read yet."""

    data: Any
    at: Path
    anchor: str | None
    key: str | None = None
    size: int = 1


@dataclass
class _Document:
    """What has been read of one document: its lines, and the anchors with the number of values below each."""

    lines: Lines = field(default_factory=dict)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    aliased: int = 0


def parse_documents(text: str, name: str) -> list[tuple[Any, Lines]]:
    """Return the data of each document in ``text`` with the line (from 1) of every field path.

    Raises `InputError`, starting with ``name``:line, for text that is not YAML, keys given twice, tags beyond plain
    values, nesting below 64 levels, aliases that refer to themselves or expand to more than 100,000 values.
    """
    events = yaml.parse(text, Loader=yaml.CSafeLoader)
    try:
        return [_document(events, name) for event in events if isinstance(event, yaml.DocumentStartEvent)]
    except yaml.YAMLError as error:
        cure = "Check indentation, quotes and brackets there."
        raise InputError(
            f"{name}:{_yaml_line(error, text)}: not valid YAML: {_yaml_problem(error)}", cure=cure
        ) from None


def _document(events: Iterator[Any], name: str) -> tuple[Any, Lines]:
    document = _Document()
    stack: list[_Open] = []
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionEndEvent):
            closed = stack.pop()
            _note_anchor(document, closed.anchor, closed.data, closed.size)
            if not stack:
                return closed.data, document.lines
            stack[-1].size += closed.size
        elif stack and isinstance(stack[-1].data, dict) and stack[-1].key is None:
            stack[-1].key = _key(event, stack[-1], name, line)
            document.lines[(*stack[-1].at, stack[-1].key)] = line
        else:
            opened = _value(event, document, stack, name, line)
            if opened is not None:
                stack.append(opened)
            elif not stack:
                return None, document.lines
    return None, document.lines


def _value(event: Any, document: _Document, stack: list[_Open], name: str, line: int) -> _Open | None:
    """Put the value that ``event`` starts into the collection above it; return it where it is a collection itself."""
    at = _place(stack)
    document.lines.setdefault(at, line)
    if isinstance(event, yaml.AliasEvent):
        data, size = _aliased(event, document, f"{name}:{line}: {dotted(at)}")
        _put(stack, data, size)
        return None
    if event.tag and event.tag not in PLAIN_TAGS:
        where = f"{name}:{line}: {dotted(at)}"
        raise InputError(f"{where}: the tag {event.tag} is refused", cure="A document holds plain values only.")
    if isinstance(event, yaml.ScalarEvent):
        data = _scalar(event, name, line, at)
        _note_anchor(document, event.anchor, data, 1)
        if not stack and data is not None:
            raise InputError(f"{name}:{line}: expected a mapping, found {type_name(data)}")
        _put(stack, data, 1)
        return None
    if len(stack) >= MAX_DEPTH:
        raise InputError(f"{name}:{line}: nested deeper than {MAX_DEPTH} levels, which no document is")
    opened = _Open({} if isinstance(event, yaml.MappingStartEvent) else [], at, event.anchor)
    if event.anchor:
        document.anchors[event.anchor] = (None, 0)  # open: an alias to it here would contain itself
    _put(stack, opened.data, 0)
    return opened


def _place(stack: list[_Open]) -> Path:
    if not stack:
        return ()
    top = stack[-1]
    return (*top.at, top.key if isinstance(top.data, dict) and top.key is not None else len(top.data))


def _put(stack: list[_Open], data: Any, size: int) -> None:
    if not stack:
        return
    top = stack[-1]
    top.size += size
    if isinstance(top.data, dict):
        top.data[top.key] = data
        top.key = None
    else:
        top.data.append(data)


def _key(event: Any, inside: _Open, name: str, line: int) -> str:
    if not isinstance(event, yaml.ScalarEvent):
        raise InputError(f"{name}:{line}: {dotted(inside.at)}: a field name must be text")
    key = str(event.value)
    if key == "<<":
        raise InputError(
            f"{name}:{line}: {dotted(inside.at)}: merge keys (<<) are refused", cure="Write the fields out."
        )
    if key in inside.data:
        raise InputError(f"{name}:{line}: {dotted((*inside.at, key))}: given twice", cure="Keep one of the two lines.")
    return key


def _aliased(event: yaml.AliasEvent, document: _Document, where: str) -> tuple[Any, int]:
    if event.anchor not in document.anchors:
        raise InputError(f"{where}: the alias *{event.anchor} has no anchor &{event.anchor} above it")
    data, size = document.anchors[event.anchor]
    if size == 0:
        raise InputError(f"{where}: the alias *{event.anchor} refers to itself")
    document.aliased += size
    if document.aliased > MAX_ALIASED_VALUES:
        cure = "Remove the nested aliases."
        raise InputError(f"{where}: aliases expand to more than {MAX_ALIASED_VALUES:,} values", cure=cure)
    return data, size


def _note_anchor(document: _Document, anchor: str | None, data: Any, size: int) -> None:
    if anchor:
        document.anchors[anchor] = (data, size)


_LOADER = yaml.SafeLoader("")


def _scalar(event: yaml.ScalarEvent, name: str, line: int, at: Path) -> Any:
    """Return the value of a scalar; dates and base-60 numbers stay text, because documents are JSON-like."""
    text = event.value
    tag = event.tag or _resolve(event)
    if tag.endswith((":str", ":timestamp", ":value")) or (":" in text and not event.tag):
        return text
    try:
        return _LOADER.construct_object(yaml.ScalarNode(tag, text))
    except (ValueError, yaml.YAMLError):
        kind = tag.rpartition(":")[2]
        raise InputError(f"{name}:{line}: {dotted(at)}: {text[:40]!r} is not {kind}") from None
    finally:
        _LOADER.constructed_objects.clear()


def _resolve(event: yaml.ScalarEvent) -> str:
    return str(_LOADER.resolve(yaml.ScalarNode, event.value, event.implicit))  # type: ignore[no-untyped-call]


def _yaml_line(error: yaml.YAMLError, text: str) -> int:
    mark = getattr(error, "problem_mark", None)
    if mark:
        return int(mark.line) + 1
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if position else 1


def _yaml_problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"{error.reason} (character {error.character!r})"
    return getattr(error, "problem", None) or str(error)


def dotted(at: Path) -> str:
    """Return a field path as a reader writes it: ``spec.pools[0].device``."""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or "document"


def type_name(value: object) -> str:
    """Return what a reader calls the type of ``value``."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", type(None): "nothing"}
    return names.get(type(value), "a number")
