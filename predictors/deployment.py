"""Predicts one deployment under given requests: memory, step time and the engine model put together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from predictors.holes import refuse_holes
from predictors.memory import MemoryLedger, kv_bytes_per_token, ledger
from predictors.serving import (
    ClosedLoop,
    Control,
    EngineLimits,
    Patience,
    Pool,
    Requests,
    Run,
    Speculative,
    StepSurface,
    Transfer,
    scaled_surface,
    simulate,
)
from predictors.serving.measures import Measures, measure
from predictors.step_time import StepTime, step_time
from predictors.step_time.estimate import RoleName
from predictors.workload import check_lengths
from specs.deployment import DeploymentSpec, Role, Roles
from specs.device import DeviceSpec
from specs.engine import EngineProfileSpec, StepEvidence
from specs.errors import InfeasibleError
from specs.model import ModelSpec
from specs.plan import Evidence
from specs.profile import Basis
from specs.trace import FloatArray

GIB = 2**30
KV_BYTES_PER_S = 1e9


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a deployment would do, and what that rests on; one ledger and step time per role (prefill before decode)."""

    measures: Measures
    run: Run
    ledgers: tuple[MemoryLedger, ...]
    step_times: tuple[StepTime, ...]
    evidence: tuple[Evidence, ...]

    @property
    def relative_error(self) -> float:
        """Half-width of the 90 % interval of a step time, of the role that is known worst."""
        return max(one.relative_error for one in self.step_times)


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A deployment ready to be simulated under any requests."""

    deployment: DeploymentSpec
    pools: tuple[Pool, ...]
    transfer: Transfer
    ledgers: tuple[MemoryLedger, ...]
    step_times: tuple[StepTime, ...]
    limit: str
    request_overhead_s: float = 0.0
    """What a request takes before it reaches the engine's queue, where that was measured."""


def predict_serving(
    model: ModelSpec,
    device: DeviceSpec,
    deployment: DeploymentSpec,
    requests: Requests,
    bounds: FloatArray | None = None,
    *,
    profile: StepEvidence | None = None,
    closed_loop: ClosedLoop | None = None,
    require: Basis | None = None,
    time_factor: float = 1.0,
    warmup_s: float = 0.0,
    seed: int = 0,
) -> Prediction:
    """Serve ``requests`` on ``deployment`` and return what comes out.

    ``bounds`` [classes, 4]: TTFT, TPOT, end-to-end and longest gap of each request in seconds, see `bounds_of`.
    ``time_factor`` multiplies every step time, for the ends of an interval. Raises `InputError` for requests longer
    than the engine takes, `InfeasibleError` where the model or a request does not fit.
    """
    compiled = compile_deployment(model, device, deployment, profile=profile, require=require)
    run = serve(compiled, requests, closed_loop=closed_loop, time_factor=time_factor, seed=seed)
    measures = measure(run, bounds, prompt_tokens=requests.prompt_tokens, warmup_s=warmup_s, seed=seed)
    return Prediction(
        measures=measures,
        run=run,
        ledgers=compiled.ledgers,
        step_times=compiled.step_times,
        evidence=evidence_of(compiled),
    )


def compile_deployment(
    model: ModelSpec,
    device: DeviceSpec,
    deployment: DeploymentSpec,
    *,
    profile: StepEvidence | None = None,
    require: Basis | None = None,
) -> Compiled:
    """Return memory, step times and pools of ``deployment``; raises `InfeasibleError` where the model does not fit."""
    roles: tuple[RoleName, ...] = ("mixed",) if deployment.roles == "mixed" else ("prefill", "decode")
    ledgers = tuple(ledger(model, device, deployment, role=role) for role in roles)
    held = _measured_kv_tokens(profile)
    for book in ledgers if held is None else ():
        _refuse_unfit(book, model, device)
    times = tuple(step_time(model, device, deployment, profile=profile, role=role, require=require) for role in roles)
    for role in roles:
        refuse_holes(profile, model, _part(deployment, role).parallel)
    pools = tuple(
        _pool(deployment, role, book, time.surface, book.kv_tokens if held is None else held)
        for role, book, time in zip(roles, ledgers, times, strict=True)
    )  # fmt: skip
    limit = "the engine's max_model_len" if deployment.engine.max_model_len else f"the context of {model.name}"
    return Compiled(
        deployment=deployment,
        pools=pools,
        transfer=_transfer(model, device, deployment),
        ledgers=ledgers,
        step_times=times,
        limit=limit,
        request_overhead_s=_overhead_s(profile),
    )


