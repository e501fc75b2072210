"""Finds the layer profile of a model in a folder: profiles written before, or kernel tables of a known form."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from profilers.importers import aiconfigurator, llmservingsim, vidur
from specs.base import Precision
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import LayerProfile, LayerProfileSpec
from specs.reading import read_document, read_documents

Finder = Callable[[ModelSpec, str, str, Precision, Precision], LayerProfileSpec | None]


def evidence_in(folder: Path, device: DeviceSpec) -> Finder:
    """Return a function from (model, engine, engine version, weights, KV type) to the profile in ``folder``.

    A LayerProfile document comes first (that of the engine version, else another), then AIConfigurator's,
    LLMServingSim's and Vidur's tables; None where there is none. Raises `InputError` where ``folder`` is no folder or
    holds neither.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder of evidence", cure="Name a folder of tables or layer profiles.")
    documents = _documents(folder)
    if not documents and not any(folder.rglob("*.parquet")) and not any(folder.rglob("*.csv*")):
        raise InputError(
            f"{folder}: holds neither layer profiles nor tables", cure="See `tonnage profile import --help`."
        )

    @lru_cache(maxsize=64)
    def find(name: str, engine: str, version: str, weights: Precision, kv_cache: Precision) -> LayerProfileSpec | None:
        model = models[name]
        fitting = [
            one for one in documents
            if (one.model, one.device, one.engine, one.weights) == (name, device.name, engine, weights)
        ]  # fmt: skip
        if fitting:
            return min(fitting, key=lambda one: one.engine_version != version)
        return _from_tables(folder, device, model, engine, weights, kv_cache)

    models: dict[str, ModelSpec] = {}

    def of(
        model: ModelSpec, engine: str, version: str, weights: Precision, kv_cache: Precision
    ) -> LayerProfileSpec | None:
        models[model.name] = model
        return find(model.name, engine, version, weights, kv_cache)

    return of


def _documents(folder: Path) -> list[LayerProfileSpec]:
    paths = sorted(path for ending in ("*.yaml", "*.yml") for path in folder.glob(ending))
    profiles = [path for path in paths if any(data.get("kind") == "LayerProfile" for data, _ in read_documents(path))]
    return [read_document(path, LayerProfile).spec for path in profiles]


def _from_tables(
    folder: Path, device: DeviceSpec, model: ModelSpec, engine: str, weights: Precision, kv_cache: Precision
) -> LayerProfileSpec | None:
    """The first form whose tables hold this model on this device; the others refuse, which here means they lack it."""
    kernel: list[Callable[[], LayerProfileSpec]] = [
        lambda: aiconfigurator.read(
            [folder], device=device, model=model, engine=engine, weights=weights, kv_cache=kv_cache
        )
    ]
    if engine == "vllm":
        kernel += [
            lambda: llmservingsim.read([folder], device=device, model=model),
            lambda: vidur.read([folder], device=device, model=model),
        ]
    for read in kernel:
        try:
            found = read()
        except InputError:
            continue
        if found.weights == weights:
            return found
    return None
