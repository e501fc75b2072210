"""Chooses the evidence of a deployment's step time, compiles the surface and states how wrong it may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from predictors.serving.surface import StepSurface
from predictors.step_time import measured, roofline
from predictors.step_time.anchored import anchors_of
from predictors.step_time.compose import Tally, compile_surface, token_seconds
from predictors.step_time.error import profile_error, roofline_error
from predictors.step_time.host import GRAPH_GAP_S, HostTime, host_time
from predictors.step_time.operators import StepOperators, step_operators
from predictors.step_time.sources import Datasheet, Profiled, Roofline, Source
from predictors.step_time.tables import ProfileTables
from specs.deployment import DeploymentSpec, Parallel, Roles
from specs.device import DeviceSpec
from specs.engine import EngineProfileSpec, StepEvidence
from specs.errors import InputError, MissingHardwareError
from specs.host import HostProfileSpec
from specs.model import ModelSpec
from specs.plan import Evidence
from specs.profile import Basis, LayerProfileSpec

FloatArray = npt.NDArray[np.float64]
RoleName = Literal["mixed", "prefill", "decode"]
OperatorEvidence = LayerProfileSpec | HostProfileSpec
Tier = Literal["measured", "database", "calibrated", "datasheet"]
STRENGTH: tuple[Basis, ...] = ("measured", "database", "calibrated", "datasheet", "assumed")


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """A compiled surface (seconds) with its evidence.

    ``relative_error``: half-width of the 90 % interval of a step time, as a ratio, out of fold. ``tier``: the
    weakest evidence that carries more than a tenth of the step. ``range_notes``: where the surface goes beyond
    what was measured.
    """

    surface: StepSurface
    relative_error: float
    evidence: tuple[Evidence, ...]
    tier: Tier
    range_notes: tuple[str, ...] = ()


def step_time(
    model: ModelSpec,
    device: DeviceSpec,
    deployment: DeploymentSpec,
    *,
    profile: StepEvidence | None = None,
    role: RoleName = "mixed",
    require: Basis | None = None,
    host: HostTime | None = None,
) -> StepTime:
    """Compile the step-time surface of one replica of ``deployment`` in ``role``.

    ``profile``: a running engine's whole steps, operator tables of this model on this device, or two measured rates of
    the device that the roofline then stands on (else the best evidence at hand). Operators and TP degrees the tables
    lack fall to the calibrated roofline, and the evidence says so. ``require``: the weakest basis that is accepted.
    ``host`` replaces the catalogue's host time.
    Raises InputError for a profile of another model or device or a parallelism the model cannot take,
    MissingHardwareError where ``require`` cannot be met.
    """
    if isinstance(profile, EngineProfileSpec):
        return _of_engine(profile, model, device, deployment)
    parts = _parts(model, device, deployment, profile, role, host)
    draft = deployment.speculative.draft_tokens if deployment.speculative else 0
    surface, tally = compile_surface(
        model, parts.operators, parts.sources, deployment.engine, parts.host, saved_s=parts.saved_s, draft_tokens=draft
    )
    tables, host, parallel = parts.tables, parts.host, _parallel(deployment, role)
    anchored = profile if isinstance(profile, HostProfileSpec) else None
    evidence, error, tier = _judge(parts.last, deployment, tally, tables, host, anchored)
    _refuse_weaker(tier, require, model, device)
    notes = _range_notes(tables, deployment, parallel)
    return StepTime(surface=surface, relative_error=error, evidence=evidence, tier=tier, range_notes=notes)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a step is added up from."""

    operators: StepOperators
    sources: list[Source]
    last: Roofline
    tables: ProfileTables | None
    host: HostTime
    saved_s: float


def _parts(
    model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, profile: OperatorEvidence | None, role: RoleName,
    host: HostTime | None,
) -> _Parts:  # fmt: skip
    parallel = _parallel(deployment, role)
    weights = deployment.precision.weights or model.weights_precision
    operators = step_operators(
        model, parallel, weights, deployment.precision.activations, deployment.precision.kv_cache
    )
    layers = profile if isinstance(profile, LayerProfileSpec) else None
    last = roofline_of(device, deployment.engine.name, profile)
    sources, tables = sources_of(model, last, parallel, layers)
    host = host or host_time(deployment.engine.name, deployment.engine.version)
    saved_s = saved_s_of(host, model, weights, layers, operators)
    return _Parts(operators=operators, sources=sources, last=last, tables=tables, host=host, saved_s=saved_s)


