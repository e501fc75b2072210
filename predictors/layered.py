"""Predicts a model served by parts: each run of layers on a GPU of its own kind, its copies, and the hops between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from predictors.deployment import Compiled
from predictors.serving import EngineLimits, Pool, StepSurface, Transfer
from predictors.step_time.roofline.links import point_to_point_s
from predictors.step_time.slices import Part, Slices, added, decode_s, with_hops
from specs.base import BYTES_PER_ELEMENT
from specs.deployment import DeploymentSpec
from specs.device import DeviceSpec
from specs.model import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Hop:
    """What a hidden state pays to cross between two devices: seconds per step and per token of it."""

    start_s: float
    s_per_token: float

    def seconds(self, tokens: float) -> float:
        """One crossing of a step with so many tokens."""
        return self.start_s + tokens * self.s_per_token


CROSSING_MS = 0.05
"""What a serving program adds to a crossing between GPUs: launch and wait of a send and a receive. [assumed]

With accelerate's hooks it is far more: UELLM's logs imply about 1.1 ms per crossing [calc: UELLM's public logs]."""
NO_HOP = Hop(start_s=0.0, s_per_token=0.0)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Layers ``start`` to ``stop`` (exclusive), timed by ``slices``, in ``copies``, after ``hop`` (every step).

    ``slowdown``: how much longer they take because others compute on the same GPU.
    """

    slices: Slices
    start: int
    stop: int
    copies: int = 1
    hop: Hop = NO_HOP
    slowdown: float = 1.0


def hop_between(
    model: ModelSpec, device: DeviceSpec, *, network_gbps: float | None = None, software_s: float = 0.0
) -> Hop:
    """The hop over the device's own link, or over the network where ``network_gbps`` is given [std: α + β·n].

    ``software_s``: what the program that serves adds to each crossing, on top of the link's own start.
    """
    size = model.hidden * BYTES_PER_ELEMENT["bf16"]
    rate = None if network_gbps is None else network_gbps / 8
    near, far = (float(point_to_point_s(device, size * n, gb_per_s=rate)) for n in (1.0, 1001.0))
    slope = (far - near) / 1000
    return Hop(start_s=near - slope + software_s, s_per_token=slope)


def stretch_surface(stretch: Stretch, layers: int, prompt_tokens: float) -> StepSurface:
    """Step time of one stretch with what stands before the first and after the last layer, and its hop."""
    cut = stretch.slices
    kinds = cut.kind[stretch.start : stretch.stop]
    parts = [
        Part(surface=cut.layers[kind], count=kinds.count(kind), copies=stretch.copies, slowdown=stretch.slowdown)
        for kind in dict.fromkeys(kinds)
    ]
    if stretch.stop == layers:
        parts.append(Part(surface=cut.head, copies=stretch.copies, slowdown=stretch.slowdown))
    total = added(parts, cut.whole.surface, prompt_tokens)
    return with_hops(total, stretch.hop.start_s, stretch.hop.s_per_token)


def chained(
    stretches: Sequence[Stretch], layers: int, prompt_tokens: float, *, stages: int = 1, reference: tuple[float, float]
) -> StepSurface:
    """Step time of all stretches in a row; with ``stages`` so many batches are in flight.

    The slowest stage's share is taken from a decode step of ``reference`` (batch, context). Host time, error and
    scheduling are those of the first stretch's device.
    """
    surfaces = [stretch_surface(one, layers, prompt_tokens) for one in stretches]
    total = surfaces[0]
    for more in surfaces[1:]:
        total = total._replace(
            tokens_s=total.tokens_s + more.tokens_s, sequences_s=total.sequences_s + more.sequences_s,
            decode_attention_s=total.decode_attention_s + more.decode_attention_s,
            prefill_attention_s=total.prefill_attention_s + more.prefill_attention_s,
        )  # fmt: skip
    if stages == 1:
        return total
    times = [decode_s(one, *reference) for one in surfaces]
    return total._replace(stages=stages, stage_share=max(times) / sum(times))


def compile_layered(
    deployment: DeploymentSpec, surface: StepSurface, kv_tokens: float, slices: Slices, *, replicas: int = 1
) -> Compiled:
    """A pool of the engine model from a chained surface and the KV tokens that its tightest part holds."""
    engine = deployment.engine
    assert engine.max_model_len is not None
    limits = EngineLimits(
        max_num_seqs=engine.max_num_seqs, max_num_batched_tokens=engine.max_num_batched_tokens,
        kv_blocks=max(int(kv_tokens // engine.block_size_tokens), 0), block_size_tokens=engine.block_size_tokens,
        max_model_len=engine.max_model_len, chunked_prefill=engine.chunked_prefill,
        prefix_caching=engine.prefix_caching,
    )  # fmt: skip
    pool = Pool(surface=surface, limits=limits, replicas=replicas)
    return Compiled(
        deployment=deployment, pools=(pool,), transfer=Transfer(), ledgers=(), step_times=(slices.whole,),
        limit="the engine's max_model_len",
    )  # fmt: skip
