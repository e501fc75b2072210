"""What is wrong with a document, in one line per mistake: where, which field, what was found, the nearest spelling."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from specs.parsing import Lines, Path, dotted, type_name

SHOWN = 5
EXAMINED = 200  # mistakes that are worded, of which the first five are shown


def nearest(word: str, words: list[str]) -> str:
    """Return " (did you mean 'x'?)" for the closest of ``words``, or nothing where none is close."""
    close = difflib.get_close_matches(str(word), words, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def explain(error: ValidationError, kind: type[BaseModel], data: Any, name: str, lines: Lines) -> str:
    """Return one line per mistake; of a union only the branch that was meant speaks.

    The branch that was meant is the one that shares most field names, or nearly so, with what was found.
    """
    messages: dict[str, None] = {}
    problems = error.errors(include_url=False)
    for problem in problems[:EXAMINED]:
        place = _locate(kind, problem["loc"], data)
        if place is not None:
            line = next(lines[place.at[:n]] for n in range(len(place.at), -1, -1) if place.at[:n] in lines)
            messages[f"{name}:{line}: {dotted(place.at)}: {_say(problem, place)}"] = None
    shown = list(messages)
    left = len(shown) - SHOWN + max(0, len(problems) - EXAMINED)
    more = [f"… and {left} more"] if left > 0 else []
    return "\n".join(shown[:SHOWN] + more)


@dataclass(frozen=True)
class _Place:
    """Where a problem lies: its path without union labels, the model that should hold the field, a union not met."""

    at: Path
    model: type[BaseModel] | None
    annotation: Any
    choices: tuple[Any, ...] = ()


def _locate(kind: Any, loc: tuple[str | int, ...], data: Any) -> _Place | None:
    """Follow ``loc`` through the annotations; None where it lies in a branch of a union that was not meant."""
    annotation, found, rest = kind, data, list(loc)
    at: Path = ()
    model: type[BaseModel] | None = None
    while True:
        annotation = _bare(annotation)
        members = _members(annotation)
        if len(members) > 1:
            if not rest:
                return _Place(at, model, annotation)
            meant = _meant(members, found)
            if meant is None:
                return _Place(at, model, annotation, members)
            if not _is_label(str(rest.pop(0)), meant):
                return None
            annotation = meant
            continue
        annotation = members[0] if members else annotation
        if not rest:
            return _Place(at, model, annotation)
        part = rest.pop(0)
        if part == "[key]":
            continue
        at, found = (*at, part), _inside(found, part)
        model, annotation = _step(annotation, part)


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union apart from None, or nothing where it is no union."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(_bare(arg) for arg in get_args(annotation) if arg is not type(None))
    return ()


def _step(annotation: Any, part: str | int) -> tuple[type[BaseModel] | None, Any]:
    if _is_model(annotation):
        fields = annotation.model_fields
        return annotation, next((f.annotation for n, f in fields.items() if part in (n, f.alias)), None)
    arguments = [arg for arg in get_args(annotation) if arg is not Ellipsis]
    if isinstance(part, int) and part < len(arguments):
        return None, arguments[part]
    return None, arguments[-1] if arguments else None


def _inside(found: Any, part: str | int) -> Any:
    if isinstance(found, dict):
        return found.get(part)
    return found[part] if isinstance(found, list) and isinstance(part, int) and part < len(found) else None


def _meant(members: tuple[Any, ...], found: Any) -> Any:
    """Return the member that ``found`` was meant to be, None where nothing says which."""
    if isinstance(found, dict):
        scored = [(_likeness(member, found), -i, member) for i, member in enumerate(members) if _is_model(member)]
        best = max(scored, default=(0, 0, None), key=lambda entry: entry[:2])
        return best[2] if best[0] or len(scored) == 1 else None
    lists = [member for member in members if get_origin(member) in (list, tuple)]
    return lists[0] if isinstance(found, list) and len(lists) == 1 else None


def _likeness(model: type[BaseModel], found: dict[str, Any]) -> float:
    names = _names(model)
    return sum(1.0 if key in names else 0.5 * bool(difflib.get_close_matches(key, names, 1, 0.75)) for key in found)


def _is_label(label: str, member: Any) -> bool:
    return getattr(member, "__name__", str(member)) in label


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _names(model: type[BaseModel]) -> list[str]:
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _say(problem: Any, place: _Place) -> str:
    found = problem["input"]
    if place.choices:
        return _say_choices(place.choices, found)
    if problem["type"] == "extra_forbidden":
        known = _names(place.model) if place.model else []
        return f"unknown field{nearest(str(place.at[-1]), known)}; known: {', '.join(known) or 'none'}"
    if problem["type"] == "missing":
        return "missing"
    if problem["type"] in ("model_type", "model_attributes_type") and _is_model(place.annotation):
        return f"expected a mapping of {', '.join(_names(place.annotation))}{_shown(found)}"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if problem["type"] == "string_type" and isinstance(found, int | float):
        message += "; write it in quotes"
    return f"{message}{_shown(found)}{_literal_hint(problem, found)}"


def _say_choices(choices: tuple[Any, ...], found: Any) -> str:
    words = [str(word) for choice in choices if get_origin(choice) is Literal for word in get_args(choice)]
    expected = words + [f"{{{', '.join(_names(c))}}}" for c in choices if _is_model(c)]
    expected += [
        _type_word(choice) for choice in choices if not _is_model(choice) and get_origin(choice) is not Literal
    ]
    what = f"a mapping with {', '.join(map(str, found)) or 'nothing'}" if isinstance(found, dict) else None
    return f"expected {' or '.join(expected)}, found {what or _value(found)}{nearest(str(found), words)}"


def _type_word(annotation: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "text", bool: "true/false", tuple: "a list", list: "a list"}
    return words.get(get_origin(annotation) or annotation, str(annotation))


def _value(found: Any) -> str:
    return repr(found) if isinstance(found, str | int | float) else type_name(found)


def _shown(found: Any) -> str:
    return "" if isinstance(found, dict) else f", found {_value(found)[:60]}"


def _literal_hint(problem: Any, found: object) -> str:
    expected = str(problem.get("ctx", {}).get("expected", ""))
    words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
    return nearest(str(found), words) if expected else ""
