"""What brownout spares of a step: experts that a batch still reaches and their time; and what it takes of the KV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from predictors.deployment import Compiled, serve
from predictors.serving import Control, Pool, Requests, Run, Window, gap_edges_s
from predictors.step_time import experts_family
from predictors.step_time.operators import Experts, step_operators
from predictors.step_time.roofline.experts import touched_experts_s
from solvers.aimd import Aimd, weighted_quantile
from solvers.brownout import accesses, route, united_experts
from specs.device import DeviceSpec
from specs.errors import InfeasibleError
from specs.host import HostProfileSpec
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
GIB = 2**30
STEPS = 20
THRESHOLDS = tuple(step / STEPS for step in range(STEPS + 1))
"""The thresholds that step times are compiled for; a controller's threshold takes the nearest."""
TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Scheduled tokens at which routing is drawn; straight over their logarithm in between."""
DRAWS = 8
"""Routings drawn for each layer of small batches; one of more than `MANY` tokens varies little."""
MANY = 256


@dataclass(frozen=True, kw_only=True)
class Brownout:
    """One way of united experts on a deployment.

    ``way`` None: full brownout, what is not served is dropped. ``family``: `StepSurface.tokens_s` for each of
    `THRESHOLDS`. ``accessed`` [tokens, thresholds, layers]: experts that a batch of `TOKENS` reaches in one layer.
    ``layer_s`` likewise: seconds of that layer's routed experts. ``extra_gib``: weights of the united experts on one
    GPU; ``pool``: the deployment's with the KV blocks that they leave.
    """

    way: int | None
    family: tuple[FloatArray, ...]
    accessed: FloatArray
    layer_s: FloatArray
    extra_gib: float
    pool: Pool


@dataclass(frozen=True, kw_only=True)
class Salc:
    """SALC, a controller for each phase [paper: Algorithm 2; code: window and period].

    Every ``check_s`` the ``level`` quantile of the last ``window_s`` is held against the phase's bound. ``own_steps``
    False, as a client sees it [ours]: for prefill the time to the first token and, since prefills lengthen the gaps of
    what decodes beside them, all gaps against the decode bound, whichever uses more of its bound; for decode all gaps.
    True, as the authors' engine has it [code]: the time from the start of a prefill to its end, and the gaps that steps
    of decodes alone ended. A phase without a bound stays at threshold 1.
    """

    prefill: Aimd | None
    decode: Aimd | None
    level: float = 0.9
    window_s: int = 2
    check_s: int = 5
    own_steps: bool = False


def draw_routing(popularity: FloatArray, top_k: int, *, seed: int = 0) -> tuple[IntArray, ...]:
    """Draw how many tokens each expert gets, for batches of `TOKENS`: [layers, draws, experts] of each [ours].

    ``popularity`` [layers, experts]: shares or counts. Every token reaches ``top_k`` experts, by their own chances.
    """
    drawn = []
    for tokens in TOKENS:
        rngs = [np.random.default_rng([seed, layer, tokens]) for layer in range(len(popularity))]
        draws = range(DRAWS if tokens <= MANY else 1)
        layers = zip(popularity, rngs, strict=True)
        drawn.append(np.array([[route(shares, top_k, tokens, rng) for _ in draws] for shares, rng in layers]))
    return tuple(drawn)


def accessed_experts(
    drawn: Sequence[IntArray], way: int | None, thresholds: Sequence[float] = THRESHOLDS
) -> FloatArray:
    """Expected experts that a batch reaches in each layer; [len(TOKENS), thresholds, layers]."""
    found = np.zeros((len(drawn), len(thresholds), len(drawn[0])))
    for row, counts in enumerate(drawn):
        flat = counts.reshape(-1, counts.shape[2])
        for column, threshold in enumerate(thresholds):
            reached = np.sum(accesses(flat, threshold, way), axis=0)
            found[row, column] = reached.reshape(counts.shape[:2]).mean(axis=1)
    return found


def experts_of(model: ModelSpec, compiled: Compiled) -> Experts:
    """The routed experts of one layer on one GPU of the deployment."""
    spec = compiled.deployment
    weights = spec.precision.weights or model.weights_precision
    operators = step_operators(model, spec.parallel, weights, spec.precision.activations, spec.precision.kv_cache)
    return next(operator for operator in operators.token if isinstance(operator, Experts))


def layer_seconds(device: DeviceSpec, experts: Experts, accessed: FloatArray, engine: str) -> FloatArray:
    """Seconds of each layer's routed experts where a batch reaches ``accessed`` of them; same shape."""
    share = experts.local_experts / experts.experts
    tokens = np.asarray(TOKENS, dtype=np.float64)[:, None, None]
    rows = np.broadcast_to(tokens * experts.top_k * share, accessed.shape)
    return touched_experts_s(
        device, rows, accessed * share, experts.hidden, experts.intermediate,
        kernels="cutlass" if engine == "trtllm" else "triton", precision=experts.precision,
        block_scaled=experts.block_scaled, gated=experts.gated,
    )  # fmt: skip


def compile_brownout(
    compiled: Compiled,
    model: ModelSpec,
    device: DeviceSpec,
    drawn: Sequence[IntArray],
    way: int | None,
    *,
    profile: LayerProfileSpec | HostProfileSpec | None = None,
) -> Brownout:
    """Compile step times and KV of a mixed deployment for united experts of ``way``.

    The experts' time, whatever evidence it rests on, shrinks as the roofline's does between the experts that full
    service reaches under this popularity and those that are left [ours]. Raises InfeasibleError where the united
    experts leave no room for the KV of one request.
    """
    experts, engine = experts_of(model, compiled), compiled.deployment.engine.name
    accessed = accessed_experts(drawn, way)
    seconds = layer_seconds(device, experts, accessed, engine)
    step_s = seconds.sum(axis=2)
    shares = [_share(step_s[:, column] / step_s[:, -1], experts.token_factor) for column in range(len(THRESHOLDS))]
    family = experts_family(model, device, compiled.deployment, shares, profile=profile)
    extra = united_bytes(model, compiled, way)
    return Brownout(
        way=way, family=family, accessed=accessed, layer_s=seconds, extra_gib=extra / GIB,
        pool=_with_less_kv(compiled, extra, way),
    )  # fmt: skip


