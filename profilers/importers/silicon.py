"""Reads the kernel tables of an installed aiconfigurator-core (extra `silicon`), and nothing else of it."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from specs.base import Precision
from specs.deployment import DeploymentSpec
from specs.device import DeviceSpec
from specs.errors import InputError, MissingHardwareError
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec

PACKAGE = "aiconfigurator_core"


def is_installed() -> bool:
    """Whether the package is there; it is not imported, only its tables are read."""
    return importlib.util.find_spec(PACKAGE) is not None


def systems_folder() -> Path:
    """Folder of the tables, one folder per GPU system; raises MissingHardwareError where the package is absent."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingHardwareError(
            "the kernel tables of aiconfigurator-core are not installed", cure="Run `pip install 'tonnage[silicon]'`."
        )
    return Path(next(iter(found.submodule_search_locations))) / "systems" / "data"


def profile_for(model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec) -> LayerProfileSpec | None:
    """The installed tables' profile for a deployment's engine and precision; None where there is none."""
    precision = deployment.precision
    return installed_profile(
        model, device, engine=deployment.engine.name, weights=precision.weights, kv_cache=precision.kv_cache
    )


def installed_profile(
    model: ModelSpec,
    device: DeviceSpec,
    *,
    engine: str = "vllm",
    weights: Precision | None = None,
    kv_cache: Precision = "bf16",
) -> LayerProfileSpec | None:
    """The profile of ``model`` on ``device`` from the installed tables; None where they are absent or lack either."""
    if not is_installed():
        return None
    return profile_in(systems_folder(), model, device, engine=engine, weights=weights, kv_cache=kv_cache)


def profile_in(
    folder: Path,
    model: ModelSpec,
    device: DeviceSpec,
    *,
    engine: str = "vllm",
    weights: Precision | None = None,
    kv_cache: Precision = "bf16",
) -> LayerProfileSpec | None:
    """As `installed_profile`, from the systems folder of a copy of the package."""
    from profilers.importers.frames import names_device

    systems = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    system = next((path for path in systems if names_device(path.name, device)), None)
    if system is None:
        return None
    key = (str(system), engine, weights or model.weights_precision, kv_cache)
    _MODELS[model.name], _DEVICES[device.name] = model, device
    return _profile(key, model.name, device.name)


_MODELS: dict[str, ModelSpec] = {}
_DEVICES: dict[str, DeviceSpec] = {}


@lru_cache(maxsize=64)
def _profile(key: tuple[str, str, Precision, Precision], model: str, device: str) -> LayerProfileSpec | None:
    from profilers.importers import aiconfigurator

    system, engine, weights, kv_cache = key
    try:
        return aiconfigurator.read(
            [Path(system)], device=_DEVICES[device], model=_MODELS[model], engine=engine, weights=weights,
            kv_cache=kv_cache,
        )  # fmt: skip
    except InputError:  # the tables of this system lack the engine or the precision, which is no fault of the user's
        return None
