"""How documents are read from YAML: every error names file, line, field, what was found and the nearest spelling."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from specs.base import API_VERSION, Document
from specs.errors import InputError

MAX_DOCUMENT_BYTES = 64 * 2**20  # a LayerProfile of every operator stays below 10 MiB
MAX_NODES = 4_000_000  # an expanded document larger than this is a mistake or an attack
D = TypeVar("D", bound=Document)
Lines = dict[tuple[str | int, ...], int]


def read_document(path: str | Path, kind: type[D]) -> D:
    """Read the one document of ``kind`` in the YAML file ``path``.

    Raises `InputError` for a file that cannot be read, is not that kind, or breaks its contract.
    """
    found = [doc for doc in read_documents(path) if doc[0].get("kind") == kind.model_fields["kind"].default]
    if not found:
        raise _wrong_kind(Path(path), kind)
    if len(found) > 1:
        name = kind.model_fields["kind"].default
        raise InputError(f"{path}: holds {len(found)} documents of kind {name}", cure="Keep one per file.")
    return validate(found[0][0], kind, Path(path), found[0][1])


def validate(data: dict[str, Any], kind: type[D], path: Path, lines: Lines) -> D:
    """Check ``data`` against ``kind``; ``lines`` maps field paths to line numbers for the message."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise InputError(_explain(error, kind, path, lines)) from None


def read_documents(path: str | Path) -> list[tuple[dict[str, Any], Lines]]:
    """Return each mapping in the YAML file with the line number of each of its fields."""
    path = Path(path)
    text = read_text(path)
    documents: list[tuple[dict[str, Any], Lines]] = []
    try:
        for node in yaml.compose_all(text, Loader=yaml.CSafeLoader):
            _refuse_bomb(node, path)
            lines: Lines = {}
            data = _construct(node, (), lines, path)
            if not isinstance(data, dict):
                raise InputError(f"{path}:{node.start_mark.line + 1}: expected a mapping, found {_type_name(data)}")
            documents.append((data, lines))
    except yaml.YAMLError as error:
        raise InputError(_yaml_message(path, error), cure="Check indentation, quotes and brackets there.") from None
    return documents