def serve(
    compiled: Compiled,
    requests: Requests,
    *,
    closed_loop: ClosedLoop | None = None,
    control: Control | None = None,
    time_factor: float = 1.0,
    seed: int = 0,
) -> Run:
    """Simulate ``requests`` on a compiled deployment, every step time multiplied by ``time_factor``.

    The family of ``control`` is taken as it is.
    """
    deployment = compiled.deployment
    check_lengths(requests, compiled.pools[0].limits.max_model_len, limit=compiled.limit)
    pools = tuple(
        Pool(surface=scaled_surface(pool.surface, time_factor), limits=pool.limits, replicas=pool.replicas)
        for pool in compiled.pools
    )
    draft, admission = deployment.speculative, deployment.admission
    run = simulate(
        requests,
        (pools[0], pools[1]) if len(pools) == 2 else pools[0],
        router=deployment.router,
        closed_loop=_delayed(closed_loop, compiled.request_overhead_s),
        transfer=compiled.transfer,
        speculative=Speculative(draft_tokens=draft.draft_tokens, acceptance=draft.acceptance) if draft else None,
        patience=Patience(
            max_waiting=admission.max_waiting,
            queue_timeout_s=admission.queue_timeout_s,
            abort_s=admission.client_timeout_s,
        ),
        control=control,
        seed=seed,
    )
    overhead_s = compiled.request_overhead_s
    return replace(run, ttft_s=run.ttft_s + overhead_s, e2e_s=run.e2e_s + overhead_s)


def _measured_kv_tokens(profile: StepEvidence | None) -> int | None:
    """What a running engine said of its KV cache: it weighs more than the ledger."""
    return profile.server.kv_cache_tokens if isinstance(profile, EngineProfileSpec) else None


def _overhead_s(profile: StepEvidence | None) -> float:
    return (profile.request_overhead_s or 0.0) if isinstance(profile, EngineProfileSpec) else 0.0


def _delayed(loop: ClosedLoop | None, overhead_s: float) -> ClosedLoop | None:
    """The engine sees a client's next request only after its overhead."""
    return replace(loop, client_delay_s=loop.client_delay_s + overhead_s) if loop else None


def evidence_of(compiled: Compiled) -> tuple[Evidence, ...]:
    """Return what step times and memory rest on, each entry once."""
    entries = [entry for time in compiled.step_times for entry in time.evidence]
    entries += [entry for book in compiled.ledgers for entry in book.evidence]
    return tuple(dict.fromkeys(entries))


def _part(deployment: DeploymentSpec, role: RoleName) -> DeploymentSpec | Role:
    part: DeploymentSpec | Role = deployment if role == "mixed" else getattr(deployment.roles, role)
    return part


def _pool(deployment: DeploymentSpec, role: RoleName, book: MemoryLedger, surface: StepSurface, kv_tokens: int) -> Pool:
    """Replicas of one role. Each data-parallel rank schedules for itself and holds its own KV cache [std: vLLM]."""
    engine = deployment.engine
    part = _part(deployment, role)
    limits = EngineLimits(
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        kv_blocks=kv_tokens // engine.block_size_tokens,
        block_size_tokens=engine.block_size_tokens,
        max_model_len=book.max_model_len,
        chunked_prefill=engine.chunked_prefill,
        prefix_caching=engine.prefix_caching,
    )
    if deployment.speculative is not None:
        surface = _with_draft(surface, deployment.speculative.draft_tokens * deployment.speculative.draft_cost)
    return Pool(surface=surface, limits=limits, replicas=part.replicas * part.parallel.dp)


def _with_draft(surface: StepSurface, share: float) -> StepSurface:
    """Add the draft model's steps, each a share of the target's step that decodes as many sequences [ours]."""
    count = min(len(surface.tokens_s), len(surface.sequences_s))
    drafted = np.zeros(len(surface.sequences_s))
    drafted[:count] = share * (surface.tokens_s[:count] + surface.sequences_s[:count])
    drafted[0] = 0.0
    return surface._replace(sequences_s=surface.sequences_s + drafted)


def _transfer(model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec) -> Transfer:
    """KV of a prompt over the stated bandwidth, else over the device's link of each decode GPU [ours]."""
    if not isinstance(deployment.roles, Roles):
        return Transfer()
    link = deployment.roles.transfer_gb_per_s or device.links.nvlink_gb_per_s or device.links.pcie_gb_per_s
    tp = deployment.roles.decode.parallel.tp
    per_token = kv_bytes_per_token(model, deployment.precision.kv_cache, tp)
    return Transfer(s_per_token=per_token / (link * KV_BYTES_PER_S))


def _refuse_unfit(book: MemoryLedger, model: ModelSpec, device: DeviceSpec) -> None:
    if book.fits:
        return
    raise InfeasibleError(
        f"{model.name} does not fit {device.name}: {book.reason}",
        cure="Use more GPUs per replica (tp, pp), a smaller precision, or a shorter max_model_len.",
    )
