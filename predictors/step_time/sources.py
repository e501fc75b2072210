"""Where an operator's time comes from: the calibrated roofline, or the tables of a layer profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from predictors.step_time import roofline
from predictors.step_time.operators import AttentionCall, Dense, Experts, Message, Stream
from predictors.step_time.tables import Grid, ProfileTables
from specs.device import DeviceSpec

FloatArray = npt.NDArray[np.float64]
TokenOperator = Dense | Stream | Experts | Message


class Source(Protocol):
    """Seconds of one call of an operator; None where the source does not know it."""

    def counted(self, operator: TokenOperator, count: FloatArray) -> FloatArray | None:
        """Seconds per call for each token (or sequence) count."""

    def prefill(self, call: AttentionCall, chunk: FloatArray, context: FloatArray) -> FloatArray | None:
        """Seconds [P, Q] of one layer's prefill attention of a chunk after a context."""

    def decode(self, call: AttentionCall, batch: FloatArray, context: FloatArray) -> FloatArray | None:
        """Seconds [B, C] of one layer's decode attention of a batch at its mean context."""

    def mixed_decode(self, call: AttentionCall, batch: FloatArray, context: FloatArray) -> FloatArray | None:
        """As ``decode``, in a step that also prefills."""


@dataclass(frozen=True)
class Roofline:
    """The calibrated roofline over a device; it knows every operator (ours)."""

    device: DeviceSpec
    kernels: roofline.Kernels = "triton"
    anchors: roofline.Anchors | None = None  # measured rates in place of the datasheet's
    # Load of an EP group's fullest GPU over the mean: with 1.5 vLLM's EP 2 to 8 rows on H100 (16 bits, power laws 1.01
    # and 1.2, 1,024 tokens and more) are met within 9 % in the median; with 1.2 they come out 6 to 19 % too fast.
    imbalance: float = 1.5

    def counted(self, operator: TokenOperator, count: FloatArray) -> FloatArray:
        """See `Source.counted`."""
        if isinstance(operator, Dense):
            return _sum(
                roofline.gemm_s(self.device, count, n, k, precision=operator.precision, anchors=self.anchors)
                for n, k in operator.shapes
            )
        if isinstance(operator, Stream):
            return roofline.elementwise_s(self.device, operator.bytes_per_token * count, anchors=self.anchors)
        if isinstance(operator, Experts):
            return self._experts(operator, count)
        return self._message(operator, count)

    def _experts(self, operator: Experts, count: FloatArray) -> FloatArray:
        return roofline.experts_s(
            self.device, operator.token_factor * count, operator.experts, operator.top_k, operator.hidden,
            operator.intermediate, kernels=self.kernels, precision=operator.precision,
            block_scaled=operator.block_scaled, gated=operator.gated, imbalance=self.imbalance,
            local_experts=operator.local_experts, anchors=self.anchors,
        )  # fmt: skip

    def _message(self, operator: Message, count: FloatArray) -> FloatArray:
        moved = operator.bytes_per_token * count
        if operator.name == "all_reduce":
            return roofline.all_reduce_s(self.device, moved, operator.participants)
        if operator.name == "all_to_all":
            return roofline.all_to_all_s(self.device, moved, operator.participants)
        return roofline.point_to_point_s(self.device, moved)

    def prefill(self, call: AttentionCall, chunk: FloatArray, context: FloatArray) -> FloatArray:
        """See `Source.prefill`."""
        return roofline.prefill_attention_s(
            self.device, chunk[:, None], context[None, :], heads=call.heads, kv_heads=call.kv_heads,
            head_dim=call.head_dim, value_dim=call.value_dim, window=call.window, precision=call.precision,
            kv_precision=call.kv_precision, anchors=self.anchors,
        )  # fmt: skip

    def decode(self, call: AttentionCall, batch: FloatArray, context: FloatArray) -> FloatArray:
        """See `Source.decode`."""
        return roofline.decode_attention_s(
            self.device, batch[:, None], context[None, :], heads=call.heads, kv_heads=call.kv_heads,
            head_dim=call.head_dim, value_dim=call.value_dim, window=call.window, latent=call.latent,
            precision=call.precision, kv_precision=call.kv_precision, anchors=self.anchors,
        )  # fmt: skip

    def mixed_decode(self, call: AttentionCall, batch: FloatArray, context: FloatArray) -> FloatArray | None:
        """The roofline does not tell the two apart."""
        return None


