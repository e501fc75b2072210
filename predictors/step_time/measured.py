"""The step-time surface of a running engine's profile: its fitted step model, tabulated over the engine's limits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from predictors.serving.surface import StepSurface
from predictors.step_time.error import VERSION_ERROR
from specs.deployment import DeploymentSpec
from specs.device import DeviceSpec
from specs.engine import EngineProfileSpec, StepModel
from specs.errors import InputError
from specs.model import ModelSpec
from specs.plan import Evidence

FloatArray = npt.NDArray[np.float64]
LONGEST_PAST = 2.0**20  # tokens; the tables are exact between their ends, so that a far one costs nothing
FINEST_CHUNKS = 65  # points of the chunk grid: the attention of a chunk is quadratic in it


def measured_surface(model: StepModel, *, max_num_seqs: int, max_num_batched_tokens: int) -> StepSurface:
    """Return the surface of ``model`` in seconds; the host's time is part of every term. [ours]"""
    tokens = np.arange(max_num_batched_tokens + 1, dtype=np.float64)
    sequences = np.arange(max_num_seqs + 1, dtype=np.float64)
    batch, context = np.array([1.0, max(2.0, float(max_num_seqs))]), np.array([1.0, LONGEST_PAST])
    chunk = np.unique(np.round(np.geomspace(1, max(2, max_num_batched_tokens), FINEST_CHUNKS)))
    past = np.array([0.0, LONGEST_PAST])
    pairs = chunk[:, None] * (past[None, :] + chunk[:, None] / 2)
    return StepSurface(
        tokens_s=np.where(tokens > 0, model.base_s, 0.0) + _curve(model, tokens),
        sequences_s=model.per_sequence_s * sequences,
        host_s=np.zeros(max_num_seqs + 1),
        decode_batch_grid=batch,
        decode_context_grid=context,
        decode_attention_s=model.per_context_token_s * batch[:, None] * context[None, :],
        prefill_chunk_grid=chunk,
        prefill_context_grid=past,
        prefill_attention_s=model.per_prompt_s + model.per_attended_pair_s * pairs,
    )


def _curve(model: StepModel, tokens: FloatArray) -> FloatArray:
    """Linear between the model's points, and beyond the last along the last slope."""
    grid, seconds = np.array(model.tokens), np.array(model.tokens_s)
    slope = (seconds[-1] - seconds[-2]) / (grid[-1] - grid[-2])
    inside: FloatArray = np.interp(tokens, grid, seconds) + slope * np.maximum(0.0, tokens - grid[-1])
    return inside


def measured_error(profile: EngineProfileSpec, deployment: DeploymentSpec) -> float:
    """Half-width of the 90 % interval of a step: the fit's own, wider for another engine or minor version."""
    engine, version = deployment.engine.name, deployment.engine.version
    measured = (profile.engine_version or version).split(".")[:2]
    same = profile.engine == engine and measured == version.split(".")[:2]
    return profile.fit.error if same else float(np.hypot(profile.fit.error, VERSION_ERROR))


def measured_evidence(profile: EngineProfileSpec, deployment: DeploymentSpec, error: float) -> tuple[Evidence, ...]:
    """Return what the whole step rests on, and the KV cache where the engine told its size."""
    engine = deployment.engine
    under = f"{profile.engine} {profile.engine_version or ''}".strip()
    other = (profile.engine, profile.engine_version or engine.version) != (engine.name, engine.version)
    note = f"measured under {under}, deployed is {engine.name} {engine.version}" if other else None
    entries = [
        Evidence(quantity="step_time", basis="measured", source=profile.source, error=round(error, 3), note=note)
    ]
    if profile.server.kv_cache_tokens:
        entries.append(Evidence(quantity="kv_cache", basis="measured", source=profile.source))
    return tuple(entries)


def refuse_other(profile: EngineProfileSpec, model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec) -> None:
    """Raise `InputError` where the profile is of another model, device, parallelism or weights."""
    wanted = {"model": model.name, "device": device.name, "parallel": deployment.parallel}
    found = {"model": profile.model, "device": profile.device or device.name, "parallel": profile.parallel}
    weights = deployment.precision.weights or model.weights_precision
    wanted["weights"], found["weights"] = weights, profile.weights or weights
    for name, value in wanted.items():
        if found[name] != value:
            raise InputError(
                f"engine profile: {name} is {found[name]}, the deployment has {value}",
                cure="Whole steps hold for what ran alone: profile an engine that runs this, or leave `profile` out.",
            )
    if deployment.roles != "mixed":
        raise InputError(
            "engine profile: it is of a mixed engine, the deployment has roles", cure="Leave `profile` out."
        )


def measured_range(profile: EngineProfileSpec, deployment: DeploymentSpec) -> tuple[str, ...]:
    """Say where the engine's limits go beyond what the profile has seen."""
    seen, engine = profile.range, deployment.engine
    notes = []
    if engine.max_num_batched_tokens > seen.tokens:
        notes.append(f"steps above {seen.tokens} tokens go on along the last measured slope")
    if engine.max_num_seqs > seen.sequences:
        notes.append(f"batches above {seen.sequences} sequences were not seen by the engine profile")
    return tuple(notes)
