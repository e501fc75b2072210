"""How many bytes a tensor takes as the engine keeps it: precision, scales of its groups, padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from predictors.memory.sharding import round_up
from specs.base import BYTES_PER_ELEMENT
from specs.deployment import PrecisionSpec
from specs.model import ModelSpec

Part = Literal["attention", "mlp", "experts", "router", "embedding", "lm_head", "norm", "vision"]
Scales = Literal["none", "row", "block", "group"]

BLOCK = 128  # side of the square that one scale covers in block-wise FP8 [std: DeepSeek-V3 checkpoint]
MXFP4_GROUP = 32  # weights that share one 8-bit exponent [std: OCP MX specification 1.0]
INT4_GROUP = 128  # usual group of GPTQ and AWQ checkpoints [std]
# Marlin's tiles (gpt-oss-120b: 65.91 GiB here, 65.97 in vLLM's log); the Triton kernels that vLLM prefers on Hopper
# swizzle instead, and took 0.3 to 2.4 % less in three logs.
MXFP4_HIDDEN_MULTIPLE = 256  # vLLM pads the hidden side of MXFP4 experts to it: 2880 becomes 3072 [std: vLLM mxfp4.py]
MXFP4_WIDTH_MULTIPLE = 128  # and the feed-forward side of each rank to it [std: vLLM mxfp4.py]
MIB = float(2**20)
KEPT_ONLINE: frozenset[Part] = frozenset({"embedding", "lm_head", "norm", "router", "vision"})
FLOATS = ("fp32", "fp16", "bf16")


class Matrix(NamedTuple):
    """A tensor of ``stack`` matrices of ``rows`` outputs × ``columns`` inputs, ``copies`` times on this rank."""

    part: Part
    rows: int
    columns: int
    copies: int = 1
    stack: int = 1


@dataclass(frozen=True)
class Storage:
    """How matrices are stored: bytes per weight, scales, and the parts kept in the compute type."""

    precision: str
    bytes_per_weight: float
    scales: Scales
    group: int
    zero_points: bool
    kept: frozenset[str]
    compute_bytes: float

    @property
    def quantized(self) -> bool:
        """Whether weights are narrower than what is computed in."""
        return self.precision not in FLOATS


def storage(model: ModelSpec, precision: PrecisionSpec) -> Storage:
    """Return how ``model`` is stored: as its checkpoint is published, or quantised when it is loaded.

    A checkpoint of 16 or 32 bits is cast to the compute type when loaded, as vLLM's `--dtype` does.
    """
    published = precision.weights is None or precision.weights == model.weights_precision
    name = precision.weights or model.weights_precision
    if precision.weights is None and name in FLOATS:
        name = precision.activations
    kept: frozenset[str] = frozenset(model.unquantized) | {"norm", "vision"} if published else KEPT_ONLINE
    scheme = (model.quantization or "") if published else ""
    scales, group = _scales(name, scheme, model.quantization_group if published else None)
    compute = name if name in FLOATS else precision.activations
    return Storage(
        precision=name, bytes_per_weight=BYTES_PER_ELEMENT[name], scales=scales, group=group,
        zero_points="gptq" in scheme or "awq" in scheme, kept=kept if name not in FLOATS else frozenset(),
        compute_bytes=BYTES_PER_ELEMENT.get(compute, 2.0),
    )  # fmt: skip


def expert_sides(hidden: int, width: int, stored: Storage) -> tuple[int, int]:
    """Hidden and feed-forward side of one rank's expert as allocated: padded for MXFP4, else as given."""
    if stored.precision != "mxfp4" or "experts" in stored.kept:
        return hidden, width
    return round_up(hidden, MXFP4_HIDDEN_MULTIPLE), round_up(width, MXFP4_WIDTH_MULTIPLE)


def matrix_bytes(matrix: Matrix, stored: Storage) -> float:
    """Bytes that the allocator counts for ``matrix`` and its scales."""
    kept = matrix.part in stored.kept or not stored.quantized
    elements = matrix.rows * matrix.columns * matrix.stack
    weights = elements * (stored.compute_bytes if kept else stored.bytes_per_weight)
    scales = 0.0 if kept else matrix.stack * _scale_bytes(matrix.rows, matrix.columns, stored)
    return matrix.copies * (allocated_bytes(weights) + scales)


def allocated_bytes(size: float) -> float:
    """Bytes that torch counts for a tensor of ``size``.

    Segments above 10 MiB are multiples of 2 MiB, and a rest of at most 1 MiB is not split off, so it counts
    [std: c10/cuda/CUDACachingAllocator.cpp].
    """
    if size < 10 * MIB:
        return size
    segment = -(-size // (2 * MIB)) * 2 * MIB
    return segment if segment - size <= MIB else size


def _scales(name: str, scheme: str, group: int | None) -> tuple[Scales, int]:
    if name == "mxfp4":
        return "group", MXFP4_GROUP
    if name == "fp4":
        return "group", group or 16  # NVFP4: one FP8 scale per 16 weights [std]
    if name == "int4":
        return "group", group or INT4_GROUP
    if "block" in scheme:
        return "block", BLOCK
    return ("row", 0) if name in ("fp8", "int8") else ("none", 0)


def _scale_bytes(rows: int, columns: int, stored: Storage) -> float:
    if stored.scales == "row":
        return 4.0 * rows
    if stored.scales == "block":
        return 4.0 * -(-rows // BLOCK) * -(-columns // BLOCK)
    if stored.scales == "none":
        return 0.0
    groups = rows * -(-columns // stored.group)
    if stored.precision in ("mxfp4", "fp4"):
        return 1.0 * groups
    return (2.5 if stored.zero_points else 2.0) * groups  # 16-bit scale and, where stored, a 4-bit zero point