@dataclass(frozen=True)
class Datasheet:
    """Peak rates and nothing else: the larger of operations over peak and bytes over bandwidth [std: roofline]."""

    device: DeviceSpec

    def counted(self, operator: TokenOperator, count: FloatArray) -> FloatArray:
        """See `Source.counted`."""
        if isinstance(operator, Dense):
            return _sum(self._product(count, n, k, operator.precision) for n, k in operator.shapes)
        if isinstance(operator, Stream):
            return operator.bytes_per_token * count / self._bytes_per_s
        if isinstance(operator, Message):
            link = self.device.links.nvlink_gb_per_s or self.device.links.pcie_gb_per_s
            return 2.0 * operator.bytes_per_token * count / (link * 1e9)
        rows = operator.token_factor * count * operator.top_k * operator.local_experts / operator.experts
        touched = roofline.experts_touched(operator.token_factor * count, operator.experts, operator.top_k)
        width = (3 if operator.gated else 2) * operator.hidden * operator.intermediate
        held = (
            touched * operator.local_experts / operator.experts * width * roofline.bytes_per_weight(operator.precision)
        )
        return np.maximum(2.0 * rows * width / self._peak(operator.precision), held / self._bytes_per_s)

    def prefill(self, call: AttentionCall, chunk: FloatArray, context: FloatArray) -> FloatArray:
        """See `Source.prefill`."""
        pairs = chunk[:, None] * (context[None, :] + chunk[:, None] / 2)
        return 2.0 * call.heads * (call.head_dim + call.value_dim) * pairs / self._peak(call.precision)

    def decode(self, call: AttentionCall, batch: FloatArray, context: FloatArray) -> FloatArray:
        """See `Source.decode`."""
        width = call.head_dim if call.latent else call.head_dim + call.value_dim
        moved = call.kv_heads * width * roofline.bytes_per_weight(call.kv_precision)
        return batch[:, None] * context[None, :] * moved / self._bytes_per_s

    def mixed_decode(self, call: AttentionCall, batch: FloatArray, context: FloatArray) -> FloatArray | None:
        """The datasheet does not tell the two apart."""
        return None

    @property
    def _bytes_per_s(self) -> float:
        return self.device.memory_bandwidth_gb_per_s * 1e9

    def _peak(self, precision: str) -> float:
        peak = self.device.peak_tflops
        return peak.get(precision, peak.get("bf16", peak.get("fp16", 1.0))) * 1e12

    def _product(self, count: FloatArray, n: int, k: int, precision: str) -> FloatArray:
        held = n * k * roofline.bytes_per_weight(precision) + 2.0 * count * (n + k)
        return np.maximum(2.0 * count * n * k / self._peak(precision), held / self._bytes_per_s)


@dataclass(frozen=True)
class Profiled:
    """The tables of a layer profile at one TP and EP; knows what was measured there."""

    tables: ProfileTables
    tp: int
    ep: int = 1

    def counted(self, operator: TokenOperator, count: FloatArray) -> FloatArray | None:
        """See `Source.counted`."""
        if isinstance(operator, Message) and operator.name != "all_reduce":
            return None
        if isinstance(operator, Experts):  # keyed by all ranks of the expert group, and by all of its tokens
            ranks = self.tp * round(operator.token_factor)
            curve = self.tables.curve("moe", ranks, self.ep)
            return None if curve is None else curve(operator.token_factor * count)
        curve = self.tables.curve(operator.name, self.tp)
        return None if curve is None else curve(count)

    def prefill(self, call: AttentionCall, chunk: FloatArray, context: FloatArray) -> FloatArray | None:
        """See `Source.prefill`."""
        return _on(self.tables.grid("prefill_attention", self.tp, call.kind), chunk, context)

    def decode(self, call: AttentionCall, batch: FloatArray, context: FloatArray) -> FloatArray | None:
        """See `Source.decode`."""
        return _on(self.tables.grid("decode_attention", self.tp, call.kind), batch, context)

    def mixed_decode(self, call: AttentionCall, batch: FloatArray, context: FloatArray) -> FloatArray | None:
        """See `Source.mixed_decode`."""
        return _on(self.tables.grid("mixed_decode_attention", self.tp, call.kind), batch, context)


def _on(grid: Grid | None, rows: FloatArray, columns: FloatArray) -> FloatArray | None:
    return None if grid is None else grid(rows, columns)


def _sum(parts: object) -> FloatArray:
    total: FloatArray = np.sum(list(parts), axis=0)  # type: ignore[call-overload]
    return total
