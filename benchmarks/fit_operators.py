"""Fits the coefficients of attention, streaming operators and messages, each over devices left out in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.attention_tables import HEAD_DIM, Attention
from benchmarks.message_tables import Messages, Streams, send_table
from predictors.step_time.roofline.attention import decode_attention_s, prefill_attention_s
from predictors.step_time.roofline.coefficients import (
    DecodeCoefficients,
    GemmCoefficients,
    LinkCoefficients,
    PrefillCoefficients,
    StreamCoefficients,
)
from predictors.step_time.roofline.links import all_reduce_s
from predictors.step_time.roofline.streaming import elementwise_s
from specs.catalog import find_device

FloatArray = npt.NDArray[np.float64]
ROWS_PER_TABLE = 600  # rows drawn from each table, seed 0: enough for three coefficients
PREFILL_DEVICES = ("rtx-pro-6000", "a6000")  # the A100 table times an early kernel that does not skip masked tiles


class Timed(Protocol):
    """A table of one device: anything with measured seconds."""

    @property
    def device(self) -> str:
        """Catalogue name."""

    @property
    def seconds(self) -> FloatArray:
        """Measured seconds."""


T = TypeVar("T", bound=Timed)
C = TypeVar("C")


def prefill_log_ratio(table: Attention, fitted: PrefillCoefficients, rates: GemmCoefficients) -> FloatArray:
    """Log of predicted over measured prefill attention."""
    found = prefill_attention_s(
        find_device(table.device), table.first, table.context,
        heads=table.heads, kv_heads=table.kv_heads, head_dim=HEAD_DIM, fitted=fitted, rates=rates,
    )  # fmt: skip
    return np.log(found / table.seconds)


def decode_log_ratio(table: Attention, fitted: DecodeCoefficients, rates: GemmCoefficients) -> FloatArray:
    """Log of predicted over measured decode attention."""
    found = decode_attention_s(
        find_device(table.device), table.first, table.context,
        heads=table.heads, kv_heads=table.kv_heads, head_dim=HEAD_DIM, fitted=fitted, rates=rates,
    )  # fmt: skip
    return np.log(found / table.seconds)


def stream_log_ratio(table: Streams, fitted: StreamCoefficients, rates: GemmCoefficients) -> FloatArray:
    """Log of predicted over measured streaming operators."""
    return np.log(
        elementwise_s(find_device(table.device), table.moved_bytes, fitted=fitted, rates=rates) / table.seconds
    )


def all_reduce_log_ratio(table: Messages, fitted: LinkCoefficients) -> FloatArray:
    """Log of predicted over measured all-reduce."""
    return np.log(
        all_reduce_s(find_device(table.device), table.bytes_, table.participants, fitted=fitted) / table.seconds
    )


def fit_prefill(tables: Sequence[Attention], rates: GemmCoefficients) -> PrefillCoefficients:
    """Coefficients of prefill attention from ``tables``, devices weighing alike."""
    x = _fit(tables, lambda t, x: prefill_log_ratio(t, PrefillCoefficients(**_named(PrefillCoefficients, x)), rates),
             ((0.65, 0.1, 1.3), (5.0, 0.0, 30.0), (64.0, 0.0, 600.0)))  # fmt: skip
    return PrefillCoefficients(**_named(PrefillCoefficients, x))


def fit_decode(tables: Sequence[Attention], rates: GemmCoefficients, tensor_share: float) -> DecodeCoefficients:
    """Coefficients of decode attention from ``tables``, devices weighing alike; ``tensor_share`` is prefill's."""

    def of(x: FloatArray) -> DecodeCoefficients:
        return DecodeCoefficients(**_named(DecodeCoefficients, np.append(x, tensor_share)))

    bounds = ((1.0, 0.3, 1.3), (8.0, 0.0, 30.0), (2.0, 0.0, 30.0))
    return of(_fit(tables, lambda t, x: decode_log_ratio(t, of(x), rates), bounds))


def fit_streams(tables: Sequence[Streams], rates: GemmCoefficients) -> StreamCoefficients:
    """Coefficients of the streaming operators from ``tables``, devices weighing alike."""
    x = _fit(tables, lambda t, x: stream_log_ratio(t, StreamCoefficients(**_named(StreamCoefficients, x)), rates),
             ((0.95, 0.3, 1.2), (3.0, 0.0, 10.0), (2.0, 1.0, 6.0)))  # fmt: skip
    return StreamCoefficients(**_named(StreamCoefficients, x))


def fit_links(tables: Sequence[Messages], start_us: float) -> LinkCoefficients:
    """Share of the NVLink rate from all-reduces of 2 MB and more; eager launches hide the start of smaller ones, so
    it is given.
    """

    def of(x: FloatArray) -> LinkCoefficients:
        return LinkCoefficients(
            start_us=start_us,
            start_us_per_doubling=0.5,
            nvlink_share=float(x[0]),
            pcie_share=0.8,
            point_to_point_us=start_us,
        )

    large = [
        Messages(
            device=t.device,
            participants=t.participants,
            bytes_=t.bytes_[t.bytes_ >= 2e6],
            seconds=t.seconds[t.bytes_ >= 2e6],
        )
        for t in tables
    ]
    return of(_fit(large, lambda t, x: all_reduce_log_ratio(t, of(x)), ((0.7, 0.2, 1.0),)))


def point_to_point_us() -> float:
    """Start of a message: the time of the smallest send, µs."""
    table = send_table()
    return float(np.median(table.seconds[table.bytes_ == table.bytes_.min()]) * 1e6)


def left_out(
    tables: Sequence[T], fit: Callable[[Sequence[T]], C], log_ratio: Callable[[T, C], FloatArray]
) -> list[FloatArray]:
    """Log ratios of each device's tables by coefficients fitted on the other devices, pooled by device."""
    pooled = []
    for device in dict.fromkeys(t.device for t in tables):
        fitted = fit([t for t in tables if t.device != device])
        pooled.append(np.concatenate([log_ratio(t, fitted) for t in tables if t.device == device]))
    return pooled


def half_width(pooled: Sequence[FloatArray], share: float = 0.9) -> float:
    """Half-width, as a ratio, that holds ``share`` of the errors, each device weighing the same."""
    errors = np.concatenate([np.abs(np.expm1(p)) for p in pooled])
    weights = np.concatenate([np.full(p.size, 1.0 / p.size) for p in pooled])
    order = np.argsort(errors)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(errors[order][np.searchsorted(reached, share)])


def _fit(
    tables: Sequence[T],
    log_ratio: Callable[[T, FloatArray], FloatArray],
    start_low_high: Sequence[tuple[float, float, float]],
) -> FloatArray:
    from scipy.optimize import least_squares

    per_device = {t.device: sum(other.device == t.device for other in tables) for t in tables}
    rng = np.random.default_rng(0)
    kept = [rng.permutation(t.seconds.size)[:ROWS_PER_TABLE] for t in tables]

    def residuals(x: FloatArray) -> FloatArray:
        parts = (log_ratio(t, x)[k] / np.sqrt(k.size * per_device[t.device]) for t, k in zip(tables, kept, strict=True))
        return np.concatenate(list(parts))

    start, low, high = (np.array(column) for column in zip(*start_low_high, strict=True))
    found = least_squares(
        residuals, start, bounds=(low, high), loss="soft_l1", f_scale=0.02, diff_step=[1e-2] * start.size
    )
    return np.asarray(found.x, dtype=np.float64)


def _named(kind: type, x: FloatArray) -> dict[str, float]:
    return {field.name: float(value) for field, value in zip(fields(kind), x, strict=True)}
