"""Predicts published closed-loop points: mean TTFT and TPOT at a fixed concurrency, with the harness made explicit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from predictors.memory import ledger
from predictors.serving import ClosedLoop, EngineLimits, Pool, Requests, Run, Transfer, simulate
from predictors.step_time.error import point_error
from predictors.step_time.estimate import RoleName, StepTime, step_time
from predictors.step_time.host import HostTime
from specs.base import Precision
from specs.deployment import DeploymentSpec, Engine, EngineName, Parallel, PrecisionSpec, Role, Roles
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec

BLOCK_TOKENS = 16
NEAR_LIMIT = 0.95  # share of the KV cache above which a point counts as near its limit
EvidenceOf = Callable[["Point"], LayerProfileSpec | None]
"""The layer profile that fits a point's model, engine, version and precision, or None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Harness:
    """How the points were measured; a table of points seldom says it.

    ``prompts_per_concurrency`` requests per client, all clients started at once; lengths are uniform over
    ``length_spread`` of the nominal ones; each client sends its next request ``client_delay_s`` after the last.
    ``slots_short``: so many sequences fewer than clients run at once. ``token_budget``: the engine's
    max_num_batched_tokens; ``prefill_first``: prompts in steps of their own (SGLang),
    else mixed with decodes. ``api_s`` and ``api_s_per_token`` of the prompt pass before the engine sees a request, and
    count in TTFT where the client measured it.
    """

    prompts_per_concurrency: int = 10
    length_spread: tuple[float, float] = (0.8, 1.0)
    client_delay_s: float = 0.0
    api_s: float = 0.0
    api_s_per_token: float = 0.0
    token_budget: int = 8192
    prefill_first: bool = False
    slots_short: int = 0
    seed: int = 0


# What a request spends in the server's HTTP layer before the engine sees it. [assumed: a loaded Python server]
API_S = 5e-3
# Tokenizing the prompt. [assumed: half a million tokens per second, as Hugging Face's fast tokenizers do]
TOKENIZER_S_PER_TOKEN = 2e-6
_SERVED = Harness(api_s=API_S, api_s_per_token=TOKENIZER_S_PER_TOKEN)
DEFAULT_HARNESS = {"vllm": _SERVED, "trtllm": _SERVED, "sglang": replace(_SERVED, prefill_first=True)}
"""Stated defaults by engine."""


@dataclass(frozen=True, kw_only=True)
class PoolShape:
    """Workers of one role of a disaggregated point: replicas, their TP and EP, and the batch each may hold."""

    workers: int
    tp: int
    ep: int = 1
    batch: int = 1


@dataclass(frozen=True, kw_only=True)
class Point:
    """One closed-loop measurement to predict; ``measured_*`` in ms where known, NaN else."""

    model: ModelSpec
    precision: Precision
    tp: int
    isl: int
    osl: int
    concurrency: int
    pp: int = 1
    dp: int = 1
    ep: int = 1
    engine: EngineName = "vllm"
    engine_version: str = "0.19"
    prefill: PoolShape | None = None
    decode: PoolShape | None = None
    kv_cache: Precision | None = None  # None: as the engine does by default with weights of that precision
    measured_ttft_ms: float = float("nan")
    measured_tpot_ms: float = float("nan")
    label: str = ""

    @property
    def kv_precision(self) -> Precision:
        """KV type: as given, else FP8 where TensorRT-LLM serves FP8 weights (its checkpoints quantise both), else bf16.

        Published H100 points bear that out: with 16 bits fifteen of them would have queued for KV, and did not (ours).
        """
        if self.kv_cache is not None:
            return self.kv_cache
        return "fp8" if (self.engine, self.precision) == ("trtllm", "fp8") else "bf16"

    @property
    def gpus(self) -> int:
        """GPUs of the point."""
        if self.prefill and self.decode:
            return self.prefill.workers * self.prefill.tp + self.decode.workers * self.decode.tp
        return self.tp * self.pp * self.dp


@dataclass(frozen=True, kw_only=True)
class PointPrediction:
    """Predicted means in ms with 90 % intervals; ``kv_share``: demand of all clients over the KV cache."""

    ttft_ms: float
    tpot_ms: float
    ttft_interval_ms: tuple[float, float]
    tpot_interval_ms: tuple[float, float]
    kv_share: float
    tier: str
    unloaded_ttft_ms: float

    @property
    def near_kv_limit(self) -> bool:
        """Whether a queue for KV decides TTFT."""
        return self.kv_share > NEAR_LIMIT