def experts_family(
    model: ModelSpec,
    device: DeviceSpec,
    deployment: DeploymentSpec,
    shares: Sequence[Callable[[FloatArray], FloatArray]],
    *,
    profile: OperatorEvidence | None = None,
) -> tuple[FloatArray, ...]:
    """Return `StepSurface.tokens_s` of a mixed replica for each of ``shares``: from scheduled tokens to what of the
    routed experts' time is left. A share of 1 gives the surface's own.
    """
    parts, engine = _parts(model, device, deployment, profile, "mixed", None), deployment.engine
    draft = deployment.speculative.draft_tokens if deployment.speculative else 0
    largest = engine.max_num_batched_tokens + engine.max_num_seqs * (1 + draft)
    return tuple(
        token_seconds(
            parts.operators, parts.sources, engine, parts.saved_s, largest, Tally(), experts_share=share
        )
        for share in shares
    )  # fmt: skip


def _of_engine(
    profile: EngineProfileSpec, model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec
) -> StepTime:
    measured.refuse_other(profile, model, device, deployment)
    engine, error = deployment.engine, measured.measured_error(profile, deployment)
    limits = {"max_num_seqs": engine.max_num_seqs, "max_num_batched_tokens": engine.max_num_batched_tokens}
    return StepTime(
        surface=measured.measured_surface(profile.steps, **limits),
        relative_error=error,
        evidence=measured.measured_evidence(profile, deployment, error),
        tier="measured",
        range_notes=measured.measured_range(profile, deployment),
    )


def datasheet_step_time(model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec) -> StepTime:
    """The step time of a mixed replica from peak rates alone, without host time: a floor that no engine reaches."""
    weights = deployment.precision.weights or model.weights_precision
    operators = step_operators(model, deployment.parallel, weights)
    nothing = HostTime(base_s=0.0, per_sequence_s=0.0)
    surface, _ = compile_surface(model, operators, [Datasheet(device)], deployment.engine, nothing)
    sheet = Evidence(quantity="step_time", basis="datasheet", source=f"peak rates of {device.name}")
    return StepTime(surface=surface, relative_error=roofline_error("datasheet"), evidence=(sheet,), tier="datasheet")


def available_evidence(
    model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, *, profile: StepEvidence | None = None
) -> tuple[Tier, ...]:
    """The tiers at hand for this model on this device, strongest first."""
    tiers: list[Tier] = []
    if profile is not None and not isinstance(profile, HostProfileSpec):
        tables = isinstance(profile, LayerProfileSpec) and profile.basis != "measured"
        tiers.append("database" if tables else "measured")
    tiers.append("calibrated" if device.accuracy_claim else "datasheet")
    return tuple(tiers)


def saved_s_of(
    host: HostTime, model: ModelSpec, weights: str, profile: LayerProfileSpec | None, operators: StepOperators
) -> float:
    """What a step's kernels take less (or, negative, more) than the sum of their tables.

    Operators timed alone hold launches that fusion and graph replay spare; bare kernel durations lack the gaps.
    """
    if profile is None:
        return 0.0
    if profile.timing == "kernels":
        return -operators.kernels * GRAPH_GAP_S
    if profile.basis != "database":
        return 0.0
    quantised = host.saved_us_per_quantised_layer if weights in ("fp8", "int8") else 0.0
    return (host.saved_us_per_layer + quantised) * 1e-6 * model.layers


def _parallel(deployment: DeploymentSpec, role: RoleName) -> Parallel:
    if role == "mixed":
        return deployment.parallel
    if not isinstance(deployment.roles, Roles):
        raise InputError(f"roles: the deployment is mixed, it has no {role} role")
    return (deployment.roles.prefill if role == "prefill" else deployment.roles.decode).parallel


def roofline_of(device: DeviceSpec, engine: str, profile: StepEvidence | None = None) -> Roofline:
    """The roofline of ``device``, over two measured rates where ``profile`` is of a host that has them."""
    anchored = profile if isinstance(profile, HostProfileSpec) else None
    return Roofline(
        device, kernels="cutlass" if engine == "trtllm" else "triton",
        anchors=anchors_of(anchored, device) if anchored else None,
    )  # fmt: skip


def sources_of(
    model: ModelSpec, last: Roofline, parallel: Parallel, profile: LayerProfileSpec | None
) -> tuple[list[Source], ProfileTables | None]:
    """Where each operator's time is looked for, in order, the roofline ``last``; and the profile's tables."""
    device = last.device
    if profile is None:
        return [last], None
    if profile.model != model.name or profile.device != device.name:
        raise InputError(
            f"layer profile is of {profile.model} on {profile.device}, the deployment is {model.name} on {device.name}",
            cure="Name the profile of this model and device, or leave `profile` out.",
        )
    tables = _tables(_Held(profile))
    return [Profiled(tables, parallel.tp, parallel.ep), last], tables


