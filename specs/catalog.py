"""Looks devices and models up: by catalogue name, by the path of a document, or by a Hugging Face config.json."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from specs.device import Device, DeviceSpec
from specs.errors import InputError
from specs.model import Model, ModelSpec
from specs.reading import nearest, read_document

CATALOG = Path(__file__).resolve().parent.parent / "catalog"


@cache
def device_names() -> tuple[str, ...]:
    """Names of the catalogue's devices, sorted."""
    return tuple(sorted(path.stem for path in (CATALOG / "devices").glob("*.yaml")))


@cache
def model_names() -> tuple[str, ...]:
    """Names of the catalogue's models, sorted."""
    return tuple(sorted(path.stem for path in (CATALOG / "models").glob("*.yaml")))


@cache
def find_device(name: str, base: Path = Path()) -> DeviceSpec:
    """Return the device called ``name`` (or an alias of it), or the Device document at that path below ``base``."""
    if name.lower() in device_names():
        return read_document(CATALOG / "devices" / f"{name.lower()}.yaml", Device).spec
    if _is_path(name):
        return read_document(base / name, Device).spec
    for known in device_names():
        spec = read_document(CATALOG / "devices" / f"{known}.yaml", Device).spec
        if name.lower() in (alias.lower() for alias in spec.aliases):
            return spec
    known_names = list(device_names())
    cure = f"Known devices: {', '.join(known_names)}; or give the path of a Device document."
    raise InputError(f"device {name!r} is not in the catalogue{nearest(name, known_names)}", cure=cure)


def reported_device(reported: str) -> str:
    """Return the catalogue's name of a GPU as its driver reports it, else that name in the catalogue's spelling."""
    spelt = reported.lower().removeprefix("nvidia ").replace(" ", "-")
    for name in (reported, spelt):
        try:
            return find_device(name).name
        except InputError:
            continue
    return spelt


@cache
def find_model(name: str, base: Path = Path()) -> ModelSpec:
    """Return the model called ``name`` (or published under that id), or the one described by a local file.

    A path may be a Model document (YAML), a Hugging Face config.json, or a folder that holds one.
    Nothing is downloaded.
    """
    if name.lower() in model_names():
        return read_document(CATALOG / "models" / f"{name.lower()}.yaml", Model).spec
    if _is_path(name) and (base / name).exists():
        return _from_path(base / name)
    alias = _model_aliases().get(name.lower())
    if alias:
        return find_model(alias)
    cure = "`tonnage catalog models` lists them; or give the path of a local config.json or Model document."
    raise InputError(f"model {name!r} is not in the catalogue{nearest(name, list(model_names()))}", cure=cure)


@cache
def _model_aliases() -> dict[str, str]:
    aliases: dict[str, str] = {}
    for known in model_names():
        spec = read_document(CATALOG / "models" / f"{known}.yaml", Model).spec
        aliases.update({alias.lower(): known for alias in spec.aliases})
    return aliases


def _from_path(path: Path) -> ModelSpec:
    from specs.huggingface import read_config

    if path.is_dir():
        path = path / "config.json"
    return read_config(path) if path.suffix == ".json" else read_document(path, Model).spec


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml", ".json")) or name.startswith((".", "/", "~")) or Path(name).is_dir()