def _share(ratio: FloatArray, tokens_per_token: float) -> Callable[[FloatArray], FloatArray]:
    """What is left of the experts' time by scheduled tokens: straight over the logarithm, at most 1."""
    known = np.minimum(ratio, 1.0)
    grid = np.log(np.asarray(TOKENS, dtype=np.float64))
    return lambda count: np.interp(np.log(np.maximum(count * tokens_per_token, 1.0)), grid, known)


def united_bytes(model: ModelSpec, compiled: Compiled, way: int | None) -> float:
    """Bytes of the united experts on one GPU: ⌈m/k⌉ of each layer, of the size of one expert [paper]."""
    moe = model.moe
    if way is None or moe is None:
        return 0.0
    return compiled.ledgers[0].weights["experts"] * united_experts(moe.experts, way) / moe.experts


def _with_less_kv(compiled: Compiled, extra_bytes: float, way: int | None) -> Pool:
    pool, book = compiled.pools[0], compiled.ledgers[0]
    blocks = pool.limits.kv_blocks - int(np.ceil(extra_bytes / book.bytes_per_block))
    if blocks * pool.limits.block_size_tokens < min(pool.limits.max_model_len, book.kv_tokens):
        short = min(pool.limits.max_model_len, book.kv_tokens) / pool.limits.block_size_tokens - blocks
        raise InfeasibleError(
            f"united experts of way {way} take {extra_bytes / GIB:.1f} GiB per GPU; the KV cache then lacks "
            f"{short * book.bytes_per_block / GIB:.1f} GiB for one request of {pool.limits.max_model_len} tokens",
            cure="Choose a larger way, more GPUs per replica, or a shorter max_model_len.",
        )
    return replace(pool, limits=replace(pool.limits, kv_blocks=blocks))


def level_of(threshold: float) -> int:
    """Index of the nearest of `THRESHOLDS`."""
    return round(threshold * STEPS)


def serve_at(
    compiled: Compiled, brownout: Brownout, requests: Requests, thresholds: tuple[float, float], *,
    time_factor: float = 1.0, seed: int = 0,
) -> Run:  # fmt: skip
    """Serve ``requests`` at fixed (prefill, decode) thresholds."""
    levels = (level_of(thresholds[0]), level_of(thresholds[1]))
    family = tuple(one * time_factor for one in brownout.family)
    control = Control(family=family, decide=lambda _: levels, period_s=float("inf"), start=levels)
    own = replace(compiled, pools=(brownout.pool,))
    return serve(own, requests, control=control, time_factor=time_factor, seed=seed)


def serve_controlled(
    compiled: Compiled, brownout: Brownout, requests: Requests, salc: Salc, *, time_factor: float = 1.0, seed: int = 0
) -> tuple[Run, FloatArray]:
    """Serve ``requests`` while SALC moves both thresholds from 1.

    Returns the run, and the thresholds (prefill, decode) that held in each second of it; [seconds, 2].
    """
    held, decide = controller(salc)
    full = level_of(1.0)
    family = tuple(one * time_factor for one in brownout.family)
    control = Control(family=family, decide=decide, period_s=1.0, start=(full, full))
    own = replace(compiled, pools=(brownout.pool,))
    run = serve(own, requests, control=control, time_factor=time_factor, seed=seed)
    return run, np.asarray(held[: len(control.windows)])


def controller(salc: Salc) -> tuple[list[tuple[float, float]], Callable[[list[Window]], tuple[int, int]]]:
    """The thresholds that held in each window of one second so far, and the rule that adds the next."""
    held, edges_s = [(1.0, 1.0)], gap_edges_s()

    def decide(windows: list[Window]) -> tuple[int, int]:
        prefill, decode = held[-1]
        if len(windows) % salc.check_s == 0:
            first_s, gap_s = seen(windows[-salc.window_s :], salc, edges_s)
            prefill = salc.prefill(prefill, first_s) if salc.prefill else prefill
            decode = salc.decode(decode, gap_s) if salc.decode else decode
        held.append((prefill, decode))
        return level_of(prefill), level_of(decode)

    return held, decide


def seen(windows: Sequence[Window], salc: Salc, edges_s: FloatArray) -> tuple[float, float]:
    """SALC's quantiles (seconds to the first token, gap in seconds) in these windows; NaN where nothing was seen.

    Where gaps use more of their bound than the first tokens of theirs, the first is raised in proportion.
    """
    first = np.concatenate([one.prefill_s if salc.own_steps else one.ttft_s for one in windows])
    first_s = float(np.quantile(first, salc.level, method="inverted_cdf")) if len(first) else float("nan")
    counts = np.sum([one.gap_counts for one in windows], axis=0)
    if not salc.own_steps:
        counts = counts + np.sum([one.mixed_gap_counts for one in windows], axis=0)
    gap_s = weighted_quantile(np.sqrt(edges_s[:-1] * edges_s[1:]), counts, salc.level)
    if not salc.own_steps and salc.prefill is not None and salc.decode is not None:
        first_s = float(np.fmax(first_s, gap_s / salc.decode.slo_s * salc.prefill.slo_s))
    return first_s, gap_s