class _Held:
    """A profile as a cache key, by identity: comparing thousands of points would cost more than it saves."""

    def __init__(self, profile: LayerProfileSpec) -> None:
        self.profile = profile

    def __hash__(self) -> int:
        return id(self.profile)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.profile is self.profile


@lru_cache(maxsize=16)
def _tables(held: _Held) -> ProfileTables:
    return ProfileTables(held.profile)


def _judge(
    last: Roofline,
    deployment: DeploymentSpec,
    tally: Tally,
    tables: ProfileTables | None,
    host: HostTime,
    anchored: HostProfileSpec | None,
) -> tuple[tuple[Evidence, ...], float, Tier]:
    bare = _roofline_tier(last)
    bare_error = roofline_error(bare)
    modelled = Evidence(
        quantity="step_time", basis=bare, error=round(bare_error, 3), source=_roofline_source(last, anchored)
    )
    entries: list[Evidence] = []
    error, tier = bare_error, bare
    if tables is not None:
        share = tally.share(0)
        own = profile_error(tables.profile, deployment.engine.name, deployment.engine.version)
        error = share * own + (1 - share) * bare_error
        entries.append(_profile_evidence(tables.profile, own, share, deployment))
        if share > 0.9:
            tier = "measured" if tables.profile.basis == "measured" else "database"
    if tables is None or tally.share(0) < 1:
        entries.append(modelled)
    entries.append(_host_evidence(host, deployment))
    return tuple(entries), error, tier


def _roofline_tier(last: Roofline) -> Tier:
    """Measured rates make a GPU that no fit has seen as sure as one that was; nothing was fitted on CPUs."""
    known = last.device.accuracy_claim or (last.anchors is not None and last.device.architecture != "cpu")
    return "calibrated" if known else "datasheet"


def _roofline_source(last: Roofline, anchored: HostProfileSpec | None) -> str:
    kernels = ", ".join(sorted(roofline.coefficients().relative_error))
    under = f"the datasheet of {last.device.name}"
    if last.anchors is not None and anchored is not None:
        when = f", {anchored.machine.date}" if anchored.machine.date else ""
        rates = f"{last.anchors.tflops:.4g} TFLOP/s at 16 bits, {last.anchors.gb_per_s:.4g} GB/s"
        under = f"two measured rates of {last.device.name} ({rates}{when})"
    return f"roofline over {under} ({kernels})"


def _profile_evidence(profile: LayerProfileSpec, error: float, share: float, deployment: DeploymentSpec) -> Evidence:
    engine = deployment.engine
    notes = [f"{share:.0%} of a step rests on it"] if share < 0.995 else []
    if (profile.engine, profile.engine_version) != (engine.name, engine.version):
        notes.append(
            f"measured under {profile.engine} {profile.engine_version}, deployed is {engine.name} {engine.version}"
        )
    return Evidence(
        quantity="step_time", basis=profile.basis, source=profile.source, error=round(error, 3),
        note="; ".join(notes) or None,
    )  # fmt: skip


def _host_evidence(host: HostTime, deployment: DeploymentSpec) -> Evidence:
    note = None if host.exact else f"carried over to {deployment.engine.name} {deployment.engine.version}"
    return Evidence(quantity="host_time", basis="calibrated", source=host.source, note=note)


def _refuse_weaker(tier: Tier, require: Basis | None, model: ModelSpec, device: DeviceSpec) -> None:
    if require is not None and STRENGTH.index(tier) > STRENGTH.index(require):
        raise MissingHardwareError(
            f"step time of {model.name} on {device.name} is {tier}, {require} is required",
            cure=f"Measure it (`tonnage profile layers {model.name}` on one {device.name}), or import its tables "
            "(`tonnage profile import`).",
        )


def _range_notes(tables: ProfileTables | None, deployment: DeploymentSpec, parallel: Parallel) -> tuple[str, ...]:
    if tables is None:
        return ()
    notes: list[str] = []
    if parallel.tp not in tables.degrees:
        notes.append(f"tp {parallel.tp} was not measured (profile has {', '.join(map(str, tables.degrees))})")
    most = tables.extent("qkv_proj", parallel.tp)
    if most is not None and deployment.engine.max_num_batched_tokens > most:
        notes.append(f"steps above {most:.0f} tokens go on along the last measured slope")
    return tuple(notes)


__all__ = ["StepOperators", "StepTime", "available_evidence", "datasheet_step_time", "experts_family", "step_time"]