def read_text(path: Path) -> str:
    """Read a UTF-8 text file within the size limit; raises `InputError` naming why it cannot be read."""
    if not path.exists():
        raise InputError(f"{path}: no such file", cure=_nearby_files(path))
    if path.is_dir():
        raise InputError(f"{path}: is a directory, a file was expected")
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise InputError(
                f"{path}: {path.stat().st_size / 2**20:.0f} MiB, documents end at {MAX_DOCUMENT_BYTES >> 20} MiB"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start})", cure="Save the file as UTF-8 text.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def sha256(path: str | Path) -> str:
    """Return `sha256:…` of the file's bytes, as plans record their inputs."""
    with Path(path).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def nearest(word: str, words: list[str]) -> str:
    """Return " (did you mean 'x'?)" for the closest of ``words``, or nothing where none is close."""
    close = difflib.get_close_matches(str(word), words, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _nearby_files(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError:
        names = []
    hint = nearest(path.name, names)
    return f"Check the path{hint}."


def _wrong_kind(path: Path, kind: type[Document]) -> InputError:
    wanted = str(kind.model_fields["kind"].default)
    kinds = [(doc.get("kind"), lines.get(("kind",), 1)) for doc, lines in read_documents(path)]
    if not kinds:
        return InputError(
            f"{path}: empty; a document of kind {wanted} was expected", cure="`tonnage init serving` writes examples."
        )
    found, line = kinds[0]
    if found is None:
        cure = f"Add `apiVersion: {API_VERSION}` and `kind: {wanted}`."
        return InputError(f"{path}:{line}: kind: missing; {wanted} was expected", cure=cure)
    return InputError(f"{path}:{line}: kind: found {found!r}, expected {wanted}{nearest(str(found), [wanted])}")


def _refuse_bomb(root: yaml.Node, path: Path) -> None:
    """Count the nodes that aliases would expand to, without expanding them."""
    sizes: dict[int, int] = {}
    active: set[int] = set()

    def size(node: yaml.Node) -> int:
        key = id(node)
        if key in active:
            raise InputError(f"{path}:{node.start_mark.line + 1}: an alias refers to itself")
        if key not in sizes:
            active.add(key)
            sizes[key] = 1 + sum(size(child) for child in _children(node))
            active.discard(key)
        return sizes[key]

    try:
        total = size(root)
    except RecursionError:
        raise InputError(f"{path}: nested too deeply to be a document") from None
    if total > MAX_NODES:
        raise InputError(
            f"{path}: expands to {total:,} values, more than {MAX_NODES:,}", cure="Remove the nested aliases."
        )


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


_CONSTRUCT = yaml.SafeLoader("")


def _construct(node: yaml.Node, at: tuple[str | int, ...], lines: Lines, path: Path) -> Any:
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, lines, path)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(child, (*at, i), lines, path) for i, child in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:timestamp":
        return node.value  # dates stay text: documents are JSON-like
    try:
        return _CONSTRUCT.construct_object(node)
    except ValueError as error:
        raise InputError(f"{path}:{lines[at]}: {_dotted(at)}: {error}") from None


def _mapping(node: yaml.MappingNode, at: tuple[str | int, ...], lines: Lines, path: Path) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in data:
            raise InputError(f"{path}:{line}: {_dotted((*at, key))}: given twice", cure="Keep one of the two lines.")
        data[key] = _construct(value_node, (*at, key), lines, path)
        lines[(*at, key)] = line
    return data


def _yaml_message(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {problem}"


def _dotted(at: tuple[str | int, ...]) -> str:
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or "document"


def _type_name(value: object) -> str:
    return {dict: "a mapping", list: "a list", str: "text", int: "a number", float: "a number", bool: "true/false", type(None): "nothing"}.get(
        type(value), type(value).__name__
    )  # fmt: skip


def _explain(error: ValidationError, kind: type[BaseModel], path: Path, lines: Lines) -> str:
    problems = _distinct(error)
    shown = [_explain_one(problem, kind, path, lines) for problem in problems[:5]]
    if len(problems) > 5:
        shown.append(f"… and {len(problems) - 5} more")
    return "\n".join(shown)


def _distinct(error: ValidationError) -> list[Any]:
    """Drop the branches of a union that a better-matching branch already explains."""
    problems = error.errors(include_url=False)
    unknown_keys = [p for p in problems if p["type"] == "extra_forbidden"]
    if len(problems) > 1 and unknown_keys and any(_union_parts(p["loc"]) for p in problems):
        depth = max(len(p["loc"]) for p in problems)
        deepest = [p for p in problems if len(p["loc"]) == depth]
        return deepest if deepest else problems
    return list(problems)


def _union_parts(loc: tuple[str | int, ...]) -> bool:
    return any(isinstance(part, str) and part[:1].isupper() for part in loc)


def _explain_one(problem: Any, kind: type[BaseModel], path: Path, lines: Lines) -> str:
    loc = tuple(
        part for part in problem["loc"] if not (isinstance(part, str) and (part[:1].isupper() or "literal[" in part))
    )
    line = next((lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in lines), 1)
    field = _dotted(loc)
    if problem["type"] == "extra_forbidden":
        siblings = _fields_at(kind, problem["loc"][:-1])
        return f"{path}:{line}: {field}: unknown field{nearest(str(loc[-1]), siblings)}; known: {', '.join(siblings) or 'none'}"
    if problem["type"] == "missing":
        return f"{path}:{line}: {field}: missing"
    found = problem["input"]
    shown = f", found {found!r}" if isinstance(found, str | int | float | bool) or found is None else ""
    hint = _literal_hint(problem, found)
    return f"{path}:{line}: {field}: {problem['msg'].removeprefix('Value error, ')}{shown}{hint}"


def _literal_hint(problem: Any, found: object) -> str:
    expected = str(problem.get("ctx", {}).get("expected", ""))
    return (
        nearest(str(found), [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")])
        if expected
        else ""
    )


def _fields_at(kind: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """Names of the fields that the model at ``loc`` has, following annotations and union branch names."""
    models: list[type[BaseModel]] = [kind]
    for part in loc:
        models = [m for model in models for m in _step(model, part)]
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def _step(model: type[BaseModel], part: str | int) -> list[type[BaseModel]]:
    if isinstance(part, int) or part == model.__name__:
        return [model]
    for name, field in model.model_fields.items():
        if part in (name, field.alias):
            return _models_in(field.annotation)
    return []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in get_args(annotation) for model in _models_in(arg)]