def predict_points(
    points: Iterable[Point],
    *,
    device: DeviceSpec,
    evidence: EvidenceOf | None = None,
    harness: Callable[[Point], Harness] | None = None,
    host: Callable[[Point], HostTime | None] | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> list[PointPrediction]:
    """Predict each point by simulating its closed loop; see `predict_point`."""
    asked = list(points)
    found: list[PointPrediction] = []
    for number, point in enumerate(asked):
        way = harness(point) if harness else DEFAULT_HARNESS[point.engine]
        found.append(
            predict_point(point, device=device, evidence=evidence, harness=way, host=host(point) if host else None)
        )
        if on_progress:
            on_progress(number + 1, len(asked), "predicting points")
    return found


def predict_point(
    point: Point,
    *,
    device: DeviceSpec,
    evidence: EvidenceOf | None = None,
    harness: Harness,
    host: HostTime | None = None,
) -> PointPrediction:
    """Simulate one closed loop; raises InputError where the model does not fit the device at that parallelism."""
    deployment = deployment_of(point, device, harness)
    profile = evidence(point) if evidence else None
    pools, share, steps = _pools(point, device, deployment, profile, harness, host)
    run = _run(point, pools, harness, device)
    ttft, tpot = float(np.nanmean(run.ttft_s)) * 1e3, float(np.nanmean(run.tpot_s)) * 1e3
    ttft += (harness.api_s + harness.api_s_per_token * point.isl) * 1e3
    ttft_error, tpot_error = point_error(steps[0].tier, near_limit=share > NEAR_LIMIT)
    return PointPrediction(
        ttft_ms=ttft, tpot_ms=tpot, ttft_interval_ms=_interval(ttft, ttft_error),
        tpot_interval_ms=_interval(tpot, tpot_error), kv_share=share, tier=steps[0].tier,
        unloaded_ttft_ms=_unloaded_ms(point, steps[0], deployment.engine),
    )  # fmt: skip


def deployment_of(point: Point, device: DeviceSpec, harness: Harness) -> DeploymentSpec:
    """The deployment a point describes, its batch limit at the concurrency."""
    engine = Engine(
        name=point.engine, version=point.engine_version, max_num_seqs=max(_batch(point) - harness.slots_short, 1),
        max_num_batched_tokens=max(harness.token_budget, point.isl if harness.prefill_first else 1),
        max_model_len=min(2 * (point.isl + point.osl), point.model.max_context_tokens),
        chunked_prefill=True,
    )  # fmt: skip
    precision = PrecisionSpec(weights=point.precision, kv_cache=point.kv_precision)
    roles: Roles | Literal["mixed"] = "mixed"
    if point.prefill and point.decode:
        roles = Roles(prefill=_role(point.prefill), decode=_role(point.decode))
    return DeploymentSpec(
        model=point.model.name, device=device.name, precision=precision, engine=engine, roles=roles,
        parallel=Parallel(tp=point.tp, pp=point.pp, ep=point.ep, dp=point.dp),
    )  # fmt: skip


def _batch(point: Point) -> int:
    """Sequences of one rank: the clients are spread over the data-parallel ranks, each a batch of its own."""
    return -(-point.concurrency // point.dp)


def _role(shape: PoolShape) -> Role:
    return Role(replicas=shape.workers, parallel=Parallel(tp=shape.tp, ep=shape.ep))


def _pools(
    point: Point, device: DeviceSpec, deployment: DeploymentSpec, profile: LayerProfileSpec | None, harness: Harness,
    host: HostTime | None,
) -> tuple[Pool | tuple[Pool, Pool], float, list[StepTime]]:  # fmt: skip
    engine = deployment.engine
    names: tuple[RoleName, ...] = ("prefill", "decode") if point.prefill and point.decode else ("mixed",)
    pools: list[Pool] = []
    steps: list[StepTime] = []
    share = 0.0
    for name in names:
        step = step_time(point.model, device, deployment, profile=profile, role=name, host=host)
        book = ledger(point.model, device, deployment, role=name)
        if not book.fits:
            raise InputError(f"point {point.label}: {point.model.name} does not fit: {book.reason}")
        shape = {"prefill": point.prefill, "decode": point.decode}.get(name)
        replicas = shape.workers if shape else point.dp
        limits = EngineLimits(
            max_num_seqs=engine.max_num_seqs, max_num_batched_tokens=engine.max_num_batched_tokens,
            kv_blocks=book.kv_tokens // BLOCK_TOKENS, chunked_prefill=not harness.prefill_first,
        )  # fmt: skip
        share = max(share, point.concurrency / replicas * (point.isl + point.osl) / max(book.kv_tokens, 1))
        pools.append(Pool(surface=step.surface, limits=limits, replicas=replicas))
        steps.append(step)
    return (pools[0], pools[1]) if len(pools) == 2 else pools[0], share, steps


def _run(point: Point, pools: Pool | tuple[Pool, Pool], harness: Harness, device: DeviceSpec) -> Run:
    count = point.concurrency * harness.prompts_per_concurrency
    draw = np.random.default_rng(harness.seed)
    low, high = harness.length_spread
    requests = Requests(
        arrival_s=np.zeros(count),
        prompt_tokens=np.maximum(1, np.rint(point.isl * draw.uniform(low, high, count))).astype(np.int64),
        output_tokens=np.maximum(2, np.rint(point.osl * draw.uniform(low, high, count))).astype(np.int64),
    )
    loop = ClosedLoop(concurrency=point.concurrency, client_delay_s=harness.client_delay_s)
    transfer = None
    if isinstance(pools, tuple):
        link = device.links.nvlink_gb_per_s or device.links.pcie_gb_per_s
        attention = point.model.attention[0]
        width = 2 * attention.kv_heads * attention.head_dim * 2 * point.model.layers
        transfer = Transfer(s_per_token=width / (link * 1e9))
    return simulate(requests, pools, closed_loop=loop, transfer=transfer, seed=harness.seed)


def _interval(value: float, error: float) -> tuple[float, float]:
    return value / (1.0 + error), value * (1.0 + error)


def _unloaded_ms(point: Point, step: StepTime, engine: Engine) -> float:
    """TTFT of one prompt alone: its chunks, one after the other."""
    surface, budget = step.surface, engine.max_num_batched_tokens
    total, done = 0.0, 0
    while done < point.isl:
        chunk = min(budget, point.isl - done)
        row = np.interp(chunk, surface.prefill_chunk_grid, np.arange(len(surface.prefill_chunk_grid)))
        attention = surface.prefill_attention_s[round(float(row)), np.searchsorted(surface.prefill_context_grid, done)]
        total += float(surface.tokens_s[chunk] + attention + surface.host_s[1])
        done += chunk
    return (total + float(surface.sequences_s[1])) * 1e3


__all__ = [
    "DEFAULT_HARNESS", "EvidenceOf", "Harness", "Point", "PointPrediction", "PoolShape", "deployment_of",
    "predict_point", "predict_points", "replace",
]  # fmt: skip
